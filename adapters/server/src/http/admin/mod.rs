//! The operator's API, which the command line uses over the Unix socket in the data directory.
//!
//! State:
//! - `GET /api/v1/status` counts nodes, and reports on the store and the clock:
//!   `{"name","version","nodes":{"pending","paired","muted","revoked","forgotten"},"linked","waiting","companion_url",
//!   "store":{"failing","failures","unstored":[{"what","since"}]},"clock"}`
//! - `GET /api/v1/clock` reports on the clock:
//!   `{"state":"good"|"behind"|"doubtful","now","system","mark","synchronised",
//!   "synchronised_for","mend"}`
//! - `POST /api/v1/clock` with `{"at"}`, optional, confirms the system's clock or sets that time;
//!   over the Unix socket only: `{"clock","moved","ended"}`
//! - `GET /metrics` returns all metrics as OpenMetrics, or as Prometheus text 0.0.4 for `Accept:
//!   text/plain`
//! - `GET /api/v1/events` streams events from now on, **PINs included**: one JSON object per line,
//!   the first `{"event":"listening"}`
//! - `GET /api/v1/events` with `Accept: text/event-stream` streams what has changed, as server-sent
//!   events without PINs: `id:` a number, `data:` `{"kind","ids":{"node",…}}`. The first is of
//!   the type `ready`; with `Last-Event-ID` the stream goes on behind that, or begins with
//!   `resync` if that is too long ago or of an earlier run: read everything anew then
//! - `GET /api/v1/messages` streams the messages of linked nodes in the same way:
//!   `{"event":"message","node_id"|"fingerprint","action","address","text"|"base64url"}`; frames of
//!   nodes with tokens have no action and no address
//!
//! Nodes:
//! - `GET /api/v1/devices?filter=current|pending|more|all` lists nodes: `{"devices":[…]}`. `more`
//!   are paired nodes that ask for more than they may (`"asks_more"`)
//! - `GET /api/v1/devices/{prefix}` returns a device, and records it as shown, for a later
//!   approval; with `?glance=true` it does not record that
//! - `POST /api/v1/devices/{prefix}/pair` approves; `{"reissue":true}` gives a new token or grant;
//!   `"version"` approves only the record that was shown with that version, and `"seen"` only a
//!   request that still has this hash, which a waiting device shows; for a node with keys
//!   also `"permissions"`, `"expires"`, `"message"`:
//!   `{"node_id","friendly_name","room","ip_address","token","delivery"}`, or for a node with keys
//!   `"fingerprint","in_force","offered"` in place of the token
//! - `POST /api/v1/devices/{prefix}/reject`, with `{"reason"}` for a node with keys, rejects a
//!   request, which may be made again later: a device
//! - `POST /api/v1/devices/{which}/reject` with `{"for_good":true}` rejects it permanently: a
//!   device
//! - `POST /api/v1/devices/reject` with `{"all":true}`, `{"name"}` or `{"from":"192.0.2.0/24"}`,
//!   and `{"for_good"}`, rejects all matching requests: `{"rejected","failed":[…]}`
//! - `POST /api/v1/devices/{which}/unpair` revokes a node: a device
//! - `POST /api/v1/devices/{prefix}/mute`, `/unmute` mutes or unmutes: a device
//! - `POST /api/v1/devices/{prefix}/rename` with `{"name"}` names a paired node: a device
//! - `POST /api/v1/devices/{prefix}/evict` ends a node's links and its certificates; it may come
//!   back by renewing with its key: a device
//! - `POST /api/v1/devices/{prefix}/release` ends the quarantine of a node whose state was restored
//!   from a backup: a device
//! - `POST /api/v1/devices/{which}/forget` removes the record of a revoked node, whose key stays
//!   revoked for good, or of a rejected one, which may ask again:
//!   `{"forgotten","friendly_name","stays_revoked"}`
//! - `POST /api/v1/marks/rotate` makes a new key for the marks by which copied nodes are noticed:
//!   `{"older_keys"}`, the number of those that are good for reading only
//! - `POST /api/v1/devices/{prefix}/send` with `{"action","address","text"}` sends a message to a
//!   node that is linked over the native wire; without an action it is `write`: `{"node_id","sent"}`
//!   A session sends and hears (`/api/v1/messages`) only what its own scopes allow at that address.
//! - `POST /api/v1/devices/{prefix}/policy` with `{"mode":"full"|"safe-chat"|"muted"}` sets the
//!   mode: a device
//!
//! Pairing by PIN and code:
//! - `GET /api/v1/pairing` reports on pairing by PIN:
//!   `{"open","locked","since","closes_at","wrong_pins",
//!   "guessers":[{"source","wrong_pins","locked"}],"fingerprint"}`
//! - `POST /api/v1/pairing` with `{"open":true,"for":300}` or `{"open":false}` opens or closes it:
//!   as above
//! - `GET /api/v1/pairing/pins` lists the PINs that pair a node now, for those who may pair with
//!   them: `{"pins":[{"id","pin","label","fingerprint","source","expires_at","guesses_left"}]}`
//! - `GET /api/v1/pairing/codes` lists usable PINs and codes, without their secrets:
//!   `{"codes":[…]}`
//! - `POST /api/v1/pairing/codes` with
//!   `{"kind":"qr"|"typed"|"letters","permissions","expires","uses","grant_expires","label","addresses"}`,
//!   all optional, mints a code:
//!   `{"id","selector","code","expires_at","fingerprint","invitation","addresses","delivery"}`
//! - `DELETE /api/v1/pairing/codes/{id}` withdraws a PIN, code or provisioning token: the list
//! - `POST /api/v0/provisioning/token` with `{"node_id"}`, and optionally `"permissions"`,
//!   `"grant_expires"`, `"label"`, mints a token by which that node registers once:
//!   201 `{"id","token","node_id","expires_at","expires_in"}`
//! - `GET /api/v1/paired` lists the nodes that are paired by their keys:
//!   `{"paired":[{"device","in_force","offered","grants","delegates"}]}`
//! - `GET /api/v1/paired/{which}/permissions` returns a node's permissions: those in force
//!   (`in_force`) and those offered (`offered`), by its name or the beginning of its id: as in the
//!   list
//! - `POST /api/v1/paired/{which}/permissions` with `{"permissions","expires"}`, at least one of
//!   them, changes them; `"expires":"never"` removes an end. Fewer permissions are in force at
//!   once, more of them once the node has confirmed them: as above
//! - `POST /api/v1/paired/{which}/ping` asks a linked node for an answer:
//!   `{"node_id","friendly_name","micros"}`. Sessions may ask for 20 a minute of one node
//! - `POST /api/v1/paired/{which}/revoke` revokes a node (beginning of its id, or its name) or a
//!   capability token (beginning of its id):
//!   `{"revoked":"node"|"capability","node_id","friendly_name","capability"}`
//! - `POST /api/v1/paired/revoke-all` revokes all of these nodes: `{"revoked","failed":[…]}`
//!
//! Tasks for nodes (`which` as above; an `id` is 32 hexadecimal digits, or 4 or more of them):
//! - `GET /api/v1/nodes/{which}/capabilities` lists what a node can do:
//!   `{"takes_tasks","takes_none","capabilities":[…],"open"}`
//! - `POST /api/v1/nodes/{which}/dispatches` with
//!   `{"capability","input","timeout","max_payload","request_id"}`, all optional but the first,
//!   gives a node a task: a dispatch. Made again with the same `request_id`, it answers with what
//!   became of it
//! - `GET /api/v1/nodes/{which}/dispatches?limit=` lists the tasks of a node, the newest first:
//!   `{"dispatches":[…]}`
//! - `GET /api/v1/nodes/{which}/dispatches/{id}?wait=30&known=` shows one task; with `wait` it
//!   answers as soon as the task differs from the one whose `seen` is given, at most 60 s later
//! - `POST /api/v1/nodes/{which}/dispatches/{id}/cancel` cancels a task: a dispatch
//! - `POST /api/v1/nodes/{which}/dispatches/{id}/retry` with `{"timeout"}` sends a task again that
//!   certainly never ran: a dispatch
//!
//! Certificates:
//! - `GET /api/v1/certs?all=true` lists nodes' certificates: `{"authority":{"fingerprint","roots"},
//!   "certificates":[{"serial","fingerprint","node_id","key","state","not_before","not_after"}]}`
//! - `POST /api/v1/certs/revoke` with one of `{"certificate"}` (a serial number, or the fingerprint
//!   as a name for it), `{"key"}` and `{"node"}` revokes for good: `{"revoked":[…]}`
//! - `POST /api/v1/certs/revoke-all` revokes all that were issued until now: as above
//! - `GET /api/v1/certs/crl` returns the lists of revoked certificates that all trusted roots have
//!   signed, for readers outside the gateway: `{"pem","revoked","next_update"}`
//! - `POST /api/v1/ca/rotate` with `{"at_once":true}`, optional, makes a new root:
//!   `{"fingerprint","roots"}`
//!
//! Setup codes and sessions:
//! - `POST /api/v1/setup` with `{"for_device","profile","ttl","public_url","bound"}`, all optional,
//!   makes a setup code: `{"url","url_source","bootstrap_token","expires_at","payload","delivery"}`
//! - `POST /api/v1/setup/rotate` with `{"at_once":true}`, optional, makes a new key for setup
//!   codes: `{"rotated":true}`
//! - `POST /api/v1/deliveries/{delivery}/confirm` confirms that a secret is in its place:
//!   `{"delivery","settled":"delivered"}`
//! - `POST /api/v1/deliveries/{delivery}/cancel` reports that it could not be shown, and undoes the
//!   decision behind it: `{"delivery","settled":"undone"}`
//! - `GET /api/v1/sessions?filter=live|all` lists companions' sessions: `{"sessions":[…]}`
//! - `POST /api/v1/sessions/{prefix}/revoke` ends a session: a session
//! - `POST /api/v1/sessions/{prefix}/refresh` prolongs a session: a session
//! - `POST /api/v1/sessions/revoke-all` ends all sessions: `{"revoked"}`
//!
//! Operators (times are RFC 3339; `which` is six or more characters of an id):
//! - `POST /api/v1/logins` with `{"name","role"}`, both optional, makes a login link; over the Unix
//!   socket only: `{"id","url","name","role","expires_in","reach","delivery"}`
//! - `GET /api/v1/logins/{id}?wait=30` returns the state of a login link, with `wait` as soon as it
//!   changes; over the Unix socket only: `{"state":"waits"|"used"|"ended","used_at","ip_address"}`
//! - `GET /api/v1/operator` describes the browser's own session:
//!   `{"id","name","role","csrf","ends_at","fresh_until"}`
//! - `GET /api/v1/operators` lists operators' sessions: `{"operators":[…]}`
//! - `POST /api/v1/operators/{which}/revoke` ends one: a session
//! - `GET /api/v1/tokens` lists the tokens of operators' programs: `{"tokens":[…]}`
//! - `POST /api/v1/tokens` with `{"role","name","expires"}`, the first required, makes a token, by
//!   default for 30 days: `{"id","token","name","role","ends_at","delivery"}`
//! - `POST /api/v1/tokens/{which}/revoke` ends one: a token
//!
//! Channels and extensions:
//! - `GET /api/v1/inbound?channel=&all=true&include_revoked=true` lists pending senders, or all:
//!   `{"senders":[…]}`
//! - `POST /api/v1/inbound/approve` with `{"code","until"}` allows the sender that waits with this
//!   code: `{"channel","account","sender"}`
//! - `POST /api/v1/inbound/reject`, `/block`, `/unblock`, `/revoke` with
//!   `{"channel","sender","account"}` decides about a sender; without an account, for all accounts:
//!   `{"changed"}`
//! - `POST /api/v1/inbound/seed` with `{"channel","account","senders":[…]}` allows many senders:
//!   `{"added"}`
//! - `POST /api/v1/inbound/admit` with `{"channel","account","sender","meta"}` queries the gate,
//!   for a program that holds a channel itself: `{"decision":"admit"|"challenge"|"drop",…}`
//! - `POST /api/v1/channels/{channel}/qr` with `{"account","to","png_base64"}` sends a picture over
//!   a channel: `{"sent"}`
//! - `GET /api/v1/extensions` reports on the extensions: `{"extensions":[…]}`
//! - `POST /api/v1/extensions/call` with `{"method","params"}` calls the extension that has this
//!   method: `{"ok","result","error"}`
//!
//! An answer with `"delivery"` holds a secret that is told only once. The client confirms the
//! delivery once the secret is in its place; if nobody confirms it for a minute
//! (`limits.deliver_within`) and nobody uses the secret, the decision behind it is undone: a
//! request waits again, a node's old token remains valid, a code is withdrawn.
//!
//! Audit log:
//! - `GET /api/v1/audit?limit=50&before=` lists decisions, the newest first:
//!   `{"entries":[{"entry","at","who","by","from","what",…,"outcome"}],"size","next","names"}`
//! - `GET /api/v1/audit/checkpoint?since=` signs a checkpoint of the log (C2SP `tlog-checkpoint`):
//!   `{"checkpoint","key","size","root","consistency":[…]}`; with `since`, `consistency` proves that
//!   the log of that size is the beginning of this one
//! - `GET /api/v1/audit/{entry}/proof?size=` proves that the log holds an entry:
//!   `{"entry","line","leaf","size","root","proof":[…]}`
//! - `GET /api/v1/audit/export?from=` streams the entries, each a line as it is hashed
//!
//! A `prefix` is a whole name or the beginning of an id; for a session, the beginning of an id. A
//! `which` belongs to permanent decisions: a whole name, or six or more characters of an id.
//!
//! Permissions are `{"read":[…],"write":[…],"admin":[…]}` with patterns like `/lights/**`; times
//! are in seconds.
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
//! Errors are `{"error":{"code","message","hint"}}`, where `hint` is a call of this API that mends
//! the problem or shows more about it, or `null`; with 400 (`usage`), 403 (`wider_than_yours`), 404
//! (`not_found`; `usage` for a route), 405 and 413 (`usage`), 409 (`ambiguous`, `changed`, `refused`), 429
//! (`rate_limited`), 502 (`channel`) or 503 (`store`, `key`, `cut_not_stored`). `cut_not_stored`
//! means that the decision is in force, on live connections too, but the store could not be
//! written: a restart loses it unless an automatic retry has stored it before.

