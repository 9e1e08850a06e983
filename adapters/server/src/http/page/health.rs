//! The health of the gateway: store, clock, counts and extensions.

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};

use super::frame::Asked;
use super::words;
use crate::gateway::Gateway;
use crate::http::admin::failure::AdminFailure;
use crate::http::admin::{Acting, StatusView, status};

pub(super) async fn show(State(gateway): State<Gateway>, asked: Asked) -> Response {
    let live = live(&gateway).await;
    asked.answer(&gateway, "/admin/health", "Health", live)
}

async fn live(gateway: &Gateway) -> Result<Markup, AdminFailure> {
    let view = status(Acting(gateway.clone())).await?.0;
    Ok(html! {
        (store(&view))
        section #clock {
            h2 { "Clock" }
            p { (words::state(&view.clock.state)) " " (words::text(view.clock.now)) }
            p { "The system " @if view.clock.synchronised { "says" } @else { "does not say" } " that its clock is synchronised." }
            @if let Some(mend) = &view.clock.mend { p role="alert" { (mend) } }
        }
        section #counts {
            h2 { "Counts" }
            dl {
                dt { "Links" } dd { (view.linked) }
                dt { "Connections that have not authenticated" } dd { (view.waiting) }
                dt { "Nodes that wait" } dd { (view.nodes.pending) }
                dt { "Paired" } dd { (view.nodes.paired) }
                dt { "Muted" } dd { (view.nodes.muted) }
                dt { "Revoked" } dd { (view.nodes.revoked) }
                dt { "In quarantine" } dd { (view.quarantined) }
            }
        }
        section #extensions {
            h2 { "Extensions" }
            @let all = gateway.extensions().status();
            @if all.is_empty() { p.none { "none" } }
            ul.lines { @for one in &all { li {
                (one.name) " " (words::state(if one.alive { "linked" } else { "down" }))
                @if let Some(error) = &one.last_error { " " (error) }
            } } }
        }
    })
}

fn store(view: &StatusView) -> Markup {
    html! {
        section #store {
            h2 { "Store" }
            @if view.store.failing {
                p role="alert" { "The registry cannot be written: free disk space. What narrows rights is in force all the same, until the gateway restarts." }
            } @else { p { (words::state("good")) " writes arrive" } }
            @if view.store.failures > 0 { p { (view.store.failures) " writes failed since the start" } }
            @if !view.store.unstored.is_empty() {
                ul.lines { @for one in &view.store.unstored { li { (one.what) ", since " (words::ago(one.since)) } } }
            }
            @if let Some(since) = view.older_than_nodes_since {
                p role="alert" { "This gateway was restored from a backup: nodes have newer marks than it remembers, since " (words::ago(since)) }
            }
        }
    }
}
