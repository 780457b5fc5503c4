//! Chunks: which size a class has, which pages it owns, which chunk is free.

pub(crate) mod free_list;
pub(crate) mod page;
pub(crate) mod runs;
pub(crate) mod size_class;
