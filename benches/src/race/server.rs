//! A subject's process: pinned to one core, stopped while others run, and gone with the race.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use flagstone_bench::socket::Place;
use rustix::process::{Pid, Signal, kill_process};

use super::shape::{Ground, Way};
use super::subject::{Start, Subject};

/// A running, or stopped, server.
pub struct Server {
    child: Child,
    /// Where it listens.
    pub place: Place,
    /// The program and its flags, without what pins it.
    pub command: String,
}

/// Servers start in a moment; a busy machine gets this long.
const PATIENCE: Duration = Duration::from_secs(20);

/// How a server is started, beside who it is.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// CPUs that it may use, as `taskset -c` takes them.
    pub cpus: &'a str,
    /// Threads that serve.
    pub workers: usize,
    /// Where and with what.
    pub ground: &'a Ground,
}

impl Server {
    /// Starts it and waits until it accepts.
    ///
    /// # Errors
    /// With what it said, if it ends instead.
    pub fn start(subject: &Subject, terms: Terms<'_>) -> Result<Self, String> {
        let ground = terms.ground;
        // Another process may take the free port first: then it is tried again.
        let mut why = String::new();
        for _ in 0..5 {
            let place = free_place(ground.way).map_err(|error| error.to_string())?;
            let arguments = subject.arguments(Start {
                place: &place,
                memory_mib: ground.memory_mib,
                connections_max: ground.connections_max,
                value_bytes: ground.values.max,
                workers: terms.workers,
            });
            let log = scratch("log");
            let file = std::fs::File::create(&log).map_err(|error| error.to_string())?;
            // `setpriv` and `taskset` become the server, so that the child's id is its id. If
            // the race is killed, so is the server, even while it is stopped.
            let child = Command::new("setpriv")
                .args(["--pdeathsig", "KILL", "taskset", "-c", terms.cpus])
                .arg(&subject.path)
                .args(&arguments)
                .current_dir(std::env::temp_dir())
                .stdin(Stdio::null())
                .stdout(file.try_clone().map_err(|error| error.to_string())?)
                .stderr(file)
                .spawn()
                .map_err(|error| format!("setpriv: {error}"))?;
            let program = subject.path.file_name().unwrap_or_default();
            let words: Vec<String> = arguments.iter().map(|word| shown(word, &place)).collect();
            let mut server = Server {
                child,
                place,
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
            let is_answered = match &self.place {
                Place::Tcp(address) => TcpStream::connect(address).is_ok(),
                Place::Unix(path) => UnixStream::connect(path).is_ok(),
            };
            thread::sleep(Duration::from_millis(20));
            // If somebody else was faster and has the port, this child has ended by now, or is
            // about to, and its successor gets another one.
            if is_answered && self.owns_place() {
                return true;
            }
        }
        false
    }

    /// Whether the listener on its port is among its files. The file of a Unix socket has a name
    /// of its own.
    fn owns_place(&self) -> bool {
        let Place::Tcp(address) = &self.place else {
            return true;
        };
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap_or_default();
        let Some(inode) = listener_inode(&table, address.port()) else {
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

    /// A connection, for what the generator does not ask.
    ///
    /// # Errors
    /// When it does not accept, or listens at no port.
    pub fn connect(&self) -> Result<TcpStream, String> {
        match &self.place {
            Place::Tcp(address) => {
                let stream = TcpStream::connect(address).map_err(|error| error.to_string())?;
                let patience = Some(Duration::from_secs(10));
                stream
                    .set_read_timeout(patience)
                    .map_err(|error| error.to_string())?;
                Ok(stream)
            }
            Place::Unix(_) => Err("it listens at no port".to_owned()),
        }
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
        if let Place::Unix(path) = &self.place {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// A flag as the page shows it: without what is another one each time.
fn shown(word: &str, place: &Place) -> String {
    match (word, place) {
        ("", _) => "''".to_owned(),
        (word, Place::Tcp(address)) => word.replace(&address.port().to_string(), "PORT"),
        (word, Place::Unix(path)) => word.replace(&path.display().to_string(), "SOCKET"),
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

fn free_place(way: Way) -> io::Result<Place> {
    Ok(match way {
        Way::Tcp => Place::Tcp(TcpListener::bind("127.0.0.1:0")?.local_addr()?),
        Way::Unix => Place::Unix(scratch("sock")),
    })
}

/// A file of this race alone.
fn scratch(extension: &str) -> PathBuf {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let name = format!("flagstone-race-{}-{number}.{extension}", std::process::id());
    std::env::temp_dir().join(name)
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

    #[test]
    fn what_changes_with_each_start_is_not_shown() {
        for (word, place, expected) in [
            ("", "127.0.0.1:7171", "''"),
            ("127.0.0.1:7171", "127.0.0.1:7171", "127.0.0.1:PORT"),
            ("unix:/tmp/a.sock", "unix:/tmp/a.sock", "unix:SOCKET"),
        ] {
            let place = place.parse().expect("a place");
            assert_eq!(shown(word, &place), expected);
        }
    }
}
