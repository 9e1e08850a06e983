//! The registry in memory, for tests and for the demo.

mod codes;
mod deliveries;
mod grants;
mod inbound;
mod makers;
mod nodes;
mod sessions;
mod time;

use std::collections::HashMap;
use std::ops::Bound;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use handfast_core::crypto::x25519;
use handfast_core::error::Refusal;
use handfast_core::grant::capability::{self, Held};
use handfast_core::id::{NodeId, Source};
use handfast_core::limits::Limits;
use handfast_core::registry::admission::{PendingRequest, RequestKey};
use handfast_core::registry::ceiling::Ceiling;
use handfast_core::registry::codes::{CodeId, Guesser, NoGuess, Window};
use handfast_core::registry::grants::{Grant, GrantId};
use handfast_core::registry::record::{Record, Standing};
use handfast_core::registry::rejection::Rejection;
use handfast_core::registry::sessions::Maker;
use handfast_core::time::UnixTime;
use handfast_core::wire::native::pair::Selector;

use crate::{
    Activation, Counts, Entry, Filter, Listed, NotMinted, Observation, Revoked, SaveError, Store,
    StoreError, Stored, StoredCode, Version, prefix, rules,
};
use codes::Codes;
use deliveries::UnderWay;
use grants::Grants;
use inbound::Senders;
use nodes::{NodeRow, Nodes};
use sessions::Companions;

/// A [`Store`] that loses its content when it is dropped.
#[derive(Debug, Default)]
pub struct MemoryStore {
    state: Mutex<MemoryState>,
    /// Raised while the state is locked, so that a reader of the new number also reads the change.
    inbound_epoch: AtomicU64,
}

#[derive(Clone, Debug, Default)]
struct MemoryState {
    nodes: Nodes,
    grants: Grants,
    codes: Codes,
    vault: HashMap<String, Vec<u8>>,
    companions: Companions,
    senders: Senders,
    time: time::TimeState,
    deliveries: UnderWay,
}

impl MemoryState {
    fn offer(
        &mut self,
        record: Record,
        profile: String,
        read_at: Option<Version>,
        grant: Grant,
        ceiling: Option<Ceiling>,
        now: UnixTime,
    ) -> Result<Version, SaveError> {
        rules::offerable(&record, &grant)?;
        self.grants.check_fresh(grant.id)?;
        if self.end_of(grant.maker, now).is_none() {
            return Err(SaveError::Conflict);
        }
        let version = match read_at {
            None => self.nodes.insert(record, profile, now)?,
            Some(read_at) => self.nodes.replace(record, profile, read_at, now)?,
        };
        if let Some(ceiling) = ceiling {
            self.nodes.bound(grant.node_id, ceiling, now);
        }
        self.grants.offer(grant, now);
        Ok(version)
    }
}

impl MemoryStore {
    /// Creates an empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, MemoryState> {
        // No holder of the lock can panic half way through a change, so a poisoned lock still
        // guards a valid state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn stored(node: &NodeRow) -> Stored {
    let Entry { record, version, ceiling, .. } = &node.entry;
    Stored { record: record.clone(), version: *version, ceiling: ceiling.clone() }
}

