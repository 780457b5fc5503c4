//! Writing words and numbers one behind the other into a room that may be too small.

use super::number::Digits;
use super::{Lead, Stat, StatValue};

/// What was written so far.
pub struct Writer<'r> {
    room: &'r mut [u8],
    len: usize,
}

impl<'r> Writer<'r> {
    /// At the front of `room`.
    #[inline]
    pub fn new(room: &'r mut [u8]) -> Self {
        Writer { room, len: 0 }
    }

    /// Bytes that there is room for in all.
    #[must_use]
    pub fn room(&self) -> usize {
        self.room.len()
    }

    /// Appends bytes; `None` if they do not fit.
    #[inline]
    pub fn put(&mut self, bytes: &[u8]) -> Option<()> {
        let end = self.len + bytes.len();
        self.room.get_mut(self.len..end)?.copy_from_slice(bytes);
        self.len = end;
        Some(())
    }

    /// The same, of bytes of which there are most often 8 to 32, as of keys: two moves instead of a call.
    #[inline(always)]
    pub fn put_few(&mut self, bytes: &[u8]) -> Option<()> {
        let end = self.len + bytes.len();
        let to = self.room.get_mut(self.len..end)?;
        self.len = end;
        match bytes.len() {
            16..=32 => put_ends::<16>(bytes, to),
            8..=15 => put_ends::<8>(bytes, to),
            _ => {
                to.copy_from_slice(bytes);
                Some(())
            }
        }
    }

    /// Appends bytes in base64, with its padding.
    pub fn base64(&mut self, bytes: &[u8]) -> Option<()> {
        const DIGITS: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        for part in bytes.chunks(3) {
            let byte = |at: usize| u32::from(part.get(at).copied().unwrap_or(0));
            let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
            let digit = |nth: usize| match nth > part.len() {
                true => b'=',
                false => DIGITS[(bits >> (18 - 6 * nth)) as usize & 63],
            };
            self.put(&[digit(0), digit(1), digit(2), digit(3)])?;
        }
        Some(())
    }

    /// Appends a number in decimal.
    #[inline]
    pub fn number(&mut self, number: u64) -> Option<()> {
        let digit = |number: u64| b'0' + (number % 10) as u8;
        match number {
            0..10 => self.put(&[digit(number)]),
            10..100 => self.put(&[digit(number / 10), digit(number)]),
            100..1000 => self.put(&[digit(number / 100), digit(number / 10), digit(number)]),
            _ => self.long_number(number),
        }
    }

    /// The same of one with more digits than most.
    #[inline(never)]
    fn long_number(&mut self, number: u64) -> Option<()> {
        self.put(Digits::of(number).as_bytes())
    }

    /// Appends a counter's name and value.
    pub fn stat(&mut self, stat: &Stat<'_>) -> Option<()> {
        self.stat_name(stat)?;
        self.put(b" ")?;
        self.stat_value(stat)
    }

    /// Appends a counter's name.
    pub fn stat_name(&mut self, stat: &Stat<'_>) -> Option<()> {
        match stat.lead {
            Lead::None => {}
            Lead::Number(number) => {
                self.number(number)?;
                self.put(b":")?;
            }
            Lead::Items(number) => {
                self.put(b"items:")?;
                self.number(number)?;
                self.put(b":")?;
            }
        }
        self.put(stat.name.as_bytes())
    }

    /// Appends a counter's value.
    pub fn stat_value(&mut self, stat: &Stat<'_>) -> Option<()> {
        match stat.value {
            StatValue::Number(number) => self.number(number),
            StatValue::Text(text) => self.put(text.as_bytes()),
            StatValue::Micros(micros) => self.micros(micros),
        }
    }

    /// Appends seconds, from microseconds.
    pub fn micros(&mut self, micros: u64) -> Option<()> {
        self.number(micros / 1_000_000)?;
        self.put(b".")?;
        // Six digits: the leading 1 keeps the zeros.
        self.put(&Digits::of(1_000_000 + micros % 1_000_000).as_bytes()[1..])
    }

    /// How much was written.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing was.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// Copies `N` to twice as many bytes to as many, by moving both ends.
#[inline(always)]
fn put_ends<const N: usize>(bytes: &[u8], to: &mut [u8]) -> Option<()> {
    *to.first_chunk_mut::<N>()? = *bytes.first_chunk()?;
    *to.last_chunk_mut::<N>()? = *bytes.last_chunk()?;
    Some(())
}

/// Writes `words` to the front of `room`.
#[inline]
pub fn words(words: &[u8], room: &mut [u8]) -> Option<usize> {
    room.get_mut(..words.len())?.copy_from_slice(words);
    Some(words.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes and numbers of every length, into a room that is just large enough, and one that is not.
    #[test]
    fn what_is_put_is_there_and_nothing_else() {
        let bytes: Vec<u8> = (0..=255).collect();
        for len in 0..=bytes.len() {
            let mut room = vec![b'?'; len + 2];
            let mut writer = Writer::new(&mut room);
            assert_eq!(writer.put(b"!"), Some(()));
            assert_eq!(writer.put_few(&bytes[..len]), Some(()));
            assert_eq!(writer.len(), len + 1);
            assert_eq!(room, [b"!", &bytes[..len], b"?"].concat());
            let mut room = vec![b'?'; len];
            let mut writer = Writer::new(&mut room);
            assert_eq!(writer.put(b"!"), (len > 0).then_some(()));
            assert_eq!(writer.put_few(&bytes[..len]), (len == 0).then_some(()));
        }
        let powers = (0..20).map(|digits| 10u64.pow(digits));
        for number in powers
            .flat_map(|power| [power - 1, power, power + 1])
            .chain([u64::MAX])
        {
            let text = number.to_string();
            let mut room = vec![b'?'; text.len() + 1];
            let mut writer = Writer::new(&mut room);
            assert_eq!(writer.number(number), Some(()));
            assert_eq!(room, [text.as_bytes(), b"?"].concat());
            let short = &mut room[..text.len() - 1];
            assert_eq!(Writer::new(short).number(number), None, "{number}");
        }
    }
}
