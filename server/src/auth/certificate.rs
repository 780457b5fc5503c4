//! When a certificate expires, read out of its DER: the one fact of it that an operator needs as
//! a number.
//!
//! ```text
//!   SEQUENCE                                 certificate
//!     SEQUENCE                               what is signed
//!       [0] version?  INTEGER serial  SEQUENCE algorithm  SEQUENCE issuer
//!       SEQUENCE                             validity
//!         time                               not before
//!         time                               not after  ◄──
//! ```
//!
//! Nothing is verified: clients do that. A library for all of X.509 would add a tenth of a
//! megabyte to the image for these five steps.

/// An element's tags, as they stand in its first byte.
const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;

/// The last second at which the certificate is valid, since the beginning of 1970. `None` if
/// this is no certificate.
#[must_use]
pub fn expires_unix(der: &[u8]) -> Option<i64> {
    let (certificate, _) = element(der, SEQUENCE)?;
    let (mut rest, _) = element(certificate, SEQUENCE)?;
    // Certificates of the first version do not say so.
    if let Some((_, behind)) = element(rest, VERSION) {
        rest = behind;
    }
    for tag in [INTEGER, SEQUENCE, SEQUENCE] {
        (_, rest) = element(rest, tag)?;
    }
    let (validity, _) = element(rest, SEQUENCE)?;
    let (_, end) = time(validity)?;
    Some(time(end)?.0)
}

/// Whether this is a certificate of the first version: it does not say which.
#[must_use]
pub fn is_version_1(der: &[u8]) -> bool {
    let signed = element(der, SEQUENCE).and_then(|(certificate, _)| element(certificate, SEQUENCE));
    expires_unix(der).is_some()
        && signed.is_some_and(|(signed, _)| element(signed, VERSION).is_none())
}

/// The content of the element that `bytes` begin with, and what is behind it.
fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    let (&len, rest) = rest.split_first()?;
    let (len, rest) = match len {
        ..=0x7f => (usize::from(len), rest),
        // So many bytes of length follow; four are more than any certificate has.
        0x81..=0x84 => {
            let (len, rest) = rest.split_at_checked(usize::from(len - 0x80))?;
            let len = len
                .iter()
                .fold(0, |sum, &byte| sum << 8 | usize::from(byte));
            (len, rest)
        }
        0x80 | 0x85.. => return None,
    };
    (first == tag).then(|| rest.split_at_checked(len)).flatten()
}

/// A time in seconds since 1970, and what is behind it.
fn time(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let (text, rest, century_digits) = match element(bytes, UTC_TIME) {
        Some((text, rest)) => (text, rest, 0),
        None => {
            let (text, rest) = element(bytes, GENERALIZED_TIME)?;
            (text, rest, 2)
        }
    };
    // Times of certificates are to the second and in UTC, whatever else the types allow.
    let digits = text.strip_suffix(b"Z")?;
    if digits.len() != 12 + century_digits || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let mut pairs = digits
        .chunks(2)
        .map(|pair| i64::from(pair[0] - b'0') * 10 + i64::from(pair[1] - b'0'));
    let mut next = || pairs.next();
    let year = match century_digits {
        // Two digits are years from 1950 to 2049.
        0 => next().map(|year| year + if year < 50 { 2000 } else { 1900 })?,
        _ => next()? * 100 + next()?,
    };
    let (month, day) = (next()?, next()?);
    let (hour, minute, second) = (next()?, next()?, next()?);
    let is_time = (1..=12).contains(&month) && (1..=31).contains(&day);
    if !is_time || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let seconds = ((days_until(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
    Some((seconds, rest))
}

/// Days from the beginning of 1970 to a date.
fn days_until(year: i64, month: i64, day: i64) -> i64 {
    // Years that begin in March, so that leap days come last.
    let (year, month) = match month {
        3.. => (year, month - 3),
        _ => (year - 1, month + 9),
    };
    let leap_days = year / 4 - year / 100 + year / 400;
    year * 365 + leap_days + (153 * month + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn certificate(year: i32, month: u8, day: u8) -> Vec<u8> {
        let names = vec!["localhost".to_owned(); 40];
        let mut params = CertificateParams::new(names).expect("names");
        params.not_before = date_time_ymd(1971, 1, 1);
        params.not_after = date_time_ymd(year, month, day);
        let key = KeyPair::generate().expect("a key");
        params
            .self_signed(&key)
            .expect("a certificate")
            .der()
            .to_vec()
    }

    /// Two digits of a year up to 2049, four after that.
    #[test]
    fn the_end_of_a_certificate_is_read() {
        for (year, month, day) in [
            (1972, 2, 29),
            (2000, 3, 1),
            (2026, 11, 22),
            (2049, 12, 31),
            (2050, 1, 1),
            (2100, 2, 28),
            (2100, 3, 1),
            (9999, 12, 31),
        ] {
            let expected = date_time_ymd(year, month, day).unix_timestamp();
            let der = certificate(year, month, day);
            assert_eq!(expires_unix(&der), Some(expected), "{year}-{month}-{day}");
        }
    }

    #[test]
    fn what_is_no_certificate_has_no_end() {
        let der = certificate(2031, 5, 6);
        let right = expires_unix(&der);
        for len in 0..der.len() {
            let cut = expires_unix(&der[..len]);
            assert_eq!(cut, None, "the first {len} bytes");
        }
        // Whatever a byte is changed to, there is an answer.
        for at in 0..der.len().min(200) {
            for byte in 0..=255 {
                let mut other = der.clone();
                other[at] = byte;
                let _ = expires_unix(&other);
            }
        }
        assert!(right.is_some());
        for time in [
            &b"\x17\x0d2613010000 0Z"[..],
            b"\x17\x0d261301000000Z",
            b"\x17\x0d260001000000Z",
            b"\x17\x0d260100000000Z",
            b"\x17\x0d260101240000Z",
            b"\x17\x0d260101006000Z",
            b"\x17\x0d2601010000000",
            b"\x17\x0b2601010000Z",
            b"\x18\x0d260101000000Z",
            b"\x17\x0f20260101000000Z",
            b"\x18\x1120260101000000.5Z",
        ] {
            assert_eq!(super::time(time), None, "{}", time.escape_ascii());
        }
        assert_eq!(super::time(b"\x17\x0d700101000001Z"), Some((1, &b""[..])));
    }
}
