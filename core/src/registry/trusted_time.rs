//! The registry's time, and its trust in the wall clock.
//!
//! ```text
//! start ──wall clock fits──▶ Good ◀──fits again──▶ Behind
//!   │                         │ ▲                     │
//!   │                         ▼ │                     ▼
//!   └──30 days or more ahead─▶ Doubtful ◀──────────────
//! ```
//! In `Behind` the wall clock says less than is known to have passed, and in `Doubtful` at least 30
//! days more. `Doubtful` ends when the clock fits again, has been synchronised for a day, or is
//! accepted by the operator.
//!
//! While a process runs, its time is an anchor plus the time elapsed since: a step of the wall
//! clock ends nothing and lengthens nothing. Taking a step over moves the anchor, and with it the
//! times of **what this run made** ([`ClockStep`]), so that their remaining life stays the same.
//!
//! **The mark** is the latest time that is known to have been. It is durable and only rises. A run
//! never begins before it, so a clock that is set back or has lost its battery does not revive what
//! has ended.

use crate::limits::{CLOCK_BELIEVED_AFTER, CLOCK_FAR, CLOCK_STEP, MARK_EVERY};
use crate::time::{Instant, Span, UnixTime};

/// The release time of this version, 2026-11-01T00:00:00Z. No correct clock is behind it.
pub const RELEASED: UnixTime = UnixTime::from_secs(1_793_491_200);

/// The clocks of the system at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Reading {
    /// The wall clock.
    pub wall: UnixTime,
    /// A monotonic clock that continues while the system sleeps.
    pub elapsed: Instant,
    /// `true` if the system calls its wall clock synchronised; `false` where that is not known.
    pub synchronised: bool,
}

/// The state of the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum ClockState {
    /// The clock agrees with the time known to have passed, or a step of it was not taken over.
    Good {
        /// Seconds that the wall clock is ahead of the time in use.
        ahead: i64,
    },
    /// The clock is behind the time known to have passed.
    Behind {
        /// The time that the clock is behind.
        by: Span,
    },
    /// The clock is so far ahead of the time known to have passed that it may be wrong.
    Doubtful {
        /// The time that the clock is ahead.
        ahead: Span,
        /// The time for which the clock has been synchronised without a step.
        synchronised: Option<Span>,
    },
}

impl ClockState {
    /// Returns a word for the state, for stores, logs and listings.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Good { .. } => "good",
            Self::Behind { .. } => "behind",
            Self::Doubtful { .. } => "doubtful",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
enum State {
    Good,
    Behind,
    Doubtful { synchronised_since: Option<Instant> },
}

/// The time in use, and the doubt about the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Moment {
    /// The time in use. An end that it has reached has come.
    pub now: UnixTime,
    doubt: Option<Doubt>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
struct Doubt {
    begun: UnixTime,
    claimed: UnixTime,
}

impl From<UnixTime> for Moment {
    fn from(now: UnixTime) -> Self {
        Self { now, doubt: None }
    }
}

impl Moment {
    /// Returns `true` if only a jump of the clock in doubt would end something with these times.
    /// Until the doubt is settled it must neither be used nor count as ended. What this run made is
    /// judged by the time that has really elapsed.
    #[must_use]
    pub fn doubts(&self, made: UnixTime, ends: UnixTime) -> bool {
        self.doubt.is_some_and(|Doubt { begun, claimed }| {
            made < begun && self.now < ends && ends <= claimed
        })
    }

    /// Returns `true` if something made at this time is left as it is until a doubt about the clock
    /// is settled. An earlier run made it, so its age is unknown, and it is not written as ended
    /// meanwhile.
    #[must_use]
    pub fn spares(&self, made: UnixTime) -> bool {
        self.doubt.is_some_and(|doubt| made < doubt.begun)
    }

    /// The time that the wall clock claims while it is in doubt.
    #[must_use]
    pub fn claimed(&self) -> Option<UnixTime> {
        self.doubt.map(|doubt| doubt.claimed)
    }
}

/// A step of the clock that is to be taken over. One transaction moves the times of what this run
/// made and writes the mark; then [`TrustedTime::taken`] moves the anchor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use = "a step that is not carried out is not taken over"]
pub struct ClockStep {
    by: i64,
    mark: UnixTime,
    sets_back: bool,
    leads_to: State,
}

impl ClockStep {
    /// The number of seconds by which the times of what this run made are moved.
    #[must_use]
    pub const fn by(&self) -> i64 {
        self.by
    }

    /// The mark after the step.
    #[must_use]
    pub const fn mark(&self) -> UnixTime {
        self.mark
    }

