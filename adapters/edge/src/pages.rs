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
//!  version 1 | kind 1 | sequence 4 LE | value | CRC-32 4 LE
//! ```
//!
//! Each kind has a length of its own, in whole words of any flash; a record that is longer than a
//! page takes several instead of each of the two. Version 2. The value is written by postcard and
//! padded with zeros. A record of another version is never read and never taken for none: version 1
//! was in no released firmware, so nothing migrates it, and a later version is for the firmware
//! that wrote it.

use embedded_storage_async::nor_flash::NorFlash;
use handfast_core::wire::frame::crc32;
use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

pub use crate::error::{GeometryError, KeepError};

/// Format version of a record.
const VERSION: u8 = 2;
/// Length of the header in bytes.
const HEAD: usize = 6;
/// Length of the checksum in bytes.
const CHECKSUM: usize = 4;
/// Bytes of a record that are not its value.
pub const RECORD_OVERHEAD: usize = HEAD + CHECKSUM;
/// Length of the records of this crate in bytes: whole words of any flash whose words have at most
/// 32 bytes.
pub(crate) const RECORD: usize = 128;

/// The kind of a record. None reads another's: they may lie in the same pages after a change of the
/// firmware.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct RecordKind(u8);

impl RecordKind {
    /// The memory of a node of the `missy` dialect.
    pub(crate) const REGISTRATION: Self = Self(1);
    /// The memory of a node of the native wire.
    pub(crate) const NATIVE: Self = Self(2);
    /// The keys of a node of the native wire.
    pub(crate) const KEYS: Self = Self(3);
    /// The board of a node with capabilities.
    pub(crate) const BOARD: Self = Self(4);
    /// The certificate of a node.
    #[cfg(feature = "identity")]
    pub(crate) const CERTIFICATE: Self = Self(5);

    /// Makes the `number`-th kind that a firmware has for records of its own. Only the lower seven
    /// bits of the number count.
    #[must_use]
    pub const fn of_firmware(number: u8) -> Self {
        Self(0x80 | number)
    }
}

/// The bytes of a record of `N` bytes. Aligned, because some flash controllers read words from RAM;
/// wiped on drop, because they may include a secret.
#[repr(align(4))]
pub struct RecordBuffer<const N: usize>([u8; N]);

impl<const N: usize> RecordBuffer<N> {
    /// Creates an empty buffer.
    #[must_use]
    pub const fn new() -> Self {
        Self([0; N])
    }

    /// Returns the bytes, for a storage that has no pages to fill it from.
    pub const fn as_mut_bytes(&mut self) -> &mut [u8; N] {
        &mut self.0
    }

    /// Reads the value of the record that [`Pages::newest`] has put here.
    ///
    /// # Errors
    /// [`KeepError::OtherVersion`], or [`KeepError::Unreadable`] for another kind or a value that
    /// does not fill the record.
    pub fn value<'r, T: Deserialize<'r>>(&'r self, kind: RecordKind) -> Result<T, KeepError> {
        decode(&self.0, kind)
    }
}

impl<const N: usize> Default for RecordBuffer<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> Drop for RecordBuffer<N> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<const N: usize> core::fmt::Debug for RecordBuffer<N> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("RecordBuffer").finish_non_exhaustive()
    }
}

#[cfg(feature = "defmt")]
impl<const N: usize> defmt::Format for RecordBuffer<N> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "RecordBuffer");
    }
}

/// Writes a record. Returns `None` if the value is too long.
fn encode(
    record: &mut [u8],
    kind: RecordKind,
    sequence: u32,
    value: &impl Serialize,
) -> Option<()> {
    record.fill(0);
    let (body, checksum) = record.split_last_chunk_mut::<CHECKSUM>()?;
    let (head, place) = body.split_first_chunk_mut::<HEAD>()?;
    let [a, b, c, d] = sequence.to_le_bytes();
    *head = [VERSION, kind.0, a, b, c, d];
    postcard::to_slice(value, place).ok()?;
    *checksum = crc32(body).to_le_bytes();
    Some(())
}

/// Reads the value of a whole record.
fn decode<'r, T: Deserialize<'r>>(record: &'r [u8], kind: RecordKind) -> Result<T, KeepError> {
    let (body, _) = record.split_last_chunk::<CHECKSUM>().ok_or(KeepError::Unreadable)?;
    let ([version, found, ..], value) =
        body.split_first_chunk::<HEAD>().ok_or(KeepError::Unreadable)?;
    if *version != VERSION {
        return Err(KeepError::OtherVersion(*version));
    }
    if *found != kind.0 {
        return Err(KeepError::Unreadable);
    }
    let (value, rest) = postcard::take_from_bytes(value).map_err(|_| KeepError::Unreadable)?;
    // Only padding may follow.
    if rest.iter().all(|byte| *byte == 0) { Ok(value) } else { Err(KeepError::Unreadable) }
}

