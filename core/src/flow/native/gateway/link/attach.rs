//! The first message of a link, and the registry lookup that follows it.

use super::ends::LinkEnds;
use super::reply::{leave, offering};
use super::{AwaitedAnswer, LinkStage, NativeLink, OpenLink};
use crate::error::Refusal;
use crate::flow::native::gateway::{Effect, KnownPeer, LinkPermission, Peer, State};
use crate::id::NodeId;
use crate::limits::Limits;
use crate::link::channel::OutgoingBuffer;
use crate::link::keepalive::Keepalive;
use crate::registry::grants::GrantId;
use crate::registry::renewal::is_owed;
use crate::step::Step;
use crate::time::{Instant, UnixTime};
use crate::wire::close::Close;
use crate::wire::native::link::{Bye, FromGateway, FromNode, Policy};
use crate::wire::native::pair::ChainBytes;
use crate::wire::registration::Heartbeat;

#[derive(Debug)]
pub(super) struct Attaching {
    pub(super) node_id: NodeId,
    pub(super) holds: Option<GrantId>,
    pub(super) muted: bool,
    pub(super) renews: bool,
    pub(super) owed: bool,
}

/// Reads the message that authenticates the node, or brings the delegate's chain. It is the first
/// one under the session's key, so the handshake was no replay.
pub(super) fn on_first<'b>(
    link: NativeLink,
    stage: LinkStage,
    text: &'b [u8],
    out: OutgoingBuffer<'b>,
) -> Step<State, Effect<'b>> {
    match (stage, FromNode::parse(text)) {
        (
            LinkStage::Proving { node_id, renews, .. },
            Ok(message @ (FromNode::Stored(_) | FromNode::Heartbeat(_))),
        ) => {
            let holds = if let FromNode::Stored(grant) = message { Some(grant) } else { None };
            let attaching = Attaching { node_id, holds, muted: false, renews, owed: false };
            Step::with(
                link.at(LinkStage::Attaching(attaching)),
                [Effect::Refund, Effect::Attach(node_id)],
            )
        }
        (stage @ LinkStage::AwaitChain { .. }, Ok(FromNode::Part(part))) => {
            Step::with(link.at(stage), [Effect::Part(part)])
        }
        (LinkStage::AwaitChain { .. }, Ok(FromNode::Present { chain })) => {
            Step::with(link.at(LinkStage::Presenting), [Effect::Present(inline(chain))])
        }
        (stage, Ok(_) | Err(_)) => {
            leave(link, &stage, None, Bye::Protocol, Close::PROTOCOL_VIOLATION, out)
        }
    }
}

pub(super) const fn inline(chain: ChainBytes<'_>) -> Option<&[u8]> {
    match chain {
        ChainBytes::Here(bytes) => Some(bytes.as_bytes()),
        ChainBytes::InParts => None,
    }
}

/// Opens the link by what the registry says after pushes began to reach this connection, so that no
/// decision is missed in between.
pub(super) fn on_attached<'b>(
    mut link: NativeLink,
    now: Instant,
    limits: &Limits,
    attaching: Attaching,
    known: Result<Option<KnownPeer<'_>>, Refusal>,
    unix: UnixTime,
    mut out: OutgoingBuffer<'b>,
) -> Step<State, Effect<'b>> {
    let Attaching { node_id, holds, muted, renews: told, owed } = attaching;
    let nowhere = LinkStage::Attaching(attaching);
    let (known, LinkPermission { until, renews, .. }) = match known {
        Ok(known) => match known.and_then(|known| Some((known, known.admitted(unix, limits)?))) {
            // The node was welcomed and has lost its rights meanwhile. The close makes it connect
            // again, and then it learns that it may renew.
            Some((_, LinkPermission { renews: true, .. })) if !told => {
                return leave(link, &nowhere, None, Bye::Done, Close::AUTHENTICATION_FAILED, out);
            }
            Some(found) => found,
            None => {
                return leave(link, &nowhere, None, Bye::Done, Close::AUTHENTICATION_FAILED, out);
            }
        },
        // The node learns that the gateway is full, not that it failed.
        Err(Refusal::AtCapacity) => {
            return leave(link, &nowhere, None, Bye::Busy, Close::AT_CAPACITY, out);
        }
        Err(_) => return leave(link, &nowhere, None, Bye::Internal, Close::INTERNAL, out),
    };
    let muted = muted || known.is_muted();
    let mut step = Step::quiet(());
    if muted {
        match link.channel.seal(&FromGateway::Policy(Policy::Mute), &mut out) {
            Some(frame) => step = step.then(Effect::Send(frame)),
            None => return leave(link, &nowhere, None, Bye::Internal, Close::INTERNAL, out),
        }
    }
    step = step.then(Effect::Observe(Heartbeat::default()));
    let due = match holds {
        Some(grant) => {
            step = step.then(Effect::Activate(grant));
            AwaitedAnswer::Confirmation(grant)
        }
        None => AwaitedAnswer::None,
    };
    let owed = owed || is_owed(known.grants, known.ceiling, holds, unix);
    let (ends, keepalive) =
        (until.map(|until| LinkEnds::new(until, now, unix)), Keepalive::start(now, limits));
    let open = OpenLink { peer: Peer::Node(node_id), muted, ends, renews, owed, keepalive, due };
    offering(step.wrap(|()| link.at(LinkStage::Open(open)), |effect| effect))
}
