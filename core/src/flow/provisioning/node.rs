//! The machine of a node that is provisioned.
//!
//! The settings in force change in one step, [`Change::Commit`] or [`Change::CommitNetwork`], after
//! the new ones have worked: the network was joined, and the command center has answered if it was
//! asked. So after a power cut the node either goes on with the request, or is what it was before.

mod hotspot;
mod requests;
mod run;

use super::contract::{
    Answer, Change, Effect, Input, Network, NoAccessPoint, NotStored, ProvisioningMemory,
    ProvisioningSettings, Unfinished,
};
use super::outcome::{JoinWatch, Outcome, Progress};
use super::radio::RadioReport;
use super::status::{Failure, Registration, Status, Step};
use crate::limits::{ACCESS_POINT_FOR, JOIN_WITHIN, REJOIN_FOR};
use crate::step::{Effects, Machine};
use crate::time::{DeadlineReason, Instant, Span};
use crate::wire::provisioning::{Country, Ssid};

use hotspot::Hotspot;
use run::{Goal, Run, Stage};

/// Wait before another attempt to start an access point, or to join the known network.
const RADIO_AGAIN: Span = Span::from_secs(10);
/// Time for which a failure stays after a phone has read it.
const READ_FAILURE_FOR: Span = Span::from_secs(30);
/// Time between the end of a run and normal operation, so that a phone reads it.
const OPERATE_AFTER: Span = Span::from_secs(2);

/// The machine of a node that is provisioned.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ProvisioningNode {
    settings: ProvisioningSettings,
    /// The country that the radio was told.
    country: Option<Country>,
    known: Option<Ssid>,
    window_ends: Instant,
    /// `true` if the button opened the window, and with it a provisioned node for a new K2.
    reopened: bool,
    /// `true` while K2 is being stored.
    storing_k2: bool,
    hotspot: Hotspot,
    /// Starts of a protected access point that have failed in a row.
    failed_starts: u8,
    failure: Option<Failure>,
    state: State,
}

const _: () = assert!(size_of::<ProvisioningNode>() <= 640);

#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
enum State {
    Booting(Unfinished),
    ApMode {
        until: Option<Instant>,
    },
    Running(Run),
    /// The run has failed at this percentage, and its request is being removed.
    Undoing {
        percent: u8,
        registration: Registration,
    },
    Failed {
        percent: u8,
        registration: Registration,
        until: Instant,
    },
    Provisioned {
        until: Instant,
    },
    Operating,
    Rejoining {
        watch: JoinWatch,
        again: Option<Instant>,
        until: Instant,
    },
    Erasing,
}

impl ProvisioningNode {
    /// Makes a node that has just started. Its first deadline is now.
    #[must_use]
    pub fn boot(now: Instant, memory: ProvisioningMemory, settings: ProvisioningSettings) -> Self {
        let ProvisioningMemory { known, country, unfinished } = memory;
        Self {
            window_ends: now.after(settings.window),
            settings,
            country,
            known,
            reopened: false,
            storing_k2: false,
            hotspot: Hotspot::Down,
            failed_starts: 0,
            failure: None,
            state: State::Booting(unfinished),
        }
    }

    /// Returns what a phone is told.
    #[must_use]
    pub fn status(&self) -> Status<'_> {
        let (step, registration) = match &self.state {
            // A provisioned node that joins its network again is no less provisioned.
            State::Booting(_) | State::Rejoining { .. } => match &self.known {
                Some(ssid) => (Step::Joining(ssid), Registration::Registered),
                None => (Step::Waiting, Registration::NotStarted),
            },
            State::ApMode { .. } | State::Erasing => {
                let registration = match self.known {
                    Some(_) => Registration::Registered,
                    None => Registration::NotStarted,
                };
                (Step::Waiting, registration)
            }
            State::Running(run) => (run.step(), run.registration()),
            State::Undoing { percent, registration }
            | State::Failed { percent, registration, .. } => {
                (Step::Failed(*percent), *registration)
            }
            State::Provisioned { .. } | State::Operating => {
                (Step::Complete, Registration::Registered)
            }
        };
        Status {
            step,
            failure: self.failure.as_ref(),
            registration,
            hotspot: self.hotspot == Hotspot::Up,
            open_instead: self.hotspot == Hotspot::Up && self.is_open_instead(),
            provisioned_before: self.known.is_some(),
        }
    }

    /// Returns `true` if the node takes new settings now.
    #[must_use]
    pub fn is_window_open(&self, now: Instant) -> bool {
        now < self.window_ends
    }

    /// Returns the time at which the setup window closes.
    #[must_use]
    pub const fn window_ends(&self) -> Instant {
        self.window_ends
    }
}

