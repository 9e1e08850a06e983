//! The live connections: decisions are pushed to them, the newest connection of a peer replaces the
//! older one, and an application's messages reach their subscribers.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use axum::extract::ws::Message;
use handfast_core::crypto::x25519::PublicKey;
use handfast_core::flow::native::gateway::Peer;
use handfast_core::grant::capability::{Held, Id};
use handfast_core::grant::scope::Address;
use handfast_core::limits::Limits;
use handfast_core::registry::codes::{CodeId, NoGuess};
use handfast_core::registry::lifecycle::Notice;
use handfast_core::registry::sessions::SessionId;
use handfast_core::wire::native::link::DispatchId;
use handfast_core::{Instant, NodeId, Refusal};

use crate::connection::claimed_links::ClaimedLinks;
use crate::connection::contact::RegistryContact;
pub(crate) use crate::connection::live_links::Replacement;
use crate::connection::live_links::{LinkOwner, LiveLinks};
pub(crate) use crate::connection::mailbox::{
    AppDelivery, Dialect, MOST_QUEUED, Mail, Mailbox, PingRequest,
};
use crate::connection::subscriptions::{SubscriptionIndex, Subscriptions};
use crate::telemetry::spans;

/// The table of live connections, and indices by what connections depend on.
#[derive(Debug)]
pub(crate) struct Hub {
    limits: RwLock<Limits>,
    /// Nobody is linked while it is lost.
    contact: RegistryContact,
    /// The claims of nodes' links, if other gateways may have links of the same nodes.
    claims: Option<Arc<ClaimedLinks>>,
    live: Mutex<LiveLinks>,
    /// Connections that wait for a decision, by the node's entry in the registry.
    waiting: SubscriptionIndex<NodeId>,
    /// Connections whose rights come from a chain, by the chain's blocks.
    blocks: SubscriptionIndex<Id>,
    /// The same connections, by the keys of the blocks' holders.
    holders: SubscriptionIndex<[u8; 32]>,
    subscriptions: Subscriptions,
    /// Connections that wait for a PIN, by the PIN's entry in the registry.
    pins: SubscriptionIndex<CodeId>,
}

