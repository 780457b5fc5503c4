//! Goal: items and connections share one budget, and the budget follows the limit.
//! Method: a server in this process, under a root directory whose files stand in for the
//! kernel's; connections come and go, the limit is rewritten, and `STATS` tells.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};

use crate::common::{connect, exchange, small_config, start_with, stat, wait_until};
use flagstone_server::Config;

const MIB: u64 = 1 << 20;
const GROUP: &str = "sys/fs/cgroup/box";

/// A root with a v2 group in it, removed when dropped.
pub(super) struct Root(PathBuf);

impl Root {
    pub(super) fn new(name: &str, limit_mib: u64) -> Self {
        let dir = format!("flagstone-budget-{}-{name}", std::process::id());
        let root = Root(std::env::temp_dir().join(dir));
        fs::create_dir_all(root.0.join("proc/self")).expect("can be made");
        fs::create_dir_all(root.0.join(GROUP)).expect("can be made");
        root.write("proc/self/cgroup", "0::/box\n");
        let mount = "30 23 0:26 / /sys/fs/cgroup rw shared:9 - cgroup2 cgroup2 rw\n";
        root.write("proc/self/mountinfo", mount);
        root.figure("memory.current", "1000000\n");
        root.figure("memory.stat", "anon 5\nsock 4096\ninactive_file 0\n");
        root.figure("memory.events", "max 7\noom_kill 2\n");
        root.figure("memory.pressure", "some avg10=1.50 avg60=0.00 total=5\n");
        root.limit(limit_mib);
        root
    }

    fn write(&self, path: &str, text: &str) {
        fs::write(self.0.join(path), text).expect("writable");
    }

    fn figure(&self, file: &str, text: &str) {
        self.write(Path::new(GROUP).join(file).to_str().expect("text"), text);
    }

    fn limit(&self, mib: u64) {
        self.figure("memory.max", &format!("{}\n", mib * MIB));
    }

