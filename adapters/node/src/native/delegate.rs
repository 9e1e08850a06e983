//! A client for the holder of a delegated token: a key that the gateway does not know, admitted by
//! its capability token alone.
//!
//! ```text
//! Open(Delegate), XX ──▶ Part… Present ──▶ Admission ──▶ App, Subscribe
//! ```
//! It has no state to store and retries nothing by itself, so it is a sequence of calls instead of
//! a state machine.

use std::path::PathBuf;
use std::time::Duration;

use getrandom::SysRng;
use handfast_core::Entropy;
use handfast_core::crypto::fingerprint::Fingerprint;
use handfast_core::crypto::keys::OwnKeys;
use handfast_core::crypto::noise::transport::{Receiving, Sending};
use handfast_core::crypto::noise::xx;
use handfast_core::limits::MESSAGE_BYTES;
use handfast_core::wire::close::Close;
use handfast_core::wire::native::link::{Admission, App, Bye, FromGateway, FromNode};
use handfast_core::wire::native::open::{ClearRefusal, FirstAnswer, Intent, Open as Opening};
use handfast_core::wire::native::pair::ChainBytes;
use handfast_core::wire::native::part::{Object, Part};
use handfast_core::wire::native::{Bounded, Payload};
use handfast_core::wire::path::{Action, Address, Pattern};
use handfast_core::wire::registration::Heartbeat;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::address::GatewayAt;
use super::chain::bytes_of;
use super::event::AppMessage;
use super::owner::NotSent;
use super::transport::{NativeLink, NativeTarget, open_first};
use crate::connection::Link as _;
use crate::event::Lost;
use crate::tls::{self, NodeTlsError};
use crate::tokens::SecretText;
use crate::waits::Waits;

/// Maximum silence of a gateway before the link counts as lost.
const SILENCE: Duration = Duration::from_secs(90);

/// The reason for which a delegated link was not opened, or has ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DelegateError {
    /// The connection could not be opened, or was lost.
    #[error("{0}")]
    Lost(Lost),
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] NodeTlsError),
    /// The given text is not a capability token.
    #[error("what was given is no token: a token begins with hf1. and is passed on whole")]
    NoToken,
    /// The token belongs to another holder's keys.
    #[error(
        "the token belongs to another key; have one made for this node's keys (handfast-node identity shows them)"
    )]
    NotTheHolder,
    /// A gateway with another fingerprint answers.
    #[error(
        "another gateway answers: {0}. Nothing was told to it; check the address and --gateway-key"
    )]
    OtherGateway(Fingerprint),
    /// The gateway refused before the handshake. The refusal is unauthenticated.
    #[error("turned away, unsigned; a gateway that has too much to do says so: try again later")]
    TurnedAway,
    /// The gateway does not speak this version. The refusal is unauthenticated.
    #[error(
        "told, unsigned, that another version is spoken there; update this node or the gateway"
    )]
    OtherVersion,
    /// A message is invalid or came at the wrong time.
    #[error("what came was not what the gateway would send")]
    Broken,
    /// The gateway does not accept the token.
    #[error(
        "the gateway does not accept the token: it ran out, was revoked, or is of another gateway; have a new one made"
    )]
    NotAccepted,
    /// The operating system gave no random bytes.
    #[error("the operating system gives no random bytes: {0}")]
    Randomness(#[from] getrandom::Error),
}

impl From<Lost> for DelegateError {
    fn from(lost: Lost) -> Self {
        Self::Lost(lost)
    }
}

/// An event of a delegated link.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DelegateEvent {
    /// A message of the application.
    App(AppMessage),
    /// No scope of the token allows this action.
    NotAllowed {
        /// The refused action.
        action: Action,
        /// An address, or the pattern of a subscription.
        pattern: String,
    },
    /// The gateway ended the link.
    Ended(Bye),
}

/// An open link of the holder of a delegated token.
pub struct DelegateLink {
    carrier: NativeLink,
    sending: Sending,
    /// `None` once a frame could not be decrypted.
    receiving: Option<Receiving>,
    gateway: Fingerprint,
    waits: Waits,
}

impl std::fmt::Debug for DelegateLink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DelegateLink").field("gateway", &self.gateway).finish_non_exhaustive()
    }
}

