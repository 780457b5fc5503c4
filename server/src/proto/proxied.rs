//! The header that a proxy sends before everything else, so that the server knows the client's address: PROXY protocol,
//! version 2, as HAProxy, Envoy and the load balancers of clouds send it.
//!
//! ```text
//!   0             12        13       14      16
//!   ┌─────────────┬─────────┬────────┬───────┬───────────────────────────┬──────────────┐
//!   │ signature   │ version │ family │ bytes │ from, to, their ports     │ TLVs         │
//!   │ 12 bytes    │ command │ kind   │ to    │ 12 (IPv4), 36 (IPv6) or   │ skipped      │
//!   │             │         │        │ come  │ 216 (Unix) bytes          │              │
//!   └─────────────┴─────────┴────────┴───────┴───────────────────────────┴──────────────┘
//! ```
//!
//! It may come in any pieces, and nothing of it is kept but the client's address and where it stands: so a connection
//! needs no buffer for it, and [`Header::wants`] never asks for a byte that stands behind it, where TLS may begin.
//!
//! The first wrong byte is an error: who sends no header is not waited for. Version 1, a line of text whose end has to
//! be looked for byte by byte, is refused by name.

use std::fmt;

/// What each header begins with. No protocol here begins so.
pub const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// The header of a proxy that asks for itself, as its health checks do.
pub const LOCAL_HEADER: [u8; 16] = *b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
/// A header may have so many bytes. Nothing of it is kept, so that this bounds what a connection can send instead of
/// requests; nginx takes as many.
pub const PROXY_HEADER_BYTES_MAX: usize = 4096;

/// Before what differs from family to family.
const FIXED_BYTES: u16 = 16;
const VERSION: u8 = 2;
/// What a header of the other version begins with.
const TEXT: &[u8] = b"PROXY ";

/// Where the client is, as the proxy tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carried {
    /// Nothing is told: the proxy asks for itself, or does not know. The socket's own address is the client's.
    Nothing,
    /// A Unix socket of the proxy's machine.
    Unix,
    /// An address and a port.
    V4([u8; 4], u16),
    /// The same of the newer kind.
    V6([u8; 16], u16),
}

/// Why what a connection begins with is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Something else.
    Signature,
    /// Version 1.
    Text,
    /// Another version.
    Version(u8),
    /// Neither LOCAL nor PROXY.
    Command(u8),
    /// Neither IPv4, IPv6, Unix nor unspecified, or of datagrams.
    Family(u8),
    /// Longer than [`PROXY_HEADER_BYTES_MAX`], which is so many bytes.
    TooLong(u16),
    /// It has no room for the addresses of its family.
    TooShort(u16),
    /// The connection ended within it.
    Truncated,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Fault::Signature => f.write_str("no header of a proxy"),
            Fault::Text => f.write_str(
                "a PROXY header of version 1 (text), where version 2 works (send-proxy-v2)",
            ),
            Fault::Version(version) => {
                write!(f, "a PROXY header of version {version}, where 2 works")
            }
            Fault::Command(command) => {
                write!(f, "a PROXY header with the unknown command {command}")
            }
            Fault::Family(family) => {
                write!(
                    f,
                    "a PROXY header of the family 0x{family:02x}, which is none of streams"
                )
            }
            Fault::TooLong(bytes) => write!(
                f,
                "a PROXY header of {} bytes, where {PROXY_HEADER_BYTES_MAX} are the most",
                usize::from(bytes) + usize::from(FIXED_BYTES)
            ),
            Fault::TooShort(bytes) => {
                write!(
                    f,
                    "a PROXY header that has {bytes} bytes for its addresses, which is too few"
                )
            }
            Fault::Truncated => f.write_str("a PROXY header that was cut"),
        }
    }
}

/// What the addresses are, by the byte that says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Unspecified,
    V4,
    V6,
    Unix,
}

impl Family {
    /// Of a byte whose lower half is 0 (not told) or 1 (a stream).
    fn of(byte: u8) -> Option<Self> {
        match byte {
            0x00 | 0x01 => Some(Family::Unspecified),
            0x11 => Some(Family::V4),
            0x21 => Some(Family::V6),
            0x31 => Some(Family::Unix),
            _ => None,
        }
    }

