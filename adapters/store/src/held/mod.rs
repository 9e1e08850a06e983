//! A store that keeps decisions in force before it can write them.
//!
//! A decision that takes something away does not wait for the disk: the gateway
//! [holds](HeldDecisions::hold) it here, ends the links, and then has it stored. Until it is
//! stored, every read answers as if it were, so reconnecting does not get around it.
//! [`HeldStore::store_held`] retries decisions that could not be stored. Decisions that give
//! something are never held.
//!
//! The tallies of [`counts`](Store::counts) and the listing of senders show the stored state.

mod addresses;
mod audit;
mod certificates;
mod clones;
mod cut;
mod deliveries;
mod dispatches;
mod ends;
mod inbound;
mod known_keys;
mod logins;
mod policies;
mod provisioning;
mod replacements;
mod sessions;
mod store;
mod table;
mod time;

use std::sync::Arc;

use handfast_core::registry::ceiling::Ceiling;
use handfast_core::registry::codes::Window;
use handfast_core::registry::grants::{Grant, State};
use handfast_core::registry::lifecycle::{self, Decision};
use handfast_core::registry::record::{Record, Standing};
use handfast_core::registry::sessions::Maker;
use handfast_core::{NodeId, UnixTime};

use crate::audit::Origin;
use crate::{EndedWith, Listed, SaveError, Store, StoreError, Stored, StoredCode, Version};

pub use cut::Cut;
use table::HeldEntry;
pub use table::{HeldDecisions, HeldTicket, HeldView};

/// A held decision that has been stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The decision itself.
    pub cut: Cut,
    /// The operator's view of the decision.
    pub view: HeldView,
    /// Consequences of a session's end that were not known while it was held.
    pub ended: EndedWith,
}

/// The outcome of an attempt to store a decision.
enum StoreOutcome {
    /// The decision is stored, or has no meaning any more. Holds the consequences of a session's
    /// end.
    Done(EndedWith),
    /// The record changed meanwhile. The decision is retried once it is known whether the change
    /// overrides it.
    Changed,
}

impl StoreOutcome {
    const DONE: Self = Self::Done(EndedWith::NOTHING);
}

/// A store with held decisions on top of it.
#[derive(Clone)]
pub struct HeldStore {
    store: Arc<dyn Store>,
    held: Arc<HeldDecisions>,
}

