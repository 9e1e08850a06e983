//! The grants, and the revocations.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use handfast_core::grant::capability;
use handfast_core::id::NodeId;
use handfast_core::registry::grants::{Grant, GrantId, State};
use handfast_core::registry::sessions::{Maker, SessionId};
use handfast_core::time::UnixTime;

use super::time::moved;
use crate::{Activation, Revoked, StoreError, rules};

/// A grant's node, and its number in the order in which all grants were made.
type Place = (NodeId, u64);

#[derive(Clone, Debug, Default)]
pub(super) struct Grants {
    all: BTreeMap<Place, Grant>,
    made: u64,
    by_id: HashMap<GrantId, Place>,
    by_capability: HashMap<capability::Id, BTreeSet<Place>>,
    by_end: BTreeSet<(UnixTime, Place)>,
    revoked: HashSet<Revoked>,
    /// Number of the current run.
    pub(super) run: u64,
    /// The run that made each grant.
    runs: HashMap<Place, u64>,
}

impl Grants {
    pub(super) fn of(&self, node_id: NodeId) -> impl Iterator<Item = &Grant> {
        self.all.range((node_id, 0)..=(node_id, u64::MAX)).map(|(_, grant)| grant)
    }

    pub(super) fn check_fresh(&self, id: GrantId) -> Result<(), StoreError> {
        match self.by_id.contains_key(&id) {
            true => Err(StoreError::Database("the fresh id of a grant is taken".to_owned())),
            false => Ok(()),
        }
    }

    /// Adds a new offer.
    pub(super) fn offer(&mut self, grant: Grant, now: UnixTime) {
        self.purge(now);
        let unconfirmed =
            self.places(grant.node_id, |_, grant| matches!(grant.state, State::Offered { .. }));
        self.end_all(&unconfirmed, now);
        let place = (grant.node_id, self.made);
        self.made += 1;
        self.by_id.insert(grant.id, place);
        self.runs.insert(place, self.run);
        if let Some(capability) = grant.capability {
            self.by_capability.entry(capability).or_default().insert(place);
        }
        if grant.state == State::Ended {
            self.by_end.insert((now, place));
        }
        self.all.insert(place, grant);
    }

    pub(super) fn activate(&mut self, node_id: NodeId, id: GrantId, now: UnixTime) -> Activation {
        let place = self.by_id.get(&id).copied().filter(|(owner, _)| *owner == node_id);
        let Some((place, grant)) = place.and_then(|place| Some((place, self.all.get_mut(&place)?)))
        else {
            return Activation::NotThere;
        };
        if !grant.counts(now) {
            return Activation::NotThere;
        }
        if grant.state == State::Active {
            return Activation::Active { ended: Vec::new() };
        }
        grant.state = State::Active;
        let older = self.places(node_id, |other, _| other < place);
        Activation::Active { ended: self.end_all(&older, now) }
    }

    pub(super) fn end(
        &mut self,
        node_id: NodeId,
        which: Option<GrantId>,
        now: UnixTime,
    ) -> Vec<capability::Id> {
        let these = self.places(node_id, |_, grant| which.is_none_or(|id| id == grant.id));
        self.end_all(&these, now)
    }

    /// Ends the grants that this session made and that outlast its end. Returns them, and the
    /// capabilities that no other grant continues.
    pub(super) fn end_made_by(
        &mut self,
        session: SessionId,
        outlasts: impl Fn(Option<UnixTime>) -> bool,
        now: UnixTime,
    ) -> (Vec<(NodeId, GrantId)>, Vec<capability::Id>) {
        let made = self.all.iter().filter(|(_, grant)| {
            grant.maker == Maker::Session(session) && grant.state != State::Ended
        });
        let made: Vec<_> = made
            .filter(|(_, grant)| outlasts(grant.expires))
            .map(|(place, grant)| (*place, grant.id))
            .collect();
        let places: Vec<_> = made.iter().map(|(place, _)| *place).collect();
        (
            made.iter().map(|((node_id, _), id)| (*node_id, *id)).collect(),
            self.end_all(&places, now),
        )
    }

    /// Returns the makers of the grants that have not ended.
    pub(super) fn makers(&self) -> impl Iterator<Item = Maker> {
        self.all.values().filter(|grant| grant.state != State::Ended).map(|grant| grant.maker)
    }

