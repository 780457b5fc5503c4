//! A report's arithmetic, and that its forms say the same.

use super::*;
use crate::wire::Asked;

fn report(change: impl FnOnce(&mut Tally)) -> Report {
    let mut tally = Tally::new(4);
    for i in 1..=1000u64 {
        tally.time(Asked::Read, i * 1000);
    }
    tally.time(Asked::Write, 5_000_000);
    tally.slot(0, 600);
    tally.slot(SLOT_NS, 401);
    tally.hits = 990;
    tally.misses = 10;
    change(&mut tally);
    let measured = Measured {
        elapsed_ns: 200_000_000,
        server_cpu_ns: Some(2_002_000),
        server_resident_bytes: Some(3 << 20),
        began: std::time::Duration::from_secs(1_795_829_040),
        generator_cpu_ns: Some(150_000_000),
        ..Measured::default()
    };
    Report::new(&Settings::default(), &measured, tally)
}

#[test]
fn figures_follow_from_the_counts() {
    let report = report(|_| ());
    assert_eq!(report.requests, 1001);
    assert!((report.requests_per_second - 5005.0).abs() < 1e-6);
    let cpu_us = report.server_cpu_us_per_request.expect("given");
    assert!((cpu_us - 2.0).abs() < 1e-9);
    // Three significant digits.
    let near = |found: f64, expected: f64| (found / expected - 1.0).abs() < 0.002;
    let reads = report.reads.as_ref().expect("there were some");
    assert!(near(reads.p50, 500.0), "{}", reads.p50);
    assert!(near(reads.p99, 990.0), "{}", reads.p99);
    assert!(near(report.all.max, 5000.0), "{}", report.all.max);
    assert!(report.deletes.is_none());
    let curve = &reads.curve;
    assert!(
        curve
            .windows(2)
            .all(|w| w[0].0 < w[1].0 && w[0].1 <= w[1].1)
    );
    assert!(report.is_faultless() && report.faults().is_empty());
}

#[test]
fn misses_are_no_faults_and_everything_else_is() {
    let faults: [fn(&mut Tally); 3] = [|t| t.wrong = 1, |t| t.refused = 1, |t| t.unanswered = 1];
    for fault in faults {
        let report = report(fault);
        assert!(!report.is_faultless());
        assert_eq!(report.faults().len(), 1);
        assert!(report.table().contains("FAULT"));
    }
}

#[test]
fn a_run_that_ended_early_says_when_and_why() {
    let measured = Measured {
        elapsed_ns: 3_200_000_000,
        began: std::time::Duration::from_secs(1_795_829_038),
        ended: std::time::Duration::from_secs(1_795_829_041),
        failure: Some("the server is <gone>".to_owned()),
        ..Measured::default()
    };
    let mut tally = Tally::new(1);
    tally.time(Asked::Read, 1000);
    let report = Report::new(&Settings::default(), &measured, tally);
    assert!(!report.is_faultless());
    let words = "2026-11-28 01:24 UTC, after 3.20 s and 1 requests of 10.0 s: the server is <gone>";
    assert_eq!(report.faults(), [format!("the run ended early, {words}")]);
    assert!(report.table().contains(words));
    assert!(report.html().contains("the server is &lt;gone&gt;"));
}

#[test]
fn what_was_given_up_is_no_reply_but_has_a_latency() {
    let report = report(|tally| tally.unanswered = 401);
    assert_eq!(report.requests, 600);
    assert_eq!(report.all.count, 1001);
}

#[test]
fn json_comes_back_as_it_was() {
    let report = report(|_| ());
    let back: Report = serde_json::from_str(&report.json()).expect("our own");
    assert!(back.json() == report.json());
}

#[test]
fn the_page_stands_alone_and_escapes_the_servers_words() {
    let page = report(|tally| {
        tally.refused = 1;
        tally.first_refusal = Some("<script>x</script>".to_owned());
    })
    .html();
    assert_eq!(page.matches("<svg").count(), 3);
    assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
    assert!(!page.contains("<script") && page.contains("&lt;script&gt;"));
    for outside in ["src=", "href=", "url(", "@import"] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert!(!page.contains("NaN") && !page.contains("inf"));
}

