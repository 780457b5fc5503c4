//! Self-certifying values: whoever reads one can tell whose it is, which version, and whether
//! a byte is wrong.
//!
//!   ┌──────────┬──────────┬──────────┬───────────────────────────┐
//!   │ key      │ version  │ checksum │ body                      │
//!   │ 8 hex    │ 8 hex    │ 8 hex    │ a slice of the type case  │
//!   └──────────┴──────────┴──────────┴───────────────────────────┘
//!
//! The checksum covers key, version and length, so a value that lost or gained bytes is
//! caught. The body is not summed but known: key and version choose where it begins in one
//! table of printable bytes, so that writing it is a copy and checking it a comparison, and a
//! body of another version does not pass. No byte is a line end, so every protocol carries it.

use crate::hex;
use crate::random::{Random, mix};

/// Bytes of key, version and checksum: nothing shorter certifies itself.
pub const VALUE_BYTES_MIN: usize = 24;
/// The longest value that can be asked for.
pub const VALUE_BYTES_MAX: usize = 64 << 20;

/// Bodies begin at one of so many places, which stay in the processor's nearer caches.
const BODY_STARTS: usize = 1 << 16;

/// Why a value is not what its reader asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// Whole and well-formed, but another key's.
    Foreign {
        /// The key that it names.
        found: u32,
    },
    /// The head names no key and version, or the checksum denies them or the length.
    Head,
    /// The head is right; this byte of the body is not. A torn value looks like that.
    Body {
        /// Offset of the first wrong byte.
        at: usize,
    },
}

/// The printable bytes that all bodies are cut from.
pub struct TypeCase(Box<[u8]>);

impl TypeCase {
    /// Enough for values of up to `value_bytes_max`.
    #[must_use]
    pub fn new(value_bytes_max: usize) -> Self {
        let mut random = Random::new(0x7469_6e67);
        // 64 printable bytes from '0' to 'o'.
        TypeCase(
            (0..BODY_STARTS + value_bytes_max)
                .map(|_| b'0' + (random.bits() >> 58) as u8)
                .collect(),
        )
    }

    /// Appends the value of `key` at `version`. Shorter than [`VALUE_BYTES_MIN`] it is only
    /// the beginning of a body, which nobody can check.
    #[inline]
    pub fn write(&self, out: &mut Vec<u8>, key: u32, version: u32, len: usize) {
        let Some(body_len) = len.checked_sub(VALUE_BYTES_MIN) else {
            out.extend_from_slice(self.body(key, version, len));
            return;
        };
        out.extend_from_slice(&hex::encode(key));
        out.extend_from_slice(&hex::encode(version));
        out.extend_from_slice(&hex::encode(checksum(key, version, len)));
        out.extend_from_slice(self.body(key, version, body_len));
    }

    /// The version of a value that was read for `key`, or what is wrong with it.
    #[inline]
    pub fn check(&self, key: u32, value: &[u8]) -> Result<u32, Wrong> {
        let (head, body) = value
            .split_first_chunk::<VALUE_BYTES_MIN>()
            .ok_or(Wrong::Head)?;
        let word = |at: usize| {
            let mut digits = [0; 8];
            digits.copy_from_slice(&head[at..at + 8]);
            hex::decode(digits).ok_or(Wrong::Head)
        };
        let (found, version, sum) = (word(0)?, word(8)?, word(16)?);
        // The last condition: a length that no value of this run can have.
        if sum != checksum(found, version, value.len()) || body.len() > self.0.len() - BODY_STARTS {
            return Err(Wrong::Head);
        }
        let expected = self.body(found, version, body.len());
        if body != expected {
            let at = body.iter().zip(expected).position(|(a, b)| a != b);
            return Err(Wrong::Body {
                at: VALUE_BYTES_MIN + at.unwrap_or(0),
            });
        }
        if found != key {
            return Err(Wrong::Foreign { found });
        }
        Ok(version)
    }

    #[inline]
    fn body(&self, key: u32, version: u32, len: usize) -> &[u8] {
        let start = (mix(word_of(key, version)) >> 48) as usize;
        &self.0[start..start + len]
    }
}

fn word_of(key: u32, version: u32) -> u64 {
    u64::from(key) << 32 | u64::from(version)
}

#[inline]
fn checksum(key: u32, version: u32, len: usize) -> u32 {
    let sum = mix(word_of(key, version) ^ mix(len as u64));
    (sum ^ (sum >> 32)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(case: &TypeCase, key: u32, version: u32, len: usize) -> Vec<u8> {
        let mut out = Vec::new();
        case.write(&mut out, key, version, len);
        assert_eq!(out.len(), len);
        assert!(out.iter().all(u8::is_ascii_graphic));
        out
    }

    #[test]
    fn whole_values_tell_their_version() {
        let case = TypeCase::new(1 << 20);
        for len in [24, 25, 32, 1000, 1 << 20] {
            assert_eq!(case.check(7, &value(&case, 7, 3, len)), Ok(3));
        }
        // Too short to certify itself, but of the right length.
        for len in 0..24 {
            assert_eq!(case.check(7, &value(&case, 7, 3, len)), Err(Wrong::Head));
        }
    }

    #[test]
    fn each_kind_of_damage_is_named() {
        let case = TypeCase::new(1000);
        let good = value(&case, 7, 3, 100);
        assert_eq!(case.check(8, &good), Err(Wrong::Foreign { found: 7 }));
        assert_eq!(case.check(7, &good[..99]), Err(Wrong::Head), "cut short");
        let longer = [&good[..], b"x"].concat();
        assert_eq!(case.check(7, &longer), Err(Wrong::Head), "too long");
        assert_eq!(case.check(7, b""), Err(Wrong::Head));
        for at in 0..100 {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[at] ^= 1 << bit;
                let found = case.check(7, &bad);
                match at {
                    0..24 => assert!(found.is_err(), "byte {at}"),
                    _ => assert_eq!(found, Err(Wrong::Body { at })),
                }
            }
        }
        let torn: Vec<u8> = [&good[..60], &value(&case, 7, 4, 100)[60..]].concat();
        assert!(matches!(
            case.check(7, &torn),
            Err(Wrong::Body { at: 60.. })
        ));
    }
}
