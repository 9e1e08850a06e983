//! The clocks of the process. Every decision that depends on time uses a reading from here;
//! durations for metrics are measured in place.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use handfast_core::registry::trusted_time::{Moment, RELEASED, Reading, TrustedTime};
use handfast_core::{Instant, UnixTime};
use rustix::time::{ClockId, clock_gettime};

/// The file that systemd creates once the clock has been synchronised since the system's start.
pub const SYNCHRONISED_FILE: &str = "/run/systemd/timesync/synchronized";

/// The system clocks that a gateway runs on.
pub trait SystemClock: Send + Sync + 'static {
    /// Returns the wall clock, since 1970; an earlier time counts as 1970.
    fn wall(&self) -> Duration;

    /// Returns a monotonic clock that continues while the system sleeps.
    fn elapsed(&self) -> Instant;

    /// Returns `true` if the system calls its wall clock synchronised, and `false` where that is
    /// not known.
    fn is_synchronised(&self) -> bool;
}

/// The clocks of this system. The wall clock counts as synchronised if a certain file exists.
#[derive(Clone, Debug)]
pub struct LocalClock {
    synchronised_file: PathBuf,
}

impl LocalClock {
    /// Creates the clocks, with the file that a service other than systemd creates once the wall
    /// clock is right.
    #[must_use]
    pub fn with_file(synchronised_file: &Path) -> Self {
        Self { synchronised_file: synchronised_file.to_owned() }
    }
}

impl Default for LocalClock {
    fn default() -> Self {
        Self::with_file(Path::new(SYNCHRONISED_FILE))
    }
}

impl SystemClock for LocalClock {
    fn wall(&self) -> Duration {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }

    fn elapsed(&self) -> Instant {
        let read = clock_gettime(SINCE_BOOT);
        let seconds = u64::try_from(read.tv_sec).unwrap_or(0);
        let millis = u64::try_from(read.tv_nsec).unwrap_or(0) / 1_000_000;
        Instant::from_millis(seconds.saturating_mul(1000).saturating_add(millis))
    }

    fn is_synchronised(&self) -> bool {
        self.synchronised_file.exists()
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
const SINCE_BOOT: ClockId = ClockId::Boottime;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const SINCE_BOOT: ClockId = ClockId::Monotonic;

/// The time of day of a registry that several gateways share, as its database told it last. It goes
/// on by this system's monotonic clock, so the gateways' own clocks do not matter.
#[derive(Debug)]
pub(crate) struct ToldTime(Mutex<(Duration, Instant)>);

impl ToldTime {
    /// Creates the time that was told at this instant of the system's monotonic clock.
    pub(crate) const fn new(time: Duration, at: Instant) -> Self {
        Self(Mutex::new((time, at)))
    }

    /// Takes in the time that was told at this instant.
    pub(crate) fn tell(&self, time: Duration, at: Instant) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (time, at);
    }

    /// Returns clocks that have this time of day, and are monotonic as the system's.
    pub(crate) fn over(self: &Arc<Self>, system: Box<dyn SystemClock>) -> Box<dyn SystemClock> {
        Box::new(RegistryClock { system, told: Arc::clone(self) })
    }
}

struct RegistryClock {
    system: Box<dyn SystemClock>,
    told: Arc<ToldTime>,
}

impl SystemClock for RegistryClock {
    fn wall(&self) -> Duration {
        let (time, at) = *self.told.0.lock().unwrap_or_else(PoisonError::into_inner);
        time.saturating_add(Duration::from_millis(self.elapsed().since(at).as_millis()))
    }

    fn elapsed(&self) -> Instant {
        self.system.elapsed()
    }

