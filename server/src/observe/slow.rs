//! Requests that took too long, on their way from the worker that noticed to the message that
//! tells.
//!
//! A worker writes no messages: one that blocks on stderr would block its connections. It
//! notes what it saw here, and the maintainer logs once a second, however many there were.

use std::fmt;
use std::time::Duration;

use crate::observe::counters::Commands;
use crate::proto::Codec;

/// What was noted since it was last told.
#[derive(Clone, Copy, Debug, Default)]
pub struct Slow {
    turns: u64,
    longest: Option<Turn>,
}

/// A turn that took long.
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    /// How long.
    pub nanos: u64,
    /// Which worker.
    pub worker_no: usize,
    /// Which protocol.
    pub protocol_no: usize,
    /// What it carried out.
    pub done: Commands,
}

impl Slow {
    /// Notes a turn.
    pub fn note(&mut self, turn: Turn) {
        self.turns += 1;
        if self
            .longest
            .is_none_or(|longest| turn.nanos > longest.nanos)
        {
            self.longest = Some(turn);
        }
    }

    /// What there is to tell, if anything. Begins anew.
    pub fn take(&mut self) -> Option<Slow> {
        (self.turns > 0).then(|| std::mem::take(self))
    }
}

impl fmt::Display for Slow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(turn) = &self.longest else {
            return f.write_str("no request was slow");
        };
        let turns = self.turns;
        let plural = if turns == 1 { "turn was" } else { "turns were" };
        let took = Duration::from_micros(turn.nanos / 1000);
        let protocol = Codec::NAMES[turn.protocol_no];
        write!(
            f,
            "{turns} {plural} slow; the longest took {took:?} on worker {}",
            turn.worker_no
        )?;
        write!(f, " for requests in {protocol}:")?;
        let mut comma = "";
        for (name, count) in Commands::NAMES.iter().zip(turn.done.0) {
            if count > 0 {
                write!(f, "{comma} {count} {name}")?;
                comma = ",";
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_is_told_and_the_others_are_counted() {
        let mut slow = Slow::default();
        assert!(slow.take().is_none());
        for (nanos, worker_no) in [(120_000_000, 0), (250_500_999, 1), (130_000_000, 2)] {
            slow.note(Turn {
                nanos,
                worker_no,
                protocol_no: 1,
                done: Commands([8, 4, 0, 0, 0, 0, 0]),
            });
        }
        assert_eq!(
            slow.take().expect("something").to_string(),
            "3 turns were slow; the longest took 250.5ms on worker 1 for requests in memcached: \
             8 get, 4 set"
        );
        assert!(slow.take().is_none());
    }
}
