//! Authorities: rights, and what they may mint until when.
//!
//! A **delegated** right (a companion's session, a capability token, a bearer) mints nothing wider
//! or longer than itself, and what it minted ends with it. An **operator** is not delegated: a
//! [`Role`] names its rights, and what it mints lasts as configured. A wider wish is refused, never
//! narrowed silently.
//!
//! ```text
//! Operator ──mints──▶ session ──mints──▶ code ──pairs──▶ grant
//!                        │ revoked or expired
//!                        └──▶ the code and the grant end with it
//! ```
#![expect(
    clippy::result_large_err,
    reason = "a refusal names its scope, and there is no heap to put that on"
)]

use crate::grant::capability;
use crate::grant::scope::{Action, Address, Pattern, Scope, Scopes, ScopesBuf};
use crate::registry::sessions::{LoginId, SessionId};
use crate::time::{Span, UnixTime, rfc3339};

pub use crate::registry::sessions::Maker;

/// The path under which scopes name the gateway's own resources.
pub const GATEWAY: &str = "/gateway";

/// Maximum depth of sessions that made each other. A deeper session is not valid.
pub const SESSION_DEPTH: usize = 8;

/// An operator's role: a named set of scopes under [`GATEWAY`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Role {
    /// Reads everything except secrets.
    Viewer,
    /// Administers everything except the gateway's key, the certificate authority, roles, tokens, and
    /// actions that end all of a kind at once.
    Operator,
    /// Administers everything. The local socket has this role.
    Owner,
}

/// The addresses that only an owner administers, and no delegated right: what is made or changed there
/// gives rights that would outlive it.
const OWNERS: [&str; 7] = [
    "/gateway/ca/**",
    "/gateway/key/**",
    "/gateway/logins/**",
    "/gateway/operators/**",
    "/gateway/roles/**",
    "/gateway/tokens/**",
    "/gateway/**/revoke-all",
];

impl Role {
    /// Returns the role's word in configurations and views.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Owner => "owner",
        }
    }

    /// Reads the word of [`as_str`](Self::as_str).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Viewer, Self::Operator, Self::Owner].into_iter().find(|role| role.as_str() == text)
    }

    /// Returns the role's scope; the exceptions of an operator's are checked separately.
    #[must_use]
    pub const fn scope(self) -> Scope<'static> {
        let action = match self {
            Self::Viewer => Action::Read,
            Self::Operator | Self::Owner => Action::Admin,
        };
        Scope { action, pattern: Pattern::parsed("/gateway/**") }
    }

    fn allows(self, action: Action, address: &Address<'_>) -> bool {
        self.scope().allows(action, address)
            && match self {
                Self::Viewer | Self::Owner => true,
                Self::Operator => !is_owners(action, address),
            }
    }
}

/// Returns `true` for what only an owner may do. Reading has no exceptions: others see everything that
/// only owners change.
fn is_owners(action: Action, address: &Address<'_>) -> bool {
    action != Action::Read && OWNERS.iter().any(|pattern| Pattern::parsed(pattern).matches(address))
}

/// The kind of a delegated right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Right {
    /// A companion's session.
    Session(SessionId),
    /// A capability token, by its leaf; `None` for a grant without one.
    Capability(Option<capability::Id>),
    /// A bearer that was exchanged for a session or a capability token.
    Bearer,
}

/// A right that was derived from another.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Delegated {
    /// The kind of the right.
    pub right: Right,
    /// The scopes that it allows.
    pub scopes: ScopesBuf,
    /// The end of the right; `None` if it has none of its own.
    pub ends: Option<UnixTime>,
    /// `true` if it may approve nodes that authenticate with a token. They have no scopes, so no
    /// right bounds them.
    pub may_approve: bool,
}

/// The right of a caller.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[expect(
    clippy::large_enum_variant,
    reason = "it is made once a request and borrowed from then on"
)]
pub enum Authority {
    /// An operator's right, by its role.
    Operator(Role),
    /// The right of an operator's session or token, by its role. Codes that it makes end with it.
    Login(Role, LoginId),
    /// A delegated right.
    Delegated(Delegated),
}

/// The end that is wanted for something to be minted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Until {
    /// Exactly this time; a right that ends earlier mints nothing.
    Exactly(UnixTime),
    /// This time or the end of the right, whichever comes first, because the caller named no end.
    AtMost(UnixTime),
}

