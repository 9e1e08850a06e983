//! A button that types commands on the owner's console.

use core::future::pending;

use embassy_futures::select::{Either, select};
use embassy_futures::yield_now;
use embedded_hal_async::digital::Wait;
use embedded_io_async::{ErrorType, Read};
use handfast_app::{Clock, Instant};

/// Shortest press that counts, in milliseconds; contacts bounce for less.
const BOUNCE_MILLIS: u64 = 30;
/// Time after which a press is a long one, in milliseconds.
const LONG_MILLIS: u64 = 5_000;

/// Typed by a short press. It begins with Ctrl-U, which drops a half-typed line.
const ASKS: &[u8] = b"\x15gateway uart\rpair approval\r";
/// Typed by a long press.
const FORGETS: &[u8] = b"\x15forget\ryes\r";

/// The console's input, on which a button types, too: pressed shortly, it asks the gateway on the
/// serial line to be paired by approval; held for five seconds, it forgets the pairing.
#[derive(Debug)]
pub struct Typist<I, B, C> {
    input: I,
    button: Button<B, C>,
    /// The rest of what the button types.
    typing: &'static [u8],
}

/// A button between its pin and ground.
#[derive(Debug)]
struct Button<B, C> {
    pin: B,
    clock: C,
    /// It outlives the future that waits, which is dropped often.
    state: ButtonState,
}

#[derive(Clone, Copy, Debug)]
enum ButtonState {
    Up,
    DownSince(Instant),
    /// The long press has had its effect, or the board has just started: nothing happens until the
    /// button is up. So a pin that is stuck forgets no pairing.
    Spent,
}

impl<I: Read, B: Wait, C: Clock> Typist<I, B, C> {
    /// Reads from `input`, and from a button that pulls its pin low.
    pub const fn new(input: I, pin: B, clock: C) -> Self {
        Self { input, button: Button { pin, clock, state: ButtonState::Spent }, typing: &[] }
    }
}

impl<B: Wait, C: Clock> Button<B, C> {
    /// Waits for a press, and returns what it types. Dropping the future loses nothing.
    async fn pressed(&mut self) -> &'static [u8] {
        loop {
            match self.state {
                ButtonState::Up => {
                    seen(self.pin.wait_for_low().await).await;
                    self.state = ButtonState::DownSince(self.clock.now());
                }
                ButtonState::DownSince(since) => {
                    let long = since.as_millis().saturating_add(LONG_MILLIS);
                    let long = self.clock.sleep_until(Instant::from_millis(long));
                    match select(self.pin.wait_for_high(), long).await {
                        Either::First(up) => {
                            seen(up).await;
                            self.state = ButtonState::Up;
                            let down = self.clock.now().as_millis();
                            if down.saturating_sub(since.as_millis()) >= BOUNCE_MILLIS {
                                return ASKS;
                            }
                        }
                        Either::Second(()) => {
                            self.state = ButtonState::Spent;
                            return FORGETS;
                        }
                    }
                }
                ButtonState::Spent => {
                    seen(self.pin.wait_for_high().await).await;
                    self.state = ButtonState::Up;
                }
            }
        }
    }
}

/// Waits forever if the pin cannot be read: the console goes on without the button.
async fn seen<E>(level: Result<(), E>) {
    if level.is_err() {
        pending::<()>().await;
    }
}

impl<I: ErrorType, B, C> ErrorType for Typist<I, B, C> {
    type Error = I::Error;
}

