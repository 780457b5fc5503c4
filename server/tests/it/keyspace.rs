//! Goal: there is one keyspace. What any protocol stores, changes or deletes, each other sees, with its
//! deadline, its flags and its CAS number.
//! Method: a table of how each protocol says it, and every pair of them, each with a connection of its own.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::common::binary::{self, Packet, packet};
use crate::common::resp::requests;
use crate::common::{connect, start};
use flagstone_server::Running;

/// How a protocol says these things, with `@` for the key, and what it is answered.
struct Protocol {
    name: &'static str,
    /// Stores `value`, for 100 seconds.
    store: (&'static str, &'static str),
    /// Overwrites with `other`, without a deadline.
    overwrite: (&'static str, &'static str),
    read: (&'static str, &'static str),
    read_other: (&'static str, &'static str),
    miss: (&'static str, &'static str),
    /// How many seconds it tells: the number is after this, and before the next white space.
    left: (&'static str, &'static str),
    delete: (&'static str, &'static str),
}

const PROTOCOLS: [Protocol; 6] = [
    Protocol {
        name: "native",
        store: ("PUTEX @ 100 value\n", "OK\n"),
        overwrite: ("PUT @ other\n", "OK\n"),
        read: ("GET @\n", "value\n"),
        read_other: ("GET @\n", "other\n"),
        miss: ("GET @\n", "NOTFOUND\n"),
        left: ("TTL @\n", ""),
        delete: ("DEL @\n", "OK\n"),
    },
    Protocol {
        name: "classic",
        store: ("set @ 0 100 5\r\nvalue\r\n", "STORED\r\n"),
        overwrite: ("set @ 0 0 5\r\nother\r\n", "STORED\r\n"),
        read: ("get @\r\n", "VALUE @ 0 5\r\nvalue\r\nEND\r\n"),
        read_other: ("get @\r\n", "VALUE @ 0 5\r\nother\r\nEND\r\n"),
        miss: ("get @\r\n", "END\r\n"),
        // Classic commands tell no lifetime.
        left: ("mg @ t\r\n", "HD t"),
        delete: ("delete @\r\n", "DELETED\r\n"),
    },
    Protocol {
        name: "meta",
        store: ("ms @ 5 T100\r\nvalue\r\n", "HD\r\n"),
        overwrite: ("ms @ 5\r\nother\r\n", "HD\r\n"),
        read: ("mg @ v\r\n", "VA 5\r\nvalue\r\n"),
        read_other: ("mg @ v\r\n", "VA 5\r\nother\r\n"),
        miss: ("mg @ v\r\n", "EN\r\n"),
        left: ("mg @ t\r\n", "HD t"),
        delete: ("md @\r\n", "HD\r\n"),
    },
    Protocol {
        name: "redis 2",
        store: ("*SET @ value EX 100", "+OK\r\n"),
        overwrite: ("*SET @ other", "+OK\r\n"),
        read: ("*GET @", "$5\r\nvalue\r\n"),
        read_other: ("*GET @", "$5\r\nother\r\n"),
        miss: ("*GET @", "$-1\r\n"),
        left: ("*TTL @", ":"),
        delete: ("*DEL @", ":1\r\n"),
    },
    Protocol {
        name: "redis 3",
        store: ("*SETEX @ 100 value", "+OK\r\n"),
        overwrite: ("*MSET @ other", "+OK\r\n"),
        read: ("*GET @", "$5\r\nvalue\r\n"),
        read_other: ("*GETEX @", "$5\r\nother\r\n"),
        miss: ("*GET @", "_\r\n"),
        left: ("*TTL @", ":"),
        delete: ("*UNLINK @", ":1\r\n"),
    },
    Protocol {
        name: "binary",
        store: ("#SET @ 100 value", "01 00 cas"),
        overwrite: ("#SET @ 0 other", "01 00 cas"),
        read: ("#GET @", "00 00 cas 00000000 v=value"),
        read_other: ("#GET @", "00 00 cas 00000000 v=other"),
        miss: ("#GET @", "00 01 v=Not found"),
        // It tells no lifetime: a text connection does.
        left: ("mg @ t\r\n", "HD t"),
        delete: ("#DELETE @", "04 00"),
    },
];

