//! The application on a board made of the parts, in memory: its button is pressed, and the node asks
//! on the serial line.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::{pending, poll_fn};
use std::ops::Range;
use std::task::Poll;

use embassy_futures::block_on;
use embassy_futures::select::{Either, select};
use embedded_hal::digital::{ErrorType as PinError, OutputPin, StatefulOutputPin};
use embedded_hal_async::digital::Wait;
use embedded_io_async::{ErrorType, Read, Write};
use embedded_storage::nor_flash::{ErrorType as FlashError, NorFlash, ReadNorFlash};
use handfast_app::{Board, Clock, Instant, Space};
use handfast_parts::{FilledBy, Led, Line, NODE_PAGES, NoNetwork, Typist, node_pages, share};

const PAGE: usize = 4096;
/// Pages of the flash that belong to the image.
const OTHERS: usize = 2;
const PAGES: usize = OTHERS + NODE_PAGES as usize;
/// Time after which a test has failed, in milliseconds.
const TOO_LATE: u64 = 120_000;

async fn until(mut ready: impl FnMut() -> bool) {
    poll_fn(|context| {
        context.waker().wake_by_ref();
        if ready() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// Time that passes by a millisecond each time that the button is looked at.
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

/// A button that is down at certain times.
struct Finger<'t>(&'t Cell<u64>, Vec<Range<u64>>);

impl Finger<'_> {
    fn is_down(&self) -> bool {
        self.0.set(self.0.get() + 1);
        self.1.iter().any(|down| down.contains(&self.0.get()))
    }
}

impl PinError for Finger<'_> {
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

/// A UART on which nothing comes, and that keeps what is sent.
struct Uart<'t>(&'t RefCell<Vec<u8>>);

impl ErrorType for Uart<'_> {
    type Error = Infallible;
}

impl Read for Uart<'_> {
    async fn read(&mut self, _buffer: &mut [u8]) -> Result<usize, Infallible> {
        pending().await
    }
}

impl Write for Uart<'_> {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        self.0.borrow_mut().extend(bytes);
        Ok(bytes.len())
    }

    async fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

struct Level(bool);

impl PinError for Level {
    type Error = Infallible;
}

impl OutputPin for Level {
    fn set_low(&mut self) -> Result<(), Infallible> {
        self.0 = false;
        Ok(())
    }

    fn set_high(&mut self) -> Result<(), Infallible> {
        self.0 = true;
        Ok(())
    }
}

impl StatefulOutputPin for Level {
    fn is_set_high(&mut self) -> Result<bool, Infallible> {
        Ok(self.0)
    }

    fn is_set_low(&mut self) -> Result<bool, Infallible> {
        Ok(!self.0)
    }
}

/// NOR flash in memory: writing clears bits, erasing sets them.
struct Cells<'t>(&'t RefCell<Vec<u8>>);

impl FlashError for Cells<'_> {
    type Error = Infallible;
}

impl ReadNorFlash for Cells<'_> {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Infallible> {
        let from = offset as usize;
        bytes.copy_from_slice(&self.0.borrow()[from..from + bytes.len()]);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.0.borrow().len()
    }
}

impl NorFlash for Cells<'_> {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = PAGE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), Infallible> {
        self.0.borrow_mut()[from as usize..to as usize].fill(0xFF);
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Infallible> {
        let mut cells = self.0.borrow_mut();
        cells[offset as usize..].iter_mut().zip(bytes).for_each(|(cell, byte)| *cell &= byte);
        Ok(())
    }
}

/// Runs the board over this flash with this button, until its console has said `wanted`. Returns
/// the console's text and what was sent on the line.
fn run(cells: &RefCell<Vec<u8>>, down: &[Range<u64>], wanted: &str) -> (String, Vec<u8>) {
    let (time, said, sent) = (Cell::new(0), RefCell::default(), RefCell::default());
    let (start, length) = ((OTHERS * PAGE) as u32, NODE_PAGES * PAGE as u32);
    let flash = share(Cells(cells));
    let silent = RefCell::default();
    let mut number = 1_u8;
    let board = Board {
        input: Typist::new(Uart(&silent), Finger(&time, down.to_vec()), Ticking(&time)),
        output: Uart(&said),
        network: NoNetwork,
        line: Line(Uart(&sent)),
        entropy: FilledBy(|bytes: &mut [u8]| {
            for byte in bytes {
                number = number.wrapping_mul(5).wrapping_add(77);
                *byte = number;
            }
        }),
        flash: node_pages(&flash, start, length).unwrap(),
        clock: Ticking(&time),
        pin: Led::to_ground(Level(false)),
        emulated: false,
    };
    let mut space = Box::new(Space::new());
    let text = || String::from_utf8_lossy(&said.borrow()).into_owned();
    let enough = until(|| text().contains(wanted) || time.get() > TOO_LATE);
    match block_on(select(handfast_app::run(board, &mut space), enough)) {
        Either::First(code) => panic!("the node ended with {code}: {}", text()),
        Either::Second(()) => (text(), sent.take()),
    }
}

#[test]
fn a_node_whose_button_is_pressed_asks_on_its_line_and_keeps_its_settings_and_keys() {
    let cells = RefCell::new(vec![0xFF; PAGES * PAGE]);
    cells.borrow_mut()[..OTHERS * PAGE].fill(0xEE);
    let (first, sent) = run(&cells, &[200..600], "retry in");
    for wanted in ["no gateway yet", "settings kept", "this node "] {
        assert!(first.contains(wanted), "{wanted:?} is missing in: {first}");
    }
    assert!(!sent.is_empty(), "nothing was sent: {first}");
    assert!(cells.borrow()[..OTHERS * PAGE].iter().all(|cell| *cell == 0xEE), "the image is hit");

    // The settings and the keys are those of before.
    let fingerprint = first.split("this node ").nth(1).unwrap().lines().next().unwrap();
    let (again, _) = run(&cells, &[200..600], "this node ");
    assert!(again.contains(fingerprint), "{fingerprint} is not in: {again}");
    assert!(!again.contains("no gateway yet"), "{again}");
}

#[test]
fn a_node_whose_button_is_held_forgets() {
    let cells = RefCell::new(vec![0xFF; PAGES * PAGE]);
    let (said, _) = run(&cells, &[200..600, 2_000..8_000], "forgotten");
    assert!(said.contains("forgotten"), "{said}");
}
