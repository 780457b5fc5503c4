//! The binary: its flags, its refusals, its signals.

use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::common;
use crate::common::http;
use crate::common::process::{Process, run};
use crate::common::tool::Scratch;

#[test]
fn what_cannot_fit_is_refused_with_what_would() {
    let output = run(
        &["--max-connections", "100", "--workers", "1"],
        &[("FLAGSTONE_MEMORY", "100k")],
    );
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    let begin = "flagstone: FLAGSTONE_MEMORY (--memory) \"100KiB\" is too small for 100 connections, \
        1 workers and values of 1MiB: ";
    let least = stderr
        .strip_prefix(begin)
        .and_then(|rest| rest.strip_suffix("MiB or more works\n"))
        .unwrap_or_else(|| panic!("{stderr:?}"));
    let least = format!("{least}m");
    let plan = [
        "plan",
        "--max-connections",
        "100",
        "--workers",
        "1",
        "--memory",
        &least,
    ];
    assert!(run(&plan, &[]).status.success());
}

#[test]
fn the_plan_sums_to_the_memory() {
    let output = run(
        &["plan", "--memory", "64m", "--max-connections", "1000"],
        &[],
    );
    assert!(output.status.success());
    let table = String::from_utf8(output.stdout).expect("text");
    let mut sum = 0u64;
    for line in table.lines() {
        let number = line
            .split("  ")
            .map(str::trim)
            .find_map(|cell| cell.parse::<u64>().ok());
        if line.starts_with("total") {
            assert_eq!(number, Some(64 << 20), "{table}");
            assert_eq!(sum, 64 << 20, "{table}");
            return;
        }
        sum += number.unwrap_or_else(|| panic!("no number in {line:?}"));
    }
    panic!("no total in {table}");
}

