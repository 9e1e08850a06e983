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
//! Only failures are counted, after the check: other peers of the same source cannot keep out a
//! companion with a valid code or session.
//!
//! A session is looked up once more after pushes reach the connection, so that no revocation is
//! missed in between, and at its end, because it may have been prolonged meanwhile.

use crate::grant::session::{SessionHash, Token};
use crate::grant::setup_code::{NotValid, SetupKey, VERIFY_SCRATCH, VerifiedSetupCode, verify};
use crate::limits::{Limits, SETUP_CLAIMS_BYTES};
use crate::link::keepalive::{Due, Keepalive};
use crate::registry::sessions::{Ended, NotRedeemed, Session, SessionId};
use crate::step::{Machine, Step};
use crate::text::Name;
use crate::time::{Instant, Reason, Span, UnixTime};
use crate::wire::close::Close;
use crate::wire::companion::{First, Saying, Word};

/// The machine of one companion's connection.
#[derive(Debug)]
pub struct CompanionConnection {
    limits: Limits,
    state: State,
}

#[derive(Clone, Copy, Debug)]
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
struct LinkedState {
    session: SessionId,
    ends: Instant,
    keepalive: Keepalive,
}

/// An event on a connection.
#[derive(Debug)]
pub enum Input<'b> {
    /// A text frame arrived.
    Text {
        /// The content of the frame.
        frame: &'b str,
        /// The setup keys in force.
        keys: &'b [SetupKey],
        /// The current time.
        now: UnixTime,
    },
    /// A binary frame arrived.
    Binary,
    /// The answer to [`Effect::Charge`]: `true` if the source had an attempt left.
    Charged(bool),
    /// The first frame comes from a web page of another origin.
    WrongOrigin,
    /// The answer to [`Effect::Redeem`], with the token of the session that is now durable.
    Redeemed(Result<Token, SessionNotOpened>),
    /// The answer to [`Effect::Resume`], [`Effect::Attach`] and [`Effect::Recheck`]: the session,
    /// if there is one, and the current time.
    Found(Result<Option<&'b Session>, Failed>, UnixTime),
    /// The time of day has jumped: the session is looked up again, and its end computed anew.
    LookAgain,
    /// The session was revoked.
    Revoked,
    /// The same session was resumed on a newer connection.
    Replaced,
    /// The peer answered a ping.
    Pong,
    /// The deadline has come.
    Tick,
    /// The gateway shuts down.
    Shutdown,
    /// Another connection needs the slot.
    Evict,
    /// The connection is closed.
    Closed,
}

/// The reason for not opening a session with a verified code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionNotOpened {
    /// The registry refused.
    No(NotRedeemed),
    /// The session could not be made durable.
    Failed,
}

/// The reason why a session's validity is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failed {
    /// The registry could not be read.
    Store,
    /// The session's expiry depends on a jump of a clock in doubt.
    ClockInDoubt,
}

/// A failure and its word on the wire. Codes and sessions have separate budgets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompanionFailure {
    /// The first frame holds no valid code.
    Code(Word),
    /// A valid code opened no session.
    Redeem(Word),
    /// No live session has this token.
    Session(Word),
}

