//! `handfast nodes …`: the nodes of the registry, and decisions about them.

use handfast_server::admin::{
    CapabilityList, DamagedView, DeviceList, DeviceView, ForgottenView, InForceView, LinkedView,
    MarkKeyView, OfferedView, PairedList, PairedView, PermissionsView, PingView, QuarantineView,
    ReplacementView, RevokedAllView, RevokedView, SentToNodeView, Time,
};
use hyper::Method;
use serde_json::json;

use crate::End;
use crate::args::{NodesArgs, NodesVerb, PermitArgs, UntilArg};
use crate::asked::{asked_for, difference, scopes};
use crate::client::{Unanswered, ask, ask_all, named, read, try_ask};
use crate::confirm::Sure;
use crate::data::DataPlace;
use crate::dispatch;
use crate::hints::{Next, NextElsewhere};
use crate::moving;
use crate::print::{ago, left, permissions, put, quoted, safe, show};
use crate::table::{short_ids, table};

pub(crate) async fn run(args: NodesArgs) -> Result<(), End> {
    let (data, json) = (args.common.data.gateway()?, args.common.json);
    match args.verb {
        NodesVerb::List { permissions: true, .. } => {
            let answer = ask_all(&data, "/api/v1/paired").await?;
            show(json, &answer, |list: PairedList| with_permissions(&list, &data))
        }
        NodesVerb::List { all, permissions: false } => {
            let filter = if all { "all" } else { "current" };
            let path = format!("/api/v1/devices?filter={filter}");
            let answer = ask_all(&data, &path).await?;
            show(json, &answer, |list: DeviceList| {
                damaged(&list.damaged)
                    + &listing(&list.devices)
                    + &quarantined(&list.devices, &data)
            })
        }
        NodesVerb::Describe(node) => {
            let path = format!("/api/v1/devices/{}", named(&node.node, &data)?);
            let device = ask(&data, Method::GET, &path, None).await?;
            let path = format!("/api/v1/nodes/{}/capabilities", named(&node.node, &data)?);
            let list = ask(&data, Method::GET, &path, None).await?;
            if json {
                let mut both: serde_json::Value = read(&device)?;
                both["tasks"] = read(&list)?;
                return show(true, &both.to_string(), |_: DeviceView| String::new());
            }
            let device: DeviceView = read(&device)?;
            let more = match device.asks_more.is_empty() {
                true => String::new(),
                false => format!("\n{}", difference(&device, &data).await?),
            };
            put(&(details(&device, &read(&list)?, &data) + &more))
        }
        NodesVerb::Permissions(permit) => permit_node(&data, json, permit).await,
        NodesVerb::Ping(node) => {
            let path = format!("/api/v1/paired/{}/ping", named(&node.node, &data)?);
            let answer = ask(&data, Method::POST, &path, None).await?;
            show(json, &answer, |view: PingView| {
                let name = quoted(&view.friendly_name);
                format!("{name} answered in {}\n", millis(view.micros))
            })
        }
        NodesVerb::Policy { node, mode } => {
            let body = json!({ "mode": mode.as_str() });
            let done = format!("policy {}", mode.as_str());
            decide(&data, json, &node.node, "policy", Some(body), &done).await
        }
        NodesVerb::Rename { node, name } => {
            let done = format!("is the new name of {}", quoted(&node.node));
            decide(&data, json, &node.node, "rename", Some(json!({ "name": name })), &done).await
        }
        NodesVerb::Evict(node) => {
            let done = "evicted; it may come back by renewing with its key";
            decide(&data, json, &node.node, "evict", None, done).await
        }
        NodesVerb::Move(wanted) => moving::run(&data, json, wanted).await,
        NodesVerb::Release(node) => {
            let done = "released; the machine that links next goes on";
            decide(&data, json, &node.node, "release", None, done).await
        }
        NodesVerb::Forget { which, sure } => {
            let segment = named(&which, &data)?;
            sure.check(&format!("Remove all that is known of {}?", quoted(&which)))?;
            let path = format!("/api/v1/devices/{segment}/forget");
            let answer = ask(&data, Method::POST, &path, None).await?;
            show(json, &answer, |view: ForgottenView| {
                let name = quoted(&view.friendly_name);
                let key = match view.stays_revoked {
                    true => "its key stays revoked for good",
                    false => "it may ask again",
                };
                format!("{}: {name} forgotten; {key}\n", view.forgotten)
            })
        }
        NodesVerb::RotateMarkKey => {
            let answer = ask(&data, Method::POST, "/api/v1/marks/rotate", None).await?;
            show(json, &answer, |view: MarkKeyView| {
                let older = match view.older_keys {
                    1 => "1 older key still reads".to_owned(),
                    n => format!("{n} older keys still read"),
                };
                format!("there is a new key for the marks of nodes; {older} those that they hold\n")
            })
        }
        NodesVerb::Mute(node) => decide(&data, json, &node.node, "mute", None, "muted").await,
        NodesVerb::Unmute(node) => decide(&data, json, &node.node, "unmute", None, "unmuted").await,
        NodesVerb::Send { node, address, text, action } => {
            let path = format!("/api/v1/devices/{}/send", named(&node.node, &data)?);
            let body = json!({ "action": action, "address": address, "text": text });
            let answer = ask(&data, Method::POST, &path, Some(body)).await?;
            show(json, &answer, |view: SentToNodeView| {
                let by = view.gateway.map(|gateway| format!(", by the gateway {}", safe(&gateway)));
                let by = by.unwrap_or_default();
                format!("sent to {}, {} bytes{by}\n", view.node_id, view.sent)
            })
        }
        NodesVerb::Invoke(invoke) => dispatch::invoke(&data, json, invoke).await,
        NodesVerb::Cancel { node, id } => dispatch::cancel(&data, json, &node.node, &id).await,
        NodesVerb::Results { node, id, limit } => {
            dispatch::results(&data, json, &node.node, id.as_deref(), limit).await
        }
        NodesVerb::Revoke { which, sure } => revoke(&data, json, &which, sure).await,
        NodesVerb::RevokeAll { sure } => revoke_all(&data, json, sure).await,
    }
}

