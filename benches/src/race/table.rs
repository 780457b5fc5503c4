//! What is asked of every subject, and what Flagstone promises.
//!
//! A round of a shape takes about half a second; slow servers take longer.

use std::time::Duration;

use flagstone_bench::settings::Sizes;
use flagstone_bench::wire::Protocol;

use super::shape::{Against, Ground, Group, Rate, Shape, Target, Way};
use super::subject::Kind;

const CONNECTIONS: usize = 50;
/// Ten thousand connections need an open-file limit of a little more, at both ends.
const CONNECTIONS_MANY: usize = 10_000;
/// The budget in which most shapes are raced. redis counts its clients' buffers into it: with
/// 10,000 of them it evicts every key from 256 MiB, and answers nothing but misses.
pub const MEMORY_MIB: usize = 512;

const PIPELINED: &[Kind] = &[Kind::Redis, Kind::Valkey, Kind::Pogocache];
const PEERS: &[Kind] = &[Kind::Redis, Kind::Valkey, Kind::Pogocache, Kind::Memcached];
const UNIX: &[Kind] = &[Kind::Pogocache, Kind::Memcached];
const NATIVE: &[Protocol] = &[Protocol::Native];
const EVERY_BUT_META: &[Protocol] = &[Protocol::Native, Protocol::Memcache, Protocol::Resp];
const LINES: &[Protocol] = &[Protocol::Native, Protocol::Memcache];
const EVERY: &[Protocol] = &[
    Protocol::Native,
    Protocol::Memcache,
    Protocol::Meta,
    Protocol::Resp,
];

const fn target(ours: &'static [Protocol], against: Against, ratio: f64) -> Target {
    Target {
        ours,
        against,
        ratio,
    }
}

const ALONE: &[Target] = &[target(NATIVE, Against::Floor, 1.05)];
const MANY: &[Target] = &[target(NATIVE, Against::Floor, 1.02)];
const DEEP_16: &[Target] = &[target(EVERY, Against::Best(PIPELINED), 0.48)];
const DEEP_32: &[Target] = &[target(EVERY, Against::Best(PIPELINED), 0.42)];
const SET_32: &[Target] = &[
    target(EVERY, Against::Best(PIPELINED), 0.42),
    target(&[Protocol::Memcache], Against::Native, 1.1),
];
const GET_1K: &[Target] = &[target(NATIVE, Against::Best(PIPELINED), 0.5)];
const SET_1K: &[Target] = &[target(NATIVE, Against::Best(PIPELINED), 0.65)];
const SEVERAL: &[Target] = &[target(EVERY_BUT_META, Against::Best(PEERS), 0.5)];
const AHEAD: &[Target] = &[target(NATIVE, Against::Best(PEERS), 1.0)];
const UNIX_ALONE: &[Target] = &[target(LINES, Against::Best(UNIX), 0.95)];
const UNIX_DEEP: &[Target] = &[target(LINES, Against::Best(UNIX), 0.75)];

const GET: &str = "1:0";
const SET: &str = "0:1";

/// pogocache's memcached protocol is raced where it is its own ground.
const TCP_WITHOUT: &[(Kind, Option<Protocol>)] = &[(Kind::Pogocache, Some(Protocol::Memcache))];
/// The meta commands are raced where every protocol has a target.
const KIBIBYTE_WITHOUT: &[(Kind, Option<Protocol>)] =
    &[TCP_WITHOUT[0], (Kind::Flagstone, Some(Protocol::Meta))];
/// An echo of one size is no floor of mixed ones, nor of another kind of socket.
const NO_FLOORS: [(Kind, Option<Protocol>); 2] =
    [(Kind::Echo("epoll"), None), (Kind::Echo("tokio"), None)];
const SEVERAL_WITHOUT: &[(Kind, Option<Protocol>)] = &[
    NO_FLOORS[0],
    NO_FLOORS[1],
    (Kind::Flagstone, Some(Protocol::Meta)),
];
const TIMED_WITHOUT: &[(Kind, Option<Protocol>)] = &[
    NO_FLOORS[1],
    (Kind::Flagstone, Some(Protocol::Meta)),
    TCP_WITHOUT[0],
];
const UNIX_WITHOUT: &[(Kind, Option<Protocol>)] = &[
    NO_FLOORS[0],
    NO_FLOORS[1],
    (Kind::Flagstone, Some(Protocol::Meta)),
    (Kind::Pogocache, Some(Protocol::Resp)),
];

/// The ground that most others differ from in a few points.
#[must_use]
pub fn plain(name: &'static str, value_bytes: usize) -> Ground {
    let keys = 100_000;
    Ground {
        name,
        way: Way::Tcp,
        memory_mib: MEMORY_MIB,
        connections_max: CONNECTIONS_MANY + 100,
        values: Sizes {
            min: value_bytes,
            max: value_bytes,
        },
        keys,
        filled: keys,
        warmup: 0,
        without: TCP_WITHOUT,
    }
}

