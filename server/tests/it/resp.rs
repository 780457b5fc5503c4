//! Redis' protocol over real connections: every command in both versions, what is wrong with it, any split of the input,
//! long values and long lists, and one keyspace with the other protocols.

use std::io::{Read, Write};
use std::time::Duration;

use crate::common::resp::{array, check, requests};
use crate::common::tool::{find, skip, succeed};
use crate::common::{
    connect, connect_to, exchange, expect, expect_end, show, small_config, start, start_with, stat,
    talk, talk_in_parts, wait_until,
};
use flagstone_server::Config;

/// `expected` has `|` for the line's end.
#[track_caller]
#[test]
fn every_command_in_version_2() {
    let server = start();
    let table = [
        ("PING|PING hi|ECHO hi", "+PONG|$2|hi|$2|hi|"),
        ("SET a 1|GET a|GET no|get a", "+OK|$1|1|$-1|$1|1|"),
        (
            "SET a 2 NX|SET b 2 XX|SET a 2 XX|GET a",
            "$-1|$-1|+OK|$1|2|",
        ),
        (
            "SET a 3 GET|SET no 1 NX GET|SET no 2 NX GET|GET no",
            "$1|2|$-1|$1|1|$1|1|",
        ),
        (
            "SET a 4 EX 100|TTL a|SET a 5 KEEPTTL|TTL a|GET a",
            "+OK|:100|+OK|:100|$1|5|",
        ),
        ("SET a 6|TTL a|TTL none|PTTL none", "+OK|:-1|:-2|:-2|"),
        (
            "SET a 7 IFEQ 6|SET a 8 IFEQ 6|GET a|SET none 1 IFEQ 1",
            "+OK|$-1|$1|7|$-1|",
        ),
        (
            "SET a 1 PX 100000 NX|SET a 1 EXAT 1|GET a|SET a 1 PXAT 99999999999999|GET a",
            "$-1|+OK|$-1|+OK|$1|1|",
        ),
        (
            "SETNX a 2|SETNX c 2|SETEX c 100 v|PSETEX c 100000 w|GET c|TTL c",
            ":0|:1|+OK|+OK|$1|w|:100|",
        ),
        (
            "GETSET c x|GETSET fresh y|GETDEL c|GETDEL c|GET c",
            "$1|w|$-1|$1|x|$-1|$-1|",
        ),
        (
            "SET a v EX 50|GETEX a|TTL a|GETEX a PERSIST|TTL a|GETEX a EX 9|TTL a|GETEX none EX 9",
            "+OK|$1|v|:50|$1|v|:-1|$1|v|:9|$-1|",
        ),
        (
            "APPEND d ab|APPEND d cd|GET d|STRLEN d|STRLEN none|APPEND d \"\"",
            ":2|:4|$4|abcd|:4|:0|:4|",
        ),
        (
            "GETRANGE d 1 2|GETRANGE d -2 -1|GETRANGE d 9 9|SUBSTR d 0 0|GETRANGE none 0 -1",
            "$2|bc|$2|cd|$0||$1|a|$0||",
        ),
        (
            "SETRANGE d 1 XX|GET d|SETRANGE e 2 z|GETRANGE e 2 2|STRLEN e|SETRANGE none 0 \"\"",
            ":4|$4|aXXd|:3|$1|z|:3|:0|",
        ),
        (
            "SET n 10|INCR n|DECR n|INCRBY n 5|DECRBY n 20|GET n|INCR m",
            "+OK|:11|:10|:15|:-5|$2|-5|:1|",
        ),
        (
            "SET f 10.50|INCRBYFLOAT f 0.1|INCRBYFLOAT f -5|INCRBYFLOAT g 3",
            "+OK|$4|10.6|$3|5.6|$1|3|",
        ),
        (
            "MSET x 1 y 2|MGET x none y|EXISTS x x none|TOUCH x y none|DEL x y none|UNLINK x",
            "+OK|*3|$1|1|$-1|$1|2|:2|:2|:2|:0|",
        ),
        (
            "SET a v|EXPIRE a 100|TTL a|PEXPIRE a 50000|TTL a|PERSIST a|PERSIST a|TTL a",
            "+OK|:1|:100|:1|:50|:1|:0|:-1|",
        ),
        (
            "EXPIRE a 100 XX|EXPIRE a 100 NX|EXPIRE a 50 GT|EXPIRE a 50 LT|EXPIRE none 1|TTL a",
            ":0|:1|:0|:1|:0|:50|",
        ),
        (
            "EXPIREAT a 99999999999|EXPIRETIME none|PEXPIREAT a 1|GET a",
            ":1|:-2|:1|$-1|",
        ),
        (
            "SET a v|TYPE a|TYPE none|OBJECT ENCODING a|OBJECT REFCOUNT a|OBJECT ENCODING none",
            "+OK|+string|+none|$6|embstr|:1|$-1|",
        ),
        (
            "SELECT 0|SELECT 16|SELECT x|CLIENT SETNAME me|CLIENT GETNAME|CLIENT SETINFO LIB-NAME x",
            "+OK|-ERR DB index is out of range|-ERR value is not an integer or out of range|+OK|$2|me|+OK|",
        ),
        (
            "CONFIG GET save|CONFIG RESETSTAT|SLOWLOG RESET|SLOWLOG LEN|LATENCY LATEST|MODULE LIST|WAIT 0 0",
            "*2|$4|save|$0||+OK|+OK|:0|*0|*0|:0|",
        ),
        (
            "COMMAND INFO get|COMMAND INFO nope",
            "*1|*10|$3|get|:2|*2|+readonly|+fast|:1|:1|:1|*0|*0|*0|*0|*1|$-1|",
        ),
        (
            "COMMAND INFO nope none|COMMAND DOCS nope echo",
            "*2|$-1|$-1|*2|$4|echo|*2|$5|group|$6|server|",
        ),
        (
            "COMMAND GETKEYS MSET a 1 b 2|COMMAND GETKEYS EVAL x 2 k l arg|COMMAND GETKEYS OBJECT ENCODING k|COMMAND GETKEYS DEL a b c d",
            "*2|$1|a|$1|b|*2|$1|k|$1|l|*1|$1|k|*4|$1|a|$1|b|$1|c|$1|d|",
        ),
        (
            "CONFIG GET save databases save*|CONFIG SET appendonly no save \"\"|CONFIG SET maxmemory-policy ALLKEYS-LRU|CONFIG SET DATABASES 16",
            "*4|$9|databases|$2|16|$4|save|$0||+OK|+OK|+OK|",
        ),
        (
            "FUNCTION FLUSH|RESET|FLUSHDB ASYNC|DBSIZE",
            "+OK|+RESET|+OK|:0|",
        ),
    ];
    for (lines, expected) in table {
        check(&server, lines, expected);
    }
}

