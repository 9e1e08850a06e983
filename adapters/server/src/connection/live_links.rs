//! The connection of each linked peer, and the share of delegates and companions in the places that
//! nodes leave free.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use handfast_core::budget::{Linked, Room};
use handfast_core::crypto::x25519::PublicKey;
use handfast_core::flow::native::gateway::Peer;
use handfast_core::limits::Limits;
use handfast_core::registry::lifecycle::Notice;
use handfast_core::registry::sessions::SessionId;
use handfast_core::{Instant, NodeId, Refusal, Span};

use super::mailbox::Mailbox;

/// The linked peer, as the key of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum LinkOwner {
    Node(NodeId),
    Delegate(PublicKey),
    Companion(SessionId),
}

impl From<NodeId> for LinkOwner {
    fn from(node_id: NodeId) -> Self {
        Self::Node(node_id)
    }
}

impl From<SessionId> for LinkOwner {
    fn from(session: SessionId) -> Self {
        Self::Companion(session)
    }
}

impl From<Peer> for LinkOwner {
    fn from(peer: Peer) -> Self {
        match peer {
            Peer::Node(node_id) => Self::Node(node_id),
            Peer::Delegate(key) => Self::Delegate(key),
        }
    }
}

/// The live connections, at most one for each peer.
#[derive(Debug, Default)]
pub(crate) struct LiveLinks {
    all: HashMap<LinkOwner, Arc<Mailbox>>,
    subjects: Subjects,
    /// The number of companions in the table.
    companions: usize,
    /// The times at which a linked node's link was replaced lately.
    replaced: HashMap<NodeId, VecDeque<Instant>>,
}

/// A link that gave way to a newer one of the same node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Replacement {
    /// The address of the link that ends.
    pub(crate) older: IpAddr,
    /// How often this happened to the node within [`REPLACED_WITHIN`], this time included.
    pub(crate) times: u32,
}

/// The time in which replaced links of a node are counted.
const REPLACED_WITHIN: Span = Span::from_secs(60);
/// The most times of one node that are remembered.
const MOST_REPLACED: usize = 120;

/// The delegates among the live connections, grouped by their subjects.
#[derive(Debug, Default)]
struct Subjects {
    next: u64,
    /// The subject of each delegate, and the delegate's number in the order of linking.
    of: HashMap<PublicKey, (PublicKey, u64)>,
    /// The delegates of each subject, in the order in which they linked.
    delegates: HashMap<PublicKey, BTreeMap<u64, PublicKey>>,
    /// The number of delegates of each subject, sorted, to find the subject with most of them.
    counts: BTreeSet<(u32, [u8; 32])>,
}

impl LiveLinks {
    pub(crate) fn attach(
        &mut self,
        node_id: NodeId,
        mailbox: &Arc<Mailbox>,
        limits: &Limits,
        now: Instant,
    ) -> Result<Option<Replacement>, Refusal> {
        let who = LinkOwner::Node(node_id);
        // A node that comes back takes its own place, so it needs no other.
        if !self.all.contains_key(&who) {
            self.make_room(self.linked().for_node(limits))?;
        }
        let older = self.enter(who, mailbox);
        Ok(older.map(|older| Replacement { older, times: self.replaced_again(node_id, now) }))
    }

    /// Counts that a node's link was replaced, and returns how often it was lately.
    fn replaced_again(&mut self, node_id: NodeId, now: Instant) -> u32 {
        let is_over = |at: &Instant| now.since(*at) >= REPLACED_WITHIN;
        let times = self.replaced.entry(node_id).or_default();
        while times.len() >= MOST_REPLACED || times.front().is_some_and(is_over) {
            times.pop_front();
        }
        times.push_back(now);
        u32::try_from(times.len()).unwrap_or(u32::MAX)
    }

    pub(crate) fn attach_delegate(
        &mut self,
        key: PublicKey,
        subject: PublicKey,
        mailbox: &Arc<Mailbox>,
        limits: &Limits,
    ) -> Result<(), Refusal> {
        let who = LinkOwner::Delegate(key);
        // A delegate may come back under another subject, so its earlier place is not counted.
        let before = self.subjects.remove(&key);
        if before.is_none_or(|before| before != subject) || !self.all.contains_key(&who) {
            let room =
                self.make_room(self.linked().for_delegate(self.subjects.count(&subject), limits));
            if let Err(refusal) = room {
                if let Some(before) = before.filter(|_| self.all.contains_key(&who)) {
                    // The older link of this delegate stays, so it is counted again.
                    self.subjects.add(key, before);
                }
                return Err(refusal);
            }
        }
        self.subjects.add(key, subject);
        self.enter(who, mailbox);
        Ok(())
    }

    /// Makes this the session's connection. Companions only take places that nodes and delegates
    /// leave free, and do not count for these, so they never keep a node out.
    pub(crate) fn attach_companion(
        &mut self,
        session: SessionId,
        mailbox: &Arc<Mailbox>,
        limits: &Limits,
    ) -> Result<(), Refusal> {
        let who = LinkOwner::Companion(session);
        if !self.all.contains_key(&who) {
            let all = usize::try_from(limits.linked_total).unwrap_or(usize::MAX);
            if self.companions >= all.saturating_sub(self.count()) {
                return Err(Refusal::AtCapacity);
            }
            self.companions += 1;
        }
        self.enter(who, mailbox);
        Ok(())
    }

