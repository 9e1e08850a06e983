//! The first message of a link, and the registry lookup that follows it.

use super::ends::LinkEnds;
use super::reply::leave;
use super::{AwaitedAnswer, LinkStage, NativeLink, OpenLink};
use crate::error::Refusal;
use crate::flow::native::gateway::{Effect, KnownPeer, LinkPermission, Peer, Turn, stay};
use crate::id::NodeId;
use crate::limits::Limits;
use crate::link::channel::{Channel, OutgoingBuffer};
use crate::link::keepalive::Keepalive;
use crate::registry::grants::GrantId;
use crate::registry::renewal::is_owed;
use crate::step::Effects;
use crate::time::{Instant, UnixTime};
use crate::wire::close::Close;
use crate::wire::native::Features;
use crate::wire::native::link::{Bye, FromGateway, FromNode, Hello, Policy};
use crate::wire::native::pair::ChainBytes;
use crate::wire::registration::Heartbeat;

#[derive(Clone, Copy, Debug)]
pub(super) struct Attaching {
    pub(super) node_id: NodeId,
    pub(super) features: Features,
    pub(super) holds: Option<GrantId>,
    pub(super) muted: bool,
    pub(super) renews: bool,
    pub(super) owed: bool,
}

/// Reads the message that authenticates the node, or brings the delegate's chain. It is the first
/// one under the session's key, so the handshake was no replay.
pub(super) fn on_first<'b>(
    channel: &mut Channel,
    stage: &mut LinkStage,
    text: &'b [u8],
    out: OutgoingBuffer<'b>,
) -> Turn<'b> {
    match (&mut *stage, FromNode::parse(text)) {
        (
            LinkStage::Proving { node_id, renews, .. },
            // Nothing compares the counters of nodes yet.
            Ok(FromNode::Hello(Hello { features, holds, counter: _ })),
        ) => {
            let (node_id, renews) = (*node_id, *renews);
            *stage = LinkStage::Attaching(Attaching {
                node_id,
                features,
                holds,
                muted: false,
                renews,
                owed: false,
            });
            stay([Effect::Refund, Effect::Attach(node_id)])
        }
        (LinkStage::AwaitChain { .. }, Ok(FromNode::Part(part))) => stay([Effect::Part(part)]),
        (LinkStage::AwaitChain { .. }, Ok(FromNode::Present { chain })) => {
            *stage = LinkStage::Presenting;
            stay([Effect::Present(inline(chain))])
        }
        (
            LinkStage::Proving { .. }
            | LinkStage::Attaching(_)
            | LinkStage::AwaitChain { .. }
            | LinkStage::Presenting
            | LinkStage::Open(_),
            Ok(_) | Err(_),
        ) => {
            let attached = stage.is_attached();
            leave(channel, attached, None, Bye::Protocol, Close::PROTOCOL_VIOLATION, out)
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
    link: &mut NativeLink,
    now: Instant,
    limits: &Limits,
    attaching: Attaching,
    known: Result<Option<KnownPeer<'_>>, Refusal>,
    unix: UnixTime,
    mut out: OutgoingBuffer<'b>,
) -> Turn<'b> {
    let Attaching { node_id, features, holds, muted, renews: told, owed } = attaching;
    let NativeLink { channel, stage } = link;
    let (known, LinkPermission { until, renews, .. }) = match known {
        Ok(known) => match known.and_then(|known| Some((known, known.admitted(unix, limits)?))) {
            // The node was welcomed and has lost its rights meanwhile. The close makes it connect
            // again, and then it learns that it may renew.
            Some((_, LinkPermission { renews: true, .. })) if !told => {
                return leave(channel, true, None, Bye::Done, Close::AUTHENTICATION_FAILED, out);
            }
            Some(found) => found,
            None => {
                return leave(channel, true, None, Bye::Done, Close::AUTHENTICATION_FAILED, out);
            }
        },
        // The node learns that the gateway is full, not that it failed.
        Err(Refusal::AtCapacity) => {
            return leave(channel, true, None, Bye::Busy, Close::AT_CAPACITY, out);
        }
        Err(_) => return leave(channel, true, None, Bye::Internal, Close::INTERNAL, out),
    };
    let muted = muted || known.is_muted();
    let mute = if muted {
        match channel.seal(&FromGateway::Policy(Policy::Mute), &mut out) {
            Some(frame) => Some(Effect::Send(frame)),
            None => return leave(channel, true, None, Bye::Internal, Close::INTERNAL, out),
        }
    } else {
        None
    };
    let mut open = OpenLink {
        peer: Peer::Node(node_id),
        features,
        muted,
        ends: until.map(|until| LinkEnds::new(until, now, unix)),
        renews,
        owed: owed || is_owed(known.grants, known.ceiling, holds, unix),
        keepalive: Keepalive::start(now, limits),
        due: holds.map_or(AwaitedAnswer::None, AwaitedAnswer::Confirmation),
    };
    let offer = open.take_owed();
    *stage = LinkStage::Open(open);
    Turn::Continue(Effects::flatten([
        mute,
        Some(Effect::Observe(Heartbeat::default())),
        holds.map(Effect::Activate),
        offer,
    ]))
}
