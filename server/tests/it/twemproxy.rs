//! Goal: three Flagstones behind twemproxy lose only a third of the keys with a node, and
//! nobody ever reads a reply that is not his.
//! Method: nutcracker, with the configuration of k8s/overlays/cluster, in front of three processes.
//! Clients write and read without a pause; every value says which key it belongs to. One
//! node is killed with SIGKILL, and comes back later. That the proxy refuses (SERVER_ERROR) or hangs
//! up while a node fails is counted; any other odd reply is a failure.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::common::tool::{self, Guard, Scratch};

const KEYS: usize = 3_000;
const PATIENCE: Duration = Duration::from_secs(10);
/// A third, but a ring of three is never quite even.
const SHARE: std::ops::Range<f64> = 0.25..0.42;

/// A server that can be killed and come back under its address.
struct Node {
    child: Option<Guard>,
    address: String,
}

impl Node {
    fn start(address: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_flagstone"))
            .args([
                "--listen",
                address,
                "--memory",
                "32m",
                "--max-connections",
                "64",
            ])
            .args(["--workers", "1", "--admin", "none"])
            .stderr(Stdio::piped())
            .spawn()
            .expect("starts");
        let mut line = String::new();
        let mut stderr = BufReader::new(child.stderr.take().expect("piped"));
        let child = Guard(child);
        stderr.read_line(&mut line).expect("a start-up line");
        let address = line
            .split("listening on ")
            .nth(1)
            .and_then(|rest| rest.split(',').next())
            .unwrap_or_else(|| panic!("no address in {line:?}"))
            .to_owned();
        std::thread::spawn(move || stderr.read_to_end(&mut Vec::new()));
        Node {
            child: Some(child),
            address,
        }
    }

    fn kill(&mut self) {
        // SIGKILL.
        self.child = None;
    }

    /// Which of the keys it holds itself.
    fn held(&self) -> HashSet<usize> {
        Client::of(self).present()
    }
}

#[derive(Default)]
struct Tally {
    requests: AtomicU64,
    hits: AtomicU64,
    misses: AtomicU64,
    refusals: AtomicU64,
}

/// Both directions of a connection.
type Ends = (BufReader<Box<dyn Read>>, Box<dyn Write>);

/// A client that believes nothing.
struct Client {
    connect: Box<dyn Fn() -> Ends>,
    reader: BufReader<Box<dyn Read>>,
    writer: Box<dyn Write>,
    /// How often it was refused, or hung up on.
    refusals: u64,
}

/// No node could be asked.
struct Refused;

fn key(no: usize) -> String {
    format!("key:{no}")
}

/// Says whose it is, and which of many it is, in each of its lines.
fn value(no: usize, version: u64) -> Vec<u8> {
    let line = format!("{}={version};\r\n", key(no));
    line.repeat(1 + no % 60).into_bytes()
}

impl Client {
    fn through(socket: &Path) -> Self {
        let socket = socket.to_owned();
        Self::new(move || {
            let stream = UnixStream::connect(&socket).expect("connects");
            stream.set_read_timeout(Some(PATIENCE)).expect("settable");
            let reader: Box<dyn Read> = Box::new(stream.try_clone().expect("clones"));
            (BufReader::new(reader), Box::new(stream))
        })
    }

    fn of(node: &Node) -> Self {
        let address = node.address.clone();
        Self::new(move || {
            let stream = TcpStream::connect(&address).expect("connects");
            stream.set_read_timeout(Some(PATIENCE)).expect("settable");
            let reader: Box<dyn Read> = Box::new(stream.try_clone().expect("clones"));
            (BufReader::new(reader), Box::new(stream))
        })
    }

    fn new(connect: impl Fn() -> Ends + 'static) -> Self {
        let (reader, writer) = connect();
        Client {
            connect: Box::new(connect),
            reader,
            writer,
            refusals: 0,
        }
    }

    /// What the proxy did to us. Only a hang-up is excused.
    fn hung_up(&mut self, error: &std::io::Error) -> Refused {
        use std::io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
        let excused = [BrokenPipe, ConnectionReset, UnexpectedEof];
        assert!(excused.contains(&error.kind()), "no reply: {error}");
        (self.reader, self.writer) = (self.connect)();
        self.refused()
    }

    fn refused(&mut self) -> Refused {
        self.refusals += 1;
        Refused
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), Refused> {
        let sent = self.writer.write_all(bytes);
        sent.map_err(|error| self.hung_up(&error))
    }

    fn line(&mut self) -> Result<String, Refused> {
        let mut line = Vec::new();
        let read = match self.reader.read_until(b'\n', &mut line) {
            Ok(_) if !line.ends_with(b"\n") => Err(std::io::ErrorKind::UnexpectedEof.into()),
            read => read,
        };
        read.map_err(|error| self.hung_up(&error))?;
        let line = String::from_utf8(line).expect("a line of text");
        let Some(line) = line.strip_suffix("\r\n") else {
            panic!("no whole line: {line:?}");
        };
        if line.starts_with("SERVER_ERROR ") {
            return Err(self.refused());
        }
        Ok(line.to_owned())
    }