/// Formats microseconds as milliseconds with one decimal.
pub(crate) fn millis(micros: u64) -> String {
    format!("{}.{} ms", micros / 1000, micros / 100 % 10)
}

async fn decide(
    data: &DataPlace,
    json: bool,
    node: &str,
    verb: &str,
    body: Option<serde_json::Value>,
    done: &str,
) -> Result<(), End> {
    let path = format!("/api/v1/devices/{}/{verb}", named(node, data)?);
    let answer = ask(data, Method::POST, &path, body).await?;
    show(json, &answer, |device: DeviceView| decided(&device, done))
}

pub(crate) fn decided(device: &DeviceView, done: &str) -> String {
    format!("{}: {} {done}\n", device.node_id, safe(&device.friendly_name))
}

/// Revokes a node of any flow, or a capability token.
async fn revoke(data: &DataPlace, json: bool, which: &str, sure: Sure) -> Result<(), End> {
    let segment = named(which, data)?;
    sure.check(&format!("Put {} out for good, with all that it passed on?", quoted(which)))?;
    // It finds nodes with keys and capability tokens; what it does not find is a node with a token.
    let keyed = format!("/api/v1/paired/{segment}/revoke");
    match try_ask(data, Method::POST, &keyed, None).await {
        Ok(answer) => return show(json, &answer, |view: RevokedView| revoked(&view)),
        Err(Unanswered::Missing(_)) => {}
        Err(refused) => return Err(refused.into()),
    }
    let path = format!("/api/v1/devices/{segment}/unpair");
    let device: DeviceView = read(&ask(data, Method::POST, &path, None).await?)?;
    let view = RevokedView {
        revoked: "node".to_owned(),
        node_id: Some(device.node_id),
        friendly_name: Some(device.friendly_name),
        capability: None,
    };
    let answer = serde_json::to_string(&view).map_err(End::refused)?;
    show(json, &answer, |view: RevokedView| revoked(&view))
}

fn revoked(view: &RevokedView) -> String {
    match (&view.node_id, &view.friendly_name, &view.capability) {
        (Some(node_id), Some(name), _) => {
            format!(
                "{node_id}: {} revoked for good, and so is all that it passed on\n",
                quoted(name)
            )
        }
        (Some(node_id), None, Some(capability)) => {
            format!("{capability} of node {node_id} revoked, and all that was passed on from it\n")
        }
        (_, _, Some(capability)) => {
            format!("{capability} revoked, and all that was passed on from it\n")
        }
        (_, _, None) => "revoked\n".to_owned(),
    }
}