/// The packet that a line of words stands for.
fn packet_of(line: &str) -> Packet {
    let words: Vec<&str> = line.split(' ').collect();
    let number = |word: &str| word.parse().expect("a number");
    match words[..] {
        ["SET", key, lifetime, value] => {
            binary::store(binary::SET, key, (0, number(lifetime)), value)
        }
        ["GET", key] => packet(binary::GET, key),
        ["DELETE", key] => packet(binary::DELETE, key),
        ["APPEND", key, part] => packet(binary::APPEND, key).value(part),
        ["INCREMENT", key] => binary::count(binary::INCREMENT, key, 1, 0, 0),
        ["TOUCH", key, lifetime] => packet(binary::TOUCH, key).number(number(lifetime)),
        _ => panic!("{line:?} is no packet"),
    }
}

/// A client of one protocol.
struct Client {
    of: &'static Protocol,
    stream: TcpStream,
    /// For what the protocol does not tell, where a connection speaks one alone.
    text: Option<TcpStream>,
}

impl Client {
    fn new(of: &'static Protocol, server: &Running) -> Self {
        let mut stream = connect(server);
        if of.name == "redis 3" {
            stream.write_all(&requests("HELLO 3")).expect("sends");
            let mut hello = Vec::new();
            // The last entry is an empty list.
            while !hello.ends_with(b"modules\r\n*0\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).expect("an answer");
                hello.push(byte[0]);
            }
        }
        let text = (of.name == "binary").then(|| connect(server));
        Client { of, stream, text }
    }

    fn send(&mut self, line: &str, key: &str) {
        let line = line.replace('@', key);
        let bytes = match line.strip_prefix('*') {
            Some(words) => requests(words),
            None => line.into_bytes(),
        };
        self.stream.write_all(&bytes).expect("sends");
    }

    /// Sends, and wants exactly this.
    fn ask(&mut self, (line, expected): (&str, &str), key: &str, what: &str) {
        if let Some(words) = line.strip_prefix('#') {
            let told = binary::ask(&mut self.stream, &packet_of(&words.replace('@', key)));
            assert_eq!(told.text(), expected, "{what}: {line:?}");
            return;
        }
        self.send(line, key);
        let expected = expected.replace('@', key);
        let mut told = vec![0; expected.len()];
        self.stream.read_exact(&mut told).expect("an answer");
        let told = String::from_utf8_lossy(&told).into_owned();
        assert_eq!(told, expected, "{what}: {line:?} in {}", self.of.name);
    }

    fn line(&mut self) -> String {
        let mut line = Vec::new();
        while !line.ends_with(b"\n") {
            let mut byte = [0];
            self.stream.read_exact(&mut byte).expect("an answer");
            line.push(byte[0]);
        }
        String::from_utf8(line).expect("text")
    }

    /// The seconds it tells, or -1.
    fn left(&mut self, key: &str) -> i64 {
        let (line, before) = self.of.left;
        if let Some(text) = &mut self.text {
            std::mem::swap(&mut self.stream, text);
        }
        self.send(line, key);
        let told = self.line();
        if let Some(text) = &mut self.text {
            std::mem::swap(&mut self.stream, text);
        }
        let number = told.strip_prefix(before).map(str::trim_end);
        let number = number.and_then(|number| number.parse().ok());
        number.unwrap_or_else(|| panic!("{told:?} to {line:?} in {}", self.of.name))
    }
}

/// What memcached tells of an item: its flags and its CAS number.
fn flags_and_cas(stream: &mut Client, key: &str) -> (u32, u64) {
    stream.send("mg @ f c\r\n", key);
    let told = stream.line();
    let mut words = told.split_whitespace().skip(1);
    let flags = words
        .next()
        .and_then(|word| word.strip_prefix('f')?.parse().ok());
    let cas = words
        .next()
        .and_then(|word| word.strip_prefix('c')?.parse().ok());
    flags.zip(cas).unwrap_or_else(|| panic!("{told:?}"))
}

fn clients(server: &Running) -> Vec<Client> {
    PROTOCOLS.iter().map(|of| Client::new(of, server)).collect()
}

/// Which two, for a message, and a key of their own.
fn pair(one: usize, two: usize) -> (String, String) {
    let what = format!("{}, then {}", PROTOCOLS[one].name, PROTOCOLS[two].name);
    (what, format!("k{one}-{two}"))
}

fn pairs() -> impl Iterator<Item = (usize, usize)> {
    let all = 0..PROTOCOLS.len();
    all.clone()
        .flat_map(move |one| all.clone().map(move |two| (one, two)))
}

