//! Gateways that share the world's registry: the log of changes with hints that are lost, repeated
//! and late, the claims of links, and gateways that lose the registry for a while.
//!
//! What they decide by that is [`handfast_core::registry::sharing`]'s.

mod checks;
mod follow;
mod links;

use std::collections::{BTreeMap, BTreeSet};

use handfast_core::crypto::x25519::PublicKey;
use handfast_core::registry::sharing::{Contact, Reach};
use handfast_core::{NodeId, Span};

use super::World;
use links::ClaimedLink;

/// Time for which links outlive the contact with the registry: short, so that scripts see its end.
pub const GRACE: Span = Span::from_secs(5);
/// Milliseconds between two readings of the log without a hint.
const READ_EVERY: u64 = 1_000;
/// Milliseconds for which a gateway's lease outlives its last beat.
const LEASE: u64 = 5_000;
/// Milliseconds by which the clock of the second gateway is ahead.
const AHEAD: u64 = 3_600_000;

/// The subject of a change that other gateways must hear of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// The record of a node that is not waiting, or its ceiling.
    Node(NodeId),
    /// The grants of a node.
    Grants(NodeId),
    /// Whether a node is in quarantine.
    Clone(NodeId),
    /// A task for a node.
    Tasks(NodeId),
}

/// A line of the log of changes.
#[derive(Clone, Copy, Debug)]
struct Line {
    gateway: usize,
    what: Logged,
}

#[derive(Clone, Copy, Debug)]
enum Logged {
    Change(Subject),
    /// A claim of a node's link, with its number.
    Link(NodeId, u64),
}

/// What gateways share besides the rows of the registry.
#[derive(Debug, Default)]
pub struct SharedLog {
    lines: Vec<Line>,
    /// The gateway that claimed a node's link last, and the number of the claim.
    holders: BTreeMap<NodeId, (usize, u64)>,
    /// Hints under way, each with its arrival and its receiver.
    hints: Vec<(u64, usize)>,
    history: ShareHistory,
}

/// What the invariants need to know of the past.
#[derive(Debug, Default)]
struct ShareHistory {
    /// Time of the last change of each node's record or grants.
    changed: BTreeMap<NodeId, u64>,
    /// Time of the last decision of an operator about each node.
    decided: BTreeMap<NodeId, u64>,
    /// Counts of what happened.
    counts: ShareCounts,
}

/// Counts of what happened in a world of several gateways.
#[derive(Clone, Copy, Debug, Default)]
pub struct ShareCounts {
    /// Hints that were lost.
    pub lost_hints: u32,
    /// Links that ended because another gateway had a newer one.
    pub displaced: u32,
    /// Notices about decisions that another gateway had made.
    pub notices: u32,
    /// Links that ended because their gateway was cut off for long.
    pub sent_elsewhere: u32,
    /// Admissions and requests that were refused because the gateway was cut off.
    pub refused: u32,
}

/// What one gateway knows of the log.
#[derive(Debug)]
pub struct Follower {
    reach: Reach,
    /// Number of lines that were read.
    read: usize,
    /// `true` while the log is read to its end regularly.
    is_following: bool,
    /// Time of the last reading without a hint.
    looked_at: u64,
    /// Time at which the registry was lost, and at which it is back.
    cut: Option<(u64, u64)>,
    /// Time since which the gateway reads undisturbed.
    undisturbed: u64,
    /// Number of the last claim.
    number: u64,
    links: BTreeMap<NodeId, ClaimedLink>,
    /// Claims of links that have ended, to be given up.
    released: Vec<(NodeId, u64)>,
    /// Nodes whose certificates are let in.
    allowed: BTreeSet<NodeId>,
}

impl Follower {
    /// Forgets what a process forgets that ends.
    pub(super) fn ends(&mut self) {
        self.links.clear();
        self.released.clear();
        self.is_following = false;
    }
}

