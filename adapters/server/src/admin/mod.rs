//! The operator's API: what the command line speaks over the Unix socket in the data directory.
//!
//! | request | does | answers |
//! |---|---|---|
//! | `GET /api/v1/status` | counts | `{"nodes":{"pending","paired","muted","revoked"},"linked","waiting"}` |
//! | `GET /api/v1/devices?filter=current\|pending\|all` | lists | `{"devices":[…]}` |
//! | `GET /api/v1/devices/{prefix}` | shows one | a device |
//! | `POST /api/v1/devices/{prefix}/pair` | approves; `{"reissue":true}` gives a new token | `{"node_id","friendly_name","room","ip_address","token"}` |
//! | `POST /api/v1/devices/{prefix}/reject`, `/unpair`, `/mute`, `/unmute` | decides | a device |
//! | `POST /api/v1/devices/{prefix}/policy` with `{"mode":"full"\|"safe-chat"\|"muted"}` | decides | a device |
//!
//! Errors are `{"error":{"code","message"}}` with 400 (`usage`), 404 (`not_found`; `usage` for a route), 409 (`ambiguous`, `refused`) or 503 (`store`).

mod device;
mod socket;

use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use handfast_core::flow::registration::operator::Purpose;
use handfast_core::registry::lifecycle::Decision;
use handfast_core::registry::record::Mode;
use handfast_store::Filter;
use serde::{Deserialize, Serialize};

pub use device::{DeviceView, Sensors};
pub use socket::{SOCKET_NAME, SocketError, bind, serve_admin, socket_path};

use crate::gateway::{Gateway, OperatorError};

/// How many nodes are read from the store at once while a listing is made.
const PAGE: usize = 500;

/// The operator's routes. Whoever can reach them decides about every node: serve them only where only the operator can connect.
pub fn admin_router(gateway: &Gateway) -> Router {
    Router::new()
        .route("/api/v1/status", get(status))
        .route("/api/v1/devices", get(list))
        .route("/api/v1/devices/{prefix}", get(show))
        .route("/api/v1/devices/{prefix}/pair", post(pair))
        .route("/api/v1/devices/{prefix}/policy", post(policy))
        .route("/api/v1/devices/{prefix}/{decision}", post(decide))
        .fallback(no_such_route)
        .method_not_allowed_fallback(no_such_route)
        .with_state(gateway.clone())
}

/// What `GET /api/v1/status` answers.
#[derive(Debug, Serialize, Deserialize)]
pub struct StatusView {
    /// Nodes by standing.
    pub nodes: NodeCounts,
    /// Open links.
    pub linked: usize,
    /// Connections that have not authenticated.
    pub waiting: usize,
}

/// Nodes by standing.
#[derive(Debug, Serialize, Deserialize)]
pub struct NodeCounts {
    /// Waiting for the operator.
    pub pending: u64,
    /// Paired and not muted.
    pub paired: u64,
    /// Muted.
    pub muted: u64,
    /// Revoked.
    pub revoked: u64,
}

/// What `GET /api/v1/devices` answers.
#[derive(Debug, Serialize, Deserialize)]
pub struct DeviceList {
    /// In order of their ids.
    pub devices: Vec<DeviceView>,
    /// Nodes whose stored record cannot be read; they are left as they are.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub damaged: Vec<DamagedView>,
}

/// A node whose stored record cannot be read.
#[derive(Debug, Serialize, Deserialize)]
pub struct DamagedView {
    /// Which.
    pub node_id: String,
    /// What is wrong with its record.
    pub problem: String,
}

/// What approving answers: the only time the token is shown.
#[derive(Serialize, Deserialize)]
pub struct IssuedView {
    /// Whose.
    pub node_id: String,
    /// What it calls itself, for the operator to see whom was approved.
    pub friendly_name: String,
    /// Where it says it stands.
    pub room: String,
    /// From where it asked.
    pub ip_address: String,
    /// The token.
    pub token: String,
}

/// What an error answers.
#[derive(Debug, Serialize, Deserialize)]
pub struct ErrorView {
    /// The error.
    pub error: ErrorBody,
}

/// An error for programs and for people.
#[derive(Debug, Serialize, Deserialize)]
pub struct ErrorBody {
    /// `usage`, `not_found`, `ambiguous`, `refused` or `store`.
    pub code: String,
    /// What is wrong and what mends it.
    pub message: String,
}

#[derive(Deserialize)]
struct ListQuery {
    #[serde(default)]
    filter: ListFilter,
}

