//! Values that are longer than a buffer, a piece at a time; and requests that are skipped.

use std::io;
use std::task::Poll;

use flagstone_engine::StoreError;

use super::{Halt, Phase, RequestLoop};
use crate::conn::large::{Begun, Large, LargeNo};
use crate::conn::outbox::Sent;
use crate::execute;
use crate::proto::{
    Answer, HELD, LongHead, Refusal, Reply, ReplyFormat, Rest, Role, Speech, Storing, ValueEnd,
};

/// So much of a value is named in one system call. The kernel takes no more at once by large socket buffers of the default size: a
/// segment that is as long as one can be, and what it still has room for.
const STRAIGHT_BYTES: usize = 64 << 10;

impl RequestLoop<'_, '_> {
    /// A request that is not held whole.
    pub(super) fn begin_long(&mut self, head: LongHead<'_>, at: &mut usize) -> Option<Halt> {
        let (phase, taken, inside) = match head {
            LongHead::Skip {
                answer,
                rest,
                taken,
                inside,
            } => {
                self.tools
                    .counters
                    .refusals
                    .add(u64::from(answer.is_some()));
                (Phase::skipping(answer, rest), taken, inside)
            }
            LongHead::Publish {
                message,
                taken,
                inside,
            } => match self.begin_message(message) {
                Some(phase) => (phase, taken, inside),
                None => return Some(Halt::WaitLarge),
            },
            LongHead::Store {
                storing,
                value_len,
                format,
                taken,
                inside,
            } => {
                let rest = format.value_rest(value_len);
                let begun = match self.conn.codec.permits(Role::Write) {
                    true => self.begin_store(storing, value_len, format),
                    false => Begun::Refused(Refusal::NotPermitted),
                };
                let phase = match begun {
                    Begun::Yes(no, _) => Phase::Storing(no),
                    // The head is read again: nothing of it is taken.
                    Begun::NotNow => return Some(Halt::WaitLarge),
                    Begun::Refused(refusal) => self.refused(format, refusal, rest),
                    Begun::Missing => self.refused(format, Refusal::Malformed, rest),
                };
                (phase, taken, inside)
            }
        };
        self.conn.codec.go_on(inside);
        if let Phase::Skipping { .. } | Phase::SkippingTo { .. } = phase {
            self.conn.codec.give_up_store();
        }
        self.conn.phase = phase;
        *at += taken;
        None
    }

    /// What is left of a value is skipped; what is answered then.
    fn refused(&mut self, format: ReplyFormat<'_>, refusal: Refusal, rest: Rest) -> Phase {
        self.tools.counters.refusals.add(1);
        let answer = match self.conn.codec.gather(format, Reply::Refused(refusal)) {
            Some(Reply::Refused(refusal)) => Some(format.refused(refusal)),
            _ => None,
        };
        Phase::skipping(answer, rest)
    }

    fn begin_store(
        &mut self,
        storing: Storing<'_>,
        value_len: Option<usize>,
        format: ReplyFormat<'_>,
    ) -> Begun {
        let (shared, now) = (self.tools.shared, self.tools.now);
        let database = self.conn.codec.database();
        execute::note_store(shared, format);
        let speech = Speech::of(format);
        let begun = execute::with_order(shared, storing, speech, database, now, |key, order| {
            let begun = self
                .tools
                .larges
                .store(shared.cache, key, order, value_len, format, now);
            match begun {
                Begun::Yes(no, _) => {
                    self.begin_transfer(no, Some(key), value_len);
                    self.tools.sampler.pass(1, |_| Some(key));
                }
                Begun::Refused(refusal) => {
                    order.note_refused(shared.cache, key, refusal, now, self.tools.counters);
                }
                Begun::NotNow | Begun::Missing => {}
            }
            begun
        });
        begun.unwrap_or_else(Begun::Refused)
    }

