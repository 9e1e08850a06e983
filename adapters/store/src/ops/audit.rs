//! The audit log: entries, and the hashes of the tree over them.

use async_trait::async_trait;
use handfast_core::NodeId;
use handfast_core::registry::audit_tree::{self, Hash, Proof, Subtree, Subtrees};

use super::{Database, Meant, RowResult, Tx};
use crate::audit::{Audit, Entry, Origin, ProvenEntry, TreeHead};
use crate::{SenderName, StoreError};

/// The rows of the audit log. Entries are numbered from 0 without a gap, and never change.
pub(crate) trait AuditRows {
    /// Returns the number of entries.
    fn audit_size(&mut self) -> RowResult<u64>;

    /// Adds the entry with the next number.
    fn add_audit_entry(&mut self, number: u64, leaf: &Hash, line: &str) -> RowResult<()>;

    /// Returns the line of an entry and its hash.
    fn audit_entry(&mut self, number: u64) -> RowResult<Option<(String, Hash)>>;

    /// Returns the lines of the entries from this number on.
    fn audit_lines(&mut self, from: u64, limit: usize) -> RowResult<Vec<String>>;

    /// Returns the lines of the entries about a node before this number, the highest number first.
    fn audit_lines_of(&mut self, id: NodeId, before: u64, limit: usize) -> RowResult<Vec<String>>;

    /// Returns the hash of a complete subtree; that of level 0 belongs to an entry.
    fn audit_hash(&mut self, subtree: Subtree) -> RowResult<Option<Hash>>;

    /// Sets the hash of a complete subtree of level 1 or higher.
    fn set_audit_hash(&mut self, subtree: Subtree, hash: &Hash) -> RowResult<()>;

    /// Returns the reference to a sender's name, and adds one if there is none. It is a hash that
    /// depends on random bytes beside the name, so it tells nothing once these are removed.
    fn sender_reference(&mut self, name: &SenderName) -> RowResult<Hash>;

    /// Returns the sender with this reference.
    fn referred_sender(&mut self, reference: &Hash) -> RowResult<Option<SenderName>>;

    /// Removes a sender's names. Returns their references, which tell nothing without them.
    fn forget_references(&mut self, meant: Meant<'_>) -> RowResult<Vec<Hash>>;
}

/// The result of an operation that decides, with its entries for the audit log. An operation that
/// returns it cannot be run without writing them ([`Database::decide`]).
#[derive(Debug)]
#[must_use = "the entries have to be written"]
pub(crate) struct Decided<T> {
    value: T,
    entries: Vec<Entry>,
}

impl<T> Decided<T> {
    /// One decision was made.
    pub(crate) fn by(value: T, entry: Entry) -> Self {
        Self { value, entries: vec![entry] }
    }

    /// Several decisions were made, or none.
    pub(crate) fn all(value: T, entries: Vec<Entry>) -> Self {
        Self { value, entries }
    }

    /// Nothing was decided: it was refused, or was so before.
    pub(crate) fn nothing(value: T) -> Self {
        Self { value, entries: Vec::new() }
    }

    /// Replaces the value.
    pub(crate) fn map<U>(self, change: impl FnOnce(T) -> U) -> Decided<U> {
        Decided { value: change(self.value), entries: self.entries }
    }

    /// Adds the entries of this operation to those of a larger one.
    pub(crate) fn into(self, entries: &mut Vec<Entry>) -> T {
        entries.extend(self.entries);
        self.value
    }

    /// Gives up the entries, because the larger operation has an entry of its own that says as much.
    pub(crate) fn within(self) -> T {
        self.value
    }

    /// Writes the entries.
    pub(super) fn record(self, tx: &mut dyn Tx, origin: &Origin) -> RowResult<T> {
        for entry in &self.entries {
            append(tx, entry, origin)?;
        }
        Ok(self.value)
    }
}

/// The stored hashes as the tree reads them.
struct StoredHashes<'a>(&'a mut dyn Tx);

