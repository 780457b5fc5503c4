//! memcached's text protocol, as version 1.6.45 speaks it.
//!
//! A command is a line that ends in `\n` (one `\r` before it is dropped), with words between
//! spaces; stores have a block of data behind it, as long as the line says, and then `\r\n`.
//! Replies end in `\r\n`.
//!
//! | file | what |
//! |---|---|
//! | `decode` | lines → commands; lists of keys, one key at a time |
//! | `store` | lines with a block of data |
//! | `encode` | replies → lines |
//! | `login` | the one request of those who have not logged in |
//! | `meta`, `meta_encode` | the same for the meta commands, which are made of flags |
//! | `base64` | their keys that are not text |
//!
//! A list of keys is no command of its own: each key is, and [`keys::Keys`] is what has to be
//! remembered between two. So a list of any length is read, prefetched, executed and answered
//! like a pipeline, in a buffer of fixed size.

pub mod decode;
pub mod dump;
pub mod encode;
pub mod keys;
pub mod login;
pub mod meta;
pub mod meta_encode;
pub mod mistake;
mod store;
mod words;
