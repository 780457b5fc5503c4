//! What came out of a run: one record, shown as a table, as JSON or as a page; or several of
//! them, one beside another.

mod compare;
mod html;
mod plots;
mod table;
mod words;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::settings::{Length, Settings};
use crate::tally::{SLOT_NS, Tally};
use crate::timeline::Timeline;

pub use compare::Comparison;
use words::date;
pub use words::{grouped, time_text};

/// Facts about the measured part that no thread knows.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// From the start to the last reply, of all rounds.
    pub elapsed_ns: u64,
    /// What the server's threads had in that time.
    pub server_cpu_ns: Option<u64>,
    /// Its memory at the end.
    pub server_resident_bytes: Option<u64>,
    /// Writes of the preload that were refused.
    pub preload_refused: u64,
    /// The first of them.
    pub preload_first_refusal: Option<String>,
    /// What ended it before its time.
    pub failure: Option<String>,
    /// When it began, since 1970.
    pub began: std::time::Duration,
    /// When its last round ended, likewise.
    pub ended: std::time::Duration,
    /// Replies in a second, of each round.
    pub rounds: Vec<f64>,
    /// What the generator's own threads had in the measured time.
    pub generator_cpu_ns: Option<u64>,
}

/// A generator that works for more of its time than this may be what is measured.
const BUSY: f64 = 0.9;

/// The record. Latencies are in microseconds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// What the server was called, if anything.
    #[serde(default)]
    pub name: String,
    /// What was asked for.
    pub settings: Setup,
    /// When it began: date and time of day, UTC.
    #[serde(default)]
    pub began: String,
    /// What ended it before its time, if anything did: then the figures are of what was
    /// measured until then.
    #[serde(default)]
    pub ended_early: Option<String>,
    /// How much of their time the generator's threads worked, from 0 to 1.
    #[serde(default)]
    pub generator_busy: Option<f64>,
    /// From the start to the last reply.
    pub seconds: f64,
    /// Replies.
    pub requests: u64,
    /// Replies in a second.
    pub requests_per_second: f64,
    /// The same of each round.
    #[serde(default)]
    pub rounds: Vec<f64>,
    /// Reads that found a value.
    pub hits: u64,
    /// Reads that did not.
    pub misses: u64,
    /// Replies that said no, in the measured part.
    pub refused: u64,
    /// Refused writes of the preload.
    pub preload_refused: u64,
    /// Values that were not what was asked for.
    pub wrong: u64,
    /// Requests that were due and never answered (fixed rate only). The time that they had
    /// waited when they were given up is among the latencies.
    pub unanswered: u64,
    /// The first refusal, in words.
    pub first_refusal: Option<String>,
    /// The first wrong value, in words.
    pub first_wrong: Option<String>,
    /// Bytes sent.
    pub sent_bytes: u64,
    /// Bytes received.
    pub received_bytes: u64,
    /// The server's CPU time for one request, if its process was named.
    pub server_cpu_us_per_request: Option<f64>,
    /// The server's resident memory at the end, likewise.
    pub server_resident_bytes: Option<u64>,
    /// Latency of all requests.
    pub all: Latency,
    /// Latency of reads, if there were any.
    pub reads: Option<Latency>,
    /// Latency of writes.
    pub writes: Option<Latency>,
    /// Latency of deletes.
    pub deletes: Option<Latency>,
    /// Latency of all requests over time.
    #[serde(default)]
    pub over_time: OverTime,
    /// Replies in each slot of time.
    pub throughput: Throughput,
}