#[test]
fn what_is_wrong_is_said_as_redis_says_it() {
    let server = start();
    let table = [
        (
            "GET|GET a b|SET a|MSET a|MSET a 1 b",
            "-ERR wrong number of arguments for 'get' command|-ERR wrong number of arguments for 'get' command|-ERR wrong number of arguments for 'set' command|-ERR wrong number of arguments for 'mset' command|-ERR wrong number of arguments for 'mset' command|",
        ),
        (
            "COMMAND GETKEYS PING x|COMMAND GETKEYS NOPE a|COMMAND GETKEYS GET a b|COMMAND GETKEYS OBJECT HELP|COMMAND GETKEYS DEL a b c d e",
            "-ERR The command has no key arguments|-ERR Invalid command specified|-ERR Invalid number of arguments specified for command|-ERR The command has no key arguments|-ERR up to 4 names, patterns or keys, or 2 settings, at a time here|",
        ),
        (
            "CONFIG SET nope 1|CONFIG SET appendonly no nope 1|CONFIG SET databases 17|CONFIG REWRITE|CONFIG GET a b c d e",
            "-ERR Unknown option or number of arguments for CONFIG SET - 'nope'|-ERR Unknown option or number of arguments for CONFIG SET - 'nope'|-ERR CONFIG SET failed (possibly related to argument 'databases') - settings are given at the start|-ERR The server is running without a config file|-ERR up to 4 names, patterns or keys, or 2 settings, at a time here|",
        ),
        (
            "SET a 1 EX|SET a 1 FOO|SET a 1 NX XX|SET a 1 EX 1 PX 1",
            "-ERR syntax error|-ERR syntax error|-ERR syntax error|-ERR syntax error|",
        ),
        (
            "SET a 1 EX 0|SETEX a 0 1|GETEX a EX -1|PSETEX a x 1",
            "-ERR invalid expire time in 'set' command|-ERR invalid expire time in 'setex' command|-ERR invalid expire time in 'getex' command|-ERR value is not an integer or out of range|",
        ),
        (
            "SET s x|INCR s|INCRBYFLOAT s 1|INCRBY n x|SET n 9223372036854775807|INCR n|DECRBY n -9223372036854775808",
            "+OK|-ERR value is not an integer or out of range|-ERR value is not a valid float|-ERR value is not an integer or out of range|+OK|-ERR increment or decrement would overflow|-ERR decrement would overflow|",
        ),
        (
            "INCRBYFLOAT s1 x|SET i 1e308|INCRBYFLOAT i 1e308",
            "-ERR value is not a valid float|+OK|-ERR increment would produce NaN or Infinity|",
        ),
        (
            "SETRANGE s -1 x|SETRANGE s 2000000 x|EXPIRE s 1 NX XX|EXPIRE s 1 GT LT",
            "-ERR offset is out of range|-ERR string exceeds maximum allowed size (--max-item)|-ERR NX and XX, GT or LT options at the same time are not compatible|-ERR GT and LT options at the same time are not compatible|",
        ),
        (
            "LPUSH l 1|FOO|CLUSTER INFO|HELLO 9|HELLO x",
            "-ERR unknown command 'LPUSH', with args beginning with: 'l' '1' |-ERR unknown command 'FOO', with args beginning with: |-ERR This instance has cluster support disabled|-NOPROTO unsupported protocol version|-ERR Protocol version is not an integer or out of range|",
        ),
        (
            "CLIENT FOO|CONFIG HELP|SHUTDOWN",
            "-ERR unknown subcommand 'FOO'. Try CLIENT HELP.|*5|$42|CONFIG <subcommand> [<arg> ...]. They are:|$3|GET|$3|SET|$9|RESETSTAT|$4|HELP|-ERR this command is switched off by a setting|",
        ),
        (
            "MGET a \"\" a|DEL \"\"|SET \"\" x|GET \"\"|MGET a \"\"|EXISTS \"\" a \"\"|DEL \"\"|GET \"\"",
            "*3|$-1|$-1|$-1|:0|+OK|$1|x|*2|$-1|$1|x|:2|:1|$-1|",
        ),
    ];
    for (lines, expected) in table {
        check(&server, lines, expected);
    }
    assert_eq!(
        show(&talk(&server, &requests("client setinfo LIB-NAME|CONFIG GET"))),
        show(
            b"-ERR wrong number of arguments for 'client|setinfo' command\r\n-ERR wrong number of arguments for 'config|get' command\r\n"
        )
    );
}

