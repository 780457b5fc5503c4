//! A long value has arrived, and how it is to be stored stands behind it.
//!
//! Where that depends on what is there (`GET`, `KEEPTTL`, `IFEQ`), both are one step because all other workers stay outside
//! meanwhile (`server/gates`): the look, and the link.

use std::io;

use super::{Halt, Phase, RequestLoop};
use crate::conn::large::{Large, LargeNo};
use crate::execute::{Done, Old, Wanted, With, Work, look_before};
use crate::proto::{Command, Decoded, Fate, Reply, ReplyFormat};

impl RequestLoop<'_, '_> {
    /// The terms of a value that has arrived are read, and it is stored on them.
    pub(super) fn settle(
        &mut self,
        no: LargeNo,
        bytes: &[u8],
        at: &mut usize,
    ) -> io::Result<Option<Halt>> {
        if let Some(halt) = self.lacks_room()? {
            return Ok(Some(halt));
        }
        let request = match self.conn.codec.decode(&bytes[*at..]) {
            Decoded::More => return Ok(Some(Halt::Hungry)),
            Decoded::Request(request) => request,
            Decoded::HangUp(words) => return self.hang_up(words).map(Some),
            Decoded::Long(_) => return Err(io::ErrorKind::InvalidData.into()),
        };
        // What was there is the answer, and has the whole outbox.
        let wanted = Wanted::of(request.command);
        if wanted.is_some_and(|wanted| wanted.answers_old())
            && !self.tools.outbox.is_empty()
            && let Some(halt) = self.empty_outbox()?
        {
            return Ok(Some(halt));
        }
        if let Some(wanted) = wanted {
            self.be_alone();
            let is_settled = self.settle_over(no, &wanted, request.format);
            self.be_beside();
            if !is_settled {
                return Ok(Some(Halt::WaitLarge));
            }
            *at += request.taken;
            self.conn.codec.go_on(request.inside);
            return Ok(None);
        }
        self.after_transfer(no, "set");
        let large = self.tools.larges.take(no);
        self.conn.phase = Phase::Requests;
        *at += request.taken;
        self.conn.codec.go_on(request.inside);
        let Some(Large::Storing {
            mut reservation,
            order,
            ..
        }) = large
        else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        if let Command::Settle(terms) = request.command {
            let order = order.settle(
                &mut reservation,
                &terms,
                self.tools.now,
                &self.tools.shared.clock,
            );
            let (hash, deadline) = (reservation.hash(), order.deadline());
            let reply = order.commit(reservation, self.tools.now, self.tools.counters);
            self.note_committed(hash, deadline, &reply);
            self.push(request.format, reply);
            return Ok(None);
        }
        // What else it is needs no value.
        drop(reservation);
        let (room, work) = (
            self.tools.outbox.room(),
            Work::of(
                self.tools.shared.cache,
                request.command,
                self.conn.codec.database(),
            ),
        );
        match work.run(
            self.tools.shared,
            self.tools.now,
            request.format,
            room,
            self.tools.counters,
        ) {
            Done::Reply(reply) => self.push(request.format, reply),
            _ => return Err(io::ErrorKind::InvalidData.into()),
        }
        Ok(None)
    }

    /// A value is stored as what is there allows, and what was there is the answer if that is asked for. False: there is no
    /// memory for it at the moment, and nothing has happened.
    fn settle_over(&mut self, no: LargeNo, wanted: &Wanted<'_>, format: ReplyFormat<'_>) -> bool {
        let with = With {
            shared: self.tools.shared,
            now: self.tools.now,
            format,
            counters: self.tools.counters,
        };
        let room = self.tools.outbox.room();
        let Some(Large::Storing { reservation, .. }) = self.tools.larges.get_mut(no) else {
            return false;
        };
        let Ok(before) = reservation.with_key(|key| look_before(key, wanted, with, room)) else {
            return false;
        };
        self.after_transfer(no, "set");
        let (large, answer) = match before.value {
            Some(Old::Held(pinned, head_len)) => {
                let value_len = pinned.meta().value_len;
                // Its place and its permit are those of what has arrived: nobody is waited for.
                let large = self.tools.larges.swap(no, pinned, format.value_tail());
                self.tools.outbox.filled(head_len);
                self.begin_sending(no, None, value_len);
                (large, None)
            }
            value => {
                self.conn.phase = Phase::Requests;
                let answer = match (value, before.until) {
                    (Some(Old::Copied(len)), _) => Reply::Value { len },
                    (None, Some(_)) if !wanted.answers_old() => Reply::Store {
                        fate: Fate::Done,
                        cas: 0,
                        value_len: 0,
                    },
                    _ => Reply::Missing,
                };
                (self.tools.larges.take(no), Some(answer))
            }
        };
        if let Some(Large::Storing {
            mut reservation,
            order,
            ..
        }) = large
            && let Some(until) = before.until
        {
            let order = order.settle_over(&mut reservation, until);
            let hash = reservation.hash();
            // The link of what has arrived does not fail.
            let reply = order.commit(reservation, self.tools.now, self.tools.counters);
            self.note_committed(hash, until, &reply);
        } else {
            // Like one that is at hand, and not stored either.
            self.tools.counters.puts.add(1);
        }
        if let Some(answer) = answer {
            self.push(format, answer);
        }
        true
    }
}
