//! The first bytes of an arena: what it is, whether this build can read it, and what else has to be known to go on
//! with what it holds. `docs/file-format.md` has the positions.
//!
//! What is written once, when the arena is made, comes with a check. So does where the arena's parts are, twice over, so
//! that an arena that grows changes from one to the other at once. That it is made at all is stored last: before that it
//! holds nothing.

use std::sync::atomic::{Ordering, fence};

use bytemuck::{Pod, Zeroable};
use static_assertions::const_assert;
use xxhash_rust::xxh3::xxh3_64;

use crate::arena::{Arena, MAGIC};
use crate::geometry::{Geometry, Places, SUPERBLOCK_BYTES, WORD_BYTES};
use crate::slab::size_class::CHUNK_BYTES_MIN;
use crate::space::{SPACE_WORDS, Spaces};

/// Raised whenever the meaning of any word changes.
pub(crate) const FORMAT: u64 = 4;

/// Where the other parts of the superblock begin, in words.
const PLACES_WORDS: [usize; 2] = [32, 48];
const MADE_WORD: usize = 64;
const SPACES_WORD: usize = 72;
const NUMBER_WORD: usize = 96;
const_assert!(SPACES_WORD + SPACE_WORDS <= NUMBER_WORD);
const_assert!((NUMBER_WORD + 1) * WORD_BYTES <= SUPERBLOCK_BYTES);

/// Written once, little-endian.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Pod, Zeroable)]
struct Made {
    magic: u64,
    format: u64,
    /// xxh3-64 of what follows.
    check: u64,
    hash_seed: u64,
    /// Which start of the machine it was made in.
    boot: [u64; 2],
    /// The calendar's second (since 1970) at tick 0.
    unix_zero: u64,
}

/// Where its parts are.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Pod, Zeroable)]
struct Layout {
    /// xxh3-64 of what follows.
    check: u64,
    /// The higher one counts.
    number: u64,
    page_bytes: u64,
    granule_shift: u64,
    page_count: u64,
    page_table_word: u64,
    directory_word: u64,
    first_page_word: u64,
    /// Of the geometry that follows from the rest in the release that wrote it.
    layout_hash: u64,
}

const_assert!(size_of::<Made>() <= PLACES_WORDS[0] * WORD_BYTES);
const_assert!(size_of::<Layout>() <= (PLACES_WORDS[1] - PLACES_WORDS[0]) * WORD_BYTES);

/// What an arena that can be gone on with says of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Superblock {
    pub hash_seed: u64,
    pub boot: u128,
    pub unix_zero: u64,
    pub places: Places,
    /// Raised with each change of the places.
    pub places_no: u64,
}

/// Why an arena cannot be gone on with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Unusable {
    /// It was never finished.
    Unfinished,
    /// It is of another format: of an older or a newer release, with this number.
    Format(u64),
    /// It was made since another start of the machine, or on another one: whether all of it reached the disk is unknown.
    Boot,
    /// It says of itself what cannot be.
    Damaged,
    /// The file is shorter than it says.
    Short,
    /// It was made at a time that lies ahead: the calendar was set back.
    Future,
    /// Its pages are smaller than the system's.
    Pages,
    /// What it needs beside its pages is more than the budget.
    Budget,
}

impl std::fmt::Display for Unusable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Unusable::Unfinished => f.write_str("whoever made it did not finish"),
            Unusable::Format(format) => write!(
                f,
                "its format has the number {format}, and this release reads {FORMAT}"
            ),
            Unusable::Boot => f.write_str(
                "it was made on another machine, or before this one was started: what of it reached the disk is unknown",
            ),
            Unusable::Damaged => f.write_str("it is damaged"),
            Unusable::Short => f.write_str("a part of it is missing"),
            Unusable::Future => f.write_str("it was made at a time that lies ahead of the clock"),
            Unusable::Pages => f.write_str("its pages are smaller than the system's"),
            Unusable::Budget => f.write_str("it is too large for the memory that there is now"),
        }
    }
}

/// Bytes from the beginning that tell.
pub(crate) const HEAD_BYTES: usize = SUPERBLOCK_BYTES;

