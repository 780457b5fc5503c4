//! Values that are longer than a buffer, on their way in or out in pieces.
//!
//! Coming in, a value is written straight into a reservation: memory of the cache that no
//! reader can see until the last byte is there. Going out, it is pinned, so that its memory
//! is not given to another item while the peer reads at its own speed.
//!
//! Both hold memory still, so each needs a permit ([`Permits`]). A connection without one waits its turn;
//! nothing that it sent is lost meanwhile. A value of which its peer has taken nothing for a moment is let go while others wait for
//! what it holds: its permit is for them, and it may be evicted like any other. If it is still there when the peer goes on, so does
//! the value; if not, the connection ends. State lives in this table rather than in the
//! connection, because few connections ever need it and every connection would pay for it.

use flagstone_engine::{Cache, Key, Loosened, Pinned, Reservation, StoreError, Tick};

use crate::clock::exact_nanos;
use crate::execute::{self, Order};
use crate::memory::permits::{Charge, Kind, Permits};
use crate::observe::slow_log::KeyPrint;
use crate::proto::{KeptFormat, Refusal, ReplyFormat, ValueScan};

/// A worker's transfers under way.
pub struct Larges<'w> {
    places: Box<[Option<Place<'w>>]>,
    free_count: usize,
    /// Of the values that are sent, those that could be let go.
    blocked_count: usize,
    permits: &'w Permits,
    /// What whoever has its turn now has waited for.
    granted: Option<Charge>,
    /// What whoever had its turn has to wait for.
    wanted: Option<Charge>,
}

struct Place<'w> {
    large: Large<'w>,
    charge: Charge,
    /// Whether it has a permit for that.
    is_permitted: bool,
    /// Whether its peer takes no more for now, and it holds its memory all the same.
    is_blocked: bool,
    /// Since when, and where the value is.
    blocked: (Tick, usize),
    begin: Begin,
}

/// When a transfer began, and what it is about, for the list of those that took long.
#[derive(Clone, Copy)]
pub struct Begin {
    pub nanos: u64,
    pub key: Option<KeyPrint>,
    pub value_bytes: Option<u64>,
}

/// One value in pieces. A box for the larger kind would be an allocation on a request's way;
/// the places are few.
#[allow(clippy::large_enum_variant)]
pub enum Large<'w> {
    Storing {
        reservation: Reservation<'w>,
        scan: ValueScan,
        order: Order,
        format: KeptFormat,
    },
    Sending {
        pinned: Pinned<'w>,
        /// So much of value and tail is in the outbox or was sent.
        at: usize,
        /// What follows the value.
        tail: &'static [u8],
    },
    /// The same while it is let go.
    Loose {
        loosened: Loosened<'w>,
        at: usize,
        tail: &'static [u8],
    },
}

/// A place in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LargeNo(u16);

/// What became of the wish to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begun {
    /// And so long is the head of what is sent.
    Yes(LargeNo, usize),
    /// No permit or no memory: try again later.
    NotNow,
    /// There is no such item.
    Missing,
    /// It will not work later either.
    Refused(Refusal),
}

impl<'w> Larges<'w> {
    pub fn new(count: usize, permits: &'w Permits) -> Self {
        Larges {
            places: (0..count).map(|_| None).collect(),
            free_count: count,
            blocked_count: 0,
            permits,
            granted: None,
            wanted: None,
        }
    }

    /// Whether another has a place.
    pub fn has_place(&self) -> bool {
        self.free_count > 0
    }

    /// Whose turn is next has waited for this, and may have it.
    pub fn grant(&mut self, charge: Charge) {
        self.granted = Some(charge);
    }

    /// The turn is over: what was granted and not used goes to the next.
    pub fn end_grant(&mut self) {
        if let Some(charge) = self.granted.take() {
            self.permits.give(charge);
        }
    }

    /// What the connection that had its turn waits for; `None`: for memory.
    pub fn take_wanted(&mut self) -> Option<Charge> {
        self.wanted.take()
    }

