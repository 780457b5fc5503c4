//! Goal: a million items that expire in the same second are reclaimed within two seconds of it,
//! and a client who asks for other things does not notice.
//!
//! Method: a million PUTEX whose deadlines fall together; one client asks for live items, one
//! question after the other, before and meanwhile, and its latencies are laid side by side;
//! another asks STATS until all are gone. The latencies are printed; what is asserted of
//! them is only that there was no pause.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use flagstone_memtests::stats::{Client, number};
use flagstone_memtests::subject::Place;
use flagstone_memtests::table::{Table, count, say};
use flagstone_memtests::{quiet, skip};

const LIMIT_BYTES: u64 = 192 << 20;
const ITEMS: usize = 1_000_000;
const LIVE: usize = 1000;
/// Sends in a batch before its replies are read.
const BATCH: usize = 1000;
/// Deadlines are rounded up to whole seconds of the server's clock.
const ROUNDING: Duration = Duration::from_secs(1);
/// No question may wait longer than this while items expire: a pause, not a slow machine.
const PAUSE_MAX: Duration = Duration::from_millis(250);

/// Stores `lines` requests, a batch at a time.
fn load(addr: SocketAddr, lines: usize, mut line: impl FnMut(&mut Vec<u8>, usize)) {
    let mut stream = TcpStream::connect(addr).expect("the server accepts");
    let mut request = Vec::new();
    let mut replies = vec![0; 3 * BATCH];
    for first in (0..lines).step_by(BATCH) {
        request.clear();
        let batch = BATCH.min(lines - first);
        (first..first + batch).for_each(|nth| line(&mut request, nth));
        stream.write_all(&request).expect("the server reads");
        let replies = &mut replies[..3 * batch];
        stream.read_exact(replies).expect("the server answers");
        assert!(replies.chunks(3).all(|reply| reply == b"OK\n"));
    }
}

/// Asks for live items until `end`; how long each answer took.
fn ask_until(addr: SocketAddr, end: Instant) -> Vec<Duration> {
    let stream = TcpStream::connect(addr).expect("the server accepts");
    stream.set_nodelay(true).expect("an option");
    let mut reader = BufReader::new(stream.try_clone().expect("a descriptor"));
    let mut writer = stream;
    let mut question = Vec::new();
    let mut reply = String::new();
    let mut took = Vec::with_capacity(1 << 20);
    for nth in 0_usize.. {
        let begin = Instant::now();
        if begin >= end {
            break;
        }
        question.clear();
        writeln!(question, "GET live:{}", nth % LIVE).expect("memory");
        writer.write_all(&question).expect("the server reads");
        reply.clear();
        reader.read_line(&mut reply).expect("the server answers");
        took.push(begin.elapsed());
        assert_eq!(reply, "here\n");
    }
    took.sort();
    took
}

fn row(table: &mut Table, when: &str, took: &[Duration]) {
    let at = |permille: usize| {
        format!(
            "{:.0}",
            took[took.len() * permille / 1000].as_secs_f64() * 1e6
        )
    };
    let most = took[took.len() - 1].as_secs_f64() * 1e6;
    table.row([
        when.to_owned(),
        count(took.len() as u64),
        at(500),
        at(990),
        at(999),
        format!("{most:.0}"),
    ]);
}

#[test]
fn a_million_items_expire_unnoticed() {
    let _quiet = quiet();
    let place = match Place::find() {
        Ok(place) => place,
        Err(why) => return skip("a_million_items_expire_unnoticed", &why),
    };
    let mut subject = place.start(LIMIT_BYTES, &[]).expect("the server starts");
    let addr = subject.addr;
    load(addr, LIVE, |out, nth| {
        writeln!(out, "PUT live:{nth} here").expect("memory");
    });
    // All deadlines in the same second, which lies ahead of the last store.
    let begin = Instant::now();
    let deadline = begin + Duration::from_secs(15);
    load(addr, ITEMS, |out, nth| {
        let left = (deadline - Instant::now()).as_secs();
        writeln!(out, "PUTEX mortal:{nth:07} {left} 0123456789abcdef").expect("memory");
    });
    let loaded = begin.elapsed();
    let stats = subject.stats().expect("STATS");
    assert_eq!(number(&stats, "items"), (ITEMS + LIVE) as u64, "all fit");
    assert!(loaded < Duration::from_secs(10), "stored in {loaded:?}");

    // The loads' batches take their seconds, rounded down, from different moments: the first
    // items may go two seconds before the last.
    let calm = ask_until(addr, deadline - Duration::from_secs(3));
    assert_eq!(number(&subject.stats().expect("STATS"), "expired"), 0);
    let asker = std::thread::spawn(move || ask_until(addr, deadline + ROUNDING));
    let mut client = Client::connect(addr).expect("the server accepts");
    let gone_after = loop {
        let expired = number(&client.stats("STATS").expect("STATS"), "expired");
        let late = Instant::now().saturating_duration_since(deadline + ROUNDING);
        // Readers miss all of them at their second. A page in which fewer than one in 32 is due waits for up to four minutes.
        if expired >= (ITEMS - ITEMS / 1000) as u64 {
            break late;
        }
        assert!(
            late <= Duration::from_secs(2),
            "{expired} of a million are gone two seconds after their deadline"
        );
        std::thread::sleep(Duration::from_millis(20));
    };
    let stormy = asker.join().expect("it asks");
    let mut table = Table::new(
        "one client's latency while a million items expire, microseconds",
        &["when", "questions", "p50", "p99", "p99.9", "most"],
    );
    row(&mut table, "before", &calm);
    row(&mut table, "meanwhile", &stormy);
    table.print();
    say(&format!(
        "the memory of 999 in 1,000 is back {} ms after the last deadline",
        gone_after.as_millis()
    ));
    assert!(stormy[stormy.len() - 1] <= PAUSE_MAX, "a pause");
    subject.survived().expect("the server lives");
}
