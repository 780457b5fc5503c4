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
        preload_refused: 0,
        preload_first_refusal: None,
        began: std::time::Duration::from_secs(1_795_829_040),
        generator_cpu_ns: Some(150_000_000),
        failure: None,
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
        server_cpu_ns: None,
        server_resident_bytes: None,
        preload_refused: 0,
        preload_first_refusal: None,
        began: std::time::Duration::from_secs(1_795_829_038),
        generator_cpu_ns: None,
        failure: Some("the server is <gone>".to_owned()),
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
        server_cpu_ns: None,
        server_resident_bytes: None,
        preload_refused: 0,
        preload_first_refusal: None,
        began: std::time::Duration::from_secs(1_795_829_040),
        generator_cpu_ns: Some(150_000_000),
        failure: None,
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
