//! The approval of a node in the place of another, which is revoked in the same step.

use std::time::Duration;

use handfast_core::flow::native::settle::{OperatorApproval, approve};
use handfast_core::grant::capability::{CannotIssue, Holder};
use handfast_core::grant::scope::ScopesBuf;
use handfast_core::registry::authority::{Authority, Maker};
use handfast_core::registry::lifecycle::Notice;
use handfast_core::registry::record::Record;
use handfast_core::registry::replacing::{CannotReplace, Replacing, replace, rights};
use handfast_core::{NodeId, Refusal, Span, UnixTime};
use handfast_store::{Entry, InPlace, Replaced, Replacement, SaveError, Version};

use super::grants::FreshGrant;
use super::session::grant_life;
use crate::events::Event;
use crate::gateway::operator_types::{Issued, IssuedCredential, OperatorError, check_word};
use crate::gateway::requests::NamedRequest;
use crate::gateway::{Gateway, MOST_CONFLICTS, to_its_end};
use crate::policy::rules::ApprovalTerms;

/// The node whose place another takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplacedNode {
    /// The node that has the place.
    pub node_id: NodeId,
    /// The version of its record that was shown; `None` for the present one.
    pub version: Option<Version>,
}

impl Gateway {
    /// Approves a waiting node with keys in the place of another: it gets its name, its room, its
    /// mode, its permissions unless the terms name others, and its tasks. The other one is revoked
    /// in the same durable step, and its links are cut.
    ///
    /// Unlike a revocation alone, nothing is in force before it is stored.
    ///
    /// # Errors
    /// [`OperatorError::CannotReplace`], [`OperatorError::Changed`] if either node has changed since
    /// it was shown, and those of [`Gateway::pair_by`].
    pub async fn replace_by(
        &self,
        authority: &Authority,
        node_id: NodeId,
        place: ReplacedNode,
        terms: ApprovalTerms,
    ) -> Result<Issued, OperatorError> {
        self.replace_named_by(authority, node_id, place, terms, NamedRequest::default()).await
    }

    /// Approves the request in this state in the place of another node.
    pub(crate) async fn replace_named_by(
        &self,
        authority: &Authority,
        node_id: NodeId,
        place: ReplacedNode,
        terms: ApprovalTerms,
        named: NamedRequest,
    ) -> Result<Issued, OperatorError> {
        check_word(terms.message.as_deref())?;
        if terms.expires.is_some_and(|expires| expires.as_secs() == 0) {
            return Err(OperatorError::Usage("a grant lives for a second at least".to_owned()));
        }
        let (gateway, authority) = (self.clone(), authority.clone());
        to_its_end(async move {
            for _ in 0..MOST_CONFLICTS {
                let (new, old) =
                    (gateway.entry(node_id).await?, gateway.entry(place.node_id).await?);
                let replaced =
                    gateway.replace_now(&authority, (&new, named), (&old, place), &terms).await?;
                if let Some(issued) = replaced {
                    return Ok(issued);
                }
            }
            Err(OperatorError::Refused { node_id, refusal: Refusal::StoreFailed })
        })
        .await
    }

