//! Persistent state of the node of the `missy` dialect, in two pages of NOR flash (`pages.rs` has
//! their layout).

use embedded_storage_async::nor_flash::NorFlash;
use handfast_core::flow::registration::node::RegistrationMemory;

pub use crate::error::{GeometryError, KeepError};
use crate::pages::{Pages, RECORD, RecordBuffer, RecordKind};

/// Storage that makes a node's memory durable.
pub trait RegistrationStorage {
    /// Returns the memory stored last; [`RegistrationMemory::Blank`] if none ever was.
    ///
    /// # Errors
    /// [`KeepError`]: the memory cannot be read now. The caller must not treat that as blank.
    async fn load(&mut self) -> Result<RegistrationMemory, KeepError>;

    /// Makes `memory` durable. After `Ok` it survives any power cut; until then either the old
    /// memory or the new one does. Storing [`RegistrationMemory::Blank`] erases the old memory.
    ///
    /// # Errors
    /// [`KeepError`]: `memory` may not be durable; try again.
    async fn keep(&mut self, memory: &RegistrationMemory) -> Result<(), KeepError>;
}

impl<K: RegistrationStorage + ?Sized> RegistrationStorage for &mut K {
    async fn load(&mut self) -> Result<RegistrationMemory, KeepError> {
        K::load(self).await
    }

    async fn keep(&mut self, memory: &RegistrationMemory) -> Result<(), KeepError> {
        K::keep(self, memory).await
    }
}

/// Two pages of NOR flash as a [`RegistrationStorage`]. Nothing else may use the pages.
pub struct RegistrationFlash<F> {
    flash: F,
    pages: Pages<RECORD>,
}

impl<F: NorFlash> RegistrationFlash<F> {
    /// Number of bytes used: two pages.
    pub const LENGTH: usize = Pages::<RECORD>::length::<F>();

    /// Uses the two pages that begin at the byte address `start`.
    ///
    /// # Errors
    /// [`GeometryError`]: the pages do not fit this flash there.
    pub fn new(flash: F, start: u32) -> Result<Self, GeometryError> {
        let pages = Pages::new(&flash, start)?;
        Ok(Self { flash, pages })
    }

    /// Returns the flash driver.
    pub fn into_flash(self) -> F {
        self.flash
    }
}

impl<F: NorFlash> RegistrationStorage for RegistrationFlash<F> {
    async fn load(&mut self) -> Result<RegistrationMemory, KeepError> {
        let mut record = RecordBuffer::new();
        let stored = self.pages.load(&mut self.flash, RecordKind::REGISTRATION, &mut record);
        Ok(stored.await?.unwrap_or(RegistrationMemory::Blank))
    }

    async fn keep(&mut self, memory: &RegistrationMemory) -> Result<(), KeepError> {
        // A blank memory also erases the old record, which may hold a token.
        let forget = *memory == RegistrationMemory::Blank;
        let mut record = RecordBuffer::new();
        self.pages
            .replace(&mut self.flash, RecordKind::REGISTRATION, memory, &mut record, forget)
            .await
    }
}
