//! `CLIENT` over Redis' protocol: what a connection is told of itself and of the others, on whichever worker they are, and that
//! one closes another.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::common::resp::{array, check, requests};
use crate::common::tool::Scratch;
use crate::common::{
    connect, exchange, expect_end, show, small_config, start, start_with, talk, wait_until,
};
use flagstone_server::{Config, Running};

/// A client that reads what it is answered.
struct Client(BufReader<TcpStream>);

type Row = HashMap<String, String>;

impl Client {
    fn new(server: &Running) -> Self {
        Client(BufReader::new(connect(server)))
    }

    fn ask(&mut self, line: &str) {
        self.0.get_mut().write_all(&requests(line)).expect("sends");
    }

    /// Asks, and reads one line.
    fn told(&mut self, line: &str) -> String {
        self.ask(line);
        self.line()
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("an answer");
        line.trim_end().to_owned()
    }

    fn bulk(&mut self) -> String {
        let line = self.line();
        let digits = line.strip_prefix('$').unwrap_or_else(|| panic!("{line}"));
        let len: usize = digits.parse().expect("a length");
        let mut bytes = vec![0; len + 2];
        self.0.read_exact(&mut bytes).expect("a value");
        assert_eq!(bytes.split_off(len), b"\r\n");
        String::from_utf8(bytes).expect("text")
    }

    fn id(&mut self) -> u64 {
        let told = self.told("CLIENT ID");
        told[1..].parse().unwrap_or_else(|_| panic!("{told}"))
    }

    fn rows(&mut self, line: &str) -> Vec<Row> {
        self.ask(line);
        self.read_rows()
    }

    fn read_rows(&mut self) -> Vec<Row> {
        let text = self.bulk();
        assert!(text.is_empty() || text.ends_with('\n'), "{text}");
        let fields = |row: &str| {
            let pairs = row.split(' ').map(|field| field.split_once('='));
            let pairs = pairs.map(|pair| pair.unwrap_or_else(|| panic!("{row}")));
            pairs
                .map(|(name, value)| (name.into(), value.into()))
                .collect()
        };
        text.lines().map(fields).collect()
    }

    /// What this socket calls itself.
    fn addr(&self) -> String {
        let addr = self.0.get_ref().local_addr();
        addr.expect("it is connected").to_string()
    }

    /// Nothing more comes. A reset is an end, too.
    fn ends(mut self) -> bool {
        let mut rest = Vec::new();
        let read = self.0.read_to_end(&mut rest);
        rest.is_empty()
            && read.map_or_else(
                |error| error.kind() == std::io::ErrorKind::ConnectionReset,
                |_| true,
            )
    }
}

#[track_caller]
#[test]
fn a_client_is_told_of_itself() {
    let server = start();
    let mut client = Client::new(&server);
    let id = client.id();
    client.ask("HELLO 2 SETNAME me");
    assert_eq!(client.line(), "*14");
    let hello: Vec<String> = (0..25).map(|_| client.line()).collect();
    assert!(hello.contains(&format!(":{id}")), "{hello:?}");
    client.ask("CLIENT GETNAME|CLIENT SETNAME other|CLIENT SETINFO LIB-NAME lib|CLIENT SETINFO lib-ver 1.2|SELECT 7");
    assert_eq!(client.bulk(), "me");
    for _ in 0..4 {
        assert_eq!(client.line(), "+OK");
    }
    let row = client.rows("CLIENT INFO").remove(0);
    let laddr = server.local_addr().to_string();
    for (field, value) in [
        ("id", id.to_string().as_str()),
        ("addr", &client.addr()),
        ("laddr", &laddr),
        ("name", "other"),
        ("age", "0"),
        ("idle", "0"),
        ("flags", "N"),
        ("db", "7"),
        ("cmd", "client"),
        ("user", "default"),
        ("lib-name", "lib"),
        ("lib-ver", "1.2"),
        ("resp", "2"),
    ] {
        assert_eq!(row[field], value, "{field} of {row:?}");
    }
    assert_eq!(client.rows("CLIENT LIST"), [row]);
    assert_eq!(client.told("RESET"), "+RESET");
    assert_eq!(client.told("CLIENT GETNAME"), "$-1");
}

