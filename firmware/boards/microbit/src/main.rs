//! Handfast on a Cortex-M0, for size and cost only: QEMU's micro:bit has no network.
#![no_std]
#![no_main]

use core::panic::PanicInfo;

use cortex_m as _; // the critical section
use semihosting::{eprintln, process};

#[cortex_m_rt::entry]
fn main() -> ! {
    process::exit(0)
}

/// Without this a fault would loop for ever.
#[cortex_m_rt::exception(trampoline = false)]
unsafe fn HardFault() -> ! {
    process::exit(102)
}

/// Reports, and ends the emulation with the code that Rust programs use for a panic.
#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    eprintln!("{info}");
    process::exit(101)
}
