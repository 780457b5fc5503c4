//! Finding things in bytes.

/// Where the first `\n` is. A wide scan (`memchr`), because a value of a megabyte is looked
/// through too.
#[inline]
#[must_use]
pub fn newline(bytes: &[u8]) -> Option<usize> {
    memchr::memchr(b'\n', bytes)
}

/// The same where it is most often near: the first bytes are looked through in place, eight at a time. A call would cost more.
#[inline(always)]
#[must_use]
pub fn near_newline(bytes: &[u8]) -> Option<usize> {
    const NEAR: usize = 6;
    const ONES: u64 = 0x0101_0101_0101_0101;
    const TOPS: u64 = 0x8080_8080_8080_8080;
    let chunks = bytes.as_chunks::<8>().0;
    let near = chunks.len().min(NEAR);
    for (chunk_no, chunk) in chunks[..near].iter().enumerate() {
        let word = u64::from_le_bytes(*chunk) ^ (ONES * b'\n' as u64);
        // The lowest byte that is 0 is told exactly: a borrow may spoil only those above it.
        let found = word.wrapping_sub(ONES) & !word & TOPS;
        if found != 0 {
            return Some(8 * chunk_no + found.trailing_zeros() as usize / 8);
        }
    }
    newline(&bytes[8 * near..]).map(|at| 8 * near + at)
}

/// Whether a value has a line end in it. Short ones are looked through in place, eight bytes at a time: a call would cost
/// more than that.
#[inline(always)]
#[must_use]
pub fn has_newline(value: &[u8]) -> bool {
    const SHORT_BYTES: usize = 64;
    const ONES: u64 = 0x0101_0101_0101_0101;
    const TOPS: u64 = 0x8080_8080_8080_8080;
    if value.len() > SHORT_BYTES {
        return newline(value).is_some();
    }
    let (chunks, rest) = value.as_chunks::<8>();
    let mut found = 0;
    for chunk in chunks {
        // A byte is 0 where a line end was; its top bit is set if it is 0, or by a borrow above such a byte.
        let word = u64::from_le_bytes(*chunk) ^ (ONES * b'\n' as u64);
        found |= word.wrapping_sub(ONES) & !word;
    }
    found & TOPS != 0 || rest.contains(&b'\n')
}

/// How many bytes stand before the first that is a space or a control character; `None` if there
/// is no such byte.
#[inline(always)]
#[must_use]
pub fn word_len(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const TOPS: u64 = 0x8080_8080_8080_8080;
    let (chunks, rest) = bytes.as_chunks::<8>();
    for (chunk_no, chunk) in chunks.iter().enumerate() {
        let word = u64::from_le_bytes(*chunk);
        // The top bit of each byte that is below 0x21. A borrow may spoil only bytes behind the
        // first such byte, which is the one that counts.
        let ends = word.wrapping_sub(ONES * (b' ' as u64 + 1)) & !word & TOPS;
        if ends != 0 {
            return Some(8 * chunk_no + ends.trailing_zeros() as usize / 8);
        }
    }
    let before = bytes.len() - rest.len();
    rest.iter()
        .position(|&byte| byte <= b' ')
        .map(|at| before + at)
}

/// A line without the one `\r` before its `\n`, and whether there was one.
#[inline]
#[must_use]
pub fn without_cr(line: &[u8]) -> (&[u8], bool) {
    match line {
        [rest @ .., b'\r'] => (rest, true),
        _ => (line, false),
    }
}

/// `bytes` from its first byte that is no space.
#[inline]
#[must_use]
pub fn skip_spaces(bytes: &[u8]) -> &[u8] {
    let spaces = bytes.iter().take_while(|&&byte| byte == b' ').count();
    &bytes[spaces..]
}

/// What stands before and behind the first space.
#[inline]
#[must_use]
pub fn split_at_space(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = memchr::memchr(b' ', bytes)?;
    Some((&bytes[..at], &bytes[at + 1..]))
}

/// Exactly `HTTP/` digit `.` digit.
#[must_use]
pub fn is_http_version(word: &[u8]) -> bool {
    matches!(word, [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
        if major.is_ascii_digit() && minor.is_ascii_digit())
}

/// Whether a line that is no valid request looks like the work of an HTTP client: its last
/// word, which is not its only one, begins with `HTTP/`; or it begins with `Host:` in any
/// case; or its verb is `POST`.
///
/// Browsers and fetch libraries can be talked into sending such lines to any port, with a
/// body of the attacker's choice behind them. So the connection is closed at the first
/// line that betrays one, before the body is looked at.
#[must_use]
pub fn is_http_line(line: &[u8]) -> bool {
    let line = line.trim_ascii();
    let last_word_at = memchr::memrchr(b' ', line).map_or(0, |at| at + 1);
    (last_word_at > 0 && line[last_word_at..].starts_with(b"HTTP/"))
        || line
            .get(..5)
            .is_some_and(|word| word.eq_ignore_ascii_case(b"host:"))
        || line == b"POST"
        || line.starts_with(b"POST ")
}

/// Whether the beginning of a line, whose end nobody holds, looks like an HTTP request: a method, and a path or an
/// address behind it; or a header or a body such as follow one.
#[must_use]
pub fn begins_like_http(line: &[u8]) -> bool {
    const METHODS: [&[u8]; 10] = [
        b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"TRACE", b"CONNECT",
        b"PRI",
    ];
    let (verb, rest) = split_at_space(line).unwrap_or((line, b""));
    let target = skip_spaces(rest).first();
    (METHODS.contains(&verb) && matches!(target, Some(b'/' | b'*' | b'h' | b'H')))
        || is_http_line(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_end_is_found_wherever_it_is() {
        for len in 0..200 {
            for byte in [0, 1, 9, 11, b'v', 0x80, 0x8a, 0xff] {
                let mut value = vec![byte; len];
                assert!(!has_newline(&value), "{len} of {byte}");
                assert_eq!(near_newline(&value), None, "{len} of {byte}");
                for at in 0..len {
                    value[at] = b'\n';
                    assert!(has_newline(&value), "{len} of {byte}, at {at}");
                    value[at] = byte;
                }
            }
        }
    }

    #[test]
    fn lines_of_http_are_recognised() {
        let table: &[(&[u8], bool)] = &[
            (b"GET / HTTP/1.1", true),
            (b"GET /a b HTTP/1.0", true),
            (b"DELETE HTTP/1.1", true),
            (b"PRI * HTTP/2.0", true),
            (b"HEAD /x HTTP/1.1 ", true),
            (b"Host: example.org", true),
            (b"HOST:x", true),
            (b"POST", true),
            (b"POST /x", true),
            (b"HTTP/1.1", false),
            (b"HTTP/1.1 200 OK", false),
            (b"GET a b", false),
            (b"POSTPONE a", false),
            (b"Hos", false),
            (b"", false),
            (b" ", false),
        ];
        for &(line, expected) in table {
            assert_eq!(is_http_line(line), expected, "{:?}", line.escape_ascii());
        }
    }

    #[test]
    fn an_http_version_is_exact() {
        assert!(is_http_version(b"HTTP/1.1"));
        assert!(!is_http_version(b"HTTP/1.10"));
        assert!(!is_http_version(b"HTTP/1"));
        assert!(!is_http_version(b"http/1.1"));
    }
}
