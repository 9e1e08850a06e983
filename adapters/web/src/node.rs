//! A node: core's machine, with what its inputs are made of, and its effects as records.

use handfast_core::crypto::code::Code;
use handfast_core::crypto::fingerprint::Fingerprint;
use handfast_core::crypto::keys::OwnKeys;
use handfast_core::flow::native::node::{
    CertificateWish, Effect, Input, NativeMemory, Node, NodeIdentity, PairMethod, Timing,
};
use handfast_core::limits::{
    ASKED_SCOPES_BYTES, MESSAGE_BYTES, NATIVE_PROFILE_BYTES, NATIVE_SETUP_SCRATCH, NUMBER_CHARS,
    SETUP_TOKEN_CHARS,
};
use handfast_core::registry::grants::GrantId;
use handfast_core::secret::Secret;
use handfast_core::wire::invite::TypedCode;
use handfast_core::wire::json::Number;
use handfast_core::wire::native::Payload;
use handfast_core::wire::native::link::{App, Renew};
use handfast_core::wire::native::pair::{AskedScopes, BootstrapToken};
use handfast_core::wire::path::{Action, Address, Pattern};
use handfast_core::wire::registration::{Heartbeat, PairRequest, Profile};
use handfast_core::{Effects, Entropy, Label, Machine, Name, Span};
use zeroize::Zeroize;

use crate::call::{Call, PairBy};
use crate::clock::Clock;
use crate::event;
use crate::record::{NotStored, Stored};
use crate::reply::{Kind, Reply, with_fingerprint};
use crate::token::Tokens;

/// Core's name for the state of a node that waits for its owner.
const IDLE: &str = "Idle";

/// A node with its keys, its description and its token.
pub(crate) struct WebNode {
    machine: Node,
    keys: OwnKeys,
    about: About,
    readings: Readings,
    tokens: Tokens,
    /// `true` while the host makes the machine's memory durable.
    keeping: bool,
    /// The message of the present step, which is opened in place.
    frame: [u8; MESSAGE_BYTES + 1],
    /// Wiped after every step: the plaintext of a sealed message was in it.
    scratch: [u8; NATIVE_SETUP_SCRATCH],
}

/// The description of a node.
struct About {
    name: Name,
    room: Name,
    profile: heapless::String<NATIVE_PROFILE_BYTES>,
    wants: heapless::String<ASKED_SCOPES_BYTES>,
    /// The bootstrap token for pairing by a setup code.
    setup: heapless::String<SETUP_TOKEN_CHARS>,
}

#[derive(Default)]
struct Readings {
    occupancy: Option<bool>,
    noise: heapless::String<NUMBER_CHARS>,
    wake_word_fp: Option<bool>,
}

/// A refusal of a call: a code, for which the host has a sentence, and core's reason if it has one.
struct Refusal(&'static str, &'static str);

impl Refusal {
    const fn of(code: &'static str) -> Self {
        Self(code, "")
    }
}

impl About {
    fn new((name, room, profile, wants): (&str, &str, &str, &str)) -> Result<Self, Refusal> {
        let named = |text| Label::parse(text).map(Name::from);
        let profile = if profile.is_empty() { Profile::EMPTY.as_str() } else { profile };
        Ok(Self {
            name: named(name).ok_or(Refusal::of("name"))?,
            room: named(room).ok_or(Refusal::of("name"))?,
            profile: Profile::parse(profile)
                .and_then(|profile| heapless::String::try_from(profile.as_str()).ok())
                .ok_or(Refusal::of("profile"))?,
            wants: AskedScopes::parse(wants)
                .and_then(|wants| heapless::String::try_from(wants.as_str()).ok())
                .ok_or(Refusal::of("permissions"))?,
            setup: heapless::String::new(),
        })
    }

    fn identity<'b>(&'b self, keys: &'b OwnKeys) -> NodeIdentity<'b> {
        NodeIdentity {
            keys,
            about: PairRequest {
                name: self.name.label(),
                room: self.room.label(),
                // The profile was checked when the node was booted.
                profile: Profile::parse(&self.profile).unwrap_or(Profile::EMPTY),
            },
            setup: BootstrapToken::new(&self.setup),
            wants: AskedScopes::parse(&self.wants).unwrap_or(AskedScopes::NONE),
            certificate: CertificateWish::None,
            dispatch: false,
        }
    }
}