#[test]
fn what_is_wrong_is_said() {
    let server = start();
    let name = "n".repeat(96);
    let long =
        "-ERR a client's name, lib-name, lib-ver and user take up to 96 bytes together here|";
    check(
        &server,
        &format!(
            "CLIENT SETNAME {name}|CLIENT SETINFO LIB-VER 1|CLIENT SETNAME {name}n|CLIENT SETNAME \"\"|CLIENT GETNAME"
        ),
        &format!("+OK|{long}{long}+OK|$-1|"),
    );
    // A greeting that is refused changes no version.
    check(
        &server,
        &format!("HELLO 3 SETNAME {name}n|GET none|CLIENT GETNAME"),
        &format!("{long}$-1|$-1|"),
    );
    for (line, told) in [
        (
            "CLIENT TRACKING ON BCAST",
            "CLIENT TRACKING is not there: nothing is remembered of who has read a key",
        ),
        (
            "CLIENT PAUSE 100 ALL",
            "CLIENT PAUSE is not there: no client keeps the others waiting",
        ),
        (
            "CLIENT SETINFO LIB-OTHER 1",
            "Unrecognized option: LIB-NAME and LIB-VER are known",
        ),
        ("CLIENT LIST ID", "syntax error"),
        ("CLIENT LIST ID x", "Invalid client ID"),
        (
            "CLIENT LIST ID 1 2 3 4 5",
            "CLIENT LIST takes four IDs at a time here",
        ),
        (
            "CLIENT LIST TYPE x",
            "Unknown client type: normal, pubsub, master and replica are known",
        ),
        ("CLIENT KILL", "syntax error"),
        ("CLIENT KILL 1.2.3.4:5", "No such client"),
        ("CLIENT KILL ID 0", "client-id should be greater than 0"),
        ("CLIENT KILL ID 1 SKIPME", "syntax error"),
        ("CLIENT KILL SKIPME maybe", "syntax error"),
        (
            "CLIENT KILL MAXAGE 0",
            "maxage is not an integer or out of range",
        ),
        ("CLIENT KILL COLOUR red", "syntax error"),
        (
            "CLIENT REPLY OFF",
            "CLIENT REPLY OFF and SKIP are not there: every request is answered",
        ),
    ] {
        check(&server, line, &format!("-ERR {told}|"));
    }
    check(&server, "CLIENT REPLY ON|CLIENT KILL ID 9999", "+OK|:0|");
    let spaces = array(&[b"CLIENT", b"SETNAME", b"a b"]);
    let told = b"-ERR Client names cannot contain spaces, newlines or special characters.\r\n";
    assert_eq!(show(&talk(&server, &spaces)), show(told));
}

/// A server with two workers, and clients: one that asks, two that are called `a` and `b`, a subscriber, and a native one.
fn crowd() -> (Running, Client, [Client; 3], TcpStream) {
    let server = start();
    let asker = Client::new(&server);
    let mut others = ["a", "b", "listener"].map(|name| {
        let mut client = Client::new(&server);
        assert_eq!(client.told(&format!("CLIENT SETNAME {name}")), "+OK");
        client
    });
    assert_eq!(others[0].told("SET k v"), "+OK");
    assert_eq!(others[1].told("HELLO 3"), "%7");
    for _ in 0..25 {
        others[1].line();
    }
    others[2].ask("SUBSCRIBE news");
    for _ in 0..6 {
        others[2].line();
    }
    let mut native = connect(&server);
    exchange(&mut native, b"GET k\n", b"v\n");
    (server, asker, others, native)
}

fn names(rows: &[Row]) -> Vec<&str> {
    let mut names: Vec<&str> = rows.iter().map(|row| row["name"].as_str()).collect();
    names.sort_unstable();
    names
}