#[test]
fn version_3_has_its_own_nothing_and_maps() {
    let server = start();
    let hello = "%7|$6|server|$5|redis|$7|version|$5|7.2.4|$5|proto|:3|$2|id|:1|$4|mode|$10|standalone|$4|role|$6|master|$7|modules|*0|";
    let told =
        format!("{hello}_|*1|_|+OK|_|%1|$10|appendonly|$2|no|%1|$3|get|%1|$5|group|$6|string|");
    let asked = "HELLO 3|GET no|MGET no|SET a 1|SET a 2 NX|CONFIG GET appendonly|COMMAND DOCS get";
    check(&server, asked, &told);
    // And back, on the next connection.
    let hello = hello.replace(":1|", ":2|");
    let back = hello.replace("%7", "*14").replace(":3", ":2");
    check(
        &server,
        "HELLO 3|HELLO 2|GET no",
        &format!("{hello}{back}$-1|"),
    );
}

#[test]
fn any_split_gives_the_same_answers() {
    let server = start();
    let lines = "SET a hello EX 100|GET a|MSET b 1 c 2|MGET a b none c|DEL b c none|INCR n|SET a x KEEPTTL GET|FOO bar|SET a 1 EX 0|TTL a|PING";
    let bytes = [
        &requests(lines)[..],
        b"*0\r\n\r\n*-1\r\n",
        &requests("ECHO end|FLUSHALL"),
    ]
    .concat();
    let whole = show(&talk(&server, &bytes));
    for cut in 1..bytes.len() {
        let replies = talk_in_parts(&server, &[&bytes[..cut], &bytes[cut..]]);
        assert_eq!(show(&replies), whole, "cut at {cut}");
    }
    let each: Vec<&[u8]> = bytes.chunks(7).collect();
    assert_eq!(show(&talk_in_parts(&server, &each)), whole);
}

