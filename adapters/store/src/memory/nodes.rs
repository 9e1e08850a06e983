//! The nodes, and the indexes over them.

mod steps;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use handfast_core::budget::Pending;
use handfast_core::crypto::x25519;
use handfast_core::error::Refusal;
use handfast_core::id::{NodeId, Source};
use handfast_core::limits::Limits;
use handfast_core::registry::admission::{
    Asked, PendingRequest, RequestAdmission, RequestKey, Share, Stalest, decide, gives_way,
};
use handfast_core::registry::ceiling::Ceiling;
use handfast_core::registry::delivery::{Before, Undelivered};
use handfast_core::registry::lifecycle;
use handfast_core::registry::record::{Record, Standing};
use handfast_core::registry::rejection::Rejection;
use handfast_core::registry::sessions::{Maker, SessionId};
use handfast_core::time::UnixTime;

use crate::rules::Again;
use crate::{Counts, Entry, SaveError, StoreError, Version, rules};

/// The nodes with their indexes. Every change goes through [`Nodes::put`] and [`Nodes::take`],
/// which keep the indexes in step.
#[derive(Clone, Debug, Default)]
pub(super) struct Nodes {
    pub(super) all: BTreeMap<NodeId, NodeRow>,
    by_request: HashMap<RequestKey, NodeId>,
    by_key: HashMap<x25519::PublicKey, NodeId>,
    by_expiry: BTreeSet<(UnixTime, NodeId)>,
    of_source: HashMap<Source, u32>,
    rejections: HashMap<RequestKey, TurnedDown>,
    /// Expired requests count as pending here until they are purged.
    counts: Counts,
    /// Number of the current run.
    pub(super) run: u64,
}

#[derive(Clone, Debug)]
pub(super) struct NodeRow {
    pub(super) entry: Entry,
    source: Source,
    /// Present only while the node is pending, or may become so again.
    request: Option<RequestKey>,
    /// The run that made the node, or set its end.
    run: u64,
    /// The run in which it last asked.
    asked_run: u64,
    /// The time at which the end of its ceiling was set, and the run that did.
    ceiling_set: (UnixTime, u64),
}

/// The rejection of a key, the time of the last one, and its run.
#[derive(Clone, Copy, Debug)]
struct TurnedDown {
    rejection: Rejection,
    at: UnixTime,
    run: u64,
}

impl Nodes {
    pub(super) fn with_key(&self, key: &x25519::PublicKey) -> Option<&NodeRow> {
        self.all.get(self.by_key.get(key)?)
    }

    pub(super) fn counts(&self, now: UnixTime) -> Counts {
        let expired =
            self.by_expiry.iter().take_while(|(expires, _)| *expires <= now).count() as u64;
        Counts { pending: self.counts.pending - expired, ..self.counts }
    }

    pub(super) fn admit(
        &mut self,
        asking: PendingRequest,
        profile: String,
        limits: &Limits,
        now: UnixTime,
    ) -> Result<Result<NodeId, Refusal>, StoreError> {
        self.purge(now);
        let PendingRequest { key, source, record, request } = asking;
        let mut turned_down = None;
        let same = match &record.keys {
            None => self.by_request.get(&key).copied().filter(|id| {
                self.all
                    .get(id)
                    .and_then(|node| asks(&node.entry.record.standing))
                    .is_some_and(|expires| expires > now)
            }),
            Some(keys) => match self.with_key(&keys.channel).map(|node| &node.entry.record) {
                None => None,
                Some(found) => match rules::asked_again(&found.standing) {
                    Err(refusal) => return Ok(Err(refusal)),
                    Ok(Again::Waits) => Some(found.node_id),
                    Ok(Again::TurnedDown) => {
                        // The rejected record makes way only if the new request is admitted.
                        turned_down = Some(found.node_id);
                        None
                    }
                },
            },
        };
        let waiting = Pending {
            total: u32::try_from(self.by_expiry.len()).unwrap_or(u32::MAX),
            of_source: self.of_source.get(&source).copied().unwrap_or(0),
        };
        match decide(same, self.rejection(&key), waiting, limits, now) {
            RequestAdmission::Found(id) => {
                self.asked_again(id, &record, profile, request, now);
                return Ok(Ok(id));
            }
            RequestAdmission::Refused(refusal) => return Ok(Err(refusal)),
            RequestAdmission::Displace(share) => {
                match self
                    .stalest(share, source)
                    .filter(|(_, stalest)| gives_way(*stalest, waiting, now))
                {
                    Some((id, _)) => drop(self.take(id)),
                    None => return Ok(Err(Refusal::TooManyPending)),
                }
            }
            RequestAdmission::Enter => {}
        }
        if let Some(id) = turned_down {
            self.take(id);
        }
        if self.all.contains_key(&record.node_id) {
            return Err(StoreError::Database(format!("the fresh id {} is taken", record.node_id)));
        }
        let id = record.node_id;
        let mut node = NodeRow::new(record, source, Some(key), profile, (now, self.run));
        node.entry.asked = Some(Asked::first(request, now));
        self.put(node);
        Ok(Ok(id))
    }