impl Readings {
    fn heartbeat(&self) -> Heartbeat<'_> {
        let Self { occupancy, noise, wake_word_fp } = self;
        Heartbeat {
            occupancy: *occupancy,
            noise_level: Number::parse(noise),
            wake_word_fp: *wake_word_fp,
        }
    }
}

impl WebNode {
    /// Starts a node. Without stored bytes it makes its keys and has them stored.
    pub(crate) fn boot(
        entropy: &[u8],
        stored: &[u8],
        about: (&str, &str, &str, &str),
        clock: Clock,
        reply: &mut Reply<'_>,
    ) -> Option<Self> {
        match Self::booted(entropy, stored, about, clock) {
            Ok(node) => {
                // The keys are stored before a gateway can learn them.
                if stored.is_empty() {
                    node.keep(&NativeMemory::Blank, reply);
                }
                Some(node)
            }
            Err(Refusal(code, message)) => {
                reply.refuse(code, message);
                None
            }
        }
    }

    fn booted(
        entropy: &[u8],
        stored: &[u8],
        about: (&str, &str, &str, &str),
        clock: Clock,
    ) -> Result<Self, Refusal> {
        let about = About::new(about)?;
        let (keys, memory, tokens) = if stored.is_empty() {
            // The module has no randomness of its own, so its host gives some.
            let fresh: &[u8; 64] = entropy.try_into().map_err(|_| Refusal::of("entropy"))?;
            let keys = OwnKeys::from_stored(&Secret::new(*fresh));
            (keys, NativeMemory::Blank, Tokens::new(GrantId::from_bytes([0; 16]), &[]))
        } else {
            let stored = Stored::read(stored).map_err(|why| match why {
                NotStored::OtherVersion => Refusal::of("stored_version"),
                NotStored::Damaged => Refusal::of("stored_damaged"),
            })?;
            (stored.keys(), stored.memory, Tokens::new(stored.grant, stored.token))
        };
        Ok(Self {
            machine: Node::boot(clock.now, memory, Timing::DEFAULT),
            keys,
            about,
            readings: Readings::default(),
            tokens,
            keeping: false,
            frame: [0; MESSAGE_BYTES + 1],
            scratch: [0; NATIVE_SETUP_SCRATCH],
        })
    }

    /// Carries out a call.
    pub(crate) fn call(&mut self, call: Call<'_>, clock: Clock, reply: &mut Reply<'_>) {
        if let Err(Refusal(code, message)) = self.take(call, clock, reply) {
            reply.refuse(code, message);
        }
        // The plaintext of a sealed message was in both buffers.
        self.scratch.as_mut_slice().zeroize();
        self.frame.as_mut_slice().zeroize();
    }