/// The settings, in words and numbers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Setup {
    /// The generator's version.
    pub version: String,
    /// The server.
    pub address: String,
    /// Whether TLS was spoken.
    #[serde(default)]
    pub tls: bool,
    /// The protocol's name.
    pub protocol: String,
    /// Connections.
    pub connections: usize,
    /// Threads.
    pub threads: usize,
    /// Pipeline depth.
    pub pipeline: usize,
    /// Keys.
    pub keys: u32,
    /// Their size.
    pub key_bytes: String,
    /// Keys that a read asks for at once.
    #[serde(default = "one")]
    pub multi_get: usize,
    /// What keys begin with, if that was asked for.
    #[serde(default)]
    pub key_prefix: String,
    /// After how many seconds written values are gone; 0: they stay.
    #[serde(default)]
    pub ttl_seconds: u32,
    /// Values' size.
    pub value_bytes: String,
    /// How keys are drawn.
    pub distribution: String,
    /// reads:writes:deletes.
    pub mix: String,
    /// Requests asked for, if that was the end.
    pub requests: Option<u64>,
    /// Seconds asked for, if that was the end.
    pub seconds: Option<f64>,
    /// Parts in which it was measured.
    #[serde(default = "one")]
    pub rounds: usize,
    /// Requests a second asked for.
    pub rate: Option<f64>,
    /// Whether values were checked.
    pub verify: bool,
    /// The seed.
    pub seed: u64,
    /// Whose keys they are, in hex.
    pub run: String,
}

/// Reports of earlier versions say nothing of several keys or rounds.
fn one() -> usize {
    1
}

/// Latencies of one kind of request, in microseconds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Latency {
    /// How many.
    pub count: u64,
    /// The mean.
    pub mean: f64,
    /// The shortest.
    pub min: f64,
    /// The median.
    pub p50: f64,
    /// 90 in 100 are no longer.
    pub p90: f64,
    /// 99 in 100.
    pub p99: f64,
    /// 999 in 1000.
    pub p999: f64,
    /// 9999 in 10,000.
    pub p9999: f64,
    /// The longest.
    pub max: f64,
    /// Points of the curve: percentile and latency.
    pub curve: Vec<(f64, f64)>,
}

/// Latency over time, in microseconds.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct OverTime {
    /// How long an interval is.
    pub interval_seconds: f64,
    /// The median of the replies of each interval; none: there were no replies.
    pub p50: Vec<Option<f64>>,
    /// 99 in 100 of them were no slower.
    pub p99: Vec<Option<f64>>,
}

/// Throughput over time.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Throughput {
    /// How long a slot is.
    pub slot_seconds: f64,
    /// Replies in each.
    pub replies: Vec<u64>,
}

impl Report {
    /// Puts it together.
    #[must_use]
    pub fn new(settings: &Settings, measured: &Measured, mut tally: Tally) -> Self {
        tally.settle();
        let mut all = tally.latency[0].clone();
        for other in &tally.latency[1..] {
            all.add(other).expect("the bounds are the same");
        }
        // What was given up has a latency, but was not answered.
        let requests = all.len() - tally.unanswered;
        let seconds = measured.elapsed_ns as f64 / 1e9;
        let kind = |at: usize| {
            let histogram: &Histogram<u64> = &tally.latency[at];
            (!histogram.is_empty()).then(|| Latency::of(histogram))
        };
        Report {
            name: settings.name.clone(),
            settings: Setup::of(settings),
            began: date(measured.began.as_secs()),
            ended_early: measured.failure.as_ref().map(|failure| {
                let of = match settings.length {
                    Length::Time(time) => format!("{:.1} s", time.as_secs_f64()),
                    Length::Requests(count) => format!("{} requests", grouped(count)),
                };
                let when = date(measured.ended.as_secs());
                format!(
                    "{when}, after {seconds:.2} s and {} requests of {of}: {failure}",
                    grouped(requests)
                )
            }),
            generator_busy: measured
                .generator_cpu_ns
                .map(|ns| ns as f64 / measured.elapsed_ns as f64 / settings.threads.max(1) as f64),
            seconds,
            requests,
            requests_per_second: requests as f64 / seconds,
            rounds: measured.rounds.clone(),
            hits: tally.hits,
            misses: tally.misses,
            refused: tally.refused,
            preload_refused: measured.preload_refused,
            wrong: tally.wrong,
            unanswered: tally.unanswered,
            first_refusal: tally
                .first_refusal
                .clone()
                .or_else(|| measured.preload_first_refusal.clone()),
            first_wrong: tally.first_wrong.clone(),
            sent_bytes: tally.sent_bytes,
            received_bytes: tally.received_bytes,
            server_cpu_us_per_request: measured
                .server_cpu_ns
                .map(|ns| ns as f64 / 1e3 / requests.max(1) as f64),
            server_resident_bytes: measured.server_resident_bytes,
            all: Latency::of(&all),
            reads: kind(0),
            writes: kind(1),
            deletes: kind(2),
            over_time: OverTime::of(&tally.timeline),
            throughput: Throughput {
                slot_seconds: SLOT_NS as f64 / 1e9,
                replies: tally.slots.clone(),
            },
        }
    }