async fn revoke_all(data: &DataPlace, json: bool, sure: Sure) -> Result<(), End> {
    if !sure.yes {
        let list: PairedList = read(&ask_all(data, "/api/v1/paired").await?)?;
        let who = count(list.paired.len());
        sure.check(&format!(
            "End the pairing of {who} for good? Each has to be reset before it can pair again."
        ))?;
    }
    let answer = ask(data, Method::POST, "/api/v1/paired/revoke-all", None).await?;
    let view: RevokedAllView = read(&answer)?;
    let printed = put(&if json {
        format!("{answer}\n")
    } else {
        format!("{} revoked\n", count(view.revoked))
    });
    let failed: Vec<String> =
        view.failed.iter().map(|one| format!("{}: {}", one.node_id, safe(&one.problem))).collect();
    if failed.is_empty() {
        printed
    } else {
        Err(End::Refused(format!("not revoked: {}", failed.join("; "))))
    }
}

fn count(nodes: usize) -> String {
    if nodes == 1 { "1 node".to_owned() } else { format!("{nodes} nodes") }
}

async fn permit_node(data: &DataPlace, json: bool, permit: PermitArgs) -> Result<(), End> {
    let path = format!("/api/v1/paired/{}/permissions", named(&permit.node, data)?);
    let named = match permit.none {
        true => json!(PermissionsView::default()),
        false => permit.permissions.view()?,
    };
    let expires = match permit.expires {
        None => json!(null),
        Some(UntilArg::After(lasts)) => json!(lasts.as_secs()),
        Some(UntilArg::Never) => json!("never"),
    };
    let answer = match (named.is_null(), expires.is_null()) {
        (true, true) => ask(data, Method::GET, &path, None).await?,
        _ => {
            let body = json!({ "permissions": named, "expires_seconds": expires });
            ask(data, Method::POST, &path, Some(body)).await?
        }
    };
    show(json, &answer, |view: PairedView| {
        let PairedView { device, in_force, offered, .. } = &view;
        format!(
            "{} (node {})\n{}",
            quoted(&device.friendly_name),
            device.node_id,
            both(in_force.as_ref(), offered.as_ref())
        )
    })
}

/// Formats the nodes whose stored record cannot be read.
pub(crate) fn damaged(damaged: &[DamagedView]) -> String {
    let line = |one: &DamagedView| {
        format!(
            "damaged: what is stored of node {} cannot be read: {}\n",
            one.node_id,
            safe(&one.problem)
        )
    };
    damaged.iter().map(line).collect()
}

fn listing(devices: &[DeviceView]) -> String {
    if devices.is_empty() {
        let asks = NextElsewhere::Ask.hint();
        return format!("no nodes; one that asks shows up here: {asks}\n");
    }
    let ids: Vec<&str> = devices.iter().map(|device| device.node_id.as_str()).collect();
    let row = |(d, id): (&DeviceView, String)| {
        let mut standing = match d.policy_mode.as_deref() {
            Some(mode) if mode != "muted" && mode != "full" => {
                format!("{} ({mode})", d.standing)
            }
            _ => d.standing.clone(),
        };
        if d.undelivered_until.is_some() {
            standing += ", token on its way";
        }
        if d.quarantine.is_some() {
            standing += ", quarantined";
        }
        if !d.asks_more.is_empty() {
            standing += ", asks for more";
        }
        vec![
            id,
            safe(&d.friendly_name),
            safe(&d.room),
            d.flow.clone(),
            standing,
            d.status.clone(),
            seen(d.last_seen),
            d.ip_address.clone(),
        ]
    };
    let rows: Vec<Vec<String>> = devices.iter().zip(short_ids(&ids)).map(row).collect();
    table(&["ID", "NAME", "ROOM", "FLOW", "STANDING", "STATUS", "SEEN", "ADDRESS"], &rows)
}

fn seen(at: Option<Time>) -> String {
    at.map_or_else(|| "never".to_owned(), ago)
}

