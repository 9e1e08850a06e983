//! The operator's API, which the command line uses over the Unix socket in the data directory.
//!
//! `GET /api/v1/openapi.json` documents every operation (OpenAPI 3.1): what it does, its parameters,
//! its body, its answers, and the role that it needs. The document is made of the handlers
//! themselves, which are registered together with it.
//!
//! Besides it, `GET /metrics` returns all metrics as OpenMetrics, or as Prometheus text 0.0.4 for
//! `Accept: text/plain`, and `POST /api/v0/provisioning/token` with `{"node_id"}`, and optionally
//! `"permissions"`, `"grant_expires"`, `"label"`, mints a token by which that node registers once:
//! 201 `{"id","token","node_id","expires_at","expires_in"}`.
//!
//! An answer with `"delivery"` holds a secret that is told only once. The client confirms the
//! delivery once the secret is in its place; if nobody confirms it for a minute
//! (`limits.deliver_within`) and nobody uses the secret, the decision behind it is undone: a
//! request waits again, a node's old token remains valid, a code is withdrawn.
//!
//! A `prefix` is a whole name or the beginning of an id; for a session, the beginning of an id. A
//! `which` belongs to permanent decisions: a whole name, or six or more characters of an id.
//!
//! Permissions are `{"read":[…],"write":[…],"admin":[…]}` with patterns like `/lights/**`; times
//! are RFC 3339; durations are in seconds, and their names say so.
//!
//! Over HTTP a companion's session reaches what its permissions name under `/gateway`, and they
//! bound what it makes (codes, setup codes and what these open, grants, prolonged sessions, allowed
//! senders): no scope outside them, no end later than the session's own, and all of it ends with
//! the session. A wider request is answered with 403 (`wider_than_yours`), which names the first
//! scope that is not covered; a duration that is left out is the longest possible one. A session
//! gives a node tasks, and reads what they are about, only with
//! `write:/gateway/nodes/ID/dispatches` or more, and its tasks are not sent once it has ended. It
//! sees a PIN only if it opened pairing for it. Every list names the maker of its entries
//! (`made_by`: `operator`, or `session ID`).
//!
//! An operator's session in a browser, and an operator's token (`Authorization: Bearer`), reach what
//! their role allows: a viewer reads everything but secrets, an operator administers all but the
//! certificate authority, operators, tokens and what ends all of a kind at once, an owner
//! everything. The codes and the open window that they made end with them; what they approved does
//! not. A session's requests that change something carry its CSRF token in `X-Handfast-CSRF` and
//! come from a page of the gateway's own (403 `csrf`, `origin_not_allowed`). Ending all of a kind,
//! new keys, and what concerns operators and tokens need a session that was opened in the last ten
//! minutes (403 `fresh_login`), which no token is. The clock is set over the Unix socket only.
//!
//! Answers over the Unix socket carry the gateway's time as `Date`.
//!
//! Errors are `{"error":{"code","message","hint"}}`, where `hint` is a call of this API that mends
//! the problem or shows more about it, or `null`; with 400 (`usage`), 403 (`wider_than_yours`), 404
//! (`not_found`; `usage` for a route), 405 and 413 (`usage`), 409 (`ambiguous`, `changed`, `refused`,
//! `elsewhere`), 429 (`rate_limited`), 502 (`channel`) or 503 (`store`, `key`, `cut_not_stored`). `cut_not_stored`
//! means that the decision is in force, on live connections too, but the store could not be
//! written: a restart loses it unless an automatic retry has stored it before.

pub(in crate::http) mod audit;
mod caller;
pub(in crate::http) mod certificates;
mod changes;
mod clock;
mod decisions;
mod deliveries;
mod device;
pub(in crate::http) mod dispatches;
mod events;
#[cfg(feature = "extensions")]
pub(in crate::http) mod extensions;
#[cfg(not(feature = "extensions"))]
#[path = "no_extensions.rs"]
mod extensions;
mod extract;
pub(in crate::http) mod failure;
mod gateway_key;
mod gateways;
pub(in crate::http) mod inbound;
pub(in crate::http) mod listing;
mod marks;
mod messages;
mod moving;
pub(in crate::http) mod openapi;
pub(in crate::http) mod operators;
mod paging;
pub(in crate::http) mod paired;
pub(in crate::http) mod pairing;
mod permissions;
pub(in crate::http) mod policies;
mod provisioning;
pub(in crate::http) mod setup;
mod shared_socket;
mod socket;
mod time;

