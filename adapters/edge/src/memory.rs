//! What the node keeps across power cuts, in NOR flash.
//!
//! Two pages, one record. A new record goes to the page that does not hold the newest one, after that page was erased; what was newest stays
//! untouched until the new one reads back whole. So a cut in any write or erase leaves the old memory or the new one, whatever it leaves of the page
//! that it hit. (sequential-storage, which is made for many records, brought an old memory back when a cut erase left the front of a page: it takes
//! a page whose two ends look erased for an empty one. `tests/edge/memory.rs` has the case.) An erase for every keep is no burden: a node keeps something
//! a handful of times in its life.
//!
//! ```text
//!  version 1 | kind 1 | sequence 4 LE | node id 16 | token 43 | zeros | CRC-32 4 LE     96 bytes, whole words of any flash
//! ```

use embedded_storage_async::nor_flash::NorFlash;
use handfast_core::flow::registration::node::Memory;
use handfast_core::id::NodeId;
use handfast_core::wire::token::{TOKEN_CHARS, Token};
use zeroize::Zeroize;

/// Something that makes a node's memory durable.
pub trait Keep {
    /// What was kept last; [`Memory::Blank`] if nothing ever was.
    ///
    /// # Errors
    /// [`KeepError`]: it cannot be read now. That is not the same as blank, and the caller must not treat it so.
    async fn load(&mut self) -> Result<Memory, KeepError>;

    /// Makes `memory` durable. After `Ok` it survives any power cut; until then either the old memory or this one does. Keeping
    /// [`Memory::Blank`] wipes what was kept before.
    ///
    /// # Errors
    /// [`KeepError`]: it is not known to be durable; try again.
    async fn keep(&mut self, memory: &Memory) -> Result<(), KeepError>;
}

impl<K: Keep + ?Sized> Keep for &mut K {
    async fn load(&mut self) -> Result<Memory, KeepError> {
        K::load(self).await
    }

    async fn keep(&mut self, memory: &Memory) -> Result<(), KeepError> {
        K::keep(self, memory).await
    }
}

/// Why a memory could not be loaded or kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum KeepError {
    /// The flash failed.
    Flash,
    /// What was written does not read back.
    Worn,
    /// Neither page is erased and neither holds a record: this is no flash of ours, or it has lost what it held.
    Corrupted,
    /// A record that this version cannot read: a newer firmware's.
    Unreadable,
}

/// Version of the record's form.
const VERSION: u8 = 1;
const BLANK: u8 = 0;
const ASKED: u8 = 1;
const PAIRED: u8 = 2;
/// Bytes before the checksum.
const BODY: usize = 92;
/// A record: whole words of any flash whose words are 32 bytes at most.
const RECORD: usize = BODY + 4;

const _: () = assert!(2 + 4 + 16 + TOKEN_CHARS <= BODY, "everything has its place in a record");

/// A record's bytes. Aligned, because some flash controllers take words from RAM; wiped, because a token may be among them.
#[derive(PartialEq, Eq)]
#[repr(align(4))]
struct Record([u8; RECORD]);

impl Drop for Record {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// What a page holds.
enum Page {
    Erased,
    /// Left behind by a power cut, or never ours.
    Torn,
    Holds {
        sequence: u32,
        /// `None` if another version wrote it.
        memory: Option<Memory>,
    },
}

/// Which of the two pages.
#[derive(Clone, Copy)]
enum Side {
    First,
    Second,
}

/// [`Keep`] in two pages of NOR flash that nothing else uses.
pub struct Flash<F> {
    flash: F,
    start: u32,
}

impl<F: NorFlash> Flash<F> {
    /// Bytes that it uses: two pages.
    pub const LENGTH: usize = F::ERASE_SIZE.saturating_mul(2);

    /// Uses the two pages from the address `start`, in bytes.
    ///
    /// `None` if they do not begin at a page or lie outside the flash, or a record of 96 bytes does not fit its pages in whole words.
    #[must_use]
    pub fn new(flash: F, start: u32) -> Option<Self> {
        let at = usize::try_from(start).ok()?;
        let inside = at.checked_add(Self::LENGTH)? <= flash.capacity();
        let words = RECORD.is_multiple_of(F::READ_SIZE) && RECORD.is_multiple_of(F::WRITE_SIZE);
        let pages = at.is_multiple_of(F::ERASE_SIZE) && F::ERASE_SIZE >= RECORD;
        (inside && words && pages).then_some(Self { flash, start })
    }

    /// Gives the flash back.
    pub fn into_flash(self) -> F {
        self.flash
    }

    /// Where a page begins and ends.
    fn bounds(&self, side: Side) -> (u32, u32) {
        // Pages lie inside the flash, whose addresses are 32 bits, so neither addition saturates.
        let page = u32::try_from(F::ERASE_SIZE).unwrap_or(u32::MAX);
        let start = match side {
            Side::First => self.start,
            Side::Second => self.start.saturating_add(page),
        };
        (start, start.saturating_add(page))
    }

    async fn erase(&mut self, side: Side) -> Result<(), KeepError> {
        let (start, end) = self.bounds(side);
        self.flash.erase(start, end).await.map_err(|_| KeepError::Flash)
    }

