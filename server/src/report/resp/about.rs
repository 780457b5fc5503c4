//! What Redis' clients are told about commands and settings: `COMMAND`, `CONFIG`.

use super::{POLICY, digits, repeat};
use crate::observe::slow_log::ENTRIES;
use crate::proto::resp::Op;
use crate::proto::resp::command::Names;
use crate::proto::resp::encode::Out;
use crate::proto::resp::names::{COMMANDS, Name, Spec};
use crate::proto::writer::Writer;
use crate::proto::{DATABASES, glob};
use crate::server::shared::Shared;

/// Writes the report; `None` if the room is too small.
pub fn tell(op: Op<'_>, shared: &Shared<'_>, out: &mut Out<'_>) -> Option<()> {
    match op {
        Op::ConfigGet(patterns) => config_get(&patterns, shared, out),
        Op::ConfigSet(pairs) => config_set(&pairs, shared, out),
        Op::Command => {
            out.array(COMMANDS.len())?;
            COMMANDS.iter().try_for_each(|spec| command(spec, out))
        }
        Op::CommandCount => out.integer(COMMANDS.len() as i64),
        Op::CommandList => {
            out.array(COMMANDS.len())?;
            COMMANDS.iter().try_for_each(|spec| out.text(spec.name))
        }
        Op::CommandInfo(names) => {
            let names = || names.into_iter().flatten();
            out.array(names().count())?;
            names().try_for_each(|name| match Name::of(name) {
                Some(name) => command(name.spec(), out),
                None => out.nil(),
            })
        }
        Op::CommandDocs(Some(names)) => {
            let known = || names.into_iter().flatten().filter_map(Name::of);
            out.map(known().count())?;
            known().try_for_each(|name| docs(name.spec(), out))
        }
        Op::CommandDocs(None) => {
            out.map(COMMANDS.len())?;
            COMMANDS.iter().try_for_each(|spec| docs(spec, out))
        }
        Op::CommandKeys(keys) => {
            let keys = || keys.into_iter().flatten();
            out.array(keys().count())?;
            keys().try_for_each(|key| out.bulk(key))
        }
        _ => out.raw(b"-ERR\r\n"),
    }
}

/// Name, arity, flags, first and last key and step, categories, tips, key specifications, subcommands.
fn command(spec: &Spec, out: &mut Out<'_>) -> Option<()> {
    out.array(10)?;
    out.text(spec.name)?;
    out.integer(i64::from(spec.arity))?;
    out.set(spec.flags.len())?;
    spec.flags.iter().try_for_each(|flag| out.status(flag))?;
    for number in [spec.first_key, spec.last_key, spec.step] {
        out.integer(i64::from(number))?;
    }
    out.set(0)?;
    out.array(0)?;
    out.array(0)?;
    out.array(0)
}

fn docs(spec: &Spec, out: &mut Out<'_>) -> Option<()> {
    out.text(spec.name)?;
    out.map(1)?;
    let group = match spec.first_key {
        0 => "server",
        _ => "string",
    };
    out.pair("group", group)
}

/// In microseconds; -1 is never.
fn slower_than(shared: &Shared<'_>) -> Value<'static> {
    match shared.slow_log.threshold_nanos() {
        u64::MAX => Value::Text("-1"),
        nanos => Value::Number(nanos / 1000),
    }
}

/// A setting under Redis' name, with its value.
enum Value<'v> {
    Text(&'v str),
    Number(u64),
}

impl Value<'_> {
    /// Calls `with` with it in words.
    fn with<T>(&self, with: impl FnOnce(&[u8]) -> T) -> T {
        match self {
            Value::Text(text) => with(text.as_bytes()),
            Value::Number(number) => with(digits(*number, &mut [0; 24])),
        }
    }
}

fn settings(shared: &Shared<'_>) -> [(&'static str, Value<'static>); 16] {
    let plan = shared.plan;
    let seconds = shared.limits.idle_timeout.map_or(0, |time| time.as_secs());
    [
        (
            "maxmemory",
            Value::Number(plan.engine.budget_bytes() as u64),
        ),
        ("maxmemory-policy", Value::Text(POLICY)),
        ("maxclients", Value::Number(plan.connections_max as u64)),
        ("databases", Value::Number(DATABASES as u64)),
        ("timeout", Value::Number(seconds)),
        ("tcp-keepalive", Value::Number(0)),
        (
            "proto-max-bulk-len",
            Value::Number(plan.engine.item_bytes_max() as u64),
        ),
        ("save", Value::Text("")),
        ("appendonly", Value::Text("no")),
        ("slave-read-only", Value::Text("yes")),
        ("replica-read-only", Value::Text("yes")),
        ("cluster-enabled", Value::Text("no")),
        ("io-threads", Value::Number(plan.worker_count as u64)),
        ("slowlog-max-len", Value::Number(ENTRIES as u64)),
        ("slowlog-log-slower-than", slower_than(shared)),
        ("notify-keyspace-events", Value::Text("")),
    ]
}

/// Whether a pattern means this name, in any case. One that takes more work than any name is worth means none.
fn is_meant(pattern: &[u8], name: &str) -> bool {
    glob::matches(pattern, name.as_bytes(), true, &mut 4096) == Some(true)
}

/// The settings that one of the patterns means.
fn config_get(patterns: &Names<'_>, shared: &Shared<'_>, out: &mut Out<'_>) -> Option<()> {
    let settings = settings(shared);
    let asked = |name: &str| {
        let mut patterns = patterns.iter().flatten();
        patterns.any(|pattern| is_meant(pattern, name))
    };
    out.map(settings.iter().filter(|(name, _)| asked(name)).count())?;
    for (name, value) in settings.iter().filter(|(name, _)| asked(name)) {
        out.text(name)?;
        value.with(|text| out.bulk(text))?;
    }
    Some(())
}

/// Nothing is changed, which is well where that is what was asked for.
fn config_set(pairs: &Names<'_>, shared: &Shared<'_>, out: &mut Out<'_>) -> Option<()> {
    let settings = settings(shared);
    for pair in pairs.chunks_exact(2) {
        let [Some(name), Some(wanted)] = *pair else {
            break;
        };
        let same_name = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        let told = match settings.iter().find(|(known, _)| same_name(known)) {
            Some((_, value)) if value.with(|text| text.eq_ignore_ascii_case(wanted)) => continue,
            Some(_) => [
                "CONFIG SET failed (possibly related to argument '",
                "') - settings are given at the start",
            ],
            None => [
                "Unknown option or number of arguments for CONFIG SET - '",
                "'",
            ],
        };
        let mut text = [0; 192];
        let mut writer = Writer::new(&mut text);
        writer.put(b"-ERR ")?;
        writer.put(told[0].as_bytes())?;
        repeat(name, &mut writer)?;
        writer.put(told[1].as_bytes())?;
        writer.put(b"\r\n")?;
        let len = writer.len();
        return out.raw(&text[..len]);
    }
    out.status("OK")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_names() {
        let table: &[(&str, &str, bool)] = &[
            ("*", "maxmemory", true),
            ("max*", "maxmemory", true),
            ("maxmemory", "maxmemory", true),
            ("maxmemory", "maxmemory-policy", false),
            ("m?xmemory", "maxmemory", true),
            ("*memory*", "maxmemory-policy", true),
            ("*a*a*", "databases", true),
            ("", "save", false),
            ("save*", "save", true),
        ];
        for &(pattern, name, expected) in table {
            assert_eq!(is_meant(pattern.as_bytes(), name), expected, "{pattern}");
        }
    }
}
