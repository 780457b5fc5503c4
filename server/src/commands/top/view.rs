//! Two pages of metrics → a screen of text, 78 columns wide.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::SocketAddr;

use super::{Page, label};

/// Classes shown: those with the most pages.
const CLASSES: usize = 12;
/// The widest bar.
const BAR: usize = 40;

/// What the second page says, and what happened since the first.
pub fn view(address: SocketAddr, before: &Page, now: &Page) -> String {
    let mut out = String::new();
    // A `String` takes everything.
    let _ = write_view(&mut out, address, before, now);
    out
}

fn write_view(
    out: &mut String,
    address: SocketAddr,
    before: &Page,
    now: &Page,
) -> std::fmt::Result {
    let seconds = now.at.duration_since(before.at).as_secs_f64().max(1e-3);
    let rate = |name: &str| (now.get(name) - before.get(name)).max(0.0) / seconds;
    let requests = |page: &Page| -> f64 {
        page.family("flagstone_request_duration_seconds_count")
            .map(|(_, count)| count)
            .sum()
    };
    let stage = now.family("flagstone_stage").find(|(_, is)| *is > 0.0);
    let stage = stage.map_or("?", |(labels, _)| label(labels, "stage"));
    let version = now.family("flagstone_build_info").next();
    let version = version.map_or("?", |(labels, _)| label(labels, "version"));
    let up = time(now.get("flagstone_uptime_seconds"));
    writeln!(out, "Flagstone {version} at {address}: {stage}, up {up}\n")?;

    let hits = rate("flagstone_gets_total{result=\"hit\"}");
    let misses = rate("flagstone_gets_total{result=\"miss\"}");
    let ratio = match hits + misses {
        0.0 => "–".to_owned(),
        gets => percent(hits / gets),
    };
    let asked = (requests(now) - requests(before)).max(0.0) / seconds;
    writeln!(
        out,
        "{:>10}/s requests   {ratio:>8} hit ratio     {:>10}/s in   {:>10}/s out",
        short(asked),
        bytes(rate("flagstone_received_bytes_total")),
        bytes(rate("flagstone_sent_bytes_total")),
    )?;
    let age = eviction_age(before, now);
    writeln!(
        out,
        "{:>10} items        {:>10} of data      {:>8}/s evicted   {:>9} their age",
        short(now.get("flagstone_items")),
        bytes(now.get("flagstone_item_bytes")),
        short(rate("flagstone_evictions_total")),
        age.map_or("–".to_owned(), time),
    )?;
    let workers = now.get("flagstone_workers").max(1.0);
    writeln!(
        out,
        "{:>10} of {} connections   {:>8} CPU of {workers} workers   {} allocations while serving\n",
        short(now.get("flagstone_connections")),
        short(now.get("flagstone_connections_allowed")),
        percent(rate("process_cpu_seconds_total") / workers),
        short(now.get("flagstone_allocations_total{during=\"requests\"}")),
    )?;
    memory(out, now)?;
    latencies(out, before, now, seconds)?;
    classes(out, before, now, seconds)
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

fn memory(out: &mut String, now: &Page) -> std::fmt::Result {
    let all = now.get("flagstone_memory_bytes").max(1.0);
    let page = now.get("flagstone_page_bytes");
    let pages = |state: &str| page * now.get(&format!("flagstone_pages{{state=\"{state}\"}}"));
    let connections = now.get("flagstone_connection_memory_bytes");
    let known = [
        ("items", pages("items")),
        ("index", pages("index")),
        ("free pages", pages("free")),
        ("connections", connections),
    ];
    let rest = all - known.iter().map(|(_, size)| size).sum::<f64>();
    write!(
        out,
        "memory {}, resident {}",
        bytes(all),
        bytes(now.get("process_resident_memory_bytes"))
    )?;
    match now.samples.get("flagstone_cgroup_limit_bytes") {
        None => writeln!(out, ", no container limit")?,
        Some(limit) => writeln!(
            out,
            ", container {} of {}",
            bytes(now.get("flagstone_cgroup_usage_bytes")),
            bytes(*limit)
        )?,
    }
    for (name, size) in known.into_iter().chain([("server", rest.max(0.0))]) {
        let bar = "█".repeat((size / all * BAR as f64).round() as usize);
        writeln!(out, "  {name:<12}{:>10}  {bar}", bytes(size))?;
    }
    out.push('\n');
    Ok(())
}

/// Ends of buckets in seconds, and how many requests lie below each.
type Buckets = Vec<(f64, f64)>;

fn latencies(out: &mut String, before: &Page, now: &Page, seconds: f64) -> std::fmt::Result {
    let name = "flagstone_request_duration_seconds_bucket";
    let mut series: BTreeMap<(&str, &str), Buckets> = BTreeMap::new();
    for (labels, below) in now.family(name) {
        let end = label(labels, "le").parse().unwrap_or(f64::INFINITY);
        let earlier = before.get(&format!("{name}{{{labels}}}"));
        let of = (label(labels, "protocol"), label(labels, "command"));
        series.entry(of).or_default().push((end, below - earlier));
    }
    if series.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "{:<10}{:<12}{:>10}{:>12}{:>12}{:>12}",
        "command", "protocol", "/s", "p50", "p99", "p99.9"
    )?;
    for ((protocol, command), mut buckets) in series {
        buckets.sort_by(|(one, _), (other, _)| one.total_cmp(other));
        let all = buckets.last().map_or(0.0, |(_, below)| *below);
        let part = |part: f64| {
            let found = buckets
                .iter()
                .find(|(_, below)| *below >= part * all && all > 0.0);
            found.map_or("–".to_owned(), |(end, _)| time(*end))
        };
        writeln!(
            out,
            "{command:<10}{protocol:<12}{:>10}{:>12}{:>12}{:>12}",
            short(all / seconds),
            part(0.5),
            part(0.99),
            part(0.999)
        )?;
    }
    out.push('\n');
    Ok(())
}