/// The reason for not minting: the result would exceed the right.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Wider {
    /// The first scope of the result that no scope of the right covers.
    Scope {
        /// The action of that scope.
        action: Action,
        /// The pattern of that scope.
        pattern: crate::grant::scope::PatternBuf,
    },
    /// The result would end after the right.
    Longer {
        /// The end of the right.
        ends: UnixTime,
    },
    /// The result has neither scopes nor an end, so no right bounds it.
    Unbounded,
    /// The right is not stored in the registry, so nothing that is stored there can end with it.
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
    /// The right of the local socket and of the program that embeds the gateway.
    pub const OWNER: Self = Self::Operator(Role::Owner);

    /// Returns `true` if the right allows the action on one of the gateway's own addresses. A
    /// delegated right has to name [`GATEWAY`]: a pattern for everything means the application's
    /// addresses. What only an owner administers, no delegated right does, whatever its scopes say.
    #[must_use]
    pub fn reaches(&self, action: Action, address: &Address<'_>) -> bool {
        match self {
            Self::Operator(role) | Self::Login(role, _) => role.allows(action, address),
            Self::Delegated(Delegated { scopes, .. }) => reaches(scopes, action, address),
        }
    }

    /// Checks that the right may send nodes a message of the application with this action at this
    /// address. An operator may, except a viewer; a delegated right only as far as its own scopes go.
    ///
    /// # Errors
    /// [`Wider::Scope`] with the scope that is missing.
    pub fn sends(&self, action: Action, address: Address<'_>) -> Result<(), Wider> {
        let wanted = Scope { action, pattern: address.into() };
        let allowed = match self {
            Self::Operator(role) | Self::Login(role, _) => *role != Role::Viewer,
            Self::Delegated(Delegated { scopes, .. }) => is_covered(&scopes.scopes(), &wanted),
        };
        if allowed { Ok(()) } else { Err(Wider::Scope { action, pattern: wanted.pattern.into() }) }
    }

    /// Returns `true` if the right may watch what nodes send the application at this address. A
    /// message without an address is for operators alone, because no scope could allow it.
    #[must_use]
    pub fn hears(&self, address: Option<Address<'_>>) -> bool {
        match (self, address) {
            (_, Some(address)) => self.sends(Action::Read, address).is_ok(),
            (Self::Operator(role) | Self::Login(role, _), None) => *role != Role::Viewer,
            (Self::Delegated(_), None) => false,
        }
    }

    /// Returns `true` for a delegated right.
    #[must_use]
    pub const fn is_delegated(&self) -> bool {
        matches!(self, Self::Delegated(_))
    }

    /// Returns `true` for a right that only reads and is told no secrets.
    #[must_use]
    pub const fn is_viewer(&self) -> bool {
        matches!(self.role(), Some(Role::Viewer))
    }

    /// Returns the role of an operator; `None` for a delegated right.
    #[must_use]
    pub const fn role(&self) -> Option<Role> {
        match self {
            Self::Operator(role) | Self::Login(role, _) => Some(*role),
            Self::Delegated(_) => None,
        }
    }

    /// Returns `true` if the right may see secrets that pair nodes in this maker's name, such as a
    /// PIN: their knowledge is a right to mint.
    #[must_use]
    pub fn is_shown_secrets_of(&self, maker: Maker) -> bool {
        match self {
            Self::Operator(role) | Self::Login(role, _) => *role != Role::Viewer,
            Self::Delegated(Delegated { right: Right::Session(id), .. }) => {
                // A session sees the PINs of a window only if it opened the window itself.
                maker == Maker::Session(*id)
            }
            Self::Delegated(Delegated { right: Right::Capability(_) | Right::Bearer, .. }) => false,
        }
    }

    /// Returns the maker that the registry records for a code or an open window of this right.
    ///
    /// # Errors
    /// [`Wider::NotKept`], for a capability token or a bearer.
    pub const fn code_maker(&self) -> Result<Maker, Wider> {
        match self {
            Self::Login(_, id) => Ok(Maker::Login(*id)),
            Self::Operator(_) | Self::Delegated(_) => self.maker(),
        }
    }

    /// Returns the maker that the registry records for everything else that this right makes: what
    /// an operator approves outlives the operator's session.
    ///
    /// # Errors
    /// [`Wider::NotKept`], for a capability token or a bearer.
    pub const fn maker(&self) -> Result<Maker, Wider> {
        match self {
            Self::Operator(_) | Self::Login(..) => Ok(Maker::Operator),
            Self::Delegated(Delegated { right: Right::Session(id), .. }) => Ok(Maker::Session(*id)),
            Self::Delegated(Delegated { right: Right::Capability(_) | Right::Bearer, .. }) => {
                Err(Wider::NotKept)
            }
        }
    }

    /// Decides whether the right mints these scopes until then, and returns the end.
    ///
    /// # Errors
    /// [`Wider::Scope`] with the first scope that is not covered, or [`Wider::Longer`].
    pub fn mint(&self, scopes: &Scopes<'_>, until: Until) -> Result<UnixTime, Wider> {
        let wanted = match until {
            Until::Exactly(at) | Until::AtMost(at) => at,
        };
        // An operator's authority has no bound of its own.
        let Self::Delegated(own) = self else { return Ok(wanted) };
        covers(&own.scopes.scopes(), scopes)?;
        match (own.ends, until) {
            // A named end is refused rather than cut, so that the answer is what was asked for.
            (Some(ends), Until::Exactly(at)) if at > ends => Err(Wider::Longer { ends }),
            (Some(ends), Until::AtMost(at)) => Ok(at.min(ends)),
            (Some(_) | None, _) => Ok(wanted),
        }
    }

    /// Decides whether the right approves a node that authenticates with a token.
    ///
    /// # Errors
    /// [`Wider::Unbounded`], for a delegated right without `may_approve`.
    pub const fn approve_unbounded(&self) -> Result<(), Wider> {
        match self {
            Self::Operator(_)
            | Self::Login(..)
            | Self::Delegated(Delegated { may_approve: true, .. }) => Ok(()),
            Self::Delegated(Delegated { may_approve: false, .. }) => Err(Wider::Unbounded),
        }
    }
}

