//! One client: what it sends next, how it reads, and what it makes of the answers.
//!
//! Each has at most one batch of requests under way. Replies are compared with what is expected as they arrive, so a
//! client needs memory only for its own batch.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// Requests in a batch of writers and readers.
const BATCH: usize = 60;
/// Their values.
const VALUE_BYTES: usize = 1024;
/// The long values.
const LONG_BYTES: usize = 1 << 20;
/// What a slow reader reads a second.
const SLOW_BYTES: usize = 100 << 10;
/// Keys that readers ask for.
const KEYS: usize = 2000;
/// What OpenSSL 3.0 sends first: a whole record with a hello of TLS 1.2 and 1.3.
const HELLO: &[u8] = include_bytes!("hello.bin");
/// Between two small requests of the trickle.
const TRICKLE: Duration = Duration::from_millis(1500);

/// What a client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Bystander,
    Filler,
    Deaf,
    Writer,
    Reader,
    Trickle,
    Long,
    Slow,
    Churn,
    Hello,
    HalfHello,
    Door,
}

impl Role {
    /// Whether the server owes it service.
    pub fn behaves(self) -> bool {
        !matches!(self, Role::Deaf | Role::Slow | Role::Door) && !self.speaks_tls()
    }

    pub fn speaks_tls(self) -> bool {
        matches!(self, Role::Hello | Role::HalfHello)
    }
}

/// A socket of either kind.
pub enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(socket) => socket.read(room),
            Socket::Unix(socket) => socket.read(room),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(socket) => socket.write(bytes),
            Socket::Unix(socket) => socket.write(bytes),
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Socket::Tcp(socket) => socket.as_fd(),
            Socket::Unix(socket) => socket.as_fd(),
        }
    }
}

/// How a client's connection came to an end, or did not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The server closed it, or what remained of it.
    Closed,
    /// A reset.
    Reset,
    /// There was no place for it.
    Refused,
    /// A reply that is not the answer to the request.
    Wrong,
    /// It has done what it was there for.
    Done,
}

/// What the next reply has to be.
enum Expect {
    Ok,
    /// This key's value of so many bytes, or nothing.
    Value(String, usize),
    /// None comes.
    Nothing,
}

pub struct Client {
    pub role: Role,
    pub no: usize,
    pub socket: Socket,
    request: Vec<u8>,
    sent: usize,
    received: Vec<u8>,
    /// The replies of this batch that have not come yet.
    expected: VecDeque<Expect>,
    batch_no: usize,
    asked: Instant,
    /// When it may do something again.
    pub rests_until: Instant,
    pub slowest: Duration,
    /// How long the last batch took.
    pub last_took: Duration,
    pub replies: u64,
    /// Values that were asked for: those that came, and those that the cache had not.
    pub found: u64,
    pub absent: u64,
    pub bytes: u64,
}

fn key(writer: usize, nth: usize) -> String {
    format!("crowd:{writer:06}:{nth:06}")
}

/// The value of a key: the key again and again, so that a foreign or a torn one shows.
fn value(key: &str, len: usize) -> Vec<u8> {
    key.bytes().chain(*b" ").cycle().take(len).collect()
}

impl Client {
    pub fn new(role: Role, no: usize, socket: Socket, now: Instant) -> Self {
        Client {
            role,
            no,
            socket,
            request: Vec::new(),
            sent: 0,
            received: Vec::new(),
            expected: VecDeque::new(),
            batch_no: 0,
            asked: now,
            rests_until: now,
            slowest: Duration::ZERO,
            last_took: Duration::ZERO,
            replies: 0,
            found: 0,
            absent: 0,
            bytes: 0,
        }
    }

    /// Keys of readers are written by the filler, in a range of their own.
    fn reader_key(&self, nth: usize) -> String {
        key(
            0,
            (self.no * 7919 + self.batch_no * 104_729 + nth * 31) % KEYS,
        )
    }

    fn put(&mut self, key: &str, len: usize) {
        self.request.extend_from_slice(b"PUT ");
        self.request.extend_from_slice(key.as_bytes());
        self.request.push(b' ');
        self.request.extend_from_slice(&value(key, len));
        self.request.push(b'\n');
        self.expected.push_back(Expect::Ok);
    }

    fn get(&mut self, key: &str, len: usize) {
        self.request.extend_from_slice(b"GET ");
        self.request.extend_from_slice(key.as_bytes());
        self.request.push(b'\n');
        self.expected.push_back(Expect::Value(key.to_owned(), len));
    }

