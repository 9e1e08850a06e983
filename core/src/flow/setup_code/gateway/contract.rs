//! The inputs and effects of the machine.

use crate::grant::session::{SessionHash, Token};
use crate::grant::setup_code::{SetupKey, VerifiedSetupCode};
use crate::registry::sessions::{NotRedeemed, Session, SessionId};
use crate::time::UnixTime;
use crate::wire::close::Close;
use crate::wire::companion::Word;

/// An event on a connection.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Input<'b> {
    /// A text frame arrived.
    Text {
        /// The content of the frame.
        frame: &'b str,
        /// The setup keys in force.
        keys: &'b [SetupKey],
    },
    /// A binary frame arrived.
    Binary,
    /// The answer to [`CompanionRequest::Charge`]: `true` if the source had an attempt left.
    Charged(bool),
    /// The first frame comes from a web page of another origin.
    WrongOrigin,
    /// The answer to [`Effect::Redeem`], with the token of the session that is now durable.
    Redeemed(Result<Token, SessionNotOpened>),
    /// The answer to [`CompanionRequest::Resume`], [`CompanionRequest::Attach`] and [`CompanionRequest::Recheck`]: the session,
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
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum SessionNotOpened {
    /// The registry refused.
    No(NotRedeemed),
    /// The session could not be made durable.
    Failed,
}

/// The reason why a session's validity is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Failed {
    /// The registry could not be read.
    Store,
    /// The session's expiry depends on a jump of a clock in doubt.
    ClockInDoubt,
}

/// A failure and its word on the wire. Codes and sessions have separate budgets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum CompanionFailure {
    /// The first frame holds no valid code.
    Code(Word),
    /// A valid code opened no session.
    Redeem(Word),
    /// No live session has this token.
    Session(Word),
}

/// An action that a connection asks its adapter for.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Effect<'b> {
    /// Send a text frame.
    Send(&'b str),
    /// Send a ping.
    Ping,
    /// Close the connection.
    Close(Close),
    /// Spend this code and open a session, durably and atomically, unless the code has expired.
    Redeem(VerifiedSetupCode<'b>),
    /// Pass a frame to the application.
    App(&'b str),
    /// Carry out a request that needs no connection.
    Request(CompanionRequest),
}

/// A request of a connection to the adapter. It owns all it carries, so it can wait.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum CompanionRequest {
    /// Look up the session with this hash.
    Resume(SessionHash),
    /// Register this as the session's live connection, tell an older one that it is
    /// [replaced](Input::Replaced), and then look up the session once more.
    Attach(SessionId),
    /// The companion is linked: its connection leaves the places of those that have not
    /// authenticated.
    Linked(SessionId),
    /// Remove the connection from the table of live ones if it is still the session's entry.
    Detach,
    /// Look up the session once more.
    Recheck(SessionId),
    /// Count this failure for the source.
    Charge(CompanionFailure),
}

impl From<CompanionRequest> for Effect<'_> {
    fn from(request: CompanionRequest) -> Self {
        Self::Request(request)
    }
}
