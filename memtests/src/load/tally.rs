//! What a run saw: counts, ratios and everything that was wrong.

use super::ledger::Ledger;
use super::{Phase, Role};
use crate::dialect::{Asked, Reply};
use crate::value::{Wrong, check_value};
use std::fmt;

/// Faults kept in full; the rest are only counted, or a broken server would fill the screen.
const FAULTS_KEPT: usize = 12;

/// Something that must not happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The value is another key's, torn, or damaged.
    Value {
        /// The key asked for.
        key: u32,
        /// What is wrong with the answer.
        wrong: Wrong,
    },
    /// A whole value, but older than one acknowledged before the question: an update was lost.
    Stale {
        /// The key asked for.
        key: u32,
        /// The version that came.
        found: u32,
        /// The oldest version that could rightly come.
        acked: u32,
    },
    /// A version that nobody has written.
    Invented {
        /// The key asked for.
        key: u32,
        /// The version that came.
        found: u32,
    },
    /// A request was answered with something else than its verb allows.
    Refused {
        /// Whose request.
        role: Role,
        /// What was asked.
        asked: Asked,
        /// The first bytes of the reply.
        reply: String,
    },
    /// Bytes came that nobody had asked for.
    Unasked {
        /// Who received them.
        role: Role,
    },
    /// The server closed or refused a connection that did nothing wrong.
    Closed {
        /// Whose connection.
        role: Role,
        /// When.
        phase: Phase,
    },
    /// Requests without an answer, long after the storm.
    Unanswered {
        /// Who waits.
        role: Role,
        /// For so many replies.
        pending: usize,
    },
    /// A phase did not end in its time.
    Late {
        /// The phase.
        phase: Phase,
        /// The bytes written until then.
        written_bytes: u64,
    },
}

/// Whose GET it is: the ratios are kept apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reader {
    /// A key that is read all the time.
    Hot,
    /// One of the keys written last, after the storm.
    Newest,
    /// A value of 1 MiB, just written by the same connection.
    Large,
    /// The same, missed after a long wait.
    LargeLate,
    /// Anything else: a miss says nothing.
    Any,
}

/// A request on its way.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pending {
    Put {
        key: u32,
        version: u32,
    },
    Get {
        key: u32,
        acked: u32,
        reader: Reader,
    },
    Never {
        key: u32,
    },
}

impl Pending {
    pub(super) fn asked(&self) -> Asked {
        if matches!(self, Pending::Put { .. }) {
            Asked::Put
        } else {
            Asked::Get
        }
    }
}

/// Fewer questions than these say little about a share.
const QUESTIONS_FEW: u64 = 16;

/// Hits and questions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ratio {
    /// Questions answered with a value.
    pub hits: u64,
    /// All questions.
    pub gets: u64,
}

impl Ratio {
    /// Between 0 and 1; 1 when nothing was asked.
    #[must_use]
    pub fn share(self) -> f64 {
        if self.gets == 0 {
            1.0
        } else {
            self.hits as f64 / self.gets as f64
        }
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{:.1} %", 100.0 * self.share()))
    }
}

/// The outcome of a run.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// PUTs acknowledged.
    pub puts: u64,
    /// Bytes of keys and values that the writers sent.
    pub written_bytes: u64,
    /// GETs whose outcome says nothing by itself.
    pub any: Ratio,
    /// The small set that is read throughout.
    pub hot: Ratio,
    /// The keys written last, read after the storm.
    pub newest: Ratio,
    /// 1 MiB values, read by their writer: those found, and those missed at once.
    pub large: Ratio,
    /// 1 MiB values missed after a wait, which says nothing.
    pub large_late: Ratio,
    /// Connections made, all in all.
    pub connects: u64,
    /// The most that stood at once.
    pub connections_peak: usize,
    /// Visitors that found the house full and were told so: the server's right, and rare.
    pub turned_away: u64,
    /// Clients which never read, or stall in mid-request, that the server hung up on: its right.
    pub hung_up: u64,
    /// The first few things that were wrong.
    pub faults: Vec<Fault>,
    /// How many there were.
    pub fault_count: u64,
}

impl Tally {
    pub(super) fn fault(&mut self, fault: Fault) {
        self.fault_count += 1;
        if self.faults.len() < FAULTS_KEPT {
            self.faults.push(fault);
        }
    }

