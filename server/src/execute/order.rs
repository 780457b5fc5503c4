//! A store as the engine understands it, however the client has put it.

use flagstone_engine::{
    Attributes, Cache, CasWish, Condition, Deadline, Key, Outcome, Reservation, Side, StoreError,
    Stored, Tick,
};

use super::done::{Done, refusal};
use super::lifetime::deadline;
use crate::clock::Clock;
use crate::observe::counters::Counters;
use crate::proto::{Fate, How, Lifetime, Mode, Options, Refusal, Reply, Speech, Terms, binary};

/// What is to be done with a value.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    speech: Speech,
    over: Over,
    attributes: Attributes,
    wish: CasWish,
    /// A value that is too long takes with it the one that it was to replace.
    too_long_drops: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Over {
    /// It takes the place of what is there, on a condition.
    Replace(Condition),
    /// It becomes a part of what is there.
    Join {
        side: Side,
        compare: Option<u64>,
        or_create: bool,
    },
}

impl Order {
    /// From a line with everything in its place.
    #[inline]
    pub fn plain(speech: Speech, terms: &Terms, now: Tick, clock: &Clock) -> Self {
        let join = |side| Over::Join {
            side,
            compare: None,
            or_create: terms.how == How::BehindAny,
        };
        Order {
            speech,
            over: match terms.how {
                How::Always => Over::Replace(Condition::Always),
                How::Absent => Over::Replace(Condition::Absent),
                How::Present => Over::Replace(Condition::Present),
                How::Same(cas) => Over::Replace(Condition::Cas(cas)),
                How::Behind | How::BehindAny => join(Side::Behind),
                How::Before => join(Side::Before),
            },
            attributes: Attributes {
                client_flags: terms.client_flags,
                deadline: deadline(terms.lifetime, now, clock),
            },
            wish: CasWish::IfKept,
            too_long_drops: terms.too_long_drops,
        }
    }

    /// From a request of memcached's binary protocol.
    pub fn binary(store: &binary::Store<'_>, now: Tick, clock: &Clock) -> Self {
        let mut order = Order::plain(Speech::Binary, &store.terms, now, clock);
        if let Over::Join { compare, .. } = &mut order.over {
            *compare = Some(store.compare).filter(|&cas| cas != 0);
        }
        if store.asks_cas {
            order.wish = CasWish::Next;
        }
        order
    }

    /// From a line with flags.
    pub fn flagged(options: &Options, now: Tick, clock: &Clock) -> Self {
        let join = |side| Over::Join {
            side,
            // Comparing with 0 is not comparing.
            compare: options.compare.filter(|&cas| cas != 0),
            or_create: options.vivify.is_some(),
        };
        let over = match (options.mode, options.compare) {
            (Mode::Append, _) => join(Side::Behind),
            (Mode::Prepend, _) => join(Side::Before),
            (Mode::Add, _) => Over::Replace(Condition::Absent),
            (_, Some(cas)) if options.invalidate => Over::Replace(Condition::Since(cas)),
            (_, Some(cas)) => Over::Replace(Condition::Cas(cas)),
            (Mode::Replace, None) => Over::Replace(Condition::Present),
            (_, None) => Over::Replace(Condition::Always),
        };
        let lifetime = match over {
            Over::Join {
                or_create: true, ..
            } => options.vivify,
            _ => options.touch,
        };
        let lifetime = lifetime.unwrap_or(Lifetime::Forever);
        Order {
            speech: Speech::Meta,
            over,
            attributes: Attributes {
                client_flags: options.client_flags,
                deadline: deadline(lifetime, now, clock),
            },
            wish: options.cas_wish(),
            too_long_drops: true,
        }
    }

    /// Carries it out with a value that is at hand.
    #[inline]
    pub fn run(
        &self,
        cache: &Cache,
        key: Key<'_>,
        value: &[u8],
        now: Tick,
        counters: &Counters,
    ) -> Done {
        let replace =
            |condition| cache.store_as(key, value, self.attributes, condition, self.wish, now);
        let stored = match self.over {
            Over::Replace(condition) => replace(condition),
            Over::Join {
                side,
                compare,
                or_create,
            } => match cache.extend(key, value, side, compare, self.wish, now) {
                Ok(Stored {
                    outcome: Outcome::NotStored,
                    ..
                }) if or_create => replace(Condition::Absent),
                extended => extended,
            },
        };
        if let Err(error) = stored {
            if error == StoreError::NoSpace {
                return Done::NotNow;
            }
            self.note_refused(cache, key, refusal(error), now, counters);
        }
        Done::Reply(self.tell(stored, value.len(), now, counters))
    }

