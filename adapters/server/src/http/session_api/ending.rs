//! Ends a streaming answer, such as that of the events, together with the session that requested
//! it.

use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use futures_util::StreamExt;
use handfast_core::registry::sessions::SessionId;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use crate::events::Event;
use crate::gateway::Gateway;
use crate::http::bearer::CompanionBearer;

/// Interval at which a session is looked up again, to notice a revocation that another gateway was
/// told of.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Marks an answer without a time limit, because it ends with a session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unhurried;

/// Cuts the answer off with the session, unless its size is known.
pub(super) fn with_the_session(
    gateway: &Gateway,
    companion: CompanionBearer,
    response: Response,
) -> Response {
    use axum::body::HttpBody as _;
    if response.body().size_hint().exact().is_some() {
        return response;
    }
    // The subscription begins after the session was found, so a revocation in between is found by
    // the first lookup.
    let (events, gateway) = (gateway.inner.pairing.feed.subscribe(), gateway.clone());
    let ended = Box::pin(async move { ended(&gateway, companion.info().session, events).await });
    let mut response =
        response.map(|body| Body::from_stream(body.into_data_stream().take_until(ended)));
    response.extensions_mut().insert(Unhurried);
    response
}

async fn ended(gateway: &Gateway, session: SessionId, mut events: Receiver<Event>) {
    let mut looks = tokio::time::interval(LOOK_EVERY);
    loop {
        tokio::select! {
            event = events.recv() => match event {
                Ok(Event::SessionRevoked { session: revoked }) if revoked == session => return,
                Ok(_) => {}
                Err(RecvError::Lagged(_)) => looks.reset_immediately(),
                Err(RecvError::Closed) => return,
            },
            _ = looks.tick() => {
                let now = gateway.inner.clock.unix();
                match gateway.inner.store.session(session).await {
                    Ok(Some(session)) if session.admits(now).is_ok() => {}
                    // A session that cannot be looked up does not count as valid.
                    Ok(_) | Err(_) => return,
                }
            }
        }
    }
}
