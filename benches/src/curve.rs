//! The engine's miss-ratio curve beside replays at the sizes that it tells of.
//!
//! Seven caches are asked for the same requests in step: one is today's, which the model watches as a server does, and the others are as many
//! times as large as the curve's points say. Both sides forget alike. So at any moment the real ratio of late of a cache
//! that is half as large is beside what the model says of it. Looked at twenty times in the second half of a trace.

use flagstone_engine::{
    Attributes, CURVE_POINTS, Cache, Curve, Eviction, ITEM_BYTES_LEAST, Lookup, Options, Plan,
    Reference, Tick, Use,
};

use crate::trace::Trace;

/// Requests between two looks of the model at the cache, at most; a server looks once a second.
const REQUESTS_A_LOOK: usize = 1000;
/// Moments at which both are compared.
const CHECKS: usize = 20;
/// How many times today's bytes, as the model has it.
const MULTIPLES: [f64; CURVE_POINTS] = [0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 4.0];
const TODAY: usize = 3;
/// Header, key and place in the index.
const ITEM_AND_INDEX_BYTES: usize = 48;

/// What is compared.
pub struct Trial {
    /// The policy of all caches.
    pub eviction: Eviction,
    /// Today's memory.
    pub budget_bytes: usize,
    /// Values that are longer are refused, by all.
    pub item_bytes_max: usize,
    /// Entries of the model, a point.
    pub entries: usize,
    /// Decides which keys are of the sample.
    pub seed: u64,
}

/// What came of it, by multiple; `None` where no cache is so small.
pub struct Compared {
    /// The multiple, and the mean of the real ratios of late.
    pub real: [Option<f64>; CURVE_POINTS],
    /// The same that the model said.
    pub model: [f64; CURVE_POINTS],
    /// The mean of how far they were apart.
    pub error: [f64; CURVE_POINTS],
    /// Requests for each reference that was noted.
    pub rarity: f64,
}

struct Real {
    cache: Cache,
    hits: f64,
    all: f64,
}

impl Real {
    /// Asks for a key and stores it if it is not there. Whether it was, and whether it is now.
    fn ask(&mut self, key: u32, value: Option<&[u8]>, out: &mut [u8], now: Tick) -> (bool, bool) {
        let bytes = u64::from(key).to_le_bytes();
        let key = self.cache.key(&bytes).expect("eight bytes are a key");
        self.all += 1.0;
        match self.cache.get(key, now, out) {
            Lookup::Hit(_) | Lookup::TooSmall(_) => {
                self.hits += 1.0;
                (true, true)
            }
            Lookup::Miss => {
                let put = |value| self.cache.put(key, value, Attributes::default(), now);
                (false, value.is_some_and(|value| put(value).is_ok()))
            }
        }
    }
}

