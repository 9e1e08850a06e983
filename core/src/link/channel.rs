//! A channel as the machines use it: messages in, messages out, and the peer's key. Its seal is an
//! argument: Noise, or none where TLS is one.

use crate::crypto::noise::transport::{Receiving, Sending};
use crate::crypto::noise::{Established, HandshakeHash};
use crate::crypto::x25519::PublicKey;
use crate::limits::MESSAGE_BYTES;
use crate::wire::native::Message;

/// Both directions of a channel, and the public key of its peer.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(crate) struct Channel {
    pub(crate) peer: PublicKey,
    pub(crate) hash: HandshakeHash,
    seal: Seal,
}

/// The protection of a channel's messages.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[allow(
    clippy::large_enum_variant,
    reason = "there is no allocator to box the keys with, and most channels have them"
)]
enum Seal {
    /// Noise seals each message.
    Noise { sending: Sending, receiving: Receiving },
    /// TLS seals the connection, so messages are sent as they are.
    Tls,
}

/// The frame was not the peer's next message. The channel is lost: its owner closes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(crate) struct ChannelBroken;

impl Channel {
    pub(crate) fn new(established: Established) -> Self {
        let Established { hash, peer, sending, receiving } = established;
        Self { peer, hash, seal: Seal::Noise { sending, receiving } }
    }

    /// Creates the channel of a TLS connection from the 32 bytes of its exporter (RFC 9266). The
    /// registry, not the handshake, gives the peer's static key.
    pub(crate) const fn over_tls(peer: PublicKey, exporter: HandshakeHash) -> Self {
        Self { peer, hash: exporter, seal: Seal::Tls }
    }

    /// Returns `true` if TLS carries the channel.
    pub(crate) const fn is_over_tls(&self) -> bool {
        match self.seal {
            Seal::Noise { .. } => false,
            Seal::Tls => true,
        }
    }

    /// Opens the peer's next message in place. After a frame that does not open, no other one does.
    #[inline(never)]
    pub(crate) fn open<'m>(&mut self, frame: &'m mut [u8]) -> Result<&'m [u8], ChannelBroken> {
        match &mut self.seal {
            Seal::Noise { receiving, .. } => {
                receiving.open_in_place(frame).map(|text| &*text).map_err(|_| ChannelBroken)
            }
            Seal::Tls => Ok(frame),
        }
    }

    /// Seals a message into the next free bytes. Returns `None` if they are too few or the nonces
    /// are exhausted.
    pub(crate) fn seal<'b>(
        &mut self,
        message: &impl Message,
        out: &mut OutgoingBuffer<'b>,
    ) -> Option<&'b [u8]> {
        // The message is sealed where it was written, which saves a second buffer.
        let length = message.length_written(out.free)?;
        self.seal_written(length, out)
    }

    /// Seals `length` bytes already in the outbox. It is not generic, so one copy of the code
    /// serves every kind of message.
    #[inline(never)]
    fn seal_written<'b>(
        &mut self,
        length: usize,
        out: &mut OutgoingBuffer<'b>,
    ) -> Option<&'b [u8]> {
        let length = match &mut self.seal {
            Seal::Noise { sending, .. } => sending.seal(out.free, length).ok()?.len(),
            Seal::Tls => length,
        };
        out.take(length)
    }
}

/// A step's scratch, from whose front each outgoing message takes its bytes.
pub(crate) struct OutgoingBuffer<'b> {
    free: &'b mut [u8],
}

impl<'b> OutgoingBuffer<'b> {
    pub(crate) const fn new(scratch: &'b mut [u8]) -> Self {
        Self { free: scratch }
    }

    /// Writes a message in clear or of a handshake; `write` returns its length.
    pub(crate) fn put<T>(
        &mut self,
        write: impl FnOnce(&mut [u8]) -> Option<(T, usize)>,
    ) -> Option<(T, &'b [u8])> {
        // A message stays within the bound, even if the scratch is larger.
        let room = self.free.len().min(MESSAGE_BYTES);
        let (kept, length) = write(self.free.get_mut(..room)?)?;
        Some((kept, self.take(length)?))
    }

    /// Takes bytes from the front for another use than messages.
    pub(crate) fn aside(&mut self, length: usize) -> Option<&'b mut [u8]> {
        let (aside, rest) = core::mem::take(&mut self.free).split_at_mut_checked(length)?;
        self.free = rest;
        Some(aside)
    }

    fn take(&mut self, length: usize) -> Option<&'b [u8]> {
        let (taken, rest) = core::mem::take(&mut self.free).split_at_mut_checked(length)?;
        self.free = rest;
        Some(taken)
    }
}
