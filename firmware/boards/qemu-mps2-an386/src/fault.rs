//! Handlers for faults and panics: they report on the host's standard error and end QEMU with a
//! nonzero code.

use core::arch::naked_asm;
use core::panic::PanicInfo;

use semihosting::{eprintln, process};

use handfast_bare::register::Register;

const PANIC_CODE: i32 = 101; // what Rust programs use
const FAULT_CODE: i32 = 102;

const GUARD_BASE: u32 = 0x1FFF_0000; // 64 KiB up to the bottom of the stack (memory.x)
const GUARD_SIZE: u32 = 15 << 1; // 2^(15 + 1) bytes
const ENABLE: u32 = 1;
const DEFAULT_MAP_ELSEWHERE: u32 = 1 << 2;

// SAFETY: the memory protection unit of ARMv7-M.
const MPU_CTRL: Register = unsafe { Register::at(0xE000_ED94) };
// SAFETY: as above.
const MPU_RNR: Register = unsafe { Register::at(0xE000_ED98) };
// SAFETY: as above.
const MPU_RBAR: Register = unsafe { Register::at(0xE000_ED9C) };
// SAFETY: as above.
const MPU_RASR: Register = unsafe { Register::at(0xE000_EDA0) };
// SAFETY: the fault status registers of ARMv7-M.
const CFSR: Register = unsafe { Register::at(0xE000_ED28) };
// SAFETY: as above.
const MMFAR: Register = unsafe { Register::at(0xE000_ED34) };
// SAFETY: as above.
const BFAR: Register = unsafe { Register::at(0xE000_ED38) };

const CFSR_MEMORY_MANAGEMENT: u32 = 0xFF;

/// Forbids all access below the stack, so that an overflow faults instead of corrupting memory.
pub(crate) fn guard_stack() {
    MPU_RNR.write(0);
    MPU_RBAR.write(GUARD_BASE);
    MPU_RASR.write(GUARD_SIZE | ENABLE);
    // The guard is off in fault handlers, which must be able to report.
    MPU_CTRL.write(DEFAULT_MAP_ELSEWHERE | ENABLE);
    cortex_m::asm::dsb();
    cortex_m::asm::isb();
}

/// Restarts on an empty stack, since the old one may have overflowed.
#[unsafe(naked)]
#[unsafe(export_name = "HardFault")]
unsafe extern "C" fn hard_fault() -> ! {
    naked_asm!(
        "ldr r0, =_stack_start",
        "msr msp, r0",
        "b {report}",
        report = sym report_fault,
    )
}

extern "C" fn report_fault() -> ! {
    let status = CFSR.read();
    let what = if status & CFSR_MEMORY_MANAGEMENT != 0 {
        "stack overflow or forbidden access"
    } else {
        "fault"
    };
    eprintln!("{what}: CFSR {status:08x} MMFAR {:08x} BFAR {:08x}", MMFAR.read(), BFAR.read());
    process::exit(FAULT_CODE)
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    // Without this line the linker drops the text and the place of every panic.
    if cfg!(not(feature = "silent")) {
        eprintln!("{info}");
    }
    process::exit(PANIC_CODE)
}
