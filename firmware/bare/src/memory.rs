//! Copying and filling of memory for small processors, in 150 bytes instead of the 3.7 KB that the
//! compiler's own support takes. They copy words where both sides are aligned, and bytes elsewhere.
//! The instructions are those that a Cortex-M0 has, too.

use core::arch::global_asm;
use core::hint::black_box;

// The names are those that the compiler calls (Run-time ABI for the Arm Architecture, 4.3.4).
global_asm!(
    ".macro handfast_function name",
    "    .global \\name",
    "    .type \\name, %function",
    "    .thumb_func",
    "\\name:",
    ".endm",
    ".section .text.handfast_memory, \"ax\", %progbits",
    ".balign 4",
    ".syntax unified",
    ".thumb",
    // memmove(to: r0, from: r1, length: r2) -> to
    "handfast_function memmove",
    "handfast_function __aeabi_memmove",
    "handfast_function __aeabi_memmove4",
    "handfast_function __aeabi_memmove8",
    "    subs r3, r0, r1",
    // An unsigned comparison: a target before the source is a long way behind it.
    "    cmp r3, r2",
    "    bhs 2f",
    "1:  subs r2, #1",
    "    bcc 6f",
    "    ldrb r3, [r1, r2]",
    "    strb r3, [r0, r2]",
    "    b 1b",
    // memcpy(to: r0, from: r1, length: r2) -> to
    "handfast_function memcpy",
    "handfast_function __aeabi_memcpy",
    "handfast_function __aeabi_memcpy4",
    "handfast_function __aeabi_memcpy8",
    "2:  mov r12, r0",
    "    movs r3, r0",
    "    orrs r3, r1",
    "    lsls r3, r3, #30",
    "    bne 5f",
    "3:  subs r2, #4",
    "    bcc 4f",
    "    ldmia r1!, {{r3}}",
    "    stmia r0!, {{r3}}",
    "    b 3b",
    "4:  adds r2, #4",
    "5:  subs r2, #1",
    "    bcc 7f",
    "    ldrb r3, [r1]",
    "    strb r3, [r0]",
    "    adds r1, #1",
    "    adds r0, #1",
    "    b 5b",
    "7:  mov r0, r12",
    "6:  bx lr",
    // memset(to: r0, byte: r1, length: r2) -> to
    "handfast_function memset",
    "    movs r3, r1",
    "    movs r1, r2",
    "    movs r2, r3",
    "    b 8f",
    // __aeabi_memclr(to: r0, length: r1)
    "handfast_function __aeabi_memclr",
    "handfast_function __aeabi_memclr4",
    "handfast_function __aeabi_memclr8",
    "    movs r2, #0",
    // __aeabi_memset(to: r0, length: r1, byte: r2)
    "handfast_function __aeabi_memset",
    "handfast_function __aeabi_memset4",
    "handfast_function __aeabi_memset8",
    "8:  mov r12, r0",
    "    uxtb r2, r2",
    "    lsls r3, r0, #30",
    "    bne 10f",
    "    lsls r3, r2, #8",
    "    orrs r2, r3",
    "    lsls r3, r2, #16",
    "    orrs r2, r3",
    "9:  subs r1, #4",
    "    bcc 11f",
    "    stmia r0!, {{r2}}",
    "    b 9b",
    "11: adds r1, #4",
    "10: subs r1, #1",
    "    bcc 12f",
    "    strb r2, [r0]",
    "    adds r0, #1",
    "    b 10b",
    "12: mov r0, r12",
    "    bx lr",
    // One size for all, so that the block is counted once.
    ".size memmove, . - memmove",
    ".purgem handfast_function",
);

/// Bytes that [`works`] moves about.
const BYTES: usize = 32;

/// Returns `true` if moves and fills of every short length and alignment have the right result.
#[must_use]
pub fn works() -> bool {
    let spans = (0..8).flat_map(|from| (0..8).map(move |to| (from, to)));
    let mut spans = spans.flat_map(|(from, to)| (0..20).map(move |length| (from, to, length)));
    spans.all(|(from, to, length)| moved(from, to, length) && filled(to, length))
}

/// Moves bytes of one array, which may overlap.
fn moved(from: usize, to: usize, length: usize) -> bool {
    let number = |at: usize| at as u8 ^ 0x5A;
    let mut bytes: [u8; BYTES] = core::array::from_fn(number);
    let (from, to, length) = black_box((from, to, length));
    bytes.copy_within(from..from.saturating_add(length), to);
    bytes.iter().enumerate().all(|(at, byte)| {
        let inside = at.checked_sub(to).filter(|at| *at < length);
        *byte == number(inside.map_or(at, |at| at.saturating_add(from)))
    })
}

fn filled(to: usize, length: usize) -> bool {
    let mut bytes = [0x11; BYTES];
    let (to, length, byte) = black_box((to, length, 0xA5));
    let (before, rest) = bytes.split_at_mut(to);
    let (here, after) = rest.split_at_mut(length);
    here.fill(byte);
    let untouched = before.iter().chain(&*after).all(|byte| *byte == 0x11);
    untouched && here.iter().all(|byte| *byte == 0xA5)
}
