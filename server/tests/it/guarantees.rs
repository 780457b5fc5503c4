//! Goal: GUARANTEES.md names tests that are there.
//! Method: each line of its tables is read for files in backticks, and for functions after them.

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
