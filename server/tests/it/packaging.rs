//! What is packaged is what the command line says today, and the unit is one that systemd
//! takes.

#[path = "../../examples/generate.rs"]
mod generate;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::{self, tool};

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
    let sockets = dir.join("flagstone.socket");
    fs::copy(packaging().join("flagstone.socket"), &sockets).expect("is there");
    let run = |arguments: &[&str]| {
        let output = Command::new("systemd-analyze")
            .args(arguments)
            .output()
            .expect("runs");
        let text = [output.stdout, output.stderr].concat();
        (
            output.status.success(),
            String::from_utf8_lossy(&text).into_owned(),
        )
    };
    let (verified, said) = run(&[
        "verify",
        "--man=no",
        unit.to_str().expect("text"),
        sockets.to_str().expect("text"),
    ]);
    let ours: Vec<&str> = said
        .lines()
        .filter(|line| line.contains("flagstone"))
        .collect();
    assert!(verified && ours.is_empty(), "{said}");
    // 10 is a service without any protection.
    let (safe, said) = run(&[
        "security",
        "--offline=true",
        "--threshold=20",
        unit.to_str().expect("text"),
    ]);
    assert!(safe, "{said}");
    let _ = fs::remove_dir_all(&dir);
}

#[test]
fn a_package_for_debian_has_what_runs_and_what_it_needs() {
    let test = "a_package_for_debian_has_what_runs_and_what_it_needs";
    if tool::find("dpkg-deb").is_none() {
        return tool::skip(test, "dpkg-deb is not installed (apt-get install dpkg)");
    }
    let dir = std::env::temp_dir().join(format!("flagstone-deb-{}", std::process::id()));
    let build = || {
        let mut script = Command::new(tool::root().join("scripts/build-deb"));
        script.args(["--binary", env!("CARGO_BIN_EXE_flagstone")]);
        script
            .arg("--output")
            .arg(&dir)
            .env("SOURCE_DATE_EPOCH", "1700000000");
        let said = tool::succeed(&mut script, common::PATIENCE);
        PathBuf::from(said.trim_end())
    };
    let package = build();
    let first = fs::read(&package).expect("is there");
    assert!(first == fs::read(build()).expect("is there"), "another one");
    let dpkg = |arguments: &[&str]| {
        let mut command = Command::new("dpkg-deb");
        command
            .arg(arguments[0])
            .arg(&package)
            .args(&arguments[1..]);
        tool::succeed(&mut command, common::PATIENCE)
    };
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(dpkg(&["--field", "Version"]).trim_end(), version);
    assert!(dpkg(&["--field", "Depends"]).starts_with("libc6 (>= 2."));
    let tree = dir.join("tree");
    dpkg(&["--extract", tree.to_str().expect("text")]);
    let run = |arguments: &[&str]| {
        let mut binary = Command::new(tree.join("usr/bin/flagstone"));
        tool::succeed(binary.args(arguments), common::PATIENCE)
    };
    assert!(run(&["--version"]).contains(version));
    let settings = tree.join("etc/flagstone.toml");
    run(&[
        "--check-config",
        "--config",
        settings.to_str().expect("text"),
    ]);
    // The sockets are where the settings have the places: by default.
    let sockets = fs::read_to_string(tree.join("usr/lib/systemd/system/flagstone.socket"));
    let sockets = sockets.expect("is there");
    let places = sockets
        .lines()
        .filter_map(|line| line.strip_prefix("ListenStream="));
    let shown = run(&["--print-config"]);
    for place in places {
        assert!(shown.contains(place), "{place} in {shown}");
    }
    // What the unit starts, and what it refers to.
    let unit = fs::read_to_string(tree.join("usr/lib/systemd/system/flagstone.service"));
    let unit = unit.expect("is there");
    for named in ["/usr/bin/flagstone", "/etc/flagstone.toml"] {
        assert!(unit.contains(named) && tree.join(&named[1..]).is_file());
    }
    for file in [
        "usr/lib/systemd/system/flagstone.socket",
        "usr/share/man/man1/flagstone.1.gz",
        "usr/share/bash-completion/completions/flagstone",
        "usr/share/fish/vendor_completions.d/flagstone.fish",
        "usr/share/zsh/vendor-completions/_flagstone",
        "usr/share/doc/flagstone/copyright",
        "usr/share/doc/flagstone/changelog.gz",
        "usr/share/doc/flagstone/examples/flagstone.rules.yaml",
    ] {
        let bytes = fs::metadata(tree.join(file)).map_or(0, |about| about.len());
        assert!(bytes > 0, "{file}");
    }
    let _ = fs::remove_dir_all(&dir);
}
