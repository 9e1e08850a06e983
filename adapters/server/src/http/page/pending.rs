//! What waits for the operator: requests, nodes that ask for more, PINs, and nodes in quarantine.

use axum::extract::State;
use axum::response::Response;
use handfast_store::Filter;
use maud::{Markup, html};
use serde_json::json;

use super::frame::Asked;
use super::words::{self, Call};
use super::{Visitor, codes, policies};
use crate::gateway::Gateway;
use crate::gateway::operator_types::Device;
use crate::http::admin::failure::AdminFailure;
use crate::http::admin::{DeviceView, InForceView, LinkedView, QuarantineView, paired};

/// The number of requests that are shown at once; the rest is counted.
const MOST: usize = 100;

pub(super) async fn show(State(gateway): State<Gateway>, asked: Asked) -> Response {
    let live = live(&gateway, &asked.visitor).await;
    asked.answer(&gateway, "/admin", "Waiting", live)
}

async fn live(gateway: &Gateway, visitor: &Visitor) -> Result<Markup, AdminFailure> {
    let waiting = some(gateway, Filter::Pending).await?;
    let more = some(gateway, Filter::AskingMore).await?;
    let copied = quarantined(gateway).await?;
    let pins = codes::pins(gateway, visitor).await?;
    let counted = gateway.summary().await?.nodes.pending;
    let mut namesakes = Vec::with_capacity(waiting.len());
    for device in &waiting {
        namesakes.push(namesake(gateway, device).await?);
    }
    let unseen = counted.saturating_sub(waiting.len() as u64);
    let mut changes = Vec::with_capacity(more.len());
    for device in &more {
        changes.push((device, in_force(gateway, device).await));
    }
    Ok(html! {
        @if !copied.is_empty() {
            section #copied data-keyed {
                h2 #copied-title { "Copied nodes" }
                @for (node, alarm) in &copied { (quarantine(node, alarm, visitor)) }
            }
        }
        section #requests data-keyed {
            h2 #requests-title { "Requests" }
            @for (device, namesake) in waiting.iter().zip(&namesakes) {
                (request(device, namesake.as_ref(), visitor))
            }
            @if unseen > 0 { p #unseen { (unseen) " more wait; they are shown once these are decided." } }
            @if waiting.is_empty() {
                div #requests-none .empty {
                    p { "No node waits. A node asks with" }
                    (words::command(&ask(gateway)))
                }
            }
        }
        @if !changes.is_empty() {
            section #more data-keyed {
                h2 #more-title { "Ask for more" }
                @for (device, now) in &changes { (asks_more(device, now.as_ref(), visitor)) }
            }
        }
        (pins)
        (policies::section(gateway, visitor).await?)
    })
}

/// Returns the first nodes of a filter. What is shown is what an approval decides about, so they
/// count as shown.
async fn some(gateway: &Gateway, filter: Filter) -> Result<Vec<DeviceView>, AdminFailure> {
    let devices = gateway.devices(filter, None, MOST).await?;
    let see = |device: Device| {
        gateway.inner.shown.see(&device.entry);
        DeviceView::from(&device)
    };
    let mut all: Vec<_> = devices.into_iter().flatten().map(see).collect();
    // The oldest first: what comes stands below, and nothing moves.
    all.sort_by(|a, b| (a.asked_at, &a.node_id).cmp(&(b.asked_at, &b.node_id)));
    Ok(all)
}

async fn quarantined(gateway: &Gateway) -> Result<Vec<(DeviceView, QuarantineView)>, AdminFailure> {
    let mut found = Vec::new();
    for (node_id, counter) in gateway.quarantined().await? {
        let device = gateway.device_by_prefix(&node_id.to_string()).await?;
        found.push((DeviceView::from(&device), QuarantineView::from(&counter)));
    }
    Ok(found)
}

