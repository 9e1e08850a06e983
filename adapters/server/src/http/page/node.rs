//! One node: its state, what it may do, its certificates and its tasks.

use axum::extract::{Path, State};
use axum::response::Response;
use handfast_core::NodeId;
use maud::{Markup, html};
use serde_json::json;

use super::frame::Asked;
use super::words::{self, Call};
use super::{Visitor, log, pending};
use crate::gateway::Gateway;
use crate::gateway::node_addresses::MovedNode;
use crate::http::admin::failure::AdminFailure;
use crate::http::admin::{
    CapabilityView, DeviceView, DispatchView, InForceView, OfferedView, PairedView, dispatches,
    listing, paired,
};

/// The number of a node's tasks that are shown.
const TASKS: usize = 20;

pub(super) async fn show(
    State(gateway): State<Gateway>,
    asked: Asked,
    Path(id): Path<String>,
) -> Response {
    let (title, live) = match live(&gateway, &asked.visitor, &id).await {
        Ok((title, live)) => (title, Ok(live)),
        Err(failure) => ("Node".to_owned(), Err(failure)),
    };
    asked.answer(&gateway, "/admin/nodes", &title, live)
}

async fn live(
    gateway: &Gateway,
    visitor: &Visitor,
    id: &str,
) -> Result<(String, Markup), AdminFailure> {
    let device = gateway.device_named(id).await?;
    let node_id = device.entry.record.node_id;
    let has_keys = device.entry.record.keys.is_some();
    gateway.inner.shown.see(&device.entry);
    let view = listing::described(gateway, &device).await?;
    let is_paired = matches!(view.standing.as_str(), "paired" | "muted");
    let pairing = if has_keys && is_paired {
        Some(paired::view(&gateway.paired_node(node_id).await?, gateway.now()))
    } else {
        None
    };
    let moved = match pairing {
        Some(_) => Some(gateway.moved_node(node_id).await?),
        None => None,
    };
    let moved = moved.filter(|moved| !moved.addresses.is_empty());
    let live = html! {
        section #state {
            h2 { "State" }
            (pending::who(&view))
            (facts(&view))
            @if visitor.decides() { div.buttons { (buttons(&view)) } }
        }
        @if let Some(pairing) = &pairing { (permissions(pairing, visitor)) }
        @if pairing.is_some() {
            (tasks(gateway, visitor, node_id).await?)
            (certified(gateway, node_id).await?)
        }
        @if let Some(moved) = &moved { (told(moved)) }
        section #profile {
            h2 { "What it says of itself" }
            pre { (view.hardware_profile.get()) }
        }
        (log::history(gateway, visitor, node_id).await?)
    };
    Ok((view.friendly_name, live))
}

fn facts(view: &DeviceView) -> Markup {
    let readings = &view.sensor_data;
    html! {
        dl {
            dt { "Id" } dd { code { (view.node_id) } }
            @if let Some(name) = &view.registered_as { dt { "Registered as" } dd { (name) } }
            dt { "Standing" }
            dd {
                (words::state(if view.quarantine.is_some() { "quarantined" } else { &view.standing }))
                @if let Some(cause) = &view.cause { " " (cause) }
                @if let Some(mode) = &view.policy_mode { ", mode " (mode) }
            }
            dt { "Link" }
            dd {
                (words::state(&view.status))
                @if let Some(seen) = view.last_seen { " seen " (words::ago(seen)) }
            }
            dt { "Flow" } dd { (view.flow) }
            dt { "Asked" } dd { "from " (view.ip_address) ", " (words::ago(view.asked_at)) }
            @if let Some(by) = &view.approved_by { dt { "Approved by" } dd { (words::maker(by)) } }
            @if readings.occupancy.is_some() || readings.noise_level.is_some() {
                dt { "Reports" }
                dd {
                    @if let Some(occupied) = readings.occupancy {
                        @if occupied { "somebody is there" } @else { "nobody is there" }
                    }
                    @if let Some(noise) = readings.noise_level { " noise " (noise) }
                }
            }
            @if let Some(until) = view.undelivered_until {
                dt { "Token" } dd { "not delivered yet, undone " (words::until(until)) }
            }
        }
    }
}

