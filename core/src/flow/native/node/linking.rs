//! The link of a node, from its call to the gateway on.

#[cfg(feature = "identity")]
pub(super) mod tls;

use super::leaving::{broken, leave, turned_away};
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
use crate::step::Effects;
use crate::time::{DeadlineReason, Instant, Span};
use crate::wire::close::Close;
use crate::wire::native::link::{
    Admission, Admitted, App, Bye, CloneMark, DispatchOutcome, DispatchResult, FromGateway,
    FromNode, Hello, Policy, Renew,
};
use crate::wire::native::open::{FirstAnswer, Intent, Open as Opened};
use crate::wire::native::pair::{ChainBytes, PairGrant};
use crate::wire::native::{Features, Message, ReasonText};
use crate::wire::path::Action;
use crate::wire::registration::Heartbeat;

/// Silence after which the gateway counts as lost: it sends something every
/// [`ping_every`](crate::limits::Limits::ping_every).
pub(super) const SILENCE: Span = Span::from_secs(90);
/// Duration of a link that proves a healthy gateway: the next wait starts again from the shortest
/// one.
const STEADY: Span = Span::from_secs(30);

/// An open link.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(super) struct NodeLink {
    pub(super) paired: Paired,
    pub(super) channel: Channel,
    pub(super) heartbeats: Heartbeats,
    pub(super) heard: Instant,
    /// `true` if the grant has expired: until it is renewed, nothing else is allowed.
    pub(super) renews: bool,
    /// The messages that the gateway takes.
    pub(super) features: Features,
    /// `true` if the node runs tasks.
    pub(super) dispatches: bool,
}

/// The object that a link waits to be stored, and then confirms.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(super) enum Stored {
    /// A change that the gateway is not told of.
    Nothing,
    Grant(GrantId),
    Mark(CloneMark),
    Certificate(u64),
}

impl NodeLink {
    pub(super) fn deadline(&self) -> (Instant, DeadlineReason) {
        let silent = (self.heard.after(SILENCE), DeadlineReason::Pong);
        let beat = self.heartbeats.deadline();
        if beat.0 <= silent.0 { beat } else { silent }
    }

    /// Sends a message; one that does not fit is left out.
    #[inline(never)]
    fn say<'b>(
        &mut self,
        message: &impl Message,
        mut out: OutgoingBuffer<'b>,
    ) -> Effects<Effect<'b>> {
        Effects::flatten([self.channel.seal(message, &mut out).map(Effect::Send)])
    }
}

/// Sends `Open` and the first message of IK.
#[inline(never)]
pub(super) fn call<'b>(
    node: &mut Node,
    now: Instant,
    entropy: &Entropy<32>,
    own: &NodeIdentity<'_>,
    mut out: OutgoingBuffer<'b>,
) -> Effects<Effect<'b>> {
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
            node.enter(state, [Effect::Send(open.as_bytes()), Effect::Send(message)])
        }
        None => node.close(None, AfterClose::Retry),
    }
}

/// Reads the gateway's answer. Only its sealed content counts.
#[inline(never)]
pub(super) fn on_second<'b>(
    node: &mut Node,
    now: Instant,
    bytes: &'b mut [u8],
    own: &NodeIdentity<'_>,
    out: OutgoingBuffer<'b>,
) -> Effects<Effect<'b>> {
    let State::Calling { paired, initiator, .. } = core::mem::replace(&mut node.state, State::Idle)
    else {
        return Effects::none();
    };
    match FirstAnswer::parse(bytes) {
        Ok(FirstAnswer::Handshake(_)) => {}
        Ok(FirstAnswer::Clear(refusal)) => return turned_away(node, None, &refusal),
        Err(_) => return broken(node, None),
    }
    let Ok((established, payload)) = initiator.read_second(&own.keys.channel, bytes) else {
        return broken(node, None);
    };
    let Ok(Admitted { admission, features }) = Admitted::parse(payload) else {
        return broken(node, None);
    };
    let link = NodeLink {
        paired,
        channel: Channel::new(established),
        heartbeats: Heartbeats::start(now, node.timing.heartbeat_every),
        heard: now,
        renews: admission == Admission::Expired,
        features,
        dispatches: own.dispatch,
    };
    // Who opens the second message of IK has the gateway's key, and answers this very call.
    #[cfg(feature = "search")]
    let kept = node.proven();
    #[cfg(not(feature = "search"))]
    let kept = None;
    match admission {
        Admission::Welcome | Admission::Expired => greet(node, link, kept, own, out),
        // The node keeps its pairing: the operator may have restored an older registry, and may
        // pair the node again.
        Admission::NotPaired => pair_again(node),
    }
}

