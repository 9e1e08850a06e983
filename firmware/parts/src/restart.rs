//! Restarting an Arm chip, which a node survives like a power cut.

use core::panic::PanicInfo;

use cortex_m::peripheral::SCB;

/// Resets the chip.
pub fn restart() -> ! {
    SCB::sys_reset()
}

#[panic_handler]
fn panic(_info: &PanicInfo<'_>) -> ! {
    restart()
}

/// Resets the chip after a fault. Without the runtime's trampoline, which would push registers
/// onto a stack that may have overflowed.
#[cortex_m_rt::exception(trampoline = false)]
unsafe fn HardFault() -> ! {
    restart()
}
