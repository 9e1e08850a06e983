//! The operator's page under `/admin`: HTML made by the gateway, and a small ES module that keeps it
//! up to date and carries out its buttons.
//!
//! The page shows what the operator's [API](crate::http::admin) tells, from the same views, and each
//! button is one call of that API. It holds no state and no right of its own: what it shows and
//! offers follows from the [operator's session](crate::http::login).
//!
//! | path | content |
//! |---|---|
//! | `/admin` | what waits: requests, PINs, nodes in quarantine; approvals in advance |
//! | `/admin/nodes`, `/admin/nodes/{id}` | nodes, and one of them |
//! | `/admin/codes` | pairing by PIN, codes and provisioning tokens |
//! | `/admin/companions` | setup codes, and the sessions that they opened |
//! | `/admin/senders` | senders on channels |
//! | `/admin/certificates` | certificates of nodes, and their authority |
//! | `/admin/operators` | operators' sessions, and tokens of programs |
//! | `/admin/log` | the audit log, and its checkpoint |
//! | `/admin/health` | store, disk, clock, certificates, limits, counts over time, extensions |
//!
//! `GET` with `X-Handfast-Part: live` answers with the part that changes, for the module.

mod certificates;
mod codes;
mod companions;
mod files;
mod frame;
mod health;
mod log;
mod node;
mod nodes;
mod operators;
mod pending;
mod policies;
mod senders;
mod sparkline;
#[cfg(test)]
mod tests;
mod words;

use axum::Router;
use axum::extract::FromRequestParts;
use axum::http::header::{CACHE_CONTROL, HeaderName, HeaderValue, REFERRER_POLICY};
use axum::http::header::{CONTENT_SECURITY_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use handfast_core::registry::authority::Role;

use crate::gateway::Gateway;
use crate::http::admin::Caller;
use crate::http::login::{LoginRefused, OperatorSession};

/// The path of the page's first part.
const PATH: &str = "/admin";

/// Nothing but the page's own files runs, nothing frames it, and no request leaves the gateway.
const POLICY: &str = "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      connect-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; \
                      frame-ancestors 'none'";

/// The operator who looks at the page.
#[derive(Clone, Debug)]
struct Visitor(OperatorSession);

impl Visitor {
    /// Returns `true` if the visitor may decide anything.
    const fn decides(&self) -> bool {
        match self.0.role() {
            Role::Viewer => false,
            Role::Operator | Role::Owner => true,
        }
    }

    fn caller(&self) -> Caller {
        Caller::new(self.0.authority(), None)
    }
}

impl FromRequestParts<Gateway> for Visitor {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, gateway: &Gateway) -> Result<Self, Response> {
        if let Some(session) = parts.extensions.get::<OperatorSession>() {
            return Ok(Self(session.clone()));
        }
        match OperatorSession::of(gateway, parts).await {
            Ok(Some(session)) => Ok(Self(session)),
            // Without a session there is nothing to see, and the way in is the login.
            Ok(None) | Err(LoginRefused::Needed) => Err(Redirect::to("/login").into_response()),
            Err(refused) => Err(refused.into_response()),
        }
    }
}

/// Returns the routes of the page. Without an operator's session they lead to the login.
pub(crate) fn routes(gateway: &Gateway) -> Router {
    Router::new()
        .route("/admin", get(pending::show))
        .route("/admin/nodes", get(nodes::show))
        .route("/admin/find", get(nodes::find))
        .route("/admin/nodes/{id}", get(node::show))
        .route("/admin/codes", get(codes::show))
        .route("/admin/companions", get(companions::show))
        .route("/admin/senders", get(senders::show))
        .route("/admin/certificates", get(certificates::show))
        .route("/admin/operators", get(operators::show))
        .route("/admin/log", get(log::show))
        .route("/admin/health", get(health::show))
        .layer(axum::middleware::map_response(guarded))
        .merge(files::routes())
        .with_state(gateway.clone())
}

/// Adds the headers that bound what a browser does with an answer.
async fn guarded(mut answer: Response) -> Response {
    let headers: [(HeaderName, &str); 5] = [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        // It shows PINs and who is where, which no cache keeps.
        (CACHE_CONTROL, "no-store"),
    ];
    for (name, value) in headers {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    answer
}
