//! The sources of a crate, parsed: which modules there are, and what each of them names.
//!
//! ```text
//!   src/lib.rs ──► Module, with its names ──► Module … one for each `mod`, in its own file or not
//!                    │
//!                    └► Mention: a path as it is written, its line, whether only tests see it
//! ```
//!
//! [`Crate::resolve`] follows a path to the file where what it names is defined: through `use`
//! lines and re-exports, so that a `mod.rs` that only passes names on is not in between. It does
//! not know types: a method call names nobody. Conditions other than `test` are ignored: each
//! variant of a module is read.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, Span, TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, Item, UseTree, Visibility};

/// The sources under one directory.
#[derive(Default)]
pub struct Crate {
    /// As its own binaries name it.
    pub name: String,
    pub files: Vec<File>,
    pub modules: Vec<Module>,
}

/// One file of a crate.
pub struct File {
    /// From the root of the repository.
    pub path: PathBuf,
    pub text: String,
    pub functions: Vec<Function>,
}

/// A function with a body that is no test.
pub struct Function {
    /// With the type or the module whose function it is: `Cache::open`, `flags::read`.
    pub name: String,
    pub line: usize,
    pub lines: usize,
}

/// A module, whether it has a file of its own or stands inside another.
pub struct Module {
    pub path: Vec<String>,
    pub file: usize,
    pub parent: Option<usize>,
    /// The lib.rs or main.rs above it.
    root: usize,
    children: BTreeMap<String, usize>,
    names: BTreeMap<String, Binding>,
    globs: Vec<Vec<String>>,
    pub mentions: Vec<Mention>,
    pub words: Vec<Word>,
}

impl Module {
    /// Whether a `use` line of the module brings this name.
    #[must_use]
    pub fn imports(&self, name: &str) -> bool {
        matches!(self.names.get(name), Some(Binding::Imported(_)))
    }
}

/// What a name of a module stands for.
enum Binding {
    Defined,
    Imported(Vec<String>),
}

/// A path that is written somewhere.
pub struct Mention {
    pub path: Vec<String>,
    pub line: usize,
    pub is_test: bool,
    pub kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Import,
    /// An import that others may use: by itself no use of what it names.
    ReExport,
    /// `use path::*`: what it brings is followed from the names that are used.
    Glob,
    Code,
}

/// A single word of the code.
pub struct Word {
    pub what: What,
    pub line: usize,
    pub is_test: bool,
}

#[derive(PartialEq, Eq)]
pub enum What {
    Identifier(String),
    /// A field or a method, behind a dot.
    Member(String),
    /// The name of a macro that is called.
    Macro(String),
    Text(String),
    Bytes(Vec<u8>),
}

/// Where a path leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    Module(usize),
    /// Something that a module defines, by its name.
    Item(usize, String),
    /// Another crate's, or nothing that is known.
    Outside(Vec<String>),
}

impl Crate {
    /// Reads each of `roots`, which are beneath `repository`, and the modules below it. The first
    /// is the library, which the others know as `name`.
    pub fn read(repository: &Path, name: &str, roots: &[PathBuf]) -> Result<Self, String> {
        let mut source = Crate {
            name: name.replace('-', "_"),
            ..Default::default()
        };
        for path in roots {
            source.read_root(repository, path)?;
        }
        Ok(source)
    }

    /// `src/lib.rs`, `src/main.rs` and `src/bin/*.rs` of `directory`, as far as they are there.
    pub fn roots(repository: &Path, directory: &str) -> Vec<PathBuf> {
        let src = Path::new(directory).join("src");
        let mut roots = vec![src.join("lib.rs"), src.join("main.rs")];
        roots.extend(programs(repository, &src.join("bin")));
        roots.retain(|path| repository.join(path).is_file());
        roots
    }

    fn read_root(&mut self, repository: &Path, path: &Path) -> Result<(), String> {
        let root = self.modules.len();
        let place = Place {
            repository,
            directory: path.parent().unwrap_or(Path::new("")).to_owned(),
            root,
            is_test: false,
        };
        self.read_file(&place, path, Vec::new(), None)?;
        Ok(())
    }

