//! What operators of memcached expect beside its commands: counters under their names, a dump
//! of all items, logging in, shutting down, and a limit on idleness.

use std::collections::BTreeMap;
use std::io::Read;
use std::time::{Duration, Instant};

use crate::common;
use crate::common::{connect, exchange, expect_end, show, small_config, start, start_with, talk};
use flagstone_server::{Config, Running};

fn stats(server: &Running, of: &str) -> BTreeMap<String, String> {
    let reply = talk(server, format!("stats{of}\r\n").as_bytes());
    let reply = String::from_utf8(reply).expect("text");
    let lines = reply.strip_suffix("END\r\n").expect("an end");
    let pair = |line: &str| {
        let (name, value) = line.strip_prefix("STAT ")?.split_once(' ')?;
        Some((name.to_owned(), value.to_owned()))
    };
    let pairs = lines.lines().map(|line| pair(line).expect("a counter"));
    pairs.collect()
}

#[test]
fn counters_have_their_names_and_count() {
    let server = start();
    talk(
        &server,
        b"set a 0 0 1\r\n1\r\nget a b a\r\nincr a 1\r\nincr b 1\r\ndecr a 1\r\ndecr b 1\r\n\
          gets a\r\ncas b 0 0 1 1\r\nx\r\ncas a 0 0 1 1\r\nx\r\ntouch a 1\r\ntouch b 1\r\ngat 0 a\r\n\
          flush_all\r\ndelete a\r\nset a 0 0 1\r\n1\r\ndelete a\r\nme a\r\nset b 0 0 1\r\nx\r\n",
    );
    let found = stats(&server, "");
    let counted = flagstone_server::observe::counters::Totals::TOLD.len();
    assert_eq!(found.len(), 85 + counted);
    for (name, value) in [
        ("cmd_get", "4"),
        ("get_hits", "3"),
        ("get_misses", "1"),
        ("cmd_set", "5"),
        ("cmd_touch", "3"),
        ("touch_hits", "2"),
        ("touch_misses", "1"),
        ("incr_hits", "1"),
        ("incr_misses", "1"),
        ("decr_hits", "1"),
        ("decr_misses", "1"),
        ("cas_misses", "1"),
        ("cas_badval", "1"),
        ("cas_hits", "0"),
        ("cmd_flush", "1"),
        ("delete_hits", "1"),
        ("delete_misses", "1"),
        ("cmd_meta", "1"),
        ("curr_items", "1"),
        ("threads", "2"),
        ("accepting_conns", "1"),
        ("max_connections", "200"),
    ] {
        assert_eq!(found.get(name).map(String::as_str), Some(value), "{name}");
    }
    assert!(found["rusage_user"].contains('.'));
    assert_eq!(talk(&server, b"stats reset\r\n"), b"RESET\r\n");
    let after = stats(&server, "");
    assert_eq!((&after["cmd_get"][..], &after["cmd_set"][..]), ("0", "0"));
    assert_eq!(after["curr_items"], "1");
    let settings = stats(&server, " settings");
    let port = server.local_addr().port().to_string();
    for (name, value) in [
        ("maxconns", "200"),
        ("evictions", "on"),
        ("cas_enabled", "yes"),
        ("shutdown_command", "no"),
        ("domain_socket", "NULL"),
        ("inter", "127.0.0.1"),
        ("item_size_max", "1048576"),
        ("tcpport", &port),
    ] {
        assert_eq!(
            settings.get(name).map(String::as_str),
            Some(value),
            "{name}"
        );
    }
    let items = stats(&server, " items");
    let slabs = stats(&server, " slabs");
    let mut numbers = items.iter().filter(|(name, _)| name.ends_with(":number"));
    let (name, number) = numbers.next().expect("a class");
    assert!(name.starts_with("items:") && number == "1", "{items:?}");
    assert_eq!(slabs["active_slabs"], "1");
    assert!(
        slabs
            .iter()
            .any(|(name, value)| name.ends_with(":used_chunks") && value == "1")
    );
    let conns = stats(&server, " conns");
    assert_eq!(conns["0:addr"], format!("tcp:127.0.0.1:{port}"));
    assert_eq!(stats(&server, " sizes")["sizes_status"], "disabled");
    assert_eq!(talk(&server, b"stats nonsense\r\n"), b"ERROR\r\n");
}

