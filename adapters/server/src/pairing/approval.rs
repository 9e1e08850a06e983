//! The operator's word about a node with keys: paired, with what permissions; or turned down, and why.

use std::time::Duration;

use handfast_core::error::Refusal;
use handfast_core::flow::registration::operator::Purpose;
use handfast_core::grant::capability::{CannotIssue, Holder};
use handfast_core::id::NodeId;
use handfast_core::registry::authority::{Authority, Until};
use handfast_core::registry::grants::Grant;
use handfast_core::registry::lifecycle::{self, Decision};
use handfast_core::registry::record::{Credential, Record, Standing};
use handfast_core::time::Span;
use handfast_core::wire::native::Reason;
use handfast_store::{Entry, SaveError, StoreError};

use super::rules::Terms;
use crate::gateway::{Gateway, OperatorError};
use crate::hook::Event;

impl Gateway {
    /// Turns a pending request down, for good. A node of the native wire that still waits for the decision is told the reason: at most 160 bytes, on one line.
    ///
    /// # Errors
    /// As for [`Gateway::decide`], and [`OperatorError::Usage`] for a reason that cannot be told.
    pub async fn reject(&self, node_id: NodeId, reason: Option<String>) -> Result<(), OperatorError> {
        check_word(reason.as_deref())?;
        if reason.is_some() {
            self.inner.pairing.note(node_id, |note| note.word = reason);
        }
        self.decide(node_id, &Decision::Reject).await
    }

    /// Pairs a node with keys, or makes a new grant for one that is paired: one durable step. `None` if somebody else changed it meanwhile.
    pub(crate) async fn grant(
        &self,
        authority: &Authority,
        entry: &Entry,
        holder: Holder,
        purpose: Purpose,
        terms: &Terms,
    ) -> Result<Option<Grant>, OperatorError> {
        let inner = &self.inner;
        let (node_id, now) = (entry.record.node_id, inner.clock.unix());
        let refused = |refusal| OperatorError::Refused { node_id, refusal };
        let (standing, notice, newest) = match purpose {
            Purpose::Approve => {
                let change = lifecycle::decide(&entry.record.standing, Decision::Approve(Credential::Keys), now);
                let change = change.map_err(refused)?;
                (change.standing, change.notice, None)
            }
            Purpose::Reissue => match &entry.record.standing {
                standing @ (Standing::Paired { .. } | Standing::Muted { .. }) => {
                    (standing.clone(), None, inner.store.grants(node_id).await?.pop())
                }
                Standing::Pending { .. } | Standing::Unapproved { .. } => return Err(refused(Refusal::NotPaired)),
                Standing::Revoked { .. } => return Err(refused(Refusal::Revoked)),
            },
        };
        let proposed = inner.pairing.noted(node_id).proposed;
        let scopes = terms.permissions.clone().or(newest.map(|grant| grant.scopes)).or(proposed.permissions);
        let scopes = scopes.unwrap_or_else(|| inner.pairing.settings.default_permissions.clone());
        let lives = |lives: Duration| now.after(Span::from_secs(lives.as_secs().max(1)));
        let until = match (terms.expires, proposed.expires) {
            (Some(said), _) => Until::Exactly(lives(said)),
            (None, Some(proposed)) => Until::AtMost(lives(proposed)),
            (None, None) => Until::AtMost(lives(inner.pairing.settings.token_expiry)),
        };
        let ends = authority.mint(&scopes.scopes(), until)?;
        if let Some(said) = terms.expires {
            let said = Span::from_secs(said.as_secs());
            inner.pairing.settings.bounds.check_grant(said).map_err(|which| self.exceeded(which))?;
        }
        let grant = self.fresh_grant(node_id, &holder, scopes, (ends, authority.maker()?), now);
        let grant = grant.map_err(|error| match error {
            CannotIssue::NeverInForce | CannotIssue::TooLong => {
                OperatorError::Usage("the permissions or their time are too much".to_owned())
            }
            CannotIssue::NotTheHolder | CannotIssue::Wider(_) | CannotIssue::TooDeep => refused(Refusal::StoreFailed),
        })?;
        let record = Record { standing, ..entry.record.clone() };
        let offered = inner.store.offer(record, entry.profile.clone(), Some(entry.version), grant.clone(), now).await;
        match offered {
            Ok(_) => {}
            Err(SaveError::Conflict | SaveError::Missing) => return Ok(None),
            Err(SaveError::Store(error)) => return Err(error.into()),
        }
        let word = terms.message.clone().or(proposed.message);
        inner.pairing.note(node_id, |note| note.word = word);
        self.event(Event::GrantOffered { node_id, grant: grant.id });
        self.push(node_id, notice);
        Ok(Some(grant))
    }

    /// Everything about a node.
    pub(crate) async fn entry(&self, node_id: NodeId) -> Result<Entry, OperatorError> {
        let text = node_id.to_string();
        let found = self.inner.store.find(&text, 1).await?.pop();
        let mut entry = found.ok_or(OperatorError::NotFound(text))?.map_err(StoreError::from)?;
        entry.observed = self.inner.readings.over(node_id, entry.observed);
        Ok(entry)
    }
}

/// Checks what is to be told to a node.
pub(crate) fn check_word(word: Option<&str>) -> Result<(), OperatorError> {
    match word {
        Some(text) if Reason::parse(text).is_none() => {
            Err(OperatorError::Usage("what a node is told has 1 to 160 bytes on one line, and is not blank".to_owned()))
        }
        Some(_) | None => Ok(()),
    }
}
