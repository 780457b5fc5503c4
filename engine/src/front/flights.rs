//! One caller computes a missing value, the others wait: a fixed table of computations under way.
//!
//! A key's hash chooses one of sixteen groups; a group has a lock and eight entries. An entry is taken by the
//! caller who computes, and is free again when the last one who waited for it has left. No lock is held while
//! anybody computes.
//!
//! std's locks and not parking_lot's: those wait on a word of their own and never allocate (on Linux), while parking_lot
//! grows a table when a thread first waits.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::hash::KeyHash;

const GROUP_COUNT: usize = 16;
/// Computations of a group at a time. For one more, the caller computes and nobody waits for it.
const ENTRIES_PER_GROUP: usize = 8;

#[derive(Default)]
pub(super) struct Flights {
    groups: [Group; GROUP_COUNT],
}

/// Two cache lines, so that groups do not share one.
#[derive(Default)]
#[repr(align(128))]
struct Group {
    entries: Mutex<[Entry; ENTRIES_PER_GROUP]>,
    /// Notified when the entry's state is no longer `Computing`.
    landed: [Condvar; ENTRIES_PER_GROUP],
}

#[derive(Clone, Copy, Default)]
struct Entry {
    /// Two keys of the same hash count as one: then one waits in vain and computes after that.
    hash: KeyHash,
    /// The thread that computes: see [`this_thread`].
    thread: usize,
    waiting: u32,
    state: State,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Free,
    Computing,
    /// Stored, or given up: those who waited look again.
    Done,
    /// Computed, and it cannot be stored: those who waited compute for themselves.
    Unstorable,
}

/// What a caller does who found nothing.
pub(super) enum Turn<'f> {
    /// It computes, and others wait for it.
    Computes(Flight<'f>),
    /// Somebody else has computed: the value is there, or it is not, and the caller tries again.
    Waited,
    /// It computes, and nobody waits.
    Alone,
}

/// The right to compute. Dropped without [`Flight::land`] (a panic, an error), one of those who wait gets it.
pub(super) struct Flight<'f> {
    group: &'f Group,
    entry_no: usize,
    end: State,
}

impl Flights {
    /// Waits if somebody computes the key's value.
    pub fn board(&self, hash: KeyHash) -> Turn<'_> {
        let group = &self.groups[hash.bucket_bits() as usize % GROUP_COUNT];
        let mut entries = group.lock();
        let under_way = entries
            .iter()
            .position(|entry| entry.state == State::Computing && entry.hash == hash);
        let Some(entry_no) = under_way else {
            let Some(entry_no) = entries.iter().position(|entry| entry.state == State::Free) else {
                return Turn::Alone;
            };
            entries[entry_no] = Entry {
                hash,
                thread: this_thread(),
                waiting: 0,
                state: State::Computing,
            };
            return Turn::Computes(Flight {
                group,
                entry_no,
                end: State::Done,
            });
        };
        if entries[entry_no].thread == this_thread() {
            return Turn::Alone;
        }
        entries[entry_no].waiting += 1;
        // The entry is not taken by another key before the last one who waits has left.
        while entries[entry_no].state == State::Computing {
            entries = group.landed[entry_no]
                .wait(entries)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let entry = &mut entries[entry_no];
        let turn = if entry.state == State::Unstorable {
            Turn::Alone
        } else {
            Turn::Waited
        };
        entry.waiting -= 1;
        if entry.waiting == 0 {
            entry.state = State::Free;
        }
        turn
    }

    /// Callers that wait, for tests.
    #[cfg(test)]
    pub fn waiting(&self) -> u32 {
        let groups = self.groups.iter();
        let waiting =
            groups.map(|group| group.lock().iter().map(|entry| entry.waiting).sum::<u32>());
        waiting.sum()
    }

    /// Entries that are not free, for tests.
    #[cfg(test)]
    pub fn used(&self) -> usize {
        let groups = self.groups.iter();
        let used = groups.map(|group| {
            let entries = group.lock();
            let used = entries.iter().filter(|entry| entry.state != State::Free);
            used.count()
        });
        used.sum()
    }
}

impl Group {
    fn lock(&self) -> MutexGuard<'_, [Entry; ENTRIES_PER_GROUP]> {
        // Nothing here panics halfway: an entry is whole at any time.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Flight<'_> {
    /// The value was computed.
    pub fn land(mut self, is_stored: bool) {
        if !is_stored {
            self.end = State::Unstorable;
        }
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        let mut entries = self.group.lock();
        let entry = &mut entries[self.entry_no];
        if entry.waiting == 0 {
            entry.state = State::Free;
            return;
        }
        entry.state = self.end;
        self.group.landed[self.entry_no].notify_all();
    }
}

/// A number that no other thread has now. `thread::current()` would allocate the first time.
fn this_thread() -> usize {
    thread_local! {
        static HERE: u8 = const { 0 };
    }
    HERE.with(|here| std::ptr::from_ref(here).addr())
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use super::*;

    fn hash(number: u64) -> KeyHash {
        KeyHash::of(&number.to_le_bytes(), 7)
    }

    fn computes<'f>(turn: Turn<'f>) -> Flight<'f> {
        match turn {
            Turn::Computes(flight) => flight,
            Turn::Waited => panic!("it waited"),
            Turn::Alone => panic!("it is alone"),
        }
    }

    fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
        for _ in 0..10_000 {
            if holds() {
                return;
            }
            thread::sleep(Duration::from_millis(1));
        }
        panic!("{what}: never");
    }

    /// What becomes of eight callers who wait, by how the flight ended.
    #[test]
    fn those_who_wait_are_told_how_it_ended() {
        type End = fn(Flight<'_>);
        let table: [(&str, End, bool); 3] = [
            ("stored", |flight| flight.land(true), true),
            ("not stored", |flight| flight.land(false), false),
            ("given up", |flight| drop(flight), true),
        ];
        for (what, end, waited) in table {
            let flights = Flights::default();
            thread::scope(|scope| {
                let flight = computes(flights.board(hash(1)));
                let callers: Vec<_> = (0..8)
                    .map(|_| scope.spawn(|| matches!(flights.board(hash(1)), Turn::Waited)))
                    .collect();
                wait_until(what, || flights.waiting() == 8);
                end(flight);
                for caller in callers {
                    assert_eq!(caller.join().expect("no panic"), waited, "{what}");
                }
            });
            assert_eq!(flights.used(), 0, "{what}");
        }
    }

    #[test]
    fn a_full_group_makes_nobody_wait() {
        let flights = Flights::default();
        let group = |number| hash(number).bucket_bits() as usize % GROUP_COUNT;
        let mut numbers = (0..).filter(|&number| group(number) == group(0));
        let taken: Vec<_> = numbers
            .by_ref()
            .take(ENTRIES_PER_GROUP)
            .map(|number| computes(flights.board(hash(number))))
            .collect();
        let one_more = hash(numbers.next().expect("there are many"));
        assert!(matches!(flights.board(one_more), Turn::Alone));
        drop(taken);
        assert_eq!(flights.used(), 0);
        computes(flights.board(one_more)).land(true);
    }

    #[test]
    fn nobody_waits_for_itself() {
        let flights = Flights::default();
        let flight = computes(flights.board(hash(1)));
        assert!(matches!(flights.board(hash(1)), Turn::Alone));
        flight.land(true);
    }
}
