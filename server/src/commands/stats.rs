//! Asking a running server for its counters: what `flagstone stats` does. The lines are those
//! of the native protocol's `STATS`, without its `END`.
//!
//! A server may have reasons not to tell. Each is found out from what it says instead, so that
//! who asks is told what to do:
//!
//! ```text
//!   ERROR (Too many …), and it hangs up  it is full
//!   ERROR, twice                         it wants a login first, or another one
//!   ERROR\r, CLIENT_ERROR …\r            the place is for memcached alone
//! ```

use std::fmt;
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::Duration;

use crate::auth::users::Login;
use crate::commands::healthcheck::{Target, connect, preface};
use crate::commands::tls_client;
use crate::proto::Accepts;
use crate::settings::endpoint::{Endpoint, Place};

/// For each step of the talk.
const PATIENCE: Duration = Duration::from_secs(2);
/// Longer is no list of counters.
const REPLY_BYTES_MAX: usize = 1 << 20;

/// A connection, with TLS or without.
trait Talk: Read + Write {}
impl<T: Read + Write> Talk for T {}

/// Why there are no counters.
#[derive(Debug)]
pub enum Untold {
    /// Nobody accepts there.
    Unreachable(Target, io::Error),
    /// It accepts and does not answer.
    Silent(Target, io::Error),
    /// It is to be sent a login over TLS, and nothing says that it is the right server.
    Unproven(Target),
    /// It has no place for another connection.
    Full(Target),
    /// It lets nobody in without a login.
    WantsLogin(Target),
    /// It does not know the login.
    Denied(Target),
    /// It has counters, but does not speak the protocol that they are asked for in.
    Memcached(Target),
    /// It answers, but not as this server does.
    Stranger(Target),
}

impl fmt::Display for Untold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Untold::Unreachable(place, error) => {
                write!(f, "no server can be reached at {place}: {error}")
            }
            Untold::Silent(place, error) => {
                write!(f, "the server at {place} does not answer: {error}")
            }
            Untold::Unproven(place) => write!(
                f,
                "the server at {place} is not sent a login, because nothing says that it is the \
                 right one: name its certificate with --tls-cert"
            ),
            Untold::Full(place) => write!(
                f,
                "the server at {place} is full: it has no place for another connection; its admin \
                 pages answer nevertheless (flagstone top)"
            ),
            Untold::WantsLogin(place) => write!(
                f,
                "the server at {place} wants a login first: name the file that it has, with \
                 --auth-token-file or --auth-file"
            ),
            Untold::Denied(place) => write!(
                f,
                "the server at {place} does not accept the first login of the file: name the file \
                 that it has"
            ),
            Untold::Memcached(place) => write!(
                f,
                "the place {place} is for memcached alone: ask at another place of the server, or \
                 for memcached's stats there"
            ),
            Untold::Stranger(place) => write!(f, "what answers at {place} is not a flagstone"),
        }
    }
}

impl std::error::Error for Untold {}

/// Asks the server that listens there, over TLS only if it presents that certificate: it is sent
/// a login.
///
/// # Errors
/// When it does not tell.
pub fn ask(
    target: &Target,
    login: Option<&Login>,
    certificate: Option<&Path>,
) -> Result<String, Untold> {
    let target = target.reachable();
    let unreachable = |error| Untold::Unreachable(target.clone(), error);
    let mut stream: Box<dyn Talk> = match &target {
        Target::Place(place) if place.accepts == Accepts::Binary => {
            return Err(Untold::Memcached(target));
        }
        Target::Place(
            endpoint @ Endpoint {
                tls: true,
                place: Place::Tcp(address),
                ..
            },
        ) => {
            if login.is_some() && certificate.is_none() {
                return Err(Untold::Unproven(target));
            }
            let stream = tls_client::connect(*address, PATIENCE, certificate, preface(endpoint));
            Box::new(stream.map_err(unreachable)?)
        }
        Target::Place(endpoint) => {
            let stream = connect(endpoint).map_err(unreachable)?;
            let timeouts = stream
                .set_read_timeout(Some(PATIENCE))
                .and_then(|()| stream.set_write_timeout(Some(PATIENCE)));
            timeouts.map_err(unreachable)?;
            Box::new(stream)
        }
        Target::Admin(_) => return Err(Untold::Stranger(target)),
    };
    let mut request = login.map_or(Vec::new(), Login::request);
    request.extend_from_slice(b"STATS\nQUIT\n");
    let mut talk = || -> io::Result<(Vec<u8>, bool)> {
        // A full server hangs up without having read.
        let sent = stream.write_all(&request);
        let mut reply = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            match stream.read(&mut buffer) {
                Ok(0) => return Ok((reply, true)),
                Ok(n) => reply.extend_from_slice(&buffer[..n]),
                Err(_) if !reply.is_empty() && sent.is_err() => return Ok((reply, true)),
                // Who has said something and waits now has said why.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return match reply.is_empty() {
                        true => Err(io::ErrorKind::TimedOut.into()),
                        false => Ok((reply, false)),
                    };
                }
                Err(error) => return Err(error),
            }
            let lines = reply.iter().filter(|&&byte| byte == b'\n').count();
            let is_refused = lines >= 2 + usize::from(login.is_some())
                && (reply.ends_with(b"ERROR\n") || reply.ends_with(b"ERROR\r\n"));
            if is_refused || reply.ends_with(b"\nEND\n") || reply.len() > REPLY_BYTES_MAX {
                return Ok((reply, false));
            }
        }
    };
    let (reply, is_closed) = talk().map_err(|error| Untold::Silent(target.clone(), error))?;
    let reply = String::from_utf8_lossy(&reply);
    judge(&reply, is_closed, login.is_some()).map_err(|why| why(target))
}

