//! Authorities: what somebody's right lets them mint, and until when.
//!
//! A right that was **delegated** (a companion's session, a capability, a bearer) mints nothing
//! wider or longer than itself, and what it minted ends with it. An **operator** is not delegated:
//! a [`Role`] says what it may do, and what it makes lasts as configured. Wider is refused, never
//! narrowed in silence.
//!
//! ```text
//! Operator ──mints──▶ session ──mints──▶ code ──pairs──▶ grant
//!                        │ revoked, or over
//!                        └──▶ the code and the grant end with it
//! ```
#![expect(
    clippy::result_large_err,
    reason = "a refusal names its scope, and there is no heap to put that on"
)]

use crate::grant::capability;
use crate::grant::scope::{Action, Address, Pattern, Scope, Scopes, ScopesBuf};
use crate::registry::sessions::SessionId;
use crate::time::{Span, UnixTime, rfc3339};

pub use crate::registry::sessions::Maker;

/// The path under which permissions name what is the gateway's own.
pub const GATEWAY: &str = "/gateway";

/// Deepest chain of sessions that made each other. A deeper one lets nobody in.
pub const SESSION_DEPTH: usize = 8;

/// An operator's role: a named set of scopes under [`GATEWAY`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Role {
    /// Reads everything but secrets.
    Viewer,
    /// Administers everything but the certificate authority, roles, tokens, and what ends all of a
    /// kind at once.
    Operator,
    /// Does everything. The local socket is one.
    Owner,
}

/// What only an owner administers: these addresses, and all below them.
const OWNERS: [&str; 4] =
    ["/gateway/ca/**", "/gateway/roles/**", "/gateway/tokens/**", "/gateway/**/revoke-all"];

impl Role {
    /// The word for it in configurations and views.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Owner => "owner",
        }
    }

    /// Reads that word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Viewer, Self::Operator, Self::Owner].into_iter().find(|role| role.as_str() == text)
    }

    /// The scope that it has; an operator's has the exceptions of `OWNERS`.
    #[must_use]
    pub const fn scope(self) -> Scope<'static> {
        let action = match self {
            Self::Viewer => Action::Read,
            Self::Operator | Self::Owner => Action::Admin,
        };
        Scope { action, pattern: Pattern::parsed("/gateway/**") }
    }

    fn allows(self, action: Action, address: &Address<'_>) -> bool {
        let excepted = || OWNERS.iter().any(|pattern| Pattern::parsed(pattern).matches(address));
        self.scope().allows(action, address)
            && match self {
                Self::Viewer | Self::Owner => true,
                Self::Operator => action == Action::Read || !excepted(),
            }
    }
}

/// What a delegated right is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Right {
    /// A companion's session.
    Session(SessionId),
    /// A capability, by its leaf; or a grant without one.
    Capability(Option<capability::Id>),
    /// A bearer that was exchanged for one of them.
    Bearer,
}

/// A right that somebody else gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delegated {
    /// What it is.
    pub right: Right,
    /// What it allows.
    pub scopes: ScopesBuf,
    /// When it ends; never by itself, if there is no time.
    pub ends: Option<UnixTime>,
    /// Whether it may approve what has no scopes, and so no bounds: a node that proves itself with
    /// a token.
    pub may_approve: bool,
}

/// Somebody's right.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "it is made once a request and borrowed from then on"
)]
pub enum Authority {
    /// An operator's, by its role.
    Operator(Role),
    /// A delegated one.
    Delegated(Delegated),
}

/// The end that is wanted for what is minted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// This very time: a right that ends earlier does not mint it.
    Exactly(UnixTime),
    /// Nobody said: this time, or the end of the right if that comes first.
    AtMost(UnixTime),
}

/// Why a right does not mint something: it would be wider than the right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wider {
    /// It has this scope, which no scope of the right covers; the first such one.
    Scope {
        /// What would be allowed.
        action: Action,
        /// Where.
        pattern: crate::grant::scope::PatternBuf,
    },
    /// It would end after the right.
    Longer {
        /// When the right ends.
        ends: UnixTime,
    },
    /// It has no scopes and no end, so no right bounds it.
    Unbounded,
    /// The right is not kept in the registry, so nothing that is kept there can end with it.
    NotKept,
}