fn buttons(view: &DeviceView) -> Markup {
    let (name, id) = (&view.friendly_name, &view.node_id);
    let post =
        |label, what: &str| Call::post(label, format!("/api/v1/devices/{id}/{what}"), json!({}));
    html! {
        @match view.standing.as_str() {
            "pending" => { a href="/admin" { "It waits for a decision" } }
            "paired" | "muted" => {
                @if view.quarantine.is_some() {
                    (post("Release", "release")
                        .asks(format!("{name} works again. Release it only if its state came from a backup."))
                        .button(name))
                }
                @if view.standing == "paired" { (post("Mute", "mute").button(name)) }
                @else { (post("Unmute", "unmute").main().button(name)) }
                button type="button" class="plain" data-rename=(format!("/api/v1/devices/{id}/rename"))
                    data-now=(name) { "Rename …" }
                @if view.fingerprint.is_some() {
                    (post("Evict", "evict")
                        .asks(format!("The links and certificates of {name} end. It comes back by renewing with its key."))
                        .button(name))
                } @else {
                    (Call::post("New token", format!("/api/v1/devices/{id}/pair"), json!({"reissue": true}))
                        .asks(format!("{name} gets a new token. The present one works until the new one is used."))
                        .button(name))
                }
                (post("Revoke", "unpair")
                    .asks(format!("{name} is out for good. It has to be paired anew, and with another key."))
                    .button(name))
            }
            _ => {
                (post("Forget", "forget")
                    .asks(format!("The record of {name} is removed. A key that was revoked stays revoked."))
                    .button(name))
            }
        }
    }
}

fn permissions(pairing: &PairedView, visitor: &Visitor) -> Markup {
    let id = &pairing.device.node_id;
    html! {
        section #permissions {
            h2 { "Permissions" }
            div.compare {
                div #in-force { h3 { "In force" } (in_force(pairing.in_force.as_ref())) }
                @if let Some(offer) = &pairing.offered { div #offered { h3 { "Offered" } (offered(offer)) } }
            }
            @if !pairing.device.asks_more.is_empty() {
                h3 { "Asks also for" } (words::scopes(&pairing.device.asks_more))
            }
            @if visitor.decides() {
                div.buttons {
                    button type="button" class="plain"
                        data-permit=(format!("/api/v1/paired/{id}/permissions"))
                        data-scopes=(now_and_asked(pairing)) { "Change …" }
                }
            }
            @if !pairing.grants.is_empty() {
                h3 { "Grants" }
                ul.lines {
                    @for grant in &pairing.grants {
                        li {
                            (words::state(&grant.state)) " since " (words::ago(grant.since))
                            ", by " (words::maker(&grant.made_by))
                            @if let Some(ends) = grant.expires_at { ", ends " (words::text(ends)) }
                        }
                    }
                }
            }
            @if !pairing.delegates.is_empty() {
                h3 { "Delegated to" }
                ul.lines {
                    @for delegate in &pairing.delegates {
                        li { (words::fingerprint(&delegate.fingerprint)) (words::state(&delegate.status)) }
                    }
                }
            }
        }
    }
}

/// Shows the addresses at which the node is to look for the gateway.
fn told(moved: &MovedNode) -> Markup {
    let standing = match (moved.confirmed, moved.online) {
        (true, _) => "The node has stored them.",
        (false, true) => "The node is linked, and has not stored them yet.",
        (false, false) => "The node is not linked, and hears of them at its next link.",
    };
    html! {
        section #addresses {
            h2 { "Where it looks for this gateway" }
            ul.lines { @for address in &moved.addresses { li { code { (address) } } } }
            p { (standing) }
        }
    }
}

fn in_force(now: Option<&InForceView>) -> Markup {
    html! {
        @match now {
            None => { p.none { "nothing" } }
            Some(now) => {
                (words::permissions(&now.permissions))
                @if let Some(within) = &now.within { p { "as far as within" } (words::permissions(within)) }
                @if let Some(ends) = now.expires_at { p { "until " (words::text(ends)) } }
            }
        }
    }
}

