//! Permissions in the operator's API.

use handfast_core::grant::scope::{Action, Pattern, Scope, Scopes, ScopesBuf};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::failure::AdminFailure;

/// Permitted patterns, like `/lights/**`, by action. A permission to write includes reading, and
/// one to administer includes both.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PermissionsView {
    /// Patterns for reading and subscribing.
    #[serde(default)]
    pub read: Vec<String>,
    /// Patterns for changes.
    #[serde(default)]
    pub write: Vec<String>,
    /// Patterns for administration.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub admin: Vec<String>,
}

impl PermissionsView {
    /// Creates the view of these scopes.
    #[must_use]
    pub fn of(scopes: &ScopesBuf) -> Self {
        let mut view = Self::default();
        for Scope { action, pattern } in scopes.scopes().as_slice() {
            view.place(*action).push(pattern.to_string());
        }
        view
    }

    /// Parses all patterns.
    ///
    /// # Errors
    /// [`AdminFailure::Usage`] if any of them is invalid.
    pub(super) fn scopes(&self) -> Result<ScopesBuf, AdminFailure> {
        let mut scopes = Scopes::new();
        for (action, patterns) in
            [(Action::Read, &self.read), (Action::Write, &self.write), (Action::Admin, &self.admin)]
        {
            for text in patterns {
                let pushed =
                    Pattern::parse(text).and_then(|pattern| scopes.push(Scope { action, pattern }));
                pushed.map_err(|wrong| {
                    AdminFailure::Usage(format!(
                        "the permission to {action} {text:?} is none: {wrong}"
                    ))
                })?;
            }
        }
        Ok((&scopes).into())
    }

    fn place(&mut self, action: Action) -> &mut Vec<String> {
        match action {
            Action::Read => &mut self.read,
            Action::Write => &mut self.write,
            Action::Admin => &mut self.admin,
        }
    }
}