    /// Whether the server did what was asked of it. Misses are no faults.
    #[must_use]
    pub fn is_faultless(&self) -> bool {
        let faults = self.wrong + self.refused + self.preload_refused + self.unanswered;
        faults == 0 && self.ended_early.is_none()
    }

    /// What is wrong, a sentence each.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let example = |first: &Option<String>| match first {
            Some(first) => format!("; the first: {first}"),
            None => String::new(),
        };
        if let Some(words) = &self.ended_early {
            faults.push(format!("the run ended early, {words}"));
        }
        if self.wrong > 0 {
            let first = example(&self.first_wrong);
            faults.push(format!("{} values were wrong{first}", self.wrong));
        }
        if self.refused + self.preload_refused > 0 {
            let (refused, preload) = (self.refused, self.preload_refused);
            let first = example(&self.first_refusal);
            faults.push(format!(
                "{refused} requests were refused, and {preload} of the preload{first}"
            ));
        }
        if self.unanswered > 0 {
            let unanswered = self.unanswered;
            faults.push(format!(
                "{unanswered} requests were due and had no reply at the end: the server cannot keep the rate"
            ));
        }
        faults
    }

    /// What to keep in mind when reading it, a sentence each. No faults.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let busy = self.generator_busy.filter(|busy| *busy > BUSY);
        let sentence = busy.map(|busy| {
            format!(
                "the generator worked {:.0} % of its time: it may be what was measured, not the server. More --threads, on \
                 processors of their own, or a --rate that it can keep, show the server",
                100.0 * busy.min(1.0)
            )
        });
        sentence.into_iter().collect()
    }

    /// Of the reads, those that found a value, from 0 to 1.
    #[must_use]
    pub fn hit_ratio(&self) -> Option<f64> {
        let reads = self.hits + self.misses;
        (reads > 0).then(|| self.hits as f64 / reads as f64)
    }

    /// What was measured, against what, and when.
    #[must_use]
    pub fn title(&self) -> String {
        format!("{}, {}", self.subject(), self.began)
    }

    /// Whom, and how it was spoken to.
    fn subject(&self) -> String {
        let Setup {
            address, protocol, ..
        } = &self.settings;
        match self.name.as_str() {
            name if name.is_empty() || name == address => format!("{address} in {protocol}"),
            name => format!("{name} ({address}) in {protocol}"),
        }
    }

    /// The record as JSON.
    #[must_use]
    pub fn json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("plain numbers and words");
        text.push('\n');
        text
    }

    /// The record as a page that needs nothing else.
    #[must_use]
    pub fn html(&self) -> String {
        html::page(self)
    }

    /// The record as a table for a terminal.
    #[must_use]
    pub fn table(&self) -> String {
        table::table(self)
    }
}

