//! `POST /api/v0/nodes/register`.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use handfast_core::crypto::base64url;
use handfast_core::grant::keyed_secret::{KEYED_SECRET_CHARS, KeyedSecret, SecretUse};
use handfast_core::registry::codes::CodeId;
use handfast_core::registry::provisioning::NotRegistered;
use handfast_store::audit::Who;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::body::RegisterBody;
use super::detail;
use crate::gateway::Gateway;
use crate::pairing::provisioning::{RegisterFailure, RegisterRequest, RegisteredNode};
use crate::telemetry::log_lines::{CausedBy, limited};
use crate::telemetry::spans;

/// The texts of the dialect.
const NO_TOKEN: &str = "Invalid or expired provisioning token";
const REGISTERED: &str = "Node already registered";

pub(super) async fn register(State(gateway): State<Gateway>, request: Request) -> Response {
    spans::flow("provisioning");
    let inner = &gateway.inner;
    let address = inner.proxies.address_of(request.extensions(), request.headers());
    let Some(address) = address else {
        // The guard of all routes has refused such a request.
        return detail(StatusCode::INTERNAL_SERVER_ERROR, "The peer's address is not known");
    };
    let body = match Bytes::from_request(request, &()).await {
        Ok(body) => body,
        Err(rejection) => return unread(&rejection),
    };
    let body = match RegisterBody::read(&body) {
        Ok(body) => body,
        Err(defects) => return detail(StatusCode::UNPROCESSABLE_ENTITY, Value::Array(defects)),
    };
    let now = inner.clock.now();
    // Taken before the token is looked at, so guesses at once count as many.
    let Some(permit) = inner.budgets.provisioning.permit(address.source(), now) else {
        return detail(StatusCode::TOO_MANY_REQUESTS, "Too many attempts; try again in a minute");
    };
    let Some(token) = KeyedSecret::parse(SecretUse::ProvisioningToken, &body.token) else {
        return detail(StatusCode::UNAUTHORIZED, NO_TOKEN);
    };
    let RegisterBody { external, room, native_key, .. } = body;
    let request = RegisterRequest {
        external: external.clone(),
        token,
        room: room.clone(),
        native_key,
        address: address.ip(),
    };
    let who = Who::Code(CodeId::from_bytes(*request.token.id()));
    let registered = gateway.by(who, Some(address.ip())).register_node(request).await;
    // Only a wrong token is a guess.
    if !matches!(registered, Err(RegisterFailure::Refused(NotRegistered::Token))) {
        permit.give_back(inner.clock.now());
    }
    match registered {
        Ok(RegisteredNode { key }) => {
            let mut text = Zeroizing::new([0; KEYED_SECRET_CHARS]);
            let mut answer = json!({
                "node_id": external.as_str(),
                "node_key": key.write(&mut text),
                "room": room.as_str(),
                "user": null,
                "voice_mode": null,
            });
            if native_key.is_some() {
                name_gateway(&gateway, &mut answer);
            }
            (StatusCode::CREATED, Json(answer)).into_response()
        }
        Err(RegisterFailure::Refused(no)) => refused(no),
        Err(RegisterFailure::Busy) => {
            detail(StatusCode::SERVICE_UNAVAILABLE, "The registry is busy; try again")
        }
        Err(RegisterFailure::Store(error)) => {
            limited!(error, CausedBy::Any, { %error, } "a node could not be registered");
            detail(StatusCode::SERVICE_UNAVAILABLE, "The registry cannot be written; try again")
        }
    }
}

/// Adds this gateway's key and address, by which the node links natively. Half of it would be of no
/// use.
fn name_gateway(gateway: &Gateway, answer: &mut Value) {
    let Some(address) = gateway.addresses(&[]).first() else {
        tracing::warn!(
            "a node with a native key has registered, and is not told where to link, because no \
             address of this gateway is known"
        );
        return;
    };
    let key = base64url::encode_32(gateway.keys().channel.public().as_bytes());
    answer["gateway_key"] = String::from_utf8_lossy(&key).into();
    answer["gateway_address"] = address.as_str().into();
}

fn refused(no: NotRegistered) -> Response {
    match no {
        NotRegistered::Token => detail(StatusCode::UNAUTHORIZED, NO_TOKEN),
        NotRegistered::Already => detail(StatusCode::BAD_REQUEST, REGISTERED),
        NotRegistered::Revoked => detail(
            StatusCode::BAD_REQUEST,
            "This node was revoked, and its key with it; reset the node, so that it makes a new key",
        ),
        NotRegistered::NeedsKey => detail(
            StatusCode::FORBIDDEN,
            "This token registers only nodes with a native key; have an operator make one",
        ),
        NotRegistered::ClockInDoubt => detail(
            StatusCode::SERVICE_UNAVAILABLE,
            "The clock of the command center is in doubt; try again once it is right",
        ),
    }
}

fn unread(rejection: &BytesRejection) -> Response {
    match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            detail(StatusCode::PAYLOAD_TOO_LARGE, "The body has at most 4096 bytes")
        }
        status => detail(status, "The body could not be read"),
    }
}