    /// The next batch.
    fn ask(&mut self, now: Instant) {
        self.request.clear();
        self.sent = 0;
        self.asked = now;
        let no = self.no;
        match self.role {
            Role::Bystander => match self.batch_no % 2 {
                0 => self.put(&key(no, 0), 100),
                _ => self.get(&key(no, 0), 100),
            },
            Role::Filler => {
                for nth in 0..BATCH {
                    let nth = self.batch_no * BATCH + nth;
                    // The first are the readers': who fills more than the cache holds writes them once more at the end.
                    self.put(&key(no, nth), VALUE_BYTES);
                }
            }
            Role::Deaf => {
                for nth in 0..500 {
                    let name = self.reader_key(nth);
                    self.get(&name, VALUE_BYTES);
                }
            }
            Role::Writer => {
                for nth in 0..BATCH {
                    self.put(&key(no, self.batch_no % 4 * BATCH + nth), VALUE_BYTES);
                }
            }
            Role::Reader => {
                for nth in 0..BATCH {
                    let name = self.reader_key(nth);
                    self.get(&name, VALUE_BYTES);
                }
            }
            Role::Trickle | Role::Churn => self.get(&key(0, no % KEYS), VALUE_BYTES),
            Role::Long => match self.batch_no % 2 {
                0 => self.put(&key(no, 0), LONG_BYTES - 64),
                _ => self.get(&key(no, 0), LONG_BYTES - 64),
            },
            Role::Slow => {
                if self.batch_no == 0 {
                    self.put(&key(no, 0), LONG_BYTES - 64);
                }
                for _ in 0..4 {
                    self.get(&key(no, 0), LONG_BYTES - 64);
                }
            }
            Role::Hello => {
                // A handshake record that announces a hello of 64 KiB, and all of it but the last byte.
                let mut hello = vec![1, 0, 0xff, 0xfa, 3, 3];
                hello.resize(4 + 0xfffa, 7);
                for part in hello[..hello.len() - 1].chunks(16_000) {
                    let len = u16::try_from(part.len()).unwrap_or(u16::MAX).to_be_bytes();
                    self.request.extend_from_slice(&[22, 3, 1, len[0], len[1]]);
                    self.request.extend_from_slice(part);
                }
                self.expected.push_back(Expect::Nothing);
            }
            Role::HalfHello => {
                self.request.extend_from_slice(&HELLO[..HELLO.len() / 2]);
                self.expected.push_back(Expect::Nothing);
            }
            Role::Door => self.get(&key(0, 0), VALUE_BYTES),
        }
        self.batch_no += 1;
    }

    /// Whether it has a batch under way.
    pub fn is_busy(&self) -> bool {
        !self.expected.is_empty() || self.sent < self.request.len()
    }

    /// Does what can be done at `now`: asks, writes, reads and checks. `Some`: it is over.
    pub fn go_on(&mut self, now: Instant, room: &mut [u8], may_ask: bool) -> Option<End> {
        if now < self.rests_until {
            return None;
        }
        if !self.is_busy() {
            if !may_ask {
                return None;
            }
            self.ask(now);
        }
        if let Some(end) = self.write() {
            return Some(end);
        }
        if self.role == Role::Deaf {
            // It asks again as long as it is let.
            if self.sent == self.request.len() {
                self.expected.clear();
                self.ask(now);
            }
            return None;
        }
        self.read(now, room)
    }

    fn write(&mut self) -> Option<End> {
        while self.sent < self.request.len() {
            match self.socket.write(&self.request[self.sent..]) {
                Ok(n) => self.sent += n,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                Err(error) => return Some(end_of(&error)),
            }
        }
        None
    }

    fn read(&mut self, now: Instant, room: &mut [u8]) -> Option<End> {
        let most = match self.role {
            Role::Slow => SLOW_BYTES / 10,
            _ => room.len(),
        };
        loop {
            let read = match self.socket.read(&mut room[..most]) {
                Ok(0) if self.role == Role::Churn && !self.is_busy() => return Some(End::Done),
                Ok(0) => return Some(End::Closed),
                Ok(n) => n,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                Err(error) => return Some(end_of(&error)),
            };
            self.bytes += read as u64;
            self.received.extend_from_slice(&room[..read]);
            if let Some(end) = self.take_replies() {
                return Some(end);
            }
            if self.expected.is_empty() {
                self.last_took = Instant::now() - self.asked;
                self.slowest = self.slowest.max(self.last_took);
                self.rests_until = match self.role {
                    Role::Trickle => now + TRICKLE,
                    Role::Bystander => now + Duration::from_millis(2),
                    Role::Long => now + Duration::from_millis(250),
                    _ => now,
                };
                return (self.role == Role::Churn).then_some(End::Done);
            }
            if self.role == Role::Slow {
                self.rests_until = now + Duration::from_millis(100);
                return None;
            }
        }
    }

    /// Compares what has come with what was asked for.
    fn take_replies(&mut self) -> Option<End> {
        let mut at = 0;
        while let Some(expect) = self.expected.front() {
            let bytes = &self.received[at..];
            let Some(len) = bytes.iter().position(|&byte| byte == b'\n') else {
                break;
            };
            let line = &bytes[..len];
            let is_right = match expect {
                Expect::Ok => line == b"OK",
                // A cache may have evicted it.
                Expect::Value(..) if line == b"NOTFOUND" => true,
                Expect::Value(key, value_len) => line == value(key, *value_len),
                Expect::Nothing => false,
            };
            if !is_right {
                let is_refusal = self.replies == 0 && line == b"ERROR";
                return Some(if is_refusal { End::Refused } else { End::Wrong });
            }
            if matches!(expect, Expect::Value(..)) {
                let is_absent = line == b"NOTFOUND";
                self.absent += u64::from(is_absent);
                self.found += u64::from(!is_absent);
            }
            at += len + 1;
            self.replies += 1;
            self.expected.pop_front();
        }
        self.received.drain(..at);
        None
    }
}

fn end_of(error: &io::Error) -> End {
    match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => End::Reset,
        _ => End::Closed,
    }
}
