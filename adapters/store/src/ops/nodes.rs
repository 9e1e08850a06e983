//! Saving, inserting and pairing nodes.

use std::ops::RangeInclusive;

use handfast_core::crypto::x25519;
use handfast_core::grant::scope::AskedScopesBuf;
use handfast_core::link::dispatch::DispatchEvent;
use handfast_core::registry::delivery::{Before, Undelivered};
use handfast_core::registry::record::{Record, Standing};
use handfast_core::registry::sessions::Maker;
use handfast_core::{Name, NodeId, Source, UnixTime};

use super::{Decided, RowResult, Tx, deliveries, dispatches, grants, makers, requests};
use crate::audit::{Detail, Entry, What};
use crate::{
    Counts, Filter, Listed, Observation, Revoked, RevokedCertificates, SaveError, StoreError,
    Stored, StoredCertificate, Version, rules,
};

/// A node that is added.
pub(crate) struct NewNode<'a> {
    pub(crate) record: &'a Record,
    pub(crate) profile: &'a str,
    /// The source that the request counts for.
    pub(crate) source: Source,
    /// The key that finds the request while it waits.
    pub(crate) request: Option<[u8; 32]>,
}

/// The part of a node that decides if it may be saved.
pub(crate) struct NodeHead {
    pub(crate) version: Version,
    pub(crate) has_keys: bool,
    /// The key that finds the node's request, if it waits or would wait again.
    pub(crate) request: Option<[u8; 32]>,
    /// `true` if a token was under delivery when the standing was saved last.
    pub(crate) is_under_delivery: bool,
}

/// A standing that is saved.
pub(crate) struct NewStanding<'a> {
    pub(crate) standing: &'a Standing,
    /// The key that finds the request from now on, if it waits.
    pub(crate) request: Option<[u8; 32]>,
    /// The key that finds the request if the node waits again.
    pub(crate) fallback_request: Option<[u8; 32]>,
}

/// The rows of nodes, each with its version, its keys, its ceiling and its readings.
///
/// Ids and static keys are unique, and so are the request keys of waiting nodes.
pub(crate) trait NodeRows {
    /// Returns a node.
    fn node(&mut self, id: NodeId) -> RowResult<Option<Stored>>;

    /// Returns the node with this static key, in any standing.
    fn node_by_key(&mut self, key: &x25519::PublicKey) -> RowResult<Option<Stored>>;

    /// Returns the head of a node, even if the rest of the node is damaged.
    fn head(&mut self, id: NodeId) -> RowResult<Option<NodeHead>>;

