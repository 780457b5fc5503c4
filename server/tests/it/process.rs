//! The binary: its flags, its refusals, its signals.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::common;
use crate::common::http;
use crate::common::process::{Process, flagstone, run};
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

#[test]
fn an_address_in_use_is_an_error_that_says_so() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
    let address = taken.local_addr().expect("bound").to_string();
    let output = run(
        &[
            "--listen",
            &address,
            "--memory",
            "48m",
            "--max-connections",
            "10",
        ],
        &[],
    );
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.starts_with(&format!(
        "flagstone: --listen {address}: cannot listen there: "
    )));
    assert_eq!(output.status.code(), Some(1));
    let output = run(&["--listen", "127.0.0.1:0", "--admin", &address], &[]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        stderr.starts_with(&format!(
            "flagstone: --admin {address}: cannot listen there: "
        )) && stderr.ends_with(": name another address, or none\n"),
        "{stderr}"
    );
    assert_eq!(output.status.code(), Some(1));
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
fn sigterm_is_announced_and_sigint_does_not_wait() {
    for (signal, least) in [("TERM", 1000), ("INT", 0)] {
        let mut process = Process::start(&["--drain-delay", "1s"]);
        let admin = process.admin.parse().expect("an address");
        assert_eq!(http::get(admin, "/readyz").status, 200);
        let told = Instant::now();
        process.signal(signal);
        if least > 0 {
            let mut client = process.connect();
            while http::get(admin, "/readyz").status == 200 {}
            client.write_all(b"GET a\n").expect("sends");
            let mut reply = [0; 9];
            client.read_exact(&mut reply).expect("served still");
        }
        assert_eq!(process.exit_code(), Some(0), "{signal}");
        let took = told.elapsed().as_millis();
        assert!((least..least + 5000).contains(&took), "{signal}: {took} ms");
    }
    // And a second signal does not wait either.
    let mut process = Process::start(&["--drain-delay", "1h"]);
    process.signal("TERM");
    std::thread::sleep(Duration::from_millis(200));
    process.signal("TERM");
    assert_eq!(process.exit_code(), Some(143));
}

#[test]
fn messages_are_json_if_asked_for_and_as_important_as_asked_for() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
    let address = taken.local_addr().expect("bound").to_string();
    let refused = [
        "--listen",
        &address,
        "--admin",
        "none",
        "--memory",
        "48m",
        "--log-format",
        "json",
    ];
    let output = run(&refused, &[]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    let line: serde_json::Value = serde_json::from_str(stderr.trim_end()).expect("JSON");
    assert_eq!(line["level"], "error");
    let message = line["message"].as_str().expect("text");
    assert!(message.starts_with(&format!("--listen {address}: cannot listen there: ")));
    assert!(line["time"].as_str().expect("text").ends_with('Z'));

    for (level, is_told) in [("info", true), ("warn", false)] {
        let mut child = flagstone()
            .args([
                "--listen",
                "127.0.0.1:0",
                "--admin",
                "none",
                "--memory",
                "48m",
            ])
            .args([
                "--log-format",
                "json",
                "--log-level",
                level,
                "--max-connections",
                "100",
            ])
            .stderr(Stdio::piped())
            .spawn()
            .expect("starts");
        std::thread::sleep(Duration::from_millis(500));
        let id = child.id().to_string();
        Command::new("kill")
            .args(["-s", "TERM", &id])
            .status()
            .expect("kill runs");
        let mut stderr = String::new();
        let mut pipe = child.stderr.take().expect("piped");
        pipe.read_to_string(&mut stderr).expect("readable");
        child.wait().expect("ends");
        assert_eq!(!stderr.is_empty(), is_told, "{stderr}");
        for line in stderr.lines() {
            serde_json::from_str::<serde_json::Value>(line).expect("JSON, line by line");
        }
        assert_eq!(stderr.contains("listening on 127.0.0.1:"), is_told);
        let records: Vec<serde_json::Value> = stderr
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect();
        if !is_told {
            continue;
        }
        // What a message is about are fields, and the plan is one record that sums up.
        let start = &records[0];
        assert_eq!(start["memory_bytes"], 48 << 20);
        assert_eq!(start["connections_max"], 100);
        let plans: Vec<_> = records
            .iter()
            .filter_map(|record| record["plan"].as_object())
            .collect();
        assert_eq!(plans.len(), 1, "{stderr}");
        let total = plans[0]["total (--memory)"].as_u64().expect("a number");
        let lines = plans[0]
            .iter()
            .filter(|(name, _)| !name.starts_with("total"));
        assert_eq!(
            lines.filter_map(|(_, bytes)| bytes.as_u64()).sum::<u64>(),
            total
        );
        assert_eq!(total, 48 << 20);
        let last = records.last().expect("a last one");
        assert_eq!(last["reason"], "SIGTERM", "{stderr}");
        assert!(
            last["clients"] == 0 && last["cut"] == 0 && last["took_ms"].is_u64(),
            "{stderr}"
        );
    }
}

