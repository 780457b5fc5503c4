//! Goal: behind a proxy that sends PROXY headers, a client is known by the address it has, and whoever sends no header is
//! shown out.
//! Method: headers written by hand, whole, in pieces and wrong, to a server in this process; and HAProxy in front of one.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::common::http::{self, sample};
use crate::common::process::run;
use crate::common::resp::requests;
use crate::common::tls::{self, Pair};
use crate::common::tool::{self, Guard, Scratch};
use crate::common::{
    PATIENCE, connect_to, exchange, expect_end, small_config, start_with, wait_until,
};
use crate::told::Told;
use flagstone_server::{Config, Running};

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// From 192.0.2.7:54321 to 10.0.0.1:7171.
const V4: &[u8] = &[192, 0, 2, 7, 10, 0, 0, 1, 0xd4, 0x31, 0x1c, 3];

fn header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let len = u16::try_from(rest.len()).expect("fits").to_be_bytes();
    [SIGNATURE, &[command, family], &len, rest].concat()
}

fn from_v4() -> Vec<u8> {
    header(0x21, 0x11, V4)
}

fn config(places: &[&str]) -> Config {
    let places = places.iter().map(|place| place.parse());
    Config {
        listen: places.map(|place| place.expect("a place")).collect(),
        admin: Some(([127, 0, 0, 1], 0).into()),
        ..small_config()
    }
}

fn server() -> Running {
    start_with(config(&["proxy:127.0.0.1:0"]))
}

fn cut(server: &Running, reason: &str) -> f64 {
    let metrics = http::get(server.admin_addr().expect("has pages"), "/metrics").body;
    let name = format!("flagstone_connections_cut_total{{reason=\"{reason}\"}}");
    sample(&metrics, &name).unwrap_or_else(|| panic!("no {name}"))
}

/// What `CLIENT INFO` says of `name` on this connection.
fn info(stream: &mut (impl Read + Write), name: &str) -> String {
    stream.write_all(&requests("CLIENT INFO")).expect("sends");
    let mut told = Vec::new();
    while !told.ends_with(b"\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("replies");
        told.push(byte[0]);
    }
    let told = String::from_utf8(told).expect("text");
    let field = told.split(' ').find_map(|field| {
        let value = field.strip_prefix(name)?.strip_prefix('=')?;
        Some(value.to_owned())
    });
    field.unwrap_or_else(|| panic!("no {name} in {told}"))
}

#[test]
fn each_family_s_address_is_the_client_s_and_without_one_it_is_the_socket_s() {
    let server = server();
    let v6 = b"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07\xfe\x80\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x01\x02\x03\x04";
    let unspecified = [&[0; 12], &b"\x04\0\x02ab"[..]].concat();
    for (header, peer) in [
        (from_v4(), Some("192.0.2.7:54321")),
        (
            header(0x21, 0x11, &[V4, b"\x04\0\x03abc"].concat()),
            Some("192.0.2.7:54321"),
        ),
        (
            header(0x21, 0x11, &[V4, &[0; 4068]].concat()),
            Some("192.0.2.7:54321"),
        ),
        (header(0x21, 0x21, v6), Some("[2001:db8::7]:258")),
        (header(0x21, 0x31, &[b'/'; 216]), Some("unix:0")),
        (header(0x21, 0x00, &unspecified), None),
        (header(0x20, 0x00, b""), None),
        (header(0x20, 0x11, V4), None),
    ] {
        let mut client = connect_to(server.local_addr());
        client.write_all(&header).expect("sends");
        let own = client.local_addr().expect("has one").to_string();
        assert_eq!(info(&mut client, "addr"), peer.unwrap_or(&own));
        // Where it came in is this server's own address.
        assert_eq!(info(&mut client, "laddr"), server.local_addr().to_string());
    }
    assert_eq!(cut(&server, "proxy_header"), 0.0);
}

