//! Goal: GUARANTEES.md names tests that are there, and no page links to what is not.
//! Method: each line of its tables is read for files in backticks, and for functions after
//! them; each page for its links.

use std::fs;
use std::path::Path;

#[test]
fn every_promise_names_a_test_that_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = fs::read_to_string(root.join("GUARANTEES.md")).expect("the page");
    let mut count = 0;
    for line in page.lines().filter(|line| line.starts_with("| ")) {
        // The test is in the second column, and what is in backticks has odd numbers.
        let cell = line.split(" | ").nth(1).unwrap_or_else(|| panic!("{line}"));
        let quoted = cell.split('`').skip(1).step_by(2);
        let mut text = None;
        for word in quoted {
            if word.ends_with(".rs") {
                if word.contains('*') {
                    continue;
                }
                let file = fs::read_to_string(root.join(word));
                text = Some(file.unwrap_or_else(|error| panic!("{word}: {error}")));
            } else {
                let text = text.as_ref().unwrap_or_else(|| panic!("no file in {line}"));
                assert!(
                    text.contains(&format!("#[test]\nfn {word}()")),
                    "no test {word}: {line}"
                );
                count += 1;
            }
        }
    }
    assert!(count > 20, "only {count} tests are named");
}

#[test]
fn pages_link_to_what_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut pages: Vec<String> = [
        "README.md",
        "GUARANTEES.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "DESIGN.md",
        "SECURITY.md",
        "k8s/README.md",
        "loadtest/README.md",
    ]
    .map(str::to_owned)
    .to_vec();
    for folder in ["docs", "docs/decisions"] {
        let entries = fs::read_dir(root.join(folder)).expect(folder);
        let names = entries.map(|entry| entry.expect("readable").file_name());
        let names = names.filter_map(|name| name.into_string().ok());
        pages.extend(
            names
                .filter(|name| name.ends_with(".md"))
                .map(|name| format!("{folder}/{name}")),
        );
    }
    let mut count = 0;
    for page in pages {
        let path = root.join(&page);
        let text = fs::read_to_string(&path).expect(&page);
        for link in text.split("](").skip(1) {
            let target = link.split(')').next().unwrap_or_default();
            if target.contains("://") {
                continue;
            }
            let target = path.with_file_name(target.split('#').next().unwrap_or_default());
            assert!(target.exists(), "{page} links to {}", target.display());
            count += 1;
        }
    }
    assert!(count > 10, "only {count} links");
}
