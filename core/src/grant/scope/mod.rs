//! Scopes: the actions and addresses of a capability token. Only what a scope names is allowed;
//! matching and subset tests are linear and exact.

mod set;

pub use crate::wire::path::{Action, Address, Pattern, PatternBuf, ScopeError};
pub use set::{AskedScopesBuf, Scopes, ScopesBuf};

/// An action and the addresses at which it is allowed; as text `read:/lights/**`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Scope<'b> {
    /// The allowed action, with all actions that it includes.
    pub action: Action,
    /// The addresses at which it is allowed.
    #[serde(borrow)]
    pub pattern: Pattern<'b>,
}

impl<'b> Scope<'b> {
    /// Reads an action, a colon and a pattern.
    ///
    /// # Errors
    /// The first defect of the text.
    pub fn parse(text: &'b str) -> Result<Self, ScopeError> {
        let (action, pattern) = text.split_once(':').ok_or(ScopeError::NoAction)?;
        Ok(Self { action: Action::parse(action)?, pattern: Pattern::parse(pattern)? })
    }

    /// Returns `true` if the scope allows the action at the address.
    #[must_use]
    pub fn allows(&self, action: Action, address: &Address<'_>) -> bool {
        self.action.includes(action) && self.pattern.matches(address)
    }

    /// Returns `true` if the scope allows everything that `child` allows, so that `child` may be
    /// delegated from it.
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
