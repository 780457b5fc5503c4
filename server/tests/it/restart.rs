//! Goal: what a restart keeps with `--snapshot`, through the whole server.
//! Method: the binary, with clients before and after; signals, a full disk, and files that are not what they should be.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::common::process::{Process, flagstone, run};
use crate::common::tool::Scratch;
use crate::common::{http, tool};

fn ask(server: &Process, request: &[u8]) -> String {
    let mut client = server.connect();
    client.write_all(request).expect("sends");
    client
        .shutdown(std::net::Shutdown::Write)
        .expect("half-closes");
    let mut reply = Vec::new();
    client.read_to_end(&mut reply).expect("answers");
    String::from_utf8_lossy(&reply).into_owned()
}

fn with(path: &Path) -> Vec<&str> {
    vec!["--snapshot", path.to_str().expect("plain letters")]
}

fn end(mut server: Process) {
    server.signal("TERM");
    assert_eq!(server.exit_code(), Some(0));
}

fn kill(mut server: Process) {
    server.signal("KILL");
    let _ = server.exit_code();
}

#[test]
fn a_drain_writes_what_the_next_start_restores() {
    let scratch = Scratch::new("restart-drain");
    let path = scratch.0.join("snapshot");
    let server = Process::start(&with(&path));
    let long = "x".repeat(600_000);
    let stored = ask(
        &server,
        format!(
            "set a 7 0 5\r\nhello\r\nset b 0 1000 5\r\nworld\r\nset long 0 0 600000\r\n{long}\r\n\
             gets a\r\n"
        )
        .as_bytes(),
    );
    let cas = stored
        .lines()
        .find_map(|line| line.strip_prefix("VALUE a 7 5 "))
        .expect("a CAS number")
        .to_owned();
    ask(
        &server,
        b"*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n*3\r\n$3\r\nSET\r\n$1\r\na\r\n$5\r\nthree\r\n",
    );
    end(server);
    let mode = fs::metadata(&path).expect("written").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(fs::read_dir(&scratch.0).expect("readable").count(), 1);

    // A smaller one, with other workers.
    let mut smaller = flagstone();
    smaller
        .args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
        .args(["--memory", "32m", "--workers", "1"])
        .args(with(&path));
    let server = Process::spawn(smaller);
    assert_eq!(
        ask(
            &server,
            format!("gets a\r\ncas a 7 0 3 {cas}\r\nnew\r\n").as_bytes()
        ),
        format!("VALUE a 7 5 {cas}\r\nhello\r\nEND\r\nSTORED\r\n")
    );
    let again = ask(&server, b"gets a\r\n");
    let next: u64 = again
        .split_whitespace()
        .nth(4)
        .and_then(|cas| cas.parse().ok())
        .expect("a number");
    assert!(next > cas.parse().expect("a number"), "{again}");
    assert_eq!(
        ask(&server, b"get long\r\n"),
        format!("VALUE long 0 600000\r\n{long}\r\nEND\r\n")
    );
    let ttl = ask(&server, b"TTL b\n");
    let left: u64 = ttl.trim().parse().expect("seconds");
    assert!((900..=1000).contains(&left), "{ttl}");
    let three = b"*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n*2\r\n$3\r\nGET\r\n$1\r\na\r\n";
    assert_eq!(ask(&server, three), "+OK\r\n$5\r\nthree\r\n");
    assert!((server.metric("flagstone_restored_items{result=\"stored\"}") - 4.0).abs() < 0.1);
    assert!(ask(&server, b"STATS\n").contains("restored_items 4"));
    // What it came from gets old: it is not found again.
    assert!(!path.exists());
    kill(server);
    let server = Process::start(&with(&path));
    assert_eq!(ask(&server, b"get a\r\n"), "END\r\n");
    end(server);
}