#[test]
fn the_first_byte_decides_and_addresses_can_be_pinned() {
    let server = start_with(Config {
        listen: ["auto:127.0.0.1:0", "resp:127.0.0.1:0"]
            .map(|place| place.parse().expect("a place"))
            .to_vec(),
        ..small_config()
    });
    // Native and memcached sessions are as they were, and probes are answered among them.
    let mixed = b"PUT a 1\nPING\r\nget a\r\nGET a\nECHO hi\nSET a 2\n";
    let told = "OK\n+PONG\r\nVALUE a 0 1\r\n1\r\nEND\r\n1\n$2\r\nhi\r\nERROR\n";
    assert_eq!(show(&talk(&server, mixed)), show(told.as_bytes()));
    // What has begun as RESP takes lines, too, and never leaves it.
    let begun = [&array(&[b"PING"])[..], b"GET a\r\nget a\r\nPUT a 2\r\n"].concat();
    let told = "+PONG\r\n$1\r\n1\r\n$1\r\n1\r\n-ERR unknown command 'PUT', with args beginning with: 'a' '2' \r\n";
    assert_eq!(show(&talk(&server, &begun)), show(told.as_bytes()));
    let pinned = server.local_addrs().last().expect("two places");
    let mut client = connect_to(pinned);
    client
        .write_all(b"SET q \"a b\"\r\nGET q\r\nset 'x y' 1\r\n\r\nQUIT\r\nPING\r\n")
        .expect("sent");
    expect(&mut client, b"+OK\r\n$3\r\na b\r\n+OK\r\n+OK\r\n");
    expect_end(&mut client);
    // Strays store nothing.
    for stray in [
        &b"POST / HTTP/1.1\r\nSET s 1\r\n"[..],
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00",
    ] {
        let mut client = connect_to(pinned);
        client.write_all(stray).expect("sent");
        let mut rest = Vec::new();
        let _ = client.read_to_end(&mut rest);
        assert!(!rest.starts_with(b"+"), "{}", show(&rest));
    }
    assert_eq!(show(&talk(&server, b"GET s\n")), show(b"NOTFOUND\n"));
}

#[test]
fn protocol_errors_are_said_and_close() {
    let server = start();
    let table: &[(&[u8], &[u8])] = &[
        (
            b"*x\r\n",
            b"-ERR Protocol error: invalid multibulk length\r\n",
        ),
        (
            b"*2000000\r\n",
            b"-ERR Protocol error: invalid multibulk length\r\n",
        ),
        (
            b"*1\r\nfoo\r\n",
            b"-ERR Protocol error: expected '$', got 'f'\r\n",
        ),
        (
            b"*1\r\n$-5\r\n",
            b"-ERR Protocol error: invalid bulk length\r\n",
        ),
        (
            b"*2\r\n$3\r\nGET\r\n$600000000\r\n",
            b"-ERR Protocol error: invalid bulk length\r\n",
        ),
        (
            b"*1\r\n$4\r\nPING\r\nSET a \"b\r\n",
            b"+PONG\r\n-ERR Protocol error: unbalanced quotes in request\r\n",
        ),
    ];
    for (input, expected) in table {
        let mut client = connect(&server);
        client.write_all(input).expect("sent");
        expect(&mut client, expected);
        expect_end(&mut client);
    }
}

