//! The nodes, all and one.

use std::collections::HashMap;

use axum::Json;
use handfast_core::NodeId;
use handfast_core::crypto::fingerprint::Fingerprint;
use handfast_store::{Filter, Replacement, StoredCounter};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::caller::Acting;
use super::device::{DeviceView, QuarantineView, ReplacementView};
use super::extract::{Path, Query};
use super::failure::AdminFailure;
use super::paging;
use crate::gateway::Gateway;
use crate::gateway::operator_types::{Device, OperatorError};

/// The answer to `GET /api/v1/devices`.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct DeviceList {
    /// Nodes in order of their ids.
    #[serde(rename = "items")]
    pub devices: Vec<DeviceView>,
    /// Cursor of the next page, as `after` of the next request; `null` on the last page.
    #[schema(required)]
    pub next: Option<String>,
    /// Nodes whose stored record cannot be read; the records are left unchanged.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub damaged: Vec<DamagedView>,
}

/// A node whose stored record cannot be read.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct DamagedView {
    /// Id of the node.
    pub node_id: String,
    /// The problem with its record.
    pub problem: String,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// The nodes that are listed.
    #[serde(default)]
    #[param(inline)]
    filter: ListFilter,
    /// Maximum number of items, from 1 to 500; 500 if left out.
    limit: Option<usize>,
    /// Cursor of the page: the `next` of the page before.
    after: Option<String>,
}

/// The nodes of a list.
#[derive(Deserialize, Default, Clone, Copy, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum ListFilter {
    /// Waiting, paired and muted nodes.
    #[default]
    Current,
    /// Waiting nodes.
    Pending,
    /// Paired nodes that ask for more than they may.
    More,
    /// Revoked nodes, too.
    All,
}

/// Lists nodes in order of their ids.
///
/// A waiting node that is listed counts as shown, for an approval that names no version.
#[utoipa::path(
    get,
    path = "/api/v1/devices",
    tag = "Nodes",
    params(ListQuery),
    responses((status = 200, body = DeviceList)),
)]
pub(super) async fn list(
    Acting(gateway): Acting,
    Query(query): Query<ListQuery>,
) -> Result<Json<DeviceList>, AdminFailure> {
    let filter = match query.filter {
        ListFilter::Current => Filter::Current,
        ListFilter::Pending => Filter::Pending,
        ListFilter::More => Filter::AskingMore,
        ListFilter::All => Filter::All,
    };
    let most = paging::limit(query.limit)?;
    let after = paging::after(query.after.as_deref(), NodeId::parse)?;
    let mut all = DeviceList { devices: Vec::new(), next: None, damaged: Vec::new() };
    let quarantined: HashMap<NodeId, StoredCounter> =
        gateway.quarantined().await?.into_iter().collect();
    let page = gateway.devices(filter, after, most).await?;
    let is_full = page.len() == most;
    let mut last = None;
    for listed in page {
        match listed {
            Ok(device) => {
                gateway.inner.shown.see(&device.entry);
                last = Some(device.entry.record.node_id);
                let counter = quarantined.get(&device.entry.record.node_id);
                let quarantine = counter.map(QuarantineView::from);
                all.devices.push(DeviceView { quarantine, ..DeviceView::from(&device) });
            }
            Err(bad) => {
                last = Some(bad.node_id);
                all.damaged
                    .push(DamagedView { node_id: bad.node_id.to_string(), problem: bad.problem });
            }
        }
    }
    all.next = last.filter(|_| is_full).map(|node_id| node_id.to_string());
    Ok(Json(all))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ShowQuery {
    /// The client shows only the node's name and place, so the node does not count as shown.
    #[serde(default)]
    glance: bool,
}

/// Returns a node, and records it as shown, for a later approval.
#[utoipa::path(
    get,
    path = "/api/v1/devices/{prefix}",
    tag = "Nodes",
    params(ShowQuery),
    responses((status = 200, body = DeviceView)),
)]
pub(super) async fn show(
    Acting(gateway): Acting,
    Path(prefix): Path<String>,
    Query(query): Query<ShowQuery>,
) -> Result<Json<DeviceView>, AdminFailure> {
    let device = gateway.device_named(&prefix).await?;
    if !query.glance {
        gateway.inner.shown.see(&device.entry);
    }
    Ok(Json(described(&gateway, &device).await?))
}

/// Returns all that is known of a node.
pub(in crate::http) async fn described(
    gateway: &Gateway,
    device: &Device,
) -> Result<DeviceView, AdminFailure> {
    let quarantined = gateway.quarantined().await?;
    let counter = quarantined.iter().find(|(id, _)| *id == device.entry.record.node_id);
    let quarantine = counter.map(|(_, counter)| QuarantineView::from(counter));
    let registered = gateway.registered_name(device.entry.record.node_id).await?;
    let registered_as = registered.map(|name| name.to_string());
    let (before, after) = gateway.places_of(device.entry.record.node_id).await?;
    let mut replaces = Vec::with_capacity(before.len());
    for one in before {
        replaces.push(replacement(gateway, one).await?);
    }
    let replaced_by = match after {
        Some(one) => Some(replacement(gateway, one).await?),
        None => None,
    };
    let view = DeviceView::from(device);
    Ok(DeviceView { quarantine, registered_as, replaces, replaced_by, ..view })
}

async fn replacement(
    gateway: &Gateway,
    Replacement { node_id, at }: Replacement,
) -> Result<ReplacementView, AdminFailure> {
    // A record that was removed has no key to show any more.
    let fingerprint = match gateway.entry(node_id).await {
        Ok(entry) => entry.record.keys.map(|keys| Fingerprint::of(&keys.channel).to_string()),
        Err(OperatorError::NotFound(_)) => None,
        Err(error) => return Err(error.into()),
    };
    Ok(ReplacementView { node_id: node_id.to_string(), fingerprint, at: at.into() })
}
