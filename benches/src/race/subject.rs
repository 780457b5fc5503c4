//! Who runs: floors, Flagstone in each protocol that it speaks, and other projects' servers.

use std::path::{Path, PathBuf};
use std::process::Command;

use flagstone_bench::socket::Place;
use flagstone_bench::wire::{PROTOCOLS, Protocol};

/// A server program in one protocol.
#[derive(Clone, Debug)]
pub struct Subject {
    /// For tables: the program and its version, and the protocol where there are several.
    pub name: String,
    /// Which program it is.
    pub kind: Kind,
    /// Where it is.
    pub path: PathBuf,
    /// What it is spoken to in.
    pub protocol: Protocol,
}

/// Programs whose flags are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Our echo servers; the word names the reactor.
    Echo(&'static str),
    /// Flagstone.
    Flagstone,
    /// memcached.
    Memcached,
    /// redis and valkey: the same flags.
    Redis,
    /// See [`Kind::Redis`].
    Valkey,
    /// pogocache.
    Pogocache,
}

impl Kind {
    /// The word in `--protocols`, and the beginning of names.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Kind::Echo("epoll") => "echo-epoll",
            Kind::Echo(_) => "echo-tokio",
            Kind::Flagstone => "flagstone",
            Kind::Memcached => "memcached",
            Kind::Redis => "redis",
            Kind::Valkey => "valkey",
            Kind::Pogocache => "pogocache",
        }
    }

    /// Protocols that it is raced in, unless `--protocols` says otherwise.
    #[must_use]
    pub fn protocols(self) -> &'static [Protocol] {
        match self {
            Kind::Echo(_) => &[Protocol::Native],
            // Those that this build does not speak are found out, and left out.
            Kind::Flagstone => &[
                Protocol::Native,
                Protocol::Memcache,
                Protocol::Meta,
                Protocol::Resp,
            ],
            Kind::Memcached => &[Protocol::Memcache],
            Kind::Redis | Kind::Valkey => &[Protocol::Resp],
            Kind::Pogocache => &[Protocol::Resp, Protocol::Memcache],
        }
    }
}

/// The subjects of one program: one for each protocol.
#[must_use]
pub fn subjects(kind: Kind, path: &Path, protocols: &[Protocol]) -> Vec<Subject> {
    let version = match kind {
        Kind::Echo(_) | Kind::Flagstone => String::new(),
        _ => version(path).map(|v| format!(" {v}")).unwrap_or_default(),
    };
    let named = |&protocol: &Protocol| Subject {
        name: match (kind, protocols.len()) {
            (Kind::Flagstone, _) => format!("flagstone {}", protocol.name()),
            (_, 1) => format!("{}{version}", kind.word()),
            _ => format!("{}{version} {}", kind.word(), protocol.name()),
        },
        kind,
        path: path.to_owned(),
        protocol,
    };
    protocols.iter().map(named).collect()
}

/// What a server is started with, whoever it is.
#[derive(Clone, Copy, Debug)]
pub struct Start<'a> {
    /// Where it listens.
    pub place: &'a Place,
    /// Its budget.
    pub memory_mib: usize,
    /// Connections that it is prepared for.
    pub connections_max: usize,
    /// The longest value, which is also what a floor answers with.
    pub value_bytes: usize,
    /// Threads that serve.
    pub workers: usize,
}

impl Subject {
    /// Flags that make it serve one place inside a budget.
    #[must_use]
    pub fn arguments(&self, start: Start<'_>) -> Vec<String> {
        let Start {
            memory_mib,
            connections_max,
            value_bytes,
            workers,
            ..
        } = start;
        // Some count their listeners and their files among them.
        let roomy = connections_max + 400;
        let place = self.listening(start.place);
        let line = match self.kind {
            Kind::Echo(reactor) => format!(
                "--reactor {reactor} {place} --protocol {} --value-size {value_bytes}",
                self.protocol.name()
            ),
            Kind::Flagstone => format!(
                "{place} --admin none --workers {workers} --memory {memory_mib}MiB --max-connections {connections_max}"
            ),
            Kind::Memcached => {
                // It refuses values of a mebibyte unless it is told of larger ones.
                let large = if value_bytes < 1 << 20 { "" } else { " -I 2m" };
                format!(
                    "{place} -t {workers} -m {memory_mib} -c {roomy} -b 4096 -u {}{large}",
                    user()
                )
            }
            Kind::Pogocache => format!(
                "{place} --threads {workers} --maxmemory {memory_mib}mb --maxconns {roomy} --backlog 4096"
            ),
            Kind::Redis | Kind::Valkey => format!(
                "{place} --save  --appendonly no --io-threads {workers} --tcp-backlog 4096 \
                 --maxclients {roomy} --maxmemory {memory_mib}mb --maxmemory-policy allkeys-lru"
            ),
        };
        // `--save` is followed by an empty word.
        line.split(' ').map(str::to_owned).collect()
    }

