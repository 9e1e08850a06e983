//! The rows of the audit log.

use handfast_core::NodeId;
use handfast_core::crypto::{labels, sha256};
use handfast_core::registry::audit_tree::{Hash, Subtree};

use super::MemoryTx;
use super::senders::is_meant;
use crate::SenderName;
use crate::ops::{AuditRows, Meant, RowResult};

impl AuditRows for MemoryTx {
    fn audit_size(&mut self) -> RowResult<u64> {
        Ok(self.audit.iter().next_back().map_or(0, |(number, _)| number + 1))
    }

    fn add_audit_entry(&mut self, number: u64, leaf: &Hash, line: &str) -> RowResult<()> {
        self.audit.put(number, (line.to_owned(), *leaf));
        Ok(())
    }

    fn audit_entry(&mut self, number: u64) -> RowResult<Option<(String, Hash)>> {
        Ok(self.audit.get(&number).cloned())
    }

    fn audit_lines(&mut self, from: u64, limit: usize) -> RowResult<Vec<String>> {
        Ok(self.audit.range(from..).take(limit).map(|(_, (line, _))| line.clone()).collect())
    }

    fn audit_lines_of(&mut self, id: NodeId, before: u64, limit: usize) -> RowResult<Vec<String>> {
        // A line holds no text of others, so this stands nowhere but in its member.
        let member = format!("\"node\":\"{id}\"");
        let about = self.audit.range(..before).rev().map(|(_, (line, _))| line);
        Ok(about.filter(|line| line.contains(&member)).take(limit).cloned().collect())
    }

    fn audit_hash(&mut self, subtree: Subtree) -> RowResult<Option<Hash>> {
        Ok(match subtree {
            Subtree { level: 0, index } => self.audit.get(&index).map(|(_, leaf)| *leaf),
            above => self.audit_hashes.get(&above).copied(),
        })
    }

    fn set_audit_hash(&mut self, subtree: Subtree, hash: &Hash) -> RowResult<()> {
        self.audit_hashes.put(subtree, *hash);
        Ok(())
    }

    fn sender_reference(&mut self, name: &SenderName) -> RowResult<Hash> {
        let found = self.audit_senders.iter().find(|(_, known)| *known == name);
        if let Some((reference, _)) = found {
            return Ok(*reference);
        }
        // The reference store needs no secrecy, only another value for each name.
        let SenderName { channel, account, sender } = name;
        let parts = [channel.as_bytes(), account.as_bytes(), sender.as_bytes()];
        let reference = sha256::hash_parts(labels::AUDIT_SENDER, &parts);
        self.audit_senders.put(reference, name.clone());
        Ok(reference)
    }

    fn referred_sender(&mut self, reference: &Hash) -> RowResult<Option<SenderName>> {
        Ok(self.audit_senders.get(reference).cloned())
    }

    fn forget_references(&mut self, meant: Meant<'_>) -> RowResult<Vec<Hash>> {
        let found = self.audit_senders.keys_of(|_, known| is_meant(known, meant));
        found.iter().for_each(|reference| {
            self.audit_senders.remove(reference);
        });
        Ok(found)
    }
}