/// A request of a connection to the adapter.
#[derive(Debug)]
pub enum Effect<'b> {
    /// Send a text frame.
    Send(&'b str),
    /// Send a ping.
    Ping,
    /// Close the connection.
    Close(Close),
    /// Spend this code and open a session, durably and atomically.
    Redeem(VerifiedSetupCode<'b>),
    /// Look up the session with this hash.
    Resume(SessionHash),
    /// Register this as the session's live connection, tell an older one that it is
    /// [replaced](Input::Replaced), and then look up the session once more.
    Attach(SessionId),
    /// Remove the connection from the table of live ones if it is still the session's entry.
    Detach,
    /// Look up the session once more.
    Recheck(SessionId),
    /// Count this failure for the source.
    Charge(CompanionFailure),
    /// Pass a frame to the application.
    App(&'b str),
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

    /// Returns `true` once the connection has ended; every further input is ignored.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// Returns `true` while an effect's answer is due. Until then the adapter reads no further
    /// frame.
    #[must_use]
    pub const fn awaits_answer(&self) -> bool {
        match self.state {
            State::Redeeming
            | State::Resuming
            | State::Attaching
            | State::Rechecking(_)
            | State::Failing(_) => true,
            State::AwaitFirst { .. } | State::Linked(_) | State::Closed => false,
        }
    }

    /// Returns the state's name, for traces and tables.
    #[must_use]
    pub const fn state_name(&self) -> &'static str {
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

impl Machine for CompanionConnection {
    type Input<'b> = Input<'b>;
    type Effect<'b> = Effect<'b>;

    /// Advances the machine; [`COMPANION_SCRATCH`](crate::limits::COMPANION_SCRATCH) suffices as
    /// scratch.
    fn step<'b>(
        self,
        now: Instant,
        input: Input<'b>,
        scratch: &'b mut [u8],
    ) -> Step<Self, Effect<'b>> {
        let limits = self.limits;
        let step = match (self.state, input) {
            (State::Closed, _) => Step::quiet(State::Closed),
            (State::Linked(_) | State::Rechecking(_) | State::Attaching, Input::Closed) => {
                Step::with(State::Closed, [Effect::Detach])
            }
            (_, Input::Closed) => Step::quiet(State::Closed),
            (state, Input::Shutdown) => end(state, Close::SHUTTING_DOWN),
            (state @ State::AwaitFirst { .. }, Input::Evict) => end(state, Close::AT_CAPACITY),

            (State::AwaitFirst { .. }, Input::Text { frame, keys, now: unix }) => {
                on_first(frame, keys, unix, scratch)
            }
            (State::AwaitFirst { .. }, Input::Binary) => {
                charge(CompanionFailure::Code(Word::ExpectedText))
            }
            (State::AwaitFirst { .. }, Input::WrongOrigin) => {
                say_no(Word::OriginNotAllowed, scratch)
            }
            (state @ State::AwaitFirst { until }, Input::Tick) if until <= now => {
                end(state, Close::AUTHENTICATION_TIMEOUT)
            }

            (State::Redeeming, Input::Redeemed(Ok(token))) => match Saying::Opened(&token)
                .write(scratch)
            {
                Some(said) => {
                    Step::with(State::Closed, [Effect::Send(said), Effect::Close(Close::GOODBYE)])
                }
                None => end(State::Redeeming, Close::INTERNAL),
            },
            (State::Redeeming, Input::Redeemed(Err(why))) => match why {
                SessionNotOpened::No(NotRedeemed::AlreadyUsed) => {
                    charge(CompanionFailure::Redeem(Word::AlreadyUsed))
                }
                SessionNotOpened::No(NotRedeemed::Expired) => {
                    charge(CompanionFailure::Redeem(Word::Expired))
                }
                // A doubtful clock and a failing store are no guesses, so they cost no attempt.
                SessionNotOpened::No(NotRedeemed::ClockInDoubt) => {
                    say_no(Word::ClockInDoubt, scratch)
                }
                SessionNotOpened::Failed => say_no(Word::Internal, scratch),
            },
            (State::Failing(word), Input::Charged(true)) => say_no(word, scratch),
            (State::Failing(_), Input::Charged(false)) => say_no(Word::RateLimited, scratch),

            (State::Resuming, Input::Found(found, unix)) => match admitted(found, unix) {
                Ok(session) => Step::with(State::Attaching, [Effect::Attach(session.id)]),
                Err(word) => no_session(word, scratch),
            },
            (State::Attaching, Input::Found(found, unix)) => match admitted(found, unix) {
                Ok(session) => welcome(session, now, unix, &limits, scratch),
                // The session has ended between the two look-ups, or the store failed.
                Err(word) => no_session(word, scratch).first(Effect::Detach),
            },
            (State::Rechecking(linked), Input::Found(found, unix)) => match admitted(found, unix) {
                Ok(session) => Step::quiet(State::Linked(LinkedState {
                    ends: end_of(session, now, unix),
                    ..linked
                })),
                // A failure of the store is reported as such, not as the end of the session.
                Err(Word::Internal) => end(State::Rechecking(linked), Close::INTERNAL),
                Err(_) => end(State::Rechecking(linked), Close::SESSION_ENDED),
            },

            (
                state @ (State::Linked(_) | State::Rechecking(_) | State::Attaching),
                Input::Revoked,
            ) => end(state, Close::SESSION_ENDED),
            (
                state @ (State::Linked(_) | State::Rechecking(_) | State::Attaching),
                Input::Replaced,
            ) => end(state, Close::REPLACED),
            (State::Linked(linked), Input::Text { frame, .. }) => {
                let keepalive = linked.keepalive.heard(now, &limits);
                Step::with(State::Linked(LinkedState { keepalive, ..linked }), [Effect::App(frame)])
            }
            // Companions speak in text frames only.
            (state @ State::Linked(_), Input::Binary) => end(state, Close::PROTOCOL_VIOLATION),
            (State::Linked(linked), Input::Pong) => Step::quiet(State::Linked(LinkedState {
                keepalive: linked.keepalive.heard(now, &limits),
                ..linked
            })),
            // The session may have been prolonged, so it is looked up before the link ends.
            (State::Linked(linked), Input::Tick) if linked.ends <= now => {
                Step::with(State::Rechecking(linked), [Effect::Recheck(linked.session)])
            }
            (State::Linked(linked), Input::LookAgain) => {
                Step::with(State::Rechecking(linked), [Effect::Recheck(linked.session)])
            }
            (State::Linked(linked), Input::Tick) => {
                let (keepalive, due) = linked.keepalive.tick(now, &limits);
                let next = State::Linked(LinkedState { keepalive, ..linked });
                match due {
                    Due::Nothing => Step::quiet(next),
                    Due::Ping => Step::with(next, [Effect::Ping]),
                    Due::Lost => end(next, Close::PING_TIMEOUT),
                }
            }
            (state, _) => Step::quiet(state),
        };
        step.wrap(|state| Self { limits, state }, |effect| effect)
    }

    fn deadline(&self) -> Option<(Instant, Reason)> {
        match self.state {
            State::AwaitFirst { until } => Some((until, Reason::FirstMessage)),
            State::Linked(linked) => {
                let (at, reason) = linked.keepalive.deadline();
                Some(if linked.ends <= at { (linked.ends, Reason::Ends) } else { (at, reason) })
            }
            State::Redeeming
            | State::Resuming
            | State::Attaching
            | State::Rechecking(_)
            | State::Failing(_)
            | State::Closed => None,
        }
    }
}

fn on_first<'b>(
    frame: &'b str,
    keys: &[SetupKey],
    now: UnixTime,
    scratch: &'b mut [u8],
) -> Step<State, Effect<'b>> {
    // The scratch is split by use: the frame's texts, and the claims.
    let Some((room, rest)) = scratch.split_at_mut_checked(SETUP_CLAIMS_BYTES) else {
        return end(State::Redeeming, Close::INTERNAL);
    };
    let Some((claims, _)) = rest.split_at_mut_checked(VERIFY_SCRATCH) else {
        return end(State::Redeeming, Close::INTERNAL);
    };
    // A genuine token needs no escapes and therefore no room.
    match First::parse(frame, room) {
        First::Bootstrap(token) => match verify(keys, token, now, claims) {
            // A code that binds to a device's key opens no session.
            Ok(verified) if verified.claims().bound => {
                charge(CompanionFailure::Code(Word::UnknownCode))
            }
            Ok(verified) => Step::with(State::Redeeming, [Effect::Redeem(verified)]),
            Err(NotValid::Expired) => charge(CompanionFailure::Code(Word::Expired)),
            Err(NotValid::Signature) => charge(CompanionFailure::Code(Word::InvalidSignature)),
            Err(
                NotValid::Form
                | NotValid::ClaimsEncoding
                | NotValid::SignatureEncoding
                | NotValid::Claims,
            ) => charge(CompanionFailure::Code(Word::UnknownCode)),
        },
        First::Resume(Some(token)) => {
            Step::with(State::Resuming, [Effect::Resume(SessionHash::of(&token))])
        }
        First::Resume(None) => charge(CompanionFailure::Session(Word::UnknownSession)),
        First::Neither => charge(CompanionFailure::Code(Word::UnknownCode)),
    }
}