    /// Begins to store a value.
    pub fn store(
        &mut self,
        cache: &'w Cache,
        key: Key<'_>,
        order: Order,
        value_len: Option<usize>,
        format: ReplyFormat<'_>,
        now: Tick,
    ) -> Begun {
        // A line's end may be as far away as an item can be long.
        let most = cache.plan().item_bytes_max();
        let len = value_len.map_or(most, |len| len.min(most));
        self.begin(len, now, || {
            match order.reserve(cache, key, value_len, now) {
                Ok(reservation) => Ok((
                    Large::Storing {
                        reservation,
                        scan: format.value_scan(value_len),
                        order,
                        format: format.keep(),
                    },
                    len,
                )),
                Err(StoreError::NoSpace) => Err(Begun::NotNow),
                Err(error) => Err(Begun::Refused(execute::refusal(error))),
            }
        })
    }

    /// Begins to send a value that `pin` finds, of `value_len` bytes if it is the same as a moment ago; it also writes the
    /// value's head and says how long that is.
    pub fn send(
        &mut self,
        tail: &'static [u8],
        value_len: usize,
        now: Tick,
        pin: impl FnOnce() -> Result<Option<(Pinned<'w>, usize)>, StoreError>,
    ) -> Begun {
        let mut head_len = 0;
        let begun = self.begin(value_len, now, || match pin() {
            Ok(Some((pinned, len))) => {
                head_len = len;
                let len = pinned.meta().value_len;
                Ok((
                    Large::Sending {
                        pinned,
                        at: 0,
                        tail,
                    },
                    len,
                ))
            }
            Ok(None) => Err(Begun::Missing),
            Err(StoreError::NoSpace) => Err(Begun::NotNow),
            Err(error) => Err(Begun::Refused(execute::refusal(error))),
        });
        match begun {
            Begun::Yes(no, _) => Begun::Yes(no, head_len),
            other => other,
        }
    }

    fn begin(
        &mut self,
        value_len: usize,
        now: Tick,
        make: impl FnOnce() -> Result<(Large<'w>, usize), Begun>,
    ) -> Begun {
        let mut charge = Charge::of(value_len);
        let free = self.places.iter().position(Option::is_none);
        let Some(place) = free.filter(|_| self.take_permit(charge)) else {
            self.wanted = Some(charge);
            return Begun::NotNow;
        };
        match make() {
            Ok((large, value_len)) => {
                // Only a value that is sent can have become another.
                if matches!(large, Large::Sending { .. }) {
                    self.permits.correct(charge, Charge::of(value_len));
                    charge = Charge::of(value_len);
                }
                self.places[place] = Some(Place {
                    large,
                    charge,
                    is_permitted: true,
                    is_blocked: false,
                    blocked: (now, usize::MAX),
                    begin: Begin {
                        nanos: exact_nanos(),
                        key: None,
                        value_bytes: None,
                    },
                });
                self.free_count -= 1;
                Begun::Yes(LargeNo(u16::try_from(place).expect("places are few")), 0)
            }
            Err(begun) => {
                self.permits.give(charge);
                begun
            }
        }
    }

    fn take_permit(&mut self, charge: Charge) -> bool {
        match self.granted.take() {
            Some(granted) if granted == charge => true,
            Some(granted) => {
                self.permits.give(granted);
                false
            }
            None => self.permits.take(charge),
        }
    }

    pub fn get_mut(&mut self, no: LargeNo) -> Option<&mut Large<'w>> {
        let place = self.places[usize::from(no.0)].as_mut()?;
        Some(&mut place.large)
    }

    /// Notes what a transfer is about that has just begun.
    pub fn note_begin(&mut self, no: LargeNo, key: Option<KeyPrint>, value_len: Option<usize>) {
        if let Some(place) = &mut self.places[usize::from(no.0)] {
            place.begin.key = key;
            place.begin.value_bytes = value_len.map(|len| len as u64);
        }
    }

    /// When it began, and what is known of it.
    pub fn begin_of(&self, no: LargeNo) -> Option<Begin> {
        self.places[usize::from(no.0)]
            .as_ref()
            .map(|place| place.begin)
    }

    /// Of which kind a transfer is, and whether it has a permit.
    pub fn kind(&self, no: LargeNo) -> Option<(Kind, bool)> {
        let place = self.places[usize::from(no.0)].as_ref()?;
        Some((place.charge.kind, place.is_permitted))
    }

    /// What was stored gives its place and its permit to the value that it takes the place of, which is sent.
    pub fn swap(
        &mut self,
        no: LargeNo,
        pinned: Pinned<'w>,
        tail: &'static [u8],
    ) -> Option<Large<'w>> {
        let place = self.places[usize::from(no.0)].as_mut()?;
        let charge = Charge::of(pinned.meta().value_len);
        self.permits.correct(place.charge, charge);
        place.charge = charge;
        let sending = Large::Sending {
            pinned,
            at: 0,
            tail,
        };
        Some(std::mem::replace(&mut place.large, sending))
    }

