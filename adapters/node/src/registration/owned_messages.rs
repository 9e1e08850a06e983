//! Conversion between owned values and core's borrowed inputs and effects.

use getrandom::SysRng;
use handfast_core::flow::registration::node::{
    Effect, Input, RegistrationMemory, RegistrationNode,
};
use handfast_core::limits::{PROFILE_BYTES, SCRATCH};
use handfast_core::wire::close::Close;
use handfast_core::wire::registration::{PairRequest, Profile};
use handfast_core::wire::token::Token;
use handfast_core::{Entropy, Instant, Machine};
use tokio_tungstenite::tungstenite::Utf8Bytes;
use zeroize::Zeroizing;

use crate::event::{RegistrationEvent, Vitals};
use crate::registration::record::Identity;

/// An owned input of the state machine.
pub(crate) enum RegistrationNodeInput {
    Tick,
    Connected,
    Text(Utf8Bytes),
    Disconnected,
    Kept(RegistrationMemory),
    Token(Token),
    AskAgain,
    Forget,
}

/// An owned effect of the state machine. It borrows nothing from the step, so it can be carried out
/// across awaits.
pub(crate) enum RegistrationNodeAction {
    Connect,
    Send(Utf8Bytes),
    Close(Close),
    Keep(RegistrationMemory),
    Tell(RegistrationEvent),
}

impl From<Effect<'_>> for RegistrationNodeAction {
    fn from(effect: Effect<'_>) -> Self {
        match effect {
            Effect::Connect => Self::Connect,
            Effect::Send(text) => Self::Send(text.into()),
            Effect::Close(close) => Self::Close(close),
            Effect::Keep(memory) => Self::Keep(memory),
            Effect::Tell(news) => Self::Tell(news.into()),
        }
    }
}

/// The values that a step reads besides its input.
pub(crate) struct RegistrationStepContext {
    pub(crate) identity: Identity,
    pub(crate) profile: String,
    pub(crate) vitals: Vitals,
    /// Buffer for one encoded frame: a pairing request holds a whole profile. Wiped after every
    /// step, because it may have held a token.
    scratch: Zeroizing<[u8; SCRATCH + PROFILE_BYTES]>,
}

impl RegistrationStepContext {
    pub(crate) fn new(identity: Identity, profile: String) -> Self {
        Self {
            identity,
            profile,
            vitals: Vitals::default(),
            scratch: Zeroizing::new([0; SCRATCH + PROFILE_BYTES]),
        }
    }

    /// Performs one step.
    ///
    /// # Errors
    /// [`getrandom::Error`] if the operating system gives no random bytes.
    pub(crate) fn step(
        &mut self,
        node: &mut RegistrationNode,
        now: Instant,
        fed: RegistrationNodeInput,
    ) -> Result<Vec<RegistrationNodeAction>, getrandom::Error> {
        let noise = self.vitals.noise();
        let frame;
        let input = match fed {
            RegistrationNodeInput::Tick => Input::Tick(self.vitals.heartbeat(noise.as_deref())),
            RegistrationNodeInput::Connected => Input::Connected(PairRequest {
                name: self.identity.name.label(),
                room: self.identity.room.label(),
                profile: Profile::parse(&self.profile).unwrap_or(Profile::EMPTY),
            }),
            RegistrationNodeInput::Text(text) => {
                frame = text;
                Input::Text(&frame)
            }
            RegistrationNodeInput::Disconnected => {
                Input::Disconnected(Entropy::try_draw(&mut SysRng)?)
            }
            RegistrationNodeInput::Kept(memory) => Input::Kept(memory),
            RegistrationNodeInput::Token(token) => Input::TokenEntered(token),
            RegistrationNodeInput::AskAgain => Input::AskAgain,
            RegistrationNodeInput::Forget => Input::Forget,
        };
        let effects = node.step(now, input, self.scratch.as_mut_slice());
        let actions = effects.into_iter().map(RegistrationNodeAction::from).collect();
        // The sent message may have held the token.
        self.scratch.fill(0);
        Ok(actions)
    }
}
