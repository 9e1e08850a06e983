//! `handfast devices …`: the operator's views of nodes and decisions about them.

use std::path::Path;

use handfast_server::admin::{
    DeviceList, DeviceView, IssuedView, PairingView, RejectedView, StatusView,
};
use hyper::Method;
use serde_json::json;

use crate::End;
use crate::args::{DeviceVerb, Devices, IdArgs, Reject};
use crate::client::{ask, encoded, read, segment};
use crate::delivery::{self, SecretDelivery};
use crate::print::{ago, left, put_secret, quoted, safe, show, shown, table};

pub(crate) async fn run(args: Devices) -> Result<(), End> {
    let data = args.data.path()?;
    let json = args.json;
    match args.verb {
        DeviceVerb::List { pending, all } => {
            let filter = if pending {
                "pending"
            } else if all {
                "all"
            } else {
                "current"
            };
            let answer =
                ask(&data, Method::GET, &format!("/api/v1/devices?filter={filter}"), None).await?;
            show(json, &answer, |list: DeviceList| listing(&list, pending))
        }
        DeviceVerb::Pair { id, node_id, reissue, fingerprint, permissions, expires } => {
            let id = match id.or(node_id) {
                Some(id) => id,
                None if reissue => {
                    return Err(End::Usage(
                        "name the node that needs a new token: devices pair --reissue ID"
                            .to_owned(),
                    ));
                }
                None => only_pending(&data).await?,
            };
            // The decision uses the id that was compared, even if another id with the same prefix
            // appears meanwhile.
            let id = match fingerprint {
                Some(expected) => compared(&data, &id, &expected).await?,
                None => segment(&id)?.to_owned(),
            };
            let mut body = json!({ "reissue": reissue });
            body["permissions"] = permissions.view()?;
            body["expires"] = json!(expires.map(|lasts| lasts.as_secs()));
            // Fetched before the decision, because nothing may fail between the decision and the
            // display of its result.
            let pairing = ask(&data, Method::GET, "/api/v1/pairing", None).await?;
            let gateway = read::<PairingView>(&pairing)?.fingerprint;
            let answer =
                ask(&data, Method::POST, &format!("/api/v1/devices/{id}/pair"), Some(body)).await?;
            let mut view: IssuedView = read(&answer)?;
            let id = view.delivery.take();
            let answer = delivery::printed(&view)?;
            let undone = match reissue {
                true => "the node stands as before, with the token that it had",
                false => "the node waits for approval as before",
            };
            let delivery =
                SecretDelivery { data: &data, id: id.as_deref(), what: "the token", undone };
            delivery
                .show(|| put_secret(&shown(json, &answer, |view| issued(&view, &gateway))?))
                .await
        }
        DeviceVerb::Reject(args) => reject(&data, json, args).await,
        DeviceVerb::Unpair { which, sure } => {
            if which.is_empty() {
                return Err(End::Usage(
                    "an empty name names nobody; `devices list` shows who is there".to_owned(),
                ));
            }
            sure.check(&format!("Put {} out for good?", quoted(&which)))?;
            let answer = ask(
                &data,
                Method::POST,
                &format!("/api/v1/devices/{}/unpair", encoded(&which)),
                None,
            )
            .await?;
            show(json, &answer, |device: DeviceView| decided(&device, "unpaired"))
        }
        DeviceVerb::Mute(id) => decide(&data, json, &id.id, "mute", None, "muted").await,
        DeviceVerb::Unmute(id) => decide(&data, json, &id.id, "unmute", None, "unmuted").await,
        DeviceVerb::Policy { id, mode } => {
            let body = json!({ "mode": mode.as_str() });
            decide(&data, json, &id.id, "policy", Some(body), &format!("policy {}", mode.as_str()))
                .await
        }
        DeviceVerb::Show(IdArgs { id }) | DeviceVerb::Status { id: Some(id) } => {
            let answer =
                ask(&data, Method::GET, &format!("/api/v1/devices/{}", segment(&id)?), None)
                    .await?;
            show(json, &answer, |device: DeviceView| details(&device))
        }
        DeviceVerb::Status { id: None } => {
            let answer = ask(&data, Method::GET, "/api/v1/status", None).await?;
            show(json, &answer, |status: StatusView| summary(&status))
        }
    }
}

