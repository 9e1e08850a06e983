//! `handfast-node status` of a node of the native wire.

use std::path::Path;

use handfast_core::crypto::fingerprint::Fingerprint;
use handfast_core::flow::native::node::Memory;
use handfast_core::time::UnixTime;
use handfast_node::StateDir;
use handfast_node::native::{NativeIdentity, open_tokens, unix_now};
use handfast_node::tokens::{Entry, TokensError};
use serde_json::json;

use crate::{Failure, put};

pub(crate) fn status(dir: &StateDir, identity: &NativeIdentity, memory: &Memory, as_json: bool) -> Result<(), Failure> {
    let own = dir.load_keys()?.map(|keys| Fingerprint::of(keys.channel.public()).to_string());
    let (door, gateway_key, node_id) = match memory {
        Memory::Blank => ("none", None, None),
        Memory::Asked { gateway } => ("asked", Some(gateway), None),
        Memory::Paired(paired) => ("paired", Some(&paired.gateway), Some(paired.node_id.to_string())),
    };
    let gateway_key = gateway_key.map(|key| Fingerprint::of(key).to_string());
    let gateways: Vec<_> = identity.gateways.iter().map(ToString::to_string).collect();
    let entry = entry(identity, dir.path());
    let (token, entry) = match &entry {
        Ok(Some(entry)) if entry.is_expired(unix_now()) => {
            ("ran out; pair again: handfast-node pair --pin".to_owned(), Some(entry))
        }
        Ok(Some(entry)) => ("kept".to_owned(), Some(entry)),
        Ok(None) => ("none".to_owned(), None),
        Err(why) => (format!("cannot be read: {why}"), None),
    };
    let permissions = entry.and_then(|entry| entry.permissions.clone()).unwrap_or_default();
    let expires = entry.and_then(|entry| entry.expires_at);
    let running = dir.is_held();
    if as_json {
        let shown = json!({
            "door": "native",
            "standing": door,
            "node_id": node_id,
            "fingerprint": own,
            "gateway": gateways.first(),
            "gateways": gateways,
            "gateway_fingerprint": gateway_key,
            "name": identity.name.as_str(),
            "room": identity.room.as_str(),
            "token": token,
            "permissions": permissions,
            "expires_at": expires.map(UnixTime::as_secs),
            "tokens": identity.tokens,
            "state": dir.path(),
            "running": running,
        });
        return put(&format!("{shown}\n"));
    }
    let none = || "none yet".to_owned();
    let rows = [
        ("door", format!("native ({door})")),
        ("node id", node_id.unwrap_or_else(none)),
        ("fingerprint", own.unwrap_or_else(none)),
        ("gateway", gateways.join(", ")),
        ("its key", gateway_key.unwrap_or_else(none)),
        ("name", identity.name.to_string()),
        ("room", identity.room.to_string()),
        ("token", token),
        ("permissions", if permissions.is_empty() { "none".to_owned() } else { permissions.join(", ") }),
        ("expires", expires.map_or_else(|| "never".to_owned(), left)),
        ("tokens", identity.tokens.display().to_string()),
        ("state", dir.path().display().to_string()),
        ("running", if running { "yes" } else { "no" }.to_owned()),
    ];
    put(&rows.into_iter().map(|(label, value)| format!("{label:<13}{value}\n")).collect::<String>())
}

/// The kept token.
pub(crate) fn entry(identity: &NativeIdentity, state: &Path) -> Result<Option<Entry>, TokensError> {
    let Some(gateway) = identity.gateways.first() else { return Ok(None) };
    open_tokens(identity, state)?.get(&gateway.router())
}

pub(crate) fn forget_token(identity: &NativeIdentity, state: &Path) -> Result<(), TokensError> {
    let Some(gateway) = identity.gateways.first() else { return Ok(()) };
    open_tokens(identity, state)?.remove(&gateway.router()).map(|_| ())
}

fn left(end: UnixTime) -> String {
    let left = end.as_secs().saturating_sub(unix_now().as_secs());
    match left {
        0 => "it ran out".to_owned(),
        left if left >= 172_800 => format!("in {} days", left / 86_400),
        left if left >= 7200 => format!("in {} hours", left / 3600),
        left if left >= 120 => format!("in {} minutes", left / 60),
        left => format!("in {left} seconds"),
    }
}
