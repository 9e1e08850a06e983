//! The revocation of nodes that are paired by their keys, and of capability tokens.

use handfast_core::NodeId;
use handfast_core::crypto::x25519;
use handfast_core::grant::capability;
use handfast_core::registry::grants::{Grant, current};
use handfast_core::registry::lifecycle::{Decision, Notice};
use handfast_store::Revoked;
use handfast_store::held::Cut;

use super::{MOST_MATCHES, PairedNode};
use crate::events::Event;
use crate::gateway::Gateway;
use crate::gateway::operator_types::OperatorError;
use crate::operator::final_decisions::FEWEST_FOR_GOOD;

/// The minimum number of hex digits that name a capability token, so that no short node id names
/// one.
const FEWEST_DIGITS: usize = 8;

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

impl Gateway {
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

/// Returns the nodes and capability tokens that a text may name, each once.
pub(super) fn matches(nodes: &[PairedNode], which: &str, fewest: usize) -> Vec<Revocation> {
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
pub(super) fn foreign_block(which: &str) -> Option<capability::Id> {
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

pub(super) fn describe(found: &Revocation, nodes: &[PairedNode]) -> String {
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
