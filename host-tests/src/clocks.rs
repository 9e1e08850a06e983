//! The clocks of a simulated gateway's system: core's trusted time, fed with a wall clock that a
//! script sets wrong, and the state that survives a crash.

use handfast_core::limits::MARK_EVERY;
use handfast_core::registry::trusted_time::{ClockState, ClockStep, Moment, Reading, TrustedTime};
use handfast_core::{Instant, Span, UnixTime};

const DAY: i64 = 86_400;
/// Sizes of a step of the wall clock in seconds.
const DISTANCES: [i64; 8] = [45, 90, 3_600, 2 * DAY, 29 * DAY, 31 * DAY, 800 * DAY, 0];

/// An event of the clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockOp {
    /// The wall clock is set to the true time plus this many seconds.
    Set(i64),
    /// The wall clock is stepped by this many seconds.
    Step(i64),
    /// The system reports the wall clock as synchronised, or as not.
    Synchronised(bool),
    /// The operator confirms the wall clock.
    Accept,
    /// The operator enters the true time.
    AcceptTruth,
}

impl ClockOp {
    /// Decodes a byte to an event.
    #[must_use]
    pub fn of(byte: u8) -> Self {
        let far = DISTANCES[usize::from(byte % 8)];
        let far = if byte & 8 == 0 { far } else { -far };
        match byte >> 4 {
            0..=4 => Self::Set(far),
            5..=9 => Self::Step(far),
            10..=12 => Self::Synchronised(byte & 1 == 0),
            13 | 14 => Self::Accept,
            _ => Self::AcceptTruth,
        }
    }
}

/// The clocks, and the gateway's current run.
#[derive(Debug)]
pub struct Clocks {
    trusted: TrustedTime,
    /// True time when the world began, in Unix seconds.
    epoch: u64,
    /// The mark as it is stored, or just after the latest thing that was made since.
    kept: UnixTime,
    /// Number of the current run.
    pub run: u32,
    wrong: i64,
    synchronised: bool,
    /// Milliseconds that gateways ran before the current run, and the start of that run.
    ran: u64,
    begun: u64,
    runs: bool,
}

impl Clocks {
    /// Creates a first run with a correct clock.
    #[must_use]
    pub fn new(epoch: u64) -> Self {
        let kept = UnixTime::from_secs(epoch);
        let reading = Reading { wall: kept, elapsed: Instant::from_millis(0), synchronised: false };
        let trusted = TrustedTime::begin(Some(kept), released(epoch), reading);
        Self {
            trusted,
            epoch,
            kept,
            run: 1,
            wrong: 0,
            synchronised: false,
            ran: 0,
            begun: 0,
            runs: true,
        }
    }

    /// Returns the true time.
    #[must_use]
    pub fn truth(&self, millis: u64) -> UnixTime {
        UnixTime::from_secs(self.epoch + millis / 1000)
    }

    fn reading(&self, millis: u64) -> Reading {
        let wall = self.truth(millis).moved(self.wrong);
        Reading { wall, elapsed: Instant::from_millis(millis), synchronised: self.synchronised }
    }

    /// Returns the time in use, with its uncertainty.
    #[must_use]
    pub fn moment(&self, millis: u64) -> Moment {
        self.trusted.moment(Instant::from_millis(millis))
    }

    /// Returns the state of the wall clock.
    #[must_use]
    pub fn state(&self, millis: u64) -> ClockState {
        self.trusted.state(Instant::from_millis(millis))
    }

    /// Returns `true` if expired entries may be recorded as ended.
    #[must_use]
    pub const fn is_good(&self) -> bool {
        self.trusted.is_good()
    }

    /// Returns the latest time that is known to have passed.
    #[must_use]
    pub const fn mark(&self) -> UnixTime {
        self.trusted.mark()
    }

