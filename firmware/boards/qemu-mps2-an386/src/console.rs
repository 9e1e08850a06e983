//! The owner's console on UART0.

use crate::interrupts::{self, Interrupt};
use crate::uart::{Uart, UartStream};

// SAFETY: UART0 of the AN386.
static UART: Uart = unsafe { Uart::at(0x4000_4000) };

/// Starts the UART and returns its input and output.
pub(crate) fn start() -> (UartStream, UartStream) {
    UART.start();
    interrupts::enable(Interrupt::ConsoleRx);
    interrupts::enable(Interrupt::ConsoleTx);
    (UartStream(&UART), UartStream(&UART))
}

pub(crate) extern "C" fn on_receive() {
    UART.on_receive();
}

pub(crate) extern "C" fn on_transmit() {
    UART.on_transmit();
}
