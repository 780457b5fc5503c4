//! Two pages of metrics → the lines of a screen that has so many columns and rows.
//!
//! What it is, the figures and the memory are always there; the tables share the rows that are left, and show the busiest
//! commands and the largest classes if those are too few. The hottest keys are below them where a screen is tall, or stand in their place.
//! No line is wider than the screen.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::hot::Hot;
use super::numbers::{bytes, percent, short, time};
use super::screen::{Line, Look};
use super::table::{Table, shares};
use super::{Page, label};

/// Classes shown: those with the most pages.
const CLASSES: usize = 12;
/// The widest bar.
const BAR: usize = 40;
/// A figure and its name.
const CELL: usize = 19;
/// What can be pressed.
const KEYS: &str = "h: hot keys, q: leave";
/// From so many rows on there are empty ones between the parts, and bars.
const AIRY: usize = 30;

/// From so many rows on there are a few hot keys, too.
const TALL: usize = 38;
/// So many below the tables.
const HOT_KEYS: usize = 5;

/// What stands below figures and memory.
#[derive(Clone, Copy)]
pub enum Lower<'h> {
    /// Commands and size classes; and hot keys, if there is room.
    Tables(Option<&'h Hot>),
    /// Hot keys alone.
    Hot(&'h Hot),
}

/// How much can be seen.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    pub columns: usize,
    pub rows: usize,
}

impl Room {
    /// What is no terminal takes everything.
    pub const ALL: Room = Room {
        columns: 78,
        rows: usize::MAX,
    };

    /// Whether hot keys have room beside all the rest.
    pub fn is_tall(self) -> bool {
        self.rows >= TALL
    }
}

/// What the second page says, and what happened since the first.
pub fn view(
    address: SocketAddr,
    before: &Page,
    now: &Page,
    lower: Lower<'_>,
    room: Room,
) -> Vec<Line> {
    let seconds = now.at.duration_since(before.at).as_secs_f64().max(1e-3);
    let span = Span {
        before,
        now,
        seconds,
    };
    let is_airy = room.rows >= AIRY;
    let gap = || is_airy.then(Line::default);
    let mut lines = vec![span.head(address, room.columns)];
    lines.extend(span.troubles(room.columns));
    lines.extend(gap());
    lines.extend(span.figures(room.columns));
    lines.extend(gap());
    lines.extend(span.memory(room.columns, is_airy));
    lines.extend(gap());
    let below = match lower {
        Lower::Hot(hot) => {
            let left = room.rows.saturating_sub(lines.len() + 1);
            lines.extend(hot.lines(room.columns, left));
            lines.truncate(room.rows);
            return lines;
        }
        Lower::Tables(hot) => hot.filter(|_| room.is_tall()),
    };
    let (latencies, classes) = (span.latencies(), span.classes());
    // With the empty row above them.
    let kept = below.map_or(0, |hot| hot.rows(HOT_KEYS) + 1);
    let left = room
        .rows
        .saturating_sub(lines.len() + usize::from(is_airy) + kept);
    let (commands, chunks) = shares(left, latencies.rows.len(), classes.rows.len());
    lines.extend(latencies.first(commands));
    if commands > 0 && chunks > 0 {
        lines.extend(gap());
    }
    lines.extend(classes.first(chunks));
    if let Some(hot) = below {
        lines.push(Line::default());
        lines.extend(hot.lines(room.columns, HOT_KEYS));
    }
    lines.truncate(room.rows);
    lines
}

/// Two pages, and the time between them.
struct Span<'p> {
    before: &'p Page,
    now: &'p Page,
    seconds: f64,
}

/// Ends of buckets in seconds, and how many requests lie below each.
type Buckets = Vec<(f64, f64)>;