/// Proves the node by the first transport message, which names the grant that it holds, so that the
/// gateway may drop older ones. A node whose grant has expired holds none, and asks for a new one.
#[inline(never)]
fn greet<'b>(
    node: &mut Node,
    mut link: NodeLink,
    kept: Option<Effect<'b>>,
    own: &NodeIdentity<'_>,
    mut out: OutgoingBuffer<'b>,
) -> Effects<Effect<'b>> {
    let Paired { node_id, grant, mark, .. } = link.paired;
    let holds = if link.renews { None } else { Some(grant) };
    let hello = Hello { features: node.features(own), mark, holds };
    let Some(hello) = link.channel.seal(&FromNode::Hello(hello), &mut out) else {
        return node.close(None, AfterClose::Retry);
    };
    if !link.renews {
        let linked = Effect::Tell(NativeNodeEvent::Linked(node_id));
        node.state = State::Linked(link);
        return Effects::flatten([Some(Effect::Send(hello)), kept, Some(linked)]);
    }
    match link.channel.seal(&FromNode::Renew(Renew::Chain), &mut out) {
        Some(renew) => {
            node.state = State::Linked(link);
            let expired = Effect::Tell(NativeNodeEvent::Expired);
            Effects::flatten([
                Some(Effect::Send(hello)),
                Some(Effect::Send(renew)),
                kept,
                Some(expired),
            ])
        }
        None => node.close(None, AfterClose::Retry),
    }
}

/// Asks for a new grant in place of the expired one, after the greeting.
#[cfg(feature = "identity")]
fn greet_expired<'b>(
    node: &mut Node,
    mut link: NodeLink,
    mut out: OutgoingBuffer<'b>,
) -> Effects<Effect<'b>> {
    match link.channel.seal(&FromNode::Renew(Renew::Chain), &mut out) {
        Some(renew) => node.enter(
            State::Linked(link),
            [Effect::Send(renew), Effect::Tell(NativeNodeEvent::Expired)],
        ),
        None => node.close(None, AfterClose::Retry),
    }
}

/// Tells the owner that only a new pairing helps. A quick retry is useless.
fn pair_again<'b>(node: &mut Node) -> Effects<Effect<'b>> {
    node.backoff = Backoff::longest();
    leave(node, None, AfterClose::Retry, NativeNodeEvent::PairAgain)
}

/// Continues a link whose memory is durable; first names the stored grant to the gateway, if there
/// is one.
#[inline(never)]
pub(super) fn on_kept<'b>(
    node: &mut Node,
    mut link: NodeLink,
    stored: Stored,
    certified: bool,
    mut out: OutgoingBuffer<'b>,
) -> Effects<Effect<'b>> {
    let NativeMemory::Paired(paired) = node.memory else {
        return node.close(None, AfterClose::AtOnce);
    };
    link.paired = paired;
    let (confirms, told) = match stored {
        Stored::Nothing => return node.enter(State::Linked(link), []),
        Stored::Grant(grant) => (FromNode::Stored(grant), Some(NativeNodeEvent::Renewed)),
        Stored::Mark(mark) => (FromNode::MarkStored(mark), None),
        // The older certificate stays, and the gateway goes on offering the new one.
        Stored::Certificate(_) if !certified => {
            let told = Effect::Tell(NativeNodeEvent::CertificateNotRenewed);
            return node.enter(State::Linked(link), [told]);
        }
        Stored::Certificate(number) => {
            (FromNode::CertificateStored { number }, Some(NativeNodeEvent::CertificateRenewed))
        }
    };
    match link.channel.seal(&confirms, &mut out) {
        Some(frame) => {
            // A new grant ends the renewal.
            let renewed = link.renews && matches!(stored, Stored::Grant(_));
            link.renews &= !renewed;
            node.state = State::Linked(link);
            let linked = Effect::Tell(NativeNodeEvent::Linked(paired.node_id));
            Effects::flatten([
                Some(Effect::Send(frame)),
                told.map(Effect::Tell),
                renewed.then_some(linked),
            ])
        }
        None => node.close(None, AfterClose::Retry),
    }
}

