//! Ends a streaming answer, such as that of the events, together with the session that requested
//! it.

use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use futures_util::StreamExt;
use handfast_core::registry::sessions::{LoginId, SessionId};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;

use crate::events::Event;
use crate::gateway::Gateway;

/// Interval at which a session is looked up again, to notice a revocation that another gateway was
/// told of.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Marks an answer without a time limit, because it ends with a session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unhurried;

/// The holder of the right with which a stream is read.
#[derive(Clone, Copy, Debug)]
pub(super) enum StreamHolder {
    /// A companion's session.
    Companion(SessionId),
    /// An operator's session or token.
    Operator(LoginId),
}

impl StreamHolder {
    /// Returns `true` for the event by which this right has ended.
    fn ends_with(self, event: &Event) -> bool {
        match self {
            Self::Companion(id) => {
                matches!(event, Event::SessionRevoked { session } if *session == id)
            }
            Self::Operator(id) => matches!(event, Event::LoginEnded { login } if *login == id),
        }
    }

    /// Returns `true` while the right is valid. One that cannot be looked up does not count as
    /// valid.
    async fn is_valid(self, gateway: &Gateway) -> bool {
        let inner = &gateway.inner;
        match self {
            Self::Companion(id) => {
                let session = inner.store.session(id).await.ok().flatten();
                session.is_some_and(|session| session.admits(inner.clock.unix()).is_ok())
            }
            Self::Operator(id) => {
                let login = inner.store.login(id).await.ok().flatten();
                login.is_some_and(|login| login.admits_at(&inner.clock.moment()).is_ok())
            }
        }
    }
}

/// Cuts the answer off with the right of its reader, unless its size is known.
pub(super) fn with_the_holder(
    gateway: &Gateway,
    holder: StreamHolder,
    response: Response,
) -> Response {
    use axum::body::HttpBody as _;
    if response.body().size_hint().exact().is_some() {
        return response;
    }
    // The subscription begins after the session was found, so a revocation in between is found by
    // the first lookup.
    let (events, gateway) = (gateway.inner.pairing.feed.subscribe(), gateway.clone());
    let ended = Box::pin(async move { ended(&gateway, holder, events).await });
    let mut response =
        response.map(|body| Body::from_stream(body.into_data_stream().take_until(ended)));
    response.extensions_mut().insert(Unhurried);
    response
}

async fn ended(gateway: &Gateway, holder: StreamHolder, mut events: Receiver<Event>) {
    let mut looks = tokio::time::interval(LOOK_EVERY);
    let mut rechecks = gateway.inner.sharing.as_ref().map(|sharing| sharing.rechecks());
    loop {
        tokio::select! {
            event = events.recv() => match event {
                Ok(event) if holder.ends_with(&event) => return,
                Ok(_) => {}
                Err(RecvError::Lagged(_)) => looks.reset_immediately(),
                Err(RecvError::Closed) => return,
            },
            () = rechecked(&mut rechecks) => looks.reset_immediately(),
            _ = looks.tick() => {
                if !holder.is_valid(gateway).await {
                    return;
                }
            }
        }
    }
}

/// Completes once another gateway has ended sessions.
async fn rechecked(rechecks: &mut Option<watch::Receiver<u64>>) {
    let changed = match rechecks {
        Some(rechecks) => rechecks.changed().await.is_ok(),
        None => false,
    };
    if !changed {
        std::future::pending::<()>().await;
    }
}