/// Returns the paired node with the name of one that waits, if there is exactly one: the other may
/// be there to take its place.
async fn namesake(
    gateway: &Gateway,
    device: &DeviceView,
) -> Result<Option<DeviceView>, AdminFailure> {
    // A request without a key takes no place.
    if device.fingerprint.is_none() {
        return Ok(None);
    }
    let named = gateway.devices_named(&device.friendly_name).await?;
    let mut paired = named.iter().map(DeviceView::from).filter(|one| one.standing == "paired");
    Ok(paired.next().filter(|_| paired.next().is_none()))
}

async fn in_force(gateway: &Gateway, device: &DeviceView) -> Option<InForceView> {
    let node = gateway.paired_named(&device.node_id).await.ok()?;
    paired::in_force(&node, gateway.now())
}

/// Returns the command with which a node asks, at an address that this gateway knows of itself.
fn ask(gateway: &Gateway) -> String {
    let address = gateway.companion_url().unwrap_or_else(|| "ws://GATEWAY:8765".to_owned());
    format!("handfast-node pair --gateway {address}")
}

/// Returns the card of a request: who, whence, why, and what an approval changes.
fn request(device: &DeviceView, namesake: Option<&DeviceView>, visitor: &Visitor) -> Markup {
    let name = &device.friendly_name;
    let path = |what: &str| format!("/api/v1/devices/{}/{what}", device.node_id);
    let seen = json!({"seen": device.seen, "version": device.version});
    let approve = Call::post("Approve", path("pair"), seen.clone()).main();
    html! {
        article .card id=(format!("n-{}", device.node_id)) data-node=(device.node_id) data-name=(name) {
            (who(device))
            dl {
                dt { "From" } dd { (device.ip_address) ", " (words::ago(device.asked_at)) (asked(device)) }
                dt { "By" } dd { (way(device)) }
                @if let Some(asks) = &device.asks {
                    dt { "Asks for" }
                    dd {
                        @if asks.permissions.is_empty() { "what you give it" }
                        @else { (words::scopes(&asks.permissions)) }
                        @if let Some(key) = &asks.certificate_key {
                            " and a certificate for the key " (words::id(key))
                        }
                    }
                }
                @if let Some(times) = device.rejected_times {
                    dt { "Before" } dd { "rejected " (times) " times lately" }
                }
                @if let Some(old) = namesake { dt { "Changes" } dd { (takes_place(old, visitor)) } }
                @if let Some(ends) = device.expires_at { dt { "Ends" } dd { (words::until(ends)) } }
            }
            @if visitor.decides() {
                div.buttons {
                    (approve.button(name))
                    @if device.fingerprint.is_some() {
                        button type="button" class="plain" data-with=(path("pair")) data-body=(seen)
                            data-scopes=(asked_scopes(device)) data-name=(name)
                            data-namesake=[namesake.map(|old| &old.node_id)]
                            aria-label=(format!("Approve with … {name}")) { "Approve with …" }
                    }
                    button type="button" class="plain" data-reject=(path("reject"))
                        data-reasons[device.fingerprint.is_some()]
                        aria-label=(format!("Reject … {name}")) { "Reject …" }
                    (ignore(device))
                }
            }
        }
    }
}

/// Says that a paired node has the name of the request, and what it means to take its place.
fn takes_place(old: &DeviceView, visitor: &Visitor) -> Markup {
    html! {
        "A node with this name is paired: "
        a href=(format!("/admin/nodes/{}", old.node_id)) { (words::id(&old.node_id)) }
        @if !old.room.is_empty() { " in " (old.room) }
        ". Approved by itself, this one stands beside it."
        @if visitor.decides() {
            " If it is a new device for the same place, name that node under “Approve with …”: its \
             name, room, permissions and tasks move, and its key is out for good."
        }
    }
}

fn ignore(device: &DeviceView) -> Markup {
    let question = format!(
        "{} will never be asked about again. {}",
        device.friendly_name,
        match device.fingerprint {
            Some(_) => "Its key is barred for good.",
            None => "Only this request: it has no key that could be barred.",
        }
    );
    let path = format!("/api/v1/devices/{}/reject", device.node_id);
    Call::post("Ignore for good", path, json!({"for_good": true}))
        .asks(question)
        .button(&device.friendly_name)
}

