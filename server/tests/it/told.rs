//! What the program says while it runs: its messages, its warnings, its end; and what is refused to whom.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::common;
use crate::common::http;
use crate::common::process::{Process, flagstone, run};
use crate::common::tool::Scratch;

/// A server whose stderr is read to its end.
pub(crate) struct Told {
    pub(crate) child: std::process::Child,
    lines: std::sync::mpsc::Receiver<String>,
}

impl Told {
    pub(crate) fn start(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut child = flagstone()
            .args(["--memory", "48m", "--max-connections", "100"])
            .args(arguments)
            .envs(environment.iter().copied())
            .stderr(Stdio::piped())
            .spawn()
            .expect("starts");
        let stderr = BufReader::new(child.stderr.take().expect("piped"));
        let (tell, lines) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let _ = tell.send(line);
            }
        });
        Told { child, lines }
    }

    /// The next line with these words.
    pub(crate) fn line(&self, words: &str) -> String {
        let mut before = Vec::new();
        loop {
            match self.lines.recv_timeout(Duration::from_secs(60)) {
                Ok(line) if line.contains(words) => return line,
                Ok(line) => before.push(line),
                Err(_) => panic!("never told: {words}; but {before:?}"),
            }
        }
    }

    /// The places of the line that says where it listens.
    pub(crate) fn places(&self) -> Vec<String> {
        let line = self.line("listening on ");
        let places = line.split("listening on ").nth(1).expect("places");
        let places = places.split(", memory ").next().expect("places");
        places.split(", ").map(str::to_owned).collect()
    }

    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let status = Command::new("kill").args(["-s", name, &id]).status();
        assert!(status.expect("kill runs").success());
    }

    pub(crate) fn end(&mut self) -> Option<i32> {
        self.signal("TERM");
        self.child.wait().expect("ends").code()
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn ask(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("connects");
    stream.write_all(request.as_bytes()).expect("sends");
    stream.shutdown(std::net::Shutdown::Write).expect("shuts");
    let mut reply = String::new();
    let _ = stream.read_to_string(&mut reply);
    reply
}

#[test]
fn sigterm_is_announced_and_sigint_does_not_wait() {
    for (signal, least) in [("TERM", 1000), ("INT", 0)] {
        let mut process = Process::start(&["--drain-delay", "1s"]);
        let admin = process.admin.parse().expect("an address");
        assert_eq!(http::get(admin, "/readyz").status, 200);
        let told = Instant::now();
        process.signal(signal);
        if least > 0 {
            let mut client = process.connect();
            while http::get(admin, "/readyz").status == 200 {}
            client.write_all(b"GET a\n").expect("sends");
            let mut reply = [0; 9];
            client.read_exact(&mut reply).expect("served still");
        }
        assert_eq!(process.exit_code(), Some(0), "{signal}");
        let took = told.elapsed().as_millis();
        assert!((least..least + 5000).contains(&took), "{signal}: {took} ms");
    }
    // And a second signal does not wait either.
    let mut process = Process::start(&["--drain-delay", "1h"]);
    process.signal("TERM");
    std::thread::sleep(Duration::from_millis(200));
    process.signal("TERM");
    assert_eq!(process.exit_code(), Some(143));
}

#[test]
fn messages_are_json_if_asked_for_and_as_important_as_asked_for() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
    let address = taken.local_addr().expect("bound").to_string();
    let refused = [
        "--listen",
        &address,
        "--admin",
        "none",
        "--memory",
        "48m",
        "--log-format",
        "json",
    ];
    let output = run(&refused, &[]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    let line: serde_json::Value = serde_json::from_str(stderr.trim_end()).expect("JSON");
    assert_eq!(line["level"], "error");
    let message = line["message"].as_str().expect("text");
    assert!(message.starts_with(&format!("--listen {address}: cannot listen there: ")));
    assert!(line["time"].as_str().expect("text").ends_with('Z'));

    for (level, is_told) in [("info", true), ("warn", false)] {
        let mut child = flagstone()
            .args([
                "--listen",
                "127.0.0.1:0",
                "--admin",
                "none",
                "--memory",
                "48m",
            ])
            .args([
                "--log-format",
                "json",
                "--log-level",
                level,
                "--max-connections",
                "100",
            ])
            .stderr(Stdio::piped())
            .spawn()
            .expect("starts");
        std::thread::sleep(Duration::from_millis(500));
        let id = child.id().to_string();
        Command::new("kill")
            .args(["-s", "TERM", &id])
            .status()
            .expect("kill runs");
        let mut stderr = String::new();
        let mut pipe = child.stderr.take().expect("piped");
        pipe.read_to_string(&mut stderr).expect("readable");
        child.wait().expect("ends");
        assert_eq!(!stderr.is_empty(), is_told, "{stderr}");
        for line in stderr.lines() {
            serde_json::from_str::<serde_json::Value>(line).expect("JSON, line by line");
        }
        assert_eq!(stderr.contains("listening on 127.0.0.1:"), is_told);
        let records: Vec<serde_json::Value> = stderr
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect();
        if !is_told {
            continue;
        }
        // What a message is about are fields, and the plan is one record that sums up.
        let start = &records[0];
        assert_eq!(start["memory_bytes"], 48 << 20);
        assert_eq!(start["connections_max"], 100);
        let plans: Vec<_> = records
            .iter()
            .filter_map(|record| record["plan"].as_object())
            .collect();
        assert_eq!(plans.len(), 1, "{stderr}");
        let total = plans[0]["total (--memory)"].as_u64().expect("a number");
        let lines = plans[0]
            .iter()
            .filter(|(name, _)| !name.starts_with("total"));
        assert_eq!(
            lines.filter_map(|(_, bytes)| bytes.as_u64()).sum::<u64>(),
            total
        );
        assert_eq!(total, 48 << 20);
        let last = records.last().expect("a last one");
        assert_eq!(last["reason"], "SIGTERM", "{stderr}");
        assert!(
            last["clients"] == 0 && last["cut"] == 0 && last["took_ms"].is_u64(),
            "{stderr}"
        );
    }
}

#[test]
fn slow_requests_are_told_of_once_a_second() {
    let arguments = [
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "none",
        "--slow-request",
        "10ms",
        "--workers",
        "1",
    ];
    let server = Told::start(&arguments, &[]);
    let mut client = TcpStream::connect(&server.places()[0]).expect("connects");
    std::thread::spawn(move || {
        let gets = b"GET a\n".repeat(1000);
        let mut replies = vec![0; 9 * 1000];
        while client.write_all(&gets).is_ok() && client.read_exact(&mut replies).is_ok() {}
    });
    // Held for a moment again and again, sooner or later in the middle of a turn.
    let begin = Instant::now();
    let line = loop {
        assert!(begin.elapsed() < Duration::from_secs(60), "never told");
        server.signal("STOP");
        std::thread::sleep(Duration::from_millis(15));
        server.signal("CONT");
        std::thread::sleep(Duration::from_millis(50));
        let mut lines = server.lines.try_iter();
        if let Some(line) = lines.find(|line| line.contains("slow; the longest")) {
            break line;
        }
    };
    assert!(line.starts_with("flagstone: warning: "), "{line}");
    assert!(
        line.contains("ms on worker 0 for requests in native: "),
        "{line}"
    );
}

#[test]
fn a_pipe_that_nobody_reads_stops_nothing() {
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    // Full before the server says its first word.
    let flags = rustix::fs::fcntl_getfl(&writer).expect("flags");
    rustix::fs::fcntl_setfl(&writer, flags | rustix::fs::OFlags::NONBLOCK).expect("settable");
    while writer.write(&[b'x'; 4096]).is_ok() {}
    while writer.write(b"x").is_ok() {}
    rustix::fs::fcntl_setfl(&writer, flags).expect("settable");
    let port = |taken: std::net::TcpListener| taken.local_addr().expect("bound").to_string();
    let free = || port(std::net::TcpListener::bind("127.0.0.1:0").expect("binds"));
    let (address, admin) = (free(), free());
    let mut child = flagstone()
        .args(["--listen", &address, "--admin", &admin])
        .args(["--memory", "48m", "--max-connections", "100"])
        .stderr(writer)
        .spawn()
        .expect("starts");
    let begin = Instant::now();
    while TcpStream::connect(&address).is_err() {
        assert!(
            begin.elapsed() < Duration::from_secs(60),
            "it does not start"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    for round in 0..50 {
        let hup = Command::new("kill")
            .args(["-s", "HUP", &child.id().to_string()])
            .status();
        assert!(hup.expect("kill runs").success());
        let reply = ask(&address, &format!("PUT a {round}\nGET a\n"));
        assert_eq!(reply, format!("OK\n{round}\n"));
    }
    assert_eq!(
        http::get(admin.parse().expect("an address"), "/livez").status,
        200
    );
    let id = child.id().to_string();
    Command::new("kill")
        .args(["-s", "TERM", &id])
        .status()
        .expect("kill runs");
    let begin = Instant::now();
    let code = loop {
        if let Some(status) = child.try_wait().expect("waits") {
            break status.code();
        }
        if begin.elapsed() > Duration::from_secs(30) {
            let _ = child.kill();
            panic!("SIGTERM was not heard");
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    assert_eq!(code, Some(0));
    drop(reader);
}

#[test]
fn sighup_reads_users_and_tokens_again() {
    let scratch = Scratch::new("logins");
    std::fs::create_dir_all(&scratch.0).expect("can be made");
    let tokens = scratch.0.join("tokens");
    std::fs::write(&tokens, "old\nboth\n").expect("writable");
    let path = tokens.to_str().expect("text");
    let mut server = Told::start(
        &[
            "--listen",
            "127.0.0.1:0",
            "--admin",
            "none",
            "--auth-token-file",
            path,
        ],
        &[],
    );
    let address = server.places()[0].clone();
    let login = |token: &str| ask(&address, &format!("AUTH {token}\nGET a\n"));
    let mut live = TcpStream::connect(&address).expect("connects");
    common::exchange(&mut live, b"AUTH old\n", b"OK\n");
    assert_eq!(login("old"), "OK\nNOTFOUND\n");
    assert!(!login("new").starts_with("OK\n"));

    std::fs::write(&tokens, "new\nboth\n").expect("writable");
    server.signal("HUP");
    server.line("SIGHUP: users (0) and tokens (2) were read again");
    assert_eq!(login("new"), "OK\nNOTFOUND\n");
    assert_eq!(login("both"), "OK\nNOTFOUND\n");
    assert!(!login("old").starts_with("OK\n"), "it was revoked");
    // Whoever had logged in stays so.
    common::exchange(&mut live, b"GET a\n", b"NOTFOUND\n");

    std::fs::write(&tokens, "two words\n").expect("writable");
    server.signal("HUP");
    let told = server.line("SIGHUP: --auth-token-file ");
    assert!(
        told.starts_with("flagstone: warning: ")
            && told.contains("has a line 1 that is no token")
            && told.ends_with("the old users and tokens stay"),
        "{told}"
    );
    assert!(!told.contains("two words"), "a secret is not repeated");
    assert_eq!(login("new"), "OK\nNOTFOUND\n");
    drop(live);
    assert_eq!(server.end(), Some(0));
}

#[test]
fn the_end_is_told_with_its_reason() {
    let listen = [
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "none",
        "--enable-shutdown",
    ];
    for (how, reason) in [
        ("TERM", "SIGTERM"),
        ("INT", "SIGINT"),
        ("command", "a client's shutdown command"),
    ] {
        let mut server = Told::start(&listen, &[]);
        let address = server.places()[0].clone();
        let mut clients: Vec<TcpStream> = (0..3)
            .map(|_| TcpStream::connect(&address).expect("connects"))
            .collect();
        for client in &mut clients {
            common::exchange(client, b"GET a\n", b"NOTFOUND\n");
        }
        let expected = match how {
            // Who asks is closed at once.
            "command" => {
                clients[0].write_all(b"shutdown\r\n").expect("sends");
                None
            }
            signal => {
                server.signal(signal);
                Some(3)
            }
        };
        let told = server.line("stopped by ");
        let begin = format!("flagstone: stopped by {reason} after ");
        assert!(
            told.starts_with(&begin) && told.ends_with("of which 0 had not finished in time"),
            "{told}"
        );
        if let Some(clients) = expected {
            assert!(
                told.contains(&format!(" s: {clients} clients were drained")),
                "{told}"
            );
        }
        assert_eq!(server.child.wait().expect("ends").code(), Some(0));
    }
}

#[test]
fn an_open_server_without_a_login_is_warned_of() {
    let mut server = Told::start(&["--listen", "0.0.0.0:0", "--admin", "none"], &[]);
    let told = server.line("can be reached from other machines and nobody has to log in");
    assert!(told.starts_with("flagstone: warning: 0.0.0.0:"), "{told}");
    server.end();
    let mut server = Told::start(&["--listen", "127.0.0.1:0", "--admin", "none"], &[]);
    server.places();
    server.end();
    let told: Vec<String> = server.lines.iter().collect();
    assert!(
        !told.iter().any(|line| line.contains("warning")),
        "{told:?}"
    );
}

#[test]
fn a_misspelt_variable_is_warned_of() {
    let misspelt = [
        ("FLAGSTONE_MEMROY", "64m"),
        ("FLAGSTONE_PORT_7171_TCP", "tcp://10.0.0.1:7171"),
        ("FLAGSTONE_SERVICE_HOST", "10.0.0.1"),
        ("FLAGSTONE_XYZZY_PLUGH_QUUX", "1"),
    ];
    let output = run(&["--check-config", "--memory", "64Mi"], &misspelt);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "flagstone: warning: the variable FLAGSTONE_MEMROY is no setting and changes nothing (is \
         FLAGSTONE_MEMORY meant?)\n\
         flagstone: warning: the variable FLAGSTONE_XYZZY_PLUGH_QUUX is no setting and changes \
         nothing\n"
    );
    let mut server = Told::start(&["--listen", "127.0.0.1:0", "--admin", "none"], &misspelt);
    server.line("FLAGSTONE_MEMROY is no setting");
    server.end();
}

#[test]
fn whoever_does_not_log_in_holds_no_place() {
    let scratch = Scratch::new("login-timeout");
    let tokens = scratch.0.join("tokens");
    std::fs::write(&tokens, "s3cret\n").expect("writable");
    let process = Process::start(&[
        "--auth-token-file",
        tokens.to_str().expect("text"),
        "--login-timeout",
        "1s",
    ]);
    let mut known = process.connect();
    common::exchange(&mut known, b"AUTH s3cret\n", b"OK\n");
    let mut strangers: Vec<TcpStream> = (0..20).map(|_| process.connect()).collect();
    // Half a login, or an answer to a wrong request now and then, is no login.
    strangers[0].write_all(b"AUTH s3c").expect("sends");
    let mut busy = process.connect();
    std::thread::spawn(move || {
        while busy.write_all(b"GET a\n").is_ok() && busy.read(&mut [0; 64]).is_ok_and(|n| n > 0) {
            std::thread::sleep(Duration::from_millis(100));
        }
    });
    common::wait_until("they are shown out", || {
        process.metric("flagstone_connections") == 1.0
    });
    for stream in &mut strangers {
        assert!(matches!(stream.read(&mut [0; 64]), Ok(0) | Err(_)));
    }
    let cut = "flagstone_connections_cut_total{reason=\"login_timeout\"}";
    assert_eq!(process.metric(cut), 21.0);
    common::exchange(&mut known, b"GET a\n", b"NOTFOUND\n");
}

#[test]
fn passwords_are_not_guessed_at_full_speed() {
    let scratch = Scratch::new("guesses");
    let tokens = scratch.0.join("tokens");
    std::fs::write(&tokens, "s3cret\n").expect("writable");
    let tokens = tokens.to_str().expect("text");
    let server = Told::start(
        &[
            "--listen",
            "127.0.0.1:0",
            "--admin",
            "127.0.0.1:0",
            "--auth-token-file",
            tokens,
        ],
        &[],
    );
    let address = server.places()[0].clone();
    let admin = server.line("admin pages at http://");
    let admin = admin
        .split("http://")
        .nth(1)
        .expect("an address")
        .trim_end_matches('/');
    let admin = admin.parse().expect("an address");
    let failures = || {
        let page = http::get(admin, "/metrics").body;
        http::sample(&page, "flagstone_login_failures_total").expect("counted")
    };
    let mut known = TcpStream::connect(&address).expect("connects");
    common::exchange(&mut known, b"AUTH s3cret\n", b"OK\n");
    // A pipeline of guesses ends at the eleventh.
    let mut guesser = TcpStream::connect(&address).expect("connects");
    let _ = guesser.write_all(&b"AUTH guess\n".repeat(50_000));
    let _ = guesser.read_to_end(&mut Vec::new());
    assert_eq!(failures(), 11.0);
    // And newcomers from there are few, however many try.
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(2) {
        if let Ok(mut stream) = TcpStream::connect(&address) {
            let _ = stream.write_all(b"AUTH guess\n");
            let _ = stream.read(&mut [0; 64]);
        }
    }
    let most = 11.0 + 2.0 + begin.elapsed().as_secs_f64() * 5.0;
    assert!(failures() <= most, "{} of {most}", failures());
    let told = server.line(" logins from 127.0.0.1 have failed: ");
    assert!(told.starts_with("flagstone: warning: "), "{told}");
    let page = http::get(admin, "/metrics").body;
    for reason in ["login_failures", "login_slowed"] {
        let name = format!("flagstone_connections_cut_total{{reason=\"{reason}\"}}");
        assert!(http::sample(&page, &name) > Some(0.0), "{reason} in {page}");
    }
    // Those who are in are served, and those who know the word come in, sooner or later.
    common::exchange(&mut known, b"GET a\n", b"NOTFOUND\n");
    common::wait_until("one who knows comes in", || {
        ask(&address, "AUTH s3cret\nGET a\n") == "OK\nNOTFOUND\n"
    });
}
