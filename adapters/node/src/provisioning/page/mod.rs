//! The page with which a phone sets the node up: plain files, as they are in the repository, which
//! work without the internet and without a build step.

use axum::Router;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::response::IntoResponse;
use axum::routing::get;

/// Nothing but the page's own files runs, and nothing frames it. `wasm-unsafe-eval` allows a
/// WebAssembly module, and no evaluation of text.
const POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; \
                      img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

/// A file: path, type, and content.
type File = (&'static str, &'static str, &'static [u8]);

const SCRIPT: &str = "text/javascript; charset=utf-8";

/// The files of both modes.
const FILES: [File; 6] = [
    ("/", "text/html; charset=utf-8", include_bytes!("index.html")),
    ("/setup/page.css", "text/css; charset=utf-8", include_bytes!("page.css")),
    ("/setup/page.js", SCRIPT, include_bytes!("page.js")),
    ("/setup/proof.js", SCRIPT, include_bytes!("proof.js")),
    ("/setup/view.js", SCRIPT, include_bytes!("view.js")),
    ("/setup/words.js", SCRIPT, include_bytes!("words.js")),
];

/// How the page talks to the node in the plain mode.
const PLAIN: [File; 1] = [("/setup/send.js", SCRIPT, include_bytes!("plain.js"))];

/// How it does in the secure mode. `adapters/web/build.sh` builds the module.
const SECURE: [File; 3] = [
    ("/setup/send.js", SCRIPT, include_bytes!("secure.js")),
    ("/setup/sealed.js", SCRIPT, include_bytes!("sealed.js")),
    ("/setup/setup.wasm", "application/wasm", include_bytes!("setup.wasm")),
];

/// Returns the routes of the page's files.
pub(super) fn routes<S: Clone + Send + Sync + 'static>(plain: bool) -> Router<S> {
    let sending: &'static [File] = if plain { &PLAIN } else { &SECURE };
    FILES.iter().chain(sending).fold(Router::new(), |router, &(path, kind, content)| {
        router.route(path, get(move || async move { (headers(kind), content).into_response() }))
    })
}

const fn headers(kind: &'static str) -> [(HeaderName, HeaderValue); 5] {
    [
        (CONTENT_TYPE, HeaderValue::from_static(kind)),
        (CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        // Another node may have the same address, with a page of another version.
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
    fn every_file_that_the_page_names_is_served_and_nothing_comes_from_elsewhere() {
        let text = |content| std::str::from_utf8(content).unwrap();
        let page = text(FILES[0].2);
        for sending in [&PLAIN[..], &SECURE] {
            let files: Vec<_> = FILES.iter().chain(sending).collect();
            let served = |path: &str| files.iter().any(|(served, ..)| *served == path);
            for path in named(page, "src=\"").into_iter().chain(named(page, "href=\"")) {
                assert!(served(path) || path == "data:,", "{path}");
            }
            for (_, _, script) in files.iter().filter(|(_, kind, _)| *kind == SCRIPT) {
                for module in named(text(script), "from './") {
                    assert!(served(&format!("/setup/{module}")), "{module}");
                }
                for path in named(text(script), "'/setup/") {
                    assert!(served(&format!("/setup/{path}")), "{path}");
                }
            }
        }
        // The policy forbids what stands in the page itself.
        for inline in [" style=", " onclick=", " onsubmit=", "<style", "<script>"] {
            assert!(!page.contains(inline), "{inline}");
        }
    }
}