    /// Bytes that are charged for a value.
    pub fn charged_bytes(&self, no: LargeNo) -> usize {
        let place = self.places[usize::from(no.0)].as_ref();
        place.map_or(0, |place| place.charge.bytes)
    }

    /// Goes on sending a value. `false`: it was let go, and is gone.
    pub fn resume(&mut self, no: LargeNo) -> bool {
        let Some(mut place) = self.places[usize::from(no.0)].take() else {
            return false;
        };
        self.blocked_count -= usize::from(place.is_blocked);
        place.is_blocked = false;
        if let Large::Loose { loosened, at, tail } = place.large {
            let Some(pinned) = loosened.hold() else {
                self.free_count += 1;
                return false;
            };
            place.large = Large::Sending { pinned, at, tail };
            place.is_permitted = self.permits.take(place.charge);
        }
        self.places[usize::from(no.0)] = Some(place);
        true
    }

    /// The turn of a value that is sent is over. Without a permit, it holds nothing between turns.
    pub fn rest(&mut self, no: LargeNo, is_blocked: bool, now: Tick) {
        let Some(place) = &mut self.places[usize::from(no.0)] else {
            return;
        };
        if !place.is_permitted {
            self.let_go(usize::from(no.0));
        } else if is_blocked && let Large::Sending { at, .. } = place.large {
            place.is_blocked = true;
            self.blocked_count += 1;
            if place.blocked.1 != at {
                place.blocked = (now, at);
            }
        }
    }

    /// Whether a value could be let go that holds a permit others wait for.
    #[inline]
    pub fn keeps_others_waiting(&self) -> bool {
        self.blocked_count > 0
            && Kind::ALL
                .into_iter()
                .any(|kind| self.permits.waiting(kind) > 0)
    }

    /// Lets all go of which their peers have taken nothing for so long, and which hold what others wait for: a permit,
    /// or memory.
    pub fn let_blocked_go(&mut self, for_memory: bool, patience_millis: u64, now: Tick) {
        if self.blocked_count == 0 {
            return;
        }
        let waits = Kind::ALL.map(|kind| for_memory || self.permits.waiting(kind) > 0);
        for no in 0..self.places.len() {
            let keeps = |place: &Place<'_>| {
                place.is_blocked
                    && waits[place.charge.kind as usize]
                    && now.millis_since(place.blocked.0) >= patience_millis
            };
            if self.places[no].as_ref().is_some_and(keeps) {
                self.let_go(no);
            }
        }
    }

    fn let_go(&mut self, no: usize) {
        let Some(mut place) = self.places[no].take() else {
            return;
        };
        self.blocked_count -= usize::from(place.is_blocked);
        place.is_blocked = false;
        if let Large::Sending { pinned, at, tail } = place.large {
            match pinned.loosen() {
                Ok(loosened) => {
                    place.large = Large::Loose { loosened, at, tail };
                    if std::mem::take(&mut place.is_permitted) {
                        self.permits.give(place.charge);
                    }
                }
                // It has been replaced: its memory is held until it is sent.
                Err(pinned) => {
                    place.large = Large::Sending { pinned, at, tail };
                    if !std::mem::replace(&mut place.is_permitted, true) {
                        self.permits.owe(place.charge);
                    }
                }
            }
        }
        self.places[no] = Some(place);
    }

    /// Ends a transfer and returns its permit. What is not committed is given back.
    pub fn take(&mut self, no: LargeNo) -> Option<Large<'w>> {
        let place = self.places[usize::from(no.0)].take()?;
        self.free_count += 1;
        self.blocked_count -= usize::from(place.is_blocked);
        if place.is_permitted {
            self.permits.give(place.charge);
        }
        Some(place.large)
    }
}
