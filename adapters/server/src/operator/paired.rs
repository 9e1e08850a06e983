//! The nodes that are paired by their keys, as the operator sees them; and how they are put out.

use std::time::Duration;

use handfast_core::crypto::fingerprint::Fingerprint;
use handfast_core::crypto::x25519;
use handfast_core::error::Refusal;
use handfast_core::flow::registration::operator::Purpose;
use handfast_core::grant::capability::{self, Holder};
use handfast_core::grant::scope::ScopesBuf;
use handfast_core::id::NodeId;
use handfast_core::registry::authority::Authority;
use handfast_core::registry::ceiling::{Entitled, InForce, entitled, is_owed};
use handfast_core::registry::grants::{Grant, State, current};
use handfast_core::registry::lifecycle::{Decision, Notice};
use handfast_core::registry::record::Standing;
use handfast_core::time::{Span, UnixTime};
use handfast_store::held::Cut;
use handfast_store::{BadRecord, Entry, Revoked, node_id};

use crate::gateway::delegates::Delegate;
use crate::gateway::{Device, Gateway, MOST_CONFLICTS, OperatorError};
use crate::hook::Event;
use crate::operator::final_decisions::FEWEST_FOR_GOOD;
use crate::policy::rules::Terms;

/// How many nodes are read from the store at once.
const PAGE: usize = 500;
/// Fewest hex digits by which a capability is named, so that no short id of a node names one.
const FEWEST_DIGITS: usize = 8;
/// How many matches are named where several fit.
const MOST_MATCHES: usize = 5;

/// A node that is paired by its keys.
#[derive(Clone, Debug)]
pub struct PairedNode {
    /// Everything the registry knows, and whether its link is open.
    pub device: Device,
    /// Its keys.
    pub keys: Holder,
    /// Its grants that count, in the order in which they were made.
    pub grants: Vec<Grant>,
    /// Those who linked by a chain under it since the gateway started.
    pub delegates: Vec<Delegate>,
}

/// What was revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Revocation {
    /// A node: its key is out for good.
    Node {
        /// Which.
        node_id: NodeId,
        /// What it is called.
        name: String,
    },
    /// A capability, and all that was delegated from it. The node may pair again.
    Capability {
        /// Which.
        id: capability::Id,
        /// Of which node; none for a block that somebody delegated.
        node_id: Option<NodeId>,
    },
}

/// Until when a node may do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// For so long from now on, in whole seconds; then it ends.
    After(Duration),
    /// Without an end: its grants live as long as the settings say, and are renewed.
    Renewed,
}

/// What was decided about a node and it has not confirmed yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offered {
    /// What it may do once it has.
    pub permissions: ScopesBuf,
    /// Until when; renewed before, if there is no time.
    pub expires: Option<UnixTime>,
}

impl PairedNode {
    /// What it may do now, and until when: what its confirmed grant and the operator's last word
    /// both allow.
    #[must_use]
    pub fn in_force(&self, now: UnixTime) -> Option<(InForce<'_>, Option<UnixTime>)> {
        match entitled(&self.grants, self.device.entry.ceiling.as_deref(), Span::from_secs(0), now)
        {
            Entitled::InForce(in_force, until) => {
                confirmed(&self.grants, now).then_some((in_force, until))
            }
            Entitled::Renewal | Entitled::Nothing => None,
        }
    }

    /// What it may do once it has confirmed it, if that is something else than what is in force.
    #[must_use]
    pub fn offered(&self, now: UnixTime) -> Option<Offered> {
        let ceiling =
            self.device.entry.ceiling.as_deref().filter(|ceiling| !ceiling.is_over(now))?;
        let waits =
            !confirmed(&self.grants, now) || is_owed(&self.grants, Some(ceiling), None, now);
        let expires = self
            .grants
            .last()
            .filter(|grant| matches!(grant.state, State::Offered { .. }))
            .and_then(|grant| grant.expires);
        waits.then(|| Offered {
            permissions: ceiling.scopes.clone(),
            expires: expires.or(ceiling.expires),
        })
    }
}

