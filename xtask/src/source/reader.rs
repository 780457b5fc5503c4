//! One file's syntax → what it defines, imports, names and says.

use proc_macro2::{Delimiter, Span, TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, Item, UseTree, Visibility};

use super::*;

/// `#[test]`, `#[cfg(test)]` or `#[cfg(all(test, …))]`.
pub(super) fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let path = attribute.path();
        let syn::Meta::List(list) = &attribute.meta else {
            return path.is_ident("test");
        };
        let condition = list.tokens.to_string().replace(' ', "");
        path.is_ident("cfg") && (condition == "test" || condition.starts_with("all(test,"))
    })
}

/// Fills a module with what its items name. Modules inside it are not its business.
struct Reader<'m> {
    module: &'m mut Module,
    functions: Vec<Function>,
    /// The types whose functions are being read.
    types: Vec<String>,
    is_test: bool,
}

/// Fills `module` with what `items` name, and returns their functions.
pub(super) fn read(module: &mut Module, is_test: bool, items: &[Item]) -> Vec<Function> {
    let mut reader = Reader {
        module,
        functions: Vec::new(),
        types: Vec::new(),
        is_test,
    };
    for item in items {
        reader.visit_item(item);
    }
    reader.functions
}

fn line_of(span: Span) -> usize {
    span.start().line
}

