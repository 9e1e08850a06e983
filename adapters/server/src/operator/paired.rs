//! The nodes that are paired by their keys, as the operator sees them, and their permissions.

mod revoking;

use std::time::Duration;

use handfast_core::crypto::fingerprint::Fingerprint;
use handfast_core::flow::registration::operator::Purpose;
use handfast_core::grant::capability::Holder;
use handfast_core::grant::scope::ScopesBuf;
use handfast_core::registry::authority::Authority;
use handfast_core::registry::ceiling::{Entitled, InForce, entitled};
use handfast_core::registry::grants::{Grant, State, current};
use handfast_core::registry::record::Standing;
use handfast_core::registry::renewal::is_owed;
use handfast_core::{NodeId, Refusal, Span, UnixTime};
use handfast_store::{BadRecord, Entry, node_id};

pub use self::revoking::Revocation;
use self::revoking::{describe, matches};
use crate::events::Event;
use crate::gateway::delegates::Delegate;
use crate::gateway::operator_types::{Device, OperatorError};
use crate::gateway::{Gateway, MOST_CONFLICTS};
use crate::policy::rules::ApprovalTerms;

/// The number of nodes that are read from the store at once.
const PAGE: usize = 500;
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
}

fn is_paired(entry: &Entry) -> bool {
    match entry.record.standing {
        Standing::Paired { .. } | Standing::Muted { .. } => true,
        Standing::Pending { .. } | Standing::Unapproved { .. } | Standing::Revoked { .. } => false,
    }
}

#[cfg(test)]
mod tests;