/// Whether the node has confirmed one of its grants that count.
fn confirmed(grants: &[Grant], now: UnixTime) -> bool {
    current(grants, now).is_some_and(|grant| grant.state == State::Active)
}

impl Gateway {
    /// All nodes that are paired by their keys, in order of their ids, and those whose record or
    /// grants are damaged.
    ///
    /// # Errors
    /// [`OperatorError::Store`].
    pub async fn paired(&self) -> Result<(Vec<PairedNode>, Vec<BadRecord>), OperatorError> {
        let now = self.inner.clock.unix();
        let mut delegates = self.inner.pairing.delegates.by_subject();
        let (mut nodes, mut damaged, mut after) = (Vec::new(), Vec::new(), None);
        loop {
            let page = self.inner.store.list_granted(after, PAGE, now).await?;
            let full = page.len() == PAGE;
            after = page.last().map(|(listed, _)| node_id(listed));
            for (listed, grants) in page {
                match listed {
                    Ok(entry) if !is_paired(&entry) => {}
                    Ok(entry) => {
                        let Some(keys) = entry.record.keys else { continue };
                        let under = delegates
                            .remove(Fingerprint::of(&keys.channel).as_bytes())
                            .unwrap_or_default();
                        nodes.push(PairedNode {
                            device: self.device(entry),
                            keys,
                            grants,
                            delegates: under,
                        });
                    }
                    Err(bad) => damaged.push(bad),
                }
            }
            if !full {
                return Ok((nodes, damaged));
            }
        }
    }

