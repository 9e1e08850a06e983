//! The allow-list: the certificates that may open a link, held in memory beside the store, because
//! a handshake is decided without waiting.
//!
//! A certificate is looked up by its serial number and its public key, never by a hash of its
//! bytes: replacing an ECDSA signature's `s` by `n − s` gives other bytes and the same valid
//! certificate.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use handfast_core::flow::identity::certificate::{Certificate, NodeStanding, NotAllowed, allow};
use handfast_core::grant::certificate::{KeyHash, Serial};
use handfast_core::{NodeId, UnixTime};

use super::NodeUri;

/// The certificates that were issued and have not ended, and the standing of their nodes.
#[derive(Debug)]
pub struct AllowList {
    uri: NodeUri,
    table: RwLock<Table>,
}

#[derive(Debug, Default)]
struct Table {
    certificates: HashMap<Serial, Certificate>,
    nodes: HashMap<NodeId, NodeEntry>,
}

#[derive(Debug, Default)]
struct NodeEntry {
    standing: Option<NodeStanding>,
    serials: Vec<Serial>,
}

/// A node whose certificate was allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// Id of the node.
    pub node_id: NodeId,
    /// Serial number of the certificate.
    pub serial: Serial,
}

impl AllowList {
    /// Creates an empty list of certificates that name their nodes in this form.
    #[must_use]
    pub fn new(uri: NodeUri) -> Self {
        Self { uri, table: RwLock::default() }
    }

    /// Returns the form in which certificates name their nodes.
    #[must_use]
    pub const fn uri(&self) -> &NodeUri {
        &self.uri
    }

    /// Replaces the whole list by certificates with the standings of their nodes, as a store lists
    /// them.
    pub fn fill(&self, all: impl IntoIterator<Item = (Certificate, Option<NodeStanding>)>) {
        let mut table = Table::default();
        for (certificate, standing) in all {
            let node = table.nodes.entry(certificate.node_id).or_default();
            node.standing = standing;
            // A serial number that is listed twice counts once for its node.
            if table.certificates.insert(certificate.serial, certificate).is_none() {
                node.serials.push(certificate.serial);
            }
        }
        // The new table takes effect as a whole, so that no handshake sees half of it.
        *self.write() = table;
    }

    /// Takes over a list that was read from the store while the gateway runs, after a step of the
    /// clock has moved the times in it or ended some. None may be issued meanwhile. Every other
    /// decision reaches this list before the store or right after it, so what is known here of a
    /// certificate's state and of a node's standing stays, and of a node that was removed nothing
    /// comes back.
    pub fn take_step(&self, read: impl IntoIterator<Item = Certificate>) {
        let read: HashMap<_, _> = read.into_iter().map(|one| (one.serial, one)).collect();
        let mut table = self.write();
        let Table { certificates, nodes } = &mut *table;
        // What is live here and no more in the store was ended by the step.
        certificates.retain(|serial, known| !known.state.is_live() || read.contains_key(serial));
        for one in read.into_values() {
            let Some(node) = nodes.get_mut(&one.node_id) else { continue };
            match certificates.entry(one.serial) {
                Entry::Occupied(mut known) => {
                    let known = known.get_mut();
                    (known.not_before, known.not_after) = (one.not_before, one.not_after);
                }
                // It had ended by the time before the step.
                Entry::Vacant(unknown) => {
                    node.serials.push(one.serial);
                    unknown.insert(one);
                }
            }
        }
        for node in nodes.values_mut() {
            node.serials.retain(|serial| certificates.contains_key(serial));
        }
    }

    /// Adds a certificate that the store has just taken for a node that may link. An eviction that
    /// the store does not know yet stays in force.
    pub fn issued(&self, certificate: Certificate) {
        let mut table = self.write();
        let node = table.nodes.entry(certificate.node_id).or_default();
        let epoch = node.standing.map_or(certificate.epoch, |known| known.epoch);
        node.standing = Some(NodeStanding { epoch, may_link: true });
        node.serials.push(certificate.serial);
        table.certificates.insert(certificate.serial, certificate);
    }

    /// Adds a certificate, or replaces what is known of it.
    pub fn put(&self, certificate: Certificate) {
        let mut table = self.write();
        if table.certificates.insert(certificate.serial, certificate).is_none() {
            table.nodes.entry(certificate.node_id).or_default().serials.push(certificate.serial);
        }
    }

    /// Sets the standing of a node: its epoch, and whether it may link.
    pub fn set_standing(&self, node_id: NodeId, standing: NodeStanding) {
        self.write().nodes.entry(node_id).or_default().standing = Some(standing);
    }

