//! Stack usage: the runtime paints the stack at the start, and what is overwritten was used.

use cortex_m::register::msp;

unsafe extern "C" {
    static _stack_start: u32;
    static _stack_end: u32;
}

/// Bytes below the stack pointer that [`paint`] leaves alone, for its own calls.
const CALLS: usize = 128;

/// Returns the number of bytes from the deepest overwritten word up to the top.
pub fn peak() -> usize {
    let (top, bottom) = (&raw const _stack_start, &raw const _stack_end);
    let mut word = bottom;
    // SAFETY: from the end of the stack up to its start everything is memory that nobody else owns;
    // reading below the stack pointer is harmless.
    while word < top && unsafe { word.read_volatile() } == cortex_m_rt::STACK_PAINT_VALUE {
        word = word.wrapping_add(1);
    }
    top.addr().saturating_sub(word.addr())
}

/// Returns the number of bytes that are in use.
#[inline(never)]
pub fn depth() -> u32 {
    let top = (&raw const _stack_start).addr();
    u32::try_from(top).unwrap_or(u32::MAX).saturating_sub(msp::read())
}

/// Paints what is not in use, so that [`peak`] starts anew.
#[inline(never)]
pub fn paint() {
    let mut word = (&raw const _stack_end).cast_mut();
    let end = (msp::read() as usize).saturating_sub(CALLS);
    while word.addr() < end {
        // SAFETY: it lies between the end of the stack and the stack pointer, and far enough below
        // the latter that no call of this function uses it.
        unsafe { word.write_volatile(cortex_m_rt::STACK_PAINT_VALUE) };
        word = word.wrapping_add(1);
    }
}
