//! The claims of nodes' links in a registry that several gateways share, and what each link has
//! heard of its node's record. [`handfast_core::registry::sharing`] decides.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use handfast_core::NodeId;
use handfast_core::registry::lifecycle::Notice;
use handfast_core::registry::sharing::elsewhere::Heard;
use handfast_core::registry::sharing::links::{
    LinkClaim, LinkHolder, LinkVerdict, LoggedClaim, Reclaim,
};
use tokio::sync::Notify;

/// The claims of all nodes' links.
#[derive(Debug)]
pub(crate) struct ClaimedLinks {
    table: Mutex<ClaimTable>,
    due: Notify,
}

#[derive(Debug, Default)]
struct ClaimTable {
    /// Number of the last claim.
    latest: u64,
    links: HashMap<NodeId, ClaimedLink>,
    /// Nodes whose present claim is to be written.
    unwritten: HashSet<NodeId>,
    /// Claims of links that have ended.
    released: Vec<NumberedLink>,
}

#[derive(Debug)]
struct ClaimedLink {
    claim: LinkClaim,
    /// `None` until the link has read its node's record.
    heard: Option<Box<Heard>>,
    /// `true` if the record changed before that.
    missed: bool,
}

/// A node and the number of a claim of its link.
pub(crate) type NumberedLink = (NodeId, u64);

/// Claims that are due.
#[derive(Debug, Default)]
pub(crate) struct DueClaims {
    pub(crate) claimed: Vec<NumberedLink>,
    pub(crate) released: Vec<NumberedLink>,
}

impl ClaimedLinks {
    /// Creates an empty table. `first` is greater than every number of an earlier run.
    pub(crate) fn new(first: u64) -> Self {
        let table = ClaimTable { latest: first, ..ClaimTable::default() };
        Self { table: Mutex::new(table), due: Notify::new() }
    }

    /// Begins to claim the link of a node, which has just opened.
    pub(crate) fn opened(&self, node_id: NodeId) {
        let mut table = self.table();
        let claim = LinkClaim::new(table.next());
        table.links.insert(node_id, ClaimedLink { claim, heard: None, missed: false });
        table.unwritten.insert(node_id);
        drop(table);
        self.due.notify_one();
    }

    /// Gives up the claim of a node that has no link any more.
    pub(crate) fn closed(&self, node_id: NodeId) {
        let mut table = self.table();
        let Some(link) = table.links.remove(&node_id) else { return };
        // One that was taken to be written may be written by now.
        if !table.unwritten.remove(&node_id) {
            table.released.push((node_id, link.claim.number()));
            drop(table);
            self.due.notify_one();
        }
    }

    /// Takes in what the link of a node has read of the node's record. Returns `true` if the record
    /// may have changed since.
    pub(crate) fn heard(&self, node_id: NodeId, heard: Heard) -> bool {
        let mut table = self.table();
        let Some(link) = table.links.get_mut(&node_id) else { return false };
        link.heard = Some(Box::new(heard));
        std::mem::take(&mut link.missed)
    }

    /// Returns what `hears` makes of what the node's link has heard; `None` for the latter if it has
    /// read nothing of the record yet. Without a link there is nothing to hear.
    pub(crate) fn hears<T>(
        &self,
        node_id: NodeId,
        hears: impl FnOnce(Option<&mut Heard>) -> Option<T>,
    ) -> Option<T> {
        let mut table = self.table();
        let link = table.links.get_mut(&node_id)?;
        link.missed |= link.heard.is_none();
        hears(link.heard.as_deref_mut())
    }

    /// Takes in a notice that this gateway gives the link of a node by a decision of its own, which
    /// it skips in the log.
    pub(crate) fn told(&self, node_id: NodeId, notice: Notice) {
        let mut table = self.table();
        let Some(link) = table.links.get_mut(&node_id) else { return };
        match &mut link.heard {
            Some(heard) => heard.told(notice),
            // What it is reading may be older.
            None => link.missed = true,
        }
    }

    /// Returns `true` for a number that this table has not given yet.
    pub(crate) fn is_foreign(&self, number: u64) -> bool {
        number > self.table().latest
    }

    /// Takes in a claim of the log.
    pub(crate) fn read(&self, node_id: NodeId, claim: LoggedClaim) -> LinkVerdict {
        match self.table().links.get_mut(&node_id) {
            Some(link) => link.claim.read(claim),
            None => LinkVerdict::Stays,
        }
    }

    /// Returns the numbers of all claims.
    pub(crate) fn all(&self) -> Vec<NumberedLink> {
        let table = self.table();
        table.links.iter().map(|(node_id, link)| (*node_id, link.claim.number())).collect()
    }

    /// Decides about a link after a gap in the log, if its claim is still this one.
    pub(crate) fn after_gap(&self, (node_id, number): NumberedLink, holder: LinkHolder) -> Reclaim {
        match self.table().links.get_mut(&node_id) {
            Some(link) if link.claim.number() == number => link.claim.after_gap(holder),
            // It ended, or a newer one was opened since.
            Some(_) | None => Reclaim::Stands,
        }
    }