impl Reader<'_> {
    fn within(&mut self, attributes: &[Attribute], read: impl FnOnce(&mut Self)) {
        let before = self.is_test;
        self.is_test |= is_for_tests(attributes);
        read(self);
        self.is_test = before;
    }

    fn mention(&mut self, path: Vec<String>, span: Span, kind: Kind) {
        self.module.mentions.push(Mention {
            path,
            line: line_of(span),
            is_test: self.is_test,
            kind,
        });
    }

    fn word(&mut self, what: What, span: Span) {
        self.module.words.push(Word {
            what,
            line: line_of(span),
            is_test: self.is_test,
        });
    }

    fn function(&mut self, signature: &syn::Signature, body: &syn::Block) {
        if self.is_test {
            return;
        }
        let line = line_of(signature.fn_token.span);
        let end = body.brace_token.span.close().end().line;
        let of = self.types.last().or(self.module.path.last());
        let of = of.map_or("crate", String::as_str);
        self.functions.push(Function {
            name: format!("{of}::{}", signature.ident),
            line,
            lines: end - line + 1,
        });
    }

    fn defined(&mut self, name: &syn::Ident) {
        self.module.names.insert(name.to_string(), Binding::Defined);
    }

    fn import(&mut self, path: &[String], tree: &UseTree, kind: Kind) {
        let mut path = path.to_vec();
        match tree {
            UseTree::Path(part) => {
                path.push(part.ident.to_string());
                self.visit_ident(&part.ident);
                self.import(&path, &part.tree, kind);
            }
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.import(&path, tree, kind);
                }
            }
            UseTree::Glob(glob) => {
                self.module.globs.push(path.clone());
                self.mention(path, glob.star_token.span, Kind::Glob);
            }
            UseTree::Name(syn::UseName { ident }) => {
                self.imported(path, ident, ident, kind);
            }
            UseTree::Rename(syn::UseRename { ident, rename, .. }) => {
                self.imported(path, ident, rename, kind);
            }
        }
    }

    fn imported(
        &mut self,
        mut path: Vec<String>,
        ident: &syn::Ident,
        name: &syn::Ident,
        kind: Kind,
    ) {
        self.visit_ident(ident);
        let mut name = name.to_string();
        if ident != "self" {
            path.push(ident.to_string());
        } else if name == "self" {
            name = path.last().cloned().unwrap_or_default();
        }
        self.mention(path.clone(), ident.span(), kind);
        if name != "_" {
            let names = &mut self.module.names;
            names.entry(name).or_insert(Binding::Imported(path));
        }
    }

    /// What is inside a macro's brackets is words until it is expanded: paths are read from them.
    fn tokens(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let is = |at: usize, mark: char| matches!(tokens.get(at), Some(TokenTree::Punct(it)) if it.as_char() == mark);
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            match token {
                TokenTree::Group(group) => self.tokens(group.stream()),
                TokenTree::Punct(_) => {}
                TokenTree::Literal(literal) => {
                    self.literal(&syn::Lit::new(literal.clone()));
                }
                TokenTree::Ident(first) => {
                    let is_member = at > 0 && is(at - 1, '.') && !(at > 1 && is(at - 2, '.'));
                    let mut path = vec![first.to_string()];
                    self.visit_ident(first);
                    while is(at + 1, ':')
                        && is(at + 2, ':')
                        && let Some(TokenTree::Ident(next)) = tokens.get(at + 3)
                    {
                        path.push(next.to_string());
                        self.visit_ident(next);
                        at += 3;
                    }
                    let is_call = is(at + 1, '!')
                        && matches!(tokens.get(at + 2), Some(TokenTree::Group(group))
                            if group.delimiter() != Delimiter::None);
                    if is_call {
                        let name = path.last().cloned().unwrap_or_default();
                        self.word(What::Macro(name), first.span());
                    }
                    if is_member {
                        self.word(What::Member(path.remove(0)), first.span());
                    } else {
                        self.mention(path, first.span(), Kind::Code);
                    }
                }
            }
            at += 1;
        }
    }

    fn literal(&mut self, literal: &syn::Lit) {
        let span = literal.span();
        match literal {
            syn::Lit::Str(text) => self.word(What::Text(text.value()), span),
            syn::Lit::ByteStr(bytes) => self.word(What::Bytes(bytes.value()), span),
            syn::Lit::CStr(text) => {
                self.word(What::Bytes(text.value().into_bytes()), span);
            }
            _ => {}
        }
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        let attributes: &[Attribute] = match item {
            Item::Const(item) => &item.attrs,
            Item::Enum(item) => &item.attrs,
            Item::ExternCrate(item) => &item.attrs,
            Item::Fn(item) => &item.attrs,
            Item::ForeignMod(item) => &item.attrs,
            Item::Impl(item) => &item.attrs,
            Item::Macro(item) => &item.attrs,
            Item::Mod(item) => &item.attrs,
            Item::Static(item) => &item.attrs,
            Item::Struct(item) => &item.attrs,
            Item::Trait(item) => &item.attrs,
            Item::Type(item) => &item.attrs,
            Item::Union(item) => &item.attrs,
            Item::Use(item) => &item.attrs,
            _ => &[],
        };
        let name = match item {
            Item::Const(item) => Some(&item.ident),
            Item::Enum(item) => Some(&item.ident),
            Item::Fn(item) => Some(&item.sig.ident),
            Item::Macro(item) => item.ident.as_ref(),
            Item::Static(item) => Some(&item.ident),
            Item::Struct(item) => Some(&item.ident),
            Item::Trait(item) => Some(&item.ident),
            Item::Type(item) => Some(&item.ident),
            Item::Union(item) => Some(&item.ident),
            _ => None,
        };
        if let Some(name) = name {
            self.defined(name);
        }
        self.within(attributes, |reader| visit::visit_item(reader, item));
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        // Read as a module of its own.
        for attribute in &item.attrs {
            self.visit_attribute(attribute);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let kind = match item.vis {
            Visibility::Inherited => Kind::Import,
            _ => Kind::ReExport,
        };
        self.import(&[], &item.tree, kind);
    }

    fn visit_item_extern_crate(&mut self, item: &'ast syn::ItemExternCrate) {
        self.mention(vec![item.ident.to_string()], item.ident.span(), Kind::Code);
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.function(&item.sig, &item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        let name = match &*item.self_ty {
            syn::Type::Path(path) => path.path.segments.last().map(|part| part.ident.to_string()),
            _ => None,
        };
        self.types.push(name.unwrap_or_else(|| "_".to_owned()));
        visit::visit_item_impl(self, item);
        self.types.pop();
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        self.types.push(item.ident.to_string());
        visit::visit_item_trait(self, item);
        self.types.pop();
    }

    fn visit_impl_item(&mut self, item: &'ast syn::ImplItem) {
        let attributes: &[Attribute] = match item {
            syn::ImplItem::Const(item) => &item.attrs,
            syn::ImplItem::Fn(item) => &item.attrs,
            _ => &[],
        };
        self.within(attributes, |reader| visit::visit_impl_item(reader, item));
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.function(&item.sig, &item.block);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(body) = &item.default {
            self.function(&item.sig, body);
        }
        visit::visit_trait_item_fn(self, item);
    }

    fn visit_local(&mut self, local: &'ast syn::Local) {
        self.within(&local.attrs, |reader| visit::visit_local(reader, local));
    }

    fn visit_field(&mut self, field: &'ast syn::Field) {
        self.within(&field.attrs, |reader| visit::visit_field(reader, field));
    }

    fn visit_vis_restricted(&mut self, _: &'ast syn::VisRestricted) {
        // Says who may look in, and uses nothing.
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        // A path names what makes the attribute; its text, such as documentation, is no code.
        self.visit_path(attribute.path());
        if let syn::Meta::List(list) = &attribute.meta {
            self.tokens(list.tokens.clone());
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let parts = path.segments.iter().map(|part| part.ident.to_string());
        if let Some(first) = path.segments.first() {
            self.mention(parts.collect(), first.ident.span(), Kind::Code);
        }
        visit::visit_path(self, path);
    }

    fn visit_ident(&mut self, ident: &'ast syn::Ident) {
        self.word(What::Identifier(ident.to_string()), ident.span());
    }

    fn visit_member(&mut self, member: &'ast syn::Member) {
        if let syn::Member::Named(name) = member {
            self.word(What::Member(name.to_string()), name.span());
        }
        visit::visit_member(self, member);
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        self.word(What::Member(call.method.to_string()), call.method.span());
        visit::visit_expr_method_call(self, call);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.visit_path(&call.path);
        if let Some(name) = call.path.segments.last() {
            self.word(What::Macro(name.ident.to_string()), name.ident.span());
        }
        self.tokens(call.tokens.clone());
    }

    fn visit_lit(&mut self, literal: &'ast syn::Lit) {
        self.literal(literal);
    }
}