    /// Reads the clocks and stores the mark. Returns a step that has to be taken over; each reading
    /// returns it until it [was](Self::taken).
    pub fn look(&mut self, millis: u64) -> Option<ClockStep> {
        let due = self.trusted.observe(self.reading(millis));
        if let (None, Some(mark)) = (due.step, due.mark) {
            self.kept = self.kept.max(mark);
            self.trusted.marked(mark);
        }
        due.step
    }

    /// Records that a step was taken over.
    pub fn taken(&mut self, step: ClockStep) {
        self.kept = step.mark();
        self.trusted.taken(step);
    }

    /// Records that the store has something that was made now: no run begins before it.
    pub fn made(&mut self, millis: u64) {
        self.kept = self.kept.max(self.moment(millis).now.after(Span::from_secs(1)));
    }

    /// Ends the run.
    pub fn end(&mut self, millis: u64) {
        self.ran = self.ran(millis);
        self.runs = false;
    }

    /// Begins the next run. No run counts the time between them.
    ///
    /// # Panics
    /// If the run begins before the mark.
    pub fn begin(&mut self, millis: u64) {
        (self.begun, self.runs) = (millis, true);
        self.run += 1;
        self.trusted =
            TrustedTime::begin(Some(self.kept), released(self.epoch), self.reading(millis));
        assert!(self.moment(millis).now >= self.kept, "a run begins before the mark");
    }

    /// Applies an event. Returns a step that the operator's word requires, if any.
    pub fn befalls(&mut self, op: ClockOp, millis: u64) -> Option<ClockStep> {
        match op {
            ClockOp::Set(wrong) => self.wrong = wrong,
            ClockOp::Step(by) => {
                self.wrong = self.wrong.saturating_add(by).clamp(-2_000 * DAY, 2_000 * DAY);
            }
            ClockOp::Synchronised(synchronised) => self.synchronised = synchronised,
            ClockOp::Accept => return self.trusted.accept(self.reading(millis)).ok(),
            ClockOp::AcceptTruth => {
                return Some(self.trusted.accept_at(self.truth(millis), self.reading(millis)));
            }
        }
        None
    }

    /// Returns a life that begins now.
    #[must_use]
    pub fn life(&self, millis: u64) -> Life {
        Life { began: self.ran(millis), run: self.run, excused: false }
    }

    /// Returns the seconds of running gateways in a life.
    #[must_use]
    pub fn lived(&self, life: &Life, millis: u64) -> u64 {
        self.ran(millis).saturating_sub(life.began) / 1000
    }

    /// Returns `true` if a life has exceeded its intended length by more than a minute. Each start
    /// may lose the time since the mark was stored.
    #[must_use]
    pub fn outlasts(&self, life: &Life, made_for: Span, millis: u64) -> bool {
        let starts = u64::from(self.run - life.run) + 1;
        !life.excused
            && self.lived(life, millis) > made_for.as_secs() + starts * (60 + MARK_EVERY.as_secs())
    }

    /// Returns `true` if a life of the current run is shorter than intended.
    #[must_use]
    pub fn is_early(&self, life: &Life, made_for: Span, millis: u64) -> bool {
        life.run == self.run && self.lived(life, millis) + 2 < made_for.as_secs()
    }

    const fn ran(&self, millis: u64) -> u64 {
        if self.runs { self.ran + millis.saturating_sub(self.begun) } else { self.ran }
    }
}

/// The beginning of something's life, measured by the time in which gateways ran.
#[derive(Clone, Copy, Debug)]
pub struct Life {
    began: u64,
    run: u32,
    /// `true` once the operator has set the time back: only they know since when it had been wrong.
    pub excused: bool,
}

impl Life {
    /// Excuses a life of an earlier run, because the operator sets the time back now.
    pub fn set_back(&mut self, run: u32) {
        self.excused |= self.run != run;
    }
}

/// Returns the release time of the simulated version.
fn released(epoch: u64) -> UnixTime {
    UnixTime::from_secs(epoch - 20 * DAY.unsigned_abs())
}