#[test]
fn help_and_version_succeed_and_unknown_flags_do_not() {
    let help = String::from_utf8(run(&["--help"], &[]).stdout).expect("text");
    for word in ["--memory", "FLAGSTONE_MEMORY", "plan", "256MiB"] {
        assert!(help.contains(word), "no {word} in {help}");
    }
    let version = run(&["--version"], &[]);
    let expected = format!("flagstone {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(String::from_utf8_lossy(&version.stdout), expected);
    assert_eq!(run(&["--colour"], &[]).status.code(), Some(2));
}

/// Or else the kernel, over `memory.high`, takes it first, and every thread sleeps until it is read again.
#[test]
fn its_code_is_locked_in_memory_or_the_log_says_why_not() {
    let scratch = Scratch::new("locked-code");
    let log_path = scratch.0.join("log");
    let log = File::create(&log_path).expect("a file");
    let mut child = common::process::flagstone()
        .args([
            "--listen",
            "127.0.0.1:0",
            "--admin",
            "none",
            "--memory",
            "48m",
            "--max-connections",
            "100",
        ])
        .stderr(log)
        .spawn()
        .expect("starts");
    let start = Instant::now();
    let is_locked_or_told = || {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", child.id())).expect("status");
        let kib = status.lines().find_map(|line| {
            let kib = line
                .strip_prefix("VmLck:")?
                .split_ascii_whitespace()
                .next()?;
            kib.parse::<u64>().ok()
        });
        let log = std::fs::read_to_string(&log_path).expect("a log");
        // What is locked is more than the first few pages of libraries.
        kib.expect("VmLck") > 2 << 10
            || log.contains("the program's code cannot be locked in memory (")
    };
    while !is_locked_or_told() {
        assert!(start.elapsed() < Duration::from_secs(30), "neither happens");
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill().expect("ends");
    child.wait().expect("ends");
}

#[test]
fn a_signal_drains_and_exits_with_0() {
    for signal in ["TERM", "INT"] {
        let mut process = Process::start(&[]);
        let mut client = process.connect();
        client.write_all(b"PUT a 1\nGET a\n").expect("sends");
        let mut replies = [0; 5];
        client.read_exact(&mut replies).expect("replies");
        process.signal(signal);
        // A FIN, and then nothing keeps the process.
        assert_eq!(client.read(&mut replies).expect("a FIN"), 0);
        drop(client);
        assert_eq!(process.exit_code(), Some(0), "{signal}");
    }
}

#[test]
fn a_second_signal_ends_at_once() {
    for (signal, code) in [("TERM", 143), ("INT", 130)] {
        let mut process = Process::start(&["--drain-timeout", "1h"]);
        // It asks for more than any socket buffer holds, and reads nothing: the drain waits.
        let mut client = process.connect();
        let value = vec![b'v'; 1 << 20];
        client
            .write_all(&[b"PUT k ", &value[..], b"\n"].concat())
            .expect("sends");
        client.write_all(&b"GET k\n".repeat(50)).expect("sends");
        std::thread::sleep(Duration::from_millis(200));
        process.signal(signal);
        std::thread::sleep(Duration::from_millis(300));
        assert!(
            process.child.try_wait().expect("waits").is_none(),
            "it drains"
        );
        process.signal(signal);
        assert_eq!(process.exit_code(), Some(code), "{signal}");
    }
}

/// Admissions end before the files do, so that probes and the health check are still answered.
#[test]
fn when_open_files_run_out_those_connected_and_probes_are_served_on() {
    let mut command = Command::new("sh");
    // With room for a few that whoever runs the tests has left open.
    let script = "ulimit -n 120 && exec \"$0\" \"$@\"";
    command.args(["-c", script, env!("CARGO_BIN_EXE_flagstone")]);
    let process = Process::start_as(command, &["--workers", "1"]);
    let mut connected: Vec<TcpStream> = Vec::new();
    let served = |stream: &mut TcpStream| {
        stream.write_all(b"GET a\n").expect("sends");
        let mut reply = [0; 9];
        stream
            .read_exact(&mut reply)
            .is_ok_and(|()| &reply == b"NOTFOUND\n")
    };
    loop {
        let mut stream = process.connect();
        let is_served = served(&mut stream);
        if !is_served {
            break;
        }
        connected.push(stream);
        assert!(connected.len() < 100, "more connections than files");
    }
    assert!(connected.len() > 5, "{}", connected.len());
    // Others keep knocking, and some who stay silent stand at the admin pages.
    let admin = process.admin.parse().expect("an address");
    let _silent: Vec<TcpStream> = (0..60)
        .map(|_| TcpStream::connect(&process.admin).expect("connects"))
        .collect();
    for _ in 0..20 {
        let _knocking: Vec<TcpStream> = (0..10).map(|_| process.connect()).collect();
        assert_eq!(http::get(admin, "/livez").status, 200);
        let output = run(&["healthcheck", "--address", &process.address], &[]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
    }
    assert_eq!(
        process.metric("flagstone_connections_allowed"),
        connected.len() as f64
    );
    for stream in &mut connected {
        assert!(served(stream));
    }
    // When one leaves another comes in.
    drop(connected.pop());
    let begin = Instant::now();
    while !served(&mut process.connect()) {
        assert!(begin.elapsed() < Duration::from_secs(30), "nobody comes in");
    }
}

/// A root directory that stands for the kernel's, with a v2 group and this limit file.
struct Root(std::path::PathBuf);

impl Root {
    fn new(name: &str, limit: &str) -> Self {
        let dir = format!("flagstone-process-{}-{name}", std::process::id());
        let root = Root(std::env::temp_dir().join(dir));
        for (path, text) in [
            ("proc/self/cgroup", "0::/\n"),
            (
                "proc/self/mountinfo",
                "30 23 0:26 / /sys/fs/cgroup rw shared:9 - cgroup2 cgroup2 rw\n",
            ),
            ("sys/fs/cgroup/memory.max", limit),
        ] {
            let path = root.0.join(path);
            std::fs::create_dir_all(path.parent().expect("has one")).expect("can be made");
            std::fs::write(path, text).expect("writable");
        }
        root
    }

    fn run(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let root = self.0.to_str().expect("text");
        let output = run(arguments, &[("FLAGSTONE_CGROUP_ROOT", root)]);
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        (
            output.status.code(),
            text(output.stdout),
            text(output.stderr),
        )
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn auto_is_the_limit_and_more_is_refused() {
    let root = Root::new("auto", "67108864\n");
    let (code, plan, _) = root.run(&["plan"]);
    assert_eq!(code, Some(0));
    assert!(plan.contains("67108864  64MiB"), "{plan}");
    assert!(plan.contains("up to 10000 take"), "{plan}");
    let (code, _, refusal) = root.run(&["--memory", "1g"]);
    assert_eq!(code, Some(2));
    assert_eq!(
        refusal,
        "flagstone: --memory \"1GiB\" is more than the container's limit: auto, or up to 64MiB, \
         works, or raise the limit\n"
    );
    let (code, plan, _) = root.run(&["plan", "--memory", "48MiB", "--memory-max", "96MiB"]);
    assert_eq!(code, Some(0));
    assert!(plan.contains("50331648  48MiB"), "{plan}");
    assert!(plan.contains("can grow to 96MiB (--memory-max)"), "{plan}");
    let (code, _, refusal) = root.run(&["--memory-max", "96m", "--prefault"]);
    assert_eq!(code, Some(2));
    assert!(refusal.contains("--prefault=false works"), "{refusal}");
}

#[test]
fn a_limit_that_is_too_small_or_unreadable_is_refused() {
    let root = Root::new("small", "6291456\n");
    let (code, _, refusal) = root.run(&["--workers", "1"]);
    assert_eq!(code, Some(2));
    let begin = "flagstone: --memory \"auto\" means 6MiB, the container's limit, which is too small \
                 for 64 connections, 1 workers and values of 1MiB: ";
    let least = refusal
        .strip_prefix(begin)
        .and_then(|rest| rest.strip_suffix("MiB or more works\n"))
        .unwrap_or_else(|| panic!("{refusal:?}"));
    assert!(least.parse::<u32>().is_ok_and(|mib| mib < 16), "{least}");

    let root = Root::new("nonsense", "plenty\n");
    let (code, _, refusal) = root.run(&["plan"]);
    assert_eq!(code, Some(2));
    assert!(
        refusal.starts_with(
            "flagstone: --memory \"auto\" needs the container's limit, but cannot read "
        ) && refusal.ends_with("memory.max (\"plenty\" is no limit): set it to a size\n"),
        "{refusal}"
    );
    // Who names a size needs no limit.
    assert_eq!(root.run(&["plan", "--memory", "64m"]).0, Some(0));
}

#[test]
fn a_health_check_asks_and_says() {
    let mut process = Process::start(&[]);
    let port = process.address.rsplit(':').next().expect("a port");
    let healthy = format!("flagstone: the server at {} answers\n", process.address);
    let everywhere = format!("0.0.0.0:{port}");
    for (arguments, environment) in [
        (
            vec!["healthcheck", "--address", process.address.as_str()],
            vec![],
        ),
        // What the container's own environment says.
        (
            vec!["healthcheck"],
            vec![("FLAGSTONE_LISTEN", everywhere.as_str())],
        ),
    ] {
        let output = run(&arguments, &environment);
        assert_eq!(String::from_utf8_lossy(&output.stdout), healthy);
        assert_eq!(output.status.code(), Some(0));
    }
    process.signal("TERM");
    process.exit_code();
    let output = run(&["healthcheck", "--address", &process.address], &[]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    let sentence = format!(
        "flagstone: no server can be reached at {}: ",
        process.address
    );
    assert!(stderr.starts_with(&sentence), "{stderr}");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn an_arena_that_cannot_be_made_is_an_error_at_the_start() {
    let output = run(
        &[
            "--admin",
            "none",
            "--listen",
            "127.0.0.1:0",
            "--memory",
            "48m",
        ],
        &[("FLAGSTONE_ARENA", "/proc/flagstone-arena")],
    );
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        stderr.starts_with("flagstone: --arena: cannot use the arena file /proc/flagstone-arena: ")
            && stderr.ends_with(": name a file that can be written, or use --arena mmap\n"),
        "{stderr}"
    );
    assert_eq!(output.status.code(), Some(1));
}

/// A disk of 8 MiB, which only the command that begins so sees: in a user namespace of its own, or
/// where those are not allowed, as root.
const OWN_MOUNTS: [&[&str]; 2] = [&["unshare", "-rm"], &["sudo", "-n", "unshare", "-m"]];

#[test]
fn a_full_disk_under_the_arena_is_an_error_at_the_start() {
    let test = "a_full_disk_under_the_arena_is_an_error_at_the_start";
    let scratch = Scratch::new("full-disk");
    let on_small_disk = |script: &str, wrapper: &[&str]| {
        let mount = "mount -t tmpfs -o size=8m tmpfs \"$0\" && ";
        Command::new(wrapper[0])
            .args(&wrapper[1..])
            .args(["sh", "-c", &[mount, script].concat()])
            .arg(&scratch.0)
            .arg(env!("CARGO_BIN_EXE_flagstone"))
            .output()
    };
    let works = |wrapper: &&&[&str]| {
        on_small_disk("true", wrapper).is_ok_and(|output| output.status.success())
    };
    let Some(wrapper) = OWN_MOUNTS.iter().find(works) else {
        return common::tool::skip(test, "neither unshare -rm nor sudo may mount a disk");
    };
    let script = "\"$1\" --listen 127.0.0.1:0 --admin none --memory 48m --arena \"$0/arena\"";
    let output = on_small_disk(script, wrapper).expect("runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    let path = scratch.0.join("arena");
    let sentence = format!(
        "flagstone: --arena: cannot use the arena file {}: No space left on device (os error 28): its \
         file is allocated whole at the start; make room there, name another place, or lower \
         --memory\n",
        path.display()
    );
    assert_eq!(stderr, sentence);
    assert_eq!(output.status.code(), Some(1));
    // Nor does it leave a file that is not all there.
    let script = [script, "; ls \"$0\""].concat();
    let output = on_small_disk(&script, wrapper).expect("runs");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
}

#[test]
fn a_second_server_is_refused_the_arena_file_of_the_first() {
    let scratch = Scratch::new("one-arena");
    let path = scratch.0.join("arena");
    let path = path.to_str().expect("a path of plain letters");
    let arena = ["--arena", path];
    let first = Process::start(&arena);
    let mut client = first.connect();
    client.write_all(b"PUT key of-the-first\n").expect("sends");
    let mut reply = [0; 3];
    client.read_exact(&mut reply).expect("a reply");
    let second = || {
        let args = [
            "--admin",
            "none",
            "--listen",
            "127.0.0.1:0",
            "--memory",
            "48m",
        ];
        run(&[&args[..], &arena].concat(), &[])
    };
    let output = second();
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        format!(
            "flagstone: --arena: cannot use the arena file {path}: another cache has it open: each \
             server needs a file of its own\n"
        )
    );
    assert_eq!(output.status.code(), Some(1));
    // The first one has not noticed.
    client.write_all(b"GET key\n").expect("sends");
    let mut reply = [0; 13];
    client.read_exact(&mut reply).expect("a reply");
    assert_eq!(&reply, b"of-the-first\n");
    // What somebody else keeps in a file stays there.
    std::fs::write(scratch.0.join("notes"), "mine").expect("writes");
    let notes = scratch.0.join("notes");
    let output = run(
        &[
            "--listen",
            "127.0.0.1:0",
            "--admin",
            "none",
            "--arena",
            notes.to_str().expect("plain"),
        ],
        &[],
    );
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        stderr.contains("it holds something that is not an arena"),
        "{stderr}"
    );
    assert_eq!(std::fs::read(&notes).expect("is there"), b"mine");
}

#[test]
fn serving_requests_allocates_nothing_and_the_metrics_say_so() {
    let process = Process::start(&[]);
    let mut client = process.connect();
    let value = "v".repeat(2000);
    // More than the memory holds, so that it evicts too.
    for round in 0..300 {
        let puts: String = (0..100)
            .map(|n| format!("PUT key{round}-{n} {value}\nGET key{round}-{n}\n"))
            .collect();
        client.write_all(puts.as_bytes()).expect("sends");
        let mut replies = vec![0; 100 * (3 + 2001)];
        client.read_exact(&mut replies).expect("replies");
    }
    assert_eq!(
        process.metric("flagstone_gets_total{result=\"hit\"}"),
        30_000.0
    );
    assert!(process.metric("flagstone_evictions_total") > 0.0);
    let allocations = |during: &str| {
        process.metric(&format!(
            "flagstone_allocations_total{{during=\"{during}\"}}"
        ))
    };
    assert_eq!(allocations("requests"), 0.0);
    // The counter counts: a start is not done without.
    assert!(allocations("elsewhere") > 100.0);
}

#[test]
fn stats_and_top_show_a_running_server() {
    let process = Process::start(&[]);
    let mut client = process.connect();
    client.write_all(b"PUT a 1\nGET a\nGET b\n").expect("sends");
    client.read_exact(&mut [0; 14]).expect("replies");
    let output = run(&["stats", &process.address], &[]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success());
    assert!(
        text.starts_with("version ") && text.contains("\nhits 1\n"),
        "{text}"
    );
    assert!(!text.contains("END"), "{text}");
    let output = run(&["top", &process.admin], &[]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success());
    for word in [
        ": ready, up ",
        " hits ",
        "memory 48.0 MiB",
        "get      native",
        "p99.9",
    ] {
        assert!(text.contains(word), "no {word:?} in {text}");
    }
    assert!(!text.contains('\x1b'), "escape codes are for terminals");
    assert!(
        text.lines().all(|line| line.chars().count() <= 90),
        "{text}"
    );
    // Each asked for what the other has.
    let output = run(&["top", &process.address], &[]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    let output = run(&["stats", &process.admin], &[]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr.contains("is not a flagstone"), "{stderr}");
}

#[test]
fn without_a_limit_no_figures_are_told_as_the_containers() {
    for (limit, is_told) in [("max\n", false), ("67108864\n", true)] {
        let root = Root::new(&format!("usage-{is_told}"), limit);
        std::fs::write(root.0.join("sys/fs/cgroup/memory.current"), "33333333\n")
            .expect("writable");
        let root = root.0.to_str().expect("text");
        let process = Process::start(&["--cgroup-root", root]);
        let admin = process.admin.parse().expect("an address");
        let usage = || {
            http::sample(
                &http::get(admin, "/metrics").body,
                "flagstone_cgroup_usage_bytes",
            )
        };
        if is_told {
            common::wait_until("the usage is told", || usage() == Some(33_333_333.0));
        } else {
            // It is read about once a second.
            std::thread::sleep(Duration::from_millis(2500));
            assert_eq!(usage(), None);
        }
    }
}