    fn set(&mut self, no: usize, version: u64) -> Result<(), Refused> {
        let value = value(no, version);
        let head = format!("set {} 0 0 {}\r\n", key(no), value.len());
        self.send(&[head.as_bytes(), &value, b"\r\n"].concat())?;
        assert_eq!(self.line()?, "STORED", "the reply to set {}", key(no));
        Ok(())
    }

    /// Which version is there for each key, in the order of the keys.
    fn get(&mut self, nos: &[usize]) -> Result<Vec<Option<u64>>, Refused> {
        let keys: Vec<String> = nos.iter().map(|&no| key(no)).collect();
        self.send(format!("get {}\r\n", keys.join(" ")).as_bytes())?;
        let mut found = vec![None; nos.len()];
        loop {
            let line = self.line()?;
            if line == "END" {
                return Ok(found);
            }
            let words: Vec<&str> = line.split(' ').collect();
            let ["VALUE", name, "0", len] = words[..] else {
                panic!("not a reply to get: {line:?}");
            };
            let at = keys.iter().position(|key| key == name);
            let at = at.unwrap_or_else(|| panic!("{name} was not asked for"));
            assert!(found[at].is_none(), "{name} twice");
            let mut bytes = vec![0; len.parse::<usize>().expect("a length") + 2];
            let read = self.reader.read_exact(&mut bytes);
            read.map_err(|error| self.hung_up(&error))?;
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let version = text
                .strip_prefix(&format!("{name}="))
                .and_then(|rest| rest.split(';').next()?.parse().ok())
                .unwrap_or_else(|| panic!("{name} has a value of another: {text:?}"));
            let expected = [value(nos[at], version).as_slice(), b"\r\n"].concat();
            assert!(bytes == expected, "{name} has a wrong value: {text:?}");
            found[at] = Some(version);
        }
    }

