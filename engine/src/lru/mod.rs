//! The order in which items of a class leave: lists, which list an item belongs on, what decides how long the lists are, and
//! what the hit ratio would be at other sizes.

pub(crate) mod choice;
pub(crate) mod curve;
pub(crate) mod list;
pub(crate) mod segments;
pub(crate) mod trials;
