//! The scopes of one grant.

use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};

use super::{Action, Address, Pattern, Scope, ScopeError};
use crate::limits::{ASKED_SCOPES_BYTES, SCOPES, SCOPES_BYTES};
use crate::wire::native::pair::AskedScopes;

/// At most [`SCOPES`] scopes of at most [`SCOPES_BYTES`] as text. An action is allowed only if one
/// of them allows it; an empty set allows nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Scopes<'b>(heapless::Vec<Scope<'b>, SCOPES>);

impl<'b> Scopes<'b> {
    /// Makes an empty set.
    #[must_use]
    pub const fn new() -> Self {
        Self(heapless::Vec::new())
    }

    /// Reads scopes. One invalid scope makes the whole set an error; none is ever left out.
    ///
    /// # Errors
    /// The defect of the first invalid scope, or an excess in number or length.
    pub fn parse(texts: impl IntoIterator<Item = &'b str>) -> Result<Self, ScopeError> {
        let mut scopes = Self::new();
        for text in texts {
            scopes.push(Scope::parse(text)?)?;
        }
        Ok(scopes)
    }

    /// Adds a scope.
    ///
    /// # Errors
    /// [`ScopeError::TooManyScopes`] or [`ScopeError::SetTooLong`]; the set stays as it was.
    pub fn push(&mut self, scope: Scope<'b>) -> Result<(), ScopeError> {
        // The lengths are summed before the push, so that an error leaves the set unchanged.
        let length = self
            .0
            .iter()
            .chain([&scope])
            .fold(0, |sum: usize, scope| sum.saturating_add(line_length(scope)));
        if self.0.is_full() {
            return Err(ScopeError::TooManyScopes);
        }
        if length > SCOPES_BYTES {
            return Err(ScopeError::SetTooLong);
        }
        self.0.push(scope).map_err(|_| ScopeError::TooManyScopes)
    }

    /// Returns the scopes in the order in which they were added.
    #[must_use]
    pub fn as_slice(&self) -> &[Scope<'b>] {
        &self.0
    }

    /// Returns `true` if the action is allowed at the address.
    #[must_use]
    pub fn allows(&self, action: Action, address: &Address<'_>) -> bool {
        self.0.iter().any(|scope| scope.allows(action, address))
    }

    /// Returns `true` if everything that a subscription delivers may be read: its pattern is a
    /// subset of one scope's.
    #[must_use]
    pub fn allows_subscription(&self, pattern: &Pattern<'_>) -> bool {
        self.covers_scope(&Scope { action: Action::Read, pattern: *pattern })
    }

    /// Returns `true` if each scope of `child` lies within one of these, so that it may be
    /// delegated. (A scope that lies only within several of them together does not count.)
    #[must_use]
    pub fn covers(&self, child: &Scopes<'_>) -> bool {
        child.0.iter().all(|scope| self.covers_scope(scope))
    }

    fn covers_scope(&self, child: &Scope<'_>) -> bool {
        self.0.iter().any(|scope| scope.covers(child))
    }
}

impl Serialize for Scopes<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(&self.0)
    }
}

impl<'de: 'b, 'b> Deserialize<'de> for Scopes<'b> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_seq(ReadScopes(Scopes::new()))
    }
}

struct ReadScopes<'b>(Scopes<'b>);

impl<'de: 'b, 'b> Visitor<'de> for ReadScopes<'b> {
    type Value = Scopes<'b>;

    fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("scopes")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut listed: A) -> Result<Self::Value, A::Error> {
        let Self(mut scopes) = self;
        // Stops at the first scope that the set rejects, whatever number the bytes announce.
        while let Some(scope) = listed.next_element()? {
            scopes.push(scope).map_err(A::Error::custom)?;
        }
        Ok(scopes)
    }
}

/// Returns the share of [`SCOPES_BYTES`] that a scope takes: action, colon, pattern, end of line.
fn line_length(scope: &Scope<'_>) -> usize {
    scope.action.as_str().len().saturating_add(scope.pattern.as_str().len()).saturating_add(2)
}

/// [`Scopes`] that own their text: one scope a line, each line terminated. No pattern contains an
/// end of line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ScopesBuf(heapless::String<SCOPES_BYTES>);

impl ScopesBuf {
    /// The empty set, which allows nothing.
    pub const EMPTY: Self = Self(heapless::String::new());

    /// Reads the text of [`as_str`](Self::as_str).
    ///
    /// # Errors
    /// The first defect of the text.
    pub fn parse(text: &str) -> Result<Self, ScopeError> {
        Ok((&Scopes::parse(lines(text))?).into())
    }

    /// Borrows the scopes.
    #[must_use]
    pub fn scopes(&self) -> Scopes<'_> {
        parsed(&self.0)
    }

    /// Returns the text for a store.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.split_terminator('\n')
}

/// Returns the scopes of a text that was made from valid ones.
fn parsed(text: &str) -> Scopes<'_> {
    let mut scopes = Scopes::new();
    for (action, pattern) in lines(text).filter_map(|line| line.split_once(':')) {
        if let Ok(action) = Action::parse(action) {
            // The text was made from valid scopes, which fit in number.
            let _ = scopes.0.push(Scope { action, pattern: Pattern::parsed(pattern) });
        }
    }
    scopes
}

/// The permissions that a node asks for, as [`AskedScopes`] that own their text: one scope a line,
/// without an end of line behind the last one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct AskedScopesBuf(heapless::String<ASKED_SCOPES_BYTES>);

