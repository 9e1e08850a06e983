//! HTTP on the public router, for companions with a session.
//!
//! | file | content |
//! |---|---|
//! | `session` | a companion's own session: show, prolong, end |
//! | `guard` | access of sessions to the operator's API |
//! | `ending` | the end of streaming answers with the session |
//! | `metrics` | the metrics, and the access to them |
//! | `accept` | the choice of the metrics format |

mod accept;
pub(crate) mod ending;
pub(in crate::http) mod guard;
pub(crate) mod metrics;
mod session;
#[cfg(test)]
pub(crate) mod tests;

use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router, middleware};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::flows::provisioning;
use crate::gateway::Gateway;
use crate::http::admin::{self, ErrorView, no_such_method, openapi};

/// Path prefixes of all routes of this module: our own API, and the dialect of command centers.
const PREFIXES: [&str; 2] = ["/api/v1", "/api/v0"];
/// Maximum size of a request's body in bytes.
pub(in crate::http) const BODY_BYTES: usize = 64 * 1024;

/// Returns `true` for the paths that [`router`] answers, whether or not the route exists.
pub(crate) fn is_api(path: &str) -> bool {
    within(path).is_some()
}

/// Returns the part of a path behind its prefix.
fn within(path: &str) -> Option<&str> {
    let rest = PREFIXES.iter().find_map(|prefix| path.strip_prefix(prefix));
    rest.filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Returns the routes under `/api/v1` and `/api/v0`.
pub(crate) fn router(gateway: &Gateway) -> Router {
    let operators = admin::routes(gateway)
        .layer(middleware::from_fn_with_state(gateway.clone(), guard::operators));
    let (own, _) = own_routes().split_for_parts();
    own.route(openapi::PATH, get(openapi::show))
        .merge(provisioning::routes())
        .method_not_allowed_fallback(no_such_method)
        .fallback_service(operators)
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .layer(middleware::from_fn_with_state(gateway.clone(), guard::everybody))
        .with_state(gateway.clone())
}

/// Returns the routes of a companion's own session, with their operations.
pub(in crate::http) fn own_routes() -> OpenApiRouter<Gateway> {
    OpenApiRouter::new()
        .routes(routes!(session::show))
        .routes(routes!(session::end))
        .routes(routes!(session::refresh))
}

/// Returns an error answer in the format of the operator's API.
pub(crate) fn refuse(status: StatusCode, code: &str, message: &str) -> Response {
    (status, Json(ErrorView::new(code, message))).into_response()
}
