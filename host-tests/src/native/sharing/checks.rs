//! The invariants of gateways that share a registry.

use handfast_core::NodeId;
use handfast_core::crypto::x25519::PublicKey;
use handfast_core::flow::native::gateway::{NativeConnection, Peer};
use handfast_core::limits::CUT_OFF_AFTER;
use handfast_core::registry::record::Standing;

use super::super::World;
use super::super::gateway::{Seat, in_force};
use super::super::wires::ConnId;
use super::{GRACE, READ_EVERY};

/// Milliseconds after which every gateway that reads undisturbed has heard of a change, though
/// every hint is lost.
const HEARD_WITHIN: u64 = READ_EVERY + 100;
/// Milliseconds after which a node has one link: a claim that was not written is written with the
/// next look, and read with the one after it.
const ONE_LINK_WITHIN: u64 = 2 * READ_EVERY + 200;

impl World {
    /// Records that an operator has decided about a node.
    pub(in super::super) fn operator_decided(&mut self, node_id: NodeId) {
        let now = self.now;
        if let Some(log) = &mut self.sharing {
            log.history.decided.insert(node_id, now);
        }
    }

    /// Checks that nobody is linked at a gateway that has lost the registry.
    pub(in super::super) fn check_admission(&self, at: usize, node_id: NodeId) {
        let cut = self.gateways[at].follower.as_ref().and_then(|follower| follower.cut);
        let is_late = cut.is_some_and(|(since, _)| self.now >= since + CUT_OFF_AFTER.as_millis());
        self.expect(!is_late, || {
            format!("{node_id} is admitted by gateway {at}, which is cut off")
        });
    }

    /// Checks that what was decided at one gateway is in force at all.
    pub(in super::super) fn check_sharing(&self) {
        for at in 0..self.gateways.len() {
            let Some(follower) = &self.gateways[at].follower else { continue };
            if let Some((since, _)) = follower.cut {
                let longest = CUT_OFF_AFTER.as_millis() + GRACE.as_millis() + HEARD_WITHIN;
                let is_over = self.now > since + longest;
                self.expect(!is_over || follower.links.is_empty(), || {
                    format!("gateway {at} is cut off since {since}, and keeps links")
                });
                continue;
            }
            if !self.gateways[at].on {
                continue;
            }
            for (&conn, seat) in &self.gateways[at].seats {
                let Some(machine) = &seat.machine else { continue };
                match machine.linked() {
                    Some(Peer::Node(node_id)) => self.check_heard(at, conn, machine, node_id, seat),
                    Some(Peer::Delegate(_)) => {}
                    None => self.check_waiting(at, conn, machine),
                }
            }
        }
        self.check_one_link();
    }

    /// Returns `true` if a gateway has heard of what happened at this time.
    fn has_heard(&self, at: usize, time: Option<&u64>) -> bool {
        let undisturbed = self.gateways[at].follower.as_ref().map_or(0, |it| it.undisturbed);
        time.is_none_or(|time| self.now > undisturbed.max(*time) + HEARD_WITHIN)
    }

    fn check_heard(
        &self,
        at: usize,
        conn: ConnId,
        machine: &NativeConnection,
        node_id: NodeId,
        seat: &Seat,
    ) {
        let Some(log) = &self.sharing else { return };
        if !self.has_heard(at, log.history.changed.get(&node_id)) {
            return;
        }
        let standing = self.store.records.get(&node_id).map(|record| &record.standing);
        let speaks = match standing {
            Some(Standing::Paired { .. }) => true,
            Some(Standing::Muted { .. }) => !machine.receives(),
            Some(
                Standing::Pending { .. } | Standing::Unapproved { .. } | Standing::Revoked { .. },
            )
            | None => false,
        };
        self.expect(speaks, || {
            format!("conn {conn}: {node_id} is {standing:?}, and is heard at gateway {at}")
        });
        let (grants, ceiling) = (self.store.grants_of(node_id), self.store.ceilings.get(&node_id));
        let within = self.limits.renew_after_expiry;
        // A newer grant may wait for its node; the ceiling over all of them bites at once.
        if let Some((_, bounds)) = in_force(&grants, ceiling, within, self.unix()) {
            let is_bound = seat.scopes.as_ref().is_none_or(|(_, own)| *own == bounds);
            self.expect(is_bound, || {
                format!("conn {conn}: {node_id} has {:?}, under {bounds:?}", seat.scopes)
            });
        }
    }

    /// Checks that whoever waits hears of the decision, wherever it was made.
    fn check_waiting(&self, at: usize, conn: ConnId, machine: &NativeConnection) {
        use handfast_core::Machine as _;
        let key = machine.peer_key().filter(|_| machine.state_name() == "Waiting");
        let Some(record) = key.and_then(|key: &PublicKey| self.store.by_key(key)) else { return };
        let decided = self.sharing.as_ref().and_then(|it| it.history.decided.get(&record.node_id));
        let waits = matches!(record.standing, Standing::Pending { .. });
        let has_heard = decided.is_some() && self.has_heard(at, decided);
        self.expect(waits || !has_heard, || {
            format!("conn {conn}: {} waits at gateway {at}, and is decided", record.node_id)
        });
    }

    /// Checks that the newest link wins.
    fn check_one_link(&self) {
        for node in &self.nodes {
            let key = node.keys.channel.public();
            let Some(node_id) = self.store.by_key(key).map(|record| record.node_id) else {
                continue;
            };
            let mut since = 0;
            let links = self.gateways.iter().filter(|gateway| {
                let Some(follower) = &gateway.follower else { return false };
                let link = follower.links.get(&node_id);
                since = link.map_or(0, |link| link.opened).max(follower.undisturbed).max(since);
                link.is_some()
            });
            let links = links.count();
            let is_disturbed = self.gateways.iter().any(|gateway| {
                !gateway.on || gateway.follower.as_ref().is_some_and(|it| it.cut.is_some())
            });
            self.expect(links < 2 || is_disturbed || self.now <= since + ONE_LINK_WITHIN, || {
                format!("{node_id} has a link at either gateway since {since}")
            });
        }
    }
}
