//! Goal: Prometheus' memcached_exporter says `memcached_up 1` here, with nothing stored, with all
//! memory full, and under load.
//! Method: its questions, in its order, on one connection, and its way of reading the answers: a line
//! is three words, or it is not looked at; a name has its class before it; some figures have to be
//! there, and one that is missing or no number makes the whole server "down". Debian 12 has no package
//! of it, so it cannot run everywhere: where `MEMCACHED_EXPORTER` names it, or it is in the `PATH`,
//! it runs itself, too.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use crate::common::tool::{self, find};
use crate::common::{connect, exchange, http, start, talk, wait_until};
use flagstone_server::Running;

/// Figures of a class, or of the whole server.
type Figures = BTreeMap<String, String>;

const COMMANDS: [&str; 6] = ["get", "delete", "incr", "decr", "cas", "touch"];

/// What it shows of the whole server, beside hits and misses of each command.
const GENERAL: &[&str] = &[
    "uptime",
    "time",
    "cmd_set",
    "cmd_flush",
    "cas_badval",
    "bytes",
    "limit_maxbytes",
    "curr_items",
    "total_items",
    "bytes_read",
    "bytes_written",
    "curr_connections",
    "total_connections",
    "rejected_connections",
    "conn_yields",
    "listen_disabled_num",
    "evictions",
    "reclaimed",
    "store_too_large",
    "store_no_memory",
    "lru_crawler_starts",
    "total_malloced",
    "accepting_conns",
];

/// What it shows of a class by `stats slabs`, beside hits of each command.
const OF_CLASS: &[&str] = &[
    "cmd_set",
    "cas_badval",
    "chunk_size",
    "chunks_per_page",
    "total_pages",
    "total_chunks",
    "used_chunks",
    "free_chunks",
    "free_chunks_end",
];

/// What it shows of a class by `stats items`.
const OF_ITEMS: &[&str] = &["number", "age", "evicted"];

/// What it shows if it is there, and has to be a number then.
const OPTIONAL: &[&str] = &[
    "direct_reclaims",
    "crawler_items_checked",
    "crawler_reclaimed",
    "moves_to_cold",
    "moves_to_warm",
    "moves_within_lru",
    "mem_requested",
    "hits_to_hot",
    "hits_to_warm",
    "hits_to_cold",
    "hits_to_temp",
    "lru_crawler_sleep",
    "lru_crawler_tocrawl",
    "hot_lru_pct",
    "warm_lru_pct",
    "hot_max_factor",
    "warm_max_factor",
];

#[derive(Default)]
struct Told {
    general: Figures,
    settings: Figures,
    slabs: BTreeMap<u64, Figures>,
    items: BTreeMap<u64, Figures>,
}

fn ask(server: &Running) -> Told {
    let answer = talk(
        server,
        b"stats\r\nstats slabs\r\nstats items\r\nstats settings\r\n",
    );
    let answer = String::from_utf8(answer).expect("text");
    let lists: Vec<&str> = answer.split("END\r\n").collect();
    assert_eq!(lists.len(), 5, "{answer}");
    let mut told = Told::default();
    for line in lists[..3].iter().flat_map(|list| list.lines()) {
        let words: Vec<&str> = line.split(' ').collect();
        assert_eq!(words[0], "STAT", "{line}");
        let [_, name, value] = words[..] else {
            continue;
        };
        let class = |text: &str| text.parse::<u64>().expect("the number of a class");
        let (figures, name) = match name.split(':').collect::<Vec<_>>()[..] {
            [name] => (&mut told.general, name),
            [no, name] => (told.slabs.entry(class(no)).or_default(), name),
            ["items", no, name] => (told.items.entry(class(no)).or_default(), name),
            _ => panic!("{line}"),
        };
        figures.insert(name.to_owned(), value.to_owned());
    }
    for line in lists[3].lines() {
        let words: Vec<&str> = line.splitn(3, ' ').collect();
        assert!(words.len() == 3 && words[0] == "STAT", "{line}");
        let (name, value) = (words[1].to_owned(), words[2].trim().to_owned());
        told.settings.insert(name, value);
    }
    told
}

/// The number, as the exporter reads it; a failure if there is none.
fn number(figures: &Figures, name: &str) -> f64 {
    let value = figures
        .get(name)
        .unwrap_or_else(|| panic!("no {name}: {figures:?}"));
    value
        .parse()
        .unwrap_or_else(|_| panic!("{name} is {value}"))
}

