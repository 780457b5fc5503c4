//! How long requests took, counted.
//!
//! What is measured: from the moment a worker begins to look at the sockets that the kernel
//! says are ready, until the turn is over in which the request was answered. Waiting for
//! neighbours of the same pass counts, the write of the replies counts; what the request
//! waited in the kernel before counts nowhere, because nobody but the client knows it.
//!
//! The clock is read once a pass and once a turn that answered something, through the
//! memory that the kernel maps for it, never by a system call. All requests of a turn took as
//! long as the turn: a pipeline is answered in one write, so for its client they did.
//!
//! Which commands a turn carried out is what the counters have gained meanwhile. So neither
//! `execute` nor the connections know that they are being timed.
//!
//! ```text
//!   µs   0   1   2   3   4    5    6    7    8       10      12  …  2^20
//!        ├───┼───┼───┼───┼────┼────┼────┼────┼───────┼───────┼── … ──┤ beyond
//!          1 µs wide          1 µs             2 µs               four to an octave
//! ```

use crate::observe::counters::{Commands, Counter};
use crate::proto::Codec;

/// Buckets of an octave: a percentile is told within an eighth of itself.
const PER_OCTAVE: u32 = 4;
const PER_OCTAVE_BITS: u32 = PER_OCTAVE.trailing_zeros();
/// The last power of two that is told apart, in microseconds: a good second.
const OCTAVE_MAX: u32 = 20;
/// All buckets; the last is for what lies beyond.
pub const BUCKETS: usize = ((OCTAVE_MAX - PER_OCTAVE_BITS + 1) * PER_OCTAVE) as usize + 1;

/// The bucket of a duration. Its upper end belongs to it, as Prometheus wants it: 4 µs
/// exactly are "at most 4 µs".
#[inline]
fn bucket_of(nanos: u64) -> usize {
    let micros = nanos.saturating_sub(1) / 1000;
    if micros < u64::from(PER_OCTAVE) {
        return micros as usize;
    }
    let octave = micros.ilog2();
    let part = (micros >> (octave - PER_OCTAVE_BITS)) as u32 & (PER_OCTAVE - 1);
    let bucket = (octave - PER_OCTAVE_BITS + 1) * PER_OCTAVE + part;
    (bucket as usize).min(BUCKETS - 1)
}

/// The upper end of a bucket in microseconds; `None` for the last, which has none.
#[must_use]
pub fn bucket_end_micros(bucket: usize) -> Option<u64> {
    if bucket + 1 >= BUCKETS {
        return None;
    }
    let next = bucket as u64 + 1;
    let per_octave = u64::from(PER_OCTAVE);
    if next < per_octave {
        return Some(next);
    }
    let octave = next / per_octave - 1;
    Some((per_octave + next % per_octave) << octave)
}

/// One worker's durations of one command in one protocol.
#[derive(Debug)]
struct Series {
    counts: [Counter; BUCKETS],
    sum_nanos: Counter,
}

impl Default for Series {
    fn default() -> Self {
        Series {
            counts: std::array::from_fn(|_| Counter::default()),
            sum_nanos: Counter::default(),
        }
    }
}

/// One worker's durations. Only that worker writes.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Latencies {
    series: [[Series; Commands::COUNT]; Codec::NAMES.len()],
}

impl Latencies {
    /// A turn of `nanos` carried out so many of each command.
    #[inline]
    pub fn record(&self, protocol: usize, done: &Commands, nanos: u64) {
        let bucket = bucket_of(nanos);
        for (series, &count) in self.series[protocol].iter().zip(&done.0) {
            if count > 0 {
                series.counts[bucket].add(count);
                series.sum_nanos.add(nanos.saturating_mul(count));
            }
        }
    }
}

/// The sum over all workers for one command in one protocol.
#[derive(Clone, Debug)]
pub struct Distribution {
    /// One of [`Codec::NAMES`].
    pub protocol: &'static str,
    /// One of [`Commands::NAMES`].
    pub command: &'static str,
    /// How many fell into each bucket.
    pub counts: [u64; BUCKETS],
    /// All durations together.
    pub sum_nanos: u64,
}

/// What all workers measured; only what was ever asked for.
pub fn distributions<'l>(
    workers: impl Iterator<Item = &'l Latencies> + Clone,
) -> Vec<Distribution> {
    let mut all = Vec::new();
    for (protocol_no, protocol) in Codec::NAMES.into_iter().enumerate() {
        for (command_no, command) in Commands::NAMES.into_iter().enumerate() {
            let mut sum = Distribution {
                protocol,
                command,
                counts: [0; BUCKETS],
                sum_nanos: 0,
            };
            for worker in workers.clone() {
                let series = &worker.series[protocol_no][command_no];
                for (total, count) in sum.counts.iter_mut().zip(&series.counts) {
                    *total += count.get();
                }
                sum.sum_nanos += series.sum_nanos.get();
            }
            if sum.counts.iter().any(|&count| count > 0) {
                all.push(sum);
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_lies_in_its_bucket() {
        let mut last = 0;
        for nanos in (0..20_000).chain((20_000..3_000_000_000).step_by(99_991)) {
            let bucket = bucket_of(nanos);
            assert!(bucket >= last, "{nanos} ns");
            last = bucket;
            let begin = match bucket {
                0 => 0,
                _ => bucket_end_micros(bucket - 1).expect("not the last") * 1000 + 1,
            };
            assert!(nanos >= begin, "{nanos} ns in {bucket}, from {begin}");
            if let Some(end) = bucket_end_micros(bucket) {
                assert!(nanos <= end * 1000, "{nanos} ns in {bucket}, to {end}");
            }
        }
        assert_eq!(last, BUCKETS - 1);
    }

    #[test]
    fn powers_of_two_are_ends_of_buckets() {
        for power in 0..=OCTAVE_MAX {
            let micros = 1 << power;
            assert_eq!(bucket_end_micros(bucket_of(micros * 1000)), Some(micros));
        }
        assert_eq!(bucket_of((1000 << OCTAVE_MAX) + 1), BUCKETS - 1);
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn a_turn_counts_for_each_of_its_requests() {
        let workers = [Latencies::default(), Latencies::default()];
        workers[0].record(0, &Commands([3, 0, 0, 0, 0, 0, 0]), 2_500);
        workers[1].record(0, &Commands([1, 2, 0, 0, 0, 0, 0]), 2_600);
        let all = distributions(workers.iter());
        let told: Vec<_> = all
            .iter()
            .map(|sum| (sum.command, sum.counts[2], sum.sum_nanos))
            .collect();
        assert_eq!(told, [("get", 4, 10_100), ("set", 2, 5_200)]);
    }
}
