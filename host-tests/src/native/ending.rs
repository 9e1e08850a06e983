//! The end of a script: all faults end, and every node reaches the state that it is entitled to.

use handfast_core::Span;
use handfast_core::flow::native::node::NativeMemory;
use handfast_core::registry::grants::{self, State};
use handfast_core::registry::record::Standing;

use super::World;
use super::node::NodeIn;

impl World {
    /// Ends all faults, and checks that every node reaches the state it is entitled to.
    ///
    /// # Panics
    /// If a node does not.
    pub fn settle(&mut self) {
        self.note(|| "-- faults end".to_owned());
        for at in 0..self.gateways.len() {
            (self.gateways[at].fuel, self.gateways[at].failing) = (None, 0);
            self.gateway_on(at);
            self.mend(at);
        }
        self.put_clock_right();
        for at in 0..self.nodes.len() {
            self.release(at);
            self.nodes[at].fuel = None;
            self.node_on(at);
            // A node whose request was not accepted repeats it, without any code.
            if matches!(self.nodes[at].memory, NativeMemory::Asked { .. }) {
                self.pair_by_approval(at);
            }
        }
        self.pass(Span::from_secs(700));
        for at in 0..self.nodes.len() {
            self.found_its_grant(at);
        }
        for _ in 0..6 {
            // Copies that were switched on since may have raised the alarm.
            for at in 0..self.nodes.len() {
                self.release(at);
            }
            for at in 0..self.nodes.len().saturating_sub(1) {
                if self.may_link(at) && !self.is_linked(at) {
                    self.lead_in(at);
                }
            }
            self.pass(Span::from_secs(100));
        }
        for at in 0..self.nodes.len() {
            self.agrees(at);
        }
        self.tasks_are_told();
    }

    pub(super) fn may_link(&self, at: usize) -> bool {
        ![&self.audit.revoked, &self.audit.turned_down]
            .iter()
            .any(|keys| keys.contains(self.nodes[at].keys.channel.public().as_bytes()))
    }

    /// Checks that a node with a valid grant that it did not lose links without help.
    fn found_its_grant(&self, at: usize) {
        let record = self.store.by_key(self.nodes[at].keys.channel.public());
        let in_force = record.is_some_and(|record| {
            let paired =
                matches!(record.standing, Standing::Paired { .. } | Standing::Muted { .. });
            paired && grants::current(&self.store.grants_of(record.node_id), self.unix()).is_some()
        });
        let remembers = !matches!(self.nodes[at].memory, NativeMemory::Blank);
        self.expect(!(in_force && remembers) || self.is_linked(at), || {
            format!("node {at} does not find its grant")
        });
    }

    fn lead_in(&mut self, at: usize) {
        self.open_window();
        self.pair_by_pin(at);
        self.run();
        if let Some(pin) = self.pin_for(at).filter(|_| self.nodes[at].state() == "AwaitCode") {
            self.type_pin(at, &pin);
        }
        self.run();
    }

    /// Checks that a node and the registry agree about the node's grant.
    fn agrees(&mut self, at: usize) {
        let must = self.may_link(at) && !self.is_hostile(at);
        self.expect(!must || self.is_linked(at), || format!("node {at} never links"));
        if !self.is_linked(at) {
            return;
        }
        let state = |world: &Self| match world.nodes[at].memory {
            NativeMemory::Paired(paired) => {
                world.store.grants.iter().find(|grant| grant.id == paired.grant).cloned()
            }
            NativeMemory::Blank | NativeMemory::Asked { .. } => None,
        };
        if state(self).is_none_or(|grant| grant.state != State::Active) {
            // It was told so, and its adapter renews.
            self.expect(self.nodes[at].heard("NotRenewed"), || format!("node {at} was not told"));
            self.feed_node(at, NodeIn::Renew(true));
            self.run();
        }
        let Some(grant) = state(self) else {
            return self.expect(false, || format!("node {at} holds no grant"));
        };
        self.expect(grant.state == State::Active, || format!("node {at} holds {grant:?}"));
        let active = self
            .store
            .grants_of(grant.node_id)
            .into_iter()
            .filter(|grant| grant.state == State::Active);
        self.expect(active.count() == 1, || format!("node {at} has several grants"));
        self.expect(self.id_of(at) == Some(grant.node_id), || {
            format!("node {at} is somebody else")
        });
        let chain = self.nodes[at].chain.as_deref().and_then(|bytes| {
            handfast_core::grant::capability::Chain::from_bytes(bytes)
                .ok()
                .map(|chain| *chain.leaf().id())
        });
        self.expect(chain == grant.capability, || format!("node {at} holds another capability"));
    }
}
