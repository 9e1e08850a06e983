//! One run: from a phone's request to a node that is provisioned, or on another network, or to what
//! it was before.

use super::{
    Answer, Change, Effect, Failure, Hotspot, JOIN_WITHIN, JoinWatch, Network, NotStored,
    OPERATE_AFTER, Outcome, Progress, ProvisioningNode, RadioReport, Registration, State, Step,
};
use crate::entropy::Entropy;
use crate::flow::provisioning::retry::{Attempts, Next, RegisterFailure};
use crate::limits::REGISTER_WITHIN;
use crate::step::Effects;
use crate::text::Name;
use crate::time::{DeadlineReason, Instant, Span};
use crate::wire::provisioning::{Country, RegisterAnswer, Ssid};

/// Time between the answer to a phone and the end of the access point that carries it.
const LEAVE_AFTER: Span = Span::from_millis(1500);
/// Time in which the network tells whether it shows a login page.
const CHECK_WITHIN: Span = Span::from_secs(10);

/// A run under way.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(super) struct Run {
    pub(super) ssid: Ssid,
    pub(super) goal: Goal,
    pub(super) stage: Stage,
}

/// What a run changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(super) enum Goal {
    /// All settings.
    Settings,
    /// The network alone. The pairing stays, so no command center is asked.
    Network,
}

#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(super) enum Stage {
    SavingRequest {
        /// The country that the request names.
        country: Option<Country>,
    },
    Leaving {
        until: Instant,
    },
    Joining {
        watch: JoinWatch,
        again: bool,
        until: Instant,
    },
    Checking {
        until: Instant,
    },
    Registering {
        attempts: Attempts,
        until: Instant,
    },
    Pausing {
        attempts: Attempts,
        until: Instant,
    },
    SavingAnswer,
    /// `joined` is `false` if a restart came in between, so the network has to be joined again.
    Committing {
        joined: bool,
    },
}

impl Stage {
    pub(super) const fn joining(now: Instant) -> Self {
        Self::Joining { watch: JoinWatch::new(), again: false, until: now.after(JOIN_WITHIN) }
    }
}

impl Run {
    pub(super) const fn step(&self) -> Step<'_> {
        match &self.stage {
            Stage::SavingRequest { .. } => Step::Saving,
            Stage::Leaving { .. } => Step::Saved(&self.ssid),
            Stage::Joining { .. } => Step::Joining(&self.ssid),
            Stage::Checking { .. } => Step::Joined(&self.ssid),
            Stage::Registering { .. } | Stage::Pausing { .. } => Step::Registering,
            Stage::SavingAnswer | Stage::Committing { .. } => Step::Finalizing,
        }
    }

    pub(super) const fn registration(&self) -> Registration {
        match (self.goal, &self.stage) {
            (
                Goal::Settings,
                Stage::SavingRequest { .. }
                | Stage::Leaving { .. }
                | Stage::Joining { .. }
                | Stage::Checking { .. },
            ) => Registration::NotStarted,
            (Goal::Settings, Stage::Registering { .. } | Stage::Pausing { .. }) => {
                Registration::Pending
            }
            (Goal::Settings, Stage::SavingAnswer | Stage::Committing { .. })
            | (
                Goal::Network,
                Stage::SavingRequest { .. }
                | Stage::Leaving { .. }
                | Stage::Joining { .. }
                | Stage::Checking { .. }
                | Stage::Registering { .. }
                | Stage::Pausing { .. }
                | Stage::SavingAnswer
                | Stage::Committing { .. },
            ) => Registration::Registered,
        }
    }

    /// Returns the registration that is left if the run fails. `known` is `true` for a node that was
    /// provisioned before, and so stays registered.
    const fn failed_registration(&self, known: bool) -> Registration {
        match self.goal {
            Goal::Network => Registration::Registered,
            Goal::Settings => match self.registration() {
                Registration::NotStarted if known => Registration::Registered,
                Registration::NotStarted => Registration::NotStarted,
                Registration::Pending | Registration::Registered | Registration::Failed => {
                    Registration::Failed
                }
            },
        }
    }

    pub(super) fn deadline(&self) -> Option<(Instant, DeadlineReason)> {
        match &self.stage {
            Stage::Leaving { until } | Stage::Joining { until, .. } | Stage::Checking { until } => {
                Some((*until, DeadlineReason::Radio))
            }
            Stage::Registering { until, .. } => Some((*until, DeadlineReason::Answer)),
            Stage::Pausing { until, .. } => Some((*until, DeadlineReason::Reconnect)),
            Stage::SavingRequest { .. } | Stage::SavingAnswer | Stage::Committing { .. } => None,
        }
    }

    pub(super) const fn is_storing(&self) -> bool {
        match &self.stage {
            Stage::SavingRequest { .. } | Stage::SavingAnswer | Stage::Committing { .. } => true,
            Stage::Leaving { .. }
            | Stage::Joining { .. }
            | Stage::Checking { .. }
            | Stage::Registering { .. }
            | Stage::Pausing { .. } => false,
        }
    }

    pub(super) const fn name(&self) -> &'static str {
        match &self.stage {
            Stage::SavingRequest { .. } => "SavingRequest",
            Stage::Leaving { .. } => "Leaving",
            Stage::Joining { .. } => "Joining",
            Stage::Checking { .. } => "Checking",
            Stage::Registering { .. } => "Registering",
            Stage::Pausing { .. } => "Pausing",
            Stage::SavingAnswer => "SavingAnswer",
            Stage::Committing { .. } => "Committing",
        }
    }
}

