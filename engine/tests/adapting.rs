//! Goal: how long new items stay follows what is asked for, and comes back when that does.
//!
//! Method: a cache of two thousand items is asked for by visitors, a scan and bursts in turn; what it says of its lists,
//! what they hold, and how much it finds are compared with what each of them needs.

use flagstone_engine::{Attributes, Cache, Eviction, Lookup, Options, Plan, Stats, Tick};

const NOW: Tick = Tick::from_secs(1);
const VALUE: [u8; 3900] = [7; 3900];

struct Client {
    cache: Cache,
    /// Items that the cache holds.
    held: u64,
    seed: u64,
    next: u64,
    asked: u64,
    hits: u64,
}

impl Client {
    fn new(eviction: Eviction) -> Self {
        let options = Options {
            budget_bytes: 8 << 20,
            eviction,
            ..Options::default()
        };
        let mut client = Client {
            cache: Cache::open(Plan::new(&options).unwrap()).unwrap(),
            held: 0,
            seed: 5,
            next: 1 << 40,
            asked: 0,
            hits: 0,
        };
        while client.cache.stats().evictions < 100 {
            client.next += 1;
            client.ask(client.next);
        }
        client.held = client.cache.stats().items;
        client
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005) + 1;
        (self.seed >> 33) % bound
    }

    /// Looks a key up, and stores it if it is not there.
    fn ask(&mut self, number: u64) {
        let bytes = number.to_le_bytes();
        let key = self.cache.key(&bytes).unwrap();
        self.asked += 1;
        match self.cache.get(key, NOW, &mut [0; 3900]) {
            Lookup::Hit(_) => self.hits += 1,
            _ => {
                let stored = self.cache.put(key, &VALUE, Attributes::default(), NOW);
                stored.unwrap();
            }
        }
    }

    /// Plays 240,000 requests; returns what the cache says of itself, and the share of hits in the second half.
    fn play(&mut self, mut request: impl FnMut(&mut Self, u64)) -> (Stats, f64) {
        for half in 0..2 {
            (self.asked, self.hits) = (0, 0);
            (0..120_000).for_each(|at| request(self, half * 120_000 + at));
        }
        self.cache.audit().unwrap();
        (self.cache.stats(), self.hits as f64 / self.asked as f64)
    }

    /// Half of the requests are for keys that come once, the others for many more than fit, some of them much more often.
    fn scan(&mut self) -> (Stats, f64) {
        let keys = 8 * self.held;
        self.play(|client, at| match at % 2 {
            0 => {
                client.next += 1;
                client.ask(client.next);
            }
            _ => {
                let most = client.below(keys) + 1;
                let key = client.below(most);
                client.ask((1 << 51) + key);
            }
        })
    }

    /// So many visitors at a time as half of the cache, who ask for their key about eight times and do not come back.
    fn visitors(&mut self) -> (Stats, f64) {
        let mut visitors: Vec<u64> = (0..self.held / 2).collect();
        self.play(|client, _| {
            let visitor = client.below(visitors.len() as u64) as usize;
            if client.below(8) == 0 {
                client.next += 1;
                visitors[visitor] = client.next;
            }
            client.ask((1 << 52) + visitors[visitor]);
        })
    }

    /// Objects that are asked for four times in a row, and again when all others have been.
    fn bursts(&mut self) -> (Stats, f64) {
        let (objects, hot) = (8 * self.held, self.held * 3 / 2);
        self.play(|client, at| match at % 2 {
            0 => client.ask((1 << 53) + at / 8 % objects),
            _ => {
                let key = client.below(hot);
                client.ask((1 << 54) + key);
            }
        })
    }
}

#[test]
fn probation_follows_what_is_asked_for() {
    let mut client = Client::new(Eviction::Adaptive);
    let first = client.cache.stats();
    assert_eq!((first.probation_percent, first.probation_hits), (10, 1));
    for round in 0..2 {
        let (stats, hits) = client.visitors();
        assert!(stats.probation_percent >= 25, "{round}: {stats:?}");
        assert!(
            stats.probation_bytes * 5 > stats.main_bytes,
            "{round}: {stats:?}"
        );
        // Seven in eight are for a key that was asked for before.
        assert!(hits > 0.82, "{round}: {hits}");
        let (stats, _) = client.scan();
        assert!(stats.probation_percent <= 10, "{round}: {stats:?}");
        assert!(
            stats.probation_bytes * 5 < stats.main_bytes,
            "{round}: {stats:?}"
        );
        let (stats, _) = client.bursts();
        assert_eq!(stats.probation_hits, 0, "{round}: {stats:?}");
    }
    let changes = client.cache.stats().probation_changes;
    assert!((5..=40).contains(&changes), "{changes}");
}

#[test]
fn lru_has_nothing_to_choose() {
    let mut client = Client::new(Eviction::Lru);
    let (stats, _) = client.scan();
    assert_eq!(stats.probation_changes, 0);
    assert_eq!(stats.probation_bytes, 0);
    let (stats, hits) = client.visitors();
    assert_eq!((stats.probation_changes, stats.probation_bytes), (0, 0));
    assert!(hits > 0.8, "{hits}");
}

/// Few items have many buckets among them, and a bucket that nobody looks at must not keep who left long ago.
#[test]
fn who_left_long_ago_is_forgotten_also_where_items_are_few() {
    let options = Options {
        budget_bytes: 8 << 20,
        eviction: Eviction::S3Fifo,
        // The same prints each time: one in two thousand is taken for another's.
        hash_seed: 1,
        ..Options::default()
    };
    let cache = Cache::open(Plan::new(&options).unwrap()).unwrap();
    let value = vec![7; 16_000];
    let put = |number: u64| {
        let bytes = number.to_le_bytes();
        let key = cache.key(&bytes).unwrap();
        cache.put(key, &value, Attributes::default(), NOW).unwrap();
    };
    let mut next = 0;
    while cache.stats().evictions == 0 {
        next += 1;
        put(next);
    }
    let held = cache.stats().items;
    (next + 1..next + 5 * held).for_each(put);
    // They left while twice to four times as much went by as there is room for.
    (next + held..next + 3 * held).for_each(put);
    let stats = cache.stats();
    let all = stats.main_bytes + stats.probation_bytes;
    assert!(stats.main_bytes * 100 < all, "{stats:?}");
}
