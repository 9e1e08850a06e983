//! Conversion between rows and clone counters.

use handfast_core::NodeId;
use handfast_core::flow::identity::clone_counter::{CloneCondition, CloneCounter};

use super::{Row, get, perhaps, word};
use crate::{LinkedFrom, StoreError, StoredCounter};

/// Reads a counter. The schema allows only 16 bytes as its node's id.
pub(crate) fn counter<R: Row>(
    row: &R,
) -> Result<Result<(NodeId, StoredCounter), String>, R::Error> {
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

pub(crate) fn unreadable(problem: String) -> StoreError {
    StoreError::Database(format!("a stored clone counter cannot be read: {problem}"))
}
