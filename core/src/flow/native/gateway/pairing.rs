//! The pairing of one node, on a sealed channel.
//!
//! ```text
//! AwaitAsk ─▶ Preparing ─┬─ code ──▶ AwaitYa ─▶ AwaitTa ─▶ Reserving ─right─▶ Spending ─▶ Settling
//!                        │              ▲─────── wrong, some left ──┘
//!                        ├─ setup ─▶ AwaitSetup ── verified ──▶ Settling
//!                        └─ none ──▶ Settling
//!
//! Settling ─┬─ waits ───▶ Waiting ─decided─▶ Settling
//!           ├─ offered, a certificate is wanted ─▶ Issuing ─sent─▶ Settling
//!           └─ offered ─▶ AwaitStored ─▶ Activating
//! ```
//! A certificate is issued once the node is granted something, and sent ahead of the grant, which
//! is then settled once more: the same one is offered again.
//!
//! A tag is compared only after its guess is counted. Where there is a code, nothing is granted
//! before `Tb` has been sent.
//!
//! A refusal must not tell strangers which codes exist:
//!
//! | the peer | is told |
//! |---|---|
//! | has a PIN of its own shown | wrong, with the guesses left; expired or withdrawn; locked; closed |
//! | names a selector of a live code | wrong, with the guesses left; locked |
//! | names any other selector: unknown, spent, expired, withdrawn | the same, over nobody's code |
//! | proved a code that ended while it was proven | expired |

mod answer;
mod frame;
mod guess;

use super::{
    Confirmation, Effect, Input, NativeRequest, PairVerdict, Proof, Turn, close, end, stay,
};
use crate::crypto::code::Code;
use crate::crypto::cpace::{self, AwaitingTa, Tag};
use crate::limits::Limits;
use crate::link::channel::{Channel, OutgoingBuffer};
use crate::registry::codes::CodeId;
use crate::registry::grants::GrantId;
use crate::registry::lifecycle::Notice;
use crate::time::{DeadlineReason, Instant, Span};
use crate::wire::close::Close;
use crate::wire::native::pair::{PairFromGateway, PairRefusal};
use crate::wire::native::signer::SignerKey;
use crate::wire::native::{Features, pair};
use answer::{on_issued, on_prepared, on_settled};
use frame::on_frame;
use guess::{no_guess, on_reserved};

#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(super) struct Pairing {
    channel: Channel,
    until: Instant,
    /// The messages that the node takes.
    features: Features,
    certificate: CertificateState,
    /// `true` until the gateway's name was asked for.
    name_due: bool,
    stage: PairingStage,
}

/// The progress of the node's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
enum CertificateState {
    /// The node wants none, or gets none.
    None,
    /// A certificate is issued once the node is granted something. A compact one is verified by
    /// this key of the gateway.
    Wanted(Option<SignerKey>),
    /// The certificate with this number was sent.
    Sent(u64),
}

/// A code that is proven on one connection.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
struct HeldCode {
    id: Option<CodeId>,
    code: Code,
    method: cpace::CodeOrigin,
    /// The number of wrong guesses on this connection. It makes nobody's code run out like a real
    /// one.
    wrong: u8,
}

#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
enum PairingStage {
    AwaitAsk,
    Preparing {
        method: pair::Method,
    },
    AwaitSetup,
    AwaitYa {
        held: HeldCode,
    },
    AwaitTa {
        held: HeldCode,
        cpace: AwaitingTa,
    },
    Reserving {
        held: HeldCode,
        cpace: AwaitingTa,
        tag: Tag,
    },
    Spending {
        id: CodeId,
        confirmed: cpace::Confirmed,
        answer: Tag,
    },
    /// `decided`: the operator has decided meanwhile, so a verdict of `Waits` may be older than the
    /// decision.
    Settling {
        decided: bool,
    },
    Waiting,
    Issuing,
    AwaitStored {
        grant: GrantId,
    },
    Activating {
        grant: GrantId,
    },
}

