//! The keys of a list.

use crate::proto::exptime::Exptime;

/// What the line said before its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keys {
    /// CAS numbers are wanted.
    pub(super) cas: bool,
    /// Lifetimes are to be changed.
    pub(super) touch: Option<Exptime>,
}

impl Keys {
    /// Whether CAS numbers are wanted, of a list that asks for values and changes nothing.
    #[inline]
    #[must_use]
    pub fn only_read(self) -> Option<bool> {
        self.touch.is_none().then_some(self.cas)
    }
}
