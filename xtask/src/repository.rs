//! The rules of this repository: which hold where, and why.

use std::path::Path;

use crate::absences::{Absence, Never};
use crate::debts::Debts;
use crate::dependencies::Unnamed;
use crate::source::Crate;
use crate::{Finding, absences, circles, debts, dependencies, lengths};
use Never::{Lines, Macro, Member, Of, Path as Names, Word};

/// A crate whose sources are held to all rules; the others only to that of dependencies.
struct Ruled {
    directory: &'static str,
    package: &'static str,
    absences: &'static [Absence],
}

const SOURCES: &[Ruled] = &[
    Ruled {
        directory: "engine",
        package: "flagstone-engine",
        absences: ENGINE,
    },
    Ruled {
        directory: "server",
        package: "flagstone-server",
        absences: SERVER,
    },
];

const ENGINE: &[Absence] = &[
    Absence {
        rule: "engine-knows-no-clock",
        folder: "engine/src",
        // The front may have a clock, and the crate's root passes its names on.
        except: &["engine/src/front", "engine/src/lib.rs"],
        never: &[
            Names("std::time"),
            Names("std::net"),
            Names("std::thread::spawn"),
            Names("std::thread::Builder"),
            Names("tokio"),
            Names("crate::front"),
        ],
        in_tests: false,
        reason: "time is an argument, threads are the caller's, and nothing below the front knows it",
    },
    Absence {
        rule: "policies-decide-only",
        folder: "engine/src/lru",
        except: &[],
        never: &[Names("crate::cache"), Names("crate::shard")],
        in_tests: false,
        reason: "a policy is given numbers and lists, and returns a decision",
    },
];

const ADDING_ONE: &str =
    "a protocol that knows no other can be added, or changed, without a change of theirs";