#[test]
fn clients_are_listed_on_whichever_worker_they_are() {
    let (_server, mut asker, others, _native) = crowd();
    // Its worker notes it at the end of the turn.
    wait_until("a request is noted", || {
        let rows = asker.rows("CLIENT LIST");
        rows.iter().any(|row| row["cmd"] == "get") && rows.iter().any(|row| row["cmd"] == "set")
    });
    let rows = asker.rows("CLIENT LIST");
    assert_eq!(names(&rows), ["", "", "a", "b", "listener"]);
    let of = |name: &str| rows.iter().find(|row| row["name"] == name).expect("listed");
    assert_eq!(of("a")["cmd"], "set");
    assert_eq!(of("a")["addr"], others[0].addr());
    assert_eq!(of("b")["resp"], "3");
    assert_eq!(of("listener")["flags"], "P");
    assert_eq!(of("listener")["cmd"], "subscribe");
    let native = rows.iter().find(|row| row["resp"] == "0").expect("listed");
    assert_eq!((&*native["cmd"], &*native["name"]), ("get", ""));
    assert_eq!(names(&asker.rows("CLIENT LIST TYPE pubsub")), ["listener"]);
    assert_eq!(asker.rows("CLIENT LIST TYPE normal").len(), 4);
    assert_eq!(asker.rows("CLIENT LIST TYPE replica").len(), 0);
    let id = of("a")["id"].clone();
    assert_eq!(
        names(&asker.rows(&format!("CLIENT LIST ID {id} 9999"))),
        ["a"]
    );
    drop(others);
    wait_until("they are gone", || asker.rows("CLIENT LIST").len() == 2);
}

#[test]
fn one_client_closes_another() {
    for filter in ["ID", "ADDR", "old form", "USER", "TYPE", "LADDR"] {
        let (server, mut asker, [mut a, b, listener], native) = crowd();
        let (id, addr, laddr) = (a.id(), a.addr(), server.local_addr());
        let (line, told, are_closed) = match filter {
            "ID" => (format!("CLIENT KILL ID {id}"), ":1", [true, false, false]),
            "ADDR" => (
                format!("CLIENT KILL ADDR {addr} SKIPME yes"),
                ":1",
                [true, false, false],
            ),
            "old form" => (format!("CLIENT KILL {addr}"), "+OK", [true, false, false]),
            "TYPE" => (
                "CLIENT KILL TYPE pubsub".to_owned(),
                ":1",
                [false, false, true],
            ),
            "USER" => ("CLIENT KILL USER default".to_owned(), ":4", [true; 3]),
            _ => (
                format!("CLIENT KILL LADDR {laddr} TYPE normal"),
                ":3",
                [true, true, false],
            ),
        };
        assert_eq!(asker.told(&line), told, "{line}");
        for (mut client, is_closed) in [a, b, listener].into_iter().zip(are_closed) {
            match is_closed {
                true => assert!(client.ends(), "{line}"),
                false => {
                    client.ask("PING");
                    assert!(!client.line().is_empty(), "{line}");
                }
            }
        }
        if told == ":4" {
            expect_end(&mut { native });
        }
        assert_eq!(asker.told("PING"), "+PONG");
    }
}

/// Its worker closes it later; but who asked for that finds it gone at once.
#[test]
fn who_was_killed_is_not_listed_any_more() {
    let (_server, mut asker, [mut a, _b, _listener], _native) = crowd();
    let id = a.id();
    let line = format!("CLIENT KILL ID {id}|CLIENT LIST|CLIENT KILL ID {id}");
    assert_eq!(asker.told(&line), ":1");
    assert_eq!(names(&asker.read_rows()), ["", "", "b", "listener"]);
    assert_eq!(asker.line(), ":0");
    assert!(a.ends());
}

#[test]
fn one_that_closes_itself_has_its_answer_and_no_other() {
    let server = start();
    let mut client = Client::new(&server);
    let addr = client.addr();
    assert_eq!(
        client.told("CLIENT KILL USER default MAXAGE 1000 SKIPME no"),
        ":0"
    );
    assert_eq!(client.told(&format!("CLIENT KILL {addr}|SET k v")), "+OK");
    assert!(client.ends());
    let mut client = Client::new(&server);
    let id = client.id();
    assert_eq!(
        client.told(&format!("CLIENT KILL ID {id}")),
        ":0",
        "not without being asked to"
    );
    assert_eq!(client.told(&format!("CLIENT KILL ID {id} SKIPME no")), ":1");
    assert!(client.ends());
    check(&server, "GET k", "$-1|");
}

