//! Goal: a file of the engine can be understood with what lies beneath it. No more than three files need one another in
//! a circle.
//!
//! Method: the paths in `use` lines and in the code (`crate::…`, `super::…`, `self::…`) are followed to the files that
//! they lead into; unit tests and comments are left out. The crate's root is, too: it takes what it exports from everywhere.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The most files in a circle: ways to do the same thing for several machines, and what chooses between them.
const CIRCLE_MAX: usize = 3;

type Module = Vec<String>;

/// Every file by the module that it is, without tests and comments.
fn sources(dir: &Path, module: &Module, found: &mut BTreeMap<Module, String>) {
    for entry in fs::read_dir(dir).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        let stem = path.file_stem().expect("a name").to_string_lossy();
        let mut inner = module.clone();
        if !matches!(&*stem, "mod" | "lib") {
            inner.push(stem.into_owned());
        }
        if path.is_dir() {
            sources(&path, &inner, found);
            continue;
        }
        let text = fs::read_to_string(&path).expect("text");
        let code = text
            .split("#[cfg(test)]\nmod tests")
            .next()
            .expect("a part");
        let lines = code
            .lines()
            .map(|line| line.split("//").next().expect("a part"));
        found.insert(inner, lines.collect::<Vec<_>>().join("\n"));
    }
}

/// The paths that a tree of imports stands for, `a::{b, c::d}`.
fn paths_of(tree: &str, before: &str, paths: &mut Vec<String>) {
    let Some((head, rest)) = tree.split_once('{') else {
        let path = tree.split(" as ").next().expect("a part").trim();
        paths.push(format!("{before}{path}"));
        return;
    };
    let before = format!("{before}{}", head.trim());
    let inner = rest.rsplit_once('}').expect("a closing brace").0;
    let (mut depth, mut begun) = (0, 0);
    for (at, byte) in inner.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            b',' if depth == 0 => {
                paths_of(&inner[begun..at], &before, paths);
                begun = at + 1;
            }
            _ => {}
        }
    }
    paths_of(&inner[begun..], &before, paths);
}

/// All paths in a file, and of those which it hands on to others.
fn paths_in(code: &str) -> (Vec<String>, Vec<String>) {
    let (mut all, mut exported) = (Vec::new(), Vec::new());
    let (mut rest, mut body) = (code, String::new());
    while let Some(at) = rest.find("use ") {
        let begins = at == 0 || !rest.as_bytes()[at - 1].is_ascii_alphanumeric();
        let line = rest[..at].rsplit('\n').next().expect("a part").trim();
        let end = rest[at..].find(';').map(|len| at + len);
        match end {
            Some(end) if begins && (line.is_empty() || line.starts_with("pub")) => {
                let mut paths = Vec::new();
                paths_of(&rest[at + 4..end], "", &mut paths);
                if !line.is_empty() {
                    exported.extend(paths.iter().cloned());
                }
                all.append(&mut paths);
                body.push_str(&rest[..at]);
                rest = &rest[end..];
            }
            _ => {
                body.push_str(&rest[..at + 4]);
                rest = &rest[at + 4..];
            }
        }
    }
    body.push_str(rest);
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | ':');
    let inline = body
        .split(|c| !is_part(c))
        .filter(|path| path.contains("::"));
    all.extend(inline.map(str::to_owned));
    (all, exported)
}

struct Crate {
    paths: BTreeMap<Module, (Vec<String>, Vec<String>)>,
}

impl Crate {
    /// The module into whose file `path` leads from `from`.
    fn target(&self, from: &Module, path: &str, depth: usize) -> Option<Module> {
        let mut parts = path.split("::").peekable();
        let mut at = match *parts.peek()? {
            "crate" => Module::new(),
            "self" | "super" => from.clone(),
            child => {
                let inner = [from.as_slice(), &[child.to_owned()]].concat();
                self.paths.contains_key(&inner).then(|| from.clone())?
            }
        };
        while let Some(part) = parts.next_if(|part| matches!(*part, "crate" | "self" | "super")) {
            if part == "super" {
                at.pop();
            }
        }
        for part in parts {
            let inner = [at.as_slice(), &[part.to_owned()]].concat();
            if self.paths.contains_key(&inner) {
                at = inner;
                continue;
            }
            // What it hands on leads to where that stands.
            let ends = format!("::{part}");
            let mut exported = self.paths[&at].1.iter();
            let on = exported
                .find(|path| path.ends_with(&ends))
                .filter(|_| depth < 5);
            return on
                .and_then(|path| self.target(&at, path, depth + 1))
                .or(Some(at));
        }
        Some(at)
    }

    fn needed_by(&self, module: &Module) -> BTreeSet<Module> {
        let paths = self.paths[module].0.iter();
        let targets = paths.filter_map(|path| self.target(module, path, 0));
        targets
            .filter(|target| target != module && !target.is_empty())
            .collect()
    }
}

/// What can be reached from a file, itself only by a circle.
fn reach<'a>(
    needs: &'a BTreeMap<&Module, BTreeSet<Module>>,
    from: &'a Module,
) -> BTreeSet<&'a Module> {
    let (mut seen, mut left) = (BTreeSet::new(), vec![from]);
    while let Some(module) = left.pop() {
        left.extend(needs[module].iter().filter(|&next| seen.insert(next)));
    }
    seen
}

#[test]
fn few_files_need_one_another() {
    let mut found = BTreeMap::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    sources(&root, &Module::new(), &mut found);
    let paths = found
        .iter()
        .map(|(module, code)| (module.clone(), paths_in(code)));
    let all = Crate {
        paths: paths.collect(),
    };
    let needs: BTreeMap<_, _> = all
        .paths
        .keys()
        .map(|module| (module, all.needed_by(module)))
        .collect();
    let edges: usize = needs.values().map(BTreeSet::len).sum();
    assert!(
        needs.len() > 60 && edges > 300,
        "{} files, {edges} imports: where are they?",
        needs.len()
    );
    let reached: BTreeMap<_, _> = needs
        .keys()
        .map(|&module| (module, reach(&needs, module)))
        .collect();
    for (module, seen) in &reached {
        let circle = seen
            .iter()
            .filter(|other| reached[**other].contains(module))
            .count();
        assert!(
            circle <= CIRCLE_MAX,
            "{module:?} is in a circle of {circle} files"
        );
    }
}
