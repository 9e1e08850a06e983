//! The gateway's static key as the node of a link knows it, and the news of another one.

use super::super::{Effect, NativeRequest};
use super::OpenLink;
use crate::crypto::keys::OwnKeys;
use crate::crypto::x25519::PublicKey;
use crate::link::channel::{Channel, OutgoingBuffer};
use crate::wire::native::Features;
use crate::wire::native::link::{FromGateway, Policy};

/// The number of the ping behind a new key. The node reads no message before the one ahead of it is
/// stored, so its answer says that it has stored the key. Operators' pings are counted from 0.
pub(super) const KEY_PING: u32 = u32::MAX;

/// The gateway's key as the node of a link knows it.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(super) enum KnownGateway {
    /// The handshake of the link has proven that the node knows this key.
    Proven {
        key: PublicKey,
        /// `true` once the adapter was told so.
        is_reported: bool,
    },
    /// The node was told this newer key over the link that an older one has proven.
    Told(PublicKey),
    /// The link is not proven by a static key of the gateway: it runs over TLS, or is a delegate's.
    /// No key is told over it.
    Otherwise,
}

impl KnownGateway {
    /// Returns `true` if a static key of the gateway has proven this link.
    pub(super) const fn is_proven(&self) -> bool {
        match self {
            Self::Proven { .. } | Self::Told(_) => true,
            Self::Otherwise => false,
        }
    }

    /// Returns `true` if the node was told a key over this link.
    pub(super) const fn is_told(&self) -> bool {
        matches!(self, Self::Told(_))
    }

    /// Returns what is due about the gateway's key, as the node shows that it is there: the newer
    /// key if there is one, with a ping behind it if the node takes pings; or else the report that
    /// the node knows the current one.
    pub(super) fn news<'b>(
        &mut self,
        channel: &mut Channel,
        open: &OpenLink,
        keys: &OwnKeys,
        out: &mut OutgoingBuffer<'b>,
    ) -> [Option<Effect<'b>>; 2] {
        let current = *keys.channel.public();
        let known = match self {
            Self::Proven { key, is_reported } if *key == current => {
                let due = !core::mem::replace(is_reported, true);
                return [due.then_some(NativeRequest::KnowsKey(current).into()), None];
            }
            Self::Proven { key, .. } | Self::Told(key) => *key,
            Self::Otherwise => return [None, None],
        };
        // A copied node learns nothing.
        if known == current || open.quarantined {
            return [None, None];
        }
        let word = FromGateway::Policy(Policy::GatewayKey(current));
        // One that does not fit is sent with the node's next sign of life.
        let Some(told) = channel.seal(&word, out) else { return [None, None] };
        *self = Self::Told(current);
        let ping = open.takes(Features::PING).then_some(FromGateway::Ping { number: KEY_PING });
        let ping = ping.and_then(|ping| channel.seal(&ping, out));
        [Some(Effect::Send(told)), ping.map(Effect::Send)]
    }

    /// Returns the report that the node has stored the key that it was told.
    pub(super) fn stored<'b>(&mut self) -> Option<Effect<'b>> {
        let Self::Told(key) = *self else { return None };
        *self = Self::Proven { key, is_reported: true };
        Some(NativeRequest::KnowsKey(key).into())
    }
}
