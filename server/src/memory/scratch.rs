//! Where a reply is put together whose length stands before it.
//!
//! Such a reply is a report, which is asked for now and then: one arena for all workers, of a fixed size that is allocated at
//! the start (a part of what the plan gives the process). It is filled from the front and emptied as a whole, so it is
//! `bumpalo`'s.

use bumpalo::Bump;
use bumpalo::collections::Vec;
use parking_lot::Mutex;

use crate::proto::number::Digits;

/// More than twice what the longest report takes, because a text that grows may have to move.
const SCRATCH_BYTES: usize = 16 << 10;

/// The arena.
pub struct Scratch(Mutex<Bump>);

/// A text that is being put together.
pub struct Text<'b>(Vec<'b, u8>);

impl Default for Scratch {
    fn default() -> Self {
        let bump = Bump::with_capacity(SCRATCH_BYTES);
        bump.set_allocation_limit(Some(bump.allocated_bytes()));
        Scratch(Mutex::new(bump))
    }
}

impl Scratch {
    /// Calls `with` with a text that is empty; others wait meanwhile.
    pub fn assemble<T>(&self, with: impl FnOnce(&mut Text<'_>) -> T) -> T {
        let mut bump = self.0.lock();
        // Whoever had it before may have panicked.
        bump.reset();
        with(&mut Text(Vec::new_in(&bump)))
    }
}

impl Text<'_> {
    /// Appends bytes; `None` if the arena is full.
    pub fn put(&mut self, bytes: &[u8]) -> Option<()> {
        self.0.try_reserve(bytes.len()).ok()?;
        self.0.extend_from_slice_copy(bytes);
        Some(())
    }

    /// Appends a number in decimal.
    pub fn number(&mut self, number: u64) -> Option<()> {
        self.put(Digits::of(number).as_bytes())
    }

    /// Appends seconds, from microseconds.
    pub fn micros(&mut self, micros: u64) -> Option<()> {
        self.number(micros / 1_000_000)?;
        self.put(b".")?;
        // Six digits: the leading 1 keeps the zeros.
        self.put(&Digits::of(1_000_000 + micros % 1_000_000).as_bytes()[1..])
    }

    /// Whether nothing was appended.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What was.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_grows_to_the_arenas_end_and_the_next_begins_anew() {
        let scratch = Scratch::default();
        let fill = |text: &mut Text<'_>| {
            let mut puts = 0;
            while text.put(b"0123456789abcdef").is_some() {
                puts += 1;
            }
            assert_eq!(text.bytes().len(), 16 * puts);
            puts
        };
        let puts = scratch.assemble(fill);
        assert!(
            (SCRATCH_BYTES / 32..=SCRATCH_BYTES / 16).contains(&puts),
            "{puts}"
        );
        for _ in 0..3 {
            assert_eq!(scratch.assemble(fill), puts);
        }
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            scratch.assemble(|_| panic!("a bug"));
        }));
        assert!(panicked.is_err());
        assert_eq!(scratch.assemble(fill), puts);
        let words = scratch.assemble(|text| {
            text.number(0)?;
            text.put(b" ")?;
            text.micros(12_000_345)?;
            Some(text.bytes().to_vec())
        });
        assert_eq!(words.as_deref(), Some(&b"0 12.000345"[..]));
    }
}