impl World {
    /// Creates a world whose nodes choose between two gateways.
    #[must_use]
    pub fn with_two_gateways(nodes: usize, seed: u64) -> Self {
        let mut world = Self::new(nodes, seed);
        world.gateways.push(super::gateway::GatewayHost::new(AHEAD));
        world.sharing = Some(SharedLog::default());
        for at in 0..world.gateways.len() {
            world.follow_anew(at);
        }
        world
    }

    /// Returns the counts of what happened between the gateways.
    #[must_use]
    pub fn share_counts(&self) -> ShareCounts {
        self.sharing.as_ref().map(|log| log.history.counts).unwrap_or_default()
    }

    pub(super) fn count_shared(&mut self, count: impl FnOnce(&mut ShareCounts)) {
        if let Some(log) = &mut self.sharing {
            count(&mut log.history.counts);
        }
    }

    /// Begins to follow the log, because the gateway starts.
    pub(super) fn follow_anew(&mut self, at: usize) {
        if self.sharing.is_none() {
            return;
        }
        let number = self.gateways[at].follower.as_ref().map_or(0, |follower| follower.number);
        self.gateways[at].follower = Some(Follower {
            reach: Reach::new(GRACE, self.instant_at(at)),
            read: 0,
            is_following: false,
            looked_at: self.now,
            cut: None,
            undisturbed: self.now,
            number,
            links: BTreeMap::new(),
            released: Vec::new(),
            allowed: BTreeSet::new(),
        });
        // Nobody is served before that.
        self.read_log(at);
    }

    fn follower(&mut self, at: usize) -> Option<&mut Follower> {
        self.gateways[at].follower.as_mut()
    }

    /// Takes the registry from a gateway for a while.
    pub fn cut_off(&mut self, at: usize, millis: u64) {
        self.catch_up(at);
        let now = self.now;
        if let Some(follower) = self.follower(at) {
            let since = follower.cut.map_or(now, |(since, _)| since);
            follower.cut = Some((since, now + millis));
            self.note(|| format!("gateway {at} loses the registry for {millis} ms"));
        }
    }

    /// Gives the registry back to a gateway.
    pub fn mend(&mut self, at: usize) {
        let now = self.now;
        if let Some(follower) = self.follower(at)
            && follower.cut.take().is_some()
        {
            follower.undisturbed = now;
            self.note(|| format!("gateway {at} has the registry back"));
        }
    }

    /// Returns `true` if a gateway reaches the registry.
    pub(super) fn reaches(&self, at: usize) -> bool {
        let gateway = &self.gateways[at];
        gateway.on && gateway.follower.as_ref().is_none_or(|follower| follower.cut.is_none())
    }

    /// Returns `true` if the operators' gateway can carry out a decision.
    pub(super) fn operators_decide(&self) -> bool {
        self.sharing.is_none() || self.reaches(self.desk)
    }

    /// Returns what a gateway may do.
    pub fn contact(&mut self, at: usize) -> Contact {
        self.catch_up(at);
        let now = self.instant_at(at);
        self.follower(at).map_or(Contact::InTouch, |follower| follower.reach.contact(now))
    }

    /// Returns `true` if a gateway may admit peers now; counts it if not.
    pub(super) fn admits(&mut self, at: usize) -> bool {
        let admits = self.contact(at).admits();
        if !admits {
            self.count_shared(|counts| counts.refused += 1);
        }
        admits
    }

    /// Appends a change that a gateway has made, and hints at it.
    pub(super) fn changed(&mut self, by: usize, subject: Subject) {
        let now = self.now;
        if let (Some(log), Subject::Node(node_id) | Subject::Grants(node_id)) =
            (&mut self.sharing, subject)
        {
            log.history.changed.insert(node_id, now);
        }
        if let Subject::Node(node_id) = subject {
            // What a gateway has changed, it knows.
            self.remembers(by, node_id);
        }
        self.append(by, Logged::Change(subject));
    }

    /// Appends what pairing and the use of a grant change.
    pub(super) fn changed_by_pairing(&mut self, by: usize, key: &PublicKey) {
        if let (Some(node_id), true) =
            (self.store.by_key(key).map(|record| record.node_id), self.sharing.is_some())
        {
            self.changed(by, Subject::Node(node_id));
            self.changed(by, Subject::Grants(node_id));
        }
    }

