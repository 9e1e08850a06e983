//! `handfast-node status` for a node of the native wire.

use std::path::Path;

use handfast_core::UnixTime;
use handfast_core::crypto::fingerprint::Fingerprint;
use handfast_core::flow::native::node::NativeMemory;
use handfast_node::native::{
    self, CertificateFacts, NativeIdentity, ToldAddresses, open_tokens, unix_now,
};
use handfast_node::tokens::{TokenEntry, TokensError};
use handfast_node::{NodeStanding, Stands, StateDir, StateError};
use serde_json::json;

use crate::hint::Hints;
use crate::{Failure, put};

pub(crate) fn status(
    dir: &StateDir,
    identity: &NativeIdentity,
    memory: &NativeMemory,
    as_json: bool,
    hints: &Hints,
) -> Result<(), Failure> {
    let own = dir.load_keys()?.map(|keys| Fingerprint::of(keys.channel.public()).to_string());
    let stands = dir.stands();
    let out = stands.as_ref().map(|stands| stands.standing).filter(|standing| standing.is_out());
    let (flow, gateway_key, node_id) = match memory {
        NativeMemory::Blank => (out.map_or("none", NodeStanding::as_str), None, None),
        NativeMemory::Asked { gateway } => ("asked", Some(gateway), None),
        NativeMemory::Paired(paired) => (
            out.map_or("paired", NodeStanding::as_str),
            Some(&paired.gateway),
            Some(paired.node_id.to_string()),
        ),
    };
    let gateway_key = gateway_key.map(|key| Fingerprint::of(key).to_string());
    let gateways: Vec<_> = identity.gateways.iter().map(ToString::to_string).collect();
    let told = told(dir, memory);
    let entry = entry(identity, dir.path());
    let own_id = match memory {
        NativeMemory::Paired(paired) => Some(paired.node_id),
        NativeMemory::Blank | NativeMemory::Asked { .. } => None,
    };
    let (token, entry) = match &entry {
        Ok(Some(entry)) if entry.node_id != own_id => {
            ("none: what is kept of this gateway is another node's; name another store with --tokens".to_owned(), None)
        }
        Ok(Some(entry)) if entry.is_expired(unix_now()) => {
            ("ran out; the node asks for it anew when it links".to_owned(), Some(entry))
        }
        Ok(Some(entry)) => ("kept".to_owned(), Some(entry)),
        Ok(None) => ("none".to_owned(), None),
        Err(why) => (format!("cannot be read: {why}"), None),
    };
    let permissions = entry.and_then(|entry| entry.permissions.clone()).unwrap_or_default();
    let expires = entry.and_then(|entry| entry.expires_at);
    let named = entry.map(|entry| entry.name.clone());
    let certificate = dir.load_certificate();
    let running = dir.is_held();
    let used = identity.gateways.first().map(native::GatewayAt::router);
    // What a stopped node said last no longer holds, unless it is out.
    let stands = stands.filter(|stands| running || stands.standing.is_out());
    if as_json {
        let shown = json!({
            "flow": "native",
            "standing": flow,
            "node_id": node_id,
            "fingerprint": own,
            "gateway": gateways.first(),
            "gateways": gateways,
            "told_addresses": told.as_ref().map(|told| listed(&told.addresses)).unwrap_or_default(),
            "last_address": told.as_ref().and_then(|told| told.worked.as_ref()).map(ToString::to_string),
            "gateway_fingerprint": gateway_key,
            "gateway_name": named,
            "certificate": certificate.as_ref().ok().and_then(Option::as_ref).map(|it| json!({
                "serial": it.serial,
                "not_after": it.not_after.as_secs(),
                "fingerprint": it.fingerprint,
            })),
            "name": identity.name.as_str(),
            "room": identity.room.as_str(),
            "token": token,
            "permissions": permissions,
            "expires_at": expires.map(UnixTime::as_secs),
            "link": stands.as_ref().map(|stands| stands.standing.as_str()),
            "tokens": identity.tokens,
            "tokens_entry": used,
            "state": dir.path(),
            "running": running,
        });
        return put(&format!("{shown}\n"));
    }
    let none = || "none yet".to_owned();
    let anew = match out {
        Some(_) => format!("; {}", hints.pair_anew(&identity.gateways)),
        None => String::new(),
    };
    let rows = [
        ("flow", format!("native ({flow})")),
        ("standing", in_words(stands.as_ref(), running) + &anew),
        ("node id", node_id.unwrap_or_else(none)),
        ("fingerprint", own.unwrap_or_else(none)),
        ("gateway", gateways.join(", ")),
        ("also at", told.as_ref().map_or_else(|| "none told".to_owned(), also_at)),
        ("its key", gateway_key.unwrap_or_else(none)),
        ("its name", named.unwrap_or_else(none)),
        ("name", identity.name.to_string()),
        ("room", identity.room.to_string()),
        ("token", token),
        (
            "permissions",
            if permissions.is_empty() { "none".to_owned() } else { permissions.join(", ") },
        ),
        ("expires", expires.map_or_else(|| "never".to_owned(), left)),
        (
            "tokens",
            format!("{} (the entry {})", identity.tokens.display(), used.unwrap_or_default()),
        ),
        ("certificate", certificate_in_words(certificate)),
        ("state", dir.path().display().to_string()),
        ("running", if running { "yes" } else { "no" }.to_owned()),
    ];
    put(&rows.into_iter().map(|(label, value)| format!("{label:<13}{value}\n")).collect::<String>())
}

