//! The rows of nodes that registered by a provisioning token.

use crate::value::params;
use handfast_core::registry::provisioning::NodeKeyId;
use handfast_core::{Name, NodeId};

use super::tx::PostgresTx;
use crate::ProvisionedNode;
use crate::ops::{ProvisioningRows, RowResult};
use crate::rows::provisioning::node;

impl ProvisioningRows for PostgresTx<'_> {
    fn provisioned(&mut self, id: NodeId) -> RowResult<Option<ProvisionedNode>> {
        let sql = "SELECT node_id, external, key_id, key_hash FROM provisioned WHERE node_id = $1";
        self.find(sql, params![id.as_bytes()], node)?.transpose()
    }

    fn provisioned_with(&mut self, key: NodeKeyId) -> RowResult<Option<ProvisionedNode>> {
        let sql = "SELECT node_id, external, key_id, key_hash FROM provisioned WHERE key_id = $1";
        self.find(sql, params![key.as_bytes()], node)?.transpose()
    }

    fn has_registered(&mut self, external: &Name) -> RowResult<bool> {
        let sql = "SELECT EXISTS (SELECT 1 FROM provisioned JOIN node USING (node_id)
                   WHERE external = $1 AND standing <> 'revoked')";
        self.one(sql, params![external.as_str()], |row| row.get(0))
    }

    fn set_provisioned(&mut self, node: &ProvisionedNode) -> RowResult<()> {
        let ProvisionedNode { node_id, external, key, hash } = node;
        let sql =
            "INSERT INTO provisioned (node_id, external, key_id, key_hash) VALUES ($1, $2, $3, $4)
                   ON CONFLICT (node_id) DO UPDATE SET external = $2, key_id = $3, key_hash = $4";
        let row = params![node_id.as_bytes(), external.as_str(), key.as_bytes(), hash.as_bytes()];
        self.execute(sql, row)?;
        Ok(())
    }
}
