//! The five ways in which values are sent, for who counts them apart.

use super::ReplyFormat;

/// Which it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speech {
    /// Native lines.
    Native,
    /// memcached's classic commands.
    Memcached,
    /// memcached's meta commands.
    Meta,
    /// Redis' protocol, in either version.
    Resp,
    /// memcached's binary protocol. Behind those that have the short way, which are in that one's order.
    Binary,
}

impl Speech {
    /// How they are called in metrics, in their order.
    pub const NAMES: [&str; 5] = ["native", "memcached", "meta", "resp", "binary"];

    /// Of a request that is answered so.
    #[inline]
    #[must_use]
    pub fn of(format: ReplyFormat<'_>) -> Self {
        match format {
            ReplyFormat::Native | ReplyFormat::Sized => Speech::Native,
            ReplyFormat::Values { .. } | ReplyFormat::Words { .. } => Speech::Memcached,
            ReplyFormat::Meta(_) => Speech::Meta,
            ReplyFormat::Binary(_) => Speech::Binary,
            ReplyFormat::Resp(_) => Speech::Resp,
        }
    }
}
