//! What a RESP client asks that the other protocols do not.
//!
//! `GET`, plain `SET`s, `DEL` and their like are the commands of all protocols ([`Command`](crate::proto::Command));
//! these are Redis' own.

use super::bits::Span;
use super::names::Name;
use super::pubsub::Messages;
use super::script::{Call, Script};
use super::set::{ExpireIf, SetOptions};
use super::several::{Duplicate, SetMany};
use crate::proto::clients::Clients;
use crate::proto::{Lifetime, Role};

/// `SCRIPT EXISTS` asks for so many at most.
pub const SCRIPTS_ASKED_MAX: usize = 4;

/// `COMMAND INFO`, `CONFIG GET` and their like take so many names at most.
pub const NAMES_ASKED_MAX: usize = 4;
/// A few names, one behind the other.
pub type Names<'a> = [Option<&'a [u8]>; NAMES_ASKED_MAX];

/// One of Redis' own commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op<'a> {
    /// `SET` with a look at what is there, `GETSET`.
    Set(&'a [u8], &'a [u8], SetOptions<'a>),
    /// The same of a value that has just arrived in pieces.
    Settle(SetOptions<'a>),
    /// `GETDEL`
    GetDel(&'a [u8]),
    /// `APPEND`
    Append(&'a [u8], &'a [u8]),
    /// `STRLEN`
    StrLen(&'a [u8]),
    /// `GETRANGE`: from here to there, both counted; what is below 0 counts from the end.
    GetRange(&'a [u8], i64, i64),
    /// `SETRANGE`
    SetRange(&'a [u8], usize, &'a [u8]),
    /// `SETBIT`: which one, and to what.
    SetBit(&'a [u8], u64, bool),
    /// `GETBIT`
    GetBit(&'a [u8], u64),
    /// `BITCOUNT`
    BitCount(&'a [u8], Span),
    /// `BITPOS`: the first bit that is this.
    BitPos(&'a [u8], bool, Span),
    /// `DELEX`, `DELIFEQ`: if the value is this one, or is not.
    DelIf(&'a [u8], Option<(&'a [u8], bool)>),
    /// `INCR`, `DECRBY` and their like.
    Incr(&'a [u8], i64),
    /// `INCRBYFLOAT`
    IncrByFloat(&'a [u8], &'a [u8]),
    /// `EXPIRE` and its like.
    Expire(&'a [u8], Lifetime, ExpireIf),
    /// `PERSIST`
    Persist(&'a [u8]),
    /// `TTL` and its like.
    Ttl(&'a [u8], Ttl),
    /// `TYPE`
    Type(&'a [u8]),
    /// `EXISTS`, for one key.
    Exists(&'a [u8]),
    /// `OBJECT ENCODING` and its like.
    Object(&'a [u8], About),
    /// `SCAN`
    Scan(ScanFrom<'a>),
    /// `KEYS` that match this, in this database.
    Keys(&'a [u8], u8),
    /// `RANDOMKEY` of this database.
    RandomKey(u8),
    /// `RENAME`, `RENAMENX`, `COPY`
    Duplicate(Duplicate<'a>),
    /// `MSETNX`, `MSETEX`
    SetMany(SetMany<'a>),
    /// Nothing: the head of an array of so many, whose members follow.
    Array(u32),
    /// A key that cannot be there: it is too long, or empty.
    Absent,
    /// Nothing at all.
    Nothing,
    /// `PING`, perhaps with what is to come back; `ECHO`.
    Ping(Option<&'a [u8]>),
    /// What is asked about clients; `HELLO`.
    Client(Clients<'a>),
    /// `CLIENT TRACKINGINFO`: it is off.
    TrackingInfo,
    /// `COMMAND`
    Command,
    /// `COMMAND COUNT`
    CommandCount,
    /// `COMMAND LIST`
    CommandList,
    /// `COMMAND DOCS`: of these, or of all.
    CommandDocs(Option<Names<'a>>),
    /// `COMMAND INFO` of these.
    CommandInfo(Names<'a>),
    /// `COMMAND GETKEYS`: these are they.
    CommandKeys(Names<'a>),
    /// `CONFIG GET` of what matches one of these.
    ConfigGet(Names<'a>),
    /// `CONFIG SET`: a name and a value, and perhaps another.
    ConfigSet(Names<'a>),
    /// `CONFIG RESETSTAT`
    ResetStat,
    /// `INFO`: of this section, or of those that are told by default.
    Info(Option<&'a [u8]>),
    /// `DBSIZE` of this database.
    DbSize(u8),
    /// `FLUSHDB` of this database.
    FlushDb(u8),
    /// `TIME`
    Time,
    /// An array of nothing: `LATENCY LATEST`, `MODULE LIST`.
    Empty,
    /// A number: `WAIT`.
    Number(i64),
    /// `SLOWLOG`
    SlowLog(SlowLog),
    /// `HOTKEYS`, so many.
    HotKeys(u8),
    /// `EVAL`, `EVALSHA`
    Eval(Call<'a>),
    /// `SCRIPT LOAD`
    ScriptLoad(&'a [u8], Script),
    /// `SCRIPT EXISTS`
    ScriptExists([Option<&'a [u8]>; SCRIPTS_ASKED_MAX]),
    /// `SCRIPT FLUSH`
    ScriptFlush,
    /// `RESET`: as at the beginning.
    Reset,
    /// `MULTI`: what follows is kept.
    Multi,
    /// Kept until `EXEC`: the bytes of a request, or of a part of one; whether it is the last.
    Queue(&'a [u8], bool),
    /// `EXEC`
    Exec {
        /// One of what was kept was no command.
        spoiled: bool,
    },
    /// `EXEC` with arguments, which it has none of.
    BadExec,
    /// `DISCARD`
    Discard,
    /// `WATCH`, for one key.
    Watch(&'a [u8]),
    /// `UNWATCH`
    Unwatch,
    /// What is asked about messages.
    Messages(Messages<'a>),
    /// `PING` by one who has subscribed.
    Pong(Option<&'a [u8]>),
    /// Not while subscribed.
    OnlyMessages(Name),
    /// There is no such command; and what follows it.
    Unknown(&'a [u8], [Option<&'a [u8]>; 3]),
    /// This command has no such subcommand.
    UnknownSub(Name, &'a [u8]),
    /// Tell which subcommands there are.
    Help(Name),
    /// Too few arguments, or too many.
    WrongArity(Name),
    /// A time that is over, or too far away.
    BadTime(Name),
}

/// Where a `SCAN` goes on, and what it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScanFrom<'a> {
    /// What the call before has answered.
    pub cursor: u64,
    /// About so many keys are gone through.
    pub count: u32,
    /// Only keys that match this.
    pub pattern: Option<&'a [u8]>,
    /// Of a type that is here.
    pub is_string: bool,
    /// Of this database.
    pub database: u8,
}

/// What `TTL` and its like tell of a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ttl {
    /// `TTL`
    Seconds,
    /// `PTTL`
    Millis,
    /// `EXPIRETIME`
    UnixSeconds,
    /// `PEXPIRETIME`
    UnixMillis,
}

/// What is asked about requests that took long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlowLog {
    /// `SLOWLOG GET`: the newest, so many at most.
    Get(usize),
    /// `SLOWLOG LEN`
    Len,
    /// `SLOWLOG RESET`
    Reset,
}

/// What is told of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// `OBJECT ENCODING`
    Encoding,
    /// `OBJECT IDLETIME`
    IdleTime,
    /// `OBJECT REFCOUNT`
    RefCount,
    /// `OBJECT FREQ`
    Freq,
    /// `MEMORY USAGE`
    MemoryUsage,
}

impl<'a> Op<'a> {
    /// The key that it is about.
    #[inline]
    #[must_use]
    pub fn key(&self) -> Option<&'a [u8]> {
        match *self {
            Op::Set(key, ..)
            | Op::GetDel(key)
            | Op::Append(key, _)
            | Op::StrLen(key)
            | Op::GetRange(key, ..)
            | Op::SetRange(key, ..)
            | Op::SetBit(key, ..)
            | Op::GetBit(key, _)
            | Op::BitCount(key, _)
            | Op::BitPos(key, ..)
            | Op::DelIf(key, _)
            | Op::Incr(key, _)
            | Op::IncrByFloat(key, _)
            | Op::Expire(key, ..)
            | Op::Persist(key)
            | Op::Ttl(key, _)
            | Op::Type(key)
            | Op::Exists(key)
            | Op::Watch(key)
            | Op::Object(key, _) => Some(key),
            Op::Eval(call) => call.key,
            _ => None,
        }
    }

    /// The least role that may ask it.
    #[must_use]
    pub fn needs(&self) -> Role {
        match self {
            Op::StrLen(_)
            | Op::GetRange(..)
            | Op::GetBit(..)
            | Op::BitCount(..)
            | Op::BitPos(..)
            | Op::Ttl(..)
            | Op::Type(_)
            | Op::Exists(_)
            | Op::Object(..)
            | Op::Scan(_)
            | Op::Keys(..)
            | Op::RandomKey(_)
            | Op::ConfigGet(_)
            | Op::Info(_)
            | Op::DbSize(_)
            | Op::ScriptExists(_)
            | Op::Watch(_) => Role::Read,
            Op::Set(..)
            | Op::Settle(_)
            | Op::GetDel(_)
            | Op::Append(..)
            | Op::SetRange(..)
            | Op::SetBit(..)
            | Op::DelIf(..)
            | Op::Incr(..)
            | Op::IncrByFloat(..)
            | Op::Expire(..)
            | Op::Persist(_)
            | Op::Duplicate(_)
            | Op::SetMany(_)
            | Op::Eval(_)
            | Op::ScriptLoad(..) => Role::Write,
            // How many there are is a figure like others; what they are is not.
            Op::SlowLog(SlowLog::Len) => Role::Read,
            Op::ConfigSet(_)
            | Op::ResetStat
            | Op::FlushDb(_)
            | Op::ScriptFlush
            | Op::SlowLog(_)
            | Op::HotKeys(_) => Role::Admin,
            Op::Messages(Messages::Publish(..)) => Role::Write,
            Op::Messages(_) => Role::Read,
            Op::Client(asked) => asked.needs(),
            // What is about the connection alone, an answer that is known already, or what is looked at again when it is executed.
            Op::Array(_)
            | Op::Absent
            | Op::Nothing
            | Op::Ping(_)
            | Op::TrackingInfo
            | Op::Command
            | Op::CommandCount
            | Op::CommandList
            | Op::CommandDocs(_)
            | Op::CommandInfo(_)
            | Op::CommandKeys(_)
            | Op::Time
            | Op::Empty
            | Op::Number(_)
            | Op::Reset
            | Op::Multi
            | Op::Queue(..)
            | Op::Exec { .. }
            | Op::BadExec
            | Op::Discard
            | Op::Unwatch
            | Op::Pong(_)
            | Op::OnlyMessages(_)
            | Op::Unknown(..)
            | Op::UnknownSub(..)
            | Op::Help(_)
            | Op::WrongArity(_)
            | Op::BadTime(_) => Role::Nobody,
        }
    }

    /// Whether it is no command, or wrongly asked.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        matches!(
            self,
            Op::Unknown(..) | Op::UnknownSub(..) | Op::WrongArity(_) | Op::BadTime(_)
        )
    }

    /// Whether it may go through much: a turn looks at the clock behind it.
    #[must_use]
    pub fn is_heavy(&self) -> bool {
        matches!(
            self,
            Op::Set(..)
                | Op::Append(..)
                | Op::SetRange(..)
                | Op::SetBit(..)
                | Op::BitCount(..)
                | Op::BitPos(..)
                | Op::Eval(_)
                | Op::Duplicate(_)
                | Op::SetMany(_)
                | Op::Scan(_)
                | Op::Keys(..)
                | Op::RandomKey(_)
                | Op::Info(_)
                | Op::Command
                | Op::CommandDocs(_)
                | Op::CommandList
                | Op::SlowLog(_)
                | Op::HotKeys(_)
                | Op::Messages(_)
                | Op::Client(Clients::List(_) | Clients::Kill(_) | Clients::KillOne(_))
        )
    }
}
