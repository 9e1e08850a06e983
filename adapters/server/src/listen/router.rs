//! The router to nest: a WebSocket on any path, and some HTTP. The subprotocol `handfast.v1`
//! selects the native wire, and no subprotocol selects `missy`. On `/pair` the first frame selects
//! between `missy` and a companion's dialect.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use handfast_core::Instant;
use handfast_core::limits::{FRAME_BYTES, MESSAGE_BYTES};
use tower::ServiceExt;
use tracing::{Instrument, Span};

use crate::connection::slots::SeatGuard;
use crate::flows::native::SUBPROTOCOL;
use crate::flows::{native, registration, setup_code};
use crate::gateway::Gateway;
use crate::http::{login, page, phone, revocation_lists, session_api};
use crate::policy::origin;
use crate::proxies::{NO_PEER, PeerAddress};
use crate::telemetry::log_lines::{CausedBy, limited};
use crate::telemetry::spans;

/// The size of a read in bytes. It is small, because every connection has such a buffer.
const READ_BUFFER: usize = 512;
/// The maximum number of bytes that wait for a slow peer inside the WebSocket: a full mailbox, and
/// the frame's header.
const MOST_UNSENT: usize = crate::connection::hub::MOST_QUEUED + 1024;

/// The slot that a connection took at accept, on its way to the handler.
#[derive(Clone)]
pub(crate) struct Accepted {
    pub(crate) at: Instant,
    pub(crate) seat: Arc<Mutex<Option<SeatGuard>>>,
}

impl Accepted {
    /// Assigns the slot to this address, or to none. Returns `false` if the address has its share.
    /// Without a slot it does nothing.
    pub(crate) fn counts_for(&self, address: Option<PeerAddress>) -> bool {
        let seat = self.seat.lock().ok();
        seat.as_ref()
            .and_then(|seat| seat.as_ref())
            .is_none_or(|seat| seat.counts_for(address.map(PeerAddress::source)))
    }

    /// Applies a function to the slot, unless a WebSocket has taken it.
    pub(crate) fn seated(&self, what: impl FnOnce(&SeatGuard)) {
        if let Ok(seat) = self.seat.lock()
            && let Some(seat) = seat.as_ref()
        {
            what(seat);
        }
    }
}

