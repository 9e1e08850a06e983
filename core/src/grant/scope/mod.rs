//! Scopes: what a capability allows, and where. They allow nothing that is not named; matching and subset are linear and exact.

mod path;
mod set;

pub use path::{Address, Pattern, PatternBuf};
pub use set::{Scopes, ScopesBuf};

/// What is wrong with an address, a pattern, a scope or a set of scopes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum ScopeError {
    /// A scope without `:` between action and pattern.
    NoAction,
    /// An action other than `read`, `write` and `admin`.
    UnknownAction,
    /// A path that does not begin with a slash.
    NotAbsolute,
    /// A path of more than [`crate::limits::PATH_BYTES`].
    TooLong,
    /// A path of more than [`crate::limits::PATH_SEGMENTS`].
    TooDeep,
    /// A slash at the end of a path other than `/`.
    TrailingSlash,
    /// Two slashes in a row.
    EmptySegment,
    /// A segment `.` or `..`.
    DotSegment,
    /// A character that moves a cursor or reorders a line.
    Character,
    /// A `*` in an address.
    WildcardInAddress,
    /// A `*` that is only a part of its segment, or three and more of them.
    PartialWildcard,
    /// More than one `**` in a pattern.
    SecondSpread,
    /// More than [`crate::limits::SCOPES`] in a set.
    TooManyScopes,
    /// More than [`crate::limits::SCOPES_BYTES`] of text in a set.
    SetTooLong,
}

impl ScopeError {
    /// For people, as what follows a colon.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoAction => "a scope reads action:pattern, for instance read:/lights/**",
            Self::UnknownAction => "the action is none of read, write and admin",
            Self::NotAbsolute => "the path does not begin with /",
            Self::TooLong => "the path is too long",
            Self::TooDeep => "the path has too many segments",
            Self::TrailingSlash => "the path ends with /",
            Self::EmptySegment => "the path has an empty segment",
            Self::DotSegment => "the path has a segment . or ..",
            Self::Character => "the path has a control character",
            Self::WildcardInAddress => "an address has no wildcards",
            Self::PartialWildcard => "a wildcard is a whole segment, * or **",
            Self::SecondSpread => "a pattern has ** at most once",
            Self::TooManyScopes => "too many scopes",
            Self::SetTooLong => "the scopes are too long together",
        }
    }
}

impl core::fmt::Display for ScopeError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl core::error::Error for ScopeError {}

/// What may be done at an address. Each includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Action {
    /// Read, and subscribe.
    Read,
    /// Change.
    Write,
    /// Administer.
    Admin,
}

impl Action {
    /// Reads `read`, `write` or `admin`, and nothing else.
    ///
    /// # Errors
    /// [`ScopeError::UnknownAction`].
    pub const fn parse(text: &str) -> Result<Self, ScopeError> {
        match text.as_bytes() {
            b"read" => Ok(Self::Read),
            b"write" => Ok(Self::Write),
            b"admin" => Ok(Self::Admin),
            _ => Err(ScopeError::UnknownAction),
        }
    }

    /// As text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }

    /// Whether who may do this may do `other` as well.
    #[must_use]
    pub fn includes(self, other: Self) -> bool {
        self >= other
    }
}

impl core::fmt::Display for Action {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An action, and where it is allowed; as text `read:/lights/**`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope<'b> {
    /// What is allowed, with all that it includes.
    pub action: Action,
    /// Where.
    pub pattern: Pattern<'b>,
}

impl<'b> Scope<'b> {
    /// Reads an action, a colon and a pattern.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(text: &'b str) -> Result<Self, ScopeError> {
        let (action, pattern) = text.split_once(':').ok_or(ScopeError::NoAction)?;
        Ok(Self { action: Action::parse(action)?, pattern: Pattern::parse(pattern)? })
    }

    /// Whether it allows the action at the address.
    #[must_use]
    pub fn allows(&self, action: Action, address: &Address<'_>) -> bool {
        self.action.includes(action) && self.pattern.matches(address)
    }

    /// Whether it allows all that `child` allows, so that `child` may be delegated from it.
    #[must_use]
    pub fn covers(&self, child: &Scope<'_>) -> bool {
        self.action.includes(child.action) && self.pattern.covers(&child.pattern)
    }
}

impl core::fmt::Display for Scope<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}:{}", self.action, self.pattern)
    }
}
