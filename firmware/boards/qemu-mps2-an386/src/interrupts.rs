//! The vector table of the interrupts that this image uses.

use cortex_m::interrupt::InterruptNumber;
use cortex_m::peripheral::NVIC;

/// The interrupts in use, with their numbers on the board.
#[derive(Clone, Copy)]
#[repr(u16)]
pub(crate) enum Interrupt {
    /// UART0 has received a byte.
    ConsoleRx = 0,
    /// UART0 can take another byte.
    ConsoleTx = 1,
    /// UART1 has received a byte.
    WireRx = 2,
    /// UART1 can take another byte.
    WireTx = 3,
    /// TIMER1 has reached zero.
    Alarm = 9,
    /// The LAN9118 has received a frame.
    Ethernet = 13,
}

// SAFETY: each variant is the number of one interrupt, and the numbers differ.
unsafe impl InterruptNumber for Interrupt {
    fn number(self) -> u16 {
        self as u16
    }
}

/// Unmasks `interrupt`. The handlers share data only in critical sections, so this is sound.
pub(crate) fn enable(interrupt: Interrupt) {
    // SAFETY: no critical section rests on masking single interrupts.
    unsafe { NVIC::unmask(interrupt) };
}

unsafe extern "C" {
    fn DefaultHandler();
}

/// The interrupt vectors, which the processor reads right after the exceptions.
#[unsafe(link_section = ".vector_table.interrupts")]
#[unsafe(no_mangle)]
static __INTERRUPTS: [unsafe extern "C" fn(); 14] = [
    crate::console::on_receive,
    crate::console::on_transmit,
    crate::wire::on_receive,
    crate::wire::on_transmit,
    DefaultHandler,
    DefaultHandler,
    DefaultHandler,
    DefaultHandler,
    DefaultHandler,
    crate::clock::on_alarm,
    DefaultHandler,
    DefaultHandler,
    DefaultHandler,
    crate::ethernet::on_interrupt,
];
