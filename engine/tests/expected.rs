//! Goal: a plan says about how many items there will be.
//!
//! Method: caches are filled with twice as many items as their plans expect, and asked how many they hold.
#![cfg(not(miri))]

use flagstone_engine::{Attributes, Cache, Options, Plan, Tick};

/// Of the items that are expected so many in a hundred may be more or less.
const OFF_MAX: usize = 2;

#[test]
fn a_full_cache_holds_about_what_its_plan_says() {
    let value = [b'v'; 2000];
    for item_bytes in [50, 120, 300, 2000] {
        let options = Options {
            budget_bytes: 32 << 20,
            hash_seed: 7,
            ..Options::default()
        };
        let plan = Plan::new(&options).unwrap();
        let expected = plan.items_expected(item_bytes);
        let cache = Cache::open(plan).unwrap();
        for number in 0..2 * expected {
            let key = format!("{number:020}");
            let key = cache.key(key.as_bytes()).unwrap();
            let value = &value[..item_bytes - 20];
            cache
                .put(key, value, Attributes::default(), Tick::from_secs(1))
                .unwrap();
        }
        let items = cache.stats().items as usize;
        let off = items.abs_diff(expected) * 100;
        assert!(
            off <= expected * OFF_MAX,
            "{item_bytes}: {items}, not {expected}"
        );
    }
}
