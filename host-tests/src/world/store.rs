//! A small model of the store: one record at a time, durable once it commits, answered later, with
//! a version against lost updates.

use std::collections::{BTreeMap, BTreeSet};

use handfast_core::budget::Pending;
use handfast_core::limits::Limits;
use handfast_core::registry::admission::{
    self, PendingRequest, RequestAdmission, RequestKey, Share, Stalest,
};
use handfast_core::registry::delivery::{
    Before, DeliveryId, NotSettled, Outcome, Settled, Undelivered,
};
use handfast_core::registry::lifecycle;
use handfast_core::registry::lifecycle::Change;
use handfast_core::registry::record::{Cause, Record, Standing};
use handfast_core::registry::rejection::Rejection;
use handfast_core::{Entropy, NodeId, Refusal, Source, Span, UnixTime};

use super::clock::{request_end, undelivered};
use super::gateway::ConnInput;
use super::network::ConnId;
use super::{Event, World};
use crate::prng::Prng;
use crate::script::Verdict;

/// The durable state.
#[derive(Debug, Default)]
pub struct Store {
    /// The records by id.
    pub rows: BTreeMap<NodeId, Row>,
    /// Rejections of requests by key.
    pub rejections: BTreeMap<[u8; 32], TurnedDown>,
    /// Number of the next operations that fail.
    pub failing: u32,
    /// Ids that were given out or are offered to a request under way. No other request is offered
    /// them.
    taken: BTreeSet<NodeId>,
    /// Outcomes of deliveries.
    settled: BTreeMap<DeliveryId, Settled>,
    /// The run that began each delivery.
    begun_by: BTreeMap<DeliveryId, u32>,
    pub(super) offered: BTreeSet<NodeId>,
}

/// A record with the store's own data.
#[derive(Clone, Debug)]
pub struct Row {
    /// The record itself.
    pub record: Record,
    /// The key that finds its request again.
    pub key: RequestKey,
    /// The source whose cap it counts for.
    pub source: Source,
    /// Version, raised with each change.
    pub version: u64,
    /// Number and time of its requests.
    pub asked: admission::Repetitions,
    /// The runs that admitted it and last heard it.
    pub runs: (u32, u32),
}

/// The rejection of a key, its time, and its run.
#[derive(Clone, Copy, Debug)]
pub struct TurnedDown {
    rejection: Rejection,
    at: UnixTime,
    run: u32,
}

/// The recipient of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waiter {
    Conn(ConnId),
    Approval(u32),
    Operator,
}

/// A request to the store.
#[derive(Clone, Debug)]
pub(super) enum Asked {
    Admit(Box<PendingRequest>),
    Load(NodeId),
    Reread(NodeId),
    Save { node_id: NodeId, version: u64, verdict: Verdict, change: Change },
    Settle { node_id: NodeId, id: DeliveryId, outcome: Outcome },
}

/// An answer of the store.
#[derive(Debug)]
pub(super) enum Answer {
    Conn(Box<ConnInput>),
    Saved { node_id: NodeId, verdict: Verdict, change: Change, outcome: Result<(), Refusal> },
    Settled { node_id: NodeId, outcome: Result<Change, Refusal> },
}

impl Store {
    /// Returns the bytes of a fresh id: the first unused one of a fixed sequence, so that all
    /// worlds share the hashes of few ids.
    pub(super) fn fresh_id(&self) -> [u8; 16] {
        let mut row = (0..).map(|number| Prng::new(0x1d00 + number).bytes());
        let is_free = |bytes: &[u8; 16]| {
            let node_id = NodeId::new(&Entropy::from_recorded(*bytes));
            !self.taken.contains(&node_id) && !self.offered.contains(&node_id)
        };
        row.find(is_free).expect("the row has no end")
    }

    /// Forgets expired requests, and returns their ids.
    fn forget_expired(&mut self, now: UnixTime) -> Vec<NodeId> {
        let ran_out: Vec<NodeId> =
            self.rows.values().filter(|r| expired(r, now)).map(|r| r.record.node_id).collect();
        for node_id in &ran_out {
            self.rows.remove(node_id);
        }
        ran_out
    }

