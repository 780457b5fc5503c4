//! Goal: a login may do what its line says, in every protocol, and nothing else of what it sends is done.
//! Method: a table of requests with the role that each needs; every role sends every request, and the answer is the refusal of its
//! protocol where the role is too low, and something else where it is not; what stands behind a refused request is understood
//! (values in parts, long ones, lists, transactions); and in the end nothing has changed.

use flagstone_server::{Config, Running};

use crate::common::binary::{self, AUTH, packet};
use crate::common::resp::{array, requests};
use crate::common::tool::Scratch;
use crate::common::{self, show, start_with, talk};

/// As they stand in the files, from the least on.
const ROLES: [&str; 3] = ["read", "write", "admin"];
const READ: usize = 0;
const WRITE: usize = 1;
const ADMIN: usize = 2;

/// A server with a user and a token of each role, both called as the role is.
fn server(name: &str) -> (Scratch, Running) {
    let scratch = Scratch::new(name);
    let users = scratch.0.join("users");
    let tokens = scratch.0.join("tokens");
    // A line without a role is an administrator's, as before there were any.
    std::fs::write(&users, "[read] read:pw\n[write] write:pw\nadmin:pw\n").expect("writes");
    std::fs::write(&tokens, "[read] t-read\n[write] t-write\n[admin] t-admin\n").expect("writes");
    let server = start_with(Config {
        auth_file: Some(users),
        auth_token_file: Some(tokens),
        ..common::small_config()
    });
    (scratch, server)
}

/// Sends a login, a request and a last one, and takes the answers to the first and the last off both ends.
fn ask(server: &Running, parts: [&[u8]; 3], first: &[u8], last: &[u8]) -> Vec<u8> {
    let said = talk(server, &parts.concat());
    let behind = said
        .strip_prefix(first)
        .and_then(|rest| rest.strip_suffix(last));
    let behind = behind.unwrap_or_else(|| panic!("{} to {}", show(&said), show(parts[1])));
    behind.to_vec()
}

/// Each role's answer to a request, beside what it should be.
fn check(request: &[u8], needed: usize, refusal: &[u8], mut ask: impl FnMut(&str) -> Vec<u8>) {
    for (no, role) in ROLES.iter().enumerate() {
        let said = ask(role);
        let is_refused = said == refusal;
        let context = format!("{role}: {} to {}", show(&said), show(request));
        assert_eq!(is_refused, no < needed, "{context}");
    }
}

const NOPERM: &[u8] = b"-NOPERM this user has no permissions to run this command\r\n";

fn redis(server: &Running, role: &str, request: &[u8]) -> Vec<u8> {
    let login = array(&[b"AUTH", role.as_bytes(), b"pw"]);
    let last = array(&[b"ECHO", b"done"]);
    ask(
        server,
        [&login, request, &last],
        b"+OK\r\n",
        b"$4\r\ndone\r\n",
    )
}

#[test]
fn redis_clients_are_told_noperm() {
    let (_scratch, server) = server("roles-redis");
    redis(&server, "admin", &requests("SET k 1|SET other 2"));
    let long = vec![b'v'; 20_000];
    let longs = [
        (array(&[b"SET", b"k", &long]), WRITE),
        (array(&[b"SET", b"k", &long, b"EX", b"60"]), WRITE),
        (array(&[b"SETEX", b"k", b"60", &long]), WRITE),
        (array(&[b"PUBLISH", b"k", &long]), WRITE),
    ];
    let short = [
        ("GET k", READ),
        ("MGET k other", READ),
        ("EXISTS k other", READ),
        ("STRLEN k", READ),
        ("TTL k", READ),
        ("SCAN 0", READ),
        ("KEYS *", READ),
        ("DBSIZE", READ),
        ("INFO", READ),
        ("CONFIG GET maxmemory", READ),
        ("PING", READ),
        ("SELECT 0", READ),
        ("WATCH k", READ),
        ("PUBSUB CHANNELS", READ),
        ("CLIENT INFO", READ),
        ("CLIENT SETNAME me", READ),
        ("SET k 3", WRITE),
        ("SET k 3 GET", WRITE),
        ("SETNX k 3", WRITE),
        ("MSET k 3 other 4", WRITE),
        ("MSETNX k 3 other 4", WRITE),
        ("DEL k other", WRITE),
        ("UNLINK k", WRITE),
        ("GETDEL k", WRITE),
        ("GETEX k EX 60", WRITE),
        ("APPEND k 3", WRITE),
        ("SETRANGE k 1 3", WRITE),
        ("SETBIT k 1 1", WRITE),
        ("INCR k", WRITE),
        ("INCRBYFLOAT k 1", WRITE),
        ("EXPIRE k 60", WRITE),
        ("PERSIST k", WRITE),
        ("RENAME k other", WRITE),
        ("COPY k third", WRITE),
        ("DELEX k", WRITE),
        ("PUBLISH k 3", WRITE),
        ("FLUSHDB", ADMIN),
        ("FLUSHALL", ADMIN),
        ("CONFIG RESETSTAT", ADMIN),
        ("CONFIG SET maxmemory 1", ADMIN),
        ("SCRIPT FLUSH", ADMIN),
        ("CLIENT LIST", ADMIN),
        ("CLIENT KILL ID 99999", ADMIN),
        ("SHUTDOWN", ADMIN),
    ];
    let short = short.map(|(line, needed)| (requests(line), needed));
    for (request, needed) in longs.into_iter().chain(short) {
        // Others may have removed them since.
        redis(&server, "admin", &requests("SET k 1|SET other 2"));
        check(&request, needed, NOPERM, |role| {
            redis(&server, role, &request)
        });
        let held = match needed {
            READ => continue,
            _ => {
                redis(&server, "admin", &requests("SET k 1|SET other 2"));
                for role in &ROLES[..needed] {
                    redis(&server, role, &request);
                }
                redis(&server, "read", &requests("MGET k other"))
            }
        };
        let expected = b"*2\r\n$1\r\n1\r\n$1\r\n2\r\n";
        assert_eq!(show(&held), show(expected), "{}", show(&request));
    }
}

