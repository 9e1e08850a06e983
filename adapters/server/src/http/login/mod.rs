//! Operators' sessions in browsers.
//!
//! ```text
//! handfast login ──URL/login#SECRET──▶ GET /login          a page; spends nothing
//!                                      POST /login/look    who would log in; spends nothing
//!                                      POST /login         spends the secret, sets the cookie
//! cookie ──▶ /api/v1, /admin           an OperatorSession, and the Caller of its role
//! cookie and CSRF token ──▶ POST /logout
//! ```
//! The secret stands behind `#`, so no browser sends it with a request, and a program that opens
//! links to preview them spends nothing.
//!
//! | file | content |
//! |---|---|
//! | `channel` | whether a connection may carry a session |
//! | `cookie` | the cookie, and its two names |
//! | `session` | the extractor, the layer, and the check of requests that change something |
//! | `page` | the page and its files |
//! | `open` | spending a secret, and logging out |
//! | `refused` | the reasons for which a request is not served |

mod channel;
mod cookie;
mod open;
mod page;
mod refused;
mod session;
#[cfg(test)]
mod tests;

use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use axum::{Router, middleware};

pub(crate) use refused::LoginRefused;
#[allow(unused_imports, reason = "pages of operators are behind it")]
pub(crate) use session::require_operator;
pub(crate) use session::{OperatorSession, OperatorToken};

use crate::gateway::Gateway;

/// Maximum size of a body in bytes: a secret, and what stands around it.
const BODY_BYTES: usize = 1024;

/// Returns the routes of the login page.
pub(crate) fn router(gateway: &Gateway) -> Router<Gateway> {
    let logout = post(open::log_out)
        .layer(middleware::from_fn_with_state(gateway.clone(), session::require_operator));
    Router::new()
        .route("/login", get(page::show).post(open::log_in))
        .route("/login/look", post(open::look))
        .route("/login.js", get(page::script))
        .route("/login.css", get(page::style))
        .route("/logout", logout)
        .layer(DefaultBodyLimit::max(BODY_BYTES))
}