    pub(super) fn with(&self, capability: &capability::Id) -> Option<&Grant> {
        let grants = self
            .by_capability
            .get(capability)?
            .iter()
            .filter_map(|place| Some((place.1, self.all.get(place)?)));
        grants
            .max_by_key(|(made, grant)| (grant.state != State::Ended, *made))
            .map(|(_, grant)| grant)
    }

    pub(super) fn revoke(&mut self, what: Revoked) {
        self.revoked.insert(what);
    }

    pub(super) fn is_revoked(&self, what: Revoked) -> bool {
        let has_ended = match what {
            Revoked::Block(id) => self.with(&id).is_some_and(|grant| grant.state == State::Ended),
            Revoked::Key(_) => false,
        };
        has_ended || self.revoked.contains(&what)
    }

    /// Moves the times of what this run made, and returns how many grants that were.
    pub(super) fn move_by(&mut self, by: i64) -> u64 {
        let these =
            self.all.iter_mut().filter(|(place, _)| self.runs.get(place) == Some(&self.run));
        let each = these.map(|(_, grant)| {
            grant.not_before = moved(grant.not_before, by);
            grant.expires = grant.expires.map(|expires| moved(expires, by));
            grant.moved += by;
            if let State::Offered { until } = &mut grant.state {
                *until = moved(*until, by);
            }
        });
        each.count() as u64
    }

    /// Ends what earlier runs made later than `latest`, and returns how many grants that were.
    pub(super) fn end_later(&mut self, latest: UnixTime) -> u64 {
        let such = |(place, grant): &(&Place, &Grant)| {
            self.runs.get(place) != Some(&self.run)
                && grant.state != State::Ended
                && grant.not_before > latest
        };
        let these: Vec<_> = self.all.iter().filter(such).map(|(place, _)| *place).collect();
        self.end_all(&these, latest);
        these.len() as u64
    }

    /// Returns the times at which this run made its grants.
    pub(super) fn made_last(&self) -> Vec<UnixTime> {
        let ours = self.all.iter().filter(|(place, _)| self.runs.get(place) == Some(&self.run));
        ours.map(|(_, grant)| grant.not_before).collect()
    }

    pub(super) fn write_over(&mut self, node_id: NodeId, id: GrantId, now: UnixTime) -> bool {
        let these = self.places(node_id, |_, grant| {
            grant.id == id && grant.expires.is_some_and(|expires| expires <= now)
        });
        let end = these.first().and_then(|place| self.all.get(place)?.expires);
        self.end_all(&these, end.unwrap_or(now));
        !these.is_empty()
    }

    /// Returns the places of a node's grants that have not ended and match `such`.
    fn places(&self, node_id: NodeId, such: impl Fn(Place, &Grant) -> bool) -> Vec<Place> {
        let grants = self.all.range((node_id, 0)..=(node_id, u64::MAX));
        grants
            .filter(|(place, grant)| grant.state != State::Ended && such(**place, grant))
            .map(|(place, _)| *place)
            .collect()
    }

    /// Ends these grants. Returns the capabilities that no other grant continues.
    fn end_all(&mut self, places: &[Place], now: UnixTime) -> Vec<capability::Id> {
        let mut ended = Vec::new();
        for place in places {
            if let Some(grant) = self.all.get_mut(place) {
                grant.state = State::Ended;
                self.by_end.insert((now, *place));
                ended.extend(grant.capability.filter(|capability| !ended.contains(capability)));
            }
        }
        ended.retain(|capability| {
            self.with(capability).is_some_and(|grant| grant.state == State::Ended)
        });
        ended
    }

    fn purge(&mut self, now: UnixTime) {
        let oldest = rules::oldest_end(now);
        for _ in 0..rules::PURGE {
            let Some((_, place)) = self.by_end.first().copied().filter(|(end, _)| *end < oldest)
            else {
                return;
            };
            self.by_end.pop_first();
            let Some(grant) = self.all.remove(&place) else { continue };
            self.by_id.remove(&grant.id);
            self.runs.remove(&place);
            let Some(capability) = grant.capability else { continue };
            let is_carried_on =
                self.with(&capability).is_some_and(|other| other.state != State::Ended);
            if grant.expires.is_none_or(|expires| now < expires) && !is_carried_on {
                self.revoked.insert(Revoked::Block(capability));
            }
            if let Some(places) = self.by_capability.get_mut(&capability) {
                places.remove(&place);
                if places.is_empty() {
                    self.by_capability.remove(&capability);
                }
            }
        }
    }
}
