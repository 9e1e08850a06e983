//! The rows of nodes.

use std::ops::{Bound, RangeInclusive};

use handfast_core::crypto::x25519;
use handfast_core::grant::scope::AskedScopesBuf;
use handfast_core::registry::record::{Record, Standing};
use handfast_core::registry::sessions::Maker;
use handfast_core::{Name, NodeId, Source, UnixTime};

use super::MemoryTx;
use crate::ops::{NewNode, NewStanding, NodeHead, NodeRows, RowResult};
use crate::{Counts, Entry, Filter, Listed, Observation, Stored, Version};

/// A node. Its entry has neither the count of its requests nor a rejection; these are rows of their
/// own.
#[derive(Clone, Debug)]
pub(super) struct NodeRow {
    pub(super) entry: Entry,
    pub(super) source: Source,
    /// The key that finds the request, if the node waits or would wait again.
    pub(super) request: Option<[u8; 32]>,
    /// The number of the run that made the node, or set the end of its request.
    pub(super) run: u64,
    /// The time at which the end of the ceiling was set, and the run that set it.
    pub(super) ceiling_at: Option<UnixTime>,
    pub(super) ceiling_run: u64,
    /// Certificates of earlier epochs are not valid.
    pub(super) epoch: u32,
}

impl NodeRow {
    /// Returns the end of the request, if the node waits.
    pub(super) const fn end(&self) -> Option<UnixTime> {
        match self.entry.record.standing {
            Standing::Pending { expires } => Some(expires),
            Standing::Unapproved { .. }
            | Standing::Paired { .. }
            | Standing::Muted { .. }
            | Standing::Revoked { .. } => None,
        }
    }

    pub(super) fn key(&self) -> Option<x25519::PublicKey> {
        self.entry.record.keys.map(|keys| keys.channel)
    }

    fn stored(&self) -> Stored {
        let Entry { record, version, ceiling, .. } = &self.entry;
        Stored { record: record.clone(), version: *version, ceiling: ceiling.clone() }
    }

    fn is_current(&self, now: UnixTime) -> bool {
        match self.entry.record.standing {
            Standing::Pending { expires } => expires > now,
            Standing::Unapproved { .. } | Standing::Paired { .. } | Standing::Muted { .. } => true,
            Standing::Revoked { .. } => false,
        }
    }

    const fn is_in(&self) -> bool {
        match self.entry.record.standing {
            Standing::Paired { .. } | Standing::Muted { .. } => true,
            Standing::Pending { .. } | Standing::Unapproved { .. } | Standing::Revoked { .. } => {
                false
            }
        }
    }

    fn raise(&mut self, now: UnixTime) {
        self.entry.version = Version(self.entry.version.0 + 1);
        self.entry.changed_at = now;
    }
}

impl MemoryTx {
    fn with_key(&self, key: &x25519::PublicKey) -> Option<&NodeRow> {
        self.nodes.values().find(|node| node.key() == Some(*key))
    }

    /// Returns everything about a node.
    fn listed(&self, node: &NodeRow) -> Listed {
        let id = node.entry.record.node_id;
        let rejection = self.rejections.values().find(|row| row.node_id == id);
        // A key whose request was approved later is not rejected any more.
        let is_revoked = matches!(node.entry.record.standing, Standing::Revoked { .. });
        Ok(Entry {
            asked: self.asked.get(&id).map(|row| row.asked),
            rejection: rejection.filter(|_| is_revoked).map(|row| row.rejection),
            ..node.entry.clone()
        })
    }

    fn page(
        &self,
        after: Option<NodeId>,
        limit: usize,
        such: impl Fn(&NodeRow) -> bool,
    ) -> Vec<Listed> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let page = self.nodes.range((from, Bound::Unbounded)).filter(|(_, node)| such(node));
        page.take(limit).map(|(_, node)| self.listed(node)).collect()
    }
}

impl NodeRows for MemoryTx {
    fn node(&mut self, id: NodeId) -> RowResult<Option<Stored>> {
        Ok(self.nodes.get(&id).map(NodeRow::stored))
    }

    fn node_by_key(&mut self, key: &x25519::PublicKey) -> RowResult<Option<Stored>> {
        Ok(self.with_key(key).map(NodeRow::stored))
    }

    fn head(&mut self, id: NodeId) -> RowResult<Option<NodeHead>> {
        Ok(self.nodes.get(&id).map(|node| NodeHead {
            version: node.entry.version,
            has_keys: node.key().is_some(),
            request: node.request,
            is_under_delivery: node.entry.record.standing.undelivered().is_some(),
        }))
    }

    fn add_node(&mut self, node: &NewNode<'_>, now: UnixTime) -> RowResult<bool> {
        let NewNode { record, profile, source, request } = node;
        let key = record.keys.map(|keys| keys.channel);
        let has_key = key.is_some_and(|key| self.with_key(&key).is_some());
        let has_request = self
            .nodes
            .values()
            .any(|node| request.is_some() && node.request == *request && node.end().is_some());
        if has_key || has_request {
            return Ok(false);
        }
        let entry = Entry {
            record: (*record).clone(),
            version: Version(1),
            ceiling: None,
            profile: (*profile).to_owned(),
            changed_at: now,
            asked: None,
            rejection: None,
            asks_more: AskedScopesBuf::EMPTY,
            observed: None,
            maker: Maker::Operator,
        };
        let run = self.singles.run;
        Ok(self.nodes.add(
            record.node_id,
            NodeRow {
                entry,
                source: *source,
                request: *request,
                run,
                ceiling_at: None,
                ceiling_run: 0,
                epoch: 0,
            },
        ))
    }

