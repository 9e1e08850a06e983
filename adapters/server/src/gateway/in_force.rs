//! Core's [`InForce`] in owned form, for links and bearers, which outlive a step.

use handfast_core::grant::scope::{Action, Address, ScopesBuf};
use handfast_core::registry::ceiling::{Ceiling, InForce};

/// Permissions in force: actions that the scopes and every bound allow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct OwnedInForce {
    scopes: ScopesBuf,
    /// Bounds that reduce the scopes; others are left out.
    bounds: Vec<ScopesBuf>,
}

impl From<ScopesBuf> for OwnedInForce {
    fn from(scopes: ScopesBuf) -> Self {
        Self { scopes, bounds: Vec::new() }
    }
}

impl OwnedInForce {
    pub(crate) fn new(scopes: ScopesBuf, bounds: Vec<ScopesBuf>) -> Self {
        // A bound that covers the scopes takes nothing away, and would be compared in vain.
        let takes_away = |bound: &ScopesBuf| !bound.scopes().covers(&scopes.scopes());
        let bounds = bounds.into_iter().filter(takes_away).collect();
        Self { scopes, bounds }
    }

    pub(crate) fn lend(&self) -> InForce<'_> {
        InForce { scopes: &self.scopes, bounds: &self.bounds }
    }

    pub(crate) fn allows(&self, action: Action, address: &Address<'_>) -> bool {
        self.lend().allows(action, address)
    }

    /// Returns `true` if the permissions stay within this ceiling.
    pub(crate) fn holds_to(&self, ceiling: &Ceiling) -> bool {
        ceiling.scopes.scopes().covers(&self.scopes.scopes())
            || self.bounds.contains(&ceiling.scopes)
    }
}
