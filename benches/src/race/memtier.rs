//! A generator that is not ours, as a cross-check: memtier_benchmark, by path.
//!
//! It speaks memcached's text protocol and RESP, and knows nothing of a server's CPU time, which
//! is read here before it starts and after it has ended; its connecting is therefore in it. Its
//! keys are its own, so servers are started and filled for it.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use flagstone_bench::process::CpuTime;
use flagstone_bench::socket::Place;
use flagstone_bench::wire::Protocol;

use super::board::{Row, Sample};
use super::report::Results;
use super::run::Runner;
use super::server::Server;
use super::shape::{Ground, Shape, Way};
use super::subject::Subject;
use super::table::{memtier, shorten};

/// A second opinion needs no more rounds than this: it starts late in a long race.
const ROUNDS_MAX: usize = 2;

/// The program, pinned.
pub struct Memtier {
    /// Where it is.
    pub path: PathBuf,
    /// Its core.
    pub cpu: usize,
}

/// Its last line: of all requests.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Totals {
    per_second: f64,
    misses_per_second: f64,
    p50_us: f64,
    p99_us: f64,
    p999_us: f64,
}

impl Memtier {
    /// Runs it, and reads its totals; its last words are the error.
    fn run(&self, place: &Place, arguments: &str) -> Result<Totals, String> {
        let output = Command::new("taskset")
            .args(["-c", &self.cpu.to_string()])
            .arg(&self.path)
            .args(place_flags(place).split(' '))
            .args(arguments.split(' '))
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("{}: {error}", self.path.display()))?;
        let text = String::from_utf8_lossy(&output.stdout);
        totals(&text).ok_or_else(|| {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            said.trim().lines().last().unwrap_or("no words").to_owned()
        })
    }

    fn fill(&self, subject: &Subject, server: &Server, ground: &Ground) -> Result<(), String> {
        let arguments = format!(
            "{} -c 16 --pipeline=32 -n allkeys --ratio=1:0 --key-pattern=P:P",
            common(subject.protocol, ground)
        );
        self.run(&server.place, &arguments).map(|_| ())
    }

    fn race(
        &self,
        subject: &Subject,
        server: &Server,
        (ground, shape): (&Ground, &Shape),
    ) -> Result<Sample, String> {
        let arguments = arguments(subject.protocol, ground, shape);
        let cpu = || CpuTime::of(server.pid()).map_err(|error| error.to_string());
        let before = cpu()?;
        let totals = self.run(&server.place, &arguments)?;
        let cpu_ns = cpu()?.since_ns(&before);
        if totals.misses_per_second > 0.0 {
            return Err("reads missed".to_owned());
        }
        let requests = each(shape) * shape.connections as u64;
        Ok(Sample {
            cpu_us: cpu_ns as f64 / 1e3 / requests as f64,
            per_second: totals.per_second,
            p50_us: totals.p50_us,
            p99_us: totals.p99_us,
            p999_us: totals.p999_us,
            hit_ratio: None,
            resident_bytes: None,
        })
    }
}

impl Runner {
    /// A few shapes under memtier, for everybody to whom it can speak.
    pub fn run_memtier(&self, results: &mut Results, program: &Memtier, words: Option<&str>) {
        for mut group in memtier() {
            if self.is_quick {
                shorten(&mut group);
            }
            let group = self.chosen(group, words);
            if group.shapes.is_empty() {
                continue;
            }
            let ground = &group.ground;
            let mut servers = Vec::new();
            for (at, subject) in results.subjects.clone().into_iter().enumerate() {
                if protocol_name(subject.protocol).is_none() || !ground.takes(&subject) {
                    continue;
                }
                let started = self.start(&subject, ground).and_then(|server| {
                    program.fill(&subject, &server, ground)?;
                    server.pause();
                    Ok(server)
                });
                match started {
                    Ok(server) => servers.push((at, subject, server)),
                    Err(why) => results.remark(format!("{}, memtier: {why}", subject.name)),
                }
            }
            for shape in &group.shapes {
                let mut row = Row {
                    shape: shape.clone(),
                    rounds: Vec::new(),
                };
                results.command(format!(
                    "memtier_benchmark {} {}",
                    match ground.way {
                        Way::Tcp => "-s 127.0.0.1 -p PORT",
                        Way::Unix => "-S SOCKET",
                    },
                    arguments(Protocol::Memcache, ground, shape)
                        .replace("memcache_text", "PROTOCOL")
                ));
                for round in 0..self.rounds.min(ROUNDS_MAX) {
                    let mut samples = vec![None; results.subjects.len()];
                    for turn in 0..servers.len() {
                        let (at, subject, server) = &servers[(turn + round) % servers.len()];
                        server.resume();
                        match program.race(subject, server, (ground, shape)) {
                            Ok(sample) => samples[*at] = Some(sample),
                            Err(why) => {
                                results.remark(format!("{}, {}: {why}", subject.name, shape.name));
                            }
                        }
                        server.pause();
                    }
                    row.rounds.push(samples);
                }
                println!("{}: {} rounds", shape.name, row.rounds.len());
                results.memtier.push(row);
            }
        }
    }
}

