//! Prints where this repository breaks its own rules.

use std::path::Path;
use std::process::ExitCode;

use xtask::{debts, repository};

const USAGE: &str = "\
usage: cargo xtask [--shrink]

Checks imports, absences, lengths and dependencies, as xtask/src/repository.rs lists them.
--shrink lowers the numbers of xtask/debts.txt to what is found, and raises none.";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let shrinks = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => false,
        ["--shrink"] => true,
        ["--help" | "-h"] => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(shrinks) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("xtask: {why}");
            ExitCode::FAILURE
        }
    }
}

/// Whether the rules are kept.
fn run(shrinks: bool) -> Result<bool, String> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = manifest.parent().unwrap_or(manifest);
    if shrinks {
        let debts = repository::debts(root)?;
        repository::check(root, &debts)?;
        let file = root.join(debts::FILE);
        std::fs::write(&file, debts.shrunk()).map_err(|why| format!("{}: {why}", debts::FILE))?;
    }
    let findings = repository::check(root, &repository::debts(root)?)?;
    for finding in &findings {
        println!("{finding}");
    }
    if !findings.is_empty() {
        println!("{} findings", findings.len());
    }
    Ok(findings.is_empty())
}