impl Hub {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits: RwLock::new(limits),
            contact: RegistryContact::ALONE,
            claims: None,
            live: Mutex::default(),
            waiting: SubscriptionIndex::default(),
            blocks: SubscriptionIndex::default(),
            holders: SubscriptionIndex::default(),
            subscriptions: Subscriptions::default(),
            pins: SubscriptionIndex::default(),
        }
    }

    /// Makes this the table of a gateway that shares its registry.
    pub(crate) fn sharing(self, contact: RegistryContact, claims: Arc<ClaimedLinks>) -> Self {
        Self { contact, claims: Some(claims), ..self }
    }

    /// Returns the contact with the registry.
    pub(crate) const fn contact(&self) -> &RegistryContact {
        &self.contact
    }

    /// Returns the claims of nodes' links, if other gateways may have links of the same nodes.
    pub(crate) const fn claims(&self) -> Option<&Arc<ClaimedLinks>> {
        self.claims.as_ref()
    }

    /// Returns an error while the contact with the registry is lost.
    pub(crate) fn in_touch(&self) -> Result<(), Refusal> {
        // The peer tries another gateway, as it does when this one is full.
        if self.contact.admits() { Ok(()) } else { Err(Refusal::AtCapacity) }
    }

    fn limits(&self) -> Limits {
        *self.limits.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces the limits, for peers that link from now on. Nobody loses a link.
    pub(crate) fn set_limits(&self, limits: Limits) {
        *self.limits.write().unwrap_or_else(PoisonError::into_inner) = limits;
    }

    /// Makes this the node's connection; an older one gets a notice that it was replaced. If there
    /// is no room, a delegate is displaced.
    pub(crate) fn attach(
        &self,
        node_id: NodeId,
        mailbox: &Arc<Mailbox>,
        now: Instant,
    ) -> Result<Option<Replacement>, Refusal> {
        spans::node(node_id);
        self.in_touch()?;
        let limits = self.limits();
        let mut live = self.live();
        let replaced = live.attach(node_id, mailbox, &limits, now)?;
        // Under the lock, so that the claims are in the order of the links.
        if let Some(claims) = &self.claims {
            claims.opened(node_id);
        }
        Ok(replaced)
    }

    /// Makes this the delegate's connection, under the subject of its chain. Delegates only take
    /// places that nodes leave free, and no more than their subject's share.
    pub(crate) fn attach_delegate(
        &self,
        key: PublicKey,
        subject: PublicKey,
        mailbox: &Arc<Mailbox>,
    ) -> Result<(), Refusal> {
        self.in_touch()?;
        let limits = self.limits();
        self.live().attach_delegate(key, subject, mailbox, &limits)
    }

    /// Makes this the connection of a companion's session. Companions only take places that nodes
    /// and delegates leave free.
    pub(crate) fn attach_companion(
        &self,
        session: SessionId,
        mailbox: &Arc<Mailbox>,
    ) -> Result<(), Refusal> {
        self.in_touch()?;
        let limits = self.limits();
        self.live().attach_companion(session, mailbox, &limits)
    }

    /// Removes a connection, unless a newer one has replaced it. Returns `true` if the peer has no
    /// link any more.
    pub(crate) fn detach(&self, peer: impl Into<LinkOwner>, mailbox: &Arc<Mailbox>) -> bool {
        let who = peer.into();
        let mut live = self.live();
        let is_gone = live.detach(who, mailbox);
        if let (true, LinkOwner::Node(node_id), Some(claims)) = (is_gone, who, &self.claims) {
            claims.closed(node_id);
        }
        is_gone
    }

    fn live(&self) -> MutexGuard<'_, LiveLinks> {
        self.live.lock().expect("no thread panics while it holds the hub")
    }

    /// Pushes a notice to the node's connection; a notice of a decision goes to all connections
    /// that wait for it. Returns `false` if there is none.
    pub(crate) fn push(&self, node_id: NodeId, notice: Notice) -> bool {
        match notice {
            Notice::Decided => {
                // A node that waits has no link yet, but may wait on several connections.
                let waiting = self.waiting.of(node_id);
                waiting.iter().for_each(|mailbox| mailbox.notice(notice));
                !waiting.is_empty()
            }
            Notice::Muted
            | Notice::Unmuted
            | Notice::Unpaired
            | Notice::Replaced
            | Notice::Permissions
            | Notice::PinEnded(_)
            | Notice::Quarantined
            | Notice::Released
            | Notice::Evicted => {
                self.mailbox(Peer::Node(node_id)).map(|mailbox| mailbox.notice(notice)).is_some()
            }
        }
    }

    /// Tells a session's connection, if there is one, that the session was revoked.
    pub(crate) fn end_session(&self, session: SessionId) {
        if let Some(mailbox) = self.mailbox(session) {
            mailbox.notice(Notice::Unpaired);
        }
    }

    /// Queues a frame of the `missy` dialect for a node, or of a companion's for its session.
    /// Returns `false` if the peer has no such link or its queue is full.
    pub(crate) fn send(&self, peer: impl Into<LinkOwner>, frame: Message) -> bool {
        self.mailbox(peer).is_some_and(|mailbox| mailbox.queue(Mail::Frame(frame)))
    }

    /// Queues an application message for a peer of the native wire. Returns `false` if the peer has
    /// no such link or its queue is full.
    pub(crate) fn deliver(&self, peer: Peer, delivery: AppDelivery) -> bool {
        self.mailbox(peer).is_some_and(|mailbox| mailbox.queue(Mail::App(delivery)))
    }

    /// Queues a ping for a peer of the native wire. Returns `false` if the peer has no such link or
    /// its queue is full.
    pub(crate) fn ping(&self, peer: Peer, request: PingRequest) -> bool {
        self.mailbox(peer).is_some_and(|mailbox| mailbox.queue(Mail::Ping(request)))
    }

    /// Tells a node's link, if it has one, that tasks for it may wait in the registry.
    pub(crate) fn has_tasks(&self, node_id: NodeId) {
        if let Some(mailbox) = self.mailbox(Peer::Node(node_id)) {
            mailbox.has_tasks();
        }
    }

    /// Tells a node's link, if it has one, that the node is to be told other addresses.
    pub(crate) fn has_addresses(&self, node_id: NodeId) {
        if let Some(mailbox) = self.mailbox(Peer::Node(node_id)) {
            mailbox.has_addresses();
        }
    }

    /// Has a linked node stop a task. Returns `false` if the node has no link over the native wire
    /// or its queue is full.
    pub(crate) fn cancel_task(&self, node_id: NodeId, id: DispatchId) -> bool {
        let mailbox = self.mailbox(Peer::Node(node_id));
        mailbox.is_some_and(|mailbox| mailbox.queue(Mail::CancelTask(id)))
    }

    /// Returns `true` if this is the peer's connection, and no newer one has taken its place.
    pub(crate) fn is_link_of(&self, peer: impl Into<LinkOwner>, mailbox: &Arc<Mailbox>) -> bool {
        self.mailbox(peer).is_some_and(|live| Arc::ptr_eq(&live, mailbox))
    }

    /// Queues an application message for all subscribers of its address, and returns their number.
    pub(crate) fn publish(&self, address: &Address<'_>, delivery: &AppDelivery) -> usize {
        let subscribed = self.subscriptions.of(address);
        // The rights are checked by the connection when it sends, because they may change until
        // then.
        subscribed.iter().filter(|mailbox| mailbox.queue(Mail::App(delivery.clone()))).count()
    }

    /// Subscribes the connection to a pattern.
    pub(crate) fn subscribe(&self, pattern: &Arc<str>, mailbox: &Arc<Mailbox>) {
        self.subscriptions.add(pattern, mailbox);
    }

    pub(crate) fn unsubscribe(&self, pattern: &Arc<str>, mailbox: &Arc<Mailbox>) {
        self.subscriptions.remove(pattern, mailbox);
    }

    /// Registers the connection as waiting for a decision about this entry.
    pub(crate) fn wait(&self, node_id: NodeId, mailbox: &Arc<Mailbox>) {
        self.waiting.add(node_id, mailbox);
    }

    pub(crate) fn wait_no_more(&self, node_id: NodeId, mailbox: &Arc<Mailbox>) {
        self.waiting.remove(node_id, mailbox);
    }

    /// Registers the connection as waiting for a PIN.
    pub(crate) fn wait_for_pin(&self, pin: CodeId, mailbox: &Arc<Mailbox>) {
        self.pins.add(pin, mailbox);
    }

    pub(crate) fn wait_for_pin_no_more(&self, pin: CodeId, mailbox: &Arc<Mailbox>) {
        self.pins.remove(pin, mailbox);
    }

    /// Tells the connections that wait for this PIN that it can no longer be guessed.
    pub(crate) fn pin_ended(&self, pin: CodeId, why: NoGuess) {
        self.pins.of(pin).iter().for_each(|mailbox| mailbox.notice(Notice::PinEnded(why)));
    }

    /// Tells every connection that waits for a PIN that it can no longer be guessed.
    pub(crate) fn all_pins_ended(&self, why: NoGuess) {
        self.pins.all().iter().for_each(|mailbox| mailbox.notice(Notice::PinEnded(why)));
    }

    /// Registers the connection as dependent on these blocks and their holders.
    pub(crate) fn rest_on(&self, held: &[Held], mailbox: &Arc<Mailbox>) {
        for Held { id, by } in held {
            self.blocks.add(*id, mailbox);
            self.holders.add(*by.as_bytes(), mailbox);
        }
    }

    /// Removes these dependencies, except those that are also in `still`: several blocks may have
    /// the same holder.
    pub(crate) fn rest_no_more(&self, held: &[Held], still: &[Held], mailbox: &Arc<Mailbox>) {
        for Held { id, by } in held {
            if !still.iter().any(|other| other.id == *id) {
                self.blocks.remove(*id, mailbox);
            }
            if !still.iter().any(|other| other.by == *by) {
                self.holders.remove(*by.as_bytes(), mailbox);
            }
        }
    }

    /// Makes the node's link, if it has one, check again what it depends on.
    pub(crate) fn look_again(&self, node_id: NodeId) {
        if let Some(mailbox) = self.mailbox(Peer::Node(node_id)) {
            mailbox.cut();
        }
    }

    /// Makes every link check again what it depends on.
    pub(crate) fn all_look_again(&self) {
        // The mailboxes are copied first, so that no lock is held while they wake their tasks.
        let all = self.live().all();
        all.iter().for_each(|mailbox| mailbox.cut());
    }

    /// Makes every companion's connection check again what it depends on.
    pub(crate) fn companions_look_again(&self) {
        let all = self.live().all_companions();
        all.iter().for_each(|mailbox| mailbox.cut());
    }

    /// Makes every connection that waits for a decision look for it.
    pub(crate) fn all_waiting_look_again(&self) {
        self.waiting.all().iter().for_each(|mailbox| mailbox.notice(Notice::Decided));
    }

    /// Makes every connection that depends on a chain check again at once.
    pub(crate) fn cut_all_chains(&self) {
        self.blocks.all().iter().for_each(|mailbox| mailbox.cut());
    }

    /// Returns `true` if any connection depends on a chain.
    pub(crate) fn has_chains(&self) -> bool {
        !self.blocks.is_empty()
    }

    /// Returns `true` if any connection waits for a PIN.
    pub(crate) fn shows_pins(&self) -> bool {
        !self.pins.is_empty()
    }

    /// Closes every link, so that its peer goes to another gateway.
    pub(crate) fn all_go_elsewhere(&self) {
        let all = self.live().all();
        all.iter().for_each(|mailbox| mailbox.go_elsewhere());
    }

    /// Tells every link that its node is to be told other addresses.
    pub(crate) fn all_have_addresses(&self) {
        let all = self.live().all();
        all.iter().for_each(|mailbox| mailbox.has_addresses());
    }

    /// Makes every connection that depends on one of these blocks check again at once.
    pub(crate) fn cut(&self, blocks: &[Id]) {
        for id in blocks {
            self.blocks.of(*id).iter().for_each(|mailbox| mailbox.cut());
        }
    }

    /// Makes every connection that depends on a block of this holder check again at once.
    pub(crate) fn cut_key(&self, holder: &PublicKey) {
        self.holders.of(*holder.as_bytes()).iter().for_each(|mailbox| mailbox.cut());
    }

    pub(crate) fn is_live(&self, peer: impl Into<LinkOwner>) -> bool {
        self.live().of(peer.into()).is_some()
    }

    /// Returns the number of linked nodes and delegates.
    pub(crate) fn count(&self) -> usize {
        self.live().count()
    }

    #[cfg(test)]
    pub(crate) fn companions(&self) -> usize {
        self.live().companions()
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
            && self.blocks.is_empty()
            && self.holders.is_empty()
            && self.subscriptions.is_empty()
            && self.pins.is_empty()
    }

    fn mailbox(&self, peer: impl Into<LinkOwner>) -> Option<Arc<Mailbox>> {
        self.live().of(peer.into()).cloned()
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[tokio::test]
    async fn a_decision_reaches_every_connection_that_waits_for_it_and_a_cut_exactly_those_that_rest_on_it()
     {
        let hub = Hub::new(Limits { linked_total: 2, ..Limits::DEFAULT });
        let node_id = NodeId::from_bytes([1; 16]);
        let (one, other, bystander) = (
            Mailbox::new(Dialect::Native, Ipv4Addr::UNSPECIFIED.into()),
            Mailbox::new(Dialect::Native, Ipv4Addr::UNSPECIFIED.into()),
            Mailbox::new(Dialect::Native, Ipv4Addr::UNSPECIFIED.into()),
        );
        for mailbox in [&one, &other] {
            hub.wait(node_id, mailbox);
        }
        hub.wait(NodeId::from_bytes([2; 16]), &bystander);
        assert!(hub.push(node_id, Notice::Decided));
        assert!(matches!(one.next().await, Mail::Notice(Notice::Decided)));
        assert!(matches!(other.next().await, Mail::Notice(Notice::Decided)));
        hub.wait_no_more(node_id, &one);
        hub.wait_no_more(node_id, &other);
        assert!(!hub.push(node_id, Notice::Decided));

        let key = |byte| PublicKey::parse(&[byte; 32]).unwrap();
        let held = [
            Held { id: Id::from_bytes([1; 32]), by: key(1) },
            Held { id: Id::from_bytes([2; 32]), by: key(2) },
        ];
        hub.rest_on(&held, &one);
        hub.rest_on(&held[..1], &other);
        hub.cut_key(&key(2));
        assert!(matches!(one.next().await, Mail::Cut));
        hub.cut(&[Id::from_bytes([1; 32])]);
        assert!(matches!(one.next().await, Mail::Cut));
        assert!(matches!(other.next().await, Mail::Cut));
        hub.rest_no_more(&held, &[], &one);
        hub.rest_no_more(&held[..1], &[], &other);
        assert!(hub.blocks.is_empty() && hub.holders.is_empty());
        let quiet = tokio::time::timeout(std::time::Duration::ZERO, bystander.next()).await;
        assert!(quiet.is_err());
    }
}
