//! The table of decisions that are in force but not stored.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};

use handfast_core::grant::capability::{self, Held as Block};
use handfast_core::registry::admission::RequestKey;
use handfast_core::registry::ceiling::Ceiling;
use handfast_core::registry::codes::CodeId;
use handfast_core::registry::grants::GrantId;
use handfast_core::registry::lifecycle::Decision;
use handfast_core::registry::rejection::Rejection;
use handfast_core::registry::sessions::{LoginId, SessionId};
use handfast_core::{NodeId, UnixTime};

use super::cut::{Cut, Subject};
use super::ends::Ends;
use crate::audit::Origin;
use crate::{EndedWith, RevokedCertificates, StoredCertificate};

/// Maximum number of held decisions.
const MOST: usize = 65_536;

/// The decisions that are in force but not stored, and the state of writing.
#[derive(Debug, Default)]
pub struct HeldDecisions {
    table: Mutex<HeldTable>,
    /// Number of entries, so that a lookup costs nothing while there are none.
    count: AtomicUsize,
    /// Raised with every change about a sender.
    epoch: AtomicU64,
    failing: AtomicBool,
    failures: AtomicU64,
}

#[derive(Debug, Default)]
struct HeldTable {
    entries: HashMap<Subject, HeldEntry>,
    keys: HashMap<[u8; 32], usize>,
    blocks: HashMap<capability::Id, usize>,
    ends: Ends,
    next: u64,
}

#[derive(Clone, Debug)]
pub(super) struct HeldEntry {
    pub(super) cut: Cut,
    pub(super) since: UnixTime,
    pub(super) what: String,
    /// The one who decided, for the audit log.
    pub(super) origin: Origin,
    pub(super) ticket: HeldTicket,
}

/// The id of one held decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldTicket {
    subject: Subject,
    number: u64,
}

/// The operator's view of a held decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldView {
    /// Description of the decision, as a clause.
    pub what: String,
    /// Time from which the decision is in force.
    pub since: UnixTime,
}

impl HeldDecisions {
    /// Puts a decision in force and returns its ticket; `what` describes it in a clause. It
    /// replaces a held decision about the same subject. `None` if too many decisions are held.
    #[must_use]
    pub fn hold(
        &self,
        cut: Cut,
        what: String,
        since: UnixTime,
        origin: Origin,
    ) -> Option<HeldTicket> {
        let mut table = self.table();
        let subject = cut.subject();
        // A decision about the same subject replaces the held one, and needs no room.
        if table.entries.len() >= MOST && !table.entries.contains_key(&subject) {
            return None;
        }
        table.remove(&subject);
        // A number of its own, so that the ticket of the replaced decision does not release this
        // one.
        table.next += 1;
        let ticket = HeldTicket { subject, number: table.next };
        table.insert(HeldEntry { cut, since, what, origin, ticket: ticket.clone() });
        self.changed(&table);
        Some(ticket)
    }

    /// Removes a decision that is stored or has no meaning any more. A newer one about the same
    /// subject stays.
    pub fn release(&self, ticket: &HeldTicket) {
        let mut table = self.table();
        if table.entries.get(&ticket.subject).is_some_and(|entry| entry.ticket == *ticket) {
            table.remove(&ticket.subject);
            self.changed(&table);
        }
    }

    /// Returns the ticket of the held decision about a node.
    #[must_use]
    pub fn of_node(&self, node_id: NodeId) -> Option<HeldTicket> {
        self.entry(&Subject::Node(node_id)).map(|entry| entry.ticket)
    }

    /// Returns a node's held ceiling and its ticket.
    #[must_use]
    pub fn of_ceiling(&self, node_id: NodeId) -> Option<(HeldTicket, Ceiling)> {
        let entry = self.entry(&Subject::Ceiling(node_id))?;
        match entry.cut {
            Cut::Ceiling { ceiling, .. } => Some((entry.ticket, *ceiling)),
            Cut::Node { .. }
            | Cut::Grants { .. }
            | Cut::Revoked(_)
            | Cut::Session { .. }
            | Cut::Login(_)
            | Cut::Code(_)
            | Cut::Window
            | Cut::Sender { .. }
            | Cut::Certificates(_)
            | Cut::Evicted { .. } => None,
        }
    }