#[test]
fn whoever_asks_gets_a_snapshot_of_a_running_server() {
    let scratch = Scratch::new("restart-asked");
    let path = scratch.0.join("snapshot");
    let tokens = scratch.0.join("tokens");
    fs::write(&tokens, "s3cret\n").expect("written");
    let token = ["--admin-token-file", tokens.to_str().expect("letters")];
    let server = Process::start(&[&with(&path)[..], &token].concat());
    ask(&server, b"set a 0 0 5\r\nhello\r\n");
    let output = run(&["snapshot", &server.admin], &[]);
    assert_eq!(output.status.code(), Some(1), "without the token");
    let output = run(&[&["snapshot", &server.admin][..], &token].concat(), &[]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        said.starts_with("flagstone: snapshot written: 1 items, 0 MiB, in "),
        "{said} {}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(output.status.code(), Some(0));
    // A page in somebody's browser cannot ask.
    let admin = server.admin.parse().expect("an address");
    let request = "POST /snapshot HTTP/1.1\r\nHost: x\r\nOrigin: http://evil.example\r\n\
                   Authorization: Bearer s3cret\r\nConnection: close\r\n\r\n";
    let answer = http::request(admin, request.as_bytes()).expect("an answer");
    assert_eq!(answer.status, 403);
    kill(server);
    let server = Process::start(&with(&path));
    assert_eq!(
        ask(&server, b"get a\r\n"),
        "VALUE a 0 5\r\nhello\r\nEND\r\n"
    );
    end(server);
    // Without a place there is nothing to write to.
    let server = Process::start(&[]);
    let output = run(&["snapshot", &server.admin], &[]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("--snapshot PATH"), "{said}");
    end(server);
}

/// A disk of 2 MiB, which only the command that begins so sees.
const OWN_MOUNTS: [&[&str]; 2] = [&["unshare", "-rm"], &["sudo", "-n", "unshare", "-m"]];

/// With `$0` the disk, `$1` the program, `$2` a copy elsewhere, `$3` and `$4` where to listen. Its output is read.
const ON_A_FULL_DISK: &str = r#"
"$1" --listen "$3" --admin "$4" --memory 48m --max-connections 100 --snapshot "$0/snapshot" 2> "$2.log" &
server=$!
asked=1
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
  "$1" snapshot "$4" > /dev/null 2>&1 && asked=0 && break
  sleep 0.2
done
echo "first $asked"
cp "$0/snapshot" "$2"
head -c 1700000 /dev/zero > "$0/fill"
"$1" snapshot "$4" > /dev/null 2>&1
echo "full $?"
cmp "$0/snapshot" "$2" && ls "$0"
"$1" healthcheck --address "$3" > /dev/null && echo alive
kill -TERM $server
wait $server
echo "ended $?"
cmp "$0/snapshot" "$2" && ls "$0"
"#;

#[test]
fn a_full_disk_leaves_the_old_snapshot_and_the_server_running() {
    let test = "a_full_disk_leaves_the_old_snapshot_and_the_server_running";
    let (disk, copy) = (Scratch::new("restart-full"), Scratch::new("restart-copy"));
    let free = || {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
        listener.local_addr().expect("bound").to_string()
    };
    let (listen, admin) = (free(), free());
    let on_small_disk = |script: &str, wrapper: &[&str]| {
        let mount = "mount -t tmpfs -o size=2m tmpfs \"$0\" && ";
        Command::new(wrapper[0])
            .args(&wrapper[1..])
            .args(["sh", "-c", &[mount, script].concat()])
            .arg(&disk.0)
            .arg(env!("CARGO_BIN_EXE_flagstone"))
            .arg(copy.0.join("copy"))
            .args([&listen, &admin])
            .output()
    };
    let works = |wrapper: &&&[&str]| {
        on_small_disk("true", wrapper).is_ok_and(|output| output.status.success())
    };
    let Some(wrapper) = OWN_MOUNTS.iter().find(works) else {
        return tool::skip(test, "neither unshare -rm nor sudo may mount a disk");
    };
    let output = on_small_disk(&format!("{{ {ON_A_FULL_DISK} }}"), wrapper).expect("runs");
    let log = fs::read_to_string(copy.0.join("copy.log")).unwrap_or_default();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "first 0\nfull 1\nfill\nsnapshot\nalive\nended 0\nfill\nsnapshot\n",
        "{} {log}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(log.contains("No space left on device"), "{log}");
    assert!(log.contains("this is a tmpfs"), "{log}");
}

/// Starts a server with that file and ends it at once, again and again, a little later each time: the file is there, whole,
/// or was restored and written anew.
#[test]
fn a_signal_while_it_restores_or_writes_loses_nothing() {
    let scratch = Scratch::new("restart-signals");
    let path = scratch.0.join("snapshot");
    let server = Process::start(&with(&path));
    let value = "z".repeat(1000);
    let mut request = String::new();
    for no in 0..10_000 {
        request += &format!("set key-{no} 0 0 1000 noreply\r\n{value}\r\n");
    }
    ask(&server, request.as_bytes());
    end(server);
    let mut command = flagstone();
    command.args([
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "none",
        "--memory",
        "48m",
    ]);
    command.args(["--max-connections", "100"]).args(with(&path));
    for millis in (0..300).step_by(15) {
        let mut child = command
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("starts");
        std::thread::sleep(Duration::from_millis(millis));
        let id = child.id().to_string();
        let killed = Command::new("kill").args(["-s", "TERM", &id]).status();
        assert!(killed.expect("runs").success());
        let begun = Instant::now();
        while child.try_wait().expect("waits").is_none() {
            assert!(begun.elapsed() < Duration::from_secs(30), "it does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(path.exists(), "after {millis} ms");
    }
    let server = Process::start(&with(&path));
    assert!((server.metric("flagstone_restored_items{result=\"stored\"}") - 10_000.0).abs() < 0.1);
    end(server);
}

#[test]
fn what_is_no_snapshot_is_told_and_the_cache_begins_empty() {
    let scratch = Scratch::new("restart-nonsense");
    let path = scratch.0.join("snapshot");
    for nonsense in [&b""[..], b"nonsense", &[0; 9000]] {
        fs::write(&path, nonsense).expect("written");
        let server = Process::start(&with(&path));
        assert_eq!(
            ask(&server, b"get a\r\nset a 0 0 1\r\nx\r\n"),
            "END\r\nSTORED\r\n"
        );
        end(server);
        let server = Process::start(&with(&path));
        assert_eq!(ask(&server, b"get a\r\n"), "VALUE a 0 1\r\nx\r\nEND\r\n");
        end(server);
    }
}

/// What a flush that is still to come was to remove does not live on, and a flush ends a snapshot under way.
#[test]
fn a_flush_that_is_to_come_comes_after_a_restart() {
    let scratch = Scratch::new("restart-flush");
    let path = scratch.0.join("snapshot");
    let server = Process::start(&with(&path));
    assert_eq!(
        ask(&server, b"set a 0 0 1\r\nx\r\nflush_all 2\r\n"),
        "STORED\r\nOK\r\n"
    );
    end(server);
    let server = Process::start(&with(&path));
    let begun = Instant::now();
    while ask(&server, b"get a\r\n") != "END\r\n" {
        assert!(begun.elapsed() < Duration::from_secs(10), "it lives on");
        std::thread::sleep(Duration::from_millis(50));
    }
    end(server);
}

/// Memory to grow into is not memory to restore into.
#[test]
fn a_snapshot_is_restored_into_the_memory_of_the_moment() {
    let scratch = Scratch::new("restart-memory");
    let path = scratch.0.join("snapshot");
    let start = |memory: &[&str]| {
        let mut command = flagstone();
        command
            .args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .args(["--max-connections", "100"])
            .args(memory)
            .args(with(&path));
        Process::spawn(command)
    };
    let server = start(&["--memory", "160m"]);
    let value = "z".repeat(10_000);
    let mut request = String::new();
    for no in 0..10_000 {
        request += &format!("set key-{no} 0 0 10000 noreply\r\n{value}\r\n");
    }
    ask(&server, request.as_bytes());
    end(server);
    let server = start(&["--memory", "40m", "--memory-max", "160m"]);
    let status = fs::read_to_string(format!("/proc/{}/status", server.child.id()));
    let peak: u64 = status
        .expect("readable")
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:")?.strip_suffix("kB"))
        .and_then(|peak| peak.trim().parse().ok())
        .expect("a size");
    let items = server.metric("flagstone_restored_items{result=\"stored\"}");
    assert!(items > 3000.0, "{items}");
    // What of its file's code is in memory is not what is planned with here.
    assert!(peak < 60 << 10, "{peak} kB");
    end(server);
}

#[test]
fn a_snapshot_is_a_line_of_the_plan() {
    let plan = |args: &[&str]| {
        let args = [&["plan", "--memory", "64m"], args].concat();
        String::from_utf8_lossy(&run(&args, &[]).stdout).into_owned()
    };
    assert!(!plan(&[]).contains("snapshot"));
    assert!(plan(&["--snapshot", "/x/y"]).contains("snapshot"));
    let refused = run(&["plan", "--snapshot", "/"], &[]);
    assert_eq!(refused.status.code(), Some(2));
}
