//! The page that a link for phones opens, `/p#PAYLOAD`: it takes the payload out of the address,
//! shows which gateway this is and what the link grants, and pairs after a tap.
//!
//! ```text
//! GET /p            the page; spends nothing
//! POST /p/look      what the payload grants, for whoever knows it; spends nothing
//! /p/files/…        scripts, style sheet and the module
//! ```
//! Everything comes from this gateway. The scripts are those of the package for browsers, and the
//! module is its `dist/handfast.wasm`.

mod look;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use maud::{DOCTYPE, html};

use crate::gateway::Gateway;

/// Nothing but the gateway's own files runs, and nothing frames the page. `wasm-unsafe-eval` allows
/// a WebAssembly module, and no evaluation of text.
const POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; \
                      style-src 'self'; img-src data:; connect-src 'self'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const MODULE: &str = "application/wasm";

/// Path, type and content of a file.
type File = (&'static str, &'static str, &'static [u8]);

/// Every file, below `/p/files/`.
const FILES: [File; 17] = [
    ("take.js", SCRIPT, include_bytes!("files/take.js")),
    ("page.js", SCRIPT, include_bytes!("files/page.js")),
    ("page.css", STYLE, include_bytes!("files/page.css")),
    ("js/address.js", SCRIPT, include_bytes!("files/js/address.js")),
    ("js/client.js", SCRIPT, include_bytes!("files/js/client.js")),
    ("js/companion.js", SCRIPT, include_bytes!("files/js/companion.js")),
    ("js/driver.js", SCRIPT, include_bytes!("files/js/driver.js")),
    ("js/emitter.js", SCRIPT, include_bytes!("files/js/emitter.js")),
    ("js/errors.js", SCRIPT, include_bytes!("files/js/errors.js")),
    ("js/handfast.js", SCRIPT, include_bytes!("files/js/handfast.js")),
    ("js/module.js", SCRIPT, include_bytes!("files/js/module.js")),
    ("js/pairing.js", SCRIPT, include_bytes!("files/js/pairing.js")),
    ("js/platform.js", SCRIPT, include_bytes!("files/js/platform.js")),
    ("js/record.js", SCRIPT, include_bytes!("files/js/record.js")),
    ("js/socket.js", SCRIPT, include_bytes!("files/js/socket.js")),
    ("js/storage.js", SCRIPT, include_bytes!("files/js/storage.js")),
    ("dist/handfast.wasm", MODULE, include_bytes!("files/handfast.wasm")),
];

/// Maximum size of a body in bytes: a setup code's token, and what stands around it.
const BODY_BYTES: usize = 4096;

/// Returns the routes of the page; none if links are turned off.
pub(crate) fn router(gateway: &Gateway) -> Router<Gateway> {
    if !gateway.inner.links {
        return Router::new();
    }
    let page = Router::new()
        .route("/p", get(show))
        .route("/p/look", post(look::look).layer(DefaultBodyLimit::max(BODY_BYTES)));
    FILES.iter().fold(page, |router, &(name, kind, content)| {
        router.route(
            &format!("/p/files/{name}"),
            get(move || async move { (headers(kind), content).into_response() }),
        )
    })
}

async fn show(State(gateway): State<Gateway>) -> Response {
    let fingerprint = gateway.fingerprint().to_string();
    // The addresses are relative, because a proxy may serve the gateway below a path.
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "Handfast" }
                link rel="icon" href="data:,";
                link rel="stylesheet" href="p/files/page.css";
                // Before anything else: it takes the payload out of the address.
                script src="p/files/take.js" {}
                script type="module" src="p/files/page.js" {}
            }
            body {
                main {
                    h1 { "Pair with " (gateway.name().unwrap_or("this gateway")) }
                    p #words role="status" { "One moment …" }
                    dl #facts {
                        dt { "Gateway's fingerprint" }
                        dd #fingerprint { (fingerprint) }
                    }
                    form #pair hidden {
                        p #named hidden {
                            label for="name" { "Name of this device" }
                            input #name name="name" maxlength="64" autocomplete="off";
                        }
                        button { "Pair this device" }
                    }
                    noscript { p { "This page needs JavaScript, which this browser does not run." } }
                }
            }
        }
    };
    (headers("text/html; charset=utf-8"), page.into_string()).into_response()
}

const fn headers(kind: &'static str) -> [(HeaderName, HeaderValue); 6] {
    [
        (CONTENT_TYPE, HeaderValue::from_static(kind)),
        (CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
        (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        // A newer gateway serves other files under the same paths.
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns what stands between one of the marks and the quotation mark behind it.
    fn named<'t>(text: &'t str, mark: &str) -> Vec<&'t str> {
        text.split(mark).skip(1).filter_map(|rest| rest.split(['"', '\'']).next()).collect()
    }

    #[test]
    fn every_script_that_a_script_names_is_served() {
        let served = |path: &str| FILES.iter().any(|(name, ..)| *name == path);
        for (name, _, content) in FILES.iter().filter(|(_, kind, _)| *kind == SCRIPT) {
            let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
            for path in named(std::str::from_utf8(content).unwrap(), "from './") {
                let whole = format!("{folder}/{path}");
                assert!(served(whole.trim_start_matches('/')), "{name} names {path}");
            }
        }
    }
}
