//! What the operating system says about processes: the server's CPU time and memory, and how
//! many files this one may open.

use std::collections::BTreeMap;
use std::fs;
use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The CPU time of a process at one moment, thread by thread.
///
/// The scheduler's own count (`schedstat`) is exact, but a thread takes its count along when it
/// ends; so readings are compared thread by thread, and what is left out is only what a thread
/// had between a reading and its end. Where the kernel keeps no such count, the ticks of `stat`
/// must do: 10 ms each, over a whole run.
#[derive(Clone, Debug)]
pub struct CpuTime {
    /// Thread and nanoseconds, in the order of threads; all ticks together are "thread" 0.
    threads: BTreeMap<u32, u64>,
}

impl CpuTime {
    /// Of a process, now.
    ///
    /// # Errors
    /// When there is no such process, or it is not ours to look at.
    pub fn of(pid: u32) -> io::Result<Self> {
        let mut threads = BTreeMap::new();
        for task in fs::read_dir(format!("/proc/{pid}/task"))? {
            let task = task?;
            let thread = task.file_name().to_str().and_then(|name| name.parse().ok());
            // A thread may end between the two looks at it.
            let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
            let ns = text.split(' ').next().and_then(|word| word.parse().ok());
            if let (Some(thread), Some(ns @ 1..)) = (thread, ns) {
                threads.insert(thread, ns);
            }
        }
        if threads.is_empty() {
            let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
            let ticks = ticks_of(&text).ok_or_else(|| io::Error::other("a stat without times"))?;
            let tick_ns = 1_000_000_000 / rustix::param::clock_ticks_per_second();
            threads.insert(0, ticks * tick_ns);
        }
        Ok(CpuTime { threads })
    }

    /// Nanoseconds since an earlier reading of the same process.
    #[must_use]
    pub fn since_ns(&self, earlier: &CpuTime) -> u64 {
        self.threads
            .iter()
            .map(|(thread, ns)| {
                let before = earlier.threads.get(thread).copied().unwrap_or(0);
                ns.saturating_sub(before)
            })
            .sum()
    }
}

/// User and system ticks of a `stat` line. The command in its parentheses may hold spaces.
fn ticks_of(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut words = rest.split(' ').skip(11);
    let user: u64 = words.next()?.parse().ok()?;
    let system: u64 = words.next()?.parse().ok()?;
    Some(user + system)
}

/// What this process has had so far, threads that have ended included, in nanoseconds: ticks of 10 ms.
#[must_use]
pub fn own_cpu_ns() -> Option<u64> {
    let text = fs::read_to_string("/proc/self/stat").ok()?;
    let tick_ns = 1_000_000_000 / rustix::param::clock_ticks_per_second();
    Some(ticks_of(&text)? * tick_ns)
}

/// The memory that a process has resident, in bytes.
///
/// # Errors
/// When there is no such process.
pub fn resident_bytes(pid: u32) -> io::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.map(|kib| kib << 10)
        .ok_or_else(|| io::Error::other("a status without VmRSS"))
}

/// Raises the soft limit of open files to the hard one and returns it.
#[must_use]
pub fn raise_open_files() -> u64 {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // A refusal leaves the soft limit, and that is what is returned.
    let _ = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: maximum,
            maximum,
        },
    );
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn a_busy_thread_is_seen() {
        let pid = std::process::id();
        let before = CpuTime::of(pid).expect("our own process");
        let spent_ns = || CpuTime::of(pid).expect("our own process").since_ns(&before);
        let start = Instant::now();
        // However long the machine lets this thread wait for its turns.
        while spent_ns() < 20_000_000 {
            assert!(start.elapsed() < Duration::from_secs(60), "no time is seen");
        }
        assert!(own_cpu_ns().expect("ours") >= 10_000_000);
        assert!(resident_bytes(pid).expect("our own process") > 1 << 20);
        assert!(CpuTime::of(u32::MAX).is_err());
    }

    #[test]
    fn threads_that_come_and_go_do_not_count_backwards() {
        let at = |threads: &[(u32, u64)]| CpuTime {
            threads: threads.iter().copied().collect(),
        };
        let earlier = at(&[(1, 100), (2, 9000)]);
        assert_eq!(at(&[(1, 150), (2, 9001)]).since_ns(&earlier), 51);
        assert_eq!(at(&[(1, 150)]).since_ns(&earlier), 50, "2 has ended");
        assert_eq!(at(&[(1, 150), (3, 7)]).since_ns(&earlier), 57, "3 is new");
    }

    #[test]
    fn ticks_are_found_behind_any_name() {
        let stat = "12 (a) b) S 1 12 12 0 -1 4194560 1 2 3 4 70 30 5 6 20 0 1 0";
        assert_eq!(ticks_of(stat), Some(100));
        assert_eq!(ticks_of("12 (a"), None);
    }
}
