//! Which hosts the admin pages are served under.
//!
//! A page of a stranger's that a browser has open may ask its own host's name for anything, and
//! read the answer. If that name suddenly points to this server (DNS rebinding), the browser
//! sends the stranger's name along with the request, and that gives it away.
//!
//! | host of the request | served, because |
//! |---|---|
//! | an address | no name was looked up |
//! | `localhost`, `….localhost` | it always means this machine |
//! | a name without a dot | nobody can register it |
//! | `….svc`, `….cluster.local`, `….internal` | likewise; a cluster's own |
//! | what `--admin-host` names | the operator says so |
//! | none at all | no browser leaves it out |
//!
//! Probes (`/livez`, `/readyz`) are answered whatever the host: they tell nothing.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Names that nobody can register.
const PRIVATE: [&str; 4] = [".localhost", ".svc", ".cluster.local", ".internal"];

/// Whether the pages may be read by those who ask for `host`, which may have a port behind it.
pub fn is_served(host: &str, more: &[String]) -> bool {
    if let Some(rest) = host.strip_prefix('[') {
        let address = rest.split(']').next().unwrap_or_default();
        return address.parse::<Ipv6Addr>().is_ok();
    }
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    name.parse::<Ipv4Addr>().is_ok()
        || !name.contains('.')
        || PRIVATE.iter().any(|end| name.ends_with(end))
        || more.iter().any(|one| one.eq_ignore_ascii_case(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        let more = ["pages.example.org".to_owned()];
        for (host, served) in [
            ("127.0.0.1", true),
            ("10.1.2.3:7172", true),
            ("[::1]:7172", true),
            ("[fe80::1]", true),
            ("localhost:7172", true),
            ("LOCALHOST", true),
            ("flagstone:7172", true),
            ("flagstone.prod.svc", true),
            ("flagstone.prod.svc.cluster.local:7172", true),
            ("pages.example.org", true),
            ("pages.EXAMPLE.Org.:7172", true),
            ("", true),
            ("attacker.example", false),
            ("attacker.example:7172", false),
            ("127.0.0.1.attacker.example", false),
            ("localhost.attacker.example", false),
            ("svc.attacker.example", false),
            ("[attacker.example]", false),
            ("x.pages.example.org", false),
        ] {
            assert_eq!(is_served(host, &more), served, "{host:?}");
        }
    }
}
