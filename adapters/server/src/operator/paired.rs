//! The nodes that are paired by their keys, as the operator sees them, and their revocation.

use std::time::Duration;

use handfast_core::crypto::fingerprint::Fingerprint;
use handfast_core::crypto::x25519;
use handfast_core::flow::registration::operator::Purpose;
use handfast_core::grant::capability::{self, Holder};
use handfast_core::grant::scope::ScopesBuf;
use handfast_core::registry::authority::Authority;
use handfast_core::registry::ceiling::{Entitled, InForce, entitled};
use handfast_core::registry::grants::{Grant, State, current};
use handfast_core::registry::lifecycle::{Decision, Notice};
use handfast_core::registry::record::Standing;
use handfast_core::registry::renewal::is_owed;
use handfast_core::{NodeId, Refusal, Span, UnixTime};
use handfast_store::held::Cut;
use handfast_store::{BadRecord, Entry, Revoked, node_id};

use crate::events::Event;
use crate::gateway::delegates::Delegate;
use crate::gateway::operator_types::{Device, OperatorError};
use crate::gateway::{Gateway, MOST_CONFLICTS};
use crate::operator::final_decisions::FEWEST_FOR_GOOD;
use crate::policy::rules::ApprovalTerms;

/// The number of nodes that are read from the store at once.
const PAGE: usize = 500;
/// The minimum number of hex digits that name a capability token, so that no short node id names
/// one.
const FEWEST_DIGITS: usize = 8;
/// The number of matches that an error names.
const MOST_MATCHES: usize = 5;

/// A node that is paired by its keys, with its grants and delegates.
#[derive(Clone, Debug)]
pub struct PairedNode {
    /// The registry's entry, and the state of the node's link.
    pub device: Device,
    /// The node's keys.
    pub keys: Holder,
    /// The grants that are not over, in the order in which they were made.
    pub grants: Vec<Grant>,
    /// The delegates that linked by a chain under this node since the gateway started.
    pub delegates: Vec<Delegate>,
}

/// The result of a revocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Revocation {
    /// A node was revoked: its key is out for good.
    Node {
        /// The id of the node.
        node_id: NodeId,
        /// The name of the node.
        name: String,
    },
    /// A capability token was revoked, and everything delegated from it. The node may pair again.
    Capability {
        /// The id of the capability token.
        id: capability::Id,
        /// The node that held it; `None` for a block that a node delegated.
        node_id: Option<NodeId>,
    },
}

/// The end that a decision sets for a node's rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PermissionEnd {
    /// The rights end after this time, in whole seconds.
    After(Duration),
    /// The rights have no end: the grants live as long as the settings say, and are renewed.
    Renewed,
}

/// A decision about a node that the node has not confirmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offered {
    /// The node's permissions once it has confirmed.
    pub permissions: ScopesBuf,
    /// The end of these permissions; `None` if they are renewed.
    pub expires: Option<UnixTime>,
}

impl PairedNode {
    /// Returns the permissions in force and their end: what the confirmed grant and the operator's
    /// ceiling both allow.
    #[must_use]
    pub fn in_force(&self, now: UnixTime) -> Option<(InForce<'_>, Option<UnixTime>)> {
        // A right to renew is no permission, so the time for renewal is zero here.
        match entitled(&self.grants, self.device.entry.ceiling.as_deref(), Span::from_secs(0), now)
        {
            Entitled::InForce(in_force, until) => {
                // An offer that the node has not confirmed is in force for nobody.
                confirmed(&self.grants, now).then_some((in_force, until))
            }
            Entitled::Renewal | Entitled::Nothing => None,
        }
    }

    /// Returns the offer that the node has yet to confirm, if it differs from what is in force.
    #[must_use]
    pub fn offered(&self, now: UnixTime) -> Option<Offered> {
        let ceiling =
            self.device.entry.ceiling.as_deref().filter(|ceiling| !ceiling.is_over(now))?;
        let waits =
            !confirmed(&self.grants, now) || is_owed(&self.grants, Some(ceiling), None, now);
        let expires = self
            .grants
            .last()
            // The offer waits as the newest grant; if none waits, one is made by the ceiling.
            .filter(|grant| matches!(grant.state, State::Offered { .. }))
            .and_then(|grant| grant.expires);
        waits.then(|| Offered {
            permissions: ceiling.scopes.clone(),
            expires: expires.or(ceiling.expires),
        })
    }
}

