//! The registry as several gateways share it: changes that others made, and who holds which link.

use std::time::Duration;

use async_trait::async_trait;
use handfast_core::NodeId;

use crate::{StoreError, Version};

/// A place in the log of changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChangePlace {
    pub(crate) transaction: i64,
    pub(crate) number: i64,
}

/// The subject of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChangeKind {
    /// A node that is not waiting: its standing, its ceiling, or its epoch. Without a version, it
    /// was removed.
    Node,
    /// The grants of a node.
    Grant,
    /// The certificates of a node, or the revoked keys of certificates.
    Certificate,
    /// The clone counter of a node.
    Clone,
    /// A task for a node.
    Dispatch,
    /// The revoked blocks and keys.
    Revocation,
    /// The end of a companion's session.
    Session,
    /// The end of an operator's session or token.
    Login,
    /// The facts about senders.
    Sender,
    /// A secret that all gateways share.
    Key,
    /// The gateway's addresses that a node is to know.
    Addresses,
    /// The requests that wait.
    Request,
    /// The codes and PINs: one was made, used or withdrawn.
    Code,
    /// The policies that approve in advance: one was made, used or ended.
    Policy,
    /// A [claim](Shared::claim_links) of a node's link. The version is its number.
    Link,
}

/// A change that other gateways must hear of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its place in the log.
    pub place: ChangePlace,
    /// Its subject.
    pub kind: ChangeKind,
    /// The node, if it is about one.
    pub node: Option<NodeId>,
    /// Name of the gateway that made it.
    pub gateway: String,
    /// Version of the node's record, or the number of the claim.
    pub version: Option<Version>,
}

/// A link that a gateway claims. The number distinguishes the links of one node at this gateway,
/// and a later one is greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkClaim {
    /// The node.
    pub node_id: NodeId,
    /// Number of the link.
    pub number: u64,
}

/// What a gateway tells of itself with each beat.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Beat {
    /// Version of its program.
    pub program: String,
    /// Address under which the other gateways' operators find it, if it has one.
    pub address: Option<String>,
    /// Number of its links.
    pub links: u32,
    /// Time since it last read the log of changes to its end.
    pub behind: Duration,
}

/// A gateway of the registry, by its latest beat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharingGateway {
    /// Its name.
    pub name: String,
    /// What it told.
    pub told: Beat,
    /// Time since then, by the database's clock.
    pub silent: Duration,
    /// `true` while its lease runs: nodes that it claimed count as linked there.
    pub is_present: bool,
}

/// The answer to a [beat](Shared::beat).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BeatAnswer {
    /// The database's time of day, since 1970.
    pub time: Duration,
    /// All gateways that beat within the last day, this one included, by name.
    pub gateways: Vec<SharingGateway>,
}

/// The time for which a beat keeps a gateway's claims.
pub const LEASE: Duration = Duration::from_secs(5);

/// What gateways share besides the rows of [`Store`](crate::Store). None of it is a message: the
/// log of changes says what to read again.
#[async_trait]
pub trait Shared: Send + Sync {
    /// Returns the name of this gateway.
    fn gateway(&self) -> &str;

    /// Returns the present end of the log. What is read from now on rests on every change before
    /// it.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    async fn last_change(&self) -> Result<ChangePlace, StoreError>;

    /// Returns the changes after this place, in order, this gateway's own included, at most
    /// `limit`; `None` if some of them were removed, so that everything has to be read anew.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read.
    async fn changes(
        &self,
        after: ChangePlace,
        limit: usize,
    ) -> Result<Option<Vec<Change>>, StoreError>;

    /// Removes at most `most` changes that are older than a day by the database's clock, the
    /// earliest first. Returns their number.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be made durable.
    async fn prune_changes(&self, most: u32) -> Result<usize, StoreError>;

    /// Waits until there may be changes to read: a hint arrived. Hints may be lost, repeated and
    /// reordered, so a reader also looks by itself.
    async fn hinted(&self);

    /// Waits until this gateway has made changes that others must hear of, for a carrier of hints
    /// beside the store's own.
    async fn committed(&self);

    /// Takes in a hint that came over another carrier.
    fn hint(&self);

    /// Says whether another carrier is carrying hints, so that the store's own may be rare.
    fn carries_hints(&self, is_carried: bool);

    /// Renews this gateway's lease, enters what it tells of itself, and reads the others.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be made durable.
    async fn beat(&self, beat: Beat) -> Result<BeatAnswer, StoreError>;

    /// Enters that these nodes have their links here, and writes a [`ChangeKind::Link`] for each. A
    /// claim of another gateway is replaced; one of this gateway only by a greater number.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be made durable.
    async fn claim_links(&self, links: Vec<LinkClaim>) -> Result<(), StoreError>;

    /// Gives up claims that are still exactly these.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be made durable.
    async fn release_links(&self, links: Vec<LinkClaim>) -> Result<(), StoreError>;

    /// Returns the name of the gateway that holds the node's link and whose lease runs.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    async fn link_at(&self, node_id: NodeId) -> Result<Option<String>, StoreError>;

    /// Returns the names of the gateways that hold the links of these nodes and whose leases run. A
    /// node without one is left out.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read.
    async fn links_at(&self, nodes: Vec<NodeId>) -> Result<Vec<(NodeId, String)>, StoreError> {
        let mut links = Vec::new();
        for node_id in nodes {
            links.extend(self.link_at(node_id).await?.map(|gateway| (node_id, gateway)));
        }
        Ok(links)
    }
}
