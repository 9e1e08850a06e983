//! State × input tables of every machine: each state is built and given each input, and the table
//! records the next state and the effects.

mod companion;
mod connection;
mod decisions;
mod dispatch;
mod identity;
mod inbound;
mod native;
mod node;
mod provisioning;
mod settle;

use std::fmt::Write;

/// A table under construction: a section for each state, a line for each input. Inputs that change
/// nothing are collected at the end of the section.
#[derive(Default)]
struct Table {
    text: String,
    ignored: Vec<&'static str>,
}

impl Table {
    fn about(words: &str) -> Self {
        Self { text: format!("{words}\n"), ignored: Vec::new() }
    }

    fn state(&mut self, name: &str) {
        self.end_section();
        let _ = writeln!(self.text, "\n{name}");
    }

    fn row(&mut self, input: &str, next: &str, effects: &[String]) {
        let _ = writeln!(self.text, "  {input:<32} -> {next}");
        for effect in effects {
            let short = effect
                .replace("\\\"", "\"")
                .replace("NodeId(caa4270d-912f-4099-ac2d-45e9d0253e3e)", "ID");
            let _ = writeln!(self.text, "  {:<32}    {short}", "");
        }
    }

    fn ignored(&mut self, input: &'static str) {
        self.ignored.push(input);
    }

    fn end_section(&mut self) {
        if !self.ignored.is_empty() {
            let _ = writeln!(self.text, "  unchanged by: {}", self.ignored.join(" · "));
            self.ignored.clear();
        }
    }

    fn check(mut self, name: &str) {
        self.end_section();
        crate::snapshot::check(name, &self.text);
    }
}

/// Describes a deadline in words.
fn deadline(of: Option<(handfast_core::Instant, handfast_core::DeadlineReason)>) -> String {
    of.map_or_else(String::new, |(at, why)| format!(" ({why:?} at {})", at.as_millis()))
}
