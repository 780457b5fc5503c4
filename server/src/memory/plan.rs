//! Where each byte of the memory goes.
//!
//! [`ServerPlan::new`] turns the settings into counts, and the counts into bytes, one addend
//! a line. What the server itself needs is taken off the top; the rest is the engine's
//! budget, which the engine divides further. The lines sum to the memory exactly.
//!
//! ```text
//!   --memory ─┬─ process          a stated size: binary, allocator, main thread
//!             ├─ worker threads   a stated size each: stacks, runtime
//!             ├─ shared buffers   one inbox and one outbox a worker
//!             ├─ leased buffers   three pools a worker: what a connection cannot finish at once
//!             ├─ transactions     two sizes of blocks a worker: requests that wait for the last of them
//!             ├─ messages         between clients, if their memory cannot be the engine's until somebody subscribes
//!             ├─ curve            a model of other memories, and references to it
//!             ├─ page tables      the kernel's, for the arena
//!             ├─ headroom         for what nobody counts
//!             ├─ admin pages      their thread, and so much a connection
//!             ├─ slow requests    the last of them; and hot keys; if they are kept
//!             ├─ snapshot         its thread, a block, and what of the file is not synced, if there is a place for one
//!             ├─ tls connections  what rustls allocates, if there is a port for them
//!             └─ the engine       everything else …
//!                  └─ connections … of which they take theirs while they are there: user space, the kernel's, what lies in
//!                                  their socket buffers, leased buffers after the first, messages between clients
//! ```
//!
//! The arena is reserved for `--memory-max` and as if there were no connections. Pages that the memory or the connections of
//! the moment do not allow are *retired*: the engine has evicted what was in them and has given them back to the OS. The
//! arithmetic is here, the doing in the module `governor`.

pub mod curve;
mod each_start;
mod lines;
pub mod pubsub;
mod queues;
mod sockets;
pub mod transfers;
mod words;

use self::curve::CurvePlan;
use self::each_start::{boot, cas_first};
use self::lines::{headroom_bytes, server_lines};
use self::pubsub::PubSubPlan;
pub use self::queues::{QUEUE_LARGE_BYTES, QUEUE_SMALL_BYTES, QueuePlan};
pub use self::sockets::SMALL_SOCKET_BYTES;
use self::sockets::{
    LARGE_SOCKETS_MIN, large_socket_bytes, large_sockets_max, small_sockets_max, socket_bytes,
};
use self::transfers::TransferPlan;
use self::words::refusal;

use flagstone_engine::{Backing, Options, Plan, PlanError};

use crate::clock::Clock;
use crate::settings::config::{CONNECTIONS_MAX_DEFAULT, Config, Invalid};

/// A worker reads into an inbox of this size, which its connections share. Enough for hundreds of pipelined requests;
/// larger did not read faster, and a leased buffer must be able to take all of it.
pub const INBOX_BYTES: usize = 16 << 10;

/// A worker collects replies in an outbox of this size, which its connections share: those to 32 pipelined reads of a
/// kilobyte, with heads, are one write. Longer values are streamed through it.
pub const OUTBOX_BYTES: usize = 40 << 10;

/// A small leased buffer: most half requests fit one.
pub const SMALL_LEASE_BYTES: usize = 1 << 10;

/// What the process needs before it serves anything: the binary's pages that were touched (3.3 MB of a static one, charged
/// to the container's page cache), the allocator, the main thread with its runtime (0.7 MB), and what the kernel keeps for a process (0.3 MB).
const PROCESS_BYTES: usize = 17 << 18;

/// What a worker thread needs beside its buffers: the touched part of its stack, room for 1,024 events,
/// its counters (16 KiB of them, for durations and stored values), the kernel's stack.
const WORKER_BYTES: usize = 128 << 10;

/// A connection's place in the table of clients.
pub const CLIENT_BYTES: usize = 176;

/// What a connection needs in user space: its slot and its waker (208), a place in four queues (88), one among the
/// newcomers (64), and one in the table of clients. While it is idle it takes the first and the last.
pub const CONNECTION_USER_BYTES: usize = 384 + CLIENT_BYTES;