    /// Adds a node at version 1; `false` if its id, its static key or its request key is taken.
    fn add_node(&mut self, node: &NewNode<'_>, now: UnixTime) -> RowResult<bool>;

    /// Saves a standing and the delivery in it, and raises the version.
    fn set_standing(
        &mut self,
        id: NodeId,
        standing: &NewStanding<'_>,
        now: UnixTime,
    ) -> RowResult<()>;

    /// Replaces a node's name, room, address, source, keys, profile and standing, and raises the
    /// version. The standing has no delivery. The request key is forgotten unless the node waits.
    /// `false`, and nothing is written, if another node has the static key.
    fn replace_node(&mut self, record: &Record, profile: &str, now: UnixTime) -> RowResult<bool>;

    /// Sets a node's name and profile, each where it is given, and raises the version.
    fn relabel(
        &mut self,
        id: NodeId,
        name: Option<&Name>,
        profile: Option<&str>,
        now: UnixTime,
    ) -> RowResult<()>;

    /// Raises a node's version.
    fn raise_version(&mut self, id: NodeId, now: UnixTime) -> RowResult<()>;

    /// Sets the maker of a node's approval.
    fn set_approver(&mut self, id: NodeId, maker: Maker) -> RowResult<()>;

    /// Sets what a paired or muted node asks for beyond its ceiling. Returns `true` if that differs
    /// from before.
    fn set_asks_more(&mut self, id: NodeId, more: &AskedScopesBuf) -> RowResult<bool>;

    /// Removes a node with its readings and the count of its requests.
    fn remove_node(&mut self, id: NodeId) -> RowResult<()>;

    /// Stores a node's readings over the earlier ones ([`Observation::over`]), if there is such a
    /// node.
    fn observe(&mut self, id: NodeId, observation: &Observation) -> RowResult<()>;

    /// Returns the nodes with ids in this range, ordered by id.
    fn nodes_between(
        &mut self,
        ids: &RangeInclusive<NodeId>,
        limit: usize,
    ) -> RowResult<Vec<Listed>>;

    /// Returns the nodes with this name that are neither revoked nor expired, ordered by id.
    fn nodes_named(&mut self, name: &str, limit: usize, now: UnixTime) -> RowResult<Vec<Listed>>;

    /// Returns the nodes that pass the filter, ordered by id, after this id.
    fn nodes_after(
        &mut self,
        filter: Filter,
        after: Option<NodeId>,
        limit: usize,
        now: UnixTime,
    ) -> RowResult<Vec<Listed>>;

    /// Returns the nodes with keys that are neither revoked nor expired, ordered by id, after this
    /// id.
    fn keyed_after(
        &mut self,
        after: Option<NodeId>,
        limit: usize,
        now: UnixTime,
    ) -> RowResult<Vec<Listed>>;

    /// Counts the nodes by standing, without the expired ones, and the revoked keys.
    fn count_nodes(&mut self, now: UnixTime) -> RowResult<Counts>;
}

pub(super) fn insert(
    tx: &mut dyn Tx,
    record: &Record,
    profile: &str,
    now: UnixTime,
) -> Result<Version, SaveError> {
    rules::provable(&record.standing, record.keys.is_some())?;
    let source = Source::of(record.address);
    // A revoked key stays out under every id, even if no record knows it any more.
    let is_out = match &record.keys {
        Some(keys) => tx.is_key_revoked(&keys.channel)?,
        None => false,
    };
    if is_out || !tx.add_node(&NewNode { record, profile, source, request: None }, now)? {
        return Err(SaveError::Conflict);
    }
    if let Some(undelivered) = record.standing.undelivered() {
        deliveries::follow(tx, record.node_id, Some(undelivered), now)?;
    }
    Ok(Version(1))
}

/// Adds a record as given.
pub(super) fn import(
    tx: &mut dyn Tx,
    record: &Record,
    profile: &str,
    now: UnixTime,
) -> Result<Decided<()>, SaveError> {
    insert(tx, record, profile, now)?;
    let details = [Detail::Node(record.node_id), Detail::Word("node")];
    Ok(Decided::by((), Entry::new(What::Import, details).at(now)))
}

pub(super) fn save(
    tx: &mut dyn Tx,
    id: NodeId,
    read_at: Version,
    standing: &Standing,
    now: UnixTime,
) -> Result<Decided<Version>, SaveError> {
    let NodeHead { version, has_keys, request, is_under_delivery } =
        tx.head(id)?.ok_or(SaveError::Missing)?;
    if version != read_at {
        return Err(SaveError::Conflict);
    }
    // A damaged record can be decided about; what it was before is unknown then.
    let before = match tx.node(id) {
        Ok(stored) => stored.map(|stored| stored.record.standing),
        Err(StoreError::BadRecord(_)) => None,
        Err(error) => return Err(error.into()),
    };
    rules::provable(standing, has_keys)?;
    let undelivered = standing.undelivered();
    let waits_again =
        matches!(undelivered, Some(Undelivered { before: Before::Pending { .. }, .. }));
    let waits = match (standing, &request) {
        // Another request with the same key may have come meanwhile; there is one entry for each
        // key.
        (Standing::Pending { .. }, Some(key)) => {
            tx.waiting_with(key)?.is_none_or(|(holder, _)| holder == id)
        }
        (
            Standing::Pending { .. }
            | Standing::Unapproved { .. }
            | Standing::Paired { .. }
            | Standing::Muted { .. }
            | Standing::Revoked { .. },
            _,
        ) => false,
    };
    let saved = NewStanding {
        standing,
        request: request.filter(|_| waits),
        fallback_request: request.filter(|_| waits_again),
    };
    tx.set_standing(id, &saved, now)?;
    if undelivered.is_some() || is_under_delivery {
        deliveries::follow(tx, id, undelivered, now)?;
    }
    if matches!(standing, Standing::Revoked { .. }) {
        grants::end(tx, id, None, now)?;
        if standing.bars() {
            revoke_certificate_keys(tx, id, now)?;
        }
        tx.revoke_certificates(&RevokedCertificates::Node(id), now)?;
        dispatches::step_open(tx, Some(id), DispatchEvent::NodeRevoked, now)?;
        requests::turn_down(tx, id, standing, now)?;
    }
    let entry = rules::decided(before.as_ref(), standing)
        .map(|(what, more)| Entry::new(what, [&[Detail::Node(id)], more.as_slice()].concat()));
    let entries = entry.into_iter().map(|entry| entry.at(now)).collect();
    Ok(Decided::all(Version(read_at.0 + 1), entries))
}

/// Saves an approval with its maker.
pub(super) fn save_by(
    tx: &mut dyn Tx,
    id: NodeId,
    read_at: Version,
    standing: &Standing,
    maker: Maker,
    now: UnixTime,
) -> Result<Decided<Version>, SaveError> {
    if makers::end_of(tx, maker, now)?.is_none() {
        return Err(SaveError::Conflict);
    }
    let version = save(tx, id, read_at, standing, now)?;
    tx.set_approver(id, maker)?;
    Ok(version)
}

/// Replaces what a node has proved with its keys: the record is paired anew.
pub(super) fn replace(
    tx: &mut dyn Tx,
    record: &Record,
    profile: &str,
    read_at: Version,
    now: UnixTime,
) -> Result<Version, SaveError> {
    let Some(Stored { record: before, version, .. }) = tx.node(record.node_id)? else {
        return Err(SaveError::Conflict);
    };
    let key = record.keys.map(|keys| keys.channel);
    let has_another_key = before.keys.is_some_and(|keys| Some(keys.channel) != key);
    if version != read_at
        || before.standing.bars()
        || has_another_key
        || !tx.replace_node(record, profile, now)?
    {
        return Err(SaveError::Conflict);
    }
    if before.standing.undelivered().is_some() {
        deliveries::follow(tx, record.node_id, None, now)?;
    }
    Ok(Version(read_at.0 + 1))
}

/// Changes what a paired or muted node is called, or made of.
pub(super) fn relabel(
    tx: &mut dyn Tx,
    id: NodeId,
    read_at: Version,
    name: Option<&Name>,
    profile: Option<&str>,
    now: UnixTime,
) -> Result<Decided<Version>, SaveError> {
    let Stored { record, version, .. } = tx.node(id)?.ok_or(SaveError::Missing)?;
    let is_in = match record.standing {
        Standing::Paired { .. } | Standing::Muted { .. } => true,
        Standing::Pending { .. } | Standing::Unapproved { .. } | Standing::Revoked { .. } => false,
    };
    if version != read_at || !is_in {
        return Err(SaveError::Conflict);
    }
    tx.relabel(id, name, profile, now)?;
    let version = Version(read_at.0 + 1);
    // A node describes itself; nobody decides about that.
    Ok(match name {
        Some(_) => Decided::by(version, Entry::new(What::Rename, [Detail::Node(id)]).at(now)),
        None => Decided::nothing(version),
    })
}

/// Removes a revoked record. What is final for its key stays so without it.
pub(super) fn forget(
    tx: &mut dyn Tx,
    id: NodeId,
    read_at: Version,
    now: UnixTime,
) -> Result<Decided<()>, SaveError> {
    let Stored { record, version, .. } = tx.node(id)?.ok_or(SaveError::Missing)?;
    if version != read_at || !matches!(record.standing, Standing::Revoked { .. }) {
        return Err(SaveError::Conflict);
    }
    if let (Some(keys), true) = (&record.keys, record.standing.bars()) {
        tx.revoke(&Revoked::Key(keys.channel), now)?;
    }
    tx.remove_node(id)?;
    Ok(Decided::by((), Entry::new(What::Forget, [Detail::Node(id)]).at(now)))
}

/// Revokes the keys of a node's current certificates, so that no other node gets one for them.
fn revoke_certificate_keys(tx: &mut dyn Tx, id: NodeId, now: UnixTime) -> Result<(), StoreError> {
    for StoredCertificate { certificate, .. } in tx.current_of(id)? {
        tx.revoke_certificate_key(&certificate.key, now)?;
    }
    Ok(())
}

/// Checks that a record still has the version that was read, and raises it.
pub(super) fn raise(
    tx: &mut dyn Tx,
    id: NodeId,
    read_at: Version,
    now: UnixTime,
) -> Result<Version, SaveError> {
    if tx.head(id)?.ok_or(SaveError::Missing)?.version != read_at {
        return Err(SaveError::Conflict);
    }
    tx.raise_version(id, now)?;
    Ok(Version(read_at.0 + 1))
}
