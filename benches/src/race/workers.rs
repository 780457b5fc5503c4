//! Two workers on two cores against one on one: what a request costs when they share a cache.
//!
//! The figure is requests for a CPU second, two workers' as a ratio to one's. Locks that are
//! waited for and cache lines that travel show in it; how busy the cores are does not.
//!
//! With two CPUs in all, the generator has to share one of them with the second worker. Requests
//! then pile up while the generator has the core, and are cheaper by more than a lock costs: two
//! workers seem to do half as much again as one. So there the ratio is told and not judged.

use super::board::median;

/// A shape with one worker and with two.
#[derive(Clone, Debug)]
pub struct Workers {
    /// The shape's name.
    pub name: String,
    /// Whether the second worker had a core of its own, without which the ratio says little.
    pub is_alone: bool,
    /// CPU microseconds of a request, with one worker and with two, in each round.
    pub rounds: Vec<(f64, f64)>,
}

/// The least that two workers are to keep of what one does in a CPU second.
pub const KEPT_MIN: f64 = 0.95;

impl Workers {
    /// Medians with one and with two, and that of the ratios.
    #[must_use]
    pub fn figures(&self) -> Option<(f64, f64, f64)> {
        let of = |figure: fn(&(f64, f64)) -> f64| {
            let mut figures: Vec<f64> = self.rounds.iter().map(figure).collect();
            median(&mut figures)
        };
        Some((
            of(|&(one, _)| one)?,
            of(|&(_, two)| two)?,
            of(|&(one, two)| one / two)?,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The second round was slow for both, which is no change of the ratio.
    #[test]
    fn ratios_are_formed_within_a_round() {
        let mut workers = Workers {
            name: String::new(),
            is_alone: true,
            rounds: vec![(1.0, 2.0), (8.0, 16.0), (2.0, 4.0)],
        };
        assert_eq!(workers.figures(), Some((2.0, 4.0, 0.5)));
        workers.rounds.clear();
        assert_eq!(workers.figures(), None);
    }
}