fn with_permissions(list: &PairedList, data: &DataPlace) -> String {
    let out = damaged(&list.damaged);
    if list.paired.is_empty() {
        let open = Next::OpenPairing.on(data);
        return out + &format!("no node is paired by its keys; open pairing with: {open}\n");
    }
    let ids: Vec<&str> = list.paired.iter().map(|view| view.device.node_id.as_str()).collect();
    let rows: Vec<Vec<String>> =
        list.paired.iter().zip(short_ids(&ids)).flat_map(|(view, id)| lines(view, id)).collect();
    out + &table(&["ID", "NAME", "FLOW", "MAY", "EXPIRES", "SEEN", "STATUS"], &rows)
}

/// Formats a node with its permissions in force, and below it its fingerprint, its offer, and the
/// holders that linked with tokens it delegated.
fn lines(view: &PairedView, id: String) -> Vec<Vec<String>> {
    let device = &view.device;
    let ends =
        |at: Option<Time>| at.map_or_else(|| "never".to_owned(), |at| format!("in {}", left(at)));
    let (may, expires) = match (&view.in_force, &view.offered) {
        (Some(in_force), _) => (may(in_force), ends(in_force.expires_at)),
        (None, Some(_)) => ("nothing yet".to_owned(), String::new()),
        (None, None) => ("nothing".to_owned(), String::new()),
    };
    let status =
        if device.standing == "muted" { "muted".to_owned() } else { device.status.clone() };
    let name = safe(&device.friendly_name);
    let flow = device.flow.clone();
    let mut rows = vec![vec![id, name, flow, may, expires, seen(device.last_seen), status]];
    rows.extend(device.fingerprint.iter().map(|own| vec![format!("fingerprint {own}")]));
    rows.extend(view.offered.iter().map(|offered| {
        let (may, ends) = (permissions(&offered.permissions), ends(offered.expires_at));
        let empty = String::new;
        vec![empty(), "offered".to_owned(), empty(), may, ends, empty(), "not confirmed".to_owned()]
    }));
    if !device.asks_more.is_empty() {
        rows.push(vec![format!("asks for more: {}", scopes(&device.asks_more))]);
    }
    rows.extend(view.delegates.iter().map(|delegate| {
        let (fingerprint, status) = (safe(&delegate.fingerprint), &delegate.status);
        vec![format!("delegate {fingerprint}, {status}, seen {}", ago(delegate.last_seen))]
    }));
    rows
}

fn may(view: &InForceView) -> String {
    let within =
        view.within.as_ref().map(|within| format!(", and no more than: {}", permissions(within)));
    permissions(&view.permissions) + &within.unwrap_or_default()
}

/// Formats what put nodes into quarantine, and the two ways out, for each of them.
fn quarantined(devices: &[DeviceView], data: &DataPlace) -> String {
    let of = |d: &DeviceView| {
        let quarantine = d.quarantine.as_ref()?;
        let name = quoted(&d.friendly_name);
        Some(format!("\n{name} is in quarantine: {}", ways_out(d, quarantine, data)))
    };
    devices.iter().filter_map(of).collect()
}

/// Formats the two links that showed one node's state, and the two ways out of the quarantine.
pub(crate) fn ways_out(d: &DeviceView, quarantine: &QuarantineView, data: &DataPlace) -> String {
    let from = |link: &Option<LinkedView>| match link {
        Some(LinkedView { ip_address, at }) => format!("{} ({})", safe(ip_address), ago(*at)),
        None => "an unknown address".to_owned(),
    };
    let id = d.node_id.as_str();
    format!(
        "its state was copied; one machine linked from {}, the other from {}\n\
         If it was restored from a backup, the newer machine goes on with: {}\n\
         If it was stolen, no software can tell the thief from the owner; put it out with: {}\n\
         and pair the device anew.\n",
        from(&quarantine.before),
        from(&quarantine.alarm),
        Next::Release(id).on(data),
        Next::Revoke(id).on(data),
    )
}

