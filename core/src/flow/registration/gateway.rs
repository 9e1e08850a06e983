//! The gateway's end of one connection of the `missy` dialect, from its first frame to its close.
//!
//! ```text
//!             pair_request                    auth
//!  Asking ◀────────────── AwaitFirst ──────────────▶ Loading ──(not recognised)──▶ Hashing
//!    │ Admitted                │                        │ recognised                 │ verified
//!    ▼                         │ silence, nonsense      ▼                            ▼
//!  Closed ◀────────────────────┴──────────────────── Attaching ◀─────────────────────┘
//!                                                       │ still paired
//!                                                       ▼
//!                                                     Linked
//! ```
//! The first use of a token that is being delivered confirms the delivery: between its verification
//! and `Attaching`, the confirmation is made durable (`Confirming`).

mod contract;
mod mapping;

use core::fmt::Write as _;

use crate::error::{Malformed, Refusal};
use crate::grant::token::{self, HashJob, Hashed, ProofKey, ProofTag, Token, TokenHash, Verified};
use crate::id::NodeId;
use crate::limits::{self, Limits};
use crate::link::gateway::Link;
use crate::registry::delivery::DeliveryId;
use crate::registry::lifecycle::Notice;
use crate::registry::record::{Record, Standing};
use crate::step::{Effects, Machine};
use crate::time::{DeadlineReason, Instant, Span};
use crate::wire::close::Close;
use crate::wire::missy;
use crate::wire::registration::{Auth, AuthFailure, GatewayMessage, NodeMessage};
use mapping::{close_for, for_link};

pub use contract::{Claim, Effect, Input, Lookup, RegistrationRequest};

/// The machine of one connection.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct RegistrationConnection {
    limits: Limits,
    state: State,
}

#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
enum State {
    AwaitFirst { until: Instant },
    Asking,
    Loading { node_id: NodeId, token: Token },
    Hashing { node_id: NodeId, stored: Tagged },
    Confirming { node_id: NodeId, verified: Verified, tag: ProofTag },
    Attaching { node_id: NodeId, verified: Verified },
    Linked(Link),
    Closed,
}

/// The valid tokens of a record, each with the tag that the presented token has if it is that one.
#[derive(Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
struct Tagged {
    newest: Option<(TokenHash, ProofTag)>,
    /// The delivery of the newest token, while it is under way.
    delivery: Option<DeliveryId>,
    /// The token that stays valid until then.
    older: Option<(TokenHash, ProofTag)>,
}

impl RegistrationConnection {
    /// Makes the machine of a connection that was just accepted.
    #[must_use]
    pub const fn accepted(now: Instant, limits: Limits) -> Self {
        Self { limits, state: State::AwaitFirst { until: now.after(limits.first_message) } }
    }

    /// Returns the linked node, which has authenticated; `None` in any other state.
    #[must_use]
    pub const fn linked(&self) -> Option<NodeId> {
        match &self.state {
            State::Linked(Link::Open { node_id, .. }) => Some(*node_id),
            State::AwaitFirst { .. }
            | State::Asking
            | State::Loading { .. }
            | State::Hashing { .. }
            | State::Confirming { .. }
            | State::Attaching { .. }
            | State::Linked(Link::Ended)
            | State::Closed => None,
        }
    }

    fn enter<'b, const N: usize>(
        &mut self,
        state: State,
        effects: [Effect<'b>; N],
    ) -> Effects<Effect<'b>> {
        self.state = state;
        Effects::of(effects)
    }
}

impl Machine for RegistrationConnection {
    type Input<'b> = Input<'b>;
    type Effect<'b> = Effect<'b>;

