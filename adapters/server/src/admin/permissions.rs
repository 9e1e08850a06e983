//! Permissions as the operator's API has them.

use handfast_core::grant::scope::{Action, Pattern, Scope, Scopes, ScopesBuf};
use serde::{Deserialize, Serialize};

use super::failure::Failure;

/// What may be done, and where: patterns like `/lights/**`. Who may write somewhere may read there,
/// and who may administer may do both.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PermissionsView {
    /// Where to read, and to subscribe.
    #[serde(default)]
    pub read: Vec<String>,
    /// Where to change things.
    #[serde(default)]
    pub write: Vec<String>,
    /// Where to administer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub admin: Vec<String>,
}

impl PermissionsView {
    /// That of scopes.
    #[must_use]
    pub fn of(scopes: &ScopesBuf) -> Self {
        let mut view = Self::default();
        for Scope { action, pattern } in scopes.scopes().as_slice() {
            view.place(*action).push(pattern.to_string());
        }
        view
    }

    /// Reads all of them, or none.
    pub(super) fn scopes(&self) -> Result<ScopesBuf, Failure> {
        let mut scopes = Scopes::new();
        for (action, patterns) in
            [(Action::Read, &self.read), (Action::Write, &self.write), (Action::Admin, &self.admin)]
        {
            for text in patterns {
                let pushed =
                    Pattern::parse(text).and_then(|pattern| scopes.push(Scope { action, pattern }));
                pushed.map_err(|wrong| {
                    Failure::Usage(format!("the permission to {action} {text:?} is none: {wrong}"))
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
