//! The clients that are connected, as one sees the others: who they are, what they did last, what they hold.
//!
//! ```text
//!   rows    id, addresses, names …       one lock; changed when a client comes, goes, moves or says its name
//!   cells   idle since, last command     no lock; a client's worker writes its cell, anybody reads it
//!   posts   a waker and a mark a worker  "one of yours is to be closed"
//! ```
//!
//! A connection has a number ([`ClientNo`]) for as long as it lives, on whichever worker. The number is a place in both tables, and the
//! next connection may have it; what a client is called by is its id, which no other ever has.
//!
//! Both tables are set aside at the start. A place in them is touched when a connection first has it, and those that were given
//! back last are given out first, so that as many are touched as there were connections at a time.
//!
//! Whoever lists clients takes the lock for each of them anew. So a list of ten thousand keeps nobody waiting, and is not one of
//! a single moment.
//!
//! To close another's connection is its worker's business, and this only marks the cell and wakes the worker. The mark
//! is made and taken away under the lock, together with the row: a newcomer never finds its predecessor's.

mod cell;
mod row;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering::AcqRel, Ordering::Relaxed, Ordering::Release};
use std::task::Waker;

use flagstone_engine::Tick;
use parking_lot::Mutex;

pub use self::cell::{Cell, Standing};
use self::row::Row;
pub use self::row::{Client, Newcomer, Place, Text};
use crate::memory::plan::CLIENT_BYTES;

static_assertions::const_assert!(
    size_of::<Row>() + size_of::<u32>() + size_of::<Cell>() <= CLIENT_BYTES
);

/// A connection's place in the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientNo(pub u32);

/// See the module's head.
pub struct Clients {
    table: Mutex<Table>,
    cells: Box<[Cell]>,
    posts: Box<[Post]>,
}

struct Table {
    /// Those that were ever used.
    rows: Vec<Row>,
    free: Vec<u32>,
    last_id: u64,
}

/// How a worker is told that one of its connections is to be closed.
#[derive(Default)]
struct Post {
    waker: OnceLock<Waker>,
    is_wanted: AtomicBool,
}

/// The texts of a client do not fit into its row any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

impl Clients {
    /// Room for so many at a time.
    #[must_use]
    pub fn new(count: usize, workers: usize) -> Self {
        Clients {
            table: Mutex::new(Table {
                rows: Vec::with_capacity(count),
                free: Vec::with_capacity(count),
                last_id: 0,
            }),
            // Zeroes of the system's, which are no memory before they are used.
            cells: bytemuck::zeroed_slice_box(count),
            posts: (0..workers).map(|_| Post::default()).collect(),
        }
    }

    /// How a worker is woken. Called once for each.
    pub fn set_worker(&self, worker_no: usize, waker: Waker) {
        let _ = self.posts[worker_no].waker.set(waker);
    }

    /// A newcomer's place. `None`: all are taken, which the acceptor's counting prevents.
    pub fn enter(&self, newcomer: &Newcomer, worker_no: usize, now: Tick) -> Option<ClientNo> {
        let mut table = self.table.lock();
        let no = match table.free.pop() {
            Some(no) => no,
            None if table.rows.len() < self.cells.len() => table.rows.len() as u32,
            None => return None,
        };
        table.last_id += 1;
        let row = Row::new(table.last_id, newcomer, worker_no, now);
        match table.rows.get_mut(no as usize) {
            Some(place) => *place = row,
            None => table.rows.push(row),
        }
        self.cells[no as usize].begin(now);
        Some(ClientNo(no))
    }

    /// Its connection is gone.
    pub fn leave(&self, no: ClientNo) {
        let mut table = self.table.lock();
        self.cells[no.0 as usize].set_doomed(false);
        table.rows[no.0 as usize] = Row::NONE;
        table.free.push(no.0);
    }

    /// Another worker has it from now on. If it is to be closed, that is this worker's business.
    pub fn move_to(&self, no: ClientNo, worker_no: usize) {
        let mut table = self.table.lock();
        table.rows[no.0 as usize].set_worker(worker_no);
        drop(table);
        if self.cells[no.0 as usize].is_doomed() {
            self.posts[worker_no].is_wanted.store(true, Release);
        }
    }

    /// What its worker writes to.
    #[inline]
    #[must_use]
    pub fn cell(&self, no: ClientNo) -> &Cell {
        &self.cells[no.0 as usize]
    }

    /// What it is called by.
    #[must_use]
    pub fn id(&self, no: ClientNo) -> u64 {
        self.table.lock().rows[no.0 as usize].id()
    }

    /// Where it is.
    #[must_use]
    pub fn peer(&self, no: ClientNo) -> Place {
        self.table.lock().rows[no.0 as usize].peer()
    }

    /// It is elsewhere than its socket says: a proxy has told.
    pub fn set_peer(&self, no: ClientNo, peer: Place) {
        self.table.lock().rows[no.0 as usize].set_peer(peer);
    }

    /// It says a name of its own, or of its library's.
    pub fn set_text(&self, no: ClientNo, text: Text, value: &[u8]) -> Result<(), TooLong> {
        self.table.lock().rows[no.0 as usize].set_text(text, value)
    }

    /// Somebody has logged in on it. A long name is cut.
    pub fn set_user(&self, no: ClientNo, user: &[u8]) {
        self.table.lock().rows[no.0 as usize].set_user(user);
    }

    /// Places that were ever used: clients are among them.
    #[must_use]
    pub fn places(&self) -> u32 {
        self.table.lock().rows.len() as u32
    }

    /// Who has a place, if anybody has.
    #[must_use]
    pub fn get(&self, no: ClientNo, now: Tick) -> Option<Client> {
        let row = *self.table.lock().rows.get(no.0 as usize)?;
        row.is_some()
            .then(|| Client::of(row, &self.cells[no.0 as usize], now))
    }

