//! Pairing of a companion with a setup code.

use futures_util::{SinkExt, StreamExt};
use handfast_core::Machine;
use handfast_core::flow::setup_code::companion::{Companion, Effect, Input};
use handfast_core::grant::session::Token;
use handfast_core::limits::{COMPANION_SCRATCH, FRAME_BYTES, SETUP_TOKEN_CHARS};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use zeroize::Zeroizing;

use super::code::CompanionCode;
use super::connection::{WITHIN, open};
use super::{CompanionError, Endpoint};
use crate::clock::ProcessClock;

/// Shows a setup code to the gateway at this endpoint, and waits for the session's token.
///
/// # Errors
/// [`CompanionError`] with the cause. The code is spent only if it was shown, that is after the
/// connection was open.
pub async fn pair(endpoint: &Endpoint, code: &CompanionCode) -> Result<Token, CompanionError> {
    let mut socket = open(endpoint).await?;
    let clock = ProcessClock::start();
    let mut frame = Zeroizing::new([0; 2 * SETUP_TOKEN_CHARS]);
    // A code holds a token of at most this length.
    let begun = Companion::begin(clock.now(), &code.token, &mut frame[..]);
    let (mut companion, first) = begun.ok_or_else(|| endpoint.not_understood())?;
    match timeout(WITHIN, socket.send(Message::text(first))).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return Err(endpoint.broken(&error)),
        Err(_) => return Err(endpoint.silent()),
    }
    let mut scratch = Zeroizing::new(vec![0; COMPANION_SCRATCH.max(FRAME_BYTES)]);
    loop {
        let received = tokio::select! {
            received = socket.next() => Some(received),
            () = clock.until(companion.deadline().map(|(at, _)| at)) => None,
        };
        let input = match &received {
            None => Input::Tick,
            Some(Some(Ok(Message::Text(text)))) => Input::Text(text),
            Some(Some(Ok(Message::Binary(_)))) => Input::Binary,
            Some(Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)))) => continue,
            Some(Some(Ok(Message::Close(_)) | Err(_)) | None) => Input::Closed,
        };
        let effects = companion.step(clock.now(), input, &mut scratch);
        let Some(effect) = effects.into_iter().next() else { continue };
        return match effect {
            Effect::Keep(token) => {
                // The session is valid whether or not the close frame arrives.
                let _ = timeout(WITHIN, socket.close(None)).await;
                Ok(token)
            }
            Effect::Refused(word) => Err(CompanionError::Refused(word.to_owned())),
            Effect::NotUnderstood => Err(endpoint.not_understood()),
            Effect::NoAnswer => {
                Err(CompanionError::NoAnswer { url: endpoint.url().as_str().to_owned() })
            }
        };
    }
}
