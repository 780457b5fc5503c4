//! A run from the first connection to the last reply: connect, preload, then in each round warm
//! up and measure.
//!
//! ```text
//!   several servers:   connect and preload A, B, C
//!   round 1            A warms up, is measured    B …    C …
//!   round 2            B …    C …    A …              each round begins with the next one
//! ```
//!
//! One server is asked at a time, so that none has the other's load beside it; the rounds go
//! round, so that what the machine does meanwhile hits all. What is counted of a server is one
//! sum over its rounds. A server that fails when rounds have begun is left out of the later ones.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use crate::failure::Failure;
use crate::keys::{PREFIX, prefix_of};
use crate::process::{self, CpuTime};
use crate::report::{Comparison, Measured, Report};
use crate::settings::{Length, Settings};
use crate::tally::{SLOT_NS, Tally};
use crate::tls::Client;
use crate::together::{Part, Task, together};
use crate::value::TypeCase;
use crate::worker::{Shared, Work, Worker};

/// Files that are open beside connections: the standard ones, epolls, reports.
const OTHER_FILES: u64 = 64;

/// Runs. `progress` shows a bar on standard error, if that is a terminal.
///
/// # Errors
/// When nothing was measured. Refusals and wrong values are no failures of the run: they are
/// counted in the report. A failure while it is measured is in the report, too, with all that
/// was counted before.
pub fn run(settings: &Settings, progress: bool) -> Result<Report, Failure> {
    let shared = prepare(std::slice::from_ref(settings))?;
    let mut session = Session::open(&shared[0], progress)?;
    for round in 0..settings.rounds {
        if let Err(failure) = session.warm_up() {
            if round == 0 {
                return Err(failure);
            }
            session.failure = Some(failure);
            break;
        }
        session.measure(round)?;
        if session.failure.is_some() {
            break;
        }
    }
    Ok(session.report())
}

/// Measures several servers in turns; see the head of the file. `progress` as in [`run`].
///
/// # Errors
/// When a server's settings cannot work, or it cannot be connected to or preloaded: a comparison
/// without it is not what was asked for. What happens later is in its report.
pub fn compare(servers: &[Settings], progress: bool) -> Result<Comparison, Failure> {
    let shared = prepare(servers)?;
    let named =
        |settings: &Settings, failure| Failure::Of(settings.shown_name(), Box::new(failure));
    let mut sessions = Vec::with_capacity(shared.len());
    for shared in &shared {
        let session = Session::open(shared, progress);
        sessions.push(session.map_err(|failure| named(shared.settings, failure))?);
    }
    let rounds = servers
        .iter()
        .map(|server| server.rounds)
        .max()
        .unwrap_or(0);
    for round in 0..rounds {
        for number in 0..sessions.len() {
            let at = (round + number) % sessions.len();
            let session = &mut sessions[at];
            if session.failure.is_some() {
                continue;
            }
            if let Err(failure) = session.warm_up().and_then(|()| session.measure(round)) {
                session.failure = Some(failure);
            }
        }
    }
    Ok(Comparison::new(
        sessions.into_iter().map(Session::report).collect(),
    ))
}

/// What all threads of each server will see.
fn prepare(servers: &[Settings]) -> Result<Vec<Shared<'_>>, Failure> {
    let limit = process::raise_open_files();
    let wanted: usize = servers.iter().map(|server| server.connections).sum();
    let threads: usize = servers.iter().map(|server| server.threads).sum();
    let shared = servers.iter().map(|settings| {
        settings.validate().map_err(Failure::Settings)?;
        if (wanted + threads) as u64 + OTHER_FILES > limit {
            return Err(Failure::OpenFiles { wanted, limit });
        }
        cpu_time(settings)?;
        Ok(Shared {
            settings,
            case: TypeCase::new(settings.value_bytes.max),
            prefix: match settings.key_prefix.as_str() {
                "" => PREFIX,
                text => prefix_of(text),
            },
            tls: settings
                .tls
                .as_ref()
                .map(Client::new)
                .transpose()
                .map_err(Failure::Settings)?,
            epoch: Instant::now(),
            stop: AtomicBool::new(false),
            done: AtomicU64::new(0),
        })
    });
    shared.collect()
}

