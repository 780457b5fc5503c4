//! What became of a command.

use flagstone_engine::StoreError;

use crate::proto::{Listing, Refusal, Reply, Role, Topic};

/// What became of a command.
pub enum Done {
    /// It is done; this is the answer.
    Reply(Reply<'static>),
    /// The value, of so many bytes, is longer than the room. Nothing was done.
    TooLong(usize),
    /// The counters are asked for, which the caller gathers.
    Stats(Topic),
    /// Items are asked for, which the caller goes through.
    Dump(Listing),
    /// The client may do so much from now on.
    LoggedIn(Role),
    /// The session is as at its beginning: whoever has to log in has to do it again.
    Reset,
    /// It is about messages between clients, for which the caller carries it out.
    Messages,
    /// It is about clients, for which the caller carries it out.
    Client,
    /// It may not, and has tried.
    LoginFailed,
    /// The memory is held by transfers under way. Nothing was done; try again later.
    NotNow,
    /// The answer does not fit into the room, but into an empty outbox. Nothing was done.
    NeedsRoom,
    /// Something about a transaction, which is the connection's.
    Step(Step),
    /// It is done while nobody else does anything: see [`Work::run_alone`](super::Work::run_alone).
    Alone,
    /// The connection is to be closed.
    Quit,
    /// The same, behind this answer.
    Close(Reply<'static>),
}

/// What a request does with its connection's transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It begins.
    Begin,
    /// The request is kept.
    Keep,
    /// What was kept is executed, unless one of it was no request.
    Execute {
        /// It was none.
        spoiled: bool,
    },
    /// What was kept and what was watched is forgotten.
    Forget,
    /// The same, because the request to execute it was none.
    Abort,
    /// The key is watched from now on: this is how it looks.
    Watch(Seen),
    /// What was watched is forgotten.
    Unwatch,
}

/// How an item looks: whether it is the same one later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its CAS number; `None`: there is no item.
    pub cas: Option<u64>,
    /// Its deadline, in milliseconds.
    pub deadline: Option<u64>,
}

/// The refusal that tells a client about `error`.
#[must_use]
pub fn refusal(error: StoreError) -> Refusal {
    match error {
        StoreError::TooLarge => Refusal::TooLarge,
        // `NoSpace`, `LengthMismatch`, and whatever else may pass by itself.
        _ => Refusal::NoSpace,
    }
}

impl Seen {
    /// No CAS number and no deadline is this.
    const NONE: u64 = u64::MAX;

    /// In two numbers.
    #[must_use]
    pub fn pack(self) -> [u64; 2] {
        [self.cas, self.deadline].map(|number| number.unwrap_or(Self::NONE))
    }

    /// From them.
    #[must_use]
    pub fn unpack(numbers: [u64; 2]) -> Self {
        let [cas, deadline] = numbers.map(|number| (number != Self::NONE).then_some(number));
        Seen { cas, deadline }
    }
}