/// A reply that is longer than any buffer comes in parts.
#[test]
fn three_hundred_places_are_told() {
    let any = "127.0.0.1:0".parse().expect("a place");
    let server = start_with(flagstone_server::Config {
        listen: vec![any; 300],
        ..small_config()
    });
    let found = stats(&server, " conns");
    assert_eq!(found.len(), 3 * 300);
    assert!(found.contains_key("299:addr"));
    assert_eq!(stats(&server, " sizes").len(), 1, "it serves on");
}

/// What an exporter insists on, for each class, with the sums right; and the first class is there before any item is.
#[test]
fn each_class_has_its_commands_counted() {
    let server = start();
    let empty = stats(&server, " slabs");
    assert!(empty["1:chunk_size"].parse::<u64>().is_ok(), "{empty:?}");
    talk(&server, b"set a 0 0 1\r\n1\r\nset b 0 0 900\r\n");
    talk(
        &server,
        &[
            b"set b 0 0 900\r\n",
            &[b'x'; 900][..],
            b"\r\nget b\r\nincr a 1\r\n",
        ]
        .concat(),
    );
    let found = stats(&server, " slabs");
    for (name, sum) in [
        ("cmd_set", 2),
        ("get_hits", 1),
        ("incr_hits", 1),
        ("decr_hits", 0),
        ("delete_hits", 0),
        ("cas_hits", 0),
        ("cas_badval", 0),
        ("touch_hits", 0),
    ] {
        let of_class = |(key, value): (&String, &String)| {
            let (_, field) = key.split_once(':')?;
            (field == name).then(|| value.parse::<u64>().expect("a number"))
        };
        let values: Vec<u64> = found.iter().filter_map(of_class).collect();
        assert_eq!(values.iter().sum::<u64>(), sum, "{name}: {found:?}");
        assert!(values.len() >= 2, "{name} of each class");
    }
}

#[test]
fn a_dump_tells_of_every_item() {
    let server = start();
    assert_eq!(
        talk(&server, b"lru_crawler metadump all\r\n"),
        b"OK\r\nEND\r\n"
    );
    let count = 50_000;
    let mut input = Vec::new();
    for n in 0..count {
        input.extend_from_slice(format!("set key:{n} 0 0 3 noreply\r\nabc\r\n").as_bytes());
    }
    input.extend_from_slice(b"ms AP8g 1 b T1000\r\nx\r\nset gone 0 -1 1\r\nx\r\n");
    assert_eq!(talk(&server, &input), b"HD\r\nSTORED\r\n");
    // Other requests before and behind it are answered in their turn.
    let reply = talk(&server, b"mn\r\nlru_crawler metadump all\r\nmn\r\n");
    let reply = String::from_utf8(reply).expect("text");
    let lines = reply
        .strip_prefix("MN\r\nOK\r\n")
        .and_then(|rest| rest.strip_suffix("END\r\nMN\r\n"));
    let mut keys: Vec<&str> = Vec::new();
    for line in lines.expect("in order").lines() {
        let mut words = line.split(' ');
        keys.push(
            words
                .next()
                .and_then(|key| key.strip_prefix("key="))
                .expect("a key"),
        );
        let names: Vec<&str> = words
            .filter_map(|word| Some(word.split_once('=')?.0))
            .collect();
        assert_eq!(
            names,
            ["exp", "la", "cas", "fetch", "cls", "size", "flags"],
            "{line}"
        );
    }
    // The other form is commands, which find what they name.
    let reply = talk(&server, b"lru_crawler mgdump all\r\n");
    let commands = reply
        .strip_prefix(b"OK\r\n")
        .and_then(|rest| rest.strip_suffix(b"EN\r\n"))
        .expect("a dump of keys");
    let found = talk(&server, commands);
    assert_eq!(found, b"HD\r\n".repeat(count + 1));
    keys.sort_unstable();
    let mut expected: Vec<String> = (0..count).map(|n| format!("key%3A{n}")).collect();
    expected.push("%00%FF%20".to_owned());
    expected.sort_unstable();
    assert_eq!(keys.len(), expected.len());
    assert!(keys == expected);
    assert_eq!(
        show(&talk(
            &server,
            b"lru_crawler metadump 99\r\nlru_crawler\r\n"
        )),
        show(b"BADCLASS invalid class id\r\nERROR\r\n")
    );
}

