//! Requests about clients. A list of them that does not fit into an outbox goes out row by row.
//!
//! The length of all rows stands before them, and clients come and go meanwhile. So a long list is gone through twice:
//!
//! ```text
//!   Measuring   the sum of what the rows take at most      nothing is sent
//!   Listing     $<sum>  row  row  row … fill=.........     as the peer takes it
//! ```
//!
//! Both are a few hundred rows a turn. Rows that do not fit any more are left out: these are newcomers'. What is left over in
//! the end, because somebody has gone or a row took less, is the value of a last field.

use std::io;

use super::{Halt, Phase, Planned, RequestLoop};
use crate::clients::{ClientNo, Standing, Text};
use crate::conn::list::{FILL_BYTES_LEAST, List, standing};
use crate::execute::clients::{self, Asker, ROW_BYTES_MAX, Told};
use crate::proto::clients::Clients;
use crate::proto::{Fate, REPLY_BYTES_MAX, Refusal, Reply, ReplyFormat, Role};

static_assertions::const_assert!(ROW_BYTES_MAX + 64 <= REPLY_BYTES_MAX);

/// Rows between two looks at the clock.
const ROWS_A_LOOK: u32 = 64;
impl RequestLoop<'_, '_> {
    /// The client has logged in.
    #[cold]
    pub(super) fn logged_in(&mut self, planned: &Planned<'_>, role: Role) {
        let format = planned.format;
        let table = &self.tools.shared.clients;
        if let Some(name) = planned.work.own_name()
            && table.set_text(self.tools.client, Text::Name, name).is_err()
        {
            self.tools.counters.refusals.add(1);
            return self.push(format, Reply::Refused(clients::LONG_NAME));
        }
        self.conn.codec.unlock(format, role);
        // Where nobody has to log in, who says to be somebody is nobody all the same.
        if !self.tools.shared.users.is_empty() {
            let user = planned.work.user().unwrap_or_default();
            table.set_user(self.tools.client, user);
        }
        let greeted = clients::greet(
            format,
            (self.tools.shared, self.tools.client),
            self.tools.outbox.room(),
        );
        let reply = match greeted {
            Some(len) => Reply::Whole { len },
            None => Reply::Store {
                fate: Fate::Done,
                cas: 0,
                value_len: 0,
            },
        };
        self.push(format, reply);
    }

    /// Carries out what is asked about clients. `None`: it is done, or has begun.
    #[cold]
    pub(super) fn about_clients(
        &mut self,
        planned: &Planned<'_>,
        at: &mut usize,
    ) -> io::Result<Option<Halt>> {
        let Some(asked) = planned.work.about_clients() else {
            return Ok(None);
        };
        let asker = Asker {
            no: self.tools.client,
            format: planned.format,
            now: self.tools.now,
        };
        let table = &self.tools.shared.clients;
        self.note_standing(Standing::CLIENT, planned);
        let told = loop {
            match clients::run(asked, table, asker, self.tools.outbox.room()) {
                Told::NeedsRoom if !self.tools.outbox.is_empty() => {
                    if let Some(halt) = self.empty_outbox()? {
                        return Ok(Some(halt));
                    }
                }
                told => break told,
            }
        };
        let len = match told {
            Told::Said(len) | Told::SaidLast(len) => len,
            Told::Refused(words) => {
                self.tools.counters.refusals.add(1);
                self.push(planned.format, Reply::Refused(Refusal::Words(words)));
                return Ok(None);
            }
            Told::NeedsRoom => {
                let kind = match asked {
                    Clients::List(chosen) => chosen.kind,
                    _ => None,
                };
                self.conn.phase = Phase::Measuring(List::new(kind));
                self.tools.counters.others.add(1);
                return Ok(None);
            }
        };
        self.tools.counters.others.add(1);
        self.conn.codec.greeted(planned.format);
        self.push(planned.format, Reply::Whole { len });
        if let Told::SaidLast(_) = told {
            // What was kept with it is executed before it goes.
            if self.conn.transaction.is_replayed() {
                let table = &self.tools.shared.clients;
                table.doom(self.tools.client, table.id(self.tools.client));
                return Ok(None);
            }
            self.tools.counters.clients_killed.add(1);
            return Ok(Some(self.close_behind(planned, at)));
        }
        Ok(None)
    }

    /// Says how the client stands while it asks something of this kind.
    pub(super) fn note_standing(&self, kind: u8, planned: &Planned<'_>) {
        let standing = Standing {
            kind,
            // Where it goes on is told behind the request: of a first one it is not known yet.
            version: clients::version_of(planned.format),
            ..standing(self.conn.codec, self.conn.subscriber.is_some())
        };
        let cell = self.tools.shared.clients.cell(self.tools.client);
        cell.note(standing, self.tools.now);
    }

    /// Adds up what the rows take.
    #[cold]
    pub(super) fn measure(&mut self, mut list: List) -> io::Result<Option<Halt>> {
        let table = &self.tools.shared.clients;
        let places = table.places();
        while list.next < places {
            if list.next.is_multiple_of(ROWS_A_LOOK) && self.budget.is_late() {
                self.conn.phase = Phase::Measuring(list);
                return Ok(Some(Halt::Tired));
            }
            let client = table.get(ClientNo(list.next), self.tools.now);
            if let Some(client) = client.filter(|client| list.wants(client)) {
                list.bytes += clients::row_bytes_most(&client, self.tools.now) as u32;
            }
            list.next += 1;
        }
        self.conn.phase = Phase::Measuring(list);
        if let Some(halt) = self.lacks_room()? {
            return Ok(Some(halt));
        }
        let len = clients::list_head(list.bytes, self.tools.outbox.room());
        self.tools.outbox.filled(len);
        self.budget.spend(1, len);
        self.conn.phase = Phase::Listing(list.rewound());
        Ok(None)
    }

    /// Rows go out, until there are no more, the peer blocks, or the turn is over.
    #[cold]
    pub(super) fn list_clients(&mut self, mut list: List) -> io::Result<Option<Halt>> {
        loop {
            let is_late = list.next.is_multiple_of(ROWS_A_LOOK) && self.budget.is_late();
            let halt = match self.budget.is_spent() || is_late {
                true => Some(Halt::Tired),
                false => self.lacks_room()?,
            };
            if halt.is_some() {
                self.conn.phase = Phase::Listing(list);
                return Ok(halt);
            }
            if list.bytes == 0 {
                self.say(ReplyFormat::LIST_END);
                self.conn.phase = Phase::Requests;
                return Ok(None);
            }
            let len = self.next_row(&mut list);
            self.tools.outbox.filled(len);
            self.budget.spend(0, len);
        }
    }

    /// The next row, if there is one; behind the last, a part of what is left over. Says how long that is.
    fn next_row(&mut self, list: &mut List) -> usize {
        let table = &self.tools.shared.clients;
        let room = self.tools.outbox.room();
        if list.next < table.places() {
            let no = ClientNo(list.next);
            list.next += 1;
            let client = table.get(no, self.tools.now);
            let Some(client) = client.filter(|client| list.wants(client)) else {
                return 0;
            };
            // The end of a line stands before the next, so that the last line can be filled.
            room[0] = b'\n';
            let start = usize::from(list.has_row);
            let len =
                clients::row(&client, self.tools.now, &mut room[start..]).unwrap_or(0) + start;
            if len == start || len as u32 + FILL_BYTES_LEAST > list.bytes {
                return 0;
            }
            list.bytes -= len as u32;
            list.has_row = true;
            return len;
        }
        list.fill(room)
    }
}
