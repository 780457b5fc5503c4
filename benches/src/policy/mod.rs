//! Reference eviction policies, as simulators: no bytes are stored, only decisions taken.
//!
//! They are ideal caches, without header, index or size class: a size is what the caller
//! says it is, 1 for all when items count equally.

mod arc;
mod lists;
mod lru;
mod s3_fifo;
mod sharded;
mod two_q;
mod w_tiny_lfu;

pub use arc::Arc;
pub use lru::Lru;
pub use s3_fifo::{S3Fifo, Tuning};
pub use sharded::Sharded;
pub use two_q::TwoQ;
pub use w_tiny_lfu::WTinyLfu;

use crate::trace::Trace;

/// A cache that knows keys and sizes only.
pub trait Policy {
    /// A request for `key`; one that misses is inserted. Whether it hit.
    fn request(&mut self, key: u32, size: u64) -> bool;
}

/// The share of hits over the whole trace, from an empty cache on.
pub fn hit_ratio(policy: &mut dyn Policy, trace: &Trace, size_of: impl Fn(u32) -> u64) -> f64 {
    let hits = trace
        .requests
        .iter()
        .filter(|request| policy.request(request.key, size_of(request.size)))
        .count();
    hits as f64 / trace.requests.len() as f64
}