    fn take(&mut self, call: Call<'_>, clock: Clock, reply: &mut Reply<'_>) -> Result<(), Refusal> {
        let Self { machine, keys, about, readings, tokens, keeping, frame, scratch } = self;
        if let Call::Connected { .. } = &call {
            tokens.start_over();
        }
        if let Call::Pair { method: PairBy::Setup(token), .. } = &call {
            about.setup =
                heapless::String::try_from(*token).map_err(|_| Refusal::of("setup_code"))?;
        }
        let own = about.identity(keys);
        let input = match call {
            Call::Tick => match tokens.renewal().copied() {
                Some(plan) if machine.is_linked() && plan.wait(clock.unix) == Some(NOW) => {
                    tokens.set_renewal(plan.asked(clock.unix));
                    Input::Renew(Renew::Chain)
                }
                Some(_) | None => Input::Tick(readings.heartbeat()),
            },
            Call::Connected { entropy } => Input::Connected(drawn(entropy)?, own),
            Call::Frame { bytes, entropy } => {
                // One byte over the limit is enough for core to refuse the message.
                let length = bytes.len().min(frame.len());
                let (here, _) = frame.split_at_mut(length);
                here.copy_from_slice(bytes.get(..length).unwrap_or_default());
                Input::Frame { bytes: here, entropy: drawn(entropy)?, own }
            }
            Call::Disconnected { entropy } => Input::Disconnected(drawn(entropy)?),
            Call::Kept => match core::mem::take(keeping) {
                true => Input::Kept,
                // Nothing is being stored, so there is nothing to confirm.
                false => return Ok(()),
            },
            Call::Pair { method, expect } => {
                let expect = expect
                    .map(Fingerprint::parse)
                    .transpose()
                    .map_err(|_| Refusal::of("fingerprint"))?;
                let method = match method {
                    PairBy::Approval => PairMethod::Approval,
                    PairBy::Pin => PairMethod::Pin,
                    PairBy::Code(typed) => {
                        let TypedCode { selector, code } =
                            TypedCode::parse(typed).map_err(|_| Refusal::of("typed_code"))?;
                        PairMethod::Code { selector, code }
                    }
                    PairBy::Setup(_) => PairMethod::Setup,
                };
                Input::Pair(method, expect)
            }
            Call::Code { text, entropy } => {
                let code = Code::parse(text).map_err(|_| Refusal::of("code"))?;
                Input::CodeEntered(code, drawn(entropy)?, own)
            }
            Call::App { action, address, bytes } => {
                let app = App {
                    action: Action::parse(action).map_err(|why| Refusal("action", why.as_str()))?,
                    address: Address::parse(address)
                        .map_err(|why| Refusal("address", why.as_str()))?,
                    bytes: Payload::new(bytes).ok_or(Refusal::of("too_long"))?,
                };
                // A mistake in the message is told even without a link.
                if !machine.is_linked() {
                    return Err(Refusal::of("not_linked"));
                }
                Input::App(app)
            }
            Call::Subscribe { pattern } => {
                let pattern =
                    Pattern::parse(pattern).map_err(|why| Refusal("pattern", why.as_str()))?;
                Input::Subscribe(pattern)
            }
            Call::Renew | Call::Bearer if !machine.is_linked() => {
                return Err(Refusal::of("not_linked"));
            }
            Call::Renew => Input::Renew(Renew::Chain),
            Call::Bearer => Input::Renew(Renew::Token),
            Call::Forget => Input::Forget,
            Call::Readings { occupancy, noise, wake_word_fp } => {
                *readings = Readings {
                    occupancy,
                    noise: heapless::String::try_from(noise).map_err(|_| Refusal::of("noise"))?,
                    wake_word_fp,
                };
                return Ok(());
            }
            Call::Describe => {
                describe(machine, keys, tokens, reply);
                return Ok(());
            }
            // The instance carries these out without the node.
            Call::Boot { .. }
            | Call::Matches { .. }
            | Call::ReadInvite { .. }
            | Call::ReadSetup { .. }
            | Call::IsNear { .. }
            | Call::Companion { .. }
            | Call::CompanionText { .. }
            | Call::CompanionBinary
            | Call::CompanionClosed => return Ok(()),
        };
        let before = machine.state_name();
        let effects = machine.step(clock.now, input, scratch);
        carry_out(effects, (machine.memory(), keys), tokens, keeping, reply);
        if before != IDLE && machine.state_name() == IDLE {
            reply.event("resting");
        }
        Ok(())
    }

    fn keep(&self, memory: &NativeMemory, reply: &mut Reply<'_>) {
        put_memory(&self.keys, &self.tokens, memory, reply);
    }

    /// Returns the time until the next tick is due.
    pub(crate) fn due_in(&self, clock: Clock) -> Option<Span> {
        let machine = self.machine.deadline().map(|(at, _)| at.since(clock.now));
        let renewal = self
            .tokens
            .renewal()
            .filter(|_| self.machine.is_linked())
            .and_then(|plan| plan.wait(clock.unix));
        machine.into_iter().chain(renewal).min()
    }
}

const NOW: Span = Span::from_millis(0);

fn drawn<const N: usize>(bytes: &[u8]) -> Result<Entropy<N>, Refusal> {
    let bytes: &[u8; N] = bytes.try_into().map_err(|_| Refusal::of("entropy"))?;
    Ok(Entropy::from_recorded(*bytes))
}

