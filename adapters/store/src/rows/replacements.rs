//! Conversion between rows and replacements.

use handfast_core::NodeId;

use super::{Row, seconds};
use crate::Replacement;

/// Reads the other node and the time. The schema allows only 16 bytes as an id.
pub(crate) fn replacement<R: Row>(row: &R) -> Result<Replacement, R::Error> {
    let node_id = NodeId::from_bytes(row.at(0)?);
    Ok(Replacement { node_id, at: seconds(row.at(1)?) })
}
