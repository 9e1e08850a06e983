//! What an operator may have the board do. Inputs and results are JSON, as operators type them.

use core::fmt::Write as _;
use core::future::pending;

use handfast_core::crypto::fingerprint::Fingerprint;
use handfast_core::wire::json_write::ObjectWriter;
use handfast_core::wire::native::link::{DispatchId, Percent};
use handfast_core::{Instant, Label, Span};
use handfast_edge::native::{Capabilities, Capability, Started, Task, TaskEnd, TaskEvent};
use handfast_edge::ports::Clock;

use crate::board::Pin;

/// Length of the longest result in bytes.
pub(crate) const OUTPUT: usize = 512;

/// Returns its input.
const ECHO: &str = "echo";
/// Says who the node is.
const IDENTITY: &str = "system.identity";
/// Switches the board's pin: `true`, `false`, or `null` to read it.
const PIN: &str = "pin";
/// Switches the pin on for a number of milliseconds.
const PULSE: &str = "pin.pulse";

const ALL: [Capability; 4] = [
    Capability { name: ECHO, version: VERSION, available: true, idempotent: true },
    Capability { name: IDENTITY, version: VERSION, available: true, idempotent: true },
    Capability { name: PIN, version: VERSION, available: true, idempotent: true },
    Capability { name: PULSE, version: VERSION, available: true, idempotent: false },
];

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Longest pulse, in milliseconds.
const LONGEST_PULSE: u32 = 60_000;

/// The board's capabilities, with the name and the fingerprint that it tells.
pub(crate) struct BoardCapabilities<'r, P, C> {
    pub(crate) pin: P,
    pub(crate) clock: C,
    pub(crate) name: Label<'r>,
    pub(crate) own: Option<Fingerprint>,
    pub(crate) pulse: Option<Pulse>,
}

/// A pulse under way.
pub(crate) struct Pulse {
    id: DispatchId,
    half: Option<Instant>,
    until: Instant,
    cancelled: bool,
}

impl<P: Pin, C: Clock> BoardCapabilities<'_, P, C> {
    fn identity(&self, task: &Task<'_>, output: &mut [u8]) -> TaskEnd {
        let mut node_id = heapless::String::<36>::new();
        let mut fingerprint = heapless::String::<32>::new();
        // Both strings have room for their one length.
        let _ = write!(node_id, "{}", task.node_id);
        let _ = self.own.map(|own| write!(fingerprint, "{own}"));
        let text = ObjectWriter::new(output)
            .text("node_id", &node_id)
            .text("fingerprint", &fingerprint)
            .text("name", self.name.as_str())
            .text("firmware", VERSION)
            .finish();
        text.map_or(TaskEnd::Failed("the result is too long"), |text| {
            TaskEnd::Succeeded(text.len())
        })
    }

    fn switch(&mut self, input: &[u8], output: &mut [u8]) -> TaskEnd {
        match input.trim_ascii() {
            b"true" => self.pin.set(true),
            b"false" => self.pin.set(false),
            b"" | b"null" => {}
            _ => return TaskEnd::Rejected("true, false, or null to read it"),
        }
        level(self.pin.is_on(), output)
    }

    fn begin_pulse(&mut self, task: &Task<'_>) -> Started {
        let length =
            core::str::from_utf8(task.input).ok().and_then(|text| text.trim().parse().ok());
        let Some(length @ 1..=LONGEST_PULSE) = length else {
            return Started::Ended(TaskEnd::Rejected("milliseconds, from 1 to 60000"));
        };
        let length = Span::from_millis(length.into());
        if self.pulse.is_some() {
            return Started::Ended(TaskEnd::Rejected("the pin is in use"));
        }
        if length > task.within {
            return Started::Ended(TaskEnd::Rejected("the pulse is longer than the time for it"));
        }
        self.pin.set(true);
        let now = self.clock.now();
        let half = Some(now.after(Span::from_millis(length.as_millis() / 2)));
        self.pulse = Some(Pulse { id: task.id, half, until: now.after(length), cancelled: false });
        Started::Runs
    }
}

impl<P: Pin, C: Clock> Capabilities for BoardCapabilities<'_, P, C> {
    fn capability(&self, at: usize) -> Option<Capability> {
        ALL.get(at).copied()
    }

    fn start(&mut self, task: &Task<'_>, output: &mut [u8]) -> Started {
        Started::Ended(match task.capability {
            ECHO => match output.get_mut(..task.input.len()) {
                Some(place) => {
                    for (place, byte) in place.iter_mut().zip(task.input) {
                        *place = *byte;
                    }
                    TaskEnd::Succeeded(task.input.len())
                }
                None => TaskEnd::Failed("the result is too long"),
            },
            IDENTITY => self.identity(task, output),
            PIN => self.switch(task.input, output),
            PULSE => return self.begin_pulse(task),
            // The driver starts only what was announced.
            _ => TaskEnd::Rejected("no such capability"),
        })
    }

    async fn next(&mut self, output: &mut [u8]) -> TaskEvent {
        let Some(pulse) = &mut self.pulse else { return pending().await };
        let id = pulse.id;
        if let Some(half) = pulse.half
            && !pulse.cancelled
        {
            self.clock.sleep_until(half).await;
            // The step is taken only after the sleep, so that dropping the future loses nothing.
            pulse.half = None;
            return TaskEvent::Progress { id, percent: Percent::new(50), note: 0 };
        }
        if !pulse.cancelled {
            self.clock.sleep_until(pulse.until).await;
        }
        let cancelled = pulse.cancelled;
        self.pulse = None;
        // The pin is switched off before the end is told.
        self.pin.set(false);
        let end = if cancelled { TaskEnd::Cancelled } else { level(self.pin.is_on(), output) };
        TaskEvent::Ended(id, end)
    }

    fn cancel(&mut self, id: DispatchId) {
        if let Some(pulse) = self.pulse.as_mut().filter(|pulse| pulse.id == id) {
            // The next event switches the pin off and tells the end.
            pulse.cancelled = true;
        }
    }
}

/// Writes the pin's level.
fn level(is_on: bool, output: &mut [u8]) -> TaskEnd {
    let text: &[u8] = if is_on { b"true" } else { b"false" };
    match output.get_mut(..text.len()) {
        Some(place) => {
            for (place, byte) in place.iter_mut().zip(text) {
                *place = *byte;
            }
            TaskEnd::Succeeded(text.len())
        }
        None => TaskEnd::Failed("the result is too long"),
    }
}
