//! The files of the page, as they are in the repository: no build step.

use axum::Router;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::response::IntoResponse;
use axum::routing::get;

const SCRIPT: &str = "text/javascript; charset=utf-8";

/// Path, type and content of each file.
pub(super) const FILES: [(&str, &str, &str); 6] = [
    ("/admin/files/page.css", "text/css; charset=utf-8", include_str!("files/page.css")),
    ("/admin/files/page.js", SCRIPT, include_str!("files/page.js")),
    ("/admin/files/act.js", SCRIPT, include_str!("files/act.js")),
    ("/admin/files/live.js", SCRIPT, include_str!("files/live.js")),
    ("/admin/files/times.js", SCRIPT, include_str!("files/times.js")),
    ("/admin/files/icon.svg", "image/svg+xml", include_str!("files/icon.svg")),
];

/// Returns the routes of the files. They tell nothing, so everybody may read them.
pub(super) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    FILES.iter().fold(Router::new(), |router, &(path, kind, content)| {
        let headers = [
            (CONTENT_TYPE, kind),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            // A newer gateway may serve other files under the same path.
            (CACHE_CONTROL, "no-cache"),
        ];
        router.route(path, get(move || async move { (headers, content).into_response() }))
    })
}
