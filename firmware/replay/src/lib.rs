//! A whole registration in memory, to be measured on a board: the real core and the real pump, with a gateway that plays a script, flash in RAM
//! and an owner who types a token. Nothing here waits, so what is counted is work.
//!
//! ```text
//!  boot ─▶ connect ─▶ pair_request ─▶ pair_pending ─▶ keep ─▶ token ─▶ keep ─▶ connect ─▶ auth ─▶ auth_ok ─▶ heartbeat ─▶ goodbye
//! ```
#![no_std]

mod flow;
mod props;
mod steps;

pub use flow::{FRAME, flow};
pub use steps::steps;

/// How many measurements there can be.
const MOST: usize = 16;

/// What was measured: a name and a number each.
#[derive(Debug, Default)]
pub struct Measured(heapless::Vec<(&'static str, u32), MOST>);

impl Measured {
    /// In the order in which they were taken.
    pub fn iter(&self) -> core::slice::Iter<'_, (&'static str, u32)> {
        self.0.iter()
    }

    fn note(&mut self, name: &'static str, number: u32) {
        // There are fewer than MOST.
        let _ = self.0.push((name, number));
    }
}

/// A registration as the `missy` dialect writes it.
mod script {
    pub(crate) const NODE_ID: &str = "caa4270d-912f-4099-ac2d-45e9d0253e3e";
    pub(crate) const TOKEN: &str = "HTrGwLwHno_hwtsvczbQgcFJdi-WS068rgQyr4fD2ZQ";
    pub(crate) const PAIR_PENDING: &str = r#"{"type":"pair_pending","node_id":"caa4270d-912f-4099-ac2d-45e9d0253e3e"}"#;
    pub(crate) const AUTH_OK: &str = r#"{"type":"auth_ok","node_id":"caa4270d-912f-4099-ac2d-45e9d0253e3e","room":"Kitchen"}"#;
}