/// A page of the nodes that are paired by their keys.
pub(crate) struct PairedPage {
    pub(crate) nodes: Vec<PairedNode>,
    pub(crate) damaged: Vec<BadRecord>,
    /// The node after which the next page begins; `None` on the last page.
    pub(crate) next: Option<NodeId>,
}

/// Returns `true` if the node has confirmed one of its grants that are not over.
fn confirmed(grants: &[Grant], now: UnixTime) -> bool {
    current(grants, now).is_some_and(|grant| grant.state == State::Active)
}

impl Gateway {
    /// Returns all nodes that are paired by their keys, in order of their ids, and those whose
    /// record or grants are damaged.
    ///
    /// # Errors
    /// [`OperatorError::Store`].
    pub async fn paired(&self) -> Result<(Vec<PairedNode>, Vec<BadRecord>), OperatorError> {
        let (mut nodes, mut damaged, mut after) = (Vec::new(), Vec::new(), None);
        loop {
            let page = self.paired_after(after, PAGE).await?;
            nodes.extend(page.nodes);
            damaged.extend(page.damaged);
            after = page.next;
            if after.is_none() {
                return Ok((nodes, damaged));
            }
        }
    }

    /// Returns the nodes that are paired by their keys among the next nodes with keys, at most
    /// `limit`, in order of their ids.
    pub(crate) async fn paired_after(
        &self,
        after: Option<NodeId>,
        limit: usize,
    ) -> Result<PairedPage, OperatorError> {
        let now = self.inner.clock.unix();
        let mut delegates = self.inner.pairing.delegates.by_subject();
        let listed = self.inner.store.list_granted(after, limit, now).await?;
        // Damaged records count, too, so that the next page does not begin with them again.
        let last = listed.last().map(|(listed, _)| node_id(listed));
        let next = last.filter(|_| listed.len() == limit);
        let mut page = PairedPage { nodes: Vec::new(), damaged: Vec::new(), next };
        for (listed, grants) in listed {
            match listed {
                Ok(entry) if !is_paired(&entry) => {}
                Ok(entry) => {
                    // A node without keys authenticates with a token, and has no grants.
                    let Some(keys) = entry.record.keys else { continue };
                    let under = delegates
                        .remove(Fingerprint::of(&keys.channel).as_bytes())
                        .unwrap_or_default();
                    page.nodes.push(PairedNode {
                        device: self.device(entry),
                        keys,
                        grants,
                        delegates: under,
                    });
                }
                Err(bad) => page.damaged.push(bad),
            }
        }
        Ok(page)
    }

    /// Returns the paired node with this whole name, or with an id that begins with it.
    ///
    /// # Errors
    /// [`OperatorError::NotPaired`], [`OperatorError::SeveralPaired`] with the matches, and
    /// [`OperatorError::Store`].
    pub async fn paired_named(&self, which: &str) -> Result<PairedNode, OperatorError> {
        if let Some(node_id) = self.only_paired(which).await? {
            return self.paired_node(node_id).await;
        }
        let (mut nodes, _) = self.paired().await?;
        let mut found = matches(&nodes, which, 1);
        // A capability token has no ceiling of its own, so only nodes can be named here.
        found.retain(|one| matches!(one, Revocation::Node { .. }));
        match &found[..] {
            [Revocation::Node { node_id, .. }] => {
                let at = nodes.iter().position(|node| node.device.entry.record.node_id == *node_id);
                at.map(|at| nodes.swap_remove(at))
                    .ok_or_else(|| OperatorError::NotPaired(which.to_owned()))
            }
            [] | [Revocation::Capability { .. }] => Err(OperatorError::NotPaired(which.to_owned())),
            _ => {
                let shown =
                    found.iter().take(MOST_MATCHES).map(|one| describe(one, &nodes)).collect();
                Err(OperatorError::SeveralPaired { which: which.to_owned(), matches: shown })
            }
        }
    }