impl Machine for ProvisioningNode {
    type Input<'b> = Input<'b>;
    type Effect<'b> = Effect<'b>;

    fn step<'b>(
        &mut self,
        now: Instant,
        input: Input<'b>,
        _scratch: &'b mut [u8],
    ) -> Effects<Effect<'b>> {
        match input {
            Input::Tick => self.on_tick(now),
            Input::Provision(request) => self.on_provision(now, request),
            Input::ChangeNetwork(request) => self.on_change_network(now, request),
            Input::K2(request) => self.on_k2(now, request),
            Input::FactoryReset => self.on_reset(now),
            Input::StatusRead => {
                // The phone can be back only where the access point is.
                if let State::Failed { until, .. } = &mut self.state
                    && self.hotspot == Hotspot::Up
                {
                    *until = (*until).min(now.after(READ_FAILURE_FOR));
                }
                Effects::none()
            }
            Input::Button => self.on_button(now),
            Input::AccessPoint(result) => self.on_access_point(now, result),
            Input::Radio(report) => self.on_radio(now, report),
            Input::Checked { captive } => self.on_checked(now, captive),
            Input::Registered(result, entropy) => self.on_registered(now, result, &entropy),
            Input::Stored(result) => self.on_stored(now, result),
        }
    }

    fn deadline(&self) -> Option<(Instant, DeadlineReason)> {
        let state = match &self.state {
            // A node that starts is due at once, whatever its clock says.
            State::Booting(_) => Some((Instant::from_millis(0), DeadlineReason::Radio)),
            State::ApMode { until } => until.map(|until| (until, DeadlineReason::Radio)),
            State::Running(run) => run.deadline(),
            State::Failed { until, .. } => Some((*until, DeadlineReason::Radio)),
            State::Provisioned { until } => Some((*until, DeadlineReason::Reconnect)),
            State::Rejoining { again, until, .. } => {
                Some((again.map_or(*until, |again| again.min(*until)), DeadlineReason::Radio))
            }
            State::Undoing { .. } | State::Operating | State::Erasing => None,
        };
        let hotspot = match self.hotspot {
            Hotspot::Waiting(at) => Some((at, DeadlineReason::Radio)),
            Hotspot::Down | Hotspot::Starting | Hotspot::Up => None,
        };
        [state, hotspot].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    fn is_closed(&self) -> bool {
        false
    }

    fn awaits_answer(&self) -> bool {
        self.storing_k2
            || match &self.state {
                State::Undoing { .. } | State::Erasing => true,
                State::Running(run) => run.is_storing(),
                State::Booting(_)
                | State::ApMode { .. }
                | State::Failed { .. }
                | State::Provisioned { .. }
                | State::Operating
                | State::Rejoining { .. } => false,
            }
    }

    fn state_name(&self) -> &'static str {
        match &self.state {
            State::Booting(_) => "Booting",
            State::ApMode { .. } => "ApMode",
            State::Running(run) => run.name(),
            State::Undoing { .. } => "Undoing",
            State::Failed { .. } => "Failed",
            State::Provisioned { .. } => "Provisioned",
            State::Operating => "Operating",
            State::Rejoining { .. } => "Rejoining",
            State::Erasing => "Erasing",
        }
    }
}