#[inline(never)]
pub(super) fn step<'b>(
    node: &mut Node,
    now: Instant,
    input: Input<'b>,
    out: OutgoingBuffer<'b>,
) -> Effects<Effect<'b>> {
    let State::Linked(link) = &mut node.state else { return Effects::none() };
    // A gateway that drops the node right after linking, or another node with the same key, must
    // not cause an attempt every second.
    if link.heartbeats.lasted(now) >= STEADY {
        node.backoff = Backoff::new();
    }
    match input {
        Input::Frame { bytes, .. } => on_frame(node, now, bytes, out),
        Input::Tick(values) => {
            // The gateway pings more often than that, so the connection is dead.
            if link.heard.after(SILENCE) <= now {
                return node.close(None, AfterClose::Retry);
            }
            match link.heartbeats.due(now) {
                Some(next) => {
                    link.heartbeats = next;
                    link.say(&FromNode::Heartbeat(values), out)
                }
                None => Effects::none(),
            }
        }
        Input::Disconnected(entropy) => node.back_off(now, None, &entropy),
        // What the gateway does not take, it would not allow either.
        Input::App(App { action, address, .. }) if !link.features.contains(Features::APP) => {
            let pattern = address.into();
            Effects::of([Effect::Tell(NativeNodeEvent::NotAllowed { action, pattern })])
        }
        Input::App(app) => link.say(&FromNode::App(app), out),
        Input::Subscribe(pattern) if !link.features.contains(Features::SUBSCRIBE) => {
            let action = Action::Read;
            Effects::of([Effect::Tell(NativeNodeEvent::NotAllowed { action, pattern })])
        }
        Input::Subscribe(pattern) => link.say(&FromNode::Subscribe { pattern }, out),
        // A certificate's request is signed for the link, so it has an input of its own.
        Input::Renew(Renew::Certificate(_)) => Effects::none(),
        Input::Renew(renew) => link.say(&FromNode::Renew(renew), out),
        #[cfg(feature = "identity")]
        Input::RenewCertificate(own) => tls::renew(link, &own, out),
        #[cfg(feature = "identity")]
        Input::Redial => node.close(None, AfterClose::AtOnce),
        // A gateway that dispatches nothing needs to know of no capability.
        Input::Announce(_) | Input::Outcome(_) | Input::Progress(_) | Input::Answer(_)
            if !link.features.contains(Features::DISPATCH) =>
        {
            Effects::none()
        }
        Input::Announce(announce) => link.say(&FromNode::Announce(announce), out),
        Input::Outcome(result) => link.say(&FromNode::DispatchResult(result), out),
        Input::Progress(progress) => link.say(&FromNode::Progress(progress), out),
        Input::Answer(answer) => link.say(&FromNode::Answer(answer), out),
        #[cfg(feature = "identity")]
        Input::ConnectedTls { .. } => Effects::none(),
        #[cfg(feature = "search")]
        Input::Found(..) => Effects::none(),
        // These inputs belong to other states, or to this one no longer.
        Input::Connected(..)
        | Input::Kept
        | Input::KeptWithout
        | Input::Pair(..)
        | Input::CodeEntered(..)
        | Input::Forget => Effects::none(),
    }
}