    /// Returns `true` if no decision is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    /// Returns all held decisions, the oldest first.
    #[must_use]
    pub fn list(&self) -> Vec<HeldView> {
        self.entries()
            .into_iter()
            .map(|entry| HeldView { what: entry.what, since: entry.since })
            .collect()
    }

    /// Returns `true` if a write has failed and no write with content has succeeded since.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    /// Returns the number of failed writes since the store was opened.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    pub(super) fn failed(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        self.failing.store(true, Ordering::Relaxed);
    }

    pub(super) fn works(&self) {
        self.failing.store(false, Ordering::Relaxed);
    }

    pub(super) fn ticket(&self, cut: &Cut) -> Option<HeldTicket> {
        self.entry(&cut.subject()).map(|entry| entry.ticket)
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    pub(super) fn entries(&self) -> Vec<HeldEntry> {
        if self.is_empty() {
            return Vec::new();
        }
        // The entries are copied, so that the lock is not held while the store writes.
        let mut all: Vec<_> = self.table().entries.values().cloned().collect();
        // Stored in the order in which they were decided.
        all.sort_by_key(|entry| entry.ticket.number);
        all
    }

    pub(super) fn node(&self, node_id: NodeId) -> Option<Cut> {
        self.entry(&Subject::Node(node_id)).map(|entry| entry.cut)
    }

    /// Returns the rejection of a key as it is once the held rejection of its request is stored.
    /// `stored` is what the store has of the key.
    pub(super) fn rejection(
        &self,
        key: RequestKey,
        stored: Option<Rejection>,
    ) -> Option<Rejection> {
        let about = |cut: &Cut| matches!(cut, Cut::Node { key: Some(of), .. } if RequestKey::of_key(of) == key);
        let entry = self.entries().into_iter().find(|entry| about(&entry.cut));
        let Some(HeldEntry { cut: Cut::Node { decision, .. }, since, .. }) = entry else {
            return stored;
        };
        // A wait that has begun by then is that of this decision: it is stored already.
        if stored.is_some_and(|stored| stored.admits(since).is_err()) {
            return stored;
        }
        match decision {
            Decision::Reject => Some(Rejection::once_more(stored, since)),
            Decision::Bar => Some(Rejection::for_good(stored)),
            Decision::Approve(_)
            | Decision::Issue(_)
            | Decision::Reissue(_)
            | Decision::Mute
            | Decision::Unmute
            | Decision::SetMode(_)
            | Decision::Unpair => stored,
        }
    }

    pub(super) fn has_grant(&self, node_id: NodeId, grant: GrantId) -> bool {
        !self.is_empty() && {
            let table = self.table();
            [None, Some(grant)]
                .iter()
                .any(|which| table.entries.contains_key(&Subject::Grants(node_id, *which)))
        }
    }

    /// Returns the held consequences of a session's end; empty if its end is not held.
    #[must_use]
    pub fn of_session(&self, id: SessionId) -> EndedWith {
        match self.entry(&Subject::Session(id)).map(|entry| entry.cut) {
            Some(Cut::Session { with, .. }) => *with,
            Some(
                Cut::Node { .. }
                | Cut::Ceiling { .. }
                | Cut::Grants { .. }
                | Cut::Revoked(_)
                | Cut::Login(_)
                | Cut::Code(_)
                | Cut::Window
                | Cut::Sender { .. }
                | Cut::Certificates(_)
                | Cut::Evicted { .. },
            )
            | None => EndedWith::NOTHING,
        }
    }

    /// Queries the consequences of held session ends.
    pub(super) fn ends<T: Default>(&self, ask: impl FnOnce(&Ends) -> T) -> T {
        if self.is_empty() { T::default() } else { ask(&self.table().ends) }
    }

    /// Returns the time at which an operator's session or token ended, if its end is held.
    pub(super) fn login(&self, id: LoginId) -> Option<UnixTime> {
        self.entry(&Subject::Login(id)).map(|entry| entry.since)
    }

    pub(super) fn has_code(&self, id: CodeId) -> bool {
        self.entry(&Subject::Code(id)).is_some()
    }

    pub(super) fn has_window(&self) -> bool {
        self.entry(&Subject::Window).is_some()
    }

    /// Returns the epoch of a node that a held eviction ends.
    pub(super) fn evicted_from(&self, node_id: NodeId) -> Option<u32> {
        match self.entry(&Subject::Evicted(node_id))?.cut {
            Cut::Evicted { from, .. } => Some(from),
            Cut::Node { .. }
            | Cut::Ceiling { .. }
            | Cut::Grants { .. }
            | Cut::Revoked(_)
            | Cut::Session { .. }
            | Cut::Login(_)
            | Cut::Code(_)
            | Cut::Window
            | Cut::Sender { .. }
            | Cut::Certificates(_) => None,
        }
    }

    pub(super) fn has_certificates(&self, which: RevokedCertificates) -> bool {
        self.entry(&Subject::Certificates(which)).is_some()
    }

    /// Returns the time since which a held decision revokes a certificate.
    pub(super) fn revoked_since(&self, stored: &StoredCertificate) -> Option<UnixTime> {
        let of = &stored.certificate;
        let revokes = |which: &RevokedCertificates| match which {
            RevokedCertificates::Node(id) => of.node_id == *id,
            RevokedCertificates::Serial(serial) => of.serial == *serial,
            RevokedCertificates::Key(key) => of.key == *key,
            RevokedCertificates::Before(time) => stored.issued_at < *time,
        };
        let mut entries = self.entries().into_iter();
        entries.find_map(|entry| match &entry.cut {
            Cut::Certificates(which) if revokes(which) => Some(entry.since),
            Cut::Certificates(_)
            | Cut::Node { .. }
            | Cut::Ceiling { .. }
            | Cut::Grants { .. }
            | Cut::Revoked(_)
            | Cut::Session { .. }
            | Cut::Login(_)
            | Cut::Code(_)
            | Cut::Window
            | Cut::Sender { .. }
            | Cut::Evicted { .. } => None,
        })
    }

    /// Returns the held decisions about a sender: those for this account and those for all
    /// accounts.
    pub(super) fn sender(&self, channel: &str, account: &str, sender: &str) -> Vec<HeldEntry> {
        let subject = |account: Option<&str>| {
            Subject::Sender(channel.to_owned(), account.map(str::to_owned), sender.to_owned())
        };
        if self.is_empty() {
            return Vec::new();
        }
        [Some(account), None]
            .into_iter()
            .filter_map(|account| self.entry(&subject(account)))
            .collect()
    }

    /// Returns the held decisions about a sender on a channel, for any account.
    pub(super) fn everywhere(&self, channel: &str, sender: &str) -> Vec<HeldEntry> {
        let about = |subject: &Subject| matches!(subject, Subject::Sender(on, _, who) if on == channel && who == sender);
        self.entries().into_iter().filter(|entry| about(&entry.ticket.subject)).collect()
    }

    /// Returns `true` if a held decision makes a chain with these blocks invalid.
    pub(super) fn cuts(&self, chain: &[Block]) -> bool {
        !self.is_empty() && {
            let table = self.table();
            chain.iter().any(|block| {
                table.blocks.contains_key(&block.id) || table.keys.contains_key(block.by.as_bytes())
            })
        }
    }

    fn entry(&self, subject: &Subject) -> Option<HeldEntry> {
        if self.is_empty() { None } else { self.table().entries.get(subject).cloned() }
    }

    fn changed(&self, table: &HeldTable) {
        // Readers skip the table's lock while this is 0.
        self.count.store(table.entries.len(), Ordering::Release);
        self.epoch.fetch_add(1, Ordering::AcqRel);
    }

    fn table(&self) -> MutexGuard<'_, HeldTable> {
        self.table.lock().expect("no thread panics while it holds the table")
    }
}

impl HeldTable {
    fn insert(&mut self, entry: HeldEntry) {
        if let Some(key) = entry.cut.key() {
            *self.keys.entry(*key.as_bytes()).or_default() += 1;
        }
        for block in entry.cut.blocks() {
            *self.blocks.entry(*block).or_default() += 1;
        }
        if let Cut::Session { id, with } = &entry.cut {
            self.ends.add(*id, with, entry.since);
        }
        self.entries.insert(entry.ticket.subject.clone(), entry);
    }

    fn remove(&mut self, subject: &Subject) {
        let Some(entry) = self.entries.remove(subject) else { return };
        if let Cut::Session { id, with } = &entry.cut {
            self.ends.remove(*id, with);
        }
        if let Some(key) = entry.cut.key() {
            less(&mut self.keys, key.as_bytes());
        }
        for block in entry.cut.blocks() {
            less(&mut self.blocks, block);
        }
    }
}

fn less<K: Eq + std::hash::Hash>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}
