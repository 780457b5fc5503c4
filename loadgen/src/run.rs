//! A run from the first connection to the last reply: connect, preload, warm up, measure.
//!
//! All threads begin each part together. Threads are started anew for each part: that costs
//! microseconds, and leaves no barrier at which the survivors of a failure could wait.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use indicatif::{ProgressBar, ProgressStyle};

use crate::failure::Failure;
use crate::keys::{PREFIX, prefix_of};
use crate::process::{self, CpuTime};
use crate::report::{Measured, Report};
use crate::settings::{Length, Settings};
use crate::tally::{SLOT_NS, Tally};
use crate::tls::Client;
use crate::value::TypeCase;
use crate::worker::{Shared, Work, Worker};

/// Between the order to start and the start: every thread stands ready by then.
const START_NS: u64 = 1_000_000;
/// Files that are open beside connections: the standard ones, epolls, reports.
const OTHER_FILES: u64 = 64;

/// Runs. `progress` shows a bar on standard error, if that is a terminal.
///
/// # Errors
/// When nothing was measured. Refusals and wrong values are no failures of the run: they are
/// counted in the report. A failure while it is measured is in the report, too, with all that
/// was counted before.
pub fn run(settings: &Settings, progress: bool) -> Result<Report, Failure> {
    settings.validate().map_err(Failure::Settings)?;
    let limit = process::raise_open_files();
    if settings.connections as u64 + OTHER_FILES + settings.threads as u64 > limit {
        return Err(Failure::OpenFiles {
            wanted: settings.connections,
            limit,
        });
    }
    let cpu_time = || match settings.pid {
        Some(pid) => CpuTime::of(pid)
            .map(Some)
            .map_err(|error| Failure::System("the CPU time of --pid", error)),
        None => Ok(None),
    };
    cpu_time()?;
    let shared = Shared {
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
    };
    let mut workers = (0..settings.threads)
        .map(|number| Worker::new(&shared, number))
        .collect::<Result<Vec<_>, _>>()?;
    let progress = progress && std::io::stderr().is_terminal();
    let together = |workers: &mut Vec<Worker<'_>>, part: Part, task: &Task<'_>| {
        together(&shared, workers, progress.then_some(&part), task)
    };

    let share = |number: usize| {
        let (threads, all) = (settings.threads as u64, number as u64);
        move |total: u64| total / threads + u64::from(all < total % threads)
    };
    let range = |number: usize, total: u64| {
        let from: u64 = (0..number).map(|before| share(before)(total)).sum();
        (from, from + share(number)(total))
    };

    let part = Part::count("connecting", settings.connections as u64);
    together(&mut workers, part, &|number, worker, _| {
        let (from, to) = range(number, settings.connections as u64);
        worker.connect(from as usize, to as usize)
    })?;
    if settings.preload {
        let part = Part::count("preloading", u64::from(settings.keys));
        together(&mut workers, part, &|number, worker, start_ns| {
            let (from, to) = range(number, u64::from(settings.keys));
            let work = Work::Preload {
                next: from as u32,
                end: to as u32,
            };
            worker.run(work, start_ns, Tally::new(0))
        })?;
    }
    let mut preload = Tally::new(0);
    for worker in &mut workers {
        preload.add(std::mem::replace(&mut worker.tally, Tally::new(0)));
    }
    let rate = settings.rate.map(|rate| rate / settings.threads as f64);
    if !settings.warmup.is_zero() {
        let part = Part::time("warming up", settings.warmup);
        together(&mut workers, part, &|_, worker, start_ns| {
            let length = Length::Time(settings.warmup);
            let work = work_of(length, rate, start_ns, |total| total);
            worker.run(work, start_ns, Tally::new(slots_of(length)))
        })?;
        if workers.iter().any(|worker| worker.tally.unanswered > 0) {
            return Err(Failure::Overrun);
        }
    }

    let part = match settings.length {
        Length::Requests(requests) => Part::count("measuring", requests),
        Length::Time(time) => Part::time("measuring", time),
    };
    let began = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let (cpu_before, own_before) = (cpu_time()?, process::own_cpu_ns());
    let start_ns = AtomicU64::new(0);
    let ended = together(&mut workers, part, &|number, worker, from_ns| {
        start_ns.store(from_ns, Ordering::Relaxed);
        let work = work_of(settings.length, rate, from_ns, share(number));
        worker.run(work, from_ns, Tally::new(slots_of(settings.length)))
    });
    let (end_ns, start_ns) = (shared.now_ns(), start_ns.into_inner());
    let failure = ended.err();
    let own_after = process::own_cpu_ns();
    let cpu_after = match cpu_time() {
        // A server that has died has no process to ask.
        Err(_) if failure.is_some() => None,
        time => time?,
    };

    // After a failure, the time without a reply belongs to what was measured.
    let last_ns = match failure {
        None => workers.iter().map(|worker| worker.last_ns).max(),
        Some(_) => Some(end_ns),
    };
    let mut tally = Tally::new(0);
    for worker in workers {
        tally.add(worker.tally);
    }
    Ok(Report::new(
        settings,
        &Measured {
            elapsed_ns: last_ns.unwrap_or(0).saturating_sub(start_ns).max(1),
            server_cpu_ns: cpu_before
                .zip(cpu_after)
                .map(|(before, after)| after.since_ns(&before)),
            server_resident_bytes: settings
                .pid
                .and_then(|pid| process::resident_bytes(pid).ok()),
            preload_refused: preload.refused,
            preload_first_refusal: preload.first_refusal,
            began: began.unwrap_or_default(),
            failure: failure.map(|failure| failure.to_string()),
            generator_cpu_ns: own_before
                .zip(own_after)
                .map(|(before, after)| after.saturating_sub(before)),
        },
        tally,
    ))
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

type Task<'t> = dyn Fn(usize, &mut Worker<'_>, u64) -> Result<(), Failure> + Sync + 't;

