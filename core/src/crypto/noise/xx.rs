//! `Noise_XX_25519_ChaChaPoly_SHA256` (section 7.5): neither side knows the other; the joining side
//! is the initiator.
//!
//! ```text
//! Initiator::start ── message 1, payload in clear ──▶ Responder::read_first
//! Initiator::read_second ◀──────── message 2 ──────── Responder::write_second
//! Introduced::write_third ──────── message 3 ───────▶ Answered::read_third
//! ```

use super::symmetric::{Keyed, NoiseRole, Symmetric, Writer, bounded, read_key};
use super::{Error, Established, Prologue};
use crate::crypto::x25519::{KeyPair, PublicKey};
use crate::entropy::Entropy;

const PROTOCOL: &[u8; 32] = b"Noise_XX_25519_ChaChaPoly_SHA256";

/// An initiator that has written message 1.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Initiator {
    symmetric: Symmetric,
    ephemeral: KeyPair,
}

impl Initiator {
    /// Writes message 1: `e`, and the payload in clear.
    ///
    /// # Errors
    /// [`Error::Buffer`] if `out` cannot hold 32 bytes and the payload.
    #[inline(never)]
    pub fn start<'b>(
        prologue: Prologue<'_>,
        ephemeral: &Entropy<32>,
        payload: &[u8],
        out: &'b mut [u8],
    ) -> Result<(Self, &'b [u8]), Error> {
        let mut symmetric = Symmetric::new(PROTOCOL, prologue);
        let ephemeral = KeyPair::generate(ephemeral);
        let mut out = Writer::new(out);
        out.put(ephemeral.public().as_bytes())?;
        out.put(payload)?;
        symmetric.mix_hash(&[ephemeral.public().as_bytes()]);
        // No key exists yet, so the payload is only hashed.
        symmetric.mix_hash(&[payload]);
        Ok((Self { symmetric, ephemeral }, out.finish()?))
    }

    /// Reads message 2: `e, ee, s, es`. It proves that the responder holds its static key.
    ///
    /// # Errors
    /// [`Error::Length`], [`Error::Key`], [`Error::Forged`].
    #[inline(never)]
    pub fn read_second(self, message: &mut [u8]) -> Result<(Introduced, &[u8]), Error> {
        let Self { mut symmetric, ephemeral } = self;
        let mut message = bounded(message)?;
        let peer_ephemeral = read_key(&mut message)?;
        symmetric.mix_hash(&[peer_ephemeral.as_bytes()]);
        let mut keyed = symmetric.mix_key(&ephemeral.agree(&peer_ephemeral)?);
        let peer = keyed.open_key(&mut message)?;
        let mut keyed = keyed.mix_key(&ephemeral.agree(&peer)?);
        let payload = keyed.open(message)?;
        Ok((Introduced { keyed, peer_ephemeral, peer }, payload))
    }
}

/// An initiator that knows the responder, but has not revealed its own static key.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Introduced {
    keyed: Keyed,
    peer_ephemeral: PublicKey,
    peer: PublicKey,
}

impl Introduced {
    /// Returns the responder's static key. A caller with a pinned key compares the two before going
    /// on.
    #[must_use]
    pub const fn peer(&self) -> &PublicKey {
        &self.peer
    }

    /// Writes message 3: `s, se`.
    ///
    /// # Errors
    /// [`Error::Buffer`] if `out` cannot hold 64 bytes and the payload; [`Error::Key`] for a peer's
    /// ephemeral key of small order.
    #[inline(never)]
    pub fn write_third<'b>(
        self,
        own: &KeyPair,
        payload: &[u8],
        out: &'b mut [u8],
    ) -> Result<(Established, &'b [u8]), Error> {
        let Self { mut keyed, peer_ephemeral, peer } = self;
        let mut out = Writer::new(out);
        keyed.seal(own.public().as_bytes(), &mut out)?;
        let mut keyed = keyed.mix_key(&own.agree(&peer_ephemeral)?);
        keyed.seal(payload, &mut out)?;
        Ok((keyed.split(peer, NoiseRole::Initiator), out.finish()?))
    }
}

/// A responder that has read message 1. It has done no multiplication yet, so a limit on handshakes
/// can still refuse it cheaply.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Responder {
    symmetric: Symmetric,
    peer_ephemeral: PublicKey,
}

impl Responder {
    /// Reads message 1; nothing in it is authenticated yet.
    ///
    /// # Errors
    /// [`Error::Length`], [`Error::Key`].
    pub fn read_first<'b>(
        prologue: Prologue<'_>,
        message: &'b mut [u8],
    ) -> Result<(Self, &'b [u8]), Error> {
        let mut symmetric = Symmetric::new(PROTOCOL, prologue);
        let mut payload = bounded(message)?;
        let peer_ephemeral = read_key(&mut payload)?;
        symmetric.mix_hash(&[peer_ephemeral.as_bytes()]);
        symmetric.mix_hash(&[payload]);
        Ok((Self { symmetric, peer_ephemeral }, payload))
    }

    /// Writes message 2: `e, ee, s, es`.
    ///
    /// # Errors
    /// [`Error::Buffer`] if `out` cannot hold 96 bytes and the payload; [`Error::Key`] for a peer's
    /// ephemeral key of small order.
    pub fn write_second<'b>(
        self,
        own: &KeyPair,
        ephemeral: &Entropy<32>,
        payload: &[u8],
        out: &'b mut [u8],
    ) -> Result<(Answered, &'b [u8]), Error> {
        let Self { mut symmetric, peer_ephemeral } = self;
        let ephemeral = KeyPair::generate(ephemeral);
        let mut out = Writer::new(out);
        out.put(ephemeral.public().as_bytes())?;
        symmetric.mix_hash(&[ephemeral.public().as_bytes()]);
        let mut keyed = symmetric.mix_key(&ephemeral.agree(&peer_ephemeral)?);
        keyed.seal(own.public().as_bytes(), &mut out)?;
        let mut keyed = keyed.mix_key(&own.agree(&peer_ephemeral)?);
        keyed.seal(payload, &mut out)?;
        Ok((Answered { keyed, ephemeral }, out.finish()?))
    }
}

/// A responder that waits for message 3.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Answered {
    keyed: Keyed,
    ephemeral: KeyPair,
}

impl Answered {
    /// Reads message 3: `s, se`. It proves that the initiator holds its static key.
    ///
    /// # Errors
    /// [`Error::Length`], [`Error::Key`], [`Error::Forged`].
    pub fn read_third(self, message: &mut [u8]) -> Result<(Established, &[u8]), Error> {
        let Self { mut keyed, ephemeral } = self;
        let mut message = bounded(message)?;
        let peer = keyed.open_key(&mut message)?;
        let mut keyed = keyed.mix_key(&ephemeral.agree(&peer)?);
        let payload = keyed.open(message)?;
        Ok((keyed.split(peer, NoiseRole::Responder), payload))
    }
}
