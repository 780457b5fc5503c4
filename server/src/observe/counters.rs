//! What is counted, and how it is told.
//!
//! Each worker has [`Counters`] of its own, on cache lines of their own, which it alone
//! writes: a load and a store, no locked instruction. `STATS` sums them. So a hot GET writes
//! to no memory that another core reads, except when somebody asks.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::stores::Stores;

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

/// One counter, told everywhere by the names it has there.
pub struct Told {
    /// In `STATS`.
    pub native: &'static str,
    /// In memcached's `stats`.
    pub memcached: &'static str,
    /// In `/metrics`.
    pub metric: &'static str,
    /// What it says there.
    pub help: &'static str,
    /// In the page's data.
    pub page: &'static str,
    /// The sum of all workers'.
    pub of: fn(&Totals) -> u64,
}

/// Declares what is counted: each counter once. One with names behind `=>` appears under them in `STATS`, `stats`, `/metrics`
/// and the page's data, behind what these have always told; the others are told by the lists there, in their old places.
macro_rules! counters {
    (
        counted {
            $($(#[doc = $doc:literal])+ $name:ident $(
                => native $native:literal, memcached $memcached:literal, metric $metric:literal,
                help $help:literal, page $page:literal
            )?;)+
        }
        noted { $($(#[doc = $noted_doc:literal])+ $noted:ident: $kind:ty;)+ }
    ) => {
        /// What one worker counts. 128 bytes of alignment, because CPUs fetch lines in pairs.
        #[derive(Debug, Default)]
        #[repr(align(128))]
        pub struct Counters {
            $($(#[doc = $doc])+ pub $name: Counter,)+
            $($(#[doc = $noted_doc])+ pub $noted: $kind,)+
        }

        /// The sum of every worker's counters.
        #[derive(Clone, Copy, Debug, Default)]
        pub struct Totals {
            $($(#[doc = $doc])+ pub $name: u64,)+
        }

        impl Totals {
            /// Adds one worker's counts.
            pub fn add(&mut self, counters: &Counters) {
                $(self.$name += counters.$name.get();)+
            }

            /// What was counted since `before`.
            #[must_use]
            pub fn since(&self, before: &Totals) -> Totals {
                Totals {
                    $($name: self.$name - before.$name,)+
                }
            }

            /// The counters that tell themselves.
            pub const TOLD: &'static [Told] = &[$($(Told {
                native: $native,
                memcached: $memcached,
                metric: $metric,
                help: $help,
                page: $page,
                of: |totals| totals.$name,
            },)?)+];
        }
    };
}

counters! {
    counted {
        /// GETs that found something.
        hits;
        /// GETs that found nothing.
        misses;
        /// Values stored, or not because a condition did not hold.
        puts;
        /// DELs that found something.
        delete_hits;
        /// DELs that did not. Counted, and not what is left of all: of two numbers that are read a
        /// moment apart the difference may shrink.
        delete_misses;
        /// Lifetimes changed, with or without sending the value.
        touch_hits;
        /// The same, of items that were not there.
        touch_misses;
        /// Numbers counted up.
        incr_hits;
        /// The same, of items that were not there.
        incr_misses;
        /// Numbers counted down.
        decr_hits;
        /// The same, of items that were not there.
        decr_misses;
        /// Values stored over the very item that was meant.
        cas_hits;
        /// The same, where there was none.
        cas_misses;
        /// The same, where there was another.
        cas_badval;
        /// Wishes to remove everything.
        flushes;
        /// Meta commands, whatever else they count as.
        metas;
        /// Attempts to log in.
        logins;
        /// Those that failed.
        login_errors;
        /// Connections closed because nothing was asked on them for too long.
        idle_kicks;
        /// Turns that ended although there was more to do.
        yields;
        /// Values refused because of their length.
        too_large;
        /// TTL, STATS, QUIT and what only says a word.
        others;
        /// Requests answered `ERROR`.
        refusals;
        /// Bytes that clients sent.
        read_bytes;
        /// Bytes that clients were sent.
        written_bytes;
        /// Connections served so far.
        connections;
        /// Strays of another protocol that were hung up on.
        hangups;
        /// Connections closed because they held a buffer for too long.
        stalls;
        /// Connections closed earlier than that, because others waited for what they held.
        stalls_shed;
        /// Connections closed because the kernel held too much for slow peers.
        stalls_kernel;
        /// Connections closed because a long value left the cache before their peers had read it to its end.
        values_left;
        /// Messages published.
        published
            => native "messages_published", memcached "messages_published",
            metric "flagstone_messages_published_total",
            help "Messages that clients published to channels.", page "messages_published";
        /// To how many subscribers, added up.
        messages_received
            => native "messages_received", memcached "messages_received",
            metric "flagstone_messages_received_total",
            help "Subscribers that messages were for, each counted for each message.", page "messages_received";
        /// Connections closed because messages were lost that they did not read in time.
        subscribers_lapped;
        /// Connections closed because a client asked for it.
        clients_killed;
        /// Connections closed because nobody logged in on them in time.
        login_timeouts;
        /// Connections closed after a failed login, because too many from their address had failed.
        login_cuts;
        /// Connections closed because they did not begin with the header of the proxy that they come by.
        proxy_faults;
        /// Connections that had not finished when a shutdown's time was over.
        drain_cuts;
        /// Connections closed because serving them panicked.
        panics;
        /// Times a connection had to wait for a buffer or for a large transfer's turn.
        waits;
        /// Requests of Redis' clients for commands that are not there.
        unknown_commands
            => native "unknown_commands", memcached "cmd_unknown",
            metric "flagstone_unknown_commands_total",
            help "Requests of Redis' clients for commands that are not there.", page "unknown_commands";
        /// Transactions that were given up because others needed the room.
        transactions_revoked
            => native "transactions_revoked", memcached "transactions_revoked",
            metric "flagstone_transactions_revoked_total",
            help "Transactions of Redis' clients that were given up because others needed the room.",
            page "transactions_revoked";
    }
    noted {
        /// How long the values were that it stored, and for how long.
        stores: Stores;
        /// When the worker last looked at its connections, in milliseconds of the server's clock:
        /// every second even if nothing happens.
        seen_alive: Counter;
        /// The thread's number in the kernel.
        thread_id: Counter;
        /// The CPU time that the thread has used, in microseconds: set about once a second.
        cpu_micros: Counter;
        /// The worker's connections: likewise.
        connections_now: Counter;
        /// Its leased buffers, by kind, in the order of [`LEASE_KINDS`]: likewise.
        leases_in_use: [Counter; LEASE_KINDS.len()];
        /// How many wait for a buffer or a permit: likewise.
        waiting: Counter;
        /// For how long the first of them has waited, in milliseconds: likewise.
        longest_wait_millis: Counter;
    }
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

    /// The number of the first kind of which there is one.
    #[inline]
    #[must_use]
    pub fn first(&self) -> u8 {
        let first = self.0.iter().position(|&count| count > 0);
        first.unwrap_or(0) as u8
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

impl Totals {
    /// Connections closed because they held something for too long, for whatever reason.
    #[must_use]
    pub fn all_stalls(&self) -> u64 {
        self.stalls + self.stalls_shed + self.stalls_kernel + self.values_left
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