/// Replays a trace.
///
/// # Errors
/// Today's memory is too little.
pub fn compare(
    trace: &Trace,
    trial: &Trial,
    value_len: impl Fn(u32) -> usize,
) -> Result<Compared, String> {
    let plan_of = |budget_bytes: usize| -> Result<Plan, String> {
        let options = Options {
            budget_bytes,
            item_bytes_max: trial.item_bytes_max.max(ITEM_BYTES_LEAST),
            eviction: trial.eviction,
            hash_seed: trial.seed,
            ..Options::default()
        };
        Plan::new(&options).map_err(|error| error.to_string())
    };
    let pages_bytes = |plan: &Plan| plan.page_count() * plan.page_bytes();
    let todays_bytes = pages_bytes(&plan_of(trial.budget_bytes)?);
    let open = |multiple: f64| -> Result<Real, String> {
        // What is beside the pages does not grow with them.
        let wanted = (todays_bytes as f64 * multiple) as usize;
        let mut budget_bytes =
            (trial.budget_bytes + wanted) - todays_bytes.min(trial.budget_bytes + wanted);
        let plan = loop {
            let plan = plan_of(budget_bytes)?;
            if pages_bytes(&plan) >= wanted {
                break plan;
            }
            budget_bytes += wanted - pages_bytes(&plan);
        };
        Ok(Real {
            cache: Cache::open(plan).map_err(|error| error.to_string())?,
            hits: 0.0,
            all: 0.0,
        })
    };
    let mut reals = MULTIPLES.map(|multiple| open(multiple).ok());
    reals[TODAY] = Some(open(1.0)?);
    let longest = trial.item_bytes_max.max(ITEM_BYTES_LEAST);
    let value = vec![0x5a; longest];
    let mut out = vec![0; longest];
    let now = Tick::from_secs(1);
    let mut curve = Curve::new(trial.entries, trial.eviction);
    let every = (trace.requests.len() / 1000).clamp(1, REQUESTS_A_LOOK);
    let check_every = (trace.requests.len() / 2 / CHECKS).max(1);
    let mut totals = [0; 2];
    let mut forgotten = 0;
    let mut compared = Compared {
        real: [None; CURVE_POINTS],
        model: [0.0; CURVE_POINTS],
        error: [0.0; CURVE_POINTS],
        rarity: 0.0,
    };
    let mut sums = [0.0; CURVE_POINTS];
    let mut checks = 0;
    for (request_no, request) in trace.requests.iter().enumerate() {
        if request_no % every == 0 {
            for real in reals.iter().flatten() {
                real.cache.maintain(now, 64);
            }
            let today = reals[TODAY].as_ref().expect("opened above");
            curve.adjust(&today.cache.holding(), totals[0], totals[1]);
        }
        let value = value.get(..value_len(request.size));
        for (at, real) in reals.iter_mut().enumerate() {
            let Some(real) = real else { continue };
            let (was_there, is_there) = real.ask(request.key, value, &mut out, now);
            if at != TODAY {
                continue;
            }
            totals[usize::from(!was_there)] += 1;
            let bytes = u64::from(request.key).to_le_bytes();
            let key = real.cache.key(&bytes).expect("eight bytes are a key");
            if Curve::samples(key.hash(), curve.limit()) {
                let deadline = Default::default();
                let len = value.map_or(0, <[u8]>::len);
                let footprint = real.cache.footprint(bytes.len(), len, deadline);
                let note = |to| Reference::new(key.hash(), to, footprint, deadline);
                match was_there {
                    true => curve.note(note(Use::Hit), now),
                    false => curve.note(note(Use::Miss), now),
                }
                if !was_there && is_there {
                    curve.note(note(Use::Store), now);
                }
            }
        }
        let (times, kept) = curve.forgotten();
        for _ in forgotten..times {
            for real in reals.iter_mut().flatten() {
                real.hits *= kept;
                real.all *= kept;
            }
        }
        forgotten = times;
        if request_no * 2 >= trace.requests.len() && request_no % check_every == 0 {
            checks += 1;
            let points = curve.points();
            for (at, real) in reals.iter().enumerate() {
                let Some(real) = real else { continue };
                let ratio = real.hits / real.all;
                sums[at] += ratio;
                compared.model[at] += points.points[at].hit_ratio;
                compared.error[at] += (points.points[at].hit_ratio - ratio).abs();
            }
        }
    }
    let checks = f64::from(checks.max(1));
    for at in 0..CURVE_POINTS {
        compared.real[at] = reals[at].is_some().then_some(sums[at] / checks);
        compared.model[at] /= checks;
        compared.error[at] /= checks;
    }
    compared.rarity = trace.requests.len() as f64 / curve.points().noted.max(1) as f64;
    Ok(compared)
}

/// The longest values that so many bytes allow.
fn longest_value(eviction: Eviction, budget_bytes: usize, longest: usize) -> usize {
    let mut most = longest.max(ITEM_BYTES_LEAST);
    loop {
        let options = Options {
            budget_bytes,
            item_bytes_max: most,
            eviction,
            ..Options::default()
        };
        if most == ITEM_BYTES_LEAST || Plan::new(&options).is_ok() {
            return most;
        }
        most = (most * 15 / 16).max(ITEM_BYTES_LEAST);
    }
}

