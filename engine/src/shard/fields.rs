//! An item gets fields that it was stored without: a deadline, a CAS number, marks. It is copied for them, once.

use super::fill::copy_value;
use super::locked::Locked;
use super::reserve::{Blueprint, Shortage};
use super::storage::PageBag;
use crate::chunk_ref::ChunkRef;
use crate::hash::Key;
use crate::index::Place;
use crate::item::header::{flag, flags_for};
use crate::item::view::View;
use crate::tick::{Deadline, Tick};
use crate::types::Attributes;

impl Locked<'_> {
    /// Sees to it that the item has the fields that are about to be written: a copy if need be.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn with_fields(
        &mut self,
        key: Key<'_>,
        place: Place,
        attributes: Attributes,
        marks: bool,
        cas: bool,
        bag: &mut PageBag<'_>,
        now: Tick,
    ) -> Result<Place, Shortage> {
        let region = self.region;
        let has = View::known(region, place.chunk).header.flags();
        let mut needs = flags_for(attributes.client_flags, attributes.deadline);
        if marks {
            needs |= flag::EXTRA;
        }
        if cas {
            needs |= flag::CAS;
        }
        if has & needs == needs {
            return Ok(place);
        }
        let kept = has & (flag::CAS | flag::EXTRA | flag::DEADLINE);
        self.rewrite(key, needs | kept, attributes, bag, now)?;
        Ok(self.find(key).unwrap_or(place))
    }

    /// A copy of the item at `place` with other fields: a deadline it had no room for, or a
    /// CAS number. The value is copied under the lock, of a long one the beginning. `false`: there is no such item.
    pub fn rewrite(
        &mut self,
        key: Key<'_>,
        flags: u8,
        attributes: Attributes,
        bag: &mut PageBag<'_>,
        now: Tick,
    ) -> Result<bool, Shortage> {
        let region = self.region;
        let Some(place) = self.find_live(key, now) else {
            return Ok(false);
        };
        let blueprint = Blueprint {
            key,
            attributes,
            flags,
            cas: None,
            marks: View::known(region, place.chunk).marks(),
        };
        if let Some(head) = self.refront(place, blueprint, None, bag, now)? {
            return Ok(head.is_some());
        }
        let value_len = View::known(region, place.chunk).value_len();
        let layout = blueprint.layout(&region.geometry.classes, value_len);
        self.protected = place.chunk;
        let reserved = self.reserve(blueprint, layout, value_len, bag, now);
        self.protected = ChunkRef::NONE;
        let head = reserved?;
        // Found again: it may have moved while room was made, but not gone.
        let Some(place) = self.find(key) else {
            self.abandon(head);
            return Ok(false);
        };
        copy_value(region, place.chunk, head);
        if flags & flag::CAS != 0 {
            let cas = match View::known(region, place.chunk).cas() {
                Some(cas) => cas,
                None => self.next_cas(),
            };
            View::known(region, head).set_cas(cas);
        }
        self.for_each_piece(head, |state, piece| state.slab.unhold(region, piece));
        self.supersede(place, head);
        Ok(true)
    }

    /// Changes the deadline where it lies, if the item has room for it.
    pub fn touch_in_place(&mut self, place: Place, deadline: Deadline) -> bool {
        let region = self.region;
        let writing = place.primary.begin_writing(&region.arena);
        let done = View::known(region, place.chunk).set_deadline(deadline);
        writing.end();
        if done {
            self.note_deadline(place.chunk, deadline);
        }
        done
    }
}
