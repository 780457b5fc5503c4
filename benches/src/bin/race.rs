//! The race from the command line; `scripts/race` builds what it needs and starts it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use flagstone_bench::wire::Protocol;
use flagstone_benches::race::machine;
use flagstone_benches::race::measure::{Generator, sibling};
use flagstone_benches::race::memtier::Memtier;
use flagstone_benches::race::report::{Results, markdown, parse_instructions, plot};
use flagstone_benches::race::run::{FILLED_MIB, Runner};
use flagstone_benches::race::subject::{Kind, Subject, find, parse_protocols, subjects};
use flagstone_benches::race::table::groups;

/// Races Flagstone against floors and other servers; writes RESULTS.md and results.svg.
///
/// memcached and redis-server are found where a shell would find them; others by their flags. What
/// is not installed is not raced, and the page says so.
#[derive(Debug, Parser)]
#[command(name = "race")]
struct Flags {
    /// Two short rounds, to see that everything runs
    #[arg(long)]
    quick: bool,
    /// Rounds [default: 4, or 2 with --quick]
    #[arg(long)]
    rounds: Option<usize>,
    /// Only shapes whose name contains this
    #[arg(long, value_name = "WORDS")]
    only: Option<String>,
    /// Leave the memory tables out
    #[arg(long)]
    no_memory: bool,
    /// Another Flagstone than the one beside this program
    #[arg(long, value_name = "PATH")]
    flagstone: Option<PathBuf>,
    /// A memcached, beside the installed one; may be repeated
    #[arg(long, value_name = "PATH")]
    memcached: Vec<PathBuf>,
    /// A redis-server, beside the installed one; may be repeated
    #[arg(long, value_name = "PATH")]
    redis: Vec<PathBuf>,
    /// A pogocache; may be repeated
    #[arg(long, value_name = "PATH")]
    pogocache: Vec<PathBuf>,
    /// A valkey-server; may be repeated
    #[arg(long, value_name = "PATH")]
    valkey: Vec<PathBuf>,
    /// A memtier_benchmark, as a second opinion on a few shapes
    #[arg(long, value_name = "PATH")]
    memtier: Option<PathBuf>,
    /// Protocols of a subject, such as memcached=memcache,meta; may be repeated
    #[arg(long, value_name = "SUBJECT=PROTOCOL,…", value_parser = parse_protocols)]
    protocols: Vec<(String, Vec<Protocol>)>,
    /// The servers' CPU
    #[arg(long, value_name = "CPU", default_value = "0")]
    server_cpu: usize,
    /// The generator's CPU
    #[arg(long, value_name = "CPU", default_value = "1")]
    generator_cpu: usize,
    /// Where the page and the plot go [default: benches, or target/race with --quick]
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// A remark for the head of the page
    #[arg(long, value_name = "WORDS")]
    note: Option<String>,
}

/// A race ends in about this time, with fewer rounds if it has to; a quick one in a fifth of it.
const TIME_MAX: Duration = Duration::from_secs(870);

fn main() -> ExitCode {
    let flags = Flags::parse();
    match race(&flags) {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            eprintln!("race: {sentence}");
            ExitCode::FAILURE
        }
    }
}

