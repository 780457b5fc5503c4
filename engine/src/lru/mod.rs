//! The order in which items of a class leave: lists, which list an item belongs on, and what decides how long the lists are.

pub(crate) mod choice;
pub(crate) mod list;
pub(crate) mod segments;
pub(crate) mod trials;