/// What the progress bar says.
struct Part {
    name: &'static str,
    count: u64,
    time: Option<Duration>,
}

impl Part {
    fn count(name: &'static str, count: u64) -> Self {
        Part {
            name,
            count,
            time: None,
        }
    }

    fn time(name: &'static str, time: Duration) -> Self {
        Part {
            name,
            count: time.as_millis() as u64,
            time: Some(time),
        }
    }

    fn bar(&self) -> ProgressBar {
        let bar = ProgressBar::new(self.count);
        let style = ProgressStyle::with_template("{msg:>10} [{bar:40}] {percent:>3} %, {prefix}");
        bar.set_style(style.expect("a constant template").progress_chars("=> "));
        bar.set_message(self.name);
        bar
    }
}

/// Every thread does `task`, from the returned start on.
fn together(
    shared: &Shared<'_>,
    workers: &mut Vec<Worker<'_>>,
    part: Option<&Part>,
    task: &Task<'_>,
) -> Result<u64, Failure> {
    shared.done.store(0, Ordering::Relaxed);
    let start_ns = shared.now_ns() + START_NS;
    let mut failure = None;
    thread::scope(|scope| {
        let threads: Vec<_> = workers
            .iter_mut()
            .enumerate()
            .map(|(number, worker)| {
                scope.spawn(move || {
                    while let Some(early @ 1..) = start_ns.checked_sub(shared.now_ns()) {
                        thread::sleep(Duration::from_nanos(early));
                    }
                    let result = task(number, worker, start_ns);
                    if result.is_err() {
                        shared.stop.store(true, Ordering::Relaxed);
                    }
                    result
                })
            })
            .collect();
        if let Some(part) = part {
            show(shared, part, || threads.iter().all(|t| t.is_finished()));
        }
        for thread in threads {
            match thread.join() {
                Ok(result) => failure = failure.take().or(result.err()),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    });
    match failure {
        Some(failure) => Err(failure),
        None => Ok(start_ns),
    }
}

/// Draws the bar until `is_over`.
fn show(shared: &Shared<'_>, part: &Part, is_over: impl Fn() -> bool) {
    let bar = part.bar();
    let start = Instant::now();
    let (mut before, mut before_at) = (0, start);
    while !is_over() {
        thread::sleep(Duration::from_millis(20));
        if before_at.elapsed() < Duration::from_millis(200) {
            continue;
        }
        let done = shared.done.load(Ordering::Relaxed);
        let rate = (done - before) as f64 / before_at.elapsed().as_secs_f64();
        (before, before_at) = (done, Instant::now());
        bar.set_prefix(format!("{rate:.0}/s"));
        bar.set_position(match part.time {
            Some(_) => (start.elapsed().as_millis() as u64).min(part.count),
            None => done,
        });
    }
    bar.finish_and_clear();
}