impl Superblock {
    /// Reads the first bytes of an arena of `len` bytes.
    pub fn read(head: &[u8; HEAD_BYTES], len: u64) -> Result<Superblock, Unusable> {
        let made: Made = bytemuck::pod_read_unaligned(&head[..size_of::<Made>()]);
        if made.magic != MAGIC || made.format == 0 || word_of(head, MADE_WORD) == 0 {
            return Err(Unusable::Unfinished);
        }
        if made.format != FORMAT {
            return Err(Unusable::Format(made.format));
        }
        if made.check != made.checked() {
            return Err(Unusable::Damaged);
        }
        let newest = PLACES_WORDS
            .into_iter()
            .filter_map(|at| {
                let bytes = &head[at * WORD_BYTES..][..size_of::<Layout>()];
                let layout: Layout = bytemuck::pod_read_unaligned(bytes);
                (layout.check == layout.checked()).then_some(layout)
            })
            .max_by_key(|layout| layout.number)
            .ok_or(Unusable::Damaged)?;
        let places = newest.places().ok_or(Unusable::Damaged)?;
        if Geometry::of(places).layout_hash() != newest.layout_hash {
            // Another release divides pages into other sizes.
            return Err(Unusable::Format(made.format));
        }
        if (Geometry::of(places).arena_words * WORD_BYTES) as u64 > len {
            return Err(Unusable::Short);
        }
        Ok(Superblock {
            hash_seed: made.hash_seed,
            boot: u128::from(made.boot[0]) | u128::from(made.boot[1]) << 64,
            unix_zero: made.unix_zero,
            places,
            places_no: newest.number,
        })
    }

    /// Writes all but the state.
    pub fn write(&self, arena: &Arena) {
        let mut made = Made {
            magic: MAGIC,
            format: FORMAT,
            check: 0,
            hash_seed: self.hash_seed,
            boot: [self.boot as u64, (self.boot >> 64) as u64],
            unix_zero: self.unix_zero,
        };
        made.check = made.checked();
        arena.copy_in(0, bytemuck::bytes_of(&made));
        self.write_places(arena);
    }

    /// Writes where the parts are, in the place of the older of the two.
    pub fn write_places(&self, arena: &Arena) {
        let layout = Layout::new(self.places, self.places_no);
        let at = PLACES_WORDS[self.places_no as usize % PLACES_WORDS.len()];
        arena.copy_in(at * WORD_BYTES, bytemuck::bytes_of(&layout));
    }
}

/// Says that the arena is a cache's, or not any more. All that was stored before is there if it says so.
pub(crate) fn set_made(arena: &Arena, is_made: bool) {
    arena
        .word(MADE_WORD)
        .store(u64::from(is_made), Ordering::Release);
}

/// The number that the cache's owner keeps in it.
pub(crate) fn number(arena: &Arena) -> &std::sync::atomic::AtomicU64 {
    arena.word(NUMBER_WORD)
}

impl Spaces {
    /// As an arena keeps them; `None` if they are none.
    pub fn load(arena: &Arena) -> Option<Spaces> {
        Spaces::of_words(std::array::from_fn(|at| arena.load(SPACES_WORD + at)))
    }

    /// Keeps them in the arena.
    pub fn keep(&self, arena: &Arena) {
        for (at, word) in self.words().into_iter().enumerate() {
            arena.store(SPACES_WORD + at, word);
        }
        // What is acknowledged afterwards is stored afterwards.
        fence(Ordering::Release);
    }
}

impl Made {
    fn checked(&self) -> u64 {
        let mut checked = *self;
        checked.check = 0;
        xxh3_64(bytemuck::bytes_of(&checked))
    }
}

impl Layout {
    fn new(places: Places, number: u64) -> Self {
        let mut layout = Layout {
            check: 0,
            number,
            page_bytes: places.page_bytes as u64,
            granule_shift: u64::from(places.granule_shift),
            page_count: places.page_count as u64,
            page_table_word: places.page_table_word as u64,
            directory_word: places.directory_word as u64,
            first_page_word: places.first_page_word as u64,
            layout_hash: Geometry::of(places).layout_hash(),
        };
        layout.check = layout.checked();
        layout
    }

    fn checked(&self) -> u64 {
        let mut checked = *self;
        checked.check = 0;
        xxh3_64(bytemuck::bytes_of(&checked))
    }

    /// `None` if they cannot be: nothing is computed from numbers that are out of range.
    fn places(&self) -> Option<Places> {
        let small = |value: u64| (value < 1 << 40).then_some(value as usize);
        let places = Places {
            page_bytes: small(self.page_bytes)?,
            granule_shift: small(self.granule_shift)? as u32,
            page_count: small(self.page_count)?,
            page_table_word: small(self.page_table_word)?,
            directory_word: small(self.directory_word)?,
            first_page_word: small(self.first_page_word)?,
        };
        places.can_be().then_some(places)
    }
}

impl Places {
    /// Whether an arena can have them.
    fn can_be(&self) -> bool {
        let least = 8 * CHUNK_BYTES_MIN;
        self.page_bytes.is_power_of_two()
            && (least..=1 << 16).contains(&self.page_bytes)
            && (3..=6).contains(&self.granule_shift)
            && (1..1 << 24).contains(&self.page_count)
            && self
                .first_page_word
                .is_multiple_of(self.page_bytes / WORD_BYTES)
    }
}

fn word_of(head: &[u8; HEAD_BYTES], at: usize) -> u64 {
    let bytes = &head[at * WORD_BYTES..][..WORD_BYTES];
    u64::from_le_bytes(bytes.try_into().expect("eight bytes"))
}
