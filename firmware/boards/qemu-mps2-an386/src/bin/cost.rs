//! Measures a node from its boot to its link on a Cortex-M4F: the real core and driver against a
//! script, without the network stack. Meant for QEMU with `-icount shift=6`, where an instruction
//! takes 64 ns.
#![no_std]
#![no_main]

#[path = "../fault.rs"]
mod fault;

use semihosting::{println, process};

use handfast_bare::register::Register;

// SAFETY: TIMER0 of the AN386.
const TIMER_CTRL: Register = unsafe { Register::at(0x4000_0000) };
// SAFETY: as above.
const TIMER_VALUE: Register = unsafe { Register::at(0x4000_0004) };
// SAFETY: as above.
const TIMER_RELOAD: Register = unsafe { Register::at(0x4000_0008) };

/// Vector table that the runtime requires; the image has no interrupts.
#[unsafe(link_section = ".vector_table.interrupts")]
#[unsafe(no_mangle)]
static __INTERRUPTS: [u32; 1] = [0];

#[cortex_m_rt::entry]
fn main() -> ! {
    fault::guard_stack();
    TIMER_RELOAD.write(u32::MAX);
    TIMER_VALUE.write(u32::MAX);
    TIMER_CTRL.write(1);
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

/// Returns the number of instructions since the start. The timer counts 25 million times a second;
/// an instruction is 64 ns, so 1.6 ticks.
fn instructions() -> u32 {
    let ticks = u32::MAX.wrapping_sub(TIMER_VALUE.read());
    (u64::from(ticks) * 40 / 64) as u32
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