    /// Removes a connection, unless a newer one has replaced it. Returns `true` if the peer has no
    /// link any more. A displaced connection is removed already, and its peer has no link unless it
    /// has come back.
    pub(crate) fn detach(&mut self, who: LinkOwner, mailbox: &Arc<Mailbox>) -> bool {
        match self.all.get(&who) {
            Some(current) if Arc::ptr_eq(current, mailbox) => {
                self.remove(who);
                true
            }
            Some(_) => false,
            None => mailbox.was_displaced(),
        }
    }

    pub(crate) fn of(&self, who: LinkOwner) -> Option<&Arc<Mailbox>> {
        self.all.get(&who)
    }

    pub(crate) fn all(&self) -> Vec<Arc<Mailbox>> {
        self.all.values().cloned().collect()
    }

    /// Returns the connections of companions.
    pub(crate) fn all_companions(&self) -> Vec<Arc<Mailbox>> {
        let is_companion = |who: &LinkOwner| matches!(who, LinkOwner::Companion(_));
        let companions = self.all.iter().filter(|(who, _)| is_companion(who));
        companions.map(|(_, mailbox)| Arc::clone(mailbox)).collect()
    }

    /// Returns the number of linked nodes and delegates.
    pub(crate) fn count(&self) -> usize {
        self.all.len() - self.companions
    }

    #[cfg(test)]
    pub(crate) fn companions(&self) -> usize {
        self.companions
    }

    fn linked(&self) -> Linked {
        let most_of_one = self.subjects.counts.last().map_or(0, |(count, _)| *count);
        Linked { total: u32::try_from(self.count()).unwrap_or(u32::MAX), most_of_one }
    }

    fn make_room(&mut self, room: Room) -> Result<(), Refusal> {
        match room {
            Room::Free => Ok(()),
            Room::Displace => match self.subjects.oldest_of_most() {
                Some(key) => {
                    if let Some(mailbox) = self.remove(LinkOwner::Delegate(key)) {
                        mailbox.displace();
                    }
                    Ok(())
                }
                None => Err(Refusal::AtCapacity),
            },
            Room::Full => Err(Refusal::AtCapacity),
        }
    }

    /// Enters a connection. Returns the address of the one that it replaces.
    fn enter(&mut self, who: LinkOwner, mailbox: &Arc<Mailbox>) -> Option<IpAddr> {
        let older = self.all.insert(who, Arc::clone(mailbox))?;
        older.notice(Notice::Replaced);
        Some(older.address())
    }

    fn remove(&mut self, who: LinkOwner) -> Option<Arc<Mailbox>> {
        let removed = self.all.remove(&who);
        match who {
            // The count is of links that replace one another, so it ends with the last of them.
            LinkOwner::Node(node_id) => drop(self.replaced.remove(&node_id)),
            LinkOwner::Delegate(key) => drop(self.subjects.remove(&key)),
            LinkOwner::Companion(_) => self.companions -= usize::from(removed.is_some()),
        }
        // A table that was large once gives its memory back.
        if self.all.capacity() > 1024 && self.all.len() < self.all.capacity() / 8 {
            self.all.shrink_to_fit();
        }
        removed
    }
}

impl Subjects {
    fn count(&self, subject: &PublicKey) -> u32 {
        self.delegates
            .get(subject)
            .map_or(0, |delegates| u32::try_from(delegates.len()).unwrap_or(u32::MAX))
    }

    fn add(&mut self, key: PublicKey, subject: PublicKey) {
        let count = self.count(&subject);
        self.counts.remove(&(count, *subject.as_bytes()));
        self.counts.insert((count.saturating_add(1), *subject.as_bytes()));
        self.of.insert(key, (subject, self.next));
        self.delegates.entry(subject).or_default().insert(self.next, key);
        self.next += 1;
    }

    fn remove(&mut self, key: &PublicKey) -> Option<PublicKey> {
        let (subject, since) = self.of.remove(key)?;
        let count = self.count(&subject);
        self.counts.remove(&(count, *subject.as_bytes()));
        if count > 1 {
            self.counts.insert((count - 1, *subject.as_bytes()));
        }
        if let Some(delegates) = self.delegates.get_mut(&subject) {
            delegates.remove(&since);
            if delegates.is_empty() {
                self.delegates.remove(&subject);
            }
        }
        Some(subject)
    }

