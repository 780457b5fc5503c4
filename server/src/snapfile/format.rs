//! The bytes of a snapshot: little-endian, and nothing but fixed places and lengths.
//!
//! ```text
//! file    ┌ head, 4 KiB ┬ block 0, 256 KiB ┬ block 1 ┬ … ┬ end block ┐
//!
//! head    magic 8 │ format 4 │ block bytes 4 │ id 8 │ begun 8 │ CAS 8 │ flush 8 │ flags 4 │ release 20 │ checksum 8
//! block   magic 4 │ used 4 │ number 8 │ id 8 │ kind 4 │ items 4 │ checksum 8 │ records … │ zeroes
//! record  bits 1 │ database 1 │ key length 2 │ value length 4 │ [deadline 8] │ [client flags 4] │ [CAS 8] │
//!         [offset 4 │ length here 4] │ key │ value
//! ```
//!
//! Blocks are of one size, so that a damaged one is passed over: each has a checksum (xxh3, 64 bits) over everything before and
//! behind it, the file's own random number, and its place. A record lies in one block, unless its value is long: then it has an
//! offset, and goes on in a record of the same kind at the beginning of the next block, without a key. The end block has the
//! head again and what was counted.
//!
//! Reading trusts nothing: whatever the bytes are, the answer is an item, or that there is none.

use flagstone_engine::Standing;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Bytes before the first block.
pub const HEAD_BYTES: usize = 4096;
/// Bytes of a block.
pub const BLOCK_BYTES: usize = 256 << 10;
/// Bytes before a block's records.
pub const BLOCK_HEAD_BYTES: usize = 40;
/// The format that is written and read.
pub const FORMAT: u32 = 1;

const MAGIC: &[u8; 8] = b"FLAGSNAP";
const BLOCK_MAGIC: u32 = u32::from_le_bytes(*b"FSBK");
const CHECKSUM_AT: usize = 32;
/// Bytes of the head with something in them.
const HEAD_USED: usize = 80;

/// Says that the file is complete: nothing was changed any more while it was written.
const IS_FINAL: u32 = 1;

/// What a file says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// A number of its own.
    pub id: u64,
    /// When it was begun, in milliseconds since 1970.
    pub begun_unix_millis: u64,
    /// The highest CAS number that was given out by then.
    pub cas_last: u64,
    /// When everything was to be removed; 0: never.
    pub flush_unix_millis: u64,
    /// Nobody was served any more.
    pub is_final: bool,
}

/// Why a file's head is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// It is no snapshot, or its head is damaged.
    Damaged,
    /// It has another format.
    Format(u32),
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

impl Head {
    /// Writes it to the front of `out`, which is [`HEAD_BYTES`] long.
    pub fn encode(&self, out: &mut [u8]) {
        out.fill(0);
        let release = env!("CARGO_PKG_VERSION").as_bytes();
        let flags = if self.is_final { IS_FINAL } else { 0 };
        let mut writer = Bytes { out, at: 0 };
        writer.put(MAGIC);
        writer.put(&FORMAT.to_le_bytes());
        writer.put(&(BLOCK_BYTES as u32).to_le_bytes());
        for number in [
            self.id,
            self.begun_unix_millis,
            self.cas_last,
            self.flush_unix_millis,
        ] {
            writer.put(&number.to_le_bytes());
        }
        writer.put(&flags.to_le_bytes());
        writer.put(&release[..release.len().min(20)]);
        let checksum = xxh3_64_with_seed(&out[..HEAD_USED - 8], 0);
        out[HEAD_USED - 8..HEAD_USED].copy_from_slice(&checksum.to_le_bytes());
    }

