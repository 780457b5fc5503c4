//! Reading with consequences, under the lock: what only some clients ask for.
//!
//! A visit may change the item's deadline, make an empty one where none is, tell the visitor
//! that it is for him to bring a new value, and tell what is noted of the item's reads. All
//! of it is one step for everybody else. Plain reads do not come here.

use super::locked::Locked;
use super::reserve::{Blueprint, Shortage};
use super::storage::{PageBag, class_of};
use crate::hash::Key;
use crate::index::Place;
use crate::item::extra::{self, Marks};
use crate::item::header::flag;
use crate::item::view::View;
use crate::tick::Tick;
use crate::types::{Attributes, CasWish, Visit, Visited};

impl Locked<'_> {
    /// Visits the key's item; where it is then, and what it was.
    pub fn visit(
        &mut self,
        key: Key<'_>,
        visit: &Visit,
        bag: &mut PageBag<'_>,
        now: Tick,
    ) -> Result<Option<(Place, Visited)>, Shortage> {
        let region = self.region;
        let mut created = false;
        let found = match self.find_live(key, now) {
            Some(place) => Some(place),
            None => match visit.create {
                None => return Ok(None),
                Some(deadline) => {
                    let dead = self.find(key);
                    let blueprint = Blueprint::new(key, deadline.into())
                        .with_cas(visit.cas)
                        .with_marks(Marks::of(extra::WON));
                    self.put_value(dead, blueprint, b"", bag, now)?;
                    created = true;
                    self.find(key)
                }
            },
        };
        let Some(mut place) = found else {
            return Ok(None);
        };
        let mut visited = self.examine(place, now);
        visited.created = created;
        visited.wins = created;
        if created {
            visited.meta.won = false;
        } else {
            let deadline = visit.touch.unwrap_or(visited.meta.deadline);
            let runs_out = visit
                .win_before
                .is_some_and(|before| deadline.tick().is_some_and(|at| Some(at) < before.tick()));
            visited.wins = !visited.meta.won && (visited.meta.stale || runs_out);
            let marks = visited.wins || visit.note;
            let attributes = Attributes {
                client_flags: visited.meta.client_flags,
                deadline,
            };
            let asks_cas = visit.cas == CasWish::Next;
            place = self.with_fields(key, place, attributes, marks, asks_cas, bag, now)?;
        }
        visited.meta.cas = View::known(region, place.chunk).cas();
        visited.is_known = visit.unless_cas.is_some() && visit.unless_cas == visited.meta.cas;
        let view = View::known(region, place.chunk);
        let mut marks = view.marks();
        if visited.wins {
            marks = marks.with(extra::WON);
        }
        let begins = visit.note && !marks.is_noted();
        if begins {
            marks = marks.noted(visited.read, now);
        }
        if begins && !view.deadline().is_never() {
            // Its deadline may become a whole second.
            let writing = place.primary.begin_writing(&region.arena);
            view.set_marks(marks);
            writing.end();
        } else {
            view.set_marks(marks);
        }
        if let Some(deadline) = visit.touch.filter(|_| !created) {
            self.touch_in_place(place, deadline);
            self.counters.touches += 1;
        }
        if !visit.unseen {
            self.mark_place(place, key.hash());
            self.note_read(place, now);
        }
        Ok(Some((place, visited)))
    }

    /// What is known of a linked item.
    pub fn examine(&self, place: Place, now: Tick) -> Visited {
        let region = self.region;
        let view = View::known(region, place.chunk);
        let marks = view.marks();
        let class = class_of(region, place.chunk);
        let meta = view.meta();
        Visited {
            meta,
            created: false,
            is_known: false,
            wins: false,
            read: if marks.is_noted() {
                marks.is_read()
            } else {
                place.marks > 0 || view.header.has(flag::MAIN)
            },
            idle_seconds: marks.idle_seconds(now),
            class,
            item_bytes: if view.header.has(flag::CHAINED) {
                view.header.value_at() + view.body_len()
            } else {
                region.geometry.classes.chunk_bytes(class)
            },
        }
    }
}