    fn read_file(
        &mut self,
        place: &Place,
        path: &Path,
        module: Vec<String>,
        parent: Option<usize>,
    ) -> Result<usize, String> {
        let full = place.repository.join(path);
        let text = fs::read_to_string(&full).map_err(|why| format!("{}: {why}", path.display()))?;
        let parsed = syn::parse_file(&text).map_err(|why| {
            let line = why.span().start().line;
            format!("{}:{line}: {why}", path.display())
        })?;
        let file = self.files.len();
        self.files.push(File {
            path: path.to_owned(),
            text,
            functions: Vec::new(),
        });
        self.read_module(place, file, module, parent, &parsed.items)
    }

    fn read_module(
        &mut self,
        place: &Place,
        file: usize,
        path: Vec<String>,
        parent: Option<usize>,
        items: &[Item],
    ) -> Result<usize, String> {
        let id = self.modules.len();
        self.modules.push(Module {
            path: path.clone(),
            file,
            parent,
            root: place.root,
            children: BTreeMap::new(),
            names: BTreeMap::new(),
            globs: Vec::new(),
            mentions: Vec::new(),
            words: Vec::new(),
        });
        let mut reader = Reader {
            module: &mut self.modules[id],
            functions: Vec::new(),
            types: Vec::new(),
            is_test: place.is_test,
        };
        for item in items {
            reader.visit_item(item);
        }
        let functions = std::mem::take(&mut reader.functions);
        self.files[file].functions.extend(functions);
        for item in items {
            let Item::Mod(child) = item else { continue };
            let name = child.ident.to_string();
            let name = name.strip_prefix("r#").unwrap_or(&name).to_owned();
            let mut inside = path.clone();
            inside.push(name.clone());
            let is_test = place.is_test || is_for_tests(&child.attrs);
            let below = Place {
                directory: place.directory.join(&name),
                is_test,
                ..*place
            };
            let child = if let Some((_, items)) = &child.content {
                self.read_module(&below, file, inside, Some(id), items)?
            } else {
                let (path, below) = place_of(place, &self.files[file].path, &name, &child.attrs)?;
                let below = Place { is_test, ..below };
                self.read_file(&below, &path, inside, Some(id))?
            };
            self.modules[id].children.insert(name, child);
        }
        Ok(id)
    }

    /// Where `path`, written in `module`, leads.
    pub fn resolve(&self, module: usize, path: &[String]) -> Target {
        self.follow(module, path, &mut BTreeSet::new())
    }

    fn follow(&self, from: usize, path: &[String], seen: &mut BTreeSet<(usize, String)>) -> Target {
        let Some(first) = path.first() else {
            return Target::Outside(Vec::new());
        };
        let module = &self.modules[from];
        let mut target = match first.as_str() {
            "crate" => Target::Module(module.root),
            "self" => Target::Module(from),
            "super" => Target::Module(module.parent.unwrap_or(from)),
            name if *name == self.name && module.root != 0 => Target::Module(0),
            name => match self.look_up(from, name, seen) {
                Some(target) => target,
                None => return Target::Outside(path.to_vec()),
            },
        };
        for part in &path[1..] {
            target = match target {
                Target::Module(at) if part == "super" => {
                    Target::Module(self.modules[at].parent.unwrap_or(at))
                }
                Target::Module(at) if part == "self" => Target::Module(at),
                Target::Module(at) => self
                    .look_up(at, part, seen)
                    .unwrap_or_else(|| Target::Item(at, part.clone())),
                Target::Item(..) => break,
                Target::Outside(mut path) => {
                    path.push(part.clone());
                    Target::Outside(path)
                }
            };
        }
        target
    }

    fn look_up(
        &self,
        at: usize,
        name: &str,
        seen: &mut BTreeSet<(usize, String)>,
    ) -> Option<Target> {
        let module = &self.modules[at];
        if let Some(&child) = module.children.get(name) {
            return Some(Target::Module(child));
        }
        // `use log::log` names itself; so may two modules that import each other's everything.
        if !seen.insert((at, name.to_owned())) {
            return None;
        }
        let found = match module.names.get(name) {
            Some(Binding::Defined) => Some(Target::Item(at, name.to_owned())),
            Some(Binding::Imported(path)) => Some(self.follow(at, path, seen)),
            None => module.globs.iter().find_map(|path| {
                let Target::Module(of) = self.follow(at, path, seen) else {
                    return None;
                };
                self.look_up(of, name, seen)
            }),
        };
        seen.remove(&(at, name.to_owned()));
        found
    }

