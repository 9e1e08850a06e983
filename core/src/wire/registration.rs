//! The messages of the registration flow and of the link that follows it, as plain types. A dialect
//! ([`super::missy`]) turns them into bytes.

use super::json::Number;
use super::token::Token;
use crate::id::NodeId;
use crate::text::Label;

/// What a node may send.
#[derive(Debug, PartialEq, Eq)]
pub enum NodeMessage<'b> {
    /// Asks to be paired.
    PairRequest(PairRequest<'b>),
    /// Proves to be a paired node.
    Auth(Auth),
    /// Tells how it is, once linked.
    Heartbeat(Heartbeat<'b>),
    /// Something of the application's; the type is the application's business.
    Other,
}

/// Who a node says it is when it asks to be paired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PairRequest<'b> {
    /// What people call it.
    pub name: Label<'b>,
    /// Where it stands.
    pub room: Label<'b>,
    /// What it is made of: a JSON object, as it was written.
    pub profile: Profile<'b>,
}

/// A JSON object of bounded size that nobody here looks into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile<'b>(&'b str);

impl<'b> Profile<'b> {
    /// No profile.
    pub const EMPTY: Profile<'static> = Profile("{}");

    /// Accepts one JSON object of at most [`crate::limits::PROFILE_BYTES`].
    #[must_use]
    pub fn parse(text: &'b str) -> Option<Self> {
        let small = text.len() <= crate::limits::PROFILE_BYTES;
        (small && super::json::members(text, |_, _| ()).is_ok()).then_some(Self(text))
    }

    /// As it was written.
    #[must_use]
    pub const fn as_str(&self) -> &'b str {
        self.0
    }
}

/// What a node shows to be let in.
#[derive(Debug, PartialEq, Eq)]
pub enum Auth {
    /// An id and a token of the right form.
    Presented {
        /// Which node it claims to be.
        node_id: NodeId,
        /// What proves it.
        token: Token,
    },
    /// Missing, empty or of a form that no gateway ever issued: nobody's credentials.
    Unusable,
}

/// What a linked node tells from time to time. What is `None` leaves the last value as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Heartbeat<'b> {
    /// Whether somebody is there.
    pub occupancy: Option<bool>,
    /// How loud it is, in the node's own unit.
    pub noise_level: Option<Number<'b>>,
    /// Whether the wake word fired by mistake.
    pub wake_word_fp: Option<bool>,
}

/// What a gateway may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GatewayMessage<'b> {
    /// The request waits for the operator under this id.
    PairPending {
        /// The id the gateway gave the node.
        node_id: NodeId,
    },
    /// The node is in.
    AuthOk {
        /// The node itself.
        node_id: NodeId,
        /// Where the registry says it stands.
        room: Label<'b>,
    },
    /// The node is not let in.
    AuthFail(AuthFailure),
    /// The operator muted the node.
    Muted,
    /// Something was wrong with a message.
    Error(&'b str),
}

/// Why a node is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum AuthFailure {
    /// No such node, or not its token; which of them is not said.
    InvalidCredentials,
    /// The right token, but the operator has not approved the node.
    NotApproved,
    /// A reason this version does not know.
    Other,
}

impl AuthFailure {
    /// The text on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidCredentials => "invalid credentials",
            Self::NotApproved => "node is not yet approved",
            Self::Other => "refused",
        }
    }
}
