//! The registry in memory: the reference that other stores are compared with.
//!
//! Each kind of row is a map by its key ([`Table`]), and every question is a search from end to
//! end. A transaction that fails is undone from the list of its changes.

mod addresses;
mod audit;
mod certificates;
mod clones;
mod codes;
mod deliveries;
mod dispatches;
mod grants;
mod known_keys;
mod logins;
mod makers;
mod nodes;
mod policies;
mod provisioning;
mod replacements;
mod requests;
mod senders;
mod sessions;
mod table;
mod time;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use handfast_core::crypto::x25519::PublicKey;
use handfast_core::grant::capability;
use handfast_core::grant::certificate::{KeyHash, Serial};
use handfast_core::registry::audit_tree::{Hash, Subtree};
use handfast_core::registry::codes::Window;
use handfast_core::registry::delivery::DeliveryId;
use handfast_core::registry::policies::PolicyId;
use handfast_core::registry::sessions::{LoginId, SessionId};
use handfast_core::wire::native::link::DispatchId;
use handfast_core::wire::setup::Nonce;
use handfast_core::{NodeId, Source, UnixTime};

use crate::audit::Origin;
use crate::ops::{Database, RowResult, Tx};
use crate::{
    Capability, NodeAddresses, ProvisionedNode, Replacement, SenderName, StoreError, StoredCounter,
};
use table::Table;

/// A [`Store`](crate::Store) that loses its content when it is dropped. It is for tests and for
/// registries of a few nodes: its operations take longer the more there is in it.
#[derive(Debug, Default)]
pub struct MemoryStore {
    rows: Mutex<MemoryTx>,
    /// Raised while the rows are locked, so that a reader of the new number also reads the change.
    inbound_epoch: AtomicU64,
}

impl MemoryStore {
    /// Creates an empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

/// All rows, and the changes of the open transaction.
#[derive(Debug, Default)]
struct MemoryTx {
    nodes: Table<NodeId, nodes::NodeRow>,
    asked: Table<NodeId, requests::AskedRow>,
    rejections: Table<[u8; 32], requests::RejectionRow>,
    /// In the order in which they were made.
    grants: Table<u64, grants::GrantRow>,
    revoked_blocks: Table<capability::Id, ()>,
    revoked_keys: Table<[u8; 32], ()>,
    /// In the order in which they were minted.
    codes: Table<u64, codes::CodeRow>,
    guesses: Table<Source, u8>,
    sessions: Table<SessionId, sessions::SessionRow>,
    logins: Table<LoginId, logins::LoginRow>,
    spent: Table<Nonce, sessions::SpentRow>,
    pending: Table<SenderName, senders::PendingRow>,
    allowed: Table<SenderName, senders::PermissionRow>,
    /// Blocks for all accounts have an empty account.
    blocked: Table<SenderName, UnixTime>,
    cursors: Table<String, String>,
    deliveries: Table<DeliveryId, deliveries::DeliveryRow>,
    policies: Table<PolicyId, policies::PolicyRow>,
    provisioned: Table<NodeId, ProvisionedNode>,
    certificates: Table<Serial, certificates::CertificateRow>,
    revoked_certificate_keys: Table<KeyHash, UnixTime>,
    counters: Table<NodeId, StoredCounter>,
    /// The nodes that took the place of these.
    replacements: Table<NodeId, Replacement>,
    known_keys: Table<NodeId, PublicKey>,
    addresses: Table<NodeId, NodeAddresses>,
    dispatches: Table<DispatchId, dispatches::DispatchRow>,
    capabilities: Table<(NodeId, String), Capability>,
    /// The entries of the audit log with their hashes.
    audit: Table<u64, (String, Hash)>,
    audit_hashes: Table<Subtree, Hash>,
    audit_senders: Table<Hash, SenderName>,
    vault: Table<String, Vec<u8>>,
    singles: Singles,
    /// The values before the open transaction.
    singles_before: Singles,
    facts_changed: bool,
}

/// The values of which there is one each.
#[derive(Clone, Copy, Debug, Default)]
struct Singles {
    /// Number of the current run.
    run: u64,
    mark: Option<UnixTime>,
    window: Window,
    window_run: u64,
    setup_mark: UnixTime,
}

impl MemoryTx {
    /// Ends the transaction: its changes stay, or are undone.
    fn end(&mut self, keep: bool) {
        self.nodes.end(keep);
        self.asked.end(keep);
        self.rejections.end(keep);
        self.grants.end(keep);
        self.revoked_blocks.end(keep);
        self.revoked_keys.end(keep);
        self.codes.end(keep);
        self.guesses.end(keep);
        self.sessions.end(keep);
        self.logins.end(keep);
        self.spent.end(keep);
        self.pending.end(keep);
        self.allowed.end(keep);
        self.blocked.end(keep);
        self.cursors.end(keep);
        self.deliveries.end(keep);
        self.policies.end(keep);
        self.provisioned.end(keep);
        self.certificates.end(keep);
        self.revoked_certificate_keys.end(keep);
        self.counters.end(keep);
        self.replacements.end(keep);
        self.known_keys.end(keep);
        self.addresses.end(keep);
        self.dispatches.end(keep);
        self.capabilities.end(keep);
        self.audit.end(keep);
        self.audit_hashes.end(keep);
        self.audit_senders.end(keep);
        self.vault.end(keep);
        match keep {
            true => self.singles_before = self.singles,
            false => self.singles = self.singles_before,
        }
        self.facts_changed = false;
    }
}

impl Tx for MemoryTx {
    fn vault(&mut self, name: &str, fresh: &[u8]) -> RowResult<Vec<u8>> {
        let name = name.to_owned();
        if let Some(sealed) = self.vault.get(&name) {
            return Ok(sealed.clone());
        }
        self.vault.put(name, fresh.to_vec());
        Ok(fresh.to_vec())
    }

    fn replace_vault(&mut self, name: &str, before: &[u8], fresh: &[u8]) -> RowResult<bool> {
        let replaced = self.vault.change(&name.to_owned(), |sealed| {
            let same = sealed == before;
            if same {
                *sealed = fresh.to_vec();
            }
            same
        });
        Ok(replaced.unwrap_or(false))
    }

    fn probe(&mut self) -> RowResult<()> {
        // Memory can always be written.
        Ok(())
    }
}

impl Database for MemoryStore {
    type Base = Self;

    fn base(self: Arc<Self>) -> Arc<Self> {
        self
    }

    fn origin(&self) -> Origin {
        Origin::GATEWAY
    }

    async fn change<T, E>(
        &self,
        operation: impl FnOnce(&mut dyn Tx) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        // An operation that panicked may have left changes.
        rows.end(false);
        let made = operation(&mut *rows);
        if made.is_ok() && rows.facts_changed {
            self.inbound_epoch.fetch_add(1, Ordering::Release);
        }
        rows.end(made.is_ok());
        made
    }

    async fn point<T: Send + 'static>(
        &self,
        read: impl FnOnce(&mut dyn Tx) -> RowResult<T> + Send + 'static,
    ) -> RowResult<T> {
        self.change(read).await
    }

    async fn page<T: Send + 'static>(
        &self,
        read: impl FnOnce(&mut dyn Tx) -> RowResult<T> + Send + 'static,
    ) -> RowResult<T> {
        self.change(read).await
    }

    fn epoch(&self) -> u64 {
        self.inbound_epoch.load(Ordering::Acquire)
    }

    fn forgets(&self) -> bool {
        true
    }
}
