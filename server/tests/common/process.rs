//! The binary, started as its users start it.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use super::http;

pub fn flagstone() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flagstone"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("FLAGSTONE_")) {
        command.env_remove(name);
    }
    command
}

pub fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = flagstone();
    command.args(arguments).envs(environment.iter().copied());
    command.output().expect("runs")
}

/// A server process and the address it says it listens on.
pub struct Process {
    pub child: Child,
    /// The first of `places`.
    pub address: String,
    pub places: Vec<String>,
    pub admin: String,
}

impl Process {
    pub fn start(arguments: &[&str]) -> Self {
        Self::start_as(flagstone(), arguments)
    }

    /// The same, by way of another command.
    pub fn start_as(mut command: Command, arguments: &[&str]) -> Self {
        command
            .args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .args(["--memory", "48m", "--max-connections", "100"])
            .args(arguments);
        Self::spawn(command)
    }

    /// With settings of its own, which name an admin address.
    pub fn spawn(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().expect("starts");
        let mut line = String::new();
        let mut stderr = BufReader::new(child.stderr.take().expect("piped"));
        stderr.read_line(&mut line).expect("a start-up line");
        // What it restores it tells first.
        while line.contains("snapshot") && !line.contains("listening on ") {
            line.clear();
            stderr.read_line(&mut line).expect("a start-up line");
        }
        let places = line
            .split("listening on ")
            .nth(1)
            .and_then(|rest| rest.split(", memory ").next())
            .unwrap_or_else(|| panic!("no address in {line:?}"));
        let places: Vec<String> = places.split(", ").map(str::to_owned).collect();
        let address = places[0].clone();
        line.clear();
        stderr.read_line(&mut line).expect("another line");
        let admin = line
            .strip_prefix("flagstone: admin pages at http://")
            .and_then(|rest| rest.strip_suffix("/\n"))
            .unwrap_or_else(|| panic!("no admin address in {line:?}"));
        let admin = admin.to_owned();
        // Whatever else it says must not block it.
        std::thread::spawn(move || stderr.read_to_end(&mut Vec::new()));
        Process {
            child,
            address,
            places,
            admin,
        }
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).expect("connects");
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .expect("settable");
        stream
    }

    pub fn metric(&self, name: &str) -> f64 {
        let admin = self.admin.parse().expect("an address");
        let metrics = http::get(admin, "/metrics").body;
        http::sample(&metrics, name).unwrap_or_else(|| panic!("no {name} in {metrics}"))
    }

    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let status = Command::new("kill")
            .args(["-s", name, &id])
            .status()
            .expect("kill runs");
        assert!(status.success());
    }

    pub fn exit_code(&mut self) -> Option<i32> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("waits") {
                return status.code();
            }
            assert!(start.elapsed() < Duration::from_secs(30), "it does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
