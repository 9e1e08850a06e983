//! The registry's record of a node, which survives a reboot. Profiles, sensor values and versions
//! belong to the store.

use core::net::IpAddr;

use crate::grant::capability::Holder;
use crate::grant::certificate::KeyHash;
use crate::grant::scope::AskedScopesBuf;
use crate::grant::token::TokenHash;
use crate::id::NodeId;
use crate::registry::delivery::{Before, Undelivered};
use crate::registry::trusted_time::Moment;
use crate::text::Name;
use crate::time::UnixTime;
use crate::wire::native::pair::Method;

/// A node in the registry.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Record {
    /// The id that the gateway assigned.
    pub node_id: NodeId,
    /// The node's name for people.
    pub name: Name,
    /// The room in which the node stands.
    pub room: Name,
    /// The address of the request, for the operator to see; 0.0.0.0 for a serial line.
    pub address: IpAddr,
    /// The keys that the node has proven to hold, if it paired over the native wire. They are its
    /// identity: no two records have the same static key, and a revoked record bars the key
    /// permanently.
    pub keys: Option<Holder>,
    /// The time of the request.
    pub asked_at: UnixTime,
    /// The content of the node's last request.
    pub asked: Asked,
    /// The node's state in its life cycle.
    pub standing: Standing,
}

impl Record {
    /// Returns `true` if only a jump of a clock in doubt would end the node's request.
    #[must_use]
    pub fn is_doubted(&self, moment: &Moment) -> bool {
        match self.standing {
            Standing::Pending { expires } => moment.doubts(self.asked_at, expires),
            Standing::Unapproved { .. }
            | Standing::Paired { .. }
            | Standing::Muted { .. }
            | Standing::Revoked { .. } => false,
        }
    }
}

/// The content of a request to be paired, as far as a decision depends on it. A waiting request is
/// decided by it, and a paired node's shows what it has asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Asked {
    /// The permissions that the node asked for.
    pub permissions: AskedScopesBuf,
    /// The public key of its certificate request, if it sent one.
    pub csr_key: Option<KeyHash>,
    /// The way in which it asked.
    pub method: AskMethod,
}

impl Asked {
    /// A request by this method, for no permissions and without a certificate request.
    #[must_use]
    pub const fn by(method: AskMethod) -> Self {
        Self { permissions: AskedScopesBuf::EMPTY, csr_key: None, method }
    }
}

/// The way in which a node asked to be paired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum AskMethod {
    /// A device without keys, in a dialect that pairs by token.
    Token,
    /// A device with keys, which the operator compares by its fingerprint.
    Approval,
    /// A device with keys, by a PIN that was shown for it.
    Pin,
    /// A device with keys, by a code that was made beforehand.
    Code,
    /// A device with keys, by a setup code.
    Setup,
    /// A device that registered over HTTP by a provisioning token.
    Provisioning,
}

impl AskMethod {
    /// Returns the method's word in stores and listings.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Approval => "approval",
            Self::Pin => "pin",
            Self::Code => "code",
            Self::Setup => "setup",
            Self::Provisioning => "provisioning",
        }
    }

    /// Reads the word of [`as_str`](Self::as_str).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Token, Self::Approval, Self::Pin, Self::Code, Self::Setup, Self::Provisioning]
            .into_iter()
            .find(|method| method.as_str() == text)
    }
}

impl From<Method> for AskMethod {
    fn from(method: Method) -> Self {
        match method {
            Method::Approval => Self::Approval,
            Method::Pin => Self::Pin,
            Method::Code { .. } => Self::Code,
            Method::Setup => Self::Setup,
        }
    }
}

/// A node's state in its life cycle; [`super::lifecycle`] holds the transitions.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Standing {
    /// The request waits for the operator.
    Pending {
        /// The expiry, after which the request counts as never made.
        expires: UnixTime,
    },
    /// The node has a token of another system, but is not approved here. Only an import makes this
    /// state.
    Unapproved {
        /// The token's hash.
        token: TokenHash,
    },
    /// The node is approved; its credential opens a link.
    Paired {
        /// The node's credential.
        credential: Credential,
        /// The node's permissions for the application.
        mode: Mode,
    },
    /// The node is approved, but has no access until the operator unmutes it.
    Muted {
        /// The node's credential.
        credential: Credential,
        /// The mode that unmuting restores.
        restore: Mode,
    },
    /// The node is revoked permanently; its id is never reused.
    Revoked {
        /// The cause of the revocation.
        cause: Cause,
    },
}