/// Of the server's process, if that is wanted.
fn cpu_time(settings: &Settings) -> Result<Option<CpuTime>, Failure> {
    match settings.pid {
        Some(pid) => CpuTime::of(pid)
            .map(Some)
            .map_err(|error| Failure::System("the CPU time of --pid", error)),
        None => Ok(None),
    }
}

fn since_1970() -> Duration {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.unwrap_or_default()
}

/// A share of `total` for one of `of`, with nothing lost; `number` counts from 0.
fn share(total: u64, number: usize, of: usize) -> u64 {
    let of = of as u64;
    total / of + u64::from((number as u64) < total % of)
}

/// The same as a range.
fn range(total: u64, number: usize, of: usize) -> (u64, u64) {
    let from: u64 = (0..number).map(|before| share(total, before, of)).sum();
    (from, from + share(total, number, of))
}

/// One server, its connections, and what was counted so far.
struct Session<'s> {
    shared: &'s Shared<'s>,
    workers: Vec<Worker<'s>>,
    progress: bool,
    measured: Measured,
    tally: Tally,
    failure: Option<Failure>,
}

impl<'s> Session<'s> {
    /// Connects, and preloads if that is wanted.
    fn open(shared: &'s Shared<'s>, progress: bool) -> Result<Self, Failure> {
        let settings = shared.settings;
        let now = since_1970();
        let mut session = Session {
            shared,
            workers: Vec::new(),
            progress: progress && std::io::stderr().is_terminal(),
            measured: Measured {
                server_cpu_ns: settings.pid.map(|_| 0),
                generator_cpu_ns: Some(0),
                began: now,
                ended: now,
                ..Measured::default()
            },
            tally: Tally::new(0),
            failure: None,
        };
        session.connect()?;
        if settings.preload {
            let (keys, threads) = (u64::from(settings.keys), settings.threads);
            let part = Part::count(session.word("preloading"), keys);
            session.together(&part, &|number, worker, start_ns| {
                let (from, to) = range(keys, number, threads);
                let work = Work::Preload {
                    next: from as u32,
                    end: to as u32,
                };
                worker.run(work, start_ns, Tally::new(0))
            })?;
        }
        let mut preload = Tally::new(0);
        for worker in &mut session.workers {
            preload.add(std::mem::replace(&mut worker.tally, Tally::new(0)));
        }
        session.measured.preload_refused = preload.refused;
        session.measured.preload_first_refusal = preload.first_refusal;
        Ok(session)
    }

    /// Threads with connections of their own; those before are closed.
    fn connect(&mut self) -> Result<(), Failure> {
        let (shared, settings) = (self.shared, self.shared.settings);
        self.workers.clear();
        self.workers = (0..settings.threads)
            .map(|number| Worker::new(shared, number))
            .collect::<Result<Vec<_>, _>>()?;
        let all = settings.connections as u64;
        let part = Part::count(self.word("connecting"), all);
        self.together(&part, &|number, worker, _| {
            let (from, to) = range(all, number, settings.threads);
            worker.connect(from as usize, to as usize)
        })?;
        Ok(())
    }

    fn word(&self, word: &str) -> String {
        match self.shared.settings.name.as_str() {
            "" => word.to_owned(),
            name => format!("{name}: {word}"),
        }
    }

    fn together(&mut self, part: &Part, task: &Task<'_>) -> Result<u64, Failure> {
        let part = self.progress.then_some(part);
        together(self.shared, &mut self.workers, part, task)
    }

    /// Requests a second of one thread, if they are sent at fixed times.
    fn rate(&self) -> Option<f64> {
        let settings = self.shared.settings;
        settings.rate.map(|rate| rate / settings.threads as f64)
    }

    fn warm_up(&mut self) -> Result<(), Failure> {
        let (warmup, rate) = (self.shared.settings.warmup, self.rate());
        if warmup.is_zero() {
            return Ok(());
        }
        let part = Part::time(self.word("warming up"), warmup);
        self.together(&part, &|_, worker, start_ns| {
            let length = Length::Time(warmup);
            let work = work_of(length, rate, start_ns, |total| total);
            worker.run(work, start_ns, Tally::new(slots_of(length)))
        })?;
        let is_behind = |worker: &Worker<'_>| worker.tally.unanswered > 0;
        if self.workers.iter().any(is_behind) {
            return Err(Failure::Overrun);
        }
        Ok(())
    }

