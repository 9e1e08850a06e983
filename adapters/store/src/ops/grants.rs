//! Grants, ceilings and revocations.

use handfast_core::crypto::x25519;
use handfast_core::grant::capability::{self, Held};
use handfast_core::grant::scope::AskedScopesBuf;
use handfast_core::registry::ceiling::Ceiling;
use handfast_core::registry::grants::{Grant, GrantId, State};
use handfast_core::registry::record::{Record, Standing};
use handfast_core::{NodeId, UnixTime};

use super::{Decided, RowResult, Tx, makers, nodes};
use crate::audit::{Detail, Entry, What};
use crate::{Activation, BadRecord, Listed, Revoked, SaveError, StoreError, Version, rules};

/// A selection of a node's grants that have not ended.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Which {
    All,
    One(GrantId),
    /// Offers.
    Unconfirmed,
    /// Grants that were made before this one.
    Before(GrantId),
}

/// A grant that has ended.
pub(crate) struct EndedGrant {
    pub(crate) id: GrantId,
    pub(crate) capability: Option<capability::Id>,
    pub(crate) expires: Option<UnixTime>,
}

/// The rows of grants, in the order in which they were made, and of revocations.
pub(crate) trait GrantRows {
    /// Returns one grant of a node.
    fn grant(&mut self, node_id: NodeId, id: GrantId) -> RowResult<Option<Grant>>;

    /// Returns all grants of a node.
    fn grants(&mut self, node_id: NodeId) -> RowResult<Vec<Grant>>;

    /// Returns the grants of a node that have not ended. The inner error is a damaged one.
    fn open_grants(&mut self, node_id: NodeId) -> RowResult<Result<Vec<Grant>, BadRecord>>;

    /// Returns the newest grant with this capability that has not ended, or else the newest.
    fn grant_of(&mut self, capability: &capability::Id) -> RowResult<Option<Grant>>;

    /// Adds a grant; `false` if its id is taken.
    fn add_grant(&mut self, grant: &Grant, now: UnixTime) -> RowResult<bool>;

    /// Makes an offer an active grant.
    fn confirm_grant(&mut self, id: GrantId) -> RowResult<()>;

    /// Ends grants of a node, even damaged ones. Returns their capabilities.
    fn end_grants(
        &mut self,
        node_id: NodeId,
        which: Which,
        now: UnixTime,
    ) -> RowResult<Vec<capability::Id>>;

    /// Returns `true` if a grant that has not ended has this capability.
    fn is_continued(&mut self, capability: &capability::Id) -> RowResult<bool>;

    /// Returns at most `most` grants that ended before this time, the earliest first.
    fn ended_grants(&mut self, before: UnixTime, most: u32) -> RowResult<Vec<EndedGrant>>;

    /// Removes a grant.
    fn remove_grant(&mut self, id: GrantId) -> RowResult<()>;

    /// Sets a node's ceiling. An end that does not change keeps the time at which it was set.
    fn set_ceiling(&mut self, id: NodeId, ceiling: &Ceiling, now: UnixTime) -> RowResult<()>;

    /// Adds a revocation, if there is none of this subject.
    fn revoke(&mut self, what: &Revoked, now: UnixTime) -> RowResult<()>;

    /// Returns `true` if there is a revocation of this key.
    fn is_key_revoked(&mut self, key: &x25519::PublicKey) -> RowResult<bool>;

    /// Returns `true` if a block or its holder's key is revoked, all grants with the block have
    /// ended and there is one, or the node with the key [is barred].
    ///
    /// [is barred]: handfast_core::registry::record::Standing::bars
    fn is_revoked(&mut self, held: &Held) -> RowResult<bool>;
}

pub(super) fn offer(
    tx: &mut dyn Tx,
    record: &Record,
    profile: &str,
    read_at: Option<Version>,
    grant: &Grant,
    ceiling: Option<&Ceiling>,
    now: UnixTime,
) -> Result<Decided<Version>, SaveError> {
    rules::offerable(record, grant)?;
    if makers::end_of(tx, grant.maker, now)?.is_none() {
        return Err(SaveError::Conflict);
    }
    let was_paired = match read_at {
        Some(_) => tx.node(grant.node_id)?.is_some_and(|stored| match stored.record.standing {
            Standing::Paired { .. } | Standing::Muted { .. } => true,
            Standing::Pending { .. } | Standing::Unapproved { .. } | Standing::Revoked { .. } => {
                false
            }
        }),
        None => false,
    };
    let version = match read_at {
        None => nodes::insert(tx, record, profile, now),
        Some(read_at) => nodes::replace(tx, record, profile, read_at, now),
    }?;
    if let Some(ceiling) = ceiling {
        decide(tx, grant.node_id, ceiling, now)?;
    }
    purge(tx, now)?;
    tx.end_grants(grant.node_id, Which::Unconfirmed, now)?;
    if !tx.add_grant(grant, now)? {
        return Err(StoreError::Database("the fresh id of a grant is taken".to_owned()).into());
    }
    let what = match (was_paired, ceiling) {
        (false, _) => What::Approve,
        (true, Some(_)) => What::Permissions,
        // What was decided before is offered once more.
        (true, None) => return Ok(Decided::nothing(version)),
    };
    let mut details = vec![Detail::Node(grant.node_id), Detail::Grant(grant.id)];
    details.extend(grant.expires.map(Detail::Until));
    Ok(Decided::by(version, Entry::new(what, details).at(now)))
}

