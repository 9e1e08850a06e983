//! Liveness: once faults stop and people act, every node links and stays linked.

use std::collections::BTreeSet;

use handfast_core::registry::admission::RequestKey;
use handfast_core::registry::record::Standing;
use handfast_core::{Machine, Source};

use super::World;
use super::model::Life;
use super::network::{ConnId, Side};
use super::node::Flash;
use crate::script::{Typed, Verdict};
use handfast_core::wire::close::Close;

const ROUNDS: u32 = 14;
const ROUND: u64 = 100_000;

impl World {
    /// Ends all faults, has operator and owners help, and waits until every node is linked.
    ///
    /// # Panics
    /// If a node is not linked after many rounds, or a link does not last.
    pub fn settle(&mut self) {
        self.end_faults();
        for _ in 0..ROUNDS {
            self.run_for(ROUND);
            if (0..self.nodes.len()).all(|node| self.is_linked(node)) {
                return self.stays_linked();
            }
            self.help();
        }
        let node = (0..self.nodes.len()).find(|&node| !self.is_linked(node));
        self.expect(false, || {
            format!("node {node:?} never links: {:?}", node.map(|node| &self.nodes[node]))
        });
    }

    /// Returns `true` if a node's link is open at both ends.
    #[must_use]
    pub fn is_linked(&self, node: usize) -> bool {
        let host = &self.nodes[node];
        let link =
            host.conn.and_then(|conn| self.gateway.seats.get(&conn)?.machine.as_ref()?.linked());
        host.machine.as_ref().is_some_and(|m| m.state_name() == "Linked")
            && link.is_some()
            && link == host.flash.node_id()
    }

    fn end_faults(&mut self) {
        self.note(|| "-- faults end".to_owned());
        self.network.down_until = 0;
        self.store.failing = 0;
        self.gateway.fuel = None;
        self.start_gateway();
        self.put_clock_right();
        for node in 0..self.nodes.len() {
            self.nodes[node].fuel = None;
            self.switch_on(node);
        }
        for conn in core::mem::take(&mut self.strangers) {
            self.hang_up(conn, Side::Client, Close::GOODBYE);
        }
    }

    /// Does what a patient operator and patient owners would do next.
    fn help(&mut self) {
        let keys: BTreeSet<[u8; 32]> = self
            .nodes
            .iter()
            .map(|host| *RequestKey::of(Source::of(host.address), &host.request()).as_bytes())
            .collect();
        let strange = |row: &&super::store::Row| {
            matches!(row.record.standing, Standing::Pending { .. })
                && !keys.contains(row.key.as_bytes())
        };
        let strangers: Vec<_> =
            self.store.rows.values().filter(strange).map(|row| row.record.node_id).collect();
        for node_id in strangers {
            let _ = self.decide(node_id, Verdict::Reject);
        }
        for node in 0..self.nodes.len() {
            self.help_node(node);
        }
    }

    pub(super) fn help_node(&mut self, node: usize) {
        let Some(node_id) = self.nodes[node].flash.node_id() else { return };
        let now = self.unix().as_secs();
        match self.model.nodes.get(&node_id).map(|known| known.life) {
            Some(Life::Waiting { until }) if now < until => {
                let _ = self.decide(node_id, Verdict::Approve);
                self.run_for(2_000);
                self.type_token(node, Typed::Newest);
            }
            Some(Life::Muted(_)) => {
                let _ = self.decide(node_id, Verdict::Unmute);
            }
            Some(Life::In(_)) => {
                let current =
                    self.store.record(node_id).and_then(|record| record.standing.token().cloned());
                let right = |token: &String| Some(super::hashing::hash(node_id, token)) == current;
                let kept =
                    matches!(&self.nodes[node].flash, Flash::Paired(_, token) if right(token));
                let on_paper = self
                    .papers
                    .shown
                    .get(&node_id)
                    .and_then(|shown| shown.last())
                    .is_some_and(right);
                if !kept {
                    if !on_paper {
                        let _ = self.decide(node_id, Verdict::Reissue);
                        self.run_for(2_000);
                    }
                    self.type_token(node, Typed::Newest);
                }
            }
            Some(Life::Waiting { .. } | Life::Rejected | Life::Unpaired | Life::RanOut) | None => {
                self.ask_again(node);
            }
        }
    }

    fn stays_linked(&mut self) {
        let links: Vec<Option<ConnId>> = self.nodes.iter().map(|host| host.conn).collect();
        self.run_for(300_000);
        let still: Vec<Option<ConnId>> = self.nodes.iter().map(|host| host.conn).collect();
        self.expect(links == still, || {
            "a link does not last although nothing disturbs it".to_owned()
        });
    }
}
