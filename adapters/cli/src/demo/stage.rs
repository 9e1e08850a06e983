//! The lines of the demo.

use std::time::{Duration, Instant};

/// Prints what happened and how long it took.
pub(crate) struct Stage {
    opened: Instant,
    last: Instant,
    steps: usize,
}

impl Stage {
    pub(crate) fn open() -> Self {
        println!("Handfast pairs devices. This is the whole of it on this machine; every line has really happened.");
        let now = Instant::now();
        Self { opened: now, last: now, steps: 0 }
    }

    pub(crate) fn chapter(&mut self, title: &str) {
        println!("\n{title}");
        self.last = Instant::now();
    }

    /// A step that held; its time is that since the last one.
    pub(crate) fn step(&mut self, who: &str, what: String) {
        let took = self.last.elapsed();
        println!("  {:>9}  {who:<9} {what}", format(took));
        self.last = Instant::now();
        self.steps += 1;
    }

    /// A picture of several lines.
    pub(crate) fn picture(&self, lines: &str) {
        for line in lines.lines() {
            println!("             {line}");
        }
    }

    /// Something to know that is no step.
    pub(crate) fn note(&self, what: &str) {
        println!("  {:>9}  {what}", "-");
    }

    pub(crate) fn close(self) {
        println!("\nAll {} steps held, in {}.", self.steps, format(self.opened.elapsed()));
    }
}

fn format(took: Duration) -> String {
    match took.as_millis() {
        0..1 => format!("{} µs", took.as_micros()),
        1..10_000 => format!("{:.1} ms", took.as_secs_f64() * 1000.0),
        _ => format!("{:.1} s", took.as_secs_f64()),
    }
}
