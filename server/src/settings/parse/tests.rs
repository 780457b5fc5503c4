use super::*;

#[test]
fn sizes() {
    let table: &[(&str, Option<usize>)] = &[
        ("0", Some(0)),
        ("67108864", Some(64 << 20)),
        ("64b", Some(64)),
        ("64k", Some(64 << 10)),
        ("64m", Some(64 << 20)),
        ("64MB", Some(64 << 20)),
        ("48MiB", Some(48 << 20)),
        ("48 MiB", Some(48 << 20)),
        ("1g", Some(1 << 30)),
        ("1GiB", Some(1 << 30)),
        ("64Ki", Some(64 << 10)),
        ("64Mi", Some(64 << 20)),
        ("500M", Some(500 << 20)),
        ("1Gi", Some(1 << 30)),
        ("2Ti", Some(2 << 40)),
        ("64i", None),
        ("64Mii", None),
        ("", None),
        ("m", None),
        ("-1", None),
        ("1.5g", None),
        ("12q", None),
        ("64mm", None),
        ("99999999999999999999", None),
        ("99999999999999999g", None),
    ];
    for &(text, expected) in table {
        assert_eq!(parse_size("--memory", text).ok(), expected, "{text:?}");
    }
}

#[test]
fn timeouts() {
    let table: &[(&str, Option<u64>)] = &[
        ("10", Some(10_000)),
        ("10s", Some(10_000)),
        ("250ms", Some(250)),
        ("5m", Some(300_000)),
        ("24h", Some(86_400_000)),
        ("25h", None),
        ("0", None),
        ("", None),
        ("s", None),
        ("10 s", None),
        ("-1", None),
    ];
    for &(text, expected) in table {
        let expected = expected.map(Duration::from_millis);
        assert_eq!(
            parse_timeout("--drain-timeout", text).ok(),
            expected,
            "{text:?}"
        );
    }
}

#[test]
fn a_refusal_is_a_sentence_with_setting_value_and_range() {
    let refused = parse_count("--workers", "many", 1, 256).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "--workers \"many\" is not a whole number in range: 1 to 256 work"
    );
    assert_eq!(
        refused.given_by("FLAGSTONE_WORKERS").to_string(),
        "FLAGSTONE_WORKERS (--workers) \"many\" is not a whole number in range: 1 to 256 work"
    );
}
