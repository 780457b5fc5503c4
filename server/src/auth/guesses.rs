//! Failed logins by where they come from, so that nobody guesses a password at millions a second.
//!
//! ```text
//!   failed login ─► the address's count, which a quiet minute clears
//!                     ≤ FREE   a mistake: the connection stays
//!                     > FREE   the connection is closed after the answer, and newcomers from
//!                              there are let in every INTERVAL only, whoever they are
//! ```
//!
//! A guess costs a connection then, and connections come five a second. Whoever logs in
//! rightly from such an address shares that pace until the failures end: nothing tells them
//! apart before they have logged in. Connections that are there already are not touched.
//!
//! The table is of a fixed size and nothing is allocated for an entry; the one that failed
//! longest ago makes room. IPv6 addresses count by their first 64 bits, which are one host's or
//! one network's, and all Unix sockets are one.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use flagstone_engine::Tick;
use parking_lot::Mutex;

/// Failures that are forgiven.
const FREE: u32 = 10;
/// Without a failure for so long, an address is forgotten.
const QUIET_MILLIS: u64 = 60_000;
/// Between two newcomers from an address that guesses.
const INTERVAL_MILLIS: u64 = 200;
/// How often an address is told of.
const TELL_MILLIS: u64 = 10_000;
/// Addresses whose hashes are alike share so many entries.
const WAYS: usize = 4;
const SETS: usize = 64;

/// Where a connection comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin(u128);

impl Origin {
    /// Any Unix socket.
    const LOCAL: Origin = Origin(u128::MAX);
    const NOBODY: Origin = Origin(0);

    /// An address, without what changes within one host; or a Unix socket, which has none.
    pub fn of(address: Option<IpAddr>) -> Self {
        let Some(address) = address else {
            return Origin::LOCAL;
        };
        match address.to_canonical() {
            IpAddr::V4(v4) => Origin(v4.to_ipv6_mapped().to_bits()),
            IpAddr::V6(v6) => Origin(v6.to_bits() >> 64 << 64 | 1),
        }
    }

    fn set_no(self) -> usize {
        let folded = (self.0 >> 64) as u64 ^ self.0 as u64;
        (folded.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize % SETS
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Origin::LOCAL {
            return f.write_str("a Unix socket");
        }
        match IpAddr::V6(Ipv6Addr::from_bits(self.0)).to_canonical() {
            IpAddr::V4(v4) => v4.fmt(f),
            IpAddr::V6(_) => write!(f, "{}/64", Ipv6Addr::from_bits(self.0 >> 64 << 64)),
        }
    }
}

#[derive(Clone, Copy)]
struct Entry {
    origin: Origin,
    failures: u32,
    untold: u32,
    last_millis: u64,
    /// When the next newcomer is let in.
    open_millis: u64,
    told_millis: u64,
}

impl Entry {
    const EMPTY: Entry = Entry {
        origin: Origin::NOBODY,
        failures: 0,
        untold: 0,
        last_millis: 0,
        open_millis: 0,
        told_millis: 0,
    };

    fn is_quiet(&self, now: Tick) -> bool {
        now.as_millis().saturating_sub(self.last_millis) >= QUIET_MILLIS
    }
}

/// See the module's head.
pub struct Guesses {
    table: Mutex<Box<[[Entry; WAYS]; SETS]>>,
    /// Until when somebody may be slowed: nobody is looked up later than that.
    hot_until_millis: AtomicU64,
    /// Newcomers that were not let in.
    slowed: AtomicU64,
}

/// What there is to tell about an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct News {
    /// Who.
    pub origin: Origin,
    /// Failures since it was last told of.
    pub failures: u32,
}

impl Default for Guesses {
    fn default() -> Self {
        Guesses {
            table: Mutex::new(Box::new([[Entry::EMPTY; WAYS]; SETS])),
            hot_until_millis: AtomicU64::new(0),
            slowed: AtomicU64::new(0),
        }
    }
}

impl Guesses {
    /// A login failed. True: there were too many from there, and the connection is to be closed.
    pub fn note(&self, origin: Origin, now: Tick) -> bool {
        let mut table = self.table.lock();
        let set = &mut table[origin.set_no()];
        let no = set
            .iter()
            .position(|entry| entry.origin == origin)
            .or_else(|| (0..WAYS).min_by_key(|&no| set[no].last_millis))
            .unwrap_or(0);
        let entry = &mut set[no];
        if entry.origin != origin || entry.is_quiet(now) {
            *entry = Entry {
                origin,
                ..Entry::EMPTY
            };
        }
        entry.failures = entry.failures.saturating_add(1);
        entry.untold = entry.untold.saturating_add(1);
        entry.last_millis = now.as_millis();
        let is_guessing = entry.failures > FREE;
        if is_guessing {
            let until = now.as_millis() + QUIET_MILLIS;
            self.hot_until_millis.store(until, Relaxed);
        }
        is_guessing
    }

