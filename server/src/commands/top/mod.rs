//! `flagstone top`: a running server in a terminal, for where no browser reaches.
//!
//! It reads `/metrics`, as a scraper does, once a second, and works out rates and percentiles
//! from two answers. It fits the terminal, from 60 columns and 20 rows on: what has no room is left out, the least important
//! first, and nothing scrolls. `h` shows the keys that are asked for most in place of the tables, `q` leaves.

mod hot;
mod numbers;
mod screen;
mod table;
mod view;

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, IsTerminal, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use self::hot::Hot;
use self::screen::{Line, Look, Screen, Wish};
use self::view::{Lower, Room};
use crate::commands::healthcheck::reachable;

/// Between two looks.
const INTERVAL: Duration = Duration::from_secs(1);
/// For each step of the talk.
const PATIENCE: Duration = Duration::from_secs(2);
/// Longer is no page of metrics.
const PAGE_BYTES_MAX: u64 = 8 << 20;

/// Why there is nothing to see.
#[derive(Debug)]
pub enum Blind {
    /// Nobody answers there.
    Silent(SocketAddr, io::Error),
    /// Something else does.
    Stranger(SocketAddr),
    /// It wants to see a token, or another one.
    WantsToken(SocketAddr),
    /// The terminal is gone.
    Output(io::Error),
}

impl fmt::Display for Blind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Blind::Silent(address, error) => write!(
                f,
                "no admin pages can be reached at {address}: {error}: name their address, as the \
                 server's --admin has it"
            ),
            Blind::Stranger(address) => {
                write!(
                    f,
                    "what answers at {address} are not a flagstone's admin pages"
                )
            }
            Blind::WantsToken(address) => write!(
                f,
                "the admin pages at {address} want a token first: name the file that the server \
                 has, with --admin-token-file"
            ),
            Blind::Output(error) => write!(f, "cannot print: {error}"),
        }
    }
}

impl std::error::Error for Blind {}

/// One page of metrics: names with labels, as they are written there.
#[derive(Clone, Debug)]
pub struct Page {
    at: Instant,
    samples: BTreeMap<String, f64>,
}

impl Page {
    fn parse(text: &str) -> Self {
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        let samples = samples.filter_map(|line| {
            // Labels may have spaces; values have none.
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        });
        Page {
            at: Instant::now(),
            samples: samples.collect(),
        }
    }

    /// 0 for what is not there.
    pub(crate) fn get(&self, name: &str) -> f64 {
        self.samples.get(name).copied().unwrap_or(0.0)
    }

    /// The samples of a family: what stands between the braces, and the value.
    fn family<'p>(&'p self, name: &'p str) -> impl Iterator<Item = (&'p str, f64)> {
        let samples = self.samples.range(format!("{name}{{")..);
        samples.map_while(move |(key, value)| {
            let labels = key.strip_prefix(name)?.strip_prefix('{')?;
            Some((labels.strip_suffix('}')?, *value))
        })
    }
}

/// The value of a label among those of a sample.
fn label<'l>(labels: &'l str, name: &str) -> &'l str {
    let of = |pair: &'l str| {
        pair.strip_prefix(name)?
            .strip_prefix("=\"")?
            .strip_suffix('"')
    };
    labels.split(',').find_map(of).unwrap_or("")
}

