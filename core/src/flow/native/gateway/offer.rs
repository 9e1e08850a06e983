//! Grants as frames of a channel.

use super::{Effect, Offer};
use crate::link::channel::{Channel, OutgoingBuffer};
use crate::step::{Effects, MAX_EFFECTS};
use crate::wire::native::pair::{ChainBytes, PairFromGateway, PairGrant};
use crate::wire::native::part::{Object, Part};
use crate::wire::native::{Bounded, link};

/// The message type of a channel: pairing and links have separate messages for a grant.
#[derive(Clone, Copy)]
pub(super) enum Talk {
    Pair,
    Link,
}

/// Seals the frames of a grant: its chain in parts if it is too long, then the grant. Returns `None`
/// if they do not fit the scratch or one step.
pub(super) fn seal_offer<'b>(
    channel: &mut Channel,
    offer: Offer<'_>,
    talk: Talk,
    out: &mut OutgoingBuffer<'b>,
) -> Option<Effects<Effect<'b>>> {
    let Offer { id, node_id, room, token, chain, message } = offer;
    let mut frames = [const { None }; MAX_EFFECTS];
    let mut free = frames.iter_mut();
    let chain = match chain.map(|bytes| (bytes, Bounded::new(bytes))) {
        None => None,
        Some((_, Some(inline))) => Some(ChainBytes::Here(inline)),
        Some((bytes, None)) => {
            // The parts go before the grant that names them, so the node has the whole chain by
            // then.
            for part in Part::cut(Object::Chain, bytes)? {
                let frame = match talk {
                    Talk::Pair => channel.seal(&PairFromGateway::Part(part), out),
                    Talk::Link => channel.seal(&link::FromGateway::Part(part), out),
                };
                *free.next()? = Some(Effect::Send(frame?));
            }
            Some(ChainBytes::InParts)
        }
    };
    let grant = PairGrant { id, node_id, room, token, chain, certificates: false, message };
    let frame = match talk {
        Talk::Pair => channel.seal(&PairFromGateway::Grant(grant), out),
        Talk::Link => channel.seal(&link::FromGateway::Grant(grant), out),
    };
    *free.next()? = Some(Effect::Send(frame?));
    Some(Effects::flatten(frames))
}
