//! The gateway's addresses as the node of a link is told them.

use super::super::{Effect, NativeRequest};
use super::OpenLink;
use super::known_gateway::KnownGateway;
use crate::link::channel::{Channel, OutgoingBuffer};
use crate::wire::gateway_addresses::GatewayAddresses;
use crate::wire::native::Features;
use crate::wire::native::link::{FromGateway, Policy};

/// The number of the ping behind a list. The node reads no message before the one ahead of it is
/// stored, so its answer says that it has stored the list.
pub(super) const ADDRESSES_PING: u32 = u32::MAX - 1;

/// How far a link is with the gateway's addresses.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(super) struct ToldAddresses {
    /// `true` until the adapter was asked for them.
    is_due: bool,
    /// The number of lists whose ping is not answered. The adapter may have another list before the
    /// node has stored the one of before.
    unanswered: u8,
}

impl ToldAddresses {
    pub(super) const DUE: Self = Self { is_due: true, unanswered: 0 };
    pub(super) const NEVER: Self = Self { is_due: false, unanswered: 0 };

    /// Returns `true` if the node has a list that it has not confirmed.
    pub(super) const fn awaits_pong(self) -> bool {
        self.unanswered > 0
    }

    /// Takes the node's answer to a ping. Returns the report that it has stored the last list, if
    /// there is no later one under way.
    pub(super) fn stored<'b>(&mut self) -> Option<Effect<'b>> {
        self.unanswered = self.unanswered.checked_sub(1)?;
        (self.unanswered == 0).then_some(NativeRequest::KnowsAddresses.into())
    }
}

impl OpenLink {
    /// Returns `true` if the node may be told addresses over this link: it keeps them, it is no
    /// copy, and the gateway has proven its key.
    fn takes_addresses(&self, gateway: &KnownGateway) -> bool {
        self.takes(Features::ADDRESSES) && gateway.is_proven() && !self.quarantined
    }

    /// Takes the request for the addresses, once the node has shown that it is there.
    pub(super) fn take_addresses<'b>(&mut self, gateway: &KnownGateway) -> Option<Effect<'b>> {
        let due = self.takes_addresses(gateway) && core::mem::take(&mut self.addresses.is_due);
        due.then_some(NativeRequest::Addresses.into())
    }

    /// Tells the node these addresses, with a ping behind them if it takes pings.
    pub(super) fn tell_addresses<'b>(
        &mut self,
        channel: &mut Channel,
        gateway: &KnownGateway,
        list: GatewayAddresses<'_>,
        out: &mut OutgoingBuffer<'b>,
    ) -> [Option<Effect<'b>>; 2] {
        if !self.takes_addresses(gateway) {
            return [None, None];
        }
        let word = FromGateway::Policy(Policy::GatewayAddress(list));
        // What does not fit is told over the next link.
        let Some(told) = channel.seal(&word, out) else { return [None, None] };
        let unanswered = self.addresses.unanswered.checked_add(1);
        let ping = match unanswered.filter(|_| self.takes(Features::PING)) {
            Some(unanswered) => {
                self.addresses.unanswered = unanswered;
                channel.seal(&FromGateway::Ping { number: ADDRESSES_PING }, out)
            }
            // Without a ping nobody learns that the node has them.
            None => None,
        };
        [Some(Effect::Send(told)), ping.map(Effect::Send)]
    }
}
