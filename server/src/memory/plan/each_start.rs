//! What is another at each start.

use std::hash::{BuildHasher, Hasher, RandomState};

/// CAS numbers begin at the second since [`CAS_EPOCH_UNIX`], with room for a million a second in each of
/// sixteen shards: after a restart they go on above all that were given out before. So they stay below 2^53 until
/// 2042: many clients keep them in a double.
pub(super) fn cas_first() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(1, |since| {
            since.as_secs().saturating_sub(CAS_EPOCH_UNIX).max(1) << 24
        })
}

/// Which start of the machine this is; a number that no file has, if that cannot be read.
pub(super) fn boot() -> u128 {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .ok()
        .and_then(|text| u128::from_str_radix(&text.trim().replace('-', ""), 16).ok())
        .unwrap_or_else(|| u128::from(RandomState::new().build_hasher().finish()) << 64)
}

/// The beginning of 2025.
const CAS_EPOCH_UNIX: u64 = 1_735_689_600;
