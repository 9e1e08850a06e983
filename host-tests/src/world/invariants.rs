//! The invariants of the world, checked after every event.

use std::collections::BTreeSet;
use std::fmt::Debug;

use handfast_core::grant::token::TokenHash;
use handfast_core::limits::SCRATCH;
use handfast_core::wire::missy;
use handfast_core::wire::registration::{Auth, GatewayMessage, NodeMessage};
use handfast_core::{Machine, NodeId, Source};

use super::model::Life;
use super::network::{Client, ConnId};
use super::node::Flash;
use super::{World, hashing};

/// Returns the node id and token of a frame, if it is one that authenticates.
pub(super) fn token_in(frame: &str) -> Option<(NodeId, String)> {
    let mut scratch = [0; SCRATCH];
    match missy::decode_from_node(frame, &mut scratch) {
        Ok(NodeMessage::Auth(Auth::Presented { node_id, token })) => {
            Some((node_id, token.expose().to_owned()))
        }
        _ => None,
    }
}

impl World {
    /// Checks all state invariants at once.
    pub(super) fn check(&self) {
        let mut linked = BTreeSet::new();
        for (&conn, seat) in &self.gateway.seats {
            let Some(machine) = &seat.machine else { continue };
            let wire = self.network.wires.get(&conn);
            if let Some(node_id) = machine.linked() {
                self.expect(linked.insert(node_id), || format!("{node_id} has two links"));
                self.check_link(conn, node_id, seat.attached, seat.presented.as_ref());
                let lost = wire
                    .and_then(|wire| wire.dead_since)
                    .is_some_and(|dead| self.now > dead + 42_000);
                self.expect(!lost, || format!("{conn:?} is dead, and the gateway has not noticed"));
            } else if !machine.awaits_answer() {
                self.expect(self.now <= seat.since + 10_000, || {
                    format!("{conn:?} is silent and keeps its seat")
                });
            }
        }
        for (node_id, conn) in &self.gateway.live {
            self.expect(self.gateway.seats.contains_key(conn), || {
                format!("{node_id} is live on {conn:?}, which is gone")
            });
        }
        self.check_caps();
    }

    fn check_link(
        &self,
        conn: ConnId,
        node_id: NodeId,
        attached: u64,
        presented: Option<&(NodeId, String)>,
    ) {
        let known = self.model.nodes.get(&node_id);
        let under_way = known.is_some_and(|known| known.unacknowledged > 0);
        let is_in = known.is_some_and(|known| matches!(known.life, Life::In(_)));
        self.expect(is_in || under_way, || {
            format!("{node_id} is linked and {:?}", known.map(|k| k.life))
        });

        let proven = presented
            .filter(|(shown_id, _)| *shown_id == node_id)
            .map(|(_, token)| hashing::hash(node_id, token));
        let standing = self.store.record(node_id).map(|record| &record.standing);
        let newest = standing.and_then(|standing| standing.token());
        let on_its_way = standing.is_some_and(|standing| standing.undelivered().is_some());
        let older = standing.and_then(|standing| standing.older_token());
        let counts =
            |hash: &TokenHash| (newest == Some(hash) && !on_its_way) || older == Some(hash);
        let holds = proven.as_ref().is_some_and(|hash| counts(hash) || under_way);
        self.expect(holds, || format!("{node_id} is linked with a token that is not its own"));

        self.expect(self.gateway.live.get(&node_id) == Some(&conn), || {
            format!("{conn:?} is linked and not in the table")
        });
        let newest = self
            .gateway
            .seats
            .values()
            .filter(|seat| seat.presented == presented.cloned())
            .map(|seat| seat.attached)
            .max();
        self.expect(newest == Some(attached), || {
            format!("{conn:?} is linked, and not the newest of {node_id}")
        });

        let stranger =
            self.network.wires.get(&conn).is_some_and(|wire| wire.client == Client::Stranger);
        self.expect(!stranger || self.setup.in_clear, || {
            format!("a stranger is linked as {node_id}")
        });
    }

    fn check_caps(&self) {
        let now = self.unix().as_secs();
        let sources: BTreeSet<Source> = self.store.rows.values().map(|row| row.source).collect();
        for source in sources {
            let (total, of_source) = self.model.waiting_for_the_first_time(source, now);
            let within = total <= self.limits.pending_total as usize
                && of_source <= self.limits.pending_per_source as usize;
            self.expect(within, || format!("{total} wait, {of_source} of them from {source:?}"));
        }
    }

