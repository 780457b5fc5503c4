//! What is known of an item.

/// What is known of an item when its value is sent, or told instead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The value's length.
    pub value_len: usize,
    /// The client's number.
    pub client_flags: u32,
    /// Its CAS number, if it has one yet.
    pub cas: Option<u64>,
    /// No value follows.
    pub bare: bool,
    /// Seconds until its deadline; `None`: it has none.
    pub seconds_left: Option<u64>,
    /// The same, after the request has changed it.
    pub seconds_then: Option<u64>,
    /// Seconds since it was accessed, as far as anybody knows.
    pub idle_seconds: u64,
    /// It was read before.
    pub read: bool,
    /// It was made for this request.
    pub created: bool,
    /// The value is out of date.
    pub stale: bool,
    /// Somebody else was told to bring a new one.
    pub won: bool,
    /// This client is told so now.
    pub wins: bool,
    /// Its size class.
    pub class: u64,
    /// The memory that it takes.
    pub item_bytes: u64,
}