const SETTLING: PairingStage = PairingStage::Settling { decided: false };

impl Pairing {
    pub(super) const fn opened(channel: Channel, until: Instant) -> Self {
        Self {
            channel,
            until,
            features: Features::NONE,
            certificate: CertificateState::None,
            name_due: true,
            stage: PairingStage::AwaitAsk,
        }
    }

    pub(super) const fn channel(&self) -> &Channel {
        &self.channel
    }

    pub(super) const fn awaits_answer(&self) -> bool {
        match &self.stage {
            PairingStage::Preparing { .. }
            | PairingStage::Reserving { .. }
            | PairingStage::Spending { .. }
            | PairingStage::Settling { .. }
            | PairingStage::Issuing
            | PairingStage::Activating { .. } => true,
            PairingStage::AwaitAsk
            | PairingStage::AwaitSetup
            | PairingStage::AwaitYa { .. }
            | PairingStage::AwaitTa { .. }
            | PairingStage::Waiting
            | PairingStage::AwaitStored { .. } => false,
        }
    }

    /// Returns `true` also while a code is due: a peer that stalls and one whose owner types look
    /// the same.
    pub(super) const fn waits_for_person(&self) -> bool {
        matches!(
            self.stage,
            PairingStage::Waiting | PairingStage::AwaitYa { .. } | PairingStage::AwaitTa { .. }
        )
    }

    /// Returns `true` if the peer has shown nothing yet and owes its next message.
    pub(super) const fn stalls(&self) -> bool {
        matches!(self.stage, PairingStage::AwaitAsk | PairingStage::AwaitSetup)
    }

    pub(super) const fn name(&self) -> &'static str {
        match &self.stage {
            PairingStage::AwaitAsk => "AwaitAsk",
            PairingStage::Preparing { .. } => "Preparing",
            PairingStage::AwaitSetup => "AwaitSetup",
            PairingStage::AwaitYa { .. } => "AwaitYa",
            PairingStage::AwaitTa { .. } => "AwaitTa",
            PairingStage::Reserving { .. } => "Reserving",
            PairingStage::Spending { .. } => "Spending",
            PairingStage::Settling { .. } => "Settling",
            PairingStage::Waiting => "Waiting",
            PairingStage::Issuing => "Issuing",
            PairingStage::AwaitStored { .. } => "AwaitStored",
            PairingStage::Activating { .. } => "Activating",
        }
    }

    pub(super) const fn deadline(&self) -> Option<(Instant, DeadlineReason)> {
        // While the adapter's answer is due, the delay is not the peer's.
        if self.awaits_answer() { None } else { Some((self.until, DeadlineReason::Answer)) }
    }

    fn enter<'b, const N: usize>(
        &mut self,
        stage: PairingStage,
        effects: [Effect<'b>; N],
    ) -> Turn<'b> {
        self.stage = stage;
        stay(effects)
    }

    /// Takes the request for the gateway's name, if the node takes it and has none.
    fn take_name<'b>(&mut self) -> Option<Effect<'b>> {
        let due = core::mem::take(&mut self.name_due) && self.features.contains(Features::NAME);
        due.then_some(NativeRequest::Name.into())
    }
}