/// Returns the card of a paired node that asks for more than it may.
fn asks_more(device: &DeviceView, now: Option<&InForceView>, visitor: &Visitor) -> Markup {
    let name = &device.friendly_name;
    let path = format!("/api/v1/paired/{}/permissions", device.node_id);
    html! {
        article .card id=(format!("m-{}", device.node_id)) data-node=(device.node_id) data-name=(name) {
            (who(device))
            dl {
                dt { "May now" }
                dd { @match now {
                    Some(now) => { (words::permissions(&now.permissions)) }
                    None => { span.none { "nothing" } }
                } }
                dt { "Asks also" } dd { (words::scopes(&device.asks_more)) }
            }
            @if visitor.decides() {
                div.buttons {
                    button type="button" class="main" data-permit=(path)
                        data-scopes=(wanted(device, now))
                        aria-label=(format!("Decide … about {name}")) { "Decide …" }
                }
            }
        }
    }
}

/// Returns the card of a node whose state was copied.
fn quarantine(device: &DeviceView, alarm: &QuarantineView, visitor: &Visitor) -> Markup {
    let name = &device.friendly_name;
    let link = |view: Option<&LinkedView>| match view {
        Some(view) => html! { (view.ip_address) ", " (words::ago(view.at)) },
        None => html! { "unknown" },
    };
    let release =
        Call::post("Release", format!("/api/v1/devices/{}/release", device.node_id), json!({}))
            .asks(format!(
                "{name} works again, and the older of the two copies does not. Release it only if \
                 its state came from a backup."
            ));
    let revoke =
        Call::post("Revoke", format!("/api/v1/devices/{}/unpair", device.node_id), json!({}))
            .asks(format!("{name} is out for good, with every copy of its key."));
    html! {
        article .card .alarm id=(format!("q-{}", device.node_id)) data-node=(device.node_id) data-name=(name) {
            (who(device))
            p { "Two machines have shown the state of this node, so it may do nothing." }
            dl {
                dt { "One" } dd { (link(alarm.before.as_ref())) }
                dt { "Other" } dd { (link(alarm.alarm.as_ref())) }
            }
            @if visitor.decides() { div.buttons { (release.button(name)) (revoke.button(name)) } }
        }
    }
}

/// Returns the head of a card: name, room and fingerprint.
pub(super) fn who(device: &DeviceView) -> Markup {
    html! {
        h3 {
            a href=(format!("/admin/nodes/{}", device.node_id)) { (device.friendly_name) }
            @if !device.room.is_empty() { " " span.room { (device.room) } }
        }
        @match &device.fingerprint {
            Some(text) => { p { (words::fingerprint(text)) } }
            None => { p.none { "It has no key, so nothing tells it from another with its name." } }
        }
    }
}

fn asked(device: &DeviceView) -> Markup {
    match device.asked_times {
        Some(times) if times > 1 => html! { ", asked " (times) " times" },
        Some(_) | None => html! {},
    }
}

/// Returns the flow and how the request is proved.
fn way(device: &DeviceView) -> Markup {
    let method = device.asks.as_ref().map_or("token", |asks| asks.method.as_str());
    html! { (device.flow) ", " (method) }
}

/// Returns the scopes that a request names, as the dialog takes them.
fn asked_scopes(device: &DeviceView) -> String {
    device.asks.as_ref().map(|asks| asks.permissions.join("\n")).unwrap_or_default()
}

/// Returns the scopes in force and those that were asked for, as the dialog takes them.
fn wanted(device: &DeviceView, now: Option<&InForceView>) -> String {
    let mut lines = now.map(|now| scope_lines(&now.permissions)).unwrap_or_default();
    lines.extend(device.asks_more.iter().cloned());
    lines.join("\n")
}

/// Returns permissions as lines like `read:/lights/**`.
pub(super) fn scope_lines(view: &crate::http::admin::PermissionsView) -> Vec<String> {
    [("read", &view.read), ("write", &view.write), ("admin", &view.admin)]
        .into_iter()
        .flat_map(|(action, patterns)| patterns.iter().map(move |p| format!("{action}:{p}")))
        .collect()
}