    /// Returns the entry without keys whose last request is oldest, of this source or of the source
    /// with the most entries.
    fn stalest(&self, share: Share, own: Source) -> Option<(NodeId, Stalest)> {
        let source = match share {
            Share::Own => own,
            Share::Largest => *self.of_source.iter().max_by_key(|(_, waiting)| **waiting)?.0,
        };
        let of_source = self.of_source.get(&source).copied().unwrap_or(0);
        let waits = self.by_expiry.iter().filter_map(|(_, id)| self.all.get(id));
        // Nodes with keys wait on a connection, so they never give way.
        let of_its = waits.filter(|node| node.source == source && node.entry.record.keys.is_none());
        let asked = |node: &NodeRow| {
            node.entry.asked.map_or(node.entry.record.asked_at, |asked| asked.last)
        };
        let stalest = of_its.min_by_key(|node| (asked(node), node.entry.record.node_id))?;
        Some((stalest.entry.record.node_id, Stalest { asked: asked(stalest), of_source }))
    }

    /// Returns the rejection of requests with this key.
    pub(super) fn rejection(&self, key: &RequestKey) -> Option<Rejection> {
        self.rejections.get(key).map(|turned_down| turned_down.rejection)
    }

    /// Counts the request, and updates the device's self-description.
    fn asked_again(
        &mut self,
        id: NodeId,
        asked: &Record,
        profile: String,
        request: u64,
        now: UnixTime,
    ) {
        let run = self.run;
        let Some(NodeRow { entry, asked_run, .. }) = self.all.get_mut(&id) else { return };
        // An imported entry was never asked for; `!request` makes this request count as a new one.
        let again = entry
            .asked
            .unwrap_or(Asked { times: 0, last: now, request: !request })
            .again(request, now);
        if again.is_some() {
            (entry.asked, *asked_run) = (again, run);
        }
        if again.is_some() || asked.keys.is_some() {
            self.describe(id, asked, profile, now);
        }
    }

    /// Updates a waiting device's self-description.
    fn describe(&mut self, id: NodeId, asked: &Record, profile: String, now: UnixTime) {
        let Some(NodeRow { entry, .. }) = self.all.get_mut(&id) else { return };
        if !matches!(entry.record.standing, Standing::Pending { .. } | Standing::Unapproved { .. })
        {
            return;
        }
        let Entry { record, profile: known, version, changed_at, .. } = entry;
        if (&record.name, &record.room, &*known) != (&asked.name, &asked.room, &profile) {
            (record.name, record.room) = (asked.name.clone(), asked.room.clone());
            (*known, *version, *changed_at) = (profile, Version(version.0 + 1), now);
        }
    }

    pub(super) fn insert(
        &mut self,
        record: Record,
        profile: String,
        now: UnixTime,
    ) -> Result<Version, SaveError> {
        rules::provable(&record.standing, record.keys.is_some())?;
        let key_is_taken = record.keys.is_some_and(|keys| self.by_key.contains_key(&keys.channel));
        if key_is_taken || self.all.contains_key(&record.node_id) {
            return Err(SaveError::Conflict);
        }
        let source = Source::of(record.address);
        self.put(NodeRow::new(record, source, None, profile, (now, self.run)));
        Ok(Version(1))
    }

