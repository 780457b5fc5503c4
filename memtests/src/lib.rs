//! Memory regression suite: the server under abuse inside real memory limits.
//!
//! What a user would copy to find out whether *their* cache survives in a container:
//!
//! | module      | job                                                                              |
//! |-------------|----------------------------------------------------------------------------------|
//! | `value`     | self-certifying values: foreign, torn and damaged ones are told apart            |
//! | `dialect`   | requests and replies of the native protocol, and of memcached for the comparison |
//! | `load`      | ten thousand clients of all characters, from one thread                          |
//! | `reference` | a tiny server that can be told to lie, so that the load is proven able to notice |
//! | `cgroup`    | limits, peaks and kills of a control group, v1 and v2; making one                |
//! | `docker`    | containers, through the command that a user types                                |
//! | `subject`   | a server in either                                                               |
//! | `table`     | the result, for people                                                           |
//!
//! The tests need a machine to themselves, so `quiet` lets one of them run at a time. Where
//! something is missing (no engine, no right to make a control group) they say so and pass;
//! with `CI=true` in the environment they fail instead.
//!
//! ```text
//! scripts/build-image                            # or --local-base: the image that is tested
//! cargo test --package flagstone-memtests        # everything, five minutes
//! cargo test --package flagstone-memtests --test containers
//! ```
//!
//! Environment: `TEST_IMAGE` (another image than `flagstone:local`), `TEST_BIN` (a binary
//! instead of the one that cargo would build), `TEST_MEMTEST_ARGS` (more arguments for the
//! server, to try a setting), `CI=true` (nothing is skipped).

pub mod cgroup;
pub mod dialect;
pub mod docker;
pub mod load;
pub mod reference;
pub mod socket;
pub mod stats;
pub mod subject;
pub mod table;
pub mod value;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// One test at a time: two storms on two cores would measure each other.
pub fn quiet() -> MutexGuard<'static, ()> {
    static QUIET: Mutex<()> = Mutex::new(());
    // A test that failed before says nothing about this one.
    QUIET.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Says by name that a test does not run here and why.
///
/// # Panics
/// Under `CI=true`: a suite that skips silently there proves nothing.
pub fn skip(test: &str, why: &str) {
    assert!(!is_ci(), "{test} must run under CI=true, but: {why}");
    table::say(&format!("SKIPPED {test}: {why}"));
}

/// Whether nothing may be skipped.
#[must_use]
pub fn is_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true")
}

/// The `flagstone` binary: `TEST_BIN`, or a release build made now (cargo makes it once
/// and then finds it).
pub fn binary() -> Result<PathBuf, String> {
    if let Ok(path) = std::env::var("TEST_BIN") {
        return Ok(PathBuf::from(path));
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let output = Command::new(env!("CARGO"))
        .args([
            "build",
            "--release",
            "--package",
            "flagstone-server",
            "--bin",
            "flagstone",
        ])
        .args(["--message-format", "json-render-diagnostics"])
        .current_dir(root)
        .output()
        .map_err(|error| format!("cargo cannot be run: {error}"))?;
    if !output.status.success() {
        return Err(format!(
            "flagstone does not build: {}",
            String::from_utf8_lossy(&output.stderr)
        ));
    }
    // Where the target directory is, only cargo knows: its last artefact with an executable
    // is the binary.
    let messages = String::from_utf8_lossy(&output.stdout);
    let executable = messages.lines().rev().find_map(|line| {
        let (_, rest) = line.split_once("\"executable\":\"")?;
        rest.split_once('"').map(|(path, _)| PathBuf::from(path))
    });
    executable.ok_or_else(|| "cargo built no executable".to_owned())
}
