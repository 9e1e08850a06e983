//! Persistent state of a node of the native wire: its keys, which are generated once, and, apart
//! from them, its pairing.
//!
//! There are four pages: the first two hold the memory, which changes; the other two hold one copy
//! of the keys each. So neither a power cut during a write of the memory nor a damaged memory
//! touches the keys, by which every gateway knows the node.

#[cfg(feature = "identity")]
mod certificate;

use embedded_storage_async::nor_flash::NorFlash;
use handfast_core::crypto::keys::OwnKeys;
use handfast_core::flow::native::node::NativeMemory;
use handfast_core::link::board::Board;
use handfast_core::secret::{self, Secret};
use handfast_core::{Entropy, NodeId};
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};

use crate::error::{GeometryError, KeepError};
use crate::pages::{Pages, RECORD, RECORD_OVERHEAD, RecordBuffer, RecordKind, behind};

#[cfg(feature = "identity")]
pub use certificate::{CertificateFlash, CertificateRecord, CertificateStorage, StoredCertificate};

/// Storage that makes a node's keys and memory durable.
pub trait NativeStorage {
    /// Returns the private halves of the node's keys; `None` if none were ever stored, or both
    /// copies are damaged.
    ///
    /// # Errors
    /// [`KeepError`]: the keys cannot be read now.
    async fn keys(&mut self) -> Result<Option<Secret<64>>, KeepError>;

    /// Makes the private halves durable. Called once in a node's life, unless they were lost.
    ///
    /// # Errors
    /// [`KeepError`]: the keys may not be durable; try again.
    async fn keep_keys(&mut self, keys: &Secret<64>) -> Result<(), KeepError>;

    /// Returns the memory stored last; [`NativeMemory::Blank`] if none ever was.
    ///
    /// # Errors
    /// [`KeepError::Flash`]: the memory cannot be read now. [`KeepError::Corrupted`],
    /// [`KeepError::OtherVersion`] or [`KeepError::Unreadable`]: this firmware will never read it.
    async fn load(&mut self) -> Result<NativeMemory, KeepError>;

    /// Makes `memory` durable. After `Ok` it survives any power cut; until then either the old
    /// memory or the new one does. Storing [`NativeMemory::Blank`] erases the old memory.
    ///
    /// # Errors
    /// [`KeepError`]: `memory` may not be durable; try again.
    async fn keep(&mut self, memory: &NativeMemory) -> Result<(), KeepError>;
}

impl<K: NativeStorage + ?Sized> NativeStorage for &mut K {
    async fn keys(&mut self) -> Result<Option<Secret<64>>, KeepError> {
        K::keys(self).await
    }

    async fn keep_keys(&mut self, keys: &Secret<64>) -> Result<(), KeepError> {
        K::keep_keys(self, keys).await
    }

    async fn load(&mut self) -> Result<NativeMemory, KeepError> {
        K::load(self).await
    }

    async fn keep(&mut self, memory: &NativeMemory) -> Result<(), KeepError> {
        K::keep(self, memory).await
    }
}

/// Number of dispatches that a device keeps on its board.
pub(super) const BOARD_PLACES: usize = 8;

/// The board of a device: the dispatches that it has taken lately. A storage writes it with serde.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct StoredBoard {
    /// The id under which the node is paired; numbers of another one mean nothing.
    pub(super) node_id: NodeId,
    pub(super) board: Board<BOARD_PLACES>,
}

impl StoredBoard {
    /// Creates the board of a node that has taken no dispatch.
    #[must_use]
    pub const fn new() -> Self {
        Self { node_id: NodeId::from_bytes([0; 16]), board: Board::new() }
    }
}

impl Default for StoredBoard {
    fn default() -> Self {
        Self::new()
    }
}

/// Length of a board's record in bytes.
const BOARD_RECORD: usize =
    (RECORD_OVERHEAD + 16 + Board::<BOARD_PLACES>::STORED_BYTES).next_multiple_of(32);

/// Working memory for reading and writing a [`StoredBoard`].
pub type BoardRecord = RecordBuffer<BOARD_RECORD>;

/// Storage that makes the board of a node with capabilities durable.
pub trait BoardStorage {
    /// Loads the board stored last; leaves `board` as it is if none ever was.
    ///
    /// # Errors
    /// As of [`NativeStorage::load`].
    async fn load_board(
        &mut self,
        board: &mut StoredBoard,
        record: &mut BoardRecord,
    ) -> Result<(), KeepError>;

    /// Makes the board durable. After `Ok` it survives any power cut; until then either the old one
    /// or the new one does.
    ///
    /// # Errors
    /// [`KeepError`]: the board may not be durable.
    async fn keep_board(
        &mut self,
        board: &StoredBoard,
        record: &mut BoardRecord,
    ) -> Result<(), KeepError>;
}

impl<K: BoardStorage + ?Sized> BoardStorage for &mut K {
    async fn load_board(
        &mut self,
        board: &mut StoredBoard,
        record: &mut BoardRecord,
    ) -> Result<(), KeepError> {
        K::load_board(self, board, record).await
    }

    async fn keep_board(
        &mut self,
        board: &StoredBoard,
        record: &mut BoardRecord,
    ) -> Result<(), KeepError> {
        K::keep_board(self, board, record).await
    }
}

