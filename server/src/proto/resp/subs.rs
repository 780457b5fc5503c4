//! Which subcommands there are: one with too few or too many arguments is not an unknown one.

use super::names::Name;

/// Those of a command, but for `HELP`.
#[must_use]
pub fn of(name: Name) -> &'static [&'static str] {
    match name {
        Name::Client => &[
            "id",
            "info",
            "list",
            "kill",
            "getname",
            "setname",
            "setinfo",
            "reply",
            "no-evict",
            "no-touch",
            "tracking",
            "trackinginfo",
            "getredir",
            "pause",
            "unpause",
        ],
        Name::Command => &["count", "docs", "info", "list", "getkeys"],
        Name::Config => &["get", "set", "resetstat"],
        Name::Function => &["flush"],
        Name::Latency => &["latest", "reset"],
        Name::Memory => &["usage"],
        Name::Module => &["list"],
        Name::Object => &["encoding", "freq", "idletime", "refcount"],
        Name::PubSub => &[
            "channels",
            "numsub",
            "numpat",
            "shardchannels",
            "shardnumsub",
        ],
        Name::Script => &["load", "exists", "flush", "kill"],
        Name::SlowLog => &["get", "len", "reset"],
        _ => &[],
    }
}

/// Whether a command has a subcommand of this name.
#[must_use]
pub fn is_known(name: Name, sub: &[u8]) -> bool {
    of(name)
        .iter()
        .any(|known| sub.eq_ignore_ascii_case(known.as_bytes()))
}
