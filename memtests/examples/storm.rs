//! One storm by hand: `cargo run --example storm -- LIMIT_MIB CONNECTIONS [SERVER ARGUMENTS]`.
//!
//! For trying a setting, or a server under a debugger, without the rest of the suite:
//!
//! ```text
//! cargo run --package flagstone-memtests --example storm -- 16 1000 --memory 12MiB
//! ```
//!
//! Runs in a control group of its own, and prints what the tests assert.

use flagstone_memtests::load::{Abuse, HitsExpected, run};
use flagstone_memtests::socket::raise_open_files;
use flagstone_memtests::subject::Place;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let numbers = args
        .iter()
        .take(2)
        .map(|arg| arg.parse::<u64>().ok())
        .collect::<Option<Vec<_>>>();
    let Some([limit_mib, connections]) = numbers.as_deref() else {
        eprintln!("storm LIMIT_MIB CONNECTIONS [SERVER ARGUMENTS]");
        return ExitCode::from(2);
    };
    match storm(limit_mib << 20, *connections as usize, &args[2..]) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn storm(limit_bytes: u64, connections: usize, args: &[String]) -> Result<(), String> {
    raise_open_files();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let mut subject = Place::group()?.start(limit_bytes, &args)?;
    let abuse = Abuse::of(limit_bytes, connections);
    let tally = run(subject.addr, &abuse).map_err(|error| format!("the load: {error}"))?;
    println!("{tally:#?}");
    println!("{:#?}", subject.figures());
    println!("resident: {:?}", subject.resident());
    println!("{:#?}", subject.stats());
    println!("{}", subject.log());
    subject.survived()?;
    tally.verdict(HitsExpected::of(limit_bytes))
}
