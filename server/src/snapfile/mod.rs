//! Items in a file: written when the server leaves or somebody asks for it, stored again at the next start.
//!
//! | file      | what                                                                      |
//! |-----------|---------------------------------------------------------------------------|
//! | `format`  | bytes: head, blocks, records; knows no file and no cache                    |
//! | `blocks`  | a cache's items into blocks                                                 |
//! | `write`   | blocks into a file beside the old one, which it replaces when it is whole    |
//! | `restore` | a file into blocks, checked, and what became of it                           |
//! | `store`   | blocks into a cache                                                         |
//! | `names`   | what a file is called while it is written, and once it was restored        |
//! | `figures` | what was written and restored, for those who look                            |
//! | `job`     | the thread that writes, and who asks it to                                   |
//!
//! `format` has the bytes, docs/decisions/0069 why they are so. What this does not do: follow changes. A file has what the
//! cache had while it was written, and a server that is killed loses what came after.

mod blocks;
pub mod figures;
pub mod format;
pub mod job;
mod names;
pub mod restore;
mod store;
#[cfg(test)]
mod tests;
mod write;

use std::io::Cursor;
use std::sync::atomic::AtomicBool;

use flagstone_engine::{Cache, Options, Plan};

use self::format::{BLOCK_BYTES, BLOCK_HEAD_BYTES, HEAD_BYTES, Head, Kind};
use crate::clock::Clock;

/// Restores records that somebody has made up, and says what of the cache does not hold together: for the fuzzer. They are cut
/// into blocks where `cuts` says, and each block gets a right checksum, which no fuzzer would find.
///
/// # Errors
/// What is wrong.
#[doc(hidden)]
pub fn restore_made_up(records: &[u8], cut: usize) -> Result<u64, String> {
    let options = Options {
        budget_bytes: 4 << 20,
        item_bytes_max: 1 << 20,
        ..Options::default()
    };
    let plan = Plan::new(&options).map_err(|error| error.to_string())?;
    let cache = Cache::open(plan).map_err(|error| error.to_string())?;
    let head = Head::default();
    let mut file = vec![0; HEAD_BYTES];
    head.encode(&mut file);
    let cut = cut.clamp(1, BLOCK_BYTES - BLOCK_HEAD_BYTES);
    for (number, part) in (0..).zip(records.chunks(cut).take(4)) {
        let mut block = vec![0; BLOCK_BYTES];
        block[BLOCK_HEAD_BYTES..][..part.len()].copy_from_slice(part);
        format::seal(&mut block, &head, number, Kind::Items, 0, part.len());
        file.extend(block);
    }
    let stop = AtomicBool::new(false);
    let len = file.len() as u64;
    let target = restore::Target {
        cache: &cache,
        clock: &Clock::start(Clock::new_zero()),
        look: &|_| (),
    };
    let restored = restore::read(&target, (&mut Cursor::new(&file), len), 2, &stop)
        .map_err(|unread| format!("{unread:?}"))?;
    cache.audit()?;
    Ok(restored.items)
}