#[test]
fn who_has_to_log_in_can_do_nothing_before() {
    let path = std::env::temp_dir().join(format!("flagstone-auth-{}", std::process::id()));
    std::fs::write(&path, "foo:bar\nother:pass word\n").expect("writes");
    let server = start_with(Config {
        auth_file: Some(path.clone()),
        ..small_config()
    });
    std::fs::remove_file(&path).expect("read at the start");
    let mut client = connect(&server);
    exchange(
        &mut client,
        b"get a\r\n",
        b"CLIENT_ERROR unauthenticated\r\n",
    );
    exchange(&mut client, b"PUT a 1\nFLUSH\n", b"ERROR\nERROR\n");
    exchange(
        &mut client,
        b"set a 0 0 2\r\nhi\r\n",
        b"CLIENT_ERROR bad authentication token format\r\n",
    );
    exchange(
        &mut client,
        b"set a 0 0 7\r\nfoo baz\r\nget a\r\n",
        b"CLIENT_ERROR authentication failure\r\nCLIENT_ERROR unauthenticated\r\n",
    );
    // What follows a login is understood at once, and only on this connection.
    exchange(
        &mut client,
        b"set a 0 0 7\r\nfoo bar\r\nget a\r\nset a 0 0 1\r\nx\r\nGET a\n",
        b"STORED\r\nEND\r\nSTORED\r\nx\n",
    );
    let mut other = connect(&server);
    exchange(
        &mut other,
        b"get a\r\nset a 0 0 15\r\nother pass word\r\nget a\r\n",
        b"CLIENT_ERROR unauthenticated\r\nSTORED\r\nVALUE a 0 1\r\nx\r\nEND\r\n",
    );
    let mut stats = vec![0; 4096];
    client
        .set_read_timeout(Some(Duration::from_secs(5)))
        .expect("settable");
    std::io::Write::write_all(&mut client, b"stats\r\n").expect("sends");
    let mut len = 0;
    while !stats[..len].ends_with(b"END\r\n") {
        len += client.read(&mut stats[len..]).expect("replies");
    }
    let stats = String::from_utf8_lossy(&stats[..len]).into_owned();
    assert!(
        stats.contains("STAT auth_cmds 3\r\nSTAT auth_errors 1\r\n"),
        "{stats}"
    );
}

#[test]
fn a_client_may_shut_the_server_down_if_allowed() {
    let server = start();
    assert_eq!(
        show(&talk(&server, b"shutdown\r\nshutdown x\r\n")),
        show(b"SERVER_ERROR: shutdown not enabled\r\nSERVER_ERROR: shutdown not enabled\r\n")
    );
    let server = start_with(Config {
        shutdown: true,
        ..small_config()
    });
    let mut idle = connect(&server);
    exchange(&mut idle, b"mn\r\n", b"MN\r\n");
    assert_eq!(
        show(&talk(&server, b"shutdown x\r\nshutdown graceful\r\nmn\r\n")),
        show(b"CLIENT_ERROR invalid shutdown mode\r\n")
    );
    // It drains: who is connected is said goodbye.
    expect_end(&mut idle);
    let address = server.local_addr();
    common::wait_until("nobody listens", || {
        std::net::TcpStream::connect(address).is_err()
    });
    server.shutdown().expect("ended well");
}