use std::time::{Duration, UNIX_EPOCH};

use axum::extract::{DefaultBodyLimit, State};
use axum::http::header::DATE;
use axum::http::{HeaderMap, HeaderValue, Method, Uri};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use handfast_core::registry::authority::Authority;
use serde::{Deserialize, Serialize};

pub use audit::{AuditList, AuditProofView, CheckpointView};
pub(in crate::http) use caller::Acting;
pub(crate) use caller::Caller;
pub use certificates::{
    AuthorityView, CertificateList, CertificateView, RevocationListsView, RevokedCertificatesView,
};
pub use clock::{AcceptedView, ClockView};
pub use decisions::{ForgottenView, IssuedView, RejectedView};
pub use deliveries::{DeliveriesView, DeliveryView};
pub use device::{AsksView, DeviceView, LinkedView, QuarantineView, ReplacementView, Sensors};
pub use dispatches::{CapabilityList, CapabilityView, DispatchList, DispatchView};
#[cfg(feature = "extensions")]
pub use extensions::ExtensionList;
pub(crate) use extract::WAIT_MOST;
pub(crate) use failure::AdminFailure;
pub use failure::{ErrorBody, ErrorView, NextCall};
pub use gateway_key::{GatewayKeyView, RotationView};
pub use gateways::{GatewayList, GatewayView};
pub use inbound::{
    AdmissionView, ApprovedView, ChangedView, SeededView, SenderList, SenderView, SentView,
};
pub use listing::{DamagedView, DeviceList};
pub use marks::MarkKeyView;
pub use messages::SentToNodeView;
pub use moving::{MovedAllView, MovedList, MovedView};
pub use operators::{
    LoginLinkView, LoginStateView, LoginView, OperatorList, OperatorView, TokenList, TokenMadeView,
};
pub use paired::{
    DelegateView, GrantView, InForceView, OfferedView, PairedList, PairedView, PingView,
    RevokedAllView, RevokedView,
};
pub use pairing::{
    CodeList, CodeView, GuesserView, MintedList, MintedView, PairingView, PinList, PinView,
};
pub use permissions::PermissionsView;
pub use policies::{PolicyList, PolicyView};
pub use provisioning::ProvisioningTokenView;
pub use setup::{RevokedSessionsView, RotatedView, SessionList, SessionView, StartedView};
pub use shared_socket::{SharedSocket, SocketGroup, serve_shared_admin};
pub use socket::{SOCKET_NAME, SocketError, bind, serve_admin, socket_path};
pub use time::Time;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::gateway::Gateway;
use crate::gateway::unstored::StoreStatus;
use crate::http::session_api;
use crate::telemetry::spans;

/// Returns the operator's routes. Every client that can reach them has the owner's authority over
/// every node: serve them only where only the operator can connect.
pub fn admin_router(gateway: &Gateway) -> Router {
    let (local, _) = local_routes().split_for_parts();
    let local = local
        .method_not_allowed_fallback(no_such_method)
        .layer(axum::middleware::from_fn(spans::operator))
        .with_state(gateway.clone());
    routes(gateway)
        .merge(local)
        .layer(Extension(Caller::new(Authority::OWNER, None)))
        .layer(axum::middleware::map_response_with_state(gateway.clone(), dated))
}

/// Dates an answer by the gateway's clock, which may be another one than its machine's: ends and
/// deadlines are by that clock.
async fn dated(State(gateway): State<Gateway>, mut response: Response) -> Response {
    let now = Duration::from_secs(gateway.inner.clock.unix().as_secs());
    let now = UNIX_EPOCH.checked_add(now).map(httpdate::fmt_http_date);
    if let Some(date) = now.and_then(|text| HeaderValue::from_str(&text).ok()) {
        response.headers_mut().insert(DATE, date);
    }
    response
}

/// Returns the routes without an authority: a layer must insert the [`Caller`] of each request.
/// Without one they change nothing.
pub(crate) fn routes(gateway: &Gateway) -> Router {
    let (documented, _) = api_routes().split_for_parts();
    documented
        .route("/api/v0/provisioning/token", post(provisioning::mint))
        .route("/metrics", get(metrics))
        .fallback(no_such_route)
        .method_not_allowed_fallback(no_such_method)
        .layer(DefaultBodyLimit::max(session_api::BODY_BYTES))
        .layer(axum::middleware::from_fn(spans::operator))
        .with_state(gateway.clone())
}