mod audit;
mod caller;
pub(in crate::http) mod certificates;
mod changes;
mod clock;
mod decisions;
mod deliveries;
mod device;
pub(in crate::http) mod dispatches;
mod events;
pub(in crate::http) mod extensions;
mod extract;
pub(in crate::http) mod failure;
pub(in crate::http) mod inbound;
pub(in crate::http) mod listing;
mod marks;
mod messages;
mod operators;
pub(in crate::http) mod paired;
pub(in crate::http) mod pairing;
mod permissions;
mod provisioning;
pub(in crate::http) mod setup;
mod shared_socket;
mod socket;

use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderMap, Method, Uri};
use axum::response::Response;
use axum::routing::{delete, get, post};
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
pub use deliveries::DeliveryView;
pub use device::{AsksView, DeviceView, LinkedView, QuarantineView, Sensors};
pub use dispatches::{CapabilityList, CapabilityView, DispatchList, DispatchView};
pub use extensions::ExtensionList;
pub(crate) use failure::AdminFailure;
pub use failure::{ErrorBody, ErrorView, NextCall};
pub use inbound::{
    AdmissionView, ApprovedView, ChangedView, SeededView, SenderList, SenderView, SentView,
};
pub use listing::{DamagedView, DeviceList};
pub use marks::MarkKeyView;
pub use messages::SentToNodeView;
pub use operators::{
    LoginLinkView, LoginStateView, LoginView, OperatorList, OperatorView, TokenList, TokenMadeView,
};
pub use paired::{
    DelegateView, GrantView, InForceView, OfferedView, PairedList, PairedView, PingView,
    RevokedAllView, RevokedView,
};
pub use pairing::{CodeList, CodeView, GuesserView, MintedView, PairingView, PinList, PinView};
pub use permissions::PermissionsView;
pub use provisioning::ProvisioningTokenView;
pub use setup::{RevokedSessionsView, SessionList, SessionView, StartedView};
pub use shared_socket::{SharedSocket, SocketGroup, serve_shared_admin};
pub use socket::{SOCKET_NAME, SocketError, bind, serve_admin, socket_path};