/// The counters, or why there are none.
fn judge(
    reply: &str,
    is_closed: bool,
    has_logged_in: bool,
) -> Result<String, fn(Target) -> Untold> {
    // What the login was answered: where nobody has to log in, it may be an error.
    let counters = match has_logged_in {
        true => reply.split_once('\n').map_or("", |(_, rest)| rest),
        false => reply,
    };
    match counters.strip_suffix("END\n") {
        Some(lines) if lines.starts_with("version ") => return Ok(lines.to_owned()),
        _ => {}
    }
    if is_closed && (reply == "ERROR\n" || reply == "ERROR Too many open connections\r\n") {
        return Err(Untold::Full);
    }
    // After a login that was not asked for in its own words, it may say no more.
    let refusal = if counters.is_empty() { reply } else { counters };
    Err(match refusal.split_inclusive('\n').next() {
        Some("ERROR\n") if has_logged_in => Untold::Denied,
        Some("ERROR\n") => Untold::WantsLogin,
        Some(line) if line.contains("ERROR") && line.ends_with("\r\n") => Untold::Memcached,
        _ => Untold::Stranger,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_told_apart() {
        let place = Target::of("unix:/x".parse().expect("a place"));
        let table: &[(&str, bool, bool, &str)] = &[
            (
                "version 1\nhits 2\nEND\n",
                true,
                false,
                "version 1\nhits 2\n",
            ),
            ("OK\nversion 1\nEND\n", true, true, "version 1\n"),
            // Where nobody has to log in.
            ("ERROR\nversion 1\nEND\n", true, true, "version 1\n"),
            ("ERROR\n", true, false, "the server at unix:/x is full: "),
            (
                "ERROR Too many open connections\r\n",
                true,
                false,
                "the server at unix:/x is full: ",
            ),
            ("ERROR\n", true, true, "the server at unix:/x is full: "),
            (
                "ERROR\nERROR\n",
                false,
                false,
                "the server at unix:/x wants a login first: ",
            ),
            (
                "ERROR\nERROR\nERROR\n",
                false,
                true,
                "the server at unix:/x does not accept ",
            ),
            (
                "CLIENT_ERROR authentication failure\r\nERROR\nERROR\n",
                false,
                true,
                "the server at unix:/x does not accept ",
            ),
            (
                "CLIENT_ERROR unauthenticated\r\n",
                true,
                true,
                "the place unix:/x is for memcached ",
            ),
            (
                "ERROR\r\nERROR\r\n",
                false,
                false,
                "the place unix:/x is for memcached alone: ",
            ),
            (
                "CLIENT_ERROR unauthenticated\r\n",
                false,
                false,
                "the place unix:/x is for memcached alone: ",
            ),
            (
                "+PONG\r\n",
                false,
                false,
                "what answers at unix:/x is not a flagstone",
            ),
            (
                "version 1\nhits 2\n",
                true,
                false,
                "what answers at unix:/x is not a flagstone",
            ),
            (
                "",
                true,
                false,
                "what answers at unix:/x is not a flagstone",
            ),
        ];
        for &(reply, is_closed, has_logged_in, expected) in table {
            let told = match judge(reply, is_closed, has_logged_in) {
                Ok(counters) => counters,
                Err(why) => why(place.clone()).to_string(),
            };
            assert!(told.starts_with(expected), "{reply:?}: {told}");
        }
    }
}
