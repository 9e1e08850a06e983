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
use super::request::NativeOwnerCommand;
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

/// A command on its way to the node, with the place for its answer if the owner waits for one.
pub(super) struct OwnerMessage {
    pub(super) command: NativeOwnerCommand,
    pub(super) answer: Option<Answer>,
}

/// The owner's handle to a node. It can be cloned and used from any task. Commands to a node that
/// has ended are lost.
#[derive(Clone, Debug)]
pub struct NativeOwner(pub(super) mpsc::Sender<OwnerMessage>);

impl fmt::Debug for OwnerMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OwnerMessage")
    }
}

impl NativeOwner {
    /// Starts pairing by this method; if a fingerprint is given, only with the gateway that has it.
    pub async fn pair(&self, wish: PairMethod, expect: Option<Fingerprint>) {
        self.send(NativeOwnerCommand::Pair(wish, expect)).await;
    }

    /// Starts pairing with the token of a setup code, which is shown only to the gateway with this
    /// fingerprint.
    pub async fn pair_with_setup(&self, token: Zeroizing<String>, gateway: Fingerprint) {
        self.send(NativeOwnerCommand::Setup(token, gateway)).await;
    }

    /// Enters the PIN that the gateway shows, or another code after a wrong one. It is dropped if
    /// none is awaited.
    pub async fn enter_code(&self, code: Code) {
        self.send(NativeOwnerCommand::Code(code)).await;
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
        // A mistake is found here, so that the caller learns of it.
        Address::parse(address).map_err(NotSent::Address)?;
        if bytes.len() > PAYLOAD_BYTES {
            return Err(NotSent::TooLong);
        }
        let message = AppMessage { action, address: address.to_owned(), bytes };
        self.ask(NativeOwnerCommand::App(message)).await
    }

    /// Subscribes to messages at addresses that match `pattern`, on this link and on every later
    /// one.
    ///
    /// # Errors
    /// [`NotSent`] with the cause.
    pub async fn subscribe(&self, pattern: &str) -> Result<(), NotSent> {
        Pattern::parse(pattern).map_err(NotSent::Pattern)?;
        self.ask(NativeOwnerCommand::Subscribe(pattern.to_owned())).await
    }

    /// Requests a renewal, if the link is open.
    pub async fn renew(&self, what: Renewable) {
        self.send(NativeOwnerCommand::Renew(what)).await;
    }

    /// Erases the pairing.
    pub async fn forget(&self) {
        self.send(NativeOwnerCommand::Forget).await;
    }

    /// Sets the readings of the next heartbeats.
    pub async fn tell(&self, vitals: Vitals) {
        self.send(NativeOwnerCommand::Vitals(vitals)).await;
    }

    async fn send(&self, command: NativeOwnerCommand) {
        // A node that has ended obeys no command.
        let _ = self.0.send(OwnerMessage { command, answer: None }).await;
    }

    async fn ask(&self, command: NativeOwnerCommand) -> Result<(), NotSent> {
        let (answer, answered) = oneshot::channel();
        let message = OwnerMessage { command, answer: Some(answer) };
        self.0.send(message).await.map_err(|_| NotSent::Ended)?;
        // The answer is dropped only if the node ends.
        answered.await.unwrap_or(Err(NotSent::Ended))
    }
}