/// What the kernel keeps for a connection, and charges to the container: socket, file, inode,
/// directory entry, event registration.
pub const CONNECTION_KERNEL_BYTES: usize = 3968;

/// Room for connections is made for so many at a time: evicting for each one alone would
/// evict all the time.
pub const CONNECTIONS_STEP: usize = 64;

/// The leased buffers of all workers together take this part of the memory …
const LEASES_SHARE: usize = 32;
/// … but never more than this in a worker. All but the first of each kind hold items until they are needed.
pub const LEASES_BYTES_MAX: usize = 8 << 20;
/// Of each kind (small, input, output) so many, at least, are there from the beginning: one slow peer does not stop its
/// neighbours in the tenth of a second until there is room for the others.
const LEASES_AT_FIRST: [usize; 3] = [16, 4, 4];

/// The cache keeps this part of the memory from the connections that are allowed by default.
const CONNECTIONS_LEAVE_SHARE: usize = 8;

/// The kernel's page tables: 8 bytes for each 4 KiB, in pages of their own.
const fn page_table_bytes(arena_bytes: usize) -> usize {
    (arena_bytes / 512).next_multiple_of(4096) + 4 * 4096
}

/// What one worker has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerPlan {
    /// Connections that it can hold.
    pub slot_count: usize,
    /// Buffers for half requests of up to [`SMALL_LEASE_BYTES`].
    pub small_count: usize,
    /// Buffers for anything that was read and could not be executed yet.
    pub input_count: usize,
    /// Buffers for replies that a peer does not read.
    pub output_count: usize,
    /// How many of the three there are from the beginning.
    pub leases_at_first: [usize; 3],
    /// Blocks for requests that are executed together, later.
    pub queues: QueuePlan,
}

/// One addend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// What for.
    pub name: String,
    /// How much.
    pub bytes: usize,
    /// How many of what.
    pub note: String,
}

/// The whole plan.
#[derive(Clone, Debug)]
pub struct ServerPlan {
    /// The engine's part, for `memory_bytes_max`.
    pub engine: Plan,
    /// Each worker's part.
    pub worker: WorkerPlan,
    /// Workers.
    pub worker_count: usize,
    /// Connections served at a time.
    pub connections_max: usize,
    /// What values on their way, in pieces, may hold still.
    pub transfers: TransferPlan,
    /// What messages between clients may take.
    pub pubsub: PubSubPlan,
    /// What the curve of hit ratios may.
    pub curve: CurvePlan,
    /// The whole process's memory at the start.
    pub memory_bytes: usize,
    /// What the arena is reserved for: the memory can grow to this.
    pub memory_bytes_max: usize,
    /// What the kernel's socket buffers may take.
    pub socket_bytes: usize,
    /// Connections that may have large socket buffers at a time.
    pub large_sockets_max: usize,
    /// What one of them may take in the kernel, beside what every connection takes.
    pub large_socket_bytes: usize,
    /// What each large buffer is asked for with.
    pub socket_buffer_bytes: usize,
    /// Connections whose small socket buffers are planned in full.
    small_sockets_max: usize,
    /// What is left over on purpose.
    pub headroom_bytes: usize,
    /// Whether connections take their memory from the cache's pages while they are there;
    /// else it is an addend of its own.
    pub connections_share_pages: bool,
    lines: Vec<Line>,
}

/// Why a memory cannot be planned.
enum Short {
    /// The engine cannot work with what is left.
    Engine(PlanError),
    /// The engine can, but not beside all the connections.
    Connections,
}