fn is_current(entry: &Entry, now: UnixTime) -> bool {
    match entry.record.standing {
        Standing::Pending { expires } => expires > now,
        Standing::Unapproved { .. } | Standing::Paired { .. } | Standing::Muted { .. } => true,
        Standing::Revoked { .. } => false,
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn admit(
        &self,
        asking: PendingRequest,
        profile: String,
        limits: Limits,
        now: UnixTime,
    ) -> Result<Result<NodeId, Refusal>, StoreError> {
        self.state().nodes.admit(asking, profile, &limits, now)
    }

    async fn rejection(&self, key: RequestKey) -> Result<Option<Rejection>, StoreError> {
        Ok(self.state().nodes.rejection(&key))
    }

    async fn named(
        &self,
        name: &str,
        limit: usize,
        now: UnixTime,
    ) -> Result<Vec<Listed>, StoreError> {
        let state = self.state();
        let named = state.nodes.all.values().map(|node| &node.entry);
        let named =
            named.filter(|entry| entry.record.name.as_str() == name && is_current(entry, now));
        Ok(named.take(limit).cloned().map(Ok).collect())
    }

    async fn load(&self, node_id: NodeId) -> Result<Option<Stored>, StoreError> {
        Ok(self.state().nodes.all.get(&node_id).map(stored))
    }

    async fn save(
        &self,
        node_id: NodeId,
        read_at: Version,
        standing: Standing,
        now: UnixTime,
    ) -> Result<Version, SaveError> {
        let MemoryState { nodes, grants, deliveries, .. } = &mut *self.state();
        let is_revoked = matches!(standing, Standing::Revoked { .. });
        let version = nodes.save(node_id, read_at, standing.clone(), now)?;
        deliveries.follow(node_id, &standing, now);
        if is_revoked {
            grants.end(node_id, None, now);
        }
        Ok(version)
    }

    async fn save_by(
        &self,
        node_id: NodeId,
        read_at: Version,
        standing: Standing,
        maker: Maker,
        now: UnixTime,
    ) -> Result<Version, SaveError> {
        let mut state = self.state();
        if state.end_of(maker, now).is_none() {
            return Err(SaveError::Conflict);
        }
        let version = state.nodes.save(node_id, read_at, standing.clone(), now)?;
        state.deliveries.follow(node_id, &standing, now);
        if let Some(node) = state.nodes.all.get_mut(&node_id) {
            node.entry.maker = maker;
        }
        Ok(version)
    }

    async fn insert(
        &self,
        record: Record,
        profile: String,
        now: UnixTime,
    ) -> Result<(), SaveError> {
        let MemoryState { nodes, deliveries, .. } = &mut *self.state();
        let (node_id, standing) = (record.node_id, record.standing.clone());
        nodes.insert(record, profile, now)?;
        deliveries.follow(node_id, &standing, now);
        Ok(())
    }

    async fn observe(&self, node_id: NodeId, observation: Observation) -> Result<(), StoreError> {
        if let Some(node) = self.state().nodes.all.get_mut(&node_id) {
            node.entry.observed = Some(observation.over(node.entry.observed));
        }
        Ok(())
    }

    async fn find(&self, prefix: &str, limit: usize) -> Result<Vec<Listed>, StoreError> {
        let Some(ids) = prefix::range(prefix) else { return Ok(Vec::new()) };
        Ok(self
            .state()
            .nodes
            .all
            .range(ids)
            .take(limit)
            .map(|(_, node)| Ok(node.entry.clone()))
            .collect())
    }

    async fn list(
        &self,
        filter: Filter,
        after: Option<NodeId>,
        limit: usize,
        now: UnixTime,
    ) -> Result<Vec<Listed>, StoreError> {
        let belongs = |entry: &Entry| match filter {
            Filter::All => true,
            Filter::Current => is_current(entry, now),
            Filter::Pending => {
                let waits = matches!(
                    entry.record.standing,
                    Standing::Pending { .. } | Standing::Unapproved { .. }
                );
                waits && is_current(entry, now)
            }
        };
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let state = self.state();
        let page = state
            .nodes
            .all
            .range((from, Bound::Unbounded))
            .map(|(_, node)| &node.entry)
            .filter(|entry| belongs(entry));
        Ok(page.take(limit).cloned().map(Ok).collect())
    }

    async fn counts(&self, now: UnixTime) -> Result<Counts, StoreError> {
        Ok(self.state().nodes.counts(now))
    }

    async fn by_key(&self, key: &x25519::PublicKey) -> Result<Option<Stored>, StoreError> {
        Ok(self.state().nodes.with_key(key).map(stored))
    }

    async fn offer(
        &self,
        record: Record,
        profile: String,
        read_at: Option<Version>,
        grant: Grant,
        ceiling: Option<Ceiling>,
        now: UnixTime,
    ) -> Result<Version, SaveError> {
        self.state().offer(record, profile, read_at, grant, ceiling, now)
    }

    async fn set_ceiling(
        &self,
        node_id: NodeId,
        read_at: Version,
        ceiling: Ceiling,
        now: UnixTime,
    ) -> Result<Version, SaveError> {
        self.state().nodes.set_ceiling(node_id, read_at, ceiling, now)
    }

    async fn grants(&self, node_id: NodeId) -> Result<Vec<Grant>, StoreError> {
        Ok(self.state().grants.of(node_id).cloned().collect())
    }

    async fn activate(
        &self,
        node_id: NodeId,
        grant: GrantId,
        now: UnixTime,
    ) -> Result<Activation, StoreError> {
        Ok(self.state().grants.activate(node_id, grant, now))
    }

    async fn end_grants(
        &self,
        node_id: NodeId,
        which: Option<GrantId>,
        now: UnixTime,
    ) -> Result<Vec<capability::Id>, StoreError> {
        Ok(self.state().grants.end(node_id, which, now))
    }

    async fn grant_of(&self, capability: &capability::Id) -> Result<Option<Grant>, StoreError> {
        Ok(self.state().grants.with(capability).cloned())
    }

    async fn list_granted(
        &self,
        after: Option<NodeId>,
        limit: usize,
        now: UnixTime,
    ) -> Result<Vec<(Listed, Vec<Grant>)>, StoreError> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let MemoryState { nodes, grants, .. } = &*self.state();
        let page = nodes.all.range((from, Bound::Unbounded)).map(|(_, node)| &node.entry);
        let page =
            page.filter(|entry| entry.record.keys.is_some() && is_current(entry, now)).take(limit);
        let counting = |id| grants.of(id).filter(|grant| grant.counts(now)).cloned().collect();
        Ok(page.map(|entry| (Ok(entry.clone()), counting(entry.record.node_id))).collect())
    }

    async fn revoke(&self, what: Revoked, _now: UnixTime) -> Result<(), StoreError> {
        self.state().grants.revoke(what);
        Ok(())
    }

    async fn is_revoked(&self, held: Vec<Held>) -> Result<bool, StoreError> {
        let MemoryState { nodes, grants, .. } = &*self.state();
        Ok(held.into_iter().any(|Held { id, by }| {
            let node = nodes.with_key(&by).map(|node| &node.entry.record.standing);
            grants.is_revoked(Revoked::Block(id))
                || grants.is_revoked(Revoked::Key(by))
                || node.is_some_and(Standing::bars)
        }))
    }

    async fn window(&self) -> Result<Window, StoreError> {
        Ok(self.state().codes.window)
    }

    async fn set_window(&self, window: Window) -> Result<(), StoreError> {
        self.state().codes.set_window(window);
        Ok(())
    }

    async fn mint(
        &self,
        code: StoredCode,
        now: UnixTime,
    ) -> Result<Result<(), NotMinted>, StoreError> {
        let mut state = self.state();
        if state.end_of(code.maker, now).is_none() {
            return Ok(Err(NotMinted::MakerEnded));
        }
        state.codes.mint(code, now)
    }

    async fn code(&self, id: CodeId) -> Result<Option<StoredCode>, StoreError> {
        Ok(self.state().codes.code(id))
    }

    async fn code_by_selector(
        &self,
        selector: Selector,
        now: UnixTime,
    ) -> Result<Option<StoredCode>, StoreError> {
        Ok(self.state().codes.by_selector(selector, now))
    }

    async fn codes(&self, now: UnixTime) -> Result<Vec<StoredCode>, StoreError> {
        Ok(self.state().codes.live(now))
    }

    async fn guessers(&self) -> Result<Vec<Guesser>, StoreError> {
        Ok(self.state().codes.guessers())
    }

    async fn reserve(
        &self,
        code: Option<CodeId>,
        source: Source,
        now: UnixTime,
    ) -> Result<Result<u8, NoGuess>, StoreError> {
        Ok(self.state().codes.reserve(code, source, now))
    }

    async fn spend(
        &self,
        code: CodeId,
        source: Source,
        reserved_at: UnixTime,
        now: UnixTime,
    ) -> Result<bool, StoreError> {
        let MemoryState { codes, deliveries, .. } = &mut *self.state();
        let spent = codes.spend(code, source, reserved_at, now);
        if spent {
            deliveries.code_used(code);
        }
        Ok(spent)
    }

    async fn withdraw(&self, code: CodeId, now: UnixTime) -> Result<bool, StoreError> {
        Ok(self.state().codes.withdraw(code, now))
    }

    async fn vault(&self, name: &str, fresh: Vec<u8>) -> Result<Vec<u8>, StoreError> {
        Ok(self.state().vault.entry(name.to_owned()).or_insert(fresh).clone())
    }

    async fn probe(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn forgets(&self) -> bool {
        true
    }
}
