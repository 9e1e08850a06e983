//! The gateway's end of a companion's connection.
//!
//! ```text
//! AwaitFirst ─┬─ code, verified ─▶ Redeeming ─▶ Closed
//!             ├─ session ────────▶ Resuming ─▶ Attaching ─▶ Linked ─ end ─▶ Rechecking ─▶ Linked
//!             └─ anything else ──▶ Failing ─▶ Closed
//! ```
//! `Redeeming` sends the session's token once it is durable. `Failing` counts the failure first, so
//! that a source over its budget hears only that.
//!
//! The first frame's code is verified here, once; whether it has expired or was spent is judged by
//! the step that spends it.
//!
//! Only failures are counted, after the check: other peers of the same source cannot keep out a
//! companion with a valid code or session.
//!
//! A session is looked up once more after pushes reach the connection, so that no revocation is
//! missed in between, and at its end, because it may have been prolonged meanwhile.

mod contract;

use crate::grant::session::SessionHash;
use crate::grant::setup_code::{NotValid, SetupKey, VERIFY_SCRATCH, verify};
use crate::limits::{Limits, SETUP_CLAIMS_BYTES};
use crate::link::keepalive::{Due, Keepalive};
use crate::registry::sessions::{Ended, NotRedeemed, Session, SessionId};
use crate::step::{Effects, Machine};
use crate::text::Name;
use crate::time::{DeadlineReason, Instant, Span, UnixTime};
use crate::wire::close::Close;
use crate::wire::companion::{First, Saying, Word};

pub use contract::{CompanionFailure, CompanionRequest, Effect, Failed, Input, SessionNotOpened};

/// The machine of one companion's connection.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct CompanionConnection {
    limits: Limits,
    state: State,
}

#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
enum State {
    AwaitFirst { until: Instant },
    Redeeming,
    Resuming,
    Attaching,
    Linked(LinkedState),
    Rechecking(LinkedState),
    Failing(Word),
    Closed,
}

#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
struct LinkedState {
    session: SessionId,
    ends: Instant,
    keepalive: Keepalive,
}

impl CompanionConnection {
    /// Makes the machine of a connection that was accepted at that time.
    #[must_use]
    pub const fn accepted(at: Instant, limits: Limits) -> Self {
        Self { limits, state: State::AwaitFirst { until: at.after(limits.first_message) } }
    }

    /// Returns the linked session; `None` in any other state.
    #[must_use]
    pub const fn linked(&self) -> Option<SessionId> {
        match self.state {
            State::Linked(linked) | State::Rechecking(linked) => Some(linked.session),
            State::AwaitFirst { .. }
            | State::Redeeming
            | State::Resuming
            | State::Attaching
            | State::Failing(_)
            | State::Closed => None,
        }
    }

