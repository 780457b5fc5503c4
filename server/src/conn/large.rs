//! Values that are longer than a buffer, on their way in or out in pieces.
//!
//! Coming in, a value is written straight into a reservation: memory of the cache that no
//! reader can see until the last byte is there. Going out, it is pinned, so that its memory
//! is not given to another item while the peer reads at its own speed.
//!
//! Both hold memory still, so each needs a permit. A connection without one waits its turn;
//! nothing that it sent is lost meanwhile. State lives in this table rather than in the
//! connection, because few connections ever need it and every connection would pay for it.

use flagstone_engine::{Cache, Key, Pinned, Reservation, StoreError, Tick};

use crate::execute::{self, Order};
use crate::house::Permits;
use crate::proto::{KeptVoice, Refusal, ValueScan, Voice};

/// A worker's transfers under way.
pub struct Larges<'w> {
    /// As many as there are permits: whoever has a permit finds a free place.
    places: Box<[Option<Large<'w>>]>,
    permits: &'w Permits,
}

/// One value in pieces. A box for the larger kind would be an allocation on a request's way;
/// the places are few.
#[allow(clippy::large_enum_variant)]
pub enum Large<'w> {
    Storing {
        reservation: Reservation<'w>,
        scan: ValueScan,
        order: Order,
        voice: KeptVoice,
    },
    Sending {
        pinned: Pinned<'w>,
        /// Bytes that are not in the outbox yet.
        left: usize,
        /// What follows the value.
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
            permits,
        }
    }

    /// Begins to store a value.
    pub fn store(
        &mut self,
        cache: &'w Cache,
        key: Key<'_>,
        order: Order,
        value_len: Option<usize>,
        voice: Voice<'_>,
        now: Tick,
    ) -> Begun {
        self.begin(|| match order.reserve(cache, key, value_len, now) {
            Ok(reservation) => Ok(Large::Storing {
                reservation,
                scan: value_len.map_or(ValueScan::LINE, ValueScan::counted),
                order,
                voice: voice.keep(),
            }),
            Err(StoreError::NoSpace) => Err(Begun::NotNow),
            Err(error) => Err(Begun::Refused(execute::refusal(error))),
        })
    }

    /// Begins to send a value that `pin` finds; it also writes the value's head and says how
    /// long that is.
    pub fn send(
        &mut self,
        tail: &'static [u8],
        pin: impl FnOnce() -> Result<Option<(Pinned<'w>, usize)>, StoreError>,
    ) -> Begun {
        let mut head_len = 0;
        let begun = self.begin(|| match pin() {
            Ok(Some((pinned, len))) => {
                head_len = len;
                let left = pinned.meta().value_len;
                Ok(Large::Sending { pinned, left, tail })
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

    fn begin(&mut self, make: impl FnOnce() -> Result<Large<'w>, Begun>) -> Begun {
        if !self.permits.take() {
            return Begun::NotNow;
        }
        let free = self.places.iter().position(Option::is_none);
        let made = match free {
            Some(place) => make().map(|large| (place, large)),
            None => Err(Begun::NotNow),
        };
        match made {
            Ok((place, large)) => {
                self.places[place] = Some(large);
                Begun::Yes(LargeNo(u16::try_from(place).expect("places are few")), 0)
            }
            Err(begun) => {
                self.permits.give();
                begun
            }
        }
    }

    pub fn get_mut(&mut self, no: LargeNo) -> Option<&mut Large<'w>> {
        self.places[usize::from(no.0)].as_mut()
    }

    /// Ends a transfer and returns its permit. What is not committed is given back.
    pub fn take(&mut self, no: LargeNo) -> Option<Large<'w>> {
        let large = self.places[usize::from(no.0)].take();
        if large.is_some() {
            self.permits.give();
        }
        large
    }
}