    async fn read(&mut self, side: Side) -> Result<Record, KeepError> {
        let mut record = Record([0; RECORD]);
        self.flash.read(self.bounds(side).0, &mut record.0).await.map_err(|_| KeepError::Flash)?;
        Ok(record)
    }

    async fn write(&mut self, side: Side, record: &Record) -> Result<(), KeepError> {
        self.erase(side).await?;
        self.flash.write(self.bounds(side).0, &record.0).await.map_err(|_| KeepError::Flash)?;
        if self.read(side).await? == *record { Ok(()) } else { Err(KeepError::Worn) }
    }

    async fn pages(&mut self) -> Result<(Page, Page), KeepError> {
        Ok((decode(&self.read(Side::First).await?), decode(&self.read(Side::Second).await?)))
    }
}

impl<F: NorFlash> Keep for Flash<F> {
    async fn load(&mut self) -> Result<Memory, KeepError> {
        match self.pages().await? {
            (Page::Holds { sequence: a, memory }, Page::Holds { sequence: b, .. }) if a > b => memory,
            (_, Page::Holds { memory, .. }) | (Page::Holds { memory, .. }, _) => memory,
            // The very first record was cut off, or there never was one.
            (Page::Erased, Page::Erased | Page::Torn) | (Page::Torn, Page::Erased) => Some(Memory::Blank),
            (Page::Torn, Page::Torn) => return Err(KeepError::Corrupted),
        }
        .ok_or(KeepError::Unreadable)
    }

    async fn keep(&mut self, memory: &Memory) -> Result<(), KeepError> {
        let (newest, older, sequence) = match self.pages().await? {
            (Page::Holds { sequence: a, .. }, Page::Holds { sequence: b, .. }) if a > b => (Side::First, Side::Second, a),
            (_, Page::Holds { sequence, .. }) => (Side::Second, Side::First, sequence),
            (Page::Holds { sequence, .. }, _) => (Side::First, Side::Second, sequence),
            // Nothing to protect; but one page stays erased, so that a cut now still reads as blank.
            (Page::Erased, _) => (Side::First, Side::Second, 0),
            (Page::Torn, _) => (Side::Second, Side::First, 0),
        };
        self.write(older, &encode(memory, sequence.saturating_add(1))).await?;
        match memory {
            // The new record counts already; what it replaces is to be forgotten.
            Memory::Blank => self.erase(newest).await,
            Memory::Asked { .. } | Memory::Paired { .. } => Ok(()),
        }
    }
}

fn encode(memory: &Memory, sequence: u32) -> Record {
    let (kind, node_id, token) = match memory {
        Memory::Blank => (BLANK, None, None),
        Memory::Asked { node_id } => (ASKED, Some(node_id), None),
        Memory::Paired { node_id, token } => (PAIRED, Some(node_id), Some(token)),
    };
    let id = node_id.into_iter().flat_map(|id| id.as_bytes().iter().copied());
    let chars = token.into_iter().flat_map(|token| token.expose().bytes());
    let fields = [VERSION, kind].into_iter().chain(sequence.to_le_bytes()).chain(id).chain(chars);
    let mut record = Record([0; RECORD]);
    if let Some((body, checksum)) = record.0.split_first_chunk_mut::<BODY>() {
        for (place, byte) in body.iter_mut().zip(fields) {
            *place = byte;
        }
        for (place, byte) in checksum.iter_mut().zip(crc32(body).to_le_bytes()) {
            *place = byte;
        }
    }
    record
}

fn decode(record: &Record) -> Page {
    if record.0.iter().all(|&byte| byte == 0xff) {
        return Page::Erased;
    }
    parse(record).unwrap_or(Page::Torn)
}

fn parse(Record(record): &Record) -> Option<Page> {
    let (body, checksum) = record.split_first_chunk::<BODY>()?;
    if *checksum != crc32(body).to_le_bytes() {
        return None;
    }
    let ([version, kind], rest) = body.split_first_chunk()?;
    let (sequence, rest) = rest.split_first_chunk()?;
    let (id, rest) = rest.split_first_chunk()?;
    let (chars, _) = rest.split_first_chunk::<TOKEN_CHARS>()?;
    let node_id = NodeId::from_bytes(*id);
    let token = || Token::parse(core::str::from_utf8(chars).ok()?);
    let memory = match (*version, *kind) {
        (VERSION, BLANK) => Some(Memory::Blank),
        (VERSION, ASKED) => Some(Memory::Asked { node_id }),
        (VERSION, PAIRED) => token().map(|token| Memory::Paired { node_id, token }),
        (_, _) => None,
    };
    Some(Page::Holds { sequence: u32::from_le_bytes(*sequence), memory })
}

/// CRC-32 as in Ethernet and zip, bit by bit: a record is read once a boot.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| crc >> 1 ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_well_known_one() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn a_record_of_another_version_is_neither_torn_nor_blank() {
        let mut record = encode(&Memory::Blank, 7);
        record.0[0] = VERSION + 1;
        let sum = crc32(&record.0[..BODY]).to_le_bytes();
        record.0[BODY..].copy_from_slice(&sum);
        assert!(matches!(decode(&record), Page::Holds { sequence: 7, memory: None }));
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        for bit in 0..RECORD * 8 {
            let mut record = encode(&Memory::Asked { node_id: NodeId::from_bytes([9; 16]) }, 1);
            record.0[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(decode(&record), Page::Torn), "{bit}");
        }
    }
}
