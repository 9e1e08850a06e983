//! Conversion between owned values and core's borrowed inputs and effects.

use std::sync::Arc;

use getrandom::SysRng;
use handfast_core::crypto::code::Code;
use handfast_core::crypto::fingerprint::Fingerprint;
use handfast_core::crypto::keys::OwnKeys;
use handfast_core::flow::native::node::{
    Effect, Input, NativeMemory, Node, NodeIdentity, PairMethod,
};
use handfast_core::limits::{CHAIN_BYTES, NATIVE_SETUP_SCRATCH};
use handfast_core::wire::close::Close;
use handfast_core::wire::native::Payload;
use handfast_core::wire::native::link::{App, Renew};
use handfast_core::wire::native::pair::BootstrapToken;
use handfast_core::wire::native::part::{Assembled, Assembly, Object, Part};
use handfast_core::wire::path::{Address, Pattern};
use handfast_core::wire::registration::{PairRequest, Profile};
use handfast_core::{Entropy, Instant, Machine, Name};
use zeroize::Zeroizing;

use super::event::{AppMessage, NativeEvent};
use super::owner::Renewable;
use crate::event::Vitals;

/// An owned input of the state machine.
pub(super) enum NativeNodeInput {
    Tick,
    Connected,
    Frame(Vec<u8>),
    Disconnected,
    Kept(NativeMemory),
    Pair(PairMethod, Option<Fingerprint>),
    Code(Code),
    App(AppMessage),
    Subscribe(String),
    Renew(Renewable),
    Forget,
}

/// An owned effect of the state machine. It borrows nothing from the step, so it can be carried out
/// across awaits.
pub(super) enum NativeNodeAction {
    Connect,
    Send(Vec<u8>),
    Close(Close),
    /// Stores the memory, with its capability token if a new one came.
    Keep(NativeMemory, Option<Vec<u8>>),
    Tell(NativeEvent),
}

/// The values that a step reads besides its input, and the token that arrives in parts over several
/// steps.
pub(super) struct NativeStepContext {
    keys: Arc<OwnKeys>,
    name: Name,
    room: Name,
    profile: String,
    pub(super) vitals: Vitals,
    /// The bootstrap token of the setup code for the pairing.
    pub(super) setup: Option<Zeroizing<String>>,
    chain: IncomingToken,
    /// Wiped after every step: the plaintext of a sealed message was in it.
    scratch: Zeroizing<[u8; NATIVE_SETUP_SCRATCH]>,
}

/// A capability token that is being received.
struct IncomingToken {
    assembly: Assembly,
    buffer: Box<[u8; CHAIN_BYTES]>,
    whole: Option<Vec<u8>>,
    /// The token that belongs to the next stored memory.
    next: Option<Vec<u8>>,
}

impl IncomingToken {
    fn part(&mut self, part: &Part<'_>) {
        if part.object() != Object::Chain {
            return;
        }
        let assembly = std::mem::take(&mut self.assembly);
        match assembly.take(part, &mut self.buffer[..]) {
            Ok(Assembled::More(assembly)) => self.assembly = assembly,
            Ok(Assembled::Whole { bytes, .. }) => self.whole = Some(bytes.to_vec()),
            Err(why) => tracing::warn!(
                ?why,
                "a part of a token came out of place; what came of that token is dropped"
            ),
        }
    }
}

impl NativeStepContext {
    pub(super) fn new(keys: Arc<OwnKeys>, name: Name, room: Name, profile: String) -> Self {
        let buffer = Box::new([0; CHAIN_BYTES]);
        let chain = IncomingToken { assembly: Assembly::IDLE, buffer, whole: None, next: None };
        Self {
            keys,
            name,
            room,
            profile,
            setup: None,
            vitals: Vitals::default(),
            chain,
            scratch: Zeroizing::new([0; NATIVE_SETUP_SCRATCH]),
        }
    }

