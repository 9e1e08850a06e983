//! The symmetric half of a handshake (sections 5.1 and 5.2): transcript hash, chaining key, and a
//! cipher key from the first shared secret on.

use sha2::{Digest, Sha256};

use super::transport::{Counter, Receiving, Sending};
use super::{Error, Established, HandshakeHash, Prologue, SEALED_BYTES};
use crate::crypto::aead::{self, TAG_BYTES};
use crate::crypto::hkdf_sha256;
use crate::crypto::x25519::PublicKey;
use crate::secret::Secret;

/// The transcript hash and chaining key before any shared secret. Payloads are sent in clear.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(super) struct Symmetric {
    hash: [u8; 32],
    chaining: Secret<32>,
}

impl Symmetric {
    /// Performs `InitializeSymmetric` and mixes the prologue. A protocol name of exactly 32 bytes
    /// is its own hash.
    pub(super) fn new(protocol: &[u8; 32], prologue: Prologue<'_>) -> Self {
        let mut symmetric = Self { hash: *protocol, chaining: Secret::new(*protocol) };
        symmetric.mix_hash(&[prologue.label, prologue.bytes]);
        symmetric
    }

    pub(super) fn mix_hash(&mut self, parts: &[&[u8]]) {
        let mut hash = Sha256::new_with_prefix(self.hash);
        for part in parts {
            hash.update(part);
        }
        self.hash = hash.finalize().into();
    }

    /// Performs the first `MixKey`.
    #[inline(never)]
    pub(super) fn mix_key(self, shared: &Secret<32>) -> Keyed {
        let (chaining, key) = hkdf_sha256::derive_two(&self.chaining, shared.expose());
        Keyed { symmetric: Self { hash: self.hash, chaining }, key, counter: Counter::ZERO }
    }
}

/// The state with a cipher key. Payloads and static keys are sealed.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(super) struct Keyed {
    symmetric: Symmetric,
    key: Secret<32>,
    counter: Counter,
}

impl Keyed {
    pub(super) fn mix_hash(&mut self, bytes: &[u8]) {
        self.symmetric.mix_hash(&[bytes]);
    }

    pub(super) fn mix_key(self, shared: &Secret<32>) -> Self {
        self.symmetric.mix_key(shared)
    }

    /// Performs `EncryptAndHash` and appends the result to the message.
    pub(super) fn seal(&mut self, text: &[u8], out: &mut Writer<'_>) -> Result<(), Error> {
        let sealed = out.room(text.len().saturating_add(TAG_BYTES))?;
        let (body, place) = sealed.split_last_chunk_mut::<TAG_BYTES>().ok_or(Error::Buffer)?;
        copy(body, text);
        let counter = self.counter.take()?;
        *place = aead::seal(&self.key, counter, &self.symmetric.hash, body).ok_or(Error::Buffer)?;
        // The transcript covers what was sent, not the text in it.
        self.symmetric.mix_hash(&[sealed]);
        Ok(())
    }

    /// Performs `DecryptAndHash` in place.
    pub(super) fn open<'b>(&mut self, sealed: &'b mut [u8]) -> Result<&'b mut [u8], Error> {
        // The associated data is the transcript before this message.
        let before = self.symmetric.hash;
        self.symmetric.mix_hash(&[sealed]);
        let (body, tag) = sealed.split_last_chunk_mut::<TAG_BYTES>().ok_or(Error::Length)?;
        let counter = self.counter.take()?;
        aead::open(&self.key, counter, &before, body, tag).map_err(|_| Error::Forged)?;
        Ok(body)
    }

    /// Opens a sealed static key from the front of the message.
    pub(super) fn open_key(&mut self, message: &mut &mut [u8]) -> Result<PublicKey, Error> {
        let sealed = message.split_off_mut(..32 + TAG_BYTES).ok_or(Error::Length)?;
        let (key, _) = self.open(sealed)?.split_first_chunk::<32>().ok_or(Error::Length)?;
        Ok(PublicKey::parse(key)?)
    }

    /// Performs `Split`. The initiator sends under the first key.
    pub(super) fn split(self, peer: PublicKey, role: NoiseRole) -> Established {
        let (first, second) = hkdf_sha256::derive_two(&self.symmetric.chaining, &[]);
        let (ours, theirs) = match role {
            NoiseRole::Initiator => (first, second),
            NoiseRole::Responder => (second, first),
        };
        let hash = HandshakeHash(self.symmetric.hash);
        Established { hash, peer, sending: Sending::new(ours), receiving: Receiving::new(theirs) }
    }
}

#[derive(Clone, Copy)]
pub(super) enum NoiseRole {
    Initiator,
    Responder,
}

/// A writer that fills the caller's buffer from the front, up to [`SEALED_BYTES`].
pub(super) struct Writer<'b> {
    out: &'b mut [u8],
    len: usize,
}

impl<'b> Writer<'b> {
    pub(super) fn new(out: &'b mut [u8]) -> Self {
        Self { out, len: 0 }
    }

    fn room(&mut self, bytes: usize) -> Result<&mut [u8], Error> {
        let from = self.len;
        self.len = from.saturating_add(bytes);
        if self.len > SEALED_BYTES {
            return Err(Error::Buffer);
        }
        self.out.get_mut(from..self.len).ok_or(Error::Buffer)
    }

    pub(super) fn put(&mut self, bytes: &[u8]) -> Result<(), Error> {
        copy(self.room(bytes.len())?, bytes);
        Ok(())
    }

    pub(super) fn finish(self) -> Result<&'b [u8], Error> {
        let out: &'b [u8] = self.out;
        out.get(..self.len).ok_or(Error::Buffer)
    }
}

/// Reads an ephemeral key in clear from the front of the message.
pub(super) fn read_key(message: &mut &mut [u8]) -> Result<PublicKey, Error> {
    let bytes = message.split_off_mut(..32).ok_or(Error::Length)?;
    let key = bytes.first_chunk::<32>().ok_or(Error::Length)?;
    Ok(PublicKey::parse(key)?)
}

/// Returns the message, unless it is longer than [`SEALED_BYTES`].
pub(super) fn bounded(message: &mut [u8]) -> Result<&mut [u8], Error> {
    if message.len() > SEALED_BYTES { Err(Error::Length) } else { Ok(message) }
}

/// Copies bytes of the same length. Unlike `copy_from_slice`, this has no path that panics.
fn copy(to: &mut [u8], from: &[u8]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = *from;
    }
}