    /// So many bytes its addresses take.
    fn bytes(self) -> u16 {
        match self {
            Family::Unspecified => 0,
            Family::V4 => 12,
            Family::V6 => 36,
            Family::Unix => 216,
        }
    }

    /// Where the client's port stands among them.
    fn port_at(self) -> u16 {
        match self {
            Family::V4 => 8,
            Family::V6 => 32,
            Family::Unspecified | Family::Unix => u16::MAX,
        }
    }
}

/// A header that comes in.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    /// So many bytes have come.
    at: u16,
    /// So many come behind the first 16, when those have come.
    len: u16,
    family: Family,
    /// The command was LOCAL: whatever follows is not looked at.
    is_local: bool,
    ip: [u8; 16],
    port: [u8; 2],
}

impl Header {
    /// One of which nothing has come.
    pub const NONE: Header = Header {
        at: 0,
        len: 0,
        family: Family::Unspecified,
        is_local: false,
        ip: [0; 16],
        port: [0; 2],
    };

    /// Whether nothing of it has come.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.at == 0
    }

    /// So many bytes may be read for it at once; never 0 before it is over.
    #[must_use]
    pub fn wants(&self) -> usize {
        usize::from(match self.at < FIXED_BYTES {
            true => FIXED_BYTES - self.at,
            false => self.len + FIXED_BYTES - self.at,
        })
    }

    /// Takes what was read, which is no more than it [wants](Self::wants). What the client's address is when it is over.
    ///
    /// # Errors
    /// At the first byte that is wrong.
    pub fn take(&mut self, bytes: &[u8]) -> Result<Option<Carried>, Fault> {
        debug_assert!(bytes.len() <= self.wants());
        // The line's beginning comes at once.
        if self.at == 0 && bytes.starts_with(TEXT) {
            return Err(Fault::Text);
        }
        for &byte in bytes {
            self.take_byte(byte)?;
            self.at += 1;
        }
        Ok((self.at >= FIXED_BYTES && self.wants() == 0).then(|| self.carried()))
    }

    fn take_byte(&mut self, byte: u8) -> Result<(), Fault> {
        match self.at {
            0..12 if byte == SIGNATURE[usize::from(self.at)] => {}
            0..12 => return Err(Fault::Signature),
            12 if byte >> 4 != VERSION => return Err(Fault::Version(byte >> 4)),
            12 => match byte & 0xf {
                0 => self.is_local = true,
                1 => self.is_local = false,
                command => return Err(Fault::Command(command)),
            },
            // Who asks for itself may say anything here.
            13 if self.is_local => {}
            13 => self.family = Family::of(byte).ok_or(Fault::Family(byte))?,
            14 => self.len = u16::from(byte) << 8,
            15 => {
                self.len |= u16::from(byte);
                if usize::from(self.len) > PROXY_HEADER_BYTES_MAX - usize::from(FIXED_BYTES) {
                    return Err(Fault::TooLong(self.len));
                }
                if self.len < self.family.bytes() {
                    return Err(Fault::TooShort(self.len));
                }
            }
            at => self.take_address(at - FIXED_BYTES, byte),
        }
        Ok(())
    }

    /// A byte of what follows: of the client's address, or skipped.
    fn take_address(&mut self, at: u16, byte: u8) {
        let (ip_bytes, port_at) = (self.ip_bytes(), self.family.port_at());
        if at < ip_bytes {
            self.ip[usize::from(at)] = byte;
        } else if at == port_at || at == port_at.saturating_add(1) {
            self.port[usize::from(at - port_at)] = byte;
        }
    }

    fn ip_bytes(&self) -> u16 {
        match self.family {
            Family::V4 => 4,
            Family::V6 => 16,
            Family::Unspecified | Family::Unix => 0,
        }
    }

    fn carried(&self) -> Carried {
        let port = u16::from_be_bytes(self.port);
        let [a, b, c, d, ..] = self.ip;
        match self.family {
            Family::Unspecified => Carried::Nothing,
            Family::Unix => Carried::Unix,
            Family::V4 => Carried::V4([a, b, c, d], port),
            Family::V6 => Carried::V6(self.ip, port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header, with `more` behind its addresses.
    fn header<const N: usize>(command: u8, family: u8, parts: [&[u8]; N]) -> ([u8; 5000], usize) {
        let mut bytes = [0; 5000];
        let mut len = 16;
        for part in parts {
            bytes[len..len + part.len()].copy_from_slice(part);
            len += part.len();
        }
        bytes[..12].copy_from_slice(&SIGNATURE);
        (bytes[12], bytes[13]) = (command, family);
        bytes[14..16].copy_from_slice(&(len as u16 - 16).to_be_bytes());
        (bytes, len)
    }

    /// Feeds `bytes` in pieces of at most `most`, as a connection does: what came of it, and how much it took.
    fn fed(bytes: &[u8], most: usize) -> (Result<Option<Carried>, Fault>, usize) {
        let mut header = Header::NONE;
        let mut at = 0;
        loop {
            let len = header.wants().min(most).min(bytes.len() - at);
            if len == 0 {
                return (Ok(None), at);
            }
            let taken = header.take(&bytes[at..at + len]);
            at += len;
            if taken != Ok(None) {
                return (taken, at);
            }
        }
    }

    const V4: &[u8] = &[192, 0, 2, 1, 10, 0, 0, 1, 0xd4, 0x31, 0x1c, 3];
    const V6: &[u8] = b"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07\
        \xfe\x80\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x01\x02\x03\x04";
    const TLV: &[u8] = b"\x02\0\x09localhost\x04\0\x02\0\0";

    #[test]
    fn headers_in_any_pieces_carry_an_address_and_end_where_they_end() {
        let v6 = *b"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07";
        let long = [7; 4000];
        for ((bytes, len), carried) in [
            (header(0x21, 0x11, [V4]), Carried::V4([192, 0, 2, 1], 54321)),
            (
                header(0x21, 0x11, [V4, TLV]),
                Carried::V4([192, 0, 2, 1], 54321),
            ),
            (
                header(0x21, 0x11, [V4, &long]),
                Carried::V4([192, 0, 2, 1], 54321),
            ),
            (header(0x21, 0x21, [V6]), Carried::V6(v6, 0x0102)),
            (header(0x21, 0x21, [V6, TLV]), Carried::V6(v6, 0x0102)),
            (header(0x21, 0x31, [&[b'/'; 216]]), Carried::Unix),
            (header(0x21, 0x31, [&[b'/'; 216], TLV]), Carried::Unix),
            (header(0x21, 0x00, []), Carried::Nothing),
            (header(0x21, 0x00, [TLV]), Carried::Nothing),
            (header(0x21, 0x01, [V4]), Carried::Nothing),
            (header(0x20, 0x00, []), Carried::Nothing),
            (header(0x20, 0x11, [V4]), Carried::Nothing),
            // Of a proxy that asks for itself nothing more has to make sense.
            (header(0x20, 0xff, [b"abc"]), Carried::Nothing),
        ] {
            for most in [1, 2, 3, 5, 15, 16, 17, 5000] {
                // A request behind it is not touched, nor is what TLS begins with.
                let (taken, at) = fed(&bytes, most);
                assert_eq!((taken, at), (Ok(Some(carried)), len), "{most}");
            }
            for cut in 0..len {
                assert_eq!(fed(&bytes[..cut], 7), (Ok(None), cut));
            }
        }
        let (bytes, len) = header(0x20, 0, []);
        assert_eq!(bytes[..len], LOCAL_HEADER);
    }

    #[test]
    fn a_wrong_byte_is_told_as_soon_as_it_comes() {
        let (right, _) = header(0x21, 0x11, [V4]);
        for at in 0..12 {
            for wrong in [0, b'P', 0xff, right[at] ^ 1, right[at].wrapping_add(13)] {
                let mut bytes = right;
                bytes[at] = wrong;
                if wrong != right[at] {
                    assert_eq!(fed(&bytes, 1), (Err(Fault::Signature), at + 1));
                    assert_eq!(fed(&bytes, 16).0, Err(Fault::Signature));
                }
            }
        }
        let changed = |at: usize, byte: u8| {
            let mut bytes = right;
            bytes[at] = byte;
            fed(&bytes, 1)
        };
        for version in (0..16).filter(|&version| version != 2) {
            let told = changed(12, version << 4 | 1);
            assert_eq!(told, (Err(Fault::Version(version)), 13));
        }
        for command in 2..16 {
            let told = changed(12, 0x20 | command);
            assert_eq!(told, (Err(Fault::Command(command)), 13));
        }
        for family in (0..=255).filter(|family| ![0x00, 0x01, 0x11, 0x21, 0x31].contains(family)) {
            assert_eq!(changed(13, family), (Err(Fault::Family(family)), 14));
        }
        // Longer than the most, and shorter than the family's addresses.
        assert_eq!(changed(14, 0x10), (Err(Fault::TooLong(0x100c)), 16));
        assert_eq!(changed(14, 0xff), (Err(Fault::TooLong(0xff0c)), 16));
        for (family, least) in [(0x11, 12u16), (0x21, 36), (0x31, 216)] {
            for len in [0, 1, least - 1] {
                let mut bytes = right;
                bytes[13] = family;
                bytes[14..16].copy_from_slice(&len.to_be_bytes());
                assert_eq!(fed(&bytes, 16), (Err(Fault::TooShort(len)), 16));
            }
        }
        let most = (PROXY_HEADER_BYTES_MAX - 16) as u16;
        for (len, is_right) in [(most, true), (most + 1, false)] {
            let mut bytes = right;
            bytes[14..16].copy_from_slice(&len.to_be_bytes());
            assert_eq!(fed(&bytes, 5000).0.is_ok(), is_right, "{len}");
        }
        assert_eq!(
            fed(b"PROXY TCP4 192.0.2.1 10.0.0.1 5 6\r\n", 16).0,
            Err(Fault::Text)
        );
        assert_eq!(fed(b"PROXY UNKNOWN\r\n", 16).0, Err(Fault::Text));
        assert_eq!(fed(b"PING\r\n", 16).0, Err(Fault::Signature));
    }

    #[test]
    fn any_bytes_come_to_the_same_in_any_pieces() {
        let mut state = 0x1234_5678_9abc_def1u64;
        let mut next = |below: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) % below
        };
        let mut whole = 0;
        for _ in 0..20_000 {
            // Nearly right ones: any bytes fail at the first.
            let (mut bytes, len) = header(0x21, [0x11, 0x21, 0x31, 0][next(4) as usize], [V6]);
            for byte in &mut bytes[16..300] {
                *byte = next(256) as u8;
            }
            for _ in 0..next(3) {
                bytes[next(20) as usize] = next(256) as u8;
            }
            bytes[14] = [0, 0, 0, next(32) as u8][next(4) as usize];
            let at_once = fed(&bytes, 5000);
            whole += usize::from(at_once.0.is_ok());
            for most in [1, 1 + next(40) as usize] {
                let in_pieces = fed(&bytes, most);
                assert_eq!(in_pieces.0, at_once.0, "{}", bytes[..len].escape_ascii());
                assert!(in_pieces.1 <= at_once.1);
            }
        }
        assert!((2_000..18_000).contains(&whole), "{whole}");
    }

    #[test]
    fn faults_are_told_in_words() {
        for (fault, words) in [
            (
                Fault::Text,
                "a PROXY header of version 1 (text), where version 2 works (send-proxy-v2)",
            ),
            (
                Fault::TooLong(4081),
                "a PROXY header of 4097 bytes, where 4096 are the most",
            ),
            (
                Fault::Family(0x12),
                "a PROXY header of the family 0x12, which is none of streams",
            ),
        ] {
            assert_eq!(fault.to_string(), words);
        }
    }
}