/// Reads the state of the page that holds these bytes.
fn page(record: &[u8]) -> Page {
    if record.iter().all(|&byte| byte == 0xff) {
        return Page::Erased;
    }
    match record.split_last_chunk::<CHECKSUM>() {
        Some((body @ [_, _, a, b, c, d, ..], checksum))
            if *checksum == crc32(body).to_le_bytes() =>
        {
            Page::Holds(u32::from_le_bytes([*a, *b, *c, *d]))
        }
        Some(_) | None => Page::Torn,
    }
}

/// The state of one page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
enum Page {
    Erased,
    /// Left behind by a power cut, or written by other software.
    Torn,
    /// A record with this sequence number.
    Holds(u32),
}

/// Returns the address behind so many bytes. One that no flash has stays outside of every flash.
pub(crate) fn behind(start: u32, length: usize) -> u32 {
    start.saturating_add(u32::try_from(length).unwrap_or(u32::MAX))
}

/// One of the two pages.
#[derive(Clone, Copy)]
enum Side {
    First,
    Second,
}

/// Two flash pages that nothing else uses, for records of `N` bytes.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Pages<const N: usize> {
    start: u32,
}

impl<const N: usize> Pages<N> {
    /// Uses the two pages that begin at the byte address `start`.
    ///
    /// # Errors
    /// [`GeometryError`]: the pages do not fit this flash there.
    pub fn new<F: NorFlash>(flash: &F, start: u32) -> Result<Self, GeometryError> {
        // An address that a target has no word for lies outside as well.
        let at = usize::try_from(start).unwrap_or(usize::MAX);
        if !at.is_multiple_of(F::ERASE_SIZE) {
            return Err(GeometryError::Misaligned { start, page: F::ERASE_SIZE });
        }
        let (end, capacity) = (at.saturating_add(Self::length::<F>()), flash.capacity());
        if end > capacity {
            return Err(GeometryError::Outside { end, capacity });
        }
        let words = [F::READ_SIZE, F::WRITE_SIZE];
        match words.into_iter().find(|word| !N.is_multiple_of(*word)) {
            Some(word) => Err(GeometryError::Words { record: N, word }),
            None => Ok(Self { start }),
        }
    }

    /// Returns the number of bytes in the two pages.
    #[must_use]
    pub const fn length<F: NorFlash>() -> usize {
        N.next_multiple_of(F::ERASE_SIZE).saturating_mul(2)
    }