#[test]
fn it_says_first_what_was_measured_and_when() {
    let report = report(|_| ());
    let title = "127.0.0.1:7171 in native, 2026-11-28 01:24 UTC";
    assert!(report.table().starts_with(title), "{}", report.table());
    let page = report.html();
    assert!(
        page.contains(&format!("<body>\n<p><b>{title}</b></p>")),
        "{page}"
    );
    assert!(
        page.contains("<td>hit ratio</td><td>99.00 %</td>"),
        "{page}"
    );
    // The median has a tick between those of 0 and 90.
    assert!(
        page.contains(">50</text>") && page.contains(">90</text>"),
        "{page}"
    );
    assert!(page.contains("prefers-color-scheme:dark"));
}

#[test]
fn latency_over_time_has_a_gap_where_nothing_came() {
    let report = report(|tally| {
        tally.now(3 * SLOT_NS);
        tally.time(Asked::Read, 9_000_000);
    });
    let over = &report.over_time;
    assert_eq!(over.p50.len(), 4);
    assert_eq!((over.p50[1], over.p99[2]), (None, None));
    let near = |found: Option<f64>, us: f64| found.is_some_and(|f| (f / us - 1.0).abs() < 0.03);
    assert!(
        near(over.p50[0], 500.0) && near(over.p99[0], 990.0),
        "{over:?}"
    );
    assert!(near(over.p50[3], 9000.0), "{over:?}");
    assert!(report.html().contains("Latency over time"));
    // Reports of earlier versions have none.
    let mut old: serde_json::Value = serde_json::from_str(&report.json()).expect("our own");
    old.as_object_mut().expect("a record").remove("over_time");
    let old: Report = serde_json::from_value(old).expect("reads");
    assert!(!old.html().contains("NaN") && !old.html().contains("inf"));
}

fn compared() -> Comparison {
    let mut reports = Vec::new();
    for (name, address) in [
        ("ours", "127.0.0.1:1"),
        ("<theirs>", "unix:/x"),
        ("third", "127.0.0.1:3"),
    ] {
        let mut one = report(|_| ());
        one.name = name.to_owned();
        one.settings.address = address.to_owned();
        one.settings.rounds = 2;
        one.rounds = vec![5100.0, 4900.0];
        reports.push(one);
    }
    reports[1].requests_per_second /= 2.0;
    reports[1].all.p99 *= 3.0;
    reports[1].generator_busy = Some(0.99);
    Comparison::new(reports)
}

#[test]
fn servers_stand_beside_one_another() {
    let comparison = compared();
    let table = comparison.table();
    let title = "ours (127.0.0.1:1) in native, <theirs> (unix:/x) in native and third (127.0.0.1:3) in native, side \
                 by side, 2026-11-28 01:24 UTC\none server at a time, in turn: 2 rounds, 10 s of each server;";
    assert!(table.starts_with(title), "{table}");
    let cells = |name: &str| -> Vec<&str> {
        let line = table.lines().find(|line| line.starts_with(name));
        line.expect(name)[name.len()..].split_whitespace().collect()
    };
    assert_eq!(
        cells("requests a second"),
        ["5,005", "2,502", "0.50×", "5,005", "1.00×"]
    );
    assert_eq!(cells("slowest round"), ["4,900"; 3]);
    assert_eq!(cells("fastest round"), ["5,100"; 3]);
    assert_eq!(cells("p99 ")[3..], ["ms", "3.00×", "991.2", "µs", "1.00×"]);
    assert_eq!(
        cells("hit ratio"),
        ["99.00", "%", "99.00", "%", "99.00", "%"]
    );
    let first = table
        .lines()
        .position(|line| line.starts_with("protocol"))
        .expect("a row");
    let head = table.lines().nth(first - 1).expect("a head");
    assert_eq!(
        head.split_whitespace().collect::<Vec<_>>(),
        ["ours", "<theirs>", "third"]
    );
    assert!(
        table.contains("NOTE: <theirs>: the generator worked 99 %"),
        "{table}"
    );
    // What no server has is no row.
    assert!(
        !table.contains("refused") && !table.contains("ended early"),
        "{table}"
    );

    let list: Vec<Report> = serde_json::from_str(&comparison.json()).expect("our own");
    assert_eq!(
        list.iter().map(|r| r.name.as_str()).collect::<Vec<_>>(),
        ["ours", "<theirs>", "third"]
    );
    assert_eq!(list[2].rounds, [5100.0, 4900.0]);
}

