//! What the owner of a node of the native wire may tell it.

use std::fmt;

use handfast_core::crypto::code::Code;
use handfast_core::crypto::fingerprint::Fingerprint;
use handfast_core::flow::native::node::Wish;
use handfast_core::limits::PAYLOAD_BYTES;
use handfast_core::wire::path::{Action, Address, Pattern, ScopeError};
use tokio::sync::{mpsc, oneshot};
use zeroize::Zeroizing;

use super::event::AppMessage;
use crate::event::Vitals;

/// What a node's owner wants renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewable {
    /// Its token, which it keeps. It does so by itself in good time.
    Chain,
    /// A bearer token for minutes: [`NativeEvent::Bearer`](super::NativeEvent::Bearer).
    Bearer,
}

/// Why something was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotSent {
    /// It goes nowhere.
    #[error("the address is none: {0}; write it like /lights/room1")]
    Address(ScopeError),
    /// It matches nothing.
    #[error("the pattern is none: {0}; write it like /lights/**")]
    Pattern(ScopeError),
    /// It is more than fits into a message.
    #[error("that is more than the {PAYLOAD_BYTES} bytes of one message; send it in pieces")]
    TooLong,
    /// The link is not open.
    #[error("the node is not linked now; send it again once it is")]
    NotLinked,
    /// There are as many as a link may have.
    #[error("there are too many subscriptions; subscribe to a wider pattern instead of several")]
    TooMany,
    /// The node has ended.
    #[error("the node has ended")]
    Ended,
}

type Answer = oneshot::Sender<Result<(), NotSent>>;

pub(super) enum Word {
    Pair(Wish, Option<Fingerprint>),
    Setup(Zeroizing<String>, Fingerprint),
    Code(Code),
    App(AppMessage, Answer),
    Subscribe(String, Answer),
    Renew(Renewable),
    Forget,
    Vitals(Vitals),
}

/// The owner's end of a node: may be cloned, and used from any task. Whatever is told to a node
/// that has ended is lost.
#[derive(Clone, Debug)]
pub struct NativeOwner(pub(super) mpsc::Sender<Word>);

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Word")
    }
}

impl NativeOwner {
    /// Have the node paired so, and if a fingerprint is given with no other gateway.
    pub async fn pair(&self, wish: Wish, expect: Option<Fingerprint>) {
        let _ = self.0.send(Word::Pair(wish, expect)).await;
    }

    /// Have the node paired with the token of a setup code, which is shown to the gateway with this
    /// fingerprint alone.
    pub async fn pair_with_setup(&self, token: Zeroizing<String>, gateway: Fingerprint) {
        let _ = self.0.send(Word::Setup(token, gateway)).await;
    }

    /// The PIN that the gateway shows, or another code after a wrong one. Where none is awaited it
    /// is dropped.
    pub async fn enter_code(&self, code: Code) {
        let _ = self.0.send(Word::Code(code)).await;
    }

    /// Sends something over the link. That it was sent does not say that it was allowed:
    /// [`NativeEvent::NotAllowed`](super::NativeEvent::NotAllowed).
    ///
    /// # Errors
    /// [`NotSent`].
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
        self.ask(|answer| Word::App(message, answer)).await
    }

    /// Hears from now on of what happens there, on this link and on every later one.
    ///
    /// # Errors
    /// [`NotSent`].
    pub async fn subscribe(&self, pattern: &str) -> Result<(), NotSent> {
        Pattern::parse(pattern).map_err(NotSent::Pattern)?;
        self.ask(|answer| Word::Subscribe(pattern.to_owned(), answer)).await
    }

    /// Wants something renewed, if the link is open.
    pub async fn renew(&self, what: Renewable) {
        let _ = self.0.send(Word::Renew(what)).await;
    }

    /// Forget the pairing.
    pub async fn forget(&self) {
        let _ = self.0.send(Word::Forget).await;
    }

    /// What the next heartbeats tell.
    pub async fn tell(&self, vitals: Vitals) {
        let _ = self.0.send(Word::Vitals(vitals)).await;
    }

    async fn ask(&self, word: impl FnOnce(Answer) -> Word) -> Result<(), NotSent> {
        let (answer, answered) = oneshot::channel();
        self.0.send(word(answer)).await.map_err(|_| NotSent::Ended)?;
        answered.await.unwrap_or(Err(NotSent::Ended))
    }
}