    pub(super) fn save(
        &mut self,
        id: NodeId,
        read_at: Version,
        standing: Standing,
        now: UnixTime,
    ) -> Result<Version, SaveError> {
        let entry = &self.all.get(&id).ok_or(SaveError::Missing)?.entry;
        if entry.version != read_at {
            return Err(SaveError::Conflict);
        }
        rules::provable(&standing, entry.record.keys.is_some())?;
        let key = RequestKey::of_record(&entry.record);
        let rejection = rules::turned_down(&standing, self.rejection(&key), now);
        if let Some(rejection) = rejection {
            // Rejections that are over are forgotten here, so that strangers cannot fill the
            // memory.
            self.rejections.retain(|_, turned_down| !turned_down.rejection.is_over(now));
            self.rejections.insert(key, TurnedDown { rejection, at: now, run: self.run });
        }
        let saved = self.change(id, now, |node| {
            node.entry.record.standing = standing;
            node.entry.rejection = rejection;
        });
        saved.ok_or(SaveError::Missing)
    }

    /// Sets a node's ceiling without an offer.
    pub(super) fn set_ceiling(
        &mut self,
        id: NodeId,
        read_at: Version,
        ceiling: Ceiling,
        now: UnixTime,
    ) -> Result<Version, SaveError> {
        if self.all.get(&id).ok_or(SaveError::Missing)?.entry.version != read_at {
            return Err(SaveError::Conflict);
        }
        self.bound(id, ceiling, now);
        self.change(id, now, |_| ()).ok_or(SaveError::Missing)
    }

    /// Replaces what a node has proved with its keys: the record is paired anew.
    pub(super) fn replace(
        &mut self,
        record: Record,
        profile: String,
        read_at: Version,
        now: UnixTime,
    ) -> Result<Version, SaveError> {
        let entry = &self.all.get(&record.node_id).ok_or(SaveError::Conflict)?.entry;
        let Record { standing, keys, asked_at, .. } = &entry.record;
        let key = record.keys.map(|keys| keys.channel);
        let holder = key.and_then(|key| self.by_key.get(&key));
        if entry.version != read_at
            || standing.bars()
            || keys.is_some_and(|keys| Some(keys.channel) != key)
            || holder.is_some_and(|holder| *holder != record.node_id)
        {
            return Err(SaveError::Conflict);
        }
        // The time of the first request outlives the new pairing.
        let asked_at = *asked_at;
        self.change(record.node_id, now, |node| {
            node.source = Source::of(record.address);
            node.entry.record = Record { asked_at, ..record };
            node.entry.rejection = None;
            node.entry.profile = profile;
        })
        .ok_or(SaveError::Conflict)
    }

    /// Sets a node's ceiling. An end that does not change keeps the time at which it was set.
    pub(super) fn bound(&mut self, id: NodeId, ceiling: Ceiling, now: UnixTime) {
        let run = self.run;
        let Some(node) = self.all.get_mut(&id) else { return };
        let before = node.entry.ceiling.as_ref().and_then(|ceiling| ceiling.expires);
        if ceiling.expires != before {
            node.ceiling_set.0 = now;
            node.ceiling_set.1 = if ceiling.expires.is_some() { run } else { node.ceiling_set.1 };
        }
        node.entry.ceiling = Some(Box::new(ceiling));
    }

    /// Makes the nodes with tokens that this session approved wait for approval again. Returns
    /// their ids.
    pub(super) fn end_approved_by(&mut self, session: SessionId, now: UnixTime) -> Vec<NodeId> {
        let approved = self
            .all
            .values()
            .map(|node| &node.entry)
            .filter(|entry| entry.maker == Maker::Session(session));
        let paired = approved.filter_map(|entry| {
            Some((entry.record.node_id, lifecycle::unapproved(&entry.record.standing)?))
        });
        let paired: Vec<_> = paired.collect();
        for (id, standing) in &paired {
            self.change(*id, now, |node| {
                node.entry.record.standing = standing.clone();
                node.entry.maker = Maker::Operator;
            });
        }
        paired.into_iter().map(|(id, _)| id).collect()
    }

