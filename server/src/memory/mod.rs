//! Where each byte goes: the plan, the container's limit, and what follows it at run time.

pub(crate) mod admission;
pub(crate) mod board;
pub mod cgroup;
pub(crate) mod costs;
pub(crate) mod governor;
pub(crate) mod lease_room;
pub(crate) mod permits;
pub mod plan;
pub(crate) mod program;
pub mod queues;
pub(crate) mod room;
pub(crate) mod scratch;
