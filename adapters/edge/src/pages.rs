//! One record in two pages of NOR flash.
//!
//! A new record goes to the page that does not hold the newest one, after that page was erased; the
//! newest record stays untouched until the new one reads back whole. So a power cut in any write or
//! erase leaves the old record or the new one, whatever it leaves of the page that it hit.
//! (sequential-storage, which is made for many records, restored an old memory when a cut erase
//! left the front of a page: it takes a page whose two ends look erased for an empty one.
//! `tests/edge/memory.rs` has the case.) An erase for every store is acceptable: a node stores
//! something a handful of times in its life.
//!
//! ```text
//!  version 1 | kind 1 | sequence 4 LE | payload 86, padded with zeros | CRC-32 4 LE
//!  96 bytes, whole words of any flash
//! ```

use embedded_storage_async::nor_flash::NorFlash;
use handfast_core::wire::frame::crc32;
use zeroize::Zeroize;

use crate::error::KeepError;

/// Format version of a record.
const VERSION: u8 = 1;
/// Length of the header in bytes.
const HEAD: usize = 6;
/// Length of the payload in bytes.
pub(crate) const PAYLOAD: usize = 86;
/// Number of bytes before the checksum.
const BODY: usize = HEAD + PAYLOAD;
/// Length of a record in bytes: whole words of any flash whose words have at most 32 bytes.
const RECORD: usize = BODY + 4;

/// The bytes of a record. Aligned, because some flash controllers read words from RAM; wiped on
/// drop, because they may include a secret.
#[derive(PartialEq, Eq)]
#[repr(align(4))]
pub(crate) struct RecordBytes([u8; RECORD]);

impl Drop for RecordBytes {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl RecordBytes {
    fn new(kind: u8, sequence: u32, payload: impl Iterator<Item = u8>) -> Self {
        let fields = [VERSION, kind].into_iter().chain(sequence.to_le_bytes()).chain(payload);
        let mut record = Self([0; RECORD]);
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

    /// Returns the kind and the payload. `None` if another version wrote the record.
    pub(crate) fn read(&self) -> Option<(u8, &[u8; PAYLOAD])> {
        let (body, _) = self.0.split_first_chunk::<BODY>()?;
        let ([version, kind, ..], payload) = body.split_first_chunk::<HEAD>()?;
        (*version == VERSION).then_some((*kind, payload.first_chunk()?))
    }

    fn page(&self) -> Page {
        if self.0.iter().all(|&byte| byte == 0xff) {
            return Page::Erased;
        }
        match self.0.split_first_chunk::<BODY>() {
            Some((body, checksum)) if *checksum == crc32(body).to_le_bytes() => {
                let [_, _, a, b, c, d, ..] = *body;
                Page::Holds(u32::from_le_bytes([a, b, c, d]))
            }
            Some(_) | None => Page::Torn,
        }
    }
}

/// The state of one page.
#[derive(Debug, PartialEq, Eq)]
enum Page {
    Erased,
    /// Left behind by a power cut, or written by other software.
    Torn,
    /// A record with this sequence number.
    Holds(u32),
}

/// One of the two pages.
#[derive(Clone, Copy)]
enum Side {
    First,
    Second,
}

/// The state of both pages.
pub(crate) enum Newest {
    /// No record yet. The very first one may have been cut off.
    Nothing,
    /// Neither page is erased and neither holds a record.
    Damaged,
    Record(RecordBytes),
}

/// Two flash pages that nothing else uses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pages {
    start: u32,
}

impl Pages {
    /// Uses the two pages that begin at the byte address `start`. Returns `None` if `start` is not
    /// the beginning of a page, the pages lie outside the flash, or a record does not fit a page in
    /// whole words.
    pub(crate) fn new<F: NorFlash>(flash: &F, start: u32) -> Option<Self> {
        let at = usize::try_from(start).ok()?;
        let inside = at.checked_add(length::<F>())? <= flash.capacity();
        let words = RECORD.is_multiple_of(F::READ_SIZE) && RECORD.is_multiple_of(F::WRITE_SIZE);
        let pages = at.is_multiple_of(F::ERASE_SIZE) && F::ERASE_SIZE >= RECORD;
        (inside && words && pages).then_some(Self { start })
    }

