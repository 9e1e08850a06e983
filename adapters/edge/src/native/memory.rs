//! Persistent state of a node of the native wire: its keys, which are generated once, and, apart
//! from them, its pairing.
//!
//! There are four pages: the first two hold the memory, which changes; the other two hold one copy
//! of the keys each. So neither a power cut during a write of the memory nor a damaged memory
//! touches the keys, by which every gateway knows the node.

use embedded_storage_async::nor_flash::NorFlash;
use handfast_core::Entropy;
use handfast_core::crypto::keys::OwnKeys;
use handfast_core::flow::native::node::NativeMemory;
use handfast_core::secret::{self, Secret};
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};

use crate::error::KeepError;
use crate::pages::{self, Newest, Pages, RecordKind};

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
    keep.keep_keys(&keys.to_stored()).await?;
    Ok(keys)
}

/// The private halves of a node's keys, as its record holds them.
#[derive(Serialize, Deserialize)]
struct StoredKeys(#[serde(with = "secret::exposed")] Secret<64>);

/// Four pages of NOR flash as a [`NativeStorage`]. Nothing else may use the pages.
pub struct NativeFlash<F> {
    flash: F,
    memory: Pages,
    keys: Pages,
}

impl<F: NorFlash> NativeFlash<F> {
    /// Number of bytes used: four pages.
    pub const LENGTH: usize = pages::length::<F>().saturating_mul(2);

    /// Uses the four pages that begin at the byte address `start`.
    ///
    /// Returns `None` if `start` is not the beginning of a page, the pages lie outside the flash,
    /// or a record of 96 bytes does not fit a page in whole words.
    #[must_use]
    pub fn new(flash: F, start: u32) -> Option<Self> {
        let memory = Pages::new(&flash, start)?;
        let keys =
            Pages::new(&flash, start.checked_add(u32::try_from(pages::length::<F>()).ok()?)?)?;
        Some(Self { flash, memory, keys })
    }

    /// Returns the flash driver.
    pub fn into_flash(self) -> F {
        self.flash
    }
}

impl<F: NorFlash> NativeStorage for NativeFlash<F> {
    async fn keys(&mut self) -> Result<Option<Secret<64>>, KeepError> {
        match self.keys.newest(&mut self.flash).await? {
            // No valid copy is left, so the node needs new keys.
            Newest::Nothing | Newest::Damaged => Ok(None),
            // Another firmware may have written the record, so it is not overwritten.
            Newest::Record(record) => {
                let StoredKeys(keys) = record.read(RecordKind::Keys)?;
                Ok(Some(keys))
            }
        }
    }

    async fn keep_keys(&mut self, keys: &Secret<64>) -> Result<(), KeepError> {
        let keys = StoredKeys(Secret::new(*keys.expose()));
        // One write per page, so that both pages hold a copy.
        for _ in 0..2 {
            self.keys.replace(&mut self.flash, RecordKind::Keys, &keys, false).await?;
        }
        Ok(())
    }

    async fn load(&mut self) -> Result<NativeMemory, KeepError> {
        match self.memory.newest(&mut self.flash).await? {
            Newest::Nothing => Ok(NativeMemory::Blank),
            Newest::Damaged => Err(KeepError::Corrupted),
            Newest::Record(record) => record.read(RecordKind::Native),
        }
    }

    async fn keep(&mut self, memory: &NativeMemory) -> Result<(), KeepError> {
        let forget = *memory == NativeMemory::Blank;
        self.memory.replace(&mut self.flash, RecordKind::Native, memory, forget).await
    }
}
