use super::*;

fn config(memory_bytes: usize, connections_max: usize, workers: usize) -> Config {
    Config {
        admin: Some(([127, 0, 0, 1], 0).into()),
        memory_bytes,
        connections_max,
        workers,
        ..Config::default()
    }
}

#[test]
fn the_addends_sum_to_the_memory() {
    for (memory, connections, workers) in [
        (32 << 20, 1000, 1),
        (64 << 20, 10_000, 2),
        (256 << 20, 10_000, 4),
        (1 << 30, 10_000, 16),
        ((256 << 20) + 12_345, 17, 3),
    ] {
        let plan = ServerPlan::new(&config(memory, connections, workers), 0).expect("it fits");
        assert_eq!(sum(plan.lines()), memory);
        assert!(plan.worker.slot_count * workers >= connections);
        assert!(plan.transfers.long_bytes >= plan.engine.item_bytes_max());
    }
}

#[test]
fn too_little_memory_is_refused_with_the_least_that_works() {
    let small = config(1 << 20, 10_000, 2);
    let refused = ServerPlan::new(&small, 0).unwrap_err().to_string();
    assert!(
        refused.starts_with("--memory \"1MiB\" is too small for 10000 connections"),
        "{refused}"
    );
    let least = refused
        .split("values of 1MiB: ")
        .nth(1)
        .and_then(|rest| rest.strip_suffix("MiB or more works"))
        .expect(&refused);
    let least: usize = least.parse().expect(&refused);
    ServerPlan::new(&config(least << 20, 10_000, 2), 0).expect("the least works");
    assert!(ServerPlan::new(&config((least - 1) << 20, 10_000, 2), 0).is_err());
}

#[test]
fn small_containers_hold_many_connections() {
    // Memory in MiB; connections asked for; connections by default, at least.
    for (mib, asked, by_default) in [
        (16, 300, 300),
        (32, 1_000, 1_400),
        (64, 10_000, 10_000),
        (256, 10_000, 10_000),
        (1024, 10_000, 10_000),
    ] {
        for workers in [1, 2, 4] {
            let config = config(mib << 20, asked, workers);
            let plan = ServerPlan::new(&config, 0).expect("it fits");
            assert_eq!(sum(plan.lines()), mib << 20);
            let default = connections_default(&config);
            assert!(default >= by_default, "{mib} MiB: {default}");
            let config = Config {
                connections_max: default,
                ..config
            };
            let plan = ServerPlan::new(&config, 0).expect("the default fits");
            assert!(plan.items_expected(50, default) > 5_000, "{mib} MiB");
            assert!(plan.items_expected(50, 0) > plan.items_expected(50, default));
        }
    }
}

#[test]
fn memory_to_grow_into_is_reserved_and_not_counted() {
    let config = Config {
        memory_bytes_max: Some(96 << 20),
        ..config(64 << 20, 1_000, 2)
    };
    let plan = ServerPlan::new(&config, 0).expect("it fits");
    assert_eq!(sum(plan.lines()), 64 << 20);
    assert_eq!(plan.pages_for(96 << 20), plan.engine.page_count());
    let less = (plan.pages_for(96 << 20) - plan.pages_for(64 << 20)) * plan.engine.page_bytes();
    assert!((32 << 20..(32 << 20) + plan.engine.page_bytes()).contains(&less));
    assert_eq!(plan.pages_for(0), plan.pages_for(1));
}

#[test]
fn an_arena_on_the_heap_shares_nothing() {
    let config = Config {
        backing: Backing::Heap,
        ..config(64 << 20, 1_000, 2)
    };
    let plan = ServerPlan::new(&config, 0).expect("it fits");
    assert_eq!(sum(plan.lines()), 64 << 20);
    let line = plan.lines().iter().find(|line| line.name == "connections");
    assert_eq!(
        line.map(|line| line.bytes),
        Some(connection_bytes(1000, 1000))
    );
    assert_eq!(plan.connection_bytes(1000, 1000), 0);
    assert_eq!(plan.connections_that_fit(64 << 20), 1000);
}

#[test]
fn the_fewest_pages_are_the_engines() {
    for (mib, item_bytes_max) in [(16, 1 << 20), (64, 1 << 20), (64, 8 << 20), (64, 1 << 10)] {
        let config = Config {
            item_bytes_max,
            ..config(mib << 20, 100, 1)
        };
        let plan = ServerPlan::new(&config, 0).expect("it fits");
        let cache = flagstone_engine::Cache::open(plan.engine.clone()).expect("opens");
        assert_eq!(plan.pages_min(), cache.pages_usable_min());
    }
}

#[test]
fn an_item_that_cannot_fit_is_refused() {
    let config = Config {
        item_bytes_max: 1 << 40,
        ..Config::default()
    };
    let refused = ServerPlan::new(&config, 0).unwrap_err();
    assert_eq!(refused.setting(), "--max-item");
}

#[test]
fn the_table_is_aligned_and_ends_in_the_total() {
    let plan = ServerPlan::new(&Config::default(), 0).expect("defaults fit");
    let table = plan.to_string();
    assert!(table.contains("total (--memory)"), "{table}");
    assert!(table.contains("256MiB"), "{table}");
}
