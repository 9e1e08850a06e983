//! Pairing, from the gateway's first answer on.

use super::leaving::{broken, leave, turned_away};
use super::{
    AfterClose, AfterStore, Effect, NativeMemory, NativeNodeEvent, Node, NodeIdentity, NotAsked,
    PairMethod, Paired, State, Trust,
};
use crate::budget::Backoff;
use crate::crypto::code::Code;
use crate::crypto::cpace;
use crate::crypto::fingerprint::Fingerprint;
use crate::crypto::noise::xx;
use crate::crypto::x25519::PublicKey;
use crate::entropy::Entropy;
use crate::link::channel::{Channel, ChannelBroken, OutgoingBuffer};
use crate::step::Effects;
use crate::time::{Instant, Span};
use crate::wire::native::open::FirstAnswer;
use crate::wire::native::pair::{
    Ask, ChainBytes, NativeProfile, PairFromGateway, PairFromNode, PairGrant, PairRefusal, Request,
};

/// A pairing under way, on a sealed channel.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(super) struct NodePairing {
    pub(super) channel: Channel,
    pub(super) stage: NodePairingStage,
    pub(super) until: Instant,
}

/// The progress of pairing.
#[allow(clippy::enum_variant_names, reason = "each is named for what it waits for")]
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(super) enum NodePairingStage {
    /// `Ask` was sent, without a code.
    AwaitAnswer {
        pin: bool,
    },
    /// `Ask` was sent, and the setup code with it.
    AwaitSettled,
    /// The owner has to type a code.
    AwaitCode {
        method: cpace::CodeOrigin,
    },
    AwaitYb {
        initiator: cpace::Initiator,
        method: cpace::CodeOrigin,
    },
    AwaitTb {
        awaiting: cpace::AwaitingTb,
        method: cpace::CodeOrigin,
    },
    /// The code has proven the gateway, or the request waits for the operator.
    AwaitGrant,
    AwaitActive,
}

impl NodePairingStage {
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::AwaitAnswer { .. } => "AwaitAnswer",
            Self::AwaitSettled => "AwaitSettled",
            Self::AwaitCode { .. } => "AwaitCode",
            Self::AwaitYb { .. } => "AwaitYb",
            Self::AwaitTb { .. } => "AwaitTb",
            Self::AwaitGrant => "AwaitGrant",
            Self::AwaitActive => "AwaitActive",
        }
    }

    /// Returns the method that can be tried again without the owner if the connection ends at this
    /// stage.
    pub(super) const fn wish_left(&self) -> Option<PairMethod> {
        match self {
            // A proven gateway's key is remembered, so its grant is requested again without a code.
            Self::AwaitAnswer { pin: false } | Self::AwaitGrant => Some(PairMethod::Approval),
            Self::AwaitAnswer { pin: true } => Some(PairMethod::Pin),
            // A spent setup code yields the same grant again to the same key.
            Self::AwaitSettled => Some(PairMethod::Setup),
            // After these the owner types a code again, or the node links by the grant that it has.
            Self::AwaitCode { .. }
            | Self::AwaitYb { .. }
            | Self::AwaitTb { .. }
            | Self::AwaitActive => None,
        }
    }
}

/// Reads the gateway's answer to the first message of XX: its identity. The node then sends its
/// `Ask`, and `Ya` if it has the code.
#[inline(never)]
pub(super) fn on_second<'b>(
    node: &mut Node,
    now: Instant,
    bytes: &'b mut [u8],
    entropy: &Entropy<32>,
    own: &NodeIdentity<'_>,
    mut out: OutgoingBuffer<'b>,
) -> Effects<Effect<'b>> {
    let State::Introducing { wish, initiator, .. } =
        core::mem::replace(&mut node.state, State::Idle)
    else {
        return Effects::none();
    };
    match FirstAnswer::parse(bytes) {
        Ok(FirstAnswer::Handshake(_)) => {}
        Ok(FirstAnswer::Clear(refusal)) => return turned_away(node, Some(wish), &refusal),
        Err(_) => return broken(node, Some(wish)),
    }
    let Ok((introduced, _)) = initiator.read_second(bytes) else { return broken(node, Some(wish)) };
    let peer = *introduced.peer();
    // The gateway is judged before the node tells it anything about itself.
    let trust = match trust(node, &wish, &peer) {
        Some(trust) => trust,
        None => return other_gateway(node, wish, &peer),
    };
    if matches!(wish, PairMethod::Setup) && own.setup.is_none() {
        return without_asking(node, NotAsked::NoSetupCode);
    }
    let news = NativeNodeEvent::Gateway { fingerprint: Fingerprint::of(&peer), trust };
    let until = now.after(node.timing.answer_within);
    let sent = ask(introduced, &wish, own, &mut out).and_then(|sent| match &wish {
        PairMethod::Code { code, .. } => with_element(sent, code, entropy, own, &mut out),
        PairMethod::Approval | PairMethod::Pin | PairMethod::Setup => Some(sent),
    });
    match sent {
        Some(sent) => asked(node, sent, until, news),
        // The peer's keys have been multiplied with before, so it is the room that was missing.
        None => without_asking(node, NotAsked::BufferTooSmall),
    }
}

