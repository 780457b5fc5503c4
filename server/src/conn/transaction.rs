//! What a connection keeps and watches, until it is executed together.

use crate::memory::queues::{Queues, Refused, Ticket};

/// What a connection has of its worker's queues.
#[derive(Debug, Default)]
pub struct Transaction {
    pub ticket: Option<Ticket>,
    /// Something was not kept: all of it is refused.
    pub is_spoiled: bool,
    /// It is being executed.
    pub is_replayed: bool,
}

impl Transaction {
    /// Whether it owns anything here.
    #[inline]
    pub fn is_open(&self) -> bool {
        self.ticket.is_some()
    }

    /// Whether what was kept is being executed.
    #[inline]
    pub fn is_replayed(&self) -> bool {
        self.is_replayed
    }

    /// Forgets what is kept and watched.
    pub fn close(&mut self, queues: &mut Queues) {
        if let Some(ticket) = self.ticket.take() {
            queues.close(ticket);
        }
        *self = Transaction::default();
    }

    /// Its queue, which is opened if there is none yet.
    pub fn open(&mut self, queues: &mut Queues, now: u32) -> Result<Ticket, Refused> {
        match self.ticket {
            Some(ticket) => Ok(ticket),
            None => {
                let ticket = queues.open(now)?;
                self.ticket = Some(ticket);
                Ok(ticket)
            }
        }
    }
}
