use super::*;

#[test]
fn times() {
    for (seconds, text) in [
        (0, "1970-01-01T00:00:00.120Z"),
        (951_782_399, "2000-02-28T23:59:59.120Z"),
        (951_782_400, "2000-02-29T00:00:00.120Z"),
        (1_709_251_200, "2024-03-01T00:00:00.120Z"),
        (1_795_375_486, "2026-11-22T19:24:46.120Z"),
        (4_107_542_399, "2100-02-28T23:59:59.120Z"),
        (4_107_542_400, "2100-03-01T00:00:00.120Z"),
    ] {
        let time = Timespec {
            tv_sec: seconds,
            tv_nsec: 120_999_999,
        };
        assert_eq!(Calendar(time).to_string(), text);
    }
}

fn told(format: LogFormat, level: Level, message: &str) -> String {
    told_with(format, level, message, &NOTHING)
}

fn told_with(format: LogFormat, level: Level, message: &str, fields: &dyn kv::Source) -> String {
    let mut line = Line::default();
    let epoch = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let _ = match format {
        LogFormat::Plain => plain(&mut line, level, &format_args!("{message}")),
        LogFormat::Json => json(
            &mut line,
            "",
            level,
            &format_args!("{message}"),
            fields,
            epoch,
        ),
    };
    String::from_utf8(line.end().to_vec()).expect("text")
}

#[test]
fn lines() {
    use LogFormat::{Json, Plain};
    assert_eq!(told(Plain, Level::Info, "hello"), "flagstone: hello\n");
    assert_eq!(
        told(Plain, Level::Warn, "two\nlines"),
        "flagstone: warning: two lines\n"
    );
    assert_eq!(
        told(Json, Level::Warn, "\"a\"\\\n\u{1b}ß"),
        "{\"time\":\"1970-01-01T00:00:00.000Z\",\"level\":\"warn\",\
         \"message\":\"\\\"a\\\"\\\\\\n ß\"}\n"
    );
    let fields = [
        ("clients", Value::from(3)),
        ("why", Value::from("\"SIGTERM\"\n")),
        ("is_late", Value::from(true)),
    ];
    let long = "v".repeat(LINE_BYTES_MAX);
    let more = [
        ("a", Value::from(1)),
        ("long", Value::from(&*long)),
        ("b", Value::from(2)),
    ];
    for (fields, written) in [
        (
            &fields[..],
            r#","clients":3,"why":"\"SIGTERM\"\n","is_late":true}"#,
        ),
        // What has no room is left out, what has some is not.
        (&more[..], r#","a":1,"b":2}"#),
    ] {
        let line = told_with(Json, Level::Info, "m", &fields);
        assert!(
            line.ends_with(&format!("\"message\":\"m\"{written}\n")),
            "{line}"
        );
    }
    for format in [Plain, Json] {
        let long = told(format, Level::Info, &"ß\"".repeat(2000));
        assert!((1000..=MESSAGE_BYTES_MAX + 4).contains(&long.len()));
        assert!(long.ends_with(if format == Json { "\"}\n" } else { "\n" }));
    }
}

#[test]
fn too_many_are_left_out_and_counted() {
    let mut rate = Rate {
        left: BURST,
        filled_nanos: 0,
        left_out: 0,
    };
    let told = (0..BURST + 50).filter(|_| rate.take(1).is_some()).count();
    assert_eq!(told as u64, BURST);
    assert_eq!(rate.take(1_000_000_000), Some(50));
    let more = (0..50).filter(|_| rate.take(1_000_000_001).is_some());
    assert_eq!(more.count() as u64, PER_SECOND - 1);
}