/// Everything that it reads is there, and one that it needs to be a number is one.
fn check(told: &Told) {
    assert!(told.general["version"].starts_with("1.6."));
    for command in COMMANDS {
        number(&told.general, &format!("{command}_hits"));
        number(&told.general, &format!("{command}_misses"));
    }
    for name in GENERAL {
        number(&told.general, name);
    }
    for name in ["rusage_user", "rusage_system"] {
        let parts: Vec<&str> = told.general[name].split('.').collect();
        let is_number = |part: &&str| part.parse::<u64>().is_ok();
        assert!(
            parts.len() == 2 && parts.iter().all(is_number) && parts[1].len() == 6,
            "{name}: {parts:?}"
        );
    }
    for (class, figures) in &told.slabs {
        for command in COMMANDS {
            number(figures, &format!("{command}_hits"));
        }
        for name in OF_CLASS {
            number(figures, name);
        }
        let [total, used, free] =
            ["total_chunks", "used_chunks", "free_chunks"].map(|name| number(figures, name));
        assert_eq!(total, used + free, "class {class}");
    }
    assert!(
        told.slabs.contains_key(&1),
        "the first class is always there"
    );
    for figures in told.items.values() {
        for name in OF_ITEMS {
            number(figures, name);
        }
    }
    number(&told.settings, "maxconns");
    for name in ["lru_crawler", "lru_maintainer_thread"] {
        let value = told.settings.get(name).map_or("no", String::as_str);
        assert!(matches!(value, "yes" | "no"), "{name} is {value}");
    }
    let classes = told.slabs.values().chain(told.items.values());
    for figures in classes.chain([&told.general, &told.settings]) {
        for name in OPTIONAL {
            if figures.contains_key(*name) {
                number(figures, name);
            }
        }
    }
}

/// One of everything that is counted, at a key that nobody else touches meanwhile.
fn stir(server: &Running, key: &str) {
    let requests = format!(
        "set {key} 0 0 1\r\n1\r\nincr {key} 1\r\ndecr {key} 1\r\ntouch {key} 50\r\n\
         gets {key} none\r\ncas {key} 0 0 1 1\r\nx\r\ncas none 0 0 1 1\r\nx\r\n\
         delete {key}\r\ndelete {key}\r\n"
    );
    let answer = talk(server, requests.as_bytes());
    assert!(
        answer.ends_with(b"EXISTS\r\nNOT_FOUND\r\nDELETED\r\nNOT_FOUND\r\n"),
        "{}",
        answer.escape_ascii()
    );
}

/// Values of many lengths, more than there is room for.
fn fill(server: &Running) {
    let mut client = connect(server);
    for no in 0..4000 {
        let len = [5, 60, 700, 5000, 20_000, 60_000][no % 6];
        let request = format!("set key{no} 0 0 {len} noreply\r\n{}\r\n", "v".repeat(len));
        std::io::Write::write_all(&mut client, request.as_bytes()).expect("sends");
    }
    exchange(&mut client, b"mn\r\n", b"MN\r\n");
}

/// Calls `look` when nothing is stored, when all is full, and eight times while two clients store,
/// read and take away.
fn in_each_state(server: &Running, mut look: impl FnMut(&str)) {
    look("empty");
    stir(server, "a");
    fill(server);
    look("filled");
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for key in ["b", "c"] {
            let over = &over;
            scope.spawn(move || {
                while !over.load(Relaxed) {
                    stir(server, key);
                    fill(server);
                }
            });
        }
        for _ in 0..8 {
            look("under load");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        over.store(true, Relaxed);
    });
}

#[test]
fn all_that_the_exporter_reads_is_there() {
    let server = start();
    in_each_state(&server, |_| check(&ask(&server)));
    let told = ask(&server);
    assert!(told.items.len() > 2, "{:?}", told.items);
    assert!(number(&told.general, "evictions") > 0.0);
    // What was done stands in one class, so that the sums are right.
    let sum = |name: &str| -> f64 { told.slabs.values().map(|class| number(class, name)).sum() };
    for command in COMMANDS {
        let name = format!("{command}_hits");
        assert_eq!(sum(&name), number(&told.general, &name), "{name}");
    }
    assert_eq!(sum("cmd_set"), number(&told.general, "cmd_set"));
    // It takes one from the other, and shows what is left as a counter.
    assert!(sum("cmd_set") >= sum("cas_hits") + sum("cas_badval"));
}

#[test]
fn the_exporter_itself_finds_the_server_up() {
    let named = std::env::var_os("MEMCACHED_EXPORTER").map(Into::into);
    let found = named
        .or_else(|| find("memcached_exporter"))
        .or_else(|| find("prometheus-memcached-exporter"));
    let Some(exporter) = found else {
        let why =
            "no memcached_exporter: it is not in Debian 12, and MEMCACHED_EXPORTER names none";
        return tool::leave_out("the_exporter_itself_finds_the_server_up", why);
    };
    let server = start();
    // A port that is free: it says nowhere which one it took.
    let place = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
    let address = place.local_addr().expect("bound");
    drop(place);
    let exporter = Command::new(exporter)
        .arg(format!("--memcached.address={}", server.local_addr()))
        .arg(format!("--web.listen-address={address}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let _exporter = tool::Guard(exporter.expect("starts"));
    wait_until("the exporter listens", || {
        std::net::TcpStream::connect(address).is_ok()
    });
    in_each_state(&server, |state| {
        let page = http::get(address, "/metrics").body;
        let up = http::sample(&page, "memcached_up");
        assert_eq!(up, Some(1.0), "{state}: {page}");
        let version = "memcached_version{version=\"1.6.";
        assert!(page.contains(version), "{state}: {page}");
    });
}
