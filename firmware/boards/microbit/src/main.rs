//! Measures a node from its boot to its link on a Cortex-M0: the real core and driver against a
//! script, because QEMU's micro:bit has no network. Meant for QEMU with `-icount shift=6`, where an
//! instruction takes 64 ns.
#![no_std]
#![no_main]

use core::panic::PanicInfo;

use cortex_m as _; // the critical section
use semihosting::{eprintln, println, process};

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
    println!("{}\tinstructions until here", instructions());
    println!("{}\tbytes of stack until here", handfast_bare::stack::peak());
    #[cfg(feature = "missy")]
    if measure_missy().is_none() {
        process::exit(4);
    }
    #[cfg(feature = "native")]
    if measure_native().is_none() {
        process::exit(4);
    }
    #[cfg(feature = "setup")]
    if measure_setup().is_none() {
        process::exit(4);
    }
    process::exit(0)
}

/// Returns the number of instructions since the start. The timer counts 16 million times a second,
/// each 62.5 ns.
fn instructions() -> u32 {
    TIMER_CAPTURE.write(1);
    (u64::from(TIMER_CAPTURED.read()) * 625 / 640) as u32
}

/// Prints the measurements of the `missy` dialect; `firmware/cost` reads them.
#[cfg(feature = "missy")]
#[inline(never)]
fn measure_missy() -> Option<()> {
    use handfast_replay::missy::{FRAME, flow, steps};
    let buffers = cortex_m::singleton!(: handfast_edge::registration::driver::RegistrationBuffers<FRAME> = handfast_edge::registration::driver::RegistrationBuffers::new())?;
    let flow = flow(buffers, instructions)?;
    // The peak is taken here, so it covers the driver only.
    let peak = handfast_bare::stack::peak();
    let scratch = cortex_m::singleton!(: [u8; 2048] = [0; 2048])?;
    let steps = steps(scratch, instructions)?;
    for (name, number) in flow.iter().chain(steps.iter()) {
        println!("{number}\t{name}");
    }
    println!("{peak}\tbytes of stack at most");
    Some(())
}

/// Prints the measurements of setup codes, valid and invalid.
#[cfg(feature = "setup")]
#[inline(never)]
fn measure_setup() -> Option<()> {
    let before = handfast_bare::stack::peak();
    let codes = handfast_replay::setup::codes(instructions)?;
    let peak = handfast_bare::stack::peak();
    for (name, number) in codes.iter() {
        println!("{number}\t{name}");
    }
    println!("{}\tbytes of stack more than until here", peak.saturating_sub(before));
    Some(())
}

/// Prints the measurements of the native wire.
#[cfg(feature = "native")]
#[inline(never)]
fn measure_native() -> Option<()> {
    use handfast_replay::native::{Keys, flow};
    let buffers = cortex_m::singleton!(: handfast_edge::native::NativeBuffers = handfast_edge::native::NativeBuffers::new())?;
    let keys = cortex_m::singleton!(: Keys = None)?;
    let flow = flow(buffers, keys, instructions)?;
    let peak = handfast_bare::stack::peak();
    for (name, number) in flow.iter() {
        println!("{number}\t{name}");
    }
    println!("{peak}\tbytes of stack at most");
    Some(())
}

/// Ends the emulation on a fault, which would otherwise loop forever.
#[cortex_m_rt::exception(trampoline = false)]
unsafe fn HardFault() -> ! {
    process::exit(102)
}

/// Reports the panic and ends the emulation with the code that Rust programs use for one.
#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    eprintln!("{info}");
    process::exit(101)
}
