//! What is measured of one server: a shape, its memory for connections, its items in a budget.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use flagstone_bench::keys::KeyNames;
use flagstone_bench::settings::Sizes;
use flagstone_bench::socket::Place;
use flagstone_bench::value::VALUE_BYTES_MIN;
use flagstone_bench::wire::Protocol;
use flagstone_bench::{Report, process};

use super::board::Sample;
use super::server::Server;
use super::shape::{Ground, Rate, Shape};
use super::subject::{Kind, Subject};

/// The load generator, pinned.
pub struct Generator {
    /// Where it is.
    pub path: PathBuf,
    /// Its core.
    pub cpu: usize,
}

/// How a subject is asked for several keys at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Several {
    /// Keys of a request.
    multi_get: usize,
    /// Requests at once.
    pipeline: usize,
}

impl Several {
    /// A protocol that has no request for several keys gets as many requests at once.
    fn of(protocol: Protocol, shape: &Shape) -> Self {
        let is_spoken = matches!(protocol, Protocol::Memcache | Protocol::Resp);
        if is_spoken || shape.multi_get == 1 {
            Several {
                multi_get: shape.multi_get,
                pipeline: shape.pipeline,
            }
        } else {
            Several {
                multi_get: 1,
                pipeline: shape.pipeline * shape.multi_get,
            }
        }
    }
}

impl Generator {
    /// Runs it and reads its report; its words are the error.
    fn run(&self, arguments: &str, place: &Place) -> Result<Report, String> {
        let json = std::env::temp_dir().join(format!("flagstone-race-{}.json", std::process::id()));
        let output = Command::new("taskset")
            .args(["-c", &self.cpu.to_string()])
            .arg(&self.path)
            .arg(place.to_string())
            .args(arguments.split_whitespace())
            // What is counted afterwards is asked for by these names.
            .args(["--run", "0"])
            .arg("--json")
            .arg(&json)
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("{}: {error}", self.path.display()))?;
        let text = std::fs::read_to_string(&json).unwrap_or_default();
        let _ = std::fs::remove_file(&json);
        let report = serde_json::from_str(&text).ok();
        if !output.status.success() && !report.as_ref().is_some_and(is_usable) {
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8_lossy(&said).into_owned();
            return Err(said.trim().lines().last().unwrap_or("no words").to_owned());
        }
        report.ok_or_else(|| "it wrote no report".to_owned())
    }

    /// The flags of a shape.
    #[must_use]
    pub fn arguments(protocol: Protocol, is_floor: bool, ground: &Ground, shape: &Shape) -> String {
        let Several {
            multi_get,
            pipeline,
        } = Several::of(protocol, shape);
        let keys_of_all = shape.requests * shape.multi_get as u64;
        let mut line = format!(
            "-p {} -c {} -P {pipeline} -k {} -s {} -m {} -n {} -w 50ms --no-preload",
            protocol.name(),
            shape.connections,
            ground.keys,
            ground.values,
            shape.mix,
            keys_of_all / multi_get as u64
        );
        if multi_get > 1 {
            line.push_str(&format!(" --multi-get {multi_get}"));
        }
        if let Some((Rate::Fixed(per_second), _)) = shape.timed {
            // A server that cannot keep the rate is given up soon: how long it lets requests wait
            // is told all the same.
            line.push_str(&format!(" -r {per_second} --timeout 1s"));
        }
        if shape.distribution != "uniform" {
            line.push_str(&format!(" -d {}", shape.distribution));
        }
        line.push_str(verify(is_floor, ground));
        line
    }

    /// Writes the ground's keys once; how many writes were refused.
    ///
    /// # Errors
    /// In words.
    pub fn fill(&self, subject: &Subject, server: &Server, ground: &Ground) -> Result<u64, String> {
        let arguments = format!(
            "-p {} -c 16 -P 32 -k {} -s {} -m 1:0 -n 1 -w 0{}",
            subject.protocol.name(),
            ground.filled,
            ground.values,
            verify(subject.is_floor(), ground)
        );
        let report = self.run(&arguments, &server.place)?;
        Ok(report.preload_refused)
    }

    /// One round of one shape.
    ///
    /// # Errors
    /// In words.
    pub fn race(
        &self,
        (subject, server): (&Subject, &Server),
        ground: &Ground,
        shape: &Shape,
    ) -> Result<Sample, String> {
        let (protocol, is_floor) = (subject.protocol, subject.is_floor());
        let arguments = Self::arguments(protocol, is_floor, ground, shape);
        let arguments = format!("{arguments} --pid {}", server.pid());
        let report = self.run(&arguments, &server.place)?;
        let reads = report.hits + report.misses;
        if !ground.is_evicting() && report.misses > 0 {
            return Err(format!("{} of {reads} reads missed", report.misses));
        }
        // A request of several keys counts as so many.
        let keys = Several::of(subject.protocol, shape).multi_get as f64;
        Ok(Sample {
            cpu_us: report.server_cpu_us_per_request.unwrap_or(0.0) / keys,
            per_second: report.requests_per_second * keys,
            p50_us: report.all.p50,
            p99_us: report.all.p99,
            p999_us: report.all.p999,
            hit_ratio: (reads > 0).then(|| report.hits as f64 / reads as f64),
            resident_bytes: report.server_resident_bytes,
        })
    }
}

