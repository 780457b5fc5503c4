//! What is asked next: a kind by the mix, a key by the distribution, a size by the range.

use crate::keys::{KeyDraw, KeyNames, Prefix};
use crate::many::Many;
use crate::random::Random;
use crate::settings::Settings;
use crate::value::TypeCase;
use crate::wire::Asked;

/// Builds requests, each thread its own sequence.
pub(crate) struct Requests<'s> {
    settings: &'s Settings,
    case: &'s TypeCase,
    names: KeyNames<'s>,
    draw: KeyDraw,
    random: Random,
    version: u32,
}

impl<'s> Requests<'s> {
    /// The sequence of thread `number`.
    pub fn new(
        settings: &'s Settings,
        (case, prefix): (&'s TypeCase, &'s Prefix),
        number: usize,
    ) -> Self {
        Requests {
            settings,
            case,
            names: KeyNames::of_run(settings.key_bytes, settings.run, prefix),
            draw: KeyDraw::new(settings.distribution, settings.keys),
            random: Random::new(settings.seed ^ (number as u64) << 32),
            // Threads write different versions.
            version: (number as u32) << 24,
        }
    }

    /// How keys are called.
    pub fn names(&self) -> KeyNames<'s> {
        self.names
    }

    /// Appends a request of the mix; `many` keeps the keys of one that reads several.
    #[inline]
    pub fn write_any(&mut self, out: &mut Vec<u8>, many: &mut Many) -> (Asked, u32) {
        let settings = self.settings;
        let mix = settings.mix;
        let key = self.draw.next(&mut self.random);
        let lot = if mix.reads == mix.total() {
            0
        } else {
            self.random.below(u64::from(mix.total())) as u32
        };
        if lot < mix.reads && settings.multi_get > 1 {
            let (draw, random) = (&self.draw, &mut self.random);
            let mut first = Some(key);
            let next = || first.take().unwrap_or_else(|| draw.next(random));
            many.write(settings.protocol, out, self.names, settings.multi_get, next);
            (Asked::Read, key)
        } else if lot < mix.reads {
            settings.protocol.write_read(out, self.names, key);
            (Asked::Read, key)
        } else if lot < mix.reads + mix.writes {
            self.write_value(out, key);
            (Asked::Write, key)
        } else {
            settings.protocol.write_delete(out, self.names, key);
            (Asked::Delete, key)
        }
    }

    /// Appends a write of a new version of `key`.
    #[inline]
    pub fn write_value(&mut self, out: &mut Vec<u8>, key: u32) {
        let settings = self.settings;
        let sizes = settings.value_bytes;
        let span = (sizes.max - sizes.min) as u64;
        let len = match span {
            0 => sizes.min,
            _ => sizes.min + self.random.below(span + 1) as usize,
        };
        self.version = self.version.wrapping_add(1);
        let value = (key, self.version, len);
        settings
            .protocol
            .write_write(out, self.names, self.case, value, settings.ttl_seconds);
    }
}
