//! Senders on channels: who waits, who is allowed, who is blocked.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Response;
use handfast_store::SenderFilter;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::json;

use super::Visitor;
use super::frame::Asked;
use super::words::{self, Call};
use crate::gateway::Gateway;
use crate::http::admin::failure::AdminFailure;
use crate::http::admin::{SenderView, inbound};

/// The number of senders on a page.
const PAGE: usize = 50;

#[derive(Deserialize, Default)]
pub(super) struct ShowQuery {
    /// Place of the last sender of the page before.
    after: Option<String>,
}

pub(super) async fn show(
    State(gateway): State<Gateway>,
    asked: Asked,
    query: Result<Query<ShowQuery>, QueryRejection>,
) -> Response {
    let Query(query) = query.unwrap_or_default();
    let live = live(&gateway, &asked.visitor, &query).await;
    asked.answer(&gateway, "/admin/senders", "Senders", live)
}

async fn live(
    gateway: &Gateway,
    visitor: &Visitor,
    query: &ShowQuery,
) -> Result<Markup, AdminFailure> {
    let filter = SenderFilter { channel: None, all: true, include_revoked: false };
    let after = query.after.as_deref();
    let list = inbound::page(gateway, &visitor.caller(), filter, after, PAGE).await?;
    let (senders, next) = (list.senders, list.next);
    Ok(html! {
        section #senders data-keyed {
            h2 #senders-title { "Senders" }
            @for sender in &senders { (row(sender, visitor)) }
            @if senders.is_empty() && after.is_none() {
                div #senders-none .empty {
                    p { "Nobody has written over a channel. Extensions of the gateway bring channels; it names those that it has:" }
                    (words::command("handfast extensions list"))
                }
            }
        }
        (words::further("/admin/senders?", next.as_deref(), "senders"))
    })
}

fn row(sender: &SenderView, visitor: &Visitor) -> Markup {
    let name = &sender.sender;
    let account = (!sender.account.is_empty()).then_some(&sender.account);
    let body = json!({"channel": sender.channel, "sender": name, "account": account});
    let post =
        |label, what: &str| Call::post(label, format!("/api/v1/inbound/{what}"), body.clone());
    // A sender has no id of its own, and its name may hold any character.
    let key = format!("{}-{}-{}", sender.channel, sender.account, name);
    let key: String = key.bytes().map(|byte| format!("{byte:02x}")).collect();
    html! {
        article .row id=(format!("w-{key}")) {
            h3 { (name) " " span.room { (sender.channel) @if let Some(account) = account { ", " (account) } } }
            p {
                (words::state(&sender.state)) " since " (words::ago(sender.since))
                @if let Some(code) = &sender.code { ", code " code { (code) } }
                @if let Some(until) = sender.until { ", until " (words::text(until)) }
                @if let Some(via) = &sender.via { ", by " (via) }
            }
            @if visitor.decides() {
                div.buttons {
                    @match sender.state.as_str() {
                        "pending" => {
                            @if let Some(code) = &sender.code {
                                (Call::post("Approve", "/api/v1/inbound/approve".to_owned(), json!({"code": code})).main().button(name))
                            }
                            (post("Reject", "reject").button(name))
                            (post("Block", "block").asks(format!("What {name} writes is dropped from now on.")).button(name))
                        }
                        "allowed" => {
                            (post("Revoke", "revoke").asks(format!("{name} is challenged again.")).button(name))
                            (post("Block", "block").asks(format!("What {name} writes is dropped from now on.")).button(name))
                        }
                        "blocked" => { (post("Unblock", "unblock").button(name)) }
                        _ => {}
                    }
                }
            }
        }
    }
}
