//! The nodes that are paired by their keys.

use axum::Json;
use axum::extract::{Path, State};
use handfast_core::registry::grants::State as GrantState;
use handfast_core::time::UnixTime;
use serde::{Deserialize, Serialize};

use super::caller::{by_operator, made_by};
use super::failure::Failure;
use super::permissions::PermissionsView;
use super::{DamagedView, DeviceView};
use crate::gateway::Gateway;
use crate::pairing::{Delegate, PairedNode, Revocation};

/// What `GET /api/v1/paired` answers.
#[derive(Debug, Serialize, Deserialize)]
pub struct PairedList {
    /// In order of their ids.
    pub paired: Vec<PairedView>,
    /// Nodes whose stored record or grants cannot be read; they are left as they are.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub damaged: Vec<DamagedView>,
}

/// A node that is paired by its keys.
#[derive(Debug, Serialize, Deserialize)]
pub struct PairedView {
    /// Itself.
    pub device: DeviceView,
    /// What it was given: what counts now, the newest last. Empty: it has to pair again.
    pub grants: Vec<GrantView>,
    /// Those who linked by a chain under it since the gateway started.
    pub delegates: Vec<DelegateView>,
}

/// A grant that counts.
#[derive(Debug, Serialize, Deserialize)]
pub struct GrantView {
    /// The id of its capability, by which it is revoked; absent for one without permissions.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub capability: Option<String>,
    /// What it allows.
    pub permissions: PermissionsView,
    /// Since when, in Unix seconds.
    pub since: u64,
    /// Until when; absent if it has no end.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub expires_at: Option<u64>,
    /// `offered` until the node has stored it, then `active`.
    pub state: String,
    /// Who made it: `operator`, or `session ID`, with which it ends.
    #[serde(default = "by_operator")]
    pub made_by: String,
}

/// A holder of a chain under a node.
#[derive(Debug, Serialize, Deserialize)]
pub struct DelegateView {
    /// Of its static key.
    pub fingerprint: String,
    /// `online` while its link is open, else `offline`.
    pub status: String,
    /// When its link last opened or ended, in Unix seconds.
    pub last_seen: u64,
}

/// What revoking answers.
#[derive(Debug, Serialize, Deserialize)]
pub struct RevokedView {
    /// `node` or `capability`.
    pub revoked: String,
    /// Which node; absent for what a node delegated.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub node_id: Option<String>,
    /// What the node calls itself.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub friendly_name: Option<String>,
    /// Which capability.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub capability: Option<String>,
}

/// What `POST /api/v1/paired/revoke-all` answers.
#[derive(Debug, Serialize, Deserialize)]
pub struct RevokedAllView {
    /// How many nodes are out now.
    pub revoked: usize,
    /// Those that are not, and why.
    pub failed: Vec<DamagedView>,
}

pub(super) async fn list(State(gateway): State<Gateway>) -> Result<Json<PairedList>, Failure> {
    let (nodes, damaged) = gateway.paired().await?;
    let damaged = damaged.into_iter().map(|bad| DamagedView { node_id: bad.node_id.to_string(), problem: bad.problem });
    Ok(Json(PairedList { paired: nodes.iter().map(view).collect(), damaged: damaged.collect() }))
}

pub(super) async fn revoke(State(gateway): State<Gateway>, Path(which): Path<String>) -> Result<Json<RevokedView>, Failure> {
    Ok(Json(match gateway.revoke_paired(&which).await? {
        Revocation::Node { node_id, name } => RevokedView {
            revoked: "node".to_owned(),
            node_id: Some(node_id.to_string()),
            friendly_name: Some(name),
            capability: None,
        },
        Revocation::Capability { id, node_id } => RevokedView {
            revoked: "capability".to_owned(),
            node_id: node_id.map(|node_id| node_id.to_string()),
            friendly_name: None,
            capability: Some(id.to_string()),
        },
    }))
}

pub(super) async fn revoke_all(State(gateway): State<Gateway>) -> Result<Json<RevokedAllView>, Failure> {
    let outcomes = gateway.revoke_all().await?;
    let revoked = outcomes.iter().filter(|(_, outcome)| outcome.is_ok()).count();
    let failed = outcomes.into_iter().filter_map(|(node_id, outcome)| {
        let problem = outcome.err()?.to_string();
        Some(DamagedView { node_id: node_id.to_string(), problem })
    });
    Ok(Json(RevokedAllView { revoked, failed: failed.collect() }))
}

fn view(node: &PairedNode) -> PairedView {
    let grants = node.grants.iter().map(|grant| GrantView {
        capability: grant.capability.map(|id| id.to_string()),
        permissions: PermissionsView::of(&grant.scopes),
        since: grant.not_before.as_secs(),
        expires_at: grant.expires.map(UnixTime::as_secs),
        state: match grant.state {
            GrantState::Offered { .. } => "offered",
            GrantState::Active => "active",
            GrantState::Ended => "ended",
        }
        .to_owned(),
        made_by: made_by(grant.maker),
    });
    let delegates = node.delegates.iter().map(delegate).collect();
    PairedView { device: DeviceView::from(&node.device), grants: grants.collect(), delegates }
}

fn delegate(delegate: &Delegate) -> DelegateView {
    DelegateView {
        fingerprint: delegate.fingerprint.to_string(),
        status: if delegate.online { "online" } else { "offline" }.to_owned(),
        last_seen: delegate.seen.as_secs(),
    }
}
