//! One part of a run, on all threads at once, and its bar on the terminal.
//!
//! All threads begin a part together. Threads are started anew for each part: that costs
//! microseconds, and leaves no barrier at which the survivors of a failure could wait.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::failure::Failure;
use crate::worker::{Shared, Worker};

/// Between the order to start and the start: every thread stands ready by then.
const START_NS: u64 = 1_000_000;

/// What a thread does: its number, itself, and when the part begins on the run's clock.
pub(crate) type Task<'t> = dyn Fn(usize, &mut Worker<'_>, u64) -> Result<(), Failure> + Sync + 't;

/// What the progress bar says.
pub(crate) struct Part {
    name: String,
    count: u64,
    time: Option<Duration>,
}

impl Part {
    pub fn count(name: String, count: u64) -> Self {
        Part {
            name,
            count,
            time: None,
        }
    }

    pub fn time(name: String, time: Duration) -> Self {
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
        bar.set_message(self.name.clone());
        bar
    }
}

/// Every thread does `task`, from the returned start on.
pub(crate) fn together(
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
