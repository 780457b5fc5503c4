//! Where and when it was measured, for the head of the results.

use std::fs;
use std::process::Command;
use std::thread::available_parallelism;

/// One line: processor, kernel, distribution.
#[must_use]
pub fn describe() -> String {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = value(&cpuinfo, "model name", ':').unwrap_or_else(|| "unknown".to_owned());
    let cpus = available_parallelism().map_or(1, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let system = value(&release, "PRETTY_NAME", '=').unwrap_or_default();
    format!(
        "{cpus} CPUs ({model}), Linux {}, {}",
        kernel.trim(),
        system.trim_matches('"')
    )
}

fn value(text: &str, name: &str, mark: char) -> Option<String> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(mark)?.1.trim().to_owned())
}

/// How many processes wanted a CPU during the last minute: above 1 or 2 here, others were at
/// work, too.
#[must_use]
pub fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or("unknown").to_owned()
}

/// What a program says on its first line; empty if it says nothing.
#[must_use]
pub fn ask(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let text = text.unwrap_or_default();
    text.lines().next().unwrap_or_default().trim().to_owned()
}

/// Today, and the commit that was built.
#[must_use]
pub fn when() -> (String, String) {
    let date = ask("date", &["-u", "+%Y-%m-%d %H:%M UTC"]);
    let commit = ask("git", &["describe", "--always", "--dirty"]);
    (date, commit)
}