pub(super) fn step<'b>(
    pairing: &mut Pairing,
    now: Instant,
    limits: &Limits,
    input: Input<'b>,
    scratch: &'b mut [u8],
) -> Turn<'b> {
    let mut out = OutgoingBuffer::new(scratch);
    // `SETTLING` is only a placeholder: every arm below enters a stage or ends the connection.
    let stage = core::mem::replace(&mut pairing.stage, SETTLING);
    match (stage, input) {
        (_, Input::Closed) => end([]),
        (_, Input::Shutdown) => close(Close::SHUTTING_DOWN),
        (_, Input::StoreFailed) => refuse(pairing, &ours(crate::error::Refusal::StoreFailed), out),
        // A node that waits for a person may come back: the same key finds the same request.
        (
            PairingStage::Waiting | PairingStage::AwaitYa { .. } | PairingStage::AwaitTa { .. },
            Input::Evict,
        ) => refuse(pairing, &PairRefusal::Busy { retry_in: RETRY }, out),
        // The peer has proven nothing yet, so only the close code says why.
        (PairingStage::AwaitAsk | PairingStage::AwaitSetup, Input::Evict) => {
            close(Close::AT_CAPACITY)
        }

        (PairingStage::AwaitAsk | PairingStage::AwaitSetup, Input::Tick(_))
            if pairing.until <= now =>
        {
            close(Close::AUTHENTICATION_TIMEOUT)
        }
        // The offer stays: a node that stored it links with it, which confirms it as well.
        (PairingStage::AwaitStored { .. }, Input::Tick(_)) if pairing.until <= now => {
            close(Close::AUTHENTICATION_TIMEOUT)
        }
        (
            PairingStage::AwaitYa { .. } | PairingStage::AwaitTa { .. } | PairingStage::Waiting,
            Input::Tick(_),
        ) if pairing.until <= now => refuse(pairing, &PairRefusal::Expired, out),

        (
            stage @ (PairingStage::AwaitAsk
            | PairingStage::AwaitSetup
            | PairingStage::AwaitYa { .. }
            | PairingStage::AwaitTa { .. }
            | PairingStage::Waiting
            | PairingStage::AwaitStored { .. }),
            Input::Frame { bytes, entropy, around },
        ) => on_frame(pairing, stage, bytes, &entropy, &around, out),

        (PairingStage::Preparing { method }, Input::Prepared(prepared)) => {
            on_prepared(pairing, now, limits, method, prepared, out)
        }
        (PairingStage::Reserving { held, cpace, tag }, Input::Reserved(reserved)) => {
            on_reserved(pairing, now, held, cpace, &tag, reserved, out)
        }
        (PairingStage::Spending { id, confirmed, answer }, Input::Spent(outcome)) => {
            match outcome {
                // `Tb` leaves only once the code is spent durably, so no code pairs two nodes.
                Ok(true) => match pairing.channel.seal(&PairFromGateway::Tb(answer), &mut out) {
                    Some(frame) => {
                        let settle = Effect::Settle(Proof::Code(id, confirmed));
                        pairing.enter(
                            SETTLING,
                            [NativeRequest::Refund.into(), Effect::Send(frame), settle],
                        )
                    }
                    None => close(Close::INTERNAL),
                },
                // Another node spent the code first.
                Ok(false) => refuse(pairing, &PairRefusal::Expired, out),
                Err(refusal) => refuse(pairing, &ours(refusal), out),
            }
        }
        // Only a node whose own PIN is shown is told that it has ended. A code is not named before
        // it is proven, so that unknown selectors and those of ended codes look alike.
        (
            PairingStage::AwaitYa { held } | PairingStage::AwaitTa { held, .. },
            Input::Push(Notice::PinEnded(no)),
        ) if held.method == cpace::CodeOrigin::Pin => refuse(pairing, &no_guess(no), out),
        // The settling that is in progress may have read the registry before this decision.
        (PairingStage::Settling { .. }, Input::Push(Notice::Decided)) => {
            pairing.enter(PairingStage::Settling { decided: true }, [])
        }
        (PairingStage::Settling { decided: true }, Input::Settled(PairVerdict::Waits { .. }))
        | (PairingStage::Waiting, Input::Push(Notice::Decided)) => {
            pairing.enter(SETTLING, [Effect::Settle(Proof::Nothing)])
        }
        (PairingStage::Settling { .. }, Input::Settled(verdict)) => {
            on_settled(pairing, now, limits, verdict, out)
        }
        (PairingStage::Issuing, Input::Issued(issued)) => on_issued(pairing, issued, out),
        // The node trusts this channel by now, so the name is no stranger's.
        (stage @ (PairingStage::Waiting | PairingStage::AwaitStored { .. }), Input::Name(name))
            if pairing.features.contains(Features::NAME) =>
        {
            match pairing.channel.seal(&PairFromGateway::Name(name), &mut out) {
                Some(frame) => pairing.enter(stage, [Effect::Send(frame)]),
                None => close(Close::INTERNAL),
            }
        }
        (PairingStage::Activating { grant }, Input::Activated(outcome, _)) => {
            let (message, reason) = match outcome {
                Ok(Confirmation::Active(_)) => (PairFromGateway::Active(grant), Close::GOODBYE),
                Ok(Confirmation::NotThere) => {
                    (PairFromGateway::NotPaired, Close::AUTHENTICATION_FAILED)
                }
                Err(refusal) => (PairFromGateway::Refused(ours(refusal)), Close::INTERNAL),
            };
            last_words(pairing, &message, reason, out)
        }

        // Late answers and notices that do not concern a pairing change nothing.
        (
            stage @ (PairingStage::AwaitAsk
            | PairingStage::Preparing { .. }
            | PairingStage::AwaitSetup
            | PairingStage::AwaitYa { .. }
            | PairingStage::AwaitTa { .. }
            | PairingStage::Reserving { .. }
            | PairingStage::Spending { .. }
            | PairingStage::Settling { .. }
            | PairingStage::Waiting
            | PairingStage::Issuing
            | PairingStage::AwaitStored { .. }
            | PairingStage::Activating { .. }),
            Input::Frame { .. }
            | Input::Repeated
            | Input::Found(..)
            | Input::Entered(_)
            | Input::Attached(..)
            | Input::Prepared(_)
            | Input::Reserved(_)
            | Input::Spent(_)
            | Input::Settled(_)
            | Input::Activated(..)
            | Input::Presented(..)
            | Input::Renewed(_)
            | Input::Issued(_)
            | Input::Name(_)
            | Input::Addresses(_)
            | Input::Dispatch(..)
            | Input::Cancel(_)
            | Input::Query(..)
            | Input::Bounded { .. }
            | Input::Unsubscribed(_)
            | Input::Deliver(..)
            | Input::Ping(_)
            | Input::Push(_)
            | Input::Tick(_)
            | Input::Evict,
        ) => pairing.enter(stage, []),
    }
}