impl WorkerPlan {
    fn new(config: &Config, memory_bytes: usize) -> Self {
        // Connections go to the worker with the fewest, so none ever has more than its share.
        let slot_count = config.connections_max.div_ceil(config.workers);
        let leases_bytes = (memory_bytes / LEASES_SHARE / config.workers).min(LEASES_BYTES_MAX);
        // At least a few, so that one slow peer does not stop its neighbours; never more than
        // connections, each of which holds at most one of a kind.
        let [small, input, output] = LEASES_AT_FIRST;
        let count = |part: usize, bytes: usize, least: usize| {
            (leases_bytes / 8 * part / bytes).max(least).min(slot_count)
        };
        let counts = [
            count(1, SMALL_LEASE_BYTES, small),
            count(3, INBOX_BYTES, input),
            count(4, OUTBOX_BYTES, output),
        ];
        let [small_count, input_count, output_count] = counts;
        WorkerPlan {
            slot_count,
            queues: QueuePlan::new(memory_bytes, config.workers),
            small_count,
            input_count,
            output_count,
            leases_at_first: match connections_share_pages(config) {
                true => LEASES_AT_FIRST.map(|least| least.min(slot_count)),
                false => counts,
            },
        }
    }

    /// What the buffers take that are not there from the beginning.
    #[must_use]
    pub fn leases_lent_bytes(&self) -> usize {
        let [small, input, output] = self.leases_at_first;
        self.leases_bytes() - leases_bytes(small, input, output)
    }

    fn leases_bytes(&self) -> usize {
        leases_bytes(self.small_count, self.input_count, self.output_count)
    }
}

const fn leases_bytes(small: usize, input: usize, output: usize) -> usize {
    small * SMALL_LEASE_BYTES + input * INBOX_BYTES + output * OUTBOX_BYTES
}

/// Memory on the heap cannot be given back, and what is given back of a huge page the kernel
/// fills again when it mends the page: neither can be shared.
fn connections_share_pages(config: &Config) -> bool {
    config.backing != Backing::Heap && !config.huge_pages
}

/// User space and kernel, `granted` now and at most `granted_most` so far: what user space
/// has touched once stays with the process and serves the next connection. Without what lies in socket buffers.
const fn connection_bytes(granted: usize, granted_most: usize) -> usize {
    granted * CONNECTION_KERNEL_BYTES + granted_most * CONNECTION_USER_BYTES
}

fn sum(lines: &[Line]) -> usize {
    lines.iter().map(|line| line.bytes).sum()
}

impl ServerPlan {
    /// Divides `config.memory_bytes`. `hash_seed` makes the engine's hashing unpredictable.
    pub fn new(config: &Config, hash_seed: u64) -> Result<Self, Invalid> {
        config.validate()?;
        Self::divide(config, config.memory_bytes, hash_seed)
            .map_err(|short| refusal(config, &short))
    }

