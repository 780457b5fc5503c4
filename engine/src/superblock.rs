//! The first bytes of an arena: what it is, and whether this build can read it.
//!
//! Written when the cache is opened. The magic decides whether a file may be taken over at all (see
//! `arena::file`). A later release that reopens a file with its items compares format and layout hash before it
//! believes anything else in it; this one starts empty.

use bytemuck::{Pod, Zeroable};
use static_assertions::const_assert;

use crate::arena::{Arena, MAGIC};
use crate::geometry::{Geometry, SUPERBLOCK_BYTES, WORD_BYTES};

/// Raised whenever the meaning of any word changes.
const FORMAT: u64 = 2;

/// The words at the arena's start, little-endian.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Pod, Zeroable)]
pub(crate) struct Superblock {
    magic: u64,
    format: u64,
    layout_hash: u64,
    arena_bytes: u64,
    page_bytes: u64,
    page_count: u64,
    hash_seed: u64,
    item_bytes_max: u64,
}

const_assert!(size_of::<Superblock>() <= SUPERBLOCK_BYTES);
const_assert!(size_of::<Superblock>().is_multiple_of(WORD_BYTES));

impl Superblock {
    pub fn new(geometry: &Geometry, hash_seed: u64, item_bytes_max: usize) -> Self {
        Superblock {
            magic: MAGIC,
            format: FORMAT,
            layout_hash: geometry.layout_hash(),
            arena_bytes: (geometry.arena_words * WORD_BYTES) as u64,
            page_bytes: geometry.page_bytes as u64,
            page_count: geometry.page_count as u64,
            hash_seed,
            item_bytes_max: item_bytes_max as u64,
        }
    }

    pub fn write(&self, arena: &Arena) {
        arena.copy_in(0, bytemuck::bytes_of(self));
    }

    #[cfg(test)]
    pub fn read(arena: &Arena) -> Self {
        let mut block = Superblock::zeroed();
        arena.copy_out(0, bytemuck::bytes_of_mut(&mut block));
        block
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arena::Backing;
    use crate::options::Options;
    use crate::plan::Plan;

    #[test]
    fn a_file_says_what_it_is() {
        let path =
            std::env::temp_dir().join(format!("flagstone-superblock-{}", std::process::id()));
        let options = Options {
            budget_bytes: 8 << 20,
            hash_seed: 77,
            backing: Backing::File(path.clone()),
            ..Options::default()
        };
        let plan = Plan::new(&options).unwrap();
        let geometry = plan.geometry().clone();
        drop(crate::Cache::open(plan).unwrap());
        let bytes = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(&bytes[..8], b"FLAGSTON");
        assert_eq!(bytes.len(), geometry.arena_words * WORD_BYTES);
        let arena = Arena::open(512, &Backing::Heap, false, false, 4096).unwrap();
        arena.copy_in(0, &bytes[..4096]);
        assert_eq!(
            Superblock::read(&arena),
            Superblock::new(&geometry, 77, 1 << 20)
        );
    }

    #[test]
    fn another_layout_has_another_hash() {
        let hash = |budget_bytes| {
            let plan = Plan::new(&Options {
                budget_bytes,
                ..Options::default()
            })
            .unwrap();
            plan.geometry().layout_hash()
        };
        assert_ne!(hash(64 << 20), hash((64 << 20) + 4096 * 4));
        assert_eq!(hash(64 << 20), hash(64 << 20));
    }
}
