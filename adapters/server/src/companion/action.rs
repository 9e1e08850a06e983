//! Core's effects, owned, so that they can be carried out across awaits; and what they are answered
//! with.

use axum::extract::ws::Message;
use handfast_core::flow::setup_code::gateway::{Effect, Failed, Failure, NotOpened};
use handfast_core::grant::session::{SessionHash, Token};
use handfast_core::registry::sessions::{Session, SessionId};
use handfast_core::wire::close::Close;

use crate::setup::OwnedSetup;

/// An effect that owns what it needs.
pub(super) enum Action {
    Send(Message),
    Close(Close),
    /// The peer said goodbye: let the answer, which the library has ready, go out.
    FinishClose,
    /// The connection is gone from here on, and this is what the peer hears.
    Break(Close),
    Redeem(Box<OwnedSetup>),
    Resume(SessionHash),
    Attach(SessionId),
    Detach,
    Recheck(SessionId),
    Charge(Failure),
    App(String),
}

/// What an action answers with; becomes the next input.
pub(super) enum Answer {
    Redeemed(Result<Token, NotOpened>),
    Found(Result<Option<Box<Session>>, Failed>),
    Charged(bool),
    /// There is no room for another one.
    Full,
}

/// Turns a borrowing effect into an owned action before the first await.
pub(super) fn own(effect: Effect<'_>) -> Action {
    match effect {
        Effect::Send(text) => Action::Send(Message::Text(text.into())),
        Effect::Ping => Action::Send(Message::Ping(axum::body::Bytes::new())),
        Effect::Close(close) => Action::Close(close),
        Effect::Redeem(verified) => Action::Redeem(Box::new(verified.claims().into())),
        Effect::Resume(hash) => Action::Resume(hash),
        Effect::Attach(session) => Action::Attach(session),
        Effect::Detach => Action::Detach,
        Effect::Recheck(session) => Action::Recheck(session),
        Effect::Charge(failure) => Action::Charge(failure),
        Effect::App(frame) => Action::App(frame.to_owned()),
    }
}