fn offered(offer: &OfferedView) -> Markup {
    html! {
        (words::permissions(&offer.permissions))
        p {
            "in force once the node has confirmed them"
            @if let Some(ends) = offer.expires_at { ", until " (words::text(ends)) }
        }
    }
}

/// Returns the scopes that were decided last and those that were asked for, as the dialog takes
/// them.
fn now_and_asked(pairing: &PairedView) -> String {
    let decided = match (&pairing.offered, &pairing.in_force) {
        (Some(offer), _) => pending::scope_lines(&offer.permissions),
        (None, Some(now)) => pending::scope_lines(&now.permissions),
        (None, None) => Vec::new(),
    };
    decided
        .into_iter()
        .chain(pairing.device.asks_more.iter().cloned())
        .collect::<Vec<_>>()
        .join("\n")
}

async fn tasks(
    gateway: &Gateway,
    visitor: &Visitor,
    node_id: NodeId,
) -> Result<Markup, AdminFailure> {
    let able = dispatches::can(gateway, node_id).await?;
    let tasks: Vec<DispatchView> = gateway
        .dispatches(node_id, TASKS)
        .await?
        .iter()
        .map(|status| dispatches::view(status, visitor.decides()))
        .collect();
    Ok(html! {
        section #tasks data-keyed {
            h2 #tasks-title { "Tasks" }
            @if let Some(why) = &able.takes_none { p #tasks-none.none { (why) } }
            @if !able.capabilities.is_empty() {
                ul #capabilities .lines {
                    @for one in &able.capabilities { (capability(one, node_id, able.takes_tasks && visitor.decides())) }
                }
            }
            @for task in &tasks { (dispatch(task, visitor)) }
        }
    })
}

fn capability(one: &CapabilityView, node_id: NodeId, may: bool) -> Markup {
    html! {
        li {
            code { (one.name) } " " (one.version)
            @if !one.available { " " span.none { "not available now" } }
            @if may && one.available {
                " " button type="button" class="plain" data-invoke=(format!("/api/v1/nodes/{node_id}/dispatches"))
                    data-capability=(one.name) aria-label=(format!("Run … {}", one.name)) { "Run …" }
            }
        }
    }
}

fn dispatch(task: &DispatchView, visitor: &Visitor) -> Markup {
    let path = format!("/api/v1/nodes/{}/dispatches/{}", task.node_id, task.id);
    html! {
        article .row id=(format!("t-{}", task.id)) {
            p {
                code { (task.capability) } " " (words::state(&task.state)) " " (words::ago(task.changed_at))
                " by " (words::maker(&task.made_by))
                @if let Some(percent) = task.percent { " " (percent) " %" }
                @if let Some(note) = &task.note { " " (note) }
                @if task.unknown_for_good { " the node cannot tell any more whether it ran" }
            }
            @if let Some(reason) = &task.reason { p { (reason) } }
            @if let Some(result) = &task.result { pre { (result) } }
            @if visitor.decides() {
                @if !task.over && !task.cancelling {
                    (Call::post("Cancel", format!("{path}/cancel"), json!({})).button(&task.capability))
                }
                @if task.may_retry {
                    (Call::post("Send again", format!("{path}/retry"), json!({})).button(&task.capability))
                }
            }
        }
    }
}

async fn certified(gateway: &Gateway, node_id: NodeId) -> Result<Markup, AdminFailure> {
    let own = gateway.certificates_of(node_id).await?;
    Ok(html! {
        @if !own.is_empty() {
            section #certificates {
                h2 { "Certificates" }
                ul.lines {
                    @for one in own {
                        li {
                            (words::state(one.certificate.state.as_str()))
                            " serial " (words::id(&one.certificate.serial.to_string()))
                            ", ends " (words::text(one.certificate.not_after.into()))
                        }
                    }
                }
            }
        }
    })
}
