//! Sockets and threads: accepting connections, sharing them out, serving them.

mod events;
pub mod gate;
pub mod listener;
pub mod mailbox;
pub mod ready;
pub mod refuse;
pub mod socket;
pub mod worker;