    fn step<'b>(
        &mut self,
        now: Instant,
        input: Input<'b>,
        scratch: &'b mut [u8],
    ) -> Effects<Effect<'b>> {
        match &mut self.state {
            State::Linked(link) => {
                return match for_link(input) {
                    Some(input) => link.step(now, input, scratch).map(Effect::from),
                    None => Effects::none(),
                };
            }
            State::Closed => return Effects::none(),
            State::AwaitFirst { .. }
            | State::Asking
            | State::Loading { .. }
            | State::Hashing { .. }
            | State::Confirming { .. }
            | State::Attaching { .. } => {}
        }
        // An arm that enters no state has closed the connection.
        match (core::mem::replace(&mut self.state, State::Closed), input) {
            // Endings are the same in every state before the link.
            (State::Attaching { node_id, .. }, Input::Closed) => {
                Effects::of([RegistrationRequest::Detach(node_id).into()])
            }
            (_, Input::Closed) => Effects::none(),
            (State::Attaching { node_id, .. }, Input::Shutdown) => Effects::of([
                RegistrationRequest::Detach(node_id).into(),
                Effect::Close(Close::SHUTTING_DOWN),
            ]),
            (_, Input::Shutdown) => self.close(None, Close::SHUTTING_DOWN),
            // Only a connection that has sent nothing yet is displaced.
            (State::AwaitFirst { .. }, Input::Evict) => self.close(None, Close::AT_CAPACITY),

            (State::AwaitFirst { .. }, Input::Text(frame)) => self.on_first(frame, scratch),
            (State::AwaitFirst { .. }, Input::Binary(_)) => self.close(None, Close::BINARY_FIRST),
            (State::AwaitFirst { until }, Input::Tick) if until <= now => {
                self.close(None, Close::AUTHENTICATION_TIMEOUT)
            }

            (State::Asking, Input::Admitted(Ok(node_id))) => {
                let pending = GatewayMessage::PairPending { node_id };
                self.say(None, &pending, Close::PAIRING_PENDING, scratch)
            }
            (State::Asking, Input::Admitted(Err(Refusal::Rejected { wait }))) => {
                self.turned_down(Some(wait), scratch)
            }
            (State::Asking, Input::Admitted(Err(Refusal::Barred))) => {
                self.turned_down(None, scratch)
            }
            (State::Asking, Input::Admitted(Err(refusal))) => self.close(None, close_for(refusal)),

            (State::Loading { node_id, token }, Input::Loaded(lookup)) => {
                self.on_loaded(node_id, token, lookup)
            }
            (State::Hashing { node_id, stored }, Input::Hashed(outcome)) => {
                self.on_hashed(node_id, stored, outcome, scratch)
            }
            (State::Confirming { node_id, verified, tag }, Input::Confirmed(Ok(()))) => {
                self.proven(node_id, verified, tag)
            }
            // The delivery was undone meanwhile, so the token is void.
            (State::Confirming { .. }, Input::Confirmed(Err(Refusal::InvalidCredentials))) => {
                self.refuse(None, AuthFailure::InvalidCredentials, scratch)
            }
            (State::Confirming { .. }, Input::Confirmed(Err(refusal))) => {
                self.close(None, close_for(refusal))
            }
            (State::Attaching { node_id, verified }, Input::Attached(outcome)) => {
                self.on_attached(node_id, &verified, outcome, now, scratch)
            }
            // The record on its way may be older than this decision, so the machine does not wait
            // for it.
            (State::Attaching { node_id, .. }, Input::Push(Notice::Muted)) => {
                self.say(Some(node_id), &GatewayMessage::Muted, Close::MUTED, scratch)
            }
            (State::Attaching { node_id, .. }, Input::Push(Notice::Unpaired)) => {
                self.refuse(Some(node_id), AuthFailure::InvalidCredentials, scratch)
            }
            (State::Attaching { node_id, .. }, Input::Push(Notice::Replaced)) => {
                self.close(Some(node_id), Close::REPLACED)
            }

            // Unexpected answers and pushes change nothing. No frames arrive here while an answer
            // is due.
            (
                state @ (State::AwaitFirst { .. }
                | State::Asking
                | State::Loading { .. }
                | State::Hashing { .. }
                | State::Confirming { .. }
                | State::Attaching { .. }
                | State::Linked(_)
                | State::Closed),
                Input::Text(_)
                | Input::Binary(_)
                | Input::Pong
                | Input::Admitted(_)
                | Input::Loaded(_)
                | Input::Hashed(_)
                | Input::Confirmed(_)
                | Input::Attached(_)
                | Input::Push(_)
                | Input::Tick
                | Input::Evict,
            ) => self.enter(state, []),
        }
    }

    fn deadline(&self) -> Option<(Instant, DeadlineReason)> {
        match &self.state {
            State::AwaitFirst { until } => Some((*until, DeadlineReason::FirstMessage)),
            State::Linked(link) => link.deadline(),
            State::Asking
            | State::Loading { .. }
            | State::Hashing { .. }
            | State::Confirming { .. }
            | State::Attaching { .. }
            | State::Closed => None,
        }
    }

    fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed | State::Linked(Link::Ended))
    }

    fn awaits_answer(&self) -> bool {
        match &self.state {
            State::Asking
            | State::Loading { .. }
            | State::Hashing { .. }
            | State::Confirming { .. }
            | State::Attaching { .. } => true,
            State::AwaitFirst { .. } | State::Linked(_) | State::Closed => false,
        }
    }

    fn state_name(&self) -> &'static str {
        match &self.state {
            State::AwaitFirst { .. } => "AwaitFirst",
            State::Asking => "Asking",
            State::Loading { .. } => "Loading",
            State::Hashing { .. } => "Hashing",
            State::Confirming { .. } => "Confirming",
            State::Attaching { .. } => "Attaching",
            State::Linked(Link::Open { .. }) => "Linked",
            State::Linked(Link::Ended) | State::Closed => "Closed",
        }
    }
}