    /// Returns the start and end addresses of a page, in bytes.
    fn bounds<F: NorFlash>(self, side: Side) -> (u32, u32) {
        // Pages lie inside the flash, whose addresses are 32 bits, so neither addition saturates.
        let page = u32::try_from(F::ERASE_SIZE).unwrap_or(u32::MAX);
        let start = match side {
            Side::First => self.start,
            Side::Second => self.start.saturating_add(page),
        };
        (start, start.saturating_add(page))
    }

    async fn erase<F: NorFlash>(self, flash: &mut F, side: Side) -> Result<(), KeepError> {
        let (start, end) = self.bounds::<F>(side);
        flash.erase(start, end).await.map_err(|_| KeepError::Flash)
    }

    async fn read<F: NorFlash>(self, flash: &mut F, side: Side) -> Result<RecordBytes, KeepError> {
        let mut record = RecordBytes([0; RECORD]);
        flash.read(self.bounds::<F>(side).0, &mut record.0).await.map_err(|_| KeepError::Flash)?;
        Ok(record)
    }

    /// Reads the record stored last.
    pub(crate) async fn newest<F: NorFlash>(self, flash: &mut F) -> Result<Newest, KeepError> {
        let first = self.read(flash, Side::First).await?;
        let second = self.read(flash, Side::Second).await?;
        Ok(match (first.page(), second.page()) {
            // Normally both pages hold a record; the higher sequence number is the newer.
            (Page::Holds(a), Page::Holds(b)) if a > b => Newest::Record(first),
            (_, Page::Holds(_)) => Newest::Record(second),
            (Page::Holds(_), _) => Newest::Record(first),
            // A torn page beside an erased one is the very first record, cut off.
            (Page::Erased, Page::Erased | Page::Torn) | (Page::Torn, Page::Erased) => {
                Newest::Nothing
            }
            (Page::Torn, Page::Torn) => Newest::Damaged,
        })
    }

    /// Replaces the newest record. After `Ok` the new one survives any power cut; until then either
    /// it or the old one does. With `forget`, the old record is erased, too.
    pub(crate) async fn replace<F: NorFlash>(
        self,
        flash: &mut F,
        kind: u8,
        payload: impl Iterator<Item = u8>,
        forget: bool,
    ) -> Result<(), KeepError> {
        let first = self.read(flash, Side::First).await?.page();
        let second = self.read(flash, Side::Second).await?.page();
        let (newest, older, sequence) = match (first, second) {
            (Page::Holds(a), Page::Holds(b)) if a > b => (Side::First, Side::Second, a),
            (_, Page::Holds(sequence)) => (Side::Second, Side::First, sequence),
            (Page::Holds(sequence), _) => (Side::First, Side::Second, sequence),
            // There is no record to protect; but one page stays erased, so that a power cut now
            // still reads as nothing.
            (Page::Erased, _) => (Side::First, Side::Second, 0),
            (Page::Torn, _) => (Side::Second, Side::First, 0),
        };
        let record = RecordBytes::new(kind, sequence.saturating_add(1), payload);
        // The newest record stays until the new one is complete, so a power cut loses neither.
        self.erase(flash, older).await?;
        flash.write(self.bounds::<F>(older).0, &record.0).await.map_err(|_| KeepError::Flash)?;
        // Worn flash may lose bits without an error, so the record is read back.
        if self.read(flash, older).await? != record {
            return Err(KeepError::Worn);
        }
        // The new record is already the newest, so the old one can be erased.
        if forget { self.erase(flash, newest).await } else { Ok(()) }
    }
}

/// Number of bytes in two pages.
pub(crate) const fn length<F: NorFlash>() -> usize {
    F::ERASE_SIZE.saturating_mul(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_of_another_version_is_neither_torn_nor_read() {
        let mut record = RecordBytes::new(0, 7, core::iter::empty());
        record.0[0] = VERSION + 1;
        let sum = crc32(&record.0[..BODY]).to_le_bytes();
        record.0[BODY..].copy_from_slice(&sum);
        assert_eq!(record.page(), Page::Holds(7));
        assert_eq!(record.read(), None);
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        for bit in 0..RECORD * 8 {
            let mut record = RecordBytes::new(1, 1, [9; 16].into_iter());
            record.0[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(record.page(), Page::Torn, "{bit}");
        }
    }
}
