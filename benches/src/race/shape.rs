//! What is asked of every subject, and what Flagstone promises.

/// One kind of load.
#[derive(Clone, Debug)]
pub struct Shape {
    /// For tables.
    pub name: &'static str,
    /// As the generator's `--mix`.
    pub mix: &'static str,
    /// Pipeline depth.
    pub pipeline: usize,
    /// Value size.
    pub value_bytes: usize,
    /// Connections.
    pub connections: usize,
    /// Requests in one round.
    pub requests: u64,
    /// What Flagstone must not exceed.
    pub target: Option<Target>,
}

/// A bound on a ratio of CPU times.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Against whom.
    pub against: Against,
    /// At most this.
    pub ratio: f64,
}

/// Whom a target is measured against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Against {
    /// The echo server on bare tokio.
    Floor,
    /// The better of redis and valkey, in each round.
    BetterRedis,
}

const CONNECTIONS: usize = 50;
/// Ten thousand connections need an open-file limit of a little more, at both ends.
const CONNECTIONS_MANY: usize = 10_000;

const FLOOR: fn(f64) -> Option<Target> = |ratio| {
    Some(Target {
        against: Against::Floor,
        ratio,
    })
};
const REDIS: fn(f64) -> Option<Target> = |ratio| {
    Some(Target {
        against: Against::BetterRedis,
        ratio,
    })
};

/// The table of the race. `quick` asks for a fifth of the requests.
#[must_use]
pub fn shapes(quick: bool) -> Vec<Shape> {
    let shape = |name, mix, pipeline, value_bytes, target| Shape {
        name,
        mix,
        pipeline,
        value_bytes,
        connections: CONNECTIONS,
        // About half a second each. Slow servers take longer; their time is bounded by this.
        requests: if pipeline == 1 { 50_000 } else { 300_000 } / if quick { 5 } else { 1 },
        target,
    };
    let (get, set) = ("1:0", "0:1");
    vec![
        shape("GET, pipeline 1", get, 1, 32, FLOOR(1.08)),
        shape("GET, pipeline 16", get, 16, 32, REDIS(0.45)),
        shape("GET, pipeline 32", get, 32, 32, REDIS(0.40)),
        shape("SET, pipeline 1", set, 1, 32, FLOOR(1.10)),
        shape("SET, pipeline 16", set, 16, 32, None),
        shape("SET, pipeline 32", set, 32, 32, REDIS(0.42)),
        Shape {
            connections: CONNECTIONS_MANY,
            ..shape(
                "GET, pipeline 1, 10,000 connections",
                get,
                1,
                32,
                FLOOR(1.05),
            )
        },
        shape("GET 1 KiB, pipeline 1", get, 1, 1024, None),
        shape("GET 1 KiB, pipeline 16", get, 16, 1024, None),
        shape("GET 1 KiB, pipeline 32", get, 32, 1024, REDIS(0.45)),
        shape("SET 1 KiB, pipeline 1", set, 1, 1024, None),
        shape("SET 1 KiB, pipeline 32", set, 32, 1024, None),
    ]
}
