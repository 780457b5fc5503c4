//! Goal: three Flagstones behind twemproxy in its Redis mode serve Redis' clients, and a node that dies
//! takes only its own keys.
//! Method: nutcracker, with the configuration of the docs turned to `redis: true`, in front of three processes. Every
//! value says which key it belongs to; lists of keys go to all three nodes. One is killed with SIGKILL.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::common::process::Process;
use crate::common::resp::array;
use crate::common::tool::{self, Guard, Scratch};
use crate::common::wait_until;

const KEYS: usize = 1_500;
/// As many to one request.
const BATCH: usize = 50;

/// A client of the proxy.
struct Client {
    socket: PathBuf,
    reader: BufReader<UnixStream>,
    writer: UnixStream,
}

/// The proxy said that a node does not answer, or closed the connection for it.
struct Refused;

fn key(no: usize) -> String {
    format!("key:{no}")
}

fn value(no: usize) -> String {
    format!("{}=\r\n", key(no)).repeat(1 + no % 40)
}

impl Client {
    fn new(socket: &Path) -> Self {
        let writer = UnixStream::connect(socket).expect("connects");
        let patience = Some(Duration::from_secs(20));
        writer.set_read_timeout(patience).expect("settable");
        let reader = BufReader::new(writer.try_clone().expect("clones"));
        Client {
            socket: socket.to_owned(),
            reader,
            writer,
        }
    }

    fn closed(&mut self) -> Refused {
        *self = Client::new(&self.socket.clone());
        Refused
    }

    fn send(&mut self, words: &[String]) -> Result<(), Refused> {
        let words: Vec<&[u8]> = words.iter().map(String::as_bytes).collect();
        let sent = self.writer.write_all(&array(&words));
        sent.map_err(|_| self.closed())
    }

    fn line(&mut self) -> Result<String, Refused> {
        let mut line = String::new();
        match self.reader.read_line(&mut line) {
            Ok(1..) => {}
            // No answer in time is something else.
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => panic!("{error}"),
            _ => return Err(self.closed()),
        }
        if line.starts_with('-') {
            return Err(Refused);
        }
        Ok(line.trim_end().to_owned())
    }

    fn set(&mut self, no: usize) -> Result<(), Refused> {
        self.send(&["SET".to_owned(), key(no), value(no)])?;
        assert_eq!(self.line()?, "+OK");
        Ok(())
    }

    /// Which of these are there, each with its own value.
    fn get(&mut self, nos: &[usize]) -> Result<Vec<usize>, Refused> {
        let keys = nos.iter().map(|&no| key(no));
        let words: Vec<String> = std::iter::once("MGET".to_owned()).chain(keys).collect();
        self.send(&words)?;
        assert_eq!(self.line()?, format!("*{}", nos.len()));
        let mut found = Vec::new();
        for &no in nos {
            let head = self.line()?;
            let len: i64 = head[1..].parse().expect("a length");
            if len < 0 {
                continue;
            }
            let mut bytes = vec![0; len as usize + 2];
            self.reader.read_exact(&mut bytes).expect("a value");
            assert_eq!(String::from_utf8_lossy(&bytes), value(no) + "\r\n");
            found.push(no);
        }
        Ok(found)
    }

    /// All that are there. Asks again while a node is being given up.
    fn present(&mut self) -> HashSet<usize> {
        let all: Vec<usize> = (0..KEYS).collect();
        let mut present = HashSet::new();
        for batch in all.chunks(BATCH) {
            loop {
                if let Ok(found) = self.get(batch) {
                    present.extend(found);
                    break;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        present
    }
}

/// How many keys a node holds itself.
fn held(node: &Process) -> usize {
    let mut stream = node.connect();
    stream.write_all(&array(&[b"DBSIZE"])).expect("sends");
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).expect("reads");
    let number = line.trim_end().strip_prefix(':').map(str::parse);
    number.expect("a number").expect("a number")
}

fn configuration(nodes: &[Process], socket: &Path) -> String {
    let file = tool::root().join("docs/examples/twemproxy.yml");
    let text = std::fs::read_to_string(file).expect("the example");
    let mut text = text
        .replace("redis: false", "redis: true")
        .replace("127.0.0.1:22121", &socket.to_string_lossy());
    for (no, node) in nodes.iter().enumerate() {
        text = text.replace(&format!("10.0.0.{}:7171", no + 1), &node.address);
    }
    assert!(text.contains("redis: true") && !text.contains("10.0.0."));
    text
}

/// One of the sixteen million of this machine, and not that of the other test of the proxy.
fn address_of_our_own() -> String {
    let id = std::process::id();
    format!("127.{}.{}.8", 1 + (id >> 8) % 250, id % 256)
}

#[test]
fn of_three_caches_for_redis_clients_one_may_die() {
    let name = "of_three_caches_for_redis_clients_one_may_die";
    let Some(nutcracker) = tool::find("nutcracker") else {
        return tool::skip(name, "nutcracker not installed");
    };
    let mut nodes: Vec<Process> = (0..3).map(|_| Process::start(&[])).collect();
    let directory = Scratch::new("twemproxy-redis");
    let socket = directory.0.join("proxy");
    let file = directory.0.join("nutcracker.yml");
    std::fs::write(&file, configuration(&nodes, &socket)).expect("writes");
    let proxy = Command::new(nutcracker)
        .arg("-c")
        .arg(&file)
        .arg("-o")
        .arg(directory.0.join("log"))
        .args(["-a", &address_of_our_own(), "-s", "22222"])
        .stdin(Stdio::null())
        .spawn();
    let _proxy = Guard(proxy.expect("starts"));
    wait_until("the proxy listens", || UnixStream::connect(&socket).is_ok());

    let mut client = Client::new(&socket);
    for no in 0..KEYS {
        assert!(client.set(no).is_ok(), "all three are there");
    }
    assert_eq!(client.present().len(), KEYS);
    let shares: Vec<usize> = nodes.iter().map(held).collect();
    assert_eq!(shares.iter().sum::<usize>(), KEYS);
    for &share in &shares {
        assert!((KEYS / 4..KEYS * 42 / 100).contains(&share), "{shares:?}");
    }

    nodes[1].child.kill().expect("kills");
    nodes[1].child.wait().expect("ends");
    // It is given up after two failures, and tried again every second, which costs a request then.
    let left = client.present();
    assert_eq!(left.len(), KEYS - shares[1], "of others nothing is lost");
    let stored = (0..KEYS).filter(|&no| client.set(no).is_ok()).count();
    assert!(stored * 10 > KEYS * 9, "{stored} of {KEYS} are stored");
    assert!(client.present().len() * 10 > KEYS * 9);
}