impl DelegateLink {
    /// Connects to the first of these addresses that answers, and presents the token there. If
    /// `expect` is given, only a gateway with that fingerprint gets the token.
    ///
    /// # Errors
    /// [`DelegateError`] with the cause.
    pub async fn open(
        gateways: Vec<GatewayAt>,
        keys: &OwnKeys,
        token: &SecretText,
        expect: Option<Fingerprint>,
        ca: Option<PathBuf>,
        waits: Waits,
    ) -> Result<Self, DelegateError> {
        let chain = bytes_of(token.expose()).map_err(|_| DelegateError::NoToken)?;
        let facts = super::ChainFacts::read(token.expose()).map_err(|_| DelegateError::NoToken)?;
        // Tested here, because the gateway would only answer that the token is not accepted.
        if facts.holder.channel != *keys.channel.public() {
            return Err(DelegateError::NotTheHolder);
        }
        let tls = gateways
            .iter()
            .any(GatewayAt::is_tls)
            .then(|| tls::client(ca.as_deref()))
            .transpose()?;
        // The holder of a delegated token has no certificate.
        let (gateways, certificates) = (gateways.into(), Vec::new());
        let carrier = open_first(NativeTarget { gateways, tls, certificates, waits }).await?;
        let shaken = timeout(waits.answer_within, shake(carrier, keys, expect, waits)).await;
        let mut link = shaken.map_err(|_| DelegateError::Lost(Lost::Silent))??;
        link.present(&chain).await?;
        match timeout(waits.answer_within, link.admission()).await {
            Ok(admitted) => admitted.map(|()| link),
            Err(_) => Err(DelegateError::Lost(Lost::Silent)),
        }
    }

    /// Returns the fingerprint of the connected gateway.
    #[must_use]
    pub const fn gateway(&self) -> Fingerprint {
        self.gateway
    }

    /// Waits for the next event, and answers heartbeats meanwhile.
    ///
    /// # Errors
    /// [`DelegateError`] if the link is lost or the token is no longer accepted.
    pub async fn next(&mut self) -> Result<DelegateEvent, DelegateError> {
        loop {
            let mut frame = timeout(SILENCE, self.carrier.next())
                .await
                .map_err(|_| DelegateError::Lost(Lost::Silent))??;
            match self.read(&mut frame)? {
                FromGateway::App(App { action, address, bytes }) => {
                    let (address, bytes) = (address.as_str().to_owned(), bytes.as_bytes().to_vec());
                    return Ok(DelegateEvent::App(AppMessage { action, address, bytes }));
                }
                FromGateway::NotAllowed { action, pattern } => {
                    return Ok(DelegateEvent::NotAllowed {
                        action,
                        pattern: pattern.as_str().to_owned(),
                    });
                }
                FromGateway::Bye(bye) => return Ok(DelegateEvent::Ended(bye)),
                // A token can expire or be revoked while the link is open.
                FromGateway::Admission(Admission::NotPaired | Admission::Expired) => {
                    return Err(DelegateError::NotAccepted);
                }
                FromGateway::Heartbeat { .. } => {
                    self.say(&FromNode::Heartbeat(Heartbeat::default())).await?;
                }
                // These messages are for nodes of the registry.
                FromGateway::Admission(Admission::Welcome)
                | FromGateway::Policy(_)
                | FromGateway::Dispatch(_)
                | FromGateway::Part(_)
                | FromGateway::Grant(_)
                | FromGateway::NotRenewed
                | FromGateway::Active(_)
                | FromGateway::Ping { .. }
                | FromGateway::Mark(_)
                | FromGateway::Cancel { .. }
                | FromGateway::Query { .. }
                | FromGateway::Name(_)
                | FromGateway::Admitted(_)
                | FromGateway::Certificate { .. }
                | FromGateway::NotIssued
                | FromGateway::CertificateKey(_) => {}
            }
        }
    }

    /// Sends a message to an address.
    ///
    /// # Errors
    /// [`NotSent`] if the address or the length is invalid, or the link is lost.
    pub async fn send_app(
        &mut self,
        action: Action,
        address: &str,
        bytes: &[u8],
    ) -> Result<(), NotSent> {
        let address = Address::parse(address).map_err(NotSent::Address)?;
        let bytes = Payload::new(bytes).ok_or(NotSent::TooLong)?;
        self.say(&FromNode::App(App { action, address, bytes }))
            .await
            .map_err(|_| NotSent::NotLinked)
    }

    /// Subscribes to messages at addresses that match `pattern`.
    ///
    /// # Errors
    /// [`NotSent`] if the pattern is invalid, or the link is lost.
    pub async fn subscribe(&mut self, pattern: &str) -> Result<(), NotSent> {
        let pattern = Pattern::parse(pattern).map_err(NotSent::Pattern)?;
        self.say(&FromNode::Subscribe { pattern }).await.map_err(|_| NotSent::NotLinked)
    }

    /// Ends the link in order.
    pub async fn close(mut self) {
        // An error has no meaning, because the link ends either way.
        let _ = self.say(&FromNode::Bye(Bye::Done)).await;
        // A gateway that does not answer is not waited for.
        let _ = timeout(self.waits.close_within, self.carrier.close(Close::GOODBYE)).await;
    }