    /// Returns the only paired node that this text names, by the indexes of names and ids; `None` if
    /// there is none, there are several, or the indexes have more than is read.
    async fn only_paired(&self, which: &str) -> Result<Option<NodeId>, OperatorError> {
        let store = &self.inner.store;
        let mut found = store.named(which, MOST_MATCHES, self.inner.clock.unix()).await?;
        let mut is_whole = found.len() < MOST_MATCHES;
        let lower = which.to_ascii_lowercase();
        if !lower.is_empty() && lower.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-') {
            let by_id = store.find(&lower, MOST_MATCHES).await?;
            is_whole &= by_id.len() < MOST_MATCHES;
            found.extend(by_id);
        }
        let mut paired: Vec<NodeId> = found
            .iter()
            .flatten()
            .filter(|entry| entry.record.keys.is_some() && is_paired(entry))
            .map(|entry| entry.record.node_id)
            .collect();
        // A node may match both by its name and by its id.
        paired.sort_unstable();
        paired.dedup();
        Ok(match paired[..] {
            [node_id] if is_whole => Some(node_id),
            _ => None,
        })
    }

    /// Returns a node that is paired by its keys.
    ///
    /// # Errors
    /// [`OperatorError::NotFound`], [`OperatorError::NoKeys`] and [`OperatorError::Store`].
    pub async fn paired_node(&self, node_id: NodeId) -> Result<PairedNode, OperatorError> {
        let entry = self.entry(node_id).await?;
        let Some(keys) = entry.record.keys else { return Err(OperatorError::NoKeys(node_id)) };
        let now = self.inner.clock.unix();
        let mut grants = self.inner.store.grants(node_id).await?;
        grants.retain(|grant| grant.counts(now));
        let under = self
            .inner
            .pairing
            .delegates
            .by_subject()
            .remove(Fingerprint::of(&keys.channel).as_bytes());
        Ok(PairedNode {
            device: self.device(entry),
            keys,
            grants,
            delegates: under.unwrap_or_default(),
        })
    }

    /// Changes the upper bound of a paired node's rights. A narrower bound is in force at once,
    /// even if the node never answers; a wider one once the node has confirmed the grant that is
    /// offered to it. Options that are not named stay unchanged.
    ///
    /// # Errors
    /// [`OperatorError::Refused`] if it is not paired, [`OperatorError::NoKeys`] if it is paired by
    /// a token, and the others of [`Gateway::decide`].
    pub async fn permit(
        &self,
        node_id: NodeId,
        permissions: Option<ScopesBuf>,
        until: Option<PermissionEnd>,
    ) -> Result<(), OperatorError> {
        self.permit_by(&Authority::OWNER, node_id, permissions, until).await
    }

    /// Changes the bound by a maker's rights. Delegated rights grant nothing wider or longer than
    /// themselves, and what they grant ends with them.
    ///
    /// # Errors
    /// As for [`Gateway::permit`], and [`OperatorError::Wider`].
    pub async fn permit_by(
        &self,
        authority: &Authority,
        node_id: NodeId,
        permissions: Option<ScopesBuf>,
        until: Option<PermissionEnd>,
    ) -> Result<(), OperatorError> {
        let expires = match until {
            Some(PermissionEnd::After(lasts)) if lasts.as_secs() == 0 => {
                return Err(OperatorError::Usage(
                    "what may be done for no time is nothing: leave the permissions out".to_owned(),
                ));
            }
            Some(PermissionEnd::After(lasts)) => Some(lasts),
            Some(PermissionEnd::Renewed) | None => None,
        };
        let endless = until == Some(PermissionEnd::Renewed);
        let terms = ApprovalTerms { permissions, expires, message: None };
        let (gateway, authority) = (self.clone(), authority.clone());
        crate::gateway::to_its_end(async move {
            gateway.permit_now(&authority, node_id, &terms, endless).await
        })
        .await
    }

    async fn permit_now(
        &self,
        authority: &Authority,
        node_id: NodeId,
        terms: &ApprovalTerms,
        endless: bool,
    ) -> Result<(), OperatorError> {
        for _ in 0..MOST_CONFLICTS {
            let entry = self.entry(node_id).await?;
            let Some(holder) = entry.record.keys else {
                return Err(OperatorError::NoKeys(node_id));
            };
            let granted =
                self.grant(authority, &entry, holder, Purpose::Reissue, terms, endless).await;
            // A decision that is not stored yet is in force all the same, so it is an event.
            if matches!(granted, Ok(Some(_)) | Err(OperatorError::CutNotStored { .. })) {
                self.event(Event::Decided { node_id, decision: "permissions" });
            }
            if granted?.is_some() {
                return Ok(());
            }
        }
        Err(OperatorError::Refused { node_id, refusal: Refusal::StoreFailed })
    }

    /// Revokes a paired node, named by its whole name or by [`FEWEST_FOR_GOOD`] or more characters
    /// of its id, or a capability token, named by at least eight digits of its id. A capability
    /// token that the registry does not know, because a node delegated it, is named by all 64
    /// digits.
    ///
    /// # Errors
    /// [`OperatorError::NotPaired`], [`OperatorError::SeveralPaired`] with the matches, and the
    /// others of [`Gateway::decide`].
    pub async fn revoke_paired(&self, which: &str) -> Result<Revocation, OperatorError> {
        let (nodes, _) = self.paired().await?;
        let mut found = matches(&nodes, which, FEWEST_FOR_GOOD);
        match found.len() {
            // The registry does not know the blocks that nodes delegate, so only a whole id names
            // one.
            0 => match foreign_block(which) {
                Some(id) => self.revoke_block(id).await,
                None => Err(OperatorError::NotPaired(which.to_owned())),
            },
            1 => {
                let found = found.remove(0);
                self.check_name(which, &found).await?;
                self.revoke(found).await
            }
            _ => {
                let shown =
                    found.iter().take(MOST_MATCHES).map(|one| describe(one, &nodes)).collect();
                Err(OperatorError::SeveralPaired { which: which.to_owned(), matches: shown })
            }
        }
    }

    /// Checks that what names a node names no other, of any dialect.
    async fn check_name(&self, which: &str, found: &Revocation) -> Result<(), OperatorError> {
        match found {
            Revocation::Node { .. } => self.device_for_good(which).await.map(|_| ()),
            Revocation::Capability { .. } => Ok(()),
        }
    }

    /// Revokes all nodes that are paired by their keys, and returns the outcome of each.
    ///
    /// # Errors
    /// [`OperatorError::Store`] if they cannot be listed.
    pub async fn revoke_all(
        &self,
    ) -> Result<Vec<(NodeId, Result<(), OperatorError>)>, OperatorError> {
        let (nodes, damaged) = self.paired().await?;
        let ids = nodes
            .iter()
            .map(|node| node.device.entry.record.node_id)
            // A node whose record is damaged must not keep its rights for that reason.
            .chain(damaged.iter().map(|bad| bad.node_id));
        let mut outcomes = Vec::new();
        for id in ids {
            outcomes.push((id, self.decide(id, &Decision::Unpair).await));
        }
        Ok(outcomes)
    }

    async fn revoke(&self, what: Revocation) -> Result<Revocation, OperatorError> {
        match &what {
            Revocation::Node { node_id, .. } => self.decide(*node_id, &Decision::Unpair).await?,
            Revocation::Capability { id, node_id: Some(node_id) } => {
                let (gateway, id, node_id) = (self.clone(), *id, *node_id);
                crate::gateway::to_its_end(async move { gateway.revoke_grant(id, node_id).await })
                    .await?;
            }
            Revocation::Capability { id, node_id: None } => return self.revoke_block(*id).await,
        }
        Ok(what)
    }

    /// Ends the grant of this capability token. If it is the node's current one, all of the node's
    /// grants end, and its link with them.
    async fn revoke_grant(&self, id: capability::Id, node_id: NodeId) -> Result<(), OperatorError> {
        let (store, now) = (self.store(), self.inner.clock.unix());
        let grants = store.grants(node_id).await?;
        let rests_on_it = current(&grants, now).is_some_and(|grant| grant.capability == Some(id));
        let of = |grant: &&Grant| rests_on_it || grant.capability == Some(id);
        let capabilities: Vec<_> =
            grants.iter().filter(of).filter_map(|grant| grant.capability).collect();
        let those = match rests_on_it {
            // `None` ends all grants of the node in one step.
            true => vec![None],
            false => grants.iter().filter(of).map(|grant| Some(grant.id)).collect(),
        };
        for which in those {
            let cut = Cut::Grants { node_id, which, capabilities: capabilities.clone() };
            let end = |gateway: &Self| {
                gateway.event(Event::GrantRevoked { node_id, grant: which });
                gateway.cut_blocks(&capabilities);
                if rests_on_it {
                    gateway.push(node_id, Some(Notice::Unpaired));
                }
            };
            let ended = self
                .cut(
                    cut,
                    format!("capability {id} of node {node_id}"),
                    end,
                    store.end_grants(node_id, which, now),
                )
                .await?;
            self.cut_blocks(&ended);
        }
        Ok(())
    }

    async fn revoke_block(&self, id: capability::Id) -> Result<Revocation, OperatorError> {
        let what = Revoked::Block(id);
        let store = self.store();
        let stored = store.revoke(what, self.inner.clock.unix());
        self.cut(
            Cut::Revoked(what),
            format!("capability {id}"),
            |gateway| gateway.cut_blocks(&[id]),
            stored,
        )
        .await?;
        Ok(Revocation::Capability { id, node_id: None })
    }

    /// Ends at once everything that depends on these blocks: links, and bearers issued over them.
    pub(crate) fn cut_blocks(&self, blocks: &[capability::Id]) {
        self.inner.pairing.bearers.drop_blocks(blocks);
        self.inner.hub.cut(blocks);
    }

    /// Ends at once everything that depends on a block of this holder.
    pub(crate) fn cut_key(&self, holder: &x25519::PublicKey) {
        self.inner.pairing.bearers.drop_key(holder);
        self.inner.hub.cut_key(holder);
    }
}

