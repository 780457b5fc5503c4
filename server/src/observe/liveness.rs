//! Whether a thread that has shown no sign of life for long is stuck, or has long work to do.
//!
//! `/livez` says no only if a restart would help. A worker in the middle of a long legal job, one
//! that waits for the CPU because others have it, or for a disk, is not made faster by one; a
//! worker that waits for something that never comes is. So a silent thread is asked for at the
//! kernel: is it running, and what has it used since its last sign?
//!
//! | silent for | runs, waits for a CPU or a disk, or used half of the time | sleeps |
//! |---|---|---|
//! | up to 10 s | alive | alive |
//! | up to 2 min | busy | stuck |
//! | longer | stuck: no job takes so long | stuck |

use std::io::Read;
use std::time::Duration;

/// Each thread shows a sign every second at least; without one for so long, it is looked at.
pub const SILENT_FOR_MAX: Duration = Duration::from_secs(10);
/// No job takes so long.
const JOB_MAX: Duration = Duration::from_secs(120);

/// How a thread fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Liveness {
    /// It has shown a sign lately.
    Alive,
    /// It has not, because it works or may not run.
    Busy,
    /// It has not, and will not.
    Stuck,
}

/// What the kernel says about a thread.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// Its state, as `ps` has it: R runs or could, S sleeps, D waits for a disk.
    state: u8,
    /// CPU time used so far.
    cpu_micros: u64,
}

impl Look {
    /// Looks at a thread of this process; `None` where the kernel does not tell.
    pub fn at(thread_id: u64) -> Option<Look> {
        let path = format!("/proc/self/task/{thread_id}/stat");
        let mut text = [0; 512];
        let read = std::fs::File::open(path).and_then(|mut file| file.read(&mut text));
        Self::parse(&text[..read.ok()?])
    }

    /// The thread's name may hold anything, but ends at the last parenthesis; behind it are its
    /// state and, 11 fields later, two times in hundredths of a second.
    fn parse(text: &[u8]) -> Option<Look> {
        let end = text.iter().rposition(|&byte| byte == b')')?;
        let mut fields = std::str::from_utf8(&text[end + 1..])
            .ok()?
            .split_ascii_whitespace();
        let state = *fields.next()?.as_bytes().first()?;
        let mut times = fields.skip(10).map(str::parse::<u64>);
        let (user, system) = (times.next()?.ok()?, times.next()?.ok()?);
        Some(Look {
            state,
            cpu_micros: (user + system) * 10_000,
        })
    }
}

/// Judges a thread that has been silent for so long, having used so much CPU time until then.
pub fn judge(
    silent_for: Duration,
    cpu_micros: u64,
    look: impl FnOnce() -> Option<Look>,
) -> Liveness {
    if silent_for <= SILENT_FOR_MAX {
        return Liveness::Alive;
    }
    let is_busy = |look: Look| {
        let used = Duration::from_micros(look.cpu_micros.saturating_sub(cpu_micros));
        matches!(look.state, b'R' | b'D') || used * 2 >= silent_for
    };
    match silent_for <= JOB_MAX && look().is_some_and(is_busy) {
        true => Liveness::Busy,
        false => Liveness::Stuck,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_thread_is_stuck_only_if_it_does_not_work() {
        use Liveness::{Alive, Busy, Stuck};
        // Silent for so many seconds, state, CPU seconds since the last sign.
        for (silent, state, used, expected) in [
            (0, b'S', 0, Alive),
            (10, b'S', 0, Alive),
            (11, b'S', 0, Stuck),
            (11, b'S', 5, Stuck),
            (11, b'S', 6, Busy),
            (11, b'R', 0, Busy),
            (11, b'D', 0, Busy),
            (120, b'R', 120, Busy),
            (121, b'R', 121, Stuck),
        ] {
            let look = Look {
                state,
                cpu_micros: 7_000_000 + used * 1_000_000,
            };
            let judged = judge(Duration::from_secs(silent), 7_000_000, || Some(look));
            assert_eq!(judged, expected, "{silent} {} {used}", char::from(state));
        }
        assert_eq!(judge(Duration::from_secs(11), 0, || None), Stuck);
    }

    #[test]
    fn the_kernel_tells_of_a_thread() {
        let look =
            Look::parse(b"7 (a) (b c) R 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20").expect("a look");
        assert_eq!((look.state, look.cpu_micros), (b'R', 2_000_000));
        let own = rustix::thread::gettid().as_raw_nonzero().get();
        let look = Look::at(own as u64).expect("this thread is there");
        assert_eq!(look.state, b'R');
        assert!(Look::at(u64::MAX).is_none());
    }
}