    /// Moves the times of what a run made.
    pub(super) fn move_by(&mut self, run: u32, by: i64) {
        let later = |time: &mut UnixTime| *time = time.moved(by);
        for row in self.rows.values_mut() {
            if row.runs.0 == run {
                later(&mut row.record.asked_at);
                request_end(&mut row.record.standing).into_iter().for_each(later);
            }
            if row.runs.1 == run {
                later(&mut row.asked.last);
            }
            if let Some(it) = undelivered(&mut row.record.standing)
                .filter(|it| self.begun_by.get(&it.ticket.id) == Some(&run))
            {
                later(&mut it.ticket.until);
            }
        }
        for turned_down in self.rejections.values_mut().filter(|it| it.run == run) {
            later(&mut turned_down.at);
            turned_down.rejection.until.iter_mut().for_each(later);
        }
    }

    /// Ends what earlier runs made after `latest`. Returns the ids of removed requests.
    pub(super) fn end_later(&mut self, run: u32, latest: UnixTime) -> Vec<NodeId> {
        let later = |row: &Row| row.runs.0 != run && row.record.asked_at > latest;
        let is_pending = |row: &Row| matches!(row.record.standing, Standing::Pending { .. });
        let gone: Vec<NodeId> = self
            .rows
            .values()
            .filter(|row| later(row) && is_pending(row))
            .map(|row| row.record.node_id)
            .collect();
        for node_id in &gone {
            self.rows.remove(node_id);
        }
        for row in self.rows.values_mut() {
            if later(row) {
                request_end(&mut row.record.standing)
                    .into_iter()
                    .for_each(|end| *end = latest.min(*end));
            }
            if let Some(it) = undelivered(&mut row.record.standing)
                .filter(|it| self.begun_by.get(&it.ticket.id) != Some(&run))
            {
                it.ticket.until = latest.min(it.ticket.until);
            }
        }
        for turned_down in self.rejections.values_mut().filter(|it| it.run != run && it.at > latest)
        {
            turned_down.rejection.until =
                turned_down.rejection.until.map(|until| until.min(latest));
        }
        gone
    }

    fn admit(
        &mut self,
        asking: &PendingRequest,
        limits: &Limits,
        now: UnixTime,
        run: u32,
    ) -> (Vec<NodeId>, Result<NodeId, Refusal>) {
        let ran_out = self.forget_expired(now);
        let waiting =
            || self.rows.values().filter(|r| matches!(r.record.standing, Standing::Pending { .. }));
        let would_wait = |r: &&Row| match r.record.standing.undelivered() {
            Some(Undelivered { before: Before::Pending { expires }, .. }) => *expires > now,
            Some(_) | None => matches!(r.record.standing, Standing::Pending { .. }),
        };
        let same = self
            .rows
            .values()
            .filter(would_wait)
            .find(|r| r.key == asking.key)
            .map(|r| r.record.node_id);
        let of_source = |source| waiting().filter(|r| r.source == source).count() as u32;
        let count =
            Pending { total: waiting().count() as u32, of_source: of_source(asking.source) };
        let rejection = self.rejections.get(asking.key.as_bytes()).map(|it| it.rejection);
        match admission::decide(same, rejection, count, limits, now) {
            RequestAdmission::Found(node_id) => {
                if let Some(row) = self.rows.get_mut(&node_id)
                    && let Some(again) = row.asked.again(asking.request, now)
                {
                    (row.asked, row.runs.1) = (again, run);
                }
                return (ran_out, Ok(node_id));
            }
            RequestAdmission::Refused(refusal) => return (ran_out, Err(refusal)),
            RequestAdmission::Displace(share) => {
                let largest = || {
                    waiting().map(|r| r.source).max_by_key(|source| (of_source(*source), *source))
                };
                let source = match share {
                    Share::Own => Some(asking.source),
                    Share::Largest => largest(),
                };
                let stalest = waiting()
                    .filter(|r| Some(r.source) == source)
                    .min_by_key(|r| (r.asked.last, r.record.node_id));
                let gives_way = stalest.filter(|row| {
                    let stalest =
                        Stalest { asked: row.asked.last, of_source: of_source(row.source) };
                    admission::gives_way(stalest, count, now)
                });
                let Some(node_id) = gives_way.map(|row| row.record.node_id) else {
                    return (ran_out, Err(Refusal::TooManyPending));
                };
                self.rows.remove(&node_id);
            }
            RequestAdmission::Enter => {}
        }
        let asked = admission::Repetitions::first(asking.request, now);
        let row = Row {
            record: asking.record.clone(),
            key: asking.key,
            source: asking.source,
            version: 1,
            asked,
            runs: (run, run),
        };
        self.taken.insert(row.record.node_id);
        self.rows.insert(row.record.node_id, row);
        (ran_out, Ok(asking.record.node_id))
    }