    pub(super) fn check_gateway_sends(&self, conn: ConnId, text: &str) {
        let mut scratch = [0; SCRATCH];
        let message = missy::decode_from_gateway(text, &mut scratch);
        match message {
            Ok(Some(GatewayMessage::PairPending { node_id })) => {
                let durable = self.store.record(node_id).is_some();
                self.expect(durable || self.model.nodes[&node_id].life == Life::RanOut, || {
                    format!("{node_id} is not durable")
                });
            }
            Ok(Some(GatewayMessage::AuthOk { node_id, room })) => {
                let known = &self.model.nodes[&node_id];
                let may = matches!(known.life, Life::In(_)) || known.unacknowledged > 0;
                self.expect(may, || format!("{node_id} is welcomed, and {:?}", known.life));
                let named = self
                    .store
                    .record(node_id)
                    .is_some_and(|record| record.room.as_str() == room.as_str());
                self.expect(named, || format!("{node_id} is told the wrong room"));
            }
            Ok(Some(
                GatewayMessage::AuthFail(_) | GatewayMessage::Muted | GatewayMessage::Error(_),
            )) => {}
            Ok(None) | Err(_) => {
                self.expect(false, || format!("{conn:?}: no message of this dialect: {text}"));
            }
        }
        let secret = self.papers.answered.iter().find(|token| text.contains(token.as_str()));
        self.expect(secret.is_none(), || format!("{conn:?}: the gateway sends a token: {text}"));
    }

    pub(super) fn check_node_sends(&self, node: usize, text: &str) {
        let mut scratch = [0; SCRATCH];
        let flash = &self.nodes[node].flash;
        let honest = match missy::decode_from_node(text, &mut scratch) {
            Ok(NodeMessage::PairRequest(request)) => {
                *flash == Flash::Blank && request == self.nodes[node].request()
            }
            Ok(NodeMessage::Auth(Auth::Presented { node_id, token })) => {
                *flash == Flash::Paired(node_id, token.expose().to_owned())
            }
            Ok(NodeMessage::Heartbeat(_)) => matches!(flash, Flash::Paired(..)),
            Ok(NodeMessage::Auth(Auth::Unusable) | NodeMessage::Other) | Err(_) => false,
        };
        self.expect(honest, || format!("node {node} sends {text} with {flash:?} in flash"));
    }

    /// Checks that no owner is told something that a power cut could still undo.
    pub(super) fn check_news(&self, node: usize, news: &str) {
        let flash = &self.nodes[node].flash;
        let durable = match news.split('(').next() {
            Some("WaitsForApproval") => {
                matches!(flash, Flash::Asked(id) if news.contains(&id.to_string()))
            }
            Some("TokenKept") => matches!(flash, Flash::Paired(..)),
            Some("Forgotten") => *flash == Flash::Blank,
            _ if news.starts_with("Linked") => {
                matches!(flash, Flash::Paired(id, _) if news.contains(&id.to_string()))
            }
            _ => true,
        };
        self.expect(durable, || format!("node {node} says {news} with {flash:?} in flash"));
    }

    pub(super) fn check_observed(&self, conn: ConnId, node_id: NodeId) {
        let linked = self
            .gateway
            .seats
            .get(&conn)
            .and_then(|seat| seat.machine.as_ref())
            .and_then(|machine| machine.linked());
        self.expect(linked == Some(node_id), || {
            format!("{conn:?}: what {node_id} tells is kept without a link")
        });
    }

    /// Checks that a token leaves the gateway once, and only when its hash is durable.
    pub(super) fn check_revealed(&self, node_id: NodeId, token: &str) {
        let hash: TokenHash = hashing::hash(node_id, token);
        let durable = self.model.nodes[&node_id].hashes.contains(hash.as_bytes());
        self.expect(durable, || format!("the token of {node_id} is shown before it is durable"));
        let again = self.papers.answered.iter().any(|earlier| earlier == token);
        self.expect(!again, || format!("a token of {node_id} is shown twice"));
        self.expect(!token.starts_with('-'), || {
            format!("the token of {node_id} looks like an option")
        });
    }

    /// Checks that the debug output of a state contains no secret. Runs on a sample of the steps,
    /// because printing takes longer than stepping.
    pub(super) fn check_redacted(&mut self, state: &impl Debug) {
        self.steps += 1;
        if self.steps.is_multiple_of(64) {
            let printed = format!("{state:?}");
            let secret = self.papers.answered.iter().find(|token| printed.contains(token.as_str()));
            self.expect(secret.is_none(), || format!("a state prints a token: {printed}"));
        }
    }
}
