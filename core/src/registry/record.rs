//! What the registry keeps of a node and what survives a reboot. Profiles, sensor values and
//! versions are the store's.

use core::net::IpAddr;

use crate::grant::capability::Holder;
use crate::grant::token::TokenHash;
use crate::id::NodeId;
use crate::registry::delivery::{Before, Undelivered};
use crate::registry::trusted_time::Moment;
use crate::text::Name;
use crate::time::UnixTime;

/// A node as the registry knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The id the gateway gave it.
    pub node_id: NodeId,
    /// What people call it.
    pub name: Name,
    /// Where it stands.
    pub room: Name,
    /// The address it asked from, for the operator to see; 0.0.0.0 for one on a serial line.
    pub address: IpAddr,
    /// The keys it has proven to hold, if it came over the native wire. They are its identity: no
    /// other record ever has the same static key, and a revoked one keeps it out for good.
    pub keys: Option<Holder>,
    /// When it asked.
    pub asked_at: UnixTime,
    /// Where it is in its life.
    pub standing: Standing,
}

impl Record {
    /// Whether its request would be over only by a jump of a clock that is in doubt.
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

/// Where a node is in its life; [`super::lifecycle`] holds the moves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Asked, and waits for the operator.
    Pending {
        /// From then on the request counts as never made.
        expires: UnixTime,
    },
    /// Has a token that another system issued, but nobody approved it here. Only an import makes
    /// this.
    Unapproved {
        /// The token's hash.
        token: TokenHash,
    },
    /// Approved; its credential opens a link.
    Paired {
        /// What it proves itself with.
        credential: Credential,
        /// What it may do.
        mode: Mode,
    },
    /// Approved, but kept out until the operator unmutes it.
    Muted {
        /// What it proves itself with.
        credential: Credential,
        /// The mode that unmuting restores.
        restore: Mode,
    },
    /// Out for good; an id that is given to a token never comes back.
    Revoked {
        /// How it came to that.
        cause: Cause,
    },
}

impl Standing {
    /// Whether it keeps the node's key out for good. A request that was only turned down does not.
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

    /// The hash of the newest token of this node, delivered or not, if it has any.
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

    /// The token that is on its way to the node, if one is.
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

    /// The hash of the token that works on while a newer one is on its way.
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

/// What a paired node proves itself with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// A bearer token, of which this is the hash.
    Token(TokenHash),
    /// A bearer token that was answered, and nobody has confirmed or used yet.
    Undelivered(Undelivered),
    /// The static key of its [`Record::keys`]; what it may do, and for how long, its
    /// [grants](super::grants) say.
    Keys,
}

/// What a paired node may do; the meaning is the application's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Mode {
    /// Everything.
    Full,
    /// What is harmless.
    SafeChat,
}

impl Mode {
    /// The dialect's and the command line's word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::SafeChat => "safe-chat",
        }
    }

    /// Reads that word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Full, Self::SafeChat].into_iter().find(|mode| mode.as_str() == text)
    }
}

/// How a node came to be revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Cause {
    /// The operator turned its request down. It may [ask again](super::rejection): neither its key
    /// nor what it calls itself is barred.
    Rejected,
    /// The operator turned its request down for good.
    Barred,
    /// The operator unpaired it.
    Unpaired,
}

impl Cause {
    /// The word for it in stores and listings.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::Barred => "barred",
            Self::Unpaired => "unpaired",
        }
    }

    /// Reads that word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Rejected, Self::Barred, Self::Unpaired]
            .into_iter()
            .find(|cause| cause.as_str() == text)
    }
}