    /// Presents the token. A chain that does not fit one message is sent in parts first.
    async fn present(&mut self, chain: &[u8]) -> Result<(), DelegateError> {
        let chain = match Bounded::new(chain) {
            Some(here) => ChainBytes::Here(here),
            None => {
                for part in Part::cut(Object::Chain, chain).ok_or(DelegateError::NoToken)? {
                    self.say(&FromNode::Part(part)).await?;
                }
                ChainBytes::InParts
            }
        };
        self.say(&FromNode::Present { chain }).await
    }

    async fn admission(&mut self) -> Result<(), DelegateError> {
        let mut frame = self.carrier.next().await?;
        match self.read(&mut frame)? {
            FromGateway::Admission(Admission::Welcome) => Ok(()),
            FromGateway::Admission(Admission::NotPaired | Admission::Expired)
            | FromGateway::Bye(_) => Err(DelegateError::NotAccepted),
            FromGateway::Heartbeat { .. }
            | FromGateway::Policy(_)
            | FromGateway::Dispatch(_)
            | FromGateway::App(_)
            | FromGateway::NotAllowed { .. }
            | FromGateway::Part(_)
            | FromGateway::Grant(_)
            | FromGateway::NotRenewed
            | FromGateway::Active(_)
            | FromGateway::Ping { .. }
            | FromGateway::Mark(_)
            | FromGateway::Cancel { .. }
            | FromGateway::Query { .. }
            | FromGateway::Name(_)
            | FromGateway::Admitted(_)
            | FromGateway::Certificate { .. }
            | FromGateway::NotIssued
            | FromGateway::CertificateKey(_) => Err(DelegateError::Broken),
        }
    }

    fn read<'f>(&mut self, frame: &'f mut [u8]) -> Result<FromGateway<'f>, DelegateError> {
        // A frame that does not open consumes the receiving half, so the link is over.
        let receiving = self.receiving.take().ok_or(DelegateError::Broken)?;
        let (receiving, text) = receiving.open(frame).map_err(|_| DelegateError::Broken)?;
        self.receiving = Some(receiving);
        FromGateway::parse(text).map_err(|_| DelegateError::Broken)
    }

    async fn say(&mut self, message: &FromNode<'_>) -> Result<(), DelegateError> {
        // The plaintext is written into the buffer, so the buffer is wiped.
        let mut room = Zeroizing::new([0; MESSAGE_BYTES]);
        let length = message.write(&mut room[..]).map_err(|_| DelegateError::Broken)?.len();
        let sealed = self.sending.seal(&mut room[..], length).map_err(|_| DelegateError::Broken)?;
        match timeout(self.waits.answer_within, self.carrier.send(sealed)).await {
            Ok(sent) => Ok(sent?),
            Err(_) => Err(DelegateError::Lost(Lost::Silent)),
        }
    }
}

async fn shake(
    mut carrier: NativeLink,
    keys: &OwnKeys,
    expect: Option<Fingerprint>,
    waits: Waits,
) -> Result<DelegateLink, DelegateError> {
    let mut room = Zeroizing::new([0; MESSAGE_BYTES]);
    let open = Opening::new(Intent::Delegate);
    let ephemeral = Entropy::try_draw(&mut SysRng)?;
    let broken = |_| DelegateError::Broken;
    let (initiator, first) =
        xx::Initiator::start(open.prologue(), &ephemeral, &[], &mut room[..]).map_err(broken)?;
    carrier.send(open.as_bytes()).await?;
    carrier.send(first).await?;
    let mut second = carrier.next().await?;
    match FirstAnswer::parse(&second) {
        Ok(FirstAnswer::Handshake(_)) => {}
        Ok(FirstAnswer::Clear(ClearRefusal::Refused)) => return Err(DelegateError::TurnedAway),
        Ok(FirstAnswer::Clear(ClearRefusal::Unsupported { .. })) => {
            return Err(DelegateError::OtherVersion);
        }
        Err(_) => return Err(DelegateError::Broken),
    }
    let (introduced, _) = initiator.read_second(&mut second).map_err(broken)?;
    let gateway = Fingerprint::of(introduced.peer());
    // Compared before the third message, which would reveal this node's key.
    if expect.is_some_and(|expected| expected != gateway) {
        return Err(DelegateError::OtherGateway(gateway));
    }
    let (established, third) =
        introduced.write_third(&keys.channel, &[], &mut room[..]).map_err(broken)?;
    carrier.send(third).await?;
    let (sending, receiving) = (established.sending, Some(established.receiving));
    Ok(DelegateLink { carrier, sending, receiving, gateway, waits })
}