fn is_paired(entry: &Entry) -> bool {
    match entry.record.standing {
        Standing::Paired { .. } | Standing::Muted { .. } => true,
        Standing::Pending { .. } | Standing::Unapproved { .. } | Standing::Revoked { .. } => false,
    }
}

/// Returns the nodes and capability tokens that a text may name, each once.
fn matches(nodes: &[PairedNode], which: &str, fewest: usize) -> Vec<Revocation> {
    let lower = which.to_ascii_lowercase();
    let hex =
        !lower.is_empty() && lower.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    let mut found = Vec::new();
    for node in nodes {
        let record = &node.device.entry.record;
        let node_id = record.node_id;
        // Names are compared exactly, and ids by their beginning.
        if record.name.as_str() == which
            || (hex && lower.len() >= fewest && node_id.to_string().starts_with(&lower))
        {
            found.push(Revocation::Node { node_id, name: record.name.to_string() });
        }
        let named = |id: &capability::Id| {
            hex && lower.len() >= FEWEST_DIGITS && id.to_string().starts_with(&lower)
        };
        for id in node.grants.iter().filter_map(|grant| grant.capability).filter(named) {
            let capability = Revocation::Capability { id, node_id: Some(node_id) };
            if !found.contains(&capability) {
                found.push(capability);
            }
        }
    }
    found
}

/// Parses the whole id of a block, as it is shown.
fn foreign_block(which: &str) -> Option<capability::Id> {
    let digits = which.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    let mut bytes = [0; 32];
    for (place, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let value =
            |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
        *place = value(pair[0])? << 4 | value(pair[1])?;
    }
    Some(capability::Id::from_bytes(bytes))
}

fn describe(found: &Revocation, nodes: &[PairedNode]) -> String {
    match found {
        Revocation::Node { node_id, name } => format!("{name:?} ({node_id})"),
        Revocation::Capability { id, node_id } => {
            let owner = nodes
                .iter()
                .map(|node| &node.device.entry.record)
                .find(|record| Some(record.node_id) == *node_id);
            format!(
                "capability {id} of {:?}",
                owner.map_or("unknown", |record| record.name.as_str())
            )
        }
    }
}

#[cfg(test)]
mod tests;
