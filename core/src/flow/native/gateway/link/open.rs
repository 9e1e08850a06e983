//! The state of an open link.

use super::super::{Effect, NativeRequest, Peer, RenewKind, Turn, stay};
use super::ends::LinkEnds;
use super::reply::say;
use super::told_addresses::ToldAddresses;
use crate::crypto::ed25519;
use crate::crypto::keys::OwnKeys;
use crate::crypto::noise::HandshakeHash;
use crate::link::channel::{Channel, OutgoingBuffer};
use crate::link::keepalive::Keepalive;
use crate::registry::grants::GrantId;
use crate::time::UnixTime;
use crate::wire::native::Features;
use crate::wire::native::link::{
    CertificateRenewal, CloneMark, FromGateway, Policy, VerifiedRenewal,
};
use crate::wire::native::signer::SignerKey;

#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(super) struct OpenLink {
    pub(super) peer: Peer,
    /// The messages that the peer takes.
    pub(super) features: Features,
    pub(super) muted: bool,
    /// `true` while the node is in quarantine: it may do nothing, and gets nothing.
    pub(super) quarantined: bool,
    /// The node's signing key, encoded: an open key would take six times the memory of each link.
    pub(super) signing: Option<[u8; 32]>,
    /// The mark that the node is to store, until it is sent.
    pub(super) mark: Option<CloneMark>,
    /// `true` until the gateway's name was asked for.
    pub(super) name_due: bool,
    /// How far the node is with the gateway's addresses.
    pub(super) addresses: ToldAddresses,
    /// `true` until the key was sent that certificates are verified by.
    pub(super) key_due: bool,
    /// The end of the peer's rights, and of the link with them. A node whose grant has expired
    /// connects again, and learns then if it may renew.
    pub(super) ends: Option<LinkEnds>,
    /// `true` if the node's grant has expired, and it may only renew it.
    pub(super) renews: bool,
    /// `true` if a grant has to be offered to the node as soon as no other answer is due.
    pub(super) owed: bool,
    pub(super) keepalive: Keepalive,
    pub(super) due: AwaitedAnswer,
}

impl OpenLink {
    /// Tells the node that it may send again, unless something else keeps it silent.
    pub(super) fn unmutes<'b>(&self, channel: &mut Channel, out: OutgoingBuffer<'b>) -> Turn<'b> {
        if self.muted || self.quarantined {
            return stay([]);
        }
        say(channel, &FromGateway::Policy(Policy::Unmute), out)
    }

    pub(super) fn in_force(&self, unix: UnixTime) -> bool {
        !self.muted
            && !self.quarantined
            && !self.renews
            && self.ends.is_none_or(|ends| !ends.is_over(unix))
    }

    /// Returns `true` if the peer is a node that takes such messages.
    pub(super) const fn takes(&self, features: Features) -> bool {
        matches!(self.peer, Peer::Node(_)) && self.features.contains(features)
    }

    /// Takes the mark that is due, if the node keeps marks.
    pub(super) fn take_mark(&mut self) -> Option<CloneMark> {
        // A mark that may not be sent is dropped here; the next link offers it again.
        let mark = self.mark.take();
        mark.filter(|_| self.takes(Features::CLONE_COUNTER) && !self.quarantined)
    }

    /// Takes the request for the gateway's name, if the node takes it and has none.
    pub(super) fn take_name<'b>(&mut self) -> Option<Effect<'b>> {
        let due = core::mem::take(&mut self.name_due) && self.takes(Features::NAME);
        due.then_some(NativeRequest::Name.into())
    }

    /// Seals the key by which the node verifies certificates, once, if the node takes them. It is
    /// the gateway's present one, so a node learns on its next link that it has changed.
    pub(super) fn seal_key<'b>(
        &mut self,
        channel: &mut Channel,
        keys: &OwnKeys,
        out: &mut OutgoingBuffer<'b>,
    ) -> Option<Effect<'b>> {
        let due = core::mem::take(&mut self.key_due) && self.takes(Features::CERTIFICATE);
        let key = SignerKey::of_gateway(keys).filter(|_| due)?;
        channel.seal(&FromGateway::CertificateKey(key), out).map(Effect::Send)
    }

    /// Returns the node's request for a certificate if its signature counts and the node may have
    /// one.
    pub(super) fn verified<'b>(
        &self,
        renewal: CertificateRenewal<'b>,
        hash: &HandshakeHash,
    ) -> Option<VerifiedRenewal<'b>> {
        let key = self.signing.filter(|_| !self.quarantined)?;
        renewal.verify(&ed25519::PublicKey::parse(&key).ok()?, hash).ok()
    }

    /// Takes the request for the grant that a node is owed, once no other answer is due.
    pub(super) fn take_owed<'b>(&mut self) -> Option<Effect<'b>> {
        match (self.due, self.peer) {
            // While another answer is due the grant waits, so that one offer at most is under way.
            (AwaitedAnswer::None, Peer::Node(_)) if self.owed && !self.quarantined => {
                (self.owed, self.due) = (false, AwaitedAnswer::Owed);
                Some(NativeRequest::Renew(RenewKind::Chain).into())
            }
            (
                AwaitedAnswer::None
                | AwaitedAnswer::Chain
                | AwaitedAnswer::Confirmation(_)
                | AwaitedAnswer::Grant
                | AwaitedAnswer::Certificate
                | AwaitedAnswer::Owed,
                Peer::Node(_) | Peer::Delegate(_),
            ) => None,
        }
    }
}

/// The effect whose answer is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(super) enum AwaitedAnswer {
    None,
    Chain,
    Confirmation(GrantId),
    Grant,
    Certificate,
    /// A grant that the node did not ask for.
    Owed,
}