    /// Returns the record of a node.
    #[must_use]
    pub fn record(&self, node_id: NodeId) -> Option<&Record> {
        self.rows.get(&node_id).map(|row| &row.record)
    }
}

/// Returns the beginning of a delivery with this end.
fn began(until: UnixTime, within: Span) -> UnixTime {
    until.moved(-within.as_secs().cast_signed())
}

fn expired(row: &Row, now: UnixTime) -> bool {
    matches!(row.record.standing, Standing::Pending { expires } if expires <= now)
}

impl World {
    pub(super) fn ask_store(&mut self, waiter: Waiter, asked: Asked) {
        if let Asked::Admit(asking) = &asked {
            self.store.offered.insert(asking.record.node_id);
        }
        let carried_out = self.now + self.prng.below(8);
        self.at(carried_out, Event::Store { life: self.gateway.life, waiter, asked });
    }

    /// Runs a request. Its result is durable from here on, even if nobody gets the answer.
    pub(super) fn on_store(&mut self, waiter: Waiter, asked: Asked) {
        let now = self.unix();
        if let Asked::Admit(asking) = &asked {
            self.store.offered.remove(&asking.record.node_id);
        }
        let run = self.clocks.run;
        let fails = self.store.failing > 0;
        if !fails {
            self.clocks.made(self.now);
        }
        self.store.failing = self.store.failing.saturating_sub(1);
        let answer = match asked {
            Asked::Admit(_) if fails => {
                Answer::Conn(Box::new(ConnInput::Admitted(Err(Refusal::StoreFailed))))
            }
            Asked::Admit(asking) => {
                let (ran_out, outcome) = self.store.admit(&asking, &self.limits, now, run);
                self.model_admits(&ran_out, &asking, outcome);
                Answer::Conn(Box::new(ConnInput::Admitted(outcome)))
            }
            Asked::Load(node_id) => {
                Answer::Conn(Box::new(ConnInput::Loaded(node_id, self.read(node_id, fails))))
            }
            Asked::Reread(node_id) => {
                Answer::Conn(Box::new(ConnInput::Attached(self.read(node_id, fails))))
            }
            Asked::Save { node_id, version, verdict, change } => {
                let outcome = match self.store.rows.get_mut(&node_id) {
                    _ if fails => Err(Refusal::StoreFailed),
                    Some(row) if row.version == version => {
                        row.version += 1;
                        row.record.standing = change.standing.clone();
                        if let Standing::Revoked { cause: Cause::Rejected } = row.record.standing {
                            let earlier = self
                                .store
                                .rejections
                                .get(row.key.as_bytes())
                                .map(|it| it.rejection);
                            let rejection = Rejection::once_more(earlier, now);
                            self.store.rejections.insert(
                                *row.key.as_bytes(),
                                TurnedDown { rejection, at: now, run },
                            );
                        }
                        if let Some(it) = row.record.standing.undelivered() {
                            self.store.begun_by.entry(it.ticket.id).or_insert(run);
                        }
                        Ok(())
                    }
                    Some(_) | None => Err(Refusal::StoreFailed),
                };
                if outcome.is_ok() {
                    self.model_commits(node_id, verdict);
                }
                Answer::Saved { node_id, verdict, change, outcome }
            }
            Asked::Settle { node_id, .. } if fails => {
                Answer::Settled { node_id, outcome: Err(Refusal::StoreFailed) }
            }
            Asked::Settle { node_id, id, outcome } => {
                let outcome = self.settle_delivery(node_id, id, outcome).map_err(|why| match why {
                    NotSettled::ClockInDoubt => Refusal::ClockInDoubt,
                    _ => Refusal::InvalidCredentials,
                });
                if outcome.is_ok() {
                    self.model.unacknowledged(node_id);
                }
                Answer::Settled { node_id, outcome }
            }
        };
        let answered =
            self.now + if self.prng.one_in(4) { self.prng.below(60) } else { self.prng.below(4) };
        self.at(answered, Event::Answer { life: self.gateway.life, waiter, answer });
    }

