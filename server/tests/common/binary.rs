//! Packets of memcached's binary protocol.

use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::TcpStream;

pub const GET: u8 = 0x00;
pub const SET: u8 = 0x01;
pub const ADD: u8 = 0x02;
pub const REPLACE: u8 = 0x03;
pub const DELETE: u8 = 0x04;
pub const INCREMENT: u8 = 0x05;
pub const DECREMENT: u8 = 0x06;
pub const QUIT: u8 = 0x07;
pub const FLUSH: u8 = 0x08;
pub const GETQ: u8 = 0x09;
pub const NOOP: u8 = 0x0a;
pub const VERSION: u8 = 0x0b;
pub const GETK: u8 = 0x0c;
pub const GETKQ: u8 = 0x0d;
pub const APPEND: u8 = 0x0e;
pub const PREPEND: u8 = 0x0f;
pub const STAT: u8 = 0x10;
pub const SETQ: u8 = 0x11;
pub const ADDQ: u8 = 0x12;
pub const REPLACEQ: u8 = 0x13;
pub const DELETEQ: u8 = 0x14;
pub const INCREMENTQ: u8 = 0x15;
pub const DECREMENTQ: u8 = 0x16;
pub const QUITQ: u8 = 0x17;
pub const FLUSHQ: u8 = 0x18;
pub const APPENDQ: u8 = 0x19;
pub const PREPENDQ: u8 = 0x1a;
pub const VERBOSITY: u8 = 0x1b;
pub const TOUCH: u8 = 0x1c;
pub const GAT: u8 = 0x1d;
pub const GATQ: u8 = 0x1e;
pub const MECHANISMS: u8 = 0x20;
pub const AUTH: u8 = 0x21;
pub const STEP: u8 = 0x22;
pub const GATK: u8 = 0x23;
pub const GATKQ: u8 = 0x24;

pub const HEADER_BYTES: usize = 24;

/// A request in the making.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Packet {
    pub opcode: u8,
    pub extras: Vec<u8>,
    pub key: Vec<u8>,
    pub value: Vec<u8>,
    pub opaque: u32,
    pub cas: u64,
    /// Of an answer.
    pub status: u16,
}

/// A request about a key.
pub fn packet(opcode: u8, key: impl AsRef<[u8]>) -> Packet {
    Packet {
        opcode,
        key: key.as_ref().to_vec(),
        ..Packet::default()
    }
}

/// A store: flags, lifetime, value.
pub fn store(
    opcode: u8,
    key: impl AsRef<[u8]>,
    terms: (u32, u32),
    value: impl AsRef<[u8]>,
) -> Packet {
    packet(opcode, key)
        .number(terms.0)
        .number(terms.1)
        .value(value)
}

/// A change of a number: by how much, with which to begin, for how long.
pub fn count(opcode: u8, key: impl AsRef<[u8]>, by: u64, initial: u64, lifetime: u32) -> Packet {
    let mut packet = packet(opcode, key);
    packet.extras.extend(by.to_be_bytes());
    packet.extras.extend(initial.to_be_bytes());
    packet.number(lifetime)
}

impl Packet {
    /// With another number of four bytes as extras.
    pub fn number(mut self, number: u32) -> Self {
        self.extras.extend(number.to_be_bytes());
        self
    }

    pub fn value(self, value: impl AsRef<[u8]>) -> Self {
        let value = value.as_ref().to_vec();
        Packet { value, ..self }
    }

    pub fn cas(self, cas: u64) -> Self {
        Packet { cas, ..self }
    }

    pub fn opaque(self, opaque: u32) -> Self {
        Packet { opaque, ..self }
    }

    pub fn body_len(&self) -> usize {
        self.extras.len() + self.key.len() + self.value.len()
    }

    /// As it goes over the wire.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0x80, self.opcode];
        bytes.extend((self.key.len() as u16).to_be_bytes());
        bytes.extend([self.extras.len() as u8, 0, 0, 0]);
        bytes.extend((self.body_len() as u32).to_be_bytes());
        bytes.extend(self.opaque.to_be_bytes());
        bytes.extend(self.cas.to_be_bytes());
        for part in [&self.extras, &self.key, &self.value] {
            bytes.extend(part);
        }
        bytes
    }

    /// The answer at the front of `bytes`, and what is behind it.
    pub fn answer(bytes: &[u8]) -> Option<(Packet, &[u8])> {
        let (header, rest) = bytes.split_at_checked(HEADER_BYTES)?;
        assert_eq!(
            (header[0], header[5]),
            (0x81, 0),
            "an answer's magic and data type"
        );
        let number = |range: std::ops::Range<usize>| {
            let digits = header[range].iter();
            digits.fold(0u64, |number, &byte| number << 8 | u64::from(byte))
        };
        let (body, rest) = rest.split_at_checked(number(8..12) as usize)?;
        let (extras, body) = body.split_at(number(4..5) as usize);
        let (key, value) = body.split_at(number(2..4) as usize);
        let answer = Packet {
            opcode: header[1],
            extras: extras.to_vec(),
            key: key.to_vec(),
            value: value.to_vec(),
            opaque: number(12..16) as u32,
            cas: number(16..24),
            status: number(6..8) as u16,
        };
        Some((answer, rest))
    }

    /// In words: opcode, status, whether it has a CAS number, and what else there is of it.
    pub fn text(&self) -> String {
        let mut text = format!("{:02x} {:02x}", self.opcode, self.status);
        if self.cas != 0 {
            text += " cas";
        }
        if !self.extras.is_empty() {
            text += " ";
            for byte in &self.extras {
                write!(text, "{byte:02x}").expect("a string");
            }
        }
        for (name, part) in [("k", &self.key), ("v", &self.value)] {
            let shown = part.escape_ascii();
            match part.len() {
                0 => {}
                1..=100 => write!(text, " {name}={shown}").expect("a string"),
                len => write!(text, " {name}={len} bytes").expect("a string"),
            }
        }
        if self.opaque != 0 {
            write!(text, " o={:x}", self.opaque).expect("a string");
        }
        text
    }
}

/// Several requests, one behind the other.
pub fn bytes(packets: &[Packet]) -> Vec<u8> {
    packets.iter().flat_map(Packet::bytes).collect()
}

/// All answers, to the last byte.
pub fn answers(mut bytes: &[u8]) -> Vec<Packet> {
    let mut all = Vec::new();
    while let Some((answer, rest)) = Packet::answer(bytes) {
        all.push(answer);
        bytes = rest;
    }
    assert!(
        bytes.is_empty(),
        "behind the last answer: {}",
        bytes.escape_ascii()
    );
    all
}

/// All answers in words.
pub fn texts(bytes: &[u8]) -> Vec<String> {
    answers(bytes).iter().map(Packet::text).collect()
}

/// Sends a request and waits for its answer.
pub fn ask(stream: &mut TcpStream, request: &Packet) -> Packet {
    stream.write_all(&request.bytes()).expect("sends");
    next(stream)
}

/// Waits for an answer.
pub fn next(stream: &mut TcpStream) -> Packet {
    let mut bytes = vec![0; HEADER_BYTES];
    stream.read_exact(&mut bytes).expect("an answer");
    let body_len = u32::from_be_bytes(*bytes[8..].first_chunk().expect("a header"));
    bytes.resize(HEADER_BYTES + body_len as usize, 0);
    stream
        .read_exact(&mut bytes[HEADER_BYTES..])
        .expect("a body");
    Packet::answer(&bytes).expect("it is whole").0
}
