//! Bytes into the pieces of a reservation, and out of the pieces of an item.

use crate::chunk_ref::ChunkRef;
use crate::geometry::WORD_BYTES;
use crate::item::view::View;
use crate::region::Region;

/// Says how much of the value a piece holds.
pub(crate) fn set_value_here(view: &mut View<'_>, value_len: usize) {
    view.set_header(view.header.with_value_len(value_len));
}

/// Copies one item's value into another's pieces, which have room for exactly that.
pub(crate) fn copy_value(region: &Region, from: ChunkRef, to: ChunkRef) {
    Filler::of_value(region, to).copy(region, from);
}

/// Writes to the pieces that were reserved for a value, one byte after the other.
pub(crate) struct Filler {
    piece: ChunkRef,
    at: usize,
}

impl Filler {
    /// From the body's first byte on, which is the value's unless the key is long.
    pub fn of_body(head: ChunkRef) -> Self {
        Filler { piece: head, at: 0 }
    }

    /// From the value's first byte on.
    pub fn of_value(region: &Region, head: ChunkRef) -> Self {
        let view = View::known(region, head);
        if !view.header.has_long_key() {
            return Filler::of_body(head);
        }
        let (piece, at) = view.value_begin();
        Filler { piece, at }
    }

    /// Appends bytes, for which there is room.
    pub fn write(&mut self, region: &Region, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let view = View::known(region, self.piece);
            let room = usize::from(view.header.value_len) - self.at;
            if room == 0 {
                (self.piece, self.at) = (view.next_piece(), 0);
                continue;
            }
            let (part, after) = rest.split_at(room.min(rest.len()));
            view.write_piece(self.at, part);
            self.at += part.len();
            rest = after;
        }
    }

    /// Appends what of a body is in one piece.
    pub fn copy_piece(&mut self, region: &Region, source: View<'_>) {
        let mut window = [0u8; 32 * WORD_BYTES];
        let here = usize::from(source.header.value_len);
        for at in (0..here).step_by(window.len()) {
            let len = window.len().min(here - at);
            source.copy_piece(at, &mut window[..len]);
            self.write(region, &window[..len]);
        }
    }

    /// Appends the whole value of another item.
    pub fn copy(&mut self, region: &Region, from: ChunkRef) {
        let value_len = View::known(region, from).value_len();
        copy_range(region, from, 0, value_len, |part| self.write(region, part));
    }
}

/// Calls `each` with the bytes of a value from `skipped` on, `left` of them, in parts.
pub(crate) fn copy_range(
    region: &Region,
    from: ChunkRef,
    mut skipped: usize,
    mut left: usize,
    mut each: impl FnMut(&[u8]),
) {
    let mut window = [0u8; 32 * WORD_BYTES];
    let mut source = View::known(region, from);
    skipped += source.key_body_len();
    let mut at = 0;
    while left > 0 {
        let here = usize::from(source.header.value_len);
        let step = skipped.min(here - at);
        at += step;
        skipped -= step;
        if at == here {
            (source, at) = (View::known(region, source.next_piece()), 0);
            continue;
        }
        let len = (here - at).min(window.len()).min(left);
        source.copy_piece(at, &mut window[..len]);
        each(&window[..len]);
        at += len;
        left -= len;
    }
}
