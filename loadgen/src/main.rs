//! The binary `flagstone-bench`: flags in, a report out.
//!
//! Exit codes: 0 for a run without a fault, 1 for one with wrong values, refusals or a failure,
//! 2 for flags that cannot work.

use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use flagstone_bench::cli::Flags;
use flagstone_bench::{Failure, Report, Settings, detect};

const EXIT_FAILED: u8 = 1;
const EXIT_USAGE: u8 = 2;

/// What is shown and written, of one server or of several.
struct Forms {
    table: String,
    json: String,
    html: String,
    /// What ended it before its time.
    ended_early: Vec<String>,
    is_faultless: bool,
}

fn main() -> ExitCode {
    let flags = Flags::parse();
    let servers = match flags.settings(detect::protocol) {
        Ok(servers) => servers,
        Err(sentence) => return refuse(&sentence, EXIT_USAGE),
    };
    let forms = match measure(&servers) {
        Ok(forms) => forms,
        Err(failure) => return refuse(&failure, EXIT_FAILED),
    };
    print!("{}", forms.table);
    let json = save(flags.json.as_deref(), &forms.json);
    let html = save(flags.html.as_deref(), &forms.html);
    if let Err(sentence) = json.and(html) {
        return refuse(&sentence, EXIT_FAILED);
    }
    for words in &forms.ended_early {
        refuse(words, EXIT_FAILED);
    }
    if forms.is_faultless {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(EXIT_FAILED)
    }
}

fn measure(servers: &[Settings]) -> Result<Forms, Failure> {
    if let [one] = servers {
        let report = flagstone_bench::run(one, true)?;
        let early = report.ended_early.as_ref();
        return Ok(Forms {
            table: report.table(),
            json: report.json(),
            html: report.html(),
            ended_early: early
                .map(|words| format!("ended early, {words}"))
                .into_iter()
                .collect(),
            is_faultless: report.is_faultless(),
        });
    }
    let comparison = flagstone_bench::compare(servers, true)?;
    let early = |report: &Report| {
        let words = report.ended_early.as_ref()?;
        Some(format!("{} ended early, {words}", report.name))
    };
    Ok(Forms {
        table: comparison.table(),
        json: comparison.json(),
        html: comparison.html(),
        ended_early: comparison.reports.iter().filter_map(early).collect(),
        is_faultless: comparison.reports.iter().all(Report::is_faultless),
    })
}

fn save(path: Option<&Path>, text: &str) -> Result<(), String> {
    let Some(path) = path else { return Ok(()) };
    std::fs::write(path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

fn refuse(why: &dyn std::fmt::Display, code: u8) -> ExitCode {
    eprintln!("flagstone-bench: {why}");
    ExitCode::from(code)
}
