//! The client of a companion: a phone or a program of a person that shows a setup code to its
//! gateway, keeps the session that comes of it, and uses it.
//!
//! A companion has no keys. Its [`Endpoint`] refuses a connection without TLS to a host outside the
//! local network, and its [`SessionFile`] is private.

mod code;
mod connection;
mod endpoint;
mod link;
mod pair;
mod session_file;

pub use code::{CompanionCode, NotACode};
pub use connection::{SessionRequest, request};
pub use endpoint::Endpoint;
pub use handfast_public_url::{ExtraHost, UrlRefused};
pub use link::{CompanionFrame, CompanionLink};
pub use pair::pair;
pub use session_file::{NewSessionFile, SessionFile, SessionFileError, StoredSession};

use crate::event::Lost;
use crate::tls::NodeTlsError;

/// The reason for which a gateway did not do what its companion asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompanionError {
    /// The address may not be used.
    #[error("the address of the gateway cannot be used: {0}")]
    Address(#[from] UrlRefused),
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] NodeTlsError),
    /// The connection could not be opened.
    #[error("{0}")]
    NotOpened(Lost),
    /// The connection broke.
    #[error("the connection to {url} broke: {why}")]
    Broken {
        /// Address of the gateway.
        url: String,
        /// The cause, safe to display.
        why: String,
    },
    /// The gateway closed the connection, or the connection ended.
    #[error("{0}")]
    Ended(Lost),
    /// The gateway does not answer.
    #[error(
        "{url} does not answer; check the address, and that a firewall lets port {port} through"
    )]
    Silent {
        /// Address of the gateway.
        url: String,
        /// Port of the gateway.
        port: u16,
    },
    /// The gateway refused a code or a session. The word is the gateway's, unchecked: one of
    /// [`Word::ALL`](handfast_core::wire::companion::Word::ALL) if both are of one version.
    #[error("the gateway says {0:?}")]
    Refused(String),
    /// The gateway refused a request about the session.
    #[error("{url} refused: {message:?}")]
    NotDone {
        /// Address of the gateway.
        url: String,
        /// Status code of HTTP.
        status: u16,
        /// The gateway's message, unchecked.
        message: String,
    },
    /// The gateway answered something else than an answer to a companion.
    #[error("{url} answered something that is not understood; is it a gateway for companions?")]
    NotUnderstood {
        /// Address of the gateway.
        url: String,
    },
    /// The gateway did not answer to a code, which may or may not be spent.
    #[error("{url} did not answer, so whether the code is spent is not known")]
    NoAnswer {
        /// Address of the gateway.
        url: String,
    },
}
