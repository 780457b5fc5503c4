//! The floor of floors: one epoll, one read and one write a turn, nothing else.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};

use rustix::buffer::spare_capacity;
use rustix::event::epoll;
use rustix::io::Errno;

use super::{Canned, READ_BYTES, Session};

const LISTENER: u64 = u64::MAX;

/// A place in the table of connections.
type Slot = Option<(TcpStream, Session)>;

/// Serves one listener for ever.
///
/// # Errors
/// When epoll refuses; a connection's error ends that connection.
pub fn serve(listener: &TcpListener, canned: &Canned) -> std::io::Result<()> {
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let data = epoll::EventData::new_u64(LISTENER);
    epoll::add(&poll, listener, data, epoll::EventFlags::IN)?;
    let mut slots: Vec<Slot> = Vec::new();
    let mut free: Vec<usize> = Vec::new();
    let mut events = Vec::with_capacity(1024);
    let mut input = vec![0; READ_BYTES];
    let mut output = Vec::with_capacity(READ_BYTES);
    loop {
        match epoll::wait(&poll, spare_capacity(&mut events), None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in events.drain(..) {
            let number = event.data.u64();
            if number == LISTENER {
                while let Ok((stream, _)) = listener.accept() {
                    stream.set_nonblocking(true)?;
                    stream.set_nodelay(true)?;
                    let at = free.pop().unwrap_or(slots.len());
                    let data = epoll::EventData::new_u64(at as u64);
                    let flags = epoll::EventFlags::IN | epoll::EventFlags::OUT;
                    // Edge-triggered: room to write is heard of without asking each time.
                    epoll::add(&poll, &stream, data, flags | epoll::EventFlags::ET)?;
                    if at == slots.len() {
                        slots.push(None);
                    }
                    slots[at] = Some((stream, Session::default()));
                }
                continue;
            }
            let slot = &mut slots[number as usize];
            if let Some((stream, session)) = slot
                && !turn(stream, session, canned, &mut input, &mut output)
            {
                *slot = None;
                free.push(number as usize);
            }
        }
    }
}

/// Reads until less than a buffer comes, and writes. False if the connection is over.
fn turn(
    stream: &mut TcpStream,
    session: &mut Session,
    canned: &Canned,
    input: &mut [u8],
    output: &mut Vec<u8>,
) -> bool {
    loop {
        if !session.unsent.is_empty() {
            match stream.write(&session.unsent) {
                Ok(count) => drop(session.unsent.drain(..count)),
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            }
            if !session.unsent.is_empty() {
                return true;
            }
        }
        let count = match stream.read(input) {
            Ok(0) => return false,
            Ok(count) => count,
            Err(error) => return error.kind() == ErrorKind::WouldBlock,
        };
        output.clear();
        session.feed(canned, &input[..count], output);
        let sent = match stream.write(output) {
            Ok(sent) => sent,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(_) => return false,
        };
        session.unsent.extend_from_slice(&output[sent..]);
        if count < input.len() {
            return true;
        }
    }
}