use crate::gateway::Gateway;
use crate::gateway::unstored::StoreStatus;
use crate::http::session_api;
use crate::telemetry::spans;

/// Returns the operator's routes. Every client that can reach them has the owner's authority over
/// every node: serve them only where only the operator can connect.
pub fn admin_router(gateway: &Gateway) -> Router {
    let local = Router::new()
        .route("/api/v1/logins", post(operators::log_in))
        .route("/api/v1/logins/{id}", get(operators::link_state))
        .layer(axum::middleware::from_fn(spans::operator))
        .with_state(gateway.clone());
    routes(gateway).merge(local).layer(Extension(Caller::new(Authority::OWNER, None)))
}

/// Returns the routes without an authority: a layer must insert the [`Caller`] of each request.
/// Without one they change nothing.
pub(crate) fn routes(gateway: &Gateway) -> Router {
    Router::new()
        .route("/api/v1/status", get(status))
        .route("/api/v1/audit", get(audit::list))
        .route("/api/v1/audit/checkpoint", get(audit::checkpoint))
        .route("/api/v1/audit/export", get(audit::export))
        .route("/api/v1/audit/{entry}/proof", get(audit::proof))
        .route("/api/v1/clock", get(clock::show).post(clock::accept))
        .route("/api/v1/devices", get(listing::list))
        .route("/api/v1/devices/reject", post(decisions::reject_many))
        .route("/api/v1/devices/{prefix}", get(listing::show))
        .route("/api/v1/devices/{prefix}/pair", post(decisions::pair))
        .route("/api/v1/devices/{prefix}/send", post(messages::send))
        .route("/api/v1/devices/{prefix}/policy", post(decisions::policy))
        .route("/api/v1/devices/{prefix}/rename", post(decisions::rename))
        .route("/api/v1/devices/{prefix}/evict", post(decisions::evict))
        .route("/api/v1/devices/{prefix}/release", post(decisions::release))
        .route("/api/v1/marks/rotate", post(marks::rotate))
        .route("/api/v1/certs", get(certificates::list))
        .route("/api/v1/certs/crl", get(certificates::revocation_lists))
        .route("/api/v1/certs/revoke", post(certificates::revoke))
        .route("/api/v1/certs/revoke-all", post(certificates::revoke_all))
        .route("/api/v1/ca/rotate", post(certificates::rotate))
        .route("/api/v1/devices/{prefix}/forget", post(decisions::forget))
        .route("/api/v1/devices/{prefix}/reject", post(decisions::reject))
        .route("/api/v1/devices/{prefix}/unpair", post(decisions::unpair))
        .route("/api/v1/devices/{prefix}/mute", post(decisions::mute))
        .route("/api/v1/devices/{prefix}/unmute", post(decisions::unmute))
        .route("/api/v1/nodes/{which}/capabilities", get(dispatches::capabilities))
        .route("/api/v1/nodes/{which}/dispatches", get(dispatches::list).post(dispatches::invoke))
        .route("/api/v1/nodes/{which}/dispatches/{id}", get(dispatches::show))
        .route("/api/v1/nodes/{which}/dispatches/{id}/cancel", post(dispatches::cancel))
        .route("/api/v1/nodes/{which}/dispatches/{id}/retry", post(dispatches::retry))
        .route("/api/v1/deliveries/{id}/confirm", post(deliveries::confirm))
        .route("/api/v1/deliveries/{id}/cancel", post(deliveries::cancel))
        .route("/api/v1/pairing", get(pairing::show).post(pairing::set))
        .route("/api/v1/pairing/pins", get(pairing::pins))
        .route("/api/v1/pairing/codes", get(pairing::codes).post(pairing::mint))
        .route("/api/v1/pairing/codes/{id}", delete(pairing::withdraw))
        .route("/api/v0/provisioning/token", post(provisioning::mint))
        .route("/api/v1/paired", get(paired::list))
        .route("/api/v1/paired/revoke-all", post(paired::revoke_all))
        .route("/api/v1/paired/{which}/permissions", get(paired::show).post(paired::permit))
        .route("/api/v1/paired/{which}/ping", post(paired::ping))
        .route("/api/v1/paired/{which}/revoke", post(paired::revoke))
        .route("/api/v1/setup", post(setup::start))
        .route("/api/v1/setup/rotate", post(setup::rotate))
        .route("/api/v1/sessions", get(setup::list))
        .route("/api/v1/sessions/revoke-all", post(setup::revoke_all))
        .route("/api/v1/sessions/{prefix}/revoke", post(setup::revoke))
        .route("/api/v1/sessions/{prefix}/refresh", post(setup::refresh))
        .route("/api/v1/operator", get(operators::me))
        .route("/api/v1/operators", get(operators::list))
        .route("/api/v1/operators/{which}/revoke", post(operators::revoke))
        .route("/api/v1/tokens", get(operators::tokens).post(operators::make_token))
        .route("/api/v1/tokens/{which}/revoke", post(operators::revoke_token))
        .route("/api/v1/inbound", get(inbound::list))
        .route("/api/v1/inbound/approve", post(inbound::approve))
        .route("/api/v1/inbound/seed", post(inbound::seed))
        .route("/api/v1/inbound/admit", post(inbound::admit))
        .route("/api/v1/inbound/reject", post(inbound::reject))
        .route("/api/v1/inbound/block", post(inbound::block))
        .route("/api/v1/inbound/unblock", post(inbound::unblock))
        .route("/api/v1/inbound/revoke", post(inbound::revoke))
        .route("/api/v1/channels/{channel}/qr", post(inbound::qr))
        .route("/metrics", get(metrics))
        .route("/api/v1/extensions", get(extensions::list))
        .route("/api/v1/extensions/call", post(extensions::call))
        .route("/api/v1/events", get(events::follow))
        .route("/api/v1/messages", get(messages::follow))
        .fallback(no_such_route)
        .method_not_allowed_fallback(no_such_method)
        .layer(DefaultBodyLimit::max(session_api::BODY_BYTES))
        .layer(axum::middleware::from_fn(spans::operator))
        .with_state(gateway.clone())
}

