//! What the governor knows about the container's memory, for the workers and for those who report it.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};

use super::cgroup::{Figures, Gauge};

/// Of the looks at what is charged, one in so many is at the limit as well: every few milliseconds while there is
/// traffic. One that is lowered leaves what is free at that moment, which lasts no longer.
const LOOKS_PER_LIMIT: u32 = 4;

/// What the governor knows, for those who ask: it alone writes. 0 stands for "not known" and
/// "no limit".
#[derive(Debug, Default)]
pub struct Board {
    pub limit_bytes: AtomicU64,
    pub memory_bytes: AtomicU64,
    pub connection_bytes: AtomicU64,
    pub usage_bytes: AtomicU64,
    pub socket_bytes: AtomicU64,
    pub at_limit_count: AtomicU64,
    pub kill_count: AtomicU64,
    pub pressure_hundredths: AtomicU64,
    sockets_over: AtomicBool,
    /// What is charged to the container, and may be, in files that are made anew for each read.
    gauge: OnceLock<Gauge>,
    /// With more than this charged, the cache gives way …
    allowed_bytes: AtomicU64,
    /// … and with so much less, because the limit was lowered since the governor looked.
    lowered_bytes: AtomicU64,
    /// How often somebody has looked.
    looks: AtomicU32,
    /// Pages that the cache is to have: what is given up beyond that is excess.
    pages_wanted: AtomicUsize,
    /// What the cache has given up because more was charged than is planned.
    excess_bytes: AtomicUsize,
    /// More is charged than may be, and the cache has nothing left to give.
    is_tight: AtomicBool,
    /// What a client has asked the whole process to be content with; 0: nobody has.
    wish_bytes: AtomicUsize,
}

impl Board {
    /// From now on what is charged can be looked at.
    pub fn watch(&self, gauge: Option<Gauge>) {
        if let Some(gauge) = gauge {
            let _ = self.gauge.set(gauge);
        }
    }

    /// Whether anything can be looked at.
    pub fn is_watched(&self) -> bool {
        self.gauge.get().is_some()
    }

    /// How much more is charged than may be. One read of a small file, and now and then of those with limits.
    pub fn over_bytes(&self) -> usize {
        let Some(gauge) = self.gauge.get() else {
            return 0;
        };
        let is_due = self
            .looks
            .fetch_add(1, Relaxed)
            .is_multiple_of(LOOKS_PER_LIMIT);
        if is_due && let Some(Some(limit_bytes)) = gauge.limit_bytes() {
            let lowered = self.limit_bytes.load(Relaxed).saturating_sub(limit_bytes);
            self.lowered_bytes.store(lowered, Relaxed);
        }
        let allowed = self.allowed_bytes.load(Relaxed);
        let allowed = allowed.saturating_sub(self.lowered_bytes.load(Relaxed));
        let over = gauge.usage_bytes().unwrap_or(0).saturating_sub(allowed);
        usize::try_from(over).unwrap_or(usize::MAX)
    }

    /// The governor plans with this limit from now on. If it was lowered, what the cache has given up for that already is no
    /// longer beyond the plan.
    pub fn follow_limit(&self, limit: Option<u64>) {
        let limit = limit.unwrap_or(0);
        let known = self.limit_bytes.swap(limit, Relaxed);
        self.lowered_bytes.store(0, Relaxed);
        if limit > 0 {
            let lowered = known.saturating_sub(limit);
            self.lessen_excess(usize::try_from(lowered).unwrap_or(usize::MAX));
        }
    }

    /// Sets the pages that the cache is to have.
    pub fn want_pages(&self, pages: usize) {
        self.pages_wanted.store(pages, Relaxed);
    }

    /// The cache went from `before` pages to `after`: says how many of them it has given up beyond what it is to give.
    pub fn pages_beyond(&self, before: usize, after: usize) -> usize {
        // Down to what it is to have anyway, nothing is given up beyond the plan.
        let wanted = self.pages_wanted.load(Relaxed);
        let beyond = before.min(wanted).saturating_sub(after);
        self.pages_wanted.fetch_sub(beyond, Relaxed);
        beyond
    }

    /// Sets from where on the cache gives way; 0: never.
    pub fn allow_bytes(&self, bytes: u64) {
        self.allowed_bytes.store(bytes, Relaxed);
    }

    /// Sets what the whole process is to be content with, as long as the limit allows more.
    pub fn wish(&self, bytes: usize) {
        self.wish_bytes.store(bytes, Relaxed);
    }

    /// That wish, if there is one.
    pub fn wish_bytes(&self) -> Option<usize> {
        Some(self.wish_bytes.load(Relaxed)).filter(|&bytes| bytes > 0)
    }

    /// What the cache has given up beyond the plan.
    pub fn excess_bytes(&self) -> usize {
        self.excess_bytes.load(Relaxed)
    }

