//! What a phone or the owner asks for.

use super::run::{Goal, Run, Stage};
use super::{Answer, Change, Effect, ProvisioningNode, State, answer};
use crate::step::Effects;
use crate::time::Instant;
use crate::wire::provisioning::{Country, K2Request, NetworkRequest, ProvisionRequest, Ssid};

impl ProvisioningNode {
    /// Returns `true` while the node works on a request, or starts.
    const fn is_at_work(&self) -> bool {
        match self.state {
            State::Booting(_) | State::Running(_) | State::Undoing { .. } | State::Erasing => true,
            State::ApMode { .. }
            | State::Failed { .. }
            | State::Provisioned { .. }
            | State::Operating
            | State::Rejoining { .. } => false,
        }
    }

    /// Returns the answer to a request that the node does not take at this time.
    fn refusal(&self, now: Instant) -> Option<Answer> {
        if !self.is_window_open(now) {
            return Some(Answer::WindowClosed);
        }
        // One write at a time: the answer to a request follows what is durable.
        self.storing_k2.then_some(Answer::Busy)
    }

    pub(super) fn on_provision<'b>(
        &mut self,
        now: Instant,
        request: ProvisionRequest<'b>,
    ) -> Effects<Effect<'b>> {
        if self.is_at_work() {
            return answer(Answer::Busy);
        }
        if let Some(refusal) = self.refusal(now) {
            return answer(refusal);
        }
        let (ssid, country) = (request.ssid.clone(), request.country);
        self.begin_run(ssid, country, Goal::Settings, Change::Request(request))
    }

    pub(super) fn on_change_network<'b>(
        &mut self,
        now: Instant,
        request: NetworkRequest<'b>,
    ) -> Effects<Effect<'b>> {
        if self.is_at_work() {
            return answer(Answer::Busy);
        }
        if let Some(refusal) = self.refusal(now) {
            return answer(refusal);
        }
        if self.known.is_none() {
            return answer(Answer::NotProvisioned);
        }
        let (ssid, country) = (request.ssid.clone(), request.country);
        self.begin_run(ssid, country, Goal::Network, Change::Network(request))
    }

    /// Begins a run by storing its request. A provisioned node leaves its network for it.
    fn begin_run<'b>(
        &mut self,
        ssid: Ssid,
        country: Option<Country>,
        goal: Goal,
        request: Change<'b>,
    ) -> Effects<Effect<'b>> {
        self.failure = None;
        self.forget_waiting_hotspot();
        self.state = State::Running(Run { ssid, goal, stage: Stage::SavingRequest { country } });
        let store = Some(Effect::Store(request));
        match self.known {
            // Normal operation ends before the network is left that carries it.
            Some(_) => Effects::flatten([Some(Effect::Rest), Some(Effect::Abandon), store]),
            None => Effects::flatten([store]),
        }
    }

    pub(super) fn on_k2<'b>(
        &mut self,
        now: Instant,
        request: K2Request<'b>,
    ) -> Effects<Effect<'b>> {
        if self.is_at_work() {
            return answer(Answer::Busy);
        }
        // Only somebody at the node can press the button, so nobody on its network replaces K2.
        if self.known.is_some() && !(self.reopened && self.is_window_open(now)) {
            return answer(Answer::AlreadyProvisioned);
        }
        if let Some(refusal) = self.refusal(now) {
            return answer(refusal);
        }
        let K2Request { node_id, kid, k2, created_at } = request;
        match k2 {
            Ok(k2) => {
                self.storing_k2 = true;
                Effects::of([Effect::Store(Change::K2 { node_id, kid, k2, created_at })])
            }
            Err(why) => answer(Answer::NoK2(why)),
        }
    }

    pub(super) fn on_reset<'b>(&mut self, now: Instant) -> Effects<Effect<'b>> {
        match &self.state {
            State::Booting(_) | State::Undoing { .. } | State::Erasing => answer(Answer::Busy),
            // A write that is under way is awaited, so that the reset is the last one.
            State::Running(run) if run.is_storing() => answer(Answer::Busy),
            State::Running(_)
            | State::ApMode { .. }
            | State::Failed { .. }
            | State::Provisioned { .. }
            | State::Operating
            | State::Rejoining { .. } => {
                if let Some(refusal) = self.refusal(now) {
                    return answer(refusal);
                }
                self.forget_waiting_hotspot();
                self.state = State::Erasing;
                Effects::of([Effect::Rest, Effect::Abandon, Effect::Store(Change::Erase)])
            }
        }
    }

    pub(super) fn on_button<'b>(&mut self, now: Instant) -> Effects<Effect<'b>> {
        self.window_ends = now.after(self.settings.window);
        self.reopened = true;
        match self.state {
            State::Provisioned { .. } | State::Operating | State::Rejoining { .. } => {
                self.state = State::ApMode { until: self.access_point_until(now) };
                Effects::of([Effect::Abandon, self.start_access_point()])
            }
            State::Booting(_)
            | State::ApMode { .. }
            | State::Running(_)
            | State::Undoing { .. }
            | State::Failed { .. }
            | State::Erasing => Effects::none(),
        }
    }
}
