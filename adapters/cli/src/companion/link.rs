//! The companions' socket with a session: messages from the gateway's application, and to it.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use handfast_core::crypto::base64url;
use handfast_core::limits::{FRAME_BYTES, Limits};
use handfast_stdio::{Hint, note_line};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use zeroize::Zeroizing;

use super::connection::{Socket, WITHIN, open, silent};
use super::file::StoredSession;
use super::pair::refusal;
use super::place::Endpoint;
use crate::End;
use crate::print::{harmless, put, quoted, safe};

/// The gateway's answer to a session.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Welcome {
    session_id: Option<String>,
    error: Option<String>,
}

pub(super) async fn send(
    way: &Endpoint,
    kept: &StoredSession,
    anew: &Hint,
    text: &str,
    json: bool,
) -> Result<(), End> {
    let text = if text == "-" { input()? } else { text.to_owned() };
    if text.len() > FRAME_BYTES {
        return Err(End::Usage(format!(
            "a frame has at most {FRAME_BYTES} bytes, and this text has {}",
            text.len()
        )));
    }
    let (mut socket, _) = linked(way, kept, anew).await?;
    let bytes = text.len();
    let sent = timeout(WITHIN, async {
        socket.send(Message::text(text)).await?;
        socket.close(None).await?;
        // The gateway's close frame confirms that it has read everything.
        while let Some(Ok(_)) = socket.next().await {}
        Ok::<_, tokio_tungstenite::tungstenite::Error>(())
    });
    match sent.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            return Err(End::Refused(format!(
                "the text was not sent: {}",
                safe(&error.to_string())
            )));
        }
        Err(_) => return Err(silent(way)),
    }
    put(&if json {
        format!("{}\n", json!({ "sent": bytes }))
    } else {
        format!("sent, {bytes} bytes\n")
    })
}

pub(super) async fn listen(
    way: &Endpoint,
    kept: &StoredSession,
    anew: &Hint,
    as_json: bool,
) -> Result<(), End> {
    let (mut socket, welcome) = linked(way, kept, anew).await?;
    note_line(&format!(
        "linked to {} as {}",
        way.url,
        safe(welcome["profile"].as_str().unwrap_or("a companion"))
    ));
    if as_json {
        line(&json!({ "event": "linked", "session": welcome }))?;
    }
    // The interval that the gateway asks for; the WebSocket layer answers pings itself.
    let quiet = Duration::from_millis(
        Limits::DEFAULT.ping_every.as_millis() + Limits::DEFAULT.pong_within.as_millis(),
    );
    let mut asked = false;
    loop {
        let message = match timeout(quiet, socket.next()).await {
            Ok(message) => message,
            Err(_) if asked => return Err(End::Refused(format!("{} fell silent", way.url))),
            Err(_) => {
                asked = true;
                if timeout(WITHIN, socket.send(Message::Ping(Vec::new().into()))).await.is_err() {
                    return Err(silent(way));
                }
                continue;
            }
        };
        asked = false;
        match message {
            Some(Ok(Message::Text(text))) if as_json => {
                line(&json!({ "event": "text", "text": text.as_str() }))?;
            }
            Some(Ok(Message::Text(text))) => put(&format!("{}\n", safe(&text)))?,
            Some(Ok(Message::Binary(bytes))) if as_json => {
                line(&json!({ "event": "binary", "base64url": base64(&bytes) }))?;
            }
            Some(Ok(Message::Binary(bytes))) => {
                put(&format!("({} bytes that are no text)\n", bytes.len()))?;
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
            Some(Ok(Message::Close(frame))) => {
                let why = frame
                    .map(|frame| {
                        format!(": {} (code {})", quoted(&frame.reason), u16::from(frame.code))
                    })
                    .unwrap_or_default();
                return Err(End::Refused(format!("the gateway ended the connection{why}")));
            }
            Some(Err(error)) => {
                return Err(End::Refused(format!(
                    "the connection broke: {}",
                    safe(&error.to_string())
                )));
            }
            None => return Err(End::Refused("the connection ended without a word".to_owned())),
        }
    }
}

/// Opens the socket and shows the session. Returns the socket and the gateway's answer. `anew` is
/// the command that begins another session.
async fn linked(way: &Endpoint, kept: &StoredSession, anew: &Hint) -> Result<(Socket, Value), End> {
    let mut socket = open(way).await?;
    let shown = timeout(WITHIN, async {
        let first = Zeroizing::new(format!(r#"{{"session_token":"{}"}}"#, kept.token.expose()));
        let broke = |error: tokio_tungstenite::tungstenite::Error| {
            End::Refused(format!(
                "the connection to {} broke: {}",
                way.url,
                safe(&error.to_string())
            ))
        };
        socket.send(Message::text(first.as_str())).await.map_err(broke)?;
        loop {
            match socket.next().await {
                Some(Ok(Message::Text(text))) => return Ok(text),
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Err(error)) => return Err(broke(error)),
                Some(Ok(Message::Binary(_) | Message::Close(_))) | None => {
                    return Err(End::Refused(format!(
                        "{} ended the connection; is it a gateway for companions?",
                        way.url
                    )));
                }
            }
        }
    });
    let text = shown.await.map_err(|_| silent(way))??;
    match serde_json::from_str::<Welcome>(&text) {
        Ok(Welcome { error: Some(word), .. }) => Err(End::Refused(refusal(&word, anew))),
        Ok(Welcome { session_id: Some(_), .. }) => {
            Ok((socket, serde_json::from_str(&text).map_err(End::refused)?))
        }
        Ok(Welcome { session_id: None, error: None }) | Err(_) => Err(End::Refused(format!(
            "{} answered something that is not understood; is it a gateway for companions?",
            way.url
        ))),
    }
}

/// Reads standard input up to the maximum size of a frame.
fn input() -> Result<String, End> {
    use std::io::Read;
    let mut text = String::new();
    let read = std::io::stdin().lock().take(FRAME_BYTES as u64 + 1).read_to_string(&mut text);
    read.map_err(|error| End::Refused(format!("standard input cannot be read as text: {error}")))?;
    Ok(text)
}

fn base64(bytes: &[u8]) -> String {
    let mut out = vec![0; bytes.len().div_ceil(3) * 4];
    base64url::encode(bytes, &mut out).unwrap_or_default().to_owned()
}

fn line(value: &Value) -> Result<(), End> {
    put(&format!("{}\n", harmless(&value.to_string())))
}
