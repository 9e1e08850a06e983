//! The login page: one document, one script, one style sheet. Showing it spends nothing.

use axum::http::HeaderValue;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::response::{IntoResponse, Response};

use super::LoginRefused;
use crate::http::admin::NextCall;

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

/// The command that makes a link. A browser does not know where the gateway's data is.
const MEND: &str = "<p>A link is made with <code>handfast login</code>; where the gateway's data is \
                    not in its usual place, add <code>--data DIR</code>.</p>";

pub(super) async fn show() -> Response {
    answer("text/html; charset=utf-8", include_str!("page/login.html"))
}

pub(super) async fn script() -> Response {
    answer("text/javascript; charset=utf-8", include_str!("page/login.js"))
}

pub(super) async fn style() -> Response {
    answer("text/css; charset=utf-8", include_str!("page/login.css"))
}

/// Returns a page that says why there is no other, and what mends it.
pub(super) fn refused(refused: LoginRefused) -> Response {
    // The texts are this program's own, and have no characters that HTML would read otherwise.
    let page = include_str!("page/refused.html").replace("REASON", &refused.to_string());
    let page =
        page.replace("MEND", if refused.hint() == Some(NextCall::Login) { MEND } else { "" });
    let mut response = answer("text/html; charset=utf-8", "");
    *response.body_mut() = page.into();
    *response.status_mut() = refused.status().0;
    // The length of the body that was replaced.
    response.headers_mut().remove(CONTENT_LENGTH);
    response
}

fn answer(kind: &'static str, body: &'static str) -> Response {
    let mut response = body.into_response();
    for (name, value) in [
        (CONTENT_TYPE, kind),
        (CONTENT_SECURITY_POLICY, POLICY),
        (CACHE_CONTROL, "no-store"),
        (REFERRER_POLICY, "no-referrer"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