/// Gives up pairing for a reason on the node's own side, which another attempt does not mend.
#[inline(never)]
fn without_asking<'b>(node: &mut Node, why: NotAsked) -> Effects<Effect<'b>> {
    leave(node, None, AfterClose::Idle, NativeNodeEvent::NotAsked(why))
}

#[inline(never)]
fn other_gateway<'b>(node: &mut Node, wish: PairMethod, peer: &PublicKey) -> Effects<Effect<'b>> {
    let other = NativeNodeEvent::OtherGateway(Fingerprint::of(peer));
    // The right gateway may come back, so the node tries again, but seldom.
    node.backoff = Backoff::longest();
    leave(node, Some(wish), AfterClose::Retry, other)
}

/// The messages that were sent after the gateway's first answer. The step is made from them once
/// the multiplications have left the stack.
struct SentMessages<'b> {
    channel: Channel,
    stage: NodePairingStage,
    frames: [&'b [u8]; 2],
    element: Option<&'b [u8]>,
}

#[inline(never)]
fn asked<'b>(
    node: &mut Node,
    sent: SentMessages<'b>,
    until: Instant,
    news: NativeNodeEvent<'b>,
) -> Effects<Effect<'b>> {
    let SentMessages { channel, stage, frames: [third, ask], element } = sent;
    node.state = State::Pairing(NodePairing { channel, stage, until });
    Effects::flatten([
        Some(Effect::Tell(news)),
        Some(Effect::Send(third)),
        Some(Effect::Send(ask)),
        element.map(Effect::Send),
    ])
}

/// Returns the grounds on which this gateway is acceptable; `None` if it is not.
fn trust(node: &Node, wish: &PairMethod, peer: &PublicKey) -> Option<Trust> {
    if let Some(expected) = &node.expect {
        // A fingerprint that the owner gave outweighs everything that is remembered.
        return (*expected == Fingerprint::of(peer)).then_some(Trust::Pinned);
    }
    match (wish, &node.memory) {
        // CPace proves any gateway that knows the code.
        (PairMethod::Pin | PairMethod::Code { .. }, _) => Some(Trust::Code),
        (PairMethod::Approval, NativeMemory::Asked { gateway }) => {
            (gateway == peer).then_some(Trust::Pinned)
        }
        (PairMethod::Approval, NativeMemory::Paired(paired)) => {
            (paired.gateway == *peer).then_some(Trust::Pinned)
        }
        (PairMethod::Approval, NativeMemory::Blank) => Some(Trust::FirstUse),
        // A setup code must not go to a gateway whose fingerprint was not given.
        (PairMethod::Setup, _) => None,
    }
}

