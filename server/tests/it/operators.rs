//! Goal: the alerts and the dashboard of `packaging/` speak of what `/metrics` says. Method: a server that has all there
//! is to tell (a container's limit, TLS) is scraped, and every metric and every label that the files name has to be on
//! that page; `promtool` reads each expression and plays the alerts' own test cases.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::Command;

use serde_json::Value;

use super::budget::Root;
use crate::common::tls::{self, Pair};
use crate::common::tool::{self, root};
use crate::common::{self, PATIENCE, http, start_with};
use flagstone_server::Config;

const RULES: &str = "packaging/prometheus/flagstone.rules.yaml";
const CASES: &str = "packaging/prometheus/flagstone.rules.test.yaml";
const DASHBOARD: &str = "packaging/grafana/flagstone.json";

fn file(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The page of a server that has been asked something, in both ways.
fn everything() -> String {
    let pair = Pair::new("operators");
    let place = Root::new("operators", 64);
    let server = start_with(Config {
        listen: ["127.0.0.1:0", "tls:127.0.0.1:0"]
            .map(|place| place.parse().expect("a place"))
            .into(),
        admin: Some(([127, 0, 0, 1], 0).into()),
        tls_cert: Some(pair.cert.clone()),
        tls_key: Some(pair.key.clone()),
        tls_connections_max: 4,
        ..place.config(64)
    });
    let secret = server.local_addrs().nth(1).expect("two places");
    let mut client = tls::connect(secret, &pair.der).expect("a handshake");
    client.write_all(b"PUT a 1\nGET a\nGET b\n").expect("sends");
    let mut replies = BufReader::new(client).lines();
    for expected in ["OK", "1", "NOTFOUND"] {
        let reply = replies.next().expect("a reply").expect("readable");
        assert_eq!(reply, expected);
    }
    let admin = server.admin_addr().expect("has one");
    let is_told = |page: &str| page.contains("flagstone_class_pages{");
    common::wait_until("the store is told", || {
        is_told(&http::get(admin, "/metrics").body)
    });
    http::get(admin, "/metrics").body
}

/// The names of metrics in a text, each with what stands in braces behind it.
fn metrics_in(text: &str) -> Vec<(&str, &str)> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(is_name) {
        rest = &rest[at..];
        let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
        let (name, behind) = rest.split_at(end);
        if name.starts_with("flagstone_") || name.starts_with("process_") {
            let labels = behind.strip_prefix('{').and_then(|it| it.split_once('}'));
            found.push((name, labels.map_or("", |(labels, _)| labels)));
        }
        rest = behind;
    }
    found
}

/// What `text` names and `page` does not have.
fn missing(text: &str, page: &str) -> Vec<String> {
    let samples: Vec<&str> = page.lines().filter(|line| !line.starts_with('#')).collect();
    let mut missing = Vec::new();
    for (name, labels) in metrics_in(text) {
        // A label with a given value; `=~` and `!=` are for several.
        let given = labels.split(',').filter(|label| label.contains("=\""));
        let given: Vec<&str> = given.filter(|label| !label.contains("!=")).collect();
        let is_there = samples.iter().any(|sample| {
            let labels = sample.strip_prefix(name);
            labels.is_some_and(|labels| {
                labels.starts_with(['{', ' ']) && given.iter().all(|label| labels.contains(label))
            })
        });
        if !is_there {
            missing.push(format!("{name}{{{labels}}}"));
        }
    }
    missing
}

/// Every expression of the dashboard, with words in place of Grafana's own.
fn expressions(of: &Value, into: &mut BTreeSet<String>) {
    match of {
        Value::Object(members) => {
            for (name, member) in members {
                match member.as_str().filter(|_| name == "expr") {
                    Some(expr) => drop(into.insert(expr.replace("$__rate_interval", "5m"))),
                    None => expressions(member, into),
                }
            }
        }
        Value::Array(all) => all.iter().for_each(|one| expressions(one, into)),
        _ => {}
    }
}

