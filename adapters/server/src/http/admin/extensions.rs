//! The extensions: programs outside the gateway.

use axum::Json;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Caller;
use super::caller::Acting;
use super::extract::{Body, Query};
use super::failure::AdminFailure;
use super::paging::{self, PageQuery};
use crate::extension::{AdminAnswer, ExtensionStatus, OnBehalfOf};
use crate::gateway::Gateway;

/// Returns the routes of extensions, with their operations.
pub(super) fn routes() -> OpenApiRouter<Gateway> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(call))
}

/// The answer to `GET /api/v1/extensions`.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ExtensionList {
    /// The extensions in the order of the configuration.
    #[serde(rename = "items")]
    pub extensions: Vec<ExtensionStatus>,
    /// Cursor of the next page, as `after` of the next request; `null` on the last page.
    #[schema(required)]
    pub next: Option<String>,
    /// Number of items of all pages.
    pub total: usize,
}

/// A call of an extension.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CallBody {
    /// Name of the method.
    method: String,
    /// Parameters: any JSON.
    #[serde(default)]
    params: Value,
}

/// Reports on the extensions, in the order of the configuration.
#[utoipa::path(
    get,
    path = "/api/v1/extensions",
    tag = "Extensions",
    params(PageQuery),
    responses((status = 200, body = ExtensionList)),
)]
pub(super) async fn list(
    Acting(gateway): Acting,
    Query(query): Query<PageQuery>,
) -> Result<Json<ExtensionList>, AdminFailure> {
    let all = gateway.extensions().status();
    let page = paging::cut(all, query.limit, query.after.as_deref(), |one| one.name.clone())?;
    Ok(Json(ExtensionList { extensions: page.items, next: page.next, total: page.total }))
}

/// Calls the extension that has this method.
///
/// The status is 200 with `"ok":false` if the extension refuses or does not answer: its errors are
/// not errors of the gateway.
#[utoipa::path(
    post,
    path = "/api/v1/extensions/call",
    tag = "Extensions",
    request_body = CallBody,
    responses((status = 200, body = AdminAnswer)),
)]
pub(super) async fn call(
    Acting(gateway): Acting,
    caller: Caller,
    Body(body): Body<CallBody>,
) -> Result<Json<AdminAnswer>, AdminFailure> {
    let CallBody { method, params } = body;
    let on_behalf_of = OnBehalfOf::of(caller.authority());
    Ok(Json(gateway.extensions().router().call_for(&method, params, on_behalf_of).await))
}
