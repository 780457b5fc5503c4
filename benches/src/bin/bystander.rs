//! What a client that behaves feels while others do not.
//!
//! ```text
//! cargo run --release -p flagstone-benches --bin bystander -- [SCENE…] [--seconds N] [--server PATH] [--memcached] [--login]
//! ```
//!
//! Each scene is a small load on the loopback device. Beside it two bystanders, one a worker, ask one thing at a
//! time: a GET of a byte, a PUT of a byte, and now and then a GET of 60 KB. The table shows how long they
//! waited, in milliseconds, and how many connections of the load the server closed. The other columns are the
//! load's own: what it moved, and the CPU time of the server's busiest and idlest worker.
//!
//! On 2026-11-28, at 64 MiB with two workers on two cores where nothing else ran, four seconds a scene: GET p99 / max and
//! GET 60 KB max in milliseconds; with a login of everybody; and in brackets the server in which a turn needed a buffer for whatever it
//! might leave over. Nobody was closed, but where that is said.
//!
//! | scene | | with a login | (once) |
//! |---|---|---|---|
//! | `quiet` | 0.7 / 13.6; 8.0 | 0.4 / 2.7; 0.9 | |
//! | `half` | 1.1 / 9.6; 3.8 | 0.3 / 1.6; 3.0 | (29,769 / 29,769; never) |
//! | `bytes` | 0.5 / 4.4; 4.4 | 0.4 / 2.1; 2.3 | (29,751 / 29,751; never) |
//! | `uploads` | 2.5 / 6.9; 6.3 | 0.4 / 1.8; 1.1 | (3,046 / 3,046; 0.4) |
//! | `long-uploads` | 4.1 / 6.7; 4.7 | 3.2 / 5.0; 7.0 | (0.2 / 0.2; never in 100 s) |
//! | `reader-8m` | 0.7 / 3.9; 3.5 | 0.3 / 0.8; 0.9 | |
//! | `readers-1m` | 0.4 / 1.0; 1.7 | 0.3 / 1.0; 1.2 | (0.2 / 0.2; 8,463) |
//! | `readers-400k` | 0.4 / 1.1; 1.0 | 0.4 / 3.1; 2.6 | (0.1 / 0.1; 9,086) |
//! | `readers-1k` | 0.4 / 2.0; 2.7 | 0.2 / 8.2; 1.0 | (0.5 / 169; 10.9; 18 of 40 closed) |
//! | `deaf` | 0.2 / 0.6; 0.8 | 0.4 / 1.3; 1.4 | (0.3 / 48.3; 3.6; 18 of 40 closed) |
//! | `append` | 0.7 / 4.4; 5.2 | 0.8 / 4.1; 4.6 | (3.8 / 302; 219) |
//! | `stats` | 0.7 / 4.1; 5.2 | 0.8 / 3.8; 2.8 | (3.3 / 211; 226) |
//! | `classes` | 0.6 / 4.4; 4.9 | 0.7 / 4.2; 2.8 | (76.8 / 186; 89.5) |
//! | `idle` | 0.4 / 1.1; 1.5 | 0.4 / 1.2; 1.5 | (0.2 / 1.5; 0.6) |
//! | `hot` | 0.9 / 9.6; 5.0 | 0.7 / 0.9; 1.5 | |
//! | `flush` | 0.5 / 2.2; 1.1 | | |
//! | `expiring` | 0.3 / 0.8; 1.2 | | |
//!
//! Without names every scene is played, but `flush` and `expiring`, which fill gigabytes first. With `--login` everybody has to log
//! in. What 200 TLS handshakes at once cost is the server's example `handshakes`. `--server` takes any number of
//! programs by repeating it, so that two builds can be compared; `--memcached` adds the memcached that is installed.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use flagstone_benches::args::Args;
use socket2::{Domain, Socket, Type};

