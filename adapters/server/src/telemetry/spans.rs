//! Spans of the log: what a line belongs to. They hold no secret, and of a request's path only the
//! words of the route.

use std::fmt::Display;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use tracing::field::{Empty, display};
use tracing::{Instrument, Span};

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

/// Serves an operator's request in a span with its verb, as `POST devices pair`.
pub(crate) async fn operator(request: Request, next: Next) -> Response {
    let span = tracing::info_span!("operator", verb = verb(&request));
    next.run(request).instrument(span).await
}

/// Returns the method, and the first and the last word of the route. Ids stand between these, or
/// have digits.
fn verb(request: &Request) -> String {
    let path = request.uri().path();
    let mut words = path.trim_start_matches("/api/v1/").split('/');
    let first = words.next().unwrap_or_default();
    let is_word = |word: &&str| word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
    let last = words.next_back().filter(is_word).map(|word| format!(" {word}"));
    format!("{} {first}{}", request.method(), last.unwrap_or_default())
}