#[test]
fn slow_requests_are_told_of_once_a_second() {
    let mut child = flagstone()
        .args([
            "--listen",
            "127.0.0.1:0",
            "--admin",
            "none",
            "--memory",
            "48m",
        ])
        .args([
            "--max-connections",
            "100",
            "--slow-request",
            "10ms",
            "--workers",
            "1",
        ])
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut stderr = BufReader::new(child.stderr.take().expect("piped"));
    let mut line = String::new();
    stderr.read_line(&mut line).expect("a line");
    let rest = line.split("listening on ").nth(1).expect("an address");
    let mut client = TcpStream::connect(rest.split(',').next().expect("one")).expect("connects");
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for line in stderr.lines().map_while(Result::ok) {
            let _ = tell.send(line);
        }
    });
    std::thread::spawn(move || {
        let gets = b"GET a\n".repeat(1000);
        let mut replies = vec![0; 9 * 1000];
        while client.write_all(&gets).is_ok() && client.read_exact(&mut replies).is_ok() {}
    });
    // Held for a moment again and again, sooner or later in the middle of a turn.
    let id = child.id().to_string();
    let signal = |name: &str| {
        let status = Command::new("kill").args(["-s", name, &id]).status();
        assert!(status.expect("kill runs").success());
    };
    let begin = Instant::now();
    let line = loop {
        assert!(begin.elapsed() < Duration::from_secs(60), "never told");
        signal("STOP");
        std::thread::sleep(Duration::from_millis(15));
        signal("CONT");
        std::thread::sleep(Duration::from_millis(50));
        if let Some(line) = told
            .try_iter()
            .find(|line| line.contains("slow; the longest"))
        {
            break line;
        }
    };
    assert!(line.starts_with("flagstone: warning: "), "{line}");
    assert!(
        line.contains("ms on worker 0 for requests in native: "),
        "{line}"
    );
    child.kill().expect("ends");
    child.wait().expect("ends");
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
        "hit ratio",
        "memory 48.0 MiB",
        "get       native",
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

/// A server whose stderr is read to its end.
struct Told {
    child: std::process::Child,
    lines: std::sync::mpsc::Receiver<String>,
}