/// A floor answers everybody alike, and a value shorter than a checksum cannot have one.
fn verify(is_floor: bool, ground: &Ground) -> &'static str {
    if is_floor || ground.values.min < VALUE_BYTES_MIN {
        " --no-verify"
    } else {
        ""
    }
}

/// Some servers refuse a few writes while their memory finds its shape. That is worth a remark,
/// and no reason to measure nothing. Nor is a rate that a server cannot keep: how long it lets
/// requests wait is the figure.
fn is_usable(report: &Report) -> bool {
    let known = report.preload_refused + report.unanswered > 0;
    known && report.refused == 0 && report.wrong == 0 && report.ended_early.is_none()
}

/// Opens connections, up to each of `counts`, asks one question on each, and says how many
/// bytes of the server's memory there are for each once they are idle.
///
/// # Errors
/// In words.
pub fn idle_bytes(
    subject: &Subject,
    server: &Server,
    counts: &[usize],
) -> Result<Vec<f64>, String> {
    let resident = || process::resident_bytes(server.pid()).map_err(|error| error.to_string());
    let mut question = Vec::new();
    let names = KeyNames::new(Sizes { min: 20, max: 20 });
    subject.protocol.write_read(&mut question, names, 0);
    let before = resident()?;
    let mut streams: Vec<TcpStream> = Vec::new();
    let mut bytes = Vec::new();
    for &count in counts {
        while streams.len() < count {
            let mut stream = server.connect()?;
            let asked = stream
                .write_all(&question)
                .and_then(|()| stream.read(&mut [0; 4096]));
            match asked {
                Ok(1..) => streams.push(stream),
                Ok(0) => return Err(format!("connection {} was closed", streams.len() + 1)),
                Err(error) => return Err(error.to_string()),
            }
        }
        // Whatever it does with idle connections, it does at leisure.
        std::thread::sleep(Duration::from_millis(500));
        bytes.push(resident()?.saturating_sub(before) as f64 / count as f64);
    }
    Ok(bytes)
}

/// What a server holds after it was given far more than fits.
#[derive(Clone, Copy, Debug)]
pub struct Held {
    /// Items that are there.
    pub items: u64,
    /// Writes that were refused on the way.
    pub refused: u64,
    /// Resident memory.
    pub resident_bytes: u64,
}

/// How many keys fill a budget 2.2 times over.
#[must_use]
pub fn overfull(memory_mib: usize, value_bytes: usize) -> u32 {
    let item_bytes = 20 + value_bytes + 25; // what the densest costs, about
    ((memory_mib << 20) as f64 * 2.2 / item_bytes as f64) as u32
}

