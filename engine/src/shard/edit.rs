//! Carrying out what an edit decided ([`Cache::update`](crate::Cache::update)), under the lock.
//!
//! The edit itself has run: here is no caller's code. A store overwrites the value where it lies
//! whenever the item keeps its shape, which is what a counter does nearly always.

use super::Locked;
use super::join::Part;
use super::reserve::{Blueprint, Shortage};
use super::storage::PageBag;
use crate::chunk_ref::ChunkRef;
use crate::hash::Key;
use crate::index::Place;
use crate::item::extra::{self, Marks};
use crate::item::header::flag;
use crate::item::view::View;
use crate::tick::{Deadline, Tick};
use crate::types::{Attributes, Edit, Outcome, Updated};

/// The key's item under this very lock.
#[derive(Clone, Copy)]
pub(crate) struct Found {
    /// Where it is, if there is one.
    pub place: Option<Place>,
    /// It has not expired.
    pub live: bool,
}

impl Found {
    fn live(self) -> Option<Place> {
        self.place.filter(|_| self.live)
    }
}

impl Locked<'_> {
    /// Does what `edit` says with the key's item; `bytes` are what it brings.
    pub fn carry_out(
        &mut self,
        key: Key<'_>,
        found: Found,
        (edit, bytes): (&Edit<'_>, &[u8]),
        bag: &mut PageBag<'_>,
        now: Tick,
    ) -> Result<Updated, Shortage> {
        let region = self.region;
        match (*edit, found.live()) {
            (
                Edit::Store {
                    attributes,
                    cas,
                    stale,
                    ..
                },
                live,
            ) => {
                let marks = Marks::of(if stale { extra::STALE } else { 0 });
                let mut blueprint = Blueprint::new(key, attributes)
                    .with_cas(cas)
                    .with_marks(marks);
                if let Some(place) = live {
                    // A field that the item has stays, so that it keeps its shape.
                    blueprint.flags |= View::known(region, place.chunk).header.flags()
                        & (flag::DEADLINE | flag::EXTRA | flag::CLIENT_FLAGS);
                    // What makes room for it is not the item itself.
                    self.protected = place.chunk;
                }
                let put = self.put_value(found.place, blueprint, bytes, bag, now);
                self.protected = ChunkRef::NONE;
                let cas = put?;
                Ok(Updated::Stored {
                    cas: (cas != 0).then_some(cas),
                    value_len: bytes.len(),
                })
            }
            (Edit::Keep, _) | (_, None) => Ok(Updated::Kept),
            (Edit::Remove, Some(place)) => {
                self.unlink(place);
                self.counters.deletes += 1;
                Ok(Updated::Removed)
            }
            (Edit::Extend { side, cas, .. }, Some(place)) => {
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
            (Edit::Outdate { deadline, cas }, Some(place)) => {
                self.outdate(key, place, (deadline, cas), bag, now)
            }
        }
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