impl Span<'_> {
    fn gained(&self, name: &str) -> f64 {
        (self.now.get(name) - self.before.get(name)).max(0.0)
    }

    fn rate(&self, name: &str) -> f64 {
        self.gained(name) / self.seconds
    }

    fn head(&self, address: SocketAddr, columns: usize) -> Line {
        let now = self.now;
        let stage = now.family("flagstone_stage").find(|(_, is)| *is > 0.0);
        let stage = stage.map_or("?", |(labels, _)| label(labels, "stage"));
        let version = now.family("flagstone_build_info").next();
        let version = version.map_or("?", |(labels, _)| label(labels, "version"));
        let up = time(now.get("flagstone_uptime_seconds"));
        let look = if stage == "ready" {
            Look::Head
        } else {
            Look::Odd
        };
        let line = Line::of(Look::Head, format!("Flagstone {version} at {address}: "))
            .and(look, stage)
            .and(Look::Plain, format!(", up {up}"));
        match columns.checked_sub(line.width()) {
            Some(left) if left > KEYS.len() + 1 && columns != Room::ALL.columns => {
                // The last column stays free.
                let left = left - 1;
                line.and(Look::Plain, format!("{KEYS:>left$}"))
            }
            _ => line,
        }
    }

    /// What is wrong, a line each.
    fn troubles(&self, columns: usize) -> Vec<Line> {
        let now = self.now;
        let cut = |reason: &str| format!("flagstone_connections_cut_total{{reason=\"{reason}\"}}");
        let mut found = Vec::new();
        let mut tell = |is_so: bool, look: Look, text: String| {
            if is_so {
                found.push((look, text));
            }
        };
        let turned_away = self.gained(&cut("turned_away"));
        let text = format!("{} connections were just turned away", short(turned_away));
        tell(turned_away > 0.0, Look::Bad, text);
        let allocations = now.get("flagstone_allocations_total{during=\"requests\"}");
        let text = format!(
            "{} allocations while serving: report this",
            short(allocations)
        );
        tell(allocations > 0.0, Look::Bad, text);
        let panics = now.get(&cut("panic"));
        let text = format!("{} connections ended by a bug: see the log", short(panics));
        tell(panics > 0.0, Look::Bad, text);
        let kills = now.get("flagstone_cgroup_oom_kills_total");
        let text = format!("{} kills for memory in the container", short(kills));
        tell(kills > 0.0, Look::Bad, text);
        let pressure = now.get("flagstone_cgroup_memory_pressure_ratio");
        let text = format!("threads wait for memory {} of the time", percent(pressure));
        tell(pressure > 0.1, Look::Bad, text);
        let failures = self.gained("flagstone_login_failures_total");
        let text = format!("{} logins just failed", short(failures));
        tell(failures > 0.0, Look::Odd, text);
        let waits = "flagstone_worker_longest_wait_seconds";
        let longest = now.family(waits).map(|(_, wait)| wait).fold(0.0, f64::max);
        let text = format!("connections wait {} for a buffer", time(longest));
        tell(longest > 1.0, Look::Odd, text);
        found.sort_by_key(|(look, _)| *look != Look::Bad);
        // They share one row, so that they never push out what they are about.
        let mut line = Line::default();
        let mut left = columns;
        for (no, (look, text)) in found.iter().enumerate() {
            let before = if no == 0 { "" } else { " · " };
            left = left.saturating_sub(before.chars().count() + text.chars().count());
            line = line.and(Look::Plain, before).and(*look, text);
            if left == 0 {
                break;
            }
        }
        match found.is_empty() {
            true => Vec::new(),
            false => vec![line],
        }
    }

    /// As many in a row as there is room for.
    fn figures(&self, columns: usize) -> Vec<Line> {
        let now = self.now;
        let requests = |page: &Page| -> f64 {
            let counts = page.family("flagstone_request_duration_seconds_count");
            counts.map(|(_, count)| count).sum()
        };
        let asked = (requests(now) - requests(self.before)).max(0.0) / self.seconds;
        let hits = self.rate("flagstone_gets_total{result=\"hit\"}");
        let ratio = match hits + self.rate("flagstone_gets_total{result=\"miss\"}") {
            0.0 => "–".to_owned(),
            gets => percent(hits / gets),
        };
        let age = eviction_age(self.before, now);
        let workers = now.get("flagstone_workers").max(1.0);
        let clients = now.get("flagstone_connections");
        let allowed = now.get("flagstone_connections_allowed");
        let busy = self.rate("process_cpu_seconds_total") / workers;
        let look = |bad: bool, odd: bool| match (bad, odd) {
            (true, _) => Look::Bad,
            (_, true) => Look::Odd,
            _ => Look::Plain,
        };
        let figures = [
            (Look::Plain, short(asked), "requests"),
            (Look::Plain, ratio, "hits"),
            (
                Look::Plain,
                bytes(self.rate("flagstone_received_bytes_total")),
                "in",
            ),
            (
                Look::Plain,
                bytes(self.rate("flagstone_sent_bytes_total")),
                "out",
            ),
            (Look::Plain, short(now.get("flagstone_items")), "items"),
            (
                Look::Plain,
                bytes(now.get("flagstone_item_bytes")),
                "of data",
            ),
            (
                Look::Plain,
                short(self.rate("flagstone_evictions_total")),
                "evicted",
            ),
            (Look::Plain, age.map_or("–".to_owned(), time), "their age"),
            (
                look(clients >= allowed, clients > 0.9 * allowed),
                short(clients),
                "clients",
            ),
            (Look::Plain, short(allowed), "allowed"),
            (look(false, busy > 0.9), percent(busy), "CPU"),
            (Look::Plain, short(workers), "workers"),
        ];
        let in_row = (columns / CELL).clamp(1, 4);
        let rows = figures.chunks(in_row).map(|cells| {
            cells
                .iter()
                .fold(Line::default(), |line, (look, value, name)| {
                    line.and(*look, format!("{value:>9}"))
                        .and(Look::Plain, format!(" {name:<width$}", width = CELL - 10))
                })
        });
        rows.collect()
    }

    fn memory(&self, columns: usize, with_bars: bool) -> Vec<Line> {
        let now = self.now;
        let all = now.get("flagstone_memory_bytes").max(1.0);
        let page = now.get("flagstone_page_bytes");
        let pages = |state: &str| page * now.get(&format!("flagstone_pages{{state=\"{state}\"}}"));
        let known = [
            ("items", pages("items")),
            ("index", pages("index")),
            ("free pages", pages("free")),
            ("connections", now.get("flagstone_connection_memory_bytes")),
        ];
        let rest = all - known.iter().map(|(_, size)| size).sum::<f64>();
        let parts = || known.into_iter().chain([("server", rest.max(0.0))]);
        let resident = bytes(now.get("process_resident_memory_bytes"));
        let line = Line::of(Look::Head, format!("memory {}", bytes(all)));
        let line = line.and(Look::Plain, format!(", resident {resident}"));
        let line = match now.samples.get("flagstone_cgroup_limit_bytes") {
            None => line.and(Look::Plain, ", no limit"),
            Some(limit) => {
                let usage = now.get("flagstone_cgroup_usage_bytes");
                let look = if usage > 0.98 * limit {
                    Look::Odd
                } else {
                    Look::Plain
                };
                line.and(
                    look,
                    format!(", {} of {} charged", bytes(usage), bytes(*limit)),
                )
            }
        };
        let mut lines = vec![line];
        if with_bars {
            let widest = BAR.min(columns.saturating_sub(26)) as f64;
            lines.extend(parts().map(|(name, size)| {
                // A server that tells nonsense has a full bar at most.
                let bar = "█".repeat((size / all * widest).clamp(0.0, widest).round() as usize);
                Line::of(
                    Look::Plain,
                    format!("  {name:<12}{:>10}  {bar}", bytes(size)),
                )
            }));
            return lines;
        }
        let cells: Vec<String> = parts()
            .map(|(name, size)| format!("  {name} {}", bytes(size)))
            .collect();
        let mut line = String::new();
        for cell in cells {
            if line.chars().count() + cell.chars().count() > columns {
                lines.push(Line::of(Look::Plain, std::mem::take(&mut line)));
            }
            line += &cell;
        }
        lines.push(Line::of(Look::Plain, line));
        lines
    }

    fn latencies(&self) -> Table {
        let name = "flagstone_request_duration_seconds_bucket";
        let mut series: BTreeMap<(&str, &str), Buckets> = BTreeMap::new();
        for (labels, below) in self.now.family(name) {
            let end = label(labels, "le").parse().unwrap_or(f64::INFINITY);
            let earlier = self.before.get(&format!("{name}{{{labels}}}"));
            let of = (label(labels, "protocol"), label(labels, "command"));
            series.entry(of).or_default().push((end, below - earlier));
        }
        let row = |((protocol, command), mut buckets): ((&str, &str), Buckets)| {
            buckets.sort_by(|(one, _), (other, _)| one.total_cmp(other));
            let all = buckets.last().map_or(0.0, |(_, below)| *below);
            let part = |part: f64| {
                let found = buckets
                    .iter()
                    .find(|(_, below)| *below >= part * all && all > 0.0);
                found.map_or("–".to_owned(), |(end, _)| time(*end))
            };
            let rate = short(all / self.seconds);
            let [p50, p99, p999] = [0.5, 0.99, 0.999].map(part);
            let row = format!("{command:<9}{protocol:<10}{rate:>10}{p50:>10}{p99:>10}{p999:>10}");
            (all, row)
        };
        let heading = ["command", "protocol", "/s", "p50", "p99", "p99.9"];
        let [command, protocol, rest @ ..] = heading;
        let rest: String = rest.iter().map(|word| format!("{word:>10}")).collect();
        Table {
            heading: format!("{command:<9}{protocol:<10}{rest}"),
            rows: series.into_iter().map(row).collect(),
        }
    }

    fn classes(&self) -> Table {
        let mut shown: Vec<(&str, f64)> = self.now.family("flagstone_class_pages").collect();
        shown.sort_by(|(_, one), (_, other)| other.total_cmp(one));
        shown.truncate(CLASSES);
        let chunk = |labels: &str| label(labels, "chunk_bytes").parse().unwrap_or(0u64);
        shown.sort_by_key(|(labels, _)| chunk(labels));
        let name = |labels: &str| match chunk(labels) {
            // The pages in which ends of items of any length are.
            0 => "ends".to_owned(),
            chunk_bytes => bytes(chunk_bytes as f64),
        };
        let row = |(labels, pages): (&str, f64)| {
            let now = |figure: &str| {
                self.now
                    .get(&format!("flagstone_class_{figure}{{{labels}}}"))
            };
            let items: f64 = ["probation", "main"]
                .iter()
                .map(|list| {
                    let name = format!("flagstone_class_items{{{labels},list=\"{list}\"}}");
                    self.now.get(&name)
                })
                .sum();
            let gone = self.rate(&format!("flagstone_class_evictions_total{{{labels}}}"));
            let row = format!(
                "{:>10}{:>8}{:>9}{:>10}{:>11}{:>12}",
                name(labels),
                short(pages),
                percent(now("chunks_used") / now("chunks").max(1.0)),
                short(items),
                short(gone),
                time(now("tail_age_seconds"))
            );
            (pages, row)
        };
        Table {
            heading: format!(
                "{:>10}{:>8}{:>9}{:>10}{:>11}{:>12}",
                "chunk", "pages", "used", "items", "evicted/s", "oldest"
            ),
            rows: shown.into_iter().map(row).collect(),
        }
    }
}

/// The mean age of what was evicted between two pages, or else until the second.
fn eviction_age(before: &Page, now: &Page) -> Option<f64> {
    let sum = |page: &Page, of: &str| -> f64 {
        let name = format!("flagstone_eviction_age_seconds_{of}");
        page.family(&name).map(|(_, value)| value).sum()
    };
    let (seconds, count) = (sum(now, "sum"), sum(now, "count"));
    let fresh = count - sum(before, "count");
    if fresh > 0.0 {
        return Some((seconds - sum(before, "sum")) / fresh);
    }
    (count > 0.0).then(|| seconds / count)
}

#[cfg(test)]
mod tests;
