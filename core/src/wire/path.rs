//! Addresses, patterns of addresses, and the actions on them. All are checked and then kept as
//! written. Rights are the business of [`crate::grant::scope`].

use crate::limits::{PATH_BYTES, PATH_SEGMENTS};
use crate::serial::serial_text;
use crate::text::Label;

/// The wildcard for exactly one segment.
const ONE: &[u8] = b"*";
/// The wildcard for any number of segments, none included.
const ANY: &[u8] = b"**";

/// A defect of an address, a pattern, a scope or a set of scopes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum ScopeError {
    /// A scope has no `:` between action and pattern.
    NoAction,
    /// An action is none of `read`, `write` and `admin`.
    UnknownAction,
    /// A path does not begin with a slash.
    NotAbsolute,
    /// A path is longer than [`crate::limits::PATH_BYTES`].
    TooLong,
    /// A path has more than [`crate::limits::PATH_SEGMENTS`] segments.
    TooDeep,
    /// A path other than `/` ends with a slash.
    TrailingSlash,
    /// A path has two slashes in a row.
    EmptySegment,
    /// A segment is `.` or `..`.
    DotSegment,
    /// A character moves a cursor or reorders a line.
    Character,
    /// An address contains `*`.
    WildcardInAddress,
    /// A `*` is only part of its segment, or a segment is three or more of them.
    PartialWildcard,
    /// A pattern has more than one `**`.
    SecondSpread,
    /// A set has more than [`crate::limits::SCOPES`] scopes.
    TooManyScopes,
    /// A set has more than [`crate::limits::SCOPES_BYTES`] of text.
    SetTooLong,
}

impl ScopeError {
    /// Returns the reason as a phrase for people, to follow a colon.
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

/// An action on an address. Each one includes those before it.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Action {
    /// Reading and subscribing.
    Read,
    /// Changing the value.
    Write,
    /// Administering the address.
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

    /// Returns the action as text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }

    /// Returns `true` if permission for this action is permission for `other` as well.
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

/// The place of a read, write or administration: `/` or segments behind slashes, for instance
/// `/lights/room1`. It is at most [`PATH_BYTES`] long and [`PATH_SEGMENTS`] deep. No segment is
/// empty, `.` or `..`, or holds `*` or a character that moves a cursor or reorders a line.
/// Addresses compare byte for byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Address<'b>(&'b str);

impl<'b> Address<'b> {
    /// Checks a text; it is kept unchanged.
    ///
    /// # Errors
    /// The first defect of the text.
    pub fn parse(text: &'b str) -> Result<Self, ScopeError> {
        check(text, |segment| match segment.contains(&b'*') {
            true => Err(ScopeError::WildcardInAddress),
            false => Ok(()),
        })?;
        Ok(Self(text))
    }

    /// Returns the address as text.
    #[must_use]
    pub const fn as_str(&self) -> &'b str {
        self.0
    }
}

serial_text!(Address, |text| Address::parse(text).ok(), as_str);

impl core::fmt::Display for Address<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.0)
    }
}

/// A set of addresses: an address in which whole segments may be wildcards. `*` is exactly one
/// segment; `**`, at most once, is any number of them, none included, so `/x/**` contains `/x`
/// itself and everything below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Pattern<'b>(&'b str);

impl<'b> Pattern<'b> {
    /// Checks a text; it is kept unchanged.
    ///
    /// # Errors
    /// The first defect of the text.
    pub fn parse(text: &'b str) -> Result<Self, ScopeError> {
        let mut spreads = false;
        check(text, |segment| match segment {
            ONE => Ok(()),
            ANY if spreads => Err(ScopeError::SecondSpread),
            ANY => {
                spreads = true;
                Ok(())
            }
            literal if literal.contains(&b'*') => Err(ScopeError::PartialWildcard),
            _ => Ok(()),
        })?;
        Ok(Self(text))
    }

    /// Wraps a text that was parsed before.
    pub(crate) const fn parsed(text: &'b str) -> Self {
        Self(text)
    }

    /// Returns the pattern as text.
    #[must_use]
    pub const fn as_str(&self) -> &'b str {
        self.0
    }

    /// Returns `true` if the address is in the set. Linear: each segment is compared once.
    #[must_use]
    pub fn matches(&self, address: &Address<'_>) -> bool {
        matches(self.0, address.0)
    }

    /// Returns `true` if every address of `child` is in this set. The test is exact, except that it
    /// counts addresses of any length.
    #[must_use]
    pub fn covers(&self, child: &Pattern<'_>) -> bool {
        let spreads = |text| segments(text).any(|token| token == ANY);
        match (spreads(self.0), spreads(child.0)) {
            (_, false) => matches(self.0, child.0),
            // A pattern with `**` has addresses of any length, one without it has not.
            (false, true) => false,
            (true, true) => {
                // The child's shortest address must have room for all of the parent's fixed tokens.
                before_spread(child.0).count().saturating_add(after_spread(child.0).count())
                    >= before_spread(self.0).count().saturating_add(after_spread(self.0).count())
                    && side(before_spread(self.0), before_spread(child.0))
                    && side(after_spread(self.0), after_spread(child.0))
            }
        }
    }
}

