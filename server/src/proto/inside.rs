//! Which protocols may be spoken, and where in a request the next bytes are.

use super::memcache::keys::Keys;
use super::resp::session::Session;

/// Which protocols a port is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Accepts {
    /// Any: the client's first bytes, and then each line, say which.
    #[default]
    Auto,
    /// The native one.
    Native,
    /// memcached's, in text or binary.
    Memcached,
    /// memcached's binary one.
    Binary,
    /// RESP, Redis'.
    Resp,
}

/// Where in a request the next bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inside {
    /// At its beginning.
    Line,
    /// At its beginning, behind one of memcached's: what is no word is taken for more of that.
    MemcachedLine,
    /// Among the keys of a list.
    Keys(Keys),
    /// At a request's beginning in memcached's binary protocol, which has begun and does not end.
    Binary,
    /// The same, and a login has begun. Variants without contents: their number costs nothing where a request's place is noted.
    BinaryLogin,
    /// In a session of RESP, which has begun and does not end.
    Resp(Session),
}