#[test]
fn what_alerts_and_dashboard_name_is_on_the_page_of_metrics() {
    let page = everything();
    let rules: String = file(RULES)
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| format!("{line}\n"))
        .collect();
    assert!(metrics_in(&rules).len() >= 15);
    assert_eq!(missing(&rules, &page), Vec::<String>::new(), "{RULES}");
    let board: Value = serde_json::from_str(&file(DASHBOARD)).expect("JSON");
    let mut all = BTreeSet::new();
    expressions(&board, &mut all);
    assert!(all.len() >= 30, "{all:?}");
    for expr in &all {
        assert!(expr.contains("instance=~\"$instance\""), "{expr}");
        assert_eq!(missing(expr, &page), Vec::<String>::new(), "{expr}");
    }
    let variables = board["templating"]["list"].to_string();
    assert_eq!(missing(&variables, &page), Vec::<String>::new());
    // The check itself sees what is not there.
    for wrong in [
        "rate(flagstone_get_total[5m])",
        "flagstone_gets_total{result=\"hot\"}",
        "flagstone_request_duration_seconds",
        "sum(process_ram_bytes)",
    ] {
        assert_eq!(missing(wrong, &page).len(), 1, "{wrong}");
    }
}

#[test]
fn panels_have_numbers_of_their_own_and_do_not_overlap() {
    let board: Value = serde_json::from_str(&file(DASHBOARD)).expect("JSON");
    let panels = board["panels"].as_array().expect("panels");
    let mut numbers = BTreeSet::new();
    let mut cells = BTreeSet::new();
    for panel in panels {
        assert!(numbers.insert(panel["id"].as_u64().expect("a number")));
        let place = |side: &str| panel["gridPos"][side].as_u64().expect("a place");
        assert!(place("x") + place("w") <= 24, "{}", panel["title"]);
        for x in place("x")..place("x") + place("w") {
            for y in place("y")..place("y") + place("h") {
                assert!(cells.insert((x, y)), "{} overlaps", panel["title"]);
            }
        }
    }
}

#[test]
fn promtool_plays_a_case_of_each_alert_and_reads_the_dashboard() {
    let test = "promtool_plays_a_case_of_each_alert_and_reads_the_dashboard";
    if tool::find("promtool").is_none() {
        return tool::skip(
            test,
            "promtool is not installed (apt-get install prometheus)",
        );
    }
    let promtool = |arguments: &[&str]| {
        let mut command = Command::new("promtool");
        tool::succeed(command.args(arguments).current_dir(root()), PATIENCE)
    };
    promtool(&["check", "rules", RULES]);
    promtool(&["test", "rules", CASES]);
    let cases = file(CASES);
    let rules = file(RULES);
    for alert in rules.lines().filter_map(|line| {
        line.trim_start()
            .strip_prefix("- alert: ")
            .map(|name| format!("alertname: {name}\n        exp_alerts:"))
    }) {
        // Once it fires, once it does not.
        assert!(cases.contains(&format!("{alert}\n")), "{alert}");
        assert!(cases.contains(&format!("{alert} []\n")), "{alert}");
    }
    let mut all = BTreeSet::new();
    let board = serde_json::from_str(&file(DASHBOARD)).expect("JSON");
    expressions(&board, &mut all);
    let mut text = "groups:\n- name: dashboard\n  rules:\n".to_owned();
    for (no, expr) in all.iter().enumerate() {
        let expr = Value::from(expr.as_str());
        text += &format!("  - record: panel:{no}\n    expr: {expr}\n");
    }
    let name = format!("flagstone-dashboard-{}.yaml", std::process::id());
    let path = std::env::temp_dir().join(name);
    fs::write(&path, text).expect("writable");
    promtool(&["check", "rules", path.to_str().expect("text")]);
    let _ = fs::remove_file(&path);
}
