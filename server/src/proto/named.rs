//! What a request is called and which key it is about, for those who list requests that took long.
//!
//! It is asked about few requests, after they were executed, so it decodes them once more instead of having every request
//! say so. What was refused has no name: it may be anything, a password that was mistyped too.

use super::{Codec, Decoded, Inside, LongHead, Storing};

/// What is known of a request from its bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Named<'a> {
    /// The command as the client wrote it; empty where it has no word, as in memcached's binary protocol.
    pub word: &'a [u8],
    /// The key that it is about, or the first of a list.
    pub key: Option<&'a [u8]>,
}

/// Longer is no command.
const WORD_BYTES_MAX: usize = 16;

impl Codec {
    /// Says so of the request that begins at the front of `bytes`, or as much as can be known of it.
    #[must_use]
    pub fn name_request(self, bytes: &[u8]) -> Named<'_> {
        let key = match self.decode(bytes) {
            Decoded::Request(request) => match request.command {
                command if command.is_refused() => return Named::default(),
                command => command.key(),
            },
            Decoded::Long(head) => match head.key() {
                Some(key) => key,
                None => return Named::default(),
            },
            Decoded::More => match self.decode_begun(bytes).and_then(LongHead::key) {
                Some(key) => key,
                None => return Named::default(),
            },
            Decoded::HangUp(_) => return Named::default(),
        };
        Named {
            word: self.word(bytes).unwrap_or_default(),
            key,
        }
    }

    fn word(self, bytes: &[u8]) -> Option<&[u8]> {
        let bytes = match self.inside {
            // In the middle of a list there is none.
            Inside::Keys(_) | Inside::Binary | Inside::BinaryLogin => return None,
            _ if bytes.first() == Some(&b'*') => {
                // The length of the array, the length of the word.
                let mut lines = bytes.splitn(3, |&byte| byte == b'\n');
                lines.nth(2)?
            }
            _ => bytes,
        };
        let is_of_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
        let len = bytes.iter().position(|byte| !is_of_word(byte))?;
        (1..=WORD_BYTES_MAX).contains(&len).then(|| &bytes[..len])
    }
}

impl<'a> LongHead<'a> {
    /// The key of a store; no key of another request. `None`: it is none.
    fn key(self) -> Option<Option<&'a [u8]>> {
        match self {
            LongHead::Store { storing, .. } => Some(Some(match storing {
                Storing::Plain { key, .. } => key,
                Storing::Meta(meta) => meta.key,
                Storing::Binary(store) => store.key,
            })),
            LongHead::Publish { .. } => Some(None),
            LongHead::Skip { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::Accepts;

    #[test]
    fn requests_of_all_protocols_have_names() {
        let long_line = [b"PUT k ".as_slice(), &[b'v'; 3000]].concat();
        let table: &[(&[u8], &str, Option<&str>)] = &[
            (b"GET a\nGET b\n", "GET", Some("a")),
            (b"PUT key value\n", "PUT", Some("key")),
            (b"STATS\n", "STATS", None),
            (b"get a b c\r\n", "get", Some("a")),
            (b"set key 0 0 1\r\nx\r\n", "set", Some("key")),
            (b"set key 0 0 500000\r\nx", "set", Some("key")),
            (b"mg key v\r\n", "mg", Some("key")),
            (b"*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n", "GET", Some("key")),
            (b"*2\r\n$4\r\nkeys\r\n$1\r\n*\r\n", "keys", None),
            (
                b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$500000\r\nx",
                "SET",
                Some("k"),
            ),
            (&long_line, "PUT", Some("k")),
            // What is no request has no name.
            (b"my password\r\n", "", None),
            (b"secret\n", "", None),
            (b"*1\r\n$6\r\nsecret\r\n", "", None),
            (b"*2\r\n$6\r\nCLIENT\r\n$6\r\nsecret\r\n", "", None),
            (b"GET a", "", None),
            (b"GET / HTTP/1.1\r\n", "", None),
            (b"", "", None),
        ];
        for &(bytes, word, key) in table {
            let named = Codec::new(Accepts::Auto).name_request(bytes);
            let expected = Named {
                word: word.as_bytes(),
                key: key.map(str::as_bytes),
            };
            assert_eq!(named, expected, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn a_login_is_named_without_its_password() {
        let locked = Codec::new(Accepts::Auto).locked(true);
        for bytes in [
            &b"*2\r\n$4\r\nAUTH\r\n$6\r\nsecret\r\n"[..],
            b"set x 0 0 11\r\nuser secret\r\n",
        ] {
            let named = locked.name_request(bytes);
            assert_eq!(named.key, None);
            assert!(!named.word.is_empty());
        }
    }
}