/// Returns the routes of the local socket alone, with their operations.
pub(in crate::http) fn local_routes() -> OpenApiRouter<Gateway> {
    OpenApiRouter::new()
        .routes(routes!(operators::log_in))
        .routes(routes!(operators::link_state))
        .routes(routes!(openapi::show))
}

/// Returns the routes of every caller's API, with their operations.
pub(in crate::http) fn api_routes() -> OpenApiRouter<Gateway> {
    OpenApiRouter::new()
        .routes(routes!(status))
        .routes(routes!(gateways::list))
        .routes(routes!(clock::show))
        .routes(routes!(clock::accept))
        .routes(routes!(events::follow))
        .routes(routes!(messages::follow))
        .merge(node_routes())
        .merge(pairing_routes())
        .routes(routes!(certificates::list))
        .routes(routes!(certificates::revocation_lists))
        .routes(routes!(certificates::revoke))
        .routes(routes!(certificates::revoke_all))
        .routes(routes!(certificates::rotate))
        .routes(routes!(operators::me))
        .routes(routes!(operators::list))
        .routes(routes!(operators::revoke))
        .routes(routes!(operators::tokens))
        .routes(routes!(operators::make_token))
        .routes(routes!(operators::revoke_token))
        .routes(routes!(inbound::list))
        .routes(routes!(inbound::approve))
        .routes(routes!(inbound::reject))
        .routes(routes!(inbound::block))
        .routes(routes!(inbound::unblock))
        .routes(routes!(inbound::revoke))
        .routes(routes!(inbound::forget))
        .routes(routes!(inbound::seed))
        .routes(routes!(inbound::admit))
        .routes(routes!(inbound::qr))
        .merge(extensions::routes())
        .routes(routes!(audit::list))
        .routes(routes!(audit::checkpoint))
        .routes(routes!(audit::export))
        .routes(routes!(audit::proof))
}

/// Returns the routes of nodes and of tasks for them.
fn node_routes() -> OpenApiRouter<Gateway> {
    OpenApiRouter::new()
        .routes(routes!(listing::list))
        .routes(routes!(listing::show))
        .routes(routes!(decisions::pair))
        .routes(routes!(decisions::reject))
        .routes(routes!(decisions::reject_many))
        .routes(routes!(decisions::unpair))
        .routes(routes!(decisions::mute))
        .routes(routes!(decisions::unmute))
        .routes(routes!(decisions::policy))
        .routes(routes!(decisions::rename))
        .routes(routes!(decisions::evict))
        .routes(routes!(decisions::release))
        .routes(routes!(decisions::forget))
        .routes(routes!(messages::send))
        .routes(routes!(marks::rotate))
        .routes(routes!(gateway_key::show))
        .routes(routes!(gateway_key::rotate))
        .routes(routes!(gateway_key::finish))
        .routes(routes!(paired::list))
        .routes(routes!(paired::show))
        .routes(routes!(paired::permit))
        .routes(routes!(paired::ping))
        .routes(routes!(moving::list))
        .routes(routes!(moving::move_all))
        .routes(routes!(moving::show))
        .routes(routes!(moving::move_one))
        .routes(routes!(paired::revoke))
        .routes(routes!(paired::revoke_all))
        .routes(routes!(dispatches::capabilities))
        .routes(routes!(dispatches::list))
        .routes(routes!(dispatches::invoke))
        .routes(routes!(dispatches::show))
        .routes(routes!(dispatches::cancel))
        .routes(routes!(dispatches::retry))
}

/// Returns the routes of pairing, of companions, and of the deliveries of secrets.
fn pairing_routes() -> OpenApiRouter<Gateway> {
    OpenApiRouter::new()
        .routes(routes!(pairing::show))
        .routes(routes!(pairing::set))
        .routes(routes!(pairing::pins))
        .routes(routes!(pairing::codes))
        .routes(routes!(pairing::mint))
        .routes(routes!(pairing::mint_many))
        .routes(routes!(pairing::withdraw))
        .routes(routes!(policies::list))
        .routes(routes!(policies::make))
        .routes(routes!(policies::end))
        .routes(routes!(setup::start))
        .routes(routes!(setup::rotate))
        .routes(routes!(setup::list))
        .routes(routes!(setup::revoke))
        .routes(routes!(setup::refresh))
        .routes(routes!(setup::revoke_all))
        .routes(routes!(deliveries::confirm))
        .routes(routes!(deliveries::cancel))
        .routes(routes!(deliveries::confirm_many))
        .routes(routes!(deliveries::cancel_many))
}