    /// Measures one round. What ends it early is kept beside what was counted until then.
    ///
    /// # Errors
    /// When the system does not tell what it told before.
    fn measure(&mut self, round: usize) -> Result<(), Failure> {
        let (shared, settings, rate) = (self.shared, self.shared.settings, self.rate());
        let length = match settings.length {
            Length::Requests(all) => Length::Requests(share(all, round, settings.rounds)),
            Length::Time(time) => Length::Time(time / settings.rounds as u32),
        };
        let part = match length {
            Length::Requests(requests) => Part::count(self.word("measuring"), requests),
            Length::Time(time) => Part::time(self.word("measuring"), time),
        };
        if round == 0 {
            self.measured.began = since_1970();
        }
        let before_ns = self.measured.elapsed_ns;
        let (cpu_before, own_before) = (cpu_time(settings)?, process::own_cpu_ns());
        let start_ns = AtomicU64::new(0);
        let ended = self.together(&part, &|number, worker, from_ns| {
            start_ns.store(from_ns, Ordering::Relaxed);
            let mine = |total| share(total, number, settings.threads);
            let work = work_of(length, rate, from_ns, mine);
            let tally = Tally::behind(before_ns, slots_of(settings.length));
            worker.run(work, from_ns, tally)
        });
        let (end_ns, start_ns) = (shared.now_ns(), start_ns.into_inner());
        self.failure = ended.err();
        let own_after = process::own_cpu_ns();
        let cpu_after = match cpu_time(settings) {
            // A server that has died has no process to ask.
            Err(_) if self.failure.is_some() => None,
            time => time?,
        };

        // After a failure, the time without a reply belongs to what was measured.
        let last_ns = match self.failure {
            None => self.workers.iter().map(|worker| worker.last_ns).max(),
            Some(_) => Some(end_ns),
        };
        let elapsed_ns = last_ns.unwrap_or(0).saturating_sub(start_ns).max(1);
        let mut tally = Tally::new(0);
        for worker in &mut self.workers {
            tally.add(std::mem::replace(&mut worker.tally, Tally::new(0)));
        }
        let measured = &mut self.measured;
        measured.ended = since_1970();
        measured.elapsed_ns += elapsed_ns;
        let replies = tally.count() - tally.unanswered;
        measured
            .rounds
            .push(replies as f64 * 1e9 / elapsed_ns as f64);
        let used = cpu_before.zip(cpu_after);
        let used = used.map(|(before, after)| after.since_ns(&before));
        measured.server_cpu_ns = measured.server_cpu_ns.zip(used).map(|(sum, ns)| sum + ns);
        let own = own_before.zip(own_after);
        let own = own.map(|(before, after)| after.saturating_sub(before));
        measured.generator_cpu_ns = measured.generator_cpu_ns.zip(own).map(|(sum, ns)| sum + ns);
        let resident = settings.pid.map(process::resident_bytes);
        measured.server_resident_bytes = resident.and_then(Result::ok);
        let is_behind = tally.unanswered > 0;
        self.tally.add(tally);
        if is_behind && self.failure.is_none() && round + 1 < settings.rounds {
            // Replies to what was given up would be taken for those of the next round.
            self.failure = self.connect().err();
        }
        Ok(())
    }

    fn report(mut self) -> Report {
        self.measured.failure = self.failure.map(|failure| failure.to_string());
        self.measured.elapsed_ns = self.measured.elapsed_ns.max(1);
        Report::new(self.shared.settings, &self.measured, self.tally)
    }
}

fn work_of(length: Length, rate: Option<f64>, start_ns: u64, share: impl Fn(u64) -> u64) -> Work {
    match (length, rate) {
        (Length::Requests(total), None) => Work::Requests(share(total)),
        (Length::Time(time), None) => Work::Until(start_ns + time.as_nanos() as u64),
        (Length::Requests(total), Some(rate)) => Work::Timetable {
            requests: share(total),
            rate,
        },
        // The rate is the thread's own already.
        (Length::Time(time), Some(rate)) => Work::Timetable {
            requests: (time.as_secs_f64() * rate).ceil() as u64,
            rate,
        },
    }
}

/// Slots that a run will fill, as far as is known: room for them is made before it.
fn slots_of(length: Length) -> usize {
    match length {
        Length::Time(time) => (time.as_nanos() as u64 / SLOT_NS) as usize + 20,
        Length::Requests(_) => 1200,
    }
}
