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
//!             ├─ page tables      the kernel's, for the arena
//!             ├─ headroom         for what nobody counts
//!             ├─ admin pages      their thread, and so much a connection
//!             ├─ tls connections  what rustls allocates, if there is a port for them
//!             └─ the engine       everything else …
//!                  └─ connections … of which they take theirs while they are there: user space,
//!                                  the kernel's, what lies in their socket buffers, and the
//!                                  leased buffers that are not among the first
//! ```
//!
//! The arena is reserved for `--memory-max` and as if there were no connections. Pages that
//! the memory of the moment or the connections of the moment do not allow are *retired*: the
//! engine has evicted what was in them and has given them back to the OS. The arithmetic is
//! here, the doing in the module `governor`.

use std::fmt;

use flagstone_engine::{Backing, Options, Plan, PlanError};

use crate::memory::costs::{
    ADMIN_BYTES, ADMIN_CONNECTION_BYTES, ADMIN_CONNECTIONS, ADMIN_THREAD_BYTES,
    TLS_CONNECTION_BYTES,
};
use crate::memory::permits::{CHARGE_MIN, SHORT_BYTES};
use crate::settings::config::{CONNECTIONS_MAX_DEFAULT, Config, Invalid};
use crate::settings::size::size_text;

/// A worker reads into an inbox of this size, which its connections share. Enough for
/// hundreds of pipelined requests; larger did not read faster, and a leased buffer must be
/// able to take all of it.
pub const INBOX_BYTES: usize = 16 << 10;

/// A worker collects replies in an outbox of this size, which its connections share: those to 32
/// pipelined reads of a kilobyte, with heads, are one write. Longer values are streamed through
/// it.
pub const OUTBOX_BYTES: usize = 40 << 10;

/// A small leased buffer: most half requests fit one.
pub const SMALL_LEASE_BYTES: usize = 1 << 10;

/// What the process needs before it serves anything: the binary's pages that were touched
/// (3.3 MB of a static one, charged to the container's page cache), the allocator, the main
/// thread with its runtime (0.7 MB), and what the kernel keeps for a process (0.3 MB).
const PROCESS_BYTES: usize = 17 << 18;

/// What a worker thread needs beside its buffers: the touched part of its stack, its runtime
/// with room for 1,024 events, the kernel's stack.
const WORKER_BYTES: usize = 128 << 10;

/// What a connection needs in user space: its slot, its waker, a place in four queues, and
/// the runtime's registration of its socket.
pub const CONNECTION_USER_BYTES: usize = 600;

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
/// Long values on their way, in pieces, may hold this part of the memory still …
const LONG_TRANSFERS_SHARE: usize = 8;
/// … and the shorter ones among them this.
const SHORT_TRANSFERS_SHARE: usize = 24;
/// More of them at a time than this on one worker help nobody.
const TRANSFERS_MAX: usize = 128;

/// What a peer can make the kernel hold in both small socket buffers of its connection: measured over 2,000
/// peers that neither read nor are read from.
pub const SMALL_SOCKET_BYTES: usize = 8 << 10;
/// For so much of the memory each connection's small buffers are planned in full. Beyond, ten thousand connections would
/// leave no cache: nearly all of them are empty nearly always, and the workers look at what is charged.
const SMALL_SOCKETS_SHARE: usize = 64;
/// In less memory than this all of them are: there are too few items whose pages could be given up within the
/// millisecond in which a crowd fills its sockets.
const SMALL_SOCKETS_ALL_BELOW: usize = 48 << 20;
/// Connections with large socket buffers may take this part of the memory …
const LARGE_SOCKETS_SHARE: usize = 8;
/// … but there are always so many, and never more than so many.
const LARGE_SOCKETS_MIN: usize = 2;
const LARGE_SOCKETS_MAX: usize = 1024;

/// What nobody counts takes this part of the memory …
const HEADROOM_SHARE: usize = 64;
/// … or at least so much: a health check is a process of its own for a moment, in the same
/// container, and has been measured at 1.8 MB with the runtime's process that starts it.
const HEADROOM_BYTES_MIN: usize = 2 << 20;

