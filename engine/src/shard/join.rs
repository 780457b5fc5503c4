//! Lengthening a value: the old and the new part become one item, under the lock.
//!
//! The new part is bytes that are at hand, or a reservation that was filled from a socket.
//! Either way the result is a new item in the old one's place, with its attributes and its
//! standing: a value that grows changes its shape anyway. A long one keeps its chain (`extend`).

use super::fill::{Filler, copy_range};
use super::locked::Locked;
use super::reserve::{Blueprint, Shortage};
use super::storage::PageBag;
use crate::chunk_ref::ChunkRef;
use crate::hash::Key;
use crate::index::Place;
use crate::item::extra::Marks;
use crate::item::header::flag;
use crate::item::view::View;
use crate::region::Region;
use crate::tick::Tick;
use crate::types::{Attributes, CasWish, Outcome, Side, Stored};

/// The new part.
#[derive(Clone, Copy)]
pub(crate) enum Part<'a> {
    Bytes(&'a [u8]),
    /// The first piece of a reservation.
    Reserved(ChunkRef),
}

impl Part<'_> {
    pub fn len(self, region: &Region) -> usize {
        match self {
            Part::Bytes(bytes) => bytes.len(),
            Part::Reserved(head) => View::known(region, head).value_len(),
        }
    }

    fn add_to(self, region: &Region, filler: &mut Filler) {
        self.add_from(region, 0, filler);
    }

    /// Adds what is behind the first `skipped` bytes.
    pub(super) fn add_from(self, region: &Region, skipped: usize, filler: &mut Filler) {
        let len = self.len(region) - skipped;
        match self {
            Part::Bytes(bytes) => filler.write(region, &bytes[skipped..]),
            Part::Reserved(head) => {
                copy_range(region, head, skipped, len, |part| {
                    filler.write(region, part);
                });
            }
        }
    }

    /// Writes the first `len` bytes to byte `at` of a piece.
    pub(super) fn write_to(self, region: &Region, len: usize, piece: View<'_>, mut at: usize) {
        match self {
            Part::Bytes(bytes) => piece.write_piece(at, &bytes[..len]),
            Part::Reserved(head) => copy_range(region, head, 0, len, |part| {
                piece.write_piece(at, part);
                at += part.len();
            }),
        }
    }
}

impl Locked<'_> {
    /// Puts `part` beside the value of the live item at `place`.
    pub fn extend(
        &mut self,
        key: Key<'_>,
        place: Place,
        (part, side, wish): (Part<'_>, Side, CasWish),
        bag: &mut PageBag<'_>,
        now: Tick,
    ) -> Result<Stored, Shortage> {
        let region = self.region;
        if side == Side::Behind
            && let Some(stored) = self.append(key, place, (part, wish), bag, now)?
        {
            return Ok(stored);
        }
        let view = View::known(region, place.chunk);
        let mut blueprint = Blueprint::new(
            key,
            Attributes {
                client_flags: view.client_flags(),
                deadline: view.deadline(),
            },
        );
        blueprint.flags |= view.header.flags() & flag::CAS;
        blueprint = blueprint
            .with_marks(Marks::anew(view.marks().is_noted(), now))
            .with_cas(wish);
        let value_len = view.value_len() + part.len(region);
        if side == Side::Before {
            // Lengthening it gives it a new number, if it has one.
            let fronted = Blueprint {
                cas: blueprint.cas.or_else(|| Some(self.next_cas())),
                ..blueprint
            };
            if let Some(head) = self.refront(place, fronted, Some(part), bag, now)? {
                if !head.is_some() {
                    return Ok(Stored::not(Outcome::NotStored));
                }
                self.counters.sets += 1;
                return Ok(Stored {
                    outcome: Outcome::Stored,
                    cas: View::known(region, head).cas().unwrap_or(0),
                    value_len,
                });
            }
        }
        let layout = blueprint.layout(&region.geometry.classes, value_len);
        self.protected = place.chunk;
        let reserved = self.reserve(blueprint, layout, value_len, bag, now);
        self.protected = ChunkRef::NONE;
        let head = reserved?;
        // Found again: it may have moved while room was made, but not gone.
        let Some(place) = self.find(key) else {
            self.abandon(head);
            return Ok(Stored::not(Outcome::NotStored));
        };
        let mut filler = Filler::of_value(region, head);
        if side == Side::Before {
            part.add_to(region, &mut filler);
        }
        filler.copy(region, place.chunk);
        if side == Side::Behind {
            part.add_to(region, &mut filler);
        }
        let mut cas = 0;
        if blueprint.flags & flag::CAS != 0 {
            cas = blueprint.cas.unwrap_or_else(|| self.next_cas());
            View::known(region, head).set_cas(cas);
        }
        self.for_each_piece(head, |state, piece| state.slab.unhold(region, piece));
        self.supersede(place, head);
        self.counters.sets += 1;
        Ok(Stored {
            outcome: Outcome::Stored,
            cas,
            value_len,
        })
    }
}
