//! The operator's decision about a node with keys: approval and its terms, or rejection with a
//! reason.

use handfast_core::flow::native::settle::{NamedTerms, OperatorApproval, approve, regrant};
use handfast_core::flow::registration::operator::Purpose;
use handfast_core::grant::capability::Holder;
use handfast_core::registry::authority::Authority;
use handfast_core::registry::ceiling::{self, Ceiling, Effect};
use handfast_core::registry::grants::{Grant, current};
use handfast_core::registry::lifecycle::{self, Change, Decision};
use handfast_core::registry::record::{Credential, Record};
use handfast_core::{NodeId, Span};
use handfast_store::held::Cut;
use handfast_store::{Entry, SaveError, StoreError};

use super::grants::FreshGrant;
use super::session::grant_life;
use crate::events::Event;
use crate::gateway::Gateway;
use crate::gateway::operator_types::OperatorError;
use crate::policy::rules::ApprovalTerms;

impl Gateway {
    /// Rejects a pending request; its node may ask again after a while. A node of the native wire
    /// that still waits for the decision is told the reason: at most 160 bytes, on one line.
    ///
    /// # Errors
    /// As for [`Gateway::decide`], and [`OperatorError::Usage`] for a reason that cannot be told.
    pub async fn reject(
        &self,
        node_id: NodeId,
        reason: Option<String>,
    ) -> Result<(), OperatorError> {
        self.turn_down(node_id, reason, false).await
    }

    /// Pairs a node with keys, or changes the ceiling of a paired one, in one durable step. Returns
    /// `None` if the record changed meanwhile. With `endless`, an earlier end is lifted, and the
    /// grants are renewed.
    pub(crate) async fn grant(
        &self,
        authority: &Authority,
        entry: &Entry,
        holder: Holder,
        purpose: Purpose,
        terms: &ApprovalTerms,
        endless: bool,
    ) -> Result<Option<Grant>, OperatorError> {
        let inner = &self.inner;
        let (node_id, now) = (entry.record.node_id, inner.clock.unix());
        let refused = |refusal| OperatorError::Refused { node_id, refusal };
        let standing = &entry.record.standing;
        let (change, before) = match purpose {
            Purpose::Approve => {
                (lifecycle::decide(standing, Decision::Approve(Credential::Keys), now), None)
            }
            Purpose::Reissue => (regrant(standing), entry.ceiling.as_deref()),
        };
        let Change { standing, notice } = change.map_err(refused)?;
        let (proposed, settings) = (inner.pairing.noted(node_id).proposed, &inner.pairing.settings);
        let approval = OperatorApproval {
            said: terms.as_named(),
            proposed: proposed.as_named(),
            before,
            asked: &entry.record.asked.permissions,
            endless,
            // An approval without named permissions is not about this node in particular.
            named: matches!(purpose, Purpose::Reissue),
            usual_scopes: &settings.default_permissions,
            usual: grant_life(settings.token_expiry),
        };
        let (ceiling, ends) = approve(&approval, authority, now)?;
        let maker = ceiling.maker;
        if let Some(said) = terms.expires {
            // Grants live for whole seconds, so the limit is checked on whole seconds.
            let said = Span::from_secs(said.as_secs());
            settings.bounds.check_grant(said).map_err(|which| self.exceeded(which))?;
        }
        let FreshGrant { grant, .. } =
            self.granted(node_id, &holder, ceiling.scopes.clone(), (ends, maker), now)?;
        let order = self.order(entry, purpose, &ceiling).await?;
        let what = format!(
            "node {node_id} ({:?}) has no more than its narrower permissions",
            entry.record.name.as_str()
        );
        let (mut held, mut is_saved) = (None, false);
        for effect in order {
            match effect {
                Effect::Bound => {
                    // A bound that comes before the save is held in memory, so that it survives a
                    // failing store.
                    if !is_saved {
                        held = Some(self.hold(
                            Cut::Ceiling { node_id, ceiling: Box::new(ceiling.clone()) },
                            &what,
                        )?);
                    }
                    self.bounded(&entry.record);
                }
                Effect::Save => {
                    let before = inner.held.held().of_ceiling(node_id);
                    let record = Record { standing: standing.clone(), ..entry.record.clone() };
                    let (profile, version) = (entry.profile.clone(), Some(entry.version));
                    match self
                        .store()
                        .offer(record, profile, version, grant.clone(), Some(ceiling.clone()), now)
                        .await
                    {
                        // The decision stored now overrides everything that was held when it was
                        // taken.
                        Ok(_) => {
                            before.iter().for_each(|(ticket, _)| inner.held.held().release(ticket));
                        }
                        // The caller reads the entry again and decides anew.
                        Err(SaveError::Conflict | SaveError::Missing) => return Ok(None),
                        Err(SaveError::Store(error)) => {
                            return Err(match held {
                                Some(ticket) => self.not_stored(&ticket, what, error),
                                None => error.into(),
                            });
                        }
                    }
                    is_saved = true;
                }
                Effect::Push => {
                    // The operator's own message comes before the one that was proposed.
                    let word = terms.message.clone().or_else(|| proposed.message.clone());
                    inner.pairing.note(node_id, |note| note.word = word);
                    self.event(Event::GrantOffered { node_id, grant: grant.id });
                    self.push(node_id, notice);
                }
            }
        }
        Ok(Some(grant))
    }

