//! Goal: what the pages name is there. A page that is read is believed, and nobody compiles it.
//! Method: each flag, variable, metric, file and heading that a page of this repository names is looked
//! for where it would come from: the command line's own definition, the source that prints the metrics,
//! the scripts, the directory. What a sentence says about them is read by people.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use crate::common::tool::root;
use flagstone_server::settings::flags;

/// All files under `directory` whose name ends so.
fn files(directory: &str, ends: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut left = vec![root().join(directory)];
    while let Some(path) = left.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(&path).expect("readable");
            left.extend(entries.map(|entry| entry.expect("readable").path()));
        } else if ends.iter().any(|end| path.to_string_lossy().ends_with(end)) {
            found.push(path);
        }
    }
    assert!(!found.is_empty(), "nothing under {directory}");
    found.sort();
    found
}

/// The pages, each with its text.
fn pages() -> Vec<(PathBuf, String)> {
    let mut paths: Vec<PathBuf> = fs::read_dir(root())
        .expect("readable")
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.extension().is_some_and(|end| end == "md"))
        .collect();
    for directory in ["docs", "k8s", "loadtest", "engine", "benches", "packaging"] {
        let ends = [".md", ".yaml", ".yml", ".toml"];
        paths.extend(
            files(directory, &ends).into_iter().filter(|path| {
                !path.ends_with("Cargo.toml") && !path.ends_with("instructions.toml")
            }),
        );
    }
    let page = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("text");
        (path, text)
    };
    paths.into_iter().map(page).collect()
}

/// The words of `text` that begin with `start` and go on with characters that `goes_on` likes.
fn words<'t>(
    text: &'t str,
    start: &'t str,
    goes_on: fn(char) -> bool,
) -> impl Iterator<Item = &'t str> {
    text.match_indices(start).filter_map(move |(at, _)| {
        let before = text[..at].chars().next_back();
        let rest = &text[at..];
        let len = rest.find(|char| !goes_on(char)).unwrap_or(rest.len());
        let word = rest[..len].trim_end_matches(['-', '_']);
        let is_whole = !before.is_some_and(goes_on);
        (is_whole && word.len() > start.len()).then_some(word)
    })
}

fn is_of_flag(char: char) -> bool {
    char.is_ascii_lowercase() || char.is_ascii_digit() || char == '-'
}

/// Flags of programs that are not ours.
const OF_OTHERS: &[&str] = &[
    // cargo
    "--all",
    "--all-targets",
    "--bench",
    "--bin",
    "--example",
    "--features",
    "--locked",
    "--package",
    "--path",
    "--release",
    "--test",
    "--workspace",
    // systemctl
    "--now",
    // helm
    "--install",
    "--set",
    "--values",
    // docker
    "--cap-drop",
    "--read-only",
    "--ulimit",
    // kubectl
    "--image",
    "--kustomize",
    "--restart",
    "--rm",
    "--subresource",
    // nutcracker
    "--conf-file",
    "--mbuf-size",
    // locust, which scripts/loadtest hands them to
    "--locustfile",
    "--processes",
    "--run-time",
    "--spawn-rate",
    "--users",
];

#[test]
fn each_flag_is_there() {
    let command = flags::command();
    let mut known: BTreeSet<String> = OF_OTHERS.iter().map(|&flag| flag.to_owned()).collect();
    let subcommands = command.get_subcommands();
    for command in [&command].into_iter().chain(subcommands) {
        let flags = command.get_arguments().filter_map(clap::Arg::get_long);
        known.extend(flags.map(|flag| format!("--{flag}")));
    }
    known.extend(["--help", "--version"].map(str::to_owned));
    // What the other programs of this repository take stands in their sources.
    let mut sources = files("scripts", &[""]);
    sources.extend(files("loadtest", &[".py"]));
    sources.extend(files("benches", &[".rs"]));
    sources.push(root().join(".ci/run"));
    for path in sources {
        let text = fs::read_to_string(path).unwrap_or_default();
        known.extend(words(&text, "--", is_of_flag).map(str::to_owned));
    }
    // The race's flags are fields, too.
    let mut fields = files("loadgen/src", &[".rs"]);
    fields.extend(files("benches/src", &[".rs"]));
    for path in fields {
        let text = fs::read_to_string(path).expect("text");
        for part in text.split("#[arg(").skip(1) {
            let part = part
                .split_once("\n    #[arg(")
                .map_or(part, |(part, _)| part);
            let Some((_, field)) = part.split_once(")]") else {
                continue;
            };
            let name = field.trim_start().trim_start_matches("pub ");
            let name = name.split(':').next().unwrap_or_default().trim();
            known.insert(format!("--{}", name.replace('_', "-")));
        }
    }
    let mut unknown = Vec::new();
    for (path, text) in pages() {
        for flag in words(&text, "--", is_of_flag) {
            if !known.contains(flag) {
                unknown.push(format!("{}: {flag}", path.display()));
            }
        }
    }
    assert!(unknown.is_empty(), "{unknown:#?}");
}