    /// Returns `true` if the connection may be in the table of live ones.
    const fn is_attached(&self) -> bool {
        match self.state {
            State::Attaching | State::Linked(_) | State::Rechecking(_) => true,
            State::AwaitFirst { .. }
            | State::Redeeming
            | State::Resuming
            | State::Failing(_)
            | State::Closed => false,
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

impl Machine for CompanionConnection {
    type Input<'b> = Input<'b>;
    type Effect<'b> = Effect<'b>;

    /// Advances the machine; [`COMPANION_SCRATCH`](crate::limits::COMPANION_SCRATCH) suffices as
    /// scratch.
    fn step<'b>(
        &mut self,
        now: Instant,
        input: Input<'b>,
        scratch: &'b mut [u8],
    ) -> Effects<Effect<'b>> {
        if self.is_closed() {
            return Effects::none();
        }
        match (&mut self.state, input) {
            (_, Input::Closed) => {
                let detach = self.is_attached().then_some(CompanionRequest::Detach.into());
                self.state = State::Closed;
                Effects::flatten([detach])
            }
            (_, Input::Shutdown) => self.end(Close::SHUTTING_DOWN),
            (State::AwaitFirst { .. }, Input::Evict) => self.end(Close::AT_CAPACITY),

            (State::AwaitFirst { .. }, Input::Text { frame, keys }) => {
                self.on_first(frame, keys, scratch)
            }
            (State::AwaitFirst { .. }, Input::Binary) => {
                self.charge(CompanionFailure::Code(Word::ExpectedText))
            }
            // The page is refused for where it comes from, and has guessed nothing to be charged.
            (State::AwaitFirst { .. }, Input::WrongOrigin) => {
                self.say_no(Word::OriginNotAllowed, scratch)
            }
            (State::AwaitFirst { until }, Input::Tick) if *until <= now => {
                self.end(Close::AUTHENTICATION_TIMEOUT)
            }

            (State::Redeeming, Input::Redeemed(Ok(token))) => {
                match Saying::Opened(&token).write(scratch) {
                    // The session is used on a connection of its own, so this one ends.
                    Some(said) => self
                        .enter(State::Closed, [Effect::Send(said), Effect::Close(Close::GOODBYE)]),
                    None => self.end(Close::INTERNAL),
                }
            }
            (State::Redeeming, Input::Redeemed(Err(why))) => match why {
                SessionNotOpened::No(NotRedeemed::AlreadyUsed) => {
                    self.charge(CompanionFailure::Redeem(Word::AlreadyUsed))
                }
                SessionNotOpened::No(NotRedeemed::Expired) => {
                    self.charge(CompanionFailure::Redeem(Word::Expired))
                }
                // A doubtful clock and a failing store are no guesses, so they cost no attempt.
                SessionNotOpened::No(NotRedeemed::ClockInDoubt) => {
                    self.say_no(Word::ClockInDoubt, scratch)
                }
                SessionNotOpened::Failed => self.say_no(Word::Internal, scratch),
            },
            (State::Failing(word), Input::Charged(true)) => {
                let word = *word;
                self.say_no(word, scratch)
            }
            (State::Failing(_), Input::Charged(false)) => self.say_no(Word::RateLimited, scratch),

            (State::Resuming, Input::Found(found, unix)) => match admitted(found, unix) {
                Ok(session) => {
                    self.enter(State::Attaching, [CompanionRequest::Attach(session.id).into()])
                }
                Err(word) => self.no_session(word, scratch),
            },
            (State::Attaching, Input::Found(found, unix)) => match admitted(found, unix) {
                Ok(session) => self.welcome(session, now, unix, scratch),
                // The session has ended between the two look-ups, or the store failed.
                Err(word) => self.no_session(word, scratch),
            },
            (State::Rechecking(linked), Input::Found(found, unix)) => match admitted(found, unix) {
                Ok(session) => {
                    let ends = end_of(session, now, unix);
                    self.state = State::Linked(LinkedState { ends, ..*linked });
                    Effects::none()
                }
                // A failure of the store is reported as such, not as the end of the session.
                Err(Word::Internal) => self.end(Close::INTERNAL),
                Err(_) => self.end(Close::SESSION_ENDED),
            },

            (State::Linked(_) | State::Rechecking(_) | State::Attaching, Input::Revoked) => {
                self.end(Close::SESSION_ENDED)
            }
            (State::Linked(_) | State::Rechecking(_) | State::Attaching, Input::Replaced) => {
                self.end(Close::REPLACED)
            }
            (State::Linked(linked), Input::Text { frame, .. }) => {
                linked.keepalive = linked.keepalive.heard(now, &self.limits);
                Effects::of([Effect::App(frame)])
            }
            // Companions speak in text frames only.
            (State::Linked(_), Input::Binary) => self.end(Close::PROTOCOL_VIOLATION),
            (State::Linked(linked), Input::Pong) => {
                linked.keepalive = linked.keepalive.heard(now, &self.limits);
                Effects::none()
            }
            // The session may have been prolonged, so it is looked up before the link ends.
            (State::Linked(linked), Input::Tick) if linked.ends <= now => {
                let linked = *linked;
                self.enter(
                    State::Rechecking(linked),
                    [CompanionRequest::Recheck(linked.session).into()],
                )
            }
            (State::Linked(linked), Input::LookAgain) => {
                let linked = *linked;
                self.enter(
                    State::Rechecking(linked),
                    [CompanionRequest::Recheck(linked.session).into()],
                )
            }
            (State::Linked(linked), Input::Tick) => {
                let (keepalive, due) = linked.keepalive.tick(now, &self.limits);
                linked.keepalive = keepalive;
                match due {
                    Due::Nothing => Effects::none(),
                    Due::Ping => Effects::of([Effect::Ping]),
                    Due::Lost => self.end(Close::PING_TIMEOUT),
                }
            }

            // Late answers and early notices change nothing.
            (
                State::AwaitFirst { .. }
                | State::Redeeming
                | State::Resuming
                | State::Attaching
                | State::Linked(_)
                | State::Rechecking(_)
                | State::Failing(_)
                | State::Closed,
                Input::Text { .. }
                | Input::Binary
                | Input::Charged(_)
                | Input::WrongOrigin
                | Input::Redeemed(_)
                | Input::Found(..)
                | Input::LookAgain
                | Input::Revoked
                | Input::Replaced
                | Input::Pong
                | Input::Tick
                | Input::Evict,
            ) => Effects::none(),
        }
    }

    fn deadline(&self) -> Option<(Instant, DeadlineReason)> {
        match self.state {
            State::AwaitFirst { until } => Some((until, DeadlineReason::FirstMessage)),
            State::Linked(linked) => {
                let (at, reason) = linked.keepalive.deadline();
                Some(if linked.ends <= at {
                    (linked.ends, DeadlineReason::Ends)
                } else {
                    (at, reason)
                })
            }
            State::Redeeming
            | State::Resuming
            | State::Attaching
            | State::Rechecking(_)
            | State::Failing(_)
            | State::Closed => None,
        }
    }

    fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    fn awaits_answer(&self) -> bool {
        match self.state {
            State::Redeeming
            | State::Resuming
            | State::Attaching
            | State::Rechecking(_)
            | State::Failing(_) => true,
            State::AwaitFirst { .. } | State::Linked(_) | State::Closed => false,
        }
    }

    fn state_name(&self) -> &'static str {
        match self.state {
            State::AwaitFirst { .. } => "AwaitFirst",
            State::Redeeming => "Redeeming",
            State::Resuming => "Resuming",
            State::Attaching => "Attaching",
            State::Linked(_) => "Linked",
            State::Rechecking(_) => "Rechecking",
            State::Failing(_) => "Failing",
            State::Closed => "Closed",
        }
    }
}