/// The answer to `GET /api/v1/status`.
#[derive(Debug, Serialize, Deserialize)]
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
    /// State of the clock.
    pub clock: ClockView,
    /// State of the store.
    #[serde(default)]
    pub store: StoreView,
    /// Number of nodes in quarantine, because their state may have been copied.
    #[serde(default)]
    pub quarantined: usize,
    /// Time since which this gateway is known to be older than its nodes, in Unix seconds: it was
    /// restored from a backup.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub older_than_nodes_since: Option<u64>,
}

/// State of the store.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct StoreView {
    /// `true` if the last write failed.
    pub failing: bool,
    /// Number of failed writes since the gateway started.
    pub failures: u64,
    /// Decisions that are in force and not stored yet.
    pub unstored: Vec<UnstoredView>,
}

/// A decision that is in force and not stored yet.
#[derive(Debug, Serialize, Deserialize)]
pub struct UnstoredView {
    /// The effect of the decision, as a clause.
    pub what: String,
    /// Time of the decision in Unix seconds.
    pub since: u64,
}

/// Number of nodes by standing.
#[derive(Debug, Serialize, Deserialize)]
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
        .map(|one| UnstoredView { what: one.what, since: one.since.as_secs() })
        .collect();
    let store = StoreView { failing, failures, unstored };
    Ok(Json(StatusView {
        name: gateway.name().map(str::to_owned),
        version: Some(env!("CARGO_PKG_VERSION").to_owned()),
        nodes,
        linked: summary.linked,
        waiting: summary.waiting,
        companion_url: gateway.companion_url(),
        clock: gateway.clock().into(),
        store,
        quarantined: gateway.quarantined().await?.len(),
        older_than_nodes_since: gateway.older_than_nodes().map(|older| older.at.as_secs()),
    }))
}

async fn metrics(Acting(gateway): Acting, headers: HeaderMap) -> Response {
    session_api::metrics::answer(&gateway, &headers).await
}

/// Answers a request for a path that is no route.
pub(in crate::http) async fn no_such_route() -> AdminFailure {
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