fn put_memory(keys: &OwnKeys, tokens: &Tokens, memory: &NativeMemory, reply: &mut Reply<'_>) {
    let (grant, token) = tokens.stored();
    let kind = match memory {
        NativeMemory::Blank => Kind::KeepBlank,
        NativeMemory::Asked { .. } | NativeMemory::Paired(_) => Kind::Keep,
    };
    let written = Stored::new(keys, *memory, grant, token).write(reply.room());
    reply.add(kind, written);
}

/// Writes the effects as records. Reports follow storing: the owner may close the page once it is
/// told that the node is paired.
fn carry_out(
    effects: Effects<Effect<'_>>,
    (memory, keys): (&NativeMemory, &OwnKeys),
    tokens: &mut Tokens,
    keeping: &mut bool,
    reply: &mut Reply<'_>,
) {
    let mut told: heapless::Vec<_, { handfast_core::MAX_EFFECTS }> = heapless::Vec::new();
    // Reports follow storing, so that nothing is reported that could still be lost.
    let keeps = effects.iter().any(|effect| matches!(effect, Effect::Keep));
    let mut unusable = false;
    for effect in effects {
        match effect {
            Effect::Connect => reply.bytes(Kind::Connect, &[]),
            Effect::Send(frame) => reply.bytes(Kind::Send, &[frame]),
            Effect::Close(close) => {
                let code = close.code.to_le_bytes();
                reply.bytes(Kind::Close, &[&code, close.reason.as_bytes()]);
            }
            Effect::Part(part) => tokens.part(&part),
            Effect::Chain(bytes) => tokens.complete(bytes),
            Effect::Keep => {
                unusable = !tokens.settle(memory, keys);
                put_memory(keys, tokens, memory, reply);
                *keeping = true;
            }
            Effect::Bearer(token) => reply.object(Kind::Event, |object| {
                object.text("event", "bearer").text("token", token.expose())
            }),
            Effect::App(App { action, address, bytes }) => {
                let address = address.as_str().as_bytes();
                let action = match action {
                    Action::Read => 0,
                    Action::Write => 1,
                    Action::Admin => 2,
                };
                // An address has at most 128 bytes.
                let head = [action, address.len().to_le_bytes()[0]];
                reply.bytes(Kind::App, &[&head, address, bytes.as_bytes()]);
            }
            Effect::Tell(event) if keeps => {
                // There are no more reports than effects.
                let _ = told.push(event);
            }
            Effect::Tell(event) => event::tell(&event, reply),
            // A page has no multicast, so this node never looks for its gateway. It offers no
            // capability, so core answers dispatches itself; and it asks for no certificate.
            Effect::Dispatch(_)
            | Effect::Cancel(_)
            | Effect::Query(..)
            | Effect::Certificate
            | Effect::CertificateKey(_)
            | Effect::Search(_)
            | Effect::ConnectFound(_)
            | Effect::KeepFound
            | Effect::KeepAddresses(_)
            | Effect::Time(_) => {}
        }
    }
    for event in &told {
        event::tell(event, reply);
    }
    if unusable {
        reply.event("token_unusable");
    }
}

/// Tells the node's keys, state and rights.
fn describe(machine: &Node, keys: &OwnKeys, tokens: &Tokens, reply: &mut Reply<'_>) {
    let own = Fingerprint::of(keys.channel.public());
    reply.object(Kind::Event, |object| {
        let object = object
            .text("event", "described")
            .text("state", machine.state_name())
            .boolean("linked", Some(machine.is_linked()));
        let object = with_fingerprint(object, "fingerprint", &own);
        let object = match machine.memory() {
            NativeMemory::Blank => object,
            NativeMemory::Asked { gateway } => {
                with_fingerprint(object, "gateway", &Fingerprint::of(gateway))
            }
            NativeMemory::Paired(paired) => {
                let gateway = Fingerprint::of(&paired.gateway);
                with_fingerprint(object, "gateway", &gateway)
                    .text("node_id", paired.node_id.text().as_str())
            }
        };
        tokens.describe(object)
    });
}