fn classes(out: &mut String, before: &Page, now: &Page, seconds: f64) -> std::fmt::Result {
    let mut shown: Vec<(&str, f64)> = now.family("flagstone_class_pages").collect();
    shown.sort_by(|(_, one), (_, other)| other.total_cmp(one));
    shown.truncate(CLASSES);
    let chunk = |labels: &str| label(labels, "chunk_bytes").parse().unwrap_or(0u64);
    shown.sort_by_key(|(labels, _)| chunk(labels));
    if shown.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "{:>12}{:>10}{:>10}{:>10}{:>12}{:>14}",
        "chunk", "pages", "used", "items", "evicted/s", "oldest"
    )?;
    for (labels, pages) in shown {
        let of =
            |page: &Page, figure: &str| page.get(&format!("flagstone_class_{figure}{{{labels}}}"));
        let items: f64 = ["probation", "main"]
            .iter()
            .map(|list| {
                now.get(&format!(
                    "flagstone_class_items{{{labels},list=\"{list}\"}}"
                ))
            })
            .sum();
        let gone = of(now, "evictions_total") - of(before, "evictions_total");
        writeln!(
            out,
            "{:>12}{:>10}{:>10}{:>10}{:>12}{:>14}",
            bytes(chunk(labels) as f64),
            short(pages),
            percent(of(now, "chunks_used") / of(now, "chunks").max(1.0)),
            short(items),
            short(gone.max(0.0) / seconds),
            time(of(now, "tail_age_seconds"))
        )?;
    }
    Ok(())
}

fn short(n: f64) -> String {
    let (n, unit) = match n {
        n if n < 9_999.5 => return format!("{n:.0}"),
        n if n < 999_500.0 => (n / 1e3, "k"),
        n if n < 999_500_000.0 => (n / 1e6, "M"),
        n => (n / 1e9, "G"),
    };
    format!("{n:.*} {unit}", usize::from(n < 100.0))
}

fn bytes(n: f64) -> String {
    let mut n = n;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if n < 1000.0 {
            return format!("{n:.*} {unit}", usize::from(unit != "B" && n < 100.0));
        }
        n /= 1024.0;
    }
    format!("{n:.1} TiB")
}

fn time(seconds: f64) -> String {
    match seconds {
        s if s.is_infinite() => "over 1 s".to_owned(),
        s if s < 1e-3 => format!("{:.0} µs", s * 1e6),
        s if s < 1.0 => format!("{:.1} ms", s * 1e3),
        s if s < 60.0 => format!("{s:.1} s"),
        s if s < 3600.0 => format!("{:.0} min {:.0} s", (s / 60.0).floor(), s % 60.0),
        s if s < 86_400.0 => format!("{:.0} h {:.0} min", (s / 3600.0).floor(), s % 3600.0 / 60.0),
        s => format!(
            "{:.0} d {:.0} h",
            (s / 86_400.0).floor(),
            s % 86_400.0 / 3600.0
        ),
    }
}

fn percent(part: f64) -> String {
    format!("{:.1} %", 100.0 * part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        for (n, text) in [
            (0.0, "0"),
            (9999.0, "9999"),
            (12_345.0, "12.3 k"),
            (2e6, "2.0 M"),
        ] {
            assert_eq!(short(n), text);
        }
        for (n, text) in [
            (0.0, "0 B"),
            (999.0, "999 B"),
            (2048.0, "2.0 KiB"),
            (67108864.0, "64.0 MiB"),
        ] {
            assert_eq!(bytes(n), text);
        }
        for (n, text) in [
            (16e-6, "16 µs"),
            (0.25, "250.0 ms"),
            (61.0, "1 min 1 s"),
            (90_000.0, "1 d 1 h"),
        ] {
            assert_eq!(time(n), text);
        }
    }
}
