//! The Handfast node on an RP2350: console and gateway by UART, pages at the end of the flash.
#![no_std]
#![no_main]

use embassy_executor::Spawner;
use embassy_rp::flash::Flash;
use embassy_rp::gpio::{Input, Level, Output, Pull};
use embassy_rp::trng::{self, Trng};
use embassy_rp::uart::{self, BufferedInterruptHandler, BufferedUart};
use embassy_rp::{bind_interrupts, peripherals};
use handfast_app::{Board, Space};
use handfast_parts::{FilledBy, Led, Line, Monotonic, NoNetwork, Typist};
use static_cell::ConstStaticCell;

/// Size of the flash of a Raspberry Pi Pico 2 in bytes.
const FLASH_SIZE: usize = 4 * 1024 * 1024;

bind_interrupts!(struct Interrupts {
    TRNG_IRQ => trng::InterruptHandler<peripherals::TRNG>;
    UART0_IRQ => BufferedInterruptHandler<peripherals::UART0>;
    UART1_IRQ => BufferedInterruptHandler<peripherals::UART1>;
});

static SPACE: ConstStaticCell<Space> = ConstStaticCell::new(Space::new());
static CONSOLE_RX: ConstStaticCell<[u8; 256]> = ConstStaticCell::new([0; _]);
static CONSOLE_TX: ConstStaticCell<[u8; 256]> = ConstStaticCell::new([0; _]);
static LINE_RX: ConstStaticCell<[u8; 2048]> = ConstStaticCell::new([0; _]);
static LINE_TX: ConstStaticCell<[u8; 256]> = ConstStaticCell::new([0; _]);

#[embassy_executor::main]
async fn main(_spawner: Spawner) {
    let chip = embassy_rp::init(Default::default());

    // Both at 115 200 baud, eight bits, no parity.
    let (output, input) = BufferedUart::new(
        chip.UART0,
        chip.PIN_0,
        chip.PIN_1,
        Interrupts,
        CONSOLE_TX.take(),
        CONSOLE_RX.take(),
        uart::Config::default(),
    )
    .split();
    let line = BufferedUart::new(
        chip.UART1,
        chip.PIN_4,
        chip.PIN_5,
        Interrupts,
        LINE_TX.take(),
        LINE_RX.take(),
        uart::Config::default(),
    );

    // With the generator's own tests and its balancing of zeros and ones, which are on by default.
    let mut generator = Trng::new(chip.TRNG, Interrupts, trng::Config::default());
    let entropy = FilledBy(move |bytes: &mut [u8]| generator.blocking_fill_bytes(bytes));

    let flash = handfast_parts::share(Flash::<_, _, FLASH_SIZE>::new_blocking(chip.FLASH));
    let (start, length) = handfast_parts::linked_pages();
    let Some(pages) = handfast_parts::node_pages(&flash, start, length) else {
        handfast_parts::restart()
    };
    let button = Input::new(chip.PIN_15, Pull::Up);
    let board = Board {
        input: Typist::new(input, button, Monotonic),
        output,
        network: NoNetwork,
        line: Line(line),
        entropy,
        flash: pages,
        clock: Monotonic,
        pin: Led::to_ground(Output::new(chip.PIN_25, Level::Low)),
        emulated: false,
    };
    handfast_app::run(board, SPACE.take()).await;
    // It returns only when the flash fails, so it is tried from the start.
    handfast_parts::restart()
}
