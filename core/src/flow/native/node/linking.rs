//! The link of a node, from its call to the gateway on.

use super::pairing::{broken, turned_away};
use super::{
    AfterClose, AfterStore, Effect, Input, NativeMemory, NativeNodeEvent, Node, NodeIdentity,
    Paired, State,
};
use crate::budget::Backoff;
use crate::crypto::noise::ik;
use crate::entropy::Entropy;
use crate::link::channel::{Channel, ChannelBroken, OutgoingBuffer};
use crate::link::node::Heartbeats;
use crate::registry::grants::GrantId;
use crate::step::Step;
use crate::time::{Instant, Span};
use crate::wire::native::link::{
    Admission, Bye, DispatchOutcome, DispatchResult, FromGateway, FromNode, Policy, Renew,
};
use crate::wire::native::open::{FirstAnswer, Intent, Open as Opened};
use crate::wire::native::pair::{ChainBytes, PairGrant};
use crate::wire::native::{Message, ReasonText};
use crate::wire::registration::Heartbeat;

/// Silence after which the gateway counts as lost: it sends something every
/// [`ping_every`](crate::limits::Limits::ping_every).
pub(super) const SILENCE: Span = Span::from_secs(90);
/// Duration of a link that proves a healthy gateway: the next wait starts again from the shortest
/// one.
const STEADY: Span = Span::from_secs(30);

/// The parts of an open link.
pub(super) struct LinkParts {
    pub(super) paired: Paired,
    pub(super) channel: Channel,
    pub(super) heartbeats: Heartbeats,
    pub(super) heard: Instant,
    /// `true` if the grant has expired: until it is renewed, nothing else is allowed.
    pub(super) renews: bool,
}

impl LinkParts {
    fn back(self, node: Node) -> Node {
        let Self { paired, channel, heartbeats, heard, renews } = self;
        node.to(State::Linked { paired, channel, heartbeats, heard, renews })
    }
}

/// Sends `LinkParts` and the first message of IK.
#[inline(never)]
pub(super) fn call<'b>(
    node: Node,
    now: Instant,
    entropy: &Entropy<32>,
    own: &NodeIdentity<'_>,
    mut out: OutgoingBuffer<'b>,
) -> Step<Node, Effect<'b>> {
    // Only a paired node knows the key of a gateway to link with.
    let NativeMemory::Paired(paired) = node.memory else {
        return node.close(None, AfterClose::Idle);
    };
    let open = Opened::new(Intent::Link);
    let first = out.put(|place| {
        let (initiator, message) = ik::Initiator::start(
            open.prologue(),
            &own.keys.channel,
            &paired.gateway,
            entropy,
            &[],
            place,
        )
        .ok()?;
        Some((initiator, message.len()))
    });
    match first {
        Some((initiator, message)) => {
            let until = now.after(node.timing.answer_within);
            let state = State::Calling { paired, initiator, until };
            Step::with(node.to(state), [Effect::Send(open.as_bytes()), Effect::Send(message)])
        }
        None => node.close(None, AfterClose::Retry),
    }
}

/// Reads the gateway's answer. Only its sealed content counts.
#[inline(never)]
pub(super) fn on_second<'b>(
    node: Node,
    now: Instant,
    paired: Paired,
    initiator: ik::Initiator,
    bytes: &'b mut [u8],
    own: &NodeIdentity<'_>,
    out: OutgoingBuffer<'b>,
) -> Step<Node, Effect<'b>> {
    match FirstAnswer::parse(bytes) {
        Ok(FirstAnswer::Handshake(_)) => {}
        Ok(FirstAnswer::Clear(refusal)) => return turned_away(node, None, &refusal),
        Err(_) => return broken(node, None),
    }
    let Ok((established, payload)) = initiator.read_second(&own.keys.channel, bytes) else {
        return broken(node, None);
    };
    match Admission::parse(payload) {
        Ok(Admission::Welcome) => {
            let heartbeats = Heartbeats::start(now, node.timing.heartbeat_every);
            let open = LinkParts {
                paired,
                channel: Channel::new(established),
                heartbeats,
                heard: now,
                renews: false,
            };
            // `Stored` names the grant that the node holds, so that the gateway may drop older
            // ones. It also proves the node: it is the first transport message.
            let grant = paired.grant;
            go_on(node, open, Some(grant), out)
                .then(Effect::Tell(NativeNodeEvent::Linked(paired.node_id)))
        }
        // The grant has expired, so there is nothing to confirm. Any message proves the node; then
        // it asks for renewal.
        Ok(Admission::Expired) => {
            let heartbeats = Heartbeats::start(now, node.timing.heartbeat_every);
            let open = LinkParts {
                paired,
                channel: Channel::new(established),
                heartbeats,
                heard: now,
                renews: true,
            };
            ask_anew(node, open, out)
        }
        // The node keeps its pairing: the operator may have restored an older registry, and may
        // pair the node again.
        Ok(Admission::NotPaired) => {
            let node = Node { backoff: Backoff::longest(), ..node };
            node.close(None, AfterClose::Retry).first(Effect::Tell(NativeNodeEvent::PairAgain))
        }
        Err(_) => broken(node, None),
    }
}

