//! Conversion between rows and nodes that registered by a provisioning token.

use handfast_core::grant::keyed_secret::KeyedHash;
use handfast_core::registry::provisioning::NodeKeyId;
use handfast_core::{Label, Name, NodeId};

use super::Row;
use crate::{ProvisionedNode, StoreError};

pub(crate) fn node<R: Row>(row: &R) -> Result<Result<ProvisionedNode, StoreError>, R::Error> {
    let node_id = NodeId::from_bytes(row.get("node_id")?);
    let (key, hash) = (row.get("key_id")?, row.get("key_hash")?);
    let external: String = row.get("external")?;
    let unreadable = || {
        StoreError::Database(format!(
            "the name by which node {node_id} registered cannot be read: {external:?}"
        ))
    };
    let label = Label::parse(&external).filter(|label| label.as_str() == external);
    Ok(label.map(Name::from).ok_or_else(unreadable).map(|external| ProvisionedNode {
        node_id,
        external,
        key: NodeKeyId::from_bytes(key),
        hash: KeyedHash::from_bytes(hash),
    }))
}
