//! Trusted time against true time, which only the script knows: random steps of the wall clock,
//! restarts, crashes, and the operator's corrections.

use handfast_core::limits::MARK_EVERY;
use handfast_core::registry::trusted_time::{ClockStep, Reading, TrustedTime};
use handfast_core::{Instant, UnixTime};

const BEGIN: i64 = 1_800_000_000;
const DAY: i64 = 86_400;
/// Tolerance of a lifetime in seconds: a smaller step of the clock does not count as one, and a
/// crash loses as much of the mark.
const TOLERANCE: i64 = 60 + MARK_EVERY.as_secs().cast_signed();

/// Something with a lifetime, as a store keeps it.
#[derive(Clone, Copy, Debug)]
struct Thing {
    made: i64,
    ends: i64,
    run: u32,
    /// Seconds of runs that have passed since it was made, and its intended lifetime in seconds.
    lived: i64,
    life: i64,
    over: bool,
    /// `true` once the operator has set the time back: only they know since when it had been wrong.
    excused: bool,
}

/// The running gateway, and the state that survives a restart.
struct World {
    time: TrustedTime,
    /// The mark in the store.
    mark: Option<UnixTime>,
    run: u32,
    things: Vec<Thing>,
    /// True time, time since boot and error of the wall clock.
    truth: i64,
    elapsed: u64,
    wrong: i64,
    synchronised: bool,
}

fn unix(seconds: i64) -> UnixTime {
    UnixTime::from_secs(u64::try_from(seconds).unwrap_or(0))
}

fn seconds(time: UnixTime) -> i64 {
    time.as_secs().cast_signed()
}

/// Returns the size of a step of the wall clock in seconds, forward or back.
fn distance(byte: u8) -> i64 {
    let far = [0, 30, 90, 3600, 2 * DAY, 29 * DAY, 31 * DAY, 800 * DAY][usize::from(byte % 8)];
    if byte & 8 == 0 { far } else { -far }
}

impl World {
    fn reading(&self) -> Reading {
        let elapsed = Instant::from_millis(self.elapsed * 1000);
        Reading { wall: unix(self.truth + self.wrong), elapsed, synchronised: self.synchronised }
    }

    fn now(&self) -> i64 {
        seconds(self.time.now(self.reading().elapsed))
    }

    fn begun(truth: i64, wrong: i64) -> Self {
        let reading = Reading {
            wall: unix(truth + wrong),
            elapsed: Instant::from_millis(0),
            synchronised: false,
        };
        let time = TrustedTime::begin(None, unix(BEGIN - 20 * DAY), reading);
        let things = Vec::new();
        Self { time, mark: None, run: 1, things, truth, elapsed: 0, wrong, synchronised: false }
    }

    /// Applies a step as a store's transaction does, then moves the anchor.
    fn take(&mut self, step: ClockStep) {
        for thing in &mut self.things {
            if thing.run == self.run {
                thing.made += step.by();
                thing.ends += step.by();
            } else if step.sets_back() {
                thing.over |= thing.made > seconds(step.mark()) + 60;
                thing.excused = true;
            }
        }
        self.mark = Some(step.mark());
        self.time.taken(step);
    }

    fn look(&mut self) {
        let due = self.time.observe(self.reading());
        if let Some(step) = due.step {
            self.take(step);
        } else if let Some(mark) = due.mark {
            assert!(self.mark.is_none_or(|before| before <= mark), "the mark only rises");
            self.mark = Some(mark);
            self.time.marked(mark);
        }
        if self.time.is_good() {
            let now = self.now();
            self.things
                .iter_mut()
                .filter(|thing| thing.ends <= now)
                .for_each(|thing| thing.over = true);
        }
    }

    fn pass(&mut self, passed: i64) {
        self.truth += passed;
        self.elapsed += passed.unsigned_abs();
        self.things.iter_mut().filter(|thing| !thing.over).for_each(|thing| thing.lived += passed);
        self.look();
    }

    /// Stops the gateway and starts it again `off` seconds later.
    fn restart(&mut self, off: i64) {
        self.truth += off;
        self.elapsed = 0;
        self.run += 1;
        self.time = TrustedTime::begin(self.mark, unix(BEGIN - 20 * DAY), self.reading());
        assert!(
            self.mark.is_none_or(|mark| self.now() >= seconds(mark)),
            "no run begins before the mark"
        );
        self.look();
    }

    fn make(&mut self, life: i64) {
        if self.things.len() < 64 {
            let made = self.now();
            self.things.push(Thing {
                made,
                ends: made + life,
                run: self.run,
                lived: 0,
                life,
                over: false,
                excused: false,
            });
        }
    }

    /// Returns `true` if something may be used now.
    fn lives(&self, thing: &Thing) -> bool {
        let moment = self.time.moment(self.reading().elapsed);
        let (made, ends) = (unix(thing.made), unix(thing.ends));
        !thing.over && moment.now < ends && !moment.doubts(made, ends)
    }

    fn check(&self, was_over: &[bool]) {
        for (thing, was_over) in self.things.iter().zip(was_over) {
            assert!(!was_over || thing.over, "what was written as over stays so: {thing:?}");
            // Over all runs, nothing lives longer than intended. What this run made lives as long
            // as intended, whatever the clock does.
            let lives = self.lives(thing);
            assert!(
                !lives
                    || thing.excused
                    || thing.lived <= thing.life + TOLERANCE * i64::from(self.run),
                "it lives too long: {thing:?} at {}",
                self.now()
            );
            let ours = thing.run == self.run && !thing.over;
            assert!(
                !ours || thing.lived >= thing.life || lives,
                "it died too early: {thing:?} at {}",
                self.now()
            );
        }
    }
}

/// Runs a script: one byte selects the event, the next one its size.
///
/// # Panics
/// If something lives longer than intended, ends earlier within the run that made it, or revives
/// after it was recorded as over; or if the mark falls without the operator.
pub fn script(bytes: &[u8]) {
    let Some((first, rest)) = bytes.split_first() else { return };
    let mut world = World::begun(BEGIN, distance(*first));
    world.look();
    for pair in rest.chunks_exact(2) {
        let (what, much) = (pair[0], pair[1]);
        let was_over: Vec<bool> = world.things.iter().map(|thing| thing.over).collect();
        let before = world.time.mark();
        let mut word = false;
        match what % 9 {
            0 | 1 => world.pass(i64::from(much) + 1),
            2 => world.pass(i64::from(much) * 600),
            3 => world.wrong = distance(much),
            4 => world.wrong += distance(much),
            5 => world.make([60, 600, 3600, 10 * DAY][usize::from(much % 4)]),
            6 => world.restart(i64::from(much) * 60),
            7 => world.synchronised = much % 2 == 0,
            _ => {
                let reading = world.reading();
                let step = match much % 4 {
                    0 => Some(world.time.accept_at(unix(world.truth), reading)),
                    1 => world.time.accept(reading).ok(),
                    _ => None,
                };
                word = step.is_some();
                if let Some(step) = step {
                    world.take(step);
                }
            }
        }
        world.look();
        assert!(
            word || world.time.mark() >= before || what % 9 == 6,
            "the mark falls by nobody's word"
        );
        world.check(&was_over);
    }
}
