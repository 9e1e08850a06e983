//! `handfast watch`: events as they happen.

use crate::End;
use crate::args;
use crate::client::LineStream;
use crate::events::{Happened, Narrator};
use crate::print::put;

pub(crate) async fn run(args: args::Watch) -> Result<(), End> {
    let data = args.data.gateway()?;
    let mut lines = LineStream::follow(&data, "/api/v1/events").await?;
    let mut messages = match args.messages {
        true => Some(LineStream::follow(&data, "/api/v1/messages").await?),
        false => None,
    };
    let narrator = Narrator::new(&data, true);
    loop {
        let line = tokio::select! {
            line = lines.next() => line?,
            line = next_of(&mut messages) => line?,
        };
        let Some(line) = line else { break };
        let text = match args.json {
            true => Some(line + "\n"),
            false => narrator.tell(&Happened::read(&line)?).await,
        };
        if let Some(text) = text {
            put(&text)?;
        }
    }
    Err(End::Refused("the gateway has ended, and with it what there was to watch".to_owned()))
}

/// Waits for the next line of a stream; for ever if there is none.
async fn next_of(stream: &mut Option<LineStream>) -> Result<Option<String>, End> {
    match stream {
        Some(stream) => stream.next().await,
        None => std::future::pending().await,
    }
}
