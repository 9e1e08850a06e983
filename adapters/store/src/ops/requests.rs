//! Requests: their admission, their count, and their rejection.

use handfast_core::budget::Pending;
use handfast_core::crypto::x25519;
use handfast_core::limits::Limits;
use handfast_core::registry::admission::{
    PendingRequest, Repetitions, RequestAdmission, RequestKey, Share, Stalest, decide, gives_way,
};
use handfast_core::registry::record::{Record, Standing};
use handfast_core::registry::rejection::Rejection;
use handfast_core::{NodeId, Refusal, Source, UnixTime};

use super::{NewNode, RowResult, Tx};
use crate::rules::{self, Again};
use crate::{StoreError, Stored};

/// The rows of requests that wait, and of rejections.
pub(crate) trait RequestRows {
    /// Returns the waiting node whose request has this key, expired or not, and its end.
    fn waiting_with(&mut self, key: &[u8; 32]) -> RowResult<Option<(NodeId, UnixTime)>>;

    /// Returns a node with a token that waits again under this key if its delivery is undone, and
    /// whose request has not expired.
    fn falling_back_to(&mut self, key: &[u8; 32], now: UnixTime) -> RowResult<Option<NodeId>>;

    /// Removes at most `most` expired requests, the earliest first, of this source or of all.
    /// Returns their number.
    fn remove_expired(
        &mut self,
        source: Option<Source>,
        most: u32,
        now: UnixTime,
    ) -> RowResult<u32>;

    /// Counts the waiting requests, of this source and in all, including expired ones.
    fn count_waiting(&mut self, source: Source) -> RowResult<Pending>;

    /// Returns the source with the most waiting requests, and their number.
    fn largest_source(&mut self) -> RowResult<Option<(Source, u32)>>;

    /// Returns the waiting node without keys of this source that asked longest ago, and the time
    /// at which it last asked.
    fn stalest_of(&mut self, source: Source) -> RowResult<Option<(NodeId, UnixTime)>>;

    /// Returns the count of a node's requests.
    fn asked(&mut self, id: NodeId) -> RowResult<Option<Repetitions>>;

    /// Sets the count of a node's requests.
    fn set_asked(&mut self, id: NodeId, asked: &Repetitions) -> RowResult<()>;

    /// Sets name, room, profile and request of a node that waits for the operator, pending or
    /// unapproved. Raises the version if any of them differs; otherwise nothing is written.
    fn describe(
        &mut self,
        id: NodeId,
        asked: &Record,
        profile: &str,
        now: UnixTime,
    ) -> RowResult<()>;

    /// Returns the rejection of requests with this key.
    fn rejection(&mut self, key: &RequestKey) -> RowResult<Option<Rejection>>;

    /// Sets the rejection of requests with this key, made by this node.
    fn set_rejection(
        &mut self,
        key: &RequestKey,
        id: NodeId,
        rejection: Rejection,
        now: UnixTime,
    ) -> RowResult<()>;

    /// Removes at most `most` rejections that end before this time, the earliest first.
    fn forget_rejections(&mut self, before: UnixTime, most: u32) -> RowResult<()>;
}

pub(super) fn admit(
    tx: &mut dyn Tx,
    asking: &PendingRequest,
    profile: &str,
    limits: &Limits,
    now: UnixTime,
) -> Result<Result<NodeId, Refusal>, StoreError> {
    let PendingRequest { key, source, record, request } = asking;
    let mut turned_down = None;
    let same = match &record.keys {
        None => same(tx, key, now)?,
        Some(keys) => match with_key(tx, &keys.channel, now)? {
            Some(Err(refusal)) => return Ok(Err(refusal)),
            Some(Ok((node_id, Again::Waits))) => Some(node_id),
            // The rejected record makes way only if the new request is admitted.
            Some(Ok((node_id, Again::TurnedDown))) => {
                turned_down = Some(node_id);
                None
            }
            None => None,
        },
    };
    // A repeated request adds no entry, so the count does not matter.
    let waiting = match same {
        Some(_) => Pending::default(),
        None => waiting(tx, *source, limits, now)?,
    };
    match decide(same, tx.rejection(key)?, waiting, limits, now) {
        RequestAdmission::Found(node_id) => {
            asked_again(tx, node_id, record, profile, *request, now)?;
            return Ok(Ok(node_id));
        }
        RequestAdmission::Refused(refusal) => return Ok(Err(refusal)),
        RequestAdmission::Displace(share) => {
            let found = stalest(tx, share, *source)?;
            match found.filter(|(_, stalest)| gives_way(*stalest, waiting, now)) {
                Some((node_id, _)) => tx.remove_node(node_id)?,
                None => return Ok(Err(Refusal::TooManyPending)),
            }
        }
        RequestAdmission::Enter => {}
    }
    if let Some(node_id) = turned_down {
        tx.remove_node(node_id)?;
    }
    let node = NewNode { record, profile, source: *source, request: Some(*key.as_bytes()) };
    if !tx.add_node(&node, now)? {
        return Err(StoreError::Database(format!("the fresh id {} is taken", record.node_id)));
    }
    tx.set_asked(record.node_id, &Repetitions::first(*request, now))?;
    Ok(Ok(record.node_id))
}

