//! Goal: the load notices every kind of wrong server; a suite that cannot fail proves nothing.
//! Method: a small storm against the reference server, once honest, once with each lie.

use flagstone_memtests::load::{Abuse, Fault, HitsExpected, Tally, run};
use flagstone_memtests::quiet;
use flagstone_memtests::reference::{Lie, serve};
use flagstone_memtests::value::Wrong;
use std::time::Duration;

fn storm(lie: Lie) -> Tally {
    let limit_bytes = 8 << 20;
    let addr = serve(limit_bytes, lie).expect("the reference server listens");
    let abuse = Abuse {
        fill_times: 4,
        hot_keys: 64,
        storm: Duration::from_millis(300),
        // Only the mute server makes the load wait for its end.
        deadline: Duration::from_secs(if lie == Lie::Mute { 2 } else { 20 }),
        patience: Duration::from_secs(if lie == Lie::Mute { 1 } else { 10 }),
        ..Abuse::of(limit_bytes as u64, 336)
    };
    run(addr, &abuse).expect("the load has sockets")
}

// The reference evicts in the order of arrival, so its hot keys go with the rest.
const HITS: HitsExpected = HitsExpected {
    hot: 0.0,
    newest: 0.95,
    large: 0.8,
};

#[test]
fn an_honest_server_passes() {
    let _quiet = quiet();
    let tally = storm(Lie::Honest);
    tally.verdict(HITS).expect("an honest server has no faults");
    // What was written last is counted in bytes: a few long values among it make the keys few.
    assert!(
        tally.newest.gets > 30 && tally.large.gets > 0 && tally.any.hits > 0 && tally.hot.gets > 0,
        "{tally:?}"
    );
    assert!(
        tally.written_bytes >= 32 << 20 && tally.connections_peak >= 136,
        "{tally:?}"
    );
}

#[test]
fn each_lie_is_caught() {
    let _quiet = quiet();
    type Check = fn(&Fault) -> bool;
    let table: &[(Lie, Check)] = &[
        (Lie::Corrupt, |fault| {
            matches!(
                fault,
                Fault::Value {
                    wrong: Wrong::Body { .. },
                    ..
                }
            )
        }),
        (Lie::Torn, |fault| {
            matches!(
                fault,
                Fault::Value {
                    wrong: Wrong::Body { .. },
                    ..
                }
            )
        }),
        (Lie::Short, |fault| {
            matches!(
                fault,
                Fault::Value {
                    wrong: Wrong::Head,
                    ..
                }
            )
        }),
        (Lie::Foreign, |fault| {
            matches!(
                fault,
                Fault::Value {
                    wrong: Wrong::Foreign { .. },
                    ..
                }
            )
        }),
        (Lie::LostUpdate, |fault| {
            matches!(fault, Fault::Stale { .. })
        }),
        (Lie::HalfStored, |fault| {
            matches!(fault, Fault::Invented { .. })
        }),
        (Lie::Refusing, |fault| {
            matches!(fault, Fault::Refused { .. })
        }),
        (Lie::Twice, |fault| {
            matches!(
                fault,
                Fault::Refused { .. } | Fault::Unasked { .. } | Fault::Value { .. }
            )
        }),
        (Lie::HangingUp, |fault| {
            matches!(fault, Fault::Closed { .. })
        }),
    ];
    for &(lie, expected) in table {
        let tally = storm(lie);
        let Err(error) = tally.verdict(HITS) else {
            panic!("{lie:?} passed: {tally:?}")
        };
        assert!(
            tally.faults.iter().any(expected),
            "{lie:?} was caught as something else: {error}"
        );
    }
}

#[test]
fn what_is_forgotten_shows_in_the_ratio() {
    let _quiet = quiet();
    let tally = storm(Lie::Forgetful);
    assert_eq!(tally.fault_count, 0, "{tally:?}");
    let error = tally
        .verdict(HITS)
        .expect_err("every fifth new key was dropped");
    assert!(error.contains("keys written last"), "{error}");
}

#[test]
fn a_request_without_an_answer_is_not_waited_for_forever() {
    let _quiet = quiet();
    let tally = storm(Lie::Mute);
    let seen = |fault: &Fault| {
        matches!(
            fault,
            Fault::Unanswered { .. } | Fault::Late { .. } | Fault::Refused { .. }
        )
    };
    assert!(tally.faults.iter().any(seen), "{tally:?}");
}
