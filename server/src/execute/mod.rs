//! One match, `Command × Cache → Reply`.
//!
//! A command is taken in two steps, so that a batch of them can be prefetched in between:
//! [`Work::of`] hashes the key, once; [`Work::run`] does what was asked. The only place that
//! speaks both the vocabulary of the protocols and that of the engine.

mod alone;
mod binary;
pub mod clients;
mod decimal;
mod done;
mod dump;
pub mod flush;
pub mod lifetime;
mod login;
mod long;
pub mod messages;
mod meta;
mod numbers;
mod order;
mod read;
mod resp;

use flagstone_engine::{Cache, CasWish, Key, StoreError, Tick};

pub use self::done::{Done, Seen, Step, refusal};
pub use self::dump::{dump_facts, walk_of};
use self::lifetime::{deadline, seconds_left};
use self::login::log_in;
pub use self::long::{has_newline, may_be_cut, note_store, pin, with_order};
use self::numbers::{NumberChange, NumberChanged};
pub use self::order::Order;
use self::read::{Got, get};
pub use self::resp::{Old, Wanted, With, is_as_seen, look_before};

use crate::observe::counters::Counters;
use crate::proto::binary::Op as BinaryOp;
use crate::proto::clients::Clients;
use crate::proto::resp::Op;
use crate::proto::scan;
use crate::proto::{
    Act, Command, Fate, LONG_KEY_BYTES_MAX, Refusal, Reply, ReplyFormat, Speech, Word,
};
use crate::server::shared::Shared;

static_assertions::const_assert!(LONG_KEY_BYTES_MAX <= flagstone_engine::KEY_BYTES_MAX);
static_assertions::const_assert_eq!(crate::proto::DATABASES, flagstone_engine::DATABASES);

/// A command, with its key hashed if it has one.
#[derive(Clone, Copy)]
pub struct Work<'a> {
    command: Command<'a>,
    key: Option<Key<'a>>,
}

impl<'a> Work<'a> {
    /// Hashes the key of `command`, which is about `database`.
    #[inline]
    pub fn of(cache: &Cache, command: Command<'a>, database: usize) -> Self {
        let Some(key) = command.key() else {
            return Work { command, key: None };
        };
        match cache.key_in(database, key) {
            Ok(key) => Work {
                command,
                key: Some(key),
            },
            // Shorter than what a codec lets through, and longer than what a setting does.
            Err(_) => Work {
                command: Command::Refuse(Refusal::LongKey),
                key: None,
            },
        }
    }

