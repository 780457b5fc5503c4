//! Goal: the Redis clients and frameworks that people have do their ordinary work here.
//! Method: redis-py in both versions of the protocol, Django, Flask, Celery and others over it; redis-rb with
//! Rails' cache store; phpredis and Predis with PHP's sessions, Symfony's and Laravel's caches; node-redis; Redis.pm; a
//! program of hiredis; redis-cli and redis-benchmark; the exporter; each against a whole server. Nothing of these
//! programs is kept here: what is missing is skipped by name, and in CI nothing is.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::common;
use crate::common::http;
use crate::common::tool::{self, Guard, Scratch, find, skip, succeed};
use flagstone_server::Running;

const PATIENCE: Duration = Duration::from_secs(120);

/// What the server does not have yet: the scripts leave out those parts, by these words.
const WITHOUT: &str = "";

fn ours(file: &str) -> PathBuf {
    tool::root().join("server/tests/clients").join(file)
}

fn at(server: &Running) -> String {
    server.local_addr().to_string()
}

/// Runs a script with a server, and waits for its last word.
fn work(mut program: Command, file: &str, last_line: &str) {
    let server = common::start();
    program.arg(ours(file)).arg(at(&server));
    let said = succeed(program.env("FLAGSTONE_WITHOUT", WITHOUT), PATIENCE);
    assert_eq!(said.lines().last(), Some(last_line), "{said}");
}

fn python(name: &str, modules: &str, file: &str, last_line: &str) {
    match tool::python_with(modules) {
        Some(python) => work(Command::new(python), file, last_line),
        None => skip(
            name,
            &format!(
                "no Python with {modules}: .ci/run makes one in target/clients-venv, or TEST_PYTHON names it"
            ),
        ),
    }
}

/// Whether `program` runs these arguments to a good end.
fn runs(program: &str, arguments: &[&str]) -> bool {
    let output = Command::new(program).args(arguments).output();
    output.is_ok_and(|output| output.status.success())
}

#[test]
fn redis_py_does_its_work() {
    let name = "redis_py_does_its_work";
    python(name, "redis, hiredis", "redispy_work.py", "redis-py works");
}

