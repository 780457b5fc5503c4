//! Where in a request of RESP the next bytes are.

use super::pubsub::Kind;

/// How a connection speaks RESP, and where in a request it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    /// Version 3: else 2.
    pub(super) v3: bool,
    pub(super) multi: Multi,
    /// It has subscribed to something.
    pub(super) subscribed: bool,
    /// The database that was selected.
    pub(super) database: u8,
    pub(super) at: At,
}

/// Whether requests are executed, or kept until `EXEC`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Multi {
    /// They are executed.
    No,
    /// They are kept.
    Open,
    /// One of them was no command: `EXEC` will refuse them all.
    Spoiled,
}

/// Where in a request the next bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    /// At its beginning.
    Request,
    /// Among the keys of a list, of which so many arguments are left.
    Keys(Many, u32),
    /// Before a key of a list that is longer than any key, of which so many arguments are left with it: it is passed over.
    Passing(Many, u32),
    /// The same, and they are kept until `EXEC`.
    Kept(Many, u32),
    /// Among the arguments of a refused request: so many are left.
    Skipping(u32),
    /// Behind a value whose store has begun: so many arguments say how it ends.
    Options(u32),
    /// Behind a value that takes the place of the one that is answered.
    Swap,
}

/// What is done with each key of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Many {
    /// `MGET`
    Get,
    /// `DEL`, `UNLINK`
    Delete,
    /// `EXISTS`
    Exists,
    /// `TOUCH`
    Touch,
    /// `MSET`: a value follows each key.
    Set,
    /// `WATCH`
    Watch,
    /// `SUBSCRIBE` and its like.
    Subscribe(Kind),
    /// `UNSUBSCRIBE` and its like.
    Unsubscribe(Kind),
    /// `PUBSUB NUMSUB`
    NumSub(Kind),
}

impl Session {
    /// At the beginning, in version 2.
    pub const NEW: Session = Session {
        v3: false,
        multi: Multi::No,
        subscribed: false,
        database: 0,
        at: At::Request,
    };

    /// Between two requests, in database 0.
    #[inline(always)]
    #[must_use]
    pub const fn between(v3: bool) -> Session {
        Session {
            v3,
            multi: Multi::No,
            subscribed: false,
            database: 0,
            at: At::Request,
        }
    }

    /// Whether it is of version 3.
    #[inline(always)]
    #[must_use]
    pub const fn is_v3(self) -> bool {
        self.v3
    }

    /// The same session elsewhere in a request.
    pub(super) const fn at(self, at: At) -> Session {
        Session { at, ..self }
    }

    /// Goes on in version 3, or else 2.
    pub(in crate::proto) fn set_version(&mut self, v3: bool) {
        self.v3 = v3;
    }

    /// Has subscribed to something, or not any more.
    pub(in crate::proto) fn set_subscribed(&mut self, subscribed: bool) {
        self.subscribed = subscribed;
    }

    /// Whether only what has to do with messages may be asked.
    pub(super) fn is_for_messages(self) -> bool {
        self.subscribed && !self.v3
    }

    /// Whether options of a store are to be read here.
    #[must_use]
    pub fn is_unsettled(self) -> bool {
        matches!(self.at, At::Options(_) | At::Swap)
    }

    /// Those options are of no use.
    pub(in crate::proto) fn skip_options(&mut self) {
        self.at = match self.at {
            At::Options(left) => At::Skipping(left),
            At::Swap => At::Request,
            at => at,
        };
    }

    /// What is left of a list is not kept.
    pub(in crate::proto) fn skip_kept(&mut self) {
        if let At::Kept(_, left) = self.at {
            self.at = At::Skipping(left);
        }
    }

    /// Whether a request begins here that is executed at once, in database 0.
    #[must_use]
    pub fn is_between(self) -> bool {
        self.at == At::Request && self.multi == Multi::No && !self.subscribed && self.database == 0
    }

    /// How many keys of an `MGET` are left, if that is executed at once, in database 0.
    #[inline]
    #[must_use]
    pub fn values_left(self) -> Option<u32> {
        let between = Session {
            at: At::Request,
            ..self
        };
        match self.at {
            At::Keys(Many::Get, left) if between.is_between() => Some(left),
            _ => None,
        }
    }

    /// In such a list, before the last so many of its keys; behind the list, if that is none.
    #[inline]
    #[must_use]
    pub const fn before_values(v3: bool, left: u32) -> Session {
        Session {
            at: match left {
                0 => At::Request,
                left => At::Keys(Many::Get, left),
            },
            ..Session::between(v3)
        }
    }

    /// Whether a request begins here, of any kind.
    #[must_use]
    pub fn is_at_request(self) -> bool {
        self.at == At::Request
    }

    /// The database that was selected.
    #[inline(always)]
    #[must_use]
    pub const fn database(self) -> usize {
        self.database as usize
    }

    /// Whether requests are kept.
    #[inline]
    pub(super) fn is_multi(self) -> bool {
        self.multi != Multi::No
    }

    /// The same session, with or without a transaction.
    pub(super) const fn in_multi(self, multi: Multi) -> Session {
        Session { multi, ..self }
    }
}
