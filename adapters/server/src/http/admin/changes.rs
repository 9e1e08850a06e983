//! Server-sent events: what has changed, so that a page reads that anew.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use mediatype::MediaType;
use serde_json::json;
use tokio::sync::watch;

use crate::gateway::Gateway;
use crate::gateway::changes::{Change, Since};

/// Interval of a comment that keeps proxies from ending a silent stream.
const COMMENT_EVERY: Duration = Duration::from_secs(15);
/// The header that makes nginx pass each event on at once.
const UNBUFFERED: HeaderName = HeaderName::from_static("x-accel-buffering");
/// The header with the id of the last event that a reader has seen.
const LAST_EVENT: HeaderName = HeaderName::from_static("last-event-id");

/// Returns `true` if the request is for server-sent events.
pub(super) fn is_wanted(headers: &HeaderMap) -> bool {
    let is = |part: &str, wanted: &str| part.eq_ignore_ascii_case(wanted);
    let lines = headers.get_all(ACCEPT).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).any(|kind| {
        MediaType::parse(kind.trim()).is_ok_and(|kind| {
            is(kind.ty.as_str(), "text") && is(kind.subty.as_str(), "event-stream")
        })
    })
}

/// What a reader is sent next.
enum Next {
    /// Changes after this number.
    After(u64),
    /// The words that begin the stream, and changes after the number.
    Greeting(String, u64),
}

/// Streams changes until the gateway ends: those after `Last-Event-ID`, or from now on.
pub(super) fn follow(gateway: &Gateway, headers: &HeaderMap) -> Response {
    let changes = &gateway.inner.pairing.changes;
    let latest = changes.latest();
    let now = *latest.borrow();
    let last = headers.get(LAST_EVENT).map(|id| id.to_str().ok().and_then(|id| changes.number(id)));
    let first = match last {
        // The id tells a reader where it is before anything has changed.
        None => Next::Greeting(told(&changes.id(now), "ready"), now),
        Some(Some(number)) => Next::After(number),
        Some(None) => Next::Greeting(told(&changes.id(now), "resync"), now),
    };
    let shutdown = gateway.inner.shutdown.subscribe();
    let events = stream::unfold(
        (first, latest, shutdown, gateway.clone()),
        async |(next, mut latest, mut shutdown, gateway)| {
            let (text, number) = match next {
                Next::Greeting(text, number) => (text, number),
                Next::After(number) => {
                    next_text(&gateway, number, &mut latest, &mut shutdown).await?
                }
            };
            let state = (Next::After(number), latest, shutdown, gateway);
            Some((Ok::<_, Infallible>(Bytes::from(text)), state))
        },
    );
    let mut response = Body::from_stream(events).into_response();
    for (name, value) in [
        (CONTENT_TYPE, "text/event-stream"),
        (CACHE_CONTROL, "no-store, no-transform"),
        (UNBUFFERED, "no"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Returns what is sent after a number, and the number from which it goes on; `None` once the
/// gateway ends.
async fn next_text(
    gateway: &Gateway,
    number: u64,
    latest: &mut watch::Receiver<u64>,
    shutdown: &mut watch::Receiver<bool>,
) -> Option<(String, u64)> {
    let changes = &gateway.inner.pairing.changes;
    loop {
        // Marked as seen before the ring is read, so that a change in between wakes the wait below.
        latest.mark_unchanged();
        match changes.since(number) {
            Since::TooOld(now) => return Some((told(&changes.id(now), "resync"), now)),
            Since::Changes(all) => {
                if let Some(last) = all.last() {
                    let text = all.iter().map(|change| text(&changes.id(change.number), change));
                    return Some((text.collect(), last.number));
                }
            }
        }
        tokio::select! {
            _ = shutdown.wait_for(|down| *down) => return None,
            _ = latest.changed() => {}
            () = tokio::time::sleep(COMMENT_EVERY) => return Some((":\n\n".to_owned(), number)),
        }
    }
}

/// Writes a change. It has no type of its own, so that a browser's one listener for messages hears
/// kinds that a later version adds.
fn text(id: &str, change: &Change) -> String {
    let Change { kind, ids, .. } = change;
    format!("id: {id}\ndata: {}\n\n", json!({"kind": kind, "ids": ids}))
}

/// Writes an event about the stream itself: `ready` or `resync`.
fn told(id: &str, kind: &str) -> String {
    format!("id: {id}\nevent: {kind}\ndata: {}\n\n", json!({"kind": kind, "ids": {}}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_names_the_type_gets_server_sent_events() {
        for (accept, is) in [
            (None, false),
            (Some("*/*"), false),
            (Some("application/x-ndjson"), false),
            (Some("text/event-stream"), true),
            (Some("text/html, Text/Event-Stream;q=0.5"), true),
            (Some("text/event-streams"), false),
        ] {
            let mut headers = HeaderMap::new();
            headers.extend(accept.map(|accept| (ACCEPT, HeaderValue::from_static(accept))));
            assert_eq!(is_wanted(&headers), is, "{accept:?}");
        }
    }
}