    fn divide(config: &Config, memory_bytes: usize, hash_seed: u64) -> Result<Self, Short> {
        let memory_bytes_max = config.memory_bytes_max.unwrap_or(0).max(memory_bytes);
        let worker = WorkerPlan::new(config, memory_bytes);
        let mut lines = server_lines(config, &worker, memory_bytes, memory_bytes_max);
        // A budget of 0 makes the engine say what the least is.
        let budget_bytes = memory_bytes_max.saturating_sub(sum(&lines));
        let options = Options {
            budget_bytes,
            item_bytes_max: config.item_bytes_max,
            key_bytes_max: config.key_bytes_max,
            backing: config.backing.clone(),
            prefault: config.prefault,
            huge_pages: config.huge_pages,
            eviction: config.eviction,
            hash_seed,
            cas_first: cas_first(),
            restore: matches!(config.backing, Backing::File(_)),
            unix_zero: Clock::new_zero(),
            boot: boot(),
            ..Options::default()
        };
        let engine = Plan::new(&options).map_err(Short::Engine)?;
        let excess_bytes = engine.budget_bytes() - budget_bytes;
        if excess_bytes > 0 {
            // A file that was made for more memory than there is now: as if so much could be had at most, of which what
            // is too much is not used. What depends on the most is more, too.
            let config = Config {
                memory_bytes_max: Some(memory_bytes_max + excess_bytes + excess_bytes / 64),
                ..config.clone()
            };
            return Self::divide(&config, memory_bytes, hash_seed);
        }
        let mut plan = ServerPlan {
            transfers: TransferPlan::new(budget_bytes, config.item_bytes_max),
            pubsub: PubSubPlan::new(config, memory_bytes),
            curve: CurvePlan::new(config, memory_bytes),
            engine,
            worker,
            worker_count: config.workers,
            connections_max: config.connections_max,
            memory_bytes,
            memory_bytes_max,
            socket_bytes: socket_bytes(config, memory_bytes),
            large_sockets_max: large_sockets_max(config, memory_bytes),
            large_socket_bytes: large_socket_bytes(config),
            socket_buffer_bytes: config.socket_buffer_bytes,
            small_sockets_max: small_sockets_max(memory_bytes),
            headroom_bytes: headroom_bytes(memory_bytes),
            connections_share_pages: connections_share_pages(config),
            lines: Vec::new(),
        };
        if plan.connections_that_fit(memory_bytes) < config.connections_max {
            return Err(Short::Connections);
        }
        let usable = plan.pages_for(memory_bytes);
        let page_bytes = plan.engine.page_bytes();
        let retired_bytes = (plan.engine.page_count() - usable) * page_bytes;
        lines.extend(plan.engine.lines().map(|line| {
            let (bytes, note) = match line.name {
                "pages" => (
                    usable * page_bytes,
                    format!("{usable} × {page_bytes}: items, index, connections, buffers"),
                ),
                "unused" => (
                    line.bytes + retired_bytes - (memory_bytes_max - memory_bytes),
                    line.note,
                ),
                _ => (line.bytes, line.note),
            };
            Line {
                name: format!("engine: {}", line.name),
                bytes,
                note,
            }
        }));
        assert_eq!(sum(&lines), memory_bytes, "the addends are the whole");
        plan.lines = lines;
        Ok(plan)
    }

    /// The addends; their bytes sum to `memory_bytes`.
    #[must_use]
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// Pages that `memory_bytes` allows while nobody is connected.
    #[must_use]
    pub fn pages_for(&self, memory_bytes: usize) -> usize {
        let less = self.memory_bytes_max.saturating_sub(memory_bytes);
        let pages = self.engine.page_count();
        pages.saturating_sub(less.div_ceil(self.engine.page_bytes()))
    }

    /// The fewest pages with which the engine works.
    #[must_use]
    pub fn pages_min(&self) -> usize {
        self.engine.page_count_min()
    }

    /// What connections take from the cache when there is room for `granted`, and was for
    /// `granted_most`.
    #[must_use]
    pub fn connection_bytes(&self, granted: usize, granted_most: usize) -> usize {
        if !self.connections_share_pages {
            return 0;
        }
        connection_bytes(granted, granted_most)
            + granted.min(self.small_sockets_max) * SMALL_SOCKET_BYTES
    }

    /// What the leased buffers of all workers take from the cache once they are needed, beside the first ones.
    #[must_use]
    pub fn leases_lent_bytes(&self) -> usize {
        self.worker_count * self.worker.leases_lent_bytes()
    }

    /// What messages between clients take from the cache once anybody subscribes.
    #[must_use]
    pub fn pubsub_lent_bytes(&self) -> usize {
        match self.connections_share_pages {
            true => self.pubsub.bytes(),
            false => 0,
        }
    }

    /// What so many connections with large socket buffers take from the cache.
    #[must_use]
    pub fn large_sockets_bytes(&self, count: usize) -> usize {
        if self.connections_share_pages {
            count * self.large_socket_bytes
        } else {
            0
        }
    }

