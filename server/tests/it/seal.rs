//! Goal: a request that allocated would be found out, on a server that runs: as a figure, or as its end.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::time::Duration;

use crate::common::process::{Process, flagstone};
use crate::common::resp::{array, requests};
use crate::common::{exchange, show};

const SMALL: [&str; 8] = [
    "--listen",
    "127.0.0.1:0",
    "--memory",
    "48m",
    "--max-connections",
    "20",
    "--workers",
    "1",
];

fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).expect("connects");
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .expect("settable");
    stream
}

#[test]
fn it_is_a_figure_as_a_rule() {
    let server = Process::start(&["--test-hooks"]);
    let mut client = server.connect();
    let allocated = "flagstone_allocations_total{during=\"requests\"}";
    exchange(&mut client, b"PUT a 1\nGET a\n", b"OK\n1\n");
    assert_eq!(server.metric(allocated), 0.0);
    exchange(&mut client, b"debugallocate\r\n", b"OK\r\n");
    assert_eq!(server.metric(allocated), 1.0);
}

#[test]
fn it_is_the_end_where_that_is_asked_for() {
    /// Also when something is not as it should be.
    struct Ends(Child);
    impl Drop for Ends {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
    let child = flagstone()
        .args(SMALL)
        .args(["--admin", "none", "--seal", "abort", "--test-hooks"])
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut child = Ends(child);
    let mut log = BufReader::new(child.0.stderr.take().expect("piped"));
    let mut line = String::new();
    let address = loop {
        line.clear();
        assert!(log.read_line(&mut line).expect("reads") > 0, "it ended");
        if let Some((_, behind)) = line.split_once("listening on ") {
            break behind.split(',').next().expect("an address").to_owned();
        }
    };
    let mut client = connect(&address);
    // What any client does is none.
    let long = vec![b'l'; 300_000];
    exchange(
        &mut client,
        b"PUT a 1\nGET a\nDEL a\nSTATS\n",
        b"OK\n1\nOK\n",
    );
    let mut told = Vec::new();
    while !told.ends_with(b"\nEND\n") {
        let mut some = [0; 4096];
        let len = client.read(&mut some).expect("an answer");
        assert!(len > 0, "{}", show(&told));
        told.extend_from_slice(&some[..len]);
    }
    let set = [
        b"set b 0 0 300000\r\n",
        &long[..],
        b"\r\nmg b s\r\nmd b\r\n",
    ]
    .concat();
    exchange(&mut client, &set, b"STORED\r\nHD s300000\r\nHD\r\n");
    let redis = [
        array(&[b"SET", b"c", &long, b"EX", b"50"]),
        requests("INCR n|APPEND c x|TTL c|MULTI|GET n|EXEC"),
        array(&[b"EVAL", b"return 1", b"0"]),
    ];
    let told = b"+OK\r\n:1\r\n:300001\r\n:50\r\n+OK\r\n+QUEUED\r\n*1\r\n$1\r\n1\r\n-ERR unknown script: those of cache and lock libraries are executed, and others are not interpreted here\r\n";
    let mut client = connect(&address);
    exchange(&mut client, &redis.concat(), told);
    // And this is.
    let mut hook = connect(&address);
    hook.write_all(b"debugallocate\r\n").expect("sent");
    let mut rest = String::new();
    log.read_to_string(&mut rest).expect("the log");
    let status = child.0.wait().expect("it ended");
    assert!(
        rest.contains("memory was allocated while a request was served"),
        "{rest}"
    );
    // Where it was: the backtrace names it.
    assert!(rest.contains("execute"), "{rest}");
    assert_eq!(
        std::os::unix::process::ExitStatusExt::signal(&status),
        Some(6)
    );
}

#[test]
fn it_is_one_of_two_words() {
    let output = crate::common::process::run(&["--seal", "break"], &[]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        told,
        "flagstone: --seal \"break\" is neither count nor abort\n"
    );
    assert_eq!(output.status.code(), Some(2));
}
