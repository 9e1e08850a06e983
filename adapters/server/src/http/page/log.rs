//! The audit log: decisions, the newest first, and the checkpoint that anybody can verify.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Response;
use handfast_core::NodeId;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::Visitor;
use super::frame::Asked;
use super::words;
use crate::gateway::Gateway;
use crate::http::admin::failure::AdminFailure;
use crate::http::admin::{AuditList, audit};

/// The number of entries on a page.
const PAGE: usize = 50;
/// The number of a node's entries that its page shows.
const HISTORY: usize = 10;

#[derive(Deserialize, Default)]
pub(super) struct LogQuery {
    /// Name or id of the node that the entries are about.
    #[serde(default)]
    node: String,
    /// Number of the last entry of the page before.
    before: Option<u64>,
}

pub(super) async fn show(
    State(gateway): State<Gateway>,
    asked: Asked,
    query: Result<Query<LogQuery>, QueryRejection>,
) -> Response {
    let Query(query) = query.unwrap_or_default();
    let live = live(&gateway, &asked.visitor, &query).await;
    asked.answer(&gateway, "/admin/log", "Audit log", live)
}

async fn live(
    gateway: &Gateway,
    visitor: &Visitor,
    query: &LogQuery,
) -> Result<Markup, AdminFailure> {
    let which = query.node.trim();
    let node = match which {
        "" => None,
        which => Some(audit::node_of(gateway, which).await?),
    };
    let found = audit::page(gateway, &visitor.caller(), node, query.before, PAGE).await?;
    let of = node.map_or_else(String::new, |node| format!("node={node}&"));
    Ok(html! {
        section #find {
            form action="/admin/log" role="search" {
                label for="node" { "Only about the node with this name or id" }
                input #node name="node" type="search" value=(which) autocomplete="off" spellcheck="false";
                button type="submit" { "Filter" }
            }
            @if node.is_some() { p { a href="/admin/log" { "About everything" } } }
        }
        section #entries data-keyed {
            h2 #entries-title { "Decisions" }
            (entries(&found))
            @if found.entries.is_empty() {
                div #entries-none .empty {
                    p { "Nothing was decided yet. What is decided here, in a terminal or by a program is listed." }
                }
            }
        }
        @if let Some(next) = found.next {
            nav #older aria-label="Older entries" {
                a href=(format!("/admin/log?{of}before={next}")) { "Older entries" }
            }
        }
        (checkpoint(gateway).await?)
    })
}

/// Returns the newest decisions about a node, for its own page.
pub(super) async fn history(
    gateway: &Gateway,
    visitor: &Visitor,
    node: NodeId,
) -> Result<Markup, AdminFailure> {
    let found = audit::page(gateway, &visitor.caller(), Some(node), None, HISTORY).await?;
    Ok(html! {
        section #history data-keyed {
            h2 #history-title { "History" }
            (entries(&found))
            @if found.entries.is_empty() { p #history-none.none { "Nothing was decided about it." } }
            @if found.next.is_some() {
                p #history-all { a href=(format!("/admin/log?node={node}")) { "All of its history" } }
            }
        }
    })
}

async fn checkpoint(gateway: &Gateway) -> Result<Markup, AdminFailure> {
    let signed = gateway.audit_checkpoint(None).await?;
    Ok(html! {
        section #checkpoint {
            h2 { "Checkpoint" }
            p { "This note, signed by the gateway, stands for all of its entries. Keep it on another machine: only one from before shows that the log was changed or cut since." }
            pre tabindex="0" aria-label="Checkpoint" { (signed.note) }
            p { "The key that signs it:" }
            p { code { (signed.key) } }
            p { "Whether the log still continues a checkpoint in a file is verified with:" }
            (words::command("handfast audit verify --against FILE"))
        }
    })
}

fn entries(found: &AuditList) -> Markup {
    html! { @for (place, entry) in found.entries.iter().enumerate() { (row(place, entry, found)) } }
}

fn row(place: usize, entry: &Map<String, Value>, found: &AuditList) -> Markup {
    let text = |member: &str| entry.get(member).and_then(Value::as_str);
    let Some(number) = entry.get("entry").and_then(Value::as_u64) else {
        let line = text("damaged").unwrap_or_default();
        return html! { article .row id=(format!("damaged-{place}")) { p role="alert" { "A damaged entry:" } pre tabindex="0" { (line) } } };
    };
    let what = text("what").unwrap_or("decision").replace('-', " ");
    let outcome = text("outcome").unwrap_or("done");
    html! {
        article .row id=(format!("e-{number}")) {
            h3 { span.what { (what) } @if let Some(node) = text("node") { " " (named(node, found)) } }
            p {
                span.room { "#" (number) } " "
                @if let Some(at) = text("at") { time datetime=(at) data-ago { (at) } }
                " by " (text("who").unwrap_or("somebody"))
                @if let Some(by) = text("by") { " " (words::id(by)) }
                @if let Some(from) = text("from") { " from " (from) }
                @match outcome {
                    "done" => {}
                    "failed" => { " " strong { "failed" } }
                    other => { " " (other.replace('-', " ")) }
                }
            }
            (details(entry, found))
        }
    }
}

/// Returns the name of a node that is there, or its id.
fn named(node: &str, found: &AuditList) -> Markup {
    match found.names.get(node) {
        Some(name) => html! { a href=(format!("/admin/nodes/{node}")) { (name) } },
        None => html! { "node " (words::id(node)) },
    }
}

/// Returns the members that belong to one kind of decision.
fn details(entry: &Map<String, Value>, found: &AuditList) -> Markup {
    const COMMON: [&str; 8] = ["entry", "at", "who", "by", "from", "what", "node", "outcome"];
    let more: Vec<_> =
        entry.iter().filter(|(member, _)| !COMMON.contains(&member.as_str())).collect();
    html! {
        @if !more.is_empty() {
            dl {
                @for (member, value) in more {
                    dt { (member.replace('_', " ")) }
                    dd { @match value {
                        Value::String(text) => {
                            @match found.names.get(text) { Some(name) => { (name) }, None => { code { (text) } } }
                        }
                        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => { (value) }
                    } }
                }
            }
        }
    }
}
