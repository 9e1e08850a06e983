//! What a node of the native wire keeps across power cuts: its keys, which are made once, and apart
//! from them what it is paired to.
//!
//! Four pages: the memory changes in the first two, the keys stand in the other two, once in each.
//! So neither a cut while something is remembered nor a damaged memory ever touches the keys, by
//! which every gateway knows the node.

use embedded_storage_async::nor_flash::NorFlash;
use handfast_core::crypto::keys::OwnKeys;
use handfast_core::crypto::x25519::PublicKey;
use handfast_core::entropy::Entropy;
use handfast_core::flow::native::node::{Memory, Paired};
use handfast_core::id::NodeId;
use handfast_core::registry::grants::GrantId;
use handfast_core::secret::Secret;
use rand_core::CryptoRng;

use crate::memory::KeepError;
use crate::pages::{self, Newest, PAYLOAD, Pages, Record};

/// Something that makes what a node knows durable.
pub trait Keep {
    /// The private halves of its keys; `None` if none were ever made, or what was made is damaged
    /// for good.
    ///
    /// # Errors
    /// [`KeepError`]: they cannot be read now.
    async fn keys(&mut self) -> Result<Option<Secret<64>>, KeepError>;

    /// Makes the private halves durable. Called once in a node's life, unless they were lost.
    ///
    /// # Errors
    /// [`KeepError`]: they are not known to be durable; try again.
    async fn keep_keys(&mut self, keys: &Secret<64>) -> Result<(), KeepError>;

    /// What was kept last; [`Memory::Blank`] if nothing ever was.
    ///
    /// # Errors
    /// [`KeepError::Flash`]: it cannot be read now. [`KeepError::Corrupted`] or [`KeepError::Unreadable`]: it never can.
    async fn load(&mut self) -> Result<Memory, KeepError>;

    /// Makes `memory` durable. After `Ok` it survives any power cut; until then either the old
    /// memory or this one does. Keeping [`Memory::Blank`] wipes what was kept before.
    ///
    /// # Errors
    /// [`KeepError`]: it is not known to be durable; try again.
    async fn keep(&mut self, memory: &Memory) -> Result<(), KeepError>;
}

impl<K: Keep + ?Sized> Keep for &mut K {
    async fn keys(&mut self) -> Result<Option<Secret<64>>, KeepError> {
        K::keys(self).await
    }

    async fn keep_keys(&mut self, keys: &Secret<64>) -> Result<(), KeepError> {
        K::keep_keys(self, keys).await
    }

    async fn load(&mut self) -> Result<Memory, KeepError> {
        K::load(self).await
    }

    async fn keep(&mut self, memory: &Memory) -> Result<(), KeepError> {
        K::keep(self, memory).await
    }
}

/// The node's keys: those that were kept, or fresh ones, which are durable before anybody sees
/// them. What was remembered with keys that are lost is worth nothing, so it goes first.
///
/// # Errors
/// [`KeepError`]: they cannot be read, or not be made durable; try again.
pub async fn keys(keep: &mut impl Keep, rng: &mut impl CryptoRng) -> Result<OwnKeys, KeepError> {
    if let Some(stored) = keep.keys().await? {
        return Ok(OwnKeys::from_stored(&stored));
    }
    if keep.load().await != Ok(Memory::Blank) {
        keep.keep(&Memory::Blank).await?;
    }
    let keys = OwnKeys::generate(&Entropy::draw(rng));
    keep.keep_keys(&keys.to_stored()).await?;
    Ok(keys)
}

/// Kinds of records. Those of the `missy` dialect are others, but for the one that says nothing.
const BLANK: u8 = 0;
const ASKED: u8 = 0x11;
const PAIRED: u8 = 0x12;
const KEYS: u8 = 0x20;

const _: () = assert!(
    64 <= PAYLOAD,
    "keys have their place in a record, and a gateway's key, a node's id and a grant's have theirs"
);

/// [`Keep`] in four pages of NOR flash that nothing else uses.
pub struct Flash<F> {
    flash: F,
    memory: Pages,
    keys: Pages,
}

impl<F: NorFlash> Flash<F> {
    /// Bytes that it uses: four pages.
    pub const LENGTH: usize = pages::length::<F>().saturating_mul(2);

    /// Uses the four pages from the address `start`, in bytes.
    ///
    /// `None` if they do not begin at a page or lie outside the flash, or a record of 96 bytes does
    /// not fit its pages in whole words.
    #[must_use]
    pub fn new(flash: F, start: u32) -> Option<Self> {
        let memory = Pages::new(&flash, start)?;
        let keys =
            Pages::new(&flash, start.checked_add(u32::try_from(pages::length::<F>()).ok()?)?)?;
        Some(Self { flash, memory, keys })
    }

    /// Gives the flash back.
    pub fn into_flash(self) -> F {
        self.flash
    }
}

impl<F: NorFlash> Keep for Flash<F> {
    async fn keys(&mut self) -> Result<Option<Secret<64>>, KeepError> {
        match self.keys.newest(&mut self.flash).await? {
            Newest::Nothing | Newest::Damaged => Ok(None),
            Newest::Record(record) => match record.read() {
                Some((KEYS, payload)) => Ok(payload.first_chunk().map(|keys| Secret::new(*keys))),
                // A newer firmware's: not ours to overwrite.
                Some(_) | None => Err(KeepError::Unreadable),
            },
        }
    }

    async fn keep_keys(&mut self, keys: &Secret<64>) -> Result<(), KeepError> {
        // Once in each page.
        for _ in 0..2 {
            self.keys.replace(&mut self.flash, KEYS, keys.expose().iter().copied(), false).await?;
        }
        Ok(())
    }

    async fn load(&mut self) -> Result<Memory, KeepError> {
        match self.memory.newest(&mut self.flash).await? {
            Newest::Nothing => Ok(Memory::Blank),
            Newest::Damaged => Err(KeepError::Corrupted),
            Newest::Record(record) => parse(&record).ok_or(KeepError::Unreadable),
        }
    }

    async fn keep(&mut self, memory: &Memory) -> Result<(), KeepError> {
        let (kind, parts): (u8, [&[u8]; 3]) = match memory {
            Memory::Blank => (BLANK, [&[]; 3]),
            Memory::Asked { gateway } => (ASKED, [gateway.as_bytes(), &[], &[]]),
            Memory::Paired(Paired { gateway, node_id, grant }) => {
                (PAIRED, [gateway.as_bytes(), node_id.as_bytes(), grant.as_bytes()])
            }
        };
        let payload = parts.into_iter().flatten().copied();
        self.memory.replace(&mut self.flash, kind, payload, kind == BLANK).await
    }
}

/// `None` if another version or another wire wrote it.
fn parse(record: &Record) -> Option<Memory> {
    let (kind, payload) = record.read()?;
    let (gateway, rest) = payload.split_first_chunk()?;
    let (node_id, rest) = rest.split_first_chunk()?;
    let grant = GrantId::from_bytes(*rest.first_chunk()?);
    match kind {
        BLANK => Some(Memory::Blank),
        ASKED => Some(Memory::Asked { gateway: PublicKey::parse(gateway).ok()? }),
        PAIRED => {
            let (gateway, node_id) =
                (PublicKey::parse(gateway).ok()?, NodeId::from_bytes(*node_id));
            Some(Memory::Paired(Paired { gateway, node_id, grant }))
        }
        _ => None,
    }
}
