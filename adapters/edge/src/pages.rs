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
//!  version 1 | kind 1 | sequence 4 LE | value 86 | CRC-32 4 LE
//!  96 bytes, whole words of any flash
//! ```
//!
//! Version 2. The value is written by postcard and padded with zeros. A record of another version
//! is never read and never taken for none: version 1 was in no released firmware, so nothing
//! migrates it, and a later version is for the firmware that wrote it.

use embedded_storage_async::nor_flash::NorFlash;
use handfast_core::wire::frame::crc32;
use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

use crate::error::KeepError;

/// Format version of a record.
const VERSION: u8 = 2;
/// Length of the header in bytes.
const HEAD: usize = 6;
/// Maximum length of a value in bytes.
const VALUE: usize = 86;
/// Number of bytes before the checksum.
const BODY: usize = HEAD + VALUE;
/// Length of a record in bytes: whole words of any flash whose words have at most 32 bytes.
const RECORD: usize = BODY + 4;

/// The kind of a record. None reads another's: they may lie in the same pages after a change of the
/// firmware.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum RecordKind {
    /// The memory of a node of the `missy` dialect.
    Registration = 1,
    /// The memory of a node of the native wire.
    Native = 2,
    /// The keys of a node of the native wire.
    Keys = 3,
}

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
    /// Writes a record. Returns `None` if the value is too long.
    fn new(kind: RecordKind, sequence: u32, value: &impl Serialize) -> Option<Self> {
        let mut record = Self([0; RECORD]);
        let (body, checksum) = record.0.split_first_chunk_mut::<BODY>()?;
        let (head, place) = body.split_first_chunk_mut::<HEAD>()?;
        let [a, b, c, d] = sequence.to_le_bytes();
        *head = [VERSION, kind as u8, a, b, c, d];
        postcard::to_slice(value, place).ok()?;
        // Unlike `copy_from_slice`, this has no path that panics.
        for (place, byte) in checksum.iter_mut().zip(crc32(body).to_le_bytes()) {
            *place = byte;
        }
        Some(record)
    }

    /// Reads the value.
    ///
    /// # Errors
    /// [`KeepError::OtherVersion`], or [`KeepError::Unreadable`] for another kind or a value that
    /// does not fill the record.
    pub(crate) fn read<'r, T: Deserialize<'r>>(&'r self, kind: RecordKind) -> Result<T, KeepError> {
        let (body, _) = self.0.split_first_chunk::<BODY>().ok_or(KeepError::Unreadable)?;
        let ([version, found, ..], value) =
            body.split_first_chunk::<HEAD>().ok_or(KeepError::Unreadable)?;
        if *version != VERSION {
            return Err(KeepError::OtherVersion(*version));
        }
        if *found != kind as u8 {
            return Err(KeepError::Unreadable);
        }
        let (value, rest) = postcard::take_from_bytes(value).map_err(|_| KeepError::Unreadable)?;
        // Only padding may follow.
        if rest.iter().all(|byte| *byte == 0) { Ok(value) } else { Err(KeepError::Unreadable) }
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
        kind: RecordKind,
        value: &impl Serialize,
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
        let record = RecordBytes::new(kind, sequence.saturating_add(1), value)
            .ok_or(KeepError::Unreadable)?;
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
        for version in (0..=u8::MAX).filter(|version| *version != VERSION) {
            let mut record = RecordBytes::new(RecordKind::Native, 7, &()).unwrap();
            record.0[0] = version;
            let sum = crc32(&record.0[..BODY]).to_le_bytes();
            record.0[BODY..].copy_from_slice(&sum);
            assert_eq!(record.page(), Page::Holds(7));
            let read = record.read::<()>(RecordKind::Native);
            assert_eq!(read, Err(KeepError::OtherVersion(version)));
        }
    }

    #[test]
    fn a_record_of_another_kind_or_with_bytes_behind_its_value_is_not_read() {
        let record = RecordBytes::new(RecordKind::Native, 1, &(7u8, 8u8)).unwrap();
        assert_eq!(record.read(RecordKind::Native), Ok((7u8, 8u8)));
        assert_eq!(record.read::<(u8, u8)>(RecordKind::Keys), Err(KeepError::Unreadable));
        assert_eq!(record.read::<u8>(RecordKind::Native), Err(KeepError::Unreadable));
    }

    #[test]
    fn a_value_that_is_longer_than_its_place_is_not_written() {
        assert!(RecordBytes::new(RecordKind::Native, 1, &[[0u8; 29]; 3]).is_none());
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        for bit in 0..RECORD * 8 {
            let mut record = RecordBytes::new(RecordKind::Keys, 1, &[9u8; 16]).unwrap();
            record.0[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(record.page(), Page::Torn, "{bit}");
        }
    }
}