#[test]
fn long_values_go_in_and_out() {
    let server = start_with(Config {
        memory_bytes: 64 << 20,
        ..small_config()
    });
    for len in [16_000, 17_000, 100_000, 1_000_000] {
        let value: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
        let told = [format!("${len}\r\n").as_bytes(), &value, b"\r\n"].concat();
        let input = [
            array(&[b"SET", b"a", &value]),
            array(&[b"SET", b"b", &value, b"EX", b"100"]),
            array(&[b"SET", b"none", &value, b"XX"]),
            array(&[b"SET", b"a", &value, b"EX", b"0"]),
            array(&[b"SETEX", b"c", b"50", &value]),
            array(&[b"MSET", b"x", b"1", b"d", &value]),
            requests(
                "TTL a|TTL b|TTL c|GET a|MGET d none b|SET d short GET|GETDEL c|GETDEL c|GET d",
            ),
        ]
        .concat();
        let expected = [
            &b"+OK\r\n+OK\r\n$-1\r\n-ERR invalid expire time in 'set' command\r\n+OK\r\n+OK\r\n:-1\r\n:100\r\n:50\r\n"[..],
            &told,
            b"*3\r\n",
            &told,
            b"$-1\r\n",
            &told,
            &told,
            &told,
            b"$-1\r\n$5\r\nshort\r\n",
        ]
        .concat();
        let mut client = connect(&server);
        let mut reader = client.try_clone().expect("clones");
        let writer = std::thread::spawn(move || client.write_all(&input).map(|()| client));
        let mut replies = vec![0; expected.len()];
        reader.read_exact(&mut replies).expect("all replies");
        assert!(
            replies == expected,
            "{len}: {}",
            show(&replies[..replies.len().min(300)])
        );
        drop(writer.join().expect("joined").expect("sent"));
    }
    // What is too long is skipped, with what stands behind it, and the connection goes on.
    let huge = vec![b'x'; 3_000_000];
    let input = [
        array(&[b"SET", b"a", &huge, b"EX", b"9"]),
        array(&[b"ECHO", &huge]),
        array(&[b"FOO", &huge, b"1", &huge]),
        array(&[b"SETRANGE", b"a", b"0", &huge[..20_000]]),
        // A list is answered once, whichever of its values it is.
        array(&[b"MSET", b"x", b"1", b"a", &huge, b"b", &huge, b"y", b"2"]),
        array(&[b"MSET", b"z", b"3", b"a", &huge]),
        requests("MGET x y z|PING"),
    ]
    .concat();
    let told = [
        "value is longer than the server's --max-item allows",
        "request's arguments are longer than 16 KiB",
        "request's arguments are longer than 16 KiB",
        "request's arguments are longer than 16 KiB",
        "value is longer than the server's --max-item allows",
        "value is longer than the server's --max-item allows",
    ]
    .map(|what| format!("-ERR the {what}\r\n"))
    .concat();
    let told = told + "*3\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n3\r\n+PONG\r\n";
    let before = stat(&server, "errors");
    assert_eq!(show(&talk(&server, &input)), show(told.as_bytes()));
    // One for each value or request, however much of it was skipped.
    assert_eq!(stat(&server, "errors") - before, 7);
}