    /// Ends a delivery as core decides. A delivery that has already ended that way does not change.
    fn settle_delivery(
        &mut self,
        node_id: NodeId,
        id: DeliveryId,
        outcome: Outcome,
    ) -> Result<Change, NotSettled> {
        let (moment, within) = (self.moment(), self.limits.deliver_within);
        let now = moment.now;
        let row = self.store.rows.get_mut(&node_id).ok_or(NotSettled::Unknown)?;
        if let (Some(settled), None) = (
            self.store.settled.get(&id),
            row.record.standing.undelivered().filter(|u| u.ticket.id == id),
        ) {
            handfast_core::registry::delivery::settle_again(*settled, outcome)?;
            return Ok(Change { standing: row.record.standing.clone(), notice: None });
        }
        let until = row
            .record
            .standing
            .undelivered()
            .filter(|it| it.ticket.id == id)
            .map(|it| it.ticket.until);
        let uses = matches!(outcome, Outcome::Confirmed | Outcome::Used);
        if uses && until.is_some_and(|until| moment.doubts(began(until, within), until)) {
            return Err(NotSettled::ClockInDoubt);
        }
        let (settled, change) = match lifecycle::settle(&row.record.standing, id, outcome, now) {
            Err(NotSettled::Late) => {
                self.check_delivery(id, false);
                return Err(NotSettled::Late);
            }
            other => other?,
        };
        self.store.settled.insert(id, settled);
        row.version += 1;
        row.record.standing = change.standing.clone();
        self.model_settles(node_id, settled);
        if uses || outcome == Outcome::Lapsed {
            self.check_delivery(id, uses);
        }
        Ok(change)
    }

    /// Undoes expired deliveries, as the gateway's task does when it wakes.
    pub(super) fn undo_what_lapsed(&mut self) {
        let (moment, within) = (self.moment(), self.limits.deliver_within);
        let over = |row: &Row| {
            let it =
                row.record.standing.undelivered().filter(|it| it.ticket.until <= moment.now)?;
            (!moment.spares(began(it.ticket.until, within))).then_some(it.ticket.id)
        };
        let lapsed: Vec<(NodeId, DeliveryId)> = self
            .store
            .rows
            .iter()
            .filter_map(|(node_id, row)| Some((*node_id, over(row)?)))
            .collect();
        for (node_id, id) in lapsed {
            let undone = self.settle_delivery(node_id, id, Outcome::Lapsed);
            self.note(|| format!("the delivery of the token of {node_id} lapses: {undone:?}"));
            self.expect(undone.is_ok(), || {
                format!("the delivery of the token of {node_id} does not lapse")
            });
        }
    }

    fn read(&self, node_id: NodeId, fails: bool) -> Result<Option<Record>, Refusal> {
        if fails { Err(Refusal::StoreFailed) } else { Ok(self.store.record(node_id).cloned()) }
    }

    pub(super) fn on_answer(&mut self, waiter: Waiter, answer: Answer) {
        match (waiter, answer) {
            (Waiter::Conn(conn), Answer::Conn(input)) => self.answer_conn(conn, *input),
            (waiter, Answer::Saved { node_id, verdict, change, outcome }) => {
                self.saved(waiter, node_id, verdict, &change, outcome);
            }
            (waiter, Answer::Settled { node_id, outcome }) => {
                if let Ok(change) = &outcome {
                    self.push(node_id, change.notice);
                    self.model.acknowledged(node_id);
                }
                if let Waiter::Conn(conn) = waiter {
                    self.answer_conn(conn, ConnInput::Confirmed(outcome.map(drop)));
                }
            }
            (Waiter::Approval(_) | Waiter::Operator, Answer::Conn(_)) => {}
        }
    }
}
