//! Scopes: what a capability allows, and where. They allow nothing that is not named; matching and
//! subset are linear and exact.

mod set;

pub use crate::wire::path::{Action, Address, Pattern, PatternBuf, ScopeError};
pub use set::{Scopes, ScopesBuf};

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
