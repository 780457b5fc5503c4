//! Programs that others wrote, and what to do where they are missing.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

/// Whether nothing may be skipped.
pub fn is_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true")
}

/// Says by name that a test does not run here. In CI that is a failure.
pub fn skip(test: &str, why: &str) {
    assert!(!is_ci(), "{test} must run under CI=true, but: {why}");
    // Written past the harness, which keeps what a passing test prints to itself.
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {why}");
}

/// Says by name that a test does not run here, where that is no failure in CI either: its program
/// is in none of the packages that CI can install.
pub fn leave_out(test: &str, why: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {why}");
}

/// The program, if it is in one of the places where programs are.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from))
        .map(|directory| directory.join(program))
        .find(|file| file.is_file())
}

pub fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().expect("a workspace").to_owned()
}

/// A Python that has pymemcache, pylibmc and pytest: `TEST_PYTHON`, or the environment
/// that `.ci/run` makes.
pub fn python() -> Option<PathBuf> {
    python_with("pymemcache, pylibmc, pytest")
}

/// The same, with these modules.
pub fn python_with(modules: &str) -> Option<PathBuf> {
    let python = match std::env::var_os("TEST_PYTHON") {
        Some(python) => PathBuf::from(python),
        None => root().join("target/clients-venv/bin/python"),
    };
    let import = format!("import {modules}");
    let output = Command::new(&python).args(["-c", &import]).output().ok()?;
    output.status.success().then_some(python)
}

/// Its pytest, which leaves nothing behind.
pub fn pytest(python: &Path) -> Command {
    let mut command = Command::new(python);
    command.args([
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-W",
        "ignore",
    ]);
    command
}

pub const NO_PYTHON: &str = "no Python with pymemcache, pylibmc and pytest: .ci/run makes one in \
    target/clients-venv, or TEST_PYTHON names it";

/// Runs to the end, within `patience`; a longer run is ended and fails.
pub fn finish(command: &mut Command, patience: Duration) -> Output {
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    let id = child.id();
    let (done, ended) = std::sync::mpsc::channel();
    let waiter = std::thread::spawn(move || {
        let output = child.wait_with_output();
        let _ = done.send(());
        output.expect("ends")
    });
    let in_time = ended.recv_timeout(patience).is_ok();
    if !in_time {
        let _ = Command::new("kill").args(["-9", &id.to_string()]).status();
    }
    let output = waiter.join().expect("waits");
    assert!(
        in_time,
        "{command:?} took longer than {patience:?}: {}",
        text(&output)
    );
    output
}

/// What it said, on both channels.
pub fn text(output: &Output) -> String {
    let both = [output.stdout.as_slice(), &output.stderr].concat();
    String::from_utf8_lossy(&both).into_owned()
}

/// Runs to a good end, and says what it said.
pub fn succeed(command: &mut Command, patience: Duration) -> String {
    let output = finish(command, patience);
    let text = text(&output);
    assert!(
        output.status.success(),
        "{command:?}: {}\n{text}",
        output.status
    );
    text
}

/// Ends a child, whatever happens to the test.
pub struct Guard(pub Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A directory of a test's own, gone with it.
pub struct Scratch(pub PathBuf);

impl Scratch {
    /// `name` is the test's, so that no two of one process meet.
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("fs-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a directory");
        Scratch(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