impl HeldStore {
    /// Creates an empty table of held decisions on top of a store.
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store, held: Arc::default() }
    }

    /// Returns the table of held decisions.
    #[must_use]
    pub const fn held(&self) -> &Arc<HeldDecisions> {
        &self.held
    }

    /// Reads a record as it is stored, without the held decisions.
    ///
    /// # Errors
    /// As for [`Store::load`].
    pub async fn load_stored(&self, node_id: NodeId) -> Result<Option<Stored>, StoreError> {
        self.store.load(node_id).await
    }

    /// Tries to store the held decisions; if there are none, tests whether writing works again.
    /// Returns the decisions that were stored.
    ///
    /// # Errors
    /// [`StoreError`] of the first decision that could not be stored; the remaining ones were not
    /// tried.
    pub async fn store_held(&self, now: UnixTime) -> Result<Vec<Written>, StoreError> {
        let mut stored = Vec::new();
        let entries = self.held.entries();
        // Nothing is left to store, so only a probe can show that writing works again.
        if entries.is_empty() && self.held.is_failing() {
            self.probe().await?;
        }
        for entry in entries {
            match self.store_cut(&entry, now).await {
                Ok(StoreOutcome::Done(ended)) => {
                    self.held.works();
                    self.held.release(&entry.ticket);
                    let view = HeldView { what: entry.what, since: entry.since };
                    stored.push(Written { cut: entry.cut, view, ended });
                }
                // A damaged record must not keep the other decisions from being stored.
                Ok(StoreOutcome::Changed) | Err(StoreError::BadRecord(_)) => {}
                Err(error) => {
                    // The caller has to learn of decisions that were stored, so the error waits for
                    // the next call.
                    if stored.is_empty() {
                        return Err(error);
                    }
                    break;
                }
            }
        }
        Ok(stored)
    }

    async fn store_cut(
        &self,
        entry: &HeldEntry,
        now: UnixTime,
    ) -> Result<StoreOutcome, StoreError> {
        let since = entry.since;
        let origin = Origin { at: now, since: Some(since), ..entry.origin };
        let store = Arc::clone(&self.store).by(origin);
        let stored = match &entry.cut {
            Cut::Session { id, with } => {
                // The session ended when that was decided, not when it is stored.
                let ended = self.wrote(store.end_session(*id, since).await);
                return ended.map(|(_, ended)| StoreOutcome::Done(ended.without(with)));
            }
            Cut::Node { node_id, decision, .. } => {
                return self.store_decision(&*store, *node_id, decision, now).await;
            }
            Cut::Ceiling { node_id, ceiling } => {
                return self.store_ceiling(&*store, *node_id, ceiling, now).await;
            }
            Cut::Grants { node_id, which, .. } => {
                self.wrote(store.end_grants(*node_id, *which, now).await).map(drop)
            }
            Cut::Revoked(what) => self.wrote(store.revoke(*what, since).await),
            Cut::Login(id) => {
                // It ended when that was decided, not when it is stored.
                let ended = self.wrote(store.end_login(*id, since).await);
                return ended.map(|(_, ended)| StoreOutcome::Done(ended));
            }
            Cut::Code(id) => self.wrote(store.withdraw(*id, now).await).map(drop),
            Cut::Window => {
                // Only the opening is taken back; the counted guesses stay.
                let before = store.window().await?;
                self.wrote(store.set_window(Window { opened: None, ..before }).await)
            }
            Cut::Sender { channel, account, sender, change } => {
                let changed = self
                    .store
                    .change_sender(channel, account.as_deref(), sender, change.clone(), now)
                    .await;
                self.wrote(changed).map(drop)
            }
            Cut::Certificates(which) => {
                // They ended when that was decided, not when it is stored.
                self.wrote(store.revoke_certificates(*which, since).await).map(drop)
            }
            Cut::Evicted { node_id, from } => {
                return match self.wrote_save(store.evict(*node_id, *from).await) {
                    // A node that is gone has nothing left to evict.
                    Ok(_) | Err(SaveError::Missing | SaveError::Conflict) => Ok(StoreOutcome::DONE),
                    Err(SaveError::Store(error)) => Err(error),
                };
            }
        };
        stored.map(|()| StoreOutcome::DONE)
    }

    async fn store_decision(
        &self,
        store: &dyn Store,
        node_id: NodeId,
        decision: &Decision,
        now: UnixTime,
    ) -> Result<StoreOutcome, StoreError> {
        let Some(Stored { record, version, .. }) = store.load(node_id).await? else {
            // A record that is gone leaves nothing to decide about.
            return Ok(StoreOutcome::DONE);
        };
        // If the decision is no longer valid, a later stored one overrides it.
        let Ok(change) = lifecycle::decide(&record.standing, decision.clone(), now) else {
            return Ok(StoreOutcome::DONE);
        };
        self.outcome(store.save(node_id, version, change.standing, now).await)
    }

    /// Stores a ceiling without an offer. The gateway offers a grant when the node connects, as
    /// after an offer that was lost.
    async fn store_ceiling(
        &self,
        store: &dyn Store,
        node_id: NodeId,
        ceiling: &Ceiling,
        now: UnixTime,
    ) -> Result<StoreOutcome, StoreError> {
        match store.load(node_id).await? {
            Some(Stored {
                record: Record { standing: Standing::Paired { .. } | Standing::Muted { .. }, .. },
                version,
                ..
            }) => self.outcome(store.set_ceiling(node_id, version, ceiling.clone(), now).await),
            // A node that is not paired has no permissions to limit.
            Some(_) | None => Ok(StoreOutcome::DONE),
        }
    }

    fn outcome(&self, saved: Result<Version, SaveError>) -> Result<StoreOutcome, StoreError> {
        match self.wrote_save(saved) {
            Ok(_) | Err(SaveError::Missing) => Ok(StoreOutcome::DONE),
            Err(SaveError::Conflict) => Ok(StoreOutcome::Changed),
            Err(SaveError::Store(error)) => Err(error),
        }
    }

    /// Records a failed write. A successful one says little, because it may have had nothing to
    /// write.
    fn wrote<T>(&self, outcome: Result<T, StoreError>) -> Result<T, StoreError> {
        outcome.inspect_err(|error| {
            // A damaged record says nothing about the disk.
            if !matches!(error, StoreError::BadRecord(_)) {
                self.held.failed();
            }
        })
    }

    fn wrote_save<T>(&self, outcome: Result<T, SaveError>) -> Result<T, SaveError> {
        match outcome {
            Err(SaveError::Store(error)) => self.wrote(Err(error)).map_err(SaveError::Store),
            other @ (Ok(_) | Err(SaveError::Conflict | SaveError::Missing)) => other,
        }
    }

    fn seen(&self, mut record: Record) -> Record {
        // The decision about the node applies to the standing that the session's end has left.
        if self.held.ends(|ends| ends.is_unapproved(record.node_id)) {
            record.standing = lifecycle::unapproved(&record.standing).unwrap_or(record.standing);
        }
        if let Some(Cut::Node { decision, .. }) = self.held.node(record.node_id) {
            record.standing = lifecycle::in_force(&record.standing, &decision);
        }
        record
    }

    /// Returns the ceiling in force: a held one overrides the stored one.
    fn seen_ceiling(&self, node_id: NodeId, stored: Option<Box<Ceiling>>) -> Option<Box<Ceiling>> {
        self.held.of_ceiling(node_id).map(|(_, held)| Box::new(held)).or(stored)
    }

    fn seen_stored(&self, stored: Option<Stored>) -> Option<Stored> {
        stored.map(|Stored { record, version, ceiling }| Stored {
            ceiling: self.seen_ceiling(record.node_id, ceiling),
            record: self.seen(record),
            version,
        })
    }

    fn seen_listed(&self, listed: Listed) -> Listed {
        listed.map(|mut entry| {
            entry.ceiling = self.seen_ceiling(entry.record.node_id, entry.ceiling);
            entry.record = self.seen(entry.record);
            entry
        })
    }

    fn seen_grant(&self, node_id: NodeId, grant: Grant) -> Grant {
        let is_out = self.held.has_grant(node_id, grant.id)
            || self.held.ends(|ends| ends.is_out(grant.maker, grant.expires))
            || matches!(
                self.held.node(node_id),
                Some(Cut::Node {
                    decision: Decision::Unpair | Decision::Reject | Decision::Bar,
                    ..
                })
            );
        if is_out { Grant { state: State::Ended, ..grant } } else { grant }
    }

    fn is_out(&self, code: &StoredCode) -> bool {
        self.held.has_code(code.id) || self.is_maker_out(code.maker, Some(code.counted.expires))
    }

    /// Returns `true` if the end of this maker is held, and takes away a code or a window with this
    /// end.
    fn is_maker_out(&self, maker: Maker, end: Option<UnixTime>) -> bool {
        maker.login().is_some_and(|id| self.held.login(id).is_some())
            || self.held.ends(|ends| ends.is_out(maker, end))
    }

    /// A withdrawn code has no uses and no secret left.
    fn seen_code(&self, mut code: StoredCode) -> StoredCode {
        if self.is_out(&code) {
            code.counted.uses_left = 0;
            code.sealed = Vec::new();
        }
        code
    }
}

#[cfg(test)]
mod tests;
