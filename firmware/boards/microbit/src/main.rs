//! Measures a node from its boot to its link on a Cortex-M0: the real core and driver against a
//! script, because QEMU's micro:bit has no network. Meant for QEMU with `-icount shift=6`, where an
//! instruction takes 64 ns.
#![no_std]
#![no_main]

use core::panic::PanicInfo;

use cortex_m as _; // the critical section
use semihosting::{eprintln, process};

use handfast_bare::register::Register;

// SAFETY: TIMER0 of the nRF51.
const TIMER_START: Register = unsafe { Register::at(0x4000_8000) };
// SAFETY: as above.
const TIMER_CAPTURE: Register = unsafe { Register::at(0x4000_8040) };
// SAFETY: as above.
const TIMER_BITMODE: Register = unsafe { Register::at(0x4000_8508) };
// SAFETY: as above.
const TIMER_PRESCALER: Register = unsafe { Register::at(0x4000_8510) };
// SAFETY: as above.
const TIMER_CAPTURED: Register = unsafe { Register::at(0x4000_8540) };

const BITMODE_32: u32 = 3;

#[cortex_m_rt::entry]
fn main() -> ! {
    TIMER_BITMODE.write(BITMODE_32);
    TIMER_PRESCALER.write(0);
    TIMER_START.write(1);
    handfast_bare::measure::run(instructions)
}

/// Returns the number of instructions since the start. The timer counts 16 million times a second,
/// each 62.5 ns; an instruction takes 64 ns.
fn instructions() -> u32 {
    TIMER_CAPTURE.write(1);
    // A shift, because a division of 64 bits would be part of what is measured.
    ((u64::from(TIMER_CAPTURED.read()) * 125) >> 7) as u32
}

/// Ends the emulation on a fault, which would otherwise loop forever.
#[cortex_m_rt::exception(trampoline = false)]
unsafe fn HardFault() -> ! {
    process::exit(102)
}

/// Reports the panic and ends the emulation with the code that Rust programs use for one.
#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    // Without this line the linker drops the text and the place of every panic.
    if cfg!(not(feature = "silent")) {
        eprintln!("{info}");
    }
    process::exit(101)
}
