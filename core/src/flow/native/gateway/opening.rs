//! The opening of a connection: its intent and the handshake, up to a sealed channel.

mod tls;

use super::link::NativeLink;
use super::pairing::Pairing;
use super::{
    Cost, Effect, FrameContext, Input, LinkPermission, NativeRequest, State, Turn, close, end, stay,
};
use crate::budget::NoPlace;
use crate::crypto::noise::HandshakeHash;
use crate::crypto::noise::{ik, xx};
use crate::crypto::x25519::PublicKey;
use crate::entropy::Entropy;
use crate::error::Refusal;
use crate::id::NodeId;
use crate::limits::{Limits, PROVE_WITHIN};
use crate::link::channel::{Channel, OutgoingBuffer};
use crate::step::Effects;
use crate::time::{DeadlineReason, Instant};
use crate::wire::close::Close;
use crate::wire::native::Features;
use crate::wire::native::link::{ADMITTED_BYTES, Admission, Admitted};
use crate::wire::native::link::{Hello, Identify};
use crate::wire::native::open::{ClearRefusal, Intent, NotOpened, Open, Versions};

#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[allow(clippy::large_enum_variant, reason = "there is no allocator to box a state with")]
pub(super) enum Opening {
    AwaitOpen {
        until: Instant,
    },
    AwaitFirst {
        intent: Intent,
        until: Instant,
    },
    AwaitThird {
        delegate: bool,
        answered: xx::Answered,
        until: Instant,
    },
    Finding {
        responder: ik::Responder,
        /// The gateway's static key with which the node has called.
        called: PublicKey,
        until: Instant,
    },
    Entering {
        responder: ik::Responder,
        called: PublicKey,
        admitted: LinkPermission,
        entropy: Entropy<32>,
        until: Instant,
    },
    /// A connection over TLS awaits its first message; `node` is that of the client certificate.
    AwaitTls {
        node: Option<NodeId>,
        exporter: HandshakeHash,
        until: Instant,
    },
    FindingTls {
        first: TlsFirst,
        exporter: HandshakeHash,
        until: Instant,
    },
}

/// The first message of a connection over TLS.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(super) enum TlsFirst {
    /// Of the node of the client certificate.
    Hello(NodeId, Hello),
    /// Of a node without a certificate.
    Identify(Identify),
}

impl Opening {
    pub(super) const fn accepted(now: Instant, limits: &Limits) -> Self {
        // One deadline covers the whole handshake, so that no message of it gains time.
        Self::AwaitOpen { until: now.after(limits.first_message) }
    }

    pub(super) const fn over_tls(
        now: Instant,
        node: Option<NodeId>,
        exporter: HandshakeHash,
    ) -> Self {
        Self::AwaitTls { node, exporter, until: now.after(PROVE_WITHIN) }
    }

    pub(super) const fn awaits_answer(&self) -> bool {
        match self {
            Self::Finding { .. } | Self::Entering { .. } | Self::FindingTls { .. } => true,
            Self::AwaitOpen { .. }
            | Self::AwaitFirst { .. }
            | Self::AwaitThird { .. }
            | Self::AwaitTls { .. } => false,
        }
    }

    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::AwaitOpen { .. } => "AwaitOpen",
            Self::AwaitFirst { .. } => "AwaitFirst",
            Self::AwaitThird { .. } => "AwaitThird",
            Self::Finding { .. } => "Finding",
            Self::Entering { .. } => "Entering",
            Self::AwaitTls { .. } => "AwaitTls",
            Self::FindingTls { .. } => "FindingTls",
        }
    }

    /// Returns `true` if the peer owes the next message of a handshake that it began.
    pub(super) const fn stalls(&self) -> bool {
        match self {
            Self::AwaitFirst { .. } | Self::AwaitThird { .. } | Self::AwaitTls { .. } => true,
            Self::AwaitOpen { .. }
            | Self::Finding { .. }
            | Self::Entering { .. }
            | Self::FindingTls { .. } => false,
        }
    }

    pub(super) fn cost<'f>(&self, frame: &'f [u8]) -> Cost<'f> {
        match self {
            Self::AwaitFirst { intent: Intent::Link, .. } => Cost::Link(ik::ephemeral(frame)),
            Self::AwaitFirst { intent: Intent::Pair | Intent::Delegate, .. } => Cost::Stranger,
            // TLS was paid for before its first message.
            Self::AwaitOpen { .. }
            | Self::AwaitThird { .. }
            | Self::Finding { .. }
            | Self::Entering { .. }
            | Self::AwaitTls { .. }
            | Self::FindingTls { .. } => Cost::Nothing,
        }
    }

    const fn until(&self) -> Instant {
        match self {
            Self::AwaitTls { until, .. } | Self::FindingTls { until, .. } => *until,
            Self::AwaitOpen { until }
            | Self::AwaitFirst { until, .. }
            | Self::AwaitThird { until, .. }
            | Self::Finding { until, .. }
            | Self::Entering { until, .. } => *until,
        }
    }

    pub(super) const fn deadline(&self) -> Option<(Instant, DeadlineReason)> {
        // While the adapter's answer is due, the delay is not the peer's.
        if self.awaits_answer() { None } else { Some((self.until(), DeadlineReason::FirstMessage)) }
    }

    fn enter<'b, const N: usize>(&mut self, next: Self, effects: [Effect<'b>; N]) -> Turn<'b> {
        *self = next;
        stay(effects)
    }
}

