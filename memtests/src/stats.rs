//! A blocking client for the few questions that are not load: `STATS`, and one request at a time.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// One blocking connection.
pub struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    /// Connects; everything later fails after ten seconds of silence.
    pub fn connect(addr: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&addr, Duration::from_secs(10))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.set_write_timeout(Some(Duration::from_secs(10)))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream: BufReader::new(stream),
        })
    }

    /// Sends one line and returns the first line of the reply, without its end.
    pub fn ask(&mut self, line: &str) -> io::Result<String> {
        self.stream
            .get_mut()
            .write_all(format!("{line}\n").as_bytes())?;
        self.read_line()
    }

    /// `STATS` (or memcached's `stats`), as names and values.
    pub fn stats(&mut self, command: &str) -> io::Result<BTreeMap<String, String>> {
        self.stream
            .get_mut()
            .write_all(format!("{command}\r\n").as_bytes())?;
        let mut stats = BTreeMap::new();
        loop {
            let line = self.read_line()?;
            if line == "END" {
                return Ok(stats);
            }
            let line = line.strip_prefix("STAT ").unwrap_or(&line);
            let (name, value) = line.split_once(' ').unwrap_or((line, ""));
            stats.insert(name.to_owned(), value.to_owned());
        }
    }

    fn read_line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    }
}

/// A statistic that is a number; 0 when it is absent, which no caller takes for a success.
#[must_use]
pub fn number(stats: &BTreeMap<String, String>, name: &str) -> u64 {
    stats
        .get(name)
        .and_then(|value| value.parse().ok())
        .unwrap_or(0)
}

/// Waits until something accepts at `addr`; `alive` tells whether waiting still makes sense.
pub fn wait_until_listening(
    addr: SocketAddr,
    mut alive: impl FnMut() -> bool,
) -> Result<(), String> {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(20) {
        if TcpStream::connect_timeout(&addr, Duration::from_millis(200)).is_ok() {
            return Ok(());
        }
        if !alive() {
            return Err("ended before it listened".to_owned());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Err(format!("does not listen on {addr} after 20 seconds"))
}
