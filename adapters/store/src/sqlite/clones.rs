//! The rows of clone counters.

use handfast_core::NodeId;
use handfast_core::flow::identity::clone_counter::{CloneCondition, CloneCounter};
use rusqlite::{Row, params};

use super::rows::{get, integer, perhaps, word};
use super::tx::{SqliteTx, most};
use crate::ops::{CloneRows, RowResult};
use crate::{LinkedFrom, StoreError, StoredCounter};

impl CloneRows for SqliteTx<'_> {
    fn counter(&mut self, id: NodeId) -> RowResult<Option<StoredCounter>> {
        let sql = "SELECT * FROM clone_counter WHERE node_id = ?1";
        let found = self.find(sql, [id.as_bytes()], counter)?.transpose().map_err(unreadable)?;
        Ok(found.map(|(_, counter)| counter))
    }

    fn set_counter(&mut self, id: NodeId, stored: &StoredCounter) -> RowResult<()> {
        let StoredCounter { counter, linked, alarmed } = stored;
        let CloneCounter { confirmed, confirmed_at, offered, offered_at, condition } = counter;
        let sql = "INSERT OR REPLACE INTO clone_counter
                       (node_id, confirmed, confirmed_at, offered, offered_at, condition, address, linked_at, alarm_address, alarmed_at)
                   SELECT node_id, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10 FROM node WHERE node_id = ?1";
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
        let sql = "SELECT * FROM clone_counter INDEXED BY clone_quarantined
                   WHERE condition = 'quarantined' AND node_id > ?1 ORDER BY node_id LIMIT ?2";
        // The empty blob comes before every id.
        let after: &[u8] = after.as_ref().map_or(&[], |id| id.as_bytes());
        let found = self.all(sql, params![after, most(limit)], counter)?;
        found.into_iter().collect::<Result<_, _>>().map_err(unreadable)
    }
}

/// Reads a counter. The schema allows only 16 bytes as its node's id.
fn counter(row: &Row<'_>) -> rusqlite::Result<Result<(NodeId, StoredCounter), String>> {
    let node_id = NodeId::from_bytes(row.get("node_id")?);
    let read = || {
        let value = |column| -> Result<_, String> {
            Ok(get::<Option<i64>>(row, column)?.map(i64::cast_unsigned))
        };
        let link = |address, at| -> Result<_, String> {
            let (Some(text), Some(at)) = (get::<Option<String>>(row, address)?, perhaps(row, at)?)
            else {
                return Ok(None);
            };
            let parsed = text.parse().map_err(|_| format!("{address} {text:?} is none"))?;
            Ok(Some(LinkedFrom { address: parsed, at }))
        };
        let counter = CloneCounter {
            confirmed: value("confirmed")?,
            confirmed_at: perhaps(row, "confirmed_at")?,
            offered: value("offered")?,
            offered_at: perhaps(row, "offered_at")?,
            condition: word(row, "condition", CloneCondition::parse)?,
        };
        let linked = link("address", "linked_at")?;
        Ok((
            node_id,
            StoredCounter { counter, linked, alarmed: link("alarm_address", "alarmed_at")? },
        ))
    };
    Ok(read())
}

fn unreadable(problem: String) -> StoreError {
    StoreError::Database(format!("a stored clone counter cannot be read: {problem}"))
}
