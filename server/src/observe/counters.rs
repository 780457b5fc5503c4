//! What is counted, and how it is told.
//!
//! Each worker has [`Counters`] of its own, on cache lines of their own, which it alone
//! writes: a load and a store, no locked instruction. `STATS` sums them. So a hot GET writes
//! to no memory that another core reads, except when somebody asks.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A counter with one writer.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`. Only the owning worker calls this: two writers would lose counts.
    #[inline]
    pub fn add(&self, n: u64) {
        // Relaxed: a count publishes nothing.
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// Makes it `n`. Only the owning worker calls this.
    #[inline]
    pub fn set(&self, n: u64) {
        self.0.store(n, Relaxed);
    }

    /// The count as it was a moment ago.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// What one worker counts. 128 bytes of alignment, because CPUs fetch lines in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Counters {
    /// GETs that found something.
    pub hits: Counter,
    /// GETs that found nothing.
    pub misses: Counter,
    /// Values stored, or not because a condition did not hold.
    pub puts: Counter,
    /// DELs that found something.
    pub delete_hits: Counter,
    /// DELs that did not. Counted, and not what is left of all: of two numbers that are read a
    /// moment apart the difference may shrink.
    pub delete_misses: Counter,
    /// Lifetimes changed, with or without sending the value.
    pub touch_hits: Counter,
    /// The same, of items that were not there.
    pub touch_misses: Counter,
    /// Numbers counted up.
    pub incr_hits: Counter,
    /// The same, of items that were not there.
    pub incr_misses: Counter,
    /// Numbers counted down.
    pub decr_hits: Counter,
    /// The same, of items that were not there.
    pub decr_misses: Counter,
    /// Values stored over the very item that was meant.
    pub cas_hits: Counter,
    /// The same, where there was none.
    pub cas_misses: Counter,
    /// The same, where there was another.
    pub cas_badval: Counter,
    /// Wishes to remove everything.
    pub flushes: Counter,
    /// Meta commands, whatever else they count as.
    pub metas: Counter,
    /// Attempts to log in.
    pub logins: Counter,
    /// Those that failed.
    pub login_errors: Counter,
    /// Connections closed because nothing was asked on them for too long.
    pub idle_kicks: Counter,
    /// Turns that ended although there was more to do.
    pub yields: Counter,
    /// Values refused because of their length.
    pub too_large: Counter,
    /// TTL, STATS, QUIT and what only says a word.
    pub others: Counter,
    /// Requests answered `ERROR`.
    pub refusals: Counter,
    /// Bytes that clients sent.
    pub read_bytes: Counter,
    /// Bytes that clients were sent.
    pub written_bytes: Counter,
    /// Connections served so far.
    pub connections: Counter,
    /// Strays of another protocol that were hung up on.
    pub hangups: Counter,
    /// Connections closed because they held a buffer for too long.
    pub stalls: Counter,
    /// Connections closed earlier than that, because others waited for what they held.
    pub stalls_shed: Counter,
    /// Connections closed because the kernel held too much for slow peers.
    pub stalls_kernel: Counter,
    /// Connections closed because nobody logged in on them in time.
    pub login_timeouts: Counter,
    /// Connections closed after a failed login, because too many from their address had failed.
    pub login_cuts: Counter,
    /// Connections that had not finished when a shutdown's time was over.
    pub drain_cuts: Counter,
    /// Connections closed because serving them panicked.
    pub panics: Counter,
    /// Times a connection had to wait for a buffer or for a large transfer's turn.
    pub waits: Counter,
    /// When the worker last looked at its connections, in milliseconds of the server's clock:
    /// every second even if nothing happens.
    pub seen_alive: Counter,
    /// The thread's number in the kernel.
    pub thread_id: Counter,
    /// The CPU time that the thread has used, in microseconds: set about once a second.
    pub cpu_micros: Counter,
    /// The worker's connections: likewise.
    pub connections_now: Counter,
    /// Its leased buffers, by kind, in the order of [`LEASE_KINDS`]: likewise.
    pub leases_in_use: [Counter; LEASE_KINDS.len()],
    /// How many wait for a buffer or a permit: likewise.
    pub waiting: Counter,
    /// For how long the first of them has waited, in milliseconds: likewise.
    pub longest_wait_millis: Counter,
}

/// The kinds of leased buffers, as metrics call them.
pub const LEASE_KINDS: [&str; 3] = ["small", "input", "output"];

