//! `HOTKEYS`: an array of arrays, each of a key, how many requests were for it, how far off that may be, and its part of a
//! thousand requests.

use flagstone_engine::Tick;

use super::slow::text;
use crate::observe::hot_keys::HotKeys;
use crate::proto::resp::encode::Out;

/// Writes the answer; `None` if the room is too small.
pub fn hot_keys(most: u8, hot_keys: &HotKeys, now: Tick, out: &mut Out<'_>) -> Option<()> {
    hot_keys.hottest(usize::from(most), now, |count, keys| {
        out.array(count)?;
        for key in keys {
            out.array(4)?;
            match key.shown.is_empty() {
                true => text(format_args!("#{:016x}", key.hash), out)?,
                false => out.bulk(key.shown.as_bytes())?,
            }
            for number in [key.requests, key.error, key.permille] {
                out.integer(i64::try_from(number).unwrap_or(i64::MAX))?;
            }
        }
        Some(())
    })
}
