//! Which protocol a connection speaks, by its first bytes.
//!
//! | first bytes | decision |
//! |---|---|
//! | `0x16 0x03` | a TLS hello on a plain port: close, with memcached's `ERROR` |
//! | `0x80` | memcached's binary protocol, where it may be spoken: elsewhere close |
//! | `0x81` | an answer of it: close |
//! | anything else | lines of text: see [`Codec`](super::Codec) |
//!
//! Decided once. HTTP is not decided here: it looks like a line of text until its end, so
//! the decoders hang up on it, also later in a connection.

use super::Accepts;
use super::binary::MAGIC;

/// What a TLS client is told, as memcached tells it: a plain word makes its library say that the port
/// speaks no TLS (`wrong version number`), where an end without a word looks like a fault of the network.
const NOT_TLS: &[u8] = b"ERROR\r\n";

/// What the first bytes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sniffed {
    /// Too few bytes to tell.
    Undecided,
    /// Text, or what the address is for.
    Text,
    /// memcached's binary protocol.
    Binary,
    /// A protocol that is not spoken here: the connection is closed behind these words.
    HangUp(&'static [u8]),
}

/// Looks at the first bytes of a connection.
#[must_use]
pub fn sniff(first: &[u8], accepts: Accepts) -> Sniffed {
    match first {
        [] | [0x16] => Sniffed::Undecided,
        [0x16, 0x03, ..] => Sniffed::HangUp(NOT_TLS),
        [MAGIC, ..] => match accepts {
            Accepts::Auto | Accepts::Memcached | Accepts::Binary => Sniffed::Binary,
            Accepts::Native | Accepts::Resp => Sniffed::HangUp(b""),
        },
        [0x81, ..] => Sniffed::HangUp(b""),
        _ => Sniffed::Text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_bytes_decide() {
        let table: &[(&[u8], Sniffed)] = &[
            (b"", Sniffed::Undecided),
            (b"\x16", Sniffed::Undecided),
            (b"\x16\x03\x01\x02\x00", Sniffed::HangUp(NOT_TLS)),
            (b"\x16\n", Sniffed::Text),
            (b"\x80\x00", Sniffed::Binary),
            (b"\x81", Sniffed::HangUp(b"")),
            (b"G", Sniffed::Text),
            (b"g", Sniffed::Text),
            (b"\n", Sniffed::Text),
            (b"*1\r\n", Sniffed::Text),
        ];
        for &(first, expected) in table {
            let sniffed = sniff(first, Accepts::Auto);
            assert_eq!(sniffed, expected, "{:?}", first.escape_ascii());
        }
        for accepts in [Accepts::Native, Accepts::Resp] {
            assert_eq!(sniff(b"\x80", accepts), Sniffed::HangUp(b""));
        }
    }
}
