//! Rows of the gateway's addresses as nodes know them.

use handfast_core::NodeId;

use super::Row;
use crate::{AddressedNode, NodeAddresses};

/// Reads a row of `told` and `confirmed`.
pub(crate) fn lists<R: Row>(row: &R) -> Result<NodeAddresses, R::Error> {
    Ok(NodeAddresses { told: row.get("told")?, confirmed: row.get("confirmed")? })
}

/// Reads a row with the node as well.
pub(crate) fn addressed<R: Row>(row: &R) -> Result<AddressedNode, R::Error> {
    let node_id = NodeId::from_bytes(row.get("node_id")?);
    Ok(AddressedNode { node_id, name: row.get("name")?, addresses: lists(row)? })
}