/// Fills the ground, and counts.
///
/// # Errors
/// In words.
pub fn held(
    generator: &Generator,
    subject: &Subject,
    server: &Server,
    ground: &Ground,
) -> Result<Held, String> {
    let refused = generator.fill(subject, server, ground)?;
    let (question, name): (&str, &str) = match subject.kind {
        Kind::Flagstone => ("STATS\nQUIT\n", "items "),
        Kind::Memcached | Kind::Pogocache => ("stats\r\nquit\r\n", "STAT curr_items "),
        Kind::Redis | Kind::Valkey => ("DBSIZE\r\nQUIT\r\n", ":"),
        Kind::Echo(_) => return Err("a floor holds nothing".to_owned()),
    };
    let mut stream = server.connect()?;
    let mut text = String::new();
    stream
        .write_all(question.as_bytes())
        .and_then(|()| stream.read_to_string(&mut text))
        .map_err(|error| error.to_string())?;
    let items = text
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .and_then(|number| number.trim().parse().ok())
        .ok_or_else(|| "it does not say how many items it holds".to_owned())?;
    Ok(Held {
        items,
        refused,
        resident_bytes: process::resident_bytes(server.pid()).map_err(|e| e.to_string())?,
    })
}

/// A program that stands beside this one.
///
/// # Errors
/// When it does not.
pub fn sibling(name: &str) -> Result<PathBuf, String> {
    let here = std::env::current_exe().map_err(|error| error.to_string())?;
    let path = here.parent().unwrap_or(Path::new(".")).join(name);
    if path.is_file() {
        return Ok(path);
    }
    Err(format!(
        "{} is not there: scripts/race builds everything that is needed",
        path.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::race::table::groups;

    fn line(kind: Kind, protocol: Protocol, shape_name: &str, change: fn(&mut Shape)) -> String {
        let is_floor = matches!(kind, Kind::Echo(_));
        let groups = groups(false);
        let found = groups.iter().find_map(|group| {
            let shape = group.shapes.iter().find(|shape| shape.name == shape_name)?;
            Some((&group.ground, shape.clone()))
        });
        let (ground, mut shape) = found.expect("a shape");
        change(&mut shape);
        Generator::arguments(protocol, is_floor, ground, &shape)
    }

    #[test]
    fn a_shape_is_flags_of_the_generator() {
        let table = [
            (
                line(Kind::Redis, Protocol::Resp, "GET, pipeline 16", |_| {}),
                "-p resp -c 50 -P 16 -k 100000 -s 32 -m 1:0 -n 300000 -w 50ms --no-preload",
            ),
            (
                line(
                    Kind::Echo("epoll"),
                    Protocol::Native,
                    "SET, pipeline 1",
                    |_| {},
                ),
                "-p native -c 50 -P 1 -k 100000 -s 32 -m 0:1 -n 50000 -w 50ms --no-preload --no-verify",
            ),
            (
                line(
                    Kind::Pogocache,
                    Protocol::Memcache,
                    "GET 1–1,024 B, Unix socket, pipeline 10",
                    |_| {},
                ),
                "-p memcache -c 256 -P 10 -k 100000 -s 1-1024 -m 1:0 -n 300000 -w 50ms --no-preload --no-verify",
            ),
        ];
        let timed: fn(&mut Shape) = |shape| {
            shape.timed = Some((Rate::OfPeak(80), std::time::Duration::from_millis(500)));
            *shape = shape.at_rate(120_000);
        };
        let at_rate = line(Kind::Redis, Protocol::Resp, "GET, pipeline 1", timed);
        assert!(at_rate.contains(" -n 60000 "), "{at_rate}");
        assert!(at_rate.contains(" -r 120000 "), "{at_rate}");
        for (flags, expected) in table {
            assert_eq!(flags, expected);
        }
    }

    /// The same number of keys for everybody: as one request or as a pipeline.
    #[test]
    fn several_keys_are_a_pipeline_where_there_is_no_such_request() {
        let several: fn(&mut Shape) = |shape| {
            shape.multi_get = 100;
            shape.requests = 3_000;
        };
        for (protocol, expected) in [
            (
                Protocol::Resp,
                "-P 1 -k 100000 -s 32 -m 1:0 -n 3000 -w 50ms --no-preload --multi-get 100",
            ),
            (
                Protocol::Native,
                "-P 100 -k 100000 -s 32 -m 1:0 -n 300000 -w 50ms --no-preload",
            ),
        ] {
            let flags = line(Kind::Flagstone, protocol, "GET, pipeline 1", several);
            let (_, rest) = flags.split_once(" -c 50 ").expect("connections");
            assert_eq!(rest, expected);
        }
    }
}