/// Scenes by name, and what they are.
const SCENES: &[(&str, &str)] = &[
    ("quiet", "nobody else"),
    ("half", "40 hold 1,300 bytes of an unfinished store"),
    ("bytes", "310 hold one byte each"),
    ("uploads", "60 upload 15 KB at 4.5 KB/s"),
    ("long-uploads", "16 upload 1 MB at 60 KB/s, 4 GET 100 KB"),
    (
        "reader-8m",
        "one reads 1 MiB values at 100 KB/s, with --max-item 8m",
    ),
    ("readers-1m", "ten read 1 MiB values at 100 KB/s"),
    ("readers-400k", "30 read 400 KB values at 193 KB/s"),
    ("readers-1k", "40 read 1 KB values, pipelined, at 100 KB/s"),
    ("deaf", "40 ask for 1 KB values and never read"),
    ("append", "one appends to 900 KB, pipelined"),
    ("stats", "one asks for stats slabs, pipelined"),
    ("classes", "one asks for STATS CLASSES, pipelined"),
    ("idle", "10,000 are connected and silent"),
    ("hot", "20 hot clients, every second connection"),
    ("flush", "FLUSH of a full gigabyte, every second"),
    (
        "expiring",
        "25 million items, whose deadlines are spread over an hour",
    ),
];
/// They fill a cache of their own size first, and are played only when they are asked for.
const LARGE: [(&str, usize); 2] = [("flush", 14_000_000), ("expiring", 25_000_000)];
const USER: &str = "by:stander";
/// Longer than any scene, so that who is never answered is seen as that.
const PATIENCE: Duration = Duration::from_secs(20);
const PORT_WORDS: &str = "listening on ";

/// One connection of a load.
struct Peer {
    stream: TcpStream,
    /// Sent at once.
    first: Vec<u8>,
    /// Sent after it, again and again.
    again: Vec<u8>,
    sent: usize,
    write_rate: f64,
    read_rate: f64,
    may_write: f64,
    may_read: f64,
    /// Sends again when it has been answered.
    waits: bool,
    moved: usize,
    closed: bool,
}

