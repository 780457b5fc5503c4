//! Goal: a service manager is told when the server serves, that it gets on, and when it ends. Method: a socket of the test's
//! takes systemd's place.

use std::io::{BufRead, BufReader, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::common;
use crate::common::PATIENCE;
use crate::common::process::{Process, flagstone};
use crate::common::tool::is_ci;

/// So often it wants a sign of life.
const WATCHDOG: Duration = Duration::from_millis(600);

/// Hears what a server says to its manager.
struct Manager {
    socket: UnixDatagram,
    name: String,
}

impl Manager {
    /// At a path, or at a name in no directory.
    fn new(name: &str, is_abstract: bool) -> Self {
        let id = std::process::id();
        let (socket, name) = if is_abstract {
            let name = format!("flagstone-{id}-{name}");
            let address = SocketAddr::from_abstract_name(&name).expect("a name");
            let socket = UnixDatagram::bind_addr(&address).expect("binds");
            (socket, format!("@{name}"))
        } else {
            let path = std::env::temp_dir().join(format!("flagstone-{id}-{name}.notify"));
            let _ = std::fs::remove_file(&path);
            let socket = UnixDatagram::bind(&path).expect("binds");
            (socket, path.to_str().expect("text").to_owned())
        };
        Manager { socket, name }
    }

    fn start(&self, watchdog: Option<Duration>, more: &[&str]) -> Process {
        let mut command = flagstone();
        command.env("NOTIFY_SOCKET", &self.name);
        command
            .env_remove("WATCHDOG_USEC")
            .env_remove("WATCHDOG_PID");
        if let Some(interval) = watchdog {
            command.env("WATCHDOG_USEC", interval.as_micros().to_string());
        }
        Process::start_as(command, more)
    }

    /// The next message, if one comes within `patience`.
    fn hear(&self, patience: Duration) -> Option<String> {
        self.socket
            .set_read_timeout(Some(patience))
            .expect("settable");
        let mut message = [0; 512];
        let len = self.socket.recv(&mut message).ok()?;
        Some(String::from_utf8_lossy(&message[..len]).into_owned())
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        if !self.name.starts_with('@') {
            let _ = std::fs::remove_file(&self.name);
        }
    }
}

#[test]
fn a_manager_hears_of_the_beginning_the_end_and_signs_of_life_between() {
    for is_abstract in [false, true] {
        let manager = Manager::new("life", is_abstract);
        let mut process = manager.start(Some(WATCHDOG), &[]);
        assert_eq!(manager.hear(PATIENCE).as_deref(), Some("READY=1\n"));
        // Whoever waited for that is served.
        common::exchange(&mut process.connect(), b"PUT a 1\n", b"OK\n");
        for _ in 0..4 {
            let begun = Instant::now();
            assert_eq!(manager.hear(PATIENCE).as_deref(), Some("WATCHDOG=1\n"));
            // A machine whose processors are all taken is late.
            assert!(is_ci() || begun.elapsed() < WATCHDOG);
        }
        process.signal("TERM");
        let ends = std::iter::from_fn(|| manager.hear(PATIENCE)).find(|it| it != "WATCHDOG=1\n");
        assert_eq!(ends.as_deref(), Some("STOPPING=1\n"));
        assert_eq!(process.exit_code(), Some(0));
        // Once.
        let mut rest = std::iter::from_fn(|| manager.hear(Duration::from_millis(1)));
        assert!(rest.all(|it| it == "WATCHDOG=1\n"));
    }
}

#[test]
fn without_a_watchdog_no_sign_of_life_is_sent_and_without_a_manager_it_serves() {
    let manager = Manager::new("quiet", false);
    let process = manager.start(None, &[]);
    assert_eq!(manager.hear(PATIENCE).as_deref(), Some("READY=1\n"));
    assert_eq!(manager.hear(2 * WATCHDOG), None);
    drop(process);
    let mut child = flagstone()
        .args([
            "--listen",
            "127.0.0.1:0",
            "--admin",
            "none",
            "--memory",
            "48m",
        ])
        .env("NOTIFY_SOCKET", "/flagstone/no/such/socket")
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    let lines = BufReader::new(child.stderr.take().expect("piped")).lines();
    let mut said = String::new();
    for line in lines.map_while(Result::ok) {
        said += &line;
        if line.contains("listening on") {
            break;
        }
    }
    child.kill().expect("ends");
    child.wait().expect("ends");
    assert!(
        said.contains("cannot be told anything at \"/flagstone/no/such/socket\""),
        "{said}"
    );
    assert!(said.contains("listening on"), "{said}");
}

#[test]
fn a_stuck_worker_gives_no_sign_of_life() {
    let manager = Manager::new("stuck", false);
    let process = manager.start(Some(WATCHDOG), &["--test-hooks", "--workers", "2"]);
    assert_eq!(manager.hear(PATIENCE).as_deref(), Some("READY=1\n"));
    let mut client = process.connect();
    client.write_all(b"debugstall 14\r\n").expect("sent");
    let begun = Instant::now();
    let mut longest = Duration::ZERO;
    while begun.elapsed() < Duration::from_secs(16) {
        let waits = Instant::now();
        assert_eq!(manager.hear(PATIENCE).as_deref(), Some("WATCHDOG=1\n"));
        longest = longest.max(waits.elapsed());
    }
    // It is looked at after ten seconds, and goes on after fourteen.
    assert!(longest > Duration::from_secs(2), "{longest:?}");
}