/// Proves the node, and asks for a new grant.
#[inline(never)]
fn ask_anew<'b>(
    node: Node,
    mut open: LinkParts,
    mut out: OutgoingBuffer<'b>,
) -> Step<Node, Effect<'b>> {
    let first = open.channel.seal(&FromNode::Heartbeat(Heartbeat::default()), &mut out);
    let second = open.channel.seal(&FromNode::Renew(Renew::Chain), &mut out);
    match (first, second) {
        (Some(first), Some(second)) => Step::with(
            open.back(node),
            [Effect::Send(first), Effect::Send(second), Effect::Tell(NativeNodeEvent::Expired)],
        ),
        (Some(_) | None, Some(_) | None) => node.close(None, AfterClose::Retry),
    }
}

/// Continues the link; first names the stored grant to the gateway, if there is one.
pub(super) fn go_on<'b>(
    node: Node,
    mut open: LinkParts,
    stored: Option<GrantId>,
    mut out: OutgoingBuffer<'b>,
) -> Step<Node, Effect<'b>> {
    let Some(grant) = stored else { return Step::quiet(open.back(node)) };
    match open.channel.seal(&FromNode::Stored(grant), &mut out) {
        Some(frame) => Step::with(open.back(node), [Effect::Send(frame)]),
        None => node.close(None, AfterClose::Retry),
    }
}

#[inline(never)]
pub(super) fn step<'b>(
    node: Node,
    now: Instant,
    open: LinkParts,
    input: Input<'b>,
    out: OutgoingBuffer<'b>,
) -> Step<Node, Effect<'b>> {
    // A gateway that drops the node right after linking, or another node with the same key, must
    // not cause an attempt every second.
    let steady = open.heartbeats.lasted(now) >= STEADY;
    let backoff = if steady { Backoff::new() } else { node.backoff };
    let node = Node { backoff, ..node };
    match input {
        Input::Frame { bytes, .. } => on_frame(node, now, open, bytes, out),
        Input::Tick(values) => {
            // The gateway pings more often than that, so the connection is dead.
            if open.heard.after(SILENCE) <= now {
                return node.close(None, AfterClose::Retry);
            }
            match open.heartbeats.due(now) {
                Some(heartbeats) => {
                    say(node, LinkParts { heartbeats, ..open }, &FromNode::Heartbeat(values), out)
                }
                None => quiet(node, open),
            }
        }
        Input::Disconnected(entropy) => node.back_off(now, None, &entropy),
        Input::App(app) => say(node, open, &FromNode::App(app), out),
        Input::Subscribe(pattern) => say(node, open, &FromNode::Subscribe { pattern }, out),
        Input::Renew(renew) => say(node, open, &FromNode::Renew(renew), out),
        // These inputs belong to other states, or to this one no longer.
        Input::Connected(..)
        | Input::Kept(_)
        | Input::Pair(..)
        | Input::CodeEntered(..)
        | Input::Forget => quiet(node, open),
    }
}