/// Makes the third message, `Ask`, and the setup code if the node shows one.
#[inline(never)]
fn ask<'b>(
    introduced: xx::Introduced,
    wish: &PairMethod,
    own: &NodeIdentity<'_>,
    out: &mut OutgoingBuffer<'b>,
) -> Option<SentMessages<'b>> {
    let (established, third) = out.put(|place| {
        let (established, message) = introduced.write_third(&own.keys.channel, &[], place).ok()?;
        Some((established, message.len()))
    })?;
    let mut channel = Channel::new(established);
    // A profile over the bound is left out; it must not prevent the request.
    let profile = NativeProfile::new(own.about.profile).unwrap_or(NativeProfile::EMPTY);
    let request = Request {
        features: own.features(),
        name: own.about.name,
        room: own.about.room,
        profile,
        method: wish.method(),
        wants: own.wants,
        // Without a signing key no certificate can be asked for.
        csr: own.certificate.csr().filter(|_| cfg!(feature = "identity")),
    };
    #[cfg(feature = "identity")]
    let ask = Ask::sign(request, &own.keys.signing, &channel.hash);
    #[cfg(not(feature = "identity"))]
    let ask = Ask::unsigned(request);
    let asked = channel.seal(&PairFromNode::Ask(ask), out)?;
    let (stage, element) = match wish {
        PairMethod::Approval => (NodePairingStage::AwaitAnswer { pin: false }, None),
        PairMethod::Pin => (NodePairingStage::AwaitAnswer { pin: true }, None),
        PairMethod::Setup => {
            // The code follows the request at once, which saves a round trip.
            let frame = channel.seal(&PairFromNode::SetupCode(own.setup?), out)?;
            (NodePairingStage::AwaitSettled, Some(frame))
        }
        // The element follows once this frame has left the stack.
        PairMethod::Code { .. } => {
            (NodePairingStage::AwaitCode { method: cpace::CodeOrigin::Code }, None)
        }
    };
    Some(SentMessages { channel, stage, frames: [third, asked], element })
}

/// Adds `Ya` for a code that the node has already.
#[inline(never)]
fn with_element<'b>(
    mut sent: SentMessages<'b>,
    code: &Code,
    entropy: &Entropy<32>,
    own: &NodeIdentity<'_>,
    out: &mut OutgoingBuffer<'b>,
) -> Option<SentMessages<'b>> {
    let (stage, frame) =
        begin(&mut sent.channel, code, cpace::CodeOrigin::Code, entropy, own, out)?;
    (sent.stage, sent.element) = (stage, Some(frame));
    Some(sent)
}

/// Makes the node's half of CPace. The code is not needed afterwards.
#[inline(never)]
fn begin<'b>(
    channel: &mut Channel,
    code: &Code,
    method: cpace::CodeOrigin,
    entropy: &Entropy<32>,
    own: &NodeIdentity<'_>,
    out: &mut OutgoingBuffer<'b>,
) -> Option<(NodePairingStage, &'b [u8])> {
    let inputs =
        cpace::Inputs::new(code, &channel.hash, own.keys.channel.public(), &channel.peer, method);
    let (initiator, element) = cpace::Initiator::start(&inputs, entropy).ok()?;
    let frame = channel.seal(&PairFromNode::Ya(element), out)?;
    Some((NodePairingStage::AwaitYb { initiator, method }, frame))
}

impl NodePairing {
    /// Takes a code that the owner typed; one that nobody asked for is dropped. Returns `None` if
    /// the code cannot be used, and the pairing with it.
    #[inline(never)]
    pub(super) fn on_code<'b>(
        &mut self,
        soon: Instant,
        code: &Code,
        entropy: &Entropy<32>,
        own: &NodeIdentity<'_>,
        mut out: OutgoingBuffer<'b>,
    ) -> Option<Effects<Effect<'b>>> {
        let NodePairingStage::AwaitCode { method } = self.stage else {
            return Some(Effects::none());
        };
        let (stage, frame) = begin(&mut self.channel, code, method, entropy, own, &mut out)?;
        Some(self.go_on(stage, soon, Effect::Send(frame)))
    }

    fn go_on<'b>(
        &mut self,
        stage: NodePairingStage,
        until: Instant,
        effect: Effect<'b>,
    ) -> Effects<Effect<'b>> {
        (self.stage, self.until) = (stage, until);
        Effects::of([effect])
    }
}