impl RegistrationConnection {
    fn on_first<'b>(&mut self, frame: &'b str, scratch: &'b mut [u8]) -> Effects<Effect<'b>> {
        const WRONG_FIRST: GatewayMessage<'static> =
            GatewayMessage::Error("First message must be auth or pair_request");
        let (decoding, encoding) = limits::split(scratch);
        match missy::decode_from_node(frame, decoding) {
            Ok(NodeMessage::PairRequest(request)) => {
                self.enter(State::Asking, [Effect::Admit(request)])
            }
            Ok(NodeMessage::Auth(Auth::Presented { node_id, token })) => self.enter(
                State::Loading { node_id, token },
                [RegistrationRequest::Load(node_id).into()],
            ),
            Ok(NodeMessage::Auth(Auth::Unusable)) => {
                // Nothing was hashed, but the attempt counts all the same.
                let fail = GatewayMessage::AuthFail(AuthFailure::InvalidCredentials);
                match missy::encode_from_gateway(&fail, encoding) {
                    Some(text) => self.enter(
                        State::Closed,
                        [
                            RegistrationRequest::CountFailure.into(),
                            Effect::Send(text),
                            Effect::Close(Close::AUTHENTICATION_FAILED),
                        ],
                    ),
                    None => self.close(None, Close::INTERNAL),
                }
            }
            Ok(NodeMessage::Heartbeat(_) | NodeMessage::Other) => {
                self.say(None, &WRONG_FIRST, Close::PROTOCOL_VIOLATION, encoding)
            }
            Err(Malformed::Json) => self.close(None, Close::MALFORMED_JSON),
            // A malformed heartbeat is not a valid first message, either.
            Err(malformed @ (Malformed::NotAnObject | Malformed::Field(_))) => {
                let complaint = GatewayMessage::Error(missy::complaint(malformed));
                self.say(None, &complaint, Close::PROTOCOL_VIOLATION, encoding)
            }
        }
    }