    fn append(&mut self, by: usize, what: Logged) {
        if self.sharing.is_none() {
            return;
        }
        for at in 0..self.gateways.len() {
            self.catch_up(at);
        }
        // What follows is about this line, and some of it never arrives.
        let mut hints = Vec::new();
        let mut lost = 0;
        for at in 0..self.gateways.len() {
            if self.prng.one_in(3) {
                lost += 1;
                continue;
            }
            hints.push((self.now + self.prng.below(50), at));
            if self.prng.one_in(4) {
                hints.push((self.now + self.prng.below(3_000), at));
            }
        }
        let Some(log) = &mut self.sharing else { return };
        log.lines.push(Line { gateway: by, what });
        log.hints.extend(hints);
        log.history.counts.lost_hints += lost;
    }

    /// Returns the times at which something between the gateways is due.
    pub(super) fn sharing_deadlines(&self) -> impl Iterator<Item = u64> {
        let hints = self.sharing.iter().flat_map(|log| log.hints.iter().map(|(at, _)| *at));
        let cuts =
            self.gateways.iter().filter_map(|gateway| Some(gateway.follower.as_ref()?.cut?.1));
        let looks = (0..self.gateways.len()).filter_map(|at| self.next_look(at));
        hints.chain(cuts).chain(looks)
    }

    /// Returns the time at which a gateway looks at the log by itself. One that has nothing to read
    /// does so as well, and is taken to have done it when somebody asks.
    fn next_look(&self, at: usize) -> Option<u64> {
        let follower = self.gateways[at].follower.as_ref()?;
        let is_idle = self.is_idle(at) || !self.gateways[at].on;
        (!is_idle).then_some(follower.looked_at + READ_EVERY)
    }

    fn is_idle(&self, at: usize) -> bool {
        let Some((follower, log)) = self.gateways[at].follower.as_ref().zip(self.sharing.as_ref())
        else {
            return true;
        };
        follower.is_following
            && follower.cut.is_none()
            && follower.read == log.lines.len()
            && follower.released.is_empty()
            && !follower.links.values().any(ClaimedLink::is_unclaimed)
    }

    /// Does what an idle gateway has done each second since it last looked.
    fn catch_up(&mut self, at: usize) {
        if !self.gateways[at].on || !self.is_idle(at) {
            return;
        }
        let (now, ahead) = (self.now, self.gateways[at].ahead);
        let Some(follower) = self.follower(at) else { return };
        let looks = now.saturating_sub(follower.looked_at) / READ_EVERY;
        if looks > 0 {
            follower.looked_at += looks * READ_EVERY;
            let begun = handfast_core::Instant::from_millis(follower.looked_at + ahead);
            follower.reach.read_to_end(begun);
        }
    }

    /// Does one thing that is due between the gateways; `false` if nothing is.
    pub(super) fn sharing_ticks(&mut self) -> bool {
        let now = self.now;
        let Some(log) = &mut self.sharing else { return false };
        if let Some(which) = log.hints.iter().position(|(at, _)| *at <= now) {
            let (_, at) = log.hints.swap_remove(which);
            if self.gateways[at].on {
                self.read_log(at);
            }
            return true;
        }
        for at in 0..self.gateways.len() {
            let is_over = |follower: &Follower| follower.cut.is_some_and(|(_, back)| back <= now);
            if self.gateways[at].follower.as_ref().is_some_and(is_over) {
                self.mend(at);
                return true;
            }
            if self.next_look(at).is_some_and(|due| due <= now) {
                self.looks(at);
                return true;
            }
        }
        false
    }

    /// Does what a gateway does each second.
    fn looks(&mut self, at: usize) {
        let now = self.now;
        if let Some(follower) = self.follower(at) {
            follower.looked_at = now;
        }
        self.read_log(at);
        self.give_up_claims(at);
        self.claim_again(at);
        if !self.contact(at).keeps_links() {
            self.all_go_elsewhere(at);
        }
    }
}
