//! Goal: a person who opens the admin address sees what the server does, on a desk and on a
//! phone. Method: the binary under traffic of two protocols, and Chromium without a window.
//! `TEST_SCREENSHOTS` names a directory for pictures of what it saw.

mod chromium;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use crate::common;
use crate::common::wait_until;
use chromium::Browser;

/// Traffic runs so long before the page is judged: rates need a few answers.
const WARM_UP: Duration = Duration::from_secs(6);

struct Server {
    child: Child,
    data: SocketAddr,
    admin: SocketAddr,
}

impl Server {
    fn start() -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_flagstone"))
            .args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .args(["--memory", "64m", "--max-connections", "1000"])
            .stderr(Stdio::piped())
            .spawn()
            .expect("starts");
        let mut stderr = BufReader::new(child.stderr.take().expect("piped"));
        let mut told = |before: &str, behind: char| -> SocketAddr {
            let mut line = String::new();
            stderr.read_line(&mut line).expect("a line");
            let rest = line.split(before).nth(1).expect("an address");
            let address = rest.split(behind).next().expect("one");
            address.parse().expect("an address")
        };
        let data = told("listening on ", ',');
        let admin = told("http://", '/');
        std::thread::spawn(move || stderr.read_to_end(&mut Vec::new()));
        Server { child, data, admin }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Numbers that look random and are the same every time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

/// Values of many sizes for keys of which a few are asked for most of the time.
fn traffic(address: SocketAddr, seed: u64, over: &AtomicBool) {
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut stream = TcpStream::connect(address).expect("connects");
    stream.set_nodelay(true).expect("settable");
    let mut reader = BufReader::new(stream.try_clone().expect("clones"));
    while !over.load(Relaxed) {
        let mut lines = String::new();
        let requests = [1, 1, 4, 16][dice.below(4) as usize];
        for _ in 0..requests {
            let most = 1 << dice.below(19);
            let key = dice.below(most);
            if dice.below(3) == 0 {
                let most = 32 << dice.below(9);
                let len = 40 + dice.below(most) as usize;
                lines += &match seed % 2 {
                    0 => format!("PUT key{key} {}\n", "v".repeat(len)),
                    _ => {
                        let lifetime = [0, 60, 3600, 90_000][dice.below(4) as usize];
                        format!("set key{key} 0 {lifetime} {len}\r\n{}\r\n", "v".repeat(len))
                    }
                };
            } else {
                lines += &match seed % 2 {
                    0 => format!("GET key{key}\n"),
                    _ => format!("get key{key}\r\n"),
                };
            }
        }
        stream.write_all(lines.as_bytes()).expect("sends");
        let mut answered = 0;
        while answered < requests {
            let mut line = Vec::new();
            reader.read_until(b'\n', &mut line).expect("answers");
            let is_more = seed % 2 == 1 && (line.starts_with(b"VALUE ") || line.starts_with(b"v"));
            answered += i32::from(!is_more);
        }
    }
}

#[test]
fn the_page_shows_live_traffic_on_a_desk_and_on_a_phone() {
    let test = "the_page_shows_live_traffic_on_a_desk_and_on_a_phone";
    let server = Server::start();
    let url = format!("http://{}/", server.admin);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for seed in 1..=4 {
            let (over, address) = (&over, server.data);
            scope.spawn(move || traffic(address, seed, over));
        }
        let judged = std::panic::catch_unwind(|| {
            for (name, width, height) in [("desktop", 1180, 1240), ("phone", 390, 1900)] {
                let Some(browser) = Browser::open(&url, width, height) else {
                    common::tool::skip(
                        test,
                        "chromium is not installed (apt-get install chromium)",
                    );
                    return;
                };
                judge(browser, name, width);
            }
        });
        over.store(true, Relaxed);
        if let Err(panic) = judged {
            std::panic::resume_unwind(panic);
        }
    });
}