#[test]
fn a_header_may_come_in_any_pieces_and_any_protocol_behind_it() {
    let server = server();
    for (request, reply) in [
        (&b"GET nothing\n"[..], &b"NOTFOUND\n"[..]),
        (b"get nothing\r\n", b"END\r\n"),
        (b"*1\r\n$4\r\nPING\r\n", b"+PONG\r\n"),
        // memcached's binary NOOP.
        (
            b"\x80\x0a\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
            b"\x81\x0a\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
        ),
    ] {
        let whole = [&from_v4()[..], request].concat();
        // At once, byte by byte, and cut at each place.
        exchange(&mut connect_to(server.local_addr()), &whole, reply);
        let mut slow = connect_to(server.local_addr());
        for byte in &whole {
            slow.write_all(&[*byte]).expect("sends");
            std::thread::sleep(Duration::from_millis(2));
        }
        exchange(&mut slow, b"", reply);
        for at in 1..whole.len() {
            let mut client = connect_to(server.local_addr());
            client.write_all(&whole[..at]).expect("sends");
            if at % 8 == 0 {
                std::thread::sleep(Duration::from_millis(5));
            }
            exchange(&mut client, &whole[at..], reply);
        }
    }
    // A pipeline that is longer than any buffer, behind it.
    let mut client = connect_to(server.local_addr());
    let pipeline = [from_v4(), b"GET nothing\n".repeat(5000)].concat();
    exchange(&mut client, &pipeline, &b"NOTFOUND\n".repeat(5000));
    assert_eq!(cut(&server, "proxy_header"), 0.0);
}

#[test]
fn who_begins_in_another_way_is_shown_out_and_counted() {
    let server = server();
    let right = from_v4();
    let with = |at: usize, byte: u8| {
        let mut bytes = right.clone();
        bytes[at] = byte;
        bytes
    };
    let mut wrong: Vec<Vec<u8>> = (0..12).map(|at| with(at, right[at] ^ 0x20)).collect();
    wrong.extend([
        with(12, 0x11),
        with(12, 0x31),
        with(12, 0x22),
        with(13, 0x12),
        with(13, 0x41),
        with(14, 0x10),
        with(15, 11),
        header(0x21, 0x21, V4),
        header(0x21, 0x31, V4),
        b"PROXY TCP4 192.0.2.7 10.0.0.1 54321 7171\r\nGET a\n".to_vec(),
        b"GET a\n".to_vec(),
        b"\x16\x03\x01".to_vec(),
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
    ]);
    for (no, bytes) in wrong.iter().enumerate() {
        let mut client = connect_to(server.local_addr());
        client.write_all(bytes).expect("sends");
        let mut told = Vec::new();
        // A reset, where something was left unread, is as good as an end.
        let _ = client.read_to_end(&mut told);
        assert_eq!(told, b"", "{no}");
        wait_until("it is counted", || {
            cut(&server, "proxy_header") == (no + 1) as f64
        });
    }
    // One that ends within its header, and one that says nothing, which is no header and no fault.
    for (bytes, more) in [(&right[..20], 1.0), (b"", 0.0)] {
        let before = cut(&server, "proxy_header");
        let mut client = connect_to(server.local_addr());
        client.write_all(bytes).expect("sends");
        client.shutdown(Shutdown::Write).expect("ends");
        expect_end(&mut client);
        assert_eq!(cut(&server, "proxy_header") - before, more);
    }
}

#[test]
fn a_header_that_does_not_come_is_a_stall() {
    let server = start_with(Config {
        stall_timeout: Duration::from_secs(2),
        ..config(&["proxy:127.0.0.1:0"])
    });
    let mut silent = connect_to(server.local_addr());
    let mut half = connect_to(server.local_addr());
    half.write_all(&from_v4()[..20]).expect("sends");
    // A byte now and then is not a header either.
    let mut trickle = connect_to(server.local_addr());
    let mut writer = trickle.try_clone().expect("clones");
    std::thread::spawn(move || {
        let bytes = header(0x21, 0x11, &[V4, &[0; 1000]].concat());
        for byte in bytes {
            if writer.write_all(&[byte]).is_err() {
                break;
            }
            std::thread::sleep(Duration::from_millis(300));
        }
    });
    let mut idle = connect_to(server.local_addr());
    exchange(
        &mut idle,
        &[&from_v4()[..], b"GET a\n"].concat(),
        b"NOTFOUND\n",
    );
    let begun = Instant::now();
    for stream in [&mut silent, &mut half, &mut trickle] {
        assert!(matches!(stream.read(&mut [0; 8]), Ok(0) | Err(_)));
    }
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(20), "{took:?}");
    assert_eq!(cut(&server, "stalled"), 3.0);
    // Who is between two requests may wait.
    exchange(&mut idle, b"GET a\n", b"NOTFOUND\n");
}

