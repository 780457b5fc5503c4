//! The façade: hash → shard, and pages across shards.

pub(crate) mod update;

use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::{Mutex, RwLock};

use crate::arena::Arena;
use crate::error::{KeyError, OpenError, StoreError};
use crate::geometry::{SHARD_COUNT, WORD_BYTES};
use crate::hash::{Key, KeyHash};
use crate::index::Place;
use crate::index::probe::Spot;
use crate::item::header::flags_for;
use crate::item::header::{extra, extra::Marks, flag};
use crate::item::layout::Layout;
use crate::item::view::View;
use crate::pinned::Pinned;
use crate::plan::{CACHE_BYTES_MAX, Plan};
use crate::rebalance::Tails;
use crate::region::Region;
use crate::reservation::Reservation;
use crate::shard::join::Part;
use crate::shard::sweep::Round;
use crate::shard::write::{Blueprint, Shortage};
use crate::shard::{PageBag, Shard};
use crate::slab::free_list::PagePool;
use crate::slab::page::CLASS_SPECIAL;
use crate::stats::{Audit, ClassStats, Stats};
use crate::superblock::Superblock;
use crate::tick::{Deadline, Tick};
use crate::types::{
    Attributes, CasWish, Condition, Copied, ItemMeta, Lookup, Maintained, Outcome, Side, Stored,
    Visit, Visited, Want,
};

/// What [`Cache::visit`] found.
pub enum Seen<'c> {
    /// No such item, or it has expired.
    Missing,
    /// So many bytes are at the front of the buffer: the head, and the value if it was wanted.
    Copied(usize),
    /// The value, to be read in pieces; so many bytes of head are at the front of the buffer.
    Pinned(Pinned<'c>, usize),
    /// The buffer is too small, and nothing was done: come again with a larger one or with
    /// [`Want::ValueOrPin`].
    TooSmall,
}

/// A cache whose memory is one budget.
///
/// Shared by reference between any number of threads. See the crate's documentation for
/// an example.
pub struct Cache {
    plan: Plan,
    region: Region,
    shards: Box<[Shard]>,
    /// The sweep's round through the pages. Taken before any shard's lock.
    round: Mutex<Round>,
    /// Pages are retired and restored by one thread at a time.
    resizing: Mutex<()>,
    /// Shared by those who store a large value, which they hold memory for meanwhile; taken alone by one for whom
    /// that left no space. Taken before any shard's lock.
    large: RwLock<()>,
}

// What the plan counts the cache itself as.
static_assertions::const_assert!(size_of::<Cache>() <= CACHE_BYTES_MAX);

impl Cache {
    /// Reserves the arena and everything beside it. What happens afterwards asks the global
    /// allocator for nothing.
    ///
    /// A file is opened empty, whatever it held.
    ///
    /// # Errors
    /// When the memory or the file cannot be had.
    pub fn open(plan: Plan) -> Result<Cache, OpenError> {
        let geometry = plan.geometry().clone();
        let options = plan.options();
        let arena = Arena::open(
            geometry.arena_words,
            &options.backing,
            options.prefault,
            options.huge_pages,
            options.os_page_bytes,
        )?;
        arena.clear_words(0, geometry.directory_word);
        Superblock::new(&geometry, options.hash_seed, options.item_bytes_max).write(&arena);
        let region = Region {
            arena,
            pool: PagePool::new(geometry.page_count),
            hash_seed: options.hash_seed,
            eviction: options.eviction,
            tails: Tails::default(),
            stale: AtomicUsize::new(0),
            geometry,
        };
        let shards = (0..SHARD_COUNT)
            .map(|shard_no| Shard::new(&region, shard_no, options.cas_first))
            .collect();
        Ok(Cache {
            plan,
            region,
            shards,
            round: Mutex::default(),
            resizing: Mutex::new(()),
            large: RwLock::new(()),
        })
    }

