//! Which key comes next, and what it is called.
//!
//! A key's name is a prefix of fixed bytes and the key's number in eight hex digits, mixed with
//! the run's own number: what another run has left on the server, or stores beside this one,
//! has other names. The prefix is `bench:` or a text of the user's, filled up with zeros, and
//! is cut where a name has room for less. A name is made on the spot: a table of names would cost a cache miss for each request.
//!
//! Zipf ranks are drawn by rejection-inversion (Hörmann and Derflinger, 1996): exact for any
//! exponent and any number of keys, without a table.

use crate::hex;
use crate::random::{Random, mix};
use crate::settings::{Distribution, Sizes};

/// The shortest name: eight hex digits.
pub const KEY_BYTES_MIN: usize = 8;
/// The longest name that memcached and Flagstone take.
pub const KEY_BYTES_MAX: usize = 250;

/// What stands before the digits of the longest name.
pub type Prefix = [u8; KEY_BYTES_MAX - KEY_BYTES_MIN];

/// The prefix where nobody has asked for another.
pub const PREFIX: Prefix = {
    let mut prefix = [b'0'; KEY_BYTES_MAX - KEY_BYTES_MIN];
    let word = *b"bench:";
    let mut at = 0;
    while at < word.len() {
        prefix[at] = word[at];
        at += 1;
    }
    prefix
};

/// The prefix that begins with `text`, of which at most [`Prefix`]'s bytes are taken.
#[must_use]
pub fn prefix_of(text: &str) -> Prefix {
    let mut prefix = [b'0'; KEY_BYTES_MAX - KEY_BYTES_MIN];
    for (byte, its) in prefix.iter_mut().zip(text.bytes()) {
        *byte = its;
    }
    prefix
}

/// How keys are called.
#[derive(Clone, Copy, Debug)]
pub struct KeyNames<'p> {
    sizes: Sizes,
    run: u32,
    prefix: &'p Prefix,
}

impl<'p> KeyNames<'p> {
    /// Names of these sizes, which lie between [`KEY_BYTES_MIN`] and [`KEY_BYTES_MAX`].
    #[must_use]
    pub fn new(sizes: Sizes) -> Self {
        KeyNames::of_run(sizes, 0, &PREFIX)
    }

    /// Names that begin with this prefix, for the run of this number.
    #[must_use]
    pub fn of_run(sizes: Sizes, run: u32, prefix: &'p Prefix) -> Self {
        KeyNames { sizes, run, prefix }
    }

    /// How long the name of `key` is. It follows from the number, so that every thread agrees.
    #[inline]
    #[must_use]
    pub fn len(self, key: u32) -> usize {
        let span = self.sizes.max - self.sizes.min;
        if span == 0 {
            return self.sizes.min;
        }
        self.sizes.min + (mix(u64::from(key)) % (span as u64 + 1)) as usize
    }

    /// Whether `name` is that of `key`, by its length and its digits.
    #[inline]
    #[must_use]
    pub fn is(self, key: u32, name: &[u8]) -> bool {
        name.len() == self.len(key) && name.ends_with(&hex::encode(key ^ self.run))
    }

    /// Appends the name of `key`.
    #[inline]
    pub fn write(self, out: &mut Vec<u8>, key: u32) {
        out.extend_from_slice(&self.prefix[..self.len(key) - KEY_BYTES_MIN]);
        out.extend_from_slice(&hex::encode(key ^ self.run));
    }
}

/// Draws key numbers below a bound.
#[derive(Clone, Debug)]
pub enum KeyDraw {
    /// All alike.
    Uniform {
        /// How many keys.
        count: u32,
    },
    /// Rank `r`, from 1, in proportion to `r^-exponent`.
    Zipf(Zipf),
}

impl KeyDraw {
    /// Draws from `count` keys.
    #[must_use]
    pub fn new(distribution: Distribution, count: u32) -> Self {
        match distribution {
            Distribution::Uniform => KeyDraw::Uniform { count },
            Distribution::Zipf { exponent } => KeyDraw::Zipf(Zipf::new(count, exponent)),
        }
    }

    /// The next key.
    #[inline]
    pub fn next(&self, random: &mut Random) -> u32 {
        match self {
            KeyDraw::Uniform { count } => random.below(u64::from(*count)) as u32,
            KeyDraw::Zipf(zipf) => zipf.next(random),
        }
    }
}