#[test]
fn a_long_value_that_waits_for_a_transfer_is_stored_on_its_own_terms() {
    let server = start();
    let value = vec![b'v'; 1 << 20];
    let mut first = connect(&server);
    exchange(&mut first, &array(&[b"SET", b"big", &value]), b"+OK\r\n");
    // More peers who do not read than there are transfers at a time.
    let mut rude: Vec<_> = (0..40).map(|_| connect(&server)).collect();
    for stream in &mut rude {
        stream
            .write_all(&requests("GET big|GET big"))
            .expect("sent");
    }
    std::thread::sleep(Duration::from_millis(200));
    let value = &value[..700_000];
    let asked = [
        array(&[b"SET", b"a", value, b"EX", b"100"]),
        array(&[b"MSET", b"b", b"1", b"c", value, b"d", b"2"]),
        requests("TTL a|STRLEN a|STRLEN c|GET d"),
    ]
    .concat();
    let waits = stat(&server, "buffer_waits");
    let told = b"+OK\r\n+OK\r\n:100\r\n:700000\r\n:700000\r\n$1\r\n2\r\n";
    let mut waiting = connect(&server);
    std::thread::scope(|scope| {
        let mut writer = waiting.try_clone().expect("clones");
        scope.spawn(move || writer.write_all(&asked).expect("sent"));
        // Many turns pass in which it cannot begin.
        wait_until("it waits", || stat(&server, "buffer_waits") > waits);
        std::thread::sleep(Duration::from_millis(200));
        drop(rude);
        expect(&mut waiting, told);
    });
}

#[test]
fn lists_of_twenty_thousand_keys() {
    let server = start_with(Config {
        memory_bytes: 64 << 20,
        ..small_config()
    });
    let names: Vec<Vec<u8>> = (0..20_000)
        .map(|no| format!("key:{no}").into_bytes())
        .collect();
    let list = |verb: &'static [u8]| {
        let mut words = vec![verb];
        words.extend(names.iter().map(Vec::as_slice));
        array(&words)
    };
    let mut pairs: Vec<&[u8]> = vec![b"MSET"];
    for name in &names {
        pairs.extend([&name[..], b"value"]);
    }
    let input = [
        array(&pairs),
        list(b"EXISTS"),
        list(b"MGET"),
        list(b"DEL"),
        list(b"DEL"),
    ]
    .concat();
    let values = b"$5\r\nvalue\r\n".repeat(20_000);
    let told = [
        b"+OK\r\n:20000\r\n*20000\r\n",
        &values[..],
        b":20000\r\n:0\r\n",
    ]
    .concat();
    let mut client = connect(&server);
    let mut reader = client.try_clone().expect("clones");
    let writer = std::thread::spawn(move || client.write_all(&input).map(|()| client));
    let mut replies = vec![0; told.len()];
    reader.read_exact(&mut replies).expect("all replies");
    assert!(replies == told);
    drop(writer.join().expect("joined").expect("sent"));
}

#[test]
fn who_has_to_log_in_does_it_as_in_redis() {
    let path = std::env::temp_dir().join(format!("flagstone-resp-token-{}", std::process::id()));
    std::fs::write(&path, "s3cret\n").expect("writable");
    let server = start_with(Config {
        auth_token_file: Some(path.clone()),
        ..small_config()
    });
    std::fs::remove_file(&path).expect("was there");
    check(
        &server,
        "GET a|SET a 1|GET|AUTH wrong|AUTH s3cret|SET a 1|GET a",
        "-NOAUTH Authentication required.|-NOAUTH Authentication required.|-ERR wrong number of arguments for 'get' command|-WRONGPASS invalid username-password pair or user is disabled.|+OK|+OK|$1|1|",
    );
    check(&server, "AUTH default s3cret|GET a", "+OK|$1|1|");
    // A pool that resets a connection gives it to somebody else.
    check(
        &server,
        "AUTH s3cret|GET a|RESET|GET a|AUTH s3cret|GET a",
        "+OK|$1|1|+RESET|-NOAUTH Authentication required.|+OK|$1|1|",
    );
    // A wrong login is one also on a connection that has logged in, and changes no version.
    let wrong = "-WRONGPASS invalid username-password pair or user is disabled.|";
    check(
        &server,
        "AUTH s3cret|HELLO 3 AUTH default wrong|GET none",
        &format!("+OK|{wrong}$-1|"),
    );
    check(
        &server,
        "HELLO 3 AUTH default wrong|AUTH s3cret|GET none",
        &format!("{wrong}+OK|$-1|"),
    );
    let replies = talk(&server, &requests("HELLO 3 AUTH default s3cret|GET none"));
    assert!(
        replies.starts_with(b"%7\r\n") && replies.ends_with(b"_\r\n"),
        "{}",
        show(&replies)
    );
    // Who logs in so may say a name; one that is too long is refused with all else.
    let named = requests("HELLO 3 AUTH default s3cret SETNAME me|CLIENT GETNAME|GET none");
    let replies = talk(&server, &named);
    assert!(
        replies.ends_with(b"$2\r\nme\r\n_\r\n"),
        "{}",
        show(&replies)
    );
    let name = "n".repeat(97);
    let too_long =
        "-ERR a client's name, lib-name, lib-ver and user take up to 96 bytes together here|";
    check(
        &server,
        &format!("HELLO 3 AUTH default s3cret SETNAME {name}|GET none|AUTH s3cret|GET none"),
        &format!("{too_long}-NOAUTH Authentication required.|+OK|$-1|"),
    );
    let replies = talk(&server, &requests("HELLO 3|PING"));
    assert!(
        replies.starts_with(b"-NOAUTH HELLO must be called"),
        "{}",
        show(&replies)
    );
}

