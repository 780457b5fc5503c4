//! What the server's folders promise not to do, kept by reading its `use` lines and paths.

use std::fs;
use std::path::{Path, PathBuf};

fn sources(under: &str) -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src")
        .join(under);
    let mut found = Vec::new();
    let mut left = vec![root];
    while let Some(path) = left.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(&path).expect("readable");
            left.extend(entries.map(|entry| entry.expect("readable").path()));
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            let text = fs::read_to_string(&path).expect("readable");
            found.push((path, text));
        }
    }
    assert!(!found.is_empty(), "nothing under {under}");
    found
}

/// No line of code (comments aside) under `under` contains any of `words`.
fn assert_absent(under: &str, words: &[&str]) {
    for (path, text) in sources(under) {
        for (no, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            for word in words {
                assert!(
                    !code.contains(word),
                    "{}:{}: {word} has no place in {under}: {line}",
                    path.display(),
                    no + 1
                );
            }
        }
    }
}

#[test]
fn protocols_know_neither_engine_nor_sockets_nor_time() {
    let words = [
        "flagstone_engine",
        "tokio",
        "std::net",
        "std::io",
        "std::time",
        "crate::conn",
        "crate::net",
        "crate::server",
        "crate::execute",
    ];
    assert_absent("proto", &words);
}

#[test]
fn protocols_and_connections_do_not_allocate() {
    assert_absent("proto/native/encode.rs", &["format!"]);
    assert_absent(
        "proto/memcache/store.rs",
        &["Vec", "String", "Box", "format!"],
    );
    assert_absent("proto/native/decode.rs", &["to_vec()", "Box::new"]);
    assert_absent("conn/mod.rs", &["Vec", "String", "Box", "format!"]);
    assert_absent("conn/serve.rs", &["Vec", "String", "Box", "format!"]);
}

#[test]
fn connections_do_not_ask_which_protocol_they_speak() {
    assert_absent(
        "conn",
        &["Codec::", "proto::native", "proto::memcache", "crate::net"],
    );
}

#[test]
fn execution_knows_no_connection() {
    assert_absent("execute", &["tokio", "crate::conn", "crate::net", "Codec"]);
}

#[test]
fn admin_pages_see_snapshots_never_the_cache() {
    let words = [
        "flagstone_engine",
        "Shared",
        "Cache",
        ".cache",
        "crate::conn",
        "crate::net",
        "crate::proto",
    ];
    assert_absent("admin", &words);
}

#[test]
fn memory_knows_neither_pages_nor_logins() {
    assert_absent(
        "memory",
        &["crate::admin", "crate::auth", "crate::net", "crate::conn"],
    );
}
