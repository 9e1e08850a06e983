//! The registry in memory: for tests and for the demo.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use handfast_core::budget::Pending;
use handfast_core::error::Refusal;
use handfast_core::id::{NodeId, Source};
use handfast_core::limits::Limits;
use handfast_core::registry::admission::{Admission, Asking, RequestKey, decide};
use handfast_core::registry::record::{Record, Standing};
use handfast_core::time::UnixTime;

use crate::{Counts, Entry, Filter, Listed, Observation, SaveError, Store, StoreError, Stored, Version, prefix};

/// A [`Store`] that forgets everything when it is dropped.
#[derive(Debug, Default)]
pub struct MemoryStore(Mutex<Nodes>);

/// Every change goes through [`Nodes::put`] and [`Nodes::take`], which keep what is derived from the nodes in step with them.
#[derive(Debug, Default)]
struct Nodes {
    nodes: BTreeMap<NodeId, Node>,
    by_key: HashMap<RequestKey, NodeId>,
    by_expiry: BTreeSet<(UnixTime, NodeId)>,
    of_source: HashMap<Source, u32>,
    /// The expired that are not purged yet count as pending here.
    counts: Counts,
}

#[derive(Clone, Debug)]
struct Node {
    entry: Entry,
    source: Source,
    /// Only while it is pending.
    key: Option<RequestKey>,
}

impl MemoryStore {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn nodes(&self) -> MutexGuard<'_, Nodes> {
        // Nothing that holds the lock can panic half way through a change; a poisoned one is as good as any.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Nodes {
    fn put(&mut self, node: Node) {
        let id = node.entry.record.node_id;
        *self.count(&node.entry.record.standing) += 1;
        if let Standing::Pending { expires } = node.entry.record.standing {
            self.by_expiry.insert((expires, id));
            *self.of_source.entry(node.source).or_default() += 1;
            if let Some(key) = node.key {
                self.by_key.insert(key, id);
            }
        }
        self.nodes.insert(id, node);
    }

    fn take(&mut self, id: NodeId) -> Option<Node> {
        let node = self.nodes.remove(&id)?;
        *self.count(&node.entry.record.standing) -= 1;
        if let Standing::Pending { expires } = node.entry.record.standing {
            self.by_expiry.remove(&(expires, id));
            if let Some(waiting) = self.of_source.get_mut(&node.source) {
                *waiting -= 1;
                if *waiting == 0 {
                    self.of_source.remove(&node.source);
                }
            }
            if let Some(key) = node.key {
                self.by_key.remove(&key);
            }
        }
        Some(node)
    }

    fn count(&mut self, standing: &Standing) -> &mut u64 {
        match standing {
            Standing::Pending { .. } | Standing::Unapproved { .. } => &mut self.counts.pending,
            Standing::Paired { .. } => &mut self.counts.paired,
            Standing::Muted { .. } => &mut self.counts.muted,
            Standing::Revoked { .. } => &mut self.counts.revoked,
        }
    }

    fn purge(&mut self, now: UnixTime) {
        while let Some(&(_, id)) = self.by_expiry.first().filter(|(expires, _)| *expires <= now) {
            self.take(id);
        }
    }
}

fn node(record: Record, source: Source, key: Option<RequestKey>, profile: String, now: UnixTime) -> Node {
    Node { entry: Entry { record, version: Version(1), profile, changed_at: now, observed: None }, source, key }
}

#[async_trait]
impl Store for MemoryStore {
    async fn admit(
        &self,
        asking: Asking,
        profile: String,
        limits: Limits,
        now: UnixTime,
    ) -> Result<Result<NodeId, Refusal>, StoreError> {
        let mut nodes = self.nodes();
        nodes.purge(now);
        let Asking { key, source, record } = asking;
        let same = nodes.by_key.get(&key).copied();
        let waiting = Pending {
            total: u32::try_from(nodes.by_expiry.len()).unwrap_or(u32::MAX),
            of_source: nodes.of_source.get(&source).copied().unwrap_or(0),
        };
        Ok(match decide(same, waiting, &limits) {
            Admission::Found(id) => Ok(id),
            Admission::Full => Err(Refusal::TooManyPending),
            Admission::Enter if nodes.nodes.contains_key(&record.node_id) => {
                return Err(StoreError::Database(format!("the fresh id {} is taken", record.node_id)));
            }
            Admission::Enter => {
                let id = record.node_id;
                nodes.put(node(record, source, Some(key), profile, now));
                Ok(id)
            }
        })
    }

    async fn load(&self, node_id: NodeId) -> Result<Option<Stored>, StoreError> {
        Ok(self.nodes().nodes.get(&node_id).map(|n| Stored { record: n.entry.record.clone(), version: n.entry.version }))
    }

    async fn save(&self, node_id: NodeId, read_at: Version, standing: Standing, now: UnixTime) -> Result<Version, SaveError> {
        let mut nodes = self.nodes();
        if nodes.nodes.get(&node_id).ok_or(SaveError::Missing)?.entry.version != read_at {
            return Err(SaveError::Conflict);
        }
        let mut node = nodes.take(node_id).ok_or(SaveError::Missing)?;
        node.key = node.key.filter(|_| matches!(standing, Standing::Pending { .. }));
        node.entry.record.standing = standing;
        node.entry.version = Version(read_at.0 + 1);
        node.entry.changed_at = now;
        let version = node.entry.version;
        nodes.put(node);
        Ok(version)
    }

    async fn insert(&self, record: Record, profile: String, now: UnixTime) -> Result<(), SaveError> {
        let mut nodes = self.nodes();
        if nodes.nodes.contains_key(&record.node_id) {
            return Err(SaveError::Conflict);
        }
        let source = Source::of(record.address);
        nodes.put(node(record, source, None, profile, now));
        Ok(())
    }

    async fn observe(&self, node_id: NodeId, observation: Observation) -> Result<(), StoreError> {
        if let Some(node) = self.nodes().nodes.get_mut(&node_id) {
            node.entry.observed = Some(observation.over(node.entry.observed));
        }
        Ok(())
    }

    async fn find(&self, prefix: &str, limit: usize) -> Result<Vec<Listed>, StoreError> {
        let Some(ids) = prefix::range(prefix) else { return Ok(Vec::new()) };
        Ok(self.nodes().nodes.range(ids).take(limit).map(|(_, node)| Ok(node.entry.clone())).collect())
    }

    async fn list(&self, filter: Filter, after: Option<NodeId>, limit: usize, now: UnixTime) -> Result<Vec<Listed>, StoreError> {
        let belongs = |entry: &Entry| match (&entry.record.standing, filter) {
            (_, Filter::All) | (Standing::Unapproved { .. }, _) => true,
            (Standing::Pending { expires }, Filter::Pending | Filter::Current) => *expires > now,
            (Standing::Paired { .. } | Standing::Muted { .. }, filter) => filter == Filter::Current,
            (Standing::Revoked { .. }, Filter::Pending | Filter::Current) => false,
        };
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let nodes = self.nodes();
        let page = nodes.nodes.range((from, Bound::Unbounded)).map(|(_, node)| &node.entry).filter(|entry| belongs(entry));
        Ok(page.take(limit).cloned().map(Ok).collect())
    }

    async fn counts(&self, now: UnixTime) -> Result<Counts, StoreError> {
        let nodes = self.nodes();
        let expired = nodes.by_expiry.iter().take_while(|(expires, _)| *expires <= now).count() as u64;
        Ok(Counts { pending: nodes.counts.pending - expired, ..nodes.counts })
    }
}
