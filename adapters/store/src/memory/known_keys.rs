//! The rows of nodes' knowledge of the gateway's key.

use handfast_core::NodeId;
use handfast_core::crypto::x25519::PublicKey;
use handfast_core::registry::record::Standing;

use super::MemoryTx;
use crate::KeyCounts;
use crate::ops::{KnownKeyRows, RowResult};

impl KnownKeyRows for MemoryTx {
    fn set_known_key(&mut self, id: NodeId, key: &PublicKey) -> RowResult<()> {
        if self.nodes.has(&id) {
            self.known_keys.put(id, *key);
        }
        Ok(())
    }

    fn count_known_key(&mut self, key: &PublicKey) -> RowResult<KeyCounts> {
        let mut counts = KeyCounts::default();
        for (id, row) in self.nodes.iter() {
            let record = &row.entry.record;
            let is_paired =
                matches!(record.standing, Standing::Paired { .. } | Standing::Muted { .. });
            match self.known_keys.get(id) {
                _ if record.keys.is_none() || !is_paired => {}
                Some(known) if known == key => counts.know += 1,
                Some(_) | None => counts.lack += 1,
            }
        }
        Ok(counts)
    }
}