/// The answer to `GET /api/v1/status`.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct StatusView {
    /// Name of the gateway; absent if it has none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub name: Option<String>,
    /// Version of the gateway; absent if it does not say.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub version: Option<String>,
    /// Number of nodes by standing.
    pub nodes: NodeCounts,
    /// Number of open links.
    pub linked: usize,
    /// Number of connections that have not authenticated yet.
    pub waiting: usize,
    /// Address that setup codes name; absent if companions elsewhere cannot reach the gateway.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub companion_url: Option<String>,
    /// `true` if the page of links for phones is served.
    #[serde(default)]
    pub links: bool,
    /// State of the clock.
    pub clock: ClockView,
    /// State of the store.
    #[serde(default)]
    pub store: StoreView,
    /// Approvals in advance that approve nodes now, or will once the clock is right.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub policies: Vec<PolicyView>,
    /// Number of nodes in quarantine, because their state may have been copied.
    #[serde(default)]
    pub quarantined: usize,
    /// Time since which this gateway is known to be older than its nodes: it was
    /// restored from a backup.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub older_than_nodes_since: Option<Time>,
    /// The rotation of the gateway's key that is under way.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub key_rotation: Option<RotationView>,
}

/// State of the store.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct StoreView {
    /// `true` if the last write failed.
    pub failing: bool,
    /// Number of failed writes since the gateway started.
    pub failures: u64,
    /// Decisions that are in force and not stored yet.
    pub unstored: Vec<UnstoredView>,
}

/// A decision that is in force and not stored yet.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct UnstoredView {
    /// The effect of the decision, as a clause.
    pub what: String,
    /// Time of the decision.
    pub since: Time,
}

/// Number of nodes by standing.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct NodeCounts {
    /// Nodes that wait for the operator.
    pub pending: u64,
    /// Nodes that are paired and not muted.
    pub paired: u64,
    /// Nodes that are muted.
    pub muted: u64,
    /// Nodes that are revoked.
    pub revoked: u64,
    /// Keys that stay revoked although their nodes' records were removed.
    #[serde(default)]
    pub forgotten: u64,
}

/// Counts nodes, and reports on the store and the clock.
#[utoipa::path(
    get,
    path = "/api/v1/status",
    tag = "State",
    responses((status = 200, body = StatusView)),
)]
pub(in crate::http) async fn status(
    Acting(gateway): Acting,
) -> Result<Json<StatusView>, AdminFailure> {
    let summary = gateway.summary().await?;
    let nodes = NodeCounts {
        pending: summary.nodes.pending,
        paired: summary.nodes.paired,
        muted: summary.nodes.muted,
        revoked: summary.nodes.revoked,
        forgotten: summary.nodes.forgotten,
    };
    let StoreStatus { failing, failures, unstored } = gateway.store_status();
    let unstored = unstored
        .into_iter()
        .map(|one| UnstoredView { what: one.what, since: one.since.into() })
        .collect();
    let store = StoreView { failing, failures, unstored };
    Ok(Json(StatusView {
        name: gateway.name().map(str::to_owned),
        version: Some(env!("CARGO_PKG_VERSION").to_owned()),
        nodes,
        linked: summary.linked,
        waiting: summary.waiting,
        companion_url: gateway.companion_url(),
        links: gateway.inner.links,
        clock: gateway.clock().into(),
        store,
        policies: policies::in_force(&gateway).await?,
        quarantined: gateway.quarantined().await?.len(),
        older_than_nodes_since: gateway.older_than_nodes().map(|older| older.at.into()),
        key_rotation: gateway.key_rotation().await?.map(RotationView::from),
    }))
}

async fn metrics(Acting(gateway): Acting, headers: HeaderMap) -> Response {
    session_api::metrics::answer(&gateway, &headers).await
}

/// Answers a request for a path that is no route.
async fn no_such_route() -> AdminFailure {
    AdminFailure::NoRoute
}

/// Answers a request for a route that has no such method.
pub(in crate::http) async fn no_such_method(method: Method, uri: Uri) -> AdminFailure {
    // The dialect of command centers knows no other answer.
    match uri.path().starts_with("/api/v0") {
        true => AdminFailure::NoRoute,
        false => AdminFailure::NoMethod(method),
    }
}

#[cfg(test)]
mod tests;
