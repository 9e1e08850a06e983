//! The event stream for the operator's command line: one JSON object per line.

use std::convert::Infallible;

use axum::body::{Body, Bytes};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use handfast_core::Refusal;
use handfast_core::registry::authority::Authority;
use handfast_core::registry::lifecycle::Notice;
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};

use super::caller::Acting;
use super::time::Time;
use super::{Caller, changes};
use crate::events::Event;
use crate::hex::hex;

/// Streams events until the gateway ends.
///
/// As JSON lines, each an event from now on, **PINs included** for those who may pair with them;
/// the first is `{"event":"listening"}`, and a slow reader gets `missed` with a `count`.
///
/// With `Accept: text/event-stream`, server-sent events without PINs that tell what has changed:
/// `id:` is a number, `data:` `{"kind","ids":{"node",…}}`. The first is of the type `ready`; with
/// `Last-Event-ID` the stream goes on behind that, or begins with `resync` if that is too long ago
/// or of an earlier run: read everything anew then.
#[utoipa::path(
    get,
    path = "/api/v1/events",
    tag = "Events",
    responses((status = 200, content((String = "application/x-ndjson"), (String = "text/event-stream")))),
)]
pub(super) async fn follow(
    Acting(gateway): Acting,
    caller: Caller,
    headers: HeaderMap,
) -> Response {
    if changes::is_wanted(&headers) {
        return changes::follow(&gateway, &headers);
    }
    let events = gateway.inner.pairing.feed.subscribe();
    lines(events, gateway.inner.shutdown.subscribe(), move |event| {
        Some(view(event, caller.authority()))
    })
}