    /// Recognises a token that this process has verified before, in microseconds. Any other token
    /// costs one PBKDF2, whether or not the node exists.
    fn on_loaded<'b>(
        &mut self,
        node_id: NodeId,
        token: Token,
        lookup: Lookup<'_>,
    ) -> Effects<Effect<'b>> {
        let record = match lookup.record {
            Ok(record) => record,
            Err(refusal) => return self.close(None, close_for(refusal)),
        };
        let standing = record.map(|record| &record.standing);
        let tagged = |hash: &TokenHash| (hash.clone(), lookup.key.tag(node_id, hash, &token));
        let stored = Tagged {
            newest: standing.and_then(Standing::token).map(tagged),
            delivery: standing
                .and_then(Standing::undelivered)
                .map(|undelivered| undelivered.ticket.id),
            older: standing.and_then(Standing::older_token).map(tagged),
        };
        let recognised = |stored: &Option<(TokenHash, ProofTag)>| match (stored, &lookup.kept) {
            (Some((hash, tag)), Some(kept)) => ProofKey::recognise(hash, tag, kept),
            (None, _) | (_, None) => None,
        };
        // Only confirmed tokens are remembered, so the newest one is recognised only if no delivery
        // is under way.
        let settled = stored.delivery.is_none().then(|| recognised(&stored.newest)).flatten();
        match settled.or_else(|| recognised(&stored.older)) {
            // Nothing was hashed, so there is no attempt to refund.
            Some(verified) => self.enter(
                State::Attaching { node_id, verified },
                [RegistrationRequest::Attach(node_id).into()],
            ),
            None => self.enter(
                State::Hashing { node_id, stored },
                [RegistrationRequest::Hash(HashJob { node_id, token }, Claim::of(record)).into()],
            ),
        }
    }

    fn on_hashed<'b>(
        &mut self,
        node_id: NodeId,
        stored: Tagged,
        outcome: Result<Hashed, Refusal>,
        scratch: &'b mut [u8],
    ) -> Effects<Effect<'b>> {
        let hashed = match outcome {
            Ok(hashed) => hashed,
            Err(refusal) => return self.close(None, close_for(refusal)),
        };
        let Tagged { newest, delivery, older } = stored;
        let verify = |stored: &Option<(TokenHash, ProofTag)>| {
            token::verify(stored.as_ref().map(|(hash, _)| hash), &hashed.hash)
        };
        // Both comparisons are made in any case, so the time does not tell which token matched.
        match (verify(&newest), newest, verify(&older), older) {
            // A token that is being delivered is confirmed by its first use.
            (Some(verified), Some((_, tag)), _, _) => match delivery {
                Some(delivery) => self.enter(
                    State::Confirming { node_id, verified, tag },
                    [RegistrationRequest::Confirm(node_id, delivery).into()],
                ),
                None => self.proven(node_id, verified, tag),
            },
            // The older token stays valid until the new one is delivered.
            (_, _, Some(verified), Some((_, tag))) => self.proven(node_id, verified, tag),
            (None, _, None, _) | (_, None, _, None) | (None, _, _, None) | (_, None, None, _) => {
                self.refuse(None, AuthFailure::InvalidCredentials, scratch)
            }
        }
    }

    /// Continues with a token that was right and is confirmed.
    fn proven<'b>(
        &mut self,
        node_id: NodeId,
        verified: Verified,
        tag: ProofTag,
    ) -> Effects<Effect<'b>> {
        self.enter(
            State::Attaching { node_id, verified },
            [
                // A right token is no failure of its source.
                RegistrationRequest::Refund.into(),
                RegistrationRequest::Remember(node_id, tag).into(),
                RegistrationRequest::Attach(node_id).into(),
            ],
        )
    }

    /// Checks the record that was read after pushes began to reach this connection. It may have
    /// changed while the token was checked.
    fn on_attached<'b>(
        &mut self,
        node_id: NodeId,
        verified: &Verified,
        outcome: Result<Option<&Record>, Refusal>,
        now: Instant,
        scratch: &'b mut [u8],
    ) -> Effects<Effect<'b>> {
        // The hub has the connection already, so every ending removes it.
        let attached = Some(node_id);
        let record = match outcome {
            Ok(record) => record.filter(|r| {
                // A token that is being delivered is not valid before its confirmation.
                let settled =
                    if r.standing.undelivered().is_none() { r.standing.token() } else { None };
                [settled, r.standing.older_token()]
                    .into_iter()
                    .flatten()
                    .any(|hash| verified.holds_for(hash))
            }),
            Err(refusal) => return self.close(attached, close_for(refusal)),
        };
        let Some(record) = record else {
            return self.refuse(attached, AuthFailure::InvalidCredentials, scratch);
        };
        match &record.standing {
            Standing::Paired { .. } => {
                let welcome = GatewayMessage::AuthOk { node_id, room: record.room.label() };
                match missy::encode_from_gateway(&welcome, scratch) {
                    Some(text) => {
                        let link = Link::open(node_id, now, self.limits);
                        let linked = RegistrationRequest::Linked(node_id).into();
                        self.enter(State::Linked(link), [linked, Effect::Send(text)])
                    }
                    None => self.close(attached, Close::INTERNAL),
                }
            }
            Standing::Muted { .. } => {
                self.say(attached, &GatewayMessage::Muted, Close::MUTED, scratch)
            }
            Standing::Unapproved { .. } => self.refuse(attached, AuthFailure::NotApproved, scratch),
            Standing::Pending { .. } | Standing::Revoked { .. } => {
                self.refuse(attached, AuthFailure::InvalidCredentials, scratch)
            }
        }
    }

    fn refuse<'b>(
        &mut self,
        attached: Option<NodeId>,
        failure: AuthFailure,
        scratch: &'b mut [u8],
    ) -> Effects<Effect<'b>> {
        let fail = GatewayMessage::AuthFail(failure);
        self.say(attached, &fail, Close::AUTHENTICATION_FAILED, scratch)
    }

    /// Sends a last message, then closes. A connection that may be in the table of live ones as
    /// `attached` is removed first.
    fn say<'b>(
        &mut self,
        attached: Option<NodeId>,
        message: &GatewayMessage<'_>,
        reason: Close,
        scratch: &'b mut [u8],
    ) -> Effects<Effect<'b>> {
        match missy::encode_from_gateway(message, scratch) {
            Some(text) => {
                self.state = State::Closed;
                Effects::flatten([
                    attached.map(|node_id| RegistrationRequest::Detach(node_id).into()),
                    Some(Effect::Send(text)),
                    Some(Effect::Close(reason)),
                ])
            }
            None => self.close(attached, Close::INTERNAL),
        }
    }

    /// Tells the node that the operator rejected its last request, and the wait before the next
    /// one.
    fn turned_down<'b>(
        &mut self,
        wait: Option<Span>,
        scratch: &'b mut [u8],
    ) -> Effects<Effect<'b>> {
        let mut text = heapless::String::<96>::new();
        let written = match wait {
            Some(wait) => write!(
                text,
                "The operator turned this request down; ask again in {} s",
                wait.as_millis().div_ceil(1000)
            ),
            None => write!(text, "The operator turned this request down for good"),
        };
        match written {
            Ok(()) => self.say(None, &GatewayMessage::Error(&text), Close::TURNED_DOWN, scratch),
            // The close code still tells the node what the text would have said.
            Err(core::fmt::Error) => self.close(None, Close::TURNED_DOWN),
        }
    }

    /// Closes without a message; `attached` as for [`say`](Self::say).
    fn close<'b>(&mut self, attached: Option<NodeId>, reason: Close) -> Effects<Effect<'b>> {
        self.state = State::Closed;
        Effects::flatten([
            attached.map(|node_id| RegistrationRequest::Detach(node_id).into()),
            Some(Effect::Close(reason)),
        ])
    }
}

const _: () = assert!(
    core::mem::size_of::<RegistrationConnection>() <= 512,
    "one of these stands in memory for every connection"
);