    /// Returns the makers of the approvals of paired nodes.
    pub(super) fn approvers(&self) -> impl Iterator<Item = Maker> {
        let is_paired = |node: &&NodeRow| {
            matches!(node.entry.record.standing, Standing::Paired { .. } | Standing::Muted { .. })
        };
        self.all.values().filter(is_paired).map(|node| node.entry.maker)
    }

    fn change(
        &mut self,
        id: NodeId,
        now: UnixTime,
        change: impl FnOnce(&mut NodeRow),
    ) -> Option<Version> {
        let mut node = self.take(id)?;
        let before = asks(&node.entry.record.standing);
        change(&mut node);
        // A node that waits again because its approval was undone is still the same request.
        if node.end().is_some() && node.end() != before {
            node.run = self.run;
        }
        node.request = node.request.filter(|_| asks(&node.entry.record.standing).is_some());
        node.entry.version = Version(node.entry.version.0 + 1);
        node.entry.changed_at = now;
        let version = node.entry.version;
        self.put(node);
        Some(version)
    }

    fn put(&mut self, node: NodeRow) {
        let id = node.entry.record.node_id;
        *self.count(&node.entry.record.standing) += 1;
        if let Some(keys) = &node.entry.record.keys {
            self.by_key.insert(keys.channel, id);
        }
        if let Standing::Pending { expires } = node.entry.record.standing {
            self.by_expiry.insert((expires, id));
            *self.of_source.entry(node.source).or_default() += 1;
        }
        if let Some(request) = node.request {
            // Another request with the same key may have come meanwhile; there is one entry for
            // each key.
            let holder = self.by_request.get(&request).and_then(|holder| self.all.get(holder));
            if !holder.is_some_and(|holder| {
                matches!(holder.entry.record.standing, Standing::Pending { .. })
            }) {
                self.by_request.insert(request, id);
            }
        }
        self.all.insert(id, node);
    }

    fn take(&mut self, id: NodeId) -> Option<NodeRow> {
        let node = self.all.remove(&id)?;
        *self.count(&node.entry.record.standing) -= 1;
        if let Some(keys) = &node.entry.record.keys {
            self.by_key.remove(&keys.channel);
        }
        if let Standing::Pending { expires } = node.entry.record.standing {
            self.by_expiry.remove(&(expires, id));
            if let Some(waiting) = self.of_source.get_mut(&node.source) {
                *waiting -= 1;
                if *waiting == 0 {
                    self.of_source.remove(&node.source);
                }
            }
        }
        // Another request may have taken over the key, and its entry stays.
        if let Some(request) = node.request
            && self.by_request.get(&request) == Some(&id)
        {
            self.by_request.remove(&request);
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

/// Returns the end of a request that waits, or would wait again if its approval were undone.
fn asks(standing: &Standing) -> Option<UnixTime> {
    match (standing, standing.undelivered()) {
        (Standing::Pending { expires }, _)
        | (_, Some(Undelivered { before: Before::Pending { expires }, .. })) => Some(*expires),
        (_, Some(_) | None) => None,
    }
}

impl NodeRow {
    /// Returns the end of the node's request, if it waits.
    const fn end(&self) -> Option<UnixTime> {
        match self.entry.record.standing {
            Standing::Pending { expires } => Some(expires),
            Standing::Unapproved { .. }
            | Standing::Paired { .. }
            | Standing::Muted { .. }
            | Standing::Revoked { .. } => None,
        }
    }

    fn new(
        record: Record,
        source: Source,
        request: Option<RequestKey>,
        profile: String,
        (now, run): (UnixTime, u64),
    ) -> Self {
        Self {
            entry: Entry {
                record,
                version: Version(1),
                ceiling: None,
                profile,
                changed_at: now,
                asked: None,
                rejection: None,
                observed: None,
                maker: Maker::Operator,
            },
            source,
            request,
            run,
            asked_run: run,
            ceiling_set: (now, 0),
        }
    }
}