#[test]
fn where_there_is_no_login_none_is_guessed() {
    let server = start();
    let wrong = "-WRONGPASS invalid username-password pair or user is disabled.|";
    check(
        &server,
        &("AUTH x|".repeat(200) + "PING"),
        &(wrong.repeat(200) + "+PONG|"),
    );
    // And nobody from there is slowed.
    check(&server, "PING", "+PONG|");
}

#[test]
fn one_keyspace_for_all_protocols() {
    let server = start();
    // Native and memcached's values, read and changed here.
    let told = "OK\nSTORED\r\n";
    assert_eq!(
        show(&talk(
            &server,
            b"PUTEX n 100 native\nset m 7 100 9\r\nmemcached\r\n"
        )),
        show(told.as_bytes())
    );
    check(
        &server,
        "GET n|EXPIRE n 1000 NX|GET m|EXPIRE m 1000 NX|APPEND m !",
        "$6|native|:0|$9|memcached|:0|:10|",
    );
    // What is changed keeps its flags and its deadline.
    assert_eq!(
        show(&talk(&server, b"get m\r\n")),
        show(b"VALUE m 7 10\r\nmemcached!\r\nEND\r\n")
    );
    // What is stored here, read there; a line end in it is no injection into native answers.
    let input = [
        array(&[b"SET", b"r", b"redis", b"EX", b"50"]),
        array(&[b"SET", b"l", b"a\nOK"]),
    ]
    .concat();
    assert_eq!(show(&talk(&server, &input)), show(b"+OK\r\n+OK\r\n"));
    let told = "redis\nVALUE r 0 5\r\nredis\r\nEND\r\nERROR\n4\na\nOK\n";
    assert_eq!(
        show(&talk(&server, b"GET r\nget r\r\nGET l\nGETL l\n")),
        show(told.as_bytes())
    );
    assert_eq!(
        show(&talk(&server, b"incr r 1\r\nset c 0 0 2\r\n41\r\n")),
        show(b"CLIENT_ERROR cannot increment or decrement non-numeric value\r\nSTORED\r\n")
    );
    check(&server, "INCR c|DEL n", ":42|:1|");
    assert_eq!(
        show(&talk(&server, b"incr c 1\r\nGET n\n")),
        show(b"43\r\nNOTFOUND\n")
    );
}

#[test]
fn redis_benchmark_finds_nothing_wrong() {
    let name = "redis_benchmark_finds_nothing_wrong";
    let Some(benchmark) = find("redis-benchmark") else {
        return skip(name, "redis-benchmark not installed");
    };
    let server = start();
    let port = server.local_addr().port().to_string();
    for version in [&[][..], &["-3"][..]] {
        let mut command = std::process::Command::new(&benchmark);
        command.args([
            "-p",
            &port,
            "-t",
            "ping,set,get,incr,mset",
            "-n",
            "5000",
            "-P",
            "16",
            "-q",
        ]);
        command.args(version);
        let said = succeed(&mut command, std::time::Duration::from_secs(60));
        assert!(
            said.contains("MSET") && !said.to_lowercase().contains("error"),
            "{said}"
        );
    }
}
