//! Chains of blocks: issuing, attenuating, reading and writing.

use super::block::{self, Block, BlockTerms, Holder, Id};
use super::{CannotIssue, MalformedToken};
use crate::crypto::{base64url, ed25519};
use crate::limits::{CAPABILITY_BYTES, CAPABILITY_CHARS, CAPABILITY_DEPTH};

/// The beginning of every capability token's text: the version of its form.
pub const PREFIX: &str = "hf1.";

/// A capability token as read or made: one to [`CAPABILITY_DEPTH`] blocks, the gateway's first. It
/// grants nothing before [`verify`](super::verify). Its `Display` is the text that is sent and
/// stored.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Chain<'b> {
    bytes: &'b [u8],
    root: Block<'b>,
    delegated: heapless::Vec<Block<'b>, { CAPABILITY_DEPTH - 1 }>,
}

impl<'b> Chain<'b> {
    /// Reads the text form. Each capability token has exactly one text.
    ///
    /// # Errors
    /// The first defect of the text.
    pub fn parse(
        text: &str,
        scratch: &'b mut [u8; CAPABILITY_BYTES],
    ) -> Result<Self, MalformedToken> {
        if text.len() > CAPABILITY_CHARS {
            return Err(MalformedToken::TooLong);
        }
        let text = text.strip_prefix(PREFIX).ok_or(MalformedToken::Version)?;
        Self::from_bytes(base64url::decode(text, scratch).ok_or(MalformedToken::Base64)?)
    }

    /// Reads the binary form. Each capability token has exactly one.
    ///
    /// # Errors
    /// The first defect of the bytes.
    pub fn from_bytes(bytes: &'b [u8]) -> Result<Self, MalformedToken> {
        if bytes.len() > CAPABILITY_BYTES {
            return Err(MalformedToken::TooLong);
        }
        // The number of blocks is at most four, so it is one byte.
        let (&blocks, rest) = bytes.split_first().ok_or(MalformedToken::Truncated)?;
        let below = blocks.checked_sub(1).ok_or(MalformedToken::Depth)?;
        // Blocks that are announced beyond the bound are not read.
        if usize::from(below) >= CAPABILITY_DEPTH {
            return Err(MalformedToken::Depth);
        }
        let (root, mut rest) = Block::read(rest)?;
        let mut delegated = heapless::Vec::new();
        for _ in 0..below {
            let (block, behind) = Block::read(rest)?;
            delegated.push(block).map_err(|_| MalformedToken::Depth)?;
            rest = behind;
        }
        // Bytes behind the last block are signed by nobody, and would give a token a second form.
        if rest.is_empty() {
            Ok(Self { bytes, root, delegated })
        } else {
            Err(MalformedToken::Trailing)
        }
    }

    /// Returns the binary form.
    #[must_use]
    pub const fn as_bytes(&self) -> &'b [u8] {
        self.bytes
    }

    /// Returns the gateway's block.
    #[must_use]
    pub const fn root(&self) -> &Block<'b> {
        &self.root
    }

    /// Returns the block that counts: the last delegation, or the gateway's block without one.
    #[must_use]
    pub fn leaf(&self) -> &Block<'b> {
        self.delegated.last().unwrap_or(&self.root)
    }

    /// Iterates over all blocks, the gateway's first.
    pub fn blocks(&self) -> impl Iterator<Item = &Block<'b>> {
        core::iter::once(&self.root).chain(&self.delegated)
    }

    /// Delegates: appends a block with terms within the leaf's. It needs only `key`, the signing
    /// key of the leaf's holder; the gateway is not asked.
    ///
    /// # Errors
    /// [`CannotIssue`], if the key is not the holder's, the terms are wider, or the chain would be
    /// too deep or too long.
    pub fn attenuate<'o>(
        &self,
        key: &ed25519::KeyPair,
        holder: &Holder,
        terms: &BlockTerms<'_>,
        out: &'o mut [u8; CAPABILITY_BYTES],
    ) -> Result<Chain<'o>, CannotIssue> {
        let leaf = self.leaf();
        // A holder without a signing key delegates nothing.
        if leaf.holder().signing != Some(key.public()) {
            return Err(CannotIssue::NotTheHolder);
        }
        if self.delegated.is_full() {
            return Err(CannotIssue::TooDeep);
        }
        terms.within(leaf.terms()).map_err(CannotIssue::Wider)?;
        // Behind the byte that counts the blocks.
        let kept = self.bytes.get(1..).unwrap_or(&[]);
        // There are at most four blocks, so the lowest byte is the whole number.
        let blocks = self.blocks().count().to_le_bytes()[0];
        append(kept, blocks, leaf.id(), (holder, terms), key, out)
    }
}

/// Issues a capability token: a chain of the gateway's block alone.
///
/// # Errors
/// [`CannotIssue::NeverInForce`], if the terms end before they begin, or [`CannotIssue::TooLong`].
pub fn issue<'o>(
    gateway: &ed25519::KeyPair,
    holder: &Holder,
    terms: &BlockTerms<'_>,
    out: &'o mut [u8; CAPABILITY_BYTES],
) -> Result<Chain<'o>, CannotIssue> {
    append(&[], 0, &Id::of_issuer(&gateway.public()), (holder, terms), gateway, out)
}

fn append<'o>(
    kept: &[u8],
    blocks: u8,
    parent: &Id,
    (holder, terms): (&Holder, &BlockTerms<'_>),
    signer: &ed25519::KeyPair,
    out: &'o mut [u8; CAPABILITY_BYTES],
) -> Result<Chain<'o>, CannotIssue> {
    if terms.expires <= terms.not_before {
        return Err(CannotIssue::NeverInForce);
    }
    let write = |out: &mut [u8]| {
        let (count, behind) = out.split_first_mut()?;
        *count = blocks.checked_add(1)?;
        let (before, place) = behind.split_at_mut_checked(kept.len())?;
        before.copy_from_slice(kept);
        block::write(place, parent, holder, terms, signer)?.checked_add(kept.len())?.checked_add(1)
    };
    let length = write(out).ok_or(CannotIssue::TooLong)?;
    // Terms that are legal values are read back as written, so only the length can be wrong.
    Chain::from_bytes(out.get(..length).unwrap_or_default()).map_err(|_| CannotIssue::TooLong)
}

impl core::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(PREFIX)?;
        // 48 bytes are 64 characters without a remainder, so the parts join to one base64 text.
        for part in self.bytes.chunks(48) {
            f.write_str(base64url::encode(part, &mut [0; 64]).unwrap_or_default())?;
        }
        Ok(())
    }
}
