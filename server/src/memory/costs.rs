//! What the parts that allocate by libraries of others may take. The plan has a line for each; those parts take their
//! bounds from here, so that neither the plan nor anything else of `memory` knows them.

/// The admin thread's stack as far as it is touched, its runtime, its part of the allocator.
pub const ADMIN_THREAD_BYTES: usize = 128 << 10;
/// Admin connections at a time. A scraper has one, a page two, a prober one for a moment.
pub const ADMIN_CONNECTIONS: usize = 8;
/// A buffer in, as much out, a snapshot, a socket with the kernel's buffers.
pub const ADMIN_CONNECTION_BYTES: usize = 64 << 10;
/// Admin connections that have sent nothing yet.
pub const ADMIN_WAITING: usize = 32;
/// What each of them costs beyond waiting in the kernel's backlog: an open file.
const ADMIN_WAITING_BYTES: usize = 1 << 10;
/// The memory of the admin pages.
pub const ADMIN_BYTES: usize = ADMIN_THREAD_BYTES
    + ADMIN_CONNECTIONS * ADMIN_CONNECTION_BYTES
    + ADMIN_WAITING * ADMIN_WAITING_BYTES;

/// What one TLS connection may take in user space beside what every connection takes: its
/// session, a record that has arrived in part, its plain text, and a record that has not been
/// sent. See docs/decisions/0043 for what was measured.
const TLS_CONNECTION_BYTES: usize = 48 << 10;
/// What more it may take where clients present certificates: a session keeps the client's chain, of which no more is read than
/// `conn/tls_stream.rs` lets a handshake have.
const TLS_CLIENT_CHAIN_BYTES: usize = 16 << 10;
/// TLS connections may have this part of the memory, when nobody has said how many there may
/// be …
const TLS_SHARE: usize = 8;
/// … and no more than so many.
const TLS_CONNECTIONS_MAX_DEFAULT: usize = 1000;

/// What one TLS connection may take, where clients present certificates or do not.
#[must_use]
pub const fn tls_connection_bytes(are_clients_known: bool) -> usize {
    match are_clients_known {
        true => TLS_CONNECTION_BYTES + TLS_CLIENT_CHAIN_BYTES,
        false => TLS_CONNECTION_BYTES,
    }
}

/// TLS connections at a time, when nobody has said how many.
#[must_use]
pub fn tls_connections_default(memory_bytes: usize, are_clients_known: bool) -> usize {
    let each = tls_connection_bytes(are_clients_known);
    (memory_bytes / TLS_SHARE / each).clamp(1, TLS_CONNECTIONS_MAX_DEFAULT)
}

/// No transfer is charged less, so that their number is bounded, too.
pub const CHARGE_MIN: usize = 16 << 10;
/// A shorter value counts as short.
pub const SHORT_BYTES: usize = 256 << 10;

/// Requests that took long are kept in so many places …
pub const SLOW_ENTRIES: usize = 128;
/// … of so many bytes.
pub const SLOW_ENTRY_BYTES: usize = 192;

/// A worker's keys that are asked for most: so many …
const HOT_KEYS_A_WORKER: usize = 128;
/// … and where memory is short, so many …
const HOT_KEYS_SHORT: usize = 32;
/// … which is below this …
const HOT_KEYS_SHORT_BELOW: usize = 64 << 20;
/// … of so many bytes, each once for the worker and once for merging.
pub const HOT_KEY_BYTES: usize = 224;

/// How many keys each worker keeps of those that are asked for most.
#[must_use]
pub const fn hot_keys_a_worker(memory_bytes: usize) -> usize {
    match memory_bytes < HOT_KEYS_SHORT_BELOW {
        true => HOT_KEYS_SHORT,
        false => HOT_KEYS_A_WORKER,
    }
}

/// The block that a snapshot is written from, and a long item's key.
pub const SNAPSHOT_BUFFER_BYTES: usize = 272 << 10;
/// The touched part of its thread's stack, and the kernel's.
pub const SNAPSHOT_THREAD_BYTES: usize = 128 << 10;
/// What is written of a snapshot and not synced yet lies in the container's memory: this part of it …
const SNAPSHOT_WINDOW_SHARE: usize = 64;
/// … but never more than this …
const SNAPSHOT_WINDOW_MAX: usize = 8 << 20;
/// … nor less than a block.
const SNAPSHOT_WINDOW_MIN: usize = 256 << 10;

/// Bytes of a snapshot that are not synced yet, at most.
#[must_use]
pub fn snapshot_window_bytes(memory_bytes: usize) -> usize {
    (memory_bytes / SNAPSHOT_WINDOW_SHARE).clamp(SNAPSHOT_WINDOW_MIN, SNAPSHOT_WINDOW_MAX)
}
