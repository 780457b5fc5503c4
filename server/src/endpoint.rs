//! Where connections are accepted, and which protocols each place is for.
//!
//! ```text
//!   0.0.0.0:7171            any protocol on a TCP port
//!   memcached:[::1]:11211   memcached's alone
//!   native:unix:/run/f.sock the native one alone, on a Unix socket
//!   tls:0.0.0.0:7443        any protocol, on a TCP port with TLS
//! ```

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::str::FromStr;

use crate::config::Invalid;
use crate::proto::Tongue;

/// One place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Which protocols it is for.
    pub tongue: Tongue,
    /// With TLS on it.
    pub tls: bool,
    /// Where it is.
    pub place: Place,
}

/// What a socket is bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// An address and a port; port 0 lets the system choose.
    Tcp(SocketAddr),
    /// A socket file.
    Unix(PathBuf),
}

const WHAT_WORKS: &str = "is not an address with a port: such as 127.0.0.1:7171, 0.0.0.0:7171 or \
    [::1]:7171 work, unix:PATH, tls: before an address, native: or memcached: before any of them, \
    several separated by commas";

impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Self {
        Endpoint {
            tongue: Tongue::Auto,
            tls: false,
            place: Place::Tcp(address),
        }
    }
}

impl FromStr for Endpoint {
    type Err = Invalid;

    /// A host's name is looked up once, now.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let refuse = || Invalid::new("--listen", text, WHAT_WORKS);
        let (tongue, place) = match text.split_once(':') {
            Some(("auto", place)) => (Tongue::Auto, place),
            Some(("native", place)) => (Tongue::Native, place),
            Some(("memcached", place)) => (Tongue::Memcached, place),
            _ => (Tongue::Auto, text),
        };
        let (tls, place) = match place.strip_prefix("tls:") {
            Some(place) => (true, place),
            None => (false, place),
        };
        let place = match place.strip_prefix("unix:") {
            Some(_) if tls => return Err(refuse()),
            Some("") => return Err(refuse()),
            Some(path) => Place::Unix(PathBuf::from(path)),
            None => Place::Tcp(match place.parse() {
                Ok(address) => address,
                Err(_) => place
                    .to_socket_addrs()
                    .map_err(|_| refuse())?
                    .next()
                    .ok_or_else(refuse)?,
            }),
        };
        Ok(Endpoint { tongue, tls, place })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Tcp(address) => address.fmt(f),
            Place::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.tongue {
            Tongue::Auto => {}
            Tongue::Native => f.write_str("native:")?,
            Tongue::Memcached => f.write_str("memcached:")?,
        }
        if self.tls {
            f.write_str("tls:")?;
        }
        self.place.fmt(f)
    }
}

/// Places separated by commas.
pub fn parse_listen(setting: &str, text: &str) -> Result<Vec<Endpoint>, Invalid> {
    let refuse = || Invalid::new(setting, text, WHAT_WORKS);
    text.split(',')
        .map(|part| part.parse().map_err(|_| refuse()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        for (text, shown) in [
            ("127.0.0.1:7171", "127.0.0.1:7171"),
            ("[::1]:7171", "[::1]:7171"),
            ("auto:127.0.0.1:1", "127.0.0.1:1"),
            ("native:127.0.0.1:1", "native:127.0.0.1:1"),
            ("memcached:[::]:1", "memcached:[::]:1"),
            ("unix:/run/x", "unix:/run/x"),
            ("memcached:unix:a:b", "memcached:unix:a:b"),
        ] {
            let endpoint: Endpoint = text.parse().expect(text);
            assert_eq!(endpoint.to_string(), shown);
        }
        assert_eq!(
            parse_listen("--listen", "127.0.0.1:1,unix:/x").map(|e| e.len()),
            Ok(2)
        );
        assert_eq!(
            parse_listen("--listen", "localhost:7171").map(|e| e.len()),
            Ok(1)
        );
        for text in [
            "",
            "7171",
            "127.0.0.1",
            "127.0.0.1:",
            "127.0.0.1:70000",
            "127.0.0.1:1,",
            ":7171",
            "unix:",
            "native:",
            "native:unix:",
            "redis:127.0.0.1:1",
        ] {
            assert!(parse_listen("--listen", text).is_err(), "{text:?}");
        }
    }
}