#[inline(never)]
pub(super) fn on_frame<'b>(
    node: &mut Node,
    now: Instant,
    bytes: &'b mut [u8],
    mut out: OutgoingBuffer<'b>,
) -> Effects<Effect<'b>> {
    let soon = now.after(node.timing.answer_within);
    let State::Pairing(pairing) = &mut node.state else { return Effects::none() };
    let wish = pairing.stage.wish_left();
    let text = match pairing.channel.open(bytes) {
        Ok(text) => text,
        Err(ChannelBroken) => return broken(node, wish),
    };
    // The stage that takes the place of the one that is answered trusts nothing more; an arm that
    // stays sets the next one.
    let stage = core::mem::replace(&mut pairing.stage, NodePairingStage::AwaitActive);
    match (stage, PairFromGateway::parse(text)) {
        (stage, Ok(PairFromGateway::Refused(refusal))) => on_refused(node, now, &stage, refusal),
        (
            NodePairingStage::AwaitAnswer { pin: true },
            Ok(PairFromGateway::PinShown { expires_in, attempts }),
        ) => {
            let until = now.after(Span::from_secs(u64::from(expires_in)));
            let stage = NodePairingStage::AwaitCode { method: cpace::CodeOrigin::Pin };
            let shown = NativeNodeEvent::TypeThePin { expires_in, attempts };
            pairing.go_on(stage, until, Effect::Tell(shown))
        }
        (NodePairingStage::AwaitYb { initiator, method }, Ok(PairFromGateway::Yb(element))) => {
            let answered = initiator.confirm(&element).ok().and_then(|(awaiting, tag)| {
                Some((awaiting, pairing.channel.seal(&PairFromNode::Ta(tag), &mut out)?))
            });
            match answered {
                Some((awaiting, frame)) => {
                    let stage = NodePairingStage::AwaitTb { awaiting, method };
                    pairing.go_on(stage, soon, Effect::Send(frame))
                }
                // The code is used up by now, so the owner has to type it again.
                None => broken(node, None),
            }
        }
        (NodePairingStage::AwaitTb { awaiting, .. }, Ok(PairFromGateway::Tb(tag))) => {
            match awaiting.verify(&tag) {
                Ok(_confirmed) => trusted(node, soon, NativeNodeEvent::CodeConfirmed),
                // The peer has spent a guess and learnt only that it was wrong. Nothing it sent is
                // used.
                Err(_) => leave(node, None, AfterClose::Idle, NativeNodeEvent::GatewayUnproven),
            }
        }
        (
            NodePairingStage::AwaitAnswer { pin: false } | NodePairingStage::AwaitGrant,
            Ok(PairFromGateway::Waiting { expires_in }),
        ) => {
            let until = now.after(Span::from_secs(u64::from(expires_in)));
            trusted(node, until, NativeNodeEvent::WaitsForApproval { expires_in })
        }
        (
            stage @ (NodePairingStage::AwaitAnswer { pin: false }
            | NodePairingStage::AwaitSettled
            | NodePairingStage::AwaitGrant),
            Ok(PairFromGateway::Part(part)),
        ) => pairing.go_on(stage, soon, Effect::Part(part)),
        (
            stage @ (NodePairingStage::AwaitAnswer { pin: false }
            | NodePairingStage::AwaitSettled
            | NodePairingStage::AwaitGrant),
            Ok(PairFromGateway::CertificateKey(key)),
        ) => pairing.go_on(stage, soon, Effect::CertificateKey(key)),
        (
            NodePairingStage::AwaitAnswer { pin: false }
            | NodePairingStage::AwaitSettled
            | NodePairingStage::AwaitGrant,
            Ok(PairFromGateway::Grant(grant)),
        ) => on_grant(node, grant),
        (NodePairingStage::AwaitActive, Ok(PairFromGateway::Active(_))) => {
            // A link has a connection of its own, so this one is closed.
            node.close(None, AfterClose::AtOnce)
        }
        (
            stage @ (NodePairingStage::AwaitAnswer { pin: false }
            | NodePairingStage::AwaitSettled
            | NodePairingStage::AwaitGrant
            | NodePairingStage::AwaitActive),
            Ok(PairFromGateway::Name(name)),
        ) => {
            let until = pairing.until;
            pairing.go_on(stage, until, Effect::Tell(NativeNodeEvent::GatewayName(name)))
        }
        // The offer expired before the node had stored it.
        (NodePairingStage::AwaitActive, Ok(PairFromGateway::NotPaired)) => {
            node.backoff = Backoff::longest();
            leave(node, None, AfterClose::Retry, NativeNodeEvent::PairAgain)
        }
        (
            NodePairingStage::AwaitAnswer { .. }
            | NodePairingStage::AwaitSettled
            | NodePairingStage::AwaitCode { .. }
            | NodePairingStage::AwaitYb { .. }
            | NodePairingStage::AwaitTb { .. }
            | NodePairingStage::AwaitGrant
            | NodePairingStage::AwaitActive,
            Ok(_) | Err(_),
        ) => broken(node, wish),
    }
}

