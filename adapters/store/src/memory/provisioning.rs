//! The rows of nodes that registered by a provisioning token.

use handfast_core::registry::provisioning::NodeKeyId;
use handfast_core::registry::record::Standing;
use handfast_core::{Name, NodeId};

use super::MemoryTx;
use crate::ProvisionedNode;
use crate::ops::{ProvisioningRows, RowResult};

impl ProvisioningRows for MemoryTx {
    fn provisioned(&mut self, id: NodeId) -> RowResult<Option<ProvisionedNode>> {
        Ok(self.provisioned.get(&id).cloned())
    }

    fn provisioned_with(&mut self, key: NodeKeyId) -> RowResult<Option<ProvisionedNode>> {
        Ok(self.provisioned.values().find(|node| node.key == key).cloned())
    }

    fn has_registered(&mut self, external: &Name) -> RowResult<bool> {
        let is_in = |id: &NodeId| {
            let node = self.nodes.get(id);
            node.is_some_and(|node| !matches!(node.entry.record.standing, Standing::Revoked { .. }))
        };
        let mut same = self.provisioned.values().filter(|node| node.external == *external);
        Ok(same.any(|node| is_in(&node.node_id)))
    }

    fn set_provisioned(&mut self, node: &ProvisionedNode) -> RowResult<()> {
        self.provisioned.put(node.node_id, node.clone());
        Ok(())
    }
}
