//! The time that the registry goes by, and how far the wall clock is believed.
//!
//! ```text
//! start ──wall clock fits──▶ Good ◀──fits again──▶ Behind        the wall clock says less than is known to have passed
//!   │                         │ ▲                    │
//!   └──30 days or more past what is known──▶ Doubtful┘           until synchronised for a day, or accepted
//! ```
//! While a process runs, its time is an anchor and what has elapsed since: a step of the wall clock
//! ends nothing and lengthens nothing. Taking a step over moves the anchor, and with it the times
//! of **what this run made** ([`Step`]), so that their remaining life stays as it is.
//!
//! **The mark** is durable and only rises. It is the latest time that is known to have been: a run
//! never begins before it, so nothing that has ended comes back by a clock that is set back or has
//! lost its battery.

use crate::limits::{CLOCK_BELIEVED_AFTER, CLOCK_FAR, CLOCK_STEP, MARK_EVERY};
use crate::time::{Instant, Span, UnixTime};

/// When this version was made: no true clock says less. 2026-11-01T00:00:00Z.
pub const RELEASED: UnixTime = UnixTime::from_secs(1_793_491_200);

/// The clocks of the system at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The wall clock.
    pub wall: UnixTime,
    /// A clock that nobody sets and that goes on while the system sleeps.
    pub elapsed: Instant,
    /// Whether the system calls its wall clock synchronised. Where that is not known, it is not.
    pub synchronised: bool,
}

/// How the wall clock stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum ClockState {
    /// It agrees with what is known to have passed, or was stepped and that was not taken over.
    Good {
        /// Seconds that the wall clock is ahead of the time in use.
        ahead: i64,
    },
    /// It says less than is known to have passed.
    Behind {
        /// By how much.
        by: Span,
    },
    /// It says so much more than is known to have passed that it may be wrong.
    Doubtful {
        /// By how much.
        ahead: Span,
        /// For how long it has been synchronised without a step.
        synchronised: Option<Span>,
    },
}

impl ClockState {
    /// A word for it in stores, logs and listings.
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
enum State {
    Good,
    Behind,
    Doubtful { synchronised_since: Option<Instant> },
}

/// What time it is, and whether the clock is in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The time in use: what is over by it is over.
    pub now: UnixTime,
    doubt: Option<Doubt>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// Whether something that was made and ends then would be over only by a jump of the clock that
    /// is in doubt. It is not to be used until that is settled, and it is not over either. What the
    /// present run made is judged by what has really elapsed.
    #[must_use]
    pub fn doubts(&self, made: UnixTime, ends: UnixTime) -> bool {
        self.doubt.is_some_and(|Doubt { begun, claimed }| {
            made < begun && self.now < ends && ends <= claimed
        })
    }

    /// Whether something that was made then is left as it is until a doubt about the clock is
    /// settled: an earlier run made it, so nobody knows how long that is ago. It is not written as
    /// ended meanwhile.
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

/// A step of the clock that is to be taken over: in one transaction the times of what this run made
/// are moved by it and the mark is written, and then [`TrustedTime::taken`] moves the anchor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a step that is not carried out is not taken over"]
pub struct Step {
    by: i64,
    mark: UnixTime,
    sets_back: bool,
    leads_to: State,
}

impl Step {
    /// By how many seconds the times of what this run made are moved.
    #[must_use]
    pub const fn by(&self) -> i64 {
        self.by
    }

    /// The mark from then on.
    #[must_use]
    pub const fn mark(&self) -> UnixTime {
        self.mark
    }

    /// Whether the operator sets the time, and with it the mark, back. What earlier runs made later
    /// than [the mark](Self::mark) was made under a false time then: nobody knows when it ends, so
    /// it ends with this.
    #[must_use]
    pub const fn sets_back(&self) -> bool {
        self.sets_back
    }
}

/// What is to be written after a [reading](TrustedTime::observe).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// A step that is to be taken over. Until it was, each reading asks for it again.
    pub step: Option<Step>,
    /// The mark, which has risen by enough to be written.
    pub mark: Option<UnixTime>,
}

/// Why the operator's word about the clock cannot be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum NotAccepted {
    /// The wall clock says less than is known to have passed: only a time that the operator names
    /// sets the mark back.
    Behind,
}

/// The time of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedTime {
    anchor: UnixTime,
    anchored: Instant,
    /// When this run began, on the same line as the anchor.
    begun: UnixTime,
    mark: UnixTime,
    /// The mark as it is stored.
    stored: Option<UnixTime>,
    /// The seconds that the wall clock was ahead at the last reading.
    ahead: i64,
    state: State,
}