/// What the server's folders must not name.
pub const SERVER: &[Absence] = &[
    Absence {
        rule: "proto-is-pure",
        folder: "server/src/proto",
        except: &[],
        never: &[
            Names("flagstone_engine"),
            Names("tokio"),
            Names("std::net"),
            Names("std::io"),
            Names("std::time"),
            Names("crate::conn"),
            Names("crate::execute"),
            Names("crate::memory"),
            Names("crate::net"),
            Names("crate::observe"),
            Names("crate::server"),
        ],
        in_tests: true,
        reason: "a protocol turns bytes into commands and replies into bytes; what is done with \
                 them, when, and where they came from is not its business",
    },
    Absence {
        rule: "proto-allocates-nothing",
        folder: "server/src/proto",
        except: &[],
        never: &[
            Word("Box"),
            Word("String"),
            Word("Vec"),
            Macro("format"),
            Macro("vec"),
            Member("to_owned"),
            Member("to_string"),
            Member("to_vec"),
        ],
        in_tests: false,
        reason: "a request allocates nothing",
    },
    Absence {
        rule: "protocols-stand-alone",
        folder: "server/src/proto/native",
        except: &[],
        never: &[
            Names("crate::proto::memcache"),
            Names("crate::proto::binary"),
            Names("crate::proto::resp"),
        ],
        in_tests: true,
        reason: ADDING_ONE,
    },
    Absence {
        rule: "protocols-stand-alone",
        folder: "server/src/proto/memcache",
        except: &[],
        never: &[
            Names("crate::proto::native"),
            Names("crate::proto::binary"),
            Names("crate::proto::resp"),
        ],
        in_tests: true,
        reason: ADDING_ONE,
    },
    Absence {
        rule: "protocols-stand-alone",
        folder: "server/src/proto/binary",
        except: &[],
        never: &[
            Names("crate::proto::native"),
            Names("crate::proto::memcache"),
            Names("crate::proto::resp"),
        ],
        in_tests: true,
        reason: ADDING_ONE,
    },
    Absence {
        rule: "protocols-stand-alone",
        folder: "server/src/proto/resp",
        except: &[],
        never: &[
            Names("crate::proto::native"),
            Names("crate::proto::memcache"),
            Names("crate::proto::binary"),
        ],
        in_tests: true,
        reason: ADDING_ONE,
    },
    Absence {
        rule: "protocols-stand-alone",
        folder: "server/src/proto",
        except: &[
            "server/src/proto/native",
            "server/src/proto/memcache",
            "server/src/proto/binary",
            "server/src/proto/resp",
            // Where a protocol is added: how its bytes begin, are decoded and encoded, and what it alone can ask.
            "server/src/proto/codec.rs",
            "server/src/proto/command.rs",
            "server/src/proto/format.rs",
            "server/src/proto/inside.rs",
            "server/src/proto/mod.rs",
            "server/src/proto/plain.rs",
            "server/src/proto/plain/lane.rs",
            "server/src/proto/plain/list.rs",
            "server/src/proto/sniff.rs",
        ],
        never: &[
            Names("crate::proto::native"),
            Names("crate::proto::memcache"),
            Names("crate::proto::binary"),
            Names("crate::proto::resp"),
        ],
        in_tests: true,
        reason: "what all protocols share knows none of them; the files where one is added are listed",
    },
    Absence {
        rule: "connections-allocate-nothing",
        folder: "server/src/conn",
        except: &[],
        never: &[
            Word("Box"),
            Word("String"),
            Word("Vec"),
            Macro("format"),
            Macro("vec"),
            Member("to_owned"),
            Member("to_string"),
            Member("to_vec"),
        ],
        in_tests: false,
        reason: "a request allocates nothing; what is allocated at the start is written down",
    },
    Absence {
        rule: "connections-speak-any-protocol",
        folder: "server/src/conn",
        except: &[],
        never: &[
            Of("Codec"),
            Names("crate::proto::native"),
            Names("crate::proto::resp"),
            Names("crate::proto::memcache"),
            Names("crate::net"),
        ],
        in_tests: true,
        reason: "a connection does not ask which protocol it speaks, nor who accepted it",
    },
    Absence {
        rule: "wording-is-proto's",
        folder: "server/src/conn",
        except: &[],
        never: &[Lines],
        in_tests: false,
        reason: "the words of a protocol come from proto",
    },
    Absence {
        rule: "wording-is-proto's",
        folder: "server/src/net",
        except: &[],
        never: &[Lines],
        in_tests: false,
        reason: "the words of a protocol come from proto",
    },
    Absence {
        rule: "execute-knows-no-connection",
        folder: "server/src/execute",
        except: &[],
        never: &[
            Names("tokio"),
            Names("crate::conn"),
            Names("crate::net"),
            Word("Codec"),
        ],
        in_tests: true,
        reason: "a command meets the cache; whence it came is the connection's business",
    },
    Absence {
        rule: "memory-knows-no-user",
        folder: "server/src/memory",
        except: &[],
        never: &[
            Names("crate::admin"),
            Names("crate::auth"),
            Names("crate::conn"),
            Names("crate::net"),
        ],
        in_tests: true,
        reason: "what its users cost is handed in",
    },
    Absence {
        rule: "admin-sees-snapshots",
        folder: "server/src/admin",
        except: &[],
        never: &[
            Names("flagstone_engine"),
            Word("Cache"),
            Word("Shared"),
            Member("cache"),
            Names("crate::conn"),
            Names("crate::net"),
            Names("crate::proto"),
        ],
        in_tests: true,
        reason: "whoever looks at the pages must not be in the way of who is served",
    },
    Absence {
        rule: "report-sees-snapshots",
        folder: "server/src/report",
        except: &[],
        never: &[Word("Cache"), Member("cache")],
        in_tests: false,
        reason: "what is told is a snapshot's, and nothing else's",
    },
];

/// What is listed for another reason than to be named.
const UNNAMED: &[Unnamed] = &[];

/// The debts that are written down in the repository.
pub fn debts(root: &Path) -> Result<Debts, String> {
    let text = std::fs::read_to_string(root.join(debts::FILE))
        .map_err(|why| format!("{}: {why}", debts::FILE))?;
    Debts::parse(&text)
}

/// All rules, on the repository at `root`.
pub fn check(root: &Path, debts: &Debts) -> Result<Vec<Finding>, String> {
    let mut findings = Vec::new();
    for ruled in SOURCES {
        let directory = ruled.directory;
        let source = Crate::read(root, ruled.package, &Crate::roots(root, directory))?;
        findings.extend(circles::check(&source, debts));
        findings.extend(absences::check(&source, ruled.absences, debts));
        findings.extend(lengths::functions(&source, directory, debts));
        findings.extend(lengths::files(&source, debts));
    }
    for member in dependencies::members(root)? {
        findings.extend(dependencies::check(root, &member, UNNAMED)?);
    }
    findings.extend(debts.paid());
    findings.sort();
    Ok(findings)
}
