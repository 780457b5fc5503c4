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
/// So much of a long value is made at a time: nobody needs memory for a whole one, whose first touch is what a small machine
/// would be busy with.
const BLOCK_BYTES: usize = 16 << 10;
/// What a slow reader reads a second.
const SLOW_BYTES: usize = 100 << 10;
/// The answer for a key that is not there.
const ABSENT: &[u8] = b"NOTFOUND";
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
    /// Stores a long value, and then half of another.
    Stalled,
    Churn,
    Hello,
    HalfHello,
    Door,
}

impl Role {
    /// Whether the server owes it service.
    pub fn behaves(self) -> bool {
        !matches!(self, Role::Deaf | Role::Slow | Role::Stalled | Role::Door) && !self.speaks_tls()
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
    /// The long value behind the first so many bytes of the request.
    long: Option<(usize, Long)>,
    sent: usize,
    received: Vec<u8>,
    /// So much of the value at the front has been compared.
    compared: usize,
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

/// A long value: a block of it, which begins anew with each period.
struct Long {
    block: Vec<u8>,
    period: usize,
    len: usize,
}

impl Long {
    fn new(key: &str, len: usize) -> Self {
        let period = key.len() + 1;
        Long {
            block: value(key, BLOCK_BYTES + period),
            period,
            len,
        }
    }

    /// What it has from byte `at`, as far as one block goes.
    fn from(&self, at: usize) -> &[u8] {
        let begin = at % self.period;
        &self.block[begin..begin + BLOCK_BYTES.min(self.len - at)]
    }
}

/// Whether `bytes` are what the key's value has from byte `at`.
fn is_part(key: &str, mut at: usize, mut bytes: &[u8]) -> bool {
    let period = key.len() + 1;
    while !bytes.is_empty() {
        let from = at % period;
        let here = bytes.len().min(period - from);
        let (part, rest) = bytes.split_at(here);
        let in_key = here.min(key.len().saturating_sub(from));
        if part[..in_key] != key.as_bytes()[from..from + in_key]
            || part[in_key..].iter().any(|&byte| byte != b' ')
        {
            return false;
        }
        (at, bytes) = (at + here, rest);
    }
    true
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
            long: None,
            sent: 0,
            received: Vec::new(),
            compared: 0,
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

    /// A long value, which is made as it is written.
    fn put_long(&mut self, key: &str, len: usize) {
        self.request.extend_from_slice(b"PUT ");
        self.request.extend_from_slice(key.as_bytes());
        self.request.push(b' ');
        self.long = Some((self.request.len(), Long::new(key, len)));
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
        self.long = None;
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
                0 => self.put_long(&key(no, 0), LONG_BYTES - 64),
                _ => self.get(&key(no, 0), LONG_BYTES - 64),
            },
            Role::Stalled => self.put_long(&key(no, 0), LONG_BYTES - 64),
            Role::Slow => {
                if self.batch_no == 0 {
                    self.put_long(&key(no, 0), LONG_BYTES - 64);
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
        !self.expected.is_empty() || self.sent < self.request_len()
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
            if self.sent == self.request_len() {
                self.expected.clear();
                self.ask(now);
            }
            return None;
        }
        self.read(now, room)
    }

    fn request_len(&self) -> usize {
        self.request.len() + self.long.as_ref().map_or(0, |(_, long)| long.len)
    }

    fn write(&mut self) -> Option<End> {
        while self.sent < self.request_len() {
            if self.role == Role::Stalled && self.batch_no > 1 && self.sent > LONG_BYTES / 2 {
                return None;
            }
            let unsent = unsent(&self.request, self.long.as_ref(), self.sent);
            match self.socket.write(unsent) {
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
            let is_right = |line: &[u8], has_ended: bool| match expect {
                Expect::Ok => line == b"OK",
                // A cache may have evicted it.
                Expect::Value(..) if self.compared == 0 && line == ABSENT => true,
                Expect::Value(key, value_len) => {
                    let compared = self.compared + line.len();
                    (compared == *value_len || (compared < *value_len && !has_ended))
                        && is_part(key, self.compared, line)
                }
                Expect::Nothing => false,
            };
            let Some(len) = bytes.iter().position(|&byte| byte == b'\n') else {
                // The beginning of a long value need not be kept.
                if matches!(expect, Expect::Value(_, len) if *len > BLOCK_BYTES)
                    && bytes.len() > ABSENT.len()
                {
                    if !is_right(bytes, false) {
                        return Some(End::Wrong);
                    }
                    self.compared += bytes.len();
                    at = self.received.len();
                }
                break;
            };
            let line = &bytes[..len];
            if !is_right(line, true) {
                let is_refusal = self.replies == 0 && line == b"ERROR";
                return Some(if is_refusal { End::Refused } else { End::Wrong });
            }
            if matches!(expect, Expect::Value(..)) {
                let is_absent = self.compared == 0 && line == ABSENT;
                self.absent += u64::from(is_absent);
                self.found += u64::from(!is_absent);
            }
            self.compared = 0;
            at += len + 1;
            self.replies += 1;
            self.expected.pop_front();
        }
        self.received.drain(..at);
        None
    }
}

/// What is to be sent next of a request with a long value behind its first so many bytes.
fn unsent<'a>(request: &'a [u8], long: Option<&'a (usize, Long)>, sent: usize) -> &'a [u8] {
    match long {
        Some((at, _)) if sent < *at => &request[sent..*at],
        Some((at, long)) if sent < at + long.len => long.from(sent - at),
        Some((_, long)) => &request[sent - long.len..],
        None => &request[sent..],
    }
}

fn end_of(error: &io::Error) -> End {
    match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => End::Reset,
        _ => End::Closed,
    }
}
