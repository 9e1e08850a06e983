//! Peak stack usage: the runtime paints the stack at the start.

unsafe extern "C" {
    static _stack_start: u32;
    static _stack_end: u32;
}

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