    /// As `--memory auto` makes it.
    pub(super) fn config(&self, memory_mib: usize) -> Config {
        Config {
            memory_bytes: memory_mib << 20,
            memory_is_limit: true,
            cgroup_root: Some(self.0.clone()),
            connections_max: 1000,
            ..small_config()
        }
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn fill(stream: &mut TcpStream, keys: std::ops::Range<u32>) {
    let value = "v".repeat(1000);
    for from in keys.clone().step_by(100) {
        let keys = from..(from + 100).min(keys.end);
        let puts: String = keys
            .clone()
            .map(|key| format!("PUT key{key} {value}\n"))
            .collect();
        exchange(stream, puts.as_bytes(), &b"OK\n".repeat(keys.len()));
    }
}

#[test]
fn connections_take_pages_from_items_and_give_them_back() {
    let server = start_with(Config {
        connections_max: 1000,
        ..small_config()
    });
    let mut first = connect(&server);
    fill(&mut first, 0..60_000);
    let before = stat(&server, "pages_retired");
    let items = stat(&server, "items");
    assert!(before > 0, "room for the first connections");
    let mut others: Vec<TcpStream> = (0..600).map(|_| connect(&server)).collect();
    for stream in &mut others {
        exchange(stream, b"GET nothing\n", b"NOTFOUND\n");
    }
    let retired = stat(&server, "pages_retired");
    let page_bytes = stat(&server, "page_bytes");
    // 600 and a little more than that, at 4.5 KB each.
    let taken = (retired - before) * page_bytes;
    assert!((550 * 4300..900 * 4400).contains(&taken), "{taken}");
    assert!(stat(&server, "items") < items, "the oldest made room");
    assert!(stat(&server, "connection_bytes") >= 600 * 4300);
    exchange(&mut first, b"GET key59999\n", &newest());
    drop(others);
    // What user space has touched stays with the process, for the next connections, and room for a step of them,
    // with what may lie in their sockets.
    let kept = (600 * 560 + 64 * (3968 + 8192)) / page_bytes + 2;
    wait_until("the pages are given back", || {
        stat(&server, "pages_retired") <= before + 2 * kept
    });
    let evictions = stat(&server, "evictions");
    fill(&mut first, 60_000..60_500);
    assert_eq!(
        stat(&server, "evictions"),
        evictions,
        "the pages are usable"
    );
}

#[test]
fn leased_buffers_take_pages_from_items_when_they_are_needed() {
    let server = start_with(small_config());
    let mut first = connect(&server);
    fill(&mut first, 0..60_000);
    let before = stat(&server, "pages_retired");
    // More than a small buffer holds: four of them, spread over two workers, are half of the first ones for input.
    let mut halves: Vec<TcpStream> = (0..4).map(|_| connect(&server)).collect();
    for stream in &mut halves {
        let half = format!("PUT half {}", "h".repeat(2000));
        std::io::Write::write_all(stream, half.as_bytes()).expect("sent");
    }
    // 96 small ones, 18 for input and 9 for output in each of two workers, without the 16, 4 and 4 first ones.
    let lent = 2 * ((96 - 16) * (1 << 10) + (18 - 4) * (16 << 10) + (9 - 4) * (40 << 10));
    let page_bytes = stat(&server, "page_bytes");
    wait_until("room is made", || {
        (stat(&server, "pages_retired") - before) * page_bytes >= lent
    });
    for stream in &mut halves {
        exchange(stream, b"\n", b"OK\n");
    }
    exchange(&mut first, b"GET key59999\n", &newest());
}

fn newest() -> Vec<u8> {
    [&[b'v'; 1000][..], b"\n"].concat()
}

#[test]
fn waves_of_connections_do_not_evict_at_every_crest() {
    let server = start_with(Config {
        connections_max: 1000,
        ..small_config()
    });
    let mut first = connect(&server);
    fill(&mut first, 0..60_000);
    let wave = || {
        let mut streams: Vec<TcpStream> = (0..150).map(|_| connect(&server)).collect();
        for stream in &mut streams {
            exchange(stream, b"GET nothing\n", b"NOTFOUND\n");
        }
        drop(streams);
        // The next must not come before the server has noticed that these went.
        wait_until("they are gone", || stat(&server, "connections") <= 3);
    };
    wave();
    let evictions = stat(&server, "evictions");
    for _ in 0..5 {
        wave();
    }
    assert_eq!(stat(&server, "evictions"), evictions);
}

#[test]
fn the_limit_is_followed_down_and_up() {
    let root = Root::new("limit", 64);
    let server = start_with(Config {
        memory_bytes_max: Some(96 << 20),
        ..root.config(64)
    });
    let memory_is = |mib: u64| {
        wait_until("the memory follows", || {
            stat(&server, "memory_bytes") == mib * MIB
        });
    };
    // Pages in use, in MiB.
    let usable = || {
        let page_bytes = stat(&server, "page_bytes");
        let used = stat(&server, "pages_items") + stat(&server, "pages_index");
        (used + stat(&server, "pages_free")) * page_bytes / MIB
    };
    let mut client = connect(&server);
    memory_is(64);
    fill(&mut client, 0..70_000);
    let at_64 = usable();
    assert!((48..60).contains(&at_64), "{at_64}");
    let evicted = stat(&server, "evictions");

    root.limit(40);
    memory_is(40);
    wait_until("the cache shrinks", || usable() <= at_64 - 24);
    assert!(stat(&server, "evictions") > evicted);
    assert_eq!(stat(&server, "memory_limit_bytes"), 40 * MIB);
    // The newest stay, and stores go on.
    exchange(&mut client, b"GET key69999\n", &newest());
    fill(&mut client, 70_000..71_000);

    root.limit(96);
    memory_is(96);
    wait_until("the cache grows", || usable() >= at_64 + 31);
    // More than was reserved is of no use.
    root.limit(200);
    wait_until("the limit is seen", || {
        stat(&server, "memory_limit_bytes") == 200 * MIB
    });
    memory_is(96);

    // Nonsense is not followed; a limit below the least is followed as far as possible.
    root.figure("memory.max", "plenty\n");
    root.limit(1);
    memory_is(1);
    wait_until("the cache shrinks to its least", || usable() <= 6);
    exchange(&mut client, b"PUT still here\nGET still\n", b"OK\nhere\n");
    // One step of connections is always served, and no more.
    assert_eq!(stat(&server, "connections_allowed"), 64);
}

/// Before a limit is lowered in one step, the server can be asked to need no more than that.
#[test]
fn a_client_asks_for_less_memory_and_for_more_again() {
    let root = Root::new("wish", 64);
    let server = start_with(root.config(64));
    let mut client = connect(&server);
    fill(&mut client, 0..60_000);
    let before = stat(&server, "pages_retired");
    exchange(&mut client, b"cache_memlimit 40\r\n", b"OK\r\n");
    wait_until("the cache shrinks", || {
        let less = stat(&server, "pages_retired") - before;
        less * stat(&server, "page_bytes") >= 23 * MIB
    });
    wait_until("it is told", || stat(&server, "memory_bytes") == 40 * MIB);
    exchange(&mut client, b"GET key59999\n", &newest());
    let refused = b"MEMLIMIT_ADJUST_FAILED out of bounds or unable to adjust\r\n";
    exchange(&mut client, b"cache_memlimit 1\r\n", refused);
    exchange(&mut client, b"cache_memlimit 65\r\n", refused);
    exchange(&mut client, b"cache_memlimit x\r\n", b"ERROR\r\n");
    exchange(&mut client, b"cache_memlimit 64\r\n", b"OK\r\n");
    wait_until("the cache grows", || {
        stat(&server, "pages_retired") <= before + 8
    });
}

#[test]
fn what_the_kernel_says_is_in_the_stats() {
    let root = Root::new("stats", 48);
    let server = start_with(root.config(48));
    let table = [
        ("memory_limit_bytes", 48 * MIB),
        ("memory_bytes", 48 * MIB),
        ("memory_bytes_max", 48 * MIB),
        ("memory_usage_bytes", 1_000_000),
        ("memory_headroom_bytes", 48 * MIB - 1_000_000),
        ("memory_at_limit", 7),
        ("memory_oom_kills", 2),
        ("memory_pressure_avg10_hundredths", 150),
        ("socket_bytes", 4096),
    ];
    for (name, expected) in table {
        assert_eq!(stat(&server, name), expected, "{name}");
    }
}

#[test]
fn what_nobody_planned_is_paid_by_the_cache() {
    let root = Root::new("excess", 48);
    let server = start_with(root.config(48));
    let before = stat(&server, "pages_retired");
    root.figure("memory.current", &format!("{}\n", 50 * MIB));
    wait_until("the cache gives way", || {
        let less = stat(&server, "pages_retired") - before;
        less * stat(&server, "page_bytes") > 3 * MIB
    });
    root.figure("memory.current", "1000000\n");
    let most = stat(&server, "pages_retired");
    wait_until("it takes the memory back", || {
        stat(&server, "pages_retired") <= before + (most - before) / 4
    });
}

#[test]
fn peers_whose_bytes_fill_the_kernel_are_closed() {
    let root = Root::new("sockets", 48);
    let server = start_with(root.config(48));
    let mut polite = connect(&server);
    let value = vec![b'v'; 2_000];
    exchange(
        &mut polite,
        &[b"PUT k ", &value[..], b"\n"].concat(),
        b"OK\n",
    );
    // So little that it is all in the kernel, and none in a buffer of ours.
    let rude: Vec<TcpStream> = (0..20).map(|_| stingy(&server)).collect();
    for mut stream in &rude {
        std::io::Write::write_all(&mut stream, b"GET k\nGET k\n").expect("sends");
    }
    let mut idle = connect(&server);
    exchange(&mut idle, b"GET nothing\n", b"NOTFOUND\n");
    let open = stat(&server, "connections");
    assert_eq!(open, 23);
    root.figure("memory.stat", "sock 900000000\ninactive_file 0\n");
    wait_until("they are closed", || stat(&server, "connections") <= 3);
    root.figure("memory.stat", "sock 4096\ninactive_file 0\n");
    // Who only idles is left alone.
    exchange(&mut idle, b"GET nothing\n", b"NOTFOUND\n");
    exchange(&mut polite, b"GET nothing\n", b"NOTFOUND\n");
}

/// A client whose kernel takes next to nothing for it.
fn stingy(server: &flagstone_server::Running) -> TcpStream {
    let socket =
        socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(1).expect("settable");
    socket
        .connect(&server.local_addr().into())
        .expect("connects");
    socket.into()
}
