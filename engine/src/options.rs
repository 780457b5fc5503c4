//! What a cache is asked to be, before a plan says what it will be.

use std::hash::{BuildHasher, Hasher, RandomState};

use crate::arena::Backing;
use crate::geometry::KEY_BYTES_MAX;
use crate::lru::segments::Eviction;

/// What a cache is asked to be.
///
/// Written as a literal that ends in `..Options::default()`: a field may be added at any time. (`#[non_exhaustive]` would
/// forbid just that literal.) [`Builder`](crate::Builder) has calls for those that are asked for most.
#[derive(Clone, Debug)]
pub struct Options {
    /// All the memory that the cache may use, in bytes, its own structures included.
    pub budget_bytes: usize,
    /// The longest value, in bytes.
    pub item_bytes_max: usize,
    /// The longest key, in bytes: at most [`KEY_BYTES_MAX`].
    pub key_bytes_max: usize,
    /// What the arena's memory is.
    pub backing: Backing,
    /// Touch every OS page at open.
    pub prefault: bool,
    /// Ask for transparent huge pages (anonymous maps only).
    pub huge_pages: bool,
    /// Which items leave when room is needed.
    pub eviction: Eviction,
    /// Seeds the hash. A random one by default, so that nobody can choose colliding keys; a fixed one makes a test
    /// play the same each time.
    pub hash_seed: u64,
    /// Bytes of an OS page: the engine's pages are at least as large, so that one can be given back without its
    /// neighbours. The system's by default.
    pub os_page_bytes: usize,
    /// CAS numbers begin above this. Give each process a higher one, so that a number from
    /// before a restart fits no item that came after it.
    pub cas_first: u64,
    /// Whether a cache whose backing is a file goes on with what is in it. Then all that it needs to know of time and
    /// place is in the file as well: the two settings below are for a new one, and [`Cache::unix_zero`](crate::Cache::unix_zero)
    /// says what is true. False by default: a file is opened empty.
    pub restore: bool,
    /// The calendar's second (since 1970) at tick 0. Of a file that was made at a later one nothing is restored.
    pub unix_zero: u64,
    /// A number that is another each time the machine was started: a shared map outlives a process, not a machine. On
    /// Linux `/proc/sys/kernel/random/boot_id` is one.
    pub boot: u128,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            budget_bytes: 256 << 20,
            item_bytes_max: 1 << 20,
            key_bytes_max: KEY_BYTES_MAX,
            backing: Backing::default(),
            prefault: false,
            huge_pages: false,
            eviction: Eviction::default(),
            // The standard library asks the system for its own maps, and this is what it offers.
            hash_seed: RandomState::new().build_hasher().finish(),
            os_page_bytes: rustix::param::page_size(),
            cas_first: 0,
            restore: false,
            unix_zero: 0,
            boot: 0,
        }
    }
}

/// The shortest limit for values that can be set.
pub const ITEM_BYTES_LEAST: usize = 1 << 10;
/// The longest limit for values that can be set.
pub const ITEM_BYTES_MOST: usize = 128 << 20;