    /// Returns the start and end addresses of a page, in bytes.
    fn bounds<F: NorFlash>(self, side: Side) -> (u32, u32) {
        // Pages lie inside the flash, whose addresses are 32 bits, so neither addition saturates.
        let page = u32::try_from(Self::length::<F>() / 2).unwrap_or(u32::MAX);
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

    async fn read<F: NorFlash>(
        self,
        flash: &mut F,
        side: Side,
        record: &mut RecordBuffer<N>,
    ) -> Result<Page, KeepError> {
        flash.read(self.bounds::<F>(side).0, &mut record.0).await.map_err(|_| KeepError::Flash)?;
        Ok(page(&record.0))
    }

    /// Reads both pages. `record` then holds the second one.
    async fn survey<F: NorFlash>(
        self,
        flash: &mut F,
        record: &mut RecordBuffer<N>,
    ) -> Result<(Page, Page), KeepError> {
        let first = self.read(flash, Side::First, record).await?;
        Ok((first, self.read(flash, Side::Second, record).await?))
    }

    /// Puts the record stored last into `record`. Returns `false` if there is none yet; the very
    /// first one may have been cut off.
    ///
    /// # Errors
    /// [`KeepError::Flash`]: the pages cannot be read now. [`KeepError::Corrupted`]: they hold
    /// something else.
    pub async fn newest<F: NorFlash>(
        self,
        flash: &mut F,
        record: &mut RecordBuffer<N>,
    ) -> Result<bool, KeepError> {
        let first = match self.survey(flash, record).await? {
            // Normally both pages hold a record; the higher sequence number is the newer.
            (Page::Holds(a), Page::Holds(b)) => a > b,
            (_, Page::Holds(_)) => false,
            (Page::Holds(_), _) => true,
            // A torn page beside an erased one is the very first record, cut off.
            (Page::Erased, Page::Erased | Page::Torn) | (Page::Torn, Page::Erased) => {
                return Ok(false);
            }
            (Page::Torn, Page::Torn) => return Err(KeepError::Corrupted),
        };
        if first {
            self.read(flash, Side::First, record).await?;
        }
        Ok(true)
    }

    /// Loads the value stored last; `None` if none ever was. `record` holds the bytes that it
    /// borrows.
    ///
    /// # Errors
    /// [`KeepError::Flash`]: the pages cannot be read now. [`KeepError::Corrupted`],
    /// [`KeepError::OtherVersion`] or [`KeepError::Unreadable`]: this firmware will never read
    /// them.
    pub async fn load<'r, F: NorFlash, T: Deserialize<'r>>(
        self,
        flash: &mut F,
        kind: RecordKind,
        record: &'r mut RecordBuffer<N>,
    ) -> Result<Option<T>, KeepError> {
        if self.newest(flash, record).await? { record.value(kind).map(Some) } else { Ok(None) }
    }

    /// Replaces the newest record. After `Ok` the new one survives any power cut; until then either
    /// it or the old one does. With `forget`, the old record is erased, too. `record` is working
    /// memory.
    ///
    /// # Errors
    /// [`KeepError`]: the new value may not be durable; try again. [`KeepError::TooLong`]: it is
    /// longer than a record.
    pub async fn replace<F: NorFlash>(
        self,
        flash: &mut F,
        kind: RecordKind,
        value: &impl Serialize,
        record: &mut RecordBuffer<N>,
        forget: bool,
    ) -> Result<(), KeepError> {
        let (newest, older, sequence) = match self.survey(flash, record).await? {
            (Page::Holds(a), Page::Holds(b)) if a > b => (Side::First, Side::Second, a),
            (_, Page::Holds(sequence)) => (Side::Second, Side::First, sequence),
            (Page::Holds(sequence), _) => (Side::First, Side::Second, sequence),
            // There is no record to protect; but one page stays erased, so that a power cut now
            // still reads as nothing.
            (Page::Erased, _) => (Side::First, Side::Second, 0),
            (Page::Torn, _) => (Side::Second, Side::First, 0),
        };
        encode(&mut record.0, kind, sequence.saturating_add(1), value).ok_or(KeepError::TooLong)?;
        self.put(flash, older, record).await?;
        // The new record is already the newest, so the old one can be erased.
        if forget { self.erase(flash, newest).await } else { Ok(()) }
    }

    /// Writes a record to a page. The newest record is on the other one, so a power cut loses
    /// neither.
    async fn put<F: NorFlash>(
        self,
        flash: &mut F,
        side: Side,
        record: &mut RecordBuffer<N>,
    ) -> Result<(), KeepError> {
        self.erase(flash, side).await?;
        flash.write(self.bounds::<F>(side).0, &record.0).await.map_err(|_| KeepError::Flash)?;
        // Worn flash may lose bits without an error, so the record is read back. One that is whole
        // and has the same checksum is the one that was written.
        let (written, checksum) = (page(&record.0), record.0.last_chunk::<CHECKSUM>().copied());
        let found = self.read(flash, side, record).await?;
        if found == written && record.0.last_chunk().copied() == checksum {
            Ok(())
        } else {
            Err(KeepError::Worn)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Bytes = RecordBuffer<RECORD>;

    fn encoded(kind: RecordKind, sequence: u32, value: &impl Serialize) -> Bytes {
        let mut record = Bytes::new();
        encode(&mut record.0, kind, sequence, value).unwrap();
        record
    }

    #[test]
    fn a_record_of_another_version_is_neither_torn_nor_read() {
        for version in (0..=u8::MAX).filter(|version| *version != VERSION) {
            let mut record = encoded(RecordKind::NATIVE, 7, &());
            record.0[0] = version;
            let body = RECORD - CHECKSUM;
            let sum = crc32(&record.0[..body]).to_le_bytes();
            record.0[body..].copy_from_slice(&sum);
            assert_eq!(page(&record.0), Page::Holds(7));
            let read = decode::<()>(&record.0, RecordKind::NATIVE);
            assert_eq!(read, Err(KeepError::OtherVersion(version)));
        }
    }

    #[test]
    fn a_record_of_another_kind_or_with_bytes_behind_its_value_is_not_read() {
        let record = encoded(RecordKind::NATIVE, 1, &(7u8, 8u8));
        assert_eq!(decode(&record.0, RecordKind::NATIVE), Ok((7u8, 8u8)));
        for other in [RecordKind::KEYS, RecordKind::of_firmware(2)] {
            let read = decode::<(u8, u8)>(&record.0, other);
            assert_eq!(read, Err(KeepError::Unreadable));
        }
        assert_eq!(decode::<u8>(&record.0, RecordKind::NATIVE), Err(KeepError::Unreadable));
    }

    #[test]
    fn a_value_that_is_longer_than_its_place_is_not_written() {
        let mut record = Bytes::new();
        let place = [[0u8; 32]; RECORD / 32];
        assert!(encode(&mut record.0, RecordKind::NATIVE, 1, &place).is_none());
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        for bit in 0..RECORD * 8 {
            let mut record = encoded(RecordKind::KEYS, 1, &[9u8; 16]);
            record.0[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(page(&record.0), Page::Torn, "{bit}");
        }
    }
}