    /// The plan that the cache was opened with.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Checks and hashes a key, once for whatever is done with it.
    ///
    /// # Errors
    /// When it is empty or longer than [`KEY_BYTES_MAX`](crate::KEY_BYTES_MAX).
    #[inline]
    pub fn key<'k>(&self, bytes: &'k [u8]) -> Result<Key<'k>, KeyError> {
        Key::new(bytes, self.region.hash_seed)
    }

    #[inline(always)]
    fn shard(&self, hash: KeyHash) -> &Shard {
        &self.shards[hash.shard_no()]
    }

    /// Hints that `key` will be looked up soon: its bucket's cache line is asked for. Says where
    /// that is, for [`Cache::prefetch_item`] and [`Cache::get_at`].
    #[inline(always)]
    pub fn prefetch(&self, key: Key<'_>) -> Spot {
        let (arena, geometry) = (&self.region.arena, &self.region.geometry);
        let spot = Spot::of(arena, geometry, key.hash());
        spot.prefetch(arena);
        spot
    }

    /// Hints that `key`'s item will be read soon, and remembers in `spot` what the bucket said of it. Worth
    /// it when [`Cache::prefetch`] has had time to bring the bucket, and when the item is read soon: a store to
    /// the same bucket meanwhile makes [`Cache::get_at`] look anew.
    #[inline]
    pub fn prefetch_item(&self, key: Key<'_>, spot: &mut Spot) {
        let (arena, geometry) = (&self.region.arena, &self.region.geometry);
        spot.look(arena, geometry, key.hash());
    }

    /// Copies the value to the front of `out`. Takes no lock; stores nothing to shared
    /// memory once the item is hot: hit three times since eviction last looked at it.
    #[inline]
    pub fn get(&self, key: Key<'_>, now: Tick, out: &mut [u8]) -> Lookup {
        self.shard(key.hash())
            .get(&self.region, key, now, out, |_, _| Some(0))
    }

    /// As [`Cache::get`], with something in front of the value that depends on the item:
    /// `head` writes it to the front of `out` and says how long it is, and the value follows
    /// it. One lookup and one validated read, so head and value belong together. `head` may
    /// run more than once, and on nonsense if a writer interferes; what it wrote last counts.
    /// If it gives `None`, that is [`Lookup::TooSmall`].
    #[inline]
    pub fn get_headed(
        &self,
        key: Key<'_>,
        now: Tick,
        out: &mut [u8],
        head: impl FnMut(&ItemMeta, &mut [u8]) -> Option<usize>,
    ) -> Lookup {
        self.shard(key.hash())
            .get(&self.region, key, now, out, head)
    }

    /// As [`Cache::get_headed`], for a key that was prefetched: what that found out is not
    /// worked out again, and of the item only the length of head and value is told.
    ///
    /// `spot` has to be of this key and this cache. With another key's, a value that is there may be missed.
    ///
    /// # Panics
    /// Possibly, with a spot of another cache.
    #[inline]
    pub fn get_at(
        &self,
        key: Key<'_>,
        spot: Spot,
        now: Tick,
        out: &mut [u8],
        head: impl FnMut(&ItemMeta, &mut [u8]) -> Option<usize>,
    ) -> Copied {
        self.shard(key.hash())
            .get_at(&self.region, key, spot, now, out, head)
    }

    /// What is known of the item, without its value, and without counting as a hit.
    #[must_use]
    pub fn meta(&self, key: Key<'_>, now: Tick) -> Option<ItemMeta> {
        self.shard(key.hash()).meta(&self.region, key, now)
    }

    /// Runs `part` over the value's bytes, in order, in one or more parts.
    ///
    /// A value of up to 1 KiB is copied to the stack first and comes in one part. A longer
    /// one is pinned, so that all parts are of the same value.
    ///
    /// # Errors
    /// [`StoreError::NoSpace`] when too many large values are being read at once.
    pub fn get_with(
        &self,
        key: Key<'_>,
        now: Tick,
        mut part: impl FnMut(&[u8]),
    ) -> Result<Option<ItemMeta>, StoreError> {
        let mut window = [0u8; 1024];
        match self.get(key, now, &mut window) {
            Lookup::Miss => return Ok(None),
            Lookup::Hit(meta) => {
                part(&window[..meta.value_len]);
                return Ok(Some(meta));
            }
            Lookup::TooSmall(_) => {}
        }
        let Some(mut pinned) = self.pin(key, now)? else {
            return Ok(None);
        };
        loop {
            let len = pinned.read(&mut window);
            if len == 0 {
                return Ok(Some(pinned.meta()));
            }
            part(&window[..len]);
        }
    }

    /// Holds the item's bytes still, so that a large value can be streamed out of the arena.
    /// The item itself may be replaced, deleted or evicted meanwhile.
    ///
    /// # Errors
    /// [`StoreError::NoSpace`] when too many items are pinned already.
    pub fn pin(&self, key: Key<'_>, now: Tick) -> Result<Option<Pinned<'_>>, StoreError> {
        self.pin_counting(key, true, now)
    }

    /// As [`Cache::pin`], without counting as a read: for going through many items.
    ///
    /// # Errors
    /// As [`Cache::pin`].
    pub fn pin_unseen(&self, key: Key<'_>, now: Tick) -> Result<Option<Pinned<'_>>, StoreError> {
        self.pin_counting(key, false, now)
    }

    #[inline(always)]
    fn pin_counting(
        &self,
        key: Key<'_>,
        is_read: bool,
        now: Tick,
    ) -> Result<Option<Pinned<'_>>, StoreError> {
        let shard = self.shard(key.hash());
        let mut state = shard.lock(&self.region);
        let Some(place) = state.find_live(&self.region, key, now) else {
            return Ok(None);
        };
        if !state.pin(&self.region, place.chunk) {
            return Err(StoreError::NoSpace);
        }
        if is_read {
            state.mark_place(&self.region, place);
        }
        Ok(Some(Pinned::new(&self.region, shard, place.chunk)))
    }

    /// Stores a value, evicting what is oldest if there is no room.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`], or [`StoreError::NoSpace`] while transfers hold the memory.
    /// Then nothing has changed.
    pub fn put(
        &self,
        key: Key<'_>,
        value: &[u8],
        attributes: Attributes,
        now: Tick,
    ) -> Result<(), StoreError> {
        self.store(key, value, attributes, Condition::Always, now)?;
        Ok(())
    }

    /// Stores a value if the key has none.
    ///
    /// # Errors
    /// As [`Cache::put`].
    pub fn add(
        &self,
        key: Key<'_>,
        value: &[u8],
        attributes: Attributes,
        now: Tick,
    ) -> Result<Outcome, StoreError> {
        self.store(key, value, attributes, Condition::Absent, now)
    }

    /// Stores a value if the key has one.
    ///
    /// # Errors
    /// As [`Cache::put`].
    pub fn replace(
        &self,
        key: Key<'_>,
        value: &[u8],
        attributes: Attributes,
        now: Tick,
    ) -> Result<Outcome, StoreError> {
        self.store(key, value, attributes, Condition::Present, now)
    }

    /// Stores a value if the item still has the CAS number that [`Cache::cas`] gave.
    ///
    /// # Errors
    /// As [`Cache::put`].
    pub fn compare_and_swap(
        &self,
        key: Key<'_>,
        value: &[u8],
        attributes: Attributes,
        expected: u64,
        now: Tick,
    ) -> Result<Outcome, StoreError> {
        self.store(key, value, attributes, Condition::Cas(expected), now)
    }

    /// Stores a value if `condition` holds.
    ///
    /// # Errors
    /// As [`Cache::put`].
    pub fn store(
        &self,
        key: Key<'_>,
        value: &[u8],
        attributes: Attributes,
        condition: Condition,
        now: Tick,
    ) -> Result<Outcome, StoreError> {
        self.store_as(key, value, attributes, condition, CasWish::IfKept, now)
            .map(|stored| stored.outcome)
    }

    /// As [`Cache::store`], with a CAS number.
    ///
    /// # Errors
    /// As [`Cache::put`].
    pub fn store_as(
        &self,
        key: Key<'_>,
        value: &[u8],
        attributes: Attributes,
        condition: Condition,
        wish: CasWish,
        now: Tick,
    ) -> Result<Stored, StoreError> {
        if value.len() > self.plan.item_bytes_max() {
            return Err(StoreError::TooLarge);
        }
        let region = &self.region;
        if value.len() >= region.geometry.page_bytes {
            // Long enough that the lock should not be held while it is copied.
            return self.with_room(true, || {
                // Nothing is evicted for a store that will not be carried out.
                let state = self.shard(key.hash()).lock(region);
                let outcome = state.check(region, state.find(region, key), condition, now);
                drop(state);
                if outcome != Outcome::Stored {
                    return Ok(Stored::not(outcome));
                }
                let mut reservation =
                    self.try_reserve(key, value.len(), attributes, condition, wish, now)?;
                reservation.write(value, now)?;
                reservation.commit_as(condition, now)
            });
        }
        let mut bag = PageBag::new(region);
        match self.store_once(key, value, attributes, condition, wish, &mut bag, now) {
            Ok(stored) => Ok(stored),
            Err(shortage) => {
                self.store_further(key, value, attributes, condition, wish, bag, now, shortage)
            }
        }
    }

    /// A store whose value is copied under the lock. Two callers, of which the usual one has it for itself.
    #[expect(clippy::too_many_arguments, reason = "those of a store, and its pages")]
    #[inline(always)]
    fn store_once(
        &self,
        key: Key<'_>,
        value: &[u8],
        attributes: Attributes,
        condition: Condition,
        wish: CasWish,
        bag: &mut PageBag<'_>,
        now: Tick,
    ) -> Result<Stored, Shortage> {
        let region = &self.region;
        let mut state = self.shard(key.hash()).lock(region);
        let place = state.find(region, key);
        let outcome = state.check(region, place, condition, now);
        if outcome != Outcome::Stored {
            return Ok(Stored::not(outcome));
        }
        let (mut attributes, mut marks) = (attributes, Marks::NONE);
        if let (Condition::Since(cas), Some(place)) = (condition, place) {
            let old = View::known(region, place.chunk);
            if old.cas() != Some(cas) {
                attributes.deadline = old.deadline();
                marks = old.marks().only(extra::WON).with(extra::STALE);
            }
        }
        let blueprint = Blueprint::new(key, attributes)
            .with_cas(wish)
            .with_marks(marks);
        Ok(Stored {
            outcome,
            cas: state.put_value(region, place, blueprint, value, bag, now)?,
            value_len: value.len(),
        })
    }

    /// The rare part of it: pages are gathered from all shards, and if there are none, others are asked to give back
    /// what they hold.
    #[expect(clippy::too_many_arguments, reason = "those of a store, and its pages")]
    #[cold]
    #[inline(never)]
    fn store_further<'r>(
        &'r self,
        key: Key<'_>,
        value: &[u8],
        attributes: Attributes,
        condition: Condition,
        wish: CasWish,
        mut bag: PageBag<'r>,
        now: Tick,
        shortage: Shortage,
    ) -> Result<Stored, StoreError> {
        let attempt = |bag: &mut PageBag<'r>| {
            self.store_once(key, value, attributes, condition, wish, bag, now)
        };
        let stored = self.with_more_pages(key, &mut bag, now, attempt, shortage);
        // What it gathered in vain is everybody's again.
        drop(bag);
        match stored {
            Err(StoreError::NoSpace) => self.with_room(false, || {
                self.with_pages(key, &mut PageBag::new(&self.region), now, attempt)
            }),
            stored => stored,
        }
    }

    /// Sets aside the memory for a value of `value_len` bytes that is still to arrive.
    ///
    /// # Errors
    /// As [`Cache::put`].
    pub fn reserve<'c>(
        &'c self,
        key: Key<'_>,
        value_len: usize,
        attributes: Attributes,
        now: Tick,
    ) -> Result<Reservation<'c>, StoreError> {
        self.reserve_as(key, value_len, attributes, CasWish::IfKept, now)
    }

    /// As [`Cache::reserve`], with a CAS number.
    ///
    /// # Errors
    /// As [`Cache::put`].
    pub fn reserve_as<'c>(
        &'c self,
        key: Key<'_>,
        value_len: usize,
        attributes: Attributes,
        cas: CasWish,
        now: Tick,
    ) -> Result<Reservation<'c>, StoreError> {
        self.reserve_for(key, value_len, attributes, Condition::Always, cas, now)
    }

    /// As [`Cache::reserve_as`], when it is known what the commit will depend on: a stale value of
    /// [`Condition::Since`] needs fields, and a commit without them treats the condition as [`Condition::Cas`].
    ///
    /// # Errors
    /// As [`Cache::put`].
    pub fn reserve_for<'c>(
        &'c self,
        key: Key<'_>,
        value_len: usize,
        attributes: Attributes,
        condition: Condition,
        cas: CasWish,
        now: Tick,
    ) -> Result<Reservation<'c>, StoreError> {
        if value_len > self.plan.item_bytes_max() {
            return Err(StoreError::TooLarge);
        }
        self.with_room(false, || {
            self.try_reserve(key, value_len, attributes, condition, cas, now)
        })
    }

    fn try_reserve<'c>(
        &'c self,
        key: Key<'_>,
        value_len: usize,
        attributes: Attributes,
        condition: Condition,
        cas: CasWish,
        now: Tick,
    ) -> Result<Reservation<'c>, StoreError> {
        let mut blueprint = Blueprint::new(key, attributes).with_cas(cas);
        if matches!(condition, Condition::Since(_)) {
            blueprint.flags |= flag::DEADLINE | flag::EXTRA;
        }
        blueprint.flags |= self.fields_kept(key);
        let layout = Layout::of(&self.region.geometry.classes, blueprint.lead(), value_len);
        let head = self.reserve_layout(blueprint, layout, value_len, now)?;
        Ok(Reservation::new(self, key, head, Some(value_len), cas))
    }

    /// The fields that an item keeps when it is overwritten: what was asked for once is likely to be asked again.
    fn fields_kept(&self, key: Key<'_>) -> u8 {
        let state = self.shard(key.hash()).lock(&self.region);
        let Some(place) = state.find(&self.region, key) else {
            return 0;
        };
        let view = View::known(&self.region, place.chunk);
        let noted = view.marks().is_noted();
        view.header.flags() & flag::CAS | if noted { flag::EXTRA } else { 0 }
    }

    /// Runs `attempt`, and again if there was no space for it because others were about to store large values: when
    /// those are done what they hold can be evicted, and the attempt has the cache to itself. It fails then only if
    /// memory is held for longer than a call, by reservations and pins.
    ///
    /// `holds`: the attempt is itself one that holds memory for as long as it runs.
    #[cold]
    #[inline(never)]
    fn with_room<T>(
        &self,
        holds: bool,
        mut attempt: impl FnMut() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let first = {
            let _others_wait = holds.then(|| self.large.read());
            attempt()
        };
        if !matches!(first, Err(StoreError::NoSpace)) {
            return first;
        }
        let _alone = self.large.write();
        attempt()
    }

    /// Sets memory aside for a value whose length is not known yet: it grows by a page as
    /// bytes are written, up to the plan's `item_bytes_max`, and is trimmed at the commit.
    ///
    /// # Errors
    /// As [`Cache::put`].
    pub fn reserve_growing<'c>(
        &'c self,
        key: Key<'_>,
        attributes: Attributes,
        now: Tick,
    ) -> Result<Reservation<'c>, StoreError> {
        let mut blueprint = Blueprint::new(key, attributes);
        blueprint.flags |= flag::CHAINED | self.fields_kept(key);
        let layout = Layout {
            pages: 1,
            small: [None; 3],
        };
        let head = self.reserve_layout(blueprint, layout, 0, now)?;
        Ok(Reservation::new(self, key, head, None, CasWish::IfKept))
    }

    pub(crate) fn reserve_layout(
        &self,
        blueprint: Blueprint<'_>,
        layout: Layout,
        value_len: usize,
        now: Tick,
    ) -> Result<crate::chunk_ref::ChunkRef, StoreError> {
        let reserve = || {
            let mut bag = PageBag::new(&self.region);
            self.with_pages(blueprint.key, &mut bag, now, |bag| {
                self.shard(blueprint.key.hash()).lock(&self.region).reserve(
                    &self.region,
                    blueprint,
                    layout,
                    value_len,
                    bag,
                    now,
                )
            })
        };
        // What it is to replace stays meanwhile: others may depend on it, and so may the store itself.
        let guard = self.guard(blueprint.key, now);
        let reserved = reserve();
        self.unguard(blueprint.key, guard);
        match reserved {
            // Better without it than not at all.
            Err(StoreError::NoSpace) if guard.is_some() => reserve(),
            reserved => reserved,
        }
    }

    /// Keeps the key's item from being evicted, if there is one.
    fn guard(&self, key: Key<'_>, now: Tick) -> Option<usize> {
        let mut state = self.shard(key.hash()).lock(&self.region);
        let place = state.find_live(&self.region, key, now)?;
        state.guards.begin(place.chunk)
    }

    fn unguard(&self, key: Key<'_>, guard: Option<usize>) {
        if let Some(no) = guard {
            self.shard(key.hash()).lock(&self.region).guards.end(no);
        }
    }

    /// Runs `attempt` until it has the pages that it needs; each shortage is made good by
    /// all shards together, without holding any lock in between. The item that the key has is the last to go for it: the
    /// attempt may be to change it.
    #[inline(always)]
    pub(crate) fn with_pages<'r, T>(
        &'r self,
        key: Key<'_>,
        bag: &mut PageBag<'r>,
        now: Tick,
        mut attempt: impl FnMut(&mut PageBag<'r>) -> Result<T, Shortage>,
    ) -> Result<T, StoreError> {
        match attempt(bag) {
            Ok(done) => Ok(done),
            Err(shortage) => self.with_more_pages(key, bag, now, attempt, shortage),
        }
    }

    /// The rare part of it, apart.
    #[cold]
    #[inline(never)]
    fn with_more_pages<'r, T>(
        &'r self,
        key: Key<'_>,
        bag: &mut PageBag<'r>,
        now: Tick,
        mut attempt: impl FnMut(&mut PageBag<'r>) -> Result<T, Shortage>,
        mut shortage: Shortage,
    ) -> Result<T, StoreError> {
        loop {
            let want = bag.count() + shortage.0;
            let guard = self.guard(key, now);
            let mut enough = self.gather(bag, want, now);
            self.unguard(key, guard);
            if !enough && guard.is_some() {
                enough = self.gather(bag, want, now);
            }
            if !enough {
                return Err(StoreError::NoSpace);
            }
            match attempt(bag) {
                Ok(done) => return Ok(done),
                Err(more) => shortage = more,
            }
        }
    }

    /// Fills `bag` up to `want` pages, from the pool or from the shards in turn.
    fn gather(&self, bag: &mut PageBag<'_>, want: usize, now: Tick) -> bool {
        let region = &self.region;
        let mut exhausted = 0u32;
        while bag.count() < want {
            if let Some(page_no) = region.pool.pop(region.pages()) {
                bag.push(page_no);
                continue;
            }
            // What was flushed goes first.
            if region.stale.load(Ordering::Relaxed) > 0
                && self.shards.iter().any(|shard| {
                    let mut state = shard.lock(region);
                    state.slab.stale() > 0 && state.release_any(region, now)
                })
            {
                continue;
            }
            // The shard whose items are oldest gives first.
            let Some((shard_no, _)) = region.tails.oldest(exhausted) else {
                return false;
            };
            let mut state = self.shards[shard_no].lock(&self.region);
            if !state.release_any(region, now) {
                exhausted |= 1 << shard_no;
            }
            // It is younger now; the next page may be another's.
            state.publish_age(region);
        }
        true
    }

    /// The item's CAS number: it changes with every store, and only rises. An item gets one
    /// (8 bytes) when it is first asked for, so that those nobody asks about cost nothing.
    ///
    /// # Errors
    /// [`StoreError::NoSpace`] while transfers hold the memory.
    pub fn cas(&self, key: Key<'_>, now: Tick) -> Result<Option<u64>, StoreError> {
        loop {
            match self.meta(key, now) {
                None => return Ok(None),
                Some(ItemMeta { cas: Some(cas), .. }) => return Ok(Some(cas)),
                Some(meta) => {
                    let attributes = Attributes {
                        client_flags: meta.client_flags,
                        deadline: meta.deadline,
                    };
                    self.rewrite(key, flag::CAS, attributes, now)?;
                }
            }
        }
    }

    /// Gives the item new fields by copying it.
    fn rewrite(
        &self,
        key: Key<'_>,
        more_flags: u8,
        attributes: Attributes,
        now: Tick,
    ) -> Result<bool, StoreError> {
        let mut bag = PageBag::new(&self.region);

        self.with_pages(key, &mut bag, now, |bag| {
            let mut state = self.shard(key.hash()).lock(&self.region);
            let Some(place) = state.find_live(&self.region, key, now) else {
                return Ok(false);
            };
            let view = View::known(&self.region, place.chunk);
            let kept = view.header.flags() & (flag::CAS | flag::EXTRA);
            let attributes = Attributes {
                client_flags: view.client_flags(),
                deadline: if more_flags & flag::CAS != 0 {
                    view.deadline()
                } else {
                    attributes.deadline
                },
            };
            let flags = flags_for(attributes.client_flags, attributes.deadline) | kept | more_flags;
            state.rewrite(&self.region, key, flags, attributes, bag, now)
        })
    }

    /// Lengthens the item's value, and changes nothing else about it.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`], or [`StoreError::NoSpace`] while transfers hold the memory.
    pub fn extend(
        &self,
        key: Key<'_>,
        part: &[u8],
        side: Side,
        compare: Option<u64>,
        wish: CasWish,
        now: Tick,
    ) -> Result<Stored, StoreError> {
        self.extend_with(key, (Part::Bytes(part), side, wish), compare, now)
    }

    pub(crate) fn extend_with(
        &self,
        key: Key<'_>,
        (part, side, wish): (Part<'_>, Side, CasWish),
        compare: Option<u64>,
        now: Tick,
    ) -> Result<Stored, StoreError> {
        let region = &self.region;
        let item_bytes_max = self.plan.item_bytes_max();
        let mut bag = PageBag::new(&self.region);
        let extended = self.with_pages(key, &mut bag, now, |bag| {
            let mut state = self.shard(key.hash()).lock(&self.region);
            let Some(place) = state.find_live(region, key, now) else {
                return Ok(Ok(Stored::not(Outcome::NotStored)));
            };
            let condition = compare.map_or(Condition::Always, Condition::Cas);
            let outcome = state.check(region, Some(place), condition, now);
            let long = View::known(region, place.chunk).value_len() + part.len(region);
            if outcome != Outcome::Stored {
                Ok(Ok(Stored::not(outcome)))
            } else if long > item_bytes_max {
                Ok(Err(StoreError::TooLarge))
            } else {
                state
                    .extend(region, key, place, (part, side, wish), bag, now)
                    .map(Ok)
            }
        });
        extended?
    }

    /// Reads the item with consequences: see [`Visit`]. `head` writes what stands before the
    /// value to the front of `out`, from what was found; it needs at most `head_bytes_max`.
    ///
    /// # Errors
    /// [`StoreError::NoSpace`] while transfers hold the memory, or too many items are pinned.
    /// Then the visit has not taken place.
    pub fn visit(
        &self,
        key: Key<'_>,
        visit: &Visit,
        now: Tick,
        out: &mut [u8],
        head_bytes_max: usize,
        mut head: impl FnMut(&Visited, &mut [u8]) -> Option<usize>,
    ) -> Result<Seen<'_>, StoreError> {
        let region = &self.region;
        let shard = self.shard(key.hash());
        let mut bag = PageBag::new(&self.region);
        let seen = self.with_pages(key, &mut bag, now, |bag| {
            let mut state = shard.lock(&self.region);
            // Whether there is room for it is known before anything is done.
            let mut pins = false;
            let mut pinned = None;
            if let Some(place) = state.find_live(region, key, now) {
                let view = View::known(region, place.chunk);
                let value_len = match visit.want {
                    Want::Nothing => 0,
                    _ => view.value_len(),
                };
                if out.len() < head_bytes_max + value_len {
                    if visit.want != Want::ValueOrPin {
                        return Ok(Ok(Seen::TooSmall));
                    }
                    pins = true;
                    if !state.pins.has_room() {
                        // Another of those who stream this very item is no further one; the visit may make a copy of
                        // it, but the value is the same.
                        if !state.pins.is_pinned(place.chunk) {
                            return Ok(Err(StoreError::NoSpace));
                        }
                        state.pin(region, place.chunk);
                        pinned = Some(place.chunk);
                    }
                }
            }
            let visited = state.visit(region, key, visit, bag, now);
            let wants_pin = matches!(&visited, Ok(Some((_, visited))) if !visited.is_known);
            if let Some(chunk) = pinned
                && !wants_pin
            {
                state.unpin(region, chunk);
            }
            let Some((place, visited)) = visited? else {
                return Ok(Ok(Seen::Missing));
            };
            let head_len =
                state.call(|_| head(&visited, out).expect("a head is as short as was said"));
            if visit.want == Want::Nothing || visited.is_known {
                return Ok(Ok(Seen::Copied(head_len)));
            }
            if pins {
                let chunk = pinned.unwrap_or(place.chunk);
                let has_room = pinned.is_some() || state.pin(region, chunk);
                assert!(has_room, "there was room before the visit");
                let pinned = Pinned::new(region, shard, chunk);
                return Ok(Ok(Seen::Pinned(pinned, head_len)));
            }
            let len = head_len + visited.meta.value_len;
            let whole = View::known(region, place.chunk).copy_value(&mut out[head_len..len]);
            assert!(whole, "under the lock a linked item is whole");
            Ok(Ok(Seen::Copied(len)))
        });
        seen?
    }

    /// What is known of the item, with what is noted of its reads, and without being one.
    #[must_use]
    pub fn examine(&self, key: Key<'_>, now: Tick) -> Option<Visited> {
        let state = self.shard(key.hash()).lock(&self.region);
        let place = state.find_live(&self.region, key, now)?;
        Some(state.examine(&self.region, place, now))
    }

    /// Removes the item. Whether there was one.
    pub fn delete(&self, key: Key<'_>, now: Tick) -> bool {
        self.delete_where(key, now, |_| true)
    }

    /// Removes the item, if it is still the one that `pinned` holds, with the value that it had then. Whether it
    /// was: a value that was stored since stays. Of an item that was copied meanwhile (for a deadline or a CAS number
    /// that it had no field for) this cannot be told, and it stays, too.
    pub fn delete_pinned(&self, key: Key<'_>, pinned: &Pinned<'_>, now: Tick) -> bool {
        // Chunks of another cache have the same names.
        pinned.is_of(&self.region)
            && self.delete_where(key, now, |place| {
                // A pinned item's bytes are not replaced where they lie, and its chunk is not given to another; but
                // it may have grown.
                let value_len = View::known(&self.region, place.chunk).value_len();
                pinned.is_at(place.chunk) && pinned.meta().value_len == value_len
            })
    }

    #[inline(always)]
    fn delete_where(&self, key: Key<'_>, now: Tick, condition: impl FnOnce(Place) -> bool) -> bool {
        let mut state = self.shard(key.hash()).lock(&self.region);
        let Some(place) = state.find(&self.region, key) else {
            return false;
        };
        if !condition(place) {
            return false;
        }
        let live = !View::known(&self.region, place.chunk).is_expired(now);
        state.unlink(&self.region, place);
        if live {
            state.counters.deletes += 1;
        } else {
            state.counters.expired.deleted += 1;
        }
        live
    }

    /// Changes the item's deadline and nothing else. Whether there was one.
    ///
    /// # Errors
    /// [`StoreError::NoSpace`] if the item had no deadline before, so that it has to be
    /// copied, while transfers hold the memory.
    pub fn touch(&self, key: Key<'_>, deadline: Deadline, now: Tick) -> Result<bool, StoreError> {
        {
            let mut state = self.shard(key.hash()).lock(&self.region);
            let Some(place) = state.find_live(&self.region, key, now) else {
                return Ok(false);
            };
            state.counters.touches += 1;
            state.mark_place(&self.region, place);
            if state.touch_in_place(&self.region, place, deadline) {
                return Ok(true);
            }
        }
        self.rewrite(key, 0, deadline.into(), now)
    }

    /// Removes all items, in a time that does not depend on how many there are. Their memory is taken back by
    /// [`Cache::maintain`], and by stores before they evict anything.
    pub fn flush(&self) {
        for shard in &self.shards {
            shard.lock(&self.region).flush(&self.region);
        }
    }

    /// The night shift: reclaims what has expired, about `work_max` items at most, and pages that a flush left, and
    /// lets the index shrink. Call it about every tenth of a second, again at once while there is
    /// `more`.
    pub fn maintain(&self, now: Tick, work_max: usize) -> Maintained {
        let mut done = Maintained::default();
        for shard in &self.shards {
            let mut state = shard.lock(&self.region);
            done.more |= state.reclaim_flushed(&self.region);
            state.tidy(&self.region, now, 16);
        }
        // Two who maintain at once are one too many.
        if let Some(mut round) = self.round.try_lock() {
            let shard = |shard_no: usize| self.shards[shard_no].lock(&self.region);
            let (reclaimed, more) = round.go_on(&self.region, shard, now, work_max);
            done.reclaimed = reclaimed;
            done.more |= more;
        }
        done
    }

    /// Pages that may be used now: the plan's, less those that [`Cache::resize`] retired.
    #[must_use]
    pub fn pages_usable(&self) -> usize {
        self.region.geometry.page_count - self.region.pool.retired()
    }

    /// The fewest pages that [`Cache::resize`] leaves.
    #[must_use]
    pub fn pages_usable_min(&self) -> usize {
        self.plan.page_count_min()
    }

    /// Shrinks or grows the cache, while it is in use, towards `pages` of the plan's.
    ///
    /// To shrink, what is oldest is evicted and the pages' memory is given back to the OS
    /// (that of an arena on the heap stays where it is). To grow, retired pages become
    /// available again; they cost memory as they are used (a file's blocks are allocated at once). At most `pages_max` pages change
    /// hands in a call, so that the caller decides how long it takes. Returns
    /// [`Cache::pages_usable`] afterwards.
    ///
    /// # Errors
    /// When the OS does not take the memory back; the page stays in use. When there is no memory to grow into (the
    /// disk of an arena's file is full); then the pages stay retired.
    pub fn resize(&self, pages: usize, pages_max: usize, now: Tick) -> std::io::Result<usize> {
        let (region, geometry) = (&self.region, &self.region.geometry);
        let _alone = self.resizing.lock();
        let words = |pages: std::ops::Range<usize>| {
            let count = pages.len() * geometry.page_bytes / WORD_BYTES;
            (geometry.page_word(pages.start), count)
        };
        let pages = pages.clamp(self.pages_usable_min(), geometry.page_count);
        let usable = self.pages_usable();
        if pages >= usable {
            let count = (pages - usable).min(pages_max);
            region.pool.restore(region.pages(), count, |pages| {
                let (at, count) = words(pages);
                region.arena.provide(at, count)
            })?;
            return Ok(self.pages_usable());
        }
        let mut left = (usable - pages).min(pages_max);
        let fresh = region.pool.retire_fresh(left);
        left -= fresh.len();
        if !fresh.is_empty() {
            // Nobody has stored anything there, but a file's blocks are there, or those of an arena that was
            // touched at open.
            let (at, count) = words(fresh);
            region.arena.discard(at, count)?;
        }
        let mut bag = PageBag::new(&self.region);
        while left > 0 {
            if bag.count() == 0 && !self.gather(&mut bag, 1, now) {
                break;
            }
            let Some(page_no) = bag.pop() else {
                break;
            };
            let (at, count) = words(page_no..page_no + 1);
            if let Err(error) = region.arena.discard(at, count) {
                region.pool.push(region.pages(), page_no);
                return Err(error);
            }
            region.pool.retire(region.pages(), page_no);
            left -= 1;
        }
        Ok(self.pages_usable())
    }

    /// A snapshot of the counters.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let mut stats = Stats {
            page_bytes: self.region.geometry.page_bytes as u64,
            pages_free: self.region.pool.count() as u64,
            pages_retired: self.region.pool.retired() as u64,
            ..Stats::default()
        };
        // Shards that know how old what they evict is, by segment.
        let mut aged = [0; 2];
        for shard in &self.shards {
            let state = shard.lock(&self.region);
            stats.add(&state.counters);
            for (aged, age_bytes) in aged.iter_mut().zip(state.counters.evicted_age_bytes) {
                *aged += u64::from(age_bytes > 0);
            }
            stats.pages_items += state.slab.item_pages() as u64;
            stats.pages_free += state.slab.stale() as u64;
            stats.pages_index += state.index_pages(&self.region.geometry) as u64;
            stats.index_buckets += state.index.buckets() as u64;
            stats.pinned += state.pins.used() as u64;
            stats.inserted_bytes += state.inserted_bytes();
        }
        stats.evicted_age_probation_bytes /= aged[0].max(1);
        stats.evicted_age_main_bytes /= aged[1].max(1);
        stats
    }

    /// Hands out what each size class holds, smallest chunks first. Takes one lock after the
    /// other and looks at each page once; allocates nothing.
    pub fn classes(&self, mut each: impl FnMut(ClassStats)) {
        let classes = &self.region.geometry.classes;
        let mut used = [0_u32; CLASS_SPECIAL as usize];
        let mut generations = [0; SHARD_COUNT];
        for (generation, shard) in generations.iter_mut().zip(&self.shards) {
            *generation = shard.lock(&self.region).slab.generation();
        }
        for page_no in 0..self.region.geometry.page_count {
            let meta = self.region.pages().get(page_no);
            let generation = self.region.pages().generation(page_no);
            if generations.get(usize::from(meta.shard)) != Some(&generation) {
                continue;
            }
            if let Some(used) = used.get_mut(usize::from(meta.class)) {
                *used += u32::from(meta.live);
            }
        }
        for (class, used) in (0..classes.count()).zip(used) {
            let mut stats = ClassStats {
                class,
                chunk_bytes: classes.chunk_bytes(class) as u64,
                chunks_per_page: classes.chunks_per_page(class) as u64,
                chunks_used: u64::from(used),
                ..ClassStats::default()
            };
            for shard in &self.shards {
                shard.lock(&self.region).add_class_stats(class, &mut stats);
            }
            stats.chunks = stats.pages * stats.chunks_per_page;
            each(stats);
        }
    }

    /// Checks every invariant, the slow way; for tests and soaks. Allocates.
    ///
    /// Between two calls that change the cache, every chunk is exactly one of free,
    /// reserved, linked, or a piece; index and lists agree; and the pages sum to the plan.
    ///
    /// # Errors
    /// What does not hold, in words.
    pub fn audit(&self) -> Result<Audit, String> {
        let mut audit = Audit::default();
        // All locks at once, in the order of the shards: nobody else takes two.
        let mut states: Vec<_> = self
            .shards
            .iter()
            .map(|shard| shard.lock(&self.region))
            .collect();
        for state in &mut states {
            state.audit(&self.region, &mut audit)?;
        }
        audit.free_pages = self.region.pool.count();
        audit.retired_pages = self.region.pool.retired();
        let pages = audit.item_pages
            + audit.index_pages
            + audit.free_pages
            + audit.retired_pages
            + audit.flushed_pages;
        if pages != self.region.geometry.page_count {
            return Err(format!(
                "{audit:?}: {pages} pages, the plan has {}",
                self.region.geometry.page_count
            ));
        }
        let lines: usize = self.plan.lines().map(|line| line.bytes).sum();
        if lines != self.plan.budget_bytes() {
            return Err(format!(
                "the plan's lines sum to {lines}, not to its budget"
            ));
        }
        Ok(audit)
    }

    /// Runs `work` while every store to the arena is a fault: the proof that what `work` does
    /// writes no shared memory. Not for an arena on the heap.
    ///
    /// # Errors
    /// When the memory cannot be protected.
    #[doc(hidden)]
    pub fn read_only_while<R>(&self, work: impl FnOnce() -> R) -> std::io::Result<R> {
        self.region.arena.read_only_while(work)
    }

    /// Bytes of the arena.
    #[must_use]
    pub fn arena_bytes(&self) -> usize {
        self.region.geometry.arena_words * WORD_BYTES
    }

    pub(crate) fn region(&self) -> &Region {
        &self.region
    }

    pub(crate) fn shard_of(&self, shard_no: usize) -> &Shard {
        &self.shards[shard_no]
    }
}
