//! Goal: a server that is started with sockets which its service manager has opened serves at these, and while it restarts
//! nobody is refused.
//! Method: the tests open sockets and start servers with them as systemd does; and systemd's own program does, where it is.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixListener, UnixStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::common::process::flagstone;
use crate::common::tool::{self, Guard, Scratch};
use crate::common::{PATIENCE, connect_to, exchange, expect, http, wait_until};

/// The program, started with these as descriptors 3 and 4, and what variables say of them. `PID` is its number there.
fn with(sockets: Vec<OwnedFd>, variables: &[(&str, &str)], arguments: &[&str]) -> Child {
    let program = flagstone();
    // A shell has the number that the program has then.
    let set = variables.iter().map(|(name, value)| {
        let value = value.replace("PID", "$$");
        format!("export {name}=\"{value}\"; ")
    });
    let set: String = set.collect();
    // Whatever runs the tests may have files of these numbers.
    let moves = ["exec 3<&- 4<&-; ", "exec 3<&0 4<&-; ", "exec 3<&0 4<&1; "][sockets.len()];
    let mut command = Command::new("sh");
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
        .arg("-c")
        .arg(format!(
            "{moves}exec </dev/null >/dev/null; {set} exec \"$0\" \"$@\""
        ))
        .arg(program.get_program())
        .args(["--memory", "48m", "--max-connections", "100"])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut sockets = sockets.into_iter();
    if let Some(socket) = sockets.next() {
        command.stdin(Stdio::from(socket));
    }
    if let Some(socket) = sockets.next() {
        command.stdout(Stdio::from(socket));
    }
    command.spawn().expect("starts")
}

/// The variables of systemd for so many sockets.
fn variables(count: &str) -> [(&str, &str); 3] {
    [
        ("LISTEN_PID", "PID"),
        ("LISTEN_FDS", count),
        ("LISTEN_FDNAMES", "flagstone.socket:admin"),
    ]
}

fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
    let address = listener.local_addr().expect("bound").to_string();
    (listener, address)
}

fn copy(listener: &TcpListener) -> OwnedFd {
    listener.try_clone().expect("clones").into()
}

fn connect(address: &str) -> TcpStream {
    connect_to(address.parse().expect("an address"))
}

/// What it says until it ends.
fn ending(child: Child) -> (Option<i32>, String) {
    let output = child.wait_with_output().expect("ends");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), said)
}

#[test]
fn a_killed_server_refuses_nobody_and_its_successor_serves_who_waited() {
    let (listener, address) = listener();
    let start = || {
        let arguments = ["--listen", &address, "--admin", "none"];
        Guard(with(vec![copy(&listener)], &variables("1"), &arguments))
    };
    // Whoever connects before there is a server waits for one.
    let mut early = connect(&address);
    early.write_all(b"GET early\n").expect("sends");
    let mut server = start();
    expect(&mut early, b"NOTFOUND\n");
    for signal in ["KILL", "TERM", "KILL"] {
        exchange(&mut connect(&address), b"PUT a 1\n", b"OK\n");
        let id = server.0.id().to_string();
        let told = Command::new("kill").args(["-s", signal, &id]).status();
        assert!(told.expect("kill runs").success());
        server.0.wait().expect("ends");
        let mut waiting: Vec<TcpStream> = (0..20).map(|_| connect(&address)).collect();
        for client in &mut waiting {
            client.write_all(b"GET nothing\n").expect("sends");
        }
        std::thread::sleep(Duration::from_millis(100));
        server = start();
        for client in &mut waiting {
            expect(client, b"NOTFOUND\n");
        }
    }
}

#[test]
fn restarts_under_load_refuse_no_connection() {
    let (listener, address) = listener();
    let start = || {
        let arguments = ["--listen", &address, "--admin", "none"];
        Guard(with(vec![copy(&listener)], &variables("1"), &arguments))
    };
    let (is_over, served) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !is_over.load(Relaxed) {
                    // The one thing that may not happen is that it is refused. A server that was killed, or has left,
                    // may owe an answer to whom it had accepted.
                    let mut client = connect(&address);
                    let asked = client.write_all(b"GET a\n");
                    let answered = client.read(&mut [0; 16]);
                    if asked.is_ok() && answered.is_ok_and(|n| n > 0) {
                        served.fetch_add(1, Relaxed);
                    }
                }
            });
        }
        for signal in ["TERM", "KILL", "TERM", "KILL"] {
            let mut server = start();
            let before = served.load(Relaxed);
            wait_until("clients are served", || served.load(Relaxed) > before + 200);
            let id = server.0.id().to_string();
            let told = Command::new("kill").args(["-s", signal, &id]).status();
            assert!(told.expect("kill runs").success());
            server.0.wait().expect("ends");
        }
        let last = start();
        is_over.store(true, Relaxed);
        let before = served.load(Relaxed);
        wait_until("those who waited are served", || {
            served.load(Relaxed) >= before + 4
        });
        drop(last);
    });
}