    pub(super) fn skip(
        &mut self,
        answer: Option<Answer>,
        rest: Rest,
        bytes: &[u8],
        at: &mut usize,
    ) -> io::Result<Option<Halt>> {
        if let Some(halt) = self.lacks_room()? {
            return Ok(Some(halt));
        }
        let (taken, rest) = rest.within(&bytes[*at..]);
        *at += taken;
        if let Some(rest) = rest {
            self.conn.phase = Phase::skipping(answer, rest);
            return Ok(Some(Halt::Hungry));
        }
        self.conn.phase = Phase::Requests;
        if let Some(answer) = answer {
            self.answer_early(answer);
        }
        Ok(None)
    }

    /// A piece of a value comes in.
    pub(super) fn store(
        &mut self,
        no: LargeNo,
        bytes: &[u8],
        at: &mut usize,
    ) -> io::Result<Option<Halt>> {
        if let Some(halt) = self.lacks_room()? {
            return Ok(Some(halt));
        }
        let Some(Large::Storing {
            reservation,
            scan,
            format,
            ..
        }) = self.tools.larges.get_mut(no)
        else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        let bytes = &bytes[*at..];
        // Where nothing follows a value, all of it may have come without a stay in the inbox.
        if bytes.is_empty() && !scan.is_whole() {
            return Ok(Some(Halt::Hungry));
        }
        let format = format.full().plain();
        let part = scan.part(bytes);
        let mut written = Ok(());
        if part.cr_first {
            written = reservation.write(HELD, self.tools.now);
            if written.is_ok() {
                scan.cr_taken();
            }
        }
        let mut some = 0;
        if written.is_ok() {
            let before = reservation.written();
            written = reservation.write(part.bytes, self.tools.now);
            // All of it, or as much as there was memory for.
            some = reservation.written() - before;
            *at += some;
        }
        match written {
            Ok(()) => {
                *at += part.tail;
                scan.taken(part, bytes);
            }
            Err(StoreError::NoSpace) => {
                scan.taken_some(some);
                return Ok(Some(Halt::WaitLarge));
            }
            Err(error) => {
                self.tools.larges.take(no);
                self.conn.phase = self.refused(format.full(), execute::refusal(error), Rest::LINE);
                return Ok(None);
            }
        }
        if part.end == ValueEnd::NotYet {
            return Ok(Some(Halt::Hungry));
        }
        if part.end == ValueEnd::Whole && self.conn.codec.is_unsettled() {
            self.conn.phase = Phase::Settling(no);
            return Ok(None);
        }
        self.conn.phase = Phase::Requests;
        self.after_transfer(no, "set");
        let Some(Large::Storing {
            reservation,
            order,
            format,
            ..
        }) = self.tools.larges.take(no)
        else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        if part.end == ValueEnd::Broken {
            self.conn.codec.give_up_store();
            self.tools.counters.refusals.add(1);
            self.push(format.full(), Reply::Refused(Refusal::BrokenValue));
        } else {
            let (hash, deadline) = (reservation.hash(), order.deadline());
            let reply = order.commit(reservation, self.tools.now, self.tools.counters);
            self.note_committed(hash, deadline, &reply);
            self.push(format.full(), reply);
        }
        Ok(None)
    }

    /// Pieces of a value go out, until it ends, the peer blocks, or the turn is over. What the peer does not take of
    /// it is not kept: it is read again.
    #[inline(never)]
    pub(super) fn send_value(&mut self, no: LargeNo) -> io::Result<Option<Halt>> {
        if !self.tools.larges.resume(no) {
            // The value has left the cache while its peer did not read, and nothing else can be said in its middle.
            self.conn.phase = Phase::Requests;
            self.tools.counters.values_left.add(1);
            return Ok(Some(Halt::Close));
        }
        let halt = match self.conn.stream.is_tls() {
            false => self.send_straight(no)?,
            true => self.send_copies(no)?,
        };
        self.tools
            .larges
            .rest(no, matches!(halt, Some(Halt::Blocked)), self.tools.now);
        Ok(halt)
    }

