//! A tiny cache server, a thread for each connection and one map, that can be told to lie.
//!
//! It proves the load: honest, it must pass; with each kind of lie, it must be caught. It
//! makes no claim about memory.

use std::collections::{HashMap, VecDeque};
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// How the server misbehaves, once in a few hundred requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// Not at all.
    Honest,
    /// One byte of a value is another.
    Corrupt,
    /// The first half of a value is that of another version.
    Torn,
    /// A value loses its last byte.
    Short,
    /// Another key's value.
    Foreign,
    /// A PUT that overwrites is answered and dropped.
    LostUpdate,
    /// A PUT of a new key is answered and dropped, every fifth one.
    Forgetful,
    /// A half-received PUT is stored when its sender goes.
    HalfStored,
    /// A PUT is refused.
    Refusing,
    /// A reply comes twice.
    Twice,
    /// A request is never answered.
    Mute,
    /// A connection is closed in mid-stream.
    HangingUp,
}

struct Store {
    items: HashMap<Vec<u8>, Vec<u8>>,
    order: VecDeque<Vec<u8>>,
    bytes: usize,
}

struct Shared {
    store: Mutex<Store>,
    budget_bytes: usize,
    lie: Lie,
    requests: AtomicU64,
}

/// Serves until the process ends: tests are short-lived.
pub fn serve(budget_bytes: usize, lie: Lie) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let addr = listener.local_addr()?;
    let store = Mutex::new(Store {
        items: HashMap::new(),
        order: VecDeque::new(),
        bytes: 0,
    });
    let shared = Arc::new(Shared {
        store,
        budget_bytes,
        lie,
        requests: AtomicU64::new(0),
    });
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let shared = Arc::clone(&shared);
            // Small stacks: a thousand connections are a thousand threads here.
            let thread = std::thread::Builder::new().stack_size(128 << 10);
            // A refused thread closes the connection.
            let _ = thread.spawn(move || shared.converse(stream));
        }
    });
    Ok(addr)
}

impl Shared {
    fn converse(&self, stream: TcpStream) -> Option<()> {
        let _ = stream.set_nodelay(true);
        let mut writer = stream.try_clone().ok()?;
        let mut reader = BufReader::with_capacity(8 << 10, stream);
        let mut line = Vec::new();
        loop {
            line.clear();
            let complete =
                reader.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) && line.ends_with(b"\n");
            if !complete {
                if self.lie == Lie::HalfStored && line.len() > 100 {
                    self.reply(&line);
                }
                return None;
            }
            let due = self.requests.fetch_add(1, Ordering::Relaxed) % 500 == 499;
            let mut reply = self.reply(&line[..line.len() - 1]);
            match self.lie {
                Lie::Mute if due => continue,
                Lie::HangingUp if due => return writer.shutdown(Shutdown::Both).ok(),
                Lie::Twice if due => reply.extend_from_within(..),
                _ => {}
            }
            writer.write_all(&reply).ok()?;
        }
    }

    fn reply(&self, line: &[u8]) -> Vec<u8> {
        let mut words = line.splitn(3, |&byte| byte == b' ');
        let (verb, key, value) = (words.next(), words.next(), words.next());
        let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        let dice = self.requests.load(Ordering::Relaxed);
        match (verb, key, value) {
            (Some(b"PUT"), Some(key), Some(value)) => {
                let known = store.items.contains_key(key);
                match self.lie {
                    Lie::LostUpdate if known && dice.is_multiple_of(7) => {}
                    Lie::Forgetful if !known && dice.is_multiple_of(5) => {}
                    Lie::Refusing if dice.is_multiple_of(300) => return b"ERROR\n".to_vec(),
                    _ => store.put(key, value, self.budget_bytes),
                }
                b"OK\n".to_vec()
            }
            (Some(b"GET"), Some(key), None) => match store.items.get(key) {
                Some(value) => self.distort(value.clone(), &store, dice),
                None => b"NOTFOUND\n".to_vec(),
            },
            _ => b"ERROR\n".to_vec(),
        }
    }

    fn distort(&self, mut value: Vec<u8>, store: &Store, dice: u64) -> Vec<u8> {
        if dice.is_multiple_of(11) && value.len() > 30 {
            match self.lie {
                Lie::Corrupt => value[29] ^= 1,
                Lie::Short => drop(value.pop()),
                Lie::Torn => value[24..].rotate_left(3),
                Lie::Foreign => {
                    value = store
                        .order
                        .front()
                        .and_then(|key| store.items.get(key))
                        .cloned()
                        .unwrap_or(value);
                }
                _ => {}
            }
        }
        value.push(b'\n');
        value
    }
}

impl Store {
    fn put(&mut self, key: &[u8], value: &[u8], budget_bytes: usize) {
        self.bytes += key.len() + value.len();
        match self.items.insert(key.to_vec(), value.to_vec()) {
            Some(old) => self.bytes -= key.len() + old.len(),
            None => self.order.push_back(key.to_vec()),
        }
        while self.bytes > budget_bytes {
            let Some(oldest) = self.order.pop_front() else {
                return;
            };
            if let Some(old) = self.items.remove(&oldest) {
                self.bytes -= oldest.len() + old.len();
            }
        }
    }
}
