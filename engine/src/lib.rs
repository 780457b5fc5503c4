#![doc = include_str!("../README.md")]
// Where docs.rs builds this, it says which feature an item needs.
#![cfg_attr(docsrs, feature(doc_cfg))]

// The one module that may; the workspace denies it everywhere else.
#[allow(unsafe_code)]
mod arena;
mod cache;
mod chunk_ref;
mod error;
mod front;
mod geometry;
mod hash;
mod index;
mod item;
mod lru;
mod options;
mod owned;
mod persist;
mod pinned;
mod plan;
mod rebalance;
mod region;
mod reservation;
mod shard;
mod slab;
mod space;
#[doc(hidden)]
pub mod stamp;
mod stats;
mod tick;
mod types;

pub use arena::Backing;
pub use cache::Cache;
pub use cache::export::{Export, Exporting};
pub use cache::opening::{Opening, Restored};
pub use cache::read::Seen;
pub use cache::scan::{Scan, Scanned};
pub use cache::update::Current;
pub use cache::walk::Walk;
pub use error::{KeyError, OpenError, PlanError, StoreError};
pub use front::builder::{BuildError, Builder};
pub use front::visit::{Item, Iter, Retained};
pub use front::writer::Writer;
pub use front::{InsertError, SharedCache};
pub use geometry::KEY_BYTES_MAX;
pub use hash::{Key, KeyHash};
pub use index::probe::Spot;
pub use lru::curve::{CURVE_POINTS, Curve, CurvePoint, CurvePoints, Holding, Reference, Use};
pub use lru::segments::Eviction;
pub use options::{ITEM_BYTES_LEAST, ITEM_BYTES_MOST, Options};
pub use owned::{OwnedPinned, OwnedReservation};
pub use persist::superblock::Unusable;
pub use pinned::{Loosened, Pinned};
pub use plan::{Plan, PlanLine};
pub use reservation::{Drawn, Reservation};
pub use space::DATABASES;
pub use stats::{Audit, ClassStats, Expired, Stats};
pub use tick::{Deadline, Tick};
pub use types::{
    Attributes, CasWish, Condition, Copied, Edit, Exported, ItemMeta, Lookup, Maintained, NewValue,
    Outcome, Room, Side, Sink, Standing, Stored, Updated, Visit, Visited, Want,
};
