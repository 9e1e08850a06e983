//! The clocks of a simulated gateway's system: core's trusted time, fed with a wall clock that is
//! as wrong as a script says, and what of it survives a crash.

use handfast_core::limits::MARK_EVERY;
use handfast_core::registry::trusted_time::{ClockState, Moment, Reading, Step, TrustedTime};
use handfast_core::time::{Instant, Span, UnixTime};

const DAY: i64 = 86_400;
/// How far a step of the wall clock goes.
const DISTANCES: [i64; 8] = [45, 90, 3_600, 2 * DAY, 29 * DAY, 31 * DAY, 800 * DAY, 0];

/// Something that befalls the clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockOp {
    /// The wall clock is set ahead of the truth by so many seconds, or behind it.
    Set(i64),
    /// It is stepped by so many seconds from where it is.
    Step(i64),
    /// Whether the system calls it synchronised.
    Synchronised(bool),
    /// The operator says that it is right.
    Accept,
    /// The operator says what time it is, and that is true.
    AcceptTruth,
}

impl ClockOp {
    /// What a byte stands for.
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

/// The clocks, and the run that goes by them.
#[derive(Debug)]
pub struct Clocks {
    trusted: TrustedTime,
    /// The true time when the world began.
    epoch: u64,
    /// The mark as it is stored, or just behind what was made after it was.
    kept: UnixTime,
    /// The number of the run.
    pub run: u32,
    wrong: i64,
    synchronised: bool,
    /// Milliseconds that gateways ran before this run began, and when it did.
    ran: u64,
    begun: u64,
    runs: bool,
}

impl Clocks {
    /// A first run with a right clock.
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

    /// The true time.
    #[must_use]
    pub fn truth(&self, millis: u64) -> UnixTime {
        UnixTime::from_secs(self.epoch + millis / 1000)
    }

    fn reading(&self, millis: u64) -> Reading {
        let wall = self.truth(millis).moved(self.wrong);
        Reading { wall, elapsed: Instant::from_millis(millis), synchronised: self.synchronised }
    }

    /// The time in use, with the doubt about it.
    #[must_use]
    pub fn moment(&self, millis: u64) -> Moment {
        self.trusted.moment(Instant::from_millis(millis))
    }

    /// How the wall clock stands.
    #[must_use]
    pub fn state(&self, millis: u64) -> ClockState {
        self.trusted.state(Instant::from_millis(millis))
    }

    /// Whether what is over may be written as ended.
    #[must_use]
    pub const fn is_good(&self) -> bool {
        self.trusted.is_good()
    }

    /// The latest time that is known to have been.
    #[must_use]
    pub const fn mark(&self) -> UnixTime {
        self.trusted.mark()
    }

    /// Reads the clocks, and keeps the mark. The answer is a step that is to be taken over: each
    /// reading asks for it until it [was](Self::taken).
    pub fn look(&mut self, millis: u64) -> Option<Step> {
        let due = self.trusted.observe(self.reading(millis));
        if let (None, Some(mark)) = (due.step, due.mark) {
            self.kept = self.kept.max(mark);
            self.trusted.marked(mark);
        }
        due.step
    }

    /// A step was carried out.
    pub fn taken(&mut self, step: Step) {
        self.kept = step.mark();
        self.trusted.taken(step);
    }

    /// The store has kept something that was made now: no run begins before it.
    pub fn made(&mut self, millis: u64) {
        self.kept = self.kept.max(self.moment(millis).now.after(Span::from_secs(1)));
    }

    /// The run ends.
    pub fn end(&mut self, millis: u64) {
        self.ran = self.ran(millis);
        self.runs = false;
    }

    /// The next run begins; the time since the last one ended is none that any run knows.
    ///
    /// # Panics
    /// If it begins before the mark.
    pub fn begin(&mut self, millis: u64) {
        (self.begun, self.runs) = (millis, true);
        self.run += 1;
        self.trusted =
            TrustedTime::begin(Some(self.kept), released(self.epoch), self.reading(millis));
        assert!(self.moment(millis).now >= self.kept, "a run begins before the mark");
    }

    /// Carries out what befalls the clocks. The answer is a step that the operator had taken over,
    /// if any.
    pub fn befalls(&mut self, op: ClockOp, millis: u64) -> Option<Step> {
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

    /// A life that begins now.
    #[must_use]
    pub fn life(&self, millis: u64) -> Life {
        Life { began: self.ran(millis), run: self.run, excused: false }
    }

    /// For how many seconds a life has gone on while gateways ran.
    #[must_use]
    pub fn lived(&self, life: &Life, millis: u64) -> u64 {
        self.ran(millis).saturating_sub(life.began) / 1000
    }

    /// Whether a life that was made for so long has outlasted that by more than a minute. Each
    /// start may lose what had passed since the mark was kept.
    #[must_use]
    pub fn outlasts(&self, life: &Life, made_for: Span, millis: u64) -> bool {
        let starts = u64::from(self.run - life.run) + 1;
        !life.excused
            && self.lived(life, millis) > made_for.as_secs() + starts * (60 + MARK_EVERY.as_secs())
    }

    /// Whether a life of this run has not lasted as long as it was made for.
    #[must_use]
    pub fn is_early(&self, life: &Life, made_for: Span, millis: u64) -> bool {
        life.run == self.run && self.lived(life, millis) + 2 < made_for.as_secs()
    }

    const fn ran(&self, millis: u64) -> u64 {
        if self.runs { self.ran + millis.saturating_sub(self.begun) } else { self.ran }
    }
}

/// Since when something has lived, by what has really passed while gateways ran.
#[derive(Clone, Copy, Debug)]
pub struct Life {
    began: u64,
    run: u32,
    /// The operator has set the time back since, and only he knows from when on it had been false.
    pub excused: bool,
}

impl Life {
    /// An earlier run made it, and the operator sets the time back now.
    pub fn set_back(&mut self, run: u32) {
        self.excused |= self.run != run;
    }
}

/// When the version was made that is simulated.
fn released(epoch: u64) -> UnixTime {
    UnixTime::from_secs(epoch - 20 * DAY.unsigned_abs())
}