async fn reject(data: &Path, json: bool, args: Reject) -> Result<(), End> {
    let Reject { id, all, name, from, for_good, sure } = args;
    if let Some(id) = id {
        let (which, done) = match for_good {
            true => {
                sure.check(&format!("Turn {} down for good?", quoted(&id)))?;
                (encoded(&id), "rejected for good")
            }
            false => (segment(&id)?.to_owned(), "rejected"),
        };
        let body = json!({ "for_good": for_good });
        let answer =
            ask(data, Method::POST, &format!("/api/v1/devices/{which}/reject"), Some(body)).await?;
        return show(json, &answer, |device: DeviceView| match device.may_ask_at {
            Some(at) => decided(&device, &format!("{done}; it may ask again in {}", left(at))),
            None => decided(&device, done),
        });
    }
    if for_good {
        let which = match (&name, &from) {
            (Some(name), _) => format!("all requests with the name {}", quoted(name)),
            (None, Some(from)) => format!("all requests from {}", quoted(from)),
            (None, None) => "all requests".to_owned(),
        };
        sure.check(&format!("Turn {which} down for good?"))?;
    }
    let body = json!({ "all": all, "name": name, "from": from, "for_good": for_good });
    let answer = ask(data, Method::POST, "/api/v1/devices/reject", Some(body)).await?;
    // Read before it is printed, because single failures decide the exit code.
    let view: RejectedView = read(&answer)?;
    let how = if for_good { " for good" } else { "; each may ask again after a while" };
    show(json, &answer, |view: RejectedView| match view.rejected {
        1 => format!("1 request rejected{how}\n"),
        n => format!("{n} requests rejected{how}\n"),
    })?;
    let failed: Vec<String> =
        view.failed.iter().map(|one| format!("{}: {}", one.node_id, safe(&one.problem))).collect();
    if failed.is_empty() {
        Ok(())
    } else {
        Err(End::Refused(format!("not rejected: {}", failed.join("; "))))
    }
}

fn decided(device: &DeviceView, done: &str) -> String {
    format!("{}: {} {done}\n", device.node_id, safe(&device.friendly_name))
}

async fn decide(
    data: &Path,
    json: bool,
    id: &str,
    verb: &str,
    body: Option<serde_json::Value>,
    done: &str,
) -> Result<(), End> {
    let answer =
        ask(data, Method::POST, &format!("/api/v1/devices/{}/{verb}", segment(id)?), body).await?;
    show(json, &answer, |device: DeviceView| decided(&device, done))
}

/// Returns the whole id of a node, if its key has the fingerprint that the operator was told.
async fn compared(data: &Path, id: &str, expected: &str) -> Result<String, End> {
    let answer = ask(data, Method::GET, &format!("/api/v1/devices/{}", segment(id)?), None).await?;
    let device: DeviceView = read(&answer)?;
    match device.fingerprint.as_deref() {
        Some(found) if found == expected => Ok(device.node_id),
        Some(found) => Err(End::Refused(format!(
            "node {} has the fingerprint {found}, not {expected}: it is another node than the one you mean; nothing was decided",
            device.node_id
        ))),
        None => Err(End::Refused(format!(
            "node {} has no keys, so it has no fingerprint; leave --fingerprint out",
            device.node_id
        ))),
    }
}

/// Returns the only node that waits. If several wait, they are listed and the operator has to
/// choose.
async fn only_pending(data: &Path) -> Result<String, End> {
    let answer = ask(data, Method::GET, "/api/v1/devices?filter=pending", None).await?;
    let mut list: DeviceList = read(&answer)?;
    match list.devices.len() {
        0 => Err(End::Refused("no node waits for approval".to_owned())),
        1 => Ok(list.devices.remove(0).node_id),
        _ => {
            handfast_stdio::note(&listing(&list, true));
            Err(End::Usage("several nodes wait; choose one: devices pair ID".to_owned()))
        }
    }
}

fn listing(list: &DeviceList, pending: bool) -> String {
    let damaged: String = list
        .damaged
        .iter()
        .map(|d| {
            format!(
                "damaged: the stored record of node {} cannot be read: {}\n",
                d.node_id,
                safe(&d.problem)
            )
        })
        .collect();
    damaged + &nodes(&list.devices, pending)
}

