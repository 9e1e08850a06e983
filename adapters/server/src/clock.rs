//! The clocks of the process: what is decided by time is decided by what is read here. How long
//! something took is measured where it is done.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use handfast_core::registry::trusted_time::{Moment, RELEASED, Reading, TrustedTime};
use handfast_core::time::{Instant, UnixTime};
use rustix::time::{ClockId, clock_gettime};

/// The file by which systemd says that the clock was synchronised since the system started.
pub const SYNCHRONISED_FILE: &str = "/run/systemd/timesync/synchronized";

/// The clocks of the system that a gateway runs on.
pub trait SystemClock: Send + Sync + 'static {
    /// The wall clock, since 1970; before that counts as 1970.
    fn wall(&self) -> Duration;

    /// A clock that nobody sets, and that goes on while the system sleeps.
    fn elapsed(&self) -> Instant;

    /// Whether the system calls its wall clock synchronised. Where that is not known, it is not.
    fn is_synchronised(&self) -> bool;
}

/// The clocks of this system. A file says whether the wall clock is synchronised: it is, where
/// there is one.
#[derive(Clone, Debug)]
pub struct LocalClock {
    synchronised_file: PathBuf,
}

impl LocalClock {
    /// The clocks, with the file that something else than systemd makes once the wall clock is
    /// right.
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

/// A monotonic clock that starts at zero with the gateway, beside the time that its registry goes
/// by.
#[derive(Clone)]
pub(crate) struct Clock {
    shared: Arc<Shared>,
}

struct Shared {
    start: tokio::time::Instant,
    system: Box<dyn SystemClock>,
    trusted: Mutex<TrustedTime>,
    /// Held while a step is taken over.
    taking: tokio::sync::Mutex<()>,
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Clock").field("trusted", &*self.trusted()).finish_non_exhaustive()
    }
}

impl Clock {
    /// Starts it. The mark is what earlier runs left.
    pub(crate) fn start(system: Box<dyn SystemClock>, mark: Option<UnixTime>) -> Self {
        let reading = read(&*system);
        // So that a second of ours begins when one of the wall clock does.
        let behind = u64::from(system.wall().subsec_millis());
        let elapsed = Instant::from_millis(reading.elapsed.as_millis().saturating_sub(behind));
        let trusted = TrustedTime::begin(mark, RELEASED, Reading { elapsed, ..reading });
        let start = tokio::time::Instant::now();
        let shared = Shared {
            start,
            system,
            trusted: Mutex::new(trusted),
            taking: tokio::sync::Mutex::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// The monotonic time, in milliseconds.
    pub(crate) fn now(&self) -> Instant {
        let passed = self.shared.start.elapsed().as_millis();
        Instant::from_millis(u64::try_from(passed).unwrap_or(u64::MAX))
    }

    /// When the async runtime has to wake for a deadline of core.
    pub(crate) fn wake_at(&self, deadline: Instant) -> tokio::time::Instant {
        // A deadline too far to represent is as good as none; a day later the machine is asked
        // again.
        let span = Duration::from_millis(deadline.as_millis());
        self.shared
            .start
            .checked_add(span)
            .unwrap_or_else(|| tokio::time::Instant::now() + Duration::from_secs(86_400))
    }

    /// The time that the registry goes by. A step of the wall clock does not change it.
    pub(crate) fn unix(&self) -> UnixTime {
        let elapsed = self.shared.system.elapsed();
        self.trusted().now(elapsed)
    }

    /// The same with the doubt about it.
    pub(crate) fn moment(&self) -> Moment {
        let elapsed = self.shared.system.elapsed();
        self.trusted().moment(elapsed)
    }

    /// The time by which a sweep may write things as ended; none while the clock is not good. What
    /// is over is refused all the same where it is used, and the sweep comes to it once the clock
    /// is good.
    pub(crate) fn sweeps_at(&self) -> Option<UnixTime> {
        let elapsed = self.shared.system.elapsed();
        let trusted = self.trusted();
        trusted.is_good().then(|| trusted.now(elapsed))
    }

    /// A clock that nobody sets, as the system has it.
    pub(crate) fn elapsed(&self) -> Instant {
        self.shared.system.elapsed()
    }

    pub(crate) fn read(&self) -> Reading {
        read(&*self.shared.system)
    }

    pub(crate) fn trusted(&self) -> MutexGuard<'_, TrustedTime> {
        // Nothing that holds it can panic half way through a change.
        self.shared.trusted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until nobody else takes a step over.
    pub(crate) async fn taking(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.shared.taking.lock().await
    }
}

fn read(system: &dyn SystemClock) -> Reading {
    Reading {
        wall: UnixTime::from_secs(system.wall().as_secs()),
        elapsed: system.elapsed(),
        synchronised: system.is_synchronised(),
    }
}
