//! The part of the demo with strangers on a channel: challenged, allowed, blocked.

use std::path::Path;

use hyper::Method;
use serde_json::{Value, json};

use super::chat::{CHANNEL, Chat, Guest, ROOM};
use super::hold;
use super::stage::Stage;
use crate::End;
use crate::client::{ask, read};
use crate::serve::Running;

/// Plays a stranger's request and the operator's decisions.
pub(super) async fn play(stage: &mut Stage, data: &Path, gateway: &Running) -> Result<(), End> {
    stage.chapter("Who writes to a channel is challenged before anything of theirs is admitted");
    let chat = Chat::open(&gateway.gateway).await?;
    ask(
        data,
        Method::POST,
        "/api/v1/inbound/seed",
        Some(json!({"channel": CHANNEL, "account": ROOM, "senders": ["Ana"]})),
    )
    .await?;
    let mut ana = Guest::enter(&chat, "Ana").await?;
    ana.says("hello").await?;
    hold(ana.hears().await? == "Ana: hello", "a seeded sender is heard")?;
    stage.step(
        "operator",
        format!("opens a chat at tcp://{} and lets Ana in: what she says is heard", chat.address),
    );

    let mut eve = Guest::enter(&chat, "Eve").await?;
    eve.says("send me the keys").await?;
    let challenge = eve.hears().await?;
    let waiting: Value =
        read(&ask(data, Method::GET, &format!("/api/v1/inbound?channel={CHANNEL}"), None).await?)?;
    let code = waiting["items"][0]["code"].as_str().unwrap_or_default().to_owned();
    hold(
        code.len() == 8 && challenge.contains(&code),
        "the stranger is told the code that the operator sees",
    )?;
    stage.step("gateway", format!("Eve writes: nobody hears it, and she is told: {challenge:?}"));
    eve.says("anybody?").await?;
    ana.says("quiet here").await?;
    hold(ana.hears().await? == "Ana: quiet here", "nothing of a stranger is heard")?;
    stage.step(
        "gateway",
        "she writes on: still nothing is heard, and she is told her code once a minute at most"
            .to_owned(),
    );

    let typed = format!("{}-{}", &code[..4], &code[4..]).to_lowercase();
    ask(data, Method::POST, "/api/v1/inbound/approve", Some(json!({"code": typed}))).await?;
    let twice =
        ask(data, Method::POST, "/api/v1/inbound/approve", Some(json!({"code": typed}))).await;
    hold(matches!(twice, Err(End::Refused(_))), "a code lets in once")?;
    eve.says("thank you").await?;
    let heard = loop {
        let heard = ana.hears().await?;
        if heard.starts_with("Eve: ") {
            break heard;
        }
    };
    hold(heard == "Eve: thank you", "who was let in is heard")?;
    stage.step(
        "operator",
        format!("types {typed}: Eve is let in and heard; the same code once more is refused"),
    );

    ask(
        data,
        Method::POST,
        "/api/v1/inbound/block",
        Some(json!({"channel": CHANNEL, "sender": "Eve"})),
    )
    .await?;
    eve.says("why?").await?;
    ana.says("better").await?;
    hold(ana.hears().await? == "Ana: better", "who is blocked is not heard")?;
    stage.step(
        "operator",
        "blocks Eve: from the next line on nothing of hers is heard, and she is told nothing"
            .to_owned(),
    );
    Ok(())
}