    /// Reads it from the front of `bytes`.
    pub fn decode(bytes: &[u8]) -> Result<Head, Misfit> {
        let read = || {
            let checked = bytes.get(..HEAD_USED - 8)?;
            let is_whole = u64_at(bytes, HEAD_USED - 8)? == xxh3_64_with_seed(checked, 0);
            if !bytes.starts_with(MAGIC) || !is_whole {
                return None;
            }
            let format = u32_at(bytes, 8)?;
            if format != FORMAT || u32_at(bytes, 12)? as usize != BLOCK_BYTES {
                return Some(Err(Misfit::Format(format)));
            }
            Some(Ok(Head {
                id: u64_at(bytes, 16)?,
                begun_unix_millis: u64_at(bytes, 24)?,
                cas_last: u64_at(bytes, 32)?,
                flush_unix_millis: u64_at(bytes, 40)?,
                is_final: u32_at(bytes, 48)? & IS_FINAL != 0,
            }))
        };
        read().unwrap_or(Err(Misfit::Damaged))
    }
}

/// What a block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It has records.
    Items,
    /// It is the last: head and counts.
    End,
}

/// Fills in the head of a block whose records are `used` bytes, and the checksum.
pub fn seal(block: &mut [u8], head: &Head, number: u64, kind: Kind, items: u32, used: usize) {
    let end = BLOCK_HEAD_BYTES + used;
    block[end..].fill(0);
    let kind = match kind {
        Kind::Items => 0u32,
        Kind::End => 1,
    };
    let mut writer = Bytes { out: block, at: 0 };
    writer.put(&BLOCK_MAGIC.to_le_bytes());
    writer.put(&(used as u32).to_le_bytes());
    writer.put(&number.to_le_bytes());
    writer.put(&head.id.to_le_bytes());
    writer.put(&kind.to_le_bytes());
    writer.put(&items.to_le_bytes());
    let checksum = checksum(block, end);
    block[CHECKSUM_AT..BLOCK_HEAD_BYTES].copy_from_slice(&checksum.to_le_bytes());
}

/// Over the records, begun with that over what is before them.
fn checksum(block: &[u8], end: usize) -> u64 {
    let front = xxh3_64_with_seed(&block[..CHECKSUM_AT], 0);
    xxh3_64_with_seed(&block[BLOCK_HEAD_BYTES..end], front)
}

/// The kind of a block, how many items begin in it, and its records; `None`: it is damaged, or not that block of that file.
pub fn open(block: &[u8], id: u64, number: u64) -> Option<(Kind, u32, &[u8])> {
    let used = u32_at(block, 4)? as usize;
    let end = used.checked_add(BLOCK_HEAD_BYTES)?;
    let is_it = u32_at(block, 0)? == BLOCK_MAGIC
        && u64_at(block, 8)? == number
        && u64_at(block, 16)? == id
        && end <= block.len()
        && u64_at(block, CHECKSUM_AT)? == checksum(block, end);
    let kind = match u32_at(block, 24)? {
        0 => Kind::Items,
        1 => Kind::End,
        _ => return None,
    };
    is_it.then_some((kind, u32_at(block, 28)?, block.get(BLOCK_HEAD_BYTES..end)?))
}

/// The id of a block, whatever else it is.
pub fn id_of(block: &[u8]) -> u64 {
    u64_at(block, 16).unwrap_or(0)
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Items.
    pub items: u64,
    /// Bytes of keys and values.
    pub bytes: u64,
    /// Items that were left out, because too many long ones were being read.
    pub skipped: u64,
}

impl Counts {
    /// Writes an end block's records, the head's copy before them; says how long they are.
    pub fn encode(&self, head: &Head, out: &mut [u8]) -> usize {
        head.encode(&mut out[..HEAD_BYTES]);
        let mut writer = Bytes {
            out,
            at: HEAD_BYTES,
        };
        for number in [self.items, self.bytes, self.skipped] {
            writer.put(&number.to_le_bytes());
        }
        writer.at
    }

    /// Reads them.
    pub fn decode(records: &[u8]) -> Option<Counts> {
        Some(Counts {
            items: u64_at(records, HEAD_BYTES)?,
            bytes: u64_at(records, HEAD_BYTES + 8)?,
            skipped: u64_at(records, HEAD_BYTES + 16)?,
        })
    }
}

