//! Goal: the repository keeps its rules, and each rule would notice.
//! Method: the rules on the repository itself; then, for each, a small tree of sources that breaks
//! it and one that keeps it. What is found is compared by file, line and rule.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use xtask::absences::{self, Absence, Never};
use xtask::debts::Debts;
use xtask::dependencies::{self, Unnamed};
use xtask::source::{Crate, Target};
use xtask::{Finding, circles, lengths, repository};

#[test]
fn the_repository_keeps_its_rules() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = root.parent().expect("a workspace");
    let debts = repository::debts(root).expect("can be read");
    let findings = repository::check(root, &debts).expect("can be read");
    let lines: Vec<String> = findings.iter().map(Finding::to_string).collect();
    assert!(lines.is_empty(), "\n{}", lines.join("\n"));
}

/// A repository with one crate in `c`, gone with the test.
struct Tree(PathBuf);

impl Tree {
    fn new(files: &[(&str, &str)]) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let no = COUNT.fetch_add(1, Relaxed);
        let id = std::process::id();
        let tree = Tree(std::env::temp_dir().join(format!("xtask-{id}-{no}")));
        for (path, text) in files {
            let path = tree.0.join(path);
            let directory = path.parent().expect("a directory");
            fs::create_dir_all(directory).expect("can be made");
            fs::write(path, text).expect("writable");
        }
        tree
    }

    fn read(&self) -> Crate {
        Crate::read(&self.0, "c", &Crate::roots(&self.0, "c")).expect("parses")
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What is found, as `file:line`.
fn places(findings: &[Finding]) -> Vec<String> {
    let place = |it: &Finding| format!("{}:{}", it.file.display(), it.line);
    findings.iter().map(place).collect()
}

fn expect(what: &str, findings: &[Finding], expected: &[&str]) {
    let shown: Vec<String> = findings.iter().map(Finding::to_string).collect();
    assert_eq!(places(findings), expected, "{what}: {shown:#?}");
}

// Circles.

/// Four files, each of which names the next, in as many ways as there are.
const CIRCLE: [(&str, &str); 5] = [
    ("c/src/lib.rs", "mod a;\nmod b;\nmod d;\nmod e;\n"),
    ("c/src/a.rs", "use crate::b::{self, B};\npub struct A(B);\n"),
    (
        "c/src/b.rs",
        "pub struct B;\nfn f() {\n    super::d::d();\n}\n",
    ),
    (
        "c/src/d/mod.rs",
        "pub fn d() {\n    assert!(crate::e::E > 0);\n}\n",
    ),
    (
        "c/src/e.rs",
        "pub const E: usize = size_of::<crate::a::A>();\n",
    ),
];

#[test]
fn a_circle_of_four_files_is_found() {
    let findings = circles::check(&Tree::new(&CIRCLE).read(), &Debts::none());
    expect("circle", &findings, &["c/src/a.rs:1"]);
    let message = &findings[0].message;
    for step in [
        "4 files",
        "c/src/a.rs:1 names c/src/b.rs",
        "c/src/b.rs:3 names c/src/d/mod.rs",
        "c/src/d/mod.rs:2 names c/src/e.rs",
        "c/src/e.rs:1 names c/src/a.rs",
    ] {
        assert!(message.contains(step), "{step}: {message}");
    }
}

#[test]
fn what_makes_no_circle() {
    let table: &[(&str, &[(&str, &str)])] = &[
        (
            "three files",
            &[
                ("c/src/e.rs", ""),
                ("c/src/d/mod.rs", "pub fn d(_: crate::a::A) {}"),
            ],
        ),
        (
            "only a test names it",
            &[(
                "c/src/e.rs",
                "#[cfg(test)]\nmod tests {\n    use crate::a::A;\n}\npub const E: u8 = 1;",
            )],
        ),
        (
            "only documentation names it",
            &[(
                "c/src/e.rs",
                "//! As [`crate::a::A`] has it.\npub const E: u8 = 1;",
            )],
        ),
        (
            "only a re-export names it",
            &[("c/src/e.rs", "pub use crate::a::A;\npub const E: u8 = 1;")],
        ),
        (
            "a variable has the name of a module",
            &[(
                "c/src/e.rs",
                "pub const E: u8 = 1;\nfn f(a: u8) -> u8 {\n    a\n}",
            )],
        ),
    ];
    for (what, changed) in table {
        let mut files = CIRCLE.to_vec();
        for change in *changed {
            let file = files.iter_mut().find(|file| file.0 == change.0);
            *file.expect("one of the circle's") = *change;
        }
        let findings = circles::check(&Tree::new(&files).read(), &Debts::none());
        expect(what, &findings, &[]);
    }
}

/// Through a `mod.rs` that only passes names on, what is named is the file behind it.
#[test]
fn a_facade_ties_nothing_together() {
    let files = [
        ("c/src/lib.rs", "mod f;\nmod x;\nmod y;\n"),
        (
            "c/src/f/mod.rs",
            "mod p;\nmod q;\npub use p::P;\npub use q::*;\n",
        ),
        ("c/src/f/p.rs", "pub struct P;\n"),
        ("c/src/f/q.rs", "pub struct Q(super::P);\n"),
        ("c/src/x.rs", "use crate::f::{P, Q};\nfn f(_: P, _: Q) {}\n"),
        ("c/src/y.rs", "pub use crate::x::g as h;\n"),
    ];
    let source = Tree::new(&files).read();
    expect("facade", &circles::check(&source, &Debts::none()), &[]);
    let module = |path: &str| {
        let found = source
            .modules
            .iter()
            .position(|it| it.path.join("::") == path);
        found.expect("a module")
    };
    let path = |path: &str| -> Vec<String> { path.split("::").map(str::to_owned).collect() };
    let table = [
        (
            "x",
            "crate::f::P",
            Target::Item(module("f::p"), "P".to_owned()),
        ),
        ("x", "Q", Target::Item(module("f::q"), "Q".to_owned())),
        (
            "f::q",
            "super::P::new",
            Target::Item(module("f::p"), "P".to_owned()),
        ),
        ("f::q", "super::super::x", Target::Module(module("x"))),
        ("y", "h", Target::Item(module("x"), "g".to_owned())),
        ("x", "std::io::Read", Target::Outside(path("std::io::Read"))),
    ];
    for (from, named, expected) in table {
        let target = source.resolve(module(from), &path(named));
        assert_eq!(target, expected, "{named} in {from}");
    }
}

#[test]
fn a_circle_that_is_written_down_may_shrink_and_not_grow() {
    let source = Tree::new(&CIRCLE).read();
    let debts = Debts::parse("circle | c/src | 4\n").expect("parses");
    expect("as written", &circles::check(&source, &debts), &[]);
    expect("as written", &debts.paid(), &[]);
    let debts = Debts::parse("circle | c/src | 3\n").expect("parses");
    let findings = circles::check(&source, &debts);
    expect("grown", &findings, &["c/src/a.rs:1"]);
    assert!(findings[0].message.contains("allows 3"), "{findings:?}");
    let debts = Debts::parse("# A remark.\n\ncircle | c/src | 5 | why\n").expect("parses");
    expect("shrunk", &circles::check(&source, &debts), &[]);
    expect("shrunk", &debts.paid(), &["xtask/debts.txt:3"]);
    assert_eq!(debts.shrunk(), "# A remark.\n\ncircle | c/src | 4 | why\n");
}

// Absences.

fn row(never: &'static [Never], in_tests: bool) -> Absence {
    Absence {
        rule: "quiet",
        folder: "c/src/low",
        except: &[],
        never,
        in_tests,
        reason: "because",
    }
}

/// A crate whose folder `low` has `text`, beside `high`, which passes on what others define.
fn low(text: &str) -> Tree {
    Tree::new(&[
        ("c/src/lib.rs", "mod high;\nmod low;\n"),
        (
            "c/src/high/mod.rs",
            "pub mod inner;\npub use other::Thing;\n",
        ),
        (
            "c/src/high/inner.rs",
            "pub fn f() {}\npub use crate::low::deep::own;",
        ),
        ("c/src/low/mod.rs", "pub mod deep;\n"),
        ("c/src/low/deep.rs", text),
    ])
}

const NEVER: &[Never] = &[
    Never::Path("crate::high"),
    Never::Path("std::net"),
    Never::Path("other"),
    Never::Of("Codec"),
    Never::Word("Shared"),
    Never::Member("cache"),
    Never::Macro("format"),
    Never::Lines,
];

#[test]
fn what_has_no_place_is_found_however_it_is_named() {
    let table = [
        ("an import", "use crate::high::inner;"),
        ("an import of all", "use crate::high::*;"),
        ("in a group", "use std::{fmt, net::TcpStream};"),
        ("under another name", "use std::net as wires;"),
        ("a path", "fn g() { crate::high::inner::f() }"),
        ("upwards", "fn g() { super::super::high::inner::f() }"),
        ("a type", "struct S(std::net::TcpStream);"),
        ("a bound", "fn g<T: other::Trait>(_: T) {}"),
        ("a pattern", "fn g(x: u8) { if let other::ONE = x {} }"),
        ("in a macro", "fn g() { assert!(other::is_so()); }"),
        (
            "in a macro's definition",
            "macro_rules! m { () => { $crate::high::inner::f() } }",
        ),
        ("in a function", "fn g() {\nuse crate::high::inner; }"),
        (
            "in a module inside",
            "mod inside { use super::super::super::high::inner; }",
        ),
        ("in an attribute", "#[derive(other::Derive)] struct S;"),
        ("passed on", "pub use crate::high::inner;"),
        (
            "its own, by way of another",
            "use crate::high::inner::own; pub fn own() {}",
        ),
        ("a variant", "fn g() { Codec::Text; }"),
        ("a word", "fn g(_: &Shared) {}"),
        ("a field", "fn g(x: X) { x.cache; }"),
        ("a method", "fn g(x: X) { x.cache(); }"),
        ("a field in a macro", "fn g(x: X) { m!(x.cache); }"),
        ("a macro", "fn g() { format!(\"\"); }"),
        ("a macro in a macro", "fn g() { m!(format!(\"\")); }"),
        ("wording", "const W: &[u8] = b\"OK\\r\\n\";"),
        ("wording as text", "const W: &str = \"a\\n\";"),
        ("wording in a macro", "fn g() { m!(b\"\\n\"); }"),
    ];
    for (what, text) in table {
        let text = format!("//! Head.\n{text}");
        let line = if what == "in a function" { 3 } else { 2 };
        let findings = absences::check(&low(&text).read(), &[row(NEVER, true)], &Debts::none());
        let mut found = places(&findings);
        found.dedup();
        assert_eq!(
            found,
            [format!("c/src/low/deep.rs:{line}")],
            "{what}: {findings:?}"
        );
        assert!(
            findings[0].message.contains("because"),
            "{what}: {findings:?}"
        );
    }
}

#[test]
fn what_has_its_place_is_not_found() {
    let table = [
        (
            "a comment",
            "// crate::high, std::net, Shared, b\"\\n\"\nfn g() {}",
        ),
        (
            "documentation",
            "/// As [`crate::high`] has it, `x.cache`.\nfn g() {}",
        ),
        ("a text", "const W: &str = \"crate::high std::net Shared\";"),
        (
            "part of a word",
            "fn g(_: SharedThing) { x.cached; reformat!(); }",
        ),
        (
            "another module of that name",
            "mod high { pub fn f() {} } fn g() { high::f() }",
        ),
        ("the type itself", "fn g(_: Codec) {}"),
        ("a folder beside it", "fn g() { std::network::f() }"),
    ];
    for (what, text) in table {
        let findings = absences::check(&low(text).read(), &[row(NEVER, true)], &Debts::none());
        expect(what, &findings, &[]);
    }
}

#[test]
fn tests_may_name_it_where_the_row_says_so() {
    let text = "#[cfg(test)]\nmod tests {\n    use crate::high::inner;\n}\n#[test]\nfn t() {\n    f(b\"\\n\");\n}\n";
    let tree = low(text);
    let check = |in_tests| absences::check(&tree.read(), &[row(NEVER, in_tests)], &Debts::none());
    expect("may", &check(false), &[]);
    expect(
        "may not",
        &check(true),
        &["c/src/low/deep.rs:3", "c/src/low/deep.rs:7"],
    );
}

#[test]
fn exceptions_are_counted_for_each_file() {
    let source = low("use std::net::{TcpStream, UdpSocket};\nuse other::a;\n").read();
    let rows = [row(NEVER, true)];
    let table: &[(&str, usize, &[&str])] = &[
        ("quiet | c/src/low/deep.rs | 2\n", 0, &[]),
        ("quiet | c/src/low/deep.rs | 1\n", 2, &[]),
        ("quiet | c/src/low/deep.rs | 3\n", 0, &["xtask/debts.txt:1"]),
        ("quiet | c/src/low/gone.rs | 1\n", 2, &["xtask/debts.txt:1"]),
    ];
    for (text, found, paid) in table {
        let debts = Debts::parse(text).expect("parses");
        assert_eq!(
            absences::check(&source, &rows, &debts).len(),
            *found,
            "{text}"
        );
        expect(text, &debts.paid(), paid);
    }
}

/// A folder that was renamed would keep its rules for ever.
#[test]
fn a_rule_about_nothing_is_found() {
    let source = low("").read();
    let mut rows = [row(&[Never::Path("crate::hihg")], true)];
    rows[0].folder = "c/src/lwo";
    let findings = absences::check(&source, &rows, &Debts::none());
    assert_eq!(findings.len(), 2, "{findings:?}");
    assert!(findings[0].message.contains("c/src/lwo"), "{findings:?}");
    assert!(findings[1].message.contains("crate::hihg"), "{findings:?}");
}

#[test]
fn an_exempt_file_may_name_it() {
    let source = low("use crate::high::inner;").read();
    let mut rows = [row(NEVER, true)];
    rows[0].except = &["c/src/low/deep.rs"];
    expect(
        "exempt",
        &absences::check(&source, &rows, &Debts::none()),
        &[],
    );
}

// Lengths.

/// A function of so many lines.
fn function(name: &str, lines: usize) -> String {
    format!("fn {name}() {{\n{}}}\n", "    f();\n".repeat(lines - 2))
}

#[test]
fn long_functions_are_found() {
    let long = function("long", 101);
    let table: &[(&str, String, &[&str])] = &[
        (
            "a function",
            format!("\n/// A word.\n{long}"),
            &["c/src/lib.rs:3"],
        ),
        ("just short enough", function("short", 100), &[]),
        (
            "a method",
            format!("impl S {{\n{long}}}"),
            &["c/src/lib.rs:2"],
        ),
        (
            "a trait's own",
            format!("trait T {{\n{long}}}"),
            &["c/src/lib.rs:2"],
        ),
        (
            "in a module inside",
            format!("mod m {{\n{long}}}"),
            &["c/src/lib.rs:2"],
        ),
        ("a test", format!("#[test]\n{long}"), &[]),
        (
            "among tests",
            format!("#[cfg(test)]\nmod tests {{\n{long}}}"),
            &[],
        ),
    ];
    for (what, text, expected) in table {
        let source = Tree::new(&[("c/src/lib.rs", text)]).read();
        let findings = lengths::functions(&source, "c", &Debts::none());
        expect(what, &findings, expected);
    }
}

#[test]
fn the_table_of_long_functions_is_true() {
    let source = format!("impl S {{\n{}}}", function("long", 120));
    let source = Tree::new(&[("c/src/lib.rs", &source)]).read();
    let table: &[(&str, &[&str], &[&str])] = &[
        ("function-length | c S::long | 120\n", &[], &[]),
        // Each edit would change an exact number.
        ("function-length | c S::long | 125\n", &[], &[]),
        (
            "function-length | c S::long | 119\n",
            &["c/src/lib.rs:2"],
            &[],
        ),
        (
            "\nfunction-length | c S::gone | 130\n",
            &["c/src/lib.rs:2"],
            &["xtask/debts.txt:2"],
        ),
    ];
    for (text, found, paid) in table {
        let debts = Debts::parse(text).expect("parses");
        expect(text, &lengths::functions(&source, "c", &debts), found);
        expect(text, &debts.paid(), paid);
    }
}

#[test]
fn long_files_without_a_reason_are_found() {
    let long = "\n".repeat(500);
    let table: &[(&str, String, &[&str])] = &[
        (
            "too long",
            format!("//! Head.\n{long}"),
            &["c/src/lib.rs:1"],
        ),
        ("just short enough", long.clone(), &[]),
        (
            "with a reason",
            format!("//! Head.\n//!\n//! Long because it is a table.\n{long}"),
            &[],
        ),
        (
            "with a reason elsewhere",
            format!("//! Head.\nfn f() {{}}\n//! Long because it is hidden.\n{long}")
                .replace("\n//! Long", "\n// ! Long"),
            &["c/src/lib.rs:1"],
        ),
    ];
    for (what, text, expected) in table {
        let source = Tree::new(&[("c/src/lib.rs", text)]).read();
        expect(what, &lengths::files(&source, &Debts::none()), expected);
    }
    let source = Tree::new(&[("c/src/lib.rs", &long), ("c/src/main.rs", "")]).read();
    let debts = Debts::parse("file-length | c/src/lib.rs | 600\n").expect("parses");
    expect("no longer long", &lengths::files(&source, &debts), &[]);
    expect("no longer long", &debts.paid(), &["xtask/debts.txt:1"]);
}

// Dependencies.

const MANIFEST: &str = "\
[package]
name = \"c\"

[dependencies]
used = \"1\"

[dev-dependencies]
dev-used = { version = \"1\" }
";

#[test]
fn dependencies_that_nothing_names_are_found() {
    let table: &[(&str, &str, &str, &[&str])] = &[
        ("both used", "use used::A;", "fn f() { dev_used::f() }", &[]),
        (
            "in a macro",
            "fn f() { assert!(used::f()); }",
            "use dev_used;",
            &[],
        ),
        ("as a macro", "used::check!();", "dev_used::check!();", &[]),
        (
            "as an attribute",
            "#[used::main] fn f() {}",
            "#[derive(dev_used::D)] struct S;",
            &[],
        ),
        (
            "neither",
            "fn used() {}",
            "// dev_used::f()",
            &["c/Cargo.toml:5", "c/Cargo.toml:8"],
        ),
        (
            "only in a test, and not there",
            "#[cfg(test)]\nmod tests {\n    use used::A;\n}",
            "use dev_used::B;",
            &["c/Cargo.toml:5"],
        ),
        (
            "by the code only",
            "use used::A; use dev_used::B;",
            "",
            &["c/Cargo.toml:8"],
        ),
        (
            "by a unit test",
            "use used::A;\n#[cfg(test)]\nmod tests {\n    use dev_used::A;\n}",
            "",
            &[],
        ),
    ];
    for (what, code, test, expected) in table {
        let tree = Tree::new(&[
            ("c/Cargo.toml", MANIFEST),
            ("c/src/lib.rs", code),
            ("c/tests/it/main.rs", "mod part;"),
            ("c/tests/it/part.rs", test),
        ]);
        let findings = dependencies::check(&tree.0, "c", &[]).expect("parses");
        expect(what, &findings, expected);
    }
}

#[test]
fn exceptions_for_dependencies_are_true() {
    let tree = Tree::new(&[
        ("Cargo.toml", "[workspace]\nmembers = [\"c\"]\n"),
        (
            "c/Cargo.toml",
            "[package]\nname = \"c\"\n[target.'cfg(unix)'.dependencies]\na-b = \"1\"\n",
        ),
        ("c/src/lib.rs", ""),
    ]);
    let members = dependencies::members(&tree.0).expect("parses");
    assert_eq!(members, ["c"]);
    let check = |unnamed: &[&'static str]| {
        let row = |&dependency| Unnamed {
            member: "c",
            dependency,
            reason: "for a feature",
        };
        let unnamed: Vec<Unnamed> = unnamed.iter().map(row).collect();
        dependencies::check(&tree.0, "c", &unnamed).expect("parses")
    };
    expect("no exception", &check(&[]), &["c/Cargo.toml:4"]);
    expect("an exception", &check(&["a-b"]), &[]);
    expect(
        "one that is gone",
        &check(&["a-b", "gone"]),
        &["c/Cargo.toml:1"],
    );
    fs::write(tree.0.join("c/src/lib.rs"), "use a_b::C;").expect("writable");
    expect("one that is named", &check(&["a-b"]), &["c/Cargo.toml:4"]);
}

// What cannot be read.

#[test]
fn what_cannot_be_read_is_said_with_its_place() {
    let read = |files: &[(&str, &str)]| {
        let tree = Tree::new(files);
        let read = Crate::read(&tree.0, "c", &Crate::roots(&tree.0, "c"));
        read.err().expect("an error")
    };
    let broken = read(&[("c/src/lib.rs", "fn f() {}\nfn {")]);
    assert!(broken.starts_with("c/src/lib.rs:2: "), "{broken}");
    let missing = read(&[("c/src/lib.rs", "mod nowhere;")]);
    assert_eq!(missing, "c/src/lib.rs: no file for mod nowhere");
    let table = [
        (
            "circle | c",
            "xtask/debts.txt:1: \"circle | c\" is not `rule | place | number`",
        ),
        (
            "a | b | 1\na | b | 2",
            "xtask/debts.txt:2: \"a | b | 2\" stands there twice",
        ),
    ];
    for (text, expected) in table {
        assert_eq!(Debts::parse(text).err().as_deref(), Some(expected));
    }
}

// Protocols.

/// A server's protocols and what they share, of which none names another.
const PROTOCOLS: [(&str, &str); 16] = [
    ("server/src/lib.rs", "mod proto;\n"),
    (
        "server/src/proto/mod.rs",
        "pub mod native;\npub mod memcache;\npub mod binary;\npub mod resp;\nmod codec;\nmod command;\nmod format;\n\
         mod inside;\nmod plain;\nmod sniff;\nmod scan;\n",
    ),
    (
        "server/src/proto/native/mod.rs",
        "mod decode;\npub struct N;\n",
    ),
    ("server/src/proto/native/decode.rs", ""),
    ("server/src/proto/memcache/mod.rs", "pub struct N;\n"),
    ("server/src/proto/binary/mod.rs", "pub struct N;\n"),
    ("server/src/proto/resp/mod.rs", "pub struct N;\n"),
    (
        "server/src/proto/codec.rs",
        "use super::{native, resp};\nfn f(_: native::N, _: resp::N) {}\n",
    ),
    ("server/src/proto/command.rs", ""),
    ("server/src/proto/format.rs", ""),
    ("server/src/proto/inside.rs", ""),
    ("server/src/proto/plain.rs", "mod lane;\nmod list;\n"),
    ("server/src/proto/plain/lane.rs", ""),
    ("server/src/proto/plain/list.rs", ""),
    ("server/src/proto/sniff.rs", ""),
    ("server/src/proto/scan.rs", ""),
];

/// What the repository's own rows find when the file at `path` has `text`.
fn protocols(path: &str, text: &str) -> Vec<Finding> {
    let mut files = PROTOCOLS.to_vec();
    let file = files.iter_mut().find(|file| file.0 == path);
    file.expect("a file of the tree").1 = text;
    let tree = Tree::new(&files);
    let roots = Crate::roots(&tree.0, "server");
    let source = Crate::read(&tree.0, "server", &roots).expect("parses");
    let found = absences::check(&source, repository::SERVER, &Debts::none());
    let is_of_it = |finding: &Finding| finding.rule == "protocols-stand-alone";
    found.into_iter().filter(is_of_it).collect()
}

#[test]
fn a_protocol_that_names_another_is_found() {
    let names = ["native", "memcache", "binary", "resp"];
    for one in names {
        let path = format!("server/src/proto/{one}/mod.rs");
        let begin = if one == "native" { "mod decode;" } else { "" };
        for other in names {
            let expected: &[&str] = if one == other {
                &[]
            } else {
                &[&format!("{path}:2")]
            };
            let ways = [
                format!("{begin}\nuse crate::proto::{other}::N as O;\npub struct N;\n"),
                format!("{begin}\nfn f(_: super::{other}::N) {{}}\npub struct N;\n"),
                format!(
                    "{begin}\n#[cfg(test)] mod tests {{ use crate::proto::{other}::N; }}\npub struct N;\n"
                ),
            ];
            for text in ways {
                expect(&text, &protocols(&path, &text), expected);
            }
        }
    }
    let path = "server/src/proto/native/decode.rs";
    let found = protocols(path, "use super::super::resp::N;\n");
    expect(
        "a file inside",
        &found,
        &["server/src/proto/native/decode.rs:1"],
    );
}

#[test]
fn what_protocols_share_names_none_but_where_one_is_added() {
    let text = "use super::binary::N;\n";
    let path = "server/src/proto/scan.rs";
    expect(
        path,
        &protocols(path, text),
        &["server/src/proto/scan.rs:1"],
    );
    let path = "server/src/proto/sniff.rs";
    expect(path, &protocols(path, text), &[]);
}
