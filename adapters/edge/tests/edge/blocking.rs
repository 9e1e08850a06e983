//! Blocking input behind the async traits.

use std::cell::Cell;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::task::{Context, Poll, Waker};

use embedded_io_async::{ErrorType, Read, Write};
use handfast_core::Instant;
use handfast_edge::blocking::{Line, Polled, PolledClock, block_on, block_on_with};
use handfast_edge::ports::{Clock, Connector, Stream};

#[derive(Default)]
struct Uart {
    incoming: VecDeque<u8>,
    sent: Vec<u8>,
}

impl ErrorType for Uart {
    type Error = Infallible;
}

impl embedded_io::ReadReady for Uart {
    fn read_ready(&mut self) -> Result<bool, Infallible> {
        Ok(!self.incoming.is_empty())
    }
}

impl embedded_io::Read for Uart {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, Infallible> {
        let byte = self
            .incoming
            .pop_front()
            .expect("nobody reads a UART that has nothing: that would block");
        buf[0] = byte;
        Ok(1)
    }
}

impl embedded_io::Write for Uart {
    fn write(&mut self, buf: &[u8]) -> Result<usize, Infallible> {
        self.sent.extend(buf);
        Ok(buf.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

#[test]
fn a_read_waits_without_blocking_and_loses_nothing_when_it_is_dropped() {
    let mut uart = Polled(Uart::default());
    let mut buffer = [0; 4];
    {
        let mut reading = std::pin::pin!(uart.read(&mut buffer));
        let mut context = Context::from_waker(Waker::noop());
        assert!(matches!(std::future::Future::poll(reading.as_mut(), &mut context), Poll::Pending));
    }
    uart.0.incoming.extend(*b"ab");
    assert_eq!(block_on(uart.read(&mut buffer)), Ok(1));
    assert_eq!(block_on(uart.read(&mut buffer)), Ok(1));
    assert_eq!(buffer[0], b'b');
}

#[test]
fn a_line_can_be_opened_again_and_again() {
    let mut line = Line(Polled(Uart::default()));
    for _ in 0..2 {
        block_on(async {
            let stream = line.connect().await.unwrap();
            stream.write(b"x").await.unwrap();
            stream.flush().await.unwrap();
            stream.close().await;
        });
    }
    assert_eq!(line.0.0.sent, b"xx");
}

#[test]
fn a_sleep_ends_when_its_time_has_come() {
    let time = Cell::new(0);
    let clock = PolledClock(|| Instant::from_millis(time.get()));
    block_on_with(clock.sleep_until(Instant::from_millis(20)), || time.set(time.get() + 1));
    assert_eq!(time.get(), 20);
}
