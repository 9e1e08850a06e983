//! `handfast pending`, `approve` and `reject`: what waits for a decision, and the decision.

use handfast_server::FEWEST_FOR_GOOD;
use handfast_server::admin::{
    CodeList, CodeView, DeviceList, DeviceView, IssuedView, PairingView, RejectedView, SenderList,
};
use hyper::Method;
use serde_json::{Value, json};

use crate::End;
use crate::args::{Approval, ApproveArgs, PendingArgs, RejectArgs, Rejection};
use crate::asked::{asked_for, difference, request};
use crate::client::{Unanswered, ask, ask_all, named, read, try_ask};
use crate::confirm::{Sure, is_attended, question};
use crate::data::DataPlace;
use crate::delivery::{self, SecretDelivery};
use crate::hints::{Next, NextElsewhere};
use crate::nodes::{damaged, decided};
use crate::policies;
use crate::print::{ago, harmless, left, put, put_secret, quoted, safe, show, shown};
use crate::table::{short_ids, table};

/// Number of paired nodes whose wish for more is shown in full.
const MOST_DIFFERENCES: usize = 10;

/// What waits, of every flow.
struct Waiting {
    devices: DeviceList,
    /// What paired nodes ask for beyond what they may, with the ways to decide.
    more: Vec<String>,
    /// PINs that were shown and not typed yet.
    pins: Vec<CodeView>,
    senders: SenderList,
}

pub(crate) async fn run(args: PendingArgs) -> Result<(), End> {
    let data = args.common.data.gateway()?;
    let devices = ask_all(&data, "/api/v1/devices?filter=pending").await?;
    let more = ask_all(&data, "/api/v1/devices?filter=more").await?;
    let codes = ask_all(&data, "/api/v1/pairing/codes").await?;
    let senders = ask_all(&data, "/api/v1/inbound").await?;
    if args.common.json {
        let items = |list: &str| Ok::<_, End>(read::<Value>(list)?["items"].take());
        let codes = items(&codes)?;
        let pins = codes.as_array().into_iter().flatten();
        let mut all = json!({
            "devices": items(&devices)?,
            "more": items(&more)?,
            "pins": pins.filter(|code| code["kind"] == "pin").collect::<Vec<_>>(),
            "senders": items(&senders)?,
        });
        let damaged = read::<Value>(&devices)?["damaged"].take();
        if !damaged.is_null() {
            all["damaged"] = damaged;
        }
        return put(&format!("{}\n", harmless(&all.to_string())));
    }
    let mut pins = read::<CodeList>(&codes)?.codes;
    pins.retain(|code| code.kind == "pin");
    let asking: DeviceList = read(&more)?;
    let mut more = Vec::new();
    for device in asking.devices.iter().take(MOST_DIFFERENCES) {
        more.push(difference(device, &data).await?);
    }
    if asking.devices.len() > MOST_DIFFERENCES {
        let others = asking.devices.len() - MOST_DIFFERENCES;
        more.push(format!("{others} more paired nodes ask for more\n"));
    }
    let waiting = Waiting { devices: read(&devices)?, more, pins, senders: read(&senders)? };
    put(&text(&waiting, &data))
}

fn text(waiting: &Waiting, data: &DataPlace) -> String {
    let Waiting { devices, more, pins, senders } = waiting;
    let mut out = damaged(&devices.damaged) + &nodes(&devices.devices);
    if let [one, ..] = &devices.devices[..] {
        out += &format!("Approve one with: {}\n", Next::Approve(&one.node_id).on(data));
    }
    more.iter().for_each(|more| out += more);
    match pins.len() {
        0 => {}
        1 => out += "1 node was shown a PIN that nobody has typed yet\n",
        n => out += &format!("{n} nodes were shown a PIN that nobody has typed yet\n"),
    }
    if !pins.is_empty() {
        out += &format!("See which with: {}\n", Next::Codes.on(data));
    }
    match senders.senders.len() {
        0 => {}
        1 => out += "1 sender waits to be let in\n",
        n => out += &format!("{n} senders wait to be let in\n"),
    }
    if !senders.senders.is_empty() {
        out += &format!("See who, with the codes, with: {}\n", Next::Senders.on(data));
    }
    out
}

