//! The order in which items of a class leave: lists, and which list an item belongs on.

pub(crate) mod list;
pub(crate) mod segments;
