//! Goal: an administrator learns which keys are asked for most, in each protocol and on the admin pages, and nobody else does.
//! Method: one key has a third of the requests of each protocol in turn; then roles, and what is switched off.

use crate::common::http;
use crate::common::resp::requests;
use crate::common::tool::Scratch;
use crate::common::{self, connect, exchange, expect, small_config, start_with, talk, wait_until};
use flagstone_server::{Config, Running};
use std::io::Write;

fn config() -> Config {
    Config {
        admin: Some(([127, 0, 0, 1], 0).into()),
        ..small_config()
    }
}

fn text(server: &Running, input: &[u8]) -> String {
    String::from_utf8(talk(server, input)).expect("text")
}

/// Each third request is for `hot key`, spelled as the protocol can; so many that of the one in 256 that are looked at surely some are.
fn ask(server: &Running, hot: &[u8], miss: &[u8], request: impl Fn(&[u8]) -> Vec<u8>) {
    let mut client = connect(server);
    for round in 0..1000 {
        let others = (0..20).map(|no| format!("other:{}", round * 20 + no));
        let batch: Vec<u8> = others
            .enumerate()
            .flat_map(|(no, other)| match no % 3 {
                0 => [request(hot), request(other.as_bytes())].concat(),
                _ => request(other.as_bytes()),
            })
            .collect();
        client.write_all(&batch).expect("sends");
        expect(&mut client, &miss.repeat(27));
    }
}

/// The figure behind a word of a line.
fn figure(line: &str, name: &str) -> u64 {
    let mut words = line.split(' ').skip_while(|word| *word != name).skip(1);
    let word = words
        .next()
        .unwrap_or_else(|| panic!("no {name} in {line}"));
    word.parse().expect("a number")
}

#[test]
fn the_hottest_comes_first_whatever_it_is_asked_in() {
    type Ask = fn(&[u8]) -> Vec<u8>;
    let native: Ask = |key| [b"GET ", key, b"\n"].concat();
    let memcached: Ask = |key| [b"get ", key, b"\r\n"].concat();
    let meta: Ask = |key| [b"mg ", key, b" v\r\n"].concat();
    // The general way, not the short one.
    let touch: Ask = |key| [b"touch ", key, b" 0\r\n"].concat();
    let resp: Ask = |key| common::resp::array(&[b"GET", key]);
    for (name, hot, miss, request) in [
        ("native", &b"hot:native"[..], &b"NOTFOUND\n"[..], native),
        ("memcached", b"hot:memcached", b"END\r\n", memcached),
        ("meta", b"hot:meta", b"EN\r\n", meta),
        ("touch", b"hot:touch", b"NOT_FOUND\r\n", touch),
        ("resp", b"hot key\r\n\"", b"$-1\r\n", resp),
    ] {
        let server = start_with(config());
        ask(&server, hot, miss, request);
        let shown = match name {
            "resp" => "hot%20key%0D%0A%22".to_owned(),
            name => format!("hot:{name}"),
        };
        // What was merged before is told for a second.
        let first = || {
            text(&server, b"HOTKEYS 1\n")
                .lines()
                .next()
                .map(str::to_owned)
        };
        let is_there = |line: &String| line.ends_with(&format!(" key {shown}"));
        wait_until("it is there", || {
            first().is_some_and(|line| is_there(&line))
        });
        let line = first().expect("one");
        assert!(line.starts_with("1:hotkey requests "), "{line}");
        let (asked, told, error) = (7000, figure(&line, "requests"), figure(&line, "error"));
        // Twice what is right in 95 of 100 cases.
        assert!(told.abs_diff(asked) <= 2 * error, "{name}: {line}");
        assert_eq!(figure(&line, "key_bytes") as usize, hot.len(), "{line}");
        let stats = text(&server, b"stats hotkeys\r\n");
        assert!(
            stats.starts_with(&format!("STAT {line}\r\n")),
            "{line} {stats}"
        );
        let told = text(&server, &requests("HOTKEYS 1"));
        let key = String::from_utf8(hot.to_vec()).expect("text");
        let head = format!("*1\r\n*4\r\n${}\r\n{key}\r\n:", hot.len());
        assert!(told.starts_with(&head), "{told}");
        let page = http::get(server.admin_addr().expect("has pages"), "/hotkeys");
        assert_eq!(page.status, 200);
        assert!(
            page.body
                .starts_with("{\"on\":true,\"keys\":[\n{\"requests\":"),
            "{}",
            page.body
        );
        // Whoever reaches the pages sees them, so there are no keys there.
        assert!(
            !page.body.contains("hot"),
            "{}",
            page.body.replace("\"on\"", "")
        );
    }
}

#[test]
fn the_page_tells_keys_to_who_has_its_token() {
    let scratch = Scratch::new("hot-page");
    let tokens = scratch.0.join("tokens");
    std::fs::write(&tokens, "t0ken\n").expect("writes");
    let server = start_with(Config {
        admin_token_file: Some(tokens),
        ..config()
    });
    ask(&server, b"hot", b"NOTFOUND\n", |key| {
        [b"GET ", key, b"\n"].concat()
    });
    let address = server.admin_addr().expect("has pages");
    assert_eq!(http::get(address, "/hotkeys").status, 401);
    let asked = "GET /hotkeys HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer t0ken\r\n\r\n";
    let page = http::request(address, asked.as_bytes()).expect("an answer");
    assert!(page.body.contains(",\"key\":\"hot\"}"), "{}", page.body);
}

#[test]
fn who_wants_nothing_kept_has_nothing() {
    let get = |key: &[u8]| [b"GET ", key, b"\n"].concat();
    let server = start_with(Config {
        hot_keys: false,
        ..config()
    });
    ask(&server, b"hot", b"NOTFOUND\n", get);
    assert_eq!(text(&server, b"HOTKEYS\n"), "END\n");
    assert_eq!(text(&server, &requests("HOTKEYS")), "*0\r\n");
    let page = http::get(server.admin_addr().expect("has pages"), "/hotkeys").body;
    assert_eq!(page, "{\"on\":false,\"keys\":[]}\n");
    let server = start_with(Config {
        tells_keys: false,
        ..config()
    });
    ask(&server, b"hot", b"NOTFOUND\n", get);
    let line = text(&server, b"HOTKEYS 1\n");
    assert!(line.contains(" key_bytes 3 key_hash "), "{line}");
    assert!(!line.contains(" key hot"), "{line}");
    let told = text(&server, &requests("HOTKEYS 1"));
    assert!(told.starts_with("*1\r\n*4\r\n$17\r\n#"), "{told}");
}

#[test]
fn only_administrators_are_told() {
    let scratch = Scratch::new("hot-roles");
    let users = scratch.0.join("users");
    std::fs::write(&users, "[write] write:pw\nadmin:pw\n").expect("writes");
    let server = start_with(Config {
        auth_file: Some(users),
        ..config()
    });
    for (user, refused) in [("write", true), ("admin", false)] {
        let mut client = connect(&server);
        let login = requests(&format!("AUTH {user} pw"));
        exchange(&mut client, &login, b"+OK\r\n");
        let head = if refused { &b"-NOPERM "[..] } else { b"*" };
        exchange(&mut client, &requests("HOTKEYS 0"), head);
    }
    let said = text(&server, &requests("AUTH admin pw|HOTKEYS x"));
    assert!(
        said.ends_with("-ERR value is not an integer or out of range\r\n"),
        "{said}"
    );
}
