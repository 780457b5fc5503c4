//! Pages change hands: what is left in one moves to free chunks of its class.
//!
//! Nothing is evicted here. Eviction takes the oldest items, wherever they lie, until a class has as many free
//! chunks as a page has; then its emptiest page is emptied into the others. An earlier
//! form emptied a page by evicting the class's oldest item for each item in it: classes of
//! few items lost their best that way.

use super::lists::segment_of;
use super::locked::Locked;
use super::storage::runs::next_run;
use super::storage::{chunk_bytes_of, chunk_geometry, class_of};
use crate::chunk_ref::ChunkRef;
use crate::geometry::WORD_BYTES;
use crate::item::header::{Header, Kind};
use crate::item::view::View;
use crate::lru::list::List;
use crate::region::Region;
use crate::slab::page::CLASS_SPECIAL;

/// Pages looked at for the emptiest one, and items for one whose page may be emptied.
const VICTIMS_MAX: usize = 32;

impl Locked<'_> {
    /// Gives the pool a page of a class that has a page's worth of free chunks, if there is one.
    pub(super) fn compact(&mut self) -> bool {
        let region = self.region;
        self.slab.classes_with_a_page_free().any(|class| {
            self.victim_page(class)
                .is_some_and(|page_no| self.evacuate(page_no))
        }) || (self.slab.runs_are_sparse(region) && self.compact_runs())
    }

    /// The same of a page of runs. Its runs may find no free ones that are long enough, and then those that did have moved; in
    /// vain, so that the longest is asked for first.
    fn compact_runs(&mut self) -> bool {
        let region = self.region;
        let victim = self.slab.emptiest_runs(region, VICTIMS_MAX);
        let is_empty = victim.is_some_and(|page_no| self.evacuate_runs(page_no));
        self.slab.note_emptied(region, is_empty);
        is_empty
    }

    fn evacuate_runs(&mut self, page_no: usize) -> bool {
        let region = self.region;
        self.slab.begin_evacuation(region, page_no);
        if !self.slab.has_run(region, longest_run(region, page_no)) {
            return self.slab.end_evacuation(region);
        }
        let mut at = 0;
        while let Some((word, end)) = next_run(region, page_no, at) {
            let from = region.geometry.chunk_at(word);
            let len = View::known(region, from).header.value_len;
            let Some(to) = self.slab.take_run(region, usize::from(len)) else {
                break;
            };
            self.move_piece(from, to);
            self.slab.give(region, from);
            self.counters.items_moved += 1;
            at = end;
        }
        self.counters.pages_moved += 1;
        self.slab.end_evacuation(region)
    }

    /// The page of `class` that is emptied at the least cost: none of its chunks is held.
    fn victim_page(&self, class: usize) -> Option<usize> {
        let region = self.region;
        let table = region.pages();
        let partial = std::iter::successors(self.slab.first_partial(class), |&page_no| {
            (table.get(page_no).next as usize).checked_sub(1)
        });
        let emptiest = partial
            .take(VICTIMS_MAX)
            .filter(|&page_no| table.get(page_no).held == 0)
            .min_by_key(|&page_no| table.get(page_no).live);
        if emptiest.is_some() {
            return emptiest;
        }
        // Transfers hold all those: a full page has to do.
        let (arena, geometry) = (&region.arena, &region.geometry);
        self.class(class).queues.iter().find_map(|queue| {
            std::iter::successors(queue.list.tail(), |&item| {
                List::newer(arena, geometry, item)
            })
            .take(VICTIMS_MAX)
            .map(|item| geometry.page_of(item))
            .find(|&page_no| table.get(page_no).held == 0)
        })
    }

    /// Empties a page, none of whose chunks is held, into its class's other pages.
    fn evacuate(&mut self, page_no: usize) -> bool {
        let region = self.region;
        let meta = region.pages().get(page_no);
        debug_assert!(meta.class < CLASS_SPECIAL && meta.held == 0);
        let (chunk_bytes, _) = chunk_geometry(&region.geometry, meta.class);
        self.slab.begin_evacuation(region, page_no);
        for chunk_no in 0..usize::from(meta.carved) {
            let word = region.geometry.page_word(page_no) + chunk_no * chunk_bytes / WORD_BYTES;
            let from = region.geometry.chunk_at(word);
            let kind = View::known(region, from).header.kind();
            if !matches!(kind, Kind::Linked | Kind::Continuation) {
                continue;
            }
            let Some(to) = self.slab.take(region, meta.class) else {
                break;
            };
            if kind == Kind::Linked {
                self.move_head(from, to);
            } else {
                self.move_piece(from, to);
            }
            self.slab.give(region, from);
            self.counters.items_moved += 1;
        }
        self.counters.pages_moved += 1;
        self.slab.end_evacuation(region)
    }

    /// The first piece of the item that `chunk` is a piece of.
    fn head_of(&self, chunk: ChunkRef) -> ChunkRef {
        let region = self.region;
        let mut view = View::known(region, chunk);
        let mut head = chunk;
        while view.header.kind() == Kind::Continuation {
            head = view.prev_piece();
            view = View::known(region, head);
        }
        head
    }

    fn copy_chunk(&self, from: ChunkRef, to: ChunkRef) {
        let region = self.region;
        let words = chunk_bytes_of(region, from) / WORD_BYTES;
        let (from_word, to_word) = (region.geometry.word_of(from), region.geometry.word_of(to));
        region.arena.copy_words(from_word, to_word, words);
    }

    /// An item's first piece moves: copy, then point list, chain and index at the copy.
    fn move_head(&mut self, from: ChunkRef, to: ChunkRef) {
        let region = self.region;
        let place = self.place_of(from);
        self.copy_chunk(from, to);
        let view = View::known(region, to);
        let class = class_of(region, from);
        let segment = segment_of(view.header);
        self.classes[class]
            .list(segment)
            .replace(&region.arena, &region.geometry, from, to);
        let next = view.next_piece();
        if next.is_some() {
            View::known(region, next).set_prev_piece(to);
        }
        self.note_deadline(to, view.deadline());
        self.index.redirect(&region.arena, place, to, place.marks);
        if self.protected == from {
            self.protected = to;
        }
        self.guards.follow(from, to);
        self.forget_tail(from);
    }

    /// A further piece moves: the item's stamp covers the change of its chain.
    fn move_piece(&mut self, from: ChunkRef, to: ChunkRef) {
        let region = self.region;
        let head = self.head_of(from);
        let primary = self.place_of(head).primary;
        self.copy_chunk(from, to);
        let view = View::known(region, to);
        let next = view.next_piece();
        if next.is_some() {
            View::known(region, next).set_prev_piece(to);
        }
        let writing = primary.begin_writing(&region.arena);
        View::known(region, view.prev_piece()).set_next_piece(to);
        writing.end();
        self.forget_tail(from);
    }
}