impl CompanionConnection {
    fn on_first<'b>(
        &mut self,
        frame: &'b str,
        keys: &[SetupKey],
        scratch: &'b mut [u8],
    ) -> Effects<Effect<'b>> {
        // The scratch is split by use: the frame's texts, and the claims.
        let Some((room, rest)) = scratch.split_at_mut_checked(SETUP_CLAIMS_BYTES) else {
            return self.end(Close::INTERNAL);
        };
        let Some((claims, _)) = rest.split_at_mut_checked(VERIFY_SCRATCH) else {
            return self.end(Close::INTERNAL);
        };
        // A genuine token needs no escapes and therefore no room.
        match First::parse(frame, room) {
            First::Bootstrap(token) => match verify(keys, token, claims) {
                // A code that binds to a device's key opens no session.
                Ok(verified) if verified.claims().bound => {
                    self.charge(CompanionFailure::Code(Word::UnknownCode))
                }
                // The step that spends the code judges its end.
                Ok(verified) => self.enter(State::Redeeming, [Effect::Redeem(verified)]),
                Err(NotValid::Signature) => {
                    self.charge(CompanionFailure::Code(Word::InvalidSignature))
                }
                Err(
                    NotValid::Form
                    | NotValid::ClaimsEncoding
                    | NotValid::SignatureEncoding
                    | NotValid::Claims,
                ) => self.charge(CompanionFailure::Code(Word::UnknownCode)),
            },
            First::Resume(Some(token)) => self
                .enter(State::Resuming, [CompanionRequest::Resume(SessionHash::of(&token)).into()]),
            First::Resume(None) => self.charge(CompanionFailure::Session(Word::UnknownSession)),
            First::Neither => self.charge(CompanionFailure::Code(Word::UnknownCode)),
        }
    }

    fn charge<'b>(&mut self, failure: CompanionFailure) -> Effects<Effect<'b>> {
        let (CompanionFailure::Code(word)
        | CompanionFailure::Redeem(word)
        | CompanionFailure::Session(word)) = failure;
        // A connection that has failed leaves the table at once, while its answer is still due.
        let detach = self.is_attached().then_some(CompanionRequest::Detach.into());
        self.state = State::Failing(word);
        Effects::flatten([detach, Some(CompanionRequest::Charge(failure).into())])
    }

    /// Ends an attempt to resume; a fault of the gateway does not count as the companion's failure.
    fn no_session<'b>(&mut self, word: Word, scratch: &'b mut [u8]) -> Effects<Effect<'b>> {
        match word {
            Word::Internal | Word::ClockInDoubt => self.say_no(word, scratch),
            Word::UnknownCode
            | Word::Expired
            | Word::InvalidSignature
            | Word::ExpectedText
            | Word::AlreadyUsed
            | Word::UnknownSession
            | Word::RateLimited
            | Word::OriginNotAllowed => self.charge(CompanionFailure::Session(word)),
        }
    }

    fn welcome<'b>(
        &mut self,
        session: &Session,
        now: Instant,
        unix: UnixTime,
        scratch: &'b mut [u8],
    ) -> Effects<Effect<'b>> {
        let linked = LinkedState {
            session: session.id,
            ends: end_of(session, now, unix),
            keepalive: Keepalive::start(now, &self.limits),
        };
        let said = Saying::Welcome {
            id: session.id.as_bytes(),
            profile: session.profile.label(),
            device_label: session.device_label.as_ref().map(Name::label),
            expires_at: session.expires_at,
        };
        match said.write(scratch) {
            Some(said) => self.enter(
                State::Linked(linked),
                [CompanionRequest::Linked(session.id).into(), Effect::Send(said)],
            ),
            None => self.end(Close::INTERNAL),
        }
    }

    /// Ends the connection with the reason for the companion; a live one leaves the table first.
    fn say_no<'b>(&mut self, word: Word, scratch: &'b mut [u8]) -> Effects<Effect<'b>> {
        let reason = match word {
            Word::Internal => Close::INTERNAL,
            Word::RateLimited => Close::RATE_LIMITED,
            Word::UnknownCode
            | Word::Expired
            | Word::InvalidSignature
            | Word::ExpectedText
            | Word::AlreadyUsed
            | Word::UnknownSession
            | Word::ClockInDoubt
            | Word::OriginNotAllowed => Close::NOT_LET_IN,
        };
        let detach = self.is_attached().then_some(CompanionRequest::Detach.into());
        self.state = State::Closed;
        let said = Saying::No(word).write(scratch).map(Effect::Send);
        Effects::flatten([detach, said, Some(Effect::Close(reason))])
    }

    /// Ends the connection; a live one leaves the table first.
    fn end<'b>(&mut self, reason: Close) -> Effects<Effect<'b>> {
        let detach = self.is_attached().then_some(CompanionRequest::Detach.into());
        self.state = State::Closed;
        Effects::flatten([detach, Some(Effect::Close(reason))])
    }
}

const _: () = assert!(
    core::mem::size_of::<CompanionConnection>() <= 256,
    "one of these stands in memory for every connection"
);

fn admitted(found: Result<Option<&Session>, Failed>, now: UnixTime) -> Result<&Session, Word> {
    let session = found.map_err(|failed| match failed {
        Failed::Store => Word::Internal,
        Failed::ClockInDoubt => Word::ClockInDoubt,
    });
    let session = session?.ok_or(Word::UnknownSession)?;
    match session.admits(now) {
        Ok(()) => Ok(session),
        // An outsider must not learn that the session existed.
        Err(Ended::Revoked) => Err(Word::UnknownSession),
        Err(Ended::Expired) => Err(Word::Expired),
        Err(Ended::ClockInDoubt) => Err(Word::ClockInDoubt),
    }
}

fn end_of(session: &Session, now: Instant, unix: UnixTime) -> Instant {
    now.after(Span::from_secs(session.expires_at.as_secs().saturating_sub(unix.as_secs())))
}

#[cfg(test)]
mod tests;