    /// Claims a link again, if its claim is still this one.
    pub(crate) fn again(&self, node_id: NodeId, number: u64) {
        let mut table = self.table();
        let next = table.next();
        let Some(link) = table.links.get_mut(&node_id) else { return };
        if link.claim.number() == number {
            link.claim.again(next);
            table.unwritten.insert(node_id);
            drop(table);
            self.due.notify_one();
        }
    }

    /// Completes when claims may be due.
    pub(crate) async fn due(&self) {
        self.due.notified().await;
    }

    /// Takes the claims that are due.
    pub(crate) fn take_due(&self) -> DueClaims {
        let mut table = self.table();
        let unwritten = std::mem::take(&mut table.unwritten);
        let number = |node_id: NodeId| Some((node_id, table.links.get(&node_id)?.claim.number()));
        let claimed = unwritten.into_iter().filter_map(number).collect();
        DueClaims { claimed, released: std::mem::take(&mut table.released) }
    }

    /// Records that these claims could not be written.
    pub(crate) fn not_written(&self, claimed: &[NumberedLink]) {
        let mut table = self.table();
        for (node_id, number) in claimed {
            if let Some(link) = table.links.get_mut(node_id)
                && link.claim.number() == *number
            {
                link.claim.not_written();
            }
        }
    }

    /// Records that these claims could not be given up, so that it is tried again.
    pub(crate) fn not_released(&self, released: Vec<NumberedLink>) {
        self.table().released.extend(released);
    }

    fn table(&self) -> MutexGuard<'_, ClaimTable> {
        // No holder can panic half way through a change, so a poisoned lock is still consistent.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClaimTable {
    const fn next(&mut self) -> u64 {
        self.latest = self.latest.saturating_add(1);
        self.latest
    }
}

#[cfg(test)]
mod tests {
    use handfast_core::registry::record::{Credential, Mode, Standing};

    use super::*;

    fn node(byte: u8) -> NodeId {
        NodeId::from_bytes([byte; 16])
    }

    #[test]
    fn a_link_is_claimed_once_and_given_up_only_if_it_may_have_been_written() {
        let claims = ClaimedLinks::new(100);
        claims.opened(node(1));
        claims.opened(node(2));
        claims.closed(node(2));
        let due = claims.take_due();
        assert_eq!((due.claimed.as_slice(), due.released.len()), ([(node(1), 101)].as_slice(), 0));
        assert!(claims.take_due().claimed.is_empty());
        // A newer link of the node takes the place of the older one.
        claims.opened(node(1));
        assert_eq!(claims.take_due().claimed, [(node(1), 103)]);
        claims.closed(node(1));
        assert_eq!(claims.take_due().released, [(node(1), 103)]);
        assert!(claims.is_foreign(104) && !claims.is_foreign(103) && !claims.is_foreign(7));
    }

    #[test]
    fn a_claim_that_was_not_written_is_the_older_one_until_it_is_tried_again() {
        let claims = ClaimedLinks::new(0);
        claims.opened(node(1));
        let due = claims.take_due();
        claims.not_written(&due.claimed);
        assert_eq!(claims.read(node(1), LoggedClaim::Other), LinkVerdict::Ends);
        claims.again(node(1), 1);
        assert_eq!(claims.take_due().claimed, [(node(1), 2)]);
        assert_eq!(claims.read(node(1), LoggedClaim::Other), LinkVerdict::Stays);
        // The failure of an earlier claim says nothing about this one.
        claims.not_written(&due.claimed);
        assert_eq!(claims.read(node(1), LoggedClaim::Own(2)), LinkVerdict::Stays);
        assert_eq!(claims.read(node(1), LoggedClaim::Other), LinkVerdict::Ends);
        assert_eq!(claims.read(node(9), LoggedClaim::Other), LinkVerdict::Stays, "no link");
    }

    #[test]
    fn a_change_before_the_link_has_read_its_record_is_looked_at_afterwards() {
        let claims = ClaimedLinks::new(0);
        let paired = Standing::Paired { credential: Credential::Keys, mode: Mode::Full };
        claims.opened(node(1));
        let notice = claims.hears(node(1), |heard| heard.map(|_| Notice::Muted));
        assert_eq!(notice, None);
        assert!(claims.heard(node(1), Heard::of(&paired, 0, false)));
        assert!(!claims.heard(node(1), Heard::of(&paired, 0, false)));
        let notice = claims.hears(node(1), |heard| heard.and_then(|heard| heard.quarantine(true)));
        assert_eq!(notice, Some(Notice::Quarantined));
    }

    #[test]
    fn a_node_that_is_unmuted_here_hears_that_it_is_muted_again_elsewhere() {
        let claims = ClaimedLinks::new(0);
        let muted = Standing::Muted { credential: Credential::Keys, restore: Mode::Full };
        claims.opened(node(1));
        claims.told(node(1), Notice::Unmuted);
        assert!(claims.heard(node(1), Heard::of(&muted, 0, false)), "it may be older");
        claims.told(node(1), Notice::Unmuted);
        let record = |heard: Option<&mut Heard>| heard?.record(Some((&muted, 0)));
        assert_eq!(claims.hears(node(1), record), Some(Notice::Muted));
        assert_eq!(claims.hears(node(1), record), None);
    }
}