    /// It gives up more, up to `most` in all.
    pub fn add_excess(&self, bytes: usize, most: usize) {
        let sum = |excess: usize| Some(excess.saturating_add(bytes).min(most));
        let _ = self.excess_bytes.fetch_update(Relaxed, Relaxed, sum);
    }

    /// It takes some of that back.
    pub fn lessen_excess(&self, bytes: usize) {
        let rest = |excess: usize| Some(excess.saturating_sub(bytes));
        let _ = self.excess_bytes.fetch_update(Relaxed, Relaxed, rest);
    }

    /// Whether more is charged than may be although the cache has given all it can.
    pub fn is_tight(&self) -> bool {
        self.is_tight.load(Relaxed)
    }

    /// Sets that.
    pub fn set_tight(&self, is_tight: bool) {
        // Read by every worker before many turns: written only when it changes.
        if is_tight != self.is_tight() {
            self.is_tight.store(is_tight, Relaxed);
        }
    }

    /// The limit and what is made of it.
    pub fn publish(&self, memory_bytes: usize, connection_bytes: usize) {
        self.memory_bytes.store(memory_bytes as u64, Relaxed);
        self.connection_bytes
            .store(connection_bytes as u64, Relaxed);
    }

    /// What the kernel says.
    pub fn note(&self, figures: &Figures) {
        let usage_bytes = figures.usage_bytes.unwrap_or(0);
        self.usage_bytes.store(usage_bytes, Relaxed);
        let socket_bytes = figures.socket_bytes.unwrap_or(0);
        self.socket_bytes.store(socket_bytes, Relaxed);
        self.at_limit_count.store(figures.at_limit_count, Relaxed);
        self.kill_count.store(figures.kill_count, Relaxed);
        self.pressure_hundredths
            .store(figures.pressure_hundredths, Relaxed);
    }

    /// All of it, for a snapshot.
    pub fn figures(&self) -> BoardFigures {
        BoardFigures {
            limit_bytes: self.limit_bytes.load(Relaxed),
            memory_bytes: self.memory_bytes.load(Relaxed),
            connection_bytes: self.connection_bytes.load(Relaxed),
            usage_bytes: self.usage_bytes.load(Relaxed),
            socket_bytes: self.socket_bytes.load(Relaxed),
            at_limit_count: self.at_limit_count.load(Relaxed),
            kill_count: self.kill_count.load(Relaxed),
            pressure_hundredths: self.pressure_hundredths.load(Relaxed),
        }
    }

    /// Whether the kernel holds more for sockets than the plan has for them.
    pub fn set_sockets_over(&self, over: bool) {
        self.sockets_over.store(over, Relaxed);
    }

    /// What was set last.
    pub fn are_sockets_over(&self) -> bool {
        self.sockets_over.load(Relaxed)
    }
}

/// What stood on the [`Board`] a moment ago.
#[derive(Clone, Copy, Debug, Default)]
#[allow(missing_docs)] // The fields of `Board`.
pub struct BoardFigures {
    pub limit_bytes: u64,
    pub memory_bytes: u64,
    pub connection_bytes: u64,
    pub usage_bytes: u64,
    pub socket_bytes: u64,
    pub at_limit_count: u64,
    pub kill_count: u64,
    pub pressure_hundredths: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Until the governor has heard of it, which may be a tenth of a second later, and afterwards.
    #[test]
    fn a_lowered_limit_is_seen_by_whoever_looks_and_counts_once() {
        let dir = std::env::temp_dir().join(format!("flagstone-board-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("made");
        let file = |name: &str, text: &str| {
            std::fs::write(dir.join(name), text).expect("writes");
            std::fs::File::open(dir.join(name)).expect("there")
        };
        let board = Board::default();
        let limits = vec![file("own", "1000\n"), file("above", "max\n")];
        board.watch(Some(Gauge::of(file("usage", "900\n"), limits)));
        board.follow_limit(Some(1000));
        board.allow_bytes(950);
        let looks = || (0..LOOKS_PER_LIMIT).map(|_| board.over_bytes()).max();
        assert_eq!(looks(), Some(0));
        std::fs::write(dir.join("above"), "800\n").expect("writes");
        assert_eq!(looks(), Some(150), "the limit of all is the least");
        // The cache gives that up, and the governor learns of the limit: what it plans with is less, and nothing is
        // given up beyond it.
        board.add_excess(150, 1000);
        board.follow_limit(Some(800));
        board.allow_bytes(750);
        assert_eq!((looks(), board.excess_bytes()), (Some(150), 0));
        // A limit that is raised changes nothing before the governor follows it.
        std::fs::write(dir.join("above"), "max\n").expect("writes");
        assert_eq!(looks(), Some(150));
        let _ = std::fs::remove_dir_all(dir);
    }
}