/// Returns `true` if delegated scopes allow an action on the gateway's own address: see
/// [`Authority::reaches`].
#[must_use]
pub fn reaches(own: &ScopesBuf, action: Action, address: &Address<'_>) -> bool {
    !is_owners(action, address)
        && own
            .scopes()
            .as_slice()
            .iter()
            .any(|scope| names_gateway(scope) && scope.allows(action, address))
}

/// Checks that the scopes of a right cover all scopes to be minted. A minted scope that names
/// [`GATEWAY`] needs a scope that names it, too.
///
/// # Errors
/// [`Wider::Scope`] with the first scope that is not covered.
pub fn covers(own: &Scopes<'_>, minted: &Scopes<'_>) -> Result<(), Wider> {
    match minted.as_slice().iter().find(|scope| !is_covered(own, scope)) {
        None => Ok(()),
        Some(Scope { action, pattern }) => {
            Err(Wider::Scope { action: *action, pattern: (*pattern).into() })
        }
    }
}

/// Returns the minted scopes that the right still covers. All of them are, unless the configuration
/// has changed since.
#[must_use]
pub fn within(own: &ScopesBuf, minted: &ScopesBuf) -> ScopesBuf {
    let mut kept = Scopes::new();
    for scope in minted.scopes().as_slice().iter().filter(|scope| is_covered(&own.scopes(), scope))
    {
        // The scopes are a subset of a set, so they fit.
        let _ = kept.push(*scope);
    }
    (&kept).into()
}

fn is_covered(own: &Scopes<'_>, minted: &Scope<'_>) -> bool {
    own.as_slice()
        .iter()
        // A scope for everything does not reach the gateway's own addresses.
        .any(|scope| (names_gateway(scope) || !names_gateway(minted)) && scope.covers(minted))
}

fn names_gateway(scope: &Scope<'_>) -> bool {
    let below = scope.pattern.as_str().strip_prefix(GATEWAY);
    // `/gatewayx` is an address of the application.
    below.is_some_and(|below| below.is_empty() || below.starts_with('/'))
}

/// The bounds of codes and grants, for every maker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Bounds {
    /// Longest lifetime of a code.
    pub code_for: Span,
    /// Maximum number of nodes that one code pairs.
    pub code_uses: u8,
    /// Longest lifetime of a grant.
    pub grant_for: Span,
}

/// The bound that is exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Exceeded {
    /// The lifetime exceeds [`Bounds::code_for`].
    CodeFor,
    /// The number of nodes exceeds [`Bounds::code_uses`].
    CodeUses,
    /// The lifetime exceeds [`Bounds::grant_for`].
    GrantFor,
}

impl Bounds {
    /// The documented default values: a day, 255 nodes, 400 days.
    pub const DEFAULT: Self = Self {
        code_for: Span::from_secs(86_400),
        code_uses: u8::MAX,
        grant_for: Span::from_secs(400 * 86_400),
    };

    /// Checks a code, and the lifetime of its grants if it sets one.
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

    /// Checks the lifetime of a grant.
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