    /// Has the connection of the client closed that is called by this id. False: nobody is, or it is being closed already.
    pub fn doom_id(&self, id: u64) -> bool {
        let no_of = |table: &Table| table.rows.iter().position(|row| row.id() == id);
        let no = no_of(&self.table.lock()).filter(|_| id > 0);
        no.is_some_and(|no| self.doom(ClientNo(no as u32), id))
    }

    /// Has the connection of a client closed, by its worker. False: nobody is called by that id any more, or it is being closed
    /// already.
    pub fn doom(&self, no: ClientNo, id: u64) -> bool {
        let table = self.table.lock();
        let Some(row) = table
            .rows
            .get(no.0 as usize)
            .filter(|row| row.id() == id && id > 0)
        else {
            return false;
        };
        if self.cells[no.0 as usize].is_doomed() {
            return false;
        }
        self.cells[no.0 as usize].set_doomed(true);
        let post = &self.posts[row.worker_no()];
        drop(table);
        // Release: the worker that sees this sees the cell's mark.
        if !post.is_wanted.swap(true, Release)
            && let Some(waker) = post.waker.get()
        {
            waker.wake_by_ref();
        }
        true
    }

    /// A worker is to look again for connections that are to be closed.
    pub fn want_again(&self, worker_no: usize) {
        self.posts[worker_no].is_wanted.store(true, Release);
    }

    /// Whether a worker is to look for connections that are to be closed: said once.
    pub fn take_wanted(&self, worker_no: usize) -> bool {
        let is_wanted = &self.posts[worker_no].is_wanted;
        is_wanted.load(Relaxed) && is_wanted.swap(false, AcqRel)
    }
}

#[cfg(test)]
mod tests {
    use super::row::TEXT_BYTES_MAX;
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::AtomicU32;
    use std::task::Wake;

    struct Woken(AtomicU32);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, AcqRel);
        }
    }

    fn newcomer(port: u16) -> Newcomer {
        Newcomer {
            peer: Place::V4([127, 0, 0, 1], port),
            local: Place::V4([127, 0, 0, 1], 7171),
        }
    }

    #[test]
    fn a_place_is_used_again_and_an_id_is_not() {
        let clients = Clients::new(2, 1);
        let now = Tick::ZERO;
        let one = clients.enter(&newcomer(1), 0, now).expect("there is room");
        let two = clients.enter(&newcomer(2), 0, now).expect("there is room");
        assert_eq!((clients.id(one), clients.id(two)), (1, 2));
        assert!(clients.enter(&newcomer(3), 0, now).is_none());
        clients.leave(one);
        assert!(clients.get(one, now).is_none());
        let three = clients.enter(&newcomer(3), 0, now).expect("there is room");
        assert_eq!((three, clients.id(three)), (one, 3));
        assert_eq!(clients.places(), 2);
    }

    #[test]
    fn who_is_doomed_is_so_on_every_worker_and_its_successor_is_not() {
        let clients = Clients::new(2, 2);
        let woken = Arc::new(Woken(AtomicU32::new(0)));
        clients.set_worker(1, Waker::from(Arc::clone(&woken)));
        let no = clients.enter(&newcomer(1), 0, Tick::ZERO).expect("room");
        assert!(!clients.doom(no, 7), "nobody is called that");
        clients.move_to(no, 1);
        assert!(!clients.take_wanted(1));
        assert!(clients.doom(no, 1) && !clients.doom(no, 1));
        assert_eq!(woken.0.load(Relaxed), 1, "it is woken once");
        assert!(clients.take_wanted(1) && !clients.take_wanted(1) && !clients.take_wanted(0));
        clients.move_to(no, 0);
        assert!(clients.cell(no).is_doomed() && clients.take_wanted(0));
        clients.leave(no);
        let next = clients.enter(&newcomer(2), 0, Tick::ZERO).expect("room");
        assert_eq!(next, no);
        assert!(!clients.cell(next).is_doomed() && !clients.doom(next, 1));
    }

    #[test]
    fn texts_share_a_row() {
        let clients = Clients::new(1, 1);
        let no = clients.enter(&newcomer(1), 0, Tick::ZERO).expect("room");
        let set = |text, value: &str| clients.set_text(no, text, value.as_bytes());
        let all = || {
            let client = clients.get(no, Tick::ZERO).expect("it is there");
            [Text::Name, Text::LibName, Text::LibVer, Text::User]
                .map(|text| String::from_utf8_lossy(client.text(text)).into_owned())
        };
        assert_eq!(set(Text::LibName, "redis-py"), Ok(()));
        assert_eq!(set(Text::Name, "a-name"), Ok(()));
        assert_eq!(set(Text::LibVer, "8.1"), Ok(()));
        clients.set_user(no, b"ann");
        assert_eq!(all(), ["a-name", "redis-py", "8.1", "ann"]);
        assert_eq!(set(Text::Name, "b"), Ok(()));
        assert_eq!(all(), ["b", "redis-py", "8.1", "ann"]);
        let long = "n".repeat(TEXT_BYTES_MAX - 14);
        assert_eq!(set(Text::Name, &long), Ok(()));
        assert_eq!(set(Text::Name, &format!("{long}n")), Err(TooLong));
        assert_eq!(all(), [long.as_str(), "redis-py", "8.1", "ann"]);
        // Who logs in is told as far as there is room.
        clients.set_user(no, b"bartholomew");
        assert_eq!(all()[3], "bar");
        assert_eq!(set(Text::Name, ""), Ok(()));
        clients.set_user(no, &[b'u'; 300]);
        assert_eq!(all()[3].len(), TEXT_BYTES_MAX - 11);
    }
}
