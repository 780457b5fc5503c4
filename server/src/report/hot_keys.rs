//! The keys that are asked for most, a line each: what native lines and memcached's clients are told.

use std::fmt::Write;

use flagstone_engine::Tick;

use super::slow::Line;
use crate::observe::few::Escaped;
use crate::observe::hot_keys::HotKeys;
use crate::proto::{Lead, Reply, Stat};

/// Tells so many of them, the hottest first.
pub fn lines(
    hot_keys: &HotKeys,
    most: u8,
    now: Tick,
    tell: &mut dyn FnMut(Reply<'_>) -> Option<()>,
) -> Option<()> {
    hot_keys.hottest(usize::from(most), now, |_, keys| {
        for (no, key) in keys.enumerate() {
            let mut line = Line::new();
            // It has room for the longest.
            let _ = write!(
                line,
                "requests {} error {} permille {} key_bytes {} key_hash {:016x}",
                key.requests, key.error, key.permille, key.len, key.hash
            );
            if !key.shown.is_empty() {
                let _ = write!(line, " key {}", Escaped(key.shown.as_bytes()));
            }
            let stat = Stat::text("hotkey", line.as_str());
            tell(Reply::Stats(&[stat.behind(Lead::Number(no as u64 + 1))]))?;
        }
        Some(())
    })
}
