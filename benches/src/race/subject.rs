//! Who runs: floors, Flagstone in each protocol that it speaks, and other projects' servers.

use std::path::{Path, PathBuf};
use std::process::Command;

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
            Kind::Flagstone => &[Protocol::Native, Protocol::Memcache, Protocol::Resp],
            Kind::Memcached => &[Protocol::Memcache],
            Kind::Redis | Kind::Valkey | Kind::Pogocache => &[Protocol::Resp],
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

impl Subject {
    /// Flags that make it serve one port of 127.0.0.1 with one worker inside a budget.
    #[must_use]
    pub fn arguments(&self, port: u16, memory_mib: usize, value_bytes: usize) -> Vec<String> {
        let line = match self.kind {
            Kind::Echo(reactor) => format!(
                "--reactor {reactor} --listen 127.0.0.1:{port} --protocol {} --value-size {value_bytes}",
                self.protocol.name()
            ),
            Kind::Flagstone => format!(
                "--listen 127.0.0.1:{port} --admin none --workers 1 --memory {memory_mib}MiB --max-connections 10100"
            ),
            Kind::Memcached => format!(
                "-l 127.0.0.1 -p {port} -U 0 -t 1 -m {memory_mib} -c 10500 -b 4096 -u {}",
                user()
            ),
            Kind::Pogocache => format!(
                "-h 127.0.0.1 -p {port} --threads 1 --maxmemory {memory_mib}mb --maxconns 10500 --backlog 4096"
            ),
            Kind::Redis | Kind::Valkey => format!(
                "--bind 127.0.0.1 --port {port} --save  --appendonly no --io-threads 1 \
                 --tcp-backlog 4096 --maxclients 10500 --maxmemory {memory_mib}mb \
                 --maxmemory-policy allkeys-lru"
            ),
        };
        // `--save` is followed by an empty word.
        line.split(' ').map(str::to_owned).collect()
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
    text.split_whitespace()
        .map(|word| word.trim_start_matches("v=").trim_start_matches('v'))
        .find(|word| word.contains('.') && word.starts_with(|c: char| c.is_ascii_digit()))
        .map(str::to_owned)
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

    #[test]
    fn an_empty_word_follows_save() {
        let redis = &subjects(Kind::Redis, Path::new("/none"), &[Protocol::Resp])[0];
        let arguments = redis.arguments(1, 64, 32);
        let at = arguments.iter().position(|a| a == "--save").expect("there");
        assert_eq!(arguments[at + 1], "");
    }
}