    /// The file where it is defined, if it is this crate's.
    pub fn file_of(&self, target: &Target) -> Option<usize> {
        match target {
            Target::Module(at) | Target::Item(at, _) => Some(self.modules[*at].file),
            Target::Outside(_) => None,
        }
    }

    /// As it would be written at the crate's root: `crate::proto::Reply`, `std::net`.
    pub fn absolute(&self, target: &Target) -> Vec<String> {
        let (at, item) = match target {
            Target::Module(at) => (*at, None),
            Target::Item(at, item) => (*at, Some(item)),
            Target::Outside(path) => return path.clone(),
        };
        let module = &self.modules[at];
        let start = std::iter::once("crate".to_owned());
        start
            .chain(module.path.iter().cloned())
            .chain(item.cloned())
            .collect()
    }

    /// `path` with what it says of its own place (`self`, `super`) put into words: as it is
    /// written, not where it leads.
    pub fn as_written(&self, module: usize, path: &[String]) -> Vec<String> {
        let mut at = &self.modules[module];
        let is_inside = |part: &String| part == "self" || part == "super";
        let ups = path.iter().take_while(|part| is_inside(part)).count();
        let mut written = Vec::new();
        if ups > 0 {
            for _ in path[..ups].iter().filter(|part| *part == "super") {
                at = at.parent.map_or(at, |parent| &self.modules[parent]);
            }
            written.push("crate".to_owned());
            written.extend(at.path.iter().cloned());
        } else if path.first().is_some_and(|part| *part == self.name) {
            written.push("crate".to_owned());
            written.extend(path[1..].iter().cloned());
            return written;
        }
        written.extend(path[ups..].iter().cloned());
        written
    }
}

/// Each program of a directory of tests, examples or binaries: a file, or a folder with a main.rs.
pub fn programs(repository: &Path, directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(repository.join(directory)) else {
        return found;
    };
    for entry in entries.flatten() {
        let path = directory.join(entry.file_name());
        if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        } else if repository.join(&path).join("main.rs").is_file() {
            found.push(path.join("main.rs"));
        }
    }
    found.sort();
    found
}

/// Where modules of a file are looked for.
struct Place<'r> {
    repository: &'r Path,
    directory: PathBuf,
    root: usize,
    is_test: bool,
}

/// The file of `mod name;`, and where that file's own modules are.
fn place_of<'r>(
    place: &Place<'r>,
    file: &Path,
    name: &str,
    attributes: &[Attribute],
) -> Result<(PathBuf, Place<'r>), String> {
    let at = |path: PathBuf, directory: PathBuf| {
        let place = Place {
            directory,
            ..*place
        };
        Ok((path, place))
    };
    if let Some(path) = attributes.iter().find_map(path_attribute) {
        let beside = file.parent().unwrap_or(Path::new("")).join(path);
        let beside = tidied(&beside);
        let directory = beside.parent().unwrap_or(Path::new("")).to_owned();
        return at(beside, directory);
    }
    let inside = place.directory.join(name);
    for path in [inside.with_extension("rs"), inside.join("mod.rs")] {
        if place.repository.join(&path).is_file() {
            return at(path, inside);
        }
    }
    Err(format!("{}: no file for mod {name}", file.display()))
}

/// Without `..`, so that a file has one name.
fn tidied(path: &Path) -> PathBuf {
    let mut tidy = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir => {
                tidy.pop();
            }
            part => tidy.push(part),
        }
    }
    tidy
}

fn path_attribute(attribute: &Attribute) -> Option<String> {
    let syn::Meta::NameValue(pair) = &attribute.meta else {
        return None;
    };
    match &pair.value {
        syn::Expr::Lit(syn::ExprLit {
            lit: syn::Lit::Str(text),
            ..
        }) if pair.path.is_ident("path") => Some(text.value()),
        _ => None,
    }
}

/// `#[test]`, `#[cfg(test)]` or `#[cfg(all(test, …))]`.
fn is_for_tests(attributes: &[Attribute]) -> bool {
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
