//! The binary `flagstone-bench`: flags in, a report out.
//!
//! Exit codes: 0 for a run without a fault, 1 for one with wrong values, refusals or a failure,
//! 2 for flags that cannot work.

use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use flagstone_bench::cli::Flags;

const EXIT_FAILED: u8 = 1;
const EXIT_USAGE: u8 = 2;

fn main() -> ExitCode {
    let flags = Flags::parse();
    let settings = match flags.settings() {
        Ok(settings) => settings,
        Err(sentence) => return refuse(&sentence, EXIT_USAGE),
    };
    let report = match flagstone_bench::run(&settings, true) {
        Ok(report) => report,
        Err(failure) => return refuse(&failure, EXIT_FAILED),
    };
    print!("{}", report.table());
    let json = save(flags.json.as_deref(), || report.json());
    let html = save(flags.html.as_deref(), || report.html());
    if let Err(sentence) = json.and(html) {
        return refuse(&sentence, EXIT_FAILED);
    }
    if let Some(words) = &report.ended_early {
        return refuse(&format!("ended early, {words}"), EXIT_FAILED);
    }
    if report.is_faultless() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(EXIT_FAILED)
    }
}

fn save(path: Option<&Path>, form: impl Fn() -> String) -> Result<(), String> {
    let Some(path) = path else { return Ok(()) };
    std::fs::write(path, form())
        .map_err(|error| format!("cannot write {}: {error}", path.display()))
}

fn refuse(why: &dyn std::fmt::Display, code: u8) -> ExitCode {
    eprintln!("flagstone-bench: {why}");
    ExitCode::from(code)
}
