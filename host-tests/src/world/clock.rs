//! Steps, errors and corrections of the gateway's clock: the entries that move with it, and those
//! that must not.

use handfast_core::registry::delivery::{Before, DeliveryId, Undelivered};
use handfast_core::registry::record::{Credential, Standing};
use handfast_core::registry::trusted_time::{ClockStep, Moment};
use handfast_core::{NodeId, UnixTime};

use super::{Event, World};
use crate::clocks::{ClockOp, Life};

impl World {
    /// Returns the time in use, with its uncertainty.
    #[must_use]
    pub fn moment(&self) -> Moment {
        self.clocks.moment(self.now)
    }

    /// Applies an event to the clocks of the gateway's system.
    pub(super) fn clock(&mut self, op: ClockOp) {
        let is_word = matches!(op, ClockOp::Accept | ClockOp::AcceptTruth);
        // Only a running gateway hears the operator, and none takes two steps at once.
        if is_word && (!self.gateway.on || self.is_deciding()) {
            return;
        }
        if let Some(step) = self.clocks.befalls(op, self.now) {
            self.take_over(step);
        }
        self.look_at_clocks();
    }

    /// Does what the gateway's task does every second: takes a step over, and stores the mark.
    pub(super) fn look_at_clocks(&mut self) {
        if !self.gateway.on {
            return;
        }
        let before = self.clocks.mark();
        if let Some(step) = self.clocks.look(self.now)
            && !self.is_deciding()
        {
            self.take_over(step);
        }
        self.expect(self.clocks.mark() >= before, || "the mark falls by nobody's word".to_owned());
        self.undo_what_lapsed();
    }

    /// Records that a request was seen to be over, if the clock is good.
    pub(super) fn note_over(&mut self, node_id: NodeId) {
        self.check_request_is_over(node_id);
        if self.clocks.is_good() {
            self.store.rows.remove(&node_id);
            let now = self.unix().as_secs();
            self.model_forgets(&[node_id], now);
        }
    }

    /// Returns `true` if a request to the store that was decided by the present time is under way.
    fn is_deciding(&self) -> bool {
        !self.gateway.approvals.is_empty()
            || self.agenda.values().any(|event| matches!(event, Event::Store { .. }))
    }

    /// Takes a step over in one transaction: moves the times of what this run made, and ends what
    /// earlier runs made under a wrong clock.
    fn take_over(&mut self, step: ClockStep) {
        self.note(|| {
            format!("a step of {} s is taken over, back: {}", step.by(), step.sets_back())
        });
        let run = self.clocks.run;
        self.store.move_by(run, step.by());
        self.model.move_by(run, step.by());
        if step.sets_back() {
            let latest = step.mark().after(handfast_core::limits::CLOCK_STEP);
            let gone = self.store.end_later(run, latest);
            self.model.end_later(run, latest.as_secs(), &gone, self.limits.pending_for.as_secs());
            for life in self.lives.requests.values_mut().chain(self.lives.deliveries.values_mut()) {
                life.set_back(run);
            }
        }
        self.clocks.taken(step);
    }

    /// Checks that a request that is still valid has not outlived its intended length.
    pub(super) fn check_request_lives(&self, node_id: NodeId) {
        let outlasts = self
            .lives
            .requests
            .get(&node_id)
            .is_some_and(|it| self.clocks.outlasts(it, self.limits.pending_for, self.now));
        self.expect(!outlasts, || {
            format!("the request of {node_id} lives too long: {:?}", self.clocks)
        });
    }

    /// Checks that a request that is over has lasted as long as intended, if this run admitted it.
    pub(super) fn check_request_is_over(&self, node_id: NodeId) {
        let early = self
            .lives
            .requests
            .get(&node_id)
            .is_some_and(|it| self.clocks.is_early(it, self.limits.pending_for, self.now));
        self.expect(!early, || {
            format!("the request of {node_id} is over too early: {:?}", self.clocks)
        });
    }

    /// Checks the life of a delivery in the same way.
    pub(super) fn check_delivery(&self, id: DeliveryId, counts: bool) {
        let Some(life) = self.lives.deliveries.get(&id) else { return };
        let within = self.limits.deliver_within;
        let wrong = if counts {
            self.clocks.outlasts(life, within, self.now)
        } else {
            self.clocks.is_early(life, within, self.now)
        };
        self.expect(!wrong, || {
            format!("{id:?} counts: {counts}, after {} s", self.clocks.lived(life, self.now))
        });
    }

    /// Sets the clock right, and has the operator confirm it.
    pub(super) fn put_clock_right(&mut self) {
        self.clock(ClockOp::Set(0));
        // Requests to the store that are under way come first.
        while self.is_deciding() {
            self.run_for(50);
        }
        self.clock(ClockOp::AcceptTruth);
        let state = self.clocks.state(self.now).as_str();
        self.expect(state == "good", || format!("the clock is right, and {state}"));
    }
}

/// The beginnings of requests and deliveries.
#[derive(Debug, Default)]
pub(super) struct Lives {
    pub(super) requests: std::collections::BTreeMap<NodeId, Life>,
    pub(super) deliveries: std::collections::BTreeMap<DeliveryId, Life>,
}

/// Returns the times of a standing that belong to its request, or to its delivery.
pub(super) fn request_end(standing: &mut Standing) -> Option<&mut UnixTime> {
    if let Standing::Pending { expires } = standing {
        return Some(expires);
    }
    match &mut undelivered(standing)?.before {
        Before::Pending { expires } => Some(expires),
        Before::Unapproved { .. } | Before::Token(_) => None,
    }
}

pub(super) fn undelivered(standing: &mut Standing) -> Option<&mut Undelivered> {
    match standing {
        Standing::Paired { credential: Credential::Undelivered(undelivered), .. }
        | Standing::Muted { credential: Credential::Undelivered(undelivered), .. } => {
            Some(undelivered)
        }
        Standing::Paired { .. }
        | Standing::Muted { .. }
        | Standing::Pending { .. }
        | Standing::Unapproved { .. }
        | Standing::Revoked { .. } => None,
    }
}
