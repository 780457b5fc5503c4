//! Goal: on a kernel that charges socket memory to the group, as every current Kubernetes has, nothing is killed and nobody who
//! behaves suffers.
//! Method: `scripts/cgroup2` boots user-mode Linux, which is an ordinary process, with the release binary in a
//! limit of 64 MiB and full, and plays the scenes that once killed it. A kill fails the test. What became of the clients
//! that behave is printed: such a kernel has one processor and shares it with whatever else runs here, so how long a
//! client waits in it says little. `scripts/cgroup2` without `--kills-only` judges that, too.

use flagstone_memtests::table::say;
use flagstone_memtests::{binary, quiet, skip};
use std::path::Path;
use std::process::Command;

/// What the script says when the kernel is not installed.
const SKIPPED: i32 = 77;

#[test]
fn nothing_is_killed_on_cgroup_v2() {
    let _quiet = quiet();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let binary = match binary() {
        Ok(binary) => binary,
        Err(why) => panic!("no server to try: {why}"),
    };
    let output = Command::new(root.join("scripts/cgroup2"))
        .current_dir(&root)
        .env("CROWD", env!("CARGO_BIN_EXE_crowd"))
        .args(["--quick", "--kills-only"])
        .arg("--binary")
        .arg(binary)
        .output()
        .expect("the script runs");
    let text = String::from_utf8_lossy(&output.stdout);
    if output.status.code() == Some(SKIPPED) {
        return skip("nothing_is_killed_on_cgroup_v2", text.trim());
    }
    say(&text);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}{errors}");
}
