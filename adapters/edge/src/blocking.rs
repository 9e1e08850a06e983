//! Blocking I/O behind the async traits: a UART without interrupts, a board without an executor.

use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::{Context, Poll, Waker};

use embedded_io::{ErrorKind, ErrorType, ReadReady};
use handfast_core::Instant;

use crate::ports::{Clock, Connector, Stream};

/// Polls a future until it is done, and spins between polls.
pub fn block_on<F: Future>(future: F) -> F::Output {
    block_on_with(future, core::hint::spin_loop)
}

/// Polls a future until it is done, and calls `idle` after each poll that is pending. The wrappers
/// of this module wake no task, so `idle` must return by itself: after a timer tick, or on any
/// interrupt.
pub fn block_on_with<F: Future>(future: F, mut idle: impl FnMut()) -> F::Output {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => idle(),
        }
    }
}

/// A blocking stream with the async traits, for [`block_on`]. Reading polls [`ReadReady`] and takes
/// bytes only once some are ready, so dropping the future loses nothing. Writing blocks.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Polled<T>(pub T);

impl<T: ErrorType> ErrorType for Polled<T> {
    type Error = T::Error;
}

impl<T: embedded_io::Read + ReadReady> embedded_io_async::Read for Polled<T> {
    async fn read(&mut self, buf: &mut [u8]) -> Result<usize, Self::Error> {
        poll_fn(|context| match self.0.read_ready() {
            Ok(false) => {
                // Nothing else wakes this task, so it asks to be polled again.
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Ok(true) => Poll::Ready(self.0.read(buf)),
            Err(error) => Poll::Ready(Err(error)),
        })
        .await
    }
}

impl<T: embedded_io::Write> embedded_io_async::Write for Polled<T> {
    async fn write(&mut self, buf: &[u8]) -> Result<usize, Self::Error> {
        self.0.write(buf)
    }

    async fn flush(&mut self) -> Result<(), Self::Error> {
        self.0.flush()
    }
}

impl<T: embedded_io::Read + embedded_io::Write + ReadReady> Stream for Polled<T> {
    async fn close(&mut self) {
        // A permanent line has no end that could be signalled to the peer, so closing only flushes.
        let _ = self.0.flush();
    }
}

/// A [`Connector`] to a permanent line, such as a UART.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Line<T>(pub T);

impl<T: Stream> Connector for Line<T> {
    type Stream<'c>
        = &'c mut T
    where
        Self: 'c;

    async fn connect(&mut self) -> Result<Self::Stream<'_>, ErrorKind> {
        Ok(&mut self.0)
    }
}

/// A [`Clock`] that polls a function for the time since boot.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct PolledClock<N>(pub N);

impl<N: Fn() -> Instant> Clock for PolledClock<N> {
    fn now(&self) -> Instant {
        (self.0)()
    }

    async fn sleep_until(&self, at: Instant) {
        poll_fn(|context| {
            if self.now() >= at {
                return Poll::Ready(());
            }
            // Nothing else wakes this task, so it asks to be polled again.
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }
}