#[test]
fn reports_tell_the_client_s_address() {
    let server = start_with(Config {
        slow_log: Some(Duration::from_nanos(1)),
        ..config(&["proxy:127.0.0.1:0", "127.0.0.1:0"])
    });
    let plain = server.local_addrs().nth(1).expect("two");
    let mut client = connect_to(server.local_addr());
    exchange(
        &mut client,
        &[&from_v4()[..], b"PUT a 1\n"].concat(),
        b"OK\n",
    );
    let page = http::get(server.admin_addr().expect("has pages"), "/clients").body;
    assert!(page.contains("192.0.2.7:54321"), "{page}");
    wait_until("it is among the slow requests", || {
        let mut asker = connect_to(plain);
        asker.write_all(b"SLOW\nQUIT\n").expect("sends");
        let mut told = String::new();
        asker.read_to_string(&mut told).expect("replies");
        told.contains(" command PUT client 192.0.2.7:54321 ")
    });
    // It can be closed by that address.
    let mut killer = connect_to(plain);
    let kill = requests("CLIENT KILL ADDR 192.0.2.7:54321");
    exchange(&mut killer, &kill, b":1\r\n");
    expect_end(&mut client);
}

#[test]
fn guesses_count_against_the_client_and_not_the_proxy() {
    let scratch = Scratch::new("proxied-guesses");
    let tokens = scratch.0.join("tokens");
    std::fs::write(&tokens, "s3cret\n").expect("writable");
    let server = start_with(Config {
        auth_token_file: Some(tokens),
        ..config(&["proxy:127.0.0.1:0"])
    });
    let from = |host: u8| {
        let mut bytes = V4.to_vec();
        bytes[3] = host;
        let mut client = connect_to(server.local_addr());
        client
            .write_all(&header(0x21, 0x11, &bytes))
            .expect("sends");
        client
    };
    let mut guesser = from(66);
    guesser
        .write_all(&b"AUTH guess\n".repeat(50))
        .expect("sends");
    let mut told = Vec::new();
    let _ = guesser.read_to_end(&mut told);
    let guesses = told.iter().filter(|&&byte| byte == b'\n').count();
    assert_eq!(guesses, 11, "{}", told.escape_ascii());
    // From there they come in now and then; the others, by the same proxy, always.
    let mut slowed = 0;
    for _ in 0..30 {
        let mut again = from(66);
        let _ = again.write_all(b"AUTH guess\nQUIT\n");
        let mut told = Vec::new();
        let _ = again.read_to_end(&mut told);
        slowed += usize::from(told.starts_with(b"ERROR Too many open connections\r\n"));
        exchange(&mut from(7), b"AUTH s3cret\nGET a\n", b"OK\nNOTFOUND\n");
    }
    assert!(slowed > 10, "{slowed}");
    assert!(cut(&server, "login_slowed") >= slowed as f64);
    let mut client = from(66);
    drop(client.write_all(b"QUIT\n"));
}

#[test]
fn tls_begins_behind_the_header() {
    let pair = Pair::new("proxied");
    let server = start_with(Config {
        tls_cert: Some(pair.cert.clone()),
        tls_key: Some(pair.key.clone()),
        ..config(&["proxy:tls:127.0.0.1:0"])
    });
    for most in [1, 7, 28, 10_000] {
        let session = tls::connect_behind(server.local_addr(), &pair.der, |socket| {
            for piece in from_v4().chunks(most) {
                socket.write_all(piece)?;
                std::thread::sleep(Duration::from_millis(1));
            }
            Ok(())
        });
        let mut session = session.expect("a handshake");
        assert_eq!(info(&mut session, "addr"), "192.0.2.7:54321");
    }
    // The header together with the hello.
    let mut socket = connect_to(server.local_addr());
    let hello = [from_v4(), tls::client_hello()].concat();
    socket.write_all(&hello).expect("sends");
    let mut record = [0; 3];
    socket.read_exact(&mut record).expect("an answer");
    assert_eq!(record[..2], [0x16, 3]);
    // TLS without it is no header.
    assert!(tls::connect(server.local_addr(), &pair.der).is_err());
    assert_eq!(cut(&server, "proxy_header"), 1.0);
}

