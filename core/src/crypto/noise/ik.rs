//! `Noise_IK_25519_ChaChaPoly_SHA256` (section 7.5): the initiator, a node, knows the gateway's
//! static key.
//!
//! ```text
//! Initiator::start ─────── message 1 ──────▶ Responder::read_first ── look peer() up
//! Initiator::read_second ◀─ message 2 ────── Responder::write_second
//! ```
//! Message 1 can be replayed, and its payload has no forward secrecy. Full forward secrecy, and
//! resistance to impersonation of the node by a thief of the gateway's static key, begin with the
//! node's first transport message (section 7.7).

use super::symmetric::{Keyed, NoiseRole, Symmetric, Writer, bounded, read_key};
use super::{Error, Established, Prologue};
use crate::crypto::x25519::{KeyPair, PublicKey};
use crate::entropy::Entropy;

const PROTOCOL: &[u8; 32] = b"Noise_IK_25519_ChaChaPoly_SHA256";

/// An initiator that has written message 1.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Initiator {
    keyed: Keyed,
    ephemeral: KeyPair,
    peer: PublicKey,
}

impl Initiator {
    /// Writes message 1: `e, es, s, ss`. The payload can be replayed, so it must be harmless then.
    ///
    /// # Errors
    /// [`Error::Buffer`] if `out` cannot hold 96 bytes and the payload; [`Error::Key`] for a peer's
    /// static key of small order.
    #[inline(never)]
    pub fn start<'b>(
        prologue: Prologue<'_>,
        own: &KeyPair,
        peer: &PublicKey,
        ephemeral: &Entropy<32>,
        payload: &[u8],
        out: &'b mut [u8],
    ) -> Result<(Self, &'b [u8]), Error> {
        let mut symmetric = Symmetric::new(PROTOCOL, prologue);
        // The responder's static key is the pre-message of IK.
        symmetric.mix_hash(&[peer.as_bytes()]);
        let ephemeral = KeyPair::generate(ephemeral);
        let mut out = Writer::new(out);
        out.put(ephemeral.public().as_bytes())?;
        symmetric.mix_hash(&[ephemeral.public().as_bytes()]);
        let mut keyed = symmetric.mix_key(&ephemeral.agree(peer)?);
        keyed.seal(own.public().as_bytes(), &mut out)?;
        let mut keyed = keyed.mix_key(&own.agree(peer)?);
        keyed.seal(payload, &mut out)?;
        Ok((Self { keyed, ephemeral, peer: *peer }, out.finish()?))
    }

    /// Reads message 2: `e, ee, se`, with the same static key as before.
    ///
    /// # Errors
    /// [`Error::Length`], [`Error::Key`], [`Error::Forged`].
    #[inline(never)]
    pub fn read_second<'b>(
        self,
        own: &KeyPair,
        message: &'b mut [u8],
    ) -> Result<(Established, &'b [u8]), Error> {
        let Self { mut keyed, ephemeral, peer } = self;
        let mut message = bounded(message)?;
        let peer_ephemeral = read_key(&mut message)?;
        keyed.mix_hash(peer_ephemeral.as_bytes());
        let keyed = keyed.mix_key(&ephemeral.agree(&peer_ephemeral)?);
        let mut keyed = keyed.mix_key(&own.agree(&peer_ephemeral)?);
        let payload = keyed.open(message)?;
        Ok((keyed.split(peer, NoiseRole::Initiator), payload))
    }
}

/// Returns the ephemeral key at the front of a message 1, unchecked. `None` if the message is too
/// short for one.
#[must_use]
pub fn ephemeral(first: &[u8]) -> Option<&[u8; 32]> {
    first.first_chunk()
}

/// A responder that has read message 1 and knows the claimed peer.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Responder {
    keyed: Keyed,
    peer_ephemeral: PublicKey,
    peer: PublicKey,
}

impl Responder {
    /// Reads message 1: `e, es, s, ss`. It may be a replay, so the responder must not change
    /// anything because of it.
    ///
    /// # Errors
    /// [`Error::Length`], [`Error::Key`], [`Error::Forged`].
    pub fn read_first<'b>(
        prologue: Prologue<'_>,
        own: &KeyPair,
        message: &'b mut [u8],
    ) -> Result<(Self, &'b [u8]), Error> {
        let mut symmetric = Symmetric::new(PROTOCOL, prologue);
        // The responder's static key is the pre-message of IK.
        symmetric.mix_hash(&[own.public().as_bytes()]);
        let mut message = bounded(message)?;
        let peer_ephemeral = read_key(&mut message)?;
        symmetric.mix_hash(&[peer_ephemeral.as_bytes()]);
        let mut keyed = symmetric.mix_key(&own.agree(&peer_ephemeral)?);
        let peer = keyed.open_key(&mut message)?;
        let mut keyed = keyed.mix_key(&own.agree(&peer)?);
        let payload = keyed.open(message)?;
        Ok((Self { keyed, peer_ephemeral, peer }, payload))
    }

    /// Returns the initiator's static key, to look up the node. The initiator wrote message 1, now
    /// or at any time before.
    #[must_use]
    pub const fn peer(&self) -> &PublicKey {
        &self.peer
    }

    /// Returns the initiator's ephemeral key. An honest initiator uses one once, so it identifies a
    /// replayed message 1.
    #[must_use]
    pub const fn ephemeral(&self) -> &PublicKey {
        &self.peer_ephemeral
    }

    /// Writes message 2: `e, ee, se`. Its payload carries an admission or a refusal.
    ///
    /// # Errors
    /// [`Error::Buffer`] if `out` cannot hold 48 bytes and the payload; [`Error::Key`] for a peer's
    /// key of small order.
    pub fn write_second<'b>(
        self,
        ephemeral: &Entropy<32>,
        payload: &[u8],
        out: &'b mut [u8],
    ) -> Result<(Established, &'b [u8]), Error> {
        let Self { mut keyed, peer_ephemeral, peer } = self;
        let ephemeral = KeyPair::generate(ephemeral);
        let mut out = Writer::new(out);
        out.put(ephemeral.public().as_bytes())?;
        keyed.mix_hash(ephemeral.public().as_bytes());
        let keyed = keyed.mix_key(&ephemeral.agree(&peer_ephemeral)?);
        let mut keyed = keyed.mix_key(&ephemeral.agree(&peer)?);
        keyed.seal(payload, &mut out)?;
        Ok((keyed.split(peer, NoiseRole::Responder), out.finish()?))
    }
}