    /// The key whose bucket is worth prefetching.
    #[inline]
    pub fn key(&self) -> Option<Key<'a>> {
        self.key
    }

    /// Whether it may take so long that a turn should look at the clock: it may go through a long value, or through
    /// much of the cache, or try a password.
    #[inline]
    #[must_use]
    pub fn is_heavy(&self) -> bool {
        match self.command {
            Command::Store { terms, .. } => terms.how.joins(),
            // That may be the mode.
            Command::MetaStore { meta, .. } => memchr::memchr(b'M', meta.flags).is_some(),
            Command::Stats(_)
            | Command::Flush { .. }
            | Command::Dump(_)
            | Command::Login { .. } => true,
            Command::Binary(op) => op.is_heavy(),
            Command::Resp(op) => op.is_heavy(),
            _ => false,
        }
    }

    /// Whether what is read behind it may mean something else once it is done: after a flush, a key.
    #[inline]
    #[must_use]
    pub fn changes_session(&self) -> bool {
        matches!(
            self.command,
            Command::Login { .. }
                | Command::Binary(BinaryOp::Login { .. })
                | Command::Resp(
                    Op::Reset
                        | Op::FlushDb(_)
                        | Op::Queue(_, false)
                        | Op::Messages(_)
                        | Op::Client(Clients::Hello(_))
                )
                | Command::Flush { .. }
        )
    }

    /// What is asked about clients, if that is it.
    pub fn about_clients(&self) -> Option<Clients<'a>> {
        match self.command {
            Command::Resp(Op::Client(asked)) => Some(asked),
            _ => None,
        }
    }

    /// Who wants to log in, if anybody does.
    pub fn user(&self) -> Option<&'a [u8]> {
        match self.command {
            Command::Login { user, .. } | Command::Binary(BinaryOp::Login { user, .. }) => {
                Some(user)
            }
            _ => None,
        }
    }

    /// What a client wants to be called that logs in, if it says so.
    pub fn own_name(&self) -> Option<&'a [u8]> {
        match self.command {
            Command::Login { own_name, .. } => own_name,
            _ => None,
        }
    }

    /// The bytes of a request that is kept, or of a part of one; whether it is the last.
    pub fn kept(&self) -> (&'a [u8], bool) {
        match self.command {
            Command::Resp(Op::Queue(bytes, is_last)) => (bytes, is_last),
            _ => (b"", true),
        }
    }

    /// Does it. A value is copied from the cache to the front of `room`, behind its head and
    /// with what may follow it still fitting; `room` is otherwise untouched.
    #[inline]
    pub fn run(
        self,
        shared: &Shared<'_>,
        now: Tick,
        format: ReplyFormat<'_>,
        room: &mut [u8],
        counters: &Counters,
    ) -> Done {
        let Some(key) = self.key else {
            return match self.command {
                Command::Resp(op) => {
                    let with = resp::With {
                        shared,
                        now,
                        format,
                        counters,
                    };
                    resp::run(op, None, with, room)
                }
                _ => self.run_keyless(shared, counters),
            };
        };
        let cache = shared.cache;
        Done::Reply(match self.command {
            Command::Get { .. } => match get(cache, key, now, format, room) {
                Got::Value { len } => {
                    counters.hits.add(1);
                    match may_be_cut(shared, format) && scan::has_newline(&room[..len]) {
                        false => Reply::Value { len },
                        true => Reply::Refused(Refusal::Malformed),
                    }
                }
                Got::Missing => {
                    counters.misses.add(1);
                    Reply::Missing
                }
                Got::TooLong(len) => return Done::TooLong(len),
                Got::NotNow => return Done::NotNow,
            },
            Command::Store { value, terms, .. } => {
                note_store(shared, format);
                let order = Order::plain(Speech::of(format), &terms, now, &shared.clock);
                return order.run(cache, key, value, now, counters);
            }
            Command::Meta(meta) => {
                return meta::run(shared, key, meta, now, format, room, counters);
            }
            Command::MetaStore { meta, value } => {
                note_store(shared, format);
                return meta::store(shared, key, meta, value, now, counters);
            }
            Command::Delete { .. } => {
                if cache.delete(key, now) {
                    counters.delete_hits.add(1);
                    Reply::Deleted
                } else {
                    counters.delete_misses.add(1);
                    Reply::Missing
                }
            }
            Command::Count { up, by, .. } => return count(cache, key, up, by, now, counters),
            Command::Resp(op) => {
                let with = resp::With {
                    shared,
                    now,
                    format,
                    counters,
                };
                return resp::run(op, Some(key), with, room);
            }
            _ => return self.run_seldom(key, shared, now, format, room, counters),
        })
    }

    /// The same for commands that most clients send seldom, or never.
    #[inline(never)]
    fn run_seldom(
        self,
        key: Key<'_>,
        shared: &Shared<'_>,
        now: Tick,
        format: ReplyFormat<'_>,
        room: &mut [u8],
        counters: &Counters,
    ) -> Done {
        let cache = shared.cache;
        Done::Reply(match self.command {
            Command::GetAndTouch { .. } => match get(cache, key, now, format, room) {
                Got::Value { len } => {
                    if self.touch_after(shared, now).is_err() {
                        return Done::NotNow;
                    }
                    counters.touch_hits.add(1);
                    Reply::Value { len }
                }
                Got::Missing => {
                    counters.touch_misses.add(1);
                    Reply::Missing
                }
                Got::TooLong(len) => return Done::TooLong(len),
                Got::NotNow => return Done::NotNow,
            },
            Command::Touch { lifetime, .. } => {
                match cache.touch(key, deadline(lifetime, now, &shared.clock), now) {
                    Ok(true) => {
                        counters.touch_hits.add(1);
                        Reply::Touched
                    }
                    Ok(false) => {
                        counters.touch_misses.add(1);
                        Reply::Missing
                    }
                    Err(_) => return Done::NotNow,
                }
            }
            Command::Ttl { .. } => {
                counters.others.add(1);
                match cache.meta(key, now) {
                    Some(meta) => Reply::SecondsLeft(seconds_left(meta.deadline, now)),
                    None => Reply::Missing,
                }
            }
            Command::Binary(op) => {
                return binary::run(op, key, shared, now, format, room, counters);
            }
            // The others have no key.
            _ => return self.run_keyless(shared, counters),
        })
    }

    /// The same for commands without a key.
    #[inline(never)]
    fn run_keyless(self, shared: &Shared<'_>, counters: &Counters) -> Done {
        let now = shared.clock.now();
        Done::Reply(match self.command {
            Command::Flush { when } => {
                counters.flushes.add(1);
                if shared.limits.flush {
                    shared.flush.flush(shared.cache, when, now, &shared.clock);
                    Reply::Flushed
                } else {
                    Reply::Refused(Refusal::NotAllowed(Act::Flush))
                }
            }
            Command::LimitMemory { bytes } => {
                let plan = shared.plan;
                let range = plan.memory_bytes_least()..=plan.memory_bytes_max;
                // It takes away from all what they have stored, as flushing does.
                if shared.limits.flush && range.contains(&bytes) {
                    counters.others.add(1);
                    shared.memory.wish(bytes);
                    Reply::Said(Word::Ok)
                } else {
                    counters.refusals.add(1);
                    Reply::Refused(Refusal::NotAllowed(Act::LimitMemory))
                }
            }
            Command::Say(word) => {
                counters.others.add(1);
                Reply::Said(word)
            }
            Command::Login {
                user,
                password,
                lenient,
                ..
            } => {
                return log_in(shared, user, password, lenient, counters);
            }
            Command::Dump(listing) => return Done::Dump(listing),
            Command::Shutdown { mistake: None } if shared.limits.shutdown => {
                shared.shutdown.notify_one();
                return Done::Quit;
            }
            Command::Shutdown {
                mistake: Some(mistake),
            } if shared.limits.shutdown => Reply::Refused(Refusal::Words(mistake)),
            Command::Shutdown { .. } => Reply::Refused(Refusal::NotAllowed(Act::Shutdown)),
            Command::MoveClock { seconds } => {
                if shared.limits.test_hooks {
                    counters.others.add(1);
                    shared.clock.advance(seconds);
                    Reply::Said(Word::Ok)
                } else {
                    counters.refusals.add(1);
                    Reply::Refused(Refusal::Malformed)
                }
            }
            Command::Stall { seconds, busy } => {
                if shared.limits.test_hooks {
                    counters.others.add(1);
                    stall(std::time::Duration::from_secs(seconds), busy);
                    Reply::Said(Word::Ok)
                } else {
                    counters.refusals.add(1);
                    Reply::Refused(Refusal::Malformed)
                }
            }
            Command::Allocate if shared.limits.test_hooks => {
                counters.others.add(1);
                drop(std::hint::black_box(Box::new(now)));
                Reply::Said(Word::Ok)
            }
            Command::Allocate => {
                counters.refusals.add(1);
                Reply::Refused(Refusal::Malformed)
            }
            Command::Refuse(refusal) => {
                counters.refusals.add(1);
                if refusal == Refusal::TooLarge {
                    counters.too_large.add(1);
                }
                Reply::Refused(refusal)
            }
            Command::Binary(op) => return binary::run_keyless(op, shared, counters),
            Command::Stats(topic) => return Done::Stats(topic),
            Command::Quit => return Done::Quit,
            // The others have a key.
            _ => Reply::Refused(Refusal::Malformed),
        })
    }

    /// Changes the lifetime of what was sent, if that was asked for too.
    pub fn touch_after(self, shared: &Shared<'_>, now: Tick) -> Result<(), StoreError> {
        if let (Command::GetAndTouch { lifetime, .. }, Some(key)) = (self.command, self.key) {
            shared
                .cache
                .touch(key, deadline(lifetime, now, &shared.clock), now)?;
        }
        Ok(())
    }
}