#[test]
fn a_unix_socket_may_be_behind_a_proxy_and_subcommands_ask_as_proxies_do() {
    let pair = Pair::new("proxied-unix");
    let scratch = Scratch::new("proxied");
    let path = scratch.0.join("socket");
    let place = format!("proxy:unix:{}", path.display());
    let server = start_with(Config {
        tls_cert: Some(pair.cert.clone()),
        tls_key: Some(pair.key.clone()),
        ..config(&[
            &place,
            "proxy:127.0.0.1:0",
            "proxy:tls:127.0.0.1:0",
            "binary:proxy:127.0.0.1:0",
        ])
    });
    let mut client = UnixStream::connect(&path).expect("connects");
    client.set_read_timeout(Some(PATIENCE)).expect("settable");
    client.write_all(&from_v4()).expect("sends");
    assert_eq!(info(&mut client, "addr"), "192.0.2.7:54321");
    let mut client = UnixStream::connect(&path).expect("connects");
    client.set_read_timeout(Some(PATIENCE)).expect("settable");
    client.write_all(&header(0x20, 0, b"")).expect("sends");
    assert_eq!(info(&mut client, "addr"), "unix:0");
    let ports: Vec<SocketAddr> = server.local_addrs().collect();
    let [plain, secret, binary] = ports[..] else {
        panic!("{ports:?}");
    };
    for place in [
        place,
        format!("proxy:{plain}"),
        format!("resp:proxy:{plain}"),
        format!("proxy:tls:{secret}"),
        format!("binary:proxy:{binary}"),
    ] {
        let asked = run(&["healthcheck", "--address", &place], &[]);
        assert!(asked.status.success(), "{place}: {asked:?}");
    }
    for place in [format!("proxy:{plain}"), format!("proxy:tls:{secret}")] {
        let asked = run(&["stats", &place], &[]);
        assert!(asked.status.success(), "{place}: {asked:?}");
        assert!(String::from_utf8_lossy(&asked.stdout).contains("\nconnections "));
    }
    // Asked as if there were no proxy, it says nothing.
    let asked = run(&["healthcheck", "--address", &plain.to_string()], &[]);
    assert_eq!(asked.status.code(), Some(1), "{asked:?}");
}

