//! The scopes of one grant.

use super::{Action, Address, Pattern, Scope, ScopeError};
use crate::limits::{SCOPES, SCOPES_BYTES};

/// At most [`SCOPES`] scopes of at most [`SCOPES_BYTES`] as text. What none of them allows is not
/// allowed; no scopes allow nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scopes<'b>(heapless::Vec<Scope<'b>, SCOPES>);

impl<'b> Scopes<'b> {
    /// No scopes.
    #[must_use]
    pub const fn new() -> Self {
        Self(heapless::Vec::new())
    }

    /// Reads scopes. One that does not parse makes the set an error; none is ever left out.
    ///
    /// # Errors
    /// What is wrong with the first wrong one, or with their number.
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

    /// The scopes, in the order in which they were added.
    #[must_use]
    pub fn as_slice(&self) -> &[Scope<'b>] {
        &self.0
    }

    /// Whether the action is allowed at the address.
    #[must_use]
    pub fn allows(&self, action: Action, address: &Address<'_>) -> bool {
        self.0.iter().any(|scope| scope.allows(action, address))
    }

    /// Whether all that a subscription would bring may be read: its pattern is a subset of that of
    /// one scope.
    #[must_use]
    pub fn allows_subscription(&self, pattern: &Pattern<'_>) -> bool {
        self.covers_scope(&Scope { action: Action::Read, pattern: *pattern })
    }

    /// Whether all that `child` allows is allowed here too, so that it may be delegated: each of
    /// its scopes lies within one of these. (Several that only together hold a wider one do not
    /// count.)
    #[must_use]
    pub fn covers(&self, child: &Scopes<'_>) -> bool {
        child.0.iter().all(|scope| self.covers_scope(scope))
    }

    fn covers_scope(&self, child: &Scope<'_>) -> bool {
        self.0.iter().any(|scope| scope.covers(child))
    }
}

/// How much of [`SCOPES_BYTES`] a scope takes: action, colon, pattern, end of line.
fn line_length(scope: &Scope<'_>) -> usize {
    scope.action.as_str().len().saturating_add(scope.pattern.as_str().len()).saturating_add(2)
}

/// [`Scopes`] that own their text: one a line, each line ended. No pattern holds an end of line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScopesBuf(heapless::String<SCOPES_BYTES>);

impl ScopesBuf {
    /// None: nothing is allowed.
    pub const EMPTY: Self = Self(heapless::String::new());

    /// Reads what [`as_str`](Self::as_str) gave.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, ScopeError> {
        Ok((&Scopes::parse(lines(text))?).into())
    }

    /// The scopes, borrowed.
    #[must_use]
    pub fn scopes(&self) -> Scopes<'_> {
        let mut scopes = Scopes::new();
        for (action, pattern) in lines(&self.0).filter_map(|line| line.split_once(':')) {
            if let Ok(action) = Action::parse(action) {
                // They were parsed before, and so many fit.
                let _ = scopes.0.push(Scope { action, pattern: Pattern::parsed(pattern) });
            }
        }
        scopes
    }

    /// As text, for a store.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.split_terminator('\n')
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
