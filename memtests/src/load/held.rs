//! How many items a server really holds: writes keys until it must have evicted, then asks
//! for every one of them.
//!
//! The answer is counted from values that came back right, not taken from the server's
//! statistics.

use crate::dialect::{Asked, Dialect, Reply};
use crate::value::check_value;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Requests in one write: deep enough that the network costs little, small enough for every
/// server's buffers.
const PIPELINE: u32 = 64;

/// What came back.
#[derive(Clone, Copy, Debug, Default)]
pub struct Held {
    /// Items that were written.
    pub written_count: u64,
    /// Of these, items that came back right.
    pub item_count: u64,
    /// PUTs that were refused: a server under pressure may, and then holds less.
    pub refused_count: u64,
    /// Values that were not what was written.
    pub wrong_count: u64,
}

/// Writes `count` items of `len` bytes each, in order, then reads all of them, oldest first.
pub fn hold(addr: SocketAddr, dialect: Dialect, count: u32, len: usize) -> io::Result<Held> {
    let mut stream = TcpStream::connect(addr)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut held = Held {
        written_count: u64::from(count),
        ..Held::default()
    };
    for asked in [Asked::Put, Asked::Get] {
        let mut inbox = Vec::new();
        for first in (0..count).step_by(PIPELINE as usize) {
            let keys = first..(first + PIPELINE).min(count);
            let mut outbox = Vec::new();
            for key in keys.clone() {
                match asked {
                    Asked::Put => dialect.write_put(&mut outbox, key, 1, len),
                    Asked::Get => dialect.write_get(&mut outbox, key),
                }
            }
            stream.write_all(&outbox)?;
            for key in keys {
                read_one(
                    &mut stream,
                    &mut inbox,
                    dialect,
                    asked,
                    |reply| match reply {
                        Reply::Stored | Reply::Missing => {}
                        Reply::Value(value) if check_value(key, value) == Ok(1) => {
                            held.item_count += 1
                        }
                        Reply::Value(_) => held.wrong_count += 1,
                        Reply::Refused(_) => held.refused_count += 1,
                    },
                )?;
            }
        }
    }
    Ok(held)
}

fn read_one(
    stream: &mut TcpStream,
    inbox: &mut Vec<u8>,
    dialect: Dialect,
    asked: Asked,
    judge: impl FnOnce(Reply<'_>),
) -> io::Result<()> {
    let mut scanned = 0;
    loop {
        if let Some((reply, used)) = dialect.read_reply(asked, inbox, &mut scanned) {
            judge(reply);
            inbox.drain(..used);
            return Ok(());
        }
        let mut scratch = [0; 16 << 10];
        match stream.read(&mut scratch)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => inbox.extend_from_slice(&scratch[..n]),
        }
    }
}