    /// Straight from the item: what the kernel takes of it is copied once, by the kernel, and nothing by us.
    ///
    /// A call that takes a part says nothing of the next: what acknowledges that part is often there when the call returns.
    fn send_straight(&mut self, no: LargeNo) -> io::Result<Option<Halt>> {
        loop {
            let Some(Large::Sending { pinned, at, tail }) = self.tools.larges.get_mut(no) else {
                return Err(io::ErrorKind::InvalidData.into());
            };
            let Some(socket) = self.conn.stream.plain() else {
                return Err(io::ErrorKind::InvalidData.into());
            };
            let value_len = pinned.meta().value_len;
            let end = value_len + tail.len();
            let before = self.tools.outbox.unsent();
            let behind = &tail[at.saturating_sub(value_len)..];
            let sent = socket.poll_send(|fd| pinned.write_to(fd, before, behind, STRAIGHT_BYTES));
            let Poll::Ready(sent) = sent else {
                return Ok(Some(Halt::Blocked));
            };
            let sent = sent?;
            if sent == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.tools.counters.written_bytes.add(sent as u64);
            let front_len = sent.min(before.len());
            *at += sent - front_len;
            let is_whole = *at == end;
            self.tools.outbox.sent(front_len);
            self.budget.moved_bytes += sent;
            self.budget.spend(0, sent);
            if is_whole {
                return Ok(self.end_sending(no));
            }
            if self.budget.is_spent() {
                return Ok(Some(Halt::Tired));
            }
        }
    }

    /// All of a value is sent.
    fn end_sending(&mut self, no: LargeNo) -> Option<Halt> {
        self.after_transfer(no, "get");
        self.tools.larges.take(no);
        // What is left of a transaction is not in the inbox: the next turn would wait for its socket.
        self.conn.phase = match self.conn.transaction.is_replayed() {
            true => Phase::Replaying,
            false => Phase::Requests,
        };
        self.budget.spend(1, 0);
        let is_over = self.budget.is_spent() || self.tools.outbox.is_limited();
        is_over.then_some(Halt::Tired)
    }

    /// By way of the outbox: TLS reads what it makes a record of.
    fn send_copies(&mut self, no: LargeNo) -> io::Result<Option<Halt>> {
        loop {
            let Some(Large::Sending { pinned, at, tail }) = self.tools.larges.get_mut(no) else {
                return Err(io::ErrorKind::InvalidData.into());
            };
            let value_len = pinned.meta().value_len;
            let room = self.tools.outbox.whole_room();
            let most = room.len().min(value_len.saturating_sub(*at));
            let mut len = pinned.read(&mut room[..most]);
            if len < most {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if *at + len >= value_len {
                let tail = &tail[*at + len - value_len..];
                let most = tail.len().min(room.len() - len);
                room[len..len + most].copy_from_slice(&tail[..most]);
                len += most;
            }
            *at += len;
            let (at, end) = (*at, value_len + tail.len());
            self.tools.outbox.filled(len);
            let before = self.tools.outbox.unsent().len();
            let sent = self
                .tools
                .outbox
                .send(&mut self.conn.stream, self.tools.counters);
            let unsent = self.tools.outbox.unsent().len();
            self.budget.moved_bytes += before - unsent;
            self.budget.spend(0, before - unsent);
            if sent? == Sent::Blocked {
                // Of what is not sent, all but the head.
                let again = unsent.min(at);
                self.tools.outbox.unfill(again);
                if unsent == again {
                    self.tools.outbox.clear();
                }
                if let Some(Large::Sending { pinned, at, .. }) = self.tools.larges.get_mut(no) {
                    *at -= again;
                    pinned.seek((*at).min(value_len));
                }
                return Ok(Some(Halt::Blocked));
            }
            if at == end {
                return Ok(self.end_sending(no));
            }
            if self.budget.is_spent() {
                return Ok(Some(Halt::Tired));
            }
        }
    }
}
