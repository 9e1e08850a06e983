//! The operator's approval: one durable write, and only then the token, shown once. Its recipient
//! [confirms](crate::registry::delivery) the delivery.
//!
//! ```text
//!  Drawing ──Drawn──▶ Hashing ──Hashed──▶ Saving ──Saved──▶ Done
//!     ▲ redraw │                            │ not saved
//!     └────────┘                            ▼
//!                                         Done (nothing was revealed)
//! ```

use crate::entropy::Entropy;
use crate::error::Refusal;
use crate::grant::token::{self, HashJob, Hashed, Token, TokenHash};
use crate::id::NodeId;
use crate::registry::delivery::Ticket;
use crate::registry::lifecycle::{self, Change, Decision, NewToken};
use crate::registry::record::{Record, Standing};
use crate::step::{Effects, Machine};
use crate::time::{DeadlineReason, Instant, UnixTime};

/// The machine of an approval under way.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Approval {
    node_id: NodeId,
    standing: Standing,
    purpose: Purpose,
    ticket: Ticket,
    at: UnixTime,
    state: State,
}

/// The reason for issuing a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Purpose {
    /// The node gets its first token.
    Approve,
    /// A lost token is replaced; the old one is void once the new one is delivered.
    Reissue,
}

#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
enum State {
    Drawing,
    Hashing,
    Saving { token: Token },
    Done,
}

/// An event for an approval.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Input {
    /// The answer to [`Effect::Draw`].
    Drawn(Entropy<32>),
    /// The answer to [`Effect::Hash`].
    Hashed(Hashed),
    /// The answer to [`Effect::Save`]: the change is durable, or the reason why it is not.
    Saved(Result<(), Refusal>),
}

/// A request of an approval to the adapter.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Effect {
    /// Draw 32 random bytes from the generator.
    Draw,
    /// Hash this token in the pool.
    Hash(HashJob),
    /// Save this change of the record, unless the record has changed since it was read.
    Save(Change),
    /// Answer with the token, once, and with its delivery; then push the notice of the change.
    Reveal(Token),
    /// Tell the operator the reason for the refusal.
    Refuse(Refusal),
}

impl Approval {
    /// Begins with the record as read, and the delivery that confirms the token. Returns the
    /// machine and its first effect, [`Effect::Draw`].
    ///
    /// # Errors
    /// [`Refusal`], if this node cannot get a token now; nothing was drawn or hashed.
    pub fn begin(
        record: &Record,
        purpose: Purpose,
        ticket: Ticket,
        at: UnixTime,
    ) -> Result<(Self, Effects<Effect>), Refusal> {
        // The hash does not influence the decision, so a placeholder suffices for this check.
        let _would_be = lifecycle::decide(
            &record.standing,
            purpose.decision(TokenHash::from_bytes([0; 32]), ticket),
            at,
        )?;
        let approval = Self {
            node_id: record.node_id,
            standing: record.standing.clone(),
            purpose,
            ticket,
            at,
            state: State::Drawing,
        };
        Ok((approval, Effects::of([Effect::Draw])))
    }

    fn enter(&mut self, state: State, effect: Effect) -> Effects<Effect> {
        self.state = state;
        Effects::of([effect])
    }
}

impl Purpose {
    const fn decision(self, hash: TokenHash, ticket: Ticket) -> Decision {
        let new = NewToken { hash, ticket };
        match self {
            Self::Approve => Decision::Issue(new),
            Self::Reissue => Decision::Reissue(new),
        }
    }
}

impl Machine for Approval {
    type Input<'b> = Input;
    type Effect<'b> = Effect;

    fn step(&mut self, _now: Instant, input: Input, _scratch: &mut [u8]) -> Effects<Effect> {
        match (core::mem::replace(&mut self.state, State::Done), input) {
            (State::Drawing, Input::Drawn(entropy)) => match token::issue(&entropy) {
                Some(token) => {
                    let job = HashJob { node_id: self.node_id, token };
                    self.enter(State::Hashing, Effect::Hash(job))
                }
                // One token in 64 would begin with a dash; it is drawn again.
                None => self.enter(State::Drawing, Effect::Draw),
            },
            (State::Hashing, Input::Hashed(Hashed { token, hash })) => {
                let decision = self.purpose.decision(hash, self.ticket);
                // The hash is known only now; whether the record is still the same is checked on
                // saving.
                match lifecycle::decide(&self.standing, decision, self.at) {
                    Ok(change) => self.enter(State::Saving { token }, Effect::Save(change)),
                    Err(refusal) => self.enter(State::Done, Effect::Refuse(refusal)),
                }
            }
            (State::Saving { token }, Input::Saved(Ok(()))) => {
                self.enter(State::Done, Effect::Reveal(token))
            }
            (State::Saving { .. }, Input::Saved(Err(refusal))) => {
                self.enter(State::Done, Effect::Refuse(refusal))
            }
            // An answer that is not due changes nothing.
            (
                state @ (State::Drawing | State::Hashing | State::Saving { .. } | State::Done),
                Input::Drawn(_) | Input::Hashed(_) | Input::Saved(_),
            ) => {
                self.state = state;
                Effects::none()
            }
        }
    }

    fn deadline(&self) -> Option<(Instant, DeadlineReason)> {
        None
    }

    fn is_closed(&self) -> bool {
        matches!(self.state, State::Done)
    }

    fn awaits_answer(&self) -> bool {
        !self.is_closed()
    }

    fn state_name(&self) -> &'static str {
        match self.state {
            State::Drawing => "Drawing",
            State::Hashing => "Hashing",
            State::Saving { .. } => "Saving",
            State::Done => "Done",
        }
    }
}

const _: () = assert!(
    core::mem::size_of::<Approval>() <= 512,
    "one of these stands in memory for every approval"
);
