//! A long value has arrived, and how it is to be stored stands behind it.
//!
//! Where that depends on what is there (`GET`, `KEEPTTL`, `IFEQ`), both are one step because all other workers stay outside
//! meanwhile (`server/gates`): the look, and the link.

use std::io;

use flagstone_engine::{Reservation, StoreError};

use super::{Halt, Phase, RequestLoop};
use crate::conn::large::{Begun, Large, LargeNo};
use crate::execute::{self, Done, Old, Order, Wanted, With, Work, look_before};
use crate::proto::{Command, Decoded, Fate, Refusal, Reply, ReplyFormat};

impl<'w> RequestLoop<'_, 'w> {
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
        if let Some(wanted) = wanted {
            self.settle_over((reservation, order), &wanted, request.format);
            return Ok(None);
        }
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

    /// A value is stored as what is there allows, and what was there is the answer if that is asked for.
    fn settle_over(
        &mut self,
        (reservation, order): (Reservation<'w>, Order),
        wanted: &Wanted<'_>,
        format: ReplyFormat<'_>,
    ) {
        self.be_alone();
        self.settle_alone((reservation, order), wanted, format);
        self.be_beside();
    }

    fn settle_alone(
        &mut self,
        (mut reservation, order): (Reservation<'w>, Order),
        wanted: &Wanted<'_>,
        format: ReplyFormat<'_>,
    ) {
        let with = With {
            shared: self.tools.shared,
            now: self.tools.now,
            format,
            counters: self.tools.counters,
        };
        let room = self.tools.outbox.room();
        let before = reservation.with_key(|key| look_before(key, wanted, with, room));
        let before = match before {
            Ok(before) => before,
            Err(error) => return self.refuse(format, execute::refusal(error)),
        };
        let answer = match before.value {
            Some(Old::Copied(len)) => Some(Reply::Value { len }),
            Some(Old::Held(pinned, head_len)) => {
                let value_len = pinned.meta().value_len;
                let tail = format.value_tail();
                let found = || Ok::<_, StoreError>(Some((pinned, head_len)));
                match self
                    .tools
                    .larges
                    .send(tail, value_len, self.tools.now, found)
                {
                    Begun::Yes(no, head_len) => {
                        self.tools.outbox.filled(head_len);
                        reservation.with_key(|key| {
                            self.begin_sending(no, Some(key), value_len);
                        });
                        None
                    }
                    // Nothing is stored whose answer cannot be given.
                    _ => return self.refuse(format, Refusal::NoSpace),
                }
            }
            None if wanted.answers_old() => Some(Reply::Missing),
            None => match before.until {
                Some(_) => Some(Reply::Store {
                    fate: Fate::Done,
                    cas: 0,
                    value_len: 0,
                }),
                None => Some(Reply::Missing),
            },
        };
        let stored = before.until.map(|until| {
            let order = order.settle_over(&mut reservation, until);
            let hash = reservation.hash();
            let reply = order.commit(reservation, self.tools.now, self.tools.counters);
            self.note_committed(hash, until, &reply);
            reply
        });
        match (stored, answer) {
            // The link of what has arrived does not fail; a value that is on its way is not taken back.
            (Some(Reply::Refused(refusal)), Some(_)) => self.push(format, Reply::Refused(refusal)),
            (_, Some(answer)) => self.push(format, answer),
            (_, None) => {}
        }
    }

    fn refuse(&mut self, format: ReplyFormat<'_>, refusal: Refusal) {
        self.tools.counters.refusals.add(1);
        self.push(format, Reply::Refused(refusal));
    }
}
