//! The routes of extensions in a build without them.

use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::any;
use utoipa_axum::router::OpenApiRouter;

use crate::gateway::Gateway;
use crate::http::session_api;

/// Returns the routes of extensions, which refuse everything.
pub(super) fn routes() -> OpenApiRouter<Gateway> {
    OpenApiRouter::new()
        .route("/api/v1/extensions", any(refuse))
        .route("/api/v1/extensions/call", any(refuse))
}

async fn refuse() -> Response {
    let text = "this gateway was built without handfast-server's feature `extensions`";
    session_api::refuse(StatusCode::NOT_IMPLEMENTED, "not_built", text)
}