/// Streams what is sent on a channel, a JSON object a line, until the gateway ends. What has no view
/// is left out.
pub(super) fn lines<T: Clone + Send + 'static>(
    events: broadcast::Receiver<T>,
    shutdown: watch::Receiver<bool>,
    view: impl Fn(&T) -> Option<Value> + Send + 'static,
) -> Response {
    // Sent at once, so that the reader knows from when on the stream is complete.
    let first = Some(json!({"event": "listening"}));
    let lines = stream::unfold(
        (first, events, shutdown, view),
        async |(first, mut events, mut shutdown, view)| {
            let value = match first {
                Some(first) => first,
                None => loop {
                    let happened = tokio::select! {
                        _ = shutdown.wait_for(|down| *down) => return None,
                        happened = events.recv() => happened,
                    };
                    let seen = match happened {
                        Ok(event) => view(&event),
                        // The reader is told of the gap, and can list the state again.
                        Err(RecvError::Lagged(missed)) => {
                            Some(json!({"event": "missed", "count": missed}))
                        }
                        Err(RecvError::Closed) => return None,
                    };
                    if let Some(value) = seen {
                        break value;
                    }
                },
            };
            let line = Bytes::from(value.to_string() + "\n");
            Some((Ok::<_, Infallible>(line), (None, events, shutdown, view)))
        },
    );
    ([(CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response()
}

/// Returns an event as a JSON object. The PIN is included for operators, and for the session that
/// opened pairing, because it allows its reader to pair a node.
fn view(event: &Event, authority: &Authority) -> Value {
    match event {
        Event::PairingRequest { name, room, fingerprint, pin, expires_in, address, opened_by } => {
            json!({
                "event": "pairing_request", "friendly_name": name, "room": room, "fingerprint": fingerprint.to_string(),
                "pin": authority.is_shown_secrets_of(*opened_by).then(|| pin.expose()),
                "expires_in_seconds": expires_in, "ip_address": address.to_string(),
            })
        }
        Event::Asked { node_id, name, room, address } => json!({
            "event": "asked", "node_id": node_id.to_string(), "friendly_name": name, "room": room, "ip_address": address.to_string(),
        }),
        Event::AskRefused { address, refusal } => {
            json!({"event": "ask_refused", "ip_address": address.to_string(), "why": why(*refusal)})
        }
        Event::LeftOut { address } => {
            json!({"event": "left_out", "ip_address": address.to_string()})
        }
        Event::Paired(node_id) => json!({"event": "paired", "node_id": node_id.to_string()}),
        Event::Decided { node_id, decision } => {
            json!({"event": "decided", "node_id": node_id.to_string(), "decision": decision})
        }
        Event::Linked(node_id) => json!({"event": "linked", "node_id": node_id.to_string()}),
        Event::Unlinked(node_id) => json!({"event": "unlinked", "node_id": node_id.to_string()}),
        Event::Replaced { node_id, older, newer, times } => json!({
            "event": "replaced", "node_id": node_id.to_string(),
            "older_ip_address": older.to_string(), "ip_address": newer.to_string(),
            "times": times,
        }),
        Event::Pushed(node_id, notice) => {
            json!({"event": "pushed", "node_id": node_id.to_string(), "notice": word(*notice)})
        }
        Event::Pinged { node_id, time } => json!({
            "event": "pinged", "node_id": node_id.to_string(), "micros": micros(*time),
        }),
        Event::Dispatch { node_id, id, state } => json!({
            "event": "dispatch", "node_id": node_id.to_string(), "id": hex(id.as_bytes()), "state": state,
        }),
        Event::CodeWrong { pin, left, address } => json!({
            "event": if *pin { "pin_wrong" } else { "code_wrong" }, "guesses_left": left, "ip_address": address.to_string(),
        }),
        Event::PinsLockedFor { address } => {
            json!({"event": "pins_locked_for", "ip_address": address.to_string()})
        }
        Event::CodeLocked => json!({"event": "code_locked"}),
        Event::WindowOpened { closes } => {
            json!({"event": "window_opened", "closes_at": closes.map(Time::from)})
        }
        Event::SessionOpened { session, profile } => {
            json!({"event": "session_opened", "session": hex(session.as_bytes()), "profile": profile})
        }
        Event::SessionRevoked { session } => {
            json!({"event": "session_revoked", "session": hex(session.as_bytes())})
        }
        Event::LoggedIn { login, name, role, address } => json!({
            "event": "logged_in", "login": hex(login.as_bytes()), "name": name, "role": role.as_str(),
            "ip_address": address.map(|address| address.to_string()).unwrap_or_default(),
        }),
        Event::LoginEnded { login } => {
            json!({"event": "login_ended", "login": hex(login.as_bytes())})
        }
        Event::CompanionLinked { session } => {
            json!({"event": "companion_linked", "session": hex(session.as_bytes())})
        }
        Event::CompanionUnlinked { session } => {
            json!({"event": "companion_unlinked", "session": hex(session.as_bytes())})
        }
        Event::SenderAsked { channel, account, sender } => {
            json!({"event": "sender_asked", "channel": channel, "account": account, "sender": sender})
        }
        Event::SenderAllowed { channel, account, sender } => {
            json!({"event": "sender_allowed", "channel": channel, "account": account, "sender": sender})
        }
        Event::SendersSeeded { channel, account, added } => {
            json!({"event": "senders_seeded", "channel": channel, "account": account, "added": added})
        }
        Event::SenderDecided { channel, account, sender, decision } => {
            json!({"event": "sender_decided", "channel": channel, "account": account, "sender": sender, "decision": decision})
        }
        Event::WindowClosed => json!({"event": "window_closed"}),
        Event::WindowLocked => json!({"event": "window_locked"}),
        Event::GrantOffered { node_id, grant } => {
            json!({"event": "grant_offered", "node_id": node_id.to_string(), "grant": hex(grant.as_bytes())})
        }
        Event::GrantActivated { node_id, grant } => {
            json!({"event": "grant_activated", "node_id": node_id.to_string(), "grant": hex(grant.as_bytes())})
        }
        Event::GrantRevoked { node_id, grant } => json!({
            "event": "grant_revoked", "node_id": node_id.to_string(), "grant": grant.map(|grant| hex(grant.as_bytes())),
        }),
        Event::CertificateIssued { node_id, serial } => json!({
            "event": "certificate_issued", "node_id": node_id.to_string(), "serial": serial.to_string(),
        }),
        Event::CertificatesRevoked { count } => {
            json!({"event": "certificates_revoked", "count": count})
        }
        Event::CloneAlarm { node_id, older, newer } => json!({
            "event": "clone_alarm", "node_id": node_id.to_string(),
            "older_ip_address": older.map(|older| older.address.to_string()),
            "older_at": older.map(|older| Time::from(older.at)),
            "ip_address": newer.address.to_string(), "at": Time::from(newer.at),
        }),
        Event::GatewayIsOlder { node_id } => {
            json!({"event": "gateway_is_older", "node_id": node_id.to_string()})
        }
        Event::DelegateLinked { fingerprint, subject } => {
            json!({"event": "delegate_linked", "fingerprint": fingerprint.to_string(), "subject": subject.to_string()})
        }
        Event::DelegateUnlinked { fingerprint } => {
            json!({"event": "delegate_unlinked", "fingerprint": fingerprint.to_string()})
        }
    }
}

/// Returns a time in whole microseconds.
pub(super) fn micros(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

const fn word(notice: Notice) -> &'static str {
    match notice {
        Notice::Muted => "muted",
        Notice::Unmuted => "unmuted",
        Notice::Unpaired => "unpaired",
        Notice::Replaced => "replaced",
        Notice::Decided => "decided",
        Notice::Permissions => "permissions",
        Notice::PinEnded(_) => "pin_ended",
        Notice::Quarantined => "quarantined",
        Notice::Released => "released",
        Notice::Evicted => "evicted",
    }
}

const fn why(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::TooManyPending => "too many requests wait already",
        Refusal::RateLimited => "too many failed attempts",
        Refusal::AtCapacity => "no room for another connection",
        Refusal::StoreFailed => "the registry could not be written",
        Refusal::Revoked => "revoked",
        Refusal::Rejected { .. } => "turned down, and too soon to ask again",
        Refusal::Barred => "turned down for good",
        Refusal::AlreadyPaired => "paired already",
        Refusal::Expired => "expired",
        Refusal::ClockInDoubt => "the clock is in doubt",
        Refusal::InvalidCredentials
        | Refusal::NotApproved
        | Refusal::Muted
        | Refusal::NotPaired
        | Refusal::NoToken => "refused",
    }
}
