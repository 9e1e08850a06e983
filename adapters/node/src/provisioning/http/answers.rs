//! The bodies of answers.

use axum::Json;
use axum::http::StatusCode;
use handfast_core::flow::provisioning::contract::Answer;
use handfast_core::wire::provisioning::NoK2;
use serde_json::{Value, json};

use crate::provisioning::api::StatusSnapshot;

const BUSY: &str = "Provisioning already in progress";
const CLOSED: &str = "The setup window is closed: switch the node off and on, or press its button";
const CLOSED_CODE: &str = "setup_window_closed";
const NOT_STORED: &str = "The node could not store this; free space on its disk";
const NOT_PROVISIONED: &str =
    "This node has no network yet; send all settings, not the network alone";
const ALREADY: &str = "Node is already provisioned. Re-enter pairing mode to update K2.";
/// What a factory reset removes, by the dialect's names.
const CLEARED: [&str; 4] =
    ["provisioning_marker", "k2_key", "wifi_credentials", "config_credentials"];

/// The answer of a node outside its setup window.
pub(super) fn closed() -> (StatusCode, Json<Value>) {
    (StatusCode::FORBIDDEN, Json(json!({ "detail": CLOSED, "error_code": CLOSED_CODE })))
}

pub(super) fn status(status: &StatusSnapshot) -> Value {
    json!({
        "state": status.state.as_str(),
        "message": status.message,
        "progress_percent": status.progress_percent,
        "error": status.error,
        "error_code": status.error_code,
        "registration_status": status.registration_status,
        "retryable": status.retryable,
        "hotspot_restored": status.hotspot_restored,
    })
}

pub(super) fn provision(answer: Answer) -> Value {
    match refused(answer) {
        None => json!({
            "success": true,
            "message": "Credentials received. Attempting connection...",
        }),
        Some((words, None)) => json!({ "success": false, "message": words }),
        Some((words, Some(code))) => {
            json!({ "success": false, "message": words, "error_code": code })
        }
    }
}

pub(super) fn k2(answer: Answer, node_id: &str, kid: &str) -> Value {
    match refused(answer) {
        None => json!({ "success": true, "node_id": node_id, "kid": kid, "error": null }),
        Some((words, code)) => {
            let mut body =
                json!({ "success": false, "node_id": null, "kid": null, "error": words });
            if let Some(code) = code {
                body["error_code"] = code.into();
            }
            body
        }
    }
}

pub(super) fn factory_reset(answer: Answer) -> Value {
    match refused(answer) {
        None => json!({ "success": true, "cleared": CLEARED, "error": null }),
        Some((words, None)) => json!({ "success": false, "cleared": [], "error": words }),
        Some((words, Some(code))) => {
            json!({ "success": false, "cleared": [], "error": words, "error_code": code })
        }
    }
}

/// Returns the words of a refusal, with the code of a kind that the dialect does not know.
fn refused(answer: Answer) -> Option<(String, Option<&'static str>)> {
    match answer {
        Answer::Accepted | Answer::K2Stored | Answer::Erased => None,
        Answer::NoK2(NoK2::Length(length)) => {
            Some((format!("K2 must be exactly 32 bytes, got {length}"), None))
        }
        Answer::NoK2(NoK2::Encoding) => Some((
            "Invalid base64url encoding: only letters, digits, '-' and '_' are allowed".to_owned(),
            None,
        )),
        Answer::AlreadyProvisioned => Some((ALREADY.to_owned(), None)),
        Answer::NotProvisioned => Some((NOT_PROVISIONED.to_owned(), Some("not_provisioned"))),
        Answer::Busy => Some((BUSY.to_owned(), None)),
        Answer::WindowClosed => Some((CLOSED.to_owned(), Some(CLOSED_CODE))),
        Answer::NotStored => Some((NOT_STORED.to_owned(), Some("cannot_store"))),
    }
}
