//! Statements for the gateway's addresses as each node knows them.

use crate::value::params;
use handfast_core::NodeId;

use super::tx::PostgresTx;
use crate::ops::{AddressRows, RowResult};
use crate::rows::addresses::{addressed, lists};
use crate::rows::most;
use crate::{AddressedNode, NodeAddresses};

impl AddressRows for PostgresTx<'_> {
    fn set_told_addresses(&mut self, id: Option<NodeId>, list: &str) -> RowResult<u64> {
        const ALL: &str = "INSERT INTO node_address (node_id, told) SELECT node_id, $1::text FROM node
                   WHERE static_key IS NOT NULL AND standing <> 'revoked' AND standing IN ('paired', 'muted')
                   ON CONFLICT (node_id) DO UPDATE SET told = excluded.told";
        const ONE: &str = "INSERT INTO node_address (node_id, told) SELECT node_id, $1::text FROM node
                   WHERE node_id = $2 AND static_key IS NOT NULL AND standing <> 'revoked' AND standing IN ('paired', 'muted')
                   ON CONFLICT (node_id) DO UPDATE SET told = excluded.told";
        let rows = match id {
            Some(id) => self.execute(ONE, params![list, id.as_bytes()])?,
            None => self.execute(ALL, params![list])?,
        };
        Ok(rows as u64)
    }

    fn set_confirmed_addresses(&mut self, id: NodeId, list: &str) -> RowResult<()> {
        let sql = "INSERT INTO node_address (node_id, confirmed) SELECT node_id, $2::text FROM node WHERE node_id = $1
                   ON CONFLICT (node_id) DO UPDATE SET confirmed = excluded.confirmed
                   WHERE node_address.confirmed IS DISTINCT FROM excluded.confirmed";
        self.execute(sql, params![id.as_bytes(), list])?;
        Ok(())
    }

    fn addresses(&mut self, id: NodeId) -> RowResult<NodeAddresses> {
        let sql = "SELECT told, confirmed FROM node_address WHERE node_id = $1";
        Ok(self.find(sql, params![id.as_bytes()], lists)?.unwrap_or_default())
    }

    fn addressed_after(
        &mut self,
        after: Option<NodeId>,
        limit: usize,
    ) -> RowResult<Vec<AddressedNode>> {
        let sql = "SELECT node.node_id, node.name, told, confirmed
                   FROM node LEFT JOIN node_address ON node_address.node_id = node.node_id
                   WHERE static_key IS NOT NULL AND standing <> 'revoked' AND standing IN ('paired', 'muted')
                       AND node.node_id > $1 ORDER BY node.node_id LIMIT $2";
        // The empty blob comes before every id.
        let after: &[u8] = after.as_ref().map_or(&[], |id| id.as_bytes());
        self.all(sql, params![after, most(limit)], addressed)
    }
}