    /// Returns `true` if the operator sets the time, and with it the mark, back. What earlier runs
    /// made later than [the mark](Self::mark) was made under a false time, so its end is unknown,
    /// and it ends with this step.
    #[must_use]
    pub const fn sets_back(&self) -> bool {
        self.sets_back
    }
}

/// The writes that are due after a [reading](TrustedTime::observe).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct DueWrites {
    /// A step that is to be taken over. Each reading asks for it again until it is.
    pub step: Option<ClockStep>,
    /// The mark, if it has risen by enough to be written.
    pub mark: Option<UnixTime>,
}

/// The reason for refusing the operator's decision about the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum NotAccepted {
    /// The wall clock is behind the time known to have passed. Only a time that the operator names
    /// sets the mark back.
    Behind,
}

/// The time of one run of the process.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct TrustedTime {
    anchor: UnixTime,
    anchored: Instant,
    /// The start of this run, on the time line of the anchor.
    begun: UnixTime,
    mark: UnixTime,
    /// The mark as it is stored.
    stored: Option<UnixTime>,
    /// The seconds that the wall clock was ahead at the last reading.
    ahead: i64,
    state: State,
}

impl TrustedTime {
    /// Begins a run. `mark` is the one that earlier runs left; `None` if nothing was ever stored.
    #[must_use]
    pub fn begin(mark: Option<UnixTime>, released: UnixTime, reading: Reading) -> Self {
        let Reading { wall, elapsed, synchronised } = reading;
        // No run begins before the release, even if the store is new.
        let floor = mark.map_or(released, |mark| mark.max(released));
        let since = synchronised.then_some(elapsed);
        let (now, state) = if wall.after(CLOCK_STEP) < floor {
            (floor, State::Behind)
        } else if mark.is_some() && is_far(wall, floor) {
            // Without a mark nothing was ever stored, so a late start is no sign of a wrong clock.
            (floor, State::Doubtful { synchronised_since: since })
        } else {
            // A clock may lag by less than a step, and still no run begins before the mark.
            (wall.max(floor), State::Good)
        };
        Self {
            anchor: now,
            anchored: elapsed,
            begun: now,
            mark: now,
            stored: mark,
            ahead: seconds(now, wall),
            state,
        }
    }

    /// Returns the time in use.
    #[must_use]
    pub fn now(&self, elapsed: Instant) -> UnixTime {
        self.anchor.after(elapsed.since(self.anchored))
    }

    /// Returns the time in use, with the doubt about it.
    #[must_use]
    pub fn moment(&self, elapsed: Instant) -> Moment {
        let now = self.now(elapsed);
        let doubt = match self.state {
            // While the clock is behind, the time in use has passed already, without a doubt.
            State::Good | State::Behind => None,
            State::Doubtful { .. } => {
                Some(Doubt { begun: self.begun, claimed: now.moved(self.ahead) })
            }
        };
        Moment { now, doubt }
    }

    /// Returns the state of the wall clock at the last reading.
    #[must_use]
    pub fn state(&self, elapsed: Instant) -> ClockState {
        match self.state {
            State::Good => ClockState::Good { ahead: self.ahead },
            State::Behind => ClockState::Behind { by: Span::from_secs(self.ahead.unsigned_abs()) },
            State::Doubtful { synchronised_since } => ClockState::Doubtful {
                ahead: Span::from_secs(self.ahead.unsigned_abs()),
                synchronised: synchronised_since.map(|since| elapsed.since(since)),
            },
        }
    }

    /// Returns `true` if what is over now may be written as ended.
    #[must_use]
    pub const fn is_good(&self) -> bool {
        match self.state {
            State::Good => true,
            State::Behind | State::Doubtful { .. } => false,
        }
    }

    /// Returns the latest time that is known to have been.
    #[must_use]
    pub const fn mark(&self) -> UnixTime {
        self.mark
    }

