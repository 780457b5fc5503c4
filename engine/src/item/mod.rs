//! Items: header, fields, key and value in a chunk, or in a chain of chunks.

pub(crate) mod extra;
pub(crate) mod header;
pub(crate) mod layout;
pub(crate) mod view;