mod bit {
    pub const MAIN: u8 = 1;
    /// Two bits.
    pub const HITS_SHIFT: u8 = 1;
    pub const DEADLINE: u8 = 1 << 3;
    pub const CLIENT_FLAGS: u8 = 1 << 4;
    pub const CAS: u8 = 1 << 5;
    pub const STALE: u8 = 1 << 6;
    pub const WON: u8 = 1 << 7;
}

/// In the byte of the database: the value is in several blocks.
const PARTED: u8 = 1 << 7;
/// Likewise: this is not the first of its parts.
const FURTHER: u8 = 1 << 6;
const DATABASE: u8 = 0xF;

/// What stands before a value, without the key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// The database that it is in.
    pub database: usize,
    /// The whole value's length.
    pub value_len: u32,
    /// When it expires, in milliseconds since 1970.
    pub deadline_unix_millis: Option<u64>,
    /// The client's number.
    pub client_flags: u32,
    /// Its CAS number.
    pub cas: Option<u64>,
    /// It is out of date.
    pub stale: bool,
    /// Somebody was told to bring a new one.
    pub won: bool,
    /// How it stands among the others.
    pub standing: Standing,
}

/// Where a part of a value belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// From so many bytes of the value on.
    pub offset: u32,
    /// So many.
    pub len: u32,
}

/// What a block has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry<'b> {
    /// An item.
    Whole(Record, &'b [u8], &'b [u8]),
    /// The first part of one: its key, and the beginning of its value.
    First(Record, &'b [u8], &'b [u8]),
    /// A further one.
    Further(Part, &'b [u8]),
}

impl Record {
    /// Bytes of the record without the key and the value; `parted` if it has parts.
    #[must_use]
    pub fn len(&self, parted: bool) -> usize {
        8 + if self.deadline_unix_millis.is_some() {
            8
        } else {
            0
        } + if self.client_flags != 0 { 4 } else { 0 }
            + if self.cas.is_some() { 8 } else { 0 }
            + if parted { 8 } else { 0 }
    }

    /// Writes what stands before the value to the front of `out`, which has room for it; says how long it is.
    pub fn encode(&self, key: &[u8], first_len: Option<u32>, out: &mut [u8]) -> usize {
        let mut bits = (self.standing.hits.min(3) as u8) << bit::HITS_SHIFT;
        for (is_set, bit) in [
            (self.standing.is_main, bit::MAIN),
            (self.deadline_unix_millis.is_some(), bit::DEADLINE),
            (self.client_flags != 0, bit::CLIENT_FLAGS),
            (self.cas.is_some(), bit::CAS),
            (self.stale, bit::STALE),
            (self.won, bit::WON),
        ] {
            bits |= if is_set { bit } else { 0 };
        }
        let parted = if first_len.is_some() { PARTED } else { 0 };
        let mut writer = Bytes { out, at: 0 };
        writer.put(&[bits, self.database as u8 & DATABASE | parted]);
        writer.put(&(key.len() as u16).to_le_bytes());
        writer.put(&self.value_len.to_le_bytes());
        if let Some(deadline) = self.deadline_unix_millis {
            writer.put(&deadline.to_le_bytes());
        }
        if self.client_flags != 0 {
            writer.put(&self.client_flags.to_le_bytes());
        }
        if let Some(cas) = self.cas {
            writer.put(&cas.to_le_bytes());
        }
        if let Some(len) = first_len {
            writer.put(&0u32.to_le_bytes());
            writer.put(&len.to_le_bytes());
        }
        writer.put(key);
        writer.at
    }
}

/// Bytes before a further part.
pub const FURTHER_BYTES: usize = 16;

