//! The login page: one document, one script, one style sheet. Showing it spends nothing.

use axum::http::HeaderValue;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use axum::response::{IntoResponse, Response};

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

pub(super) async fn show() -> Response {
    answer("text/html; charset=utf-8", include_str!("page/login.html"))
}

pub(super) async fn script() -> Response {
    answer("text/javascript; charset=utf-8", include_str!("page/login.js"))
}

pub(super) async fn style() -> Response {
    answer("text/css; charset=utf-8", include_str!("page/login.css"))
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