#[test]
fn a_transaction_permits_no_more_than_its_client_may() {
    let (_scratch, server) = server("roles-transaction");
    redis(&server, "admin", &requests("SET k 1"));
    let said = redis(
        &server,
        "read",
        &requests("MULTI|GET k|SET k 2|MSET k 3 j 4|GET k|EXEC"),
    );
    let noperm = std::str::from_utf8(NOPERM).expect("text");
    let queued = "+QUEUED\r\n".repeat(4);
    let expected =
        format!("+OK\r\n{queued}*4\r\n$1\r\n1\r\n{noperm}{noperm}$1\r\n1\r\n").into_bytes();
    assert_eq!(show(&said), show(&expected));
}

#[test]
fn a_second_login_counts_and_a_reset_ends_it() {
    let (_scratch, server) = server("roles-again");
    let said = talk(
        &server,
        &requests(
            "AUTH t-write|SET k 1|AUTH read wrong|SET k 2|AUTH read pw|SET k 3|HELLO 2 AUTH admin pw|FLUSHALL|RESET|GET k",
        ),
    );
    let said = String::from_utf8(said).expect("text");
    let hello = said.find("*14\r\n").or_else(|| said.find("*12\r\n"));
    let (before, behind) = said.split_at(hello.expect("an answer to HELLO"));
    let wrong = "-WRONGPASS invalid username-password pair or user is disabled.\r\n";
    let noperm = std::str::from_utf8(NOPERM).expect("text");
    assert_eq!(
        before,
        format!("+OK\r\n+OK\r\n{wrong}+OK\r\n+OK\r\n{noperm}"),
        "a login that fails takes nothing away"
    );
    let end = "+OK\r\n+RESET\r\n-NOAUTH Authentication required.\r\n";
    assert!(behind.ends_with(end), "{behind}");
}

fn memcached(server: &Running, role: &str, request: &[u8]) -> Vec<u8> {
    let login = format!("set x 0 0 {}\r\n{role} pw\r\n", role.len() + 3);
    let parts = [login.as_bytes(), request, b"mn\r\n"];
    ask(server, parts, b"STORED\r\n", b"MN\r\n")
}

#[test]
fn memcacheds_clients_are_told_not_permitted() {
    let (_scratch, server) = server("roles-memcached");
    let refusal = b"CLIENT_ERROR not permitted\r\n";
    let long = format!("set k 0 0 20000\r\n{}\r\n", "v".repeat(20_000));
    let long_meta = format!("ms k 20000\r\n{}\r\n", "v".repeat(20_000));
    for (request, needed) in [
        ("get k\r\n", READ),
        ("gets k other\r\n", READ),
        ("mg k v t\r\n", READ),
        ("me k\r\n", READ),
        ("stats\r\n", READ),
        ("stats settings\r\n", READ),
        ("version\r\n", READ),
        ("set k 0 0 1\r\n3\r\n", WRITE),
        ("add k 0 0 1\r\n3\r\n", WRITE),
        ("append k 0 0 1\r\n3\r\n", WRITE),
        (&long, WRITE),
        (&long_meta, WRITE),
        ("delete k\r\n", WRITE),
        ("incr k 1\r\n", WRITE),
        ("touch k 60\r\n", WRITE),
        ("gat 60 k\r\n", WRITE),
        ("ms k 1\r\n3\r\n", WRITE),
        ("md k\r\n", WRITE),
        ("ma k\r\n", WRITE),
        ("mg k v T60\r\n", WRITE),
        ("mg k N60\r\n", WRITE),
        ("mg k R60 v\r\n", WRITE),
        ("flush_all\r\n", ADMIN),
        ("stats reset\r\n", ADMIN),
        ("cache_memlimit 40\r\n", ADMIN),
        ("lru_crawler metadump all\r\n", ADMIN),
        ("lru_crawler mgdump all\r\n", ADMIN),
        ("shutdown\r\n", ADMIN),
    ] {
        memcached(&server, "admin", b"set k 0 0 1\r\n1\r\n");
        let request = request.as_bytes();
        check(request, needed, refusal, |role| {
            memcached(&server, role, request)
        });
        if needed > READ {
            memcached(&server, "admin", b"set k 0 0 1\r\n1\r\n");
            for role in &ROLES[..needed] {
                memcached(&server, role, request);
            }
            let held = memcached(&server, "read", b"mg k v t\r\n");
            assert_eq!(show(&held), show(b"VA 1 t-1\r\n1\r\n"), "{}", show(request));
        }
    }
    // Who wants no answer gets none, and nothing is done.
    let said = memcached(&server, "read", b"set k 0 0 1 noreply\r\n9\r\nget k\r\n");
    assert_eq!(show(&said), show(b"VALUE k 0 1\r\n1\r\nEND\r\n"));
}