    /// Returns `None` if a record changed meanwhile.
    async fn replace_now(
        &self,
        authority: &Authority,
        (new, named): (&Entry, NamedRequest),
        (old, place): (&Entry, ReplacedNode),
        terms: &ApprovalTerms,
    ) -> Result<Option<Issued>, OperatorError> {
        let (inner, node_id) = (&self.inner, new.record.node_id);
        let unfit = |why| OperatorError::CannotReplace { node_id, old: old.record.node_id, why };
        let now = inner.clock.unix();
        if new.record.is_doubted(&inner.clock.moment()) {
            return Err(OperatorError::Refused { node_id, refusal: Refusal::ClockInDoubt });
        }
        let Replacing { standing, replaced } =
            replace(&new.record, &old.record, now).map_err(unfit)?;
        let holder = new.record.keys.ok_or_else(|| unfit(CannotReplace::NoKeys))?;
        inner.shown.check_named(new, named)?;
        if let Some(version) = place.version.filter(|version| *version != old.version) {
            return Err(OperatorError::Changed {
                node_id: old.record.node_id,
                shown: format!("version {}", version.0),
                now: format!("version {}", old.version.0),
            });
        }
        let moved = self.moved_terms(old, terms).map_err(unfit)?;
        let (settings, nothing) = (&inner.pairing.settings, ApprovalTerms::default());
        let approval = OperatorApproval {
            said: moved.as_named(),
            proposed: nothing.as_named(),
            before: None,
            asked: &new.record.asked.permissions,
            endless: false,
            named: true,
            usual_scopes: &settings.default_permissions,
            usual: grant_life(settings.token_expiry),
        };
        let (ceiling, ends) = approve(&approval, authority, now)?;
        if let Some(said) = terms.expires {
            let said = Span::from_secs(said.as_secs());
            settings.bounds.check_grant(said).map_err(|which| self.exceeded(which))?;
        }
        let maker = ceiling.maker;
        let FreshGrant { grant, .. } =
            self.granted(node_id, &holder, ceiling.scopes.clone(), (ends, maker), now)?;
        let (name, room) = (old.record.name.clone(), old.record.room.clone());
        let offered = InPlace {
            record: Record { name, room, standing, ..new.record.clone() },
            profile: new.profile.clone(),
            read_at: new.version,
            grant: grant.clone(),
            ceiling,
            replaced: Replaced {
                node_id: old.record.node_id,
                version: old.version,
                standing: replaced.standing,
            },
        };
        match self.store().offer_in_place(offered, now).await {
            Ok(_) => {}
            Err(SaveError::Conflict | SaveError::Missing) => return Ok(None),
            Err(SaveError::Store(error)) => return Err(error.into()),
        }
        // The old one's links end first, so that no moment has both.
        let out = Some(Notice::Unpaired);
        self.end_what_rests_on(&old.record, out);
        self.push(old.record.node_id, out);
        self.event(Event::Decided { node_id: old.record.node_id, decision: "unpair" });
        inner.pairing.note(node_id, |note| note.word = terms.message.clone());
        self.event(Event::GrantOffered { node_id, grant: grant.id });
        self.push(node_id, Some(Notice::Decided));
        self.event(Event::Paired(node_id));
        let credential = IssuedCredential::Grant(Box::new(grant));
        Ok(Some(Issued { node_id, credential, delivery: None }))
    }

    /// Returns the terms for the new node: those that were named, and for the rest the old one's.
    fn moved_terms(
        &self,
        old: &Entry,
        terms: &ApprovalTerms,
    ) -> Result<ApprovalTerms, CannotReplace> {
        if terms.permissions.is_some() {
            return Ok(terms.clone());
        }
        let (scopes, left) = rights(old.ceiling.as_deref(), self.inner.clock.unix())?;
        let left = left.map(|left| Duration::from_millis(left.as_millis()));
        // A named end may be earlier than that of the rights, and never later.
        let expires = match (terms.expires, left) {
            (Some(named), Some(left)) => Some(named.min(left)),
            (named, left) => named.or(left),
        };
        Ok(ApprovalTerms { permissions: Some(scopes.clone()), expires, ..terms.clone() })
    }

    /// Returns the nodes that had this one's place before it, the latest first, and the one that
    /// took it.
    ///
    /// # Errors
    /// [`OperatorError::Store`].
    pub async fn places_of(
        &self,
        node_id: NodeId,
    ) -> Result<(Vec<Replacement>, Option<Replacement>), OperatorError> {
        let before = self.inner.store.predecessors(node_id).await?;
        Ok((before, self.inner.store.successor(node_id).await?))
    }

    /// Makes a grant of these terms.
    pub(super) fn granted(
        &self,
        node_id: NodeId,
        holder: &Holder,
        scopes: ScopesBuf,
        ends: (UnixTime, Maker),
        now: UnixTime,
    ) -> Result<FreshGrant, OperatorError> {
        self.fresh_grant(node_id, holder, scopes, ends, now).map_err(|error| match error {
            CannotIssue::NeverInForce | CannotIssue::TooLong => {
                OperatorError::Usage("the permissions or their time are too much".to_owned())
            }
            CannotIssue::NotTheHolder | CannotIssue::Wider(_) | CannotIssue::TooDeep => {
                OperatorError::Refused { node_id, refusal: Refusal::StoreFailed }
            }
        })
    }
}
