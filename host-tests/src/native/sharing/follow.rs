//! Reading the log: what a change that another gateway made means to this one's links and to what
//! it remembers.

use handfast_core::NodeId;
use handfast_core::registry::lifecycle::{Notice, as_delivered};
use handfast_core::registry::record::{Record, Standing};
use handfast_core::registry::sharing::NextReading;
use handfast_core::registry::sharing::elsewhere::{grants_notice, unheard_notice};

use super::super::World;
use super::super::gateway::GateIn;
use super::super::wires::ConnId;
use super::{Logged, Subject};

impl World {
    /// Reads the log to its end, or everything anew.
    pub(super) fn read_log(&mut self, at: usize) {
        let fails = !self.reaches(at) || self.gateways[at].failing > 0;
        let (now, instant) = (self.now, self.instant_at(at));
        self.catch_up(at);
        self.gateways[at].failing = self.gateways[at].failing.saturating_sub(1);
        let Some(follower) = self.follower(at) else { return };
        if fails {
            follower.reach.failed();
            follower.is_following = false;
            follower.undisturbed = now;
            return;
        }
        // At most: everything, and the changes since.
        for _ in 0..2 {
            let Some(follower) = self.follower(at) else { return };
            match follower.reach.next(instant) {
                NextReading::Everything => self.read_everything(at),
                NextReading::Changes => {
                    self.read_changes(at);
                    let Some(follower) = self.follower(at) else { return };
                    follower.reach.read_to_end(instant);
                    follower.is_following = true;
                    return;
                }
            }
            if !self.gateways[at].on {
                return;
            }
        }
    }

    fn read_changes(&mut self, at: usize) {
        let Some(log) = &self.sharing else { return };
        let end = log.lines.len();
        let Some(follower) = self.gateways[at].follower.as_ref() else { return };
        let lines = log.lines[follower.read.min(end)..].to_vec();
        let mut subjects: Vec<Subject> = lines
            .iter()
            .filter(|line| line.gateway != at)
            .filter_map(|line| match line.what {
                Logged::Change(subject) => Some(subject),
                Logged::Link(..) => None,
            })
            .collect();
        // However often it has changed, it is read once.
        subjects.sort_unstable();
        subjects.dedup();
        for subject in subjects {
            self.takes_in(at, subject);
        }
        for line in lines {
            if let Logged::Link(node_id, number) = line.what {
                self.read_claim(at, line.gateway, node_id, number);
            }
        }
        if let Some(follower) = self.follower(at) {
            follower.read = end.max(follower.read);
        }
    }

    fn read_everything(&mut self, at: usize) {
        let Some(log) = &self.sharing else { return };
        let end = log.lines.len();
        let speaks = |record: &&Record| opens_a_link(&record.standing);
        let allowed = self.store.records.values().filter(speaks);
        let allowed = allowed.map(|record| record.node_id).collect();
        let Some(follower) = self.follower(at) else { return };
        follower.allowed = allowed;
        let linked: Vec<NodeId> = follower.links.keys().copied().collect();
        let waiting = self.gateways[at].seats.iter();
        let waiting: Vec<ConnId> =
            waiting.filter(|(_, seat)| seat.request.is_some()).map(|(conn, _)| *conn).collect();
        for conn in waiting {
            self.feed_gateway(conn, GateIn::Push(Notice::Decided));
        }
        for node_id in linked {
            for subject in [Subject::Node, Subject::Grants, Subject::Clone, Subject::Tasks] {
                self.takes_in(at, subject(node_id));
            }
        }
        self.links_after_gap(at);
        let now = self.now;
        if let Some(follower) = self.follower(at) {
            follower.read = end;
            follower.undisturbed = now;
            follower.reach.read_everything();
        }
    }

    fn takes_in(&mut self, at: usize, subject: Subject) {
        match subject {
            Subject::Node(node_id) => self.node_has_changed(at, node_id),
            Subject::Grants(node_id) => {
                self.bound(at, node_id);
                let notice = grants_notice(&self.store.grants_of(node_id), self.unix());
                self.tell(at, node_id, notice);
            }
            Subject::Clone(node_id) => {
                let key = self.store.records.get(&node_id).and_then(|record| record.keys);
                let counter = key.and_then(|keys| self.store.clones.get(keys.channel.as_bytes()));
                let is_quarantined = counter.is_some_and(|counter| counter.is_quarantined());
                let link = self.follower(at).and_then(|it| it.links.get_mut(&node_id));
                let heard = link.and_then(|link| link.heard.as_mut());
                let notice = heard.and_then(|heard| heard.quarantine(is_quarantined));
                self.tell(at, node_id, notice);
            }
            Subject::Tasks(node_id) => self.push_tasks(at, node_id),
        }
    }

    fn node_has_changed(&mut self, at: usize, node_id: NodeId) {
        let (record, unix) = (self.store.records.get(&node_id).cloned(), self.unix());
        if let Some(keys) = record.as_ref().and_then(|record| record.keys) {
            self.look_again(at, &keys.channel);
        }
        let standing = record.as_ref().map(|record| as_delivered(&record.standing, unix));
        self.remembers(at, node_id);
        let Some(follower) = self.follower(at) else { return };
        let link = follower.links.get_mut(&node_id);
        let notice = link.and_then(|link| match &mut link.heard {
            Some(heard) => heard.record(standing.as_ref().map(|standing| (standing, 0))),
            None => unheard_notice(standing.as_ref()),
        });
        self.tell(at, node_id, notice);
        self.bound(at, node_id);
    }

    /// Records a notice that a gateway gives one of its links by a decision of its own.
    pub(in super::super) fn told(&mut self, at: usize, node_id: NodeId, notice: Notice) {
        let link = self.follower(at).and_then(|follower| follower.links.get_mut(&node_id));
        if let Some(heard) = link.and_then(|link| link.heard.as_mut()) {
            heard.told(notice);
        }
    }

    /// Remembers whether a node's certificates are let in.
    pub(super) fn remembers(&mut self, at: usize, node_id: NodeId) {
        let record = self.store.records.get(&node_id);
        let is_let_in = record.is_some_and(|record| opens_a_link(&record.standing));
        let Some(follower) = self.follower(at) else { return };
        if is_let_in {
            follower.allowed.insert(node_id);
        } else {
            follower.allowed.remove(&node_id);
        }
    }

    /// Pushes a notice to a node's live link at a gateway.
    pub(super) fn tell(&mut self, at: usize, node_id: NodeId, notice: Option<Notice>) {
        let live = self.gateways[at].live.get(&node_id).copied();
        if let (Some(notice), Some(conn)) = (notice, live) {
            self.count_shared(|counts| counts.notices += 1);
            self.feed_gateway(conn, GateIn::Push(notice));
        }
    }

    /// Returns `true` if a gateway lets a node in by its certificate.
    pub(in super::super) fn lets_in(&mut self, at: usize, node_id: NodeId) -> bool {
        if self.sharing.is_none() {
            return true;
        }
        let admits = self.admits(at);
        self.follower(at).is_some_and(|follower| admits && follower.allowed.contains(&node_id))
    }
}

const fn opens_a_link(standing: &Standing) -> bool {
    match standing {
        Standing::Paired { .. } | Standing::Muted { .. } => true,
        Standing::Pending { .. } | Standing::Unapproved { .. } | Standing::Revoked { .. } => false,
    }
}