/// Watches until it is stopped, or looks `once`.
///
/// # Errors
/// When there is nothing to see. Once it has seen something, it goes on asking.
pub fn run(address: SocketAddr, token: Option<&[u8]>, once: bool) -> Result<(), Blind> {
    match watch(address, token, once) {
        // Who reads no further, as `head` does, has what it wanted.
        Err(Blind::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        seen => seen,
    }
}

fn watch(address: SocketAddr, token: Option<&[u8]>, once: bool) -> Result<(), Blind> {
    let address = reachable(address);
    let mut out = io::stdout();
    let once = once || !out.is_terminal();
    let mut before = look(address, token)?;
    if once {
        // Rates need a second look.
        std::thread::sleep(INTERVAL);
        let now = look(address, token)?;
        let hot = Hot::look(address, token);
        let lower = Lower::Tables(Some(&hot));
        let lines = view::view(address, &before, &now, lower, Room::ALL);
        return out
            .write_all(screen::text(&lines, usize::MAX, false).as_bytes())
            .and_then(|()| out.flush())
            .map_err(Blind::Output);
    }
    let screen = Screen::open(&mut out).map_err(Blind::Output)?;
    let mut lines = vec![Line::of(Look::Plain, format!("Looking at {address} …"))];
    let mut is_hot = false;
    // The page before the last, which rates are worked out from.
    let mut earlier = before.clone();
    loop {
        Screen::draw(&lines, &mut out).map_err(Blind::Output)?;
        let wish = screen.wait(INTERVAL);
        let (columns, rows) = Screen::size();
        let room = Room { columns, rows };
        match wish {
            Wish::Leave => return Ok(()),
            Wish::Switch => is_hot = !is_hot,
            Wish::Nothing => match look(address, token) {
                Ok(now) => earlier = std::mem::replace(&mut before, now),
                Err(blind) => {
                    lines = lost(&blind, before.at.elapsed(), columns);
                    continue;
                }
            },
        }
        let hot = (is_hot || room.is_tall()).then(|| Hot::look(address, token));
        let lower = match &hot {
            Some(hot) if is_hot => Lower::Hot(hot),
            hot => Lower::Tables(hot.as_ref()),
        };
        lines = view::view(address, &earlier, &before, lower, room);
    }
}

/// A screen that says why there is nothing to see, and since when.
fn lost(blind: &Blind, since: Duration, columns: usize) -> Vec<Line> {
    let seen = format!("Not reached for {} s", since.as_secs());
    let mut lines = vec![Line::of(Look::Bad, seen), Line::default()];
    let mut line = String::new();
    // An address in it must not be lost behind the edge.
    for word in blind.to_string().split(' ') {
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > columns {
            lines.push(Line::of(Look::Plain, std::mem::take(&mut line)));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line += word;
    }
    lines.push(Line::of(Look::Plain, line));
    lines
}

/// The metrics now.
pub(crate) fn look(address: SocketAddr, token: Option<&[u8]>) -> Result<Page, Blind> {
    let (_, body) = ask(address, token, "GET /metrics")?;
    let page = Page::parse(&body);
    if page.family("flagstone_build_info").next().is_none() {
        return Err(Blind::Stranger(address));
    }
    Ok(page)
}

/// The status and the body of the answer to `request`, a method and a path.
pub(crate) fn ask(
    address: SocketAddr,
    token: Option<&[u8]>,
    request: &str,
) -> Result<(u16, String), Blind> {
    let answer = fetch(address, token, request).map_err(|error| Blind::Silent(address, error))?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    match head.split(' ').nth(1).and_then(|code| code.parse().ok()) {
        Some(401) => Err(Blind::WantsToken(address)),
        Some(status) => Ok((status, body.to_owned())),
        None => Err(Blind::Stranger(address)),
    }
}

/// HTTP 1.0, so that the answer comes in one piece and ends with the connection.
fn fetch(address: SocketAddr, token: Option<&[u8]>, request: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut request = format!("{request} HTTP/1.0\r\n").into_bytes();
    if let Some(token) = token {
        request.extend([&b"Authorization: Bearer "[..], token, b"\r\n"].concat());
    }
    request.extend(b"\r\n");
    stream.write_all(&request)?;
    let mut answer = String::new();
    let read = stream.take(PAGE_BYTES_MAX).read_to_string(&mut answer);
    read.map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => io::ErrorKind::TimedOut.into(),
        _ => error,
    })?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_read() {
        let page = Page::parse(
            "# HELP a b\na 1\nb{x=\"p q\",y=\"2\"} 2.5\nb{x=\"r\",y=\"3\"} 3\nbc{x=\"r\"} 4\nno\n",
        );
        assert_eq!((page.get("a"), page.get("z")), (1.0, 0.0));
        let family: Vec<_> = page.family("b").collect();
        assert_eq!(
            family,
            [("x=\"p q\",y=\"2\"", 2.5), ("x=\"r\",y=\"3\"", 3.0)]
        );
        assert_eq!(label(family[0].0, "x"), "p q");
        assert_eq!(label(family[0].0, "y"), "2");
        assert_eq!(label(family[0].0, "z"), "");
    }
}