    /// The paired node that this names: by the beginning of its id, or by its name (all of it).
    ///
    /// # Errors
    /// [`OperatorError::NotPaired`], [`OperatorError::SeveralPaired`] with those that fit, and
    /// [`OperatorError::Store`].
    pub async fn paired_named(&self, which: &str) -> Result<PairedNode, OperatorError> {
        let (mut nodes, _) = self.paired().await?;
        let mut found = matches(&nodes, which, 1);
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

    /// A node that is paired by its keys.
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

    /// Decides anew what a paired node may do at most. Less than it has is in force at once,
    /// whether or not the node takes notice; more is once it has confirmed the grant that is
    /// offered to it. What is not said stays as it is.
    ///
    /// # Errors
    /// [`OperatorError::Refused`] if it is not paired, [`OperatorError::NoKeys`] if it is paired by
    /// a token, and the others of [`Gateway::decide`].
    pub async fn permit(
        &self,
        node_id: NodeId,
        permissions: Option<ScopesBuf>,
        until: Option<Until>,
    ) -> Result<(), OperatorError> {
        self.permit_by(&Authority::OWNER, node_id, permissions, until).await
    }

    /// The same by somebody's right: a delegated one gives nothing wider or longer than itself, and
    /// what it gave ends with it.
    ///
    /// # Errors
    /// As for [`Gateway::permit`], and [`OperatorError::Wider`].
    pub async fn permit_by(
        &self,
        authority: &Authority,
        node_id: NodeId,
        permissions: Option<ScopesBuf>,
        until: Option<Until>,
    ) -> Result<(), OperatorError> {
        let expires = match until {
            Some(Until::After(lasts)) if lasts.as_secs() == 0 => {
                return Err(OperatorError::Usage(
                    "what may be done for no time is nothing: leave the permissions out".to_owned(),
                ));
            }
            Some(Until::After(lasts)) => Some(lasts),
            Some(Until::Renewed) | None => None,
        };
        let endless = until == Some(Until::Renewed);
        let terms = Terms { permissions, expires, message: None };
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
        terms: &Terms,
        endless: bool,
    ) -> Result<(), OperatorError> {
        for _ in 0..MOST_CONFLICTS {
            let entry = self.entry(node_id).await?;
            let Some(holder) = entry.record.keys else {
                return Err(OperatorError::NoKeys(node_id));
            };
            let granted =
                self.grant(authority, &entry, holder, Purpose::Reissue, terms, endless).await;
            if matches!(granted, Ok(Some(_)) | Err(OperatorError::CutNotStored { .. })) {
                self.event(Event::Decided { node_id, decision: "permissions" });
            }
            if granted?.is_some() {
                return Ok(());
            }
        }
        Err(OperatorError::Refused { node_id, refusal: Refusal::StoreFailed })
    }

    /// Puts out the one that this names: a paired node by its whole name or by [`FEWEST_FOR_GOOD`]
    /// or more characters of its id, or a capability by at least eight digits of its id. A
    /// capability that the registry does not know, because a node delegated it, is named by all 64
    /// digits.
    ///
    /// # Errors
    /// [`OperatorError::NotPaired`], [`OperatorError::SeveralPaired`] with those that fit, and the
    /// others of [`Gateway::decide`].
    pub async fn revoke_paired(&self, which: &str) -> Result<Revocation, OperatorError> {
        let (nodes, _) = self.paired().await?;
        let mut found = matches(&nodes, which, FEWEST_FOR_GOOD);
        match found.len() {
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

    /// What the beginning of one node's id names must not be the name of another, of whatever
    /// dialect.
    async fn check_name(&self, which: &str, found: &Revocation) -> Result<(), OperatorError> {
        let Revocation::Node { node_id, name } = found else { return Ok(()) };
        if name == which {
            return Ok(());
        }
        let named = self.inner.store.named(which, MOST_MATCHES, self.inner.clock.unix()).await?;
        let mut matches: Vec<String> = named
            .iter()
            .map(|listed| format!("{which:?} ({})", handfast_store::node_id(listed)))
            .collect();
        if matches.is_empty() {
            return Ok(());
        }
        matches.push(format!("{name:?} ({node_id})"));
        Err(OperatorError::SeveralPaired { which: which.to_owned(), matches })
    }

    /// Puts out all nodes that are paired by their keys, and says for each what became of it.
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

    /// Ends the grant with this capability, and with the one that its link rests on everything that
    /// was made from it.
    async fn revoke_grant(&self, id: capability::Id, node_id: NodeId) -> Result<(), OperatorError> {
        let (store, now) = (&self.inner.store, self.inner.clock.unix());
        let grants = store.grants(node_id).await?;
        let rests_on_it = current(&grants, now).is_some_and(|grant| grant.capability == Some(id));
        let of = |grant: &&Grant| rests_on_it || grant.capability == Some(id);
        let capabilities: Vec<_> =
            grants.iter().filter(of).filter_map(|grant| grant.capability).collect();
        let those = match rests_on_it {
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
        let stored = self.inner.store.revoke(what, self.inner.clock.unix());
        self.cut(
            Cut::Revoked(what),
            format!("capability {id}"),
            |gateway| gateway.cut_blocks(&[id]),
            stored,
        )
        .await?;
        Ok(Revocation::Capability { id, node_id: None })
    }

    /// Ends at once what rests on these blocks: links, and bearers that were given out over them.
    pub(crate) fn cut_blocks(&self, blocks: &[capability::Id]) {
        self.inner.pairing.bearers.drop_blocks(blocks);
        self.inner.hub.cut(blocks);
    }

    /// Ends at once what rests on a block of this holder's.
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

/// What a text may name: each once.
fn matches(nodes: &[PairedNode], which: &str, fewest: usize) -> Vec<Revocation> {
    let lower = which.to_ascii_lowercase();
    let hex =
        !lower.is_empty() && lower.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    let mut found = Vec::new();
    for node in nodes {
        let record = &node.device.entry.record;
        let node_id = record.node_id;
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

/// A block's whole id, as it is shown.
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
