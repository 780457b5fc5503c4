//! Goal: Locust's users find nothing wrong with the server, and would find out if something
//! were.
//! Method: the real binary under a few hundred of them for twenty seconds; then servers that
//! forget, mix up keys and bring back old values, each of which has to be noticed. The ten thousand
//! users are in `loadtest/README.md`.
//!
//! A program of its own, so that no other test runs beside it: it counts what the users get through
//! in their time, and they keep the machine busy themselves.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The one that `scripts/loadtest --install` makes, or else the machine's.
fn locust(test: &str) -> Option<PathBuf> {
    let ours = root().join("target/locust/bin/locust");
    let found = [ours, PathBuf::from("locust")].into_iter().find(|path| {
        let version = Command::new(path).arg("--version").output();
        version.is_ok_and(|output| output.status.success())
    });
    if found.is_none() {
        assert!(
            std::env::var("CI").as_deref() != Ok("true"),
            "CI must have locust: scripts/loadtest --install"
        );
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED {test}: locust not installed (scripts/loadtest --install)"
        );
    }
    found
}

/// Whether it was content, and what it said.
fn run(locust: &Path, address: &str, arguments: &[&str]) -> (bool, String) {
    let output = Command::new(locust)
        .current_dir(root())
        .args(["--locustfile", "loadtest/locustfile.py", "--headless"])
        .args(["--host", &format!("tcp://{address}"), "--only-summary"])
        .args(arguments)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .expect("locust runs");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    (output.status.success(), said)
}

struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn three_hundred_users_find_nothing_wrong() {
    let Some(locust) = locust("three_hundred_users_find_nothing_wrong") else {
        return;
    };
    let mut child = Command::new(env!("CARGO_BIN_EXE_flagstone"))
        .args([
            "--listen",
            "127.0.0.1:0",
            "--memory",
            "32m",
            "--admin",
            "none",
        ])
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut stderr = BufReader::new(child.stderr.take().expect("piped"));
    let _process = Process(child);
    let mut line = String::new();
    stderr.read_line(&mut line).expect("a start-up line");
    let address = line
        .split("listening on ")
        .nth(1)
        .and_then(|rest| rest.split(',').next())
        .unwrap_or_else(|| panic!("no address in {line:?}"));
    // Whatever else it says must not block it.
    std::thread::spawn(move || stderr.read_to_end(&mut Vec::new()));

    let crowd = ["--users", "300", "--spawn-rate", "100", "--run-time", "20s"];
    let pace = ["--requests-per-second", "1"];
    let (content, said) = run(&locust, address, &[crowd.as_slice(), &pace].concat());
    assert!(content, "{said}");
    // A quarter of what they ask for on a machine that has nothing else to do.
    let requests: u64 = said
        .split("requests ")
        .nth(1)
        .and_then(|rest| rest.split(',').next()?.parse().ok())
        .unwrap_or_else(|| panic!("no count in {said}"));
    assert!(requests > 2_000, "only {requests} requests: {said}");
    println!("{requests} requests of 300 users");
}

/// How a server lies.
#[derive(Clone, Copy, Debug)]
enum Lie {
    Forget,
    MixUp,
    BringBackTheOld,
    Tear,
    KeepTheDeleted,
}

/// What a client of the lying server gets for a line.
fn lie(how: Lie, stored: &mut HashMap<String, String>, line: &str) -> String {
    let mut words = line.splitn(3, ' ');
    let verb = words.next().unwrap_or_default();
    let key = words.next().unwrap_or_default().to_owned();
    let value = words.next().unwrap_or_default().to_owned();
    match (verb, how) {
        ("PUT", Lie::BringBackTheOld) => {
            stored.entry(key).or_insert(value);
            "OK".to_owned()
        }
        ("PUT", _) => {
            stored.insert(key, value);
            "OK".to_owned()
        }
        ("DEL", Lie::KeepTheDeleted) => "OK".to_owned(),
        ("DEL", _) if stored.remove(&key).is_some() => "OK".to_owned(),
        ("GET", Lie::Forget) => "NOTFOUND".to_owned(),
        ("GET", Lie::MixUp) if stored.contains_key(&key) => {
            stored.values().max().cloned().unwrap_or_default()
        }
        ("GET", Lie::Tear) if stored.contains_key(&key) => {
            let whole = &stored[&key];
            let half = whole.len() / 2;
            [&whole[..half], &"x".repeat(whole.len() - half)].concat()
        }
        ("GET", _) if stored.contains_key(&key) => stored[&key].clone(),
        ("STATS", _) => "evictions 0\nEND".to_owned(),
        _ => "NOTFOUND".to_owned(),
    }
}

/// Serves lies until the test's process ends.
fn liar(how: Lie) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
    let address = listener.local_addr().expect("bound");
    let stored = Arc::new(Mutex::new(HashMap::new()));
    let serve = move |stream: TcpStream, stored: &Mutex<HashMap<String, String>>| {
        let mut writer = stream.try_clone().expect("clones");
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            let reply = lie(how, &mut stored.lock().expect("not poisoned"), &line);
            if writer.write_all(format!("{reply}\n").as_bytes()).is_err() {
                return;
            }
        }
    };
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let stored = Arc::clone(&stored);
            std::thread::spawn(move || serve(stream, &stored));
        }
    });
    address
}

#[test]
fn whoever_lies_is_found_out() {
    let Some(locust) = locust("whoever_lies_is_found_out") else {
        return;
    };
    let table = [
        (Lie::Forget, "NOTFOUND, and it was stored"),
        (Lie::MixUp, "a value of another key"),
        (Lie::BringBackTheOld, "an old value, after a newer one"),
        (Lie::Tear, "a value torn or damaged"),
        (Lie::KeepTheDeleted, "and not b'NOTFOUND'"),
    ];
    // They end when they have found it: a minute is for a machine that is busy otherwise.
    let crowd = ["--users", "10", "--spawn-rate", "10", "--run-time", "60s"];
    let pace = ["--requests-per-second", "20", "--until-wrong"];
    let arguments = [crowd.as_slice(), &pace].concat();
    let runs: Vec<_> = std::thread::scope(|scope| {
        let started = table.map(|(how, _)| {
            let (locust, arguments) = (&locust, &arguments);
            scope.spawn(move || run(locust, &liar(how).to_string(), arguments))
        });
        started
            .into_iter()
            .map(|run| run.join().expect("runs"))
            .collect()
    });
    for ((how, sentence), (content, said)) in table.into_iter().zip(runs) {
        assert!(!content, "{how:?} went unnoticed: {said}");
        assert!(said.contains(sentence), "{how:?}: {said}");
    }
    // Who says that keys do not all fit hears of it when more are gone than were evicted.
    let arguments = [arguments.as_slice(), &["--may-evict"]].concat();
    let (content, said) = run(&locust, &liar(Lie::Forget).to_string(), &arguments);
    assert!(
        !content && said.contains("stored keys were absent"),
        "{said}"
    );
}
