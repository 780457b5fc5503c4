//! Values that go on in further chunks.

use super::View;
use crate::geometry::{LINE_BYTES, WORD_BYTES};
use crate::item::header::{Header, Kind};
use crate::region::Region;

/// So much of an item's next piece is asked for before a piece is copied: until the processor has found out
/// for itself that it goes on and on.
const AHEAD_BYTES: usize = 1536;

/// [`View::copy_value`] of an item of several pieces.
#[inline(never)]
pub(super) fn copy(region: &Region, word: usize, header: Header, out: &mut [u8]) -> bool {
    let mut rest = out;
    let mut piece = View::of(region, word, header);
    // Of the key.
    let mut hidden = piece.key_body_len();
    loop {
        let here = usize::from(piece.header.value_len);
        let skipped = hidden.min(here);
        hidden -= skipped;
        let Some((part, after)) = rest.split_at_mut_checked(here - skipped) else {
            return false;
        };
        // No processor sees ahead where the next piece lies, and the first touch of it would stall the copy.
        let next = region.geometry.word_of(piece.next_piece());
        for ahead in (0..after.len().min(AHEAD_BYTES)).step_by(LINE_BYTES) {
            region.arena.prefetch(next + ahead / WORD_BYTES);
        }
        piece.copy_piece(skipped, part);
        rest = after;
        if rest.is_empty() {
            return true;
        }
        match piece.after() {
            Some(next) => piece = next,
            None => return false,
        }
    }
}

impl<'a> View<'a> {
    /// The piece behind this one, if it can be one. Each has at least a byte, so that whoever goes on from one to the next
    /// without a lock comes to an end.
    #[inline(always)]
    pub(super) fn after(&self) -> Option<View<'a>> {
        View::new(self.region, self.next_piece())
            .filter(|next| next.header.kind() == Kind::Continuation && next.header.value_len > 0)
    }
}
