//! The companions' socket with a session: messages from the gateway's application, and to it.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use handfast_core::limits::Limits;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use zeroize::Zeroizing;

use super::connection::{WITHIN, open};
use super::session_file::StoredSession;
use super::{CompanionError, Endpoint};
use crate::connection::{self, Socket};
use crate::event::Lost;

/// The gateway's answer to a session.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Welcome {
    session_id: Option<String>,
    error: Option<String>,
}

/// A message from the gateway's application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CompanionFrame {
    /// A text, unchecked.
    Text(String),
    /// Bytes.
    Binary(Vec<u8>),
}

/// An open link of a companion.
pub struct CompanionLink {
    socket: Socket,
    endpoint: Endpoint,
    welcome: Value,
}

impl std::fmt::Debug for CompanionLink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CompanionLink").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

impl CompanionLink {
    /// Opens the socket and shows the session.
    ///
    /// # Errors
    /// [`CompanionError`] with the cause.
    pub async fn open(endpoint: Endpoint, session: &StoredSession) -> Result<Self, CompanionError> {
        let mut socket = open(&endpoint).await?;
        let shown = timeout(WITHIN, async {
            let first =
                Zeroizing::new(format!(r#"{{"session_token":"{}"}}"#, session.token.expose()));
            let sent = socket.send(Message::text(first.as_str())).await;
            sent.map_err(|error| endpoint.broken(&error))?;
            loop {
                match socket.next().await {
                    Some(Ok(Message::Text(text))) => return Ok(text),
                    Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                    Some(Err(error)) => return Err(endpoint.broken(&error)),
                    Some(Ok(Message::Binary(_) | Message::Close(_))) | None => {
                        return Err(endpoint.not_understood());
                    }
                }
            }
        });
        let text = shown.await.map_err(|_| endpoint.silent())??;
        match serde_json::from_str::<Welcome>(&text) {
            Ok(Welcome { error: Some(word), .. }) => Err(CompanionError::Refused(word)),
            Ok(Welcome { session_id: Some(_), .. }) => {
                let welcome = serde_json::from_str(&text).map_err(|_| endpoint.not_understood())?;
                Ok(Self { socket, endpoint, welcome })
            }
            Ok(Welcome { session_id: None, error: None }) | Err(_) => {
                Err(endpoint.not_understood())
            }
        }
    }

    /// Returns the gateway's description of the session, unchecked.
    #[must_use]
    pub const fn welcome(&self) -> &Value {
        &self.welcome
    }

    /// Waits for the next message of the gateway's application, and probes a silent gateway at the
    /// interval that gateways use themselves.
    ///
    /// # Errors
    /// [`CompanionError::Ended`] when the connection has ended.
    pub async fn next(&mut self) -> Result<CompanionFrame, CompanionError> {
        let limits = Limits::DEFAULT;
        let quiet = Duration::from_millis(
            limits.ping_every.as_millis().saturating_add(limits.pong_within.as_millis()),
        );
        let mut probed = false;
        loop {
            let Ok(message) = timeout(quiet, self.socket.next()).await else {
                let ping = self.socket.send(Message::Ping(Vec::new().into()));
                if probed || timeout(WITHIN, ping).await.is_err() {
                    return Err(CompanionError::Ended(Lost::Silent));
                }
                probed = true;
                continue;
            };
            probed = false;
            return match message {
                Some(Ok(Message::Text(text))) => Ok(CompanionFrame::Text(text.as_str().to_owned())),
                Some(Ok(Message::Binary(bytes))) => Ok(CompanionFrame::Binary(bytes.into())),
                // The WebSocket layer answers pings.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
                Some(Ok(Message::Close(frame))) => {
                    Err(CompanionError::Ended(connection::ended(Some(Ok(frame)))))
                }
                Some(Err(error)) => Err(CompanionError::Ended(connection::ended(Some(Err(error))))),
                None => Err(CompanionError::Ended(connection::ended(None))),
            };
        }
    }

    /// Sends one text frame and closes the connection. The gateway's close frame confirms that it
    /// has read everything.
    ///
    /// # Errors
    /// [`CompanionError`] if the gateway did not confirm it in time.
    pub async fn send_last(mut self, text: String) -> Result<(), CompanionError> {
        let sent = timeout(WITHIN, async {
            self.socket.send(Message::text(text)).await?;
            self.socket.close(None).await?;
            connection::read_out(&mut self.socket).await;
            Ok::<_, tokio_tungstenite::tungstenite::Error>(())
        });
        match sent.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(self.endpoint.broken(&error)),
            Err(_) => Err(self.endpoint.silent()),
        }
    }
}