impl<'b> From<Address<'b>> for Pattern<'b> {
    /// Returns the pattern of this address alone.
    fn from(address: Address<'b>) -> Self {
        Self(address.0)
    }
}

serial_text!(Pattern, |text| Pattern::parse(text).ok(), as_str);

impl core::fmt::Display for Pattern<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.0)
    }
}

/// A [`Pattern`] that owns its text, for instance of a subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct PatternBuf(heapless::String<PATH_BYTES>);

impl PatternBuf {
    /// Borrows the pattern.
    #[must_use]
    pub fn pattern(&self) -> Pattern<'_> {
        Pattern(&self.0)
    }
}

impl From<Pattern<'_>> for PatternBuf {
    fn from(pattern: Pattern<'_>) -> Self {
        let mut text = heapless::String::new();
        // A pattern is at most PATH_BYTES long, so this cannot fail.
        let _ = text.push_str(pattern.0);
        Self(text)
    }
}

/// Iterates over the segments of a checked path. The only empty pieces are the one before the first
/// slash and, in `/`, the one behind it.
fn segments(path: &str) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.as_bytes().split(|&byte| byte == b'/').filter(|segment| !segment.is_empty())
}

/// Iterates over the tokens of a pattern before its `**`, from the left.
fn before_spread(pattern: &str) -> impl Iterator<Item = &[u8]> {
    segments(pattern).take_while(|&token| token != ANY)
}

/// Iterates over the tokens of a pattern after its `**`, from the right.
fn after_spread(pattern: &str) -> impl Iterator<Item = &[u8]> {
    segments(pattern).rev().take_while(|&token| token != ANY)
}

/// Returns `true` if a token other than `**` matches a segment, or covers another such token.
fn takes(token: &[u8], segment: &[u8]) -> bool {
    token == ONE || token == segment
}

/// Returns `true` if a pattern matches a path without `**`: its tokens match from the left until
/// `**`, then from the right, and `**` matches the rest between.
fn matches(pattern: &str, path: &str) -> bool {
    let (mut tokens, mut path) = (segments(pattern), segments(path));
    while let Some(token) = tokens.next() {
        if token == ANY {
            // After `**` the remaining tokens must match the end of the path, whatever lies
            // between.
            return tokens
                .rev()
                .all(|token| path.next_back().is_some_and(|segment| takes(token, segment)));
        }
        if !path.next().is_some_and(|segment| takes(token, segment)) {
            return false;
        }
    }
    // Without `**` the pattern and the path have the same number of segments.
    path.next().is_none()
}

/// Compares one side of two patterns with `**`, walking towards it: each token of the parent covers
/// the child's token, and where the child's `**` begins, only `*` does.
fn side<'b>(
    mut parent: impl Iterator<Item = &'b [u8]>,
    mut child: impl Iterator<Item = &'b [u8]>,
) -> bool {
    // Where the child's side is shorter, its `**` stands for any segment, which only `*` covers.
    parent.all(|token| child.next().map_or(token == ONE, |under| takes(token, under)))
}

/// Checks the rules that addresses and patterns share; `segment_is_fine` checks the rest for each
/// segment.
fn check(
    text: &str,
    mut segment_is_fine: impl FnMut(&[u8]) -> Result<(), ScopeError>,
) -> Result<(), ScopeError> {
    if text.len() > PATH_BYTES {
        return Err(ScopeError::TooLong);
    }
    let inside = match text.as_bytes() {
        b"/" => return Ok(()),
        [b'/', .., b'/'] => return Err(ScopeError::TrailingSlash),
        [b'/', inside @ ..] => inside,
        _ => return Err(ScopeError::NotAbsolute),
    };
    if text.chars().any(Label::forbids) {
        return Err(ScopeError::Character);
    }
    for (before, segment) in inside.split(|&byte| byte == b'/').enumerate() {
        match segment {
            _ if before >= PATH_SEGMENTS => return Err(ScopeError::TooDeep),
            b"" => return Err(ScopeError::EmptySegment),
            b"." | b".." => return Err(ScopeError::DotSegment),
            segment => segment_is_fine(segment)?,
        }
    }
    Ok(())
}