/// Loads the addresses that the gateway told the node. Those that cannot be read are as none, as
/// the node itself takes them.
fn told(dir: &StateDir, memory: &NativeMemory) -> Option<ToldAddresses> {
    match memory {
        NativeMemory::Paired(paired) => dir.load_addresses(paired.node_id).ok().flatten(),
        NativeMemory::Blank | NativeMemory::Asked { .. } => None,
    }
}

fn listed(addresses: &[native::GatewayAt]) -> Vec<String> {
    addresses.iter().map(ToString::to_string).collect()
}

/// Describes told addresses for people.
fn also_at(told: &ToldAddresses) -> String {
    let mut text = listed(&told.addresses).join(", ");
    if let Some(worked) = &told.worked {
        text += &format!(" (last at {worked})");
    }
    text
}

/// Describes the node's certificate for people.
fn certificate_in_words(certificate: Result<Option<CertificateFacts>, StateError>) -> String {
    match certificate {
        Ok(Some(it)) => {
            let ends = left(it.not_after);
            format!("serial {}, ends {ends}, SHA-256 {}", it.serial, it.fingerprint)
        }
        Ok(None) => "none".to_owned(),
        Err(why) => format!("cannot be read: {why}"),
    }
}

/// Describes a standing for people.
pub(crate) fn in_words(stands: Option<&Stands>, running: bool) -> String {
    let Some(stands) = stands else {
        return if running { "starting" } else { "not running" }.to_owned();
    };
    let words = match stands.standing {
        NodeStanding::Refused => {
            "refused: the gateway does not know this node any more, or has revoked it"
        }
        NodeStanding::Unpaired => "unpaired by the operator",
        NodeStanding::Linked => "linked",
        NodeStanding::Muted => "muted by the operator",
        NodeStanding::Waiting => "waits for the operator",
        NodeStanding::Expired => "its grant ran out; asks for it anew",
        NodeStanding::Paired => "paired",
        _ => "tries to link",
    };
    format!("{words} (since {} s)", unix_now().as_secs().saturating_sub(stands.since().as_secs()))
}

/// Loads the stored token's entry.
pub(crate) fn entry(
    identity: &NativeIdentity,
    state: &Path,
) -> Result<Option<TokenEntry>, TokensError> {
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
