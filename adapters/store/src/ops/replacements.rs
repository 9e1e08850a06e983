//! Nodes that took the place of others.

use async_trait::async_trait;
use handfast_core::registry::record::Standing;
use handfast_core::{NodeId, UnixTime};

use super::{Database, Decided, RowResult, Tx, grants, nodes};
use crate::audit::{Detail, Entry, What};
use crate::{
    InPlace, PREDECESSORS, Replaced, Replacement, Replacements, SaveError, StoreError, Version,
};

/// The rows of replacements. A node has at most one predecessor and one successor.
pub(crate) trait ReplacementRows {
    /// Adds a replacement; `false` if either node is in one in the same part.
    fn add_replacement(&mut self, old: NodeId, new: NodeId, now: UnixTime) -> RowResult<bool>;

    /// Returns the node whose place this one took.
    fn predecessor(&mut self, new: NodeId) -> RowResult<Option<Replacement>>;

    /// Returns the node that took this one's place.
    fn successor(&mut self, old: NodeId) -> RowResult<Option<Replacement>>;

    /// Makes the tasks of a node another's.
    fn move_dispatches(&mut self, from: NodeId, to: NodeId) -> RowResult<()>;
}

fn offer_in_place(
    tx: &mut dyn Tx,
    offered: &InPlace,
    now: UnixTime,
) -> Result<Decided<Version>, SaveError> {
    let InPlace { record, profile, read_at, grant, ceiling, replaced } = offered;
    let Replaced { node_id: old, version, standing } = replaced;
    let new = record.node_id;
    if new == *old || !matches!(standing, Standing::Revoked { .. }) {
        let problem = "a node takes the place of another one, which is revoked";
        return Err(StoreError::Database(problem.to_owned()).into());
    }
    let mut revoked = Vec::new();
    nodes::save(tx, *old, *version, standing, now)?.into(&mut revoked);
    // The entry of the replacement says what that of the approval would.
    let paired = grants::offer(tx, record, profile, Some(*read_at), grant, Some(ceiling), now)?;
    let paired = paired.within();
    tx.move_dispatches(*old, new)?;
    if !tx.add_replacement(*old, new, now)? {
        return Err(SaveError::Conflict);
    }
    let mut details = vec![Detail::Node(new), Detail::Replaces(*old), Detail::Grant(grant.id)];
    details.extend(grant.expires.map(Detail::Until));
    let entry = Entry::new(What::Replace, details).at(now);
    Ok(Decided::all(paired, [vec![entry], revoked].concat()))
}

fn predecessors(tx: &mut dyn Tx, node_id: NodeId) -> RowResult<Vec<Replacement>> {
    let (mut found, mut of) = (Vec::new(), node_id);
    while found.len() < PREDECESSORS {
        let Some(before) = tx.predecessor(of)? else { break };
        of = before.node_id;
        found.push(before);
    }
    Ok(found)
}

#[async_trait]
impl<D: Database> Replacements for D {
    async fn offer_in_place(&self, offered: InPlace, now: UnixTime) -> Result<Version, SaveError> {
        self.decide(move |tx| offer_in_place(tx, &offered, now)).await
    }

    async fn predecessors(&self, node_id: NodeId) -> Result<Vec<Replacement>, StoreError> {
        self.point(move |tx| predecessors(tx, node_id)).await
    }

    async fn successor(&self, node_id: NodeId) -> Result<Option<Replacement>, StoreError> {
        self.point(move |tx| tx.successor(node_id)).await
    }
}