/// Formats the nodes that wait for approval. Their fingerprints are there to be compared.
fn nodes(devices: &[DeviceView]) -> String {
    if devices.is_empty() {
        return "no node waits for approval\n".to_owned();
    }
    let ids: Vec<&str> = devices.iter().map(|device| device.node_id.as_str()).collect();
    let row = |(device, id): (&DeviceView, String)| {
        let asked = match device.asked_times.unwrap_or(1) {
            1 => ago(device.asked_at),
            times => format!("{}, {times} times", ago(device.asked_at)),
        };
        let cells = vec![
            id,
            safe(&device.friendly_name),
            safe(&device.room),
            device.flow.clone(),
            device.ip_address.clone(),
            asked,
        ];
        let fingerprint = match &device.fingerprint {
            Some(fingerprint) => format!("fingerprint {fingerprint}"),
            None => "no fingerprint: it has no keys".to_owned(),
        };
        let asks = device.asks.as_ref().map(|asks| vec![format!("asks for {}", asked_for(asks))]);
        let key = device.asks.as_ref().and_then(|asks| asks.certificate_key.as_deref());
        let key = key.map(|key| vec![format!("key {}", safe(key))]);
        [cells, vec![fingerprint]].into_iter().chain(asks).chain(key).collect::<Vec<_>>()
    };
    let rows: Vec<Vec<String>> = devices.iter().zip(short_ids(&ids)).flat_map(row).collect();
    table(&["ID", "NAME", "ROOM", "FLOW", "ADDRESS", "ASKED"], &rows)
}

pub(crate) async fn approve(args: ApproveArgs) -> Result<(), End> {
    let (data, json) = (args.common.data.gateway()?, args.common.json);
    if let Some(from) = &args.what.from {
        return policies::make(&data, json, from, &args.what).await;
    }
    let Approval {
        node, node_id, reissue, replaces, fingerprint, permissions, expires, yes, ..
    } = args.what;
    let which = match node.or(node_id) {
        Some(which) => which,
        None if reissue => {
            return Err(End::Usage(format!(
                "name the node that is to be approved anew; see the nodes with: {}",
                Next::Nodes.on(&data)
            )));
        }
        None => only_pending(&data).await?,
    };
    let mut device = device(&data, &which).await?;
    if let Some(expected) = &fingerprint {
        compare(&device, expected)?;
    }
    if !device.asks_more.is_empty() {
        let difference = difference(&device, &data).await?;
        if !reissue {
            return Err(End::Refused(format!("nothing was decided: {}", difference.trim_end())));
        }
        handfast_stdio::note(&difference);
    }
    let old = match replaces {
        Some(old) => Some(replaced(&data, &device, &old, Sure { yes }).await?),
        None => None,
    };
    let mut body = json!({ "reissue": reissue });
    if let Some(old) = &old {
        body["replaces"] = json!(old.node_id);
        body["replaces_version"] = json!(old.version);
    }
    body["permissions"] = permissions.view()?;
    body["expires_seconds"] = json!(expires.map(|lasts| lasts.as_secs()));
    // Fetched before the decision, because nothing may fail between the decision and the display of
    // its result.
    let pairing = ask(&data, Method::GET, "/api/v1/pairing", None).await?;
    let gateway = read::<PairingView>(&pairing)?.fingerprint;
    // Who names the fingerprint has compared it already.
    let asks =
        is_attended() && !yes && fingerprint.is_none() && device.seen.is_some() && old.is_none();
    let answer = loop {
        if asks {
            handfast_stdio::note(&request(&device));
            question("Approve it?")?;
        }
        // The decision is about what was shown here, even if another node with the same name
        // appears meanwhile, or this one asks for something else.
        match device.fingerprint {
            Some(_) => body["seen"] = json!(device.seen),
            None => body["version"] = json!(device.seen.as_ref().map(|_| device.version)),
        }
        let path = format!("/api/v1/devices/{}/pair", named(&device.node_id, &data)?);
        match try_ask(&data, Method::POST, &path, Some(body.clone())).await {
            Ok(answer) => break answer,
            Err(Unanswered::Changed(end)) => {
                device = self::device(&data, &device.node_id).await?;
                if !asks {
                    handfast_stdio::note(&request(&device));
                    return Err(end);
                }
                if let End::Refused(what) = &end {
                    handfast_stdio::note_line(what);
                }
            }
            Err(refused) => return Err(refused.into()),
        }
    };
    let mut view: IssuedView = read(&answer)?;
    let id = view.delivery.take();
    let answer = delivery::printed(&view)?;
    let undone = match reissue {
        true => "the node stands as before, with the token that it had",
        false => "the node waits for approval as before",
    };
    let ids = id.as_deref();
    let delivery = SecretDelivery { data: &data, ids: ids.as_slice(), what: "the token", undone };
    let place = old.map_or_else(String::new, |old| {
        format!("It has the place of node {}, whose key is out for good.\n", safe(&old.node_id))
    });
    let text = |view: IssuedView| issued(&view, &gateway) + &place;
    delivery.show(|| put_secret(&shown(json, &answer, text)?)).await
}