    /// Connections that may have large socket buffers beside what `granted` connections take (`granted_most` at most so
    /// far): the cache keeps of `memory_bytes` what it keeps from the connections themselves.
    #[must_use]
    pub fn large_sockets_beside(
        &self,
        memory_bytes: usize,
        granted: usize,
        granted_most: usize,
    ) -> usize {
        if !self.connections_share_pages {
            return self.large_sockets_max;
        }
        let pages_bytes = self.pages_for(memory_bytes) * self.engine.page_bytes();
        let spare = pages_bytes
            .saturating_sub(self.connection_bytes(granted, granted_most))
            .saturating_sub(self.leases_lent_bytes() + self.pubsub_lent_bytes())
            .saturating_sub(memory_bytes / CONNECTIONS_LEAVE_SHARE);
        (spare / self.large_socket_bytes).clamp(LARGE_SOCKETS_MIN, self.large_sockets_max)
    }

    /// Connections that fit beside the fewest pages, in `memory_bytes`.
    #[must_use]
    pub fn connections_that_fit(&self, memory_bytes: usize) -> usize {
        let pages = self.pages_for(memory_bytes);
        if pages < self.pages_min() {
            return 0;
        }
        if !self.connections_share_pages {
            return self.connections_max;
        }
        let spare = (pages - self.pages_min()) * self.engine.page_bytes();
        let spare = spare.saturating_sub(self.large_sockets_bytes(LARGE_SOCKETS_MIN));
        let spare = spare.saturating_sub(self.leases_lent_bytes() + self.pubsub_lent_bytes());
        let fits = |steps: usize| {
            let connections = steps * CONNECTIONS_STEP;
            self.connection_bytes(connections, connections) <= spare
        };
        // Each costs this at least, and the first ones more.
        let most = spare / connection_bytes(CONNECTIONS_STEP, CONNECTIONS_STEP);
        let (mut low, mut high) = (0, most + 1);
        while low + 1 < high {
            let middle = low.midpoint(high);
            if fits(middle) {
                low = middle;
            } else {
                high = middle;
            }
        }
        low * CONNECTIONS_STEP
    }

    /// The least memory with which this server works when nobody is connected.
    #[must_use]
    pub fn memory_bytes_least(&self) -> usize {
        let spare = self.engine.page_count() - self.pages_min();
        self.memory_bytes_max
            .saturating_sub(spare * self.engine.page_bytes())
    }

    /// About how many items of `item_bytes` there will be, beside so many connections.
    #[must_use]
    pub fn items_expected(&self, item_bytes: usize, connections: usize) -> usize {
        let taken = self.connection_bytes(connections, connections);
        let pages = self
            .pages_for(self.memory_bytes)
            .saturating_sub(taken.div_ceil(self.engine.page_bytes()));
        // In u128: bytes times pages.
        let all = self.engine.items_expected(item_bytes) as u128;
        (all * pages as u128 / self.engine.page_count() as u128) as usize
    }
}

/// The connections that are allowed when nobody has said how many: 10,000, or as many as
/// leave the cache an eighth of the memory. Messages between clients take of that eighth.
#[must_use]
pub fn connections_default(config: &Config) -> usize {
    let fits = |connections_max: usize| {
        let config = Config {
            connections_max,
            ..config.clone()
        };
        ServerPlan::divide(&config, config.memory_bytes, 0).is_ok_and(|plan| {
            let taken = plan.connection_bytes(connections_max, connections_max);
            let pages = plan.pages_for(plan.memory_bytes) * plan.engine.page_bytes();
            !plan.connections_share_pages && pages >= plan.memory_bytes / CONNECTIONS_LEAVE_SHARE
                || pages
                    >= taken
                        + plan.leases_lent_bytes()
                        + plan.memory_bytes / CONNECTIONS_LEAVE_SHARE
        })
    };
    let steps = CONNECTIONS_MAX_DEFAULT.div_ceil(CONNECTIONS_STEP);
    let (mut low, mut high) = (0, steps + 1);
    while low + 1 < high {
        let middle = low.midpoint(high);
        if fits((middle * CONNECTIONS_STEP).min(CONNECTIONS_MAX_DEFAULT)) {
            low = middle;
        } else {
            high = middle;
        }
    }
    // Where not even one step fits, the plan itself says what is missing.
    (low.max(1) * CONNECTIONS_STEP).min(CONNECTIONS_MAX_DEFAULT)
}

#[cfg(test)]
mod tests;
