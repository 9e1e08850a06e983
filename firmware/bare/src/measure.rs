//! Measurements of a node from its boot to its link: the real core and driver against a script, in
//! memory. A board contributes its count of instructions; `firmware/cost` reads what is printed.

use semihosting::{println, process};

#[cfg(any(feature = "missy", feature = "native", feature = "script", feature = "setup"))]
use handfast_replay::Measured;
#[cfg(any(feature = "native", feature = "script"))]
use handfast_replay::{Gauges, native::Flow};

use crate::{memory, stack};

/// Exit code if a measurement could not be made.
const FAILED: i32 = 4;

/// Prints the measurements of every wire that the image has, and ends the emulation.
/// `instructions` returns the number of instructions since the start.
pub fn run(instructions: fn() -> u32) -> ! {
    if !memory::works() {
        process::exit(FAILED);
    }
    println!("{}\tinstructions until here", instructions());
    println!("{}\tbytes of stack until here", stack::peak());
    #[cfg(feature = "missy")]
    if missy(instructions).is_none() {
        process::exit(FAILED);
    }
    #[cfg(feature = "native")]
    if native(instructions).is_none() {
        process::exit(FAILED);
    }
    #[cfg(feature = "script")]
    if script(instructions).is_none() {
        process::exit(FAILED);
    }
    #[cfg(feature = "setup")]
    if setup(instructions).is_none() {
        process::exit(FAILED);
    }
    process::exit(0)
}

/// Prints the measurements of the `missy` dialect.
#[cfg(feature = "missy")]
#[inline(never)]
fn missy(instructions: fn() -> u32) -> Option<()> {
    use handfast_edge::registration::driver::RegistrationBuffers;
    use handfast_replay::missy::{FRAME, flow, steps};
    let buffers = cortex_m::singleton!(: RegistrationBuffers<FRAME> = RegistrationBuffers::new())?;
    let measured = cortex_m::singleton!(: Measured = Measured::new())?;
    flow(buffers, measured, instructions)?;
    // The peak is taken here, so it covers the driver only.
    let peak = stack::peak();
    let scratch = cortex_m::singleton!(: [u8; 2048] = [0; 2048])?;
    let steps = steps(scratch, instructions)?;
    for (name, number) in measured.iter().chain(steps.iter()) {
        println!("{number}\t{name}");
    }
    println!("{peak}\tbytes of stack at most");
    Some(())
}

/// Prints the measurements of setup codes, valid and invalid.
#[cfg(feature = "setup")]
#[inline(never)]
fn setup(instructions: fn() -> u32) -> Option<()> {
    let before = stack::peak();
    let measured = cortex_m::singleton!(: Measured = Measured::new())?;
    handfast_replay::setup::codes(measured, instructions)?;
    let peak = stack::peak();
    for (name, number) in measured.iter() {
        println!("{number}\t{name}");
    }
    println!("{}\tbytes of stack more than until here", peak.saturating_sub(before));
    Some(())
}

/// Prints the measurements of the native wire.
#[cfg(feature = "native")]
#[inline(never)]
fn native(instructions: fn() -> u32) -> Option<()> {
    use handfast_edge::native::NativeBuffers;
    use handfast_replay::native::{Certificate, Flash, Keys, SCRIPT_STACK, Tasks, flow};
    let buffers = cortex_m::singleton!(: NativeBuffers = NativeBuffers::new())?;
    let keys = cortex_m::singleton!(: Keys = None)?;
    let flash = cortex_m::singleton!(: Flash = Flash::zeroed())?;
    #[cfg(feature = "dispatch")]
    let tasks = cortex_m::singleton!(: Tasks = Tasks::new())?;
    #[cfg(not(feature = "dispatch"))]
    let tasks: &mut Tasks = &mut ();
    #[cfg(feature = "identity")]
    let certificate = cortex_m::singleton!(: Certificate = Certificate::new())?;
    #[cfg(not(feature = "identity"))]
    let certificate: &mut Certificate = &mut ();
    let measured = cortex_m::singleton!(: Measured = Measured::new())?;
    let gauges = Gauges { instructions, depth: stack::depth };
    for (chosen, name) in Flow::ALL.into_iter().zip(FLOWS) {
        measured.clear();
        stack::paint();
        flow(chosen, buffers, keys, flash, (tasks, certificate), measured, gauges)?;
        let peak = stack::peak();
        print(name, measured);
        let script = measured.iter().find(|(name, _)| *name == SCRIPT_STACK)?.1 as usize;
        println!("{}\t{name}: bytes of stack at most", peak.saturating_sub(script));
    }
    Some(())
}

/// Uses the script of the native wire without a node.
#[cfg(feature = "script")]
#[inline(never)]
fn script(instructions: fn() -> u32) -> Option<()> {
    use handfast_replay::native::{Flash, script};
    let flash = cortex_m::singleton!(: Flash = Flash::zeroed())?;
    let measured = cortex_m::singleton!(: Measured = Measured::new())?;
    let gauges = Gauges { instructions, depth: stack::depth };
    for (chosen, name) in Flow::ALL.into_iter().zip(FLOWS) {
        measured.clear();
        stack::paint();
        script(chosen, flash, measured, gauges)?;
        let peak = stack::peak();
        print(name, measured);
        println!("{peak}\t{name}: bytes of stack at most");
    }
    Some(())
}

/// Names of the flows.
#[cfg(any(feature = "native", feature = "script"))]
const FLOWS: [&str; 4] = ["PIN", "code", "setup code", "approval"];

/// Prints the measurements of a flow.
#[cfg(any(feature = "native", feature = "script"))]
fn print(flow: &str, measured: &Measured) {
    for (name, number) in measured.iter() {
        println!("{number}\t{flow}: {name}");
    }
}
