//! The keys that are asked for most, in a place of a fixed size: Space-Saving.
//!
//! Metwally, Agrawal, El Abbadi, "Efficient computation of frequent and top-k elements in data streams", ICDT 2005. Of a
//! stream of weighted keys it keeps some with a count each, those in its places. A key without a place takes that of the least count, and goes on
//! counting from there: what it took over is its error. So, with `total` the sum of all weights,
//!
//! - a key's count is never below what it was asked for, and above it by `error` at most;
//! - no error is more than `total` by the number of places, and so a key that was asked for more than that has a place.
//!
//! Now and then all counts are halved, so that they are about the last moments. Halves are rounded so that the
//! first of these stays true to the letter.

use flagstone_engine::Key;

use crate::memory::costs::HOT_KEY_BYTES;
use crate::observe::few::Few;

/// Of a key so many bytes are kept, where keys are told.
pub const KEY_BYTES: usize = 64;

/// What is kept of a key, and how often it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hot {
    /// Its hash, which is another in each process. Two keys with one hash are one here.
    pub hash: u64,
    /// So often at most …
    pub count: u64,
    /// … and less than that by so many at most.
    pub error: u64,
    /// Its length.
    pub len: u16,
    /// Its beginning, where keys are told.
    pub shown: Few<KEY_BYTES>,
}

// Once in a sketch, with its print and count beside it, and once where sketches are merged.
static_assertions::const_assert!(2 * (size_of::<Hot>() + 8) <= HOT_KEY_BYTES);

/// So many prints are compared at a time; the number of places is a multiple.
const CHUNK: usize = 16;

/// See the module's head.
pub struct Sketch {
    /// A part of each place's hash. They lie together because they are searched.
    prints: Box<[u32]>,
    places: Vec<Hot>,
    total: u64,
    /// The largest weight since the last halving, and between that and the one before.
    every: [u64; 2],
    /// No count is less, once all places are taken …
    least: u64,
    /// … and those before this place are more.
    next: usize,
}

fn print(hash: u64) -> u32 {
    (hash >> 32) as u32
}

impl Sketch {
    /// An empty one, with its memory.
    #[must_use]
    pub fn new(places: usize) -> Self {
        debug_assert!(places.is_multiple_of(CHUNK), "a part would not be searched");
        Sketch {
            prints: vec![0; places].into_boxed_slice(),
            places: Vec::with_capacity(places),
            total: 0,
            every: [1; 2],
            least: 0,
            next: 0,
        }
    }

    /// A key was asked for so many times. `tells` says whether its beginning may be kept.
    pub fn note(&mut self, key: Key<'_>, weight: u64, tells: bool) {
        self.total += weight;
        self.every[0] = self.every[0].max(weight);
        let hash = key.hash().number();
        if let Some(place) = self.find(hash) {
            place.count += weight;
            return;
        }
        let bytes = key.bytes();
        let newcomer = |error: u64| Hot {
            hash,
            count: error + weight,
            error,
            len: u16::try_from(bytes.len()).unwrap_or(u16::MAX),
            shown: match tells {
                true => Few::of(bytes),
                false => Few::NONE,
            },
        };
        if self.places.len() < self.prints.len() {
            self.prints[self.places.len()] = print(hash);
            self.places.push(newcomer(0));
            return;
        }
        let weakest = self.weakest();
        self.prints[weakest] = print(hash);
        self.places[weakest] = newcomer(self.least);
    }

    fn find(&mut self, hash: u64) -> Option<&mut Hot> {
        let print = print(hash);
        // Without a way out of the middle: the compiler compares four at a time.
        let is_in = |chunk: &[u32]| chunk.iter().fold(false, |is, &other| is | (other == print));
        let chunks = self.prints.chunks_exact(CHUNK).enumerate();
        let found = chunks
            .filter(|(_, chunk)| is_in(chunk))
            .find_map(|(no, _)| {
                let places = self.places.iter().enumerate();
                let mut places = places.skip(no * CHUNK).take(CHUNK);
                places.find(|(_, place)| place.hash == hash)
            });
        let no = found?.0;
        Some(&mut self.places[no])
    }

    /// A place with the least count. Counts only grow between two halvings, so the search goes on where it stopped, and goes
    /// through all places only once for each time that the least count rises.
    fn weakest(&mut self) -> usize {
        loop {
            while let Some(place) = self.places.get(self.next) {
                if place.count <= self.least {
                    return self.next;
                }
                self.next += 1;
            }
            self.look_for_least();
        }
    }

    fn look_for_least(&mut self) {
        self.least = self.least();
        self.next = 0;
    }

    /// Everything counts half from now on.
    pub fn halve(&mut self) {
        for place in &mut self.places {
            place.count = place.count.div_ceil(2);
            place.error = (place.error / 2 + 1).min(place.count);
        }
        self.total = self.total.div_ceil(2);
        self.every = [1, self.every[0]];
        self.look_for_least();
    }

    /// The sum of all weights.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The largest weight of late.
    #[must_use]
    pub fn every(&self) -> u64 {
        self.every[0].max(self.every[1])
    }

    /// A key without a place was asked for at most so often.
    #[must_use]
    pub fn least(&self) -> u64 {
        match self.places.len() < self.prints.len() {
            true => 0,
            false => self
                .places
                .iter()
                .map(|place| place.count)
                .min()
                .unwrap_or(0),
        }
    }

    /// All places that are taken, in no order.
    #[must_use]
    pub fn places(&self) -> &[Hot] {
        &self.places
    }
}
