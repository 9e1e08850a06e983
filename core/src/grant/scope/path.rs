//! Addresses, and the patterns that stand for many of them. Both are checked and then kept as they were written.

use super::ScopeError;
use crate::limits::{PATH_BYTES, PATH_SEGMENTS};
use crate::text::is_forbidden;

/// Exactly one segment, whichever.
const ONE: &[u8] = b"*";
/// Any number of segments, none included.
const ANY: &[u8] = b"**";

/// Where something is read, written or administered: `/` or segments behind slashes, for instance `/lights/room1`. At most [`PATH_BYTES`] long and
/// [`PATH_SEGMENTS`] deep; no segment is empty, `.` or `..`, holds `*`, or a character that moves a cursor or reorders a line. Compared byte for byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address<'b>(&'b str);

impl<'b> Address<'b> {
    /// Checks a text and changes nothing in it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &'b str) -> Result<Self, ScopeError> {
        check(text, |segment| match segment.contains(&b'*') {
            true => Err(ScopeError::WildcardInAddress),
            false => Ok(()),
        })?;
        Ok(Self(text))
    }

    /// As text.
    #[must_use]
    pub const fn as_str(&self) -> &'b str {
        self.0
    }
}

impl core::fmt::Display for Address<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.0)
    }
}

/// A set of addresses: an address in which whole segments may be wildcards. `*` is exactly one segment; `**`, at most once, is any number of them,
/// none included, so that `/x/**` has `/x` itself and all below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pattern<'b>(&'b str);

impl<'b> Pattern<'b> {
    /// Checks a text and changes nothing in it.
    ///
    /// # Errors
    /// What is wrong with it.
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

    /// A text that was parsed before.
    pub(super) const fn parsed(text: &'b str) -> Self {
        Self(text)
    }

    /// As text.
    #[must_use]
    pub const fn as_str(&self) -> &'b str {
        self.0
    }

    /// Whether the address is one of the set. Linear: each segment is looked at once.
    #[must_use]
    pub fn matches(&self, address: &Address<'_>) -> bool {
        matches(self.0, address.0)
    }

    /// Whether every address of `child` is one of this set too. Exact, except that an address counts here however long it would be.
    #[must_use]
    pub fn covers(&self, child: &Pattern<'_>) -> bool {
        let spreads = |text| segments(text).any(|token| token == ANY);
        match (spreads(self.0), spreads(child.0)) {
            (_, false) => matches(self.0, child.0),
            (false, true) => false,
            (true, true) => {
                before_spread(child.0).count().saturating_add(after_spread(child.0).count())
                    >= before_spread(self.0).count().saturating_add(after_spread(self.0).count())
                    && side(before_spread(self.0), before_spread(child.0))
                    && side(after_spread(self.0), after_spread(child.0))
            }
        }
    }
}

impl<'b> From<Address<'b>> for Pattern<'b> {
    /// The pattern that has this address alone.
    fn from(address: Address<'b>) -> Self {
        Self(address.0)
    }
}

impl core::fmt::Display for Pattern<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.0)
    }
}

/// A [`Pattern`] that owns its text, for instance that of a subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatternBuf(heapless::String<PATH_BYTES>);

impl PatternBuf {
    /// The same pattern, borrowed.
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

/// The segments of a checked path. Only what stands before its first slash is empty there, and in `/` what follows it.
fn segments(path: &str) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.as_bytes().split(|&byte| byte == b'/').filter(|segment| !segment.is_empty())
}

/// The tokens of a pattern before its `**`, from the left.
fn before_spread(pattern: &str) -> impl Iterator<Item = &[u8]> {
    segments(pattern).take_while(|&token| token != ANY)
}

/// The tokens of a pattern after its `**`, from the right.
fn after_spread(pattern: &str) -> impl Iterator<Item = &[u8]> {
    segments(pattern).rev().take_while(|&token| token != ANY)
}

/// Whether a token other than `**` takes a segment, or all that another token other than `**` takes.
fn takes(token: &[u8], segment: &[u8]) -> bool {
    token == ONE || token == segment
}

/// Whether a pattern takes a path without `**`: its tokens take from the left until `**`, then from the right, and `**` takes what remains between.
fn matches(pattern: &str, path: &str) -> bool {
    let (mut tokens, mut path) = (segments(pattern), segments(path));
    while let Some(token) = tokens.next() {
        if token == ANY {
            return tokens.rev().all(|token| path.next_back().is_some_and(|segment| takes(token, segment)));
        }
        if !path.next().is_some_and(|segment| takes(token, segment)) {
            return false;
        }
    }
    path.next().is_none()
}

/// One side of two patterns with `**`, walked towards it: the parent takes token by token, and what meets the child's `**` has to be `*`.
fn side<'b>(mut parent: impl Iterator<Item = &'b [u8]>, mut child: impl Iterator<Item = &'b [u8]>) -> bool {
    parent.all(|token| child.next().map_or(token == ONE, |under| takes(token, under)))
}

/// What addresses and patterns have in common, and for each segment what they have not.
fn check(text: &str, mut segment_is_fine: impl FnMut(&[u8]) -> Result<(), ScopeError>) -> Result<(), ScopeError> {
    if text.len() > PATH_BYTES {
        return Err(ScopeError::TooLong);
    }
    let inside = match text.as_bytes() {
        b"/" => return Ok(()),
        [b'/', .., b'/'] => return Err(ScopeError::TrailingSlash),
        [b'/', inside @ ..] => inside,
        _ => return Err(ScopeError::NotAbsolute),
    };
    if text.chars().any(is_forbidden) {
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