/// How one worker stands at the moment.
#[derive(Clone, Copy, Debug, Default)]
#[allow(missing_docs)] // The fields of `Counters`, documented there.
pub struct WorkerFigures {
    pub cpu_micros: u64,
    pub connections: u64,
    pub leases_in_use: [u64; LEASE_KINDS.len()],
    pub waiting: u64,
    pub longest_wait_millis: u64,
}

impl WorkerFigures {
    /// What stands in these counters.
    #[must_use]
    pub fn of(counters: &Counters) -> Self {
        WorkerFigures {
            cpu_micros: counters.cpu_micros.get(),
            connections: counters.connections_now.get(),
            leases_in_use: std::array::from_fn(|kind| counters.leases_in_use[kind].get()),
            waiting: counters.waiting.get(),
            longest_wait_millis: counters.longest_wait_millis.get(),
        }
    }
}

/// How many of each kind of command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Commands(pub [u64; Commands::COUNT]);

impl Commands {
    /// Kinds of commands.
    pub const COUNT: usize = 7;
    /// How they are called in metrics, in the order of the counts.
    pub const NAMES: [&str; Commands::COUNT] =
        ["get", "set", "delete", "touch", "count", "other", "refused"];

    /// How many more these are than `before`.
    #[inline]
    #[must_use]
    pub fn since(&self, before: &Commands) -> Commands {
        Commands(std::array::from_fn(|no| {
            self.0[no].wrapping_sub(before.0[no])
        }))
    }

    /// Whether there is one at all.
    #[inline]
    #[must_use]
    pub fn any(&self) -> bool {
        self.0.iter().fold(0, |all, count| all | count) != 0
    }
}

impl Counters {
    /// The commands carried out so far, by kind.
    #[inline]
    #[must_use]
    pub fn commands(&self) -> Commands {
        Commands([
            self.hits.get() + self.misses.get(),
            self.puts.get(),
            self.delete_hits.get() + self.delete_misses.get(),
            self.touch_hits.get() + self.touch_misses.get(),
            self.incr_hits.get()
                + self.incr_misses.get()
                + self.decr_hits.get()
                + self.decr_misses.get(),
            self.others.get() + self.flushes.get(),
            self.refusals.get(),
        ])
    }
}

/// The sum of every worker's counters.
#[derive(Clone, Copy, Debug, Default)]
#[allow(missing_docs)] // The fields of `Counters`, documented there.
pub struct Totals {
    pub hits: u64,
    pub misses: u64,
    pub puts: u64,
    pub delete_hits: u64,
    pub delete_misses: u64,
    pub touch_hits: u64,
    pub touch_misses: u64,
    pub incr_hits: u64,
    pub incr_misses: u64,
    pub decr_hits: u64,
    pub decr_misses: u64,
    pub cas_hits: u64,
    pub cas_misses: u64,
    pub cas_badval: u64,
    pub flushes: u64,
    pub metas: u64,
    pub logins: u64,
    pub login_errors: u64,
    pub idle_kicks: u64,
    pub yields: u64,
    pub too_large: u64,
    pub others: u64,
    pub refusals: u64,
    pub read_bytes: u64,
    pub written_bytes: u64,
    pub connections: u64,
    pub hangups: u64,
    pub stalls: u64,
    pub stalls_shed: u64,
    pub stalls_kernel: u64,
    pub login_timeouts: u64,
    pub login_cuts: u64,
    pub drain_cuts: u64,
    pub panics: u64,
    pub waits: u64,
}

