//! Core's effects in owned form, so that they outlive an await, and the answers to them.

use axum::extract::ws::Message;
use handfast_core::flow::setup_code::gateway::{
    CompanionFailure, Effect, Failed, SessionNotOpened,
};
use handfast_core::grant::session::{SessionHash, Token};
use handfast_core::registry::sessions::{Session, SessionId};

use crate::connection::action::Action;
use crate::operator::bound_setup::OwnedSetup;

/// An effect in owned form.
pub(super) type CompanionAction = Action<Message, CompanionRequest>;

/// A request that needs no socket.
pub(crate) enum CompanionRequest {
    Redeem(Box<OwnedSetup>),
    Resume(SessionHash),
    Attach(SessionId),
    Detach,
    Recheck(SessionId),
    Charge(CompanionFailure),
    App(String),
}

/// An answer to a request, which becomes the next input.
pub(super) enum CompanionAnswer {
    Redeemed(Result<Token, SessionNotOpened>),
    Found(Result<Option<Box<Session>>, Failed>),
    Charged(bool),
    /// The gateway has no room for another link.
    Full,
}

/// Turns a borrowing effect into an owned action before the first await.
pub(super) fn own(effect: Effect<'_>) -> CompanionAction {
    let request = match effect {
        Effect::Send(text) => return CompanionAction::Send(Message::Text(text.into())),
        Effect::Ping => return CompanionAction::Send(Message::Ping(axum::body::Bytes::new())),
        Effect::Close(close) => return CompanionAction::Close(close),
        Effect::Redeem(verified) => CompanionRequest::Redeem(Box::new(verified.claims().into())),
        Effect::Resume(hash) => CompanionRequest::Resume(hash),
        Effect::Attach(session) => CompanionRequest::Attach(session),
        Effect::Detach => CompanionRequest::Detach,
        Effect::Recheck(session) => CompanionRequest::Recheck(session),
        Effect::Charge(failure) => CompanionRequest::Charge(failure),
        Effect::App(frame) => CompanionRequest::App(frame.to_owned()),
    };
    CompanionAction::Request(request)
}