#[test]
fn each_variable_is_a_setting() {
    let command = flags::command();
    let variables = command.get_arguments().filter_map(clap::Arg::get_env);
    let known: BTreeSet<String> = variables
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    // What Kubernetes would make of a service's name: a manifest says why it must not.
    let of_others = ["FLAGSTONE_PORT"];
    for (path, text) in pages() {
        let is_part =
            |char: char| char.is_ascii_uppercase() || char.is_ascii_digit() || char == '_';
        for name in words(&text, "FLAGSTONE_", is_part) {
            let is_known = known.contains(name) || of_others.contains(&name);
            assert!(is_known, "{}: {name}", path.display());
        }
    }
}

#[test]
fn each_metric_is_served() {
    let mut served = String::new();
    for directory in ["server/src/admin", "server/src/memory/plan.rs"] {
        for path in files(directory, &[".rs"]) {
            served += &fs::read_to_string(path).expect("text");
        }
    }
    let is_part = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '_';
    for (path, text) in pages() {
        for name in words(&text, "flagstone_", is_part) {
            // Crates, and names that stand for several.
            let is_crate = ["flagstone_engine", "flagstone_server"].contains(&name);
            let bare = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|end| name.strip_suffix(end));
            let is_served = served.contains(name) || bare.is_some_and(|name| served.contains(name));
            assert!(is_crate || is_served, "{}: {name}", path.display());
        }
    }
}

/// As GitHub makes it of a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().to_lowercase();
    let kept = kept
        .chars()
        .filter(|char| char.is_alphanumeric() || matches!(char, ' ' | '-' | '_'));
    kept.map(|char| if char == ' ' { '-' } else { char })
        .collect()
}

#[test]
fn each_link_leads_somewhere() {
    for (path, text) in pages() {
        if path.extension().is_none_or(|end| end != "md") {
            continue;
        }
        let links = text.split("](").skip(1);
        for link in links.filter_map(|rest| rest.split(')').next()) {
            if link.contains("://") || link.contains(' ') {
                continue;
            }
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => path.clone(),
                file => path.parent().expect("a directory").join(file),
            };
            let context = format!("{}: {link}", path.display());
            assert!(target.exists(), "{context}");
            if heading.is_empty() {
                continue;
            }
            let there = fs::read_to_string(&target).expect("a page");
            let mut headings = there.lines().filter(|line| line.starts_with('#'));
            let is_there = headings.any(|line| anchor(line.trim_start_matches('#')) == heading);
            assert!(is_there, "{context}: no such heading");
        }
    }
}

/// Rows of one table stand together: a blank line between them ends it.
#[test]
fn tables_are_whole() {
    for (path, text) in pages() {
        let lines: Vec<&str> = text.lines().collect();
        for (no, line) in lines.iter().enumerate() {
            let begins = line.starts_with('|') && (no == 0 || !lines[no - 1].starts_with('|'));
            let next = lines.get(no + 1).copied().unwrap_or_default();
            let is_table =
                next.starts_with("|-") || next.starts_with("| -") || next.starts_with("|:");
            assert!(
                !begins || is_table,
                "{} line {}: a row without a table",
                path.display(),
                no + 1
            );
        }
    }
}
