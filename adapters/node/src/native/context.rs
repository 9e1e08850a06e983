//! The values that the inputs of a node of the native wire are made of.

use std::sync::Arc;

use getrandom::SysRng;
use handfast_core::crypto::keys::OwnKeys;
use handfast_core::crypto::noise::HandshakeHash;
use handfast_core::flow::native::node::{CertificateWish, Input, NodeIdentity, PairMethod};
use handfast_core::limits::NATIVE_SETUP_SCRATCH;
use handfast_core::wire::native::Payload;
use handfast_core::wire::native::link::{App, DispatchResult, Renew};
use handfast_core::wire::native::pair::{AskedScopes, BootstrapToken, Csr};
use handfast_core::wire::path::{Address, Pattern};
use handfast_core::wire::registration::{PairRequest, Profile};
use handfast_core::{Entropy, Name};
use zeroize::Zeroizing;

use super::effects::{NativeEffects, NativeKept};
use super::event::AppMessage;
use super::owner::Renewable;
use super::request::{
    Announcement, NativeOwnerCommand, NativeRequest, TaskAnswer, TaskOutcome, TaskProgress,
};
use crate::driver::{FlowContext, Occurrence, StepInput};
use crate::event::Vitals;

/// The node's keys and description, its readings, and the buffers of a step.
pub(super) struct NativeContext {
    keys: Arc<OwnKeys>,
    name: Name,
    room: Name,
    profile: String,
    /// The certificate request, if the node wants a certificate.
    csr: Option<Vec<u8>>,
    /// `true` if the node has capabilities, so that it takes dispatches.
    dispatch: bool,
    vitals: Vitals,
    /// The bootstrap token of the setup code for the pairing.
    setup: Option<Zeroizing<String>>,
    borrowed: Borrowed,
    /// Wiped after every step: the plaintext of a sealed message was in it.
    scratch: Zeroizing<[u8; NATIVE_SETUP_SCRATCH]>,
}

/// What the input of the present step borrows.
#[derive(Default)]
struct Borrowed {
    noise: Option<String>,
    /// A frame, which is decrypted in place.
    frame: Option<Zeroizing<Vec<u8>>>,
    message: Option<AppMessage>,
    pattern: Option<String>,
    announcement: Option<Announcement>,
    outcome: Option<TaskOutcome>,
    progress: Option<TaskProgress>,
    answer: Option<TaskAnswer>,
}

impl NativeContext {
    pub(super) fn new(
        keys: Arc<OwnKeys>,
        name: Name,
        room: Name,
        profile: String,
        csr: Option<Vec<u8>>,
        dispatch: bool,
    ) -> Self {
        Self {
            keys,
            name,
            room,
            profile,
            csr,
            dispatch,
            setup: None,
            vitals: Vitals::default(),
            borrowed: Borrowed::default(),
            scratch: Zeroizing::new([0; NATIVE_SETUP_SCRATCH]),
        }
    }
}

