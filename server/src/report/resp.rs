//! What Redis' clients are told about the server: `INFO`, `CONFIG GET`, `COMMAND`, and refusals that name a command.

mod about;
mod hot_keys;
mod slow;

pub use self::hot_keys::hot_keys;
pub use self::slow::slow_log;

use std::sync::atomic::Ordering::Relaxed;

use flagstone_engine::{Stats, Tick};

use crate::clock::Clock;
use crate::memory::scratch::Text;
use crate::observe::counters::cpu_micros;
use crate::proto::resp::encode::{Out, VERSION};
use crate::proto::resp::names::Name;
use crate::proto::resp::{Op, subs};
use crate::proto::writer::Writer;
use crate::server::shared::Shared;

/// Of what a client sent, a refusal repeats so much.
const REPEATED_BYTES_MAX: usize = 64;

/// Writes a refusal that names what was asked. What would end the line is told as a space.
pub fn refusal(op: Op<'_>, room: &mut [u8]) -> Option<usize> {
    let mut writer = Writer::new(room);
    match op {
        Op::Unknown(name, args) => {
            writer.put(b"-ERR unknown command '")?;
            repeat(name, &mut writer)?;
            writer.put(b"', with args beginning with: ")?;
            for arg in args.into_iter().flatten() {
                writer.put(b"'")?;
                repeat(arg, &mut writer)?;
                writer.put(b"' ")?;
            }
        }
        Op::UnknownSub(name, sub) if subs::is_known(name, sub) => {
            writer.put(b"-ERR wrong number of arguments for '")?;
            writer.put(name.spec().name.as_bytes())?;
            writer.put(b"|")?;
            for byte in sub {
                writer.put(&[byte.to_ascii_lowercase()])?;
            }
            writer.put(b"' command")?;
        }
        Op::UnknownSub(name, sub) => {
            writer.put(b"-ERR unknown subcommand '")?;
            repeat(sub, &mut writer)?;
            writer.put(b"'. Try ")?;
            for byte in name.spec().name.bytes() {
                writer.put(&[byte.to_ascii_uppercase()])?;
            }
            writer.put(b" HELP.")?;
        }
        Op::WrongArity(name) => {
            writer.put(b"-ERR wrong number of arguments for '")?;
            writer.put(name.spec().name.as_bytes())?;
            writer.put(b"' command")?;
        }
        Op::OnlyMessages(name) => {
            writer.put(b"-ERR Can't execute '")?;
            writer.put(name.spec().name.as_bytes())?;
            writer.put(
                b"': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context",
            )?;
        }
        Op::BadTime(name) => {
            writer.put(b"-ERR invalid expire time in '")?;
            writer.put(name.spec().name.as_bytes())?;
            writer.put(b"' command")?;
        }
        _ => writer.put(b"-ERR")?,
    }
    writer.put(b"\r\n")?;
    Some(writer.len())
}

fn repeat(bytes: &[u8], writer: &mut Writer<'_>) -> Option<()> {
    for &byte in bytes.iter().take(REPEATED_BYTES_MAX) {
        writer.put(&[if byte.is_ascii_control() { b' ' } else { byte }])?;
    }
    Some(())
}

/// `TIME`: seconds since 1970, and microseconds.
pub fn time(clock: &Clock, out: &mut Out<'_>) -> Option<()> {
    let millis = clock.unix_millis_of(clock.now());
    out.array(2)?;
    let mut text = [0; 24];
    for number in [millis / 1000, millis % 1000 * 1000] {
        out.bulk(digits(number, &mut text))?;
    }
    Some(())
}

/// `CLIENT TRACKINGINFO`: nobody is told of keys that others have changed.
pub fn tracking_off(out: &mut Out<'_>) -> Option<()> {
    out.map(3)?;
    out.text("flags")?;
    out.set(1)?;
    out.text("off")?;
    out.text("redirect")?;
    out.integer(-1)?;
    out.text("prefixes")?;
    out.array(0)
}

fn digits(number: u64, text: &mut [u8; 24]) -> &[u8] {
    let mut writer = Writer::new(text);
    // 20 digits at most.
    let _ = writer.number(number);
    let len = writer.len();
    &text[..len]
}