#[inline(never)]
fn on_frame<'b>(
    node: &mut Node,
    now: Instant,
    bytes: &'b mut [u8],
    mut out: OutgoingBuffer<'b>,
) -> Effects<Effect<'b>> {
    let State::Linked(link) = &mut node.state else { return Effects::none() };
    let text = match link.channel.open(bytes) {
        Ok(text) => text,
        Err(ChannelBroken) => return broken(node, None),
    };
    // Only what opens counts, so that junk does not keep a dead link alive.
    link.heard = now;
    let effect = match FromGateway::parse(text) {
        // The gateway's heartbeat asks for an answer.
        Ok(FromGateway::Heartbeat { time }) => {
            let answer = link.channel.seal(&FromNode::Heartbeat(Heartbeat::default()), &mut out);
            return Effects::flatten([answer.map(Effect::Send), time.map(Effect::Time)]);
        }
        Ok(FromGateway::Ping { number }) => return link.say(&FromNode::Pong { number }, out),
        Ok(FromGateway::App(app)) => Effect::App(app),
        Ok(FromGateway::NotAllowed { action, pattern }) => {
            Effect::Tell(NativeNodeEvent::NotAllowed { action, pattern })
        }
        Ok(FromGateway::Policy(Policy::Mute)) => Effect::Tell(NativeNodeEvent::Muted),
        Ok(FromGateway::Policy(Policy::Unmute)) => Effect::Tell(NativeNodeEvent::Unmuted),
        Ok(FromGateway::Policy(Policy::Unpair)) => {
            // This is sealed by the gateway, and the only message that ends a pairing.
            node.memory = NativeMemory::Blank;
            return node.enter(
                State::Keeping(AfterStore::Start),
                [
                    Effect::Tell(NativeNodeEvent::Unpaired),
                    Effect::Close(Close::GOODBYE),
                    Effect::Keep,
                ],
            );
        }
        // Only a link that the present key has proven may name another one; TLS rests on a
        // certificate authority instead.
        Ok(FromGateway::Policy(Policy::GatewayKey(_))) if link.channel.is_over_tls() => {
            return Effects::none();
        }
        Ok(FromGateway::Policy(Policy::GatewayKey(gateway))) => {
            // The new key counts from the next link on; this channel goes on as it is.
            let paired = Paired { gateway, ..link.paired };
            return keep(node, paired, None, Stored::Nothing);
        }
        // An address proves nothing, but over TLS even the gateway of the present one has not proven
        // its key.
        Ok(FromGateway::Policy(Policy::GatewayAddress(_)))
            if link.channel.is_over_tls() || !node.keeps_addresses =>
        {
            return Effects::none();
        }
        Ok(FromGateway::Policy(Policy::GatewayAddress(list))) => Effect::KeepAddresses(list),
        Ok(FromGateway::Part(part)) => Effect::Part(part),
        Ok(FromGateway::Grant(PairGrant { token: Some(token), chain: None, .. })) => {
            // A bearer is no grant of the link, so it is neither confirmed nor waited for.
            Effect::Bearer(token)
        }
        Ok(FromGateway::Grant(PairGrant { id, chain, .. })) => {
            let chain = match chain {
                Some(ChainBytes::Here(bytes)) => Some(Effect::Chain(Some(bytes.as_bytes()))),
                Some(ChainBytes::InParts) => Some(Effect::Chain(None)),
                None => None,
            };
            let paired = Paired { grant: id, ..link.paired };
            return keep(node, paired, chain, Stored::Grant(id));
        }
        // The grant will not be renewed.
        Ok(FromGateway::NotRenewed) if link.renews => return pair_again(node),
        Ok(FromGateway::NotRenewed) => Effect::Tell(NativeNodeEvent::NotRenewed),
        // The memory has named the newer grant since it was stored, so nothing changes.
        Ok(FromGateway::Active(_) | FromGateway::Admission(_)) => return Effects::none(),
        Ok(FromGateway::Mark(mark)) => {
            let paired = Paired { mark: Some(mark), ..link.paired };
            return keep(node, paired, None, Stored::Mark(mark));
        }
        Ok(FromGateway::Name(name)) => Effect::Tell(NativeNodeEvent::GatewayName(name)),
        // The node has not said that it takes these; a task is answered all the same, so that it
        // does not count as lost.
        Ok(FromGateway::Dispatch(dispatch)) if !link.dispatches => {
            // The text always parses, so the other outcome only satisfies the types.
            let outcome = ReasonText::parse("no such capability")
                .map_or(DispatchOutcome::TimedOut, DispatchOutcome::Rejected);
            let result = DispatchResult { id: dispatch.id, outcome };
            return link.say(&FromNode::DispatchResult(result), out);
        }
        Ok(FromGateway::Cancel { .. } | FromGateway::Query { .. }) if !link.dispatches => {
            return Effects::none();
        }
        Ok(FromGateway::Dispatch(dispatch)) => Effect::Dispatch(dispatch),
        Ok(FromGateway::Cancel { id }) => Effect::Cancel(id),
        Ok(FromGateway::Query { id, number }) => Effect::Query(id, number),
        Ok(FromGateway::Certificate { number }) => {
            let paired = link.paired;
            return keep(node, paired, Some(Effect::Certificate), Stored::Certificate(number));
        }
        Ok(FromGateway::CertificateKey(key)) => Effect::CertificateKey(key),
        Ok(FromGateway::NotIssued) => Effect::Tell(NativeNodeEvent::CertificateNotRenewed),
        // A link has one beginning.
        Ok(FromGateway::Admitted(_)) => return broken(node, None),
        Ok(FromGateway::Bye(bye)) => {
            let replaced = bye == Bye::Replaced;
            if replaced || bye == Bye::Busy {
                // Two machines with one key would otherwise displace each other all the time.
                node.backoff = Backoff::longest();
            }
            if replaced {
                return leave(node, None, AfterClose::Retry, NativeNodeEvent::Replaced);
            }
            return node.close(None, AfterClose::Retry);
        }
        Err(_) => return broken(node, None),
    };
    Effects::of([effect])
}

/// Makes a change durable, with the object that comes with it, then continues the link.
#[inline(never)]
fn keep<'b>(
    node: &mut Node,
    paired: Paired,
    object: Option<Effect<'b>>,
    stored: Stored,
) -> Effects<Effect<'b>> {
    let State::Linked(link) = core::mem::replace(&mut node.state, State::Idle) else {
        return Effects::none();
    };
    // The link waits in this state, so that nothing is confirmed before it is durable.
    node.state = State::Keeping(AfterStore::Linked { link, stored });
    node.memory = NativeMemory::Paired(paired);
    Effects::flatten([object, Some(Effect::Keep)])
}