impl Peer {
    fn new(
        address: SocketAddr,
        first: Vec<u8>,
        again: Vec<u8>,
        rates: (f64, f64),
    ) -> io::Result<Peer> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        // So that what is not read stays with the server.
        if rates.1 < f64::INFINITY {
            socket.set_recv_buffer_size(32 << 10)?;
        }
        socket.connect(&address.into())?;
        let mut stream = TcpStream::from(socket);
        stream.set_nodelay(true)?;
        if LOGIN.load(Relaxed) {
            log_in(&mut stream)?;
        }
        stream.set_nonblocking(true)?;
        Ok(Peer {
            stream,
            first,
            again,
            sent: 0,
            write_rate: rates.0,
            read_rate: rates.1,
            may_write: 0.0,
            may_read: 0.0,
            waits: false,
            moved: 0,
            closed: false,
        })
    }

    /// What it does in `seconds`. True: something moved.
    fn go_on(&mut self, seconds: f64, buffer: &mut [u8]) -> bool {
        self.may_write = (self.may_write + self.write_rate * seconds).min(1e6);
        self.may_read = (self.may_read + self.read_rate * seconds).min(1e6);
        let before = self.moved;
        if self.may_read >= 1.0 {
            let most = (self.may_read as usize).min(buffer.len());
            match (&self.stream).read(&mut buffer[..most]) {
                Ok(n) if n > 0 => {
                    self.may_read -= n as f64;
                    self.moved += n;
                    if self.waits {
                        self.sent = self.first.len();
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                _ => self.closed = true,
            }
        }
        loop {
            let (bytes, most) = if self.sent < self.first.len() {
                (&self.first[self.sent..], usize::MAX)
            } else if self.again.is_empty() || self.may_write < 1.0 {
                break;
            } else {
                let at = self.sent - self.first.len();
                if self.waits && at >= self.again.len() {
                    break;
                }
                (
                    &self.again[at % self.again.len()..],
                    self.may_write as usize,
                )
            };
            match (&self.stream).write(&bytes[..bytes.len().min(most)]) {
                Ok(n) => {
                    if self.sent >= self.first.len() {
                        self.may_write -= n as f64;
                    }
                    self.sent += n;
                    self.moved += n;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => {
                    self.closed = true;
                    break;
                }
            }
            if self.write_rate == f64::INFINITY {
                break;
            }
        }
        self.moved > before
    }
}

/// A server of our own.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    fn start(program: &str, scene: &str) -> Result<Server, String> {
        let mut command = Command::new(program);
        let memory = match scene {
            "flush" => "1024",
            "expiring" => "2560",
            _ => "64",
        };
        let users = std::env::temp_dir().join(format!("bystander-{}", std::process::id()));
        if LOGIN.load(Relaxed) {
            std::fs::write(&users, format!("{USER}\n"))
                .map_err(|error| format!("{}: {error}", users.display()))?;
        }
        let users = users.to_string_lossy().into_owned();
        let is_memcached = program.ends_with("memcached");
        if is_memcached {
            let free =
                std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
            let address = free.map_err(|error| error.to_string())?;
            let port = address.port().to_string();
            command.args([
                "-u",
                "nobody",
                "-l",
                "127.0.0.1",
                "-t",
                "2",
                "-c",
                "20000",
                "-m",
                memory,
                "-p",
                &port,
            ]);
            if LOGIN.load(Relaxed) {
                command.args(["-Y", &users]);
            }
            let child = command
                .spawn()
                .map_err(|error| format!("{program}: {error}"))?;
            std::thread::sleep(Duration::from_millis(300));
            return Ok(Server { child, address });
        }
        command.args([
            "--listen",
            "127.0.0.1:0",
            "--admin",
            "none",
            "--workers",
            "2",
        ]);
        command.args(["--memory", &format!("{memory}m")]);
        if LOGIN.load(Relaxed) {
            command.args(["--auth-file", &users]);
        }
        if scene == "reader-8m" {
            command.args(["--max-item", "8m"]);
        }
        let child = command.stderr(Stdio::piped()).spawn();
        let mut child = child.map_err(|error| format!("{program}: {error}"))?;
        let mut lines = BufReader::new(child.stderr.take().ok_or("no stderr")?).lines();
        let address = lines.by_ref().map_while(Result::ok).find_map(|line| {
            let from = line.find(PORT_WORDS)? + PORT_WORDS.len();
            line[from..].split([',', ' ']).next()?.parse().ok()
        });
        std::thread::spawn(move || lines.for_each(drop));
        let address = address.ok_or(format!("{program} does not say where it listens"))?;
        Ok(Server { child, address })
    }

    /// CPU time of each worker so far, in hundredths of a second.
    fn worker_ticks(&self) -> Vec<u64> {
        let tasks = Path::new("/proc")
            .join(self.child.id().to_string())
            .join("task");
        let mut ticks = Vec::new();
        for task in std::fs::read_dir(tasks).into_iter().flatten().flatten() {
            let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
            let Some((name, rest)) = stat.rsplit_once(')') else {
                continue;
            };
            if !name.contains("worker") {
                continue;
            }
            let mut times = rest
                .split_whitespace()
                .skip(11)
                .map_while(|field| field.parse::<u64>().ok());
            ticks.push(times.next().unwrap_or(0) + times.next().unwrap_or(0));
        }
        ticks
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    if LOGIN.load(Relaxed) {
        log_in(&mut stream)?;
    }
    Ok(stream)
}

/// Whether everybody has to log in.
static LOGIN: AtomicBool = AtomicBool::new(false);

fn log_in(stream: &mut TcpStream) -> io::Result<()> {
    let words = USER.replace(':', " ");
    write!(stream, "set login 0 0 {}\r\n{words}\r\n", words.len())?;
    stream.read_exact(&mut [0; "STORED\r\n".len()])
}

/// Stores a value, so that the scene finds it.
fn put(stream: &mut TcpStream, key: &str, len: usize) -> io::Result<()> {
    let mut request = format!("set {key} 0 0 {len}\r\n").into_bytes();
    request.resize(request.len() + len, b'v');
    request.extend(b"\r\n");
    stream.write_all(&request)?;
    stream.read_exact(&mut [0; 8])
}

/// Fills the cache with small items.
fn fill(stream: &mut TcpStream, count: usize, expires: bool) -> io::Result<()> {
    for from in (0..count).step_by(1000) {
        // Spread evenly, and in no order.
        let lifetime = |n: usize| {
            if expires {
                1 + n * 2_654_435_761 % 3600
            } else {
                0
            }
        };
        let batch: String = (from..from + 1000)
            .map(|n| format!("set fill{n:010} 0 {} 4\r\nabcd\r\n", lifetime(n)))
            .collect();
        stream.write_all(batch.as_bytes())?;
        stream.read_exact(&mut [0; 8000])?;
    }
    Ok(())
}

/// The load of a scene.
fn load(scene: &str, address: SocketAddr) -> io::Result<Vec<Peer>> {
    const ALL: f64 = f64::INFINITY;
    let store = |n: usize, len: usize| format!("set up{n} 0 0 {len}\r\n").into_bytes();
    let value = |n: usize, len: usize| [&store(n, len)[..], &vec![b'v'; len], b"\r\n"].concat();
    let get = |key: &str| format!("get {key}\r\n").into_bytes();
    let peer = |first: &[u8], again: &[u8], rates| {
        Peer::new(address, first.to_vec(), again.to_vec(), rates)
    };
    let many =
        |count: usize, make: &dyn Fn(usize) -> io::Result<Peer>| (0..count).map(make).collect();
    match scene {
        "half" => many(40, &|n| peer(&value(n, 2000)[..1300], b"", (0.0, ALL))),
        "bytes" => many(310, &|_| peer(b"s", b"", (0.0, ALL))),
        "uploads" => many(60, &|n| peer(b"", &value(n, 15_000), (4_500.0, ALL))),
        "long-uploads" => {
            let mut peers: Vec<Peer> =
                many(16, &|n| peer(b"", &value(n, 1_000_000), (60_000.0, ALL)))?;
            for _ in 0..4 {
                let mut reader = peer(b"", &get("v100k"), (ALL, ALL))?;
                reader.waits = true;
                peers.push(reader);
            }
            Ok(peers)
        }
        "reader-8m" => many(1, &|_| peer(&get("v1m").repeat(100), b"", (ALL, 100_000.0))),
        "readers-1m" => many(10, &|_| {
            peer(&get("v1m").repeat(100), b"", (ALL, 100_000.0))
        }),
        "readers-400k" => many(30, &|_| {
            peer(&get("v400k").repeat(100), b"", (ALL, 193_000.0))
        }),
        "readers-1k" => many(40, &|_| {
            peer(b"", &get("v1k").repeat(100), (ALL, 100_000.0))
        }),
        "deaf" => many(40, &|_| peer(b"", &get("v1k").repeat(100), (ALL, 0.0))),
        "append" => many(1, &|_| {
            peer(b"", &b"append v900k 0 0 1\r\nx\r\n".repeat(100), (ALL, ALL))
        }),
        "stats" => many(1, &|_| {
            peer(b"", &b"stats slabs\r\n".repeat(100), (ALL, ALL))
        }),
        "classes" => many(1, &|_| {
            peer(b"", &b"STATS CLASSES\n".repeat(100), (ALL, ALL))
        }),
        "idle" => many(9_990, &|_| peer(b"get b\r\n", b"", (0.0, 0.0))),
        "hot" => many(40, &|n| {
            let asked = b"get b\r\n".repeat(if n % 2 == 0 { 300 } else { 0 });
            let mut hot = peer(b"", &asked, (ALL, ALL))?;
            hot.waits = true;
            Ok(hot)
        }),
        "flush" => many(1, &|_| peer(b"", b"flush_all\r\n", (11.0, ALL))),
        _ => Ok(Vec::new()),
    }
}

/// How long one bystander waited, in seconds: GETs, PUTs, GETs of 60 KB.
type Waits = [Vec<f64>; 3];

fn stand_by(address: SocketAddr, start: Instant, seconds: f64, mut stream: TcpStream) -> Waits {
    let mut waits = Waits::default();
    let mut reply = vec![0; 60_100];
    for round in 0.. {
        if start.elapsed().as_secs_f64() > seconds {
            break;
        }
        let kind = [0, 1, 0, 1, 0, 1, 2][round % 7];
        let (request, len): (&[u8], usize) = match kind {
            0 => (b"get b\r\n", "VALUE b 0 1\r\nv\r\nEND\r\n".len()),
            1 => (b"set c 0 0 1\r\nv\r\n", "STORED\r\n".len()),
            _ => (
                b"get v60k\r\n",
                "VALUE v60k 0 60000\r\n\r\nEND\r\n".len() + 60_000,
            ),
        };
        let asked = Instant::now();
        // Who is flushed away is asked for in vain, so a miss is an answer as well.
        let answered = stream.write_all(request).and_then(|()| {
            let first = stream.read(&mut reply[..len])?;
            match &reply[..first] {
                b"" => Err(io::ErrorKind::UnexpectedEof.into()),
                b"END\r\n" => Ok(()),
                _ => stream.read_exact(&mut reply[first..len]),
            }
        });
        waits[kind].push(asked.elapsed().as_secs_f64());
        if answered.is_err() {
            // Closed, or never answered: the wait counts, and there is a new beginning.
            waits[kind].push(PATIENCE.as_secs_f64());
            match connect(address) {
                Ok(next) => stream = next,
                Err(_) => break,
            }
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    waits
}

fn of(sorted: &[f64], part: f64) -> f64 {
    let at = (sorted.len() as f64 * part) as usize;
    sorted
        .get(at.min(sorted.len().saturating_sub(1)))
        .map_or(f64::NAN, |wait| wait * 1000.0)
}

/// Plays a scene and prints its row.
fn play(scene: &str, program: &str, seconds: f64) -> Result<(), String> {
    let said = |error: io::Error| format!("{scene}: {error}");
    let server = Server::start(program, scene)?;
    let address = server.address;
    let mut prepares = connect(address).map_err(said)?;
    for (key, len) in [
        ("b", 1),
        ("v1k", 1000),
        ("v60k", 60_000),
        ("v100k", 100_000),
        ("v400k", 400_000),
    ] {
        put(&mut prepares, key, len).map_err(said)?;
    }
    for (key, len) in [("v900k", 900_000), ("v1m", (1 << 20) - 100)] {
        put(&mut prepares, key, len).map_err(said)?;
    }
    if let Some((_, count)) = LARGE.iter().find(|(name, _)| *name == scene) {
        fill(&mut prepares, *count, scene == "expiring").map_err(said)?;
    }
    let bystanders = [
        connect(address).map_err(said)?,
        connect(address).map_err(said)?,
    ];
    let mut peers = load(scene, address).map_err(said)?;
    let is_over = AtomicBool::new(false);
    let before = server.worker_ticks();
    let start = Instant::now();
    let (mut waits, took) = std::thread::scope(|scope| {
        let (peers, is_over) = (&mut peers, &is_over);
        scope.spawn(move || {
            let mut buffer = vec![0; 1 << 16];
            let mut last = Instant::now();
            let is_fast = peers
                .iter()
                .any(|peer| peer.write_rate == f64::INFINITY && !peer.again.is_empty());
            while !is_over.load(Relaxed) {
                let passed = last.elapsed().as_secs_f64();
                last = Instant::now();
                let mut moved = false;
                for peer in peers.iter_mut().filter(|peer| !peer.closed) {
                    moved |= peer.go_on(passed, &mut buffer);
                }
                if !(is_fast && moved) {
                    std::thread::sleep(Duration::from_millis(if is_fast { 1 } else { 5 }));
                }
            }
        });
        // Give the load time to stand.
        std::thread::sleep(Duration::from_millis(300));
        let threads =
            bystanders.map(|stream| scope.spawn(move || stand_by(address, start, seconds, stream)));
        let mut waits = Waits::default();
        for thread in threads {
            for (all, some) in waits.iter_mut().zip(thread.join().unwrap_or_default()) {
                all.extend(some);
            }
        }
        is_over.store(true, Relaxed);
        (waits, start.elapsed().as_secs_f64())
    });
    waits
        .iter_mut()
        .for_each(|waits| waits.sort_by(f64::total_cmp));
    let after = server.worker_ticks();
    let mut cpus: Vec<f64> = after
        .iter()
        .zip(&before)
        .map(|(after, before)| (after - before) as f64 / took)
        .collect();
    cpus.sort_by(f64::total_cmp);
    let [get, put, get60k] = &waits;
    let closed = peers.iter().filter(|peer| peer.closed).count();
    let moved: usize = peers.iter().map(|peer| peer.moved).sum();
    let name = Path::new(program)
        .file_name()
        .map_or(program.into(), |name| name.to_string_lossy());
    println!(
        "| {scene} | {name} | {:.2} / {:.1} / {:.1} | {:.1} / {:.1} | {:.1} / {:.1} | {} | {closed} of {} | {:.2} | {:.0} / {:.0} |",
        of(get, 0.5),
        of(get, 0.99),
        of(get, 1.0),
        of(put, 0.99),
        of(put, 1.0),
        of(get60k, 0.99),
        of(get60k, 1.0),
        get.len() + put.len() + get60k.len(),
        peers.len(),
        moved as f64 / took / 1e6,
        cpus.last().unwrap_or(&0.0),
        cpus.first().unwrap_or(&0.0),
    );
    Ok(())
}

fn run() -> Result<(), String> {
    let mut args = Args::of_process();
    let seconds: f64 = args.option("--seconds")?.unwrap_or(8.0);
    let mut programs = Vec::new();
    while let Some(program) = args.option::<String>("--server")? {
        programs.push(program);
    }
    if programs.is_empty() {
        let beside = std::env::current_exe().map_err(|error| error.to_string())?;
        programs.push(
            beside
                .with_file_name("flagstone")
                .to_string_lossy()
                .into_owned(),
        );
    }
    LOGIN.store(args.flag("--login"), Relaxed);
    if args.flag("--memcached") {
        programs.push("memcached".to_owned());
    }
    let mut scenes = args.words()?;
    if scenes.is_empty() {
        scenes = SCENES
            .iter()
            .map(|(name, _)| (*name).to_owned())
            .filter(|name| LARGE.iter().all(|(large, _)| large != name))
            .collect();
    }
    println!(
        "| scene | server | GET p50 / p99 / max, ms | PUT p99 / max | GET 60 KB p99 / max | asked | closed | load MB/s | worker CPU %: most / least |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for scene in &scenes {
        if !SCENES.iter().any(|(name, _)| name == scene) {
            let names: Vec<String> = SCENES
                .iter()
                .map(|(name, what)| format!("{name}: {what}"))
                .collect();
            return Err(format!("no scene {scene}; there are\n{}", names.join("\n")));
        }
        for program in &programs {
            if !(program.ends_with("memcached") && scene == "classes") {
                play(scene, program, seconds)?;
            }
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("bystander: {why}");
            ExitCode::FAILURE
        }
    }
}
