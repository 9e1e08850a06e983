//! The rows of requests that wait, and of rejections.

use handfast_core::budget::Pending;
use handfast_core::registry::admission::{Repetitions, RequestKey};
use handfast_core::registry::delivery::{Before, Undelivered};
use handfast_core::registry::record::{Record, Standing};
use handfast_core::registry::rejection::Rejection;
use handfast_core::{NodeId, Source, UnixTime};

use super::MemoryTx;
use super::nodes::NodeRow;
use crate::Version;
use crate::ops::{RequestRows, RowResult};

/// The count of a node's requests, and the run in which it last asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct AskedRow {
    pub(super) asked: Repetitions,
    pub(super) run: u64,
}

/// The rejection of a key, its node, the time of the last one, and its run.
#[derive(Clone, Copy, Debug)]
pub(super) struct RejectionRow {
    pub(super) node_id: NodeId,
    pub(super) rejection: Rejection,
    pub(super) at: UnixTime,
    pub(super) run: u64,
}

/// Returns the end of the request, if the node waits again once its delivery is undone.
pub(super) fn waits_again(node: &NodeRow) -> Option<UnixTime> {
    match node.entry.record.standing.undelivered() {
        Some(Undelivered { before: Before::Pending { expires }, .. }) => Some(*expires),
        Some(Undelivered { before: Before::Unapproved { .. } | Before::Token(_), .. }) | None => {
            None
        }
    }
}

impl RequestRows for MemoryTx {
    fn waiting_with(&mut self, key: &[u8; 32]) -> RowResult<Option<(NodeId, UnixTime)>> {
        let mut waits = self.nodes.iter().filter(|(_, node)| node.request.as_ref() == Some(key));
        Ok(waits.find_map(|(id, node)| Some((*id, node.end()?))))
    }

    fn falling_back_to(&mut self, key: &[u8; 32], now: UnixTime) -> RowResult<Option<NodeId>> {
        let mut found = self.nodes.iter().filter(|(_, node)| node.request.as_ref() == Some(key));
        Ok(found
            .find(|(_, node)| waits_again(node).is_some_and(|expires| expires > now))
            .map(|(id, _)| *id))
    }

    fn remove_expired(
        &mut self,
        source: Option<Source>,
        most: u32,
        now: UnixTime,
    ) -> RowResult<u32> {
        let expired = self.nodes.first(most, |_, node| {
            let is_its = source.is_none_or(|source| source == node.source);
            node.end().filter(|expires| is_its && *expires <= now)
        });
        for id in &expired {
            self.nodes.remove(id);
            self.asked.remove(id);
        }
        Ok(u32::try_from(expired.len()).unwrap_or(most))
    }

    fn count_waiting(&mut self, source: Source) -> RowResult<Pending> {
        let waits = self.nodes.values().filter(|node| node.end().is_some());
        let mut pending = Pending::default();
        for node in waits {
            pending.total += 1;
            pending.of_source += u32::from(node.source == source);
        }
        Ok(pending)
    }

    fn largest_source(&mut self) -> RowResult<Option<(Source, u32)>> {
        let mut counts = std::collections::BTreeMap::<Source, u32>::new();
        for node in self.nodes.values().filter(|node| node.end().is_some()) {
            *counts.entry(node.source).or_default() += 1;
        }
        Ok(counts.into_iter().max_by_key(|(_, number)| *number))
    }

    fn stalest_of(&mut self, source: Source) -> RowResult<Option<(NodeId, UnixTime)>> {
        let waits = self.nodes.iter().filter(|(_, node)| {
            node.end().is_some() && node.source == source && node.key().is_none()
        });
        let asked = waits.map(|(id, node)| {
            let last = self.asked.get(id).map(|row| row.asked.last);
            (last.unwrap_or(node.entry.record.asked_at), *id)
        });
        Ok(asked.min().map(|(asked, id)| (id, asked)))
    }

    fn asked(&mut self, id: NodeId) -> RowResult<Option<Repetitions>> {
        Ok(self.asked.get(&id).map(|row| row.asked))
    }

    fn set_asked(&mut self, id: NodeId, asked: &Repetitions) -> RowResult<()> {
        self.asked.put(id, AskedRow { asked: *asked, run: self.singles.run });
        Ok(())
    }

    fn describe(
        &mut self,
        id: NodeId,
        asked: &Record,
        profile: &str,
        now: UnixTime,
    ) -> RowResult<()> {
        let differs = self.nodes.get(&id).is_some_and(|NodeRow { entry, .. }| {
            let waits = matches!(
                entry.record.standing,
                Standing::Pending { .. } | Standing::Unapproved { .. }
            );
            waits
                && (entry.record.name != asked.name
                    || entry.record.room != asked.room
                    || entry.record.asked != asked.asked
                    || entry.profile != profile)
        });
        if differs {
            self.nodes.change(&id, |NodeRow { entry, .. }| {
                (entry.record.name, entry.record.room) = (asked.name.clone(), asked.room.clone());
                entry.profile = profile.to_owned();
                entry.record.asked = asked.asked.clone();
                (entry.version, entry.changed_at) = (Version(entry.version.0 + 1), now);
            });
        }
        Ok(())
    }

    fn rejection(&mut self, key: &RequestKey) -> RowResult<Option<Rejection>> {
        Ok(self.rejections.get(key.as_bytes()).map(|row| row.rejection))
    }

    fn set_rejection(
        &mut self,
        key: &RequestKey,
        node_id: NodeId,
        rejection: Rejection,
        now: UnixTime,
    ) -> RowResult<()> {
        let row = RejectionRow { node_id, rejection, at: now, run: self.singles.run };
        self.rejections.put(*key.as_bytes(), row);
        Ok(())
    }

    fn forget_rejections(&mut self, before: UnixTime, most: u32) -> RowResult<()> {
        let over = self
            .rejections
            .first(most, |_, row| row.rejection.until.filter(|until| *until < before));
        for key in over {
            self.rejections.remove(&key);
        }
        Ok(())
    }
}
