//! Values of settings as text → what they mean, each with a sentence that says what works.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use flagstone_engine::{Backing, Eviction};

use super::config::{Invalid, TIMEOUT_MAX, TlsVersion};
use crate::observe::allocations::Seal;

pub(super) fn check_range(
    setting: &str,
    value: usize,
    least: usize,
    most: usize,
) -> Result<(), Invalid> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(Invalid::new(
        setting,
        value,
        format!("is out of range: {least} to {most} work"),
    ))
}

/// A whole number in a range.
pub fn parse_count(setting: &str, text: &str, least: usize, most: usize) -> Result<usize, Invalid> {
    match text.parse() {
        Ok(count) if (least..=most).contains(&count) => Ok(count),
        _ => Err(Invalid::new(
            setting,
            text,
            format!("is not a whole number in range: {least} to {most} work"),
        )),
    }
}

/// A size in bytes: `67108864`, `64m`, `64MB`, `64MiB`, and Kubernetes' `64Mi`. Every unit is a
/// power of 1024, as in Docker's `--memory`.
pub fn parse_size(setting: &str, text: &str) -> Result<usize, Invalid> {
    let refuse = || {
        Invalid::new(
            setting,
            text,
            "is not a size: bytes or a whole number with k, m, g (powers of 1024) work, such as 64m, 48MiB, 64Mi or 1g",
        )
    };
    let digits_len = text.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, unit) = text.split_at(digits_len);
    let number: usize = digits.parse().map_err(|_| refuse())?;
    let shift = match unit.trim_start().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "ki" | "kib" => 10,
        "m" | "mb" | "mi" | "mib" => 20,
        "g" | "gb" | "gi" | "gib" => 30,
        "t" | "tb" | "ti" | "tib" => 40,
        _ => return Err(refuse()),
    };
    number.checked_mul(1 << shift).ok_or_else(refuse)
}

/// A time that may be none: `0`, `10`, `10s`, `250ms`, `5m`.
pub fn parse_delay(setting: &str, text: &str) -> Result<Duration, Invalid> {
    match text {
        "0" | "0s" | "0ms" => Ok(Duration::ZERO),
        text => parse_timeout(setting, text).map_err(|invalid| Invalid {
            why: invalid.why.replace("from 1ms", "from 0"),
            ..invalid
        }),
    }
}

/// A time, or `none`.
pub fn parse_slow_request(setting: &str, text: &str) -> Result<Option<Duration>, Invalid> {
    if text.eq_ignore_ascii_case("none") {
        return Ok(None);
    }
    parse_timeout(setting, text).map(Some)
}

/// An address with a port, or `none`.
pub fn parse_admin(setting: &str, text: &str) -> Result<Option<SocketAddr>, Invalid> {
    let refuse = || {
        Invalid::new(
            setting,
            text,
            "is not an address with a port, nor none: such as 127.0.0.1:7172 or 0.0.0.0:7172 work",
        )
    };
    if text.eq_ignore_ascii_case("none") {
        return Ok(None);
    }
    match text.parse() {
        Ok(address) => Ok(Some(address)),
        Err(_) => {
            let mut addresses = text.to_socket_addrs().map_err(|_| refuse())?;
            addresses.next().ok_or_else(refuse).map(Some)
        }
    }
}

/// A time: `10`, `10s`, `250ms`, `5m`.
pub fn parse_timeout(setting: &str, text: &str) -> Result<Duration, Invalid> {
    let refuse = || {
        Invalid::new(
            setting,
            text,
            "is not a time in range: seconds or a whole number with ms, s, m or h work, from 1ms to 24h",
        )
    };
    let digits_len = text.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, unit) = text.split_at(digits_len);
    let number: u64 = digits.parse().map_err(|_| refuse())?;
    let millis = match unit {
        "ms" => 1,
        "" | "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(refuse()),
    };
    let timeout = Duration::from_millis(number.checked_mul(millis).ok_or_else(refuse)?);
    if timeout.is_zero() || timeout > TIMEOUT_MAX {
        return Err(refuse());
    }
    Ok(timeout)
}

/// Permissions of a file, in octal as `chmod` has them.
pub fn parse_mode(setting: &str, text: &str) -> Result<u32, Invalid> {
    u32::from_str_radix(text, 8)
        .ok()
        .filter(|&mode| mode <= 0o777)
        .ok_or_else(|| {
            Invalid::new(
                setting,
                text,
                "is no file mode: three octal digits work, such as 700 or 770",
            )
        })
}

/// `heap`, `mmap`, or the path of a file: anything with a slash in it.
pub fn parse_backing(setting: &str, text: &str) -> Result<Backing, Invalid> {
    match text {
        "heap" => Ok(Backing::Heap),
        "mmap" => Ok(Backing::Mmap),
        // A bare word is more likely a mistyped "mmap" than a file in whatever directory the
        // server was started from.
        path if path.contains('/') => Ok(Backing::File(PathBuf::from(path))),
        _ => Err(Invalid::new(
            setting,
            text,
            "is no kind of arena: heap, mmap or a file's path with a slash in it (./arena) work",
        )),
    }
}

/// Yes or no.
pub fn parse_switch(setting: &str, text: &str) -> Result<bool, Invalid> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Ok(true),
        "false" | "no" | "off" | "0" => Ok(false),
        _ => Err(Invalid::new(
            setting,
            text,
            "is neither yes nor no: true, yes, on, 1 and false, no, off, 0 work",
        )),
    }
}

/// Reads the name of an eviction policy.
///
/// # Errors
/// When it is none.
pub fn parse_eviction(setting: &str, text: &str) -> Result<Eviction, Invalid> {
    match text {
        "s3fifo" => Ok(Eviction::S3Fifo),
        "adaptive" => Ok(Eviction::Adaptive),
        "lru" => Ok(Eviction::Lru),
        _ => Err(Invalid::new(
            setting,
            text,
            "is no eviction policy: s3fifo, adaptive and lru are",
        )),
    }
}

/// What an allocation means that is made while a request is served.
///
/// # Errors
/// When it is neither word.
pub fn parse_seal(setting: &str, text: &str) -> Result<Seal, Invalid> {
    match text {
        "count" => Ok(Seal::Count),
        "abort" => Ok(Seal::Abort),
        _ => Err(Invalid::new(setting, text, "is neither count nor abort")),
    }
}

/// A version of TLS.
pub fn parse_tls_version(setting: &str, text: &str) -> Result<TlsVersion, Invalid> {
    match text {
        "1.2" => Ok(TlsVersion::Tls12),
        "1.3" => Ok(TlsVersion::Tls13),
        _ => Err(Invalid::new(
            setting,
            text,
            "is no version of TLS that is spoken here: 1.2 and 1.3 are",
        )),
    }
}

#[cfg(test)]
mod tests;
