//! Requests of Redis' protocol.

/// A request as clients send it.
pub fn array(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
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