fn details(d: &DeviceView, list: &CapabilityList, data: &DataPlace) -> String {
    let mut rows = vec![
        ("id", d.node_id.clone()),
        ("name", safe(&d.friendly_name)),
        ("room", safe(&d.room)),
        ("flow", d.flow.clone()),
        ("standing", d.standing.clone()),
        ("status", d.status.clone()),
        ("address", d.ip_address.clone()),
        ("asked", ago(d.asked_at)),
        ("seen", seen(d.last_seen)),
    ];
    rows.extend(d.asked_times.filter(|times| *times > 1).map(|times| {
        ("asked in all", format!("{times} times, each over a connection of its own"))
    }));
    let other = |one: &ReplacementView| {
        let key =
            one.fingerprint.as_ref().map_or_else(String::new, |key| format!(" ({})", safe(key)));
        format!("node {}{key}, {}", safe(&one.node_id), ago(one.at))
    };
    rows.extend(d.replaces.iter().map(|one| ("took the place of", other(one))));
    rows.extend(d.replaced_by.iter().map(|one| ("gave its place to", other(one))));
    rows.extend(d.may_ask_at.map(|at| ("may ask again", format!("in {}", left(at)))));
    if let Some(asks) = &d.asks {
        rows.push(("asked for", asked_for(asks)));
        rows.extend(asks.certificate_key.iter().map(|key| ("certificate key", safe(key))));
    }
    let optional = [
        ("fingerprint", &d.fingerprint),
        ("mode", &d.policy_mode),
        ("unmuting restores", &d.restores),
        ("cause", &d.cause),
    ];
    let registered = d.registered_as.as_deref().map(|name| ("registered as", safe(name)));
    rows.extend(registered);
    rows.extend(optional.into_iter().filter_map(|(label, value)| Some((label, value.clone()?))));
    rows.extend(
        d.undelivered_until.map(|until| ("token on its way", format!("for {}", left(until)))),
    );
    let told = |value: Option<String>| value.unwrap_or_else(|| "not told".to_owned());
    rows.push(("occupancy", told(d.sensor_data.occupancy.map(|o| o.to_string()))));
    rows.push(("noise level", told(d.sensor_data.noise_level.map(|n| n.to_string()))));
    rows.push(("profile", safe(d.hardware_profile.get())));
    if matches!(d.standing.as_str(), "paired" | "muted") {
        rows.extend(dispatch::can(list));
    }
    let text: String =
        rows.into_iter().map(|(label, value)| format!("{label:<18}{value}\n")).collect();
    let quarantine = d.quarantine.as_ref();
    text + &quarantine.map_or_else(String::new, |quarantine| {
        format!("\nIn quarantine: {}", ways_out(d, quarantine, data))
    })
}

/// Formats the permissions in force and the offered ones.
pub(crate) fn both(in_force: Option<&InForceView>, offered: Option<&OfferedView>) -> String {
    let mut out =
        format!("In force  {}\n", in_force.map_or_else(|| "nothing".to_owned(), in_force_text));
    if let Some(offered) = offered {
        out += &format!(
            "Offered   {}; in force once the node has confirmed it\n",
            offered_text(offered)
        );
    }
    out
}

/// Formats a node's permissions in force on one line.
pub(crate) fn in_force_text(view: &InForceView) -> String {
    format!("{}, {}", may(view), lasts(view.expires_at))
}

/// Formats the permissions that a node has once it confirms its offer.
pub(crate) fn offered_text(view: &OfferedView) -> String {
    format!("{}, {}", permissions(&view.permissions), lasts(view.expires_at))
}

fn lasts(expires_at: Option<Time>) -> String {
    expires_at.map_or_else(|| "without end".to_owned(), |at| format!("for {}", left(at)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(read: &str) -> PermissionsView {
        PermissionsView { read: vec![read.to_owned()], ..PermissionsView::default() }
    }

    #[test]
    fn what_is_offered_is_never_told_as_what_is_in_force() {
        let offered = OfferedView { permissions: of("/wide/**"), expires_at: None };
        assert_eq!(both(None, Some(&offered)).lines().next(), Some("In force  nothing"));
        let narrow = InForceView { permissions: of("/only/**"), within: None, expires_at: None };
        let text = both(Some(&narrow), Some(&offered));
        assert_eq!(
            text,
            "In force  read /only/**, without end\nOffered   read /wide/**, without end; in force once the node has confirmed it\n"
        );
        let crossing = InForceView { within: Some(of("/*/b")), ..narrow };
        assert_eq!(
            in_force_text(&crossing),
            "read /only/**, and no more than: read /*/b, without end"
        );
    }
}