fn shape(name: &str, (mix, pipeline): (&'static str, usize), targets: &'static [Target]) -> Shape {
    Shape {
        name: name.to_owned(),
        mix,
        pipeline,
        multi_get: 1,
        distribution: "uniform",
        connections: CONNECTIONS,
        // About half a second each.
        requests: if pipeline == 1 { 50_000 } else { 300_000 },
        timed: None,
        targets,
    }
}

/// The table of the race. `quick` asks for a fifth of the requests.
#[must_use]
pub fn groups(quick: bool) -> Vec<Group> {
    let mut groups = vec![
        small(),
        kibibyte(),
        unix(),
        several(),
        large("64 KiB", 64 << 10),
        large("1 MiB", 1 << 20),
        evicting(),
        timed(),
    ];
    if quick {
        groups.iter_mut().for_each(shorten);
    }
    groups
}

/// A fifth of the requests, and half of the time.
pub fn shorten(group: &mut Group) {
    group.ground.warmup = group.ground.warmup.div_ceil(5);
    for shape in &mut group.shapes {
        shape.requests = shape.requests.div_ceil(5);
        shape.timed = shape.timed.map(|(rate, time)| (rate, time / 2));
    }
}

/// What Flagstone alone is asked, with one worker and with two.
#[must_use]
pub fn workers() -> Group {
    let shapes = [
        ("GET, pipeline 1, workers", GET, 1),
        ("GET, pipeline 16, workers", GET, 16),
        ("SET, pipeline 16, workers", SET, 16),
        ("10 GET to 1 SET, pipeline 16, workers", "10:1", 16),
    ];
    Group {
        ground: plain("workers", 32),
        shapes: shapes
            .map(|(name, mix, pipeline)| shape(name, (mix, pipeline), &[]))
            .into(),
        until: 1.0,
    }
}

/// What memtier asks, of those to whom it can speak.
#[must_use]
pub fn memtier() -> Vec<Group> {
    let group = |ground, connections, pipelines: &[usize]| Group {
        shapes: pipelines
            .iter()
            .flat_map(|&pipeline| [("GET", GET, pipeline), ("SET", SET, pipeline)])
            .map(|(verb, mix, pipeline)| {
                let way = match connections {
                    256 => "1–1,024 B, Unix socket, ",
                    _ => "",
                };
                let name = format!("memtier: {verb} {way}pipeline {pipeline}");
                Shape {
                    connections,
                    ..shape(&name, (mix, pipeline), &[])
                }
            })
            .collect(),
        ground,
        until: 1.0,
    };
    vec![
        group(
            Ground {
                without: &NO_FLOORS,
                ..small().ground
            },
            CONNECTIONS,
            &[32],
        ),
        group(unix().ground, 256, &[1, 10]),
    ]
}

fn small() -> Group {
    Group {
        ground: plain("32 B", 32),
        shapes: vec![
            shape("GET, pipeline 1", (GET, 1), ALONE),
            shape("GET, pipeline 16", (GET, 16), DEEP_16),
            shape("GET, pipeline 32", (GET, 32), DEEP_32),
            shape("SET, pipeline 1", (SET, 1), ALONE),
            shape("SET, pipeline 16", (SET, 16), DEEP_16),
            shape("SET, pipeline 32", (SET, 32), SET_32),
            Shape {
                connections: CONNECTIONS_MANY,
                ..shape("GET, pipeline 1, 10,000 connections", (GET, 1), MANY)
            },
        ],
        until: 0.28,
    }
}

fn kibibyte() -> Group {
    let ground = Ground {
        without: KIBIBYTE_WITHOUT,
        ..plain("1 KiB", 1024)
    };
    Group {
        ground,
        shapes: vec![
            shape("GET 1 KiB, pipeline 1", (GET, 1), &[]),
            shape("GET 1 KiB, pipeline 16", (GET, 16), &[]),
            shape("GET 1 KiB, pipeline 32", (GET, 32), GET_1K),
            shape("SET 1 KiB, pipeline 1", (SET, 1), &[]),
            shape("SET 1 KiB, pipeline 32", (SET, 32), SET_1K),
        ],
        until: 0.42,
    }
}

/// What pogocache's own figures are of.
fn unix() -> Group {
    let ground = Ground {
        way: Way::Unix,
        values: Sizes { min: 1, max: 1024 },
        without: UNIX_WITHOUT,
        ..plain("Unix socket, 1–1,024 B", 32)
    };
    let shapes = [("GET", GET), ("SET", SET)]
        .into_iter()
        .flat_map(|(verb, mix)| {
            [(1, UNIX_ALONE), (10, UNIX_DEEP), (50, UNIX_DEEP)].map(|(pipeline, targets)| Shape {
                connections: 256,
                ..shape(
                    &format!("{verb} 1–1,024 B, Unix socket, pipeline {pipeline}"),
                    (mix, pipeline),
                    targets,
                )
            })
        });
    Group {
        ground,
        shapes: shapes.collect(),
        until: 0.54,
    }
}

/// `get k1 … k100` and `MGET`; figures are of one key.
fn several() -> Group {
    let ground = Ground {
        without: SEVERAL_WITHOUT,
        ..plain("100 keys at once", 32)
    };
    let shape = Shape {
        multi_get: 100,
        requests: 6_000,
        ..shape("GET of 100 keys at once, a key", (GET, 1), SEVERAL)
    };
    Group {
        ground,
        shapes: vec![shape],
        until: 0.57,
    }
}

/// Values that no read or write of a socket takes at once, for a few connections.
fn large(name: &'static str, value_bytes: usize) -> Group {
    // 64 MiB in all, which leaves redis room for what its clients have under way.
    let keys = ((64 << 20) / value_bytes) as u32;
    let ground = Ground {
        keys,
        filled: keys,
        without: SEVERAL_WITHOUT,
        ..plain(name, value_bytes)
    };
    let shapes = [("GET", GET), ("SET", SET)].map(|(verb, mix)| Shape {
        connections: 8,
        // As many bytes for either.
        requests: (768 << 20) / value_bytes as u64,
        ..shape(&format!("{verb} {name}, 8 connections"), (mix, 1), AHEAD)
    });
    Group {
        ground,
        shapes: shapes.into(),
        until: if value_bytes < 1 << 20 { 0.61 } else { 0.65 },
    }
}

/// A cache as it is meant: full, with more keys than it can hold, some of them asked for more
/// often.
fn evicting() -> Group {
    let memory_mib = 64;
    let value_bytes = 300;
    // An item of 20 + 300 bytes costs about 380 to most.
    let fitting = (memory_mib << 20) / 380;
    let ground = Ground {
        memory_mib,
        // Flagstone plans for as many, within its budget.
        connections_max: 1000,
        keys: 10 * fitting as u32,
        filled: 2 * fitting as u32,
        warmup: 1_000_000,
        without: SEVERAL_WITHOUT,
        ..plain("eviction", value_bytes)
    };
    let shapes = [16, 1].map(|pipeline| Shape {
        distribution: "zipf:0.9",
        ..shape(
            &format!("9 GET to 1 SET, 64 MiB, 10 × the keys that fit, pipeline {pipeline}"),
            ("9:1", pipeline),
            AHEAD,
        )
    });
    Group {
        ground,
        shapes: shapes.into(),
        until: 0.75,
    }
}

/// How long a request takes when it is due at its time, whatever became of those before it. One
/// floor is there to tell how much of that is the machine's and the generator's.
fn timed() -> Group {
    let ground = Ground {
        without: TIMED_WITHOUT,
        ..plain("fixed rates", 32)
    };
    let time = Duration::from_millis(1000);
    let shapes = [
        ("GET, pipeline 1, 40,000/s", 1, Rate::Fixed(40_000)),
        (
            "GET, pipeline 1, 80 % of the best peer's peak",
            1,
            Rate::OfPeak(80),
        ),
        (
            "GET, pipeline 16, 80 % of the best peer's peak",
            16,
            Rate::OfPeak(80),
        ),
    ];
    let shapes = shapes.map(|(name, pipeline, rate)| Shape {
        timed: Some((rate, time)),
        ..shape(name, (GET, pipeline), &[])
    });
    Group {
        ground,
        shapes: shapes.into(),
        until: 0.86,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::race::subject::subjects;
    use std::path::Path;

    /// Names are what `--only` and the tables know shapes by.
    #[test]
    fn shapes_have_names_of_their_own_and_groups_end_one_after_another() {
        let groups = groups(false);
        let mut names: Vec<&str> = groups
            .iter()
            .flat_map(|group| group.shapes.iter().map(|shape| &*shape.name))
            .collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(groups.is_sorted_by(|a, b| a.until < b.until));
        assert!(groups.iter().all(|group| group.until < 1.0));
    }

    #[test]
    fn who_is_left_out_is_left_out_by_protocol() {
        let of = |kind, protocol| subjects(kind, Path::new("/none"), &[protocol]).remove(0);
        let ground = unix().ground;
        for (kind, protocol, expected) in [
            (Kind::Echo("epoll"), Protocol::Native, false),
            (Kind::Flagstone, Protocol::Native, true),
            (Kind::Flagstone, Protocol::Meta, false),
            (Kind::Pogocache, Protocol::Memcache, true),
            (Kind::Pogocache, Protocol::Resp, false),
            (Kind::Redis, Protocol::Resp, true),
        ] {
            assert_eq!(
                ground.takes(&of(kind, protocol)),
                expected,
                "{kind:?} {protocol:?}"
            );
        }
    }
}
