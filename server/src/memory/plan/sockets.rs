//! What the kernel's socket buffers may take.

use crate::settings::config::Config;

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
pub const LARGE_SOCKETS_MIN: usize = 2;
const LARGE_SOCKETS_MAX: usize = 1024;

/// Connections whose small socket buffers are planned in full.
pub fn small_sockets_max(memory_bytes: usize) -> usize {
    if memory_bytes < SMALL_SOCKETS_ALL_BELOW {
        return usize::MAX / SMALL_SOCKET_BYTES;
    }
    memory_bytes / SMALL_SOCKETS_SHARE / SMALL_SOCKET_BYTES
}

/// Connections that may have large socket buffers at a time.
pub fn large_sockets_max(config: &Config, memory_bytes: usize) -> usize {
    (memory_bytes / LARGE_SOCKETS_SHARE / large_socket_bytes(config))
        .clamp(LARGE_SOCKETS_MIN, LARGE_SOCKETS_MAX)
}

/// The most that all socket buffers may take.
pub fn socket_bytes(config: &Config, memory_bytes: usize) -> usize {
    small_sockets_max(memory_bytes).min(config.connections_max) * SMALL_SOCKET_BYTES
        + large_sockets_max(config, memory_bytes) * large_socket_bytes(config)
}

/// What the kernel may hold for a peer with large socket buffers that neither reads nor is read from: both,
/// and it counts each twice as large as asked, for its own bookkeeping.
pub fn large_socket_bytes(config: &Config) -> usize {
    4 * config.socket_buffer_bytes
}