impl Part {
    /// Writes what stands before a further part of a value to the front of `out`.
    pub fn encode(&self, value_len: u32, out: &mut [u8]) {
        let mut writer = Bytes { out, at: 0 };
        writer.put(&[0, PARTED | FURTHER, 0, 0]);
        for number in [value_len, self.offset, self.len] {
            writer.put(&number.to_le_bytes());
        }
    }
}

/// Whether the first of a block's records is a further part of a value.
#[must_use]
pub fn begins_with_further(records: &[u8]) -> bool {
    let place = records.get(1).copied().unwrap_or(0);
    place & PARTED != 0 && place & FURTHER != 0
}

/// The entries of a block's records. Ends at the first that cannot be one.
pub struct Entries<'b> {
    rest: &'b [u8],
    /// What was there was no entry.
    pub is_broken: bool,
}

impl<'b> Entries<'b> {
    /// Of a block that [`open`] has found whole.
    #[must_use]
    pub fn of(records: &'b [u8]) -> Self {
        Entries {
            rest: records,
            is_broken: false,
        }
    }

    fn take(&mut self) -> Option<Entry<'b>> {
        let mut reader = Reader { rest: self.rest };
        let [bits, place] = *reader.take(2)?.first_chunk()?;
        let key_len = usize::from(reader.u16()?);
        let value_len = reader.u32()?;
        let has = |bit: u8| bits & bit != 0;
        let deadline_unix_millis = match has(bit::DEADLINE) {
            true => Some(reader.u64()?),
            false => None,
        };
        let client_flags = match has(bit::CLIENT_FLAGS) {
            true => reader.u32()?,
            false => 0,
        };
        let cas = match has(bit::CAS) {
            true => Some(reader.u64()?),
            false => None,
        };
        let record = Record {
            database: usize::from(place & DATABASE),
            value_len,
            deadline_unix_millis,
            client_flags,
            cas,
            stale: has(bit::STALE),
            won: has(bit::WON),
            standing: Standing {
                is_main: has(bit::MAIN),
                hits: u32::from(bits >> bit::HITS_SHIFT & 3),
            },
        };
        let part = match place & PARTED {
            0 => None,
            _ => Some(Part {
                offset: reader.u32()?,
                len: reader.u32()?,
            }),
        };
        let key = reader.take(key_len)?;
        let entry = match part {
            None => Entry::Whole(record, key, reader.take(value_len as usize)?),
            Some(part) => {
                let ends = part.offset.checked_add(part.len)?;
                if ends > value_len {
                    return None;
                }
                let bytes = reader.take(part.len as usize)?;
                match place & FURTHER {
                    0 if part.offset == 0 => Entry::First(record, key, bytes),
                    0 => return None,
                    _ => Entry::Further(part, bytes),
                }
            }
        };
        self.rest = reader.rest;
        Some(entry)
    }
}

impl<'b> Iterator for Entries<'b> {
    type Item = Entry<'b>;

    fn next(&mut self) -> Option<Entry<'b>> {
        if self.rest.is_empty() {
            return None;
        }
        let entry = self.take();
        if entry.is_none() {
            self.is_broken = true;
            self.rest = &[];
        }
        entry
    }
}

struct Reader<'b> {
    rest: &'b [u8],
}

impl<'b> Reader<'b> {
    fn take(&mut self, len: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(taken)
    }

    fn u16(&mut self) -> Option<u16> {
        u16_at(self.take(2)?, 0)
    }

    fn u32(&mut self) -> Option<u32> {
        u32_at(self.take(4)?, 0)
    }

    fn u64(&mut self) -> Option<u64> {
        u64_at(self.take(8)?, 0)
    }
}

/// Bytes one behind the other.
struct Bytes<'o> {
    out: &'o mut [u8],
    at: usize,
}

impl Bytes<'_> {
    fn put(&mut self, bytes: &[u8]) {
        self.out[self.at..self.at + bytes.len()].copy_from_slice(bytes);
        self.at += bytes.len();
    }
}