/// What it calls a protocol; none: it does not speak it.
fn protocol_name(protocol: Protocol) -> Option<&'static str> {
    match protocol {
        Protocol::Memcache => Some("memcache_text"),
        Protocol::Resp => Some("redis"),
        Protocol::Native | Protocol::Meta => None,
    }
}

fn place_flags(place: &Place) -> String {
    match place {
        Place::Tcp(address) => format!("-s {} -p {}", address.ip(), address.port()),
        Place::Unix(path) => format!("-S {}", path.display()),
    }
}

/// What filling and racing have in common.
fn common(protocol: Protocol, ground: &Ground) -> String {
    let sizes = ground.values;
    let size = if sizes.min == sizes.max {
        format!("-d {}", sizes.min)
    } else {
        format!("--data-size-range={sizes}")
    };
    format!(
        "--protocol={} -t 1 {size} --key-minimum=1 --key-maximum={} --hide-histogram",
        protocol_name(protocol).unwrap_or_default(),
        ground.keys
    )
}

/// Requests of one connection: it counts by them.
fn each(shape: &Shape) -> u64 {
    (shape.requests / shape.connections as u64).max(1)
}

/// The flags of a shape. Its ratio is writes to reads, ours reads to writes.
fn arguments(protocol: Protocol, ground: &Ground, shape: &Shape) -> String {
    let (reads, writes) = shape.mix.split_once(':').unwrap_or((shape.mix, "0"));
    format!(
        "{} -c {} --pipeline={} -n {} --ratio={writes}:{reads} --key-pattern=R:R",
        common(protocol, ground),
        shape.connections,
        shape.pipeline,
        each(shape)
    )
}

/// Its line of all requests: requests, hits and misses a second, then latencies in milliseconds:
/// the mean, the median, the 99th and the 99.9th percentile.
fn totals(text: &str) -> Option<Totals> {
    let line = text.lines().find(|line| line.starts_with("Totals"))?;
    let figures: Vec<f64> = line
        .split_whitespace()
        .skip(1)
        .map(|word| word.parse().ok())
        .collect::<Option<_>>()?;
    let &[per_second, _, misses_per_second, _, p50, p99, p999, ..] = &figures[..] else {
        return None;
    };
    Some(Totals {
        per_second,
        misses_per_second,
        p50_us: p50 * 1e3,
        p99_us: p99 * 1e3,
        p999_us: p999 * 1e3,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_read_from_its_table() {
        let text = "Type  Ops/sec  Hits/sec  Misses/sec  Avg. Latency  p50 Latency  p99 Latency  p99.9 Latency  KB/sec\n\
                    Sets  0.00  ---  ---  ---  ---  ---  ---  0.00\n\
                    Totals     456593.90    456593.90         0.00         3.47023         2.5     17.25        18.5     37357.76\n";
        let expected = Totals {
            per_second: 456_593.9,
            misses_per_second: 0.0,
            p50_us: 2_500.0,
            p99_us: 17_250.0,
            p999_us: 18_500.0,
        };
        assert_eq!(totals(text), Some(expected));
        assert_eq!(totals("Totals 1 2"), None);
        assert_eq!(totals("connection refused"), None);
    }

    #[test]
    fn a_shape_is_flags_of_memtier() {
        let groups = memtier();
        let unix = groups.last().expect("two grounds");
        let line = arguments(Protocol::Resp, &unix.ground, &unix.shapes[1]);
        assert_eq!(
            line,
            "--protocol=redis -t 1 --data-size-range=1-1024 --key-minimum=1 --key-maximum=100000 --hide-histogram \
             -c 256 --pipeline=1 -n 195 --ratio=1:0 --key-pattern=R:R"
        );
    }
}