/// Finds the entry with this key. An expired one gives up the key at once, since only one may have
/// it.
fn same(tx: &mut dyn Tx, key: &RequestKey, now: UnixTime) -> Result<Option<NodeId>, StoreError> {
    match tx.waiting_with(key.as_bytes())? {
        Some((node_id, expires)) if expires > now => Ok(Some(node_id)),
        Some((node_id, _)) => {
            tx.remove_node(node_id)?;
            Ok(None)
        }
        // A request whose approval may be undone is still the same request.
        None => tx.falling_back_to(key.as_bytes(), now),
    }
}

/// The id and standing of a known static key, or the reason for which its request is refused.
type Known = Result<(NodeId, Again), Refusal>;

/// Finds the node with this static key, or the reason for which its request is refused. An expired
/// one gives up the key at once.
fn with_key(
    tx: &mut dyn Tx,
    key: &x25519::PublicKey,
    now: UnixTime,
) -> Result<Option<Known>, StoreError> {
    let Some(Stored { record: Record { node_id, standing, .. }, .. }) = tx.node_by_key(key)? else {
        // The record of a revoked key may have been removed; the key stays out without it.
        return Ok(tx.is_key_revoked(key)?.then_some(Err(Refusal::Revoked)));
    };
    match standing {
        Standing::Pending { expires } if expires <= now => {
            tx.remove_node(node_id)?;
            Ok(None)
        }
        standing => Ok(Some(rules::asked_again(&standing).map(|again| (node_id, again)))),
    }
}

/// Removes expired requests and counts the remaining ones.
///
/// The counts include expired ones that are left over. That changes no decision: the limit is
/// reported as reached only after a round that removed none.
fn waiting(
    tx: &mut dyn Tx,
    source: Source,
    limits: &Limits,
    now: UnixTime,
) -> Result<Pending, StoreError> {
    loop {
        let gone = tx.remove_expired(Some(source), rules::PURGE, now)?
            + tx.remove_expired(None, rules::PURGE, now)?;
        let waiting = tx.count_waiting(source)?;
        // The loop ends once there is room, so that a call does no more work than it needs.
        if gone == 0 || waiting.has_room(limits) {
            return Ok(waiting);
        }
    }
}

/// Returns the entry without keys whose last request is oldest, of this source or of the source
/// with the most entries.
fn stalest(
    tx: &mut dyn Tx,
    share: Share,
    own: Source,
) -> Result<Option<(NodeId, Stalest)>, StoreError> {
    let (source, of_source) = match share {
        Share::Own => (own, tx.count_waiting(own)?.of_source),
        Share::Largest => match tx.largest_source()? {
            Some(largest) => largest,
            None => return Ok(None),
        },
    };
    let found = tx.stalest_of(source)?;
    Ok(found.map(|(node_id, asked)| (node_id, Stalest { asked, of_source })))
}

/// Counts the request, and updates the device's self-description.
fn asked_again(
    tx: &mut dyn Tx,
    node_id: NodeId,
    asked: &Record,
    profile: &str,
    request: u64,
    now: UnixTime,
) -> Result<(), StoreError> {
    // An imported entry was never asked for; `!request` makes this request count as a new one.
    let never = Repetitions { times: 0, last: now, request: !request };
    let again = tx.asked(node_id)?.unwrap_or(never).again(request, now);
    if let Some(again) = &again {
        tx.set_asked(node_id, again)?;
    }
    match again.is_some() || asked.keys.is_some() {
        true => tx.describe(node_id, asked, profile, now),
        false => Ok(()),
    }
}

/// Records a rejection, if the standing is one; forgets those whose wait is over.
pub(super) fn turn_down(
    tx: &mut dyn Tx,
    node_id: NodeId,
    standing: &Standing,
    now: UnixTime,
) -> Result<(), StoreError> {
    let Some(Stored { record, .. }) = tx.node(node_id)? else { return Ok(()) };
    let key = RequestKey::of_record(&record);
    let earlier = tx.rejection(&key)?;
    let Some(rejection) = rules::turned_down(standing, earlier, now) else { return Ok(()) };
    // Rejections that are over are forgotten here, so that strangers cannot fill the disk.
    tx.forget_rejections(rules::oldest_rejection(now), rules::PURGE)?;
    tx.set_rejection(&key, node_id, rejection, now)
}