pub(super) fn step<'b>(
    opening: &mut Opening,
    now: Instant,
    limits: &Limits,
    features: Features,
    input: Input<'b>,
    scratch: &'b mut [u8],
) -> Turn<'b> {
    let until = opening.until();
    let out = OutgoingBuffer::new(scratch);
    // Each stage is left by the first input that means anything in it.
    match (core::mem::replace(opening, Opening::AwaitOpen { until }), input) {
        (_, Input::Closed) => end([]),
        (_, Input::Shutdown) => close(Close::SHUTTING_DOWN),
        (_, Input::StoreFailed) => close(Close::INTERNAL),
        (stage, Input::Evict) if !stage.awaits_answer() => close(Close::AT_CAPACITY),
        (stage, Input::Tick(_)) if !stage.awaits_answer() && until <= now => {
            close(Close::AUTHENTICATION_TIMEOUT)
        }

        (Opening::AwaitOpen { .. }, Input::Frame { bytes, .. }) => match Open::parse(bytes) {
            Ok(open) => opening.enter(Opening::AwaitFirst { intent: open.intent(), until }, []),
            Err(NotOpened::Version(_)) => {
                say(&ClearRefusal::Unsupported { versions: Versions::OURS }, out)
            }
            Err(NotOpened::Malformed(_)) => say(&ClearRefusal::Refused, out),
        },
        // This is a replay of a node's message, so nothing of it is read.
        (Opening::AwaitFirst { intent: Intent::Link, .. }, Input::Repeated) => {
            say(&ClearRefusal::Refused, out)
        }
        (Opening::AwaitFirst { intent: Intent::Link, .. }, Input::Frame { bytes, around, .. }) => {
            match read_link(bytes, &around) {
                Some((responder, called)) => {
                    let peer = *responder.peer();
                    opening.enter(
                        Opening::Finding { responder, called, until },
                        [NativeRequest::Find(peer).into()],
                    )
                }
                // A handshake for another key and plain junk look alike here, and get one refusal.
                None => say(&ClearRefusal::Refused, out),
            }
        }
        (Opening::AwaitFirst { intent, .. }, Input::Frame { bytes, entropy, around }) => {
            answer_xx(opening, intent, bytes, &entropy, &around, out)
        }
        (Opening::AwaitThird { delegate, answered, .. }, Input::Frame { bytes, .. }) => {
            match answered.read_third(bytes) {
                Ok((established, _)) => {
                    let channel = Channel::new(established);
                    // The peer has proven that it holds its static key, and gets a fresh deadline
                    // for its first message.
                    let until = now.after(limits.first_message);
                    let next = match delegate {
                        false => State::Pairing(Pairing::opened(channel, until)),
                        true => State::Link(NativeLink::delegates(channel, until)),
                    };
                    Turn::Break((next, Effects::none()))
                }
                // The peer has proven nothing, so only the close code answers it.
                Err(_) => close(Close::PROTOCOL_VIOLATION),
            }
        }
        (Opening::Finding { responder, called, .. }, Input::Found(found, unix, entropy)) => {
            let node = match found {
                Ok(known) => known.and_then(|known| known.admitted(unix, limits)),
                // The node tries another gateway, whether or not this one knows it.
                Err(Refusal::AtCapacity) => return close(Close::AT_CAPACITY),
                // The refusal is the same for every reason, but a fault of the gateway must not say
                // that the node is not paired.
                Err(_) => return say(&ClearRefusal::Refused, out),
            };
            match node {
                Some(admitted) => {
                    let enter =
                        NativeRequest::Enter(*responder.peer(), *responder.ephemeral().as_bytes())
                            .into();
                    let entering =
                        Opening::Entering { responder, called, admitted, entropy, until };
                    opening.enter(entering, [enter])
                }
                // An unknown key gets the same handshake answer, so that a stranger cannot probe
                // for keys.
                None => answer_ik((responder, called), None, features, &entropy, until, out),
            }
        }
        (
            Opening::Entering { responder, called, admitted, entropy, .. },
            Input::Entered(Ok(())),
        ) => {
            // The time runs from the gateway's answer, since the waits before were not the node's.
            let until = now.after(PROVE_WITHIN);
            let called = (responder, called);
            answer_ik(called, Some(admitted), features, &entropy, until, out)
        }
        (Opening::Entering { .. }, Input::Entered(Err(NoPlace::Repeated | NoPlace::Full))) => {
            // A replay and a lack of room are refused alike, so that neither can be probed.
            say(&ClearRefusal::Refused, out)
        }
        (Opening::AwaitTls { node, exporter, .. }, Input::Frame { bytes, .. }) => {
            tls::on_first(opening, node, exporter, until, bytes)
        }
        (Opening::FindingTls { first, exporter, .. }, Input::Found(found, unix, _)) => {
            let known = match found {
                Ok(known) => known.and_then(|known| Some((known, known.admitted(unix, limits)?))),
                Err(Refusal::AtCapacity) => return close(Close::AT_CAPACITY),
                // A fault of the gateway must not say that the node is not paired.
                Err(_) => return close(Close::INTERNAL),
            };
            tls::on_found(first, exporter, known, features, now.after(PROVE_WITHIN), out)
        }
        // Late answers and notices that do not concern an opening change nothing.
        (
            stage @ (Opening::AwaitOpen { .. }
            | Opening::AwaitFirst { .. }
            | Opening::AwaitThird { .. }
            | Opening::Finding { .. }
            | Opening::Entering { .. }
            | Opening::AwaitTls { .. }
            | Opening::FindingTls { .. }),
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
        ) => opening.enter(stage, []),
    }
}