/// What is printed of traces, and the largest error so far.
pub struct Rows {
    /// Entries of the model, a point.
    pub entries: usize,
    /// The policy.
    pub eviction: Eviction,
    /// So many samples are drawn, and the one with the largest error is printed.
    pub seeds: u64,
    /// The largest error at each multiple, and where.
    pub worst: [(f64, String); CURVE_POINTS],
}

impl Rows {
    /// Of a trace whose sizes are not known: today's memory is for a share of the keys, in percent.
    ///
    /// # Errors
    /// That memory is too little.
    pub fn items(
        &mut self,
        name: &str,
        trace: &Trace,
        share: f64,
        value_len: usize,
    ) -> Result<(), String> {
        let capacity = trace.key_count as f64 * share / 100.0;
        let budget_bytes = (capacity * (value_len + ITEM_AND_INDEX_BYTES) as f64) as usize;
        let longest = value_len.max(ITEM_BYTES_LEAST);
        let name = format!("{name}, {share} % of items");
        self.row(&name, trace, budget_bytes, longest, |_| value_len)
    }

    /// Of one whose sizes are: it is for a share of all objects' bytes.
    ///
    /// # Errors
    /// That memory is too little.
    pub fn bytes(&mut self, name: &str, trace: &Trace, share: f64) -> Result<(), String> {
        let budget_bytes = (trace.distinct_bytes() as f64 * share / 100.0) as usize;
        let largest = trace.requests.iter().map(|r| r.size).max().unwrap_or(0) as usize;
        let longest = longest_value(self.eviction, budget_bytes / 2, largest);
        let name = format!("{name}, {share} % of bytes");
        self.row(&name, trace, budget_bytes, longest, |size| size as usize)
    }

    fn row(
        &mut self,
        name: &str,
        trace: &Trace,
        budget_bytes: usize,
        item_bytes_max: usize,
        value_len: impl Fn(u32) -> usize,
    ) -> Result<(), String> {
        let mut shown: Option<Compared> = None;
        for seed in 0..self.seeds {
            let trial = Trial {
                eviction: self.eviction,
                budget_bytes,
                item_bytes_max,
                entries: self.entries,
                seed: 77 + seed * 1_000_003,
            };
            let compared = compare(trace, &trial, &value_len)?;
            for (at, (worst, of)) in self.worst.iter_mut().enumerate() {
                if compared.real[at].is_some() && compared.error[at] > *worst {
                    (*worst, *of) = (compared.error[at], name.to_owned());
                }
            }
            if shown
                .as_ref()
                .is_none_or(|shown| shown.worst() < compared.worst())
            {
                shown = Some(compared);
            }
        }
        let Some(compared) = shown else { return Ok(()) };
        print!("{name:<32} {:>6.1}", compared.rarity);
        for at in 0..CURVE_POINTS {
            match compared.real[at] {
                Some(real) => print!(
                    "  {:>5.1} {:>5.1} {:>5.2}",
                    100.0 * real,
                    100.0 * compared.model[at],
                    100.0 * compared.error[at]
                ),
                None => print!("  {:>5} {:>5} {:>5}", "-", "-", "-"),
            }
        }
        println!();
        Ok(())
    }

    /// Prints what stands above the rows.
    pub fn print_head(&self) {
        println!(
            "real hit ratio of late, what the model says, and the mean error in points, at so many times today's memory"
        );
        print!("{:<32} {:>6}", "today's memory", "1 of");
        MULTIPLES
            .iter()
            .for_each(|multiple| print!("  {multiple:>17}"));
        println!();
    }

    /// Prints the largest errors.
    pub fn print_worst(&self) {
        for (multiple, (worst, name)) in MULTIPLES.iter().zip(&self.worst) {
            println!(
                "worst at {multiple:>4}: {:>5.2} points  {name}",
                100.0 * worst
            );
        }
    }
}

impl Compared {
    /// The largest error of those at a half, twice and four times.
    fn worst(&self) -> f64 {
        let counts =
            |&at: &usize| [0.5, 2.0, 4.0].contains(&MULTIPLES[at]) && self.real[at].is_some();
        let errors = (0..CURVE_POINTS).filter(counts).map(|at| self.error[at]);
        errors.fold(0.0, f64::max)
    }
}