    /// All gateways go by this clock, and the operator of the database looks after it.
    fn is_synchronised(&self) -> bool {
        true
    }
}

/// A monotonic clock that starts at zero with the gateway, and the time of its registry.
#[derive(Clone)]
pub(crate) struct GatewayClock {
    shared: Arc<ClockShared>,
}

struct ClockShared {
    start: tokio::time::Instant,
    system: Box<dyn SystemClock>,
    trusted: Mutex<TrustedTime>,
    /// Held alone while a step of the clock is taken over, and together by what must be either
    /// before a step or after it.
    taking: tokio::sync::RwLock<()>,
}

impl std::fmt::Debug for GatewayClock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GatewayClock").field("trusted", &*self.trusted()).finish_non_exhaustive()
    }
}

impl GatewayClock {
    /// Starts the clock. `mark` is the one that earlier runs left.
    pub(crate) fn start(system: Box<dyn SystemClock>, mark: Option<UnixTime>) -> Self {
        let reading = read(&*system);
        // A second of this clock then begins together with one of the wall clock.
        let behind = u64::from(system.wall().subsec_millis());
        let elapsed = Instant::from_millis(reading.elapsed.as_millis().saturating_sub(behind));
        let trusted = TrustedTime::begin(mark, RELEASED, Reading { elapsed, ..reading });
        let start = tokio::time::Instant::now();
        let shared = ClockShared {
            start,
            system,
            trusted: Mutex::new(trusted),
            taking: tokio::sync::RwLock::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Returns the monotonic time, in milliseconds.
    pub(crate) fn now(&self) -> Instant {
        let passed = self.shared.start.elapsed().as_millis();
        Instant::from_millis(u64::try_from(passed).unwrap_or(u64::MAX))
    }

    /// Returns the time at which the async runtime has to wake for a deadline of core.
    pub(crate) fn wake_at(&self, deadline: Instant) -> tokio::time::Instant {
        // A deadline too far to represent wakes the machine after a day, which then asks for its
        // deadline again.
        let span = Duration::from_millis(deadline.as_millis());
        self.shared
            .start
            .checked_add(span)
            .unwrap_or_else(|| tokio::time::Instant::now() + Duration::from_secs(86_400))
    }

    /// Returns the registry's time. A step of the wall clock does not change it.
    pub(crate) fn unix(&self) -> UnixTime {
        let elapsed = self.shared.system.elapsed();
        self.trusted().now(elapsed)
    }

    /// Returns the registry's time, with the doubt about it.
    pub(crate) fn moment(&self) -> Moment {
        let elapsed = self.shared.system.elapsed();
        self.trusted().moment(elapsed)
    }

    /// Returns the time by which a sweep may write things as ended; `None` while the clock is not
    /// good. Expired things are refused all the same, and a sweep writes them once the clock is
    /// good.
    pub(crate) fn sweeps_at(&self) -> Option<UnixTime> {
        let elapsed = self.shared.system.elapsed();
        let trusted = self.trusted();
        trusted.is_good().then(|| trusted.now(elapsed))
    }

    /// Returns the system's monotonic clock.
    pub(crate) fn elapsed(&self) -> Instant {
        self.shared.system.elapsed()
    }

    pub(crate) fn read(&self) -> Reading {
        read(&*self.shared.system)
    }

    pub(crate) fn trusted(&self) -> MutexGuard<'_, TrustedTime> {
        // No holder can panic half way through a change, so a poisoned lock is still consistent.
        self.shared.trusted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until no other task takes a step over.
    pub(crate) async fn taking(&self) -> tokio::sync::RwLockWriteGuard<'_, ()> {
        self.shared.taking.write().await
    }

    /// Waits until no task takes a step over, and lets none do so as long as the guard lives. A
    /// task must not hold two of them, because a step that waits goes before the second.
    pub(crate) async fn steady(&self) -> tokio::sync::RwLockReadGuard<'_, ()> {
        self.shared.taking.read().await
    }
}

fn read(system: &dyn SystemClock) -> Reading {
    Reading {
        wall: UnixTime::from_secs(system.wall().as_secs()),
        elapsed: system.elapsed(),
        synchronised: system.is_synchronised(),
    }
}
