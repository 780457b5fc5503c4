//! The commands by their numbers.

/// What a command does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Send the value.
    Get,
    /// Store.
    Set,
    /// Store where nothing is.
    Add,
    /// Store over something.
    Replace,
    /// Remove.
    Delete,
    /// Count up.
    Increment,
    /// Count down.
    Decrement,
    /// Close the connection.
    Quit,
    /// Remove everything.
    Flush,
    /// Nothing: its answer says that all before is answered.
    Noop,
    /// Say the version.
    Version,
    /// Lengthen a value at its end.
    Append,
    /// Lengthen a value at its beginning.
    Prepend,
    /// Send counters.
    Stat,
    /// Write more messages, or fewer.
    Verbosity,
    /// Change the lifetime.
    Touch,
    /// Change the lifetime and send the value.
    GetAndTouch,
    /// Say how one can log in.
    Mechanisms,
    /// Log in.
    Auth,
    /// Go on logging in.
    Step,
}

/// A command in one of its forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opcode {
    /// What it does.
    pub verb: Verb,
    /// Only what the client does not expect is answered: a value that is there, and whatever went wrong with a change.
    pub is_quiet: bool,
    /// The key is repeated.
    pub has_key: bool,
}

impl Opcode {
    /// The command with this number.
    #[inline]
    #[must_use]
    pub const fn of(byte: u8) -> Option<Self> {
        let (verb, is_quiet, has_key) = match byte {
            0x00 => (Verb::Get, false, false),
            0x01 => (Verb::Set, false, false),
            0x02 => (Verb::Add, false, false),
            0x03 => (Verb::Replace, false, false),
            0x04 => (Verb::Delete, false, false),
            0x05 => (Verb::Increment, false, false),
            0x06 => (Verb::Decrement, false, false),
            0x07 => (Verb::Quit, false, false),
            0x08 => (Verb::Flush, false, false),
            0x09 => (Verb::Get, true, false),
            0x0a => (Verb::Noop, false, false),
            0x0b => (Verb::Version, false, false),
            0x0c => (Verb::Get, false, true),
            0x0d => (Verb::Get, true, true),
            0x0e => (Verb::Append, false, false),
            0x0f => (Verb::Prepend, false, false),
            0x10 => (Verb::Stat, false, false),
            0x11 => (Verb::Set, true, false),
            0x12 => (Verb::Add, true, false),
            0x13 => (Verb::Replace, true, false),
            0x14 => (Verb::Delete, true, false),
            0x15 => (Verb::Increment, true, false),
            0x16 => (Verb::Decrement, true, false),
            0x17 => (Verb::Quit, true, false),
            0x18 => (Verb::Flush, true, false),
            0x19 => (Verb::Append, true, false),
            0x1a => (Verb::Prepend, true, false),
            0x1b => (Verb::Verbosity, false, false),
            0x1c => (Verb::Touch, false, false),
            0x1d => (Verb::GetAndTouch, false, false),
            0x1e => (Verb::GetAndTouch, true, false),
            0x20 => (Verb::Mechanisms, false, false),
            0x21 => (Verb::Auth, false, false),
            0x22 => (Verb::Step, false, false),
            0x23 => (Verb::GetAndTouch, false, true),
            0x24 => (Verb::GetAndTouch, true, true),
            _ => return None,
        };
        Some(Opcode {
            verb,
            is_quiet,
            has_key,
        })
    }
}