fn judge(mut browser: Browser, name: &str, width: u32) {
    wait_until("it is ready", || {
        browser.evaluate("document.getElementById('stage')?.textContent") == "ready"
    });
    let is_photographed = std::env::var_os("TEST_SCREENSHOTS").is_some();
    std::thread::sleep(WARM_UP * if is_photographed { 6 } else { 1 });
    let text = browser.evaluate("document.body.innerText");
    let text = text.as_str().expect("text");
    for word in [
        "get native",
        "set memcached",
        "p99.9",
        "as promised",
        "small chunks",
        "headroom",
    ] {
        assert!(text.contains(word), "{name}: no {word:?} in {text}");
    }
    let tiles = browser.evaluate("[...document.querySelectorAll('.big')].map(e => e.innerText)");
    let tiles = tiles.as_array().expect("tiles");
    assert_eq!(tiles.len(), 8, "{name}: {tiles:?}");
    // Requests are being answered, and a good part of them found something.
    assert!(
        !tiles[0].as_str().expect("text").starts_with("0"),
        "{tiles:?}"
    );
    assert!(tiles[1].as_str().expect("text").ends_with('%'), "{tiles:?}");
    for (what, least) in [
        ("document.querySelectorAll('#pages > span').length", 100),
        ("document.querySelectorAll('#classes tr').length", 5),
        ("document.querySelectorAll('#latency tr').length", 5),
        ("document.querySelectorAll('#memory > span').length", 5),
        ("document.querySelectorAll('svg path').length", 16),
        ("document.querySelectorAll('#spread > span').length", 5),
        ("document.querySelectorAll('#stored tr').length", 3),
        ("document.querySelectorAll('#sizes > span').length", 5),
        ("document.querySelectorAll('#lifetimes tr').length", 4),
        ("document.querySelectorAll('#hot tr').length", 5),
        ("document.querySelectorAll('#slow tr').length", 1),
    ] {
        let count = browser.evaluate(what).as_i64().expect("a number");
        assert!(count >= least, "{name}: {what} is {count}");
    }
    // The curves of a row stand side by side, and bars of a column one below the other.
    let mut edges = |what: &str, edge: &str| -> Vec<i64> {
        let script = format!(
            "[...document.querySelectorAll('{what}')].map(e => \
             Math.round(e.getBoundingClientRect().{edge}))"
        );
        let told = browser.evaluate(&script);
        let told = told.as_array().expect("edges").iter();
        told.map(|edge| edge.as_i64().expect("a number")).collect()
    };
    let columns = if width > 900 { 4 } else { 2 };
    let curves = edges("#tiles svg", "top");
    assert_eq!(curves.len(), 8, "{name}");
    for row in curves.chunks(columns) {
        assert!(row.iter().all(|top| *top == row[0]), "{name}: {curves:?}");
    }
    if width > 900 {
        let bars = edges("#classes .fill", "left");
        assert!(bars.iter().all(|left| *left == bars[0]), "{name}: {bars:?}");
    }
    // Nothing sticks out to the side.
    let wide = browser.evaluate("document.documentElement.scrollWidth");
    assert!(
        wide.as_u64() <= Some(u64::from(width)),
        "{name}: {wide} wide"
    );
    if let Some(dir) = std::env::var_os("TEST_SCREENSHOTS") {
        let dir = std::path::Path::new(&dir);
        let keep = |name: String, picture: &[u8]| {
            std::fs::write(dir.join(name), picture).expect("writable");
        };
        keep(format!("{name}.png"), &browser.screenshot());
        browser.go_dark();
        keep(format!("{name}-dark.png"), &browser.screenshot());
    }
    assert_eq!(browser.complaints, Vec::<String>::new(), "{name}");
}

/// A page that is loaded again has its curves, and one whose server is gone dims and says since when.
#[test]
fn the_page_remembers_over_a_reload_and_says_when_it_is_old() {
    let test = "the_page_remembers_over_a_reload_and_says_when_it_is_old";
    let mut server = Server::start();
    let url = format!("http://{}/", server.admin);
    let Some(mut browser) = Browser::open(&url, 800, 1200) else {
        return common::tool::skip(test, "chromium is not installed (apt-get install chromium)");
    };
    let kept = |browser: &mut Browser| {
        let count = "typeof answers === 'undefined' ? 0 : answers.length";
        browser.evaluate(count).as_u64().unwrap_or(0)
    };
    wait_until("it has a few answers", || kept(&mut browser) >= 4);
    let title = browser.evaluate("document.title");
    let host = server.admin.to_string();
    assert_eq!(title, format!("{host}: ready – Flagstone"));
    // Nobody asks for anything: that is no hit ratio and no time to answer, and no curve of them.
    let tiles = browser.evaluate("[...document.querySelectorAll('.big')].map(e => e.innerText)");
    let tiles = tiles.as_array().expect("tiles");
    assert_eq!(
        (&tiles[1], &tiles[2]),
        (&"–".into(), &"–".into()),
        "{tiles:?}"
    );
    let curves = "document.querySelectorAll('.card:nth-child(2) .curve path').length";
    assert_eq!(browser.evaluate(curves), 0);
    // Free memory has an edge in the bar.
    let edge =
        browser.evaluate("getComputedStyle(document.querySelector('#memory > .free')).boxShadow");
    assert!(
        edge.as_str().expect("text").contains("1.5px inset"),
        "{edge}"
    );
    let before = kept(&mut browser);
    browser.evaluate("location.reload()");
    wait_until("it is there again, with what it knew", || {
        kept(&mut browser) > before
            && browser.evaluate("document.getElementById('stage')?.textContent") == "ready"
    });
    server.child.kill().expect("killed");
    wait_until("it says that it is old", || {
        let said = browser.evaluate("document.getElementById('stage').textContent");
        let is_dim = browser.evaluate("getComputedStyle(document.querySelector('main')).opacity");
        said.as_str()
            .is_some_and(|said| said.starts_with("not reached, last seen "))
            && is_dim == "0.45"
    });
    let title = browser.evaluate("document.title");
    assert_eq!(title, format!("{host}: not reached – Flagstone"));
}
