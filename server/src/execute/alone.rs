//! What is executed while all other workers stay outside.

use flagstone_engine::Tick;

use super::{Done, Work, resp};
use crate::observe::counters::Counters;
use crate::proto::{Command, Refusal, Reply, ReplyFormat};
use crate::server::shared::Shared;

impl Work<'_> {
    /// Does what [`Work::run`] said is to be done while nobody else does anything.
    pub fn run_alone(
        self,
        shared: &Shared<'_>,
        now: Tick,
        format: ReplyFormat<'_>,
        room: &mut [u8],
        counters: &Counters,
    ) -> Done {
        let Command::Resp(op) = self.command else {
            return Done::Reply(Reply::Refused(Refusal::Malformed));
        };
        let with = resp::With {
            shared,
            now,
            format,
            counters,
        };
        resp::run_alone(op, with, room)
    }
}