#[test]
fn native_lines_are_told_error() {
    let (_scratch, server) = server("roles-native");
    let native = |role: &str, request: &[u8]| {
        let login = format!("AUTH t-{role}\n");
        let parts = [login.as_bytes(), request, b"PUT\n"];
        ask(&server, parts, b"OK\n", b"ERROR\n")
    };
    let long = format!("PUT k {}\n", "v".repeat(20_000));
    for (request, needed) in [
        ("GET k\n", READ),
        ("GETL k\n", READ),
        ("TTL k\n", READ),
        ("STATS\n", READ),
        ("STATS CLASSES\n", READ),
        ("PUT k 3\n", WRITE),
        ("PUTEX k 60 3\n", WRITE),
        (&long, WRITE),
        ("DEL k\n", WRITE),
        ("FLUSH\n", ADMIN),
    ] {
        native("admin", b"PUT k 1\n");
        let request = request.as_bytes();
        check(request, needed, b"ERROR\n", |role| native(role, request));
        if needed > READ {
            native("admin", b"PUT k 1\n");
            for role in &ROLES[..needed] {
                native(role, request);
            }
            let held = native("read", b"GET k\n");
            assert_eq!(show(&held), show(b"1\n"), "{}", show(request));
        }
    }
}

#[test]
fn binary_packets_are_told_auth_failure() {
    let (_scratch, server) = server("roles-binary");
    let binary = |role: &str, request: &[u8]| {
        let login = packet(AUTH, "PLAIN").value(format!("\0{role}\0pw")).bytes();
        let said = talk(
            &server,
            &[&login, request, &packet(binary::NOOP, "").bytes()].concat(),
        );
        let mut texts: Vec<String> = binary::answers(&said)
            .iter()
            .map(|one| one.text())
            .collect();
        assert_eq!(texts.remove(0), "21 00 v=Authenticated");
        assert_eq!(texts.pop().as_deref(), Some("0a 00"), "{}", show(request));
        texts
    };
    let set = |value: &[u8]| binary::store(binary::SET, "k", (0, 0), value).bytes();
    let long = vec![b'v'; 20_000];
    for (request, needed) in [
        (packet(binary::GET, "k").bytes(), READ),
        (packet(binary::VERSION, "").bytes(), READ),
        (packet(binary::STAT, "").bytes(), READ),
        (set(b"3"), WRITE),
        (set(&long), WRITE),
        (packet(binary::APPEND, "k").value("3").bytes(), WRITE),
        (packet(binary::DELETE, "k").bytes(), WRITE),
        (packet(binary::DELETE, "k").cas(7).bytes(), WRITE),
        (
            binary::count(binary::INCREMENT, "k", 1, 0, 0).bytes(),
            WRITE,
        ),
        (packet(binary::TOUCH, "k").number(60).bytes(), WRITE),
        (packet(binary::GAT, "k").number(60).bytes(), WRITE),
        (packet(binary::FLUSH, "").bytes(), ADMIN),
        (packet(binary::STAT, "reset").bytes(), ADMIN),
    ] {
        binary("admin", &set(b"1"));
        for (no, role) in ROLES.iter().enumerate() {
            let said = binary(role, &request);
            let opcode = request[1];
            let is_refused = said == [format!("{opcode:02x} 20 v=Auth failure.")];
            assert_eq!(
                is_refused,
                no < needed,
                "{role}: {said:?} to {}",
                show(&request)
            );
            if is_refused {
                let held = binary("read", &packet(binary::GET, "k").bytes());
                assert!(held[0].ends_with("v=1"), "{held:?}");
            }
        }
    }
}
