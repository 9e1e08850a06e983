//! Persistent state of the node of the `missy` dialect, in two pages of NOR flash (`pages.rs` has
//! their layout).
//!
//! The payload of a record is the node's id in 16 bytes and its token in 43.

use embedded_storage_async::nor_flash::NorFlash;
use handfast_core::flow::registration::node::RegistrationMemory;
use handfast_core::id::NodeId;
use handfast_core::wire::token::{TOKEN_CHARS, Token};

pub use crate::error::KeepError;
use crate::pages::{self, Newest, PAYLOAD, Pages, RecordBytes};

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

/// Kinds of records. The native wire uses other values, so neither wire accepts the other's
/// records.
const BLANK: u8 = 0;
const ASKED: u8 = 1;
const PAIRED: u8 = 2;

const _: () = assert!(16 + TOKEN_CHARS <= PAYLOAD, "everything has its place in a record");

/// Two pages of NOR flash as a [`RegistrationStorage`]. Nothing else may use the pages.
pub struct RegistrationFlash<F> {
    flash: F,
    pages: Pages,
}

impl<F: NorFlash> RegistrationFlash<F> {
    /// Number of bytes used: two pages.
    pub const LENGTH: usize = pages::length::<F>();

    /// Uses the two pages that begin at the byte address `start`.
    ///
    /// Returns `None` if `start` is not the beginning of a page, the pages lie outside the flash,
    /// or a record of 96 bytes does not fit a page in whole words.
    #[must_use]
    pub fn new(flash: F, start: u32) -> Option<Self> {
        let pages = Pages::new(&flash, start)?;
        Some(Self { flash, pages })
    }

    /// Returns the flash driver.
    pub fn into_flash(self) -> F {
        self.flash
    }
}

impl<F: NorFlash> RegistrationStorage for RegistrationFlash<F> {
    async fn load(&mut self) -> Result<RegistrationMemory, KeepError> {
        match self.pages.newest(&mut self.flash).await? {
            Newest::Nothing => Ok(RegistrationMemory::Blank),
            Newest::Damaged => Err(KeepError::Corrupted),
            Newest::Record(record) => parse(&record).ok_or(KeepError::Unreadable),
        }
    }

    async fn keep(&mut self, memory: &RegistrationMemory) -> Result<(), KeepError> {
        let (kind, node_id, token) = match memory {
            RegistrationMemory::Blank => (BLANK, None, None),
            RegistrationMemory::Asked { node_id } => (ASKED, Some(node_id), None),
            RegistrationMemory::Paired { node_id, token } => (PAIRED, Some(node_id), Some(token)),
        };
        let id = node_id.into_iter().flat_map(|id| id.as_bytes().iter().copied());
        let chars = token.into_iter().flat_map(|token| token.expose().bytes());
        // A blank memory also erases the old record, which may hold a token.
        self.pages.replace(&mut self.flash, kind, id.chain(chars), kind == BLANK).await
    }
}

/// Decodes a record. `None` if another version or another wire wrote it.
fn parse(record: &RecordBytes) -> Option<RegistrationMemory> {
    let (kind, payload) = record.read()?;
    let (id, rest) = payload.split_first_chunk()?;
    let node_id = NodeId::from_bytes(*id);
    match kind {
        BLANK => Some(RegistrationMemory::Blank),
        ASKED => Some(RegistrationMemory::Asked { node_id }),
        PAIRED => {
            let token = Token::parse(core::str::from_utf8(rest.get(..TOKEN_CHARS)?).ok()?)?;
            Some(RegistrationMemory::Paired { node_id, token })
        }
        _ => None,
    }
}
