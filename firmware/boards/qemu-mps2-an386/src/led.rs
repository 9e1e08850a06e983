//! The first user LED, in the board's FPGA.

use handfast_app::Pin;
use handfast_bare::register::Register;

// SAFETY: LED0 of the FPGA's system registers; bit 0 is the first LED.
const LEDS: Register = unsafe { Register::at(0x4002_8000) };

const FIRST: u32 = 1;

/// The first LED.
pub(crate) struct Led;

impl Pin for Led {
    fn set(&mut self, on: bool) {
        let others = LEDS.read() & !FIRST;
        LEDS.write(if on { others | FIRST } else { others });
    }

    fn is_on(&self) -> bool {
        LEDS.read() & FIRST != 0
    }
}