    /// Whether anybody was ever slowed.
    pub fn are_on(&self) -> bool {
        self.hot_until_millis.load(Relaxed) > 0
    }

    /// Whether anybody is slowed at the moment.
    pub fn are_hot(&self, now: Tick) -> bool {
        now.as_millis() < self.hot_until_millis.load(Relaxed)
    }

    /// Whether a newcomer from there is let in now.
    pub fn lets_in(&self, origin: Origin, now: Tick) -> bool {
        let mut table = self.table.lock();
        let mut set = table[origin.set_no()].iter_mut();
        let found = set.find(|entry| entry.origin == origin && !entry.is_quiet(now));
        let Some(entry) = found.filter(|entry| entry.failures > FREE) else {
            return true;
        };
        if now.as_millis() < entry.open_millis {
            self.slowed.fetch_add(1, Relaxed);
            return false;
        }
        entry.open_millis = now.as_millis() + INTERVAL_MILLIS;
        true
    }

    /// Newcomers that were not let in so far.
    pub fn slowed(&self) -> u64 {
        self.slowed.load(Relaxed)
    }

    /// The address that has failed most since it was last told of, if one guesses. Asked once a
    /// second.
    pub fn news(&self, now: Tick) -> Option<News> {
        if !self.are_hot(now) {
            return None;
        }
        let mut table = self.table.lock();
        let entries = table.iter_mut().flatten();
        let due = entries.filter(|entry| {
            let is_due = entry.told_millis == 0
                || now.as_millis().saturating_sub(entry.told_millis) >= TELL_MILLIS;
            entry.failures > FREE && entry.untold > 0 && is_due
        });
        let entry = due.max_by_key(|entry| entry.untold)?;
        entry.told_millis = now.as_millis();
        Some(News {
            origin: entry.origin,
            failures: std::mem::take(&mut entry.untold),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(text: &str) -> Origin {
        Origin::of(Some(text.parse().expect("an address")))
    }

    #[test]
    fn who_guesses_is_slowed_and_told_of_and_nobody_else_is() {
        let guesses = Guesses::default();
        let (guesser, other) = (origin("192.0.2.1"), origin("192.0.2.2"));
        let at = |millis: u64| Tick::from_millis(1_000_000 + millis);
        for _ in 0..FREE {
            assert!(!guesses.note(guesser, at(0)));
        }
        assert!(guesses.lets_in(guesser, at(0)) && !guesses.are_hot(at(0)));
        assert_eq!(guesses.news(at(0)), None);
        assert!(guesses.note(guesser, at(0)));
        assert!(guesses.are_hot(at(0)));
        let let_in = (0..2000).filter(|&millis| guesses.lets_in(guesser, at(millis)));
        assert_eq!(let_in.count(), 10);
        assert_eq!(guesses.slowed(), 1990);
        assert!((0..100).all(|millis| guesses.lets_in(other, at(millis))));
        let news = guesses.news(at(2000)).expect("something");
        assert_eq!(
            (news.origin.to_string().as_str(), news.failures),
            ("192.0.2.1", 11)
        );
        guesses.note(guesser, at(3000));
        assert_eq!(guesses.news(at(3000)), None, "not so soon");
        assert!(guesses.news(at(12_000)).is_some());
        // A quiet minute later all is forgiven.
        assert!((0..10).all(|millis| guesses.lets_in(guesser, at(63_000 + millis))));
        assert!(!guesses.note(guesser, at(64_000)));
    }

    #[test]
    fn a_crowd_of_addresses_takes_no_more_room() {
        let guesses = Guesses::default();
        let now = Tick::from_millis(1_000_000);
        for no in 0..100_000u32 {
            assert!(!guesses.note(
                Origin::of(Some(IpAddr::V4(no.into()))),
                now.plus_millis(no.into())
            ));
        }
        let last = Origin::of(Some(IpAddr::V4(99_999.into())));
        let late = now.plus_millis(100_000);
        assert_eq!((0..FREE).filter(|_| guesses.note(last, late)).count(), 1);
    }

    #[test]
    fn origins() {
        for (one, other, same) in [
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("2001:db8::1", "2001:db8::2", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
        ] {
            assert_eq!(origin(one) == origin(other), same, "{one} {other}");
        }
        assert_eq!(origin("2001:db8::1").to_string(), "2001:db8::/64");
        assert_eq!(Origin::LOCAL.to_string(), "a Unix socket");
    }
}
