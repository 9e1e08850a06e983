//! Messages between the operator and linked nodes.

use axum::Json;
use axum::response::Response;
use handfast_core::crypto::base64url;
use handfast_core::crypto::fingerprint::Fingerprint;
use handfast_core::flow::native::gateway::Peer;
use handfast_core::grant::scope::{Action, Address};
use handfast_core::limits::PAYLOAD_BYTES;
use handfast_core::wire::native::Payload;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::Caller;
use super::caller::Acting;
use super::events::lines;
use super::extract::{Body, Path};
use super::failure::AdminFailure;
use crate::gateway::messages::NodeMessage;
use crate::gateway::operator_types::OperatorError;
use crate::gateway::sharing::delivery::Delivered;

/// The answer to a message to a node.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct SentToNodeView {
    /// Id of the node.
    pub node_id: String,
    /// Number of bytes that were sent.
    pub sent: usize,
    /// Name of the other gateway that has delivered it; absent if this one did.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub gateway: Option<String>,
}

/// A message to a node.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SendBody {
    /// `read`, `write` or `admin`; `write` if left out.
    action: Option<String>,
    /// The address of the application, like `/lights/hall`.
    address: String,
    /// The message.
    text: String,
}

/// Streams the messages of linked nodes from now on, a JSON object a line.
///
/// The first line is `{"event":"listening"}`. A session hears only what its own scopes allow at the
/// message's address; frames of nodes with tokens have no action and no address.
#[utoipa::path(
    get,
    path = "/api/v1/messages",
    tag = "Events",
    responses((status = 200, content_type = "application/x-ndjson", body = String)),
)]
pub(super) async fn follow(Acting(gateway): Acting, caller: Caller) -> Response {
    let messages = gateway.inner.messages.subscribe();
    lines(messages, gateway.inner.shutdown.subscribe(), move |message: &NodeMessage| {
        let address = message.place.as_ref().map(|(_, address)| Address::parse(address));
        // An address that does not parse is no reason to tell more.
        let heard = match address {
            Some(Ok(address)) => caller.authority().hears(Some(address)),
            Some(Err(_)) | None => caller.authority().hears(None),
        };
        heard.then(|| view(message))
    })
}

/// Sends a message to a node that is linked over the native wire.
///
/// To a node that is linked at another gateway it goes over the bus, if there is one; otherwise that
/// is refused with `elsewhere`.
///
/// A session sends only what its own scopes allow at that address.
#[utoipa::path(
    post,
    path = "/api/v1/devices/{prefix}/send",
    tag = "Nodes",
    request_body = SendBody,
    responses((status = 200, body = SentToNodeView)),
)]
pub(super) async fn send(
    Acting(gateway): Acting,
    caller: Caller,
    Path(which): Path<String>,
    Body(body): Body<SendBody>,
) -> Result<Json<SentToNodeView>, AdminFailure> {
    let usage = |text: String| AdminFailure::from(OperatorError::Usage(text));
    let action = Action::parse(body.action.as_deref().unwrap_or("write"))
        .map_err(|_| usage("the action is read, write or admin".to_owned()))?;
    let address = Address::parse(&body.address)
        .map_err(|wrong| usage(format!("{}: {}", body.address, wrong.as_str())))?;
    let payload = Payload::new(body.text.as_bytes())
        .ok_or_else(|| usage(format!("a message has at most {PAYLOAD_BYTES} bytes")))?;
    caller.authority().sends(action, address).map_err(OperatorError::from)?;
    let record = gateway.device_named(&which).await?.entry.record;
    let delivered = gateway.deliver_app(record.node_id, action, &address, &payload).await?;
    let gateway = match delivered {
        Delivered::Here => None,
        Delivered::At(gateway) => Some(gateway),
    };
    let (node_id, sent) = (record.node_id.to_string(), body.text.len());
    Ok(Json(SentToNodeView { node_id, sent, gateway }))
}

/// Returns a message as a JSON object. Bytes that are no text stand in base64url.
fn view(message: &NodeMessage) -> Value {
    let mut value = json!({ "event": "message" });
    match message.peer {
        Peer::Node(node_id) => value["node_id"] = json!(node_id.to_string()),
        Peer::Delegate(key) => value["fingerprint"] = json!(Fingerprint::of(&key).to_string()),
    }
    if let Some((action, address)) = &message.place {
        value["action"] = json!(action.as_str());
        value["address"] = json!(address);
    }
    match std::str::from_utf8(&message.bytes) {
        Ok(text) => value["text"] = json!(text),
        Err(_) => {
            let mut out = vec![0; message.bytes.len().div_ceil(3) * 4];
            value["base64url"] = json!(base64url::encode(&message.bytes, &mut out));
        }
    }
    value
}
