//! Which protocol a server speaks, asked of itself.
//!
//! The question is a read in the native protocol, which each server answers in words of its own:
//!
//! ```text
//!   GET bench:…\n     ─►  NOTFOUND          Flagstone
//!                         ERROR\r\n         memcached, which knows only lower case
//!                         $-1\r\n, -…\r\n   redis, which takes it for a typed command
//! ```
//!
//! It is asked on a connection of its own, before any login: refusals tell servers apart as well.
//! It deliberately does not fail: a server that cannot be reached or says something else is
//! spoken to natively, and that run fails with a sentence that says why.

use std::io::{Read, Write};
use std::time::Duration;

use crate::settings::Settings;
use crate::socket::Socket;
use crate::tls::Client;
use crate::wire::Protocol;

const QUESTION: &[u8] = b"GET bench:which-protocol\n";
/// The longest that is waited for an answer, if `--timeout` is not less.
const PATIENCE: Duration = Duration::from_secs(2);

/// The protocol in which the server at [`Settings::address`] answers.
#[must_use]
pub fn protocol(settings: &Settings) -> Protocol {
    answer(settings).map_or(Protocol::Native, |line| protocol_of(&line))
}

fn answer(settings: &Settings) -> Option<Vec<u8>> {
    let patience = settings.timeout.min(PATIENCE);
    let mut socket = Socket::connect(&settings.address, patience).ok()?;
    if let Some(tls) = &settings.tls {
        socket = socket.with_tls(&Client::new(tls).ok()?).ok()?;
    }
    socket.write_all(QUESTION).ok()?;
    let mut line = vec![0; 512];
    let mut len = 0;
    while len < line.len() && !line[..len].contains(&b'\n') {
        match socket.read(&mut line[len..]).ok()? {
            0 => break,
            count => len += count,
        }
    }
    line.truncate(len);
    Some(line)
}

fn protocol_of(line: &[u8]) -> Protocol {
    let line = line.split_inclusive(|&byte| byte == b'\n').next();
    match line.unwrap_or_default() {
        // Native answers end without a carriage return.
        line if !line.ends_with(b"\r\n") => Protocol::Native,
        [b'$' | b'-' | b'_', ..] => Protocol::Resp,
        line if line.starts_with(b"ERROR") || line.starts_with(b"CLIENT_ERROR") => {
            Protocol::Memcache
        }
        _ => Protocol::Native,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_told_apart_by_their_answers() {
        for (answer, expected) in [
            (&b"NOTFOUND\n"[..], Protocol::Native),
            (b"ERROR authenticate first\n", Protocol::Native),
            (b"", Protocol::Native),
            (b"HTTP/1.1 400 Bad Request\r\n\r\n", Protocol::Native),
            (b"ERROR\r\n", Protocol::Memcache),
            (b"ERROR\r\nERROR\r\n", Protocol::Memcache),
            (b"CLIENT_ERROR unauthenticated\r\n", Protocol::Memcache),
            (b"$-1\r\n", Protocol::Resp),
            (b"-NOAUTH Authentication required.\r\n", Protocol::Resp),
        ] {
            let found = protocol_of(answer);
            assert_eq!(found, expected, "{}", answer.escape_ascii());
        }
    }
}