#[test]
fn each_place_has_its_socket_and_the_server_opens_the_others() {
    let scratch = Scratch::new("handed");
    let path = scratch.0.join("socket");
    let unix = UnixListener::bind(&path).expect("binds");
    let inode = fs::metadata(&path).expect("is there").ino();
    let (pages, admin) = listener();
    let place = format!("resp:unix:{}", path.display());
    let arguments = [
        "--listen",
        &place,
        "--listen",
        "proxy:127.0.0.1:0",
        "--admin",
        &admin,
    ];
    let sockets = vec![
        OwnedFd::from(unix.try_clone().expect("clones")),
        copy(&pages),
    ];
    let mut server = Guard(with(sockets, &variables("2"), &arguments));
    // Its protocol and the proxy are the settings' business.
    let mut client = UnixStream::connect(&path).expect("connects");
    client.set_read_timeout(Some(PATIENCE)).expect("settable");
    client.write_all(b"*1\r\n$4\r\nPING\r\n").expect("sends");
    let mut reply = [0; 7];
    client.read_exact(&mut reply).expect("replies");
    assert_eq!(&reply, b"+PONG\r\n");
    let admin = admin.parse().expect("an address");
    assert_eq!(http::get(admin, "/livez").status, 200);
    // The socket is there once, and no program that it might start would have it.
    let id = server.0.id();
    let files = fs::read_dir(format!("/proc/{id}/fd")).expect("is there");
    let mut others = 0;
    for file in files.map_while(Result::ok) {
        let no = file.file_name().into_string().expect("a number");
        let target = fs::read_link(file.path()).unwrap_or_default();
        if no.parse::<u32>().expect("a number") <= 2
            || !target.to_string_lossy().starts_with("socket:")
        {
            continue;
        }
        let info = fs::read_to_string(format!("/proc/{id}/fdinfo/{no}")).unwrap_or_default();
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
        let flags = u32::from_str_radix(flags.expect("flags").trim(), 8).expect("octal");
        assert!(flags & 0o2_000_000 != 0, "{no}: {info}");
        others += 1;
    }
    assert!(others >= 3, "{others}");
    let told = Command::new("kill")
        .args(["-s", "TERM", &id.to_string()])
        .status();
    assert!(told.expect("kill runs").success());
    assert_eq!(server.0.wait().expect("ends").code(), Some(0));
    // Its file stays: it is the manager's.
    assert_eq!(fs::metadata(&path).map(|file| file.ino()).ok(), Some(inode));
    assert!(UnixStream::connect(&path).is_ok());
}