#[test]
fn the_page_of_several_has_a_curve_for_each() {
    let page = compared().html();
    assert!(
        page.contains("<body>\n<p><b>ours (127.0.0.1:1) in native, &lt;theirs&gt; "),
        "{page}"
    );
    assert_eq!(page.matches("<svg").count(), 3);
    // Each plot has three curves and three entries of the legend, no two of one stroke.
    assert_eq!(page.matches("<polyline").count(), 9);
    assert_eq!(page.matches("<path").count(), 9);
    for dash in ["stroke-dasharray=\"9 6\"", "stroke-dasharray=\"1 5\""] {
        assert_eq!(page.matches(dash).count(), 6, "{dash}");
    }
    assert!(page.contains(">50</text>") && page.contains("prefers-color-scheme:dark"));
    assert!(!page.contains("<theirs>") && !page.contains("NaN") && !page.contains("inf"));
    for outside in ["src=", "href=", "url(", "@import", "<script"] {
        assert!(!page.contains(outside), "{outside}");
    }
}

#[test]
fn a_server_that_ended_early_is_marked() {
    let mut comparison = compared();
    comparison.reports[2] = Report {
        name: "third".to_owned(),
        ..Report::new(
            &Settings::default(),
            &Measured {
                elapsed_ns: 1,
                failure: Some("it is gone".to_owned()),
                ..Measured::default()
            },
            Tally::new(0),
        )
    };
    let (table, page) = (comparison.table(), comparison.html());
    assert!(
        table.contains("FAULT: third: the run ended early, "),
        "{table}"
    );
    let row = table
        .lines()
        .find(|line| line.starts_with("ended early"))
        .expect("a row");
    assert_eq!(
        row.split_whitespace().collect::<Vec<_>>()[2..],
        ["-", "-", "after", "0.0", "s"]
    );
    assert!(page.contains("<th class=\"fault\">third</th>"), "{page}");
    assert!(!page.contains("NaN") && !page.contains("inf"), "{page}");
}

#[test]
fn rounds_lie_behind_one_another() {
    let mut sum = Tally::new(0);
    for round in 0..3 {
        let mut tally = Tally::behind(round * 5 * SLOT_NS, 4);
        tally.now(SLOT_NS);
        tally.time(Asked::Read, 2_000_000);
        tally.slot(SLOT_NS, 7);
        sum.add(tally);
    }
    let report = Report::new(
        &Settings::default(),
        &Measured {
            elapsed_ns: 1_500_000_000,
            ..Measured::default()
        },
        sum,
    );
    let replies = &report.throughput.replies;
    assert_eq!(replies.len(), 12);
    assert!([1, 6, 11].iter().all(|&at| replies[at] == 7), "{replies:?}");
    let known: Vec<_> = (0..12)
        .filter(|&at| report.over_time.p50[at].is_some())
        .collect();
    assert_eq!(known, [1, 6, 11]);
}

#[test]
fn dates() {
    for (second, text) in [
        (0, "1970-01-01 00:00 UTC"),
        (951_782_399, "2000-02-28 23:59 UTC"),
        (951_782_400, "2000-02-29 00:00 UTC"),
        (1_709_251_200, "2024-03-01 00:00 UTC"),
        (4_107_542_400, "2100-03-01 00:00 UTC"),
    ] {
        assert_eq!(date(second), text);
    }
}

#[test]
fn a_generator_without_a_rest_is_told_of() {
    let calm = report(|_| ());
    assert_eq!(calm.generator_busy, Some(0.75));
    assert!(calm.warnings().is_empty());
    let busy = Report {
        generator_busy: Some(0.97),
        ..calm
    };
    assert!(busy.is_faultless());
    assert!(
        busy.table()
            .contains("NOTE: the generator worked 97 % of its time")
    );
    assert!(busy.html().contains("class=\"note\""));
}

#[test]
fn an_empty_run_has_a_report() {
    let measured = Measured {
        elapsed_ns: 1,
        began: std::time::Duration::from_secs(1_795_829_040),
        generator_cpu_ns: Some(150_000_000),
        ..Measured::default()
    };
    let report = Report::new(&Settings::default(), &measured, Tally::new(0));
    assert_eq!(report.requests, 0);
    assert!(!report.html().contains("NaN") && !report.table().contains("NaN"));
}

#[test]
fn numbers_are_grouped() {
    for (number, text) in [
        (0, "0"),
        (999, "999"),
        (1000, "1,000"),
        (1_234_567, "1,234,567"),
    ] {
        assert_eq!(grouped(number), text);
    }
    assert_eq!(time_text(12.34), "12.3 µs");
    assert_eq!(time_text(12_340.0), "12.34 ms");
    assert_eq!(time_text(12_340_000.0), "12.34 s");
}