    fn set_standing(&mut self, id: NodeId, new: &NewStanding<'_>, now: UnixTime) -> RowResult<()> {
        let NewStanding { standing, request, fallback_request } = new;
        let run = self.singles.run;
        self.nodes.change(&id, |node| {
            let before = node.end().or_else(|| super::requests::waits_again(node));
            node.entry.record.standing = (*standing).clone();
            node.request = request.or(*fallback_request);
            // A node that waits again because its approval was undone is still the same request.
            if node.end().is_some() && node.end() != before {
                node.run = run;
            }
            node.raise(now);
        });
        Ok(())
    }

    fn replace_node(&mut self, record: &Record, profile: &str, now: UnixTime) -> RowResult<bool> {
        let key = record.keys.map(|keys| keys.channel);
        let holder = key.and_then(|key| self.with_key(&key));
        if holder.is_some_and(|holder| holder.entry.record.node_id != record.node_id) {
            return Ok(false);
        }
        let replaced = self.nodes.change(&record.node_id, |node| {
            // The time of the first request outlives the new pairing.
            let asked_at = node.entry.record.asked_at;
            node.entry.record = Record { asked_at, ..record.clone() };
            node.entry.profile = profile.to_owned();
            node.source = Source::of(record.address);
            node.request = node.request.filter(|_| node.end().is_some());
            node.raise(now);
        });
        Ok(replaced.is_some())
    }

    fn relabel(
        &mut self,
        id: NodeId,
        name: Option<&Name>,
        profile: Option<&str>,
        now: UnixTime,
    ) -> RowResult<()> {
        self.nodes.change(&id, |node| {
            if let Some(name) = name {
                node.entry.record.name = name.clone();
            }
            if let Some(profile) = profile {
                node.entry.profile = profile.to_owned();
            }
            node.raise(now);
        });
        Ok(())
    }

    fn raise_version(&mut self, id: NodeId, now: UnixTime) -> RowResult<()> {
        self.nodes.change(&id, |node| node.raise(now));
        Ok(())
    }

    fn set_approver(&mut self, id: NodeId, maker: Maker) -> RowResult<()> {
        self.nodes.change(&id, |node| node.entry.maker = maker);
        Ok(())
    }

    fn set_asks_more(&mut self, id: NodeId, more: &AskedScopesBuf) -> RowResult<bool> {
        let changed = self.nodes.change(&id, |node| {
            let changes = node.is_in() && node.entry.asks_more != *more;
            if changes {
                node.entry.asks_more = more.clone();
            }
            changes
        });
        Ok(changed.unwrap_or(false))
    }

    fn remove_node(&mut self, id: NodeId) -> RowResult<()> {
        self.nodes.remove(&id);
        self.asked.remove(&id);
        self.counters.remove(&id);
        self.replacements.remove_all(|_, row| row.node_id == id);
        self.known_keys.remove(&id);
        self.addresses.remove(&id);
        self.provisioned.remove(&id);
        self.dispatches.remove_all(|_, row| row.stored.task.node_id == id);
        self.capabilities.remove_all(|(node_id, _), _| *node_id == id);
        Ok(())
    }

    fn observe(&mut self, id: NodeId, observation: &Observation) -> RowResult<()> {
        self.nodes.change(&id, |node| {
            node.entry.observed = Some(observation.over(node.entry.observed));
        });
        Ok(())
    }

    fn nodes_between(
        &mut self,
        ids: &RangeInclusive<NodeId>,
        limit: usize,
    ) -> RowResult<Vec<Listed>> {
        Ok(self.nodes.range(ids.clone()).take(limit).map(|(_, node)| self.listed(node)).collect())
    }

    fn nodes_named(&mut self, name: &str, limit: usize, now: UnixTime) -> RowResult<Vec<Listed>> {
        let such = |node: &NodeRow| node.entry.record.name.as_str() == name && node.is_current(now);
        Ok(self.page(None, limit, such))
    }

    fn nodes_after(
        &mut self,
        filter: Filter,
        after: Option<NodeId>,
        limit: usize,
        now: UnixTime,
    ) -> RowResult<Vec<Listed>> {
        let waits = |node: &NodeRow| {
            matches!(
                node.entry.record.standing,
                Standing::Pending { .. } | Standing::Unapproved { .. }
            )
        };
        Ok(self.page(after, limit, |node| match filter {
            Filter::All => true,
            Filter::Current => node.is_current(now),
            Filter::Pending => waits(node) && node.is_current(now),
            Filter::AskingMore => node.is_in() && !node.entry.asks_more.is_empty(),
        }))
    }

    fn keyed_after(
        &mut self,
        after: Option<NodeId>,
        limit: usize,
        now: UnixTime,
    ) -> RowResult<Vec<Listed>> {
        Ok(self.page(after, limit, |node| node.key().is_some() && node.is_current(now)))
    }

    fn count_nodes(&mut self, now: UnixTime) -> RowResult<Counts> {
        let forgotten = u64::try_from(self.revoked_keys.values().count()).unwrap_or(u64::MAX);
        let mut counts = Counts { forgotten, ..Counts::default() };
        for node in self.nodes.values() {
            match node.entry.record.standing {
                Standing::Pending { expires } if expires <= now => {}
                Standing::Pending { .. } | Standing::Unapproved { .. } => counts.pending += 1,
                Standing::Paired { .. } => counts.paired += 1,
                Standing::Muted { .. } => counts.muted += 1,
                Standing::Revoked { .. } => counts.revoked += 1,
            }
        }
        Ok(counts)
    }
}
