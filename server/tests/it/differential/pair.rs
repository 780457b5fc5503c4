//! A real memcached and a Flagstone, asked the same.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use flagstone_server::Running;

use super::generate::{Plan, render};
use super::replies::{CURRENT, Replies, kind};
use super::rng::Rng;
use crate::common;

/// One of the two.
enum Subject {
    Memcached { child: Child, socket: PathBuf },
    Flagstone(Running),
}

impl Drop for Subject {
    fn drop(&mut self) {
        if let Subject::Memcached { child, .. } = self {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Both kinds of stream.
trait Duplex: Write {
    fn reader(&self) -> Box<dyn Read + Send>;
    fn half_close(&self);
}

impl Duplex for UnixStream {
    fn reader(&self) -> Box<dyn Read + Send> {
        self.set_read_timeout(Some(common::PATIENCE))
            .expect("settable");
        Box::new(self.try_clone().expect("clones"))
    }

    fn half_close(&self) {
        let _ = self.shutdown(Shutdown::Write);
    }
}

impl Duplex for TcpStream {
    fn reader(&self) -> Box<dyn Read + Send> {
        Box::new(self.try_clone().expect("clones"))
    }

    fn half_close(&self) {
        let _ = self.shutdown(Shutdown::Write);
    }
}

impl Subject {
    fn memcached(program: &str, socket: PathBuf) -> Self {
        let child = Command::new(program)
            .arg("-s")
            .arg(&socket)
            // The user counts for root only.
            .args(["-m", "256", "-t", "1", "-u", "root"])
            .stderr(Stdio::null())
            .spawn()
            .expect("memcached starts");
        common::wait_until("memcached listens", || UnixStream::connect(&socket).is_ok());
        Subject::Memcached { child, socket }
    }

    fn connect(&self) -> Box<dyn Duplex> {
        match self {
            Subject::Memcached { socket, .. } => {
                Box::new(UnixStream::connect(socket).expect("connects"))
            }
            Subject::Flagstone(server) => Box::new(common::connect(server)),
        }
    }

    /// Sends all, half-closes, and returns everything until the end.
    fn ask(&self, parts: &[&[u8]], pause: bool) -> Vec<u8> {
        let mut stream = self.connect();
        let mut reader = stream.reader();
        std::thread::scope(|scope| {
            let replies = scope.spawn(move || {
                let mut replies = Vec::new();
                // A reset after a hang-up is as good as a FIN.
                let _ = reader.read_to_end(&mut replies);
                replies
            });
            for (no, part) in parts.iter().enumerate() {
                if stream.write_all(part).is_err() {
                    break;
                }
                // Sometimes the server is to see the cut.
                if pause && no < 20 {
                    std::thread::sleep(Duration::from_micros(300));
                }
            }
            stream.half_close();
            replies.join().expect("reads")
        })
    }
}

pub struct Pair {
    theirs: Subject,
    ours: Subject,
    directory: PathBuf,
    version: (u32, u32, u32),
    /// How many plans were played: each has keys of its own.
    run: u32,
    cuts: Rng,
}

impl Drop for Pair {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

impl Pair {
    /// `None`, and a word about it, where there is no memcached.
    pub fn start(test: &str) -> Option<Self> {
        let program = std::env::var("TEST_MEMCACHED").unwrap_or_else(|_| "memcached".into());
        let Ok(output) = Command::new(&program).arg("-V").output() else {
            assert!(
                std::env::var("CI").as_deref() != Ok("true"),
                "CI must have memcached (package memcached)"
            );
            let _ = writeln!(std::io::stderr(), "SKIPPED {test}: memcached not installed");
            return None;
        };
        let directory = std::env::temp_dir().join(format!("fs-diff-{}-{test}", std::process::id()));
        std::fs::create_dir_all(&directory).expect("a directory");
        let ours = match std::env::var("TEST_DIFFERENTIAL_SUBJECT") {
            Ok(other) => Subject::memcached(&other, directory.join("other")),
            Err(_) => Subject::Flagstone(common::start()),
        };
        let pair = Pair {
            theirs: Subject::memcached(&program, directory.join("m")),
            ours,
            directory,
            version: parse_version(&String::from_utf8_lossy(&output.stdout)),
            run: 0,
            cuts: Rng::new(7),
        };
        // So that CAS numbers are larger than the one that no test item has.
        let some = b"set before 0 0 1\r\nx\r\ngets before\r\n".repeat(20);
        pair.theirs.ask(&[&some], false);
        pair.ours.ask(&[&some], false);
        Some(pair)
    }

    /// Whether memcached is older than the version that Flagstone follows.
    pub fn is_old(&self) -> bool {
        self.version < CURRENT
    }

    fn replies(&self) -> Replies {
        Replies {
            refusals_are_one: self.is_old(),
            ..Replies::default()
        }
    }

    /// Both answers to one connection's bytes, compared as exactly as can be.
    pub fn both(&mut self, input: &[u8]) -> (Replies, Replies) {
        let exact = || Replies {
            compares_hit: true,
            ..Replies::default()
        };
        let (mut theirs, mut ours) = (exact(), exact());
        theirs.add(&self.theirs.ask(&[input], false));
        ours.add(&self.ours.ask(&cut(input, &mut self.cuts), false));
        (theirs, ours)
    }

    /// What both answer to one connection's bytes, ours cut; each is told its own, because CAS numbers in them are.
    pub fn raw(&mut self, for_them: &[u8], for_us: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let theirs = self.theirs.ask(&[for_them], false);
        let pause = self.cuts.once_in(4);
        let parts = cut(for_us, &mut self.cuts);
        (theirs, self.ours.ask(&parts, pause))
    }

    /// Plays the plan on fresh keys, a connection a segment. `Some`: how the replies differ.
    pub fn play(&mut self, plan: &Plan, kinds: &mut BTreeSet<String>) -> Option<String> {
        self.run += 1;
        let (mut theirs, mut ours) = (self.replies(), self.replies());
        let mut sent = Vec::new();
        let mut cuts = Rng::new(plan.seed);
        for segment in &plan.segments {
            let for_them = render(segment, self.run, &theirs.cas_of);
            let for_us = render(segment, self.run, &ours.cas_of);
            theirs.add(&self.theirs.ask(&[&for_them.concat()], false));
            let bytes = for_us.concat();
            let pause = cuts.once_in(4);
            ours.add(&self.ours.ask(&cut(&bytes, &mut cuts), pause));
            sent.extend(for_us);
            sent.push(b"(next connection)".to_vec());
        }
        kinds.extend(ours.units.iter().map(|unit| kind(unit).to_owned()));
        (theirs.units != ours.units).then(|| report(&sent, &theirs, &ours))
    }
}

/// The requests, and the replies from the last equal one on.
pub fn report(sent: &[Vec<u8>], theirs: &Replies, ours: &Replies) -> String {
    let equal = theirs.units.iter().zip(&ours.units);
    let equal = equal.take_while(|(a, b)| a == b).count();
    let from = equal.saturating_sub(1);
    let rest = |replies: &Replies| {
        let units = &replies.units[from.min(replies.units.len())..];
        units[..units.len().min(4)].join(" | ")
    };
    let requests: Vec<String> = sent.iter().map(|bytes| show(bytes)).collect();
    format!(
        "  {}\n  {equal} equal replies, then\n  memcached: {}\n  Flagstone: {}",
        requests.join("\n  "),
        rest(theirs),
        rest(ours)
    )
}

/// Enough of a request to type it again.
fn show(bytes: &[u8]) -> String {
    const MOST: usize = 700;
    match bytes.get(..MOST) {
        Some(head) => format!("{}… ({} bytes)", head.escape_ascii(), bytes.len()),
        None => bytes.escape_ascii().to_string(),
    }
}

/// Few cuts or many, at any byte.
fn cut<'a>(bytes: &'a [u8], rng: &mut Rng) -> Vec<&'a [u8]> {
    let longest = match rng.below(4) {
        0 => return vec![bytes],
        1 => 7,
        2 => 100,
        _ => 3000,
    };
    // A large value byte by byte would take minutes.
    let longest = longest.max(bytes.len() / 500);
    let mut parts = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let len = (1 + rng.below(longest)).min(rest.len());
        let (part, more) = rest.split_at(len);
        parts.push(part);
        rest = more;
    }
    parts
}

fn parse_version(text: &str) -> (u32, u32, u32) {
    let number = text.split_whitespace().last().unwrap_or_default();
    let mut parts = number.split('.').map(|part| {
        let digits: String = part.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().unwrap_or(0)
    });
    let mut next = || parts.next().unwrap_or(0);
    (next(), next(), next())
}
