//! The first message of a link, and the registry lookup that follows it.

use super::ends::LinkEnds;
use super::reply::leave;
use super::{AwaitedAnswer, LinkStage, NativeLink, OpenLink, ToldAddresses};
use crate::error::Refusal;
use crate::flow::native::gateway::{
    Effect, KnownPeer, LinkPermission, NativeRequest, Peer, Turn, stay,
};
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
use crate::wire::native::link::{Admission, Admitted, Bye, FromGateway, FromNode, Hello, Policy};
use crate::wire::native::pair::ChainBytes;

#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(super) struct Attaching {
    pub(super) node_id: NodeId,
    pub(super) features: Features,
    pub(super) holds: Option<GrantId>,
    pub(super) muted: bool,
    pub(super) quarantined: bool,
    /// `true` if the node was told that it may only renew its grant, or is told with the link.
    pub(super) renews: bool,
    pub(super) owed: bool,
}

impl Attaching {
    pub(super) const fn new(node_id: NodeId, renews: bool, hello: &Hello) -> Self {
        let Hello { features, holds, mark: _ } = *hello;
        Self { node_id, features, holds, muted: false, quarantined: false, renews, owed: false }
    }
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
        (LinkStage::Proving { node_id, renews, .. }, Ok(FromNode::Hello(hello))) => {
            let (node_id, renews) = (*node_id, *renews);
            *stage = LinkStage::Attaching(Attaching::new(node_id, renews, &hello));
            // The permit goes back only now, because until here the handshake may be a replay.
            stay([NativeRequest::Refund.into(), NativeRequest::Attach(node_id, hello.mark).into()])
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
    known: Result<Option<KnownPeer<'_>>, Refusal>,
    unix: UnixTime,
    takes: Features,
    mut out: OutgoingBuffer<'b>,
) -> Turn<'b> {
    let NativeLink { channel, stage, .. } = link;
    let LinkStage::Attaching(attaching) = *stage else { return stay([]) };
    let Attaching { node_id, features, holds, muted, quarantined, renews: told, owed } = attaching;
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
    if known.clone.overtaken {
        return leave(channel, true, None, Bye::Done, Close::GOODBYE, out);
    }
    let muted = muted || known.is_muted();
    let quarantined = quarantined || known.clone.quarantined;
    // A node that learns only now that its grant has expired has named one that counts no more.
    let holds = holds.filter(|_| !renews);
    let admission = if renews { Admission::Expired } else { Admission::Welcome };
    let words = [
        channel
            .is_over_tls()
            .then_some(FromGateway::Admitted(Admitted { admission, features: takes })),
        (muted || quarantined).then_some(FromGateway::Policy(Policy::Mute)),
    ];
    let mut frames = [None, None];
    for (place, word) in frames.iter_mut().zip(&words) {
        let Some(word) = word else { continue };
        match channel.seal(word, &mut out) {
            Some(frame) => *place = Some(Effect::Send(frame)),
            None => return leave(channel, true, None, Bye::Internal, Close::INTERNAL, out),
        }
    }
    let mut open = OpenLink {
        peer: Peer::Node(node_id),
        features,
        muted,
        quarantined,
        signing: known.signing().map(|key| *key.as_bytes()),
        mark: known.clone.offer,
        name_due: true,
        addresses: ToldAddresses::DUE,
        key_due: takes.contains(Features::CERTIFICATE),
        ends: until.map(|until| LinkEnds::new(until, now, unix)),
        renews,
        owed: owed || is_owed(known.grants, known.ceiling, holds, unix),
        keepalive: Keepalive::start(now, limits),
        due: holds.map_or(AwaitedAnswer::None, AwaitedAnswer::Confirmation),
    };
    // Nothing is owed while a confirmation is due, so at most one of both is asked for.
    let offer = open.take_owed();
    *stage = LinkStage::Open(open);
    let [admitted, mute] = frames;
    Turn::Continue(Effects::flatten([
        Some(NativeRequest::Linked(Peer::Node(node_id)).into()),
        // Over TLS the node does not count as linked before this, so it is the first message.
        admitted,
        // A muted node learns it before its `Hello` is answered.
        mute,
        holds.map(|grant| NativeRequest::Activate(grant).into()).or(offer),
    ]))
}
