//! What nodes ask for, as an operator is shown it before a decision.

use handfast_server::admin::{AsksView, DeviceView, PairedView, PermissionsView};
use hyper::Method;

use crate::End;
use crate::client::{ask, named, read};
use crate::data::DataPlace;
use crate::hints::Next;
use crate::print::{permissions, quoted, safe};

/// Formats what a node asked for, without the key of its certificate request.
pub(crate) fn asked_for(asks: &AsksView) -> String {
    let permissions = match asks.permissions.is_empty() {
        true => "what the operator gives it".to_owned(),
        false => scopes(&asks.permissions),
    };
    let certificate = if asks.certificate_key.is_some() { ", and a certificate" } else { "" };
    format!("{permissions}, by {}{certificate}", safe(&asks.method))
}

/// Formats scopes on one line.
pub(crate) fn scopes(scopes: &[String]) -> String {
    scopes.iter().map(|scope| safe(scope)).collect::<Vec<_>>().join(" ")
}

/// Formats all that an approval decides about.
pub(crate) fn request(device: &DeviceView) -> String {
    let DeviceView { node_id, friendly_name, room, ip_address, .. } = device;
    let mut out = format!(
        "{} ({}) asks from {ip_address}: node {node_id}\n",
        quoted(friendly_name),
        safe(room)
    );
    match &device.fingerprint {
        Some(own) => out += &format!("  fingerprint  {own}, to compare with what the node shows\n"),
        None => out += "  fingerprint  none: it has no keys, only a name and an address\n",
    }
    if let Some(asks) = &device.asks {
        let permissions = match asks.permissions.is_empty() {
            true => "what you give it".to_owned(),
            false => scopes(&asks.permissions),
        };
        out += &format!("  asks for     {permissions}\n  by           {}\n", safe(&asks.method));
        let key = asks.certificate_key.as_ref();
        out += &key.map_or_else(String::new, |key| format!("  certificate  {}\n", safe(key)));
    }
    match device.asked_times {
        Some(times) if times > 1 => out + &format!("  asked        {times} times\n"),
        Some(_) | None => out,
    }
}

/// Reads the permissions of a paired node that asks for more, and formats the difference with both
/// ways to decide.
pub(crate) async fn difference(device: &DeviceView, data: &DataPlace) -> Result<String, End> {
    let path = format!("/api/v1/paired/{}/permissions", named(&device.node_id, data)?);
    let view: PairedView = read(&ask(data, Method::GET, &path, None).await?)?;
    Ok(both_ways(&view, data))
}

fn both_ways(view: &PairedView, data: &DataPlace) -> String {
    let DeviceView { node_id, friendly_name, asks_more, .. } = &view.device;
    let offered = view.offered.as_ref().map(|offered| &offered.permissions);
    let has = offered.or_else(|| view.in_force.as_ref().map(|in_force| &in_force.permissions));
    let has = has.cloned().unwrap_or_default();
    format!(
        "{} (node {node_id}) is paired and asks for more:\n\
         \x20 may       {}\n\
         \x20 asks for  {}\n\
         Give it both with: {}\n\
         Leave it at what it may with: {}\n",
        quoted(friendly_name),
        permissions(&has),
        scopes(asks_more),
        Next::Permit(node_id, &with(&has, asks_more)).on(data),
        Next::Permit(node_id, &has).on(data),
    )
}

/// Returns these permissions with further scopes, such as `write:/lights/**`.
fn with(has: &PermissionsView, more: &[String]) -> PermissionsView {
    let mut all = has.clone();
    for (action, pattern) in more.iter().filter_map(|scope| scope.split_once(':')) {
        let patterns = match action {
            "read" => &mut all.read,
            "write" => &mut all.write,
            "admin" => &mut all.admin,
            // The gateway is of a newer version than this command, and knows further actions.
            _ => continue,
        };
        if !patterns.iter().any(|known| known == pattern) {
            patterns.push(pattern.to_owned());
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn what_a_paired_node_asks_for_beyond_is_shown_with_both_ways_to_decide() {
        let device = serde_json::json!({
            "node_id": "0123456789ab", "friendly_name": "Desk", "room": "Hall",
            "ip_address": "192.0.2.7", "standing": "paired", "status": "online", "asked_at": "1970-01-01T00:00:00Z",
            "changed_at": "1970-01-01T00:00:00Z", "sensor_data": {}, "hardware_profile": {},
            "asks_more": ["write:/a/**", "read:/b"],
        });
        let view = serde_json::json!({
            "device": device, "in_force": { "permissions": { "read": ["/a/**"] } }, "grants": [],
            "delegates": [],
        });
        let view: PairedView = serde_json::from_value(view).unwrap();
        let data = DataPlace::named(Path::new("/d"));
        let text = both_ways(&view, &data);
        for line in [
            "  may       read /a/**",
            "  asks for  write:/a/** read:/b",
            "handfast nodes permissions 0123456789ab --read '/a/**' --read /b --write '/a/**' \
             --data /d",
            "handfast nodes permissions 0123456789ab --read '/a/**' --data /d",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
    }
}