impl Standing {
    /// Returns `true` if the standing bars the node's key permanently. A rejected request does not.
    #[must_use]
    pub const fn bars(&self) -> bool {
        match self {
            Self::Revoked { cause: Cause::Barred | Cause::Unpaired } => true,
            Self::Revoked { cause: Cause::Rejected }
            | Self::Pending { .. }
            | Self::Unapproved { .. }
            | Self::Paired { .. }
            | Self::Muted { .. } => false,
        }
    }

    /// Returns the hash of the node's newest token, delivered or not.
    #[must_use]
    pub const fn token(&self) -> Option<&TokenHash> {
        match self {
            Self::Unapproved { token }
            | Self::Paired { credential: Credential::Token(token), .. }
            | Self::Muted { credential: Credential::Token(token), .. }
            | Self::Paired {
                credential: Credential::Undelivered(Undelivered { token, .. }), ..
            }
            | Self::Muted {
                credential: Credential::Undelivered(Undelivered { token, .. }), ..
            } => Some(token),
            Self::Paired { credential: Credential::Keys, .. }
            | Self::Muted { credential: Credential::Keys, .. }
            | Self::Pending { .. }
            | Self::Revoked { .. } => None,
        }
    }

    /// Returns the token that is being delivered to the node.
    #[must_use]
    pub const fn undelivered(&self) -> Option<&Undelivered> {
        match self {
            Self::Paired { credential: Credential::Undelivered(undelivered), .. }
            | Self::Muted { credential: Credential::Undelivered(undelivered), .. } => {
                Some(undelivered)
            }
            Self::Paired { credential: Credential::Token(_) | Credential::Keys, .. }
            | Self::Muted { credential: Credential::Token(_) | Credential::Keys, .. }
            | Self::Unapproved { .. }
            | Self::Pending { .. }
            | Self::Revoked { .. } => None,
        }
    }

    /// Returns the hash of the token that stays valid while a newer one is being delivered.
    #[must_use]
    pub const fn older_token(&self) -> Option<&TokenHash> {
        match self.undelivered() {
            Some(Undelivered { before: Before::Token(token), .. }) => Some(token),
            Some(Undelivered {
                before: Before::Pending { .. } | Before::Unapproved { .. },
                ..
            })
            | None => None,
        }
    }
}

/// The credential of a paired node.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Credential {
    /// A bearer token, by its hash.
    Token(TokenHash),
    /// A bearer token that was sent, and neither confirmed nor used yet.
    Undelivered(Undelivered),
    /// The static key in [`Record::keys`]. The node's [grants](super::grants) hold its rights and
    /// their end.
    Keys,
}

/// The mode of a paired node, which the application interprets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Mode {
    /// The node may use everything. This is the mode where nobody chose one.
    #[default]
    Full,
    /// The node may use harmless functions only.
    SafeChat,
}

impl Mode {
    /// Returns the mode's word in the dialect and on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::SafeChat => "safe-chat",
        }
    }

    /// Reads the word of [`as_str`](Self::as_str).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Full, Self::SafeChat].into_iter().find(|mode| mode.as_str() == text)
    }
}

/// The cause of a revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Cause {
    /// The operator rejected the node's request. The node may [ask again](super::rejection):
    /// neither its key nor its name is barred.
    Rejected,
    /// The operator rejected the node's request permanently.
    Barred,
    /// The operator revoked the paired node.
    Unpaired,
}

impl Cause {
    /// Returns the cause's word in stores and listings.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::Barred => "barred",
            Self::Unpaired => "unpaired",
        }
    }

    /// Reads the word of [`as_str`](Self::as_str).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Rejected, Self::Barred, Self::Unpaired]
            .into_iter()
            .find(|cause| cause.as_str() == text)
    }
}