#[test]
fn who_asks_nothing_for_too_long_is_closed() {
    let server = start_with(Config {
        idle_timeout: Some(Duration::from_secs(2)),
        ..small_config()
    });
    let start = Instant::now();
    let mut idle = connect(&server);
    let mut busy = connect(&server);
    exchange(&mut idle, b"mn\r\n", b"MN\r\n");
    while start.elapsed() < Duration::from_secs(4) {
        exchange(&mut busy, b"mn\r\n", b"MN\r\n");
        std::thread::sleep(Duration::from_millis(100));
    }
    expect_end(&mut idle);
    exchange(&mut busy, b"mn\r\n", b"MN\r\n");
    assert_eq!(stats(&server, "")["idle_kicks"], "1");
}

#[test]
fn a_size_class_can_be_listed() {
    let server = start();
    let mut input = Vec::new();
    for n in 0..1_000 {
        input.extend_from_slice(format!("set small:{n:04} 0 0 3 noreply\r\nabc\r\n").as_bytes());
    }
    input.extend_from_slice(b"ms YSBiCmM= 3 b T-1\r\nabc\r\nms YSBiCmM= 3 b\r\nabc\r\n");
    input.extend_from_slice(format!("set large 0 100 900\r\n{}\r\n", "v".repeat(900)).as_bytes());
    assert_eq!(talk(&server, &input), b"HD\r\nHD\r\nSTORED\r\n");
    let items = stats(&server, " items");
    let classes: Vec<&str> = items
        .keys()
        .filter_map(|name| name.strip_prefix("items:")?.strip_suffix(":number"))
        .collect();
    let list = |class: &str, limit: usize| {
        let reply = talk(
            &server,
            format!("stats cachedump {class} {limit}\r\nmn\r\n").as_bytes(),
        );
        let reply = String::from_utf8(reply).expect("text");
        let lines = reply.strip_suffix("END\r\nMN\r\n").expect("in order");
        lines.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    // Each class tells of as many items as it says that it has, and together they are all.
    let mut lines = Vec::new();
    for class in classes {
        let of_class = list(class, 0);
        assert_eq!(
            of_class.len().to_string(),
            items[&format!("items:{class}:number")]
        );
        lines.extend(of_class);
    }
    assert_eq!(lines.len(), 1_002);
    assert!(lines.contains(&"ITEM small:0999 [3 b; 0 s]".to_owned()));
    assert!(lines.contains(&"ITEM a%20b%0Ac [3 b; 0 s]".to_owned()));
    let large = lines
        .iter()
        .find(|line| line.starts_with("ITEM large [900 b; "));
    let deadline = large.and_then(|line| line.strip_suffix(" s]")?.rsplit_once(' '));
    let deadline: u64 = deadline.expect("it is there").1.parse().expect("a number");
    let unix = std::time::UNIX_EPOCH
        .elapsed()
        .expect("after 1970")
        .as_secs();
    assert!(
        (unix + 90..=unix + 101).contains(&deadline),
        "{deadline} at {unix}"
    );
    let crowded = lines_of_most(&items);
    assert_eq!(list(&crowded, 7).len(), 7);
    assert_eq!(list("0", 0), [""; 0]);
    assert_eq!(list("63", 0), [""; 0]);
    assert_eq!(
        show(&talk(&server, b"stats cachedump 1\r\nstats cachedump 1 x\r\nstats cachedump 64 1\r\n")),
        show(b"CLIENT_ERROR bad command line\r\nCLIENT_ERROR bad command line format\r\nCLIENT_ERROR Illegal slab id\r\n")
    );
}

/// The class that holds the most items.
fn lines_of_most(items: &std::collections::BTreeMap<String, String>) -> String {
    let number = |name: &str, value: &str| {
        let class = name.strip_prefix("items:")?.strip_suffix(":number")?;
        Some((value.parse::<u64>().ok()?, class.to_owned()))
    };
    let most = items
        .iter()
        .filter_map(|(name, value)| number(name, value))
        .max();
    most.expect("there are classes").1
}
