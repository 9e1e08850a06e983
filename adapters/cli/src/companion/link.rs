//! The companions' socket with a session: messages from the gateway's application, and to it.

use handfast_core::crypto::base64url;
use handfast_core::limits::FRAME_BYTES;
use handfast_node::Lost;
use handfast_node::companion::{CompanionError, CompanionFrame, CompanionLink};
use handfast_stdio::{Waiting, note_line};
use serde_json::{Value, json};

use super::Used;
use super::errors::failed;
use crate::End;
use crate::args::CompanionArgs;
use crate::print::{harmless, put, quoted, safe};

pub(super) async fn send(used: Used<'_>, text: &str) -> Result<(), End> {
    let args = used.args;
    let text = if text == "-" { input()? } else { text.to_owned() };
    if text.len() > FRAME_BYTES {
        return Err(End::Usage(format!(
            "a frame has at most {FRAME_BYTES} bytes, and this text has {}",
            text.len()
        )));
    }
    let bytes = text.len();
    let link = linked(used).await?;
    link.send_last(text).await.map_err(|error| failed(error, args))?;
    put(&if args.json {
        format!("{}\n", json!({ "sent": bytes }))
    } else {
        format!("sent, {bytes} bytes\n")
    })
}

pub(super) async fn listen(used: Used<'_>) -> Result<(), End> {
    let (args, url) = (used.args, used.endpoint.url().clone());
    let mut link = linked(used).await?;
    note_line(&format!(
        "linked to {url} as {}",
        safe(link.welcome()["profile"].as_str().unwrap_or("a companion"))
    ));
    if args.json {
        line(&json!({ "event": "linked", "session": link.welcome() }))?;
    }
    loop {
        match link.next().await {
            Ok(CompanionFrame::Text(text)) if args.json => {
                line(&json!({ "event": "text", "text": text }))?;
            }
            Ok(CompanionFrame::Text(text)) => put(&format!("{}\n", safe(&text)))?,
            Ok(CompanionFrame::Binary(bytes)) if args.json => {
                line(&json!({ "event": "binary", "base64url": base64(&bytes) }))?;
            }
            Ok(CompanionFrame::Binary(bytes)) => {
                put(&format!("({} bytes that are no text)\n", bytes.len()))?;
            }
            Err(error) => return Err(ended(error, args)),
        }
    }
}

fn ended(error: CompanionError, args: &CompanionArgs) -> End {
    match error {
        CompanionError::Ended(Lost::Closed { code, reason }) if !reason.is_empty() => End::Refused(
            format!("the gateway ended the connection: {} (code {code})", quoted(&reason)),
        ),
        other => failed(other, args),
    }
}

/// Opens the socket and shows the session.
async fn linked(used: Used<'_>) -> Result<CompanionLink, End> {
    let _waiting = Waiting::for_(&format!("connecting to {}", used.endpoint.url()));
    let link = CompanionLink::open(used.endpoint, &used.session).await;
    link.map_err(|error| failed(error, used.args))
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
