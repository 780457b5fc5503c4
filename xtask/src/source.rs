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

mod reader;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use syn::{Attribute, Item};

use reader::is_for_tests;

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
        let functions = reader::read(&mut self.modules[id], place.is_test, items);
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