/// Reads the first message of a link, and returns the gateway's key that it was written for: the
/// current one, or the one before a rotation, for a node that was away since.
fn read_link(bytes: &mut [u8], around: &FrameContext<'_>) -> Option<(ik::Responder, PublicKey)> {
    // What does not open is not changed, so it can be tried with the other key.
    [Some(&around.keys.channel), around.older].into_iter().flatten().find_map(|own| {
        let prologue = Open::new(Intent::Link).prologue();
        // The payload of a replay proves nothing, so it is ignored.
        let (responder, _) = ik::Responder::read_first(prologue, own, bytes).ok()?;
        Some((responder, *own.public()))
    })
}

fn answer_xx<'b>(
    opening: &mut Opening,
    intent: Intent,
    bytes: &mut [u8],
    entropy: &Entropy<32>,
    around: &FrameContext<'_>,
    mut out: OutgoingBuffer<'b>,
) -> Turn<'b> {
    let answer = xx::Responder::read_first(Open::new(intent).prologue(), bytes).ok().and_then(
        |(responder, _)| {
            out.put(|place| {
                let (answered, message) =
                    responder.write_second(&around.keys.channel, entropy, &[], place).ok()?;
                Some((answered, message.len()))
            })
        },
    );
    match answer {
        Some((answered, message)) => {
            let delegate = intent == Intent::Delegate;
            let until = opening.until();
            let third = Opening::AwaitThird { delegate, answered, until };
            opening.enter(third, [Effect::Send(message)])
        }
        None => say(&ClearRefusal::Refused, out),
    }
}

/// Answers an IK handshake with one message of one length, for the same work, so that the answer
/// does not tell a stranger if the node is known or muted.
fn answer_ik<'b>(
    (responder, called): (ik::Responder, PublicKey),
    node: Option<LinkPermission>,
    features: Features,
    entropy: &Entropy<32>,
    until: Instant,
    mut out: OutgoingBuffer<'b>,
) -> Turn<'b> {
    let admission = match node {
        Some(LinkPermission { renews: false, .. }) => Admission::Welcome,
        Some(LinkPermission { renews: true, .. }) => Admission::Expired,
        None => Admission::NotPaired,
    };
    let answer = out.put(|place| {
        let mut room = [0; ADMITTED_BYTES];
        let payload = Admitted { admission, features };
        let payload = payload.write(&mut room).ok()?;
        let (established, message) = responder.write_second(entropy, payload, place).ok()?;
        Some((established, message.len()))
    });
    match (answer, node) {
        (Some((established, message)), Some(LinkPermission { node_id, renews, .. })) => {
            let link = NativeLink::proving(
                Channel::new(established),
                Some(called),
                node_id,
                renews,
                until,
            );
            Turn::Break((State::Link(link), Effects::of([Effect::Send(message)])))
        }
        (Some((_, message)), None) => {
            end([Effect::Send(message), Effect::Close(Close::AUTHENTICATION_FAILED)])
        }
        (None, _) => close(Close::PROTOCOL_VIOLATION),
    }
}

/// Refuses in clear, before anything is authenticated.
fn say<'b>(refusal: &ClearRefusal<'_>, mut out: OutgoingBuffer<'b>) -> Turn<'b> {
    let said = out.put(|place| refusal.write(place).ok().map(|message| ((), message.len())));
    match said {
        Some(((), message)) => {
            end([Effect::Send(message), Effect::Close(Close::PROTOCOL_VIOLATION)])
        }
        None => close(Close::INTERNAL),
    }
}