impl Setup {
    fn of(settings: &Settings) -> Self {
        let (requests, seconds) = match settings.length {
            Length::Requests(requests) => (Some(requests), None),
            Length::Time(time) => (None, Some(time.as_secs_f64())),
        };
        Setup {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            address: settings.address.to_string(),
            tls: settings.tls.is_some(),
            protocol: settings.protocol.name().to_owned(),
            connections: settings.connections,
            threads: settings.threads,
            pipeline: settings.pipeline,
            keys: settings.keys,
            key_bytes: settings.key_bytes.to_string(),
            multi_get: settings.multi_get,
            key_prefix: settings.key_prefix.clone(),
            ttl_seconds: settings.ttl_seconds,
            value_bytes: settings.value_bytes.to_string(),
            distribution: settings.distribution.to_string(),
            mix: settings.mix.to_string(),
            requests,
            seconds,
            rounds: settings.rounds,
            rate: settings.rate,
            verify: settings.verify,
            seed: settings.seed,
            run: format!("{:08x}", settings.run),
        }
    }

    /// One line.
    #[must_use]
    pub fn sentence(&self) -> String {
        let tls = if self.tls { " over TLS" } else { "" };
        format!("{}, {}{tls}, {}", self.address, self.protocol, self.load())
    }

    /// All of it that several servers have in common.
    fn load(&self) -> String {
        let plural = |count: usize, word: &str| {
            let s = if count == 1 { "" } else { "s" };
            format!("{} {word}{s}", grouped(count as u64))
        };
        let rate = match self.rate {
            Some(rate) => format!("{} requests a second", grouped(rate as u64)),
            None => "closed loop".to_owned(),
        };
        let prefix = match self.key_prefix.as_str() {
            "" => String::new(),
            text => format!(" that begin with {text}"),
        };
        let multi_get = match self.multi_get {
            1 => String::new(),
            count => format!(", {} keys a read", grouped(count as u64)),
        };
        let ttl = match self.ttl_seconds {
            0 => String::new(),
            seconds => format!(" that are gone after {} s", grouped(u64::from(seconds))),
        };
        format!(
            "{}, {}, pipeline {}{multi_get}, {rate}; {} keys of {} B{prefix}, values of {} B{ttl}, {}, reads:writes:deletes {}{}",
            plural(self.connections, "connection"),
            plural(self.threads, "thread"),
            self.pipeline,
            grouped(u64::from(self.keys)),
            self.key_bytes,
            self.value_bytes,
            self.distribution,
            self.mix,
            if self.verify {
                ""
            } else {
                ", values not checked"
            },
        )
    }
}

impl Latency {
    fn of(histogram: &Histogram<u64>) -> Self {
        let us = |ns: u64| ns as f64 / 1e3;
        let at = |percent| us(histogram.value_at_percentile(percent).min(histogram.max()));
        Latency {
            count: histogram.len(),
            mean: histogram.mean() / 1e3,
            min: us(histogram.min()),
            p50: at(50.0),
            p90: at(90.0),
            p99: at(99.0),
            p999: at(99.9),
            p9999: at(99.99),
            max: us(histogram.max()),
            curve: curve_percents(histogram.len())
                .into_iter()
                .map(|percent| (percent, at(percent)))
                .collect(),
        }
    }
}

impl OverTime {
    fn of(timeline: &Timeline) -> Self {
        let (p50, p99) = timeline
            .percentiles([50.0, 99.0])
            .into_iter()
            .map(|found| {
                (
                    found.map(|[p50, _]| p50 / 1e3),
                    found.map(|[_, p99]| p99 / 1e3),
                )
            })
            .unzip();
        OverTime {
            interval_seconds: timeline.interval_ns() as f64 / 1e9,
            p50,
            p99,
        }
    }
}

/// Percentiles, closer together towards 100, as far as so many samples tell them apart.
fn curve_percents(count: u64) -> Vec<f64> {
    let mut percents = vec![0.0];
    let mut rest = 1.0; // of all requests, those above
    while rest * count as f64 >= 1.0 && percents.len() < 200 {
        rest *= 0.8;
        percents.push(100.0 * (1.0 - rest));
    }
    percents
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
