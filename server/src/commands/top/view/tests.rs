//! What is on screens of all sizes.

use super::super::screen::text;
use super::*;

/// A page of a busy server: many commands in three protocols, many classes.
fn page(step: u32) -> Page {
    let mut of = String::from(
        "flagstone_stage{stage=\"ready\"} 1\nflagstone_build_info{version=\"0.1.0\"} 1\n\
         flagstone_uptime_seconds 93784\nflagstone_workers 2\nflagstone_connections 9990\n\
         flagstone_connections_allowed 10000\nflagstone_memory_bytes 67108864\nflagstone_page_bytes 8192\n\
         flagstone_pages{state=\"items\"} 5000\nflagstone_pages{state=\"free\"} 100\n\
         flagstone_cgroup_limit_bytes 67108864\nflagstone_cgroup_usage_bytes 67000000\n\
         flagstone_login_failures_total 99\nflagstone_items 123456\n",
    );
    for (no, protocol) in ["native", "memcached", "resp"].iter().enumerate() {
        for command in ["get", "set", "delete", "touch", "count", "other"] {
            let count = step * (no as u32 + 1) * 1000;
            of += &format!(
                "flagstone_request_duration_seconds_bucket{{protocol=\"{protocol}\",command=\"{command}\",le=\"0.001\"}} {count}\n\
                 flagstone_request_duration_seconds_count{{protocol=\"{protocol}\",command=\"{command}\"}} {count}\n"
            );
        }
    }
    for class in 1..40 {
        of += &format!(
            "flagstone_class_pages{{chunk_bytes=\"{}\"}} {class}\n",
            class * 24
        );
    }
    let turned_away = step * 3;
    of += &format!("flagstone_connections_cut_total{{reason=\"turned_away\"}} {turned_away}\n");
    Page::parse(&of)
}

fn hot() -> Hot {
    let keys = (0..20).map(|no| {
        format!(
            "{{\"requests\":{},\"error\":3,\"permille\":40,\"key_bytes\":6,\"key_hash\":\"9f31c07a5be22d10\",\"key\":\"user:{no}\"}}\n",
            1000 - no
        )
    });
    Hot::parse(&keys.collect::<String>())
}

#[test]
fn hot_keys_are_below_where_there_is_room_or_stand_alone() {
    let address = SocketAddr::from(([203, 0, 113, 77], 50_000));
    let (before, now, hot) = (page(1), page(2), hot());
    for (columns, rows, keys) in [(60, 20, 8), (80, 24, 14), (120, 40, 20)] {
        let room = Room { columns, rows };
        let seen = |lower| {
            let lines = view(address, &before, &now, lower, room);
            let seen = text(&lines, usize::MAX, false);
            assert!(lines.len() <= rows, "{columns} × {rows}:\n{seen}");
            for line in seen.lines() {
                assert!(
                    line.chars().count() <= columns,
                    "{columns} × {rows}:\n{seen}"
                );
            }
            seen
        };
        let alone = seen(Lower::Hot(&hot));
        let shown = alone.matches("user:").count();
        assert!(shown >= keys && alone.contains("hot key "), "{alone}");
        assert!(
            !alone.contains("p99.9") && alone.contains("memory 64"),
            "{alone}"
        );
        let below = seen(Lower::Tables(Some(&hot)));
        assert!(
            below.contains("p99.9") && below.contains("936 B"),
            "{below}"
        );
        let shown = below.matches("user:").count();
        assert_eq!(shown, if rows >= TALL { HOT_KEYS } else { 0 }, "{below}");
        let not = seen(Lower::Hot(&Hot::Not("off (--hot-keys)")));
        assert!(not.contains("hot keys: off (--hot-keys)"), "{not}");
        assert_eq!(not.contains(KEYS), columns > 60, "{not}");
    }
}

#[test]
fn it_fits_every_screen() {
    let address = SocketAddr::from(([203, 0, 113, 77], 50_000));
    let hot = hot();
    let (before, now) = (page(1), page(2));
    for (columns, rows) in [
        (60, 20),
        (78, 24),
        (80, 25),
        (100, 30),
        (120, 40),
        (200, 60),
    ] {
        let lines = view(
            address,
            &before,
            &now,
            Lower::Tables(Some(&hot)),
            Room { columns, rows },
        );
        let seen = text(&lines, usize::MAX, false);
        let context = format!("{columns} × {rows}:\n{seen}");
        assert!(lines.len() <= rows, "{context}");
        for line in seen.lines() {
            assert!(line.chars().count() <= columns, "{context}");
        }
        for word in [
            "ready",
            "1 d 2 h",
            "turned away",
            "requests",
            "hits",
            "9990",
            "memory 64.0 MiB",
            "p99.9",
            "resp",
            "chunk",
            "936 B",
        ] {
            assert!(seen.contains(word), "no {word}: {context}");
        }
        // A screen that is large enough has everything.
        assert_eq!(seen.contains("native"), rows >= 60, "{context}");
    }
    let all = text(
        &view(address, &before, &now, Lower::Tables(Some(&hot)), Room::ALL),
        78,
        false,
    );
    assert!(
        all.contains("native") && all.contains("█") && all.lines().count() > 40,
        "{all}"
    );
}

#[test]
fn trouble_is_coloured() {
    let address = SocketAddr::from(([127, 0, 0, 1], 7172));
    let (before, now) = (page(1), page(2));
    let room = Room {
        columns: 60,
        rows: 20,
    };
    let seen = text(
        &view(address, &before, &now, Lower::Tables(None), room),
        60,
        true,
    );
    assert!(
        seen.contains("\x1b[1;31m3 connections were just turned away"),
        "{seen}"
    );
    assert!(seen.contains("\x1b[33m     9990\x1b[0m clients"), "{seen}");
    let quiet = text(
        &view(address, &now, &now, Lower::Tables(None), room),
        60,
        true,
    );
    assert!(!quiet.contains("turned away"), "{quiet}");
}