#[test]
fn what_one_protocol_does_every_other_sees() {
    let server = start();
    let (mut writers, mut readers) = (clients(&server), clients(&server));
    for (one, two) in pairs() {
        let (what, key) = pair(one, two);
        let (writer, reader) = (&mut writers[one], &mut readers[two]);
        reader.ask(reader.of.miss, &key, &what);
        writer.ask(writer.of.store, &key, &what);
        reader.ask(reader.of.read, &key, &what);
        // Meta commands count the second that has begun.
        let left = reader.left(&key);
        assert!((95..=101).contains(&left), "{what}: {left} seconds");
        // The deadline goes with the value that had it.
        reader.ask(reader.of.overwrite, &key, &what);
        writer.ask(writer.of.read_other, &key, &what);
        assert_eq!(writer.left(&key), -1, "{what}");
        writer.ask(writer.of.delete, &key, &what);
        reader.ask(reader.of.miss, &key, &what);
    }
}

/// A number that memcached's clients hold is good for as long as nobody changes the item, in whatever protocol.
#[test]
fn a_change_by_any_protocol_makes_cas_numbers_old() {
    let server = start();
    let (mut writers, mut readers) = (clients(&server), clients(&server));
    let mut holder = Client::new(&PROTOCOLS[1], &server);
    for (one, two) in pairs() {
        let (what, key) = pair(one, two);
        let (writer, reader) = (&mut writers[one], &mut readers[two]);
        writer.ask(writer.of.store, &key, &what);
        let (flags, number) = flags_and_cas(&mut holder, &key);
        assert_eq!(flags, 0, "{what}");
        // Reading changes nothing.
        reader.ask(reader.of.read, &key, &what);
        let cas = format!("cas @ 7 100 5 {number}\r\nvalue\r\n");
        holder.ask((&cas, "STORED\r\n"), &key, &what);
        let (flags, number) = flags_and_cas(&mut holder, &key);
        assert_eq!(flags, 7, "{what}");
        // Writing does, and who overwrites sets flags of its own.
        reader.ask(reader.of.overwrite, &key, &what);
        let cas = format!("cas @ 9 0 5 {number}\r\nvalue\r\n");
        holder.ask((&cas, "EXISTS\r\n"), &key, &what);
        let (flags, newer) = flags_and_cas(&mut holder, &key);
        assert!(flags == 0 && newer != number, "{what}");
        writer.ask(writer.of.delete, &key, &what);
        let cas = format!("cas @ 9 0 5 {newer}\r\nvalue\r\n");
        holder.ask((&cas, "NOT_FOUND\r\n"), &key, &what);
    }
}

/// What changes a part of an item keeps the rest: its flags and its deadline.
#[test]
fn a_change_of_a_part_keeps_the_rest() {
    let server = start();
    let mut holder = Client::new(&PROTOCOLS[1], &server);
    let mut redis = Client::new(&PROTOCOLS[3], &server);
    // The change, whether it is Redis', what the value is afterwards, and how long it may have.
    let mut binary = Client::new(&PROTOCOLS[5], &server);
    let forty_two = "05 00 cas v=\\x00\\x00\\x00\\x00\\x00\\x00\\x00*";
    let table: [(&str, &str, &str, std::ops::RangeInclusive<i64>); 12] = [
        ("append @ 0 0 1\r\n7\r\n", "STORED\r\n", "417", 95..=100),
        ("prepend @ 0 0 1\r\n7\r\n", "STORED\r\n", "741", 95..=100),
        ("incr @ 1\r\n", "42\r\n", "42", 95..=100),
        ("touch @ 500\r\n", "TOUCHED\r\n", "41", 495..=500),
        ("*APPEND @ 7", ":3\r\n", "417", 95..=100),
        ("*SETRANGE @ 0 7", ":2\r\n", "71", 95..=100),
        ("*INCR @", ":42\r\n", "42", 95..=100),
        ("*EXPIRE @ 500", ":1\r\n", "41", 495..=500),
        ("*PERSIST @", ":1\r\n", "41", -1..=-1),
        ("#APPEND @ 7", "0e 00 cas", "417", 95..=100),
        ("#INCREMENT @", forty_two, "42", 95..=100),
        ("#TOUCH @ 500", "1c 00 cas 0000007b", "41", 495..=500),
    ];
    for (no, (line, answer, value, left)) in table.into_iter().enumerate() {
        let key = format!("part{no}");
        holder.ask(("set @ 123 100 2\r\n41\r\n", "STORED\r\n"), &key, line);
        let client = match line.as_bytes()[0] {
            b'*' => &mut redis,
            b'#' => &mut binary,
            _ => &mut holder,
        };
        client.ask((line, answer), &key, line);
        assert_eq!(flags_and_cas(&mut holder, &key).0, 123, "{line:?}");
        let told = holder.left(&key);
        assert!(left.contains(&told), "{line:?}: {told} seconds");
        let read = format!("${}\r\n{value}\r\n", value.len());
        redis.ask(("*GET @", &read), &key, line);
    }
}