    /// Judges one reply. Returns whether it was a miss of a hot key: its reader writes the
    /// key again then.
    pub(super) fn judge(
        &mut self,
        ledger: &mut Ledger,
        role: Role,
        pending: Pending,
        reply: Reply<'_>,
    ) -> bool {
        let refuse = |reply: &[u8]| Fault::Refused {
            role,
            asked: pending.asked(),
            reply: String::from_utf8_lossy(&reply[..reply.len().min(80)]).into_owned(),
        };
        match (pending, reply) {
            (Pending::Put { key, version }, Reply::Stored) => {
                self.puts += 1;
                ledger.ack(key, version);
            }
            (Pending::Get { reader, .. }, Reply::Missing) => {
                self.ratio(reader).gets += 1;
                return reader == Reader::Hot;
            }
            (Pending::Get { key, acked, reader }, Reply::Value(value)) => {
                let ratio = self.ratio(reader);
                ratio.gets += 1;
                ratio.hits += 1;
                match check_value(key, value) {
                    Err(wrong) => self.fault(Fault::Value { key, wrong }),
                    Ok(found) if found < acked => self.fault(Fault::Stale { key, found, acked }),
                    Ok(found) if found > ledger.issued(key) => {
                        self.fault(Fault::Invented { key, found })
                    }
                    Ok(_) => {}
                }
            }
            (Pending::Never { .. }, Reply::Missing) => {}
            // Before a word is said, the server cannot know in which protocol to say so.
            (
                Pending::Put { .. },
                Reply::Refused(b"ERROR" | b"ERROR Too many open connections"),
            ) if role == Role::Visitor => self.turned_away += 1,
            (Pending::Never { key }, Reply::Value(_)) => {
                self.fault(Fault::Invented { key, found: 0 })
            }
            (_, Reply::Refused(reply) | Reply::Value(reply)) => self.fault(refuse(reply)),
            (_, Reply::Stored | Reply::Missing) => {
                self.fault(refuse(b"the answer to another question"))
            }
        }
        false
    }

    fn ratio(&mut self, reader: Reader) -> &mut Ratio {
        match reader {
            Reader::Hot => &mut self.hot,
            Reader::Newest => &mut self.newest,
            Reader::Large => &mut self.large,
            Reader::LargeLate => &mut self.large_late,
            Reader::Any => &mut self.any,
        }
    }

    /// Nothing wrong, and the ratios as they should be; or a paragraph that says what is not.
    pub fn verdict(&self, hits: HitsExpected) -> Result<(), String> {
        let mut wrong = String::new();
        for (what, ratio, least) in [
            ("hot keys", self.hot, hits.hot),
            ("keys written last", self.newest, hits.newest),
            ("1 MiB values just written", self.large, hits.large),
        ] {
            // Of 1 MiB values a small limit sees a handful in all, each a tenth of the cache: as many as half are missed by
            // chance.
            let chance = match ratio.gets {
                few @ ..QUESTIONS_FEW => few.div_ceil(2),
                _ => 0,
            };
            if ((ratio.hits + chance) as f64) < least * ratio.gets as f64 {
                wrong += &format!(
                    "{what}: {} of {} found, expected {:.0} %\n",
                    ratio.hits,
                    ratio.gets,
                    100.0 * least
                );
            }
        }
        if self.fault_count > 0 {
            wrong += &format!("{} faults, the first:\n", self.fault_count);
            for fault in &self.faults {
                wrong += &format!("  {fault:?}\n");
            }
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }
}

/// The least share of hits that a right server shows, per kind of key.
#[derive(Clone, Copy, Debug)]
pub struct HitsExpected {
    /// Keys read many times while the cache's content is replaced once.
    /// Not all: in 16 MiB a single value of 1 MiB displaces an eighth of everything.
    pub hot: f64,
    /// Keys written last, together a 32nd of the limit or less: a cache may keep new keys in
    /// probation, a tenth of it, until they are asked for, and most of these never are.
    pub newest: f64,
    /// Values of 1 MiB read right after they were written. Probation is a tenth of the cache: in the smaller limits it
    /// holds one of them, for milliseconds.
    pub large: f64,
}

impl HitsExpected {
    /// What a right server shows inside a limit of `limit_bytes`.
    ///
    /// Under 256 MiB these are floors only, which a cache that forgets at random falls below:
    /// with the storm's connections in place the cache is a few MiB, its content is replaced
    /// several times between two reads of a hot key, and a value of 1 MiB displaces a good part
    /// of it.
    #[must_use]
    pub fn of(limit_bytes: u64) -> Self {
        if limit_bytes < 256 << 20 {
            Self {
                hot: 0.50,
                newest: 0.20,
                large: 0.25,
            }
        } else {
            Self::default()
        }
    }
}

impl Default for HitsExpected {
    fn default() -> Self {
        Self {
            hot: 0.80,
            newest: 0.90,
            large: 0.80,
        }
    }
}
