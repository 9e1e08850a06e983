//! Core's effects in owned form, so that they outlive an await, and the answers to them.

use axum::extract::ws::Message;
use handfast_core::flow::setup_code::gateway::{
    CompanionFailure, Effect, Failed, SessionNotOpened,
};
use handfast_core::grant::session::{SessionHash, Token};
use handfast_core::registry::sessions::{Session, SessionId};
use handfast_core::wire::close::Close;

use crate::operator::bound_setup::OwnedSetup;

/// An effect in owned form.
pub(super) enum CompanionAction {
    Send(Message),
    Close(Close),
    /// The peer has sent a close frame: let the reply, which the library has ready, go out.
    FinishClose,
    /// The peer has broken the protocol: the connection ends here, with this close frame.
    Break(Close),
    Redeem(Box<OwnedSetup>),
    Resume(SessionHash),
    Attach(SessionId),
    Detach,
    Recheck(SessionId),
    Charge(CompanionFailure),
    App(String),
}

/// An answer to an action, which becomes the next input.
pub(super) enum CompanionAnswer {
    Redeemed(Result<Token, SessionNotOpened>),
    Found(Result<Option<Box<Session>>, Failed>),
    Charged(bool),
    /// The gateway has no room for another link.
    Full,
}

/// Turns a borrowing effect into an owned action before the first await.
pub(super) fn own(effect: Effect<'_>) -> CompanionAction {
    match effect {
        Effect::Send(text) => CompanionAction::Send(Message::Text(text.into())),
        Effect::Ping => CompanionAction::Send(Message::Ping(axum::body::Bytes::new())),
        Effect::Close(close) => CompanionAction::Close(close),
        Effect::Redeem(verified) => CompanionAction::Redeem(Box::new(verified.claims().into())),
        Effect::Resume(hash) => CompanionAction::Resume(hash),
        Effect::Attach(session) => CompanionAction::Attach(session),
        Effect::Detach => CompanionAction::Detach,
        Effect::Recheck(session) => CompanionAction::Recheck(session),
        Effect::Charge(failure) => CompanionAction::Charge(failure),
        Effect::App(frame) => CompanionAction::App(frame.to_owned()),
    }
}