/// Sets a node's ceiling without an offer.
pub(super) fn set_ceiling(
    tx: &mut dyn Tx,
    node_id: NodeId,
    read_at: Version,
    ceiling: &Ceiling,
    now: UnixTime,
) -> Result<Decided<Version>, SaveError> {
    let version = nodes::raise(tx, node_id, read_at, now)?;
    decide(tx, node_id, ceiling, now)?;
    let entry = Entry::new(What::Permissions, [Detail::Node(node_id)]);
    Ok(Decided::by(version, entry.at(now)))
}

/// Sets a node's ceiling, which also decides about what the node asked for beyond the last one.
fn decide(
    tx: &mut dyn Tx,
    node_id: NodeId,
    ceiling: &Ceiling,
    now: UnixTime,
) -> Result<(), StoreError> {
    tx.set_ceiling(node_id, ceiling, now)?;
    tx.set_asks_more(node_id, &AskedScopesBuf::EMPTY).map(drop)
}

pub(super) fn activate(
    tx: &mut dyn Tx,
    node_id: NodeId,
    id: GrantId,
    now: UnixTime,
) -> Result<Activation, StoreError> {
    // An expired offer counts as missing, even if it is not purged yet.
    let Some(grant) = tx.grant(node_id, id)?.filter(|grant| grant.counts(now)) else {
        return Ok(Activation::NotThere);
    };
    // A node repeats its confirmation if the answer was lost.
    if grant.state == State::Active {
        return Ok(Activation::Active { ended: Vec::new() });
    }
    tx.confirm_grant(id)?;
    Ok(Activation::Active { ended: end_such(tx, node_id, Which::Before(id), now)? })
}

pub(super) fn end(
    tx: &mut dyn Tx,
    node_id: NodeId,
    which: Option<GrantId>,
    now: UnixTime,
) -> Result<Vec<capability::Id>, StoreError> {
    end_such(tx, node_id, which.map_or(Which::All, Which::One), now)
}

/// Ends grants by a decision.
pub(super) fn end_by_decision(
    tx: &mut dyn Tx,
    node_id: NodeId,
    which: Option<GrantId>,
    now: UnixTime,
) -> Result<Decided<Vec<capability::Id>>, StoreError> {
    let ended = end(tx, node_id, which, now)?;
    let mut details = vec![Detail::Node(node_id)];
    details.extend(which.map(Detail::Grant));
    Ok(Decided::by(ended, Entry::new(What::EndGrants, details).at(now)))
}

/// Revokes a block or a key.
pub(super) fn revoke(
    tx: &mut dyn Tx,
    what: &Revoked,
    now: UnixTime,
) -> Result<Decided<()>, StoreError> {
    tx.revoke(what, now)?;
    let entry = match what {
        Revoked::Block(id) => Entry::new(What::RevokeCapability, [Detail::Capability(*id)]),
        Revoked::Key(key) => Entry::new(What::RevokeKey, [Detail::Key(*key.as_bytes())]),
    };
    Ok(Decided::by((), entry.at(now)))
}

/// Ends these grants. Returns the capabilities that no other grant continues.
fn end_such(
    tx: &mut dyn Tx,
    node_id: NodeId,
    which: Which,
    now: UnixTime,
) -> Result<Vec<capability::Id>, StoreError> {
    let mut capabilities = Vec::new();
    for capability in tx.end_grants(node_id, which, now)? {
        if !capabilities.contains(&capability) && !tx.is_continued(&capability)? {
            capabilities.push(capability);
        }
    }
    Ok(capabilities)
}

/// Removes grants that ended long ago. Their capabilities stay revoked until they would have
/// expired.
fn purge(tx: &mut dyn Tx, now: UnixTime) -> Result<(), StoreError> {
    for EndedGrant { id, capability, expires } in
        tx.ended_grants(rules::oldest_end(now), rules::PURGE)?
    {
        tx.remove_grant(id)?;
        if let Some(capability) = capability
            && expires.is_none_or(|expires| now < expires)
            && !tx.is_continued(&capability)?
        {
            tx.revoke(&Revoked::Block(capability), now)?;
        }
    }
    Ok(())
}

pub(super) fn is_revoked(tx: &mut dyn Tx, chain: &[Held]) -> Result<bool, StoreError> {
    for held in chain {
        if tx.is_revoked(held)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Returns the nodes with keys, and the grants in force of each. A node with a damaged grant is
/// damaged.
pub(super) fn list_granted(
    tx: &mut dyn Tx,
    after: Option<NodeId>,
    limit: usize,
    now: UnixTime,
) -> Result<Vec<(Listed, Vec<Grant>)>, StoreError> {
    let mut granted = Vec::new();
    for entry in tx.keyed_after(after, limit, now)? {
        granted.push(match (tx.open_grants(crate::node_id(&entry))?, entry) {
            (_, Err(bad)) | (Err(bad), Ok(_)) => (Err(bad), Vec::new()),
            (Ok(grants), Ok(entry)) => {
                (Ok(entry), grants.into_iter().filter(|grant| grant.counts(now)).collect())
            }
        });
    }
    Ok(granted)
}