fn charge<'b>(failure: CompanionFailure) -> Step<State, Effect<'b>> {
    let (CompanionFailure::Code(word)
    | CompanionFailure::Redeem(word)
    | CompanionFailure::Session(word)) = failure;
    Step::with(State::Failing(word), [Effect::Charge(failure)])
}

/// Ends an attempt to resume; a fault of the gateway does not count as the companion's failure.
fn no_session<'b>(word: Word, scratch: &'b mut [u8]) -> Step<State, Effect<'b>> {
    match word {
        Word::Internal | Word::ClockInDoubt => say_no(word, scratch),
        Word::UnknownCode
        | Word::Expired
        | Word::InvalidSignature
        | Word::ExpectedText
        | Word::AlreadyUsed
        | Word::UnknownSession
        | Word::RateLimited
        | Word::OriginNotAllowed => charge(CompanionFailure::Session(word)),
    }
}

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

fn welcome<'b>(
    session: &Session,
    now: Instant,
    unix: UnixTime,
    limits: &Limits,
    scratch: &'b mut [u8],
) -> Step<State, Effect<'b>> {
    let linked = LinkedState {
        session: session.id,
        ends: end_of(session, now, unix),
        keepalive: Keepalive::start(now, limits),
    };
    let said = Saying::Welcome {
        id: session.id.as_bytes(),
        profile: session.profile.label(),
        device_label: session.device_label.as_ref().map(Name::label),
        expires_at: session.expires_at,
    };
    match said.write(scratch) {
        Some(said) => Step::with(State::Linked(linked), [Effect::Send(said)]),
        None => end(State::Linked(linked), Close::INTERNAL),
    }
}

fn say_no<'b>(word: Word, scratch: &'b mut [u8]) -> Step<State, Effect<'b>> {
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
    let close = Effect::Close(reason);
    match Saying::No(word).write(scratch) {
        Some(said) => Step::with(State::Closed, [Effect::Send(said), close]),
        None => Step::with(State::Closed, [close]),
    }
}

/// Ends the connection; a live one leaves the table first.
fn end<'b>(state: State, reason: Close) -> Step<State, Effect<'b>> {
    match state {
        State::Attaching | State::Linked(_) | State::Rechecking(_) => {
            Step::with(State::Closed, [Effect::Detach, Effect::Close(reason)])
        }
        State::AwaitFirst { .. }
        | State::Redeeming
        | State::Resuming
        | State::Failing(_)
        | State::Closed => Step::with(State::Closed, [Effect::Close(reason)]),
    }
}

#[cfg(test)]
mod tests;
