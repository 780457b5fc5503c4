//! How much memory: what was asked for, or the container's limit.

use std::path::Path;

use crate::memory::cgroup::Groups;
use crate::settings::config::{Invalid, MEMORY_BYTES_DEFAULT};
use crate::settings::parse::parse_size;
use crate::settings::size::size_text;

/// What `--memory` means: bytes, and whether they are the limit itself.
pub(super) fn bytes(
    text: &str,
    most: Option<usize>,
    root: &Path,
) -> Result<(usize, bool), Invalid> {
    let limit = Groups::find(root).and_then(|groups| groups.limit_bytes());
    let as_usize = |limit: u64| usize::try_from(limit).unwrap_or(usize::MAX);
    if text.eq_ignore_ascii_case("auto") {
        return match limit {
            Ok(Some(limit)) => {
                let limit = as_usize(limit);
                Ok((limit.min(most.unwrap_or(limit)), true))
            }
            Ok(None) => Ok((MEMORY_BYTES_DEFAULT.min(most.unwrap_or(usize::MAX)), false)),
            Err(error) => Err(Invalid::new(
                "--memory",
                text,
                format!("needs the container's limit, but {error}: set it to a size"),
            )),
        };
    }
    let bytes = parse_size("--memory", text)?;
    match limit.ok().flatten().map(as_usize) {
        Some(limit) if bytes > limit => Err(Invalid::new(
            "--memory",
            size_text(bytes),
            format!(
                "is more than the container's limit: auto, or up to {}, works, or raise the limit",
                size_text(limit)
            ),
        )),
        // A limit that cannot be read does not stop who has named a size.
        _ => Ok((bytes, false)),
    }
}
