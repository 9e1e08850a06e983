//! The Handfast node on Arm's MPS2 board with a Cortex-M4F (AN386), as QEMU emulates it.
#![no_std]
#![no_main]

mod clock;
mod console;
mod entropy;
mod ethernet;
mod executor;
mod fault;
mod flash;
mod interrupts;
mod led;
mod network;
mod uart;
mod wire;

use embassy_executor::Spawner;
use handfast_app::{Board, Space};
use rand_core::UnwrapErr;
use semihosting::process;
use static_cell::ConstStaticCell;

use crate::flash::HostFlash;

#[cortex_m_rt::entry]
fn main() -> ! {
    fault::guard_stack();
    clock::start();
    executor::run(|spawner| match application(spawner) {
        Ok(task) => spawner.spawn(task),
        Err(_) => process::exit(3),
    })
}

#[embassy_executor::task]
async fn application(spawner: Spawner) {
    // An image without entropy or flash must not continue, so both end it here.
    let mut entropy = UnwrapErr(entropy::HostEntropy);
    let Ok(flash) = HostFlash::open() else {
        semihosting::eprintln!("cannot open {:?}", flash::PATH);
        process::exit(3)
    };
    let Some(network) = network::start(spawner, &mut entropy) else {
        semihosting::eprintln!("no LAN9118");
        process::exit(3)
    };
    static SPACE: ConstStaticCell<Space> = ConstStaticCell::new(Space::new());
    let Some(space) = SPACE.try_take() else { return };
    let (input, output) = console::start();
    let board = Board {
        input,
        output,
        network,
        line: wire::start(),
        entropy,
        flash,
        clock: clock::Monotonic,
        pin: led::Led,
        emulated: true,
    };
    let code = handfast_app::run(board, space).await;
    semihosting::eprintln!("peak of stack: {} bytes", handfast_bare::stack::peak());
    process::exit(code)
}
