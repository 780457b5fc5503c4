//! What is packaged is what the command line says today, and the unit is one that systemd
//! takes.

#[path = "../../examples/generate.rs"]
mod generate;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common;

fn packaging() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(generate::DIR)
}

#[test]
fn manual_and_completions_are_up_to_date() {
    let fresh = std::env::temp_dir().join(format!("flagstone-generate-{}", std::process::id()));
    fs::create_dir_all(&fresh).expect("can be made");
    let written = generate::generate(&fresh).expect("writes");
    assert_eq!(written.len(), 4);
    for path in written {
        let name = path.strip_prefix(&fresh).expect("written there");
        let expected = fs::read_to_string(&path).expect("readable");
        let kept = fs::read_to_string(packaging().join(name)).unwrap_or_default();
        assert!(
            kept == expected,
            "{} is out of date: cargo run -p flagstone-server --example generate",
            name.display()
        );
        for word in ["max-connections", "healthcheck", "slow-request"] {
            // A manual writes its dashes apart.
            assert!(
                expected.replace('\\', "").contains(word),
                "no {word} in {name:?}"
            );
        }
    }
    let _ = fs::remove_dir_all(&fresh);
}

#[test]
fn the_sample_of_settings_works_and_so_does_each_line_of_it() {
    let sample = fs::read_to_string(packaging().join("flagstone.toml")).expect("is there");
    let uncommented: String = sample
        .lines()
        .filter_map(|line| line.strip_prefix("# ").filter(|rest| rest.contains(" = ")))
        .map(|line| format!("{line}\n"))
        .collect();
    assert!(uncommented.lines().count() >= 8, "{uncommented}");
    for (name, text) in [("as-it-is", sample), ("uncommented", uncommented)] {
        let path = format!("flagstone-sample-{}-{name}.toml", std::process::id());
        let path = std::env::temp_dir().join(path);
        fs::write(&path, &text).expect("writable");
        let output = Command::new(env!("CARGO_BIN_EXE_flagstone"))
            .arg("--check-config")
            .arg("--config")
            .arg(&path)
            .output()
            .expect("runs");
        let _ = fs::remove_file(&path);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{text}{stderr}");
    }
}

#[test]
fn systemd_takes_the_unit_and_finds_it_safe() {
    let test = "systemd_takes_the_unit_and_finds_it_safe";
    if Command::new("systemd-analyze")
        .arg("--version")
        .output()
        .is_err()
    {
        return common::tool::skip(
            test,
            "systemd-analyze is not installed (apt-get install systemd)",
        );
    }
    // It wants the program to be there: a copy of the unit that names the one just built.
    let text = fs::read_to_string(packaging().join("flagstone.service")).expect("is there");
    let text = text.replace("/usr/bin/flagstone", env!("CARGO_BIN_EXE_flagstone"));
    let dir = std::env::temp_dir().join(format!("flagstone-unit-{}", std::process::id()));
    fs::create_dir_all(&dir).expect("can be made");
    let unit = dir.join("flagstone.service");
    fs::write(&unit, text).expect("writable");
    let run = |arguments: &[&str]| {
        let output = Command::new("systemd-analyze")
            .args(arguments)
            .arg(&unit)
            .output()
            .expect("runs");
        let text = [output.stdout, output.stderr].concat();
        (
            output.status.success(),
            String::from_utf8_lossy(&text).into_owned(),
        )
    };
    let (verified, said) = run(&["verify", "--man=no"]);
    let ours: Vec<&str> = said
        .lines()
        .filter(|line| line.contains("flagstone"))
        .collect();
    assert!(verified && ours.is_empty(), "{said}");
    // 10 is a service without any protection.
    let (safe, said) = run(&["security", "--offline=true", "--threshold=20"]);
    assert!(safe, "{said}");
    let _ = fs::remove_dir_all(&dir);
}