#[test]
fn the_log_says_what_was_wrong() {
    let mut server = Told::start(&["--listen", "proxy:127.0.0.1:0", "--admin", "none"], &[]);
    let address = server.places()[0].parse().expect("an address");
    for (bytes, words) in [
        (
            &b"PROXY TCP4 1.2.3.4 5.6.7.8 9 10\r\n"[..],
            "a PROXY header of version 1 (text), where version 2 works",
        ),
        (b"get a\r\n", "no header of a proxy"),
    ] {
        let mut client = connect_to(address);
        let own = client.local_addr().expect("has one");
        client.write_all(bytes).expect("sends");
        let _ = client.read_to_end(&mut Vec::new());
        let told = server.line("at a place behind a proxy");
        assert!(told.starts_with("flagstone: warning: worker "), "{told}");
        let end = format!(
            ": closed 1 connections at a place behind a proxy: the last of them, from {own}, began with {words}"
        );
        assert!(told.contains(&end), "{told}");
    }
    // Nor do those who have said nothing keep it from ending.
    let _silent = connect_to(address);
    let mut half = connect_to(address);
    half.write_all(&from_v4()[..20]).expect("sends");
    std::thread::sleep(Duration::from_millis(200));
    let begun = Instant::now();
    assert_eq!(server.end(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(8));
}

/// HAProxy in front of a server, and where it listens.
struct Haproxy {
    scratch: Scratch,
    _process: Guard,
    host: String,
}

impl Haproxy {
    /// `backends` are a port and what comes behind the server's name, each.
    fn start(name: &str, backends: &[(u16, String)]) -> Option<Self> {
        let Some(program) = tool::find("haproxy") else {
            tool::skip(name, "haproxy is not installed (apt-get install haproxy)");
            return None;
        };
        let scratch = Scratch::new(name);
        // An address of this process' own, among those of the loopback: HAProxy cannot have a port chosen.
        let id = std::process::id();
        let host = format!(
            "127.{}.{}.{}",
            64 + id / 65_536 % 64,
            id / 256 % 256,
            id % 256
        );
        let socket = scratch.0.join("stats");
        let mut text = format!(
            "global\n  stats socket {}\ndefaults\n  mode tcp\n  timeout connect 10s\n  timeout client 60s\n  timeout server 60s\n",
            socket.display()
        );
        for (port, server) in backends {
            text += &format!("listen l{port}\n  bind {host}:{port}\n  server s {server}\n");
            // A check is a request, not just a connection.
            text += "  option tcp-check\n  tcp-check send version\\r\\n\n  tcp-check expect string VERSION\n";
        }
        let file = scratch.0.join("haproxy.cfg");
        std::fs::write(&file, text).expect("writable");
        let child = Command::new(program)
            .args(["-db", "-f"])
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        let proxy = Haproxy {
            scratch,
            _process: Guard(child),
            host,
        };
        wait_until("HAProxy is there", || proxy.is_there(backends));
        Some(proxy)
    }

    fn address(&self, port: u16) -> SocketAddr {
        format!("{}:{port}", self.host).parse().expect("an address")
    }

    fn is_there(&self, backends: &[(u16, String)]) -> bool {
        let mut ports = backends.iter().map(|backend| backend.0);
        ports.all(|port| TcpStream::connect(self.address(port)).is_ok())
    }

    /// What it says of its servers.
    fn stats(&self) -> String {
        let mut socket = UnixStream::connect(self.scratch.0.join("stats")).expect("connects");
        socket.write_all(b"show stat\n").expect("sends");
        let mut told = String::new();
        socket.read_to_string(&mut told).expect("replies");
        told
    }

    /// A client with an address of its own.
    fn connect_from(&self, host: [u8; 4], port: u16) -> TcpStream {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
        let socket = socket.expect("a socket");
        let own = SocketAddr::from((host, 0)).into();
        socket.bind(&own).expect("binds");
        socket
            .connect(&self.address(port).into())
            .expect("connects");
        socket.set_read_timeout(Some(PATIENCE)).expect("settable");
        socket.into()
    }
}

#[test]
fn haproxy_tells_where_clients_are_and_its_checks_find_the_server_up() {
    let name = "haproxy_tells_where_clients_are_and_its_checks_find_the_server_up";
    let pair = Pair::new("haproxy");
    let server = start_with(Config {
        tls_cert: Some(pair.cert.clone()),
        tls_key: Some(pair.key.clone()),
        ..config(&["proxy:127.0.0.1:0", "proxy:tls:127.0.0.1:0"])
    });
    let ports: Vec<SocketAddr> = server.local_addrs().collect();
    let [plain, secret] = ports[..] else {
        panic!("{ports:?}");
    };
    let checks = "check inter 100ms fall 1";
    let backends = [
        (7001, format!("{plain} send-proxy-v2 {checks}")),
        // Everything that it can tell more.
        (
            7002,
            format!("{plain} send-proxy-v2 proxy-v2-options ssl,cert-cn,authority,unique-id"),
        ),
        // TLS of the client's own, and of the proxy's.
        (
            7003,
            format!("{secret} send-proxy-v2 check-ssl verify none {checks}"),
        ),
        (
            7004,
            format!("{secret} send-proxy-v2 ssl verify none {checks}"),
        ),
    ];
    let Some(proxy) = Haproxy::start(name, &backends) else {
        return;
    };
    for port in [7001, 7002, 7004] {
        let mut client = proxy.connect_from([127, 0, 0, 9], port);
        let own = client.local_addr().expect("has one").to_string();
        assert!(own.starts_with("127.0.0.9:"));
        assert_eq!(info(&mut client, "addr"), own, "{port}");
        exchange(
            &mut client,
            &requests("SET a 1|GET a"),
            b"+OK\r\n$1\r\n1\r\n",
        );
    }
    let mut session = tls::connect(proxy.address(7003), &pair.der).expect("a handshake");
    let own = session.sock.local_addr().expect("has one").to_string();
    assert_eq!(info(&mut session, "addr"), own);
    wait_until("its checks have found all up", || {
        let stats = proxy.stats();
        let servers = stats.lines().filter(|line| line.contains(",s,"));
        let up = servers.filter(|line| line.contains(",UP,") && line.contains(",L7OK,"));
        up.count() == 3
    });
    std::thread::sleep(Duration::from_millis(500));
    let stats = proxy.stats();
    assert!(!stats.contains("DOWN"), "{stats}");
    // A check is no stray.
    assert_eq!(cut(&server, "proxy_header"), 0.0);
}

#[test]
fn haproxy_s_first_version_is_refused_by_name() {
    let server = server();
    let backends = [(7011, format!("{} send-proxy", server.local_addr()))];
    let name = "haproxy_s_first_version_is_refused_by_name";
    let Some(proxy) = Haproxy::start(name, &backends) else {
        return;
    };
    let before = cut(&server, "proxy_header");
    let mut client = proxy.connect_from([127, 0, 0, 9], 7011);
    let _ = client.write_all(b"get a\r\n");
    assert!(matches!(client.read(&mut [0; 64]), Ok(0) | Err(_)));
    wait_until("it is counted", || cut(&server, "proxy_header") > before);
}
