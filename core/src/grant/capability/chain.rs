//! Blocks on top of each other: issued, attenuated, read and written.

use super::block::{self, Block, Holder, Id, Terms};
use super::codec::{Full, Reader, Writer};
use super::{CannotIssue, Malformed};
use crate::crypto::{base64url, ed25519};
use crate::limits::{CAPABILITY_BYTES, CAPABILITY_CHARS, CAPABILITY_DEPTH};

/// What the text of a capability begins with: the version of its form.
pub const PREFIX: &str = "hf1.";

/// A capability as it was read or made: one to [`CAPABILITY_DEPTH`] blocks, the gateway's first.
/// Nothing of it counts before [`verify`](super::verify). Shown, it is the text that travels and is
/// kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain<'b> {
    bytes: &'b [u8],
    root: Block<'b>,
    delegated: heapless::Vec<Block<'b>, { CAPABILITY_DEPTH - 1 }>,
}

impl<'b> Chain<'b> {
    /// Reads the text.
    ///
    /// # Errors
    /// What is wrong with it. Each capability has one text.
    pub fn parse(text: &str, scratch: &'b mut [u8; CAPABILITY_BYTES]) -> Result<Self, Malformed> {
        if text.len() > CAPABILITY_CHARS {
            return Err(Malformed::TooLong);
        }
        let text = text.strip_prefix(PREFIX).ok_or(Malformed::Version)?;
        Self::from_bytes(base64url::decode(text, scratch).ok_or(Malformed::Base64)?)
    }

    /// Reads the bytes.
    ///
    /// # Errors
    /// What is wrong with them. Each capability has one form.
    pub fn from_bytes(bytes: &'b [u8]) -> Result<Self, Malformed> {
        if bytes.len() > CAPABILITY_BYTES {
            return Err(Malformed::TooLong);
        }
        let mut reader = Reader(bytes);
        let below = reader.number()?.checked_sub(1).ok_or(Malformed::Depth)?;
        // What is announced beyond the bound is not even read.
        if below >= CAPABILITY_DEPTH as u64 {
            return Err(Malformed::Depth);
        }
        let root = Block::read(&mut reader)?;
        let mut delegated = heapless::Vec::new();
        for _ in 0..below {
            delegated.push(Block::read(&mut reader)?).map_err(|_| Malformed::Depth)?;
        }
        if reader.0.is_empty() {
            Ok(Self { bytes, root, delegated })
        } else {
            Err(Malformed::Trailing)
        }
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &'b [u8] {
        self.bytes
    }

    /// The gateway's block.
    #[must_use]
    pub const fn root(&self) -> &Block<'b> {
        &self.root
    }

    /// The block that counts: the last delegation, or the gateway's block where there is none.
    #[must_use]
    pub fn leaf(&self) -> &Block<'b> {
        self.delegated.last().unwrap_or(&self.root)
    }

    /// All blocks, the gateway's first.
    pub fn blocks(&self) -> impl Iterator<Item = &Block<'b>> {
        core::iter::once(&self.root).chain(&self.delegated)
    }

    /// Delegates: adds a block with terms that lie within the leaf's. Needs nobody but the leaf's
    /// holder, whose key this is.
    ///
    /// # Errors
    /// If it is another key, if the terms are wider, or if the chain would be too deep or too long.
    pub fn attenuate<'o>(
        &self,
        key: &ed25519::KeyPair,
        holder: &Holder,
        terms: &Terms<'_>,
        out: &'o mut [u8; CAPABILITY_BYTES],
    ) -> Result<Chain<'o>, CannotIssue> {
        let leaf = self.leaf();
        if key.public() != leaf.holder().signing {
            return Err(CannotIssue::NotTheHolder);
        }
        if self.delegated.is_full() {
            return Err(CannotIssue::TooDeep);
        }
        terms.within(leaf.terms()).map_err(CannotIssue::Wider)?;
        // The number of blocks is one byte, since it is small.
        let kept = self.bytes.get(1..).unwrap_or(&[]);
        append(kept, self.blocks().count(), leaf.id(), (holder, terms), key, out)
    }
}

/// Issues a capability: the gateway's block.
///
/// # Errors
/// If the terms are never in force.
pub fn issue<'o>(
    gateway: &ed25519::KeyPair,
    holder: &Holder,
    terms: &Terms<'_>,
    out: &'o mut [u8; CAPABILITY_BYTES],
) -> Result<Chain<'o>, CannotIssue> {
    append(&[], 0, &Id::of_issuer(&gateway.public()), (holder, terms), gateway, out)
}

fn append<'o>(
    kept: &[u8],
    blocks: usize,
    parent: &Id,
    (holder, terms): (&Holder, &Terms<'_>),
    signer: &ed25519::KeyPair,
    out: &'o mut [u8; CAPABILITY_BYTES],
) -> Result<Chain<'o>, CannotIssue> {
    if terms.expires <= terms.not_before {
        return Err(CannotIssue::NeverInForce);
    }
    let mut writer = Writer::new(out);
    let write = |writer: &mut Writer<'_>| {
        writer.number(u64::try_from(blocks).map_err(|_| Full)?.saturating_add(1))?;
        writer.bytes(kept)?;
        block::write(writer, parent, holder, terms, signer)
    };
    write(&mut writer).map_err(|Full| CannotIssue::TooLong)?;
    // Terms that are values are read back as they were written, so only length can be wrong with
    // them.
    Chain::from_bytes(writer.finish()).map_err(|_| CannotIssue::TooLong)
}

impl core::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(PREFIX)?;
        for part in self.bytes.chunks(48) {
            f.write_str(base64url::encode(part, &mut [0; 64]).unwrap_or_default())?;
        }
        Ok(())
    }
}
