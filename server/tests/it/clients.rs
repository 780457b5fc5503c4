//! Goal: the clients that people have do their ordinary work here.
//! Method: libmemcached's tools; pymemcache with its own integration tests; pylibmc, aiomcache, emcache,
//! python-memcached and python-binary-memcached; Ruby's Dalli; the suites that dogpile.cache carries; Perl's and PHP's clients; each against
//! whole servers; and the examples of the docs, as they stand there. Nothing of these
//! programs is kept here: what is missing is skipped by name, and in CI nothing is.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::common;
use crate::common::tool::{self, find, python, skip, succeed};
use flagstone_server::{Config, Running};

const PATIENCE: Duration = Duration::from_secs(120);
const NO_TOOLS: &str = "libmemcached-tools not installed";

fn three() -> Vec<Running> {
    (0..3).map(|_| common::start()).collect()
}

fn addresses(servers: &[Running]) -> Vec<String> {
    let each = servers.iter().map(|server| server.local_addr().to_string());
    each.collect()
}

#[test]
fn memccapable_finds_both_protocols() {
    let name = "memccapable_finds_both_protocols";
    let Some(memccapable) = find("memccapable") else {
        return skip(name, NO_TOOLS);
    };
    let server = common::start();
    let port = server.local_addr().port().to_string();
    // One of them alone, and both on the same connection's address.
    for (flag, protocols) in [
        (Some("-a"), &[("ascii", 27)][..]),
        (Some("-b"), &[("binary", 27)]),
        (None, &[("ascii", 27), ("binary", 27)]),
    ] {
        let mut command = Command::new(&memccapable);
        command.args(["-h", "127.0.0.1", "-p", &port, "-t", "10"]);
        command.args(flag);
        let output = tool::finish(&mut command, PATIENCE);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        for &(protocol, tests) in protocols {
            // A test's name, blanks, and only if it passed its verdict on the same channel.
            let before = format!("{protocol} ");
            let verdicts: Vec<&str> = said.split(&before).skip(1).collect();
            assert_eq!(verdicts.len(), tests, "{}", tool::text(&output));
            for verdict in verdicts {
                let passed = verdict.contains("[pass]");
                assert!(passed, "{before}{verdict}:\n{}", tool::text(&output));
            }
        }
    }
}

#[test]
fn memcslap_finds_what_it_stored() {
    let name = "memcslap_finds_what_it_stored";
    let Some(memcslap) = find("memcslap") else {
        return skip(name, NO_TOOLS);
    };
    let servers = three();
    let list = addresses(&servers).join(",");
    let tests = ["set", "get", "mget"].into_iter();
    let tests = tests.flat_map(|test| [(test, None), (test, Some("--binary"))]);
    for (test, protocol) in tests {
        let mut command = Command::new(&memcslap);
        command.args(["-s", &list, "-t", test, "-c", "4", "-e", "2000"]);
        command.args(protocol);
        let said = succeed(&mut command, PATIENCE);
        // It counts what went wrong only in words.
        let lower = said.to_lowercase();
        assert!(lower.contains("time total"), "{said}");
        for word in ["fail", "error", "denied", "mismatch"] {
            assert!(!lower.contains(word), "{said}");
        }
    }
}

#[test]
fn memcaslap_verifies_every_value() {
    let name = "memcaslap_verifies_every_value";
    let Some(memcaslap) = find("memcaslap") else {
        return skip(name, NO_TOOLS);
    };
    let server = common::start();
    let address = server.local_addr().to_string();
    // Value length, keys a get, requests. Nothing may be evicted.
    let table = [
        ("100", "1", "20000"),
        ("1000", "50", "20000"),
        ("60000", "2", "3000"),
    ];
    for (length, division, count) in table {
        let mut command = Command::new(&memcaslap);
        command.args(["-s", &address, "-T", "2", "-c", "8", "-x", count]);
        command.args(["-X", length, "-d", division, "-v", "1.0"]);
        let said = succeed(&mut command, PATIENCE);
        for line in ["get_misses: 0", "verify_misses: 0", "verify_failed: 0"] {
            let found = said.lines().any(|said| said.trim() == line);
            assert!(
                found,
                "no \"{line}\" with -X {length} -d {division} in\n{said}"
            );
        }
    }
}

/// The small tools: copy a file in, look, touch, remove.
#[test]
fn libmemcached_tools_do_their_work() {
    let name = "libmemcached_tools_do_their_work";
    if find("memccp").is_none() {
        return skip(name, NO_TOOLS);
    }
    tools(&[]);
    tools(&["--binary"]);
}

