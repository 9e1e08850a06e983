//! The messages of the registration flow and of its link, as plain types. A dialect
//! ([`super::missy`]) turns them into bytes.

use serde::{Deserialize, Serialize};

use super::json::Number;
use super::token::Token;
use crate::id::NodeId;
use crate::text::Label;

/// A message from a node.
#[derive(Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum NodeMessage<'b> {
    /// A request to be paired.
    PairRequest(PairRequest<'b>),
    /// The credentials of a paired node.
    Auth(Auth),
    /// The values of a linked node.
    Heartbeat(Heartbeat<'b>),
    /// A message of the application, which only the application interprets.
    Other,
}

/// The self-description of a node that asks to be paired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct PairRequest<'b> {
    /// The node's name for people.
    pub name: Label<'b>,
    /// The room in which the node stands.
    pub room: Label<'b>,
    /// The node's hardware: a JSON object as written.
    pub profile: Profile<'b>,
}

/// A JSON object of bounded size whose members are not interpreted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Profile<'b>(&'b str);

impl<'b> Profile<'b> {
    /// The empty profile, `{}`.
    pub const EMPTY: Profile<'static> = Profile("{}");

    /// Accepts one JSON object of at most [`crate::limits::PROFILE_BYTES`].
    #[must_use]
    pub fn parse(text: &'b str) -> Option<Self> {
        // The length is checked first, because it bounds the work of reading JSON.
        let small = text.len() <= crate::limits::PROFILE_BYTES;
        (small && super::json::members(text, |_, _| ()).is_ok()).then_some(Self(text))
    }

    /// Returns the object as written.
    #[must_use]
    pub const fn as_str(&self) -> &'b str {
        self.0
    }
}

/// The credentials that a node presents.
#[derive(Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Auth {
    /// An id and a token in a valid form.
    Presented {
        /// The node that it claims to be.
        node_id: NodeId,
        /// The token that proves the claim.
        token: Token,
    },
    /// The credentials are missing, empty or of a form that no gateway issues.
    Unusable,
}

/// The values that a linked node reports from time to time. `None` leaves the last value unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Heartbeat<'b> {
    /// `true` if somebody is in the room.
    pub occupancy: Option<bool>,
    /// The noise level, in the node's own unit.
    #[serde(borrow)]
    pub noise_level: Option<Number<'b>>,
    /// `true` if the wake word fired by mistake.
    pub wake_word_fp: Option<bool>,
}

/// A message from a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum GatewayMessage<'b> {
    /// The request waits for the operator.
    PairPending {
        /// The id that the gateway assigned to the node.
        node_id: NodeId,
    },
    /// The node is authenticated.
    AuthOk {
        /// The id of the node itself.
        node_id: NodeId,
        /// The node's room in the registry.
        room: Label<'b>,
    },
    /// The authentication failed.
    AuthFail(AuthFailure),
    /// The operator muted the node.
    Muted,
    /// A message of the node was wrong, as this text says.
    Error(&'b str),
}

/// The reason for a failed authentication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum AuthFailure {
    /// The node does not exist, or the token is not its own; the message does not say which.
    InvalidCredentials,
    /// The token is right, but the operator has not approved the node.
    NotApproved,
    /// The reason is not known to this version.
    Other,
}

impl AuthFailure {
    /// Returns the text on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidCredentials => "invalid credentials",
            Self::NotApproved => "node is not yet approved",
            Self::Other => "refused",
        }
    }
}
