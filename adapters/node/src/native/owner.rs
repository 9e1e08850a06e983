//! Commands of the owner of a node of the native wire.

use std::fmt;

use handfast_core::crypto::code::Code;
use handfast_core::crypto::fingerprint::Fingerprint;
use handfast_core::flow::native::node::PairMethod;
use handfast_core::limits::PAYLOAD_BYTES;
use handfast_core::wire::path::{Action, Address, Pattern, ScopeError};
use tokio::sync::{mpsc, oneshot};
use zeroize::Zeroizing;

use super::event::AppMessage;
use crate::event::Vitals;

/// A kind of token that the owner can renew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewable {
    /// The capability token, which the node stores. The node also renews it by itself in good time.
    Chain,
    /// A bearer token for minutes: [`NativeEvent::Bearer`](super::NativeEvent::Bearer).
    Bearer,
}

/// The reason for which something was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotSent {
    /// The address is invalid.
    #[error("the address is none: {0}; write it like /lights/room1")]
    Address(ScopeError),
    /// The pattern is invalid.
    #[error("the pattern is none: {0}; write it like /lights/**")]
    Pattern(ScopeError),
    /// The message exceeds the payload limit.
    #[error("that is more than the {PAYLOAD_BYTES} bytes of one message; send it in pieces")]
    TooLong,
    /// The link is not open.
    #[error("the node is not linked now; send it again once it is")]
    NotLinked,
    /// The link has the maximum number of subscriptions.
    #[error("there are too many subscriptions; subscribe to a wider pattern instead of several")]
    TooMany,
    /// The node has ended.
    #[error("the node has ended")]
    Ended,
}

type Answer = oneshot::Sender<Result<(), NotSent>>;

pub(super) enum NativeOwnerCommand {
    Pair(PairMethod, Option<Fingerprint>),
    Setup(Zeroizing<String>, Fingerprint),
    Code(Code),
    App(AppMessage, Answer),
    Subscribe(String, Answer),
    Renew(Renewable),
    Forget,
    Vitals(Vitals),
}

/// The owner's handle to a node. It can be cloned and used from any task. Commands to a node that
/// has ended are lost.
#[derive(Clone, Debug)]
pub struct NativeOwner(pub(super) mpsc::Sender<NativeOwnerCommand>);

impl fmt::Debug for NativeOwnerCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Word")
    }
}

impl NativeOwner {
    /// Starts pairing by this method; if a fingerprint is given, only with the gateway that has it.
    pub async fn pair(&self, wish: PairMethod, expect: Option<Fingerprint>) {
        let _ = self.0.send(NativeOwnerCommand::Pair(wish, expect)).await;
    }

    /// Starts pairing with the token of a setup code, which is shown only to the gateway with this
    /// fingerprint.
    pub async fn pair_with_setup(&self, token: Zeroizing<String>, gateway: Fingerprint) {
        let _ = self.0.send(NativeOwnerCommand::Setup(token, gateway)).await;
    }

    /// Enters the PIN that the gateway shows, or another code after a wrong one. It is dropped if
    /// none is awaited.
    pub async fn enter_code(&self, code: Code) {
        let _ = self.0.send(NativeOwnerCommand::Code(code)).await;
    }

    /// Sends a message over the link. `Ok` means that it was sent, not that it was allowed: see
    /// [`NativeEvent::NotAllowed`](super::NativeEvent::NotAllowed).
    ///
    /// # Errors
    /// [`NotSent`] with the cause.
    pub async fn send_app(
        &self,
        action: Action,
        address: &str,
        bytes: Vec<u8>,
    ) -> Result<(), NotSent> {
        Address::parse(address).map_err(NotSent::Address)?;
        if bytes.len() > PAYLOAD_BYTES {
            return Err(NotSent::TooLong);
        }
        let message = AppMessage { action, address: address.to_owned(), bytes };
        self.ask(|answer| NativeOwnerCommand::App(message, answer)).await
    }

    /// Subscribes to messages at addresses that match `pattern`, on this link and on every later
    /// one.
    ///
    /// # Errors
    /// [`NotSent`] with the cause.
    pub async fn subscribe(&self, pattern: &str) -> Result<(), NotSent> {
        Pattern::parse(pattern).map_err(NotSent::Pattern)?;
        self.ask(|answer| NativeOwnerCommand::Subscribe(pattern.to_owned(), answer)).await
    }

    /// Requests a renewal, if the link is open.
    pub async fn renew(&self, what: Renewable) {
        let _ = self.0.send(NativeOwnerCommand::Renew(what)).await;
    }

    /// Erases the pairing.
    pub async fn forget(&self) {
        let _ = self.0.send(NativeOwnerCommand::Forget).await;
    }

    /// Sets the readings of the next heartbeats.
    pub async fn tell(&self, vitals: Vitals) {
        let _ = self.0.send(NativeOwnerCommand::Vitals(vitals)).await;
    }

    async fn ask(&self, word: impl FnOnce(Answer) -> NativeOwnerCommand) -> Result<(), NotSent> {
        let (answer, answered) = oneshot::channel();
        self.0.send(word(answer)).await.map_err(|_| NotSent::Ended)?;
        answered.await.unwrap_or(Err(NotSent::Ended))
    }
}
