//! The Handfast node on an nRF52840: console and gateway by UART, pages in the chip's own flash.
#![no_std]
#![no_main]

use embassy_executor::Spawner;
use embassy_nrf::buffered_uarte::{BufferedUarte, InterruptHandler};
use embassy_nrf::config::{Config, HfclkSource};
use embassy_nrf::gpio::{Input, Level, Output, OutputDrive, Pull};
use embassy_nrf::nvmc::Nvmc;
use embassy_nrf::rng::Rng;
use embassy_nrf::{bind_interrupts, peripherals, uarte};
use handfast_app::{Board, Space};
use handfast_parts::{Led, Line, Monotonic, NoNetwork, Typist};
use static_cell::ConstStaticCell;

bind_interrupts!(struct Interrupts {
    UARTE0 => InterruptHandler<peripherals::UARTE0>;
    UARTE1 => InterruptHandler<peripherals::UARTE1>;
});

static SPACE: ConstStaticCell<Space> = ConstStaticCell::new(Space::new());
static CONSOLE_RX: ConstStaticCell<[u8; 256]> = ConstStaticCell::new([0; _]);
static CONSOLE_TX: ConstStaticCell<[u8; 256]> = ConstStaticCell::new([0; _]);
static LINE_RX: ConstStaticCell<[u8; 2048]> = ConstStaticCell::new([0; _]);
static LINE_TX: ConstStaticCell<[u8; 256]> = ConstStaticCell::new([0; _]);

#[embassy_executor::main]
async fn main(_spawner: Spawner) {
    let mut config = Config::default();
    // The UARTs need a clock that is exact; the internal oscillator may be off by 6 %.
    config.hfclk_source = HfclkSource::ExternalXtal;
    let chip = embassy_nrf::init(config);

    // Both at 115 200 baud, eight bits, no parity.
    let (input, output) = BufferedUarte::new(
        chip.UARTE0,
        chip.TIMER0,
        chip.PPI_CH0,
        chip.PPI_CH1,
        chip.PPI_GROUP0,
        chip.P0_08,
        chip.P0_06,
        Interrupts,
        uarte::Config::default(),
        CONSOLE_RX.take(),
        CONSOLE_TX.take(),
    )
    .split();
    let line = BufferedUarte::new(
        chip.UARTE1,
        chip.TIMER1,
        chip.PPI_CH2,
        chip.PPI_CH3,
        chip.PPI_GROUP1,
        chip.P1_01,
        chip.P1_02,
        Interrupts,
        uarte::Config::default(),
        LINE_RX.take(),
        LINE_TX.take(),
    );

    let entropy = Rng::new_blocking(chip.RNG);
    // Slower, but a one is then as likely as a zero.
    entropy.set_bias_correction(true);

    let flash = handfast_parts::share(Nvmc::new(chip.NVMC));
    let (start, length) = handfast_parts::linked_pages();
    let Some(pages) = handfast_parts::node_pages(&flash, start, length) else {
        handfast_parts::restart()
    };
    let button = Input::new(chip.P0_11, Pull::Up);
    let board = Board {
        input: Typist::new(input, button, Monotonic),
        output,
        network: NoNetwork,
        line: Line(line),
        entropy,
        flash: pages,
        clock: Monotonic,
        pin: Led::to_supply(Output::new(chip.P0_13, Level::High, OutputDrive::Standard)),
        emulated: false,
    };
    handfast_app::run(board, SPACE.take()).await;
    // It returns only when the flash fails, so it is tried from the start.
    handfast_parts::restart()
}