impl ProvisioningNode {
    pub(super) fn on_run_tick<'b>(&mut self, now: Instant) -> Effects<Effect<'b>> {
        let State::Running(Run { stage, .. }) = &mut self.state else { return Effects::none() };
        match stage {
            Stage::Leaving { until } if *until <= now => {
                *stage = Stage::joining(now);
                self.hotspot = Hotspot::Down;
                Effects::of([Effect::StopAccessPoint, Effect::Join(Network::Requested)])
            }
            Stage::Joining { watch, until, .. } if *until <= now => {
                let outcome = watch.overdue();
                self.fail(outcome.into())
            }
            // A network that does not tell is used as it is.
            Stage::Checking { until } if *until <= now => self.on_usable(now),
            // The adapter bounds each attempt by less, so this is a fault of its own.
            Stage::Registering { until, .. } if *until <= now => {
                self.fail(Outcome::GatewayUnreachable.into())
            }
            Stage::Pausing { attempts, until } if *until <= now => {
                *stage = Stage::Registering {
                    // The stage is overwritten where it lies, so its attempts are copied.
                    attempts: attempts.clone(),
                    until: now.after(REGISTER_WITHIN),
                };
                Effects::of([Effect::Register])
            }
            Stage::SavingRequest { .. }
            | Stage::Leaving { .. }
            | Stage::Joining { .. }
            | Stage::Checking { .. }
            | Stage::Registering { .. }
            | Stage::Pausing { .. }
            | Stage::SavingAnswer
            | Stage::Committing { .. } => Effects::none(),
        }
    }

