//! Spans of the log: what a line belongs to. They hold no secret, and of a request's path only the
//! words of the route.

use std::fmt::Display;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use handfast_core::registry::logins::LoginId;
use tracing::field::{Empty, display};
use tracing::{Instrument, Span};

use crate::hex::hex;

/// Number of the next connection of this process.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// Returns the span of a connection. Its flow and its node are [recorded](flow) once they are
/// known.
pub(crate) fn connection(source: IpAddr) -> Span {
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let source = source.to_canonical();
    tracing::info_span!("connection", number, %source, flow = Empty, node = Empty)
}

/// Records the flow of the current connection.
pub(crate) fn flow(name: &str) {
    Span::current().record("flow", name);
}

/// Records the node that the current connection has proven to be.
pub(crate) fn node(id: impl Display) {
    Span::current().record("node", display(id));
}

/// Returns the span of a request by an operator's session or token, so that each line of its
/// decisions says who made them.
pub(crate) fn login(id: LoginId) -> Span {
    tracing::info_span!("by", login = %hex(id.as_bytes()))
}

/// Serves an operator's request in a span with its verb, as `POST devices pair`.
pub(crate) async fn operator(request: Request, next: Next) -> Response {
    let span = tracing::info_span!("operator", verb = verb(&request));
    next.run(request).instrument(span).await
}

/// Maximum length of a word of a route in a span.
const WORD_BYTES: usize = 24;

/// Returns the method, and the first and the last word of the route. Ids stand between these, or
/// have digits. The path is the caller's, so anything that is no word of a route is left out.
fn verb(request: &Request) -> String {
    let path = request.uri().path();
    let mut words = path.trim_start_matches("/api/v1/").split('/');
    let is_word = |word: &&str| {
        word.len() <= WORD_BYTES
            && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')
    };
    let (first, last) = (words.next(), words.next_back());
    let mut verb = request.method().as_str().chars().take(WORD_BYTES).collect::<String>();
    for word in [first, last].into_iter().flatten().filter(is_word) {
        verb.push(' ');
        verb.push_str(word);
    }
    verb
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verb_of(method: &str, path: &str) -> String {
        verb(&Request::builder().method(method).uri(path).body(Default::default()).unwrap())
    }

    #[test]
    fn a_verb_has_words_of_the_route_and_nothing_else_of_the_callers() {
        for (path, expected) in [
            ("/api/v1/devices", "POST devices"),
            ("/api/v1/devices/748e28ac-d958-46aa-b1b5-f7bd264e0805/pair", "POST devices pair"),
            ("/api/v1/devices/748e28ac-d958-46aa-b1b5-f7bd264e0805", "POST devices"),
            ("/api/v1/sessions/revoke-all?token=secret", "POST sessions revoke-all"),
            ("/api/v1/%1b[31m/x=1", "POST"),
        ] {
            assert_eq!(verb_of("POST", path), expected);
        }
        let long = "a".repeat(8000);
        assert_eq!(verb_of("POST", &format!("/api/v1/{long}/{long}")), "POST");
        assert_eq!(verb_of(&"A".repeat(100), "/api/v1/status").len(), WORD_BYTES + 7);
    }
}
