//! What the explorer does to a cache.

use super::{Explorer, name, value};
use crate::{Attributes, CasWish, Condition, Deadline, Side, Tick, Visit};

/// One operation of those that there are, chosen by a number.
pub(super) fn operate(explorer: &mut Explorer, round: usize) {
    let number = explorer.random(90);
    let database = if number.is_multiple_of(11) {
        1 + number % 3
    } else {
        0
    };
    let mut bytes = name(number);
    if number.is_multiple_of(13) {
        bytes.resize(251 + number * 5, b'/');
    }
    let len = [1, 10, 40, 60, 200, 900, 3000, 5000, 9000][explorer.random(9)];
    let keys = [(database, bytes.clone())];
    let attributes = Attributes {
        client_flags: if round.is_multiple_of(3) {
            number as u32
        } else {
            0
        },
        deadline: match round % 4 {
            0 => Deadline::at(Tick::from_secs(1000 + round as u64)),
            1 => Deadline::exact(Tick::from_millis(900_001 + round as u64)),
            _ => Deadline::NEVER,
        },
    };
    let chosen = explorer.random(16);
    let next = value(round, len);
    macro_rules! step {
        ($what:literal, |$cache:ident, $key:ident, $now:ident| $work:expr) => {
            explorer.step(&keys, $what, |$cache, $now| {
                let $key = $cache.key_in(database, &bytes).unwrap();
                let _ = $work;
            })
        };
    }
    match chosen {
        0 => {
            // The second is as long as the first: it is written where that lies.
            for next in [round, round + 1].map(|round| value(round, 8 + len % 100)) {
                step!("put over", |cache, key, now| {
                    let mut spot = cache.prefetch(key);
                    cache.prefetch_item(key, &mut spot);
                    cache.put_at(key, &spot, &next, attributes.client_flags, now)
                });
            }
        }
        1..=4 => step!("put", |cache, key, now| cache
            .put(key, &next, attributes, now)),
        5 => step!("delete", |cache, key, now| cache.delete(key, now)),
        6 => step!("append", |cache, key, now| {
            let reserved = cache.reserve(key, len, Attributes::default(), now);
            reserved.map(|mut reservation| {
                reservation.write(&next, now).unwrap();
                reservation.commit_extending(Side::Behind, None, true, now)
            })
        }),
        7 => step!("prepend", |cache, key, now| {
            let reserved = cache.reserve(key, 5, Attributes::default(), now);
            reserved.map(|mut reservation| {
                reservation.write(b"front", now).unwrap();
                reservation.commit_extending(Side::Before, None, true, now)
            })
        }),
        8 => step!("touch", |cache, key, now| {
            let visit = Visit {
                touch: Some(attributes.deadline),
                ..Visit::default()
            };
            cache
                .visit(key, &visit, now, &mut [0; 64], 64, |_, _| Some(0))
                .map(drop)
        }),
        9 => step!("cas", |cache, key, now| {
            let visit = Visit {
                cas: CasWish::Next,
                note: round.is_multiple_of(2),
                ..Visit::default()
            };
            cache
                .visit(key, &visit, now, &mut [0; 64], 64, |_, _| Some(0))
                .map(drop)
        }),
        10 => step!("create", |cache, key, now| {
            let visit = Visit {
                create: Some(attributes.deadline),
                ..Visit::default()
            };
            cache
                .visit(key, &visit, now, &mut [0; 64], 64, |_, _| Some(0))
                .map(drop)
        }),
        11 => step!("reserve", |cache, key, now| {
            cache
                .reserve(key, len, attributes, now)
                .map(|mut reservation| {
                    for part in next.chunks(700) {
                        reservation.write(part, now).unwrap();
                    }
                    reservation.commit(Condition::Always, now)
                })
        }),
        12 => step!("pin", |cache, key, now| {
            let pin = cache.pin(key, now);
            let _ = cache.put(key, &next, attributes, now);
            drop(pin);
        }),
        13 => step!("maintain", |cache, key, now| {
            let _ = key;
            cache.maintain(now, 1000)
        }),
        14 => step!("resize", |cache, key, now| {
            let _ = key;
            let all = cache.plan().page_count();
            cache.resize(all - round % 8, 8, now).unwrap();
            cache.resize(all, 8, now)
        }),
        _ => step!("hit", |cache, key, now| {
            let mut out = vec![0; 64 << 10];
            cache.get(key, now, &mut out)
        }),
    }
}