impl core::fmt::Display for Wider {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Scope { action, pattern } => write!(
                f,
                "this is wider than your own right, which has not {action}:{}: ask for less, or have an operator do it at the gateway",
                pattern.pattern()
            ),
            Self::Longer { ends } => write!(
                f,
                "this would last longer than your own right, which ends at {}: ask for a shorter time, leave the time out, or have an \
                 operator do it at the gateway",
                rfc3339::write(*ends).as_str()
            ),
            Self::Unbounded => f.write_str(
                "this is wider than your own right: a node with a token has no scopes that could be bounded. Have an operator approve it at the \
                 gateway, or set may_approve = true for the profile of your session",
            ),
            Self::NotKept => f.write_str(
                "this is wider than your own right: a bearer or a capability mints nothing that the registry keeps. Use a session, or have an \
                 operator do it at the gateway",
            ),
        }
    }
}

impl core::error::Error for Wider {}

impl Authority {
    /// Whoever reaches the local socket, and the program that embeds the gateway.
    pub const OWNER: Self = Self::Operator(Role::Owner);

    /// Whether it reaches an address of the gateway's own. A delegated right has to name
    /// [`GATEWAY`]: a pattern for everything means the application's addresses.
    #[must_use]
    pub fn reaches(&self, action: Action, address: &Address<'_>) -> bool {
        match self {
            Self::Operator(role) => role.allows(action, address),
            Self::Delegated(Delegated { scopes, .. }) => reaches(scopes, action, address),
        }
    }

    /// Whether it was delegated.
    #[must_use]
    pub const fn is_delegated(&self) -> bool {
        matches!(self, Self::Delegated(_))
    }

    /// Whether it only looks, and is told no secrets.
    #[must_use]
    pub const fn is_viewer(&self) -> bool {
        matches!(self, Self::Operator(Role::Viewer))
    }

    /// Whether it is shown the secret of something with which this maker lets nodes in, as a PIN
    /// does: who knows it can mint with it.
    #[must_use]
    pub fn is_shown_secrets_of(&self, maker: Maker) -> bool {
        match self {
            Self::Operator(Role::Viewer) => false,
            Self::Operator(Role::Operator | Role::Owner) => true,
            Self::Delegated(Delegated { right: Right::Session(id), .. }) => {
                maker == Maker::Session(*id)
            }
            Self::Delegated(Delegated { right: Right::Capability(_) | Right::Bearer, .. }) => false,
        }
    }

    /// Who the registry says has made what this right makes.
    ///
    /// # Errors
    /// [`Wider::NotKept`].
    pub const fn maker(&self) -> Result<Maker, Wider> {
        match self {
            Self::Operator(_) => Ok(Maker::Operator),
            Self::Delegated(Delegated { right: Right::Session(id), .. }) => Ok(Maker::Session(*id)),
            Self::Delegated(Delegated { right: Right::Capability(_) | Right::Bearer, .. }) => {
                Err(Wider::NotKept)
            }
        }
    }

    /// Decides whether it mints these scopes until then. The answer is the end.
    ///
    /// # Errors
    /// [`Wider::Scope`] with the first scope that is not covered, or [`Wider::Longer`].
    pub fn mint(&self, scopes: &Scopes<'_>, until: Until) -> Result<UnixTime, Wider> {
        let wanted = match until {
            Until::Exactly(at) | Until::AtMost(at) => at,
        };
        let Self::Delegated(own) = self else { return Ok(wanted) };
        covers(&own.scopes.scopes(), scopes)?;
        match (own.ends, until) {
            (Some(ends), Until::Exactly(at)) if at > ends => Err(Wider::Longer { ends }),
            (Some(ends), Until::AtMost(at)) => Ok(at.min(ends)),
            (Some(_) | None, _) => Ok(wanted),
        }
    }

