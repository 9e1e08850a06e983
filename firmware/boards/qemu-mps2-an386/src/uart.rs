//! Driver of the board's CMSDK UARTs, interrupt-driven in both directions.

use core::cell::RefCell;
use core::convert::Infallible;
use core::future::poll_fn;
use core::task::Poll;

use critical_section::Mutex;
use embassy_sync::waitqueue::AtomicWaker;
use embedded_io::ErrorType;
use handfast_app::Stream;
use handfast_bare::register::Register;

const STATE_TX_FULL: u32 = 1 << 0;
const STATE_RX_FULL: u32 = 1 << 1;
const CTRL_ALL: u32 = 0b1111; // TX and RX, and the interrupts of both
const INT_TX: u32 = 1 << 0;
const INT_RX: u32 = 1 << 1;

/// Size of the receive buffer in bytes.
const RING: usize = 256;

/// One UART with its receive buffer.
pub(crate) struct Uart {
    data: Register,
    state: Register,
    ctrl: Register,
    intclr: Register,
    bauddiv: Register,
    received: Mutex<RefCell<Ring>>,
    came: AtomicWaker,
    can_send: AtomicWaker,
}

impl Uart {
    /// # Safety
    /// A CMSDK UART is at `base`.
    pub(crate) const unsafe fn at(base: usize) -> Self {
        // SAFETY: the registers of the UART that the caller vouches for.
        unsafe {
            Self {
                data: Register::at(base),
                state: Register::at(base | 0x4),
                ctrl: Register::at(base | 0x8),
                intclr: Register::at(base | 0xC),
                bauddiv: Register::at(base | 0x10),
                received: Mutex::new(RefCell::new(Ring::new())),
                came: AtomicWaker::new(),
                can_send: AtomicWaker::new(),
            }
        }
    }

    /// Starts the UART at 115 200 baud.
    pub(crate) fn start(&self) {
        self.bauddiv.write(25_000_000 / 115_200);
        self.ctrl.write(CTRL_ALL);
    }

    /// Handles the interrupt for a received byte.
    pub(crate) fn on_receive(&self) {
        self.intclr.write(INT_RX);
        self.collect();
        self.came.wake();
    }

    /// Handles the interrupt for a sent byte.
    pub(crate) fn on_transmit(&self) {
        self.intclr.write(INT_TX);
        self.can_send.wake();
    }

    /// Moves received bytes into the ring. When it is full they stay in the UART, which makes QEMU
    /// hold the sender back; the reader calls this again after making room.
    fn collect(&self) {
        critical_section::with(|cs| {
            let mut ring = self.received.borrow_ref_mut(cs);
            while !ring.is_full() && self.state.read() & STATE_RX_FULL != 0 {
                let [byte, ..] = self.data.read().to_le_bytes();
                ring.put(byte);
            }
        });
    }

    async fn read(&self, buffer: &mut [u8]) -> usize {
        poll_fn(|cx| {
            // Registered before the ring is read, so that a byte in between still wakes the task.
            self.came.register(cx.waker());
            let read = critical_section::with(|cs| self.received.borrow_ref_mut(cs).take(buffer));
            self.collect();
            if read == 0 && !buffer.is_empty() { Poll::Pending } else { Poll::Ready(read) }
        })
        .await
    }

    async fn write(&self, bytes: &[u8]) -> usize {
        poll_fn(|cx| {
            // Registered before the attempt, so that free room in between still wakes the task.
            self.can_send.register(cx.waker());
            match self.try_send(bytes) {
                0 if !bytes.is_empty() => Poll::Pending,
                sent => Poll::Ready(sent),
            }
        })
        .await
    }

    async fn flush(&self) {
        poll_fn(|cx| {
            self.can_send.register(cx.waker());
            if self.state.read() & STATE_TX_FULL == 0 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Writes as many bytes as the UART accepts at once, and returns their number.
    fn try_send(&self, bytes: &[u8]) -> usize {
        let mut sent = 0_usize;
        for byte in bytes {
            if self.state.read() & STATE_TX_FULL != 0 {
                break;
            }
            self.data.write(u32::from(*byte));
            sent = sent.wrapping_add(1);
        }
        sent
    }
}

/// A ring buffer of received bytes. Each is wiped as it is taken, because it may be part of a PIN.
struct Ring {
    bytes: [u8; RING],
    first: usize,
    length: usize,
}

impl Ring {
    const fn new() -> Self {
        Self { bytes: [0; RING], first: 0, length: 0 }
    }

    const fn is_full(&self) -> bool {
        self.length == RING
    }

    /// Appends a byte. The caller has checked that there is room.
    fn put(&mut self, byte: u8) {
        let at = self.first.wrapping_add(self.length) % RING;
        if let Some(place) = self.bytes.get_mut(at) {
            *place = byte;
            self.length = self.length.wrapping_add(1);
        }
    }

    fn take(&mut self, buffer: &mut [u8]) -> usize {
        let mut taken = 0_usize;
        for place in buffer.iter_mut().take(self.length) {
            if let Some(byte) = self.bytes.get_mut(self.first) {
                *place = *byte;
                // SAFETY: a reference is valid for writes. Volatile, or it would be left out:
                // nothing reads the byte again.
                unsafe { core::ptr::from_mut(byte).write_volatile(0) };
            }
            self.first = self.first.wrapping_add(1) % RING;
            taken = taken.wrapping_add(1);
        }
        self.length = self.length.wrapping_sub(taken);
        taken
    }
}

/// A UART as a stream that is always open, or one direction of it.
#[derive(Clone, Copy)]
pub(crate) struct UartStream(pub(crate) &'static Uart);

impl ErrorType for UartStream {
    type Error = Infallible;
}

impl embedded_io_async::Read for UartStream {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        Ok(self.0.read(buffer).await)
    }
}

impl embedded_io_async::Write for UartStream {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        Ok(self.0.write(bytes).await)
    }

    async fn flush(&mut self) -> Result<(), Infallible> {
        self.0.flush().await;
        Ok(())
    }
}

impl Stream for UartStream {
    /// A serial line has no end to signal to the peer, so this only flushes.
    async fn close(&mut self) {
        self.0.flush().await;
    }
}