impl AskedScopesBuf {
    /// No permissions: the node leaves them to the operator.
    pub const EMPTY: Self = Self(heapless::String::new());

    /// Reads scopes, one a line.
    ///
    /// # Errors
    /// The first defect of the text.
    pub fn parse(text: &str) -> Result<Self, ScopeError> {
        let scopes = Scopes::parse(lines(text))?;
        let mut text = heapless::String::new();
        for (at, scope) in scopes.0.iter().enumerate() {
            let end = if at == 0 { "" } else { "\n" };
            for part in [end, scope.action.as_str(), ":", scope.pattern.as_str()] {
                text.push_str(part).map_err(|_| ScopeError::SetTooLong)?;
            }
        }
        Ok(Self(text))
    }

    /// Borrows the scopes.
    #[must_use]
    pub fn scopes(&self) -> Scopes<'_> {
        parsed(&self.0)
    }

    /// Returns the scopes that do not lie within these, which a node may have already.
    #[must_use]
    pub fn beyond(&self, has: &Scopes<'_>) -> Self {
        let mut text = heapless::String::new();
        for line in lines(&self.0) {
            if parsed(line).as_slice().iter().all(|scope| has.covers_scope(scope)) {
                continue;
            }
            let end = if text.is_empty() { "" } else { "\n" };
            // A selection of the lines is no longer than all of them.
            let _ = text.push_str(end);
            let _ = text.push_str(line);
        }
        Self(text)
    }

    /// Returns the part of these scopes that the node asks for; all of them if it asks for nothing
    /// in particular.
    #[must_use]
    pub fn bound(&self, scopes: &ScopesBuf) -> ScopesBuf {
        if self.is_empty() {
            return scopes.clone();
        }
        let (own, asked) = (scopes.scopes(), self.scopes());
        let mut both = Scopes::new();
        // Where one of two scopes lies within the other, the narrower one is what both allow.
        let asked_within = asked.as_slice().iter().filter(|scope| own.covers_scope(scope));
        let own_within = own.as_slice().iter().filter(|scope| asked.covers_scope(scope));
        for scope in asked_within.chain(own_within) {
            if !both.as_slice().contains(scope) {
                // More than fit are left out: a node gets less then, and never more.
                let _ = both.push(*scope);
            }
        }
        (&both).into()
    }

    /// Returns `true` if the node asks for nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&Scopes<'_>> for ScopesBuf {
    fn from(scopes: &Scopes<'_>) -> Self {
        let mut text = heapless::String::new();
        for scope in &scopes.0 {
            for part in [scope.action.as_str(), ":", scope.pattern.as_str(), "\n"] {
                // Scopes are at most SCOPES_BYTES long, so this cannot fail.
                let _ = text.push_str(part);
            }
        }
        Self(text)
    }
}

impl From<AskedScopes<'_>> for AskedScopesBuf {
    fn from(asked: AskedScopes<'_>) -> Self {
        // Its text was checked, and is no longer here than there.
        Self::parse(asked.as_str()).unwrap_or(Self::EMPTY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(text: &str) -> AskedScopesBuf {
        AskedScopesBuf::parse(text).unwrap()
    }

    #[test]
    fn what_a_node_asks_for_is_kept_as_it_was_written() {
        for text in ["", "read:/a", "read:/a\nwrite:/b/**"] {
            assert_eq!(asked(text).as_str(), text);
            let lines = text.lines().count();
            assert_eq!(asked(text).scopes().as_slice().len(), lines);
        }
        assert_eq!(asked("read:/a\n"), asked("read:/a"));
        assert!(AskedScopesBuf::parse("read:/a\n\nread:/b").is_err());
        assert!(AskedScopesBuf::parse("everything").is_err());
        let longest = std::format!("read:/{}", "a".repeat(ASKED_SCOPES_BYTES - 6));
        assert_eq!(asked(&longest).as_str(), longest);
        let longer = std::format!("{longest}a");
        assert_eq!(AskedScopesBuf::parse(&longer), Err(ScopeError::SetTooLong));
        let ended = std::format!("{}\n", &longest[..ASKED_SCOPES_BYTES - 1]);
        let wire = AskedScopes::parse(&ended).unwrap();
        assert_eq!(AskedScopesBuf::from(wire).as_str(), ended.trim_end());
    }

    #[test]
    fn what_a_node_asks_for_bounds_what_it_gets_and_widens_nothing() {
        let own = ScopesBuf::parse("read:/lights/**\nwrite:/audio\n").unwrap();
        let bound = |text| asked(text).bound(&own);
        assert_eq!(bound("").as_str(), own.as_str());
        assert_eq!(bound("read:/**").as_str(), "read:/lights/**\n");
        assert_eq!(bound("read:/lights/1").as_str(), "read:/lights/1\n");
        assert_eq!(bound("read:/doors").as_str(), "");
        assert_eq!(bound("write:/audio\nread:/lights/**").scopes().as_slice().len(), 2);
    }

    #[test]
    fn only_what_a_node_does_not_have_is_beyond_what_it_has() {
        let has = Scopes::parse(["write:/lights/**", "read:/audio"]).unwrap();
        let wants = asked("read:/lights/1\nwrite:/audio\nread:/audio\nread:/**");
        assert_eq!(wants.beyond(&has).as_str(), "write:/audio\nread:/**");
        assert!(asked("read:/audio").beyond(&has).is_empty());
        assert_eq!(wants.beyond(&Scopes::new()), wants);
    }
}