    /// Decides whether it approves a node that proves itself with a token.
    ///
    /// # Errors
    /// [`Wider::Unbounded`].
    pub const fn approve_unbounded(&self) -> Result<(), Wider> {
        match self {
            Self::Operator(_) | Self::Delegated(Delegated { may_approve: true, .. }) => Ok(()),
            Self::Delegated(Delegated { may_approve: false, .. }) => Err(Wider::Unbounded),
        }
    }
}

/// Whether delegated scopes allow something of what is the gateway's own: see
/// [`Authority::reaches`].
#[must_use]
pub fn reaches(own: &ScopesBuf, action: Action, address: &Address<'_>) -> bool {
    own.scopes()
        .as_slice()
        .iter()
        .any(|scope| names_gateway(scope) && scope.allows(action, address))
}

/// Whether the scopes of a right cover all that is to be minted from it. What names [`GATEWAY`] is
/// covered by what names it, too.
///
/// # Errors
/// [`Wider::Scope`] with the first that is not covered.
pub fn covers(own: &Scopes<'_>, minted: &Scopes<'_>) -> Result<(), Wider> {
    match minted.as_slice().iter().find(|scope| !is_covered(own, scope)) {
        None => Ok(()),
        Some(Scope { action, pattern }) => {
            Err(Wider::Scope { action: *action, pattern: (*pattern).into() })
        }
    }
}

/// The scopes that are covered by those of the right from which they were minted. All of them are,
/// unless the configuration has changed since.
#[must_use]
pub fn within(own: &ScopesBuf, minted: &ScopesBuf) -> ScopesBuf {
    let mut kept = Scopes::new();
    for scope in minted.scopes().as_slice().iter().filter(|scope| is_covered(&own.scopes(), scope))
    {
        // They fitted before.
        let _ = kept.push(*scope);
    }
    (&kept).into()
}

fn is_covered(own: &Scopes<'_>, minted: &Scope<'_>) -> bool {
    own.as_slice()
        .iter()
        .any(|scope| (names_gateway(scope) || !names_gateway(minted)) && scope.covers(minted))
}

fn names_gateway(scope: &Scope<'_>) -> bool {
    let below = scope.pattern.as_str().strip_prefix(GATEWAY);
    below.is_some_and(|below| below.is_empty() || below.starts_with('/'))
}

/// The bounds of codes and grants, whoever makes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The longest life of a code.
    pub code_for: Span,
    /// The most nodes for one code.
    pub code_uses: u8,
    /// The longest life of a grant.
    pub grant_for: Span,
}

/// Which bound is exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Exceeded {
    /// [`Bounds::code_for`].
    CodeFor,
    /// [`Bounds::code_uses`].
    CodeUses,
    /// [`Bounds::grant_for`].
    GrantFor,
}

impl Bounds {
    /// The documented values: a day, 255 nodes, 400 days.
    pub const DEFAULT: Self = Self {
        code_for: Span::from_secs(86_400),
        code_uses: u8::MAX,
        grant_for: Span::from_secs(400 * 86_400),
    };

    /// Checks a code, and the life of the grants that it brings, if it says one.
    ///
    /// # Errors
    /// The first bound that is exceeded.
    pub fn check_code(&self, lives: Span, uses: u64, grants: Option<Span>) -> Result<(), Exceeded> {
        if lives > self.code_for {
            Err(Exceeded::CodeFor)
        } else if uses > u64::from(self.code_uses) {
            Err(Exceeded::CodeUses)
        } else {
            grants.map_or(Ok(()), |lives| self.check_grant(lives))
        }
    }

    /// Checks the life of a grant.
    ///
    /// # Errors
    /// [`Exceeded::GrantFor`].
    pub fn check_grant(&self, lives: Span) -> Result<(), Exceeded> {
        if lives > self.grant_for { Err(Exceeded::GrantFor) } else { Ok(()) }
    }
}

impl Default for Bounds {
    fn default() -> Self {
        Self::DEFAULT
    }
}

#[cfg(test)]
mod tests;
