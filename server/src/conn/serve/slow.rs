//! What is measured by itself: requests that go through much, and values in pieces.

use flagstone_engine::Key;

use super::{Phase, RequestLoop};
use crate::clock::exact_nanos;
use crate::conn::large::LargeNo;
use crate::conn::slow::Late;
use crate::observe::slow_log::Cause;

impl RequestLoop<'_, '_> {
    /// The clock runs from before a request that may go through much. Says what it said.
    #[inline(never)]
    pub(super) fn begin_heavy(&mut self) -> u64 {
        self.budget.is_late();
        self.budget.seen_nanos
    }

    /// Such a request is over, which stands at the front of `bytes`. Says whether the turn has taken too long.
    #[inline(never)]
    pub(super) fn after_heavy(&mut self, since: u64, bytes: &[u8]) -> bool {
        let is_late = self.budget.is_late();
        let nanos = self.budget.seen_nanos - since;
        if nanos >= self.tools.shared.slow_log.threshold_nanos() {
            let named = self.conn.codec.name_request(bytes);
            let late = Late::named(
                named,
                self.conn.codec.database(),
                self.tools.shared,
                self.tools.now,
            );
            self.note_late(Late { nanos, ..late });
        }
        is_late
    }

    /// A value begins to come or go in pieces.
    pub(super) fn begin_transfer(&mut self, no: LargeNo, key: Option<Key<'_>>, len: Option<usize>) {
        let key = key.map(|key| self.tools.shared.slow_log.print(key));
        self.tools.larges.note_begin(no, key, len);
    }

    /// The same of one that goes out.
    pub(super) fn begin_sending(&mut self, no: LargeNo, key: Option<Key<'_>>, len: usize) {
        self.begin_transfer(no, key, Some(len));
        self.conn.phase = Phase::Sending(no);
    }

    /// A value that came or went in pieces is there.
    #[inline(never)]
    pub(super) fn after_transfer(&mut self, no: LargeNo, word: &'static str) {
        let Some(begin) = self.tools.larges.begin_of(no) else {
            return;
        };
        let nanos = exact_nanos().saturating_sub(begin.nanos);
        if nanos >= self.tools.shared.slow_log.threshold_nanos() {
            self.note_late(Late {
                word: word.as_bytes(),
                key: begin.key,
                value_bytes: begin.value_bytes,
                nanos,
                cause: Cause::LongValue,
                requests: 1,
                protocol_no: 0,
            });
        }
    }

    fn note_late(&mut self, late: Late<'_>) {
        let late = Late {
            protocol_no: self.conn.codec.name_no(),
            ..late
        };
        late.note(self.tools.client, self.tools.shared, self.tools.now);
        self.tools.first.is_noted = true;
    }
}