#[derive(Deserialize, Default, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum ListFilter {
    #[default]
    Current,
    Pending,
    All,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct PairBody {
    #[serde(default)]
    reissue: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyBody {
    mode: String,
}

async fn status(State(gateway): State<Gateway>) -> Result<Json<StatusView>, Failure> {
    let summary = gateway.summary().await?;
    let nodes = NodeCounts {
        pending: summary.nodes.pending,
        paired: summary.nodes.paired,
        muted: summary.nodes.muted,
        revoked: summary.nodes.revoked,
    };
    Ok(Json(StatusView { nodes, linked: summary.linked, waiting: summary.waiting }))
}

async fn list(
    State(gateway): State<Gateway>,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Json<DeviceList>, Failure> {
    let Query(query) = query.map_err(|_| Failure::Usage("filter must be current, pending or all".to_owned()))?;
    let filter = match query.filter {
        ListFilter::Current => Filter::Current,
        ListFilter::Pending => Filter::Pending,
        ListFilter::All => Filter::All,
    };
    let mut all = DeviceList { devices: Vec::new(), damaged: Vec::new() };
    let mut after = None;
    loop {
        let page = gateway.devices(filter, after, PAGE).await?;
        let full = page.len() == PAGE;
        for listed in page {
            match listed {
                Ok(device) => {
                    after = Some(device.entry.record.node_id);
                    all.devices.push(DeviceView::from(&device));
                }
                Err(bad) => {
                    after = Some(bad.node_id);
                    all.damaged.push(DamagedView { node_id: bad.node_id.to_string(), problem: bad.problem });
                }
            }
        }
        if !full {
            return Ok(Json(all));
        }
    }
}

async fn show(State(gateway): State<Gateway>, Path(prefix): Path<String>) -> Result<Json<DeviceView>, Failure> {
    Ok(Json(DeviceView::from(&gateway.device_by_prefix(&prefix).await?)))
}

async fn pair(State(gateway): State<Gateway>, Path(prefix): Path<String>, body: Bytes) -> Result<Json<IssuedView>, Failure> {
    let body: PairBody = if body.is_empty() { PairBody::default() } else { parse(&body)? };
    let purpose = match body.reissue {
        true => Purpose::Reissue,
        false => Purpose::Approve,
    };
    let record = gateway.device_by_prefix(&prefix).await?.entry.record;
    let issued = gateway.pair(record.node_id, purpose).await?;
    Ok(Json(IssuedView {
        node_id: issued.node_id.to_string(),
        friendly_name: record.name.to_string(),
        room: record.room.to_string(),
        ip_address: record.address.to_string(),
        token: issued.token.expose().to_owned(),
    }))
}

async fn policy(State(gateway): State<Gateway>, Path(prefix): Path<String>, body: Bytes) -> Result<Json<DeviceView>, Failure> {
    let body: PolicyBody = parse(&body)?;
    let decision = match (body.mode.as_str(), Mode::parse(&body.mode)) {
        ("muted", _) => Decision::Mute,
        (_, Some(mode)) => Decision::SetMode(mode),
        (_, None) => return Err(Failure::Usage("mode must be full, safe-chat or muted".to_owned())),
    };
    apply(&gateway, &prefix, decision).await
}

async fn decide(
    State(gateway): State<Gateway>,
    Path((prefix, decision)): Path<(String, String)>,
) -> Result<Json<DeviceView>, Failure> {
    let decision = match decision.as_str() {
        "reject" => Decision::Reject,
        "unpair" => Decision::Unpair,
        "mute" => Decision::Mute,
        "unmute" => Decision::Unmute,
        _ => return Err(Failure::Usage("a decision is pair, reject, unpair, policy, mute or unmute".to_owned())),
    };
    apply(&gateway, &prefix, decision).await
}

/// Reads a body, whatever type it says it is.
fn parse<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(body).map_err(|error| Failure::Usage(format!("the request's body is not understood: {error}")))
}

async fn no_such_route() -> Failure {
    Failure::NoRoute
}

async fn apply(gateway: &Gateway, prefix: &str, decision: Decision) -> Result<Json<DeviceView>, Failure> {
    let device = gateway.device_by_prefix(prefix).await?;
    let node_id = device.entry.record.node_id;
    gateway.decide(node_id, &decision).await?;
    Ok(Json(DeviceView::from(&gateway.device_by_prefix(&node_id.to_string()).await?)))
}

/// Why a request was not carried out.
enum Failure {
    Usage(String),
    NoRoute,
    Operator(OperatorError),
}

impl From<OperatorError> for Failure {
    fn from(error: OperatorError) -> Self {
        Self::Operator(error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let (status, code, message) = match self {
            Self::Usage(message) => (StatusCode::BAD_REQUEST, "usage", message),
            Self::NoRoute => (StatusCode::NOT_FOUND, "usage", "there is no such route, or not with this method".to_owned()),
            Self::Operator(error) => {
                let (status, code) = match &error {
                    OperatorError::NotFound(_) => (StatusCode::NOT_FOUND, "not_found"),
                    OperatorError::Ambiguous { .. } => (StatusCode::CONFLICT, "ambiguous"),
                    OperatorError::Refused { .. } => (StatusCode::CONFLICT, "refused"),
                    OperatorError::Store(_) => (StatusCode::SERVICE_UNAVAILABLE, "store"),
                };
                (status, code, error.to_string())
            }
        };
        (status, Json(ErrorView { error: ErrorBody { code: code.to_owned(), message } })).into_response()
    }
}