/// The refusal for a fault of the gateway.
const fn ours(refusal: crate::error::Refusal) -> PairRefusal<'static> {
    match refusal {
        crate::error::Refusal::StoreFailed => PairRefusal::CannotStore { retry_in: RETRY },
        crate::error::Refusal::InvalidCredentials
        | crate::error::Refusal::NotApproved
        | crate::error::Refusal::Muted
        | crate::error::Refusal::AlreadyPaired
        | crate::error::Refusal::Revoked
        | crate::error::Refusal::NotPaired
        | crate::error::Refusal::NoToken
        | crate::error::Refusal::Expired
        | crate::error::Refusal::Rejected { .. }
        | crate::error::Refusal::Barred
        | crate::error::Refusal::TooManyPending
        | crate::error::Refusal::RateLimited
        | crate::error::Refusal::ClockInDoubt
        | crate::error::Refusal::AtCapacity => PairRefusal::Busy { retry_in: RETRY },
    }
}

/// The time that a person has to type another code after a wrong one.
const TYPING: Span = Span::from_secs(300);
/// The delay in seconds before the node tries again after a fault of the gateway.
const RETRY: u32 = 5;

fn refuse<'b>(
    pairing: &mut Pairing,
    refusal: &PairRefusal<'_>,
    out: OutgoingBuffer<'b>,
) -> Turn<'b> {
    last_words(pairing, &PairFromGateway::Refused(*refusal), Close::AUTHENTICATION_FAILED, out)
}

fn last_words<'b>(
    pairing: &mut Pairing,
    message: &PairFromGateway<'_>,
    reason: Close,
    mut out: OutgoingBuffer<'b>,
) -> Turn<'b> {
    match pairing.channel.seal(message, &mut out) {
        Some(frame) => end([Effect::Send(frame), Effect::Close(reason)]),
        None => close(Close::INTERNAL),
    }
}