impl ProvisioningNode {
    fn on_tick<'b>(&mut self, now: Instant) -> Effects<Effect<'b>> {
        if let Hotspot::Waiting(at) = self.hotspot
            && at <= now
        {
            return Effects::of([self.start_access_point()]);
        }
        match &mut self.state {
            State::Booting(_) => self.on_boot(now),
            State::ApMode { until: Some(until) } if *until <= now => {
                // Nobody came, so the node tries its network once more.
                self.hotspot = Hotspot::Down;
                let [join, operate] = self.rejoin(now);
                Effects::of([Effect::StopAccessPoint, join, operate])
            }
            State::Failed { until, .. } if *until <= now => {
                self.failure = None;
                self.state = State::ApMode { until: self.access_point_until(now) };
                Effects::none()
            }
            State::Provisioned { until } if *until <= now => {
                self.state = State::Operating;
                Effects::of([Effect::Operate])
            }
            State::Rejoining { until, .. } if *until <= now => {
                self.state = State::ApMode { until: self.access_point_until(now) };
                Effects::of([Effect::Abandon, self.start_access_point()])
            }
            State::Rejoining { watch, again, .. } if again.is_some_and(|again| again <= now) => {
                (*watch, *again) = (JoinWatch::new(), None);
                Effects::of([Effect::Join(Network::Known)])
            }
            State::Running(_) => self.on_run_tick(now),
            State::ApMode { .. }
            | State::Undoing { .. }
            | State::Failed { .. }
            | State::Provisioned { .. }
            | State::Operating
            | State::Rejoining { .. }
            | State::Erasing => Effects::none(),
        }
    }

    fn on_boot<'b>(&mut self, now: Instant) -> Effects<Effect<'b>> {
        let booting = State::Booting(Unfinished::Nothing);
        let State::Booting(unfinished) = core::mem::replace(&mut self.state, booting) else {
            return Effects::none();
        };
        // Ahead of everything that sends.
        let country = self.country.map(Effect::SetCountry);
        match unfinished {
            Unfinished::Registered(ssid) => {
                let stage = Stage::Committing { joined: false };
                self.state = State::Running(Run { ssid, goal: Goal::Settings, stage });
                Effects::flatten([country, Some(Effect::Store(Change::Commit))])
            }
            Unfinished::Request(ssid) => {
                Effects::flatten([country, Some(self.join_requested(now, ssid, Goal::Settings))])
            }
            Unfinished::Network(ssid) if self.known.is_some() => {
                Effects::flatten([country, Some(self.join_requested(now, ssid, Goal::Network))])
            }
            Unfinished::Nothing if self.known.is_some() => {
                let [join, operate] = self.rejoin(now);
                Effects::flatten([country, Some(join), Some(operate)])
            }
            // A network alone makes no provisioned node; the next request takes its place.
            Unfinished::Nothing | Unfinished::Network(_) => {
                // Without a network to return to, the access point stays.
                self.state = State::ApMode { until: None };
                Effects::flatten([country, Some(self.start_access_point())])
            }
        }
    }

    fn join_requested<'b>(&mut self, now: Instant, ssid: Ssid, goal: Goal) -> Effect<'b> {
        self.state = State::Running(Run { ssid, goal, stage: Stage::joining(now) });
        Effect::Join(Network::Requested)
    }

    /// Returns what is wrong with a join. A radio that is blocked though it has a country is blocked
    /// by something else, and another country would not help.
    fn judged(&self, outcome: Outcome) -> Outcome {
        match outcome {
            Outcome::CountryMissing if self.country.is_some() => Outcome::RadioBusy,
            Outcome::CountryMissing
            | Outcome::WrongPassword { .. }
            | Outcome::NetworkNotFound
            | Outcome::TooWeak
            | Outcome::NoAddress
            | Outcome::CaptiveNetwork
            | Outcome::GatewayUnreachable
            | Outcome::GatewayRefused
            | Outcome::GatewayKeyMismatch
            | Outcome::RadioBusy
            | Outcome::CannotStore => outcome,
        }
    }