/// The cache keeps this part of the memory from the connections that are allowed by default.
const CONNECTIONS_LEAVE_SHARE: usize = 8;

/// The kernel's page tables: 8 bytes for each 4 KiB, in pages of their own.
const fn page_table_bytes(arena_bytes: usize) -> usize {
    (arena_bytes / 512).next_multiple_of(4096) + 4 * 4096
}

/// CAS numbers begin at the second since [`CAS_EPOCH_UNIX`], with room for a million a second in each of
/// sixteen shards: after a restart they go on above all that were given out before. So they stay below 2^53 until
/// 2042: many clients keep them in a double.
fn cas_first() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(1, |since| {
            since.as_secs().saturating_sub(CAS_EPOCH_UNIX).max(1) << 24
        })
}

/// The beginning of 2025.
const CAS_EPOCH_UNIX: u64 = 1_735_689_600;

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
}

/// What values on their way, in pieces, may hold still, over all workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransferPlan {
    /// Values below `SHORT_BYTES`.
    pub short_bytes: usize,
    /// Longer ones.
    pub long_bytes: usize,
    /// Transfers at a time in each worker.
    pub places: usize,
}

impl TransferPlan {
    fn new(budget_bytes: usize, item_bytes_max: usize) -> Self {
        // One of the longest can always be under way.
        let long_bytes = (budget_bytes / LONG_TRANSFERS_SHARE).max(item_bytes_max);
        let short_bytes = (budget_bytes / SHORT_TRANSFERS_SHARE).max(SHORT_BYTES);
        TransferPlan {
            short_bytes,
            long_bytes,
            places: ((short_bytes + long_bytes) / CHARGE_MIN).clamp(1, TRANSFERS_MAX),
        }
    }
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

/// Connections whose small socket buffers are planned in full.
fn small_sockets_max(memory_bytes: usize) -> usize {
    if memory_bytes < SMALL_SOCKETS_ALL_BELOW {
        return usize::MAX / SMALL_SOCKET_BYTES;
    }
    memory_bytes / SMALL_SOCKETS_SHARE / SMALL_SOCKET_BYTES
}

/// Connections that may have large socket buffers at a time.
fn large_sockets_max(config: &Config, memory_bytes: usize) -> usize {
    (memory_bytes / LARGE_SOCKETS_SHARE / large_socket_bytes(config))
        .clamp(LARGE_SOCKETS_MIN, LARGE_SOCKETS_MAX)
}

/// The most that all socket buffers may take.
fn socket_bytes(config: &Config, memory_bytes: usize) -> usize {
    small_sockets_max(memory_bytes).min(config.connections_max) * SMALL_SOCKET_BYTES
        + large_sockets_max(config, memory_bytes) * large_socket_bytes(config)
}

fn headroom_bytes(memory_bytes: usize) -> usize {
    (memory_bytes / HEADROOM_SHARE).max(HEADROOM_BYTES_MIN)
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

/// What TLS connections may take in all.
fn tls_bytes(config: &Config) -> usize {
    if config.listen.iter().any(|endpoint| endpoint.tls) {
        config.tls_connections_max * TLS_CONNECTION_BYTES
    } else {
        0
    }
}

/// The server's own addends, the engine's left out.
fn server_lines(config: &Config, worker: &WorkerPlan, memory: usize, most: usize) -> Vec<Line> {
    let workers = config.workers;
    let line = |name: &str, bytes: usize, note: String| Line {
        name: name.to_owned(),
        bytes,
        note,
    };
    let mut lines = vec![
        line(
            "process",
            PROCESS_BYTES,
            "binary, allocator, main thread".to_owned(),
        ),
        line(
            "worker threads",
            workers * WORKER_BYTES,
            format!("{workers} × {WORKER_BYTES}: stacks, runtimes"),
        ),
        line(
            "shared buffers",
            workers * (INBOX_BYTES + OUTBOX_BYTES),
            format!("{workers} × ({INBOX_BYTES} in + {OUTBOX_BYTES} out)"),
        ),
        line(
            "leased buffers",
            workers * (worker.leases_bytes() - worker.leases_lent_bytes()),
            {
                let [small, input, output] = worker.leases_at_first;
                format!(
                    "{workers} × ({small} × {SMALL_LEASE_BYTES} + {input} × {INBOX_BYTES} + {output} × {OUTBOX_BYTES}): the first of them"
                )
            },
        ),
        line(
            "page tables",
            page_table_bytes(most),
            "of the kernel, a 512th of the arena".to_owned(),
        ),
        line(
            "headroom",
            headroom_bytes(memory),
            "health checks, what nobody counts".to_owned(),
        ),
    ];
    if config.admin.is_some() {
        lines.push(line(
            "admin pages",
            ADMIN_BYTES,
            format!(
                "thread {ADMIN_THREAD_BYTES} + {ADMIN_CONNECTIONS} × {ADMIN_CONNECTION_BYTES}: buffers, sockets"
            ),
        ));
    }
    let tls_bytes = tls_bytes(config);
    if tls_bytes > 0 {
        lines.push(line(
            "tls connections",
            tls_bytes,
            format!("{} × {TLS_CONNECTION_BYTES}", config.tls_connections_max),
        ));
    }
    if !connections_share_pages(config) {
        let connections = config.connections_max;
        lines.push(line(
            "connections",
            connection_bytes(connections, connections),
            format!("{connections} × ({CONNECTION_USER_BYTES} + {CONNECTION_KERNEL_BYTES} kernel)"),
        ));
        lines.push(line(
            "socket buffers",
            socket_bytes(config, memory),
            format!(
                "of the kernel; {} × {SMALL_SOCKET_BYTES} + {} × {}",
                small_sockets_max(memory).min(connections),
                large_sockets_max(config, memory),
                large_socket_bytes(config)
            ),
        ));
    }
    lines
}

/// What the kernel may hold for a peer with large socket buffers that neither reads nor is read from: both,
/// and it counts each twice as large as asked, for its own bookkeeping.
fn large_socket_bytes(config: &Config) -> usize {
    4 * config.socket_buffer_bytes
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
            backing: config.backing.clone(),
            prefault: config.prefault,
            huge_pages: config.huge_pages,
            eviction: config.eviction,
            hash_seed,
            cas_first: cas_first(),
            ..Options::default()
        };
        let engine = Plan::new(&options).map_err(Short::Engine)?;
        let mut plan = ServerPlan {
            transfers: TransferPlan::new(budget_bytes, config.item_bytes_max),
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
            .saturating_sub(self.leases_lent_bytes())
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
        let spare = spare.saturating_sub(self.leases_lent_bytes());
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
/// leave the cache an eighth of the memory.
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

/// An aligned table with a total, and what it will hold.
impl fmt::Display for ServerPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name_width = self
            .lines
            .iter()
            .map(|line| line.name.chars().count())
            .max();
        let name_width = name_width.unwrap_or(0).max("total (--memory)".len());
        let mut row = |name: &str, bytes: usize, note: &str| {
            let line = format!("{name:name_width$}  {bytes:>14}  {note}");
            writeln!(f, "{}", line.trim_end())
        };
        for line in &self.lines {
            row(&line.name, line.bytes, &line.note)?;
        }
        row(
            "total (--memory)",
            self.memory_bytes,
            &size_text(self.memory_bytes),
        )?;
        if self.memory_bytes_max > self.memory_bytes {
            writeln!(
                f,
                "can grow to {} (--memory-max) when the limit is raised",
                size_text(self.memory_bytes_max)
            )?;
        }
        let most = self.connections_max;
        if self.connections_share_pages {
            writeln!(
                f,
                "each connection takes {} bytes from the pages while it is there ({CONNECTION_USER_BYTES} + {CONNECTION_KERNEL_BYTES} kernel), the first {} also {SMALL_SOCKET_BYTES} for what lies in its socket; up to {most} take {}",
                CONNECTION_USER_BYTES + CONNECTION_KERNEL_BYTES,
                self.small_sockets_max.min(most),
                self.connection_bytes(most, most)
            )?;
            writeln!(
                f,
                "leased buffers for all workers take {} more when half of the first are in use",
                self.leases_lent_bytes()
            )?;
            writeln!(
                f,
                "up to {} connections that move much take {} more each",
                self.large_sockets_max,
                size_text(self.large_socket_bytes)
            )?;
        }
        for item_bytes in [50, 300, 2000] {
            writeln!(
                f,
                "items of {item_bytes} bytes (key and value): about {}, with {most} connections {}",
                self.items_expected(item_bytes, 0),
                self.items_expected(item_bytes, most)
            )?;
        }
        Ok(())
    }
}

/// Puts what is missing in terms of the settings.
fn refusal(config: &Config, short: &Short) -> Invalid {
    let (value, beginning) = if config.memory_is_limit {
        (
            "auto".to_owned(),
            format!(
                "means {}, the container's limit, which is",
                size_text(config.memory_bytes)
            ),
        )
    } else {
        (size_text(config.memory_bytes), "is".to_owned())
    };
    let memory = |why: String| Invalid::new("--memory", &value, format!("{beginning} {why}"));
    match *short {
        Short::Connections | Short::Engine(PlanError::BudgetTooSmall { .. }) => memory(format!(
            "too small for {} connections, {} workers and values of {}: {} or more works",
            config.connections_max,
            config.workers,
            size_text(config.item_bytes_max),
            size_text(memory_bytes_min(config)),
        )),
        Short::Engine(PlanError::BudgetTooLarge {
            budget_bytes_max, ..
        }) => memory(format!(
            "more than one arena can address: up to {} works",
            size_text(budget_bytes_max)
        )),
        Short::Engine(PlanError::ItemBytesMax { least, most, .. }) => Invalid::new(
            "--max-item",
            size_text(config.item_bytes_max),
            format!(
                "is out of range: {} to {} work",
                size_text(least),
                size_text(most)
            ),
        ),
        Short::Engine(error) => memory(format!("not one that can be planned: {error}")),
    }
}

/// The least memory, in whole MiB, that works with the other settings.
fn memory_bytes_min(config: &Config) -> usize {
    let works = |mib: usize| {
        // What it can grow to later does not help it now.
        let config = Config {
            memory_bytes_max: None,
            ..config.clone()
        };
        ServerPlan::divide(&config, mib << 20, 0).is_ok()
    };
    // A TiB is more than any setting needs.
    let (mut low, mut high) = (0usize, 1usize << 20);
    while low + 1 < high {
        let middle = low.midpoint(high);
        // Too large for an arena is not too small.
        if works(middle) || middle << 20 > 32 << 30 {
            high = middle;
        } else {
            low = middle;
        }
    }
    high << 20
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(memory_bytes: usize, connections_max: usize, workers: usize) -> Config {
        Config {
            admin: Some(([127, 0, 0, 1], 0).into()),
            memory_bytes,
            connections_max,
            workers,
            ..Config::default()
        }
    }

    #[test]
    fn the_addends_sum_to_the_memory() {
        for (memory, connections, workers) in [
            (32 << 20, 1000, 1),
            (64 << 20, 10_000, 2),
            (256 << 20, 10_000, 4),
            (1 << 30, 10_000, 16),
            ((256 << 20) + 12_345, 17, 3),
        ] {
            let plan = ServerPlan::new(&config(memory, connections, workers), 0).expect("it fits");
            assert_eq!(sum(plan.lines()), memory);
            assert!(plan.worker.slot_count * workers >= connections);
            assert!(plan.transfers.long_bytes >= plan.engine.item_bytes_max());
        }
    }

    #[test]
    fn too_little_memory_is_refused_with_the_least_that_works() {
        let small = config(1 << 20, 10_000, 2);
        let refused = ServerPlan::new(&small, 0).unwrap_err().to_string();
        assert!(
            refused.starts_with("--memory \"1MiB\" is too small for 10000 connections"),
            "{refused}"
        );
        let least = refused
            .split("values of 1MiB: ")
            .nth(1)
            .and_then(|rest| rest.strip_suffix("MiB or more works"))
            .expect(&refused);
        let least: usize = least.parse().expect(&refused);
        ServerPlan::new(&config(least << 20, 10_000, 2), 0).expect("the least works");
        assert!(ServerPlan::new(&config((least - 1) << 20, 10_000, 2), 0).is_err());
    }

    #[test]
    fn small_containers_hold_many_connections() {
        // Memory in MiB; connections asked for; connections by default, at least.
        for (mib, asked, by_default) in [
            (16, 300, 300),
            (32, 1_000, 1_400),
            (64, 10_000, 10_000),
            (256, 10_000, 10_000),
            (1024, 10_000, 10_000),
        ] {
            for workers in [1, 2, 4] {
                let config = config(mib << 20, asked, workers);
                let plan = ServerPlan::new(&config, 0).expect("it fits");
                assert_eq!(sum(plan.lines()), mib << 20);
                let default = connections_default(&config);
                assert!(default >= by_default, "{mib} MiB: {default}");
                let config = Config {
                    connections_max: default,
                    ..config
                };
                let plan = ServerPlan::new(&config, 0).expect("the default fits");
                assert!(plan.items_expected(50, default) > 5_000, "{mib} MiB");
                assert!(plan.items_expected(50, 0) > plan.items_expected(50, default));
            }
        }
    }

    #[test]
    fn memory_to_grow_into_is_reserved_and_not_counted() {
        let config = Config {
            memory_bytes_max: Some(96 << 20),
            ..config(64 << 20, 1_000, 2)
        };
        let plan = ServerPlan::new(&config, 0).expect("it fits");
        assert_eq!(sum(plan.lines()), 64 << 20);
        assert_eq!(plan.pages_for(96 << 20), plan.engine.page_count());
        let less = (plan.pages_for(96 << 20) - plan.pages_for(64 << 20)) * plan.engine.page_bytes();
        assert!((32 << 20..(32 << 20) + plan.engine.page_bytes()).contains(&less));
        assert_eq!(plan.pages_for(0), plan.pages_for(1));
    }

    #[test]
    fn an_arena_on_the_heap_shares_nothing() {
        let config = Config {
            backing: Backing::Heap,
            ..config(64 << 20, 1_000, 2)
        };
        let plan = ServerPlan::new(&config, 0).expect("it fits");
        assert_eq!(sum(plan.lines()), 64 << 20);
        let line = plan.lines().iter().find(|line| line.name == "connections");
        assert_eq!(
            line.map(|line| line.bytes),
            Some(connection_bytes(1000, 1000))
        );
        assert_eq!(plan.connection_bytes(1000, 1000), 0);
        assert_eq!(plan.connections_that_fit(64 << 20), 1000);
    }

    #[test]
    fn the_fewest_pages_are_the_engines() {
        for (mib, item_bytes_max) in [(16, 1 << 20), (64, 1 << 20), (64, 8 << 20), (64, 1 << 10)] {
            let config = Config {
                item_bytes_max,
                ..config(mib << 20, 100, 1)
            };
            let plan = ServerPlan::new(&config, 0).expect("it fits");
            let cache = flagstone_engine::Cache::open(plan.engine.clone()).expect("opens");
            assert_eq!(plan.pages_min(), cache.pages_usable_min());
        }
    }

    #[test]
    fn an_item_that_cannot_fit_is_refused() {
        let config = Config {
            item_bytes_max: 1 << 40,
            ..Config::default()
        };
        let refused = ServerPlan::new(&config, 0).unwrap_err();
        assert_eq!(refused.setting(), "--max-item");
    }

    #[test]
    fn the_table_is_aligned_and_ends_in_the_total() {
        let plan = ServerPlan::new(&Config::default(), 0).expect("defaults fit");
        let table = plan.to_string();
        assert!(table.contains("total (--memory)"), "{table}");
        assert!(table.contains("256MiB"), "{table}");
    }
}
