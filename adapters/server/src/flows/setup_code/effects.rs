//! Core's effects in owned form, so that they outlive an await, and the answers to them.

use axum::extract::ws::Message;
use handfast_core::flow::setup_code::gateway::{
    CompanionRequest, Effect, Failed, SessionNotOpened,
};
use handfast_core::grant::session::Token;
use handfast_core::registry::sessions::Session;

use crate::connection::action::Action;
use crate::operator::bound_setup::OwnedSetup;

/// An effect in owned form.
pub(super) type CompanionAction = Action<Message, CompanionJob>;

/// Work that needs no socket. An effect that borrows from the step's buffers is copied, because the
/// work awaits; a request of core is handed on as it is.
pub(crate) enum CompanionJob {
    Request(CompanionRequest),
    Redeem(Box<OwnedSetup>),
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
    CompanionAction::Work(match effect {
        Effect::Send(text) => return CompanionAction::Send(Message::Text(text.into())),
        Effect::Ping => return CompanionAction::Send(Message::Ping(axum::body::Bytes::new())),
        Effect::Close(close) => return CompanionAction::Close(close),
        Effect::Request(request) => CompanionJob::Request(request),
        Effect::Redeem(verified) => CompanionJob::Redeem(Box::new(verified.claims().into())),
        Effect::App(frame) => CompanionJob::App(frame.to_owned()),
    })
}
