//! The embassy executor, idling with WFI. (Embassy's own thread executor idles with WFE, which QEMU
//! treats as a no-op, so it would spin.)

use core::sync::atomic::{AtomicBool, Ordering};

use cortex_m::asm;
use embassy_executor::{Spawner, raw};
use static_cell::StaticCell;

static WORK_PENDING: AtomicBool = AtomicBool::new(false);

/// Runs the tasks that `init` spawns, and their tasks, forever.
pub(crate) fn run(init: impl FnOnce(Spawner)) -> ! {
    static EXECUTOR: StaticCell<raw::Executor> = StaticCell::new();
    let executor: &'static raw::Executor = EXECUTOR.init(raw::Executor::new(core::ptr::null_mut()));
    init(executor.spawner());
    loop {
        // SAFETY: polled from here only, never from within a poll.
        unsafe { executor.poll() };
        idle_until(|| WORK_PENDING.swap(false, Ordering::AcqRel));
    }
}

/// Sleeps until `ready` returns `true`; it is called again after each interrupt.
pub(crate) fn idle_until(mut ready: impl FnMut() -> bool) {
    // An interrupt between the check and WFI stays pending, and a pending interrupt ends WFI even
    // while masked.
    while !critical_section::with(|_| {
        let ready = ready();
        if !ready {
            asm::wfi();
        }
        ready
    }) {}
}

/// Marks work as pending; embassy calls this when a task is woken.
#[unsafe(export_name = "__pender")]
fn pend(_context: *mut ()) {
    WORK_PENDING.store(true, Ordering::Release);
}