    fn on_radio<'b>(&mut self, now: Instant, report: RadioReport) -> Effects<Effect<'b>> {
        match &mut self.state {
            State::Running(_) => self.on_run_radio(now, report),
            State::Rejoining { watch, again, .. } if again.is_none() => {
                match watch.report(report) {
                    Progress::Going => {}
                    Progress::Joined => {
                        self.failure = None;
                        self.state = State::Operating;
                    }
                    Progress::Failed(outcome) => {
                        *again = Some(now.after(RADIO_AGAIN));
                        self.failure = Some(self.judged(outcome).into());
                    }
                }
                Effects::none()
            }
            State::Operating if is_lost(report) => Effects::of(self.rejoin(now)),
            State::Booting(_)
            | State::ApMode { .. }
            | State::Undoing { .. }
            | State::Failed { .. }
            | State::Provisioned { .. }
            | State::Operating
            | State::Rejoining { .. }
            | State::Erasing => Effects::none(),
        }
    }

    fn on_stored<'b>(
        &mut self,
        now: Instant,
        result: Result<(), NotStored>,
    ) -> Effects<Effect<'b>> {
        // K2 is stored beside any state, so its answer is looked for first.
        if core::mem::take(&mut self.storing_k2) {
            return answer(match result {
                Ok(()) => Answer::K2Stored,
                Err(NotStored) => Answer::NotStored,
            });
        }
        match self.state {
            State::Running(_) => self.on_run_stored(now, result),
            // A request that could not be removed is tried again at the next start, and then fails
            // again; nothing of it is in force.
            State::Undoing { percent, registration } => {
                let until = now.after(ACCESS_POINT_FOR);
                self.state = State::Failed { percent, registration, until };
                Effects::of([self.start_access_point()])
            }
            State::Erasing => {
                let (told, forget) = match result {
                    Ok(()) => {
                        // The radio itself keeps its country until the next start.
                        (self.known, self.country) = (None, None);
                        // The node is to be set up anew, for which the window opens once more.
                        self.window_ends = now.after(self.settings.window);
                        (Answer::Erased, Some(Effect::ForgetNetworks))
                    }
                    Err(NotStored) => (Answer::NotStored, None),
                };
                self.failure = None;
                self.state = State::ApMode { until: self.access_point_until(now) };
                let start = self.start_access_point();
                // Also where something is left: the keys may be gone already.
                let renew = Some(Effect::RenewKey);
                Effects::flatten([renew, Some(Effect::Answer(told)), forget, Some(start)])
            }
            State::Booting(_)
            | State::ApMode { .. }
            | State::Failed { .. }
            | State::Provisioned { .. }
            | State::Operating
            | State::Rejoining { .. } => Effects::none(),
        }
    }

    /// Returns the end of the access point: a provisioned node then tries its network again.
    fn access_point_until(&self, now: Instant) -> Option<Instant> {
        self.known.as_ref().map(|_| now.after(ACCESS_POINT_FOR))
    }

    fn rejoin<'b>(&mut self, now: Instant) -> [Effect<'b>; 2] {
        let (watch, until) = (JoinWatch::new(), now.after(REJOIN_FOR));
        self.state = State::Rejoining { watch, again: None, until };
        [Effect::Join(Network::Known), Effect::Operate]
    }
}

/// Returns `true` if the network is gone.
fn is_lost(report: RadioReport) -> bool {
    let mut watch = JoinWatch::new();
    match report {
        RadioReport::Scanned(_) => false,
        RadioReport::Changed { .. } | RadioReport::Blocked | RadioReport::Refused => {
            watch.report(report) != Progress::Joined
        }
    }
}

fn answer<'b>(answer: Answer) -> Effects<Effect<'b>> {
    Effects::of([Effect::Answer(answer)])
}