/// Remembers the gateway before its grant arrives, so that a grant that is lost on the way is found
/// again.
#[inline(never)]
fn trusted<'b>(node: &mut Node, until: Instant, news: NativeNodeEvent<'b>) -> Effects<Effect<'b>> {
    let State::Pairing(pairing) = &mut node.state else { return Effects::none() };
    let asked = NativeMemory::Asked { gateway: pairing.channel.peer };
    if node.memory == asked || matches!(node.memory, NativeMemory::Paired(_)) {
        // An existing pairing stays until a new grant replaces it.
        return pairing.go_on(NodePairingStage::AwaitGrant, until, Effect::Tell(news));
    }
    let State::Pairing(NodePairing { channel, .. }) =
        core::mem::replace(&mut node.state, State::Idle)
    else {
        return Effects::none();
    };
    let then = AfterStore::Wait { channel, until };
    node.memory = asked;
    node.enter(State::Keeping(then), [Effect::Tell(news), Effect::Keep])
}

#[inline(never)]
fn on_grant<'b>(node: &mut Node, grant: PairGrant<'b>) -> Effects<Effect<'b>> {
    let PairGrant { id, node_id, room, chain, message, token: _, certificates } = grant;
    let State::Pairing(NodePairing { channel, .. }) =
        core::mem::replace(&mut node.state, State::Idle)
    else {
        return Effects::none();
    };
    let gateway = channel.peer;
    // A paired node that asks again may just be offered its grant once more. Without its mark it
    // would look like a copy of itself. Where it is paired anew, an older mark is no alarm.
    let mark = match node.memory {
        NativeMemory::Paired(before) if before.gateway == gateway && before.node_id == node_id => {
            before.mark
        }
        NativeMemory::Paired(_) | NativeMemory::Asked { .. } | NativeMemory::Blank => None,
    };
    let paired = Paired { gateway, node_id, grant: id, mark };
    node.memory = NativeMemory::Paired(paired);
    node.state = State::Keeping(AfterStore::Confirm { channel, grant: id });
    let chain = match chain {
        Some(ChainBytes::Here(bytes)) => Some(Effect::Chain(Some(bytes.as_bytes()))),
        Some(ChainBytes::InParts) => Some(Effect::Chain(None)),
        None => None,
    };
    Effects::flatten([
        Some(Effect::Tell(NativeNodeEvent::Granted { node_id, room, message })),
        // Both go ahead of the memory, because they are stored together with it.
        chain,
        certificates.then_some(Effect::Certificate),
        Some(Effect::Keep),
    ])
}

#[inline(never)]
fn on_refused<'b>(
    node: &mut Node,
    now: Instant,
    stage: &NodePairingStage,
    refusal: PairRefusal<'b>,
) -> Effects<Effect<'b>> {
    let State::Pairing(pairing) = &mut node.state else { return Effects::none() };
    let method = match stage {
        NodePairingStage::AwaitTb { method, .. }
        | NodePairingStage::AwaitYb { method, .. }
        | NodePairingStage::AwaitCode { method } => Some(*method),
        NodePairingStage::AwaitAnswer { .. }
        | NodePairingStage::AwaitSettled
        | NodePairingStage::AwaitGrant
        | NodePairingStage::AwaitActive => None,
    };
    let told = NativeNodeEvent::PairingRefused(refusal);
    match (refusal, method) {
        (PairRefusal::WrongCode { attempts_left }, Some(method)) if attempts_left > 0 => {
            // The channel stays open: the owner may type another code, which is another guess.
            let wrong = NativeNodeEvent::WrongCode { attempts_left };
            let stage = NodePairingStage::AwaitCode { method };
            pairing.go_on(stage, now.after(TYPING), Effect::Tell(wrong))
        }
        (PairRefusal::Busy { .. } | PairRefusal::CannotStore { .. }, _) => {
            // The gateway would take the request later, so what remains of the wish is kept.
            node.backoff = Backoff::longest();
            leave(node, stage.wish_left(), AfterClose::Retry, told)
        }
        // The node does not retry by itself, because the answer would be the same.
        (
            PairRefusal::WrongCode { .. }
            | PairRefusal::Expired
            | PairRefusal::Locked
            | PairRefusal::Closed
            | PairRefusal::Denied { .. }
            | PairRefusal::Revoked
            | PairRefusal::Protocol
            | PairRefusal::Spent
            | PairRefusal::Unsigned,
            Some(_) | None,
        ) => leave(node, None, AfterClose::Idle, told),
    }
}

/// Time in which the owner must type another code after a wrong one. The gateway has its own limit.
const TYPING: Span = Span::from_secs(300);