impl<I: Read, B: Wait, C: Clock> Read for Typist<I, B, C> {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, I::Error> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            let length = self.typing.len().min(buffer.len());
            if let Some((now, later)) = self.typing.split_at_checked(length)
                && !now.is_empty()
            {
                buffer.iter_mut().zip(now).for_each(|(place, byte)| *place = *byte);
                self.typing = later;
                return Ok(length);
            }
            match select(self.input.read(buffer), self.button.pressed()).await {
                Either::First(Ok(read @ 1..)) => return Ok(read),
                // A UART that lost a byte to noise is not at its end, and the owner sees the gap.
                Either::First(Ok(0) | Err(_)) => yield_now().await,
                Either::Second(typed) => self.typing = typed,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use core::cell::Cell;
    use core::convert::Infallible;
    use core::future::poll_fn;
    use core::task::Poll;

    use embassy_futures::block_on;
    use embedded_hal::digital::ErrorType as PinErrorType;
    use std::vec::Vec;

    use super::*;

    /// Time that passes by a millisecond each time that a future is asked.
    #[derive(Clone, Copy)]
    struct Ticking<'t>(&'t Cell<u64>);

    impl Clock for Ticking<'_> {
        fn now(&self) -> Instant {
            Instant::from_millis(self.0.get())
        }

        async fn sleep_until(&self, at: Instant) {
            until(|| self.0.get() >= at.as_millis()).await;
        }
    }

    async fn until(mut ready: impl FnMut() -> bool) {
        poll_fn(|context| {
            context.waker().wake_by_ref();
            if ready() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// A button that is down between two times, in milliseconds.
    struct Finger<'t>(&'t Cell<u64>, core::ops::Range<u64>);

    impl Finger<'_> {
        fn is_down(&self) -> bool {
            self.0.set(self.0.get() + 1);
            self.1.contains(&self.0.get())
        }
    }

    impl PinErrorType for Finger<'_> {
        type Error = Infallible;
    }

    impl Wait for Finger<'_> {
        async fn wait_for_high(&mut self) -> Result<(), Infallible> {
            until(|| !self.is_down()).await;
            Ok(())
        }

        async fn wait_for_low(&mut self) -> Result<(), Infallible> {
            until(|| self.is_down()).await;
            Ok(())
        }

        async fn wait_for_rising_edge(&mut self) -> Result<(), Infallible> {
            self.wait_for_high().await
        }

        async fn wait_for_falling_edge(&mut self) -> Result<(), Infallible> {
            self.wait_for_low().await
        }

        async fn wait_for_any_edge(&mut self) -> Result<(), Infallible> {
            self.wait_for_low().await
        }
    }

    /// An input that is silent until a time, and has then one error and one byte.
    struct Noise<'t>(&'t Cell<u64>, u64, bool);

    impl ErrorType for Noise<'_> {
        type Error = embedded_io_async::ErrorKind;
    }

    impl Read for Noise<'_> {
        async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Self::Error> {
            until(|| self.0.get() >= self.1).await;
            if !core::mem::replace(&mut self.2, true) {
                return Err(embedded_io_async::ErrorKind::Other);
            }
            buffer[0] = b'x';
            Ok(1)
        }
    }

    /// Returns what is read until the byte of the input, with each read dropped several times.
    fn typed(down: core::ops::Range<u64>) -> Vec<u8> {
        let time = Cell::new(0);
        let input = Noise(&time, 10_000, false);
        let mut typist = Typist::new(input, Finger(&time, down), Ticking(&time));
        let mut all = Vec::new();
        while all.last() != Some(&b'x') {
            let mut bytes = [0; 4];
            let drops = time.get() + 100;
            let read = async { typist.read(&mut bytes).await.unwrap() };
            match block_on(select(read, until(|| time.get() >= drops))) {
                Either::First(length) => all.extend(&bytes[..length]),
                Either::Second(()) => {}
            }
        }
        all
    }

    #[test]
    fn a_short_press_asks_to_be_paired_and_a_long_one_forgets_once() {
        assert_eq!(typed(500..900), [ASKS, b"x"].concat());
        assert_eq!(typed(500..9_000), [FORGETS, b"x"].concat());
    }

    #[test]
    fn a_button_that_is_down_from_the_start_types_nothing() {
        assert_eq!(typed(0..9_000), b"x");
    }

    #[test]
    fn a_button_that_bounces_types_nothing_and_an_error_of_the_input_is_no_end() {
        assert_eq!(typed(500..510), b"x");
    }
}
