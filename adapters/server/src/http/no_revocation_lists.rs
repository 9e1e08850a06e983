//! The lists of revoked certificates, of which a build without the feature `tls` has none.

use axum::http::StatusCode;

/// The answer to whoever asks for them.
const NOT_BUILT: (StatusCode, &str) = (
    StatusCode::NOT_IMPLEMENTED,
    "This gateway issues no certificates: it was built without handfast-server's feature `tls`.\n",
);

pub(crate) async fn der() -> (StatusCode, &'static str) {
    NOT_BUILT
}

pub(crate) async fn pem() -> (StatusCode, &'static str) {
    NOT_BUILT
}
