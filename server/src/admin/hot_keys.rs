//! `/hotkeys`: the keys that are asked for most, in JSON, the hottest first. Of keys it tells what [`/slow`](super::slow) does.

use std::fmt::{self, Write};

use crate::observe::few::Escaped;
use crate::observe::hot_keys::HotKey;
use crate::observe::snapshot::HotList;

/// What is told, and whether of keys, too.
pub struct HotKeys {
    pub list: HotList,
    pub tells_keys: bool,
}

/// Writes one section; false if there is none of that number.
pub fn write(of: &HotKeys, section: usize, out: &mut String) -> Result<bool, fmt::Error> {
    let keys = &of.list.keys;
    if section == 0 {
        write!(out, "{{\"on\":{},\"keys\":[", of.list.is_on)?;
    } else if let Some(key) = keys.get(section - 1) {
        out.push_str(if section > 1 { ",\n" } else { "\n" });
        one(key, of.tells_keys, out)?;
    } else if section == keys.len() + 1 {
        out.push_str("]}\n");
    } else {
        return Ok(false);
    }
    Ok(true)
}

fn one(key: &HotKey, tells_keys: bool, out: &mut String) -> fmt::Result {
    write!(
        out,
        "{{\"requests\":{},\"error\":{},\"permille\":{},\"key_bytes\":{},\"key_hash\":\"{:016x}\"",
        key.requests, key.error, key.permille, key.len, key.hash
    )?;
    if tells_keys && !key.shown.is_empty() {
        write!(out, ",\"key\":\"{}\"", Escaped(key.shown.as_bytes()))?;
    }
    out.push('}');
    Ok(())
}
