//! Each kind of traffic is played alone and after another, to see which tuning the trials come to.

use super::*;

/// Items of the cache that the trials are of.
const ITEMS: usize = 2000;

struct Play {
    trials: Trials,
    seed: u64,
    next: u64,
    asked: u64,
}

impl Play {
    fn new() -> Self {
        Play {
            trials: Trials::new(),
            seed: 7,
            next: 1 << 40,
            asked: 0,
        }
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005) + 1;
        (self.seed >> 33) % bound
    }

    fn ask(&mut self, key: u64) {
        let hash = KeyHash::of(&key.to_le_bytes(), 3);
        self.asked += 1;
        let is_full = self.asked > ITEMS as u64;
        if sampled_by(hash) <= self.trials.limit() {
            self.trials.note(hash, ITEMS / SHARD_COUNT, is_full);
        }
    }

    fn chosen(&self) -> Tuning {
        TUNINGS[self.trials.chosen()]
    }

    /// A new key, never asked for again.
    fn once(&mut self) {
        self.next += 1;
        self.ask(self.next);
    }

    /// One of a set, the first ones more often.
    fn popular(&mut self, count: u64) {
        let most = self.below(count) + 1;
        let key = self.below(most);
        self.ask(key);
    }

    /// A loop that is a tenth longer than the cache.
    fn loops(&mut self) {
        for at in 0..240_000 {
            self.ask((1 << 30) + at % (ITEMS as u64 * 11 / 10));
        }
    }

    /// Half of the requests are for keys that come once.
    fn scan(&mut self) {
        for _ in 0..120_000 {
            self.once();
            self.popular(8 * ITEMS as u64);
        }
    }

    /// Visitors ask for their own keys about eight times and do not come back; so many at a time as the cache is half of.
    fn visitors(&mut self) {
        let mut visitors: Vec<u64> = (0..ITEMS as u64 / 2).collect();
        for _ in 0..240_000 {
            let visitor = self.below(visitors.len() as u64) as usize;
            if self.below(8) == 0 {
                self.next += 1;
                visitors[visitor] = self.next;
            }
            self.ask((1 << 41) + visitors[visitor]);
        }
    }

    /// Objects that are asked for four times in a row and then not before all others have been, beside popular keys.
    fn bursts(&mut self) {
        for at in 0..150_000 {
            self.ask((1 << 42) + at / 4 % (ITEMS as u64 * 8));
            self.popular(2 * ITEMS as u64);
        }
    }
}

/// What S3-FIFO's tenth makes of a loop that is a little longer than the cache is little: main takes in what comes
/// back, and evicts it before it is asked for. Another tuning keeps a part of it.
#[test]
fn a_loop_is_kept_in_part() {
    let mut play = Play::new();
    play.loops();
    let misses = play.trials.trials.map(|trial| trial.misses);
    let (first, best) = (misses[0], misses[play.trials.chosen()]);
    assert!(best * 10 < first * 9, "{misses:?}");
}

#[test]
fn bursts_do_not_prove_an_item() {
    let mut play = Play::new();
    play.bursts();
    assert_eq!(play.chosen().marks_to_main, NEVER);
}

#[test]
fn visitors_get_a_long_probation_in_which_hits_count() {
    let mut play = Play::new();
    play.visitors();
    assert!(play.chosen().probation_percent >= 25, "{:?}", play.chosen());
    assert_eq!(play.chosen().marks_to_main, 1);
}

#[test]
fn what_is_asked_for_changes_and_comes_back() {
    let mut play = Play::new();
    for round in 0..2 {
        play.visitors();
        assert!(play.chosen().probation_percent >= 25, "{round}");
        play.loops();
        play.scan();
        let percent = play.chosen().probation_percent;
        assert!(percent <= 10, "{round}: {percent}");
        play.bursts();
        assert_eq!(play.chosen().marks_to_main, NEVER, "{round}");
    }
    let changes = play.trials.changes();
    assert!((4..=20).contains(&changes), "{changes}");
}

/// What two tunings are equally good at does not move the choice to and fro.
#[test]
fn a_steady_hot_set_changes_nothing_for_long() {
    let mut play = Play::new();
    (0..200_000).for_each(|_| play.popular(ITEMS as u64 / 2));
    assert_eq!(play.chosen(), TUNINGS[0]);
    assert_eq!(play.trials.changes(), 0);
}

/// Every key that is known is on its chain, as many are free as are not known, and each queue holds those that say so.
fn audit(trials: &Trials) {
    let used = trials.known.iter().filter(|known| known.is_used).count();
    let mut chained = 0;
    for (chain, &first) in trials.chains.iter().enumerate() {
        let mut at = first;
        while let Some(key) = at.checked_sub(1) {
            let known = trials.known[usize::from(key)];
            assert!(known.is_used && known.id as usize % CHAINS == chain);
            chained += 1;
            at = known.next;
        }
    }
    assert_eq!(chained, used);
    let (mut free, mut at) = (0, trials.free);
    while let Some(key) = at.checked_sub(1) {
        assert!(!trials.known[usize::from(key)].is_used);
        free += 1;
        at = trials.known[usize::from(key)].next;
    }
    assert_eq!(free + used, KNOWN);
    for (tuning_no, trial) in trials.trials.iter().enumerate() {
        assert!(trial.held() <= HELD_MAX);
        for (segment_no, queue) in trial.queues.iter().enumerate() {
            let holds = |known: &&Known| match known.states[tuning_no].standing() {
                Standing::Held { segment, .. } => segment as usize == segment_no,
                _ => false,
            };
            assert_eq!(trials.known.iter().filter(holds).count(), queue.len);
        }
    }
}

#[test]
fn growing_and_shrinking_keep_the_books() {
    let mut play = Play::new();
    let mut items = 16;
    for step in 0..60_000u64 {
        if step % 600 == 0 {
            items = match step / 600 % 20 {
                10.. => items / 2,
                _ => items * 2,
            };
            audit(&play.trials);
        }
        let key = match step % 3 {
            0 => step,
            _ => play.below(3000),
        };
        let hash = KeyHash::of(&key.to_le_bytes(), 3);
        if sampled_by(hash) <= play.trials.limit() {
            play.trials.note(hash, items / SHARD_COUNT, step > 300);
        }
    }
    audit(&play.trials);
}