impl Totals {
    /// Adds one worker's counts.
    pub fn add(&mut self, counters: &Counters) {
        self.hits += counters.hits.get();
        self.misses += counters.misses.get();
        self.puts += counters.puts.get();
        self.delete_hits += counters.delete_hits.get();
        self.delete_misses += counters.delete_misses.get();
        self.touch_hits += counters.touch_hits.get();
        self.touch_misses += counters.touch_misses.get();
        self.incr_hits += counters.incr_hits.get();
        self.incr_misses += counters.incr_misses.get();
        self.decr_hits += counters.decr_hits.get();
        self.decr_misses += counters.decr_misses.get();
        self.cas_hits += counters.cas_hits.get();
        self.cas_misses += counters.cas_misses.get();
        self.cas_badval += counters.cas_badval.get();
        self.flushes += counters.flushes.get();
        self.metas += counters.metas.get();
        self.logins += counters.logins.get();
        self.login_errors += counters.login_errors.get();
        self.idle_kicks += counters.idle_kicks.get();
        self.yields += counters.yields.get();
        self.too_large += counters.too_large.get();
        self.others += counters.others.get();
        self.refusals += counters.refusals.get();
        self.read_bytes += counters.read_bytes.get();
        self.written_bytes += counters.written_bytes.get();
        self.connections += counters.connections.get();
        self.hangups += counters.hangups.get();
        self.stalls_shed += counters.stalls_shed.get();
        self.stalls_kernel += counters.stalls_kernel.get();
        self.login_timeouts += counters.login_timeouts.get();
        self.login_cuts += counters.login_cuts.get();
        self.drain_cuts += counters.drain_cuts.get();
        self.stalls += counters.stalls.get();
        self.panics += counters.panics.get();
        self.waits += counters.waits.get();
    }

    /// What was counted since `before`.
    #[must_use]
    pub fn since(&self, before: &Totals) -> Totals {
        Totals {
            hits: self.hits - before.hits,
            misses: self.misses - before.misses,
            puts: self.puts - before.puts,
            delete_hits: self.delete_hits - before.delete_hits,
            delete_misses: self.delete_misses - before.delete_misses,
            touch_hits: self.touch_hits - before.touch_hits,
            touch_misses: self.touch_misses - before.touch_misses,
            incr_hits: self.incr_hits - before.incr_hits,
            incr_misses: self.incr_misses - before.incr_misses,
            decr_hits: self.decr_hits - before.decr_hits,
            decr_misses: self.decr_misses - before.decr_misses,
            cas_hits: self.cas_hits - before.cas_hits,
            cas_misses: self.cas_misses - before.cas_misses,
            cas_badval: self.cas_badval - before.cas_badval,
            flushes: self.flushes - before.flushes,
            metas: self.metas - before.metas,
            logins: self.logins - before.logins,
            login_errors: self.login_errors - before.login_errors,
            idle_kicks: self.idle_kicks - before.idle_kicks,
            yields: self.yields - before.yields,
            too_large: self.too_large - before.too_large,
            others: self.others - before.others,
            refusals: self.refusals - before.refusals,
            read_bytes: self.read_bytes - before.read_bytes,
            written_bytes: self.written_bytes - before.written_bytes,
            connections: self.connections - before.connections,
            hangups: self.hangups - before.hangups,
            stalls: self.stalls - before.stalls,
            stalls_shed: self.stalls_shed - before.stalls_shed,
            stalls_kernel: self.stalls_kernel - before.stalls_kernel,
            login_timeouts: self.login_timeouts - before.login_timeouts,
            login_cuts: self.login_cuts - before.login_cuts,
            drain_cuts: self.drain_cuts - before.drain_cuts,
            panics: self.panics - before.panics,
            waits: self.waits - before.waits,
        }
    }

    /// Connections closed because they held something for too long, for whatever reason.
    #[must_use]
    pub fn all_stalls(&self) -> u64 {
        self.stalls + self.stalls_shed + self.stalls_kernel
    }

    /// Requests answered.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.hits
            + self.misses
            + self.puts
            + self.delete_hits
            + self.delete_misses
            + self.touch_hits
            + self.touch_misses
            + self.incr_hits
            + self.incr_misses
            + self.decr_hits
            + self.decr_misses
            + self.flushes
            + self.others
            + self.refusals
    }
}

/// What the process has used of the CPU so far, in microseconds: its own, and the kernel's for
/// it. From a file of the kernel that counts in hundredths of a second; 0 where there is none.
pub fn cpu_micros() -> (u64, u64) {
    let mut text = [0; 1024];
    let read = std::fs::File::open("/proc/self/stat")
        .and_then(|mut file| std::io::Read::read(&mut file, &mut text));
    let text = &text[..read.unwrap_or(0)];
    // The second field is the program's name, which may hold anything but ends at the last
    // parenthesis; the two times are the 12th and 13th behind it.
    let behind = text.iter().rposition(|&byte| byte == b')');
    let mut fields = text[behind.map_or(0, |at| at + 1)..]
        .split(|&byte| byte == b' ')
        .skip(12)
        .map(|field| crate::proto::number::parse_u64(field).unwrap_or(0) * 10_000);
    (fields.next().unwrap_or(0), fields.next().unwrap_or(0))
}
