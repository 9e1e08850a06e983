//! Claims of nodes' links: written late or not at all, given up, and the newest of them wins.

use handfast_core::NodeId;
use handfast_core::registry::lifecycle::{Notice, as_delivered};
use handfast_core::registry::sharing::elsewhere::Heard;
use handfast_core::registry::sharing::links::{
    ClaimState, LinkClaim, LinkHolder, LinkVerdict, LoggedClaim, Reclaim,
};

use super::super::gateway::GateIn;
use super::super::wires::{ConnId, Side};
use super::super::{Job, World};
use super::{LEASE, Logged};

/// A node's link at one gateway.
#[derive(Debug)]
pub(super) struct ClaimedLink {
    claim: LinkClaim,
    /// `None` for a link that has read nothing of the record.
    pub(super) heard: Option<Heard>,
    /// Time at which it opened.
    pub(super) opened: u64,
}

impl ClaimedLink {
    pub(super) fn is_unclaimed(&self) -> bool {
        self.claim.state() == ClaimState::Unclaimed
    }
}

impl World {
    /// Begins to claim the link of a node, which has just opened at a gateway.
    pub(in super::super) fn link_opened(&mut self, at: usize, node_id: NodeId) {
        let (now, unix) = (self.now, self.unix());
        let heard = self.store.records.get(&node_id).map(|record| {
            let keys = record.keys.map(|keys| *keys.channel.as_bytes());
            let counter = keys.and_then(|key| self.store.clones.get(&key));
            let is_quarantined = counter.is_some_and(|counter| counter.is_quarantined());
            Heard::of(&as_delivered(&record.standing, unix), 0, is_quarantined)
        });
        let Some(follower) = self.follower(at) else { return };
        follower.number += 1;
        let number = follower.number;
        let link = ClaimedLink { claim: LinkClaim::new(number), heard, opened: now };
        follower.links.insert(node_id, link);
        self.job(Job::Claim { gateway: at, node_id, number });
    }

    /// Gives up the claim of a link that has ended.
    pub(in super::super) fn link_closed(&mut self, at: usize, conn: ConnId) {
        let live = self.gateways[at].live.iter();
        let ended: Vec<NodeId> =
            live.filter(|(_, live)| **live == conn).map(|(node_id, _)| *node_id).collect();
        self.catch_up(at);
        let Some(follower) = self.follower(at) else { return };
        for node_id in ended {
            if let Some(link) = follower.links.remove(&node_id) {
                follower.released.push((node_id, link.claim.number()));
            }
        }
        self.give_up_claims(at);
    }

    pub(super) fn give_up_claims(&mut self, at: usize) {
        if !self.reaches(at) {
            return;
        }
        let Some(follower) = self.follower(at) else { return };
        let released = std::mem::take(&mut follower.released);
        let Some(log) = &mut self.sharing else { return };
        for (node_id, number) in released {
            if log.holders.get(&node_id) == Some(&(at, number)) {
                log.holders.remove(&node_id);
            }
        }
    }

    /// Writes the claim of a link, unless it has ended. Some claims are not written, and of some
    /// the gateway is not told that they were.
    pub(in super::super) fn write_claim(&mut self, at: usize, node_id: NodeId, number: u64) {
        let is_told = !self.prng.one_in(8);
        let is_written = self.reaches(at) && self.gateways[at].failing == 0;
        self.catch_up(at);
        self.gateways[at].failing = self.gateways[at].failing.saturating_sub(1);
        let is_on = self.gateways[at].on;
        let link = self.follower(at).and_then(|follower| follower.links.get_mut(&node_id));
        let Some(link) = link.filter(|link| is_on && link.claim.number() == number) else { return };
        if !is_written || !is_told {
            link.claim.not_written();
        }
        let Some(log) = self.sharing.as_mut().filter(|_| is_written) else { return };
        log.holders.insert(node_id, (at, number));
        self.append(at, Logged::Link(node_id, number));
    }

    /// Claims links again whose claims were not written.
    pub(super) fn claim_again(&mut self, at: usize) {
        if !self.contact(at).admits() {
            return;
        }
        let Some(follower) = self.follower(at) else { return };
        let links = follower.links.iter().filter(|(_, link)| link.is_unclaimed());
        for node_id in links.map(|(node_id, _)| *node_id).collect::<Vec<_>>() {
            self.claims_again(at, node_id);
        }
    }

    fn claims_again(&mut self, at: usize, node_id: NodeId) {
        let Some(follower) = self.follower(at) else { return };
        follower.number += 1;
        let number = follower.number;
        if let Some(link) = follower.links.get_mut(&node_id) {
            link.claim.again(number);
            self.job(Job::Claim { gateway: at, node_id, number });
        }
    }

    /// Takes in a claim of the log.
    pub(super) fn read_claim(&mut self, at: usize, by: usize, node_id: NodeId, number: u64) {
        let Some(follower) = self.follower(at) else { return };
        let Some(link) = follower.links.get_mut(&node_id) else { return };
        let claim = if by == at { LoggedClaim::Own(number) } else { LoggedClaim::Other };
        match link.claim.read(claim) {
            LinkVerdict::Stays => {}
            LinkVerdict::Ends => self.displaced(at, node_id),
        }
    }

    fn displaced(&mut self, at: usize, node_id: NodeId) {
        self.count_shared(|counts| counts.displaced += 1);
        self.tell(at, node_id, Some(Notice::Replaced));
    }

    /// Decides about the links of a gateway after a gap in the log.
    pub(super) fn links_after_gap(&mut self, at: usize) {
        let Some(follower) = self.follower(at) else { return };
        for node_id in follower.links.keys().copied().collect::<Vec<_>>() {
            let holder = match self.holder(node_id) {
                Some(by) if by == at => LinkHolder::Own,
                Some(_) => LinkHolder::Other,
                None => LinkHolder::Nobody,
            };
            let Some(follower) = self.follower(at) else { return };
            let Some(link) = follower.links.get_mut(&node_id) else { continue };
            match link.claim.after_gap(holder) {
                Reclaim::Stands => {}
                Reclaim::Again => self.claims_again(at, node_id),
                Reclaim::Ends => self.displaced(at, node_id),
            }
        }
    }

    /// Returns the gateway that holds a node's link and whose lease runs.
    pub(in super::super) fn holder(&self, node_id: NodeId) -> Option<usize> {
        let (by, _) = *self.sharing.as_ref()?.holders.get(&node_id)?;
        let gateway = &self.gateways[by];
        let lost_at = match gateway.follower.as_ref()?.cut {
            Some((since, _)) => Some(since),
            None => gateway.off_since,
        };
        lost_at.is_none_or(|since| self.now < since + LEASE).then_some(by)
    }

    /// Ends all links of a gateway, so that their nodes go to another one.
    pub(super) fn all_go_elsewhere(&mut self, at: usize) {
        let conns: Vec<ConnId> = self.gateways[at].live.values().copied().collect();
        for conn in conns {
            self.count_shared(|counts| counts.sent_elsewhere += 1);
            self.feed_gateway(conn, GateIn::Closed);
            self.leave(conn, Side::Gateway);
        }
    }
}
