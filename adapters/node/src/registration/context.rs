//! The values that the inputs of a node without keys are made of.

use getrandom::SysRng;
use handfast_core::Entropy;
use handfast_core::flow::registration::node::Input;
use handfast_core::limits::{PROFILE_BYTES, SCRATCH};
use handfast_core::wire::registration::{PairRequest, Profile};
use tokio_tungstenite::tungstenite::Utf8Bytes;
use zeroize::Zeroizing;

use super::effects::RegistrationEffects;
use crate::driver::{FlowContext, Occurrence, StepInput};
use crate::event::{OwnerCommand, Vitals};
use crate::registration::record::Identity;

/// The node's description, its readings, and the buffers of a step.
pub(super) struct RegistrationContext {
    identity: Identity,
    profile: String,
    vitals: Vitals,
    noise: Option<String>,
    frame: Option<Utf8Bytes>,
    /// Buffer for one encoded frame: a pairing request holds a whole profile. Wiped after every
    /// step, because it may have held a token.
    scratch: Zeroizing<[u8; SCRATCH + PROFILE_BYTES]>,
}

impl RegistrationContext {
    pub(super) fn new(identity: Identity, profile: String) -> Self {
        Self {
            identity,
            profile,
            vitals: Vitals::default(),
            noise: None,
            frame: None,
            scratch: Zeroizing::new([0; SCRATCH + PROFILE_BYTES]),
        }
    }
}

impl FlowContext<RegistrationEffects> for RegistrationContext {
    fn input<'b>(
        &'b mut self,
        occurrence: Occurrence<RegistrationEffects>,
    ) -> Result<Option<StepInput<'b, RegistrationEffects>>, getrandom::Error> {
        let Self { identity, profile, vitals, noise, frame, scratch } = self;
        let input = match occurrence {
            Occurrence::Tick => {
                *noise = vitals.noise();
                Input::Tick(vitals.heartbeat(noise.as_deref()))
            }
            Occurrence::Connected(()) => Input::Connected(PairRequest {
                name: identity.name.label(),
                room: identity.room.label(),
                // The profile was checked when the node was made.
                profile: Profile::parse(profile).unwrap_or(Profile::EMPTY),
            }),
            Occurrence::Frame(text) => Input::Text(frame.insert(text)),
            Occurrence::Disconnected => Input::Disconnected(Entropy::try_draw(&mut SysRng)?),
            Occurrence::Kept(memory) => Input::Kept(memory),
            Occurrence::Request(OwnerCommand::Token(token)) => Input::TokenEntered(token),
            Occurrence::Request(OwnerCommand::AskAgain) => Input::AskAgain,
            Occurrence::Request(OwnerCommand::Forget) => Input::Forget,
            // New readings need no step; the next heartbeat has them.
            Occurrence::Request(OwnerCommand::Vitals(readings)) => {
                *vitals = readings;
                return Ok(None);
            }
        };
        Ok(Some((input, scratch.as_mut_slice())))
    }

    fn wipe(&mut self) {
        self.frame = None;
        self.scratch.fill(0);
    }
}
