//! The rows of the gateway's addresses as nodes know them.

use handfast_core::NodeId;
use handfast_core::registry::record::{Record, Standing};

use super::MemoryTx;
use crate::ops::{AddressRows, RowResult};
use crate::{AddressedNode, NodeAddresses};

/// Returns `true` if a node is paired by its keys.
const fn is_addressed(record: &Record) -> bool {
    record.keys.is_some()
        && matches!(record.standing, Standing::Paired { .. } | Standing::Muted { .. })
}

impl AddressRows for MemoryTx {
    fn set_told_addresses(&mut self, id: Option<NodeId>, list: &str) -> RowResult<u64> {
        let which: Vec<_> = self
            .nodes
            .iter()
            .filter(|(node_id, row)| {
                id.is_none_or(|id| id == **node_id) && is_addressed(&row.entry.record)
            })
            .map(|(node_id, _)| *node_id)
            .collect();
        for node_id in &which {
            let before = self.addresses.get(node_id).cloned().unwrap_or_default();
            self.addresses.put(*node_id, NodeAddresses { told: Some(list.to_owned()), ..before });
        }
        Ok(which.len() as u64)
    }

    fn set_confirmed_addresses(&mut self, id: NodeId, list: &str) -> RowResult<()> {
        if self.nodes.has(&id) {
            let before = self.addresses.get(&id).cloned().unwrap_or_default();
            self.addresses.put(id, NodeAddresses { confirmed: Some(list.to_owned()), ..before });
        }
        Ok(())
    }

    fn addresses(&mut self, id: NodeId) -> RowResult<NodeAddresses> {
        Ok(self.addresses.get(&id).cloned().unwrap_or_default())
    }

    fn addressed_after(
        &mut self,
        after: Option<NodeId>,
        limit: usize,
    ) -> RowResult<Vec<AddressedNode>> {
        let found = self.nodes.iter().filter(|(id, row)| {
            after.is_none_or(|after| **id > after) && is_addressed(&row.entry.record)
        });
        let node = |(id, row): (&NodeId, &super::nodes::NodeRow)| AddressedNode {
            node_id: *id,
            name: row.entry.record.name.as_str().to_owned(),
            addresses: self.addresses.get(id).cloned().unwrap_or_default(),
        };
        Ok(found.take(limit).map(node).collect())
    }
}
