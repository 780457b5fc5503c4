//! What memcached's two protocols, text and binary, both mean: their numbers for lifetimes, and the version. It is here
//! so that neither needs the other.

use super::terms::Lifetime;

/// The version that clients are told, which they compare with memcached's: the one whose
/// protocol this is, and who really speaks it.
pub const VERSION: &str = "1.6.45";

/// A relative lifetime is at most 30 days; what is longer counts from 1970.
const RELATIVE_SECONDS_MAX: i64 = 60 * 60 * 24 * 30;

/// What memcached's clients mean by a number for a lifetime. A date that is too far away is the last that there is: in
/// memcached some commands take such a number for one of the past, and others refuse it.
#[inline]
pub(super) fn lifetime(exptime: i64) -> Lifetime {
    Exptime::of(exptime).lifetime()
}

/// Such a number, in few bytes: a connection keeps one among the keys of a list. `u32::MAX` is the last date, and stands for
/// what is far away as well; 0 for ever; what is below 0 is one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exptime(Option<u32>);

impl Exptime {
    #[inline]
    pub(super) fn of(exptime: i64) -> Self {
        Exptime(match exptime {
            ..0 => None,
            _ => Some(u32::try_from(exptime).unwrap_or(u32::MAX)),
        })
    }

    #[inline]
    pub(super) fn lifetime(self) -> Lifetime {
        match self.0 {
            None => Lifetime::Past,
            Some(0) => Lifetime::Forever,
            Some(seconds) if i64::from(seconds) <= RELATIVE_SECONDS_MAX => {
                Lifetime::Counted(seconds)
            }
            Some(seconds) => Lifetime::Until(seconds),
        }
    }
}