    /// Returns the effects of a new ceiling, in order.
    async fn order(
        &self,
        entry: &Entry,
        purpose: Purpose,
        ceiling: &Ceiling,
    ) -> Result<[Effect; 3], StoreError> {
        let (inner, node_id) = (&self.inner, entry.record.node_id);
        match purpose {
            // An approval takes no right away.
            Purpose::Approve => Ok(ceiling::effects(ceiling, None, None, None)),
            Purpose::Reissue => {
                let held = inner.held.held().of_ceiling(node_id).map(|(_, held)| held);
                let stored = match held {
                    // While a decision is held, the entry shows that one, so the stored ceiling is
                    // read separately.
                    Some(_) => {
                        inner.held.load_stored(node_id).await?.and_then(|stored| stored.ceiling)
                    }
                    None => entry.ceiling.clone(),
                };
                let grants = inner.store.grants(node_id).await?;
                let current = current(&grants, inner.clock.unix());
                Ok(ceiling::effects(ceiling, stored.as_deref(), held.as_ref(), current))
            }
        }
    }

    /// Applies a node's ceiling that is in force: bearers that allow more end, and every link that
    /// depends on the node checks its rights again.
    pub(crate) fn bounded(&self, record: &Record) {
        self.inner
            .pairing
            .bearers
            .drop_holder(crate::gateway::bearers::BearerHolder::Node(record.node_id));
        self.inner.hub.look_again(record.node_id);
        // Chains below the node's own depend on its ceiling as well.
        if let Some(keys) = &record.keys {
            self.cut_key(&keys.channel);
        }
    }

    /// Returns the whole entry of a node.
    pub(crate) async fn entry(&self, node_id: NodeId) -> Result<Entry, OperatorError> {
        let text = node_id.to_string();
        let found = self.inner.store.find(&text, 1).await?.pop();
        let mut entry = found.ok_or(OperatorError::NotFound(text))?.map_err(StoreError::from)?;
        // A reading that waits for its write is newer than the stored one.
        entry.observed = self.inner.readings.over(node_id, entry.observed);
        Ok(entry)
    }
}

impl ApprovalTerms {
    /// Returns the terms as core decides by them.
    pub(super) fn as_named(&self) -> NamedTerms<'_> {
        NamedTerms { scopes: self.permissions.as_ref(), lives: self.expires.map(grant_life) }
    }
}