impl Gateway {
    /// Returns the gateway's routes: a WebSocket on every path that is not listed here, and some
    /// HTTP. A WebSocket with the subprotocol `handfast.v1` speaks the native wire; any other
    /// speaks `missy`, or on `/pair` a companion's dialect.
    ///
    /// - `GET /health`, for everybody: 503 while the registry cannot be read or written, else 200.
    /// - `GET /ready`, for everybody: 503 with the reasons if the gateway must not be sent nodes,
    ///   and the state of the clock: `{"ready":false,"reasons":[…],"clock":"good"}`.
    /// - `GET /metrics`, for sessions with `read` at `/gateway/metrics`: OpenMetrics, or Prometheus
    ///   text 0.0.4 for `Accept: text/plain`; see [`crate::serve_metrics`].
    /// - `GET /crl.der`, for everybody: the list of revoked certificates that the newest root has
    ///   signed (X.509 CRL, DER), at most a minute old. `GET /crl.pem` has the lists of all trusted
    ///   roots.
    /// - `/admin`, for operators' sessions: the page with which people decide.
    /// - `GET /login`, `GET /login.js` and `GET /login.css`, for everybody: the page that a login
    ///   link opens. `POST /login/look` with `{"secret"}` tells who would log in,
    ///   `{"name","role","gateway"}`; `POST /login` spends the secret and sets the cookie of an
    ///   operator's session; `POST /logout` ends that.
    /// - `GET /p`, for everybody: the page of links for phones, unless these are turned off.
    ///   `POST /p/look` tells whoever knows a link what it grants.
    /// - `GET /api/v1/session`, for the session itself: its description,
    ///   `{"id","profile","device_label","expires_at","permissions"}`.
    /// - `POST /api/v1/session/refresh`, for the session itself: prolongs it, with the same answer.
    /// - `DELETE /api/v1/session`, for the session itself: ends it, with `{"revoked":true}`.
    /// - `/api/v1/…`, for sessions as described below: the [operator's API](crate::http::admin).
    /// - `POST /api/v0/provisioning/token`, likewise: a token by which a node registers.
    /// - `POST /api/v0/nodes/register`, for a node with such a token:
    ///   `{"node_id","node_key","room","user","voice_mode"}`, and for one with a `native_key` also
    ///   `"gateway_key"` and `"gateway_address"`.
    /// - `GET /api/v0/nodes/self`, for a node with its key ([`NodeKeyCaller`](crate::NodeKeyCaller)).
    ///
    /// Operators' sessions and tokens reach the operator's API as their role allows. A browser's
    /// session is used over TLS and from the gateway's own machine; an embedder whose server speaks
    /// TLS inserts [`OverTls`](crate::OverTls) into each request's extensions.
    ///
    /// A companion's session is presented as `Authorization: Bearer TOKEN`. A `GET` of the operator's API needs
    /// a session that allows `read` at `/gateway` followed by the path after `/api/v1`, for
    /// instance `/gateway/devices`, with a pattern that begins with `/gateway`. Paths under
    /// `/events`, `/inbound`, `/pairing` and `/setup`, and every request that changes something,
    /// need `admin` there. Setup codes are made at the gateway alone.
    /// [`SetupSettings`](crate::policy::SetupSettings) define what a session allows.
    ///
    /// Nest the router in your own server, and serve that with
    /// `into_make_service_with_connect_info::<SocketAddr>()`: budgets are counted by peer address,
    /// and a request without one is answered 500 with a text that says so. Behind [listed
    /// proxies](crate::proxies::ProxySettings) the router reads the header that they write. If you
    /// determine the client by other means, insert a [`PeerAddress`] into the request's extensions
    /// in a layer of your own. Connections that have not authenticated then take their slot when
    /// the WebSocket opens, in the share of that address.
    ///
    /// The limits before that are your server's: the number of open sockets, in total and of one
    /// address; the time for a request and its TLS handshake; and a PROXY header before them.
    /// [`crate::serve`] has all of these.
    pub fn router(&self) -> Router {
        let api = session_api::router(self);
        let other = async move |gateway: State<Self>, request: Request| match session_api::is_api(
            request.uri().path(),
        ) {
            true => api.oneshot(request).await,
            false => open(gateway, request).await,
        };
        Router::new()
            .route("/health", get(health))
            .route("/ready", get(ready))
            .route("/metrics", get(session_api::metrics::show))
            .route("/crl.der", get(revocation_lists::der))
            .route("/crl.pem", get(revocation_lists::pem))
            .merge(login::router(self))
            .merge(phone::router(self))
            .fallback(other)
            .with_state(self.clone())
            .merge(page::routes(self))
    }
}

/// Bounds the memory of a WebSocket, whose messages have at most `most` bytes.
pub(crate) fn narrow(upgrade: WebSocketUpgrade, most: usize) -> WebSocketUpgrade {
    upgrade
        .read_buffer_size(READ_BUFFER)
        // Frames are written at once, so that no connection holds a buffer.
        .write_buffer_size(0)
        .max_write_buffer_size(MOST_UNSENT)
        .max_message_size(most)
        .max_frame_size(most)
}

async fn health(State(gateway): State<Gateway>) -> Response {
    let problem = match gateway.summary().await {
        Ok(_) => gateway.store_status().failing.then(|| cannot_write(&gateway)),
        Err(error) => {
            limited!(error, CausedBy::Any, { %error, } "not healthy");
            Some(CANNOT_READ)
        }
    };
    let status = if problem.is_none() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, axum::Json(serde_json::json!({"status": problem.unwrap_or("ok")}))).into_response()
}

const CANNOT_READ: &str = "the registry cannot be read";

/// Returns the words for a registry that cannot be written, by where it is.
fn cannot_write(gateway: &Gateway) -> &'static str {
    match gateway.sharing() {
        Some(_) => "the registry cannot be written; start its database, or mend the way to it",
        None => "the registry cannot be written; free disk space",
    }
}