fn nodes(devices: &[DeviceView], pending: bool) -> String {
    if devices.is_empty() {
        return match pending {
            true => "no node waits for approval\n".to_owned(),
            false => "no nodes; one that asks shows up here: handfast-node pair --name NAME --room ROOM\n".to_owned(),
        };
    }
    let rows: Vec<Vec<String>> = devices
        .iter()
        .map(|d| {
            let state = match d.policy_mode.as_deref() {
                Some(mode) if mode != "muted" && mode != "full" => {
                    format!("{} ({mode})", d.standing)
                }
                _ => d.standing.clone(),
            };
            let seen = d.last_seen.map_or_else(|| "never".to_owned(), ago);
            let state = if d.undelivered_until.is_some() {
                format!("{state}, token on its way")
            } else {
                state
            };
            let mut row = vec![
                d.node_id.clone(),
                safe(&d.friendly_name),
                safe(&d.room),
                state,
                d.status.clone(),
                seen,
                d.ip_address.clone(),
            ];
            // Fingerprints are compared only for nodes that wait.
            if pending {
                row.push(d.asked_times.unwrap_or(1).to_string());
                row.push(
                    d.fingerprint.clone().unwrap_or_else(|| "none: it has no keys".to_owned()),
                );
            }
            row
        })
        .collect();
    let heading =
        ["ID", "NAME", "ROOM", "STANDING", "STATUS", "SEEN", "ADDRESS", "ASKED", "FINGERPRINT"];
    table(if pending { &heading } else { &heading[..7] }, &rows)
}

fn issued(issued: &IssuedView, gateway: &str) -> String {
    let who = format!("{} ({})", quoted(&issued.friendly_name), safe(&issued.room));
    let IssuedView { node_id, ip_address, .. } = issued;
    let Some(token) = &issued.token else {
        let both = crate::nodes::both(issued.in_force.as_ref(), issued.offered.as_ref());
        let own = issued.fingerprint.as_deref().unwrap_or("unknown");
        return format!(
            "{who}, which asked from {ip_address}, is paired: node {node_id}.\n\
             {both}It gets what is offered by itself; there is no token to carry.\n\
             Compare with what the node shows, and unpair it if either differs:\n  node     {own}\n  gateway  {gateway}\n"
        );
    };
    let alike = match issued.asked_times {
        Some(times) if times > 1 => {
            format!(
                "It asked {times} times, each over a connection of its own: two devices that are alike look like one.\n"
            )
        }
        Some(_) | None => String::new(),
    };
    let profile = match issued.hardware_profile.as_deref() {
        Some(profile) if profile != "{}" => format!("It says it is made of {}.\n", safe(profile)),
        Some(_) | None => String::new(),
    };
    let alike = profile + &alike;
    format!(
        "{token}\n\nThis is the token of {who}, which asked from {ip_address}: node {node_id}.\n\
         {alike}It is shown this once and kept here only as a hash.\n\
         Put it into the node's token file (handfast-node: /etc/handfast/token, chmod 600).\n"
    )
}

fn details(d: &DeviceView) -> String {
    let mut rows = vec![
        ("id", d.node_id.clone()),
        ("name", safe(&d.friendly_name)),
        ("room", safe(&d.room)),
        ("door", d.door.clone()),
        ("standing", d.standing.clone()),
        ("status", d.status.clone()),
        ("address", d.ip_address.clone()),
        ("asked", ago(d.asked_at)),
        ("seen", d.last_seen.map_or_else(|| "never".to_owned(), ago)),
    ];
    rows.extend(
        d.asked_times
            .map(|times| ("asked", format!("{times} times, each over a connection of its own"))),
    );
    rows.extend(d.may_ask_at.map(|at| ("may ask again", format!("in {}", left(at)))));
    let optional = [
        ("fingerprint", &d.fingerprint),
        ("mode", &d.policy_mode),
        ("unmuting restores", &d.restores),
        ("cause", &d.cause),
    ];
    rows.extend(optional.into_iter().filter_map(|(label, value)| Some((label, value.clone()?))));
    rows.extend(
        d.undelivered_until.map(|until| ("token on its way", format!("for {}", left(until)))),
    );
    let told = |value: Option<String>| value.unwrap_or_else(|| "not told".to_owned());
    rows.push(("occupancy", told(d.sensor_data.occupancy.map(|o| o.to_string()))));
    rows.push(("noise level", told(d.sensor_data.noise_level.map(|n| n.to_string()))));
    rows.push(("profile", safe(d.hardware_profile.get())));
    rows.into_iter().map(|(label, value)| format!("{label:<18}{value}\n")).collect()
}

fn summary(status: &StatusView) -> String {
    let StatusView { nodes, linked, waiting, store, clock } = status;
    let mend = clock.mend.as_ref().map_or_else(String::new, |mend| format!(": {mend}"));
    let mut text = format!(
        "nodes: {} pending, {} paired, {} muted, {} revoked\nconnections: {linked} linked, {waiting} not yet authenticated\nclock: {}{mend}\n",
        nodes.pending, nodes.paired, nodes.muted, nodes.revoked, clock.state
    );
    if store.failing {
        text += "store: the registry cannot be written; free disk space\n";
    }
    for one in &store.unstored {
        text += &format!(
            "not stored yet: {}, since {}, until this gateway restarts\n",
            safe(&one.what),
            ago(one.since)
        );
    }
    text
}