impl Subtrees for StoredHashes<'_> {
    type Error = StoreError;

    fn hash(&mut self, subtree: Subtree) -> Result<Hash, StoreError> {
        self.0.audit_hash(subtree)?.ok_or_else(|| {
            let Subtree { level, index } = subtree;
            StoreError::Database(format!(
                "the audit log is damaged: hash {index} of level {level} is missing"
            ))
        })
    }
}

/// Appends an entry, in O(log n).
fn append(tx: &mut dyn Tx, entry: &Entry, origin: &Origin) -> RowResult<()> {
    let number = tx.audit_size()?;
    let line = entry.line(number, origin);
    let leaf = audit_tree::leaf_hash(line.as_bytes());
    tx.add_audit_entry(number, &leaf, &line)?;
    audit_tree::append(number, leaf, &mut StoredHashes(tx), |hashes, subtree, hash| {
        hashes.0.set_audit_hash(subtree, &hash)
    })
}

/// Returns the tree over all entries.
#[cfg(all(feature = "sqlite", feature = "postgres"))]
pub(crate) fn audit_head(tx: &mut dyn Tx) -> RowResult<TreeHead> {
    let size = tx.audit_size()?;
    Ok(TreeHead { size, root: audit_tree::root(size, &mut StoredHashes(tx))? })
}

fn head(tx: &mut dyn Tx, size: Option<u64>) -> RowResult<Option<TreeHead>> {
    let all = tx.audit_size()?;
    let size = size.unwrap_or(all);
    if size > all {
        return Ok(None);
    }
    Ok(Some(TreeHead { size, root: audit_tree::root(size, &mut StoredHashes(tx))? }))
}

fn proven(tx: &mut dyn Tx, number: u64, size: Option<u64>) -> RowResult<Option<ProvenEntry>> {
    let Some(head) = head(tx, size)? else { return Ok(None) };
    let Some(proof) = audit_tree::inclusion(number, head.size, &mut StoredHashes(tx))? else {
        return Ok(None);
    };
    let found = tx.audit_entry(number)?;
    Ok(found.map(|(line, leaf)| ProvenEntry { line, leaf, head, proof }))
}

fn consistency(tx: &mut dyn Tx, earlier: u64, size: u64) -> RowResult<Option<Proof>> {
    match size > tx.audit_size()? {
        true => Ok(None),
        false => audit_tree::consistency(earlier, size, &mut StoredHashes(tx)),
    }
}

#[async_trait]
impl<D: Database> Audit for D {
    async fn note(&self, entry: Entry) -> Result<(), StoreError> {
        self.decide(move |_| Ok::<_, StoreError>(Decided::by((), entry))).await
    }

    async fn audit_lines(&self, from: u64, limit: usize) -> Result<Vec<String>, StoreError> {
        self.page(move |tx| tx.audit_lines(from, limit)).await
    }

    async fn audit_lines_of(
        &self,
        node_id: NodeId,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        self.page(move |tx| {
            let before = match before {
                Some(before) => before,
                None => tx.audit_size()?,
            };
            tx.audit_lines_of(node_id, before, limit)
        })
        .await
    }

    async fn audit_head(&self, size: Option<u64>) -> Result<Option<TreeHead>, StoreError> {
        self.page(move |tx| head(tx, size)).await
    }

    async fn audit_entry(
        &self,
        number: u64,
        size: Option<u64>,
    ) -> Result<Option<ProvenEntry>, StoreError> {
        self.page(move |tx| proven(tx, number, size)).await
    }

    async fn audit_consistency(
        &self,
        earlier: u64,
        size: u64,
    ) -> Result<Option<Proof>, StoreError> {
        self.page(move |tx| consistency(tx, earlier, size)).await
    }

    async fn audited_sender(&self, reference: [u8; 32]) -> Result<Option<SenderName>, StoreError> {
        self.point(move |tx| tx.referred_sender(&reference)).await
    }
}