fn tools(protocol: &[&str]) {
    let server = common::start();
    let servers = format!("--servers={}", server.local_addr());
    let run = |program: &str, arguments: &[&str]| {
        let program = find(program).expect("of the same package");
        let mut command = Command::new(program);
        command.arg(&servers).args(protocol).args(arguments);
        tool::finish(&mut command, PATIENCE)
    };
    let directory = tool::Scratch::new("memccp");
    let file = directory.0.join("poem");
    let content = "a line\nanother\n".repeat(5000);
    std::fs::write(&file, &content).expect("writes");

    // It says nothing but its version, in text alone.
    if protocol.is_empty() {
        assert!(run("memcping", &[]).status.success());
    }
    let copied = run("memccp", &[&file.to_string_lossy()]);
    assert!(copied.status.success(), "{}", tool::text(&copied));
    let shown = run("memccat", &["poem"]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert_eq!(shown.trim_end(), content.trim_end());
    assert!(run("memcexist", &["poem"]).status.success());
    assert!(
        run("memctouch", &["--expire=1000", "poem"])
            .status
            .success()
    );
    let stats = tool::text(&run("memcstat", &[]));
    for stat in ["curr_items: 1", "cmd_touch: 1", "limit_maxbytes: "] {
        assert!(stats.contains(stat), "no \"{stat}\" in\n{stats}");
    }
    assert!(run("memcrm", &["poem"]).status.success());
    assert!(!run("memcexist", &["poem"]).status.success());
    assert!(run("memcflush", &[]).status.success());
}

#[test]
fn pymemcache_does_its_work() {
    script(
        "pymemcache_does_its_work",
        "pymemcache_work.py",
        "pymemcache works",
    );
}

#[test]
fn pylibmc_does_its_work() {
    script("pylibmc_does_its_work", "pylibmc_work.py", "pylibmc works");
}

fn script(name: &str, file: &str, last_line: &str) {
    match python() {
        Some(python) => work(Command::new(python), file, last_line),
        None => skip(name, tool::NO_PYTHON),
    }
}

/// Runs a script with three servers, and waits for its last word.
fn work(mut program: Command, file: &str, last_line: &str) {
    let servers = three();
    program.arg(ours(file)).args(addresses(&servers));
    let said = succeed(&mut program, PATIENCE);
    assert_eq!(said.lines().last(), Some(last_line), "{said}");
}

fn ours(file: &str) -> PathBuf {
    tool::root().join("server/tests/clients").join(file)
}

/// Runs a script with three servers and one that wants a login, and waits for its last word.
fn work_with_login(mut program: Command, file: &str, last_line: &str) {
    let (servers, scratch) = (three(), tool::Scratch::new(file));
    let users = scratch.0.join("users");
    std::fs::write(&users, "me:secret\n").expect("writes");
    let locked = common::start_with(Config {
        auth_file: Some(users),
        ..common::small_config()
    });
    program.arg(ours(file)).args(addresses(&servers));
    program.arg(locked.local_addr().to_string());
    let said = succeed(&mut program, PATIENCE);
    assert_eq!(said.lines().last(), Some(last_line), "{said}");
}

#[test]
fn python_binary_memcached_does_its_work() {
    let last_line = "python-binary-memcached works";
    match tool::python_with("bmemcached") {
        Some(python) => work_with_login(Command::new(python), "bmemcached_work.py", last_line),
        None => skip("python_binary_memcached_does_its_work", NO_MORE_PYTHON),
    }
}

#[test]
fn dalli_does_its_work() {
    let found = Command::new("ruby").args(["-rdalli", "-e", "1"]).output();
    if !found.is_ok_and(|output| output.status.success()) {
        return skip("dalli_does_its_work", "ruby or ruby-dalli not installed");
    }
    work_with_login(Command::new("ruby"), "dalli_work.rb", "dalli works");
}

const NO_MORE_PYTHON: &str = "no Python with aiomcache, bmemcached, emcache, python-memcached and \
    dogpile.cache: .ci/run makes one in target/clients-venv, or TEST_PYTHON names it";

#[test]
fn aiomcache_emcache_and_python_memcached_do_their_work() {
    let name = "aiomcache_emcache_and_python_memcached_do_their_work";
    match tool::python_with("aiomcache, emcache, memcache") {
        Some(python) => work(
            Command::new(python),
            "more_work.py",
            "aiomcache, emcache and python-memcached work",
        ),
        None => skip(name, NO_MORE_PYTHON),
    }
}

/// What dogpile.cache has backends tested with, for each of its clients. They
/// mostly sleep, so they run side by side.
#[test]
fn dogpiles_suites_for_backends_pass() {
    let name = "dogpiles_suites_for_backends_pass";
    let modules = "dogpile.testing.fixtures, bmemcached, pymemcache, pylibmc, memcache, pytest";
    let Some(python) = tool::python_with(modules) else {
        return skip(name, NO_MORE_PYTHON);
    };
    let suite = |backend: &str| {
        let server = common::start();
        let mut command = tool::pytest(&python);
        command
            .env("FLAGSTONE_AT", server.local_addr().to_string())
            .args(["-k", backend])
            .arg(ours("dogpile_suite.py"));
        let said = succeed(&mut command, PATIENCE);
        assert!(said.contains("29 passed, 87 deselected"), "{said}");
    };
    std::thread::scope(|scope| {
        for backend in [
            "TestPymemcache",
            "TestPylibmc",
            "TestPythonMemcached",
            "TestBMemcached",
        ] {
            let suite = &suite;
            scope.spawn(move || suite(backend));
        }
    });
}

/// Cache::Memcached and Cache::Memcached::Fast, which reads the version before anything else.
#[test]
fn perls_clients_do_their_work() {
    let modules = ["-MCache::Memcached", "-MCache::Memcached::Fast", "-e", "1"];
    let found = Command::new("perl").args(modules).output();
    if !found.is_ok_and(|output| output.status.success()) {
        let why = "libcache-memcached-perl or libcache-memcached-fast-perl not installed";
        return skip("perls_clients_do_their_work", why);
    }
    let last_line = "Cache::Memcached::Fast works";
    work(Command::new("perl"), "perl_work.pl", last_line);
}

#[test]
fn php_memcached_does_its_work() {
    let loaded = "exit(extension_loaded('memcached') ? 0 : 1);";
    let found = Command::new("php").args(["-r", loaded]).output();
    if !found.is_ok_and(|output| output.status.success()) {
        let why = "php-cli or php-memcached not installed";
        return skip("php_memcached_does_its_work", why);
    }
    work(Command::new("php"), "php_work.php", "php-memcached works");
}

/// The tests that come in pymemcache's package.
#[test]
fn pymemcaches_own_integration_tests_pass() {
    let name = "pymemcaches_own_integration_tests_pass";
    let Some(python) = python() else {
        return skip(name, tool::NO_PYTHON);
    };
    let find = "import pymemcache.test.test_integration as tests; print(tests.__file__)";
    let mut command = Command::new(&python);
    let file = succeed(command.args(["-c", find]), PATIENCE);
    // One of them asks for 50 MB with `cache_memlimit`.
    let server = common::start_with(Config {
        memory_bytes: 64 << 20,
        ..common::small_config()
    });
    let port = server.local_addr().port().to_string();
    let mut command = tool::pytest(&python);
    command
        .args([
            "-m",
            "integration",
            "--server",
            "127.0.0.1",
            "--port",
            &port,
        ])
        .arg(file.trim());
    let said = succeed(&mut command, PATIENCE);
    // The three that are skipped speak TLS.
    assert!(said.contains("100 passed, 3 skipped"), "{said}");
}

/// The Python of docs/scaling-out.md, with real addresses put in.
#[test]
fn the_examples_of_the_docs_run() {
    let name = "the_examples_of_the_docs_run";
    let page = std::fs::read_to_string(tool::root().join("docs/scaling-out.md")).expect("docs");
    let examples = ["pymemcache_three.py", "pylibmc_three.py"];
    for example in examples {
        let path = tool::root().join("docs/examples").join(example);
        let code = std::fs::read_to_string(path).expect("an example");
        assert!(
            page.contains(&code),
            "docs/scaling-out.md shows another {example}"
        );
    }
    let Some(python) = python() else {
        return skip(name, tool::NO_PYTHON);
    };
    for example in examples {
        let servers = three();
        let path = tool::root().join("docs/examples").join(example);
        let mut code = std::fs::read_to_string(path).expect("an example");
        for (no, address) in addresses(&servers).iter().enumerate() {
            let written = format!("10.0.0.{}:7171", no + 1);
            assert!(code.contains(&written), "{example} names three servers");
            code = code.replace(&written, address);
        }
        let mut command = Command::new(&python);
        let said = succeed(command.args(["-c", &code]), PATIENCE);
        assert_eq!(said.trim(), "100 found", "{example}");
    }
}
