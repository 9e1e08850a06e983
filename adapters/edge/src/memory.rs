//! What the node of the `missy` dialect keeps across power cuts, in two pages of NOR flash
//! (`pages.rs` has their scheme).
//!
//! The payload of a record is the node's id in 16 bytes and its token in 43.

use embedded_storage_async::nor_flash::NorFlash;
use handfast_core::flow::registration::node::Memory;
use handfast_core::id::NodeId;
use handfast_core::wire::token::{TOKEN_CHARS, Token};

use crate::pages::{self, Newest, PAYLOAD, Pages, Record};

/// Something that makes a node's memory durable.
pub trait Keep {
    /// What was kept last; [`Memory::Blank`] if nothing ever was.
    ///
    /// # Errors
    /// [`KeepError`]: it cannot be read now. That is not the same as blank, and the caller must not treat it so.
    async fn load(&mut self) -> Result<Memory, KeepError>;

    /// Makes `memory` durable. After `Ok` it survives any power cut; until then either the old
    /// memory or this one does. Keeping [`Memory::Blank`] wipes what was kept before.
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
    /// Neither page is erased and neither holds a record: this is no flash of ours, or it has lost
    /// what it held.
    Corrupted,
    /// A record that this version cannot read: a newer firmware's.
    Unreadable,
}

/// Kinds of records. Those of the native wire's are others, so that neither takes the other's for
/// its own.
const BLANK: u8 = 0;
const ASKED: u8 = 1;
const PAIRED: u8 = 2;

const _: () = assert!(16 + TOKEN_CHARS <= PAYLOAD, "everything has its place in a record");

/// [`Keep`] in two pages of NOR flash that nothing else uses.
pub struct Flash<F> {
    flash: F,
    pages: Pages,
}

impl<F: NorFlash> Flash<F> {
    /// Bytes that it uses: two pages.
    pub const LENGTH: usize = pages::length::<F>();

    /// Uses the two pages from the address `start`, in bytes.
    ///
    /// `None` if they do not begin at a page or lie outside the flash, or a record of 96 bytes does
    /// not fit its pages in whole words.
    #[must_use]
    pub fn new(flash: F, start: u32) -> Option<Self> {
        let pages = Pages::new(&flash, start)?;
        Some(Self { flash, pages })
    }

    /// Gives the flash back.
    pub fn into_flash(self) -> F {
        self.flash
    }
}

impl<F: NorFlash> Keep for Flash<F> {
    async fn load(&mut self) -> Result<Memory, KeepError> {
        match self.pages.newest(&mut self.flash).await? {
            Newest::Nothing => Ok(Memory::Blank),
            Newest::Damaged => Err(KeepError::Corrupted),
            Newest::Record(record) => parse(&record).ok_or(KeepError::Unreadable),
        }
    }

    async fn keep(&mut self, memory: &Memory) -> Result<(), KeepError> {
        let (kind, node_id, token) = match memory {
            Memory::Blank => (BLANK, None, None),
            Memory::Asked { node_id } => (ASKED, Some(node_id), None),
            Memory::Paired { node_id, token } => (PAIRED, Some(node_id), Some(token)),
        };
        let id = node_id.into_iter().flat_map(|id| id.as_bytes().iter().copied());
        let chars = token.into_iter().flat_map(|token| token.expose().bytes());
        self.pages.replace(&mut self.flash, kind, id.chain(chars), kind == BLANK).await
    }
}

/// `None` if another version or another wire wrote it.
fn parse(record: &Record) -> Option<Memory> {
    let (kind, payload) = record.read()?;
    let (id, rest) = payload.split_first_chunk()?;
    let node_id = NodeId::from_bytes(*id);
    match kind {
        BLANK => Some(Memory::Blank),
        ASKED => Some(Memory::Asked { node_id }),
        PAIRED => {
            let token = Token::parse(core::str::from_utf8(rest.get(..TOKEN_CHARS)?).ok()?)?;
            Some(Memory::Paired { node_id, token })
        }
        _ => None,
    }
}
