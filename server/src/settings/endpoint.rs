//! Where connections are accepted, and which protocols each place is for.
//!
//! ```text
//!   0.0.0.0:7171            any protocol on a TCP port
//!   memcached:[::1]:11211   memcached's alone, text and binary
//!   binary:127.0.0.1:11211  memcached's binary one alone
//!   native:unix:/run/f.sock the native one alone, on a Unix socket
//!   tls:0.0.0.0:7443        any protocol, on a TCP port with TLS
//!   proxy:tls:[::]:7443     the same behind a proxy: its header comes first, then TLS
//! ```

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::str::FromStr;

use crate::proto::Accepts;
use crate::settings::config::Invalid;

/// One place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Which protocols it is for.
    pub accepts: Accepts,
    /// Behind a proxy that says where clients are, before everything else.
    pub proxied: bool,
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
    [::1]:7171 work, unix:PATH, tls: before an address, proxy: before any of them, native:, memcached:, binary: or resp: before any of \
    those, several separated by commas";

impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Self {
        Endpoint {
            accepts: Accepts::Auto,
            proxied: false,
            tls: false,
            place: Place::Tcp(address),
        }
    }
}

impl FromStr for Endpoint {
    type Err = Invalid;

    /// The first of [`all_of`](Self::all_of).
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let refuse = || Invalid::new("--listen", text, WHAT_WORKS);
        Self::all_of(text)?.into_iter().next().ok_or_else(refuse)
    }
}

impl Endpoint {
    /// The places that a text names: more than one for a host's name that has several
    /// addresses, as `localhost` has one of each family. The name is looked up once, now.
    pub fn all_of(text: &str) -> Result<Vec<Self>, Invalid> {
        let refuse = || Invalid::new("--listen", text, WHAT_WORKS);
        let (accepts, place) = match text.split_once(':') {
            Some(("auto", place)) => (Accepts::Auto, place),
            Some(("native", place)) => (Accepts::Native, place),
            Some(("memcached", place)) => (Accepts::Memcached, place),
            Some(("binary", place)) => (Accepts::Binary, place),
            Some(("resp", place)) => (Accepts::Resp, place),
            _ => (Accepts::Auto, text),
        };
        let (proxied, place) = match place.strip_prefix("proxy:") {
            Some(place) => (true, place),
            None => (false, place),
        };
        let (tls, place) = match place.strip_prefix("tls:") {
            Some(place) => (true, place),
            None => (false, place),
        };
        let places = match place.strip_prefix("unix:") {
            Some(_) if tls => return Err(refuse()),
            Some("") => return Err(refuse()),
            Some(path) => vec![Place::Unix(PathBuf::from(path))],
            None => match place.parse() {
                Ok(address) => vec![Place::Tcp(address)],
                // Both families, whatever the machine's file of hosts has for it.
                Err(_) if place.to_ascii_lowercase().starts_with("localhost:") => {
                    let port = place["localhost:".len()..].parse().map_err(|_| refuse())?;
                    let hosts: [IpAddr; 2] =
                        [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
                    hosts
                        .map(|host| Place::Tcp(SocketAddr::new(host, port)))
                        .into()
                }
                Err(_) => {
                    let mut addresses: Vec<SocketAddr> =
                        place.to_socket_addrs().map_err(|_| refuse())?.collect();
                    // IPv4 first: the first place is where health checks ask.
                    addresses.sort_by_key(SocketAddr::is_ipv6);
                    addresses.dedup();
                    addresses.into_iter().map(Place::Tcp).collect()
                }
            },
        };
        Ok(places
            .into_iter()
            .map(|place| Endpoint {
                accepts,
                proxied,
                tls,
                place,
            })
            .collect())
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
        match self.accepts {
            Accepts::Auto => {}
            Accepts::Native => f.write_str("native:")?,
            Accepts::Memcached => f.write_str("memcached:")?,
            Accepts::Binary => f.write_str("binary:")?,
            Accepts::Resp => f.write_str("resp:")?,
        }
        if self.proxied {
            f.write_str("proxy:")?;
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
    let mut all = Vec::new();
    for part in text.split(',') {
        all.extend(Endpoint::all_of(part).map_err(|_| refuse())?);
    }
    match all.is_empty() {
        true => Err(refuse()),
        false => Ok(all),
    }
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
            ("binary:127.0.0.1:1", "binary:127.0.0.1:1"),
            ("unix:/run/x", "unix:/run/x"),
            ("memcached:unix:a:b", "memcached:unix:a:b"),
            ("proxy:127.0.0.1:1", "proxy:127.0.0.1:1"),
            ("resp:proxy:tls:[::1]:1", "resp:proxy:tls:[::1]:1"),
            ("auto:proxy:unix:/run/x", "proxy:unix:/run/x"),
        ] {
            let endpoint: Endpoint = text.parse().expect(text);
            assert_eq!(endpoint.to_string(), shown);
        }
        assert_eq!(
            parse_listen("--listen", "127.0.0.1:1,unix:/x").map(|e| e.len()),
            Ok(2)
        );
        let both = parse_listen("--listen", "native:localhost:7171").expect("places");
        let both: Vec<String> = both.iter().map(Endpoint::to_string).collect();
        assert_eq!(both, ["native:127.0.0.1:7171", "native:[::1]:7171"]);
        for text in [
            "",
            "7171",
            "127.0.0.1",
            "127.0.0.1:",
            "127.0.0.1:70000",
            "127.0.0.1:1,",
            ":7171",
            "localhost:",
            "localhost:70000",
            "unix:",
            "native:",
            "native:unix:",
            "redis:127.0.0.1:1",
            "proxy:",
            "proxy:proxy:127.0.0.1:1",
            "tls:proxy:127.0.0.1:1",
            "proxy:resp:127.0.0.1:1",
            "proxy:tls:unix:/x",
        ] {
            assert!(parse_listen("--listen", text).is_err(), "{text:?}");
        }
    }
}
