//! The addresses at which nodes are to look for the gateway.

use axum::Json;
use handfast_core::NodeId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::caller::Acting;
use super::extract::{Body, Path, Query};
use super::failure::AdminFailure;
use super::paging::{self, PageQuery};
use crate::gateway::node_addresses::MovedNode;

/// A node, and the gateway's addresses as it knows them.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct MovedView {
    /// Id of the node.
    pub node_id: String,
    /// The node's own name.
    pub friendly_name: String,
    /// Addresses that the node is told; empty if there are none to tell.
    pub addresses: Vec<String>,
    /// `true` if the node has stored these addresses.
    pub confirmed: bool,
    /// `online` while the node is linked, else `offline`: it hears of them over its next link.
    pub status: String,
}

/// The answer to `GET /api/v1/addresses`.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct MovedList {
    /// Nodes in order of their ids.
    pub items: Vec<MovedView>,
    /// Cursor of the next page, as `after` of the next request; `null` on the last page.
    #[schema(required)]
    pub next: Option<String>,
}

/// The answer to `POST /api/v1/addresses`.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct MovedAllView {
    /// Number of nodes that are told the addresses.
    pub moved: u64,
}

/// The addresses that nodes are told.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MoveBody {
    /// Addresses of the gateway, at most 8: `ws://host:port`, `wss://host:port` or
    /// `tcp://host:port`.
    addresses: Vec<String>,
}

impl From<MovedNode> for MovedView {
    fn from(node: MovedNode) -> Self {
        Self {
            node_id: node.node_id.to_string(),
            friendly_name: node.name,
            addresses: node.addresses,
            confirmed: node.confirmed,
            status: if node.online { "online" } else { "offline" }.to_owned(),
        }
    }
}

/// Lists the nodes that are paired by their keys with the gateway's addresses as they know them, in
/// order of their ids.
#[utoipa::path(
    get,
    path = "/api/v1/addresses",
    tag = "Nodes",
    params(PageQuery),
    responses((status = 200, body = MovedList)),
)]
pub(super) async fn list(
    Acting(gateway): Acting,
    Query(query): Query<PageQuery>,
) -> Result<Json<MovedList>, AdminFailure> {
    let after = paging::after(query.after.as_deref(), NodeId::parse)?;
    let limit = paging::limit(query.limit)?;
    let nodes = gateway.moved_nodes(after, limit).await?;
    let next = nodes.last().filter(|_| nodes.len() == limit).map(|node| node.node_id.to_string());
    Ok(Json(MovedList { items: nodes.into_iter().map(MovedView::from).collect(), next }))
}

/// Has all nodes that are paired by their keys look for the gateway at these addresses.
///
/// Linked nodes are told at once, the others over their next link.
#[utoipa::path(
    post,
    path = "/api/v1/addresses",
    tag = "Nodes",
    request_body = MoveBody,
    responses((status = 200, body = MovedAllView)),
)]
pub(super) async fn move_all(
    Acting(gateway): Acting,
    Body(body): Body<MoveBody>,
) -> Result<Json<MovedAllView>, AdminFailure> {
    Ok(Json(MovedAllView { moved: gateway.move_nodes(None, &body.addresses).await? }))
}

/// Returns the gateway's addresses as a node knows them.
#[utoipa::path(
    get,
    path = "/api/v1/paired/{which}/addresses",
    tag = "Nodes",
    responses((status = 200, body = MovedView)),
)]
pub(super) async fn show(
    Acting(gateway): Acting,
    Path(which): Path<String>,
) -> Result<Json<MovedView>, AdminFailure> {
    let node_id = gateway.paired_named(&which).await?.device.entry.record.node_id;
    Ok(Json(gateway.moved_node(node_id).await?.into()))
}

/// Has a node look for the gateway at these addresses.
///
/// A linked node is told at once, another one over its next link.
#[utoipa::path(
    post,
    path = "/api/v1/paired/{which}/addresses",
    tag = "Nodes",
    request_body = MoveBody,
    responses((status = 200, body = MovedView)),
)]
pub(super) async fn move_one(
    Acting(gateway): Acting,
    Path(which): Path<String>,
    Body(body): Body<MoveBody>,
) -> Result<Json<MovedView>, AdminFailure> {
    let node_id = gateway.paired_named(&which).await?.device.entry.record.node_id;
    gateway.move_nodes(Some(node_id), &body.addresses).await?;
    Ok(Json(gateway.moved_node(node_id).await?.into()))
}
