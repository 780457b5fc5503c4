//! The bytes of messages, the newest over the oldest.

/// Records begin at multiples of this.
const ALIGN: usize = 8;
/// Length, topic, and the topic's tag.
const HEAD_BYTES: usize = 16;
/// Instead of a length: the next record is at the ring's beginning.
const WRAPS: u32 = u32::MAX;

/// See the module's head. Places count all bytes that were ever appended.
pub struct Ring {
    bytes: Box<[u8]>,
    head: u64,
}

/// One record.
pub struct Record<'r> {
    pub topic: u32,
    pub tag: u32,
    pub bytes: &'r [u8],
    /// Where the next one is.
    pub next: u64,
}

impl Ring {
    pub fn new(bytes: usize) -> Self {
        Ring {
            bytes: vec![0; bytes.next_multiple_of(ALIGN)].into_boxed_slice(),
            head: 0,
        }
    }

    /// Where the next record will be, or a mark that leads to it.
    pub fn head(&self) -> u64 {
        self.head
    }

    /// Whether what was at a place is still there.
    pub fn has(&self, place: u64) -> bool {
        self.head - place <= self.bytes.len() as u64
    }

    fn offset(&self, place: u64) -> usize {
        (place % self.bytes.len() as u64) as usize
    }

    fn number(&self, at: usize) -> u32 {
        let mut number = [0; 4];
        number.copy_from_slice(&self.bytes[at..at + 4]);
        u32::from_ne_bytes(number)
    }

    /// Appends what `write` writes, up to a quarter of the ring, and says where it is. `None`: it does not fit.
    pub fn append(
        &mut self,
        topic: u32,
        tag: u32,
        write: impl FnOnce(&mut [u8]) -> Option<usize>,
    ) -> Option<u64> {
        let most = HEAD_BYTES + self.bytes.len() / 4;
        let mut at = self.offset(self.head);
        if self.bytes.len() - at < most {
            // A multiple of eight bytes is left, so that the mark fits.
            self.bytes[at..at + 4].copy_from_slice(&WRAPS.to_ne_bytes());
            self.head += (self.bytes.len() - at) as u64;
            at = 0;
        }
        let len = write(&mut self.bytes[at + HEAD_BYTES..at + most])?;
        for (no, number) in [len as u32, topic, tag].into_iter().enumerate() {
            self.bytes[at + 4 * no..][..4].copy_from_slice(&number.to_ne_bytes());
        }
        let place = self.head;
        self.head += (HEAD_BYTES + len).next_multiple_of(ALIGN) as u64;
        Some(place)
    }

    /// The record at a place that the ring has. `None`: none is there yet.
    pub fn at(&self, place: u64) -> Option<Record<'_>> {
        let mut place = place;
        if place < self.head && self.number(self.offset(place)) == WRAPS {
            place += (self.bytes.len() - self.offset(place)) as u64;
        }
        if place >= self.head {
            return None;
        }
        let at = self.offset(place);
        let len = self.number(at) as usize;
        Some(Record {
            topic: self.number(at + 4),
            tag: self.number(at + 8),
            bytes: &self.bytes[at + HEAD_BYTES..][..len],
            next: place + (HEAD_BYTES + len).next_multiple_of(ALIGN) as u64,
        })
    }
}