    /// Sets memory aside for a value that is still to arrive.
    pub fn reserve<'c>(
        &self,
        cache: &'c Cache,
        key: Key<'_>,
        value_len: Option<usize>,
        now: Tick,
    ) -> Result<Reservation<'c>, StoreError> {
        match value_len {
            Some(len) => {
                let condition = match self.over {
                    Over::Replace(condition) => condition,
                    Over::Join { .. } => Condition::Always,
                };
                cache.reserve_for(key, len, self.attributes, condition, self.wish, now)
            }
            None => cache.reserve_growing(key, self.attributes, now),
        }
    }

    /// When what is stored expires.
    pub fn deadline(&self) -> Deadline {
        self.attributes.deadline
    }

    /// Carries it out with a value that has arrived.
    pub fn commit(
        &self,
        reservation: Reservation<'_>,
        now: Tick,
        counters: &Counters,
    ) -> Reply<'static> {
        let value_len = reservation.written();
        let stored = match self.over {
            Over::Replace(condition) => reservation.commit_as(condition, now),
            Over::Join {
                side,
                compare,
                or_create,
            } => reservation.commit_extending(side, compare, or_create, now),
        };
        self.tell(stored, value_len, now, counters)
    }

    /// The terms of a value that has arrived were told behind it: an order for them, and their deadline for what was reserved.
    pub fn settle(
        &self,
        reservation: &mut Reservation<'_>,
        terms: &Terms,
        now: Tick,
        clock: &Clock,
    ) -> Self {
        let settled = Order::plain(self.speech, terms, now, clock);
        let done = reservation.set_deadline(settled.attributes.deadline);
        debug_assert!(done, "reserved with a deadline that has every field");
        settled
    }

    /// The same, where what was there has been looked at, and nobody has come between: it takes that one's place.
    pub fn settle_over(&self, reservation: &mut Reservation<'_>, deadline: Deadline) -> Self {
        let done = reservation.set_deadline(deadline);
        debug_assert!(done, "reserved with a deadline that has every field");
        Order {
            over: Over::Replace(Condition::Always),
            attributes: Attributes {
                deadline,
                ..self.attributes
            },
            ..*self
        }
    }

    /// What else a refusal means, beside being told.
    pub fn note_refused(
        &self,
        cache: &Cache,
        key: Key<'_>,
        refusal: Refusal,
        now: Tick,
        counters: &Counters,
    ) {
        if refusal == Refusal::TooLarge && !matches!(self.over, Over::Join { .. }) {
            counters.too_large.add(1);
            // Whoever sends it believes that the old one is gone.
            if self.too_long_drops {
                cache.delete(key, now);
            }
        }
    }

    /// Counts and words what became of it.
    #[inline]
    fn tell(
        &self,
        stored: Result<Stored, StoreError>,
        value_len: usize,
        now: Tick,
        counters: &Counters,
    ) -> Reply<'static> {
        let not = |fate| Reply::Store {
            fate,
            cas: 0,
            value_len,
        };
        let stored = match stored {
            Ok(stored) => stored,
            // The part is not too long, but what it would become a part of.
            Err(StoreError::TooLarge) if matches!(self.over, Over::Join { .. }) => {
                counters.puts.add(1);
                return not(Fate::NotStored);
            }
            Err(error) => {
                counters.refusals.add(1);
                return Reply::Refused(refusal(error));
            }
        };
        counters.puts.add(1);
        if let Over::Replace(Condition::Cas(_) | Condition::Since(_)) = self.over {
            match stored.outcome {
                Outcome::Stored => counters.cas_hits.add(1),
                Outcome::NotFound => counters.cas_misses.add(1),
                Outcome::Exists | Outcome::NotStored => counters.cas_badval.add(1),
            }
        }
        match stored.outcome {
            Outcome::Stored => {
                if let Over::Replace(_) = self.over {
                    let until = self.attributes.deadline;
                    counters
                        .stores
                        .note_until(self.speech, value_len, until, now);
                }
                Reply::Store {
                    fate: Fate::Done,
                    cas: stored.cas,
                    value_len: stored.value_len,
                }
            }
            Outcome::NotStored => not(Fate::NotStored),
            Outcome::Exists => not(Fate::Exists),
            Outcome::NotFound => not(Fate::Missing),
        }
    }
}

impl Options {
    /// What the item's CAS number is to be.
    pub(super) fn cas_wish(&self) -> CasWish {
        match (self.explicit, self.cas) {
            (Some(cas), _) => CasWish::Be(cas),
            (None, true) => CasWish::Next,
            (None, false) => CasWish::IfKept,
        }
    }
}