impl TrustedTime {
    /// Begins a run. The mark is the one that earlier runs left; none is there where nothing was
    /// ever stored.
    #[must_use]
    pub fn begin(mark: Option<UnixTime>, released: UnixTime, reading: Reading) -> Self {
        let Reading { wall, elapsed, synchronised } = reading;
        let floor = mark.map_or(released, |mark| mark.max(released));
        let since = synchronised.then_some(elapsed);
        let (now, state) = if wall.after(CLOCK_STEP) < floor {
            (floor, State::Behind)
        } else if mark.is_some() && is_far(wall, floor) {
            (floor, State::Doubtful { synchronised_since: since })
        } else {
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

    /// The time in use.
    #[must_use]
    pub fn now(&self, elapsed: Instant) -> UnixTime {
        self.anchor.after(elapsed.since(self.anchored))
    }

    /// The time in use, with the doubt about it.
    #[must_use]
    pub fn moment(&self, elapsed: Instant) -> Moment {
        let now = self.now(elapsed);
        let doubt = match self.state {
            State::Good | State::Behind => None,
            State::Doubtful { .. } => {
                Some(Doubt { begun: self.begun, claimed: now.moved(self.ahead) })
            }
        };
        Moment { now, doubt }
    }

    /// How the wall clock stood at the last reading.
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

    /// Whether what is over now may be written as ended.
    #[must_use]
    pub const fn is_good(&self) -> bool {
        match self.state {
            State::Good => true,
            State::Behind | State::Doubtful { .. } => false,
        }
    }

    /// The latest time that is known to have been.
    #[must_use]
    pub const fn mark(&self) -> UnixTime {
        self.mark
    }

    /// Takes a reading in. An adapter reads every second or so, and carries out what is due.
    #[must_use]
    pub fn observe(&mut self, reading: Reading) -> Due {
        let Reading { wall, elapsed, synchronised } = reading;
        let now = self.now(elapsed);
        let ahead = seconds(now, wall);
        let stepped = exceeds(ahead.saturating_sub(self.ahead));
        self.ahead = ahead;
        // By what has really elapsed, also in doubt: what the clock claims is not in it, and
        // without it each start would give the same life once more.
        self.mark = self.mark.max(now);
        let far = is_far(wall, self.mark);
        let since = |before: Option<Instant>| match (synchronised, stepped) {
            (false, true | false) => None,
            (true, true) => Some(elapsed),
            (true, false) => Some(before.unwrap_or(elapsed)),
        };
        let step = match self.state {
            State::Good | State::Behind if far => {
                self.state = State::Doubtful { synchronised_since: since(None) };
                None
            }
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
                let back = ahead.max(seconds(now, self.mark)).min(0);
                let leads_to =
                    if ahead.saturating_sub(back) < -STEP { State::Behind } else { State::Good };
                if exceeds(back) && synchronised {
                    Some(Step { by: back, mark: self.mark, sets_back: false, leads_to })
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
        Due { step, mark }
    }

    /// The operator says that the wall clock is right.
    ///
    /// # Errors
    /// [`NotAccepted`].
    pub fn accept(&self, reading: Reading) -> Result<Step, NotAccepted> {
        let now = self.now(reading.elapsed);
        match seconds(now, reading.wall) {
            behind if behind < -STEP => Err(NotAccepted::Behind),
            ahead if ahead > STEP => Ok(self.forward(now, ahead)),
            _ => Ok(self.forward(now, 0)),
        }
    }

    /// The operator says what time it is. That is the way out if a false time was believed, and the
    /// only one that lets the mark fall.
    pub fn accept_at(&self, at: UnixTime, reading: Reading) -> Step {
        let now = self.now(reading.elapsed);
        let leads_to = match seconds(at, reading.wall) {
            behind if behind < -STEP => State::Behind,
            _ if is_far(reading.wall, at) => State::Doubtful { synchronised_since: None },
            _ => State::Good,
        };
        Step { by: seconds(now, at), mark: at, sets_back: at < now, leads_to }
    }

    /// A step was carried out durably: the anchor moves with it.
    pub fn taken(&mut self, step: Step) {
        self.anchor = self.anchor.moved(step.by);
        self.begun = self.begun.moved(step.by);
        self.ahead = self.ahead.saturating_sub(step.by);
        self.mark = if step.sets_back { step.mark } else { self.mark.max(step.mark) };
        self.stored = Some(self.mark);
        self.state = step.leads_to;
    }

    /// The mark was stored.
    pub fn marked(&mut self, mark: UnixTime) {
        self.stored = Some(mark);
    }

    fn forward(&self, now: UnixTime, by: i64) -> Step {
        Step { by, mark: self.mark.max(now.moved(by)), sets_back: false, leads_to: State::Good }
    }
}

/// What counts as a step.
const STEP: i64 = 60;
const _: () = assert!(CLOCK_STEP.as_secs() == STEP as u64);

const fn exceeds(by: i64) -> bool {
    by > STEP || by < -STEP
}

fn is_far(wall: UnixTime, mark: UnixTime) -> bool {
    wall > mark.after(CLOCK_FAR)
}

/// The seconds from one time to the other; negative if that lies before it.
const fn seconds(from: UnixTime, to: UnixTime) -> i64 {
    from.until(to)
}

#[cfg(test)]
mod tests;
