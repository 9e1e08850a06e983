//! The gateway's end of one connection of the native wire, from `Open` to its close.
//!
//! ```text
//! AwaitOpen ─▶ AwaitFirst ─┬─ XX ─▶ AwaitThird ─┬─ Pair ─────▶ Pairing …
//!                          │                    └─ Delegate ─▶ Link (a chain is due)
//!                          └─ IK ─▶ Finding ─▶ Entering ─▶ Proving ─sealed─▶ Attaching ─▶ Link
//! ```
//! `Open` costs nothing and is charged to nobody. [`NativeConnection::cost`] gives the cost of
//! reading a frame. The reader takes a turn first, and a permit from its source's budget;
//! [`NativeRequest::Refund`] gives the permit back, and it stays spent if the connection ends before.
//!
//! A connection over TLS begins with the node's first message, which is looked up by its id:
//!
//! ```text
//! AwaitTls ─┬─ Hello ────▶ FindingTls ─▶ Attaching ─▶ Link        the certificate names the node
//!           └─ Identify ─▶ FindingTls ─▶ Proving ──▶ Attaching …  a signature proves it
//! ```
//! IK's first message may be a replay. Until the node's first sealed message nothing changes
//! because of it: no older link ends, and nothing is kept.

mod contract;
mod link;
mod offer;
mod opening;
mod pairing;

use core::ops::ControlFlow;

use crate::crypto::noise::HandshakeHash;
use crate::crypto::x25519::PublicKey;
use crate::id::NodeId;
use crate::limits::Limits;
use crate::step::{Effects, Machine};
use crate::time::{DeadlineReason, Instant};
use crate::wire::close::Close;
use crate::wire::native::Features;
use contract::LinkPermission;
use link::NativeLink;
use opening::Opening;
use pairing::Pairing;

pub use contract::{
    CloneStanding, Confirmation, Cost, Effect, FrameContext, Input, Issue, IssuedCertificate,
    KnownPeer, NativeRequest, Offer, PairVerdict, Peer, PingAnswer, Prepared, Proof, RenewKind,
};

/// The gateway's state machine for one connection of the native wire.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct NativeConnection {
    limits: Limits,
    /// The messages that the gateway takes.
    features: Features,
    state: State,
}

#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[allow(
    clippy::large_enum_variant,
    reason = "there is no allocator to box a state with, and one of these is a whole connection"
)]
enum State {
    Opening(Opening),
    Pairing(Pairing),
    Link(NativeLink),
    Closed,
}

impl NativeConnection {
    /// Creates the machine of a connection that was just accepted.
    #[must_use]
    pub const fn accepted(now: Instant, limits: Limits) -> Self {
        let state = State::Opening(Opening::accepted(now, &limits));
        Self { limits, features: Features::GATEWAY, state }
    }

    /// Creates the machine of a connection over TLS that was just accepted: a link whose messages
    /// are not sealed again. `node` is the node of the client certificate, which the adapter has
    /// judged; without one the node has to identify itself by a signature. `exporter` is the 32
    /// bytes that bind to the connection (RFC 9266).
    #[must_use]
    pub const fn over_tls(
        now: Instant,
        limits: Limits,
        node: Option<NodeId>,
        exporter: HandshakeHash,
    ) -> Self {
        let state = State::Opening(Opening::over_tls(now, node, exporter));
        Self { limits, features: Features::GATEWAY, state }
    }

    /// Makes the connection one of a gateway that issues certificates.
    #[must_use]
    pub fn issuing_certificates(mut self) -> Self {
        self.features = self.features.with(Features::CERTIFICATE);
        self
    }

    /// Returns the authenticated peer; `None` before the link is open.
    #[must_use]
    pub const fn linked(&self) -> Option<Peer> {
        match &self.state {
            State::Link(link) => link.peer(),
            State::Opening(_) | State::Pairing(_) | State::Closed => None,
        }
    }

    /// Returns `true` if messages from others may be delivered to the peer now.
    #[must_use]
    pub const fn receives(&self) -> bool {
        matches!(&self.state, State::Link(link) if link.receives())
    }

