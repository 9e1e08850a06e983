//! The output of the demo.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use handfast_stdio::{Unwritten, fitted, fitted_behind};

/// Prints each step with its duration.
pub(crate) struct Stage {
    opened: Instant,
    last: Instant,
    steps: usize,
    /// The first write error. The demo continues, so that its exit code still reports the steps.
    unwritten: RefCell<Option<Unwritten>>,
}

impl Stage {
    pub(crate) fn open() -> Self {
        let now = Instant::now();
        let stage = Self { opened: now, last: now, steps: 0, unwritten: RefCell::default() };
        let about = "Handfast pairs devices. This is the whole of it on this machine; every line has \
                     really happened.";
        stage.say(&fitted(about, 0));
        stage
    }

    pub(crate) fn chapter(&mut self, title: &str) {
        self.say(&fitted(&format!("\n{title}"), 0));
        self.last = Instant::now();
    }

    /// Prints a step that held, with the time since the last one.
    pub(crate) fn step(&mut self, who: &str, what: String) {
        let took = self.last.elapsed();
        let head = format!("  {:>9}  {who:<9} ", format(took));
        self.say(&fitted_behind(&head, &what));
        self.last = Instant::now();
        self.steps += 1;
    }

    /// Prints a picture of several lines.
    pub(crate) fn picture(&self, lines: &str) {
        for line in lines.lines() {
            self.say(&format!("             {line}"));
        }
    }

    /// Prints a remark that is not a step.
    pub(crate) fn note(&self, what: &str) {
        self.say(&fitted_behind(&format!("  {:>9}  ", "-"), what));
    }

    pub(crate) fn close(self) -> Result<(), Unwritten> {
        self.say(&format!(
            "\nAll {} steps held, in {}.",
            self.steps,
            format(self.opened.elapsed())
        ));
        self.unwritten.into_inner().map_or(Ok(()), Err)
    }

    fn say(&self, line: &str) {
        let mut unwritten = self.unwritten.borrow_mut();
        if unwritten.is_none() {
            *unwritten = handfast_stdio::put(&format!("{line}\n")).err();
        }
    }
}

fn format(took: Duration) -> String {
    match took.as_millis() {
        0..1 => format!("{} µs", took.as_micros()),
        1..10_000 => format!("{:.1} ms", took.as_secs_f64() * 1000.0),
        _ => format!("{:.1} s", took.as_secs_f64()),
    }
}
