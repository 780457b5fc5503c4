//! A subject's process: pinned to one core, stopped while others run, and gone with the race.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::subject::Subject;

/// A running, or stopped, server.
pub struct Server {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
    /// The program and its flags, without what pins it.
    pub command: String,
}

/// Servers start in a moment; a busy machine gets this long.
const PATIENCE: Duration = Duration::from_secs(20);

impl Server {
    /// Starts it and waits until it accepts.
    ///
    /// # Errors
    /// With what it said, if it ends instead.
    pub fn start(
        subject: &Subject,
        cpu: usize,
        memory_mib: usize,
        value_bytes: usize,
    ) -> Result<Self, String> {
        // Another process may take the free port first: then it is tried again.
        let mut why = String::new();
        for _ in 0..5 {
            let address = free_address().map_err(|error| error.to_string())?;
            let arguments = subject.arguments(address.port(), memory_mib, value_bytes);
            let log = log_file();
            let file = std::fs::File::create(&log).map_err(|error| error.to_string())?;
            // `setpriv` and `taskset` become the server, so that the child's id is its id. If
            // the race is killed, so is the server, even while it is stopped.
            let child = Command::new("setpriv")
                .args(["--pdeathsig", "KILL", "taskset", "-c", &cpu.to_string()])
                .arg(&subject.path)
                .args(&arguments)
                .current_dir(std::env::temp_dir())
                .stdin(Stdio::null())
                .stdout(file.try_clone().map_err(|error| error.to_string())?)
                .stderr(file)
                .spawn()
                .map_err(|error| format!("setpriv: {error}"))?;
            let program = subject.path.file_name().unwrap_or_default();
            let words: Vec<String> = arguments
                .iter()
                .map(|word| match word.as_str() {
                    "" => "''".to_owned(),
                    word => word.replace(&address.port().to_string(), "PORT"),
                })
                .collect();
            let mut server = Server {
                child,
                address,
                command: format!("{} {}", program.to_string_lossy(), words.join(" ")),
            };
            let is_up = server.wait();
            why = std::fs::read_to_string(&log).unwrap_or_default();
            let _ = std::fs::remove_file(&log);
            if is_up {
                return Ok(server);
            }
        }
        Err(format!(
            "{} does not come up: {}",
            subject.name,
            why.trim().lines().last().unwrap_or("it says nothing")
        ))
    }

    fn wait(&mut self) -> bool {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return false;
            }
            let is_answered = TcpStream::connect(self.address).is_ok();
            thread::sleep(Duration::from_millis(20));
            // If somebody else was faster and has the port, this child has ended by now, or is
            // about to, and its successor gets another one.
            if is_answered && self.owns_port() {
                return true;
            }
        }
        false
    }

    /// Whether the listener on its port is among its files.
    fn owns_port(&self) -> bool {
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap_or_default();
        let Some(inode) = listener_inode(&table, self.address.port()) else {
            return false;
        };
        let socket = format!("socket:[{inode}]");
        let files = std::fs::read_dir(format!("/proc/{}/fd", self.pid()));
        files.is_ok_and(|files| {
            files
                .flatten()
                .filter_map(|file| std::fs::read_link(file.path()).ok())
                .any(|link| link.as_os_str() == socket.as_str())
        })
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Lets it run.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Lets it rest: it costs nothing until it is resumed.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    fn signal(&self, signal: Signal) {
        // A server that has died is found by whoever talks to it.
        let _ = kill_process(Pid::from_child(&self.child), signal);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The inode of the socket that listens on `port`, in the kernel's table: local address in the
/// second column, state 0A (listening) in the fourth, inode in the tenth.
fn listener_inode(table: &str, port: u16) -> Option<u64> {
    let port = format!(":{port:04X}");
    table.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let is_it = words.len() > 9 && words[1].ends_with(&port) && words[3] == "0A";
        is_it.then(|| words[9].parse().ok())?
    })
}

fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}

fn log_file() -> PathBuf {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!(
        "flagstone-race-{}-{number}.log",
        std::process::id()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_found_by_its_port() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 0100007F:1C03 0100007F:9999 01 00000000:00000000 00:00000000 00000000 0 0 11 1\n\
            1: 0100007F:1C03 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 22 1\n";
        assert_eq!(listener_inode(table, 0x1C03), Some(22));
        assert_eq!(listener_inode(table, 0x9999), None);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let table = std::fs::read_to_string("/proc/net/tcp").expect("Linux");
        let port = listener.local_addr().expect("bound").port();
        assert!(listener_inode(&table, port).is_some());
    }
}
