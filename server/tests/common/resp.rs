//! Requests of Redis' protocol.

use super::{show, talk};
use flagstone_server::Running;

/// A bulk string: a word of a request, or a value that is answered.
pub fn bulk(value: &[u8]) -> Vec<u8> {
    [format!("${}\r\n", value.len()).as_bytes(), value, b"\r\n"].concat()
}

/// A request as clients send it.
pub fn array(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(&bulk(word));
    }
    bytes
}

/// Requests as clients send them, each a line of words; `""` is the empty word.
pub fn requests(lines: &str) -> Vec<u8> {
    let one = |line: &str| {
        let word = |word| {
            if word == "\"\"" {
                &b""[..]
            } else {
                str::as_bytes(word)
            }
        };
        array(&line.split_ascii_whitespace().map(word).collect::<Vec<_>>())
    };
    lines.split('|').flat_map(one).collect()
}

/// Whether the requests of these lines, on a connection of their own, are answered so; `|` ends each line of both.
#[track_caller]
pub fn check(server: &Running, lines: &str, expected: &str) {
    let replies = talk(server, &requests(lines));
    let expected = expected.replace('|', "\r\n");
    assert_eq!(show(&replies), show(expected.as_bytes()), "{lines}");
}
