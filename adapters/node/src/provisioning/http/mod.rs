//! The HTTP API: the plain mode, as the dialect's clients know it, and the sealed exchanges, in
//! which the same calls are made by a phone that has proven itself.

mod answers;
mod calls;
mod defects;
mod openapi;
mod probes;
mod sealed;
mod serve;
mod settings;

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Json, Response};
use axum::routing::{get, post};
use handfast_core::limits::PROVISIONING_BODY_BYTES;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::api::{AskedSender, RequestForm, StatusSnapshot};
use super::info::NodeInfo;
use super::page;
use super::radio_task::Scanner;

pub(super) use sealed::Exchanges;
pub(super) use serve::{Port, serve};

/// What the routes share.
#[derive(Clone)]
pub(super) struct ApiState(Arc<Shared>);

struct Shared {
    info: NodeInfo,
    requests: AskedSender,
    status: watch::Receiver<StatusSnapshot>,
    scanner: Scanner,
    exchanges: Arc<Exchanges>,
    /// The state directory.
    state: PathBuf,
    /// `true` if the plain routes are served.
    plain: bool,
}

impl ApiState {
    pub(super) fn new(
        info: NodeInfo,
        requests: AskedSender,
        status: watch::Receiver<StatusSnapshot>,
        scanner: Scanner,
        exchanges: Arc<Exchanges>,
        state: PathBuf,
        plain: bool,
    ) -> Self {
        Self(Arc::new(Shared { info, requests, status, scanner, exchanges, state, plain }))
    }
}

/// Returns the routes. The API in clear is there only if the owner has chosen the plain mode.
pub(super) fn router(api: ApiState) -> Router {
    let plain = if api.0.plain { plain() } else { Router::new() };
    plain
        .merge(page::routes(api.0.plain))
        .merge(probes::routes())
        .merge(settings::routes())
        .route("/api/v1/sealed", post(sealed::open))
        .route("/api/v1/sealed/{handle}", post(sealed::go_on))
        .fallback(async || detail(StatusCode::NOT_FOUND, "Not Found"))
        .method_not_allowed_fallback(async || {
            detail(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed")
        })
        .layer(DefaultBodyLimit::max(PROVISIONING_BODY_BYTES))
        .with_state(api)
}

/// Returns the routes outside the setup window: what is sealed under K2, and nothing else.
pub(super) fn closed_router(api: ApiState) -> Router {
    let closed = async || answers::closed().into_response();
    settings::routes().fallback(closed).method_not_allowed_fallback(closed).with_state(api)
}

fn plain() -> Router<ApiState> {
    Router::new()
        .route("/api/v1/info", get(info))
        .route("/api/v1/scan-networks", get(scan))
        .route("/api/v1/provision", post(provision))
        .route("/api/v1/provision/k2", post(k2))
        .route("/api/v1/provision/network", post(network))
        .route("/api/v1/status", get(status))
        .route("/api/v1/factory-reset", post(factory_reset))
        .route("/openapi.json", get(async || Json(openapi::document())))
        .route("/docs", get(async || Html(openapi::page())))
}

fn detail(status: StatusCode, words: &str) -> Response {
    (status, Json(json!({ "detail": words }))).into_response()
}

async fn info(State(api): State<ApiState>) -> Json<Value> {
    Json(api.info())
}

async fn scan(State(api): State<ApiState>) -> Json<Value> {
    Json(api.scan().await)
}

async fn status(State(api): State<ApiState>) -> Json<Value> {
    Json(api.status())
}

async fn provision(State(api): State<ApiState>, body: Bytes) -> (StatusCode, Json<Value>) {
    let (status, answer) = api.provision(&body, RequestForm::Plain).await;
    (status, Json(answer))
}

async fn network(State(api): State<ApiState>, body: Bytes) -> (StatusCode, Json<Value>) {
    let (status, answer) = api.network(&body).await;
    (status, Json(answer))
}

async fn k2(State(api): State<ApiState>, body: Bytes) -> (StatusCode, Json<Value>) {
    let (status, answer) = api.k2(&body).await;
    (status, Json(answer))
}

async fn factory_reset(State(api): State<ApiState>) -> Json<Value> {
    Json(api.factory_reset().await)
}
