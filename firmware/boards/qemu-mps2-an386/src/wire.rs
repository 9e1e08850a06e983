//! The serial line to a gateway on UART1.

use crate::interrupts::{self, Interrupt};
use crate::uart::{Uart, UartStream};

// SAFETY: UART1 of the AN386.
static UART: Uart = unsafe { Uart::at(0x4000_5000) };

/// Starts the UART and returns its line.
pub(crate) fn start() -> UartStream {
    UART.start();
    interrupts::enable(Interrupt::WireRx);
    interrupts::enable(Interrupt::WireTx);
    UartStream(&UART)
}

pub(crate) extern "C" fn on_receive() {
    UART.on_receive();
}

pub(crate) extern "C" fn on_transmit() {
    UART.on_transmit();
}
