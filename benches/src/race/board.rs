//! Samples of all rounds, and what follows from them. Pure arithmetic.

use flagstone_bench::wire::Protocol;

use super::shape::{Against, Shape, Target};
use super::subject::{Kind, Subject};

/// One subject in one shape in one round.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// CPU time of the server for one request.
    pub cpu_us: f64,
    /// Requests in a second.
    pub per_second: f64,
    /// Median latency.
    pub p50_us: f64,
    /// 99th percentile.
    pub p99_us: f64,
    /// 99.9th percentile.
    pub p999_us: f64,
    /// Reads that found a value, from 0 to 1; none: nothing was read.
    pub hit_ratio: Option<f64>,
    /// The server's resident memory at the end.
    pub resident_bytes: Option<u64>,
}

/// Everything that was measured of one shape.
pub struct Row {
    /// What was asked.
    pub shape: Shape,
    /// By round, then by subject in the order of the subjects; `None` where it failed.
    pub rounds: Vec<Vec<Option<Sample>>>,
}

/// How a target came out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// The median of the rounds' ratios.
    pub ratio: f64,
    /// Whether it is within the target.
    pub is_met: bool,
}

impl Row {
    /// Median, least and most of a figure of one subject.
    #[must_use]
    pub fn figure(
        &self,
        subject: usize,
        of: impl Fn(&Sample) -> Option<f64>,
    ) -> Option<(f64, f64, f64)> {
        let samples = self.rounds.iter().filter_map(|round| round[subject]);
        let mut figures: Vec<f64> = samples.filter_map(|sample| of(&sample)).collect();
        let median = median(&mut figures)?;
        Some((median, *figures.first()?, *figures.last()?))
    }

    /// The median over rounds of one subject's figure as a ratio to the least of others'.
    #[must_use]
    pub fn ratio(&self, subject: usize, others: &[usize], of: fn(&Sample) -> f64) -> Option<f64> {
        let mut ratios: Vec<f64> = self
            .rounds
            .iter()
            .filter_map(|round| {
                let best = others
                    .iter()
                    .filter_map(|&other| round[other].map(|sample| of(&sample)))
                    .min_by(f64::total_cmp)?;
                Some(of(&round[subject]?) / best)
            })
            .collect();
        median(&mut ratios)
    }

    /// Flagstone in one protocol against those whom a target names.
    #[must_use]
    pub fn outcome(
        &self,
        subjects: &[Subject],
        target: &Target,
        protocol: Protocol,
    ) -> Option<Outcome> {
        let ours = ours_in(subjects, protocol)?;
        let rivals = rivals(subjects, target.against);
        let ratio = self.ratio(ours, &rivals, |sample| sample.cpu_us)?;
        Some(Outcome {
            ratio,
            is_met: ratio <= target.ratio,
        })
    }

    /// Caches of others that need less CPU time than Flagstone's native protocol, or, at a fixed
    /// rate, have the lower 99th percentile; and the ratio of ours to theirs.
    #[must_use]
    pub fn losses(&self, subjects: &[Subject]) -> Vec<(usize, f64)> {
        ours(subjects).map_or_else(Vec::new, |ours| self.losses_of(ours, subjects))
    }

    /// The same of one of the subjects.
    #[must_use]
    pub fn losses_of(&self, ours: usize, subjects: &[Subject]) -> Vec<(usize, f64)> {
        let of: fn(&Sample) -> f64 = if self.shape.timed.is_some() {
            |sample| sample.p99_us
        } else {
            |sample| sample.cpu_us
        };
        peers(subjects)
            .into_iter()
            .filter_map(|at| Some((at, self.ratio(ours, &[at], of)?)))
            .filter(|&(_, ratio)| ratio > 1.0)
            .collect()
    }

    /// How Flagstone's native protocol's latency relates to that of the best of others' caches,
    /// than which it should not be higher.
    #[must_use]
    pub fn latency(&self, subjects: &[Subject], of: fn(&Sample) -> f64) -> Option<Outcome> {
        let ratio = self.ratio(ours(subjects)?, &peers(subjects), of)?;
        Some(Outcome {
            ratio,
            is_met: ratio <= 1.0,
        })
    }
}

/// The subject that losses are counted for: the first of Flagstone's, its native protocol.
#[must_use]
pub fn ours(subjects: &[Subject]) -> Option<usize> {
    subjects.iter().position(|s| s.kind == Kind::Flagstone)
}

/// Flagstone in a protocol.
#[must_use]
pub fn ours_in(subjects: &[Subject], protocol: Protocol) -> Option<usize> {
    let is_it = |s: &Subject| s.kind == Kind::Flagstone && s.protocol == protocol;
    subjects.iter().position(is_it)
}

/// Caches of others.
#[must_use]
pub fn peers(subjects: &[Subject]) -> Vec<usize> {
    (0..subjects.len())
        .filter(|&at| !subjects[at].is_floor() && subjects[at].kind != Kind::Flagstone)
        .collect()
}

