//! What is measured of one server: a shape, its memory for connections, its items in a budget.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use flagstone_bench::keys::KeyNames;
use flagstone_bench::settings::Sizes;
use flagstone_bench::{Report, process};

use super::board::Sample;
use super::server::Server;
use super::shape::Shape;
use super::subject::{Kind, Subject};

/// Keys of every shape, 20 bytes each.
pub const KEYS: u32 = 100_000;

/// The load generator, pinned.
pub struct Generator {
    /// Where it is.
    pub path: PathBuf,
    /// Its core.
    pub cpu: usize,
}

impl Generator {
    /// Runs it and reads its report; its words are the error.
    fn run(&self, arguments: &str, address: SocketAddr) -> Result<Report, String> {
        let json = std::env::temp_dir().join(format!("flagstone-race-{}.json", std::process::id()));
        let output = Command::new("taskset")
            .args(["-c", &self.cpu.to_string()])
            .arg(&self.path)
            .arg(address.to_string())
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
        if !output.status.success() && !report.as_ref().is_some_and(only_preload_refused) {
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8_lossy(&said).into_owned();
            return Err(said.trim().lines().last().unwrap_or("no words").to_owned());
        }
        report.ok_or_else(|| "it wrote no report".to_owned())
    }

    /// The flags of a shape.
    #[must_use]
    pub fn arguments(subject: &Subject, shape: &Shape) -> String {
        let verify = if subject.is_floor() {
            " --no-verify"
        } else {
            ""
        };
        format!(
            "-p {} -c {} -P {} -k {KEYS} -s {} -m {} -n {} -w 50ms --no-preload{verify}",
            subject.protocol.name(),
            shape.connections,
            shape.pipeline,
            shape.value_bytes,
            shape.mix,
            shape.requests
        )
    }

    /// Writes every key once; how many writes were refused.
    ///
    /// # Errors
    /// In words.
    pub fn preload(
        &self,
        subject: &Subject,
        server: &Server,
        keys: u32,
        value_bytes: usize,
    ) -> Result<u64, String> {
        let verify = if subject.is_floor() {
            "--no-verify"
        } else {
            ""
        };
        let arguments = format!(
            "-p {} -c 16 -P 32 -k {keys} -s {value_bytes} -m 1:0 -n 1 -w 0 {verify}",
            subject.protocol.name()
        );
        let report = self.run(&arguments, server.address)?;
        Ok(report.preload_refused)
    }

    /// One round of one shape.
    ///
    /// # Errors
    /// In words.
    pub fn race(
        &self,
        subject: &Subject,
        server: &Server,
        shape: &Shape,
    ) -> Result<Sample, String> {
        let arguments = Self::arguments(subject, shape);
        let report = self.run(
            &format!("{arguments} --pid {}", server.pid()),
            server.address,
        )?;
        if shape.mix == "1:0" && report.hits < report.requests {
            return Err(format!(
                "{} of {} reads missed",
                report.misses, report.requests
            ));
        }
        let cpu_us = report.server_cpu_us_per_request.unwrap_or(0.0);
        Ok(Sample {
            cpu_us,
            per_second: report.requests_per_second,
            p50_us: report.all.p50,
            p99_us: report.all.p99,
        })
    }
}

/// Some servers refuse a few writes while their memory finds its shape. That is worth a remark,
/// and no reason to measure nothing.
fn only_preload_refused(report: &Report) -> bool {
    report.preload_refused > 0 && report.refused == 0 && report.wrong == 0 && report.unanswered == 0
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
            let mut stream = TcpStream::connect(server.address).map_err(|e| e.to_string())?;
            let asked = stream
                .set_read_timeout(Some(Duration::from_secs(10)))
                .and_then(|()| stream.write_all(&question))
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

/// Fills the budget 2.2 times over, and counts.
///
/// # Errors
/// In words.
pub fn held(
    generator: &Generator,
    subject: &Subject,
    server: &Server,
    (memory_mib, value_bytes): (usize, usize),
) -> Result<Held, String> {
    let item_bytes = 20 + value_bytes + 25; // what the densest costs, about
    let keys = (memory_mib << 20) as f64 * 2.2 / item_bytes as f64;
    let refused = generator.preload(subject, server, keys as u32, value_bytes)?;
    let (question, name): (&str, &str) = match subject.kind {
        Kind::Flagstone => ("STATS\nQUIT\n", "items "),
        Kind::Memcached | Kind::Pogocache => ("stats\r\nquit\r\n", "STAT curr_items "),
        Kind::Redis | Kind::Valkey => ("DBSIZE\r\nQUIT\r\n", ":"),
        Kind::Echo(_) => return Err("a floor holds nothing".to_owned()),
    };
    let mut stream = TcpStream::connect(server.address).map_err(|error| error.to_string())?;
    let mut text = String::new();
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .and_then(|()| stream.write_all(question.as_bytes()))
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
