//! The nodes, a page at a time.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use handfast_core::NodeId;
use handfast_store::Filter;
use maud::{Markup, html};
use serde::Deserialize;

use super::frame::Asked;
use super::words;
use crate::gateway::Gateway;
use crate::http::admin::DeviceView;
use crate::http::admin::failure::AdminFailure;

/// The number of nodes on a page.
const PAGE: usize = 50;

#[derive(Deserialize, Default)]
pub(super) struct ShowQuery {
    /// `all` to include revoked nodes.
    filter: Option<String>,
    /// Id of the last node of the page before.
    after: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct FindQuery {
    /// A name, or the beginning of an id.
    q: String,
}

pub(super) async fn show(
    State(gateway): State<Gateway>,
    asked: Asked,
    query: Result<Query<ShowQuery>, QueryRejection>,
) -> Response {
    let Query(query) = query.unwrap_or_default();
    let live = live(&gateway, &query).await;
    asked.answer(&gateway, "/admin/nodes", "Nodes", live)
}

/// Leads to the node that is named so, or says why it does not.
pub(super) async fn find(
    State(gateway): State<Gateway>,
    asked: Asked,
    query: Result<Query<FindQuery>, QueryRejection>,
) -> Response {
    let which = query.map(|Query(query)| query.q).unwrap_or_default();
    match gateway.device_named(which.trim()).await {
        Ok(device) => {
            let path = format!("/admin/nodes/{}", device.entry.record.node_id);
            Redirect::to(&path).into_response()
        }
        Err(error) => asked.answer(&gateway, "/admin/nodes", "Nodes", Err(error.into())),
    }
}

async fn live(gateway: &Gateway, query: &ShowQuery) -> Result<Markup, AdminFailure> {
    let all = query.filter.as_deref() == Some("all");
    let filter = if all { Filter::All } else { Filter::Current };
    let after: Option<NodeId> = match query.after.as_deref() {
        None => None,
        Some(text) => Some(
            NodeId::parse(text)
                .ok_or_else(|| AdminFailure::Usage(format!("{text:?} is no id of a node")))?,
        ),
    };
    let listed = gateway.devices(filter, after, PAGE).await?;
    let next = (listed.len() == PAGE).then(|| listed.last()).flatten().map(|last| match last {
        Ok(device) => device.entry.record.node_id.to_string(),
        Err(damaged) => damaged.node_id.to_string(),
    });
    let quarantined: Vec<NodeId> =
        gateway.quarantined().await?.into_iter().map(|(node_id, _)| node_id).collect();
    let filter = if all { "?filter=all&" } else { "?" };
    Ok(html! {
        section #find {
            form action="/admin/find" role="search" {
                label for="q" { "Name, or the beginning of an id" }
                input #q name="q" type="search" required autocomplete="off" spellcheck="false";
                button type="submit" { "Find" }
            }
            p { @if all { a href="/admin/nodes" { "Without revoked nodes" } }
                @else { a href="/admin/nodes?filter=all" { "With revoked nodes" } } }
        }
        section #nodes data-keyed {
            @for node in &listed {
                @match node {
                    Ok(device) => {
                        @let copied = quarantined.contains(&device.entry.record.node_id);
                        (row(&DeviceView::from(device), copied))
                    }
                    Err(damaged) => {
                        article .row id=(format!("n-{}", damaged.node_id)) {
                            h3 { (words::id(&damaged.node_id.to_string())) }
                            p role="alert" { "Its record cannot be read: " (damaged.problem) }
                        }
                    }
                }
            }
            @if listed.is_empty() {
                div #nodes-none .empty {
                    p { "No node is paired yet. A code pairs one without a question:" }
                    (words::command("handfast codes create"))
                }
            }
        }
        (words::further(&format!("/admin/nodes{filter}"), next.as_deref(), "nodes"))
    })
}

fn row(device: &DeviceView, copied: bool) -> Markup {
    html! {
        article .row id=(format!("n-{}", device.node_id)) data-node=(device.node_id) data-standing=(device.standing) {
            h3 {
                a href=(format!("/admin/nodes/{}", device.node_id)) { (device.friendly_name) }
                @if !device.room.is_empty() { " " span.room { (device.room) } }
            }
            p {
                (words::state(if copied { "quarantined" } else { &device.standing }))
                " " (words::state(&device.status))
                " " span.flow { (device.flow) }
                @if let Some(seen) = device.last_seen { " " span { "seen " (words::ago(seen)) } }
                @if !device.asks_more.is_empty() { " " a href="/admin" { "asks for more" } }
            }
        }
    }
}