    /// Takes the first use of a certificate in: the older ones of its node are superseded.
    pub fn used(&self, serial: &Serial) {
        let mut table = self.write();
        let Some(used) = table.certificates.get(serial).copied() else { return };
        for other in table.serials(used.node_id) {
            if let Some(certificate) = table.certificates.get_mut(&other) {
                certificate.state = certificate.after_use_of(&used);
            }
        }
    }

    /// Revokes one certificate. Returns `false` if it is not known.
    pub fn revoke(&self, serial: &Serial) -> bool {
        let mut table = self.write();
        let found = table.certificates.get_mut(serial);
        found.map(|certificate| certificate.state = certificate.state.revoked()).is_some()
    }

    /// Revokes all certificates that `which` holds for.
    pub fn revoke_all(&self, which: impl Fn(&Certificate) -> bool) {
        for certificate in self.write().certificates.values_mut().filter(|one| which(one)) {
            certificate.state = certificate.state.revoked();
        }
    }

    /// Removes a node with all its certificates.
    pub fn remove_node(&self, node_id: NodeId) {
        self.write().remove_node(node_id);
    }

    /// Replaces all that is known of a node by its standing and its certificates, as another gateway
    /// has stored them.
    pub fn replace_node(
        &self,
        node_id: NodeId,
        standing: Option<NodeStanding>,
        certificates: impl IntoIterator<Item = Certificate>,
    ) {
        let mut table = self.write();
        table.remove_node(node_id);
        let mut entry = NodeEntry { standing, serials: Vec::new() };
        for certificate in certificates {
            entry.serials.push(certificate.serial);
            table.certificates.insert(certificate.serial, certificate);
        }
        // A node without certificates needs no entry.
        if !entry.serials.is_empty() {
            table.nodes.insert(node_id, entry);
        }
    }

    /// Returns `true` if the list has an entry for the node.
    #[must_use]
    pub fn knows(&self, node_id: NodeId) -> bool {
        self.read().nodes.contains_key(&node_id)
    }

    /// Removes the certificates that have ended, and returns how many.
    pub fn sweep(&self, now: UnixTime) -> usize {
        let mut table = self.write();
        let before = table.certificates.len();
        table.certificates.retain(|_, certificate| now <= certificate.not_after);
        let Table { certificates, nodes } = &mut *table;
        // Otherwise the nodes' lists would grow with every certificate.
        for node in nodes.values_mut() {
            node.serials.retain(|serial| certificates.contains_key(serial));
        }
        before - certificates.len()
    }

    /// Returns the certificate with this serial number.
    #[must_use]
    pub fn get(&self, serial: &Serial) -> Option<Certificate> {
        self.read().certificates.get(serial).copied()
    }

    /// Returns the certificates of a node.
    #[must_use]
    pub fn of_node(&self, node_id: NodeId) -> Vec<Certificate> {
        let table = self.read();
        let found = table.serials(node_id).into_iter();
        found.filter_map(|serial| table.certificates.get(&serial).copied()).collect()
    }

    /// Returns the number of certificates.
    #[must_use]
    pub fn len(&self) -> usize {
        self.read().certificates.len()
    }

    /// Returns `true` if there is no certificate.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Decides about a serial number and the hash of a public key.
    ///
    /// # Errors
    /// The reason, as core gives it.
    pub fn look_up(
        &self,
        serial: &Serial,
        key: &KeyHash,
        now: UnixTime,
    ) -> Result<NodeId, NotAllowed> {
        // Both are read under one lock, so that they belong together.
        let table = self.read();
        let entry = table.certificates.get(serial);
        let node = entry.and_then(|entry| table.nodes.get(&entry.node_id)?.standing);
        allow(entry, key, node, now)
    }

    /// Decides anew about a certificate that was admitted.
    ///
    /// # Errors
    /// The reason, as core gives it.
    pub fn still_allows(&self, serial: &Serial, now: UnixTime) -> Result<NodeId, NotAllowed> {
        match self.get(serial) {
            Some(certificate) => self.look_up(serial, &certificate.key, now),
            None => Err(NotAllowed::Unknown),
        }
    }

    /// Returns `true` if using this certificate changes the state of any certificate of its node.
    #[must_use]
    pub fn is_news(&self, serial: &Serial) -> bool {
        let Some(used) = self.get(serial) else { return false };
        self.of_node(used.node_id).iter().any(|other| other.after_use_of(&used) != other.state)
    }

    fn read(&self) -> RwLockReadGuard<'_, Table> {
        // No holder can panic half way through a change, so a poisoned lock is still consistent.
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Table> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn remove_node(&mut self, node_id: NodeId) {
        let entry = self.nodes.remove(&node_id).unwrap_or_default();
        for serial in entry.serials {
            self.certificates.remove(&serial);
        }
    }

    fn serials(&self, node_id: NodeId) -> Vec<Serial> {
        self.nodes.get(&node_id).map(|node| node.serials.clone()).unwrap_or_default()
    }
}