#[test]
fn what_is_no_socket_of_a_place_is_an_error_that_says_so() {
    let (stranger, elsewhere) = listener();
    let datagrams = UdpSocket::bind("127.0.0.1:0").expect("binds");
    let deaf = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
    let deaf = deaf.expect("a socket");
    let client = TcpStream::connect(stranger.local_addr().expect("bound")).expect("connects");
    let file = fs::File::open("/dev/null").expect("opens");
    let nameless = format!("flagstone-handed-{}", std::process::id());
    let nameless = UnixAddr::from_abstract_name(nameless).expect("a name");
    let nameless = UnixListener::bind_addr(&nameless).expect("binds");
    let (name, pid) = (("LISTEN_FDNAMES", "a.socket"), ("LISTEN_PID", "PID"));
    let one = ("LISTEN_FDS", "1");
    for (socket, variables, code, words) in [
        (
            Some(copy(&stranger)),
            vec![pid, one, name],
            1,
            format!(
                "LISTEN_FDS: descriptor 3 (a.socket) listens at {elsewhere}, and neither --listen nor --admin has that place"
            ),
        ),
        (
            Some(datagrams.into()),
            vec![pid, one, name],
            1,
            "LISTEN_FDS: descriptor 3 (a.socket) is no socket of streams".to_owned(),
        ),
        (
            Some(deaf.into()),
            vec![pid, one],
            1,
            "LISTEN_FDS: descriptor 3 is a socket that does not listen".to_owned(),
        ),
        (
            Some(client.into()),
            vec![pid, one],
            1,
            "LISTEN_FDS: descriptor 3 is a socket that does not listen".to_owned(),
        ),
        (
            Some(file.into()),
            vec![pid, one, name],
            1,
            "LISTEN_FDS: descriptor 3 (a.socket) is no socket".to_owned(),
        ),
        (
            Some(nameless.into()),
            vec![pid, one, name],
            1,
            "LISTEN_FDS: descriptor 3 (a.socket) listens neither at an address nor at a path"
                .to_owned(),
        ),
        (
            None,
            vec![pid, ("LISTEN_FDS", "2"), name],
            1,
            "LISTEN_FDS: descriptor 3 (a.socket) cannot be used: ".to_owned(),
        ),
        (
            None,
            vec![pid, ("LISTEN_FDS", "some")],
            2,
            "LISTEN_FDS \"some\" is no number of descriptors".to_owned(),
        ),
        (
            None,
            vec![("LISTEN_PID", "me"), one],
            2,
            "LISTEN_PID \"me\" is no number of a process".to_owned(),
        ),
    ] {
        let sockets = socket.into_iter().collect();
        let arguments = ["--listen", "127.0.0.1:0", "--admin", "none"];
        let (ended, said) = ending(with(sockets, &variables, &arguments));
        assert!(
            said.starts_with(&format!("flagstone: {words}")),
            "{words}: {said}"
        );
        assert_eq!(ended, Some(code), "{said}");
    }
}

#[test]
fn sockets_of_another_process_are_left_alone() {
    let (listener, address) = listener();
    // The shell's parent is another process, and so is who has no number at all.
    for variables in [
        vec![("LISTEN_PID", "1"), ("LISTEN_FDS", "1")],
        vec![("LISTEN_FDS", "1")],
    ] {
        let arguments = ["--listen", &address, "--admin", "none"];
        let (code, said) = ending(with(vec![copy(&listener)], &variables, &arguments));
        // So it opens one of its own, where there is one already.
        assert!(
            said.contains(&format!("--listen {address}: cannot listen there: ")),
            "{said}"
        );
        assert_eq!(code, Some(1));
    }
}

#[test]
fn systemd_s_own_program_starts_a_server_for_who_connects() {
    let name = "systemd_s_own_program_starts_a_server_for_who_connects";
    let Some(program) = tool::find("systemd-socket-activate") else {
        return tool::skip(
            name,
            "systemd-socket-activate is not installed (apt-get install systemd)",
        );
    };
    // An address of this process' own, among those of the loopback: it cannot have a port chosen.
    let id = std::process::id();
    let address = format!(
        "127.{}.{}.{}:7171",
        128 + id / 65_536 % 64,
        id / 256 % 256,
        id % 256
    );
    let place: SocketAddr = address.parse().expect("an address");
    let server = flagstone();
    let mut command = Command::new(program);
    command
        .args(["--listen", &address, "--fdname", "flagstone.socket"])
        .arg(server.get_program())
        .args(["--memory", "48m", "--max-connections", "100"])
        .args(["--listen", &address, "--admin", "none"])
        .stdin(Stdio::null())
        .stderr(Stdio::piped());
    let mut child = Guard(command.spawn().expect("starts"));
    let begun = Instant::now();
    let mut client = loop {
        match TcpStream::connect(place) {
            Ok(client) => break client,
            Err(error) => assert!(begun.elapsed() < PATIENCE, "{error}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    client.set_read_timeout(Some(PATIENCE)).expect("settable");
    exchange(&mut client, b"PUT a 1\nGET a\n", b"OK\n1\n");
    child.0.kill().expect("ends");
    let mut said = String::new();
    let mut stderr = child.0.stderr.take().expect("piped");
    stderr.read_to_string(&mut said).expect("text");
    let told =
        format!("{address}: by the socket that the service manager has opened (flagstone.socket)");
    assert!(said.contains(&told), "{said}");
}