/// Returns the stored keys, or generates new ones and makes them durable before returning them. A
/// memory that belongs to lost keys is worthless, so it is erased first.
///
/// # Errors
/// [`KeepError`]: the keys cannot be read or cannot be stored; try again.
pub async fn keys(
    keep: &mut impl NativeStorage,
    rng: &mut impl CryptoRng,
) -> Result<OwnKeys, KeepError> {
    if let Some(stored) = keep.keys().await? {
        return Ok(OwnKeys::from_stored(&stored));
    }
    // An unreadable memory is erased as well, so that no pairing outlives its keys.
    if keep.load().await != Ok(NativeMemory::Blank) {
        keep.keep(&NativeMemory::Blank).await?;
    }
    let keys = OwnKeys::generate(&Entropy::draw(rng));
    // The keys are durable before a gateway learns them.
    keep.keep_keys(&keys.to_stored()).await?;
    Ok(keys)
}

/// The private halves of a node's keys, as its record holds them.
#[derive(Serialize, Deserialize)]
struct StoredKeys(#[serde(with = "secret::exposed")] Secret<64>);

/// Four pages of NOR flash as a [`NativeStorage`]. Nothing else may use the pages.
pub struct NativeFlash<F> {
    flash: F,
    memory: Pages<RECORD>,
    keys: Pages<RECORD>,
}

impl<F: NorFlash> NativeFlash<F> {
    /// Number of bytes used: four pages.
    pub const LENGTH: usize = Self::PAIR.saturating_mul(2);

    /// Number of bytes in two pages.
    const PAIR: usize = Pages::<RECORD>::length::<F>();

    /// Uses the four pages that begin at the byte address `start`.
    ///
    /// # Errors
    /// [`GeometryError`]: the pages do not fit this flash there.
    pub fn new(flash: F, start: u32) -> Result<Self, GeometryError> {
        let memory = Pages::new(&flash, start)?;
        let keys = Pages::new(&flash, behind(start, Self::PAIR))?;
        Ok(Self { flash, memory, keys })
    }

    /// Returns the flash driver.
    pub fn into_flash(self) -> F {
        self.flash
    }
}

impl<F: NorFlash> NativeStorage for NativeFlash<F> {
    async fn keys(&mut self) -> Result<Option<Secret<64>>, KeepError> {
        let mut record = RecordBuffer::new();
        let stored = self.keys.load(&mut self.flash, RecordKind::KEYS, &mut record).await;
        match stored {
            Ok(stored) => Ok(stored.map(|StoredKeys(keys)| keys)),
            // No valid copy is left, so the node needs new keys. A record of another firmware is
            // none of these: it is not overwritten.
            Err(KeepError::Corrupted) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn keep_keys(&mut self, keys: &Secret<64>) -> Result<(), KeepError> {
        let keys = StoredKeys(Secret::new(*keys.expose()));
        // One write per page, so that both pages hold a copy.
        let mut record = RecordBuffer::new();
        for _ in 0..2 {
            self.keys.replace(&mut self.flash, RecordKind::KEYS, &keys, &mut record, false).await?;
        }
        Ok(())
    }

    async fn load(&mut self) -> Result<NativeMemory, KeepError> {
        let mut record = RecordBuffer::new();
        let stored = self.memory.load(&mut self.flash, RecordKind::NATIVE, &mut record).await?;
        Ok(stored.unwrap_or(NativeMemory::Blank))
    }

    async fn keep(&mut self, memory: &NativeMemory) -> Result<(), KeepError> {
        // A blank memory also erases the record of the old pairing.
        let forget = *memory == NativeMemory::Blank;
        let mut record = RecordBuffer::new();
        self.memory.replace(&mut self.flash, RecordKind::NATIVE, memory, &mut record, forget).await
    }
}

/// Pages of NOR flash for a node with capabilities: those of a [`NativeFlash`], and behind them the
/// two of its board.
pub struct DispatchFlash<F> {
    native: NativeFlash<F>,
    board: Pages<BOARD_RECORD>,
}

impl<F: NorFlash> DispatchFlash<F> {
    /// Number of bytes used: six pages, or more where a page is shorter than a board of 1312 bytes.
    pub const LENGTH: usize =
        NativeFlash::<F>::LENGTH.saturating_add(Pages::<BOARD_RECORD>::length::<F>());

    /// Uses the pages that begin at the byte address `start`.
    ///
    /// # Errors
    /// [`GeometryError`]: the pages do not fit this flash there.
    pub fn new(flash: F, start: u32) -> Result<Self, GeometryError> {
        let native = NativeFlash::new(flash, start)?;
        let board = Pages::new(&native.flash, behind(start, NativeFlash::<F>::LENGTH))?;
        Ok(Self { native, board })
    }

    /// Returns the flash driver.
    pub fn into_flash(self) -> F {
        self.native.into_flash()
    }
}

impl<F: NorFlash> NativeStorage for DispatchFlash<F> {
    async fn keys(&mut self) -> Result<Option<Secret<64>>, KeepError> {
        self.native.keys().await
    }

    async fn keep_keys(&mut self, keys: &Secret<64>) -> Result<(), KeepError> {
        self.native.keep_keys(keys).await
    }

    async fn load(&mut self) -> Result<NativeMemory, KeepError> {
        self.native.load().await
    }

    async fn keep(&mut self, memory: &NativeMemory) -> Result<(), KeepError> {
        self.native.keep(memory).await
    }
}

impl<F: NorFlash> BoardStorage for DispatchFlash<F> {
    async fn load_board(
        &mut self,
        board: &mut StoredBoard,
        record: &mut BoardRecord,
    ) -> Result<(), KeepError> {
        if self.board.newest(&mut self.native.flash, record).await? {
            // The value is read in one expression, so that it is not part of the future.
            *board = record.value(RecordKind::BOARD)?;
        }
        Ok(())
    }

    async fn keep_board(
        &mut self,
        board: &StoredBoard,
        record: &mut BoardRecord,
    ) -> Result<(), KeepError> {
        self.board.replace(&mut self.native.flash, RecordKind::BOARD, board, record, false).await
    }
}
