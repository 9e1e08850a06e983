//! The clock: TIMER0 counts down continuously, TIMER1 raises the alarms of embassy-time.

use core::cell::RefCell;
use core::task::Waker;

use critical_section::Mutex;
use embassy_time::{Instant, Timer};
use embassy_time_driver::{Driver, time_driver_impl};
use embassy_time_queue_utils::Queue;
use handfast_app::Clock;

use crate::interrupts::{self, Interrupt};
use handfast_bare::register::Register;

const CYCLES_PER_TICK: u64 = 25; // 25 MHz, and embassy counts microseconds

/// Maximum time between two alarms, in ticks of 1 µs. TIMER0 must be read before it wraps (after
/// 171 s), and without a timer of 10 ms or less QEMU delays network packets by up to a second.
const LONGEST_SLEEP_TICKS: u64 = 10_000;

const ENABLE: u32 = 1 << 0;
const ENABLE_INTERRUPT: u32 = 1 << 3;

/// Starts both timers. Until then the time stands still.
pub(crate) fn start() {
    COUNTER.reload.write(u32::MAX);
    COUNTER.value.write(u32::MAX);
    COUNTER.ctrl.write(ENABLE);
    let longest = (LONGEST_SLEEP_TICKS * CYCLES_PER_TICK) as u32;
    ALARM.reload.write(longest);
    ALARM.value.write(longest);
    ALARM.ctrl.write(ENABLE | ENABLE_INTERRUPT);
    interrupts::enable(Interrupt::Alarm);
}

/// The time since [`start`], for the application.
#[derive(Clone, Copy)]
pub(crate) struct Monotonic;

impl Clock for Monotonic {
    fn now(&self) -> handfast_app::Instant {
        handfast_app::Instant::from_millis(Instant::now().as_millis())
    }

    async fn sleep_until(&self, at: handfast_app::Instant) {
        // A time beyond embassy's range never comes.
        Timer::at(Instant::try_from_millis(at.as_millis()).unwrap_or(Instant::MAX)).await;
    }
}

/// Handles the interrupt of TIMER1 at zero (it has already begun its next, longest round).
pub(crate) extern "C" fn on_alarm() {
    ALARM.intclr.write(1);
    critical_section::with(|cs| DRIVER.state.borrow_ref_mut(cs).ring());
}

time_driver_impl!(static DRIVER: TimeDriver = TimeDriver::new());

struct TimeDriver {
    state: Mutex<RefCell<State>>,
}

struct State {
    cycles: u64,
    last_value: u32,
    queue: Queue,
}

impl TimeDriver {
    const fn new() -> Self {
        let state = State { cycles: 0, last_value: u32::MAX, queue: Queue::new() };
        Self { state: Mutex::new(RefCell::new(state)) }
    }
}

impl Driver for TimeDriver {
    fn now(&self) -> u64 {
        critical_section::with(|cs| self.state.borrow_ref_mut(cs).now())
    }

    fn schedule_wake(&self, at: u64, waker: &Waker) {
        critical_section::with(|cs| {
            let mut state = self.state.borrow_ref_mut(cs);
            if state.queue.schedule_wake(at, waker) {
                state.ring();
            }
        });
    }
}

impl State {
    /// Adds the cycles that TIMER0 has counted since the last call, and returns the time in ticks.
    fn now(&mut self) -> u64 {
        let value = COUNTER.value.read();
        let elapsed = self.last_value.wrapping_sub(value);
        self.last_value = value;
        self.cycles = self.cycles.wrapping_add(u64::from(elapsed));
        self.cycles / CYCLES_PER_TICK
    }

    /// Wakes the tasks that are due and sets TIMER1 for the next.
    fn ring(&mut self) {
        let now = self.now();
        let next = self.queue.next_expiration(now);
        let ticks = next.saturating_sub(now).clamp(1, LONGEST_SLEEP_TICKS);
        // The product is at most 250 000, so it fits.
        ALARM.value.write(ticks.wrapping_mul(CYCLES_PER_TICK) as u32);
    }
}

struct CmsdkTimer {
    ctrl: Register,
    value: Register,
    reload: Register,
    intclr: Register,
}

impl CmsdkTimer {
    /// # Safety
    /// A CMSDK timer is at `base`.
    const unsafe fn at(base: usize) -> Self {
        // SAFETY: the registers of the timer that the caller vouches for.
        unsafe {
            Self {
                ctrl: Register::at(base),
                value: Register::at(base | 0x4),
                reload: Register::at(base | 0x8),
                intclr: Register::at(base | 0xC),
            }
        }
    }
}

// SAFETY: TIMER0 and TIMER1 of the AN386.
const COUNTER: CmsdkTimer = unsafe { CmsdkTimer::at(0x4000_0000) };
// SAFETY: as above.
const ALARM: CmsdkTimer = unsafe { CmsdkTimer::at(0x4000_1000) };