    /// The flags for a place.
    fn listening(&self, place: &Place) -> String {
        match (place, self.kind) {
            (Place::Tcp(address), Kind::Echo(_) | Kind::Flagstone) => format!("--listen {address}"),
            (Place::Tcp(address), Kind::Memcached) => {
                format!("-l {} -p {} -U 0", address.ip(), address.port())
            }
            (Place::Tcp(address), Kind::Pogocache) => {
                format!("-h {} -p {}", address.ip(), address.port())
            }
            (Place::Tcp(address), Kind::Redis | Kind::Valkey) => {
                format!("--bind {} --port {}", address.ip(), address.port())
            }
            (Place::Unix(path), Kind::Echo(_) | Kind::Flagstone) => {
                format!("--listen unix:{}", path.display())
            }
            (Place::Unix(path), Kind::Memcached) => format!("-s {}", path.display()),
            // Port 0 is none.
            (Place::Unix(path), Kind::Pogocache) => format!("-p 0 -s {}", path.display()),
            (Place::Unix(path), Kind::Redis | Kind::Valkey) => {
                format!("--port 0 --unixsocket {}", path.display())
            }
        }
    }

    /// Whether its replies are the same for every key.
    #[must_use]
    pub fn is_floor(&self) -> bool {
        matches!(self.kind, Kind::Echo(_))
    }
}

/// memcached refuses to run as root without being told so.
fn user() -> String {
    std::env::var("USER").unwrap_or_else(|_| "root".to_owned())
}

/// The first word of `--version` that looks like one: "v=7.0.15", "1.6.18".
#[must_use]
pub fn version(path: &Path) -> Option<String> {
    let output = Command::new(path).arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    version_in(&text)
}

fn version_in(text: &str) -> Option<String> {
    let found = text
        .split_whitespace()
        .map(|word| word.trim_start_matches("v=").trim_start_matches('v'))
        .find(|word| word.contains('.') && word.starts_with(|c: char| c.is_ascii_digit()))?;
    // What is no release calls itself so; the commit says more.
    if found == "255.255.255" {
        let sha = text.split_whitespace().find_map(|word| {
            let (sha, _) = word.strip_prefix("sha=")?.split_once(':')?;
            Some(sha.to_owned())
        });
        return sha.or(Some(found.to_owned()));
    }
    Some(found.to_owned())
}

/// Where a program is, by the directories that a shell would look in.
#[must_use]
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|dir| dir.join(program))
        .find(|file| file.is_file())
}

/// Reads `memcached=memcache,meta`.
///
/// # Errors
/// In words for the user.
pub fn parse_protocols(text: &str) -> Result<(String, Vec<Protocol>), String> {
    let wrong = || {
        let known: Vec<&str> = PROTOCOLS.iter().map(|(name, _)| *name).collect();
        format!(
            "{text:?}: SUBJECT=PROTOCOL,… works, such as memcached=memcache,meta; protocols are {}",
            known.join(", ")
        )
    };
    let (subject, names) = text.split_once('=').ok_or_else(wrong)?;
    let protocols = names
        .split(',')
        .map(|name| {
            let known = PROTOCOLS.iter().find(|(known, _)| *known == name);
            known.map(|(_, protocol)| *protocol).ok_or_else(wrong)
        })
        .collect::<Result<_, _>>()?;
    Ok((subject.to_owned(), protocols))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_programs_say() {
        let table = [
            ("memcached 1.6.18\n", Some("1.6.18")),
            ("Redis server v=7.0.15 sha=00000000:0", Some("7.0.15")),
            ("Valkey server v=8.0.1 sha=1", Some("8.0.1")),
            (
                "Valkey server v=255.255.255 sha=55bbbe09:0 malloc=libc",
                Some("55bbbe09"),
            ),
            ("something", None),
        ];
        for (text, expected) in table {
            assert_eq!(version_in(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn protocols_are_read_by_subject() {
        let (subject, protocols) = parse_protocols("memcached=memcache,meta").expect("valid");
        assert_eq!(subject, "memcached");
        assert_eq!(protocols, [Protocol::Memcache, Protocol::Meta]);
        for wrong in ["memcached", "memcached=", "memcached=smtp"] {
            assert!(parse_protocols(wrong).is_err(), "{wrong}");
        }
    }

    fn flags(kind: Kind, place: &str, value_bytes: usize) -> Vec<String> {
        let subject = &subjects(kind, Path::new("/none"), &[Protocol::Resp])[0];
        subject.arguments(Start {
            place: &place.parse().expect("a place"),
            memory_mib: 64,
            connections_max: 1000,
            value_bytes,
            workers: 1,
        })
    }

    #[test]
    fn an_empty_word_follows_save() {
        let arguments = flags(Kind::Redis, "127.0.0.1:1", 32);
        let at = arguments.iter().position(|a| a == "--save").expect("there");
        assert_eq!(arguments[at + 1], "");
    }

    #[test]
    fn each_listens_where_it_is_told_to() {
        for (kind, tcp, unix) in [
            (Kind::Flagstone, "--listen 127.0.0.1:7", "--listen unix:/s"),
            (Kind::Memcached, "-l 127.0.0.1 -p 7 -U 0", "-s /s"),
            (Kind::Pogocache, "-h 127.0.0.1 -p 7", "-p 0 -s /s"),
            (
                Kind::Valkey,
                "--bind 127.0.0.1 --port 7",
                "--port 0 --unixsocket /s",
            ),
        ] {
            for (place, expected) in [("127.0.0.1:7", tcp), ("unix:/s", unix)] {
                let line = flags(kind, place, 32).join(" ");
                assert!(line.starts_with(expected), "{line}");
            }
        }
    }

    #[test]
    fn memcached_is_told_of_values_that_it_would_refuse() {
        let line = |value_bytes| flags(Kind::Memcached, "127.0.0.1:7", value_bytes).join(" ");
        assert!(line(1 << 20).ends_with(" -I 2m"));
        assert!(!line(1 << 16).contains("-I"));
    }
}
