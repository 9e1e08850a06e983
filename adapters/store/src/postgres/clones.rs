//! The rows of clone counters.

use crate::value::params;
use handfast_core::NodeId;
use handfast_core::flow::identity::clone_counter::CloneCounter;

use super::tx::PostgresTx;
use crate::StoredCounter;
use crate::ops::{CloneRows, RowResult};
use crate::rows::clones::{counter, unreadable};
use crate::rows::{integer, most};

impl CloneRows for PostgresTx<'_> {
    fn counter(&mut self, id: NodeId) -> RowResult<Option<StoredCounter>> {
        let sql = "SELECT * FROM clone_counter WHERE node_id = $1";
        let found =
            self.find(sql, params![id.as_bytes()], counter)?.transpose().map_err(unreadable)?;
        Ok(found.map(|(_, counter)| counter))
    }

    fn set_counter(&mut self, id: NodeId, stored: &StoredCounter) -> RowResult<()> {
        let StoredCounter { counter, linked, alarmed } = stored;
        let CloneCounter { confirmed, confirmed_at, offered, offered_at, condition } = counter;
        let sql = "INSERT INTO clone_counter
                       (node_id, confirmed, confirmed_at, offered, offered_at, condition, address, linked_at, alarm_address, alarmed_at)
                   SELECT node_id, $2::bigint, $3::bigint, $4::bigint, $5::bigint, $6::text, $7::text, $8::bigint, $9::text, $10::bigint FROM node WHERE node_id = $1
                   ON CONFLICT (node_id) DO UPDATE SET confirmed = $2, confirmed_at = $3, offered = $4, offered_at = $5, condition = $6,
                       address = $7, linked_at = $8, alarm_address = $9, alarmed_at = $10";
        self.execute(
            sql,
            params![
                id.as_bytes(),
                confirmed.map(u64::cast_signed),
                confirmed_at.map(integer),
                offered.map(u64::cast_signed),
                offered_at.map(integer),
                condition.as_str(),
                linked.map(|link| link.address.to_string()),
                linked.map(|link| integer(link.at)),
                alarmed.map(|link| link.address.to_string()),
                alarmed.map(|link| integer(link.at)),
            ],
        )?;
        Ok(())
    }

    fn quarantined_after(
        &mut self,
        after: Option<NodeId>,
        limit: usize,
    ) -> RowResult<Vec<(NodeId, StoredCounter)>> {
        let sql = "SELECT * FROM clone_counter
                   WHERE condition = 'quarantined' AND node_id > $1 ORDER BY node_id LIMIT $2";
        // The empty blob comes before every id.
        let after: &[u8] = after.as_ref().map_or(&[], |id| id.as_bytes());
        let found = self.all(sql, params![after, most(limit)], counter)?;
        found.into_iter().collect::<Result<_, _>>().map_err(unreadable)
    }
}