#[test]
fn a_user_is_known_by_name() {
    let scratch = Scratch::new("resp-clients-users");
    let users = scratch.0.join("users");
    std::fs::write(&users, "ann:pw\n[write] bob:pw\n").expect("writes");
    let server = start_with(Config {
        auth_file: Some(users),
        ..small_config()
    });
    let (mut ann, mut bob) = (Client::new(&server), Client::new(&server));
    assert_eq!(bob.told("CLIENT ID"), "-NOAUTH Authentication required.");
    assert_eq!(bob.told("AUTH bob pw"), "+OK");
    ann.ask("HELLO 2 AUTH ann pw");
    assert_eq!(ann.line(), "*14");
    let hello: Vec<String> = (0..25).map(|_| ann.line()).collect();
    let id = ann.id();
    assert!(hello.contains(&format!(":{id}")), "{hello:?}");
    assert_eq!(bob.rows("CLIENT INFO")[0]["user"], "bob");
    let noperm = "-NOPERM this user has no permissions to run this command";
    for line in [
        "CLIENT LIST",
        "CLIENT KILL USER ann",
        "CLIENT KILL 1.1.1.1:1",
    ] {
        assert_eq!(bob.told(line), noperm, "{line}");
    }
    assert_eq!(ann.rows("CLIENT LIST").len(), 2);
    assert_eq!(ann.told("CLIENT KILL USER bob"), ":1");
    assert!(bob.ends());
}

/// The rows of a long list but for what fills it up in the end.
fn without_fill(mut rows: Vec<Row>) -> Vec<Row> {
    let last = rows.last_mut().expect("rows");
    let fill = last.remove("fill").expect("a long list is filled up");
    assert!(fill.bytes().all(|byte| byte == b'.'), "{fill}");
    rows
}

#[test]
fn a_long_list_goes_out_row_by_row() {
    let server = start_with(Config {
        connections_max: 900,
        memory_bytes: 64 << 20,
        ..small_config()
    });
    let mut asker = Client::new(&server);
    let mut others: Vec<Client> = (0..800).map(|_| Client::new(&server)).collect();
    for (no, client) in others.iter_mut().enumerate() {
        assert_eq!(client.told(&format!("CLIENT SETNAME client-{no}")), "+OK");
    }
    let expected = |rows: &[Row]| {
        let found = names(rows);
        (0..800).all(|no| found.contains(&format!("client-{no}").as_str()))
    };
    let rows = without_fill(asker.rows("CLIENT LIST"));
    assert!(rows.len() == 801 && expected(&rows), "{}", rows.len());
    // What stands behind it is answered behind it, in a transaction too.
    asker.ask("CLIENT LIST TYPE normal|PING|MULTI|CLIENT LIST|ECHO hi|EXEC|PING");
    assert_eq!(without_fill(asker.read_rows()).len(), 801);
    for line in ["+PONG", "+OK", "+QUEUED", "+QUEUED", "*2"] {
        assert_eq!(asker.line(), line);
    }
    assert!(expected(&without_fill(asker.read_rows())));
    assert_eq!(asker.bulk(), "hi");
    assert_eq!(asker.line(), "+PONG");
    // Others go while one reads slowly: what it is sent is as long as was announced.
    asker.ask(&["CLIENT LIST"; 40].join("|"));
    std::thread::sleep(Duration::from_millis(50));
    others.truncate(300);
    for _ in 0..40 {
        let rows = without_fill(asker.read_rows());
        assert!((301..=801).contains(&rows.len()), "{}", rows.len());
    }
    // All at once.
    assert_eq!(asker.told("CLIENT KILL TYPE normal"), ":300");
    for client in others {
        assert!(client.ends());
    }
    wait_until("they are gone", || asker.rows("CLIENT LIST").len() == 1);
}
