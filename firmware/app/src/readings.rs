//! Readings for heartbeats. Here the owner enters them at the console.

use core::cell::Cell;

use handfast_core::limits::NUMBER_CHARS;
use handfast_core::wire::json::Number;
use handfast_core::wire::registration::Heartbeat;
use handfast_edge::ports::Sensors;

use crate::command::Values;

/// The current values.
#[derive(Clone, Default)]
pub(crate) struct Readings {
    occupancy: Option<bool>,
    /// A JSON number, or an empty string.
    noise: heapless::String<NUMBER_CHARS>,
}

impl Readings {
    /// Applies the values that are set.
    pub(crate) fn update(&mut self, values: &Values<'_>) {
        self.occupancy = values.occupancy.or(self.occupancy);
        if let Some(noise) = values.noise {
            self.noise.clear();
            // A number is never longer than NUMBER_CHARS.
            let _ = self.noise.push_str(noise.as_str());
        }
    }
}

/// Sensors that read the cell which the console writes.
pub(crate) struct FromConsole<'r> {
    cell: &'r Cell<Readings>,
    now: Readings,
}

impl<'r> FromConsole<'r> {
    pub(crate) fn new(cell: &'r Cell<Readings>) -> Self {
        Self { cell, now: Readings::default() }
    }
}

impl Sensors for FromConsole<'_> {
    fn heartbeat(&mut self) -> Heartbeat<'_> {
        // The cell only gives its value away, so it is put back.
        self.now = self.cell.take();
        self.cell.set(self.now.clone());
        Heartbeat {
            occupancy: self.now.occupancy,
            noise_level: Number::parse(&self.now.noise),
            wake_word_fp: None,
        }
    }
}