    /// Keys that are there. Asks again while a node is being given up.
    fn present(&mut self) -> HashSet<usize> {
        let mut present = HashSet::new();
        for no in 0..KEYS {
            let found = loop {
                match self.get(&[no]) {
                    Ok(found) => break found[0],
                    Err(Refused) => std::thread::sleep(Duration::from_millis(1)),
                }
            };
            present.extend(found.map(|_| no));
        }
        present
    }
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A file of this repository, with other addresses.
fn with_addresses(file: &str, addresses: &[(String, String)]) -> String {
    let mut text = std::fs::read_to_string(tool::root().join(file)).expect("the file");
    for (from, to) in addresses {
        assert!(text.contains(from), "{file} does not name {from}");
        text = text.replace(from, to);
    }
    text
}

/// The configuration that the cluster on Kubernetes mounts, with real addresses.
fn configuration(nodes: &[Node], socket: &Path) -> String {
    let mut addresses: Vec<(String, String)> = (0..nodes.len())
        .map(|no| {
            (
                format!("flagstone-{no}.flagstone:7171"),
                nodes[no].address.clone(),
            )
        })
        .collect();
    // A port could be somebody else's by the time the proxy binds it.
    let socket = socket.to_string_lossy().into_owned();
    addresses.push(("0.0.0.0:22121".to_owned(), socket));
    with_addresses("k8s/overlays/cluster/twemproxy.yml", &addresses)
}

/// What a configuration sets, without its comments and in any order.
fn settings(text: &str) -> Vec<&str> {
    let lines = text.lines().map(str::trim);
    let mut set: Vec<&str> = lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect();
    set.sort_unstable();
    set
}

#[test]
fn the_docs_and_the_cluster_have_the_same_settings() {
    let mut addresses: Vec<(String, String)> = (0..3)
        .map(|no| {
            (
                format!("flagstone-{no}.flagstone"),
                format!("10.0.0.{}", no + 1),
            )
        })
        .collect();
    addresses.push(("0.0.0.0:22121".to_owned(), "127.0.0.1:22121".to_owned()));
    let cluster = with_addresses("k8s/overlays/cluster/twemproxy.yml", &addresses);
    let docs = with_addresses("docs/examples/twemproxy.yml", &[]);
    assert_eq!(settings(&docs), settings(&cluster));
}

/// One of the sixteen million of this machine.
fn address_of_our_own() -> String {
    let id = std::process::id();
    format!("127.{}.{}.7", 1 + (id >> 8) % 250, id % 256)
}

/// Reads and writes until told to stop.
fn load(socket: &Path, seed: usize, stop: &AtomicBool, versions: &AtomicU64, tally: &Tally) {
    let mut client = Client::through(socket);
    let mut at = seed;
    while !stop.load(Relaxed) {
        at = at
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let first = (at >> 33) % KEYS;
        if at >> 62 == 0 {
            // Few keys, so that what a dead node took is not soon written anew.
            let _ = client.set(first / 20 * 20, versions.fetch_add(1, Relaxed));
        } else {
            // Keys of all nodes in one request.
            let nos: Vec<usize> = (0..1 + (at >> 50) % 20)
                .map(|no| (first + no) % KEYS)
                .collect();
            for found in client.get(&nos).unwrap_or_default() {
                if let Some(version) = found {
                    assert!(version < versions.load(Relaxed), "nobody wrote {version}");
                    tally.hits.fetch_add(1, Relaxed);
                } else {
                    tally.misses.fetch_add(1, Relaxed);
                }
            }
        }
        tally.requests.fetch_add(1, Relaxed);
    }
    tally.refusals.fetch_add(client.refusals, Relaxed);
}

#[test]
fn a_node_that_dies_takes_only_its_third() {
    let name = "a_node_that_dies_takes_only_its_third";
    let Some(nutcracker) = tool::find("nutcracker") else {
        return tool::skip(name, "nutcracker not installed");
    };
    let mut nodes: Vec<Node> = (0..3).map(|_| Node::start("127.0.0.1:0")).collect();
    let directory = Scratch::new("twemproxy");
    let socket = directory.0.join("proxy");
    let file = directory.0.join("nutcracker.yml");
    std::fs::write(&file, configuration(&nodes, &socket)).expect("writes");
    let log = directory.0.join("log");
    let _proxy = Guard(
        Command::new(nutcracker)
            .arg("-c")
            .arg(&file)
            .arg("-o")
            .arg(&log)
            // Its own statistics must have a port: on an address that nobody else has.
            .args(["-a", &address_of_our_own(), "-s", "22222"])
            .stdin(Stdio::null())
            .spawn()
            .expect("starts"),
    );
    wait_until("the proxy listens", || UnixStream::connect(&socket).is_ok());

    let versions = AtomicU64::new(1);
    let fill = |client: &mut Client, only: &HashSet<usize>| {
        let version = versions.fetch_add(1, Relaxed);
        only.iter()
            .filter(|&&no| client.set(no, version).is_ok())
            .count()
    };
    let everything: HashSet<usize> = (0..KEYS).collect();
    let mut client = Client::through(&socket);
    assert_eq!(fill(&mut client, &everything), KEYS);
    assert_eq!(client.present().len(), KEYS);
    let shares: Vec<HashSet<usize>> = nodes.iter().map(Node::held).collect();
    assert_eq!(shares.iter().map(HashSet::len).sum::<usize>(), KEYS);
    for share in &shares {
        let share = share.len() as f64 / KEYS as f64;
        assert!(SHARE.contains(&share), "a share of {share:.2}");
    }

    let (stop, tally) = (AtomicBool::new(false), Tally::default());
    std::thread::scope(|scope| {
        let (socket, stop, versions, tally) = (&socket, &stop, &versions, &tally);
        let _stop = OnDrop(stop);
        for seed in 1..=4 {
            scope.spawn(move || load(socket, seed, stop, versions, tally));
        }
        std::thread::sleep(Duration::from_millis(500));

        nodes[1].kill();
        // Wait until the proxy has given it up: until then it refuses.
        wait_until("node1 is left out", || {
            let some = shares[1].iter().take(20);
            some.copied().all(|no| client.get(&[no]).is_ok())
        });
        // Nothing of the other two is lost, and theirs are still where they were.
        let left = client.present();
        let lost: HashSet<usize> = everything.difference(&left).copied().collect();
        let foreign = lost.difference(&shares[1]).count();
        assert_eq!(foreign, 0, "keys of nodes that live were lost");
        // The load writes a twentieth again, on the nodes that are left.
        assert!(
            lost.len() * 100 > shares[1].len() * 85,
            "only {} lost",
            lost.len()
        );
        println!(
            "node1 had {} of {KEYS} keys; {} are missing after its end, of others {foreign}",
            shares[1].len(),
            lost.len()
        );
        // Its keys live on the others while it is away. It is tried again every second, which costs
        // whoever comes then a refusal.
        let stored = fill(&mut client, &shares[1]);
        assert!(
            stored * 10 > shares[1].len() * 9,
            "{stored} of {}",
            shares[1].len()
        );
        assert!(client.present().len() * 100 > KEYS * 95);

        let address = nodes[1].address.clone();
        nodes[1] = Node::start(&address);
        assert_eq!(nodes[1].address, address);
        wait_until("node1 has its keys again", || {
            fill(&mut client, &shares[1]);
            nodes[1].held().len() >= shares[1].len()
        });
        // Everything is where it was at first.
        assert_eq!(fill(&mut client, &everything), KEYS);
        assert_eq!(client.present().len(), KEYS);
        for (node, share) in nodes.iter().zip(&shares) {
            assert!(node.held().is_superset(share), "a node holds its share");
        }
    });
    let count = |number: &AtomicU64| number.load(Relaxed);
    println!(
        "{} requests of the load: {} hits, {} misses, {} refused or cut off by the proxy",
        count(&tally.requests),
        count(&tally.hits),
        count(&tally.misses),
        count(&tally.refusals) + client.refusals
    );
    assert!(count(&tally.hits) > 1000 && count(&tally.misses) > 0);
}

/// Ends the load also when the test fails: else its threads would be waited for.
struct OnDrop<'a>(&'a AtomicBool);

impl Drop for OnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}