#[inline(never)]
fn on_frame<'b>(
    node: Node,
    now: Instant,
    open: LinkParts,
    bytes: &'b mut [u8],
    out: OutgoingBuffer<'b>,
) -> Step<Node, Effect<'b>> {
    let LinkParts { paired, channel, heartbeats, renews, .. } = open;
    let (channel, text) = match channel.open(bytes) {
        Ok(opened) => opened,
        Err(ChannelBroken) => return broken(node, None),
    };
    let open = LinkParts { paired, channel, heartbeats, heard: now, renews };
    match FromGateway::parse(text) {
        // The gateway's heartbeat asks for an answer.
        Ok(FromGateway::Heartbeat { .. }) => {
            say(node, open, &FromNode::Heartbeat(Heartbeat::default()), out)
        }
        Ok(FromGateway::App(app)) => back(node, open, Effect::App(app)),
        Ok(FromGateway::NotAllowed { action, pattern }) => {
            tell(node, open, NativeNodeEvent::NotAllowed { action, pattern })
        }
        Ok(FromGateway::Policy(Policy::Mute)) => tell(node, open, NativeNodeEvent::Muted),
        Ok(FromGateway::Policy(Policy::Unmute)) => tell(node, open, NativeNodeEvent::Unmuted),
        Ok(FromGateway::Policy(Policy::Unpair)) => {
            let next = node.to(State::Keeping(AfterStore::Start));
            let close = Effect::Close(crate::wire::close::Close::GOODBYE);
            Step::with(
                next,
                [Effect::Tell(NativeNodeEvent::Unpaired), close, Effect::Keep(NativeMemory::Blank)],
            )
        }
        Ok(FromGateway::Policy(Policy::GatewayKey(gateway))) => {
            keep(node, Paired { gateway, ..paired }, open, None)
        }
        Ok(FromGateway::Part(part)) => back(node, open, Effect::Part(part)),
        Ok(FromGateway::Grant(PairGrant { token: Some(token), chain: None, .. })) => {
            back(node, open, Effect::Bearer(token))
        }
        Ok(FromGateway::Grant(PairGrant { id, chain, .. })) => {
            let step = keep(node, Paired { grant: id, ..paired }, open, Some(id));
            match chain {
                Some(ChainBytes::Here(bytes)) => step.first(Effect::Chain(Some(bytes.as_bytes()))),
                Some(ChainBytes::InParts) => step.first(Effect::Chain(None)),
                None => step,
            }
        }
        // The grant will not be renewed, so a quick retry is useless.
        Ok(FromGateway::NotRenewed) if open.renews => {
            let node = Node { backoff: Backoff::longest(), ..node };
            node.close(None, AfterClose::Retry).first(Effect::Tell(NativeNodeEvent::PairAgain))
        }
        Ok(FromGateway::NotRenewed) => tell(node, open, NativeNodeEvent::NotRenewed),
        Ok(FromGateway::Active(_) | FromGateway::Admission(_)) => quiet(node, open),
        Ok(FromGateway::Dispatch(dispatch)) => {
            // The node has announced no capability, so there is nothing to run.
            let outcome = ReasonText::parse("no such capability")
                .map_or(DispatchOutcome::TimedOut, DispatchOutcome::Rejected);
            say(
                node,
                open,
                &FromNode::DispatchResult(DispatchResult { id: dispatch.id, outcome }),
                out,
            )
        }
        Ok(FromGateway::Bye(bye)) => {
            let backoff = if bye == Bye::Busy { Backoff::longest() } else { node.backoff };
            Node { backoff, ..node }.close(None, AfterClose::Retry)
        }
        Err(_) => broken(node, None),
    }
}

/// Makes a change durable, then continues the link.
#[inline(never)]
fn keep<'b>(
    node: Node,
    paired: Paired,
    open: LinkParts,
    stored: Option<GrantId>,
) -> Step<Node, Effect<'b>> {
    let LinkParts { channel, heartbeats, heard, renews, .. } = open;
    let then = AfterStore::Linked { channel, heartbeats, heard, renews, stored };
    Step::with(node.to(State::Keeping(then)), [Effect::Keep(NativeMemory::Paired(paired))])
}

#[inline(never)]
fn tell<'b>(node: Node, open: LinkParts, news: NativeNodeEvent<'b>) -> Step<Node, Effect<'b>> {
    back(node, open, Effect::Tell(news))
}

#[inline(never)]
fn back<'b>(node: Node, open: LinkParts, effect: Effect<'b>) -> Step<Node, Effect<'b>> {
    Step::with(open.back(node), [effect])
}

#[inline(never)]
fn quiet<'b>(node: Node, open: LinkParts) -> Step<Node, Effect<'b>> {
    Step::quiet(open.back(node))
}

#[inline(never)]
fn say<'b>(
    node: Node,
    mut open: LinkParts,
    message: &impl Message,
    mut out: OutgoingBuffer<'b>,
) -> Step<Node, Effect<'b>> {
    match open.channel.seal(message, &mut out) {
        Some(frame) => Step::with(open.back(node), [Effect::Send(frame)]),
        None => Step::quiet(open.back(node)),
    }
}