    /// Performs one step.
    ///
    /// # Errors
    /// [`getrandom::Error`] if the operating system gives no random bytes.
    pub(super) fn step(
        &mut self,
        node: &mut Node,
        now: Instant,
        fed: NativeNodeInput,
    ) -> Result<Vec<NativeNodeAction>, getrandom::Error> {
        let Self { keys, name, room, profile, setup, vitals, chain, scratch } = self;
        let profile = Profile::parse(profile).unwrap_or(Profile::EMPTY);
        let setup = setup.as_deref().and_then(|token| BootstrapToken::new(token.as_str()));
        let own = NodeIdentity {
            keys,
            about: PairRequest { name: name.label(), room: room.label(), profile },
            setup,
        };
        let noise = vitals.noise();
        let (mut frame, message, pattern);
        let input = match fed {
            NativeNodeInput::Tick => Input::Tick(vitals.heartbeat(noise.as_deref())),
            NativeNodeInput::Connected => {
                // Parts from an earlier connection are never continued on a new one.
                chain.assembly = Assembly::IDLE;
                chain.whole = None;
                Input::Connected(Entropy::try_draw(&mut SysRng)?, own)
            }
            NativeNodeInput::Frame(bytes) => {
                // The frame is decrypted in place, so it is wiped afterwards.
                frame = Zeroizing::new(bytes);
                Input::Frame { bytes: &mut frame, entropy: Entropy::try_draw(&mut SysRng)?, own }
            }
            NativeNodeInput::Disconnected => Input::Disconnected(Entropy::try_draw(&mut SysRng)?),
            NativeNodeInput::Kept(memory) => Input::Kept(memory),
            NativeNodeInput::Pair(wish, expect) => Input::Pair(wish, expect),
            NativeNodeInput::Code(code) => {
                Input::CodeEntered(code, Entropy::try_draw(&mut SysRng)?, own)
            }
            NativeNodeInput::App(app) => {
                message = app;
                match (Address::parse(&message.address), Payload::new(&message.bytes)) {
                    (Ok(address), Some(bytes)) => {
                        Input::App(App { action: message.action, address, bytes })
                    }
                    // The owner's handle has checked the message already.
                    (Err(_), _) | (_, None) => return Ok(Vec::new()),
                }
            }
            NativeNodeInput::Subscribe(text) => {
                pattern = text;
                match Pattern::parse(&pattern) {
                    Ok(pattern) => Input::Subscribe(pattern),
                    Err(_) => return Ok(Vec::new()),
                }
            }
            NativeNodeInput::Renew(Renewable::Chain) => Input::Renew(Renew::Chain),
            NativeNodeInput::Renew(Renewable::Bearer) => Input::Renew(Renew::Token),
            NativeNodeInput::Forget => Input::Forget,
        };
        let effects = node.step(now, input, scratch.as_mut_slice());
        let actions = effects.into_iter().filter_map(|effect| action(effect, chain)).collect();
        scratch.fill(0);
        Ok(actions)
    }
}

fn action(effect: Effect<'_>, chain: &mut IncomingToken) -> Option<NativeNodeAction> {
    match effect {
        Effect::Connect => Some(NativeNodeAction::Connect),
        Effect::Send(frame) => Some(NativeNodeAction::Send(frame.to_vec())),
        Effect::Close(close) => Some(NativeNodeAction::Close(close)),
        Effect::Part(part) => {
            chain.part(&part);
            None
        }
        // The token is stored together with the memory of the effect that follows.
        Effect::Chain(bytes) => {
            // A short token is in the message itself; a long one came in parts before it.
            chain.next = bytes.map(<[u8]>::to_vec).or_else(|| chain.whole.take());
            None
        }
        Effect::Keep(memory) => Some(NativeNodeAction::Keep(memory, chain.next.take())),
        Effect::Bearer(token) => Some(NativeNodeAction::Tell(NativeEvent::Bearer(Arc::new(token)))),
        Effect::App(App { action, address, bytes }) => {
            Some(NativeNodeAction::Tell(NativeEvent::App(AppMessage {
                action,
                address: address.as_str().to_owned(),
                bytes: bytes.as_bytes().to_vec(),
            })))
        }
        Effect::Tell(news) => Some(NativeNodeAction::Tell(NativeEvent::of(news))),
    }
}