/// Zipf's distribution over `0..count`.
///
/// Under the curve `x^-exponent` the area up to `x` has a closed form that can be turned
/// round. A point under a curve that lies above the steps 1, 2, … gives a candidate rank; it
/// is refused if the point lies above the rank's own step, which happens rarely.
#[derive(Clone, Debug)]
pub struct Zipf {
    exponent: f64,
    count: f64,
    area_first: f64,
    area_last: f64,
    always: f64,
}

impl Zipf {
    /// `exponent` is above 0.
    #[must_use]
    pub fn new(count: u32, exponent: f64) -> Self {
        let count = f64::from(count);
        let area = |x| area(x, exponent);
        Zipf {
            exponent,
            count,
            area_first: area(1.5) - 1.0,
            area_last: area(count + 0.5),
            // A candidate that is this much nearer to its point than its step is wide needs no
            // further look.
            always: 2.0 - area_inverse(area(2.5) - 2f64.powf(-exponent), exponent),
        }
    }

    #[inline]
    fn next(&self, random: &mut Random) -> u32 {
        loop {
            let point = self.area_last + random.unit() * (self.area_first - self.area_last);
            let x = area_inverse(point, self.exponent);
            let rank = (x + 0.5).floor().clamp(1.0, self.count);
            if rank - x <= self.always
                || point >= area(rank + 0.5, self.exponent) - rank.powf(-self.exponent)
            {
                return rank as u32 - 1;
            }
        }
    }
}

/// The area under `x^-exponent` from 1 to `x`. At exponent 1 it is a logarithm; near it the
/// closed form loses all its digits, so a little aside is taken as 1.
fn area(x: f64, exponent: f64) -> f64 {
    let rest = 1.0 - exponent;
    if rest.abs() < 1e-9 {
        return x.ln();
    }
    (rest * x.ln()).exp_m1() / rest
}

fn area_inverse(area: f64, exponent: f64) -> f64 {
    let rest = 1.0 - exponent;
    if rest.abs() < 1e-9 {
        return area.exp();
    }
    ((rest * area).ln_1p() / rest).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_their_size_and_differ() {
        for (min, max) in [(8, 8), (20, 20), (16, 24), (250, 250)] {
            let names = KeyNames::new(Sizes { min, max });
            let mut seen = std::collections::HashSet::new();
            for key in 0..2000 {
                let mut name = Vec::new();
                names.write(&mut name, key);
                assert_eq!(name.len(), names.len(key));
                assert!((min..=max).contains(&name.len()));
                assert!(name.iter().all(u8::is_ascii_graphic));
                assert!(seen.insert(name));
            }
        }
    }

    #[test]
    fn a_name_begins_with_the_users_text() {
        let sizes = Sizes { min: 20, max: 20 };
        let prefix = prefix_of("shop:cart:");
        let mut name = Vec::new();
        KeyNames::of_run(sizes, 0, &prefix).write(&mut name, 0xab);
        assert_eq!(name, b"shop:cart:00000000ab");
    }

    #[test]
    fn zipf_draws_each_rank_in_its_proportion() {
        for exponent in [0.5, 0.99, 1.0, 1.4] {
            let (count, draws) = (50, 400_000);
            let zipf = Zipf::new(count, exponent);
            let mut random = Random::new(1);
            let mut found = vec![0u32; count as usize];
            for _ in 0..draws {
                found[zipf.next(&mut random) as usize] += 1;
            }
            let sum: f64 = (1..=count).map(|r| f64::from(r).powf(-exponent)).sum();
            for rank in [1u32, 2, 3, 10, 50] {
                let expected = f64::from(draws) * f64::from(rank).powf(-exponent) / sum;
                let got = f64::from(found[rank as usize - 1]);
                // Five standard deviations of a count.
                assert!(
                    (got - expected).abs() < 5.0 * expected.sqrt(),
                    "exponent {exponent}, rank {rank}: {got}, not {expected}"
                );
            }
        }
    }

    #[test]
    fn draws_stay_below_the_count() {
        let mut random = Random::new(2);
        for distribution in [Distribution::Uniform, Distribution::Zipf { exponent: 0.99 }] {
            for count in [1, 2, 3, 1000] {
                let draw = KeyDraw::new(distribution, count);
                assert!((0..10_000).all(|_| draw.next(&mut random) < count));
            }
        }
    }
}