    /// Returns `true` if the connection waits for a person to decide or to type a code, and could
    /// resume after it was closed.
    #[must_use]
    pub const fn waits_for_person(&self) -> bool {
        matches!(&self.state, State::Pairing(pairing) if pairing.waits_for_person())
    }

    /// Returns the cost of reading this frame as the next one.
    #[must_use]
    pub fn cost<'f>(&self, frame: &'f [u8]) -> Cost<'f> {
        match &self.state {
            State::Opening(opening) => opening.cost(frame),
            // Later frames cost next to nothing to read; the work that they ask for is charged by
            // effect.
            State::Pairing(_) | State::Link(_) | State::Closed => Cost::Nothing,
        }
    }

    /// Returns `true` if the peer has proven nothing yet and owes its next message. Such a
    /// connection may have to make room for others.
    #[must_use]
    pub const fn stalls(&self) -> bool {
        match &self.state {
            State::Opening(opening) => opening.stalls(),
            State::Pairing(pairing) => pairing.stalls(),
            State::Link(link) => link.stalls(),
            State::Closed => false,
        }
    }

    /// Returns the peer's static key once the peer has proven that it holds it.
    #[must_use]
    pub const fn peer_key(&self) -> Option<&PublicKey> {
        match &self.state {
            State::Pairing(pairing) => Some(&pairing.channel().peer),
            State::Link(link) => Some(&link.channel().peer),
            State::Opening(_) | State::Closed => None,
        }
    }
}

impl Machine for NativeConnection {
    type Input<'b> = Input<'b>;
    type Effect<'b> = Effect<'b>;

    fn step<'b>(
        &mut self,
        now: Instant,
        input: Input<'b>,
        scratch: &'b mut [u8],
    ) -> Effects<Effect<'b>> {
        // Nothing is dispatched but over an open link, and what is not sent is told.
        if let (Input::Dispatch(dispatch, _), None) = (&input, self.linked()) {
            return Effects::of([NativeRequest::NotDispatched(dispatch.id).into()]);
        }
        let (limits, features) = (&self.limits, self.features);
        let turn = match &mut self.state {
            State::Opening(opening) => {
                opening::step(opening, now, limits, features, input, scratch)
            }
            State::Pairing(pairing) => pairing::step(pairing, now, limits, input, scratch),
            State::Link(link) => link::step(link, now, limits, features, input, scratch),
            // Answers that the adapter still owes may arrive after the close.
            State::Closed => return Effects::none(),
        };
        match turn {
            Turn::Continue(effects) => effects,
            Turn::Break((state, effects)) => {
                self.state = state;
                effects
            }
        }
    }

    fn deadline(&self) -> Option<(Instant, DeadlineReason)> {
        match &self.state {
            State::Opening(opening) => opening.deadline(),
            State::Pairing(pairing) => pairing.deadline(),
            State::Link(link) => Some(link.deadline()),
            State::Closed => None,
        }
    }

    fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    fn awaits_answer(&self) -> bool {
        match &self.state {
            State::Opening(opening) => opening.awaits_answer(),
            State::Pairing(pairing) => pairing.awaits_answer(),
            State::Link(link) => link.awaits_answer(),
            State::Closed => false,
        }
    }

    fn state_name(&self) -> &'static str {
        match &self.state {
            State::Opening(opening) => opening.name(),
            State::Pairing(pairing) => pairing.name(),
            State::Link(link) => link.name(),
            State::Closed => "Closed",
        }
    }
}

/// The outcome of a step of one part of the machine: the part goes on, changed in place, or it is
/// over, and the connection enters another state.
type Turn<'b> = ControlFlow<(State, Effects<Effect<'b>>), Effects<Effect<'b>>>;

/// Goes on in the same part.
fn stay<'b, const N: usize>(effects: [Effect<'b>; N]) -> Turn<'b> {
    Turn::Continue(Effects::of(effects))
}

/// Ends the connection with these effects.
fn end<'b, const N: usize>(effects: [Effect<'b>; N]) -> Turn<'b> {
    Turn::Break((State::Closed, Effects::of(effects)))
}

fn close<'b>(reason: Close) -> Turn<'b> {
    end([Effect::Close(reason)])
}

const _: () = assert!(
    core::mem::size_of::<NativeConnection>() <= 640,
    "one of these stands in memory for every connection"
);