/// The tests that come in redis-py's package, in both versions side by side; what is left out is in
/// `redispy_skips.txt`, with a reason a line.
#[test]
fn redis_pys_own_tests_pass() {
    let name = "redis_pys_own_tests_pass";
    let no_tests = "no Python with redis and pytest-asyncio, or its redis-py/tests is missing: .ci/run makes both in \
        target/clients-venv";
    let Some(python) = tool::python_with("redis, pytest, pytest_asyncio") else {
        return skip(name, no_tests);
    };
    let tests = python
        .parent()
        .and_then(Path::parent)
        .map(|venv| venv.join("redis-py"));
    let Some(tests) = tests.filter(|path| path.join("tests").is_dir()) else {
        return skip(name, no_tests);
    };
    let suite = |version: &str| {
        let server = common::start();
        let mut command = tool::pytest(&python);
        command
            .current_dir(&tests)
            .env("FLAGSTONE_WITHOUT", WITHOUT)
            .env("PYTHONPATH", tool::root().join("server/tests/clients"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .args([
                "-p",
                "redispy_skips",
                "-o",
                "asyncio_mode=auto",
                "--tb=short",
            ])
            .args(["--redis-url", &format!("redis://{}/0", at(&server))])
            .args(["--protocol", version])
            .args(
                ["commands", "encoding", "pipeline", "pubsub"]
                    .map(|part| format!("tests/test_{part}.py")),
            );
        // Two minutes on a machine that is busy with other tests.
        let said = succeed(&mut command, 4 * PATIENCE);
        // As many as that: a run of none would be a good end, too.
        let counts = said.lines().find_map(|line| line.split_once(" passed, "));
        let passed = counts.and_then(|(passed, _)| passed.parse().ok());
        assert!(passed.is_some_and(|passed: u32| passed >= 150), "{said}");
    };
    std::thread::scope(|scope| {
        scope.spawn(|| suite("2"));
        scope.spawn(|| suite("3"));
    });
}

#[test]
fn pythons_frameworks_do_their_work() {
    let modules = "django_redis, flask_caching, flask_session, limits, celery";
    let last_line = "Django, Flask and limits work, Celery too";
    let file = "redis_frameworks_work.py";
    python("pythons_frameworks_do_their_work", modules, file, last_line);
}

/// What dogpile.cache has backends tested with.
#[test]
fn dogpiles_suite_for_its_redis_backend_passes() {
    let name = "dogpiles_suite_for_its_redis_backend_passes";
    let modules = "dogpile.testing.fixtures, redis, pytest";
    let Some(python) = tool::python_with(modules) else {
        return skip(
            name,
            &format!("no Python with {modules}: .ci/run makes one"),
        );
    };
    let server = common::start();
    let mut command = tool::pytest(&python);
    command
        .env("FLAGSTONE_AT", at(&server))
        .env("FLAGSTONE_WITHOUT", WITHOUT)
        .arg(ours("dogpile_redis_suite.py"));
    // Two minutes on a machine that is busy with other tests.
    let said = succeed(&mut command, 4 * PATIENCE);
    assert!(said.contains("29 passed"), "{said}");
}

#[test]
fn redis_rb_and_rails_cache_store_do_their_work() {
    if !runs("ruby", &["-e", "require 'redis'; require 'active_support'"]) {
        let why = "ruby-redis or ruby-activesupport not installed";
        return skip("redis_rb_and_rails_cache_store_do_their_work", why);
    }
    let mut ruby = Command::new("ruby");
    ruby.arg("-W0");
    let last_line = "redis-rb and Rails' cache store work";
    work(ruby, "redis_work.rb", last_line);
}

#[test]
fn php_clients_symfony_and_laravel_do_their_work() {
    let there = "foreach (['Predis', 'Symfony/Component/Cache', 'Symfony/Component/Lock', 'Illuminate/Cache', \
        'Illuminate/Redis'] as $part) { require_once \"$part/autoload.php\"; } exit(extension_loaded('redis') ? 0 : 1);";
    if !runs("php", &["-r", there]) {
        let why = "php-redis, php-predis, php-symfony-cache, php-symfony-lock, php-illuminate-cache or \
            php-illuminate-redis not installed";
        return skip("php_clients_symfony_and_laravel_do_their_work", why);
    }
    let last_line = "phpredis, Predis, Symfony and Laravel work";
    work(Command::new("php"), "phpredis_work.php", last_line);
}

#[test]
fn redis_pm_does_its_work() {
    if !runs("perl", &["-MRedis", "-e", "1"]) {
        return skip("redis_pm_does_its_work", "libredis-perl not installed");
    }
    work(Command::new("perl"), "redis_work.pl", "Redis.pm works");
}

/// Where Debian's packages for node lie: a node that is not Debian's does not look there.
const NODE_PATH: &str = "/usr/share/nodejs";

#[test]
fn node_redis_does_its_work() {
    let mut node = Command::new("node");
    node.env("NODE_PATH", NODE_PATH);
    let found = Command::new("node")
        .env("NODE_PATH", NODE_PATH)
        .args(["-e", "require('redis')"])
        .output();
    if !found.is_ok_and(|output| output.status.success()) {
        return skip("node_redis_does_its_work", "node-redis not installed");
    }
    work(node, "redis_work.js", "node-redis works");
}

#[test]
fn a_program_of_hiredis_does_its_work() {
    let name = "a_program_of_hiredis_does_its_work";
    let scratch = Scratch::new("hiredis");
    let program = scratch.0.join("work");
    let built = Command::new("cc")
        .arg("-o")
        .arg(&program)
        .arg(ours("hiredis_work.c"))
        .arg("-lhiredis")
        .output();
    if !built.is_ok_and(|output| output.status.success()) {
        return skip(name, "a C compiler or libhiredis-dev not installed");
    }
    let server = common::start();
    let address = server.local_addr();
    let mut command = Command::new(program);
    command.args([address.ip().to_string(), address.port().to_string()]);
    assert_eq!(succeed(&mut command, PATIENCE), "hiredis works\n");
}

/// `redis-cli` with these arguments, in a shell where more is needed than its exit.
fn redis_cli(server: &Running, line: &str) -> String {
    let port = server.local_addr().port();
    let line = line.replace("CLI", &format!("redis-cli -p {port}"));
    let mut shell = Command::new("sh");
    // On a terminal of this kind it neither colours nor asks where the cursor is.
    succeed(shell.env("TERM", "dumb").args(["-c", &line]), PATIENCE)
}

#[test]
fn redis_cli_does_its_work() {
    let name = "redis_cli_does_its_work";
    if find("redis-cli").is_none() || find("script").is_none() {
        return skip(name, "redis-tools or bsdutils not installed");
    }
    let server = common::start();
    let said = redis_cli(&server, "CLI -3 MSET one 1 two 22 three 333; CLI GET two");
    assert_eq!(said, "OK\n\"22\"\n".replace('"', ""), "plain commands");
    // With a terminal it asks for the commands' documentation first, and for the server's version.
    let interactive =
        "printf 'SET k v\\nGET k\\nINFO server\\nquit\\n' | script -qec 'CLI' /dev/null";
    let said = redis_cli(&server, interactive);
    assert!(said.contains("> \"v\"\r\n"), "{said}");
    assert!(said.contains("redis_mode:standalone"), "{said}");
    // These have no end.
    let said = redis_cli(&server, "timeout 2 stdbuf -oL CLI --stat -i 0.2 || true");
    assert!(said.contains("keys") && said.lines().count() >= 3, "{said}");
    let said = redis_cli(&server, "timeout 2 CLI --latency --csv -i 1 || true");
    let said = said.trim().split(',').count();
    assert_eq!(said, 4, "least, greatest, mean and number of PINGs");
    let piped = "printf '*2\\r\\n$3\\r\\nGET\\r\\n$3\\r\\ntwo\\r\\nPING\\r\\n' | CLI --pipe";
    assert!(redis_cli(&server, piped).contains("errors: 0, replies: 2"));
    let said = redis_cli(&server, "CLI --scan --pattern 't*' | sort");
    assert_eq!(said, "three\ntwo\n");
    let said = redis_cli(&server, "CLI --bigkeys; CLI --memkeys");
    assert!(
        said.contains("three\"' has 3 bytes") && said.contains("Sampled 4 keys"),
        "{said}"
    );
}

/// Each test of strings: plain, pipelined, and in version 3. It ends with an error at any answer that is one.
#[test]
fn redis_benchmark_runs_its_tests_of_strings() {
    let name = "redis_benchmark_runs_its_tests_of_strings";
    let Some(program) = find("redis-benchmark") else {
        return skip(name, "redis-tools not installed");
    };
    let server = common::start();
    let port = server.local_addr().port().to_string();
    let tests = "ping_inline,ping_mbulk,set,get,incr,mset";
    for more in [
        &[][..],
        &["-P", "16"],
        &["-P", "16", "-3"],
        &["-d", "3000", "-r", "1000"],
    ] {
        let mut command = Command::new(&program);
        command.args(["-p", &port, "-t", tests, "-n", "2000", "-c", "20", "--csv"]);
        let said = succeed(command.args(more), PATIENCE);
        let mut rows = said.lines().filter(|line| line.starts_with('"')).skip(1);
        for test in [
            "PING_INLINE",
            "PING_MBULK",
            "SET",
            "GET",
            "INCR",
            "MSET (10 keys)",
        ] {
            let row = rows.next().unwrap_or_default();
            assert!(
                row.starts_with(&format!("\"{test}\"")),
                "{test} with {more:?}:\n{said}"
            );
        }
    }
}

/// What monitoring reads of a Redis.
#[test]
fn the_redis_exporter_finds_what_it_looks_for() {
    let name = "the_redis_exporter_finds_what_it_looks_for";
    let Some(program) = find("prometheus-redis-exporter") else {
        return skip(name, "prometheus-redis-exporter not installed");
    };
    let server = common::start();
    common::exchange(
        &mut common::connect(&server),
        b"PUT a 1\nGET a\nGET b\n",
        b"OK\n1\nNOTFOUND\n",
    );
    // A port that was free a moment ago.
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
    let web = free.local_addr().expect("bound");
    drop(free);
    let exporter = Command::new(program)
        .args(["-redis.addr", &format!("redis://{}", at(&server))])
        .args(["-web.listen-address", &web.to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let _exporter = Guard(exporter.expect("starts"));
    let ask = b"GET /metrics HTTP/1.0\r\n\r\n";
    let answer = || http::request(web, ask).ok();
    common::wait_until("it answers", || answer().is_some());
    let said = answer().expect("an answer").body;
    for line in [
        "redis_up 1",
        "redis_exporter_last_scrape_error{err=\"\"} 0",
        "redis_db_keys{db=\"db0\"} 1",
        "redis_keyspace_hits_total 1",
        "redis_keyspace_misses_total 1",
        "redis_config_maxclients 200",
        "redis_connected_slaves 0",
    ] {
        assert!(
            said.lines().any(|said| said == line),
            "no \"{line}\" in\n{said}"
        );
    }
    for name in [
        "redis_memory_max_bytes",
        "redis_memory_used_bytes",
        "redis_evicted_keys_total",
        "redis_slowlog_length ",
        "redis_instance_info{",
    ] {
        assert!(
            said.lines().any(|said| said.starts_with(name)),
            "no {name} in\n{said}"
        );
    }
}