/// Reads the node whose place another is to take, and asks whether that is meant: its end is final.
async fn replaced(
    data: &DataPlace,
    new: &DeviceView,
    which: &str,
    sure: Sure,
) -> Result<DeviceView, End> {
    let path = format!("/api/v1/devices/{}?glance=true", named(which, data)?);
    let old: DeviceView = read(&ask(data, Method::GET, &path, None).await?)?;
    if which != old.friendly_name && which.len() < FEWEST_FOR_GOOD {
        return Err(End::Usage(format!(
            "the end of a node is final: name it by its whole name or {FEWEST_FOR_GOOD} or more characters of its id; nothing was decided"
        )));
    }
    let place = |one: &DeviceView| {
        let key = one.fingerprint.as_deref().unwrap_or("none");
        format!(
            "{} ({}): node {}, fingerprint {key}",
            quoted(&one.friendly_name),
            safe(&one.room),
            one.node_id
        )
    };
    sure.check(&format!(
        "{}\nwould take the place of\n{}\nand that one's key would be out for good. Approve it so?",
        place(new),
        place(&old)
    ))?;
    Ok(old)
}

/// Reads a node. It counts as shown to a person only where there is one: what was listed before
/// stays what a command without a terminal approves.
async fn device(data: &DataPlace, which: &str) -> Result<DeviceView, End> {
    let glance = !is_attended();
    let path = format!("/api/v1/devices/{}?glance={glance}", named(which, data)?);
    read(&ask(data, Method::GET, &path, None).await?)
}

pub(crate) async fn reject(args: RejectArgs) -> Result<(), End> {
    let (data, json) = (args.common.data.gateway()?, args.common.json);
    let Rejection { id, all, name, from, for_good, reason, sure } = args.what;
    if let Some(id) = id {
        let which = named(&id, &data)?;
        let done = if for_good { "rejected for good" } else { "rejected" };
        if for_good {
            sure.check(&format!("Turn {} down for good?", quoted(&id)))?;
        }
        let body = json!({ "for_good": for_good, "reason": reason });
        let answer =
            ask(&data, Method::POST, &format!("/api/v1/devices/{which}/reject"), Some(body))
                .await?;
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
    let answer = ask(&data, Method::POST, "/api/v1/devices/reject", Some(body)).await?;
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

/// Checks that a node's key has the fingerprint that the operator was told.
fn compare(device: &DeviceView, expected: &str) -> Result<(), End> {
    match device.fingerprint.as_deref() {
        Some(found) if found == expected => Ok(()),
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
async fn only_pending(data: &DataPlace) -> Result<String, End> {
    let answer = ask_all(data, "/api/v1/devices?filter=pending").await?;
    let mut list: DeviceList = read(&answer)?;
    match list.devices.len() {
        0 => Err(End::Refused(format!(
            "no node waits for approval; one that is told to asks with: {}",
            NextElsewhere::Ask.hint()
        ))),
        1 => Ok(list.devices.remove(0).node_id),
        _ => {
            handfast_stdio::note(&(damaged(&list.damaged) + &nodes(&list.devices)));
            let first = list.devices.remove(0).node_id;
            Err(End::Usage(format!(
                "several nodes wait; name the one you mean, as in: {}",
                Next::Approve(&first).on(data)
            )))
        }
    }
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
             Compare with what the node shows, and revoke it if either differs:\n  node     {own}\n  gateway  {gateway}\n"
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
