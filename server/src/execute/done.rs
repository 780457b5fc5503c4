//! What became of a command.

use flagstone_engine::StoreError;

use crate::proto::{Listing, Refusal, Reply, Topic};

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
    /// The client may do everything from now on.
    LoggedIn,
    /// The session is as at its beginning: whoever has to log in has to do it again.
    Reset,
    /// It may not, and has tried.
    LoginFailed,
    /// The memory is held by transfers under way. Nothing was done; try again later.
    NotNow,
    /// The answer does not fit into the room, but into an empty outbox. Nothing was done.
    NeedsRoom,
    /// The connection is to be closed.
    Quit,
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
