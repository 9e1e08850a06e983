//! The Handfast node on an ESP32-C6: console and gateway by UART, pages in a partition of the flash.
#![no_std]
#![no_main]

mod reader;

use embassy_executor::Spawner;
use esp_bootloader_esp_idf::partitions::{self, PARTITION_TABLE_MAX_LEN};
use esp_hal::gpio::{Input, InputConfig, Level, Output, OutputConfig, Pull};
use esp_hal::interrupt::Priority;
use esp_hal::rng::{Trng, TrngSource};
use esp_hal::system::software_reset;
use esp_hal::timer::timg::TimerGroup;
use esp_hal::uart::{Config as UartConfig, Uart};
use esp_rtos::embassy::InterruptExecutor;
use esp_storage::FlashStorage;
use handfast_app::{Board, Space};
use handfast_parts::{Led, Line, Monotonic, NoNetwork, Typist};
use static_cell::{ConstStaticCell, StaticCell};

use crate::reader::BufferedLine;

esp_bootloader_esp_idf::esp_app_desc!();

/// Name of the node's partition, as in `partitions.csv`.
const PARTITION: &str = "handfast";

static SPACE: ConstStaticCell<Space> = ConstStaticCell::new(Space::new());
static READER: StaticCell<InterruptExecutor<1>> = StaticCell::new();

#[esp_rtos::main]
async fn main(_spawner: Spawner) {
    let chip = esp_hal::init(esp_hal::Config::default());
    esp_rtos::start(TimerGroup::new(chip.TIMG0).timer0, chip.FROM_CPU_INTR0);

    // Both at 115 200 baud, eight bits, no parity.
    let settings = UartConfig::default();
    let (Ok(console), Ok(line)) =
        (Uart::new(chip.UART0, settings), Uart::new(chip.UART1, settings))
    else {
        software_reset()
    };
    let console = console.with_tx(chip.GPIO16).with_rx(chip.GPIO17).into_async();
    let (input, output) = console.split();
    let (receiver, sender) = line.with_tx(chip.GPIO4).with_rx(chip.GPIO5).split();
    let executor = READER.init(InterruptExecutor::new(chip.FROM_CPU_INTR1));
    let Ok(reads) = reader::read(receiver) else { software_reset() };
    executor.start(Priority::Priority2).spawn(reads);
    let line = BufferedLine(sender.into_async());

    // The generator is random only while the ADC feeds it, so this one is kept.
    let source = TrngSource::new(chip.RNG, chip.ADC1);
    let Ok(entropy) = Trng::try_new() else { software_reset() };

    let mut storage = FlashStorage::new(chip.FLASH);
    let Some((start, length)) = node_partition(&mut storage) else { software_reset() };
    let flash = handfast_parts::share(storage);
    let Some(pages) = handfast_parts::node_pages(&flash, start, length) else { software_reset() };
    let button = Input::new(chip.GPIO9, InputConfig::default().with_pull(Pull::Up));
    let board = Board {
        input: Typist::new(input, button, Monotonic),
        output,
        network: NoNetwork,
        line: Line(line),
        entropy,
        flash: pages,
        clock: Monotonic,
        pin: Led::to_ground(Output::new(chip.GPIO10, Level::Low, OutputConfig::default())),
        emulated: false,
    };
    handfast_app::run(board, SPACE.take()).await;
    drop(source);
    // It returns only when the flash fails, so it is tried from the start.
    software_reset()
}

/// Returns the start and length of the node's partition.
#[inline(never)]
fn node_partition(flash: &mut FlashStorage<'_>) -> Option<(u32, u32)> {
    static TABLE: ConstStaticCell<[u8; PARTITION_TABLE_MAX_LEN]> = ConstStaticCell::new([0; _]);
    let table = partitions::read_partition_table(flash, TABLE.try_take()?).ok()?;
    let node = table.iter().find(|entry| entry.label_as_str() == PARTITION)?;
    Some((node.offset(), node.len()))
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    software_reset()
}