/// So many bytes of a body the longest run of a page holds.
fn longest_run(region: &Region, page_no: usize) -> usize {
    let runs = std::iter::successors(next_run(region, page_no, 0), |&(_, end)| {
        next_run(region, page_no, end)
    });
    let len_of = |word| Header::unpack(region.arena.load(word + 1)).value_len;
    runs.map(|(word, _)| usize::from(len_of(word)))
        .max()
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use crate::{Attributes, Cache, Options, Plan, Tick};

    const NOW: Tick = Tick::from_secs(1);
    /// Of the values: with header and key 120 bytes, 34 to a page.
    const VALUE_LEN: usize = 100;
    const PAGES: usize = 20;

    fn open() -> Cache {
        let options = Options {
            budget_bytes: (8 << 20) + crate::lru::choice::Choice::HEAP_BYTES,
            hash_seed: 0,
            ..Options::default()
        };
        Cache::open(Plan::new(&options).unwrap()).unwrap()
    }

    /// A key of eight bytes with nothing before it.
    fn key_of(number: u64) -> [u8; 8] {
        (number << 8 | 0x80).to_le_bytes()
    }

    /// Keys of shard 0.
    fn keys(cache: &Cache, count: usize) -> Vec<[u8; 8]> {
        (0u64..)
            .map(key_of)
            .filter(|bytes| cache.key(bytes).unwrap().hash().shard_no() == 0)
            .take(count)
            .collect()
    }

    fn compact(cache: &Cache) -> bool {
        cache.shard_of(0).lock(cache.region()).compact()
    }

    fn moved(cache: &Cache) -> (u64, u64) {
        let stats = cache.stats();
        (stats.pages_moved, stats.items_moved)
    }

    /// Twenty pages of a class, half of each free, and in each of them a chunk that is
    /// reserved or pinned: no page may be emptied, though ten pages' worth of chunks is free.
    #[test]
    fn pages_that_transfers_hold_stay_and_the_others_go() {
        let cache = open();
        let class = cache
            .region()
            .geometry
            .classes
            .class_for(12 + 8 + VALUE_LEN);
        let per_page = cache.region().geometry.classes.chunks_per_page(class);
        let keys = keys(&cache, PAGES * per_page);
        let value = |at: usize| [at as u8; VALUE_LEN];
        let (mut reserved, mut pinned) = (Vec::new(), Vec::new());
        for (at, bytes) in keys.iter().enumerate() {
            let key = cache.key(bytes).unwrap();
            let held = at % per_page == 5;
            if held && at < keys.len() / 2 {
                let reservation = cache.reserve(key, VALUE_LEN, Attributes::default(), NOW);
                reserved.push((at, reservation.unwrap()));
                continue;
            }
            cache
                .put(key, &value(at), Attributes::default(), NOW)
                .unwrap();
            if held {
                pinned.push((at, cache.pin(key, NOW).unwrap().unwrap()));
            }
        }
        for (_, bytes) in keys
            .iter()
            .enumerate()
            .filter(|(at, _)| at % per_page >= 17)
        {
            assert!(cache.delete(cache.key(bytes).unwrap(), NOW));
        }
        let free = |cache: &Cache| {
            cache
                .shard_of(0)
                .lock(cache.region())
                .slab
                .free_count(class)
        };
        assert!(free(&cache) >= 10 * per_page);
        assert_eq!(cache.stats().pinned, 10);
        let before = moved(&cache);
        assert!(!compact(&cache) && !compact(&cache), "every page is held");
        assert_eq!(moved(&cache), before, "nothing was moved in vain");
        cache.audit().unwrap();

        // One page is let go: it is emptied, and only it.
        let (_, pin) = pinned.pop().unwrap();
        drop(pin);
        assert!(compact(&cache) && !compact(&cache));
        assert_eq!(moved(&cache).0, before.0 + 1);
        cache.audit().unwrap();

        // What was held did not move, and what was moved is still whole.
        for (at, mut reservation) in reserved {
            reservation.write(&value(at), NOW).unwrap();
            reservation.commit(crate::Condition::Always, NOW).unwrap();
        }
        for (at, pin) in &mut pinned {
            let mut out = [0u8; VALUE_LEN];
            assert_eq!(pin.read(&mut out), VALUE_LEN);
            assert_eq!(out, value(*at));
        }
        drop(pinned);
        while compact(&cache) {}
        assert!(free(&cache) < per_page, "all that can go has gone");
        cache.audit().unwrap();
        let mut out = [0u8; VALUE_LEN];
        for (at, bytes) in keys.iter().enumerate() {
            let found = cache.get(cache.key(bytes).unwrap(), NOW, &mut out);
            assert_eq!(
                matches!(found, crate::Lookup::Hit(_)),
                at % per_page < 17,
                "{at}"
            );
            assert!(at % per_page >= 17 || out == value(at), "{at}");
        }
    }

    /// Reservations hold every page: a store says so, and works once they are gone.
    #[test]
    fn a_store_fails_cleanly_while_transfers_hold_every_page() {
        let cache = open();
        let value = [7u8; 2000];
        let mut reserved = Vec::new();
        for number in 0u64.. {
            let bytes = key_of(number);
            let key = cache.key(&bytes).unwrap();
            match cache.reserve(key, VALUE_LEN, Attributes::default(), NOW) {
                Ok(reservation) => reserved.push(reservation),
                Err(crate::StoreError::NoSpace) => break,
                Err(error) => panic!("{error:?}"),
            }
        }
        cache.audit().unwrap();
        let key = cache.key(b"another size").unwrap();
        let put = || cache.put(key, &value, Attributes::default(), NOW);
        assert_eq!(put(), Err(crate::StoreError::NoSpace));
        // Every second one goes: half of the chunks are free, and still no page.
        let mut at = 0;
        reserved.retain(|_| {
            at += 1;
            at % 2 == 0
        });
        assert_eq!(put(), Err(crate::StoreError::NoSpace));
        assert!(
            (0..16).all(|shard_no| { !cache.shard_of(shard_no).lock(cache.region()).compact() })
        );
        cache.audit().unwrap();
        reserved.clear();
        assert_eq!(put(), Ok(()));
        cache.audit().unwrap();
    }
}