    /// Returns the delegate that has been linked longest, of the subject with most delegates.
    fn oldest_of_most(&self) -> Option<PublicKey> {
        let (_, subject) = self.counts.last()?;
        let subject = PublicKey::parse(subject).ok()?;
        self.delegates.get(&subject)?.values().next().copied()
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::super::mailbox::{Dialect, Mail};
    use super::*;

    const LIMITS: Limits = Limits { linked_total: 10, ..Limits::DEFAULT };
    const NOW: Instant = Instant::from_millis(0);

    fn key(byte: u8) -> PublicKey {
        PublicKey::parse(&[byte; 32]).unwrap()
    }

    fn node(byte: u8) -> NodeId {
        NodeId::from_bytes([byte; 16])
    }

    fn mailbox() -> Arc<Mailbox> {
        Mailbox::new(Dialect::Native, Ipv4Addr::UNSPECIFIED.into())
    }

    #[test]
    fn how_often_a_nodes_link_was_replaced_is_counted_over_a_minute_and_ends_with_its_link() {
        let mut live = LiveLinks::default();
        let mut times_at = |seconds: u64| {
            let now = Instant::from_millis(seconds * 1_000);
            live.attach(node(1), &mailbox(), &LIMITS, now).unwrap().map(|older| older.times)
        };
        assert_eq!(
            [0, 10, 20, 69, 71].map(&mut times_at),
            [None, Some(1), Some(2), Some(3), Some(3)]
        );
        let last = mailbox();
        live.attach(node(1), &last, &LIMITS, NOW).unwrap();
        assert!(live.detach(LinkOwner::Node(node(1)), &last) && live.replaced.is_empty());
    }

    #[tokio::test]
    async fn delegates_take_what_nodes_leave_and_make_room_for_them() {
        let (mut live, first) = (LiveLinks::default(), mailbox());
        live.attach(node(1), &mailbox(), &LIMITS, NOW).unwrap();
        // Of ten keys to which one node delegates, its share links.
        let linked = (10..20).filter(|byte| {
            let mailbox = if *byte == 10 { Arc::clone(&first) } else { mailbox() };
            live.attach_delegate(key(*byte), key(1), &mailbox, &LIMITS).is_ok()
        });
        assert_eq!(linked.count(), 4);
        for byte in 2..=6 {
            live.attach(node(byte), &mailbox(), &LIMITS, NOW).unwrap();
        }
        assert_eq!(live.count(), 10);
        live.attach(node(7), &mailbox(), &LIMITS, NOW).unwrap();
        assert!(
            matches!(first.next().await, Mail::Displaced),
            "the one that was linked longest makes room"
        );
        assert!(
            live.detach(LinkOwner::Delegate(key(10)), &first),
            "its link has ended, and nobody else says so"
        );
        for byte in 8..=10 {
            live.attach(node(byte), &mailbox(), &LIMITS, NOW).unwrap();
        }
        assert_eq!(
            (live.count(), live.attach(node(11), &mailbox(), &LIMITS, NOW)),
            (10, Err(Refusal::AtCapacity))
        );
        assert!(
            live.subjects.of.is_empty()
                && live.subjects.counts.is_empty()
                && live.subjects.delegates.is_empty()
        );
    }

    #[tokio::test]
    async fn companions_take_what_nodes_leave_and_never_keep_a_node_out() {
        let session = |byte| SessionId::from_bytes([byte; 16]);
        let (mut live, first) = (LiveLinks::default(), mailbox());
        for byte in 1..=8 {
            live.attach(node(byte), &mailbox(), &LIMITS, NOW).unwrap();
        }
        live.attach_companion(session(1), &first, &LIMITS).unwrap();
        live.attach_companion(session(2), &mailbox(), &LIMITS).unwrap();
        let third = live.attach_companion(session(3), &mailbox(), &LIMITS);
        assert_eq!((third, live.count(), live.companions()), (Err(Refusal::AtCapacity), 8, 2));
        for byte in 9..=10 {
            live.attach(node(byte), &mailbox(), &LIMITS, NOW).unwrap();
        }
        // Who comes back has its place, and the older connection hears so.
        let again = mailbox();
        live.attach_companion(session(1), &again, &LIMITS).unwrap();
        assert!(matches!(first.next().await, Mail::Notice(Notice::Replaced)));
        assert!(!live.detach(LinkOwner::Companion(session(1)), &first));
        assert!(live.detach(LinkOwner::Companion(session(1)), &again));
        assert_eq!((live.count(), live.companions()), (10, 1));
    }

    #[test]
    fn a_subject_that_has_none_gets_a_place_of_one_that_has_many() {
        let mut live = LiveLinks::default();
        for byte in 1..=6 {
            live.attach(node(byte), &mailbox(), &LIMITS, NOW).unwrap();
        }
        for byte in 10..14 {
            live.attach_delegate(key(byte), key(1), &mailbox(), &LIMITS).unwrap();
        }
        live.attach_delegate(key(20), key(2), &mailbox(), &LIMITS).unwrap();
        live.attach_delegate(key(21), key(2), &mailbox(), &LIMITS).unwrap();
        assert_eq!(
            live.attach_delegate(key(22), key(2), &mailbox(), &LIMITS),
            Err(Refusal::AtCapacity)
        );
        assert_eq!((live.subjects.count(&key(1)), live.subjects.count(&key(2))), (2, 2));
        // Who comes back has its place, on another connection.
        let again = mailbox();
        live.attach_delegate(key(20), key(2), &again, &LIMITS).unwrap();
        assert!(live.detach(LinkOwner::Delegate(key(20)), &again));
        assert_eq!((live.count(), live.subjects.count(&key(2))), (9, 1));
    }
}