fn count(cache: &Cache, key: Key<'_>, up: bool, by: u64, now: Tick, counters: &Counters) -> Done {
    let change = NumberChange {
        up,
        by,
        compare: None,
        cas: CasWish::IfKept,
        touch: None,
        create: None,
    };
    let (hits, misses) = if up {
        (&counters.incr_hits, &counters.incr_misses)
    } else {
        (&counters.decr_hits, &counters.decr_misses)
    };
    Done::Reply(match numbers::change(cache, key, &change, now) {
        Ok(NumberChanged::Done { number, .. }) => {
            hits.add(1);
            Reply::Counted(number)
        }
        Ok(NumberChanged::Missing) => {
            misses.add(1);
            Reply::Missing
        }
        Ok(NumberChanged::NotNumeric) => {
            counters.refusals.add(1);
            Reply::Refused(Refusal::NotNumeric)
        }
        Ok(NumberChanged::Exists) => Reply::Fate(Fate::Exists),
        Err(_) => return Done::NotNow,
    })
}

/// Stops the worker, so that tests see what is said of a worker that is stuck, and of one that is busy.
#[cold]
fn stall(time: std::time::Duration, busy: bool) {
    if !busy {
        return std::thread::sleep(time);
    }
    let begun = std::time::Instant::now();
    while begun.elapsed() < time {
        std::hint::spin_loop();
    }
}
