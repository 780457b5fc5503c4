//! The race from the command line; `scripts/race` builds what it needs and starts it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use flagstone_bench::wire::Protocol;
use flagstone_benches::race::board::Row;
use flagstone_benches::race::measure::{Generator, held, idle_bytes, sibling};
use flagstone_benches::race::report::{
    HELD_VALUE_BYTES, IDLE_COUNTS, Memory, Results, markdown, parse_instructions, plot,
};
use flagstone_benches::race::server::Server;
use flagstone_benches::race::shape::{Shape, shapes};
use flagstone_benches::race::subject::{Kind, Subject, find, parse_protocols, subjects};
use flagstone_benches::race::{machine, measure};

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
    /// Rounds [default: 5, or 2 with --quick]
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

/// The budget in which the shapes are raced. redis counts its clients' buffers into it: with
/// 10,000 of them it evicts every key from 256 MiB, and answers nothing but misses.
const MEMORY_MIB: usize = 512;
/// A race ends in about this time, with fewer rounds if it has to; a quick one in a fifth of it.
const TIME_MAX: Duration = Duration::from_secs(540);
/// Value sizes, and the part of the time by which their rounds are over. Memory has the rest.
const GROUPS: [(usize, f64); 2] = [(32, 0.60), (1024, 0.88)];
/// The budget that is filled for the memory table.
const FILLED_MIB: usize = 64;

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
        memory: Vec::new(),
        memory_mib: FILLED_MIB,
        instructions: stored_instructions(),
        failures: Vec::new(),
        facts: Vec::new(),
        commands: Vec::new(),
    };
    let left_out = drop_what_is_not_spoken(&mut results, &generator, flags.server_cpu)?;
    let load = machine::load();
    let rounds = flags
        .rounds
        .unwrap_or(if flags.quick { 2 } else { 5 })
        .max(1);
    let shapes: Vec<Shape> = shapes(flags.quick)
        .into_iter()
        .filter(|shape| {
            flags
                .only
                .as_ref()
                .is_none_or(|w| shape.name.contains(&**w))
        })
        .filter(|shape| {
            let is_possible = (shape.connections as u64) < limit.saturating_sub(500);
            if !is_possible {
                let name = shape.name;
                eprintln!("left out: {name}: {limit} files may be open, and it needs more");
            }
            is_possible
        })
        .collect();
    let time_max = TIME_MAX / if flags.quick { 5 } else { 1 };
    for (value_bytes, part) in GROUPS {
        let shapes: Vec<Shape> = shapes
            .iter()
            .filter(|shape| shape.value_bytes == value_bytes)
            .cloned()
            .collect();
        if !shapes.is_empty() {
            let until = start + time_max.mul_f64(part);
            let rounds = (rounds, until);
            run_shapes(&mut results, &generator, flags.server_cpu, &shapes, rounds)?;
        }
    }
    if !flags.no_memory {
        run_memory(&mut results, &generator, flags, limit);
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
                "{rounds}, {:.0} s in all; load average before them {load}",
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

/// One question to each subject in its protocol. Who does not come up or does not understand
/// it does not run; without Flagstone's own there is no race.
fn drop_what_is_not_spoken(
    results: &mut Results,
    generator: &Generator,
    cpu: usize,
) -> Result<Vec<String>, String> {
    let mut left_out = Vec::new();
    for subject in std::mem::take(&mut results.subjects) {
        let asked = Server::start(&subject, cpu, MEMORY_MIB, 32).and_then(|server| {
            generator.preload(&subject, &server, 1, 32)?;
            Ok(server.command.clone())
        });
        match asked {
            Ok(command) => {
                if !results.commands.contains(&command) {
                    results.commands.push(command);
                }
                results.subjects.push(subject);
            }
            Err(why) if subject.kind == Kind::Flagstone && subject.protocol == Protocol::Native => {
                return Err(why);
            }
            Err(why) => {
                eprintln!("left out: {}: {why}", subject.name);
                left_out.push(subject.name);
            }
        }
    }
    Ok(left_out)
}

/// All rounds of shapes that have the value size in common.
fn run_shapes(
    results: &mut Results,
    generator: &Generator,
    cpu: usize,
    shapes: &[Shape],
    (rounds, until): (usize, Instant),
) -> Result<(), String> {
    let subjects = results.subjects.clone();
    let mut servers = Vec::new();
    for subject in &subjects {
        let value_bytes = shapes[0].value_bytes;
        let server = Server::start(subject, cpu, MEMORY_MIB, value_bytes)?;
        generator.preload(subject, &server, measure::KEYS, value_bytes)?;
        server.pause();
        servers.push(server);
    }
    let first = results.rows.len();
    for shape in shapes {
        let command = format!(
            "flagstone-bench 127.0.0.1:PORT {}",
            Generator::arguments(&subjects[0], shape)
                .replace(" --no-verify", "")
                .replace("-p native", "-p PROTOCOL")
        );
        results.commands.push(command);
        results.rows.push(Row {
            shape: shape.clone(),
            rounds: Vec::new(),
        });
    }
    for round in 0..rounds {
        let round_start = Instant::now();
        for (number, shape) in shapes.iter().enumerate() {
            let mut samples = vec![None; subjects.len()];
            // Another order each time: nobody always runs behind the same other.
            for turn in 0..subjects.len() {
                let at = (turn + round) % subjects.len();
                servers[at].resume();
                match generator.race(&subjects[at], &servers[at], shape) {
                    Ok(sample) => samples[at] = Some(sample),
                    Err(why) => {
                        let failure = format!("{}, {}: {why}", subjects[at].name, shape.name);
                        eprintln!("{failure}");
                        if !results.failures.contains(&failure) {
                            results.failures.push(failure);
                        }
                        // If keys are gone, whoever took them, the next shape finds them again.
                        let value_bytes = shape.value_bytes;
                        let keys = measure::KEYS;
                        let _ = generator.preload(&subjects[at], &servers[at], keys, value_bytes);
                    }
                }
                servers[at].pause();
            }
            let figures: Vec<String> = subjects
                .iter()
                .zip(&samples)
                .map(|(subject, sample)| match sample {
                    Some(sample) => format!("{} {:.2}", subject.name, sample.cpu_us),
                    None => format!("{} –", subject.name),
                })
                .collect();
            let name = shape.name;
            println!("round {}: {name}: {}", round + 1, figures.join(", "));
            results.rows[first + number].rounds.push(samples);
        }
        if round + 1 < rounds && Instant::now() + round_start.elapsed() > until {
            let (value_bytes, done) = (shapes[0].value_bytes, round + 1);
            let remark =
                format!("values of {value_bytes} B: time was up after {done} of {rounds} rounds");
            eprintln!("{remark}");
            results.failures.push(remark);
            break;
        }
    }
    Ok(())
}

/// Memory of each program, in its first protocol.
fn run_memory(results: &mut Results, generator: &Generator, flags: &Flags, limit: u64) {
    let subjects = results.subjects.clone();
    let cpu = flags.server_cpu;
    // In haste, the first column of each kind.
    let most = if flags.quick { 1 } else { usize::MAX };
    let idle_counts: Vec<usize> = IDLE_COUNTS
        .into_iter()
        .take(most)
        .filter(|&count| (count as u64) < limit.saturating_sub(500))
        .collect();
    for (at, subject) in subjects.iter().enumerate() {
        let is_first = subjects[..at]
            .iter()
            .all(|before| before.path != subject.path);
        if subject.is_floor() || !is_first {
            continue;
        }
        let mut memory = Memory::default();
        let mut note = |what: &str, why: String| {
            let failure = format!("{}, {what}: {why}", subject.name);
            eprintln!("{failure}");
            results.failures.push(failure);
        };
        match Server::start(subject, cpu, MEMORY_MIB, 32) {
            Ok(server) => {
                memory.start_bytes = flagstone_bench::process::resident_bytes(server.pid()).ok();
                match idle_bytes(subject, &server, &idle_counts) {
                    Ok(bytes) => memory.idle_bytes = Some(bytes),
                    Err(why) => note("idle connections", why),
                }
            }
            Err(why) => note("idle connections", why),
        }
        for value_bytes in HELD_VALUE_BYTES.into_iter().take(most) {
            let counted = Server::start(subject, cpu, FILLED_MIB, value_bytes)
                .and_then(|server| held(generator, subject, &server, (FILLED_MIB, value_bytes)));
            match counted {
                Ok(held) => {
                    if held.refused > 0 {
                        let refused = held.refused;
                        note("items in a budget", format!("refused {refused} writes"));
                    }
                    memory.held.push(Some(held));
                }
                Err(why) => {
                    note("items in a budget", why);
                    memory.held.push(None);
                }
            }
        }
        println!("memory: {}: {memory:?}", subject.name);
        results.memory.push((at, memory));
    }
}
