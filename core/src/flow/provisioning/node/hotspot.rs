//! The node's access point: when it is tried again, and when an open one takes its place.

use super::{Effect, NoAccessPoint, Outcome, ProvisioningNode, RADIO_AGAIN, State};
use crate::flow::provisioning::contract::{AccessPoint, AccessPointPolicy};
use crate::step::Effects;
use crate::time::Instant;

/// Starts of a protected access point that fail in a row before an open one takes its place. One may
/// fail by chance.
const PROTECTED_STARTS: u8 = 2;

/// How far the access point is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(super) enum Hotspot {
    Down,
    Starting,
    Up,
    /// It could not start; another attempt follows.
    Waiting(Instant),
}

impl ProvisioningNode {
    pub(super) fn on_access_point<'b>(
        &mut self,
        now: Instant,
        result: Result<(), NoAccessPoint>,
    ) -> Effects<Effect<'b>> {
        // Meanwhile the access point may have been stopped; then its start counts no more.
        if self.hotspot != Hotspot::Starting {
            return Effects::none();
        }
        let outcome = match result {
            Ok(()) => {
                self.hotspot = Hotspot::Up;
                if !self.is_open_instead() {
                    self.failed_starts = 0;
                }
                // What remains to be told is only why there was no access point.
                if let (State::ApMode { .. }, None) = (&self.state, &self.known) {
                    self.failure = None;
                }
                return Effects::none();
            }
            Err(NoAccessPoint::Refused) => Outcome::RadioBusy,
            Err(NoAccessPoint::NotStarted) => {
                // Where an open one does not start, either, the passphrase was not the reason.
                self.failed_starts = match self.is_open_instead() {
                    true => 0,
                    false => self.failed_starts.saturating_add(1),
                };
                Outcome::RadioBusy
            }
            Err(NoAccessPoint::Blocked) => self.judged(Outcome::CountryMissing),
        };
        self.hotspot = match &self.state {
            State::ApMode { .. } => {
                self.failure = Some(outcome.into());
                Hotspot::Waiting(now.after(RADIO_AGAIN))
            }
            // The failure of the run tells more than that of the access point.
            State::Failed { .. } => Hotspot::Waiting(now.after(RADIO_AGAIN)),
            // Each of these starts it again where it is wanted.
            State::Booting(_)
            | State::Running(_)
            | State::Undoing { .. }
            | State::Provisioned { .. }
            | State::Operating
            | State::Rejoining { .. }
            | State::Erasing => Hotspot::Down,
        };
        Effects::none()
    }

    /// Starts the access point. While it runs, this is a request without consequence.
    pub(super) fn start_access_point<'b>(&mut self) -> Effect<'b> {
        self.hotspot = Hotspot::Starting;
        Effect::StartAccessPoint(match self.settings.access_points {
            AccessPointPolicy::Open => AccessPoint::Open,
            AccessPointPolicy::ProtectedOrOpen if self.is_open_instead() => AccessPoint::Open,
            AccessPointPolicy::Protected | AccessPointPolicy::ProtectedOrOpen => {
                AccessPoint::Protected
            }
        })
    }

    /// Returns `true` if an open access point takes the place of a protected one. It stays so until
    /// the node starts again: the radio's driver is no other one before.
    pub(super) const fn is_open_instead(&self) -> bool {
        match self.settings.access_points {
            AccessPointPolicy::ProtectedOrOpen => self.failed_starts >= PROTECTED_STARTS,
            AccessPointPolicy::Open | AccessPointPolicy::Protected => false,
        }
    }

    /// Starts no access point that could not start before: the state is left that wanted it.
    pub(super) fn forget_waiting_hotspot(&mut self) {
        if let Hotspot::Waiting(_) = self.hotspot {
            self.hotspot = Hotspot::Down;
        }
    }
}