impl Told {
    fn start(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut child = flagstone()
            .args(["--memory", "48m", "--max-connections", "100"])
            .args(arguments)
            .envs(environment.iter().copied())
            .stderr(Stdio::piped())
            .spawn()
            .expect("starts");
        let stderr = BufReader::new(child.stderr.take().expect("piped"));
        let (tell, lines) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let _ = tell.send(line);
            }
        });
        Told { child, lines }
    }

    /// The next line with these words.
    fn line(&self, words: &str) -> String {
        let mut before = Vec::new();
        loop {
            match self.lines.recv_timeout(Duration::from_secs(60)) {
                Ok(line) if line.contains(words) => return line,
                Ok(line) => before.push(line),
                Err(_) => panic!("never told: {words}; but {before:?}"),
            }
        }
    }

    /// The places of the line that says where it listens.
    fn places(&self) -> Vec<String> {
        let line = self.line("listening on ");
        let places = line.split("listening on ").nth(1).expect("places");
        let places = places.split(", memory ").next().expect("places");
        places.split(", ").map(str::to_owned).collect()
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let status = Command::new("kill").args(["-s", name, &id]).status();
        assert!(status.expect("kill runs").success());
    }

    fn end(&mut self) -> Option<i32> {
        self.signal("TERM");
        self.child.wait().expect("ends").code()
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ask(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("connects");
    stream.write_all(request.as_bytes()).expect("sends");
    stream.shutdown(std::net::Shutdown::Write).expect("shuts");
    let mut reply = String::new();
    let _ = stream.read_to_string(&mut reply);
    reply
}

#[test]
fn a_pipe_that_nobody_reads_stops_nothing() {
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    // Full before the server says its first word.
    let flags = rustix::fs::fcntl_getfl(&writer).expect("flags");
    rustix::fs::fcntl_setfl(&writer, flags | rustix::fs::OFlags::NONBLOCK).expect("settable");
    while writer.write(&[b'x'; 4096]).is_ok() {}
    while writer.write(b"x").is_ok() {}
    rustix::fs::fcntl_setfl(&writer, flags).expect("settable");
    let port = |taken: std::net::TcpListener| taken.local_addr().expect("bound").to_string();
    let free = || port(std::net::TcpListener::bind("127.0.0.1:0").expect("binds"));
    let (address, admin) = (free(), free());
    let mut child = flagstone()
        .args(["--listen", &address, "--admin", &admin])
        .args(["--memory", "48m", "--max-connections", "100"])
        .stderr(writer)
        .spawn()
        .expect("starts");
    let begin = Instant::now();
    while TcpStream::connect(&address).is_err() {
        assert!(
            begin.elapsed() < Duration::from_secs(60),
            "it does not start"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    for round in 0..50 {
        let hup = Command::new("kill")
            .args(["-s", "HUP", &child.id().to_string()])
            .status();
        assert!(hup.expect("kill runs").success());
        let reply = ask(&address, &format!("PUT a {round}\nGET a\n"));
        assert_eq!(reply, format!("OK\n{round}\n"));
    }
    assert_eq!(
        http::get(admin.parse().expect("an address"), "/livez").status,
        200
    );
    let id = child.id().to_string();
    Command::new("kill")
        .args(["-s", "TERM", &id])
        .status()
        .expect("kill runs");
    let begin = Instant::now();
    let code = loop {
        if let Some(status) = child.try_wait().expect("waits") {
            break status.code();
        }
        if begin.elapsed() > Duration::from_secs(30) {
            let _ = child.kill();
            panic!("SIGTERM was not heard");
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    assert_eq!(code, Some(0));
    drop(reader);
}

#[test]
fn sighup_reads_users_and_tokens_again() {
    let scratch = Scratch::new("logins");
    std::fs::create_dir_all(&scratch.0).expect("can be made");
    let tokens = scratch.0.join("tokens");
    std::fs::write(&tokens, "old\nboth\n").expect("writable");
    let path = tokens.to_str().expect("text");
    let mut server = Told::start(
        &[
            "--listen",
            "127.0.0.1:0",
            "--admin",
            "none",
            "--auth-token-file",
            path,
        ],
        &[],
    );
    let address = server.places()[0].clone();
    let login = |token: &str| ask(&address, &format!("AUTH {token}\nGET a\n"));
    let mut live = TcpStream::connect(&address).expect("connects");
    common::exchange(&mut live, b"AUTH old\n", b"OK\n");
    assert_eq!(login("old"), "OK\nNOTFOUND\n");
    assert!(!login("new").starts_with("OK\n"));

    std::fs::write(&tokens, "new\nboth\n").expect("writable");
    server.signal("HUP");
    server.line("SIGHUP: users (0) and tokens (2) were read again");
    assert_eq!(login("new"), "OK\nNOTFOUND\n");
    assert_eq!(login("both"), "OK\nNOTFOUND\n");
    assert!(!login("old").starts_with("OK\n"), "it was revoked");
    // Whoever had logged in stays so.
    common::exchange(&mut live, b"GET a\n", b"NOTFOUND\n");

    std::fs::write(&tokens, "two words\n").expect("writable");
    server.signal("HUP");
    let told = server.line("SIGHUP: --auth-token-file ");
    assert!(
        told.starts_with("flagstone: warning: ")
            && told.contains("has a line 1 that is no token")
            && told.ends_with("the old users and tokens stay"),
        "{told}"
    );
    assert!(!told.contains("two words"), "a secret is not repeated");
    assert_eq!(login("new"), "OK\nNOTFOUND\n");
    drop(live);
    assert_eq!(server.end(), Some(0));
}

#[test]
fn the_end_is_told_with_its_reason() {
    let listen = [
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "none",
        "--enable-shutdown",
    ];
    for (how, reason) in [
        ("TERM", "SIGTERM"),
        ("INT", "SIGINT"),
        ("command", "a client's shutdown command"),
    ] {
        let mut server = Told::start(&listen, &[]);
        let address = server.places()[0].clone();
        let mut clients: Vec<TcpStream> = (0..3)
            .map(|_| TcpStream::connect(&address).expect("connects"))
            .collect();
        for client in &mut clients {
            common::exchange(client, b"GET a\n", b"NOTFOUND\n");
        }
        let expected = match how {
            // Who asks is closed at once.
            "command" => {
                clients[0].write_all(b"shutdown\r\n").expect("sends");
                None
            }
            signal => {
                server.signal(signal);
                Some(3)
            }
        };
        let told = server.line("stopped by ");
        let begin = format!("flagstone: stopped by {reason} after ");
        assert!(
            told.starts_with(&begin) && told.ends_with("of which 0 had not finished in time"),
            "{told}"
        );
        if let Some(clients) = expected {
            assert!(
                told.contains(&format!(" s: {clients} clients were drained")),
                "{told}"
            );
        }
        assert_eq!(server.child.wait().expect("ends").code(), Some(0));
    }
}

#[test]
fn an_open_server_without_a_login_is_warned_of() {
    let mut server = Told::start(&["--listen", "0.0.0.0:0", "--admin", "none"], &[]);
    let told = server.line("can be reached from other machines and nobody has to log in");
    assert!(told.starts_with("flagstone: warning: 0.0.0.0:"), "{told}");
    server.end();
    let mut server = Told::start(&["--listen", "127.0.0.1:0", "--admin", "none"], &[]);
    server.places();
    server.end();
    let told: Vec<String> = server.lines.iter().collect();
    assert!(
        !told.iter().any(|line| line.contains("warning")),
        "{told:?}"
    );
}

#[test]
fn a_misspelt_variable_is_warned_of() {
    let misspelt = [
        ("FLAGSTONE_MEMROY", "64m"),
        ("FLAGSTONE_PORT_7171_TCP", "tcp://10.0.0.1:7171"),
        ("FLAGSTONE_SERVICE_HOST", "10.0.0.1"),
        ("FLAGSTONE_XYZZY_PLUGH_QUUX", "1"),
    ];
    let output = run(&["--check-config", "--memory", "64Mi"], &misspelt);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "flagstone: warning: the variable FLAGSTONE_MEMROY is no setting and changes nothing (is \
         FLAGSTONE_MEMORY meant?)\n\
         flagstone: warning: the variable FLAGSTONE_XYZZY_PLUGH_QUUX is no setting and changes \
         nothing\n"
    );
    let mut server = Told::start(&["--listen", "127.0.0.1:0", "--admin", "none"], &misspelt);
    server.line("FLAGSTONE_MEMROY is no setting");
    server.end();
}

/// Nobody asked for the default address of the admin pages.
#[test]
fn a_second_server_goes_on_without_the_default_admin_pages() {
    // Held by this test, or by whatever else has it.
    let _taken = std::net::TcpListener::bind("127.0.0.1:7172");
    let mut server = Told::start(&["--listen", "127.0.0.1:0"], &[]);
    let told = server.line("no admin pages: 127.0.0.1:7172 is taken");
    assert!(told.starts_with("flagstone: warning: "), "{told}");
    let address = server.places()[0].clone();
    assert_eq!(ask(&address, "PUT a 1\n"), "OK\n");
    server.end();
    // Asked for, it is an error.
    let arguments = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:7172"];
    assert_eq!(run(&arguments, &[]).status.code(), Some(1));
}

#[test]
fn each_family_has_places_of_its_own() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        return common::tool::skip("each_family_has_places_of_its_own", "there is no IPv6 here");
    }
    let port = {
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
        free.local_addr().expect("bound").port()
    };
    let (v4, v6) = (format!("127.0.0.1:{port}"), format!("[::1]:{port}"));
    for listen in [
        format!("127.0.0.1:{port},[::]:{port}"),
        format!("0.0.0.0:{port},[::]:{port}"),
        format!("[::]:{port},0.0.0.0:{port}"),
        format!("localhost:{port}"),
    ] {
        let checked = run(
            &["--check-config", "--listen", &listen, "--memory", "48m"],
            &[],
        );
        assert_eq!(checked.status.code(), Some(0), "{listen}");
        let mut server = Told::start(&["--listen", &listen, "--admin", "[::]:0"], &[]);
        assert_eq!(server.places().len(), 2, "{listen}");
        let admin = server.line("admin pages at http://");
        let admin_port = admin
            .trim_end_matches('/')
            .rsplit(':')
            .next()
            .expect("a port");
        for address in [&v4, &v6] {
            assert_eq!(ask(address, "PUT a 1\n"), "OK\n", "{listen} {address}");
        }
        for host in ["127.0.0.1", "[::1]"] {
            let address = format!("{host}:{admin_port}").parse().expect("an address");
            assert_eq!(http::get(address, "/livez").status, 200, "{host}");
        }
        assert_eq!(server.end(), Some(0));
    }
    // What cannot work is said before it fails.
    let listen = format!("127.0.0.1:{port},0.0.0.0:{port}");
    let checked = run(
        &["--check-config", "--listen", &listen, "--memory", "48m"],
        &[],
    );
    assert_eq!(checked.status.code(), Some(2));
}

#[test]
fn a_leaving_server_leaves_its_successors_socket_alone() {
    let scratch = Scratch::new("successor");
    std::fs::create_dir_all(&scratch.0).expect("can be made");
    let path = scratch.0.join("socket");
    let place = format!("unix:{}", path.display());
    let arguments = ["--listen", &place, "--admin", "none"];
    let mut first = Told::start(&arguments, &[]);
    first.places();
    // An operator makes way for another, as a deployment that does not wait does.
    std::fs::remove_file(&path).expect("is there");
    let mut second = Told::start(&arguments, &[]);
    second.places();
    assert_eq!(first.end(), Some(0));
    let output = run(&["healthcheck", "--address", &place], &[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(second.end(), Some(0));
    assert!(!path.exists(), "the last one takes its own along");
}

#[test]
fn a_start_at_a_socket_whose_owner_is_busy_ends_with_a_sentence() {
    let scratch = Scratch::new("busy");
    std::fs::create_dir_all(&scratch.0).expect("can be made");
    let path = scratch.0.join("socket");
    // An owner that accepts nobody, with as many in front of it as it allows.
    let owner = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None);
    let owner = owner.expect("a socket");
    owner
        .bind(&socket2::SockAddr::unix(&path).expect("a path"))
        .expect("binds");
    owner.listen(1).expect("listens");
    let mut waiting = Vec::new();
    loop {
        let client = socket2::Socket::new(
            socket2::Domain::UNIX,
            socket2::Type::STREAM.nonblocking(),
            None,
        );
        let client = client.expect("a socket");
        if client
            .connect(&socket2::SockAddr::unix(&path).expect("a path"))
            .is_err()
        {
            break;
        }
        waiting.push(client);
        assert!(waiting.len() < 100);
    }
    let place = format!("unix:{}", path.display());
    let mut server = Told::start(&["--listen", &place, "--admin", "none"], &[]);
    let told = server.line("cannot listen there: ");
    assert!(
        told.starts_with(&format!("flagstone: --listen {place}: ")),
        "{told}"
    );
    assert_eq!(server.child.wait().expect("ends").code(), Some(1));
    assert!(path.exists(), "it is the owner's");
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

#[test]
fn whoever_does_not_log_in_holds_no_place() {
    let scratch = Scratch::new("login-timeout");
    let tokens = scratch.0.join("tokens");
    std::fs::write(&tokens, "s3cret\n").expect("writable");
    let process = Process::start(&[
        "--auth-token-file",
        tokens.to_str().expect("text"),
        "--login-timeout",
        "1s",
    ]);
    let mut known = process.connect();
    common::exchange(&mut known, b"AUTH s3cret\n", b"OK\n");
    let mut strangers: Vec<TcpStream> = (0..20).map(|_| process.connect()).collect();
    // Half a login, or an answer to a wrong request now and then, is no login.
    strangers[0].write_all(b"AUTH s3c").expect("sends");
    let mut busy = process.connect();
    std::thread::spawn(move || {
        while busy.write_all(b"GET a\n").is_ok() && busy.read(&mut [0; 64]).is_ok_and(|n| n > 0) {
            std::thread::sleep(Duration::from_millis(100));
        }
    });
    common::wait_until("they are shown out", || {
        process.metric("flagstone_connections") == 1.0
    });
    for stream in &mut strangers {
        assert!(matches!(stream.read(&mut [0; 64]), Ok(0) | Err(_)));
    }
    let cut = "flagstone_connections_cut_total{reason=\"login_timeout\"}";
    assert_eq!(process.metric(cut), 21.0);
    common::exchange(&mut known, b"GET a\n", b"NOTFOUND\n");
}

#[test]
fn passwords_are_not_guessed_at_full_speed() {
    let scratch = Scratch::new("guesses");
    let tokens = scratch.0.join("tokens");
    std::fs::write(&tokens, "s3cret\n").expect("writable");
    let tokens = tokens.to_str().expect("text");
    let server = Told::start(
        &[
            "--listen",
            "127.0.0.1:0",
            "--admin",
            "127.0.0.1:0",
            "--auth-token-file",
            tokens,
        ],
        &[],
    );
    let address = server.places()[0].clone();
    let admin = server.line("admin pages at http://");
    let admin = admin
        .split("http://")
        .nth(1)
        .expect("an address")
        .trim_end_matches('/');
    let admin = admin.parse().expect("an address");
    let failures = || {
        let page = http::get(admin, "/metrics").body;
        http::sample(&page, "flagstone_login_failures_total").expect("counted")
    };
    let mut known = TcpStream::connect(&address).expect("connects");
    common::exchange(&mut known, b"AUTH s3cret\n", b"OK\n");
    // A pipeline of guesses ends at the eleventh.
    let mut guesser = TcpStream::connect(&address).expect("connects");
    let _ = guesser.write_all(&b"AUTH guess\n".repeat(50_000));
    let _ = guesser.read_to_end(&mut Vec::new());
    assert_eq!(failures(), 11.0);
    // And newcomers from there are few, however many try.
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(2) {
        if let Ok(mut stream) = TcpStream::connect(&address) {
            let _ = stream.write_all(b"AUTH guess\n");
            let _ = stream.read(&mut [0; 64]);
        }
    }
    let most = 11.0 + 2.0 + begin.elapsed().as_secs_f64() * 5.0;
    assert!(failures() <= most, "{} of {most}", failures());
    let told = server.line(" logins from 127.0.0.1 have failed: ");
    assert!(told.starts_with("flagstone: warning: "), "{told}");
    let page = http::get(admin, "/metrics").body;
    for reason in ["login_failures", "login_slowed"] {
        let name = format!("flagstone_connections_cut_total{{reason=\"{reason}\"}}");
        assert!(http::sample(&page, &name) > Some(0.0), "{reason} in {page}");
    }
    // Those who are in are served, and those who know the word come in, sooner or later.
    common::exchange(&mut known, b"GET a\n", b"NOTFOUND\n");
    common::wait_until("one who knows comes in", || {
        ask(&address, "AUTH s3cret\nGET a\n") == "OK\nNOTFOUND\n"
    });
}