    pub(super) fn on_run_radio<'b>(
        &mut self,
        now: Instant,
        report: RadioReport,
    ) -> Effects<Effect<'b>> {
        let State::Running(Run { stage, .. }) = &mut self.state else { return Effects::none() };
        let Stage::Joining { watch, again, until } = stage else { return Effects::none() };
        match watch.report(report) {
            Progress::Going => Effects::none(),
            Progress::Joined => {
                *stage = Stage::Checking { until: now.after(CHECK_WITHIN) };
                Effects::of([Effect::CheckNetwork])
            }
            // One failed handshake may be the air's fault; a person hears of the second.
            Progress::Failed(Outcome::WrongPassword { .. }) if !*again => {
                (*watch, *again, *until) = (JoinWatch::new(), true, now.after(JOIN_WITHIN));
                Effects::of([Effect::Join(Network::Requested)])
            }
            Progress::Failed(outcome) => self.fail(self.judged(outcome).into()),
        }
    }

    pub(super) fn on_checked<'b>(&mut self, now: Instant, captive: bool) -> Effects<Effect<'b>> {
        let State::Running(Run { stage: Stage::Checking { .. }, .. }) = &self.state else {
            return Effects::none();
        };
        if captive {
            return self.fail(Outcome::CaptiveNetwork.into());
        }
        self.on_usable(now)
    }

    /// Goes on once the network is joined and shows no login page.
    fn on_usable<'b>(&mut self, now: Instant) -> Effects<Effect<'b>> {
        let State::Running(Run { goal, stage, .. }) = &mut self.state else {
            return Effects::none();
        };
        match goal {
            Goal::Settings => {
                *stage = Stage::Registering {
                    attempts: Attempts::none(),
                    until: now.after(REGISTER_WITHIN),
                };
                Effects::of([Effect::Register])
            }
            // Whether the gateway answers is not asked: it may be off, or have moved with the
            // network, and the node finds it by its key.
            Goal::Network => {
                *stage = Stage::Committing { joined: true };
                Effects::of([Effect::Store(Change::CommitNetwork)])
            }
        }
    }

    pub(super) fn on_registered<'b>(
        &mut self,
        now: Instant,
        result: Result<RegisterAnswer<'b>, RegisterFailure<'b>>,
        entropy: &Entropy<2>,
    ) -> Effects<Effect<'b>> {
        let State::Running(Run { stage, .. }) = &mut self.state else { return Effects::none() };
        let Stage::Registering { attempts, .. } = stage else { return Effects::none() };
        let failure = match result {
            Ok(answer) => {
                let named = answer.gateway.map(|gateway| gateway.key);
                // Where a gateway is demanded, an answer that names none fails as well.
                if self.settings.gateway_key.is_some_and(|expected| named != Some(expected)) {
                    return self.fail(Outcome::GatewayKeyMismatch.into());
                }
                *stage = Stage::SavingAnswer;
                // The registration's token is spent by now, so the answer is stored at once.
                return Effects::of([Effect::Store(Change::Registration(answer))]);
            }
            Err(failure) => failure,
        };
        match attempts.failed(&failure, entropy) {
            Next::Again(wait) => {
                *stage = Stage::Pausing { attempts: attempts.clone(), until: now.after(wait) };
                Effects::none()
            }
            Next::GiveUp(outcome) => self.fail(explained(outcome, failure)),
        }
    }

    pub(super) fn on_run_stored<'b>(
        &mut self,
        now: Instant,
        result: Result<(), NotStored>,
    ) -> Effects<Effect<'b>> {
        let State::Running(run) = &mut self.state else { return Effects::none() };
        match (&mut run.stage, result) {
            (&mut Stage::SavingRequest { country }, Ok(())) => {
                run.stage = Stage::Leaving { until: now.after(LEAVE_AFTER) };
                self.country = country.or(self.country);
                let answer = Effect::Answer(Answer::Accepted);
                Effects::flatten([country.map(Effect::SetCountry), Some(answer)])
            }
            (Stage::SavingRequest { .. }, Err(NotStored)) => {
                // A part of the request may have reached the storage, so it is discarded.
                let [abandon, discard] = self.undo(Outcome::CannotStore.into());
                Effects::of([Effect::Answer(Answer::NotStored), abandon, discard])
            }
            (stage @ Stage::SavingAnswer, Ok(())) => {
                *stage = Stage::Committing { joined: true };
                Effects::of([Effect::Store(Change::Commit)])
            }
            (Stage::Committing { joined }, Ok(())) => {
                let joined = *joined;
                self.known = Some(run.ssid.clone());
                self.reopened = false;
                if joined {
                    self.state = State::Provisioned { until: now.after(OPERATE_AFTER) };
                    Effects::of([Effect::KeepNetwork])
                } else {
                    Effects::of(self.rejoin(now))
                }
            }
            (Stage::SavingAnswer | Stage::Committing { .. }, Err(NotStored)) => {
                self.fail(Outcome::CannotStore.into())
            }
            (
                Stage::Leaving { .. }
                | Stage::Joining { .. }
                | Stage::Checking { .. }
                | Stage::Registering { .. }
                | Stage::Pausing { .. },
                Ok(()) | Err(NotStored),
            ) => Effects::none(),
        }
    }

    fn fail<'b>(&mut self, failure: Failure) -> Effects<Effect<'b>> {
        Effects::of(self.undo(failure))
    }

    /// Ends the run: the network's profile and the stored request go, then the access point
    /// returns.
    fn undo<'b>(&mut self, failure: Failure) -> [Effect<'b>; 2] {
        let status = self.status();
        let percent = status.step.percent();
        let registration = match &self.state {
            State::Running(run) => run.failed_registration(self.known.is_some()),
            State::Booting(_)
            | State::ApMode { .. }
            | State::Undoing { .. }
            | State::Failed { .. }
            | State::Provisioned { .. }
            | State::Operating
            | State::Rejoining { .. }
            | State::Erasing => status.registration,
        };
        self.failure = Some(failure);
        self.state = State::Undoing { percent, registration };
        [Effect::Abandon, Effect::Store(Change::Discard)]
    }
}

/// Adds the command center's own words.
fn explained(outcome: Outcome, failure: RegisterFailure<'_>) -> Failure {
    match failure {
        RegisterFailure::Status { status, detail } if outcome == Outcome::GatewayRefused => {
            Failure { outcome, http_status: Some(status), detail: detail.map(Name::from) }
        }
        RegisterFailure::Status { .. }
        | RegisterFailure::Unreachable
        | RegisterFailure::NoUrl
        | RegisterFailure::Unreadable
        | RegisterFailure::NotPaired => outcome.into(),
    }
}
