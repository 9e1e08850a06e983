//! A registration in the `missy` dialect, over a WebSocket.
//!
//! ```text
//!  boot ─▶ connect ─▶ pair_request ─▶ pair_pending ─▶ keep ─▶ token ─▶ keep
//!       ─▶ connect ─▶ auth ─▶ auth_ok ─▶ heartbeat ─▶ goodbye
//! ```

mod flow;
mod gateway;
mod steps;

pub use flow::{FRAME, flow};
pub use steps::steps;

/// The script's messages and input.
mod script {
    pub(crate) const NODE_ID: &str = "caa4270d-912f-4099-ac2d-45e9d0253e3e";
    pub(crate) const TOKEN: &str = "HTrGwLwHno_hwtsvczbQgcFJdi-WS068rgQyr4fD2ZQ";
    pub(crate) const PAIR_PENDING: &str =
        r#"{"type":"pair_pending","node_id":"caa4270d-912f-4099-ac2d-45e9d0253e3e"}"#;
    pub(crate) const AUTH_OK: &str =
        r#"{"type":"auth_ok","node_id":"caa4270d-912f-4099-ac2d-45e9d0253e3e","room":"Kitchen"}"#;
}
