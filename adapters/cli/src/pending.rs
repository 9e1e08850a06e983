//! `handfast pending`, `approve` and `reject`: what waits for a decision, and the decision.

use handfast_server::admin::{
    CodeList, CodeView, DeviceList, DeviceView, IssuedView, PairingView, RejectedView, SenderList,
};
use hyper::Method;
use serde_json::{Value, json};

use crate::End;
use crate::args::{Approval, ApproveArgs, PendingArgs, RejectArgs, Rejection};
use crate::client::{ask, read};
use crate::data::DataPlace;
use crate::delivery::{self, SecretDelivery};
use crate::hints::{Next, NextElsewhere};
use crate::nodes::{damaged, decided, named};
use crate::print::{ago, harmless, left, put, put_secret, quoted, safe, show, shown};
use crate::table::{short_ids, table};

/// What waits, of every flow.
struct Waiting {
    devices: DeviceList,
    /// PINs that were shown and not typed yet.
    pins: Vec<CodeView>,
    senders: SenderList,
}

pub(crate) async fn run(args: PendingArgs) -> Result<(), End> {
    let data = args.common.data.place()?;
    let devices = ask(&data, Method::GET, "/api/v1/devices?filter=pending", None).await?;
    let codes = ask(&data, Method::GET, "/api/v1/pairing/codes", None).await?;
    let senders = ask(&data, Method::GET, "/api/v1/inbound", None).await?;
    if args.common.json {
        let (mut all, codes, senders): (Value, Value, Value) =
            (read(&devices)?, read(&codes)?, read(&senders)?);
        let pins = codes["codes"].as_array().into_iter().flatten();
        all["pins"] = pins.filter(|code| code["kind"] == "pin").cloned().collect();
        all["senders"] = senders["senders"].clone();
        return put(&format!("{}\n", harmless(&all.to_string())));
    }
    let mut pins = read::<CodeList>(&codes)?.codes;
    pins.retain(|code| code.kind == "pin");
    let waiting = Waiting { devices: read(&devices)?, pins, senders: read(&senders)? };
    put(&text(&waiting, &data))
}

fn text(waiting: &Waiting, data: &DataPlace) -> String {
    let Waiting { devices, pins, senders } = waiting;
    let mut out = damaged(&devices.damaged) + &nodes(&devices.devices);
    if let [one, ..] = &devices.devices[..] {
        out += &format!("Approve one with: {}\n", Next::Approve(&one.node_id).on(data));
    }
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
        [cells, vec![fingerprint]]
    };
    let rows: Vec<Vec<String>> = devices.iter().zip(short_ids(&ids)).flat_map(row).collect();
    table(&["ID", "NAME", "ROOM", "FLOW", "ADDRESS", "ASKED"], &rows)
}

pub(crate) async fn approve(args: ApproveArgs) -> Result<(), End> {
    let (data, json) = (args.common.data.place()?, args.common.json);
    let Approval { node, node_id, reissue, fingerprint, permissions, expires } = args.what;
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
    // The decision uses the id that was compared, even if another node with the same name or prefix
    // appears meanwhile.
    let id = match fingerprint {
        Some(expected) => compared(&data, &which, &expected).await?,
        None => which,
    };
    let mut body = json!({ "reissue": reissue });
    body["permissions"] = permissions.view()?;
    body["expires"] = json!(expires.map(|lasts| lasts.as_secs()));
    // Fetched before the decision, because nothing may fail between the decision and the display of
    // its result.
    let pairing = ask(&data, Method::GET, "/api/v1/pairing", None).await?;
    let gateway = read::<PairingView>(&pairing)?.fingerprint;
    let path = format!("/api/v1/devices/{}/pair", named(&id, &data)?);
    let answer = ask(&data, Method::POST, &path, Some(body)).await?;
    let mut view: IssuedView = read(&answer)?;
    let id = view.delivery.take();
    let answer = delivery::printed(&view)?;
    let undone = match reissue {
        true => "the node stands as before, with the token that it had",
        false => "the node waits for approval as before",
    };
    let delivery = SecretDelivery { data: &data, id: id.as_deref(), what: "the token", undone };
    delivery.show(|| put_secret(&shown(json, &answer, |view| issued(&view, &gateway))?)).await
}

pub(crate) async fn reject(args: RejectArgs) -> Result<(), End> {
    let (data, json) = (args.common.data.place()?, args.common.json);
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

/// Returns the whole id of a node, if its key has the fingerprint that the operator was told.
async fn compared(data: &DataPlace, which: &str, expected: &str) -> Result<String, End> {
    let path = format!("/api/v1/devices/{}", named(which, data)?);
    let device: DeviceView = read(&ask(data, Method::GET, &path, None).await?)?;
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
async fn only_pending(data: &DataPlace) -> Result<String, End> {
    let answer = ask(data, Method::GET, "/api/v1/devices?filter=pending", None).await?;
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
