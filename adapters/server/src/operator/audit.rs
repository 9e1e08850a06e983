//! The audit log: its entries, its checkpoints and its proofs.

use handfast_core::NodeId;
use handfast_core::crypto::fingerprint::Fingerprint;
use handfast_core::registry::audit_tree::Proof;
use handfast_store::audit::{ProvenEntry, TreeHead};
use handfast_store::{SenderName, StoreError};

use crate::checkpoint::{Checkpoint, VerifierKey};
use crate::gateway::Gateway;
use crate::gateway::operator_types::OperatorError;

/// Maximum number of entries that one call returns.
pub(crate) const MOST_ENTRIES: usize = 500;

/// A checkpoint that the gateway has just signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedCheckpoint {
    /// The state of the log.
    pub checkpoint: Checkpoint,
    /// The signed note.
    pub note: String,
    /// The key that has signed it.
    pub key: VerifierKey,
    /// The proof that an earlier log is the beginning of this one, if one was asked for.
    pub consistency: Option<Proof>,
}

impl Gateway {
    /// Returns the lines of the audit log from number `from` on, at most 500.
    ///
    /// # Errors
    /// [`OperatorError::Store`].
    pub async fn audit_lines(&self, from: u64, limit: usize) -> Result<Vec<String>, OperatorError> {
        Ok(self.inner.store.audit_lines(from, limit.min(MOST_ENTRIES)).await?)
    }

    /// Returns the lines of the audit log about a node, the newest first, at most 500: those before
    /// number `before`, or the newest of all.
    ///
    /// # Errors
    /// [`OperatorError::Store`].
    pub async fn audit_lines_of(
        &self,
        node_id: NodeId,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<String>, OperatorError> {
        let limit = limit.min(MOST_ENTRIES);
        Ok(self.inner.store.audit_lines_of(node_id, before, limit).await?)
    }

    /// Returns the number of entries of the audit log.
    ///
    /// # Errors
    /// [`OperatorError::Store`].
    pub async fn audit_size(&self) -> Result<u64, OperatorError> {
        Ok(self.inner.store.audit_head(None).await?.map_or(0, |head| head.size))
    }

    /// Signs a checkpoint of the audit log. With `since`, it comes with the proof that the log of
    /// that size is the beginning of this one.
    ///
    /// # Errors
    /// [`OperatorError::Usage`] if the log is shorter than `since`, and [`OperatorError::Store`].
    pub async fn audit_checkpoint(
        &self,
        since: Option<u64>,
    ) -> Result<SignedCheckpoint, OperatorError> {
        let head = self.inner.store.audit_head(None).await?;
        let TreeHead { size, root } =
            head.ok_or_else(|| StoreError::Database("the audit log has no state".to_owned()))?;
        let consistency = match since {
            Some(since) => {
                let proof = self.inner.store.audit_consistency(since, size).await?;
                Some(proof.ok_or_else(|| shorter(size, since))?)
            }
            None => None,
        };
        let keys = self.keys();
        // A log keeps its name, whatever key the gateway has by now.
        let origin = Checkpoint::origin_of(&Fingerprint::of(keys.0.first()));
        let key = VerifierKey::new(origin.clone(), keys.signing.public());
        let checkpoint = Checkpoint { origin, size, root };
        let note = checkpoint.sign(&keys.signing);
        Ok(SignedCheckpoint { checkpoint, note, key, consistency })
    }

    /// Returns an entry with the proof that the log of this size, or the whole log, holds it.
    ///
    /// # Errors
    /// [`OperatorError::NoSuchEntry`] if it does not, and [`OperatorError::Store`].
    pub async fn audit_entry(
        &self,
        number: u64,
        size: Option<u64>,
    ) -> Result<ProvenEntry, OperatorError> {
        let found = self.inner.store.audit_entry(number, size).await?;
        found.ok_or(OperatorError::NoSuchEntry(number))
    }

    /// Returns the sender behind a reference of an entry, as long as its name is kept.
    ///
    /// # Errors
    /// [`OperatorError::Store`].
    pub async fn audited_sender(
        &self,
        reference: [u8; 32],
    ) -> Result<Option<SenderName>, OperatorError> {
        Ok(self.inner.store.audited_sender(reference).await?)
    }
}

fn shorter(size: u64, since: u64) -> OperatorError {
    OperatorError::Usage(format!(
        "the audit log has {size} entries, and a proof was asked for that continues {since}: \
         entries were cut off, or the checkpoint is of another gateway"
    ))
}
