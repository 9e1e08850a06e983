//! The operator's console: CMSDK UART0, interrupt-driven in both directions.

use core::convert::Infallible;
use core::future::poll_fn;
use core::task::Poll;

use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::pipe::Pipe;
use embassy_sync::waitqueue::AtomicWaker;
use embedded_io::ErrorType;

use crate::executor::idle_until;
use crate::interrupts::{self, Interrupt};
use handfast_bare::register::Register;

// SAFETY: UART0 of the AN386.
const DATA: Register = unsafe { Register::at(0x4000_4000) };
// SAFETY: as above.
const STATE: Register = unsafe { Register::at(0x4000_4004) };
// SAFETY: as above.
const CTRL: Register = unsafe { Register::at(0x4000_4008) };
// SAFETY: as above.
const INTCLR: Register = unsafe { Register::at(0x4000_400C) };
// SAFETY: as above.
const BAUDDIV: Register = unsafe { Register::at(0x4000_4010) };

const STATE_TX_FULL: u32 = 1 << 0;
const STATE_RX_FULL: u32 = 1 << 1;
const CTRL_ALL: u32 = 0b1111; // TX and RX, and the interrupts of both
const INT_TX: u32 = 1 << 0;
const INT_RX: u32 = 1 << 1;

static RECEIVED: Pipe<CriticalSectionRawMutex, 256> = Pipe::new();
static CAN_SEND: AtomicWaker = AtomicWaker::new();

/// What the operator types.
pub(crate) struct Input(());

/// What the operator sees.
pub(crate) struct Output(());

/// Starts the UART at 115 200 baud. Called once; a second pair would share the bytes.
pub(crate) fn start() -> (Input, Output) {
    BAUDDIV.write(25_000_000 / 115_200);
    CTRL.write(CTRL_ALL);
    interrupts::enable(Interrupt::ConsoleRx);
    interrupts::enable(Interrupt::ConsoleTx);
    (Input(()), Output(()))
}

/// A byte has arrived.
pub(crate) extern "C" fn on_receive() {
    INTCLR.write(INT_RX);
    collect();
}

/// A byte has left.
pub(crate) extern "C" fn on_transmit() {
    INTCLR.write(INT_TX);
    CAN_SEND.wake();
}

/// Moves waiting bytes into the pipe. When the pipe is full they stay in the UART, which holds the sender back under QEMU; the reader
/// calls this again after making room.
fn collect() {
    critical_section::with(|_| {
        while !RECEIVED.is_full() && STATE.read() & STATE_RX_FULL != 0 {
            let [byte, ..] = DATA.read().to_le_bytes();
            // There is room, and nobody else writes.
            let _ = RECEIVED.try_write(&[byte]);
        }
    });
}

/// Hands over as many bytes as the UART takes at once.
fn try_send(bytes: &[u8]) -> usize {
    let mut sent = 0_usize;
    for byte in bytes {
        if STATE.read() & STATE_TX_FULL != 0 {
            break;
        }
        DATA.write(u32::from(*byte));
        sent = sent.wrapping_add(1);
    }
    sent
}

impl ErrorType for Input {
    type Error = Infallible;
}

impl embedded_io::Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        let mut read = 0;
        if !buffer.is_empty() {
            idle_until(|| {
                read = RECEIVED.try_read(buffer).unwrap_or(0);
                read > 0
            });
            collect();
        }
        Ok(read)
    }
}

impl embedded_io_async::Read for Input {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        let read = RECEIVED.read(buffer).await;
        collect();
        Ok(read)
    }
}

impl ErrorType for Output {
    type Error = Infallible;
}

impl embedded_io::Write for Output {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        let mut sent = 0;
        if !bytes.is_empty() {
            idle_until(|| {
                sent = try_send(bytes);
                sent > 0
            });
        }
        Ok(sent)
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        idle_until(|| STATE.read() & STATE_TX_FULL == 0);
        Ok(())
    }
}

impl embedded_io_async::Write for Output {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        poll_fn(|cx| {
            CAN_SEND.register(cx.waker());
            match try_send(bytes) {
                0 if !bytes.is_empty() => Poll::Pending,
                sent => Poll::Ready(Ok(sent)),
            }
        })
        .await
    }

    async fn flush(&mut self) -> Result<(), Infallible> {
        poll_fn(|cx| {
            CAN_SEND.register(cx.waker());
            if STATE.read() & STATE_TX_FULL == 0 { Poll::Ready(Ok(())) } else { Poll::Pending }
        })
        .await
    }
}