impl FlowContext<NativeEffects> for NativeContext {
    fn input<'b>(
        &'b mut self,
        occurrence: Occurrence<NativeEffects>,
    ) -> Result<Option<StepInput<'b, NativeEffects>>, getrandom::Error> {
        let Self { keys, name, room, profile, csr, dispatch, vitals, setup, borrowed, scratch } =
            self;
        match &occurrence {
            Occurrence::Request(NativeRequest::Owner(NativeOwnerCommand::Setup(token, _))) => {
                *setup = Some(token.clone());
            }
            Occurrence::Request(
                NativeRequest::NextCertificate(next) | NativeRequest::RenewCertificate(next),
            ) => *csr = Some(next.clone()),
            Occurrence::Tick
            | Occurrence::Connected(_)
            | Occurrence::Frame(_)
            | Occurrence::Disconnected
            | Occurrence::Kept(_)
            | Occurrence::Request(_) => {}
        }
        let csr = csr.as_deref().and_then(Csr::new);
        let own = NodeIdentity {
            keys,
            about: PairRequest {
                name: name.label(),
                room: room.label(),
                // The profile was checked when the node was made.
                profile: Profile::parse(profile).unwrap_or(Profile::EMPTY),
            },
            setup: setup.as_deref().and_then(|token| BootstrapToken::new(token.as_str())),
            wants: AskedScopes::NONE,
            certificate: csr.map_or(CertificateWish::None, CertificateWish::X509),
            dispatch: *dispatch,
        };
        let input = match occurrence {
            Occurrence::Tick => {
                borrowed.noise = vitals.noise();
                Input::Tick(vitals.heartbeat(borrowed.noise.as_deref()))
            }
            Occurrence::Connected(None) => Input::Connected(Entropy::try_draw(&mut SysRng)?, own),
            Occurrence::Connected(Some(channel)) => Input::ConnectedTls {
                exporter: HandshakeHash::from_recorded(channel.exporter),
                // A link over TLS is opened with a certificate alone.
                certified: true,
                own,
            },
            Occurrence::Frame(bytes) => {
                let bytes = borrowed.frame.insert(Zeroizing::new(bytes));
                Input::Frame { bytes, entropy: Entropy::try_draw(&mut SysRng)?, own }
            }
            Occurrence::Disconnected => Input::Disconnected(Entropy::try_draw(&mut SysRng)?),
            Occurrence::Kept(NativeKept::All) => Input::Kept,
            Occurrence::Kept(NativeKept::WithoutCertificate) => Input::KeptWithout,
            Occurrence::Request(NativeRequest::Owner(command)) => match command {
                NativeOwnerCommand::Pair(method, expect) => Input::Pair(method, expect),
                NativeOwnerCommand::Setup(_, gateway) => {
                    Input::Pair(PairMethod::Setup, Some(gateway))
                }
                NativeOwnerCommand::Code(code) => {
                    Input::CodeEntered(code, Entropy::try_draw(&mut SysRng)?, own)
                }
                NativeOwnerCommand::App(message) => {
                    let message = borrowed.message.insert(message);
                    match (Address::parse(&message.address), Payload::new(&message.bytes)) {
                        (Ok(address), Some(bytes)) => {
                            Input::App(App { action: message.action, address, bytes })
                        }
                        // The owner's handle has checked the message already.
                        (Err(_), _) | (_, None) => return Ok(None),
                    }
                }
                NativeOwnerCommand::Subscribe(text) => {
                    match Pattern::parse(borrowed.pattern.insert(text)) {
                        Ok(pattern) => Input::Subscribe(pattern),
                        // The owner's handle has checked the pattern already.
                        Err(_) => return Ok(None),
                    }
                }
                NativeOwnerCommand::Renew(Renewable::Chain) => Input::Renew(Renew::Chain),
                NativeOwnerCommand::Renew(Renewable::Bearer) => Input::Renew(Renew::Token),
                NativeOwnerCommand::Forget => Input::Forget,
                // New readings need no step; the next heartbeat has them.
                NativeOwnerCommand::Vitals(readings) => {
                    *vitals = readings;
                    return Ok(None);
                }
            },
            Occurrence::Request(NativeRequest::NextCertificate(_)) => return Ok(None),
            Occurrence::Request(NativeRequest::RenewCertificate(_)) => Input::RenewCertificate(own),
            Occurrence::Request(NativeRequest::Redial) => Input::Redial,
            Occurrence::Request(NativeRequest::Found(count)) => {
                Input::Found(count, Entropy::try_draw(&mut SysRng)?)
            }
            Occurrence::Request(NativeRequest::Announce(announcement)) => {
                let announcement = borrowed.announcement.insert(announcement);
                match announcement.message() {
                    Some(message) => Input::Announce(message),
                    // What is registered was checked.
                    None => return Ok(None),
                }
            }
            Occurrence::Request(NativeRequest::Outcome(id, outcome)) => {
                let outcome = borrowed.outcome.insert(outcome).message();
                Input::Outcome(DispatchResult { id, outcome })
            }
            Occurrence::Request(NativeRequest::Progress(progress)) => {
                Input::Progress(borrowed.progress.insert(progress).message())
            }
            Occurrence::Request(NativeRequest::Answer(answer)) => {
                Input::Answer(borrowed.answer.insert(answer).message())
            }
        };
        Ok(Some((input, scratch.as_mut_slice())))
    }

    fn wipe(&mut self) {
        self.borrowed = Borrowed::default();
        self.scratch.fill(0);
    }
}
