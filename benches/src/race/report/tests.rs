//! The page, of figures that were made up.

use super::*;
use crate::race::shape::Rate;
use crate::race::subject::{Kind, subjects};
use crate::race::table::groups;
use crate::race::workers::Workers;
use flagstone_bench::wire::Protocol;
use std::path::Path;
use std::time::Duration;

/// Flagstone against a floor and a redis: within the target in the first shape, beaten by
/// redis in the second, absent in the third.
fn results() -> Results {
    let none = Path::new("/none");
    let subjects: Vec<Subject> = [
        (Kind::Echo("tokio"), Protocol::Native),
        (Kind::Flagstone, Protocol::Native),
        (Kind::Redis, Protocol::Resp),
    ]
    .into_iter()
    .flat_map(|(kind, protocol)| subjects(kind, none, &[protocol]))
    .collect();
    let sample = |cpu_us| {
        Some(Sample {
            cpu_us,
            per_second: 1e6 / cpu_us,
            p50_us: 100.0,
            p99_us: 200.0,
            p999_us: 100.0 * cpu_us,
            hit_ratio: None,
            resident_bytes: None,
        })
    };
    let rounds = [
        vec![sample(5.0), sample(5.2), sample(7.0)],
        vec![sample(0.2), sample(1.2), sample(1.0)],
        vec![sample(0.2), None, sample(1.0)],
    ];
    let rows = groups(false)
        .remove(0)
        .shapes
        .into_iter()
        .zip(rounds)
        .map(|(shape, round)| Row {
            shape,
            rounds: vec![round],
        });
    let memory = Memory {
        start_bytes: Some(3 << 20),
        idle_bytes: Some(vec![545.0, 1545.0]),
        held: vec![
            Some(Held {
                items: 1000,
                refused: 0,
                resident_bytes: 100_000,
            }),
            None,
        ],
    };
    Results {
        rows: rows.collect(),
        subjects,
        memtier: Vec::new(),
        workers: [
            ("GET, pipeline 1, workers", true, 5.0, 5.1),
            ("SET, pipeline 16, workers", true, 0.5, 1.0),
            ("GET, pipeline 16, workers", false, 1.0, 0.5),
        ]
        .map(|(name, is_alone, one, two)| Workers {
            name: name.to_owned(),
            is_alone,
            rounds: vec![(one, two)],
        })
        .into(),
        memory: vec![(1, memory)],
        memory_mib: 64,
        instructions: parse_instructions(
            "# x\ncompiler = \"rustc 1\"\ntolerance_percent = 3\nget_p1 = 1501\nget_p32 = 560\n",
        ),
        failures: vec!["flagstone native, GET, pipeline 32: no words".to_owned()],
        facts: vec![("date", "2026-11-22".to_owned())],
        commands: vec!["flagstone --listen 127.0.0.1:PORT".to_owned()],
    }
}

#[test]
fn the_page_says_what_was_met_missed_and_lost() {
    let page = markdown(&results(), "results.svg");
    for line in [
        "| GET, pipeline 1 | native | echo on bare tokio | 1.04 | 1.05 | met |",
        "| GET, pipeline 16 | native | the best of redis, valkey, pogocache | 1.20 | 0.48 | **missed** |",
        "| GET, pipeline 16 | meta | the best of redis, valkey, pogocache | – | 0.48 | not measured |",
        "| GET, pipeline 32 | native | the best of redis, valkey, pogocache | – | 0.42 | not measured |",
        "- GET, pipeline 16: 1.20 × the CPU time of redis",
        "| GET, pipeline 16 (lost) | 0.200 (0.200–0.200) | **1.20 (1.20–1.20)** | 1.00 (1.00–1.00) |",
        "| flagstone native | 3.0 MiB | 545 | 1,545 | 1,000 | 0.1 MiB | 100.0 | – | – | – |",
        "| get_p1 | 1,501 | 1,500 | **missed** |",
        "| get_p32 | 560 | 560 | met |",
        "| GET, pipeline 1, workers | 5.00 | 5.10 | 0.98 | met |",
        "| SET, pipeline 16, workers | 0.500 | 1.00 | 0.50 | **missed** |",
        "| GET, pipeline 16, workers | 1.00 | 0.500 | 2.00 | not judged: no core of its own |",
        "- date: 2026-11-22",
        "- flagstone native, GET, pipeline 32: no words",
    ] {
        assert!(page.contains(line), "no {line:?} in:\n{page}");
    }
    assert!(!page.contains("- GET, pipeline 1:"), "that was won");
}

#[test]
fn tables_are_as_wide_as_their_heads() {
    let page = markdown(&results(), "results.svg");
    let mut width = None;
    for line in page.lines() {
        let count = line.matches('|').count();
        if count == 0 {
            width = None;
            continue;
        }
        assert_eq!(*width.get_or_insert(count), count, "{line}");
    }
}

#[test]
fn the_plot_has_a_bar_for_each_figure() {
    let svg = plot(&results());
    assert_eq!(svg.matches("<rect").count(), 1 + 3 + 8);
}

#[test]
fn hit_ratios_stand_beside_what_a_request_cost() {
    let mut results = results();
    assert!(!markdown(&results, "").contains("Hit ratio"), "none missed");
    for (at, hit_ratio) in [(1, 0.75), (2, 0.5)] {
        let sample = results.rows[0].rounds[0][at].as_mut().expect("measured");
        sample.hit_ratio = Some(hit_ratio);
        sample.resident_bytes = Some(60 << 20);
    }
    let page = markdown(&results, "");
    let line = "| GET, pipeline 1 | – | **75.0 %, 60 MiB** | 50.0 %, 60 MiB |";
    assert!(page.contains(line), "{page}");
}

/// A row of a fixed rate is no row of the other tables.
#[test]
fn fixed_rates_have_a_table_of_their_own() {
    let mut results = results();
    results.rows[1].shape.timed = Some((Rate::Fixed(40_000), Duration::from_secs(1)));
    let page = markdown(&results, "");
    for line in [
        "| GET, pipeline 16 | 100 / 200 / 20 | **100 / 200 / 120** | 100 / 200 / 100 |",
        "| GET, pipeline 16: p99 | native | the best of others' | 1.00 | 1.00 | met |",
        "| GET, pipeline 16: p99.9 | native | the best of others' | 1.20 | 1.00 | **missed** |",
    ] {
        assert!(page.contains(line), "no {line:?} in:\n{page}");
    }
    assert!(!page.contains("(1.20–1.20)"), "no CPU time");
    assert_eq!(plot(&results).matches("<rect").count(), 1 + 3 + 5);
}

#[test]
fn another_generator_has_a_table_of_its_own() {
    let mut results = results();
    results.memtier = vec![results.rows.remove(0)];
    let page = markdown(&results, "");
    let line = "| GET, pipeline 1 | 5.00 (5.00–5.00) | **5.20 (5.20–5.20)** | 7.00 (7.00–7.00) |";
    let at = page.find(line).expect("a row");
    let head = page.find("## Cross-check").expect("a table");
    assert!(head < at, "{page}");
    assert_eq!(page.matches("| GET, pipeline 1 |").count(), 1, "no target");
}
