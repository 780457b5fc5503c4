//! Self-certifying values: whoever reads one can tell whose it is, which version, and whether
//! a byte is wrong.
//!
//!   ┌──────────┬──────────┬──────────┬───────────────────────────┐
//!   │ key      │ version  │ checksum │ body                      │
//!   │ 8 hex    │ 8 hex    │ 8 hex    │ a slice of the type case  │
//!   └──────────┴──────────┴──────────┴───────────────────────────┘
//!
//! The checksum covers key, version and length, so a value that lost or gained its last byte
//! is caught. The body is not summed but known: key and version choose where it begins in one
//! table of printable bytes, so checking is a comparison of memory, fast enough for a
//! gigabyte a second, and a body that belongs to another version cannot pass. No byte is a
//! line end: the native protocol could not carry it.

use std::sync::OnceLock;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Bytes of key, version and checksum: no value is shorter.
pub const VALUE_LEN_MIN: usize = 24;
/// The longest value: 1 MiB, the server's default `--max-item`.
pub const VALUE_LEN_MAX: usize = 1 << 20;
/// Every key has this length, the one of the project's published comparisons.
pub const KEY_LEN: usize = 20;

/// Bodies begin at one of so many places. Prime, so that neighbouring hashes do not share low
/// bits.
const BODY_STARTS: usize = 65_521;

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
    /// The head is right; this byte of the body is not (a torn value looks like that).
    Body {
        /// Offset of the first wrong byte.
        at: usize,
    },
}

/// Appends the key's name: 20 printable bytes.
pub fn write_key(out: &mut Vec<u8>, key: u32) {
    out.extend_from_slice(b"flagstone:k:");
    write_hex(out, key);
}

/// Appends the value of `key` at `version`, `len` bytes long.
///
/// # Panics When `len` is outside `VALUE_LEN_MIN..=VALUE_LEN_MAX`: a mistake in the test, not
/// in the server.
pub fn write_value(out: &mut Vec<u8>, key: u32, version: u32, len: usize) {
    assert!(
        (VALUE_LEN_MIN..=VALUE_LEN_MAX).contains(&len),
        "no self-certifying value has {len} bytes"
    );
    write_hex(out, key);
    write_hex(out, version);
    write_hex(out, checksum(key, version, len));
    out.extend_from_slice(body(key, version, len - VALUE_LEN_MIN));
}

/// The version of a value that was read for `key`, or what is wrong with it.
pub fn check_value(key: u32, value: &[u8]) -> Result<u32, Wrong> {
    let (head, rest) = value.split_at_checked(VALUE_LEN_MIN).ok_or(Wrong::Head)?;
    let found = read_hex(&head[..8]).ok_or(Wrong::Head)?;
    let version = read_hex(&head[8..16]).ok_or(Wrong::Head)?;
    if value.len() > VALUE_LEN_MAX
        || read_hex(&head[16..]) != Some(checksum(found, version, value.len()))
    {
        return Err(Wrong::Head);
    }
    let expected = body(found, version, rest.len());
    if rest != expected {
        let at = rest
            .iter()
            .zip(expected)
            .position(|(a, b)| a != b)
            .unwrap_or(0);
        return Err(Wrong::Body {
            at: VALUE_LEN_MIN + at,
        });
    }
    if found != key {
        return Err(Wrong::Foreign { found });
    }
    Ok(version)
}

/// A number that looks random and depends on both arguments only: sizes, choices and bodies
/// come from it, so that a run can be replayed.
#[must_use]
pub fn mix(a: u64, b: u64) -> u64 {
    xxh3_64_with_seed(&a.to_le_bytes(), b)
}

fn checksum(key: u32, version: u32, len: usize) -> u32 {
    let sum = mix(u64::from(key) << 32 | u64::from(version), len as u64);
    (sum ^ (sum >> 32)) as u32
}

fn body(key: u32, version: u32, len: usize) -> &'static [u8] {
    static TYPE_CASE: OnceLock<Vec<u8>> = OnceLock::new();
    let table = TYPE_CASE.get_or_init(|| {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            b'0' + (state >> 58) as u8 // 64 printable bytes from '0' to 'o'
        };
        (0..BODY_STARTS + VALUE_LEN_MAX).map(|_| next()).collect()
    });
    let start = mix(u64::from(key), u64::from(version)) as usize % BODY_STARTS;
    &table[start..start + len]
}

fn write_hex(out: &mut Vec<u8>, number: u32) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.extend(
        (0..8)
            .rev()
            .map(|i| DIGITS[(number >> (4 * i) & 15) as usize]),
    );
}

fn read_hex(digits: &[u8]) -> Option<u32> {
    let mut number = 0u32;
    for &digit in digits {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        number = number << 4 | u32::from(value);
    }
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(key: u32, version: u32, len: usize) -> Vec<u8> {
        let mut out = Vec::new();
        write_value(&mut out, key, version, len);
        assert_eq!(out.len(), len);
        assert!(!out.contains(&b'\n') && !out.contains(&b'\r'));
        out
    }

    #[test]
    fn whole_values_tell_their_version() {
        for len in [24, 25, 32, 1000, VALUE_LEN_MAX] {
            assert_eq!(check_value(7, &value(7, 3, len)), Ok(3));
        }
    }

    #[test]
    fn each_kind_of_damage_is_named() {
        let good = value(7, 3, 100);
        assert_eq!(check_value(8, &good), Err(Wrong::Foreign { found: 7 }));
        assert_eq!(check_value(7, &good[..99]), Err(Wrong::Head), "cut short");
        assert_eq!(check_value(7, b""), Err(Wrong::Head));
        for at in 0..100 {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert!(check_value(7, &bad).is_err(), "byte {at} changed unnoticed");
        }
        let torn: Vec<u8> = [&good[..60], &value(7, 4, 100)[60..]].concat();
        assert!(matches!(
            check_value(7, &torn),
            Err(Wrong::Body { at: 60.. })
        ));
    }
}