    /// Takes in a reading and returns what is due. An adapter reads about every second.
    #[must_use]
    pub fn observe(&mut self, reading: Reading) -> DueWrites {
        let Reading { wall, elapsed, synchronised } = reading;
        let now = self.now(elapsed);
        let ahead = seconds(now, wall);
        let stepped = exceeds(ahead.saturating_sub(self.ahead));
        self.ahead = ahead;
        // The mark rises by the time that has really elapsed, also in doubt. It leaves out what the
        // clock claims. Without the rise, each start would grant the same remaining life once more.
        self.mark = self.mark.max(now);
        let far = is_far(wall, self.mark);
        let since = |before: Option<Instant>| match (synchronised, stepped) {
            // Any reading without synchronisation restarts the day of trust.
            (false, true | false) => None,
            // A step restarts the day, too.
            (true, true) => Some(elapsed),
            (true, false) => Some(before.unwrap_or(elapsed)),
        };
        let step = match self.state {
            State::Good | State::Behind if far => {
                // A jump as far as this is not believed at once, even of a synchronised clock.
                self.state = State::Doubtful { synchronised_since: since(None) };
                None
            }
            // An unsynchronised clock that runs ahead may have been set by hand, so it is not
            // followed.
            State::Good if ahead > STEP && !synchronised => None,
            State::Doubtful { synchronised_since } if far => {
                let synchronised_since = since(synchronised_since);
                self.state = State::Doubtful { synchronised_since };
                let believed = synchronised_since
                    .is_some_and(|since| elapsed.since(since) >= CLOCK_BELIEVED_AFTER);
                believed.then(|| self.forward(now, ahead))
            }
            State::Good | State::Behind | State::Doubtful { .. } if ahead > STEP => {
                Some(self.forward(now, ahead))
            }
            State::Good | State::Behind | State::Doubtful { .. } => {
                // A step back never goes before the mark.
                let back = ahead.max(seconds(now, self.mark)).min(0);
                let leads_to =
                    if ahead.saturating_sub(back) < -STEP { State::Behind } else { State::Good };
                // A clock without synchronisation may have lost its battery: it sets nothing back.
                if exceeds(back) && synchronised {
                    Some(ClockStep { by: back, mark: self.mark, sets_back: false, leads_to })
                } else {
                    self.state = if ahead < -STEP { State::Behind } else { State::Good };
                    None
                }
            }
        };
        let mark = self
            .stored
            .is_none_or(|stored| stored.after(MARK_EVERY) <= self.mark)
            .then_some(self.mark);
        DueWrites { step, mark }
    }

    /// Accepts the wall clock as right, on the operator's word.
    ///
    /// # Errors
    /// [`NotAccepted`].
    pub fn accept(&self, reading: Reading) -> Result<ClockStep, NotAccepted> {
        let now = self.now(reading.elapsed);
        match seconds(now, reading.wall) {
            behind if behind < -STEP => Err(NotAccepted::Behind),
            ahead if ahead > STEP => Ok(self.forward(now, ahead)),
            // Where there is no step to take over, the operator's word still ends a doubt.
            _ => Ok(self.forward(now, 0)),
        }
    }

    /// Accepts the operator's time. It is the remedy after a false time was believed, and the only
    /// way to lower the mark.
    pub fn accept_at(&self, at: UnixTime, reading: Reading) -> ClockStep {
        let now = self.now(reading.elapsed);
        let leads_to = match seconds(at, reading.wall) {
            behind if behind < -STEP => State::Behind,
            _ if is_far(reading.wall, at) => State::Doubtful { synchronised_since: None },
            _ => State::Good,
        };
        ClockStep { by: seconds(now, at), mark: at, sets_back: at < now, leads_to }
    }

    /// Moves the anchor after a step was carried out durably.
    pub fn taken(&mut self, step: ClockStep) {
        self.anchor = self.anchor.moved(step.by);
        self.begun = self.begun.moved(step.by);
        self.ahead = self.ahead.saturating_sub(step.by);
        self.mark = if step.sets_back { step.mark } else { self.mark.max(step.mark) };
        // The transaction of the step has written the mark as well.
        self.stored = Some(self.mark);
        self.state = step.leads_to;
    }

    /// Records that the mark was stored.
    pub fn marked(&mut self, mark: UnixTime) {
        self.stored = Some(mark);
    }

    fn forward(&self, now: UnixTime, by: i64) -> ClockStep {
        ClockStep {
            by,
            mark: self.mark.max(now.moved(by)),
            sets_back: false,
            leads_to: State::Good,
        }
    }
}

/// The smallest difference in seconds that counts as a step.
const STEP: i64 = 60;
const _: () = assert!(CLOCK_STEP.as_secs() == STEP as u64);

const fn exceeds(by: i64) -> bool {
    by > STEP || by < -STEP
}

fn is_far(wall: UnixTime, mark: UnixTime) -> bool {
    wall > mark.after(CLOCK_FAR)
}

/// Returns the seconds from one time to the other; negative if the other is earlier.
const fn seconds(from: UnixTime, to: UnixTime) -> i64 {
    from.until(to)
}

#[cfg(test)]
mod tests;
