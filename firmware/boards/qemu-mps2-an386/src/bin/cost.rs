//! Measures a node from its boot to its link on a Cortex-M4F: the real core and driver against a
//! script, without the network stack. Meant for QEMU with `-icount shift=6`, where an instruction
//! takes 64 ns.
#![no_std]
#![no_main]

#[path = "../fault.rs"]
mod fault;

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
    handfast_bare::measure::run(instructions)
}

/// Returns the number of instructions since the start. The timer counts 25 million times a second;
/// an instruction is 64 ns, so 1.6 ticks.
fn instructions() -> u32 {
    let ticks = u32::MAX.wrapping_sub(TIMER_VALUE.read());
    (u64::from(ticks) * 40 / 64) as u32
}