/// Those whom a target names.
#[must_use]
pub fn rivals(subjects: &[Subject], against: Against) -> Vec<usize> {
    let is_meant = |subject: &Subject| match against {
        Against::Floor => subject.kind == Kind::Echo("tokio"),
        Against::Best(kinds) => kinds.contains(&subject.kind),
        Against::Native => subject.kind == Kind::Flagstone && subject.protocol == Protocol::Native,
    };
    (0..subjects.len())
        .filter(|&at| is_meant(&subjects[at]))
        .collect()
}

/// The middle one, or the mean of the two. Sorts.
pub fn median(figures: &mut [f64]) -> Option<f64> {
    figures.sort_by(f64::total_cmp);
    let count = figures.len();
    match count {
        0 => None,
        _ => Some((figures[(count - 1) / 2] + figures[count / 2]) / 2.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::race::shape::Rate;
    use crate::race::table::groups;
    use std::time::Duration;

    fn subject(kind: Kind) -> Subject {
        Subject {
            name: kind.word().to_owned(),
            kind,
            path: "/none".into(),
            protocol: Protocol::Native,
        }
    }

    fn row(shape: usize, rounds: &[&[Option<f64>]]) -> Row {
        let sample = |cpu_us| Sample {
            cpu_us,
            per_second: 0.0,
            p50_us: 0.0,
            p99_us: cpu_us * 10.0,
            p999_us: 0.0,
            hit_ratio: None,
            resident_bytes: None,
        };
        Row {
            shape: groups(false)[0].shapes[shape].clone(),
            rounds: rounds
                .iter()
                .map(|round| round.iter().map(|cpu| cpu.map(sample)).collect())
                .collect(),
        }
    }

    fn field() -> Vec<Subject> {
        [
            Kind::Echo("tokio"),
            Kind::Flagstone,
            Kind::Memcached,
            Kind::Redis,
            Kind::Valkey,
        ]
        .map(subject)
        .into()
    }

    /// Of the native protocol, by the shape's first target.
    fn outcome(row: &Row, field: &[Subject]) -> Option<Outcome> {
        row.outcome(field, &row.shape.targets[0], Protocol::Native)
    }

    #[test]
    fn medians() {
        for (figures, expected) in [
            (vec![], None),
            (vec![3.0], Some(3.0)),
            (vec![9.0, 1.0], Some(5.0)),
            (vec![9.0, 1.0, 2.0], Some(2.0)),
        ] {
            let mut figures = figures;
            assert_eq!(median(&mut figures), expected);
        }
    }

    /// In each round the better of the two counts, and the ratio is formed there: the third
    /// round was slow for everybody.
    #[test]
    fn ratios_are_formed_within_a_round() {
        let field = field();
        let row = row(
            1,
            &[
                &[None, Some(0.4), Some(9.0), Some(1.0), Some(2.0)],
                &[None, Some(0.4), Some(9.0), Some(2.0), Some(0.8)],
                &[None, Some(4.0), Some(90.0), Some(9.0), Some(10.0)],
            ],
        );
        let outcome = outcome(&row, &field).expect("both were there");
        assert!(
            (outcome.ratio - 4.0 / 9.0).abs() < 1e-9,
            "{}",
            outcome.ratio
        );
        assert!(outcome.is_met, "0.44 is at most 0.48");
        assert_eq!(row.losses(&field), []);
    }

    #[test]
    fn losses_and_missed_targets_are_told() {
        let field = field();
        let row = row(0, &[&[Some(5.0), Some(6.0), Some(5.5), Some(7.0), None]]);
        let outcome = outcome(&row, &field).expect("both were there");
        assert!((outcome.ratio - 1.2).abs() < 1e-9 && !outcome.is_met);
        let losses = row.losses(&field);
        assert_eq!(losses.len(), 1);
        assert_eq!(losses[0].0, 2);
        assert!((losses[0].1 - 6.0 / 5.5).abs() < 1e-9);
    }

    #[test]
    fn who_was_not_there_is_no_rival() {
        let field = field();
        let row = row(1, &[&[Some(5.0), Some(6.0), Some(5.5), None, None]]);
        assert_eq!(outcome(&row, &field), None);
        assert_eq!(row.figure(3, |s| Some(s.cpu_us)), None);
        assert_eq!(row.figure(1, |s| Some(s.cpu_us)), Some((6.0, 6.0, 6.0)));
        assert_eq!(row.figure(1, |s| s.hit_ratio), None);
    }

    /// At a fixed rate the percentiles count, and not what a request cost.
    #[test]
    fn at_a_fixed_rate_latencies_are_compared() {
        let field = field();
        let mut row = row(0, &[&[None, Some(5.0), Some(6.0), None, None]]);
        row.shape.timed = Some((Rate::Fixed(1), Duration::from_secs(1)));
        assert_eq!(row.losses(&field), []);
        row.rounds[0][1].as_mut().expect("measured").p99_us = 90.0;
        assert_eq!(row.losses(&field), [(2, 1.5)]);
        let outcome = row.latency(&field, |sample| sample.p99_us);
        let expected = Outcome {
            ratio: 1.5,
            is_met: false,
        };
        assert_eq!(outcome, Some(expected));
    }
}
