//! Carrying out what an edit decided ([`Cache::update`](crate::Cache::update)), under the lock.
//!
//! The edit itself has run: here is no caller's code. A store overwrites the value where it lies
//! whenever the item keeps its shape, which is what a counter does nearly always.

use super::join::Part;
use super::locked::Locked;
use super::reserve::{Blueprint, Shortage};
use super::storage::PageBag;
use crate::chunk_ref::ChunkRef;
use crate::hash::Key;
use crate::index::Place;
use crate::item::extra::{self, Marks};
use crate::item::header::{Header, flag};
use crate::item::view::View;
use crate::tick::{Deadline, Tick};
use crate::types::{Attributes, Edit, Outcome, Updated};

impl Locked<'_> {
    /// Does what `edit` says with the key's item, which is at `place`, if there is one; `live` is its header, if it has
    /// not expired. `bytes` are what the edit brings.
    #[inline(always)]
    pub fn carry_out(
        &mut self,
        key: Key<'_>,
        (place, live): (Option<Place>, Option<Header>),
        (edit, bytes): (Edit<'_>, &[u8]),
        bag: &mut PageBag<'_>,
        now: Tick,
    ) -> Result<Updated, Shortage> {
        let Edit::Store {
            attributes,
            cas,
            stale,
            ..
        } = edit
        else {
            return match place.filter(|_| live.is_some()) {
                Some(place) => self.carry_out_further(key, place, (edit, bytes), bag, now),
                None => Ok(Updated::Kept),
            };
        };
        let mut blueprint = Blueprint::new(key, attributes).with_cas(cas);
        if stale {
            blueprint = blueprint.with_marks(Marks::of(extra::STALE));
        }
        if let (Some(place), Some(header)) = (place, live) {
            // A field that the item has stays, so that it keeps its shape.
            blueprint.flags |= header.flags() & (flag::DEADLINE | flag::EXTRA | flag::CLIENT_FLAGS);
            // What makes room for it is not the item itself.
            self.protected = place.chunk;
        }
        let put = self.put_value(place, blueprint, bytes, bag, now);
        self.protected = ChunkRef::NONE;
        let cas = put?;
        Ok(Updated::Stored {
            cas: (cas != 0).then_some(cas),
            value_len: bytes.len(),
        })
    }

    /// What is rarer than a store, of the live item at `place`.
    #[inline(never)]
    fn carry_out_further(
        &mut self,
        key: Key<'_>,
        place: Place,
        (edit, bytes): (Edit<'_>, &[u8]),
        bag: &mut PageBag<'_>,
        now: Tick,
    ) -> Result<Updated, Shortage> {
        match edit {
            Edit::Remove => {
                self.unlink(place);
                self.counters.deletes += 1;
                Ok(Updated::Removed)
            }
            Edit::Extend { side, cas, .. } => {
                let part = (Part::Bytes(bytes), side, cas);
                let stored = self.extend(key, place, part, bag, now)?;
                Ok(match stored.outcome {
                    Outcome::Stored => Updated::Stored {
                        cas: (stored.cas != 0).then_some(stored.cas),
                        value_len: stored.value_len,
                    },
                    _ => Updated::Kept,
                })
            }
            Edit::Outdate { deadline, cas } => self.outdate(key, place, (deadline, cas), bag, now),
            Edit::Touch(deadline) => self.retime(key, place, deadline, bag, now),
            Edit::Keep | Edit::Store { .. } => Ok(Updated::Kept),
        }
    }

    /// Gives the item at `place` another deadline.
    fn retime(
        &mut self,
        key: Key<'_>,
        place: Place,
        deadline: Deadline,
        bag: &mut PageBag<'_>,
        now: Tick,
    ) -> Result<Updated, Shortage> {
        self.mark_place(place, key.hash());
        let region = self.region;
        let attributes = Attributes {
            client_flags: View::known(region, place.chunk).client_flags(),
            deadline,
        };
        let place = self.with_fields(key, place, attributes, false, false, bag, now)?;
        self.touch_in_place(place, deadline);
        self.counters.touches += 1;
        let view = View::known(region, place.chunk);
        Ok(Updated::Stored {
            cas: view.cas(),
            value_len: view.value_len(),
        })
    }

    /// Declares the value at `place` out of date.
    fn outdate(
        &mut self,
        key: Key<'_>,
        place: Place,
        (deadline, cas): (Deadline, Option<u64>),
        bag: &mut PageBag<'_>,
        now: Tick,
    ) -> Result<Updated, Shortage> {
        let region = self.region;
        let attributes = Attributes {
            client_flags: View::known(region, place.chunk).client_flags(),
            deadline,
        };
        let place = self.with_fields(key, place, attributes, true, true, bag, now)?;
        let view = View::known(region, place.chunk);
        view.set_marks(view.marks().without(extra::WON).with(extra::STALE));
        let cas = cas.unwrap_or_else(|| self.next_cas());
        // Readers take number and value together.
        let writing = place.primary.begin_writing(&region.arena);
        view.set_cas(cas);
        writing.end();
        self.touch_in_place(place, deadline);
        Ok(Updated::Stored {
            cas: (cas != 0).then_some(cas),
            value_len: view.value_len(),
        })
    }
}