/// Returns the reasons why the gateway is not ready. They name no node.
async fn reasons(gateway: &Gateway) -> Vec<String> {
    let mut reasons = Vec::new();
    if gateway.summary().await.is_err() {
        reasons.push(CANNOT_READ.to_owned());
    }
    let store = gateway.store_status();
    if store.failing {
        reasons.push(cannot_write(gateway).to_owned());
    }
    match store.unstored.len() {
        0 => {}
        1 => reasons.push("1 decision is in force and not stored yet".to_owned()),
        several => reasons.push(format!("{several} decisions are in force and not stored yet")),
    }
    if let Some(problem) = gateway.sharing().and_then(|sharing| sharing.problem()) {
        reasons.push(problem.to_owned());
    }
    if *gateway.inner.shutdown.borrow() {
        reasons.push("the gateway shuts down".to_owned());
    }
    reasons
}

async fn ready(State(gateway): State<Gateway>) -> Response {
    let reasons = reasons(&gateway).await;
    let status = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (
        status,
        axum::Json(serde_json::json!({"ready": reasons.is_empty(), "reasons": reasons, "clock": gateway.clock().state.as_str()})),
    )
        .into_response()
}

async fn open(State(gateway): State<Gateway>, request: Request) -> Result<Response, Infallible> {
    let (mut parts, body) = request.into_parts();
    let Ok(upgrade) = WebSocketUpgrade::from_request_parts(&mut parts, &()).await else {
        if let Some(address) = gateway.inner.proxies.address_of(&parts.extensions, &parts.headers) {
            // The proxy to extensions counts its readers by this address.
            parts.extensions.insert(address);
        }
        if let Some(answer) =
            gateway.inner.extensions.proxy().serve(Request::from_parts(parts, body)).await
        {
            return Ok(answer);
        }
        let text = "This is a Handfast gateway. Nodes connect here with a WebSocket; GET /health says whether it works.\n";
        return Ok((StatusCode::NOT_FOUND, text).into_response());
    };
    let Some(address) = gateway.inner.proxies.address_of(&parts.extensions, &parts.headers) else {
        limited!(error, CausedBy::Any, { problem = NO_PEER.trim_end(), } "a request cannot be served");
        return Ok((StatusCode::INTERNAL_SERVER_ERROR, NO_PEER).into_response());
    };
    let accepted = parts.extensions.get::<Accepted>();
    let taken = accepted.and_then(|accepted| accepted.seat.lock().ok()?.take());
    let since = accepted.map_or_else(|| gateway.inner.clock.now(), |accepted| accepted.at);
    // A connection of an embedder's server took no slot at accept, so it takes one here.
    let seat = taken.or_else(|| gateway.inner.seats.take(Some(address.source())));
    let upgrade = upgrade.protocols([SUBPROTOCOL]);
    let is_native = upgrade.selected_protocol().is_some();
    // The library refuses longer messages before they are buffered.
    let most = if is_native { MESSAGE_BYTES } else { FRAME_BYTES };
    let upgrade = narrow(upgrade, most);
    // Each runs in a task of its own, as small as its session; this task still holds the memory of
    // the handshake.
    let span = Span::current();
    Ok(if is_native {
        spans::flow("native");
        let foreign_page =
            !origin::is_allowed(&parts.headers, &parts.extensions, &gateway.inner.setup.settings);
        upgrade.on_upgrade(async move |socket| {
            let seat = seat.into();
            let driver = native::flow::driver_of_websocket(
                gateway,
                socket,
                address.ip(),
                since,
                seat,
                foreign_page,
            );
            tokio::spawn(driver.run().instrument(span));
        })
    } else if parts.uri.path() == setup_code::PATH {
        let may_be =
            origin::is_allowed(&parts.headers, &parts.extensions, &gateway.inner.setup.settings);
        upgrade.on_upgrade(async move |socket| {
            let driver =
                setup_code::flow::driver(gateway, socket, address, since, seat.into(), may_be);
            tokio::spawn(driver.run().instrument(span));
        })
    } else {
        spans::flow("registration");
        upgrade.on_upgrade(async move |socket| {
            let driver = registration::flow::driver(gateway, socket, address, since, seat.into());
            tokio::spawn(driver.run().instrument(span));
        })
    })
}