/// Writes any other report; `None` if the room is too small.
pub fn tell(
    op: Op<'_>,
    (shared, engine): (&Shared<'_>, &Stats),
    now: Tick,
    out: &mut Out<'_>,
) -> Option<()> {
    match op {
        Op::Info(section) => info(section, (shared, engine), now, out),
        Op::Help(name) => help(name, out),
        _ => about::tell(op, shared, out),
    }
}

/// `CLIENT HELP` and the like: a line for each subcommand.
fn help(name: Name, out: &mut Out<'_>) -> Option<()> {
    let subs = subs::of(name);
    let mut room = [0; REPEATED_BYTES_MAX];
    out.array(subs.len() + 2)?;
    for (no, line) in std::iter::once(&name.spec().name)
        .chain(subs)
        .chain([&"help"])
        .enumerate()
    {
        let mut text = Writer::new(&mut room);
        for byte in line.bytes() {
            text.put(&[byte.to_ascii_uppercase()])?;
        }
        if no == 0 {
            text.put(b" <subcommand> [<arg> ...]. They are:")?;
        }
        let len = text.len();
        out.bulk(&room[..len])?;
    }
    Some(())
}

/// What evicts: every key may go, and which is decided by how lately it was used.
const POLICY: &str = "allkeys-lru";

/// The sections of `INFO`.
const SECTIONS: [&str; 9] = [
    "Server",
    "Clients",
    "Memory",
    "Persistence",
    "Stats",
    "Replication",
    "CPU",
    "Cluster",
    "Keyspace",
];

fn info(
    section: Option<&[u8]>,
    (shared, engine): (&Shared<'_>, &Stats),
    now: Tick,
    out: &mut Out<'_>,
) -> Option<()> {
    let is_all = section.is_none_or(|section| {
        [&b"all"[..], b"default", b"everything"]
            .iter()
            .any(|all| section.eq_ignore_ascii_case(all))
    });
    shared.scratch.assemble(|text| {
        for name in SECTIONS {
            if !is_all && !section.is_some_and(|one| one.eq_ignore_ascii_case(name.as_bytes())) {
                continue;
            }
            if !text.is_empty() {
                text.put(b"\r\n")?;
            }
            text.put(b"# ")?;
            text.put(name.as_bytes())?;
            text.put(b"\r\n")?;
            section_of(name, (shared, engine), now, text)?;
        }
        out.bulk(text.bytes())
    })
}

fn text(name: &str, value: &str, writer: &mut Text<'_>) -> Option<()> {
    writer.put(name.as_bytes())?;
    writer.put(b":")?;
    writer.put(value.as_bytes())?;
    writer.put(b"\r\n")
}

fn numbers(numbers: &[(&str, u64)], writer: &mut Text<'_>) -> Option<()> {
    numbers.iter().try_for_each(|(name, value)| {
        writer.put(name.as_bytes())?;
        writer.put(b":")?;
        writer.number(*value)?;
        writer.put(b"\r\n")
    })
}

fn micros(name: &str, micros: u64, writer: &mut Text<'_>) -> Option<()> {
    writer.put(name.as_bytes())?;
    writer.put(b":")?;
    writer.micros(micros)?;
    writer.put(b"\r\n")
}

fn section_of(
    name: &str,
    (shared, engine): (&Shared<'_>, &Stats),
    now: Tick,
    writer: &mut Text<'_>,
) -> Option<()> {
    let plan = shared.plan;
    match name {
        "Server" => server(shared, now, writer),
        "Clients" => {
            let clients = [
                ("connected_clients", shared.admission.connections() as u64),
                ("cluster_connections", 0),
                ("maxclients", plan.connections_max as u64),
                ("blocked_clients", 0),
                ("pubsub_clients", shared.pubsub.figures().1),
            ];
            numbers(&clients, writer)
        }
        "Memory" => {
            let memory_bytes = shared.memory.memory_bytes.load(Relaxed);
            let curve = shared.curve.figures(memory_bytes);
            let advised = curve.and_then(|figures| figures.advised_bytes);
            let memory = [
                ("used_memory", engine.pages_items * engine.page_bytes),
                ("used_memory_dataset", engine.item_bytes),
                ("total_system_memory", plan.memory_bytes as u64),
                ("maxmemory", plan.engine.budget_bytes() as u64),
                ("flagstone_memory_bytes", memory_bytes),
                ("flagstone_memory_advised_bytes", advised.unwrap_or(0)),
            ];
            numbers(&memory, writer)?;
            text("maxmemory_policy", POLICY, writer)
        }
        "Persistence" => {
            let nothing = [
                ("loading", 0),
                ("rdb_bgsave_in_progress", 0),
                ("aof_enabled", 0),
            ];
            numbers(&nothing, writer)
        }
        "Stats" => {
            let totals = shared.threads.totals();
            let (topics, _) = shared.pubsub.figures();
            let stats = [
                ("total_connections_received", totals.connections),
                ("total_commands_processed", totals.requests()),
                ("total_net_input_bytes", totals.read_bytes),
                ("total_net_output_bytes", totals.written_bytes),
                ("rejected_connections", shared.admission.turned_away()),
                ("expired_keys", engine.expired.total()),
                ("evicted_keys", engine.evictions),
                ("keyspace_hits", totals.hits),
                ("keyspace_misses", totals.misses),
                ("total_error_replies", totals.refusals),
                ("pubsub_channels", topics[0]),
                ("pubsub_patterns", topics[1]),
                ("pubsubshard_channels", topics[2]),
            ];
            numbers(&stats, writer)
        }
        "Replication" => {
            text("role", "master", writer)?;
            numbers(&[("connected_slaves", 0)], writer)
        }
        "CPU" => {
            let (user, system) = cpu_micros();
            micros("used_cpu_sys", system, writer)?;
            micros("used_cpu_user", user, writer)
        }
        // Clients look here for whether keys lie on several servers.
        "Cluster" => numbers(&[("cluster_enabled", 0)], writer),
        // How many of the keys have a deadline is not counted.
        _ => {
            for (database, items) in (0..).zip(engine.databases) {
                if items > 0 {
                    writer.put(b"db")?;
                    writer.number(database)?;
                    writer.put(b":keys=")?;
                    writer.number(items)?;
                    writer.put(b",expires=0,avg_ttl=0\r\n")?;
                }
            }
            Some(())
        }
    }
}

fn server(shared: &Shared<'_>, now: Tick, writer: &mut Text<'_>) -> Option<()> {
    let uptime = now.millis_since(shared.clock.started()) / 1000;
    text("redis_version", VERSION, writer)?;
    text("server_name", "flagstone", writer)?;
    text("flagstone_version", env!("CARGO_PKG_VERSION"), writer)?;
    text("redis_mode", "standalone", writer)?;
    text("os", "Linux", writer)?;
    let server = [
        ("arch_bits", u64::from(usize::BITS)),
        ("process_id", u64::from(std::process::id())),
        ("tcp_port", u64::from(shared.listen.tcp_port)),
        ("server_time_usec", shared.clock.unix_millis_of(now) * 1000),
        ("uptime_in_seconds", uptime),
        ("uptime_in_days", uptime / 86_400),
        ("io_threads_active", u64::from(shared.plan.worker_count > 1)),
    ];
    numbers(&server, writer)
}