fn race(flags: &Flags) -> Result<(), String> {
    let start = Instant::now();
    for tool in ["taskset", "setpriv"] {
        find(tool).ok_or_else(|| format!("{tool} is not installed (package util-linux)"))?;
    }
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    if cpus < 2 {
        return Err("server and generator need a CPU each, and there is one".to_owned());
    }
    let limit = flagstone_bench::process::raise_open_files();
    let generator = Generator {
        path: sibling("flagstone-bench")?,
        cpu: flags.generator_cpu,
    };
    let mut results = Results {
        subjects: field(flags)?,
        rows: Vec::new(),
        memtier: Vec::new(),
        workers: Vec::new(),
        memory: Vec::new(),
        memory_mib: FILLED_MIB,
        instructions: stored_instructions(),
        failures: Vec::new(),
        facts: Vec::new(),
        commands: Vec::new(),
    };
    let load = machine::load();
    let runner = Runner {
        generator,
        server_cpu: flags.server_cpu,
        file_limit: limit,
        rounds: flags
            .rounds
            .unwrap_or(if flags.quick { 2 } else { 4 })
            .max(1),
        is_quick: flags.quick,
        start,
        time_max: TIME_MAX / if flags.quick { 5 } else { 1 },
    };
    let left_out = runner.drop_what_is_not_spoken(&mut results)?;
    for group in groups(flags.quick) {
        let group = runner.chosen(group, flags.only.as_deref());
        if !group.shapes.is_empty() {
            runner.run_group(&mut results, &group)?;
        }
    }
    if let Some(path) = &flags.memtier {
        let memtier = Memtier {
            path: path.clone(),
            cpu: flags.generator_cpu,
        };
        runner.run_memtier(&mut results, &memtier, flags.only.as_deref());
    }
    runner.run_workers(&mut results, flags.only.as_deref())?;
    if !flags.no_memory {
        runner.run_memory(&mut results);
    }

    let (date, commit) = machine::when();
    results.facts = vec![
        ("date", date),
        ("commit", commit),
        ("machine", machine::describe()),
        ("compiler", machine::ask("rustc", &["--version"])),
        (
            "rounds",
            format!(
                "{}, {:.0} s in all; load average before them {load}",
                runner.rounds,
                start.elapsed().as_secs_f64()
            ),
        ),
        ("not raced", absent(&results.subjects, left_out)),
    ];
    if let Some(note) = &flags.note {
        results.facts.push(("note", note.clone()));
    }
    let page = markdown(&results, "results.svg");
    // A quick race says little: it does not take the place of what is kept.
    let output = flags.output.clone().unwrap_or_else(|| {
        PathBuf::from(if flags.quick {
            "target/race"
        } else {
            "benches"
        })
    });
    std::fs::create_dir_all(&output).map_err(|error| format!("{}: {error}", output.display()))?;
    save(&output.join("RESULTS.md"), &page)?;
    save(&output.join("results.svg"), &plot(&results))?;
    // What a terminal needs: the verdicts. The page has the rest.
    let from = page.find("## Targets").unwrap_or(0);
    let to = page.find("## CPU time").unwrap_or(page.len());
    print!("\n{}", &page[from..to]);
    for failure in &results.failures {
        println!("REMARK: {failure}");
    }
    println!("written: {}", output.join("RESULTS.md").display());
    Ok(())
}

/// What `scripts/instructions` has stored, if this is started where it did.
fn stored_instructions() -> Vec<(String, u64)> {
    let text = std::fs::read_to_string("benches/instructions.toml").unwrap_or_default();
    parse_instructions(&text)
}

fn save(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

/// Everybody who can run here.
fn field(flags: &Flags) -> Result<Vec<Subject>, String> {
    let echo = sibling("echo")?;
    let flagstone = match &flags.flagstone {
        Some(path) => path.clone(),
        None => sibling("flagstone")?,
    };
    let mut programs = vec![
        (Kind::Echo("epoll"), echo.clone()),
        (Kind::Echo("tokio"), echo),
        (Kind::Flagstone, flagstone),
    ];
    let others = [
        (Kind::Memcached, "memcached", &flags.memcached),
        (Kind::Redis, "redis-server", &flags.redis),
        (Kind::Valkey, "valkey-server", &flags.valkey),
        (Kind::Pogocache, "pogocache", &flags.pogocache),
    ];
    for (kind, program, given) in others {
        let paths = find(program).into_iter().chain(given.iter().cloned());
        programs.extend(paths.map(|path| (kind, path)));
    }
    for (subject, _) in &flags.protocols {
        if !programs.iter().any(|(kind, _)| kind.word() == subject) {
            return Err(format!("--protocols {subject}: it does not run here"));
        }
    }
    let all = programs.iter().flat_map(|(kind, path)| {
        let chosen = flags.protocols.iter().find(|(word, _)| word == kind.word());
        let protocols = chosen.map_or(kind.protocols(), |(_, protocols)| protocols);
        // The working directory of a server is not this one. Links are left alone: some programs
        // are several, by the name that they are called by.
        let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
        subjects(*kind, &path, protocols)
    });
    Ok(all.collect())
}

/// Who is not on the page: what does not run here, and what is not installed.
fn absent(subjects: &[Subject], left_out: Vec<String>) -> String {
    let missing = [Kind::Memcached, Kind::Redis, Kind::Valkey, Kind::Pogocache]
        .into_iter()
        .filter(|kind| subjects.iter().all(|subject| subject.kind != *kind))
        .map(|kind| format!("{} (not found)", kind.word()));
    let all: Vec<String> = left_out
        .into_iter()
        .map(|name| format!("{name} (does not run)"))
        .chain(missing)
        .collect();
    if all.is_empty() {
        "none".to_owned()
    } else {
        all.join(", ")
    }
}
