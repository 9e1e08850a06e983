//! What a change that another gateway made means to what this one remembers, and to its links.

use handfast_core::NodeId;
use handfast_core::registry::grants::State;
use handfast_core::registry::lifecycle::{self, Notice};
use handfast_core::registry::record::{Record, Standing};
use handfast_core::registry::sharing::elsewhere::{Heard, grants_notice, unheard_notice};
use handfast_store::{Change, ChangeKind, StoreError};

use crate::gateway::Gateway;
use crate::gateway::bearers::BearerHolder;
use crate::telemetry::log_lines::{CausedBy, limited};

/// Number of a node's newest certificates among which those in force are looked for.
const CERTIFICATES_OF_A_NODE: usize = 32;

/// The subject of changes, as far as they are read again together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Subject {
    Node(NodeId),
    Grants(NodeId),
    Certificates(NodeId),
    Clone(NodeId),
    Dispatch(NodeId),
    Addresses(NodeId),
    /// A key that gets no certificate any more, which the registry itself checks.
    CertificateKeys,
    Revocations,
    Sessions,
    Logins,
    Senders,
    Keys,
    /// Requests, which only readers of changes hear of.
    Requests,
    /// Codes, which only readers of changes hear of.
    Codes,
    Policies,
}

impl Subject {
    /// Returns the subject of a change; `None` for a claim of a link, and for one that this version
    /// does not know.
    #[allow(
        clippy::wildcard_enum_match_arm,
        reason = "a newer gateway may write kinds that this one does not know"
    )]
    pub(super) const fn of(change: &Change) -> Option<Self> {
        Some(match (change.kind, change.node) {
            (ChangeKind::Node, Some(node_id)) => Self::Node(node_id),
            (ChangeKind::Grant, Some(node_id)) => Self::Grants(node_id),
            (ChangeKind::Certificate, Some(node_id)) => Self::Certificates(node_id),
            (ChangeKind::Certificate, None) => Self::CertificateKeys,
            (ChangeKind::Clone, Some(node_id)) => Self::Clone(node_id),
            (ChangeKind::Dispatch, Some(node_id)) => Self::Dispatch(node_id),
            (ChangeKind::Addresses, Some(node_id)) => Self::Addresses(node_id),
            (ChangeKind::Revocation, _) => Self::Revocations,
            (ChangeKind::Session, _) => Self::Sessions,
            (ChangeKind::Login, _) => Self::Logins,
            (ChangeKind::Sender, _) => Self::Senders,
            (ChangeKind::Key, _) => Self::Keys,
            (ChangeKind::Request, _) => Self::Requests,
            (ChangeKind::Code, _) => Self::Codes,
            (ChangeKind::Policy, _) => Self::Policies,
            _ => return None,
        })
    }

    /// Returns the word of the subject for readers of changes.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Node(_) => "node",
            Self::Grants(_) => "grant",
            Self::Certificates(_) | Self::CertificateKeys => "certificate",
            Self::Clone(_) => "clone",
            Self::Dispatch(_) => "dispatch",
            Self::Addresses(_) => "addresses",
            Self::Revocations => "revocation",
            Self::Sessions => "session",
            Self::Logins => "login",
            Self::Senders => "sender",
            Self::Keys => "key",
            Self::Requests => "request",
            Self::Codes => "code",
            Self::Policies => "policy",
        }
    }

    /// Returns the node that the changes are about, if they are about one.
    pub(super) const fn node(self) -> Option<NodeId> {
        match self {
            Self::Node(node_id)
            | Self::Grants(node_id)
            | Self::Certificates(node_id)
            | Self::Clone(node_id)
            | Self::Dispatch(node_id)
            | Self::Addresses(node_id) => Some(node_id),
            Self::CertificateKeys
            | Self::Revocations
            | Self::Sessions
            | Self::Logins
            | Self::Senders
            | Self::Keys
            | Self::Requests
            | Self::Codes
            | Self::Policies => None,
        }
    }
}

/// Takes in that something has changed. Doing so twice is as good as once.
///
/// # Errors
/// [`StoreError`] if it cannot be read.
pub(super) async fn apply(gateway: &Gateway, subject: Subject) -> Result<(), StoreError> {
    let inner = &gateway.inner;
    match subject {
        Subject::Node(node_id) => node(gateway, node_id).await,
        Subject::Grants(node_id) => grants(gateway, node_id).await,
        Subject::Certificates(node_id) => certificates(gateway, node_id).await,
        Subject::Clone(node_id) => clone_counter(gateway, node_id).await,
        Subject::Dispatch(node_id) => {
            inner.hub.has_tasks(node_id);
            Ok(())
        }
        Subject::Addresses(node_id) => {
            inner.hub.has_addresses(node_id);
            Ok(())
        }
        Subject::CertificateKeys | Subject::Requests | Subject::Codes => Ok(()),
        Subject::Policies => gateway.wake_those_with_a_policy().await,
        Subject::Revocations => {
            // The log does not say what was revoked, so all that may rest on it looks.
            inner.pairing.bearers.drop_chained();
            inner.hub.cut_all_chains();
            Ok(())
        }
        Subject::Sessions => {
            inner.pairing.bearers.drop_companions();
            inner.hub.companions_look_again();
            recheck(gateway);
            Ok(())
        }
        Subject::Logins => {
            recheck(gateway);
            Ok(())
        }
        Subject::Senders => {
            inner.gate.forget_remembered();
            Ok(())
        }
        Subject::Keys => keys(gateway).await,
    }
}

fn recheck(gateway: &Gateway) {
    if let Some(services) = &gateway.inner.sharing {
        services.rechecks.send_modify(|times| *times += 1);
    }
}

async fn node(gateway: &Gateway, node_id: NodeId) -> Result<(), StoreError> {
    let inner = &gateway.inner;
    inner.proven.forget(node_id);
    inner.hub.push(node_id, Notice::Decided);
    if !concerns(gateway, node_id) {
        return Ok(());
    }
    let record = match inner.store.load(node_id).await {
        Ok(stored) => stored.map(|stored| stored.record),
        // A damaged record opens no link, so it must keep none.
        Err(StoreError::BadRecord(_)) => None,
        Err(error) => return Err(error),
    };
    let standing = match inner.store.node_standing(node_id).await {
        Ok(standing) => standing,
        Err(StoreError::BadRecord(_)) => None,
        Err(error) => return Err(error),
    };
    match standing {
        Some(standing) if inner.allowed.knows(node_id) => {
            inner.allowed.set_standing(node_id, standing);
        }
        Some(_) => {}
        None => inner.allowed.remove_node(node_id),
    }
    if !record.as_ref().is_some_and(speaks) {
        silence(gateway, node_id, record.as_ref());
    }
    let effective =
        record.as_ref().map(|record| lifecycle::as_delivered(&record.standing, gateway.now()));
    let epoch = standing.map_or(0, |standing| standing.epoch);
    let facts = effective.as_ref().map(|effective| (effective, epoch));
    let notice = inner.hub.claims().and_then(|claims| {
        claims.hears(node_id, |heard| match heard {
            Some(heard) => heard.record(facts),
            None => unheard_notice(effective.as_ref()),
        })
    });
    gateway.push(node_id, notice);
    // What else the link rests on, it reads by itself: its ceiling, its certificate.
    inner.hub.look_again(node_id);
    Ok(())
}

/// Returns `true` if anything that this gateway holds may rest on the node.
fn concerns(gateway: &Gateway, node_id: NodeId) -> bool {
    let inner = &gateway.inner;
    inner.hub.is_live(node_id)
        || inner.hub.has_chains()
        || inner.allowed.knows(node_id)
        || !inner.pairing.bearers.is_empty()
}

/// Returns `true` if the node may speak, and have others speak for it.
const fn speaks(record: &Record) -> bool {
    match record.standing {
        Standing::Paired { .. } => true,
        Standing::Pending { .. }
        | Standing::Unapproved { .. }
        | Standing::Muted { .. }
        | Standing::Revoked { .. } => false,
    }
}

/// Ends what speaks for a node beside its own link.
fn silence(gateway: &Gateway, node_id: NodeId, record: Option<&Record>) {
    let inner = &gateway.inner;
    inner.pairing.bearers.drop_holder(BearerHolder::Node(node_id));
    match record {
        Some(record) => {
            if let Some(keys) = &record.keys {
                gateway.cut_key(&keys.channel);
            }
        }
        // Nobody knows which key it had.
        None => {
            inner.pairing.bearers.drop_chained();
            inner.hub.cut_all_chains();
        }
    }
}

async fn grants(gateway: &Gateway, node_id: NodeId) -> Result<(), StoreError> {
    let inner = &gateway.inner;
    inner.pairing.bearers.drop_holder(BearerHolder::Node(node_id));
    if !concerns(gateway, node_id) {
        return Ok(());
    }
    let grants = match inner.store.grants(node_id).await {
        Ok(grants) => grants,
        Err(StoreError::BadRecord(_)) => {
            inner.hub.look_again(node_id);
            inner.hub.cut_all_chains();
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    let ended = grants.iter().filter(|grant| grant.state == State::Ended);
    gateway.cut_blocks(&ended.filter_map(|grant| grant.capability).collect::<Vec<_>>());
    inner.hub.look_again(node_id);
    gateway.push(node_id, grants_notice(&grants, gateway.now()));
    Ok(())
}

async fn certificates(gateway: &Gateway, node_id: NodeId) -> Result<(), StoreError> {
    let inner = &gateway.inner;
    let (stored, standing) = (
        inner.store.certificates_of(node_id, CERTIFICATES_OF_A_NODE).await?,
        inner.store.node_standing(node_id).await?,
    );
    let now = gateway.now();
    let live = stored.iter().filter(|stored| stored.is_live(now));
    inner.allowed.replace_node(node_id, standing, live.map(|stored| stored.certificate));
    inner.hub.look_again(node_id);
    Ok(())
}

async fn clone_counter(gateway: &Gateway, node_id: NodeId) -> Result<(), StoreError> {
    if !concerns(gateway, node_id) {
        return Ok(());
    }
    let inner = &gateway.inner;
    let is_quarantined = gateway.is_quarantined(node_id).await?;
    if is_quarantined {
        let stored = inner.store.load(node_id).await?;
        silence(gateway, node_id, stored.as_ref().map(|stored| &stored.record));
    }
    let notice = inner.hub.claims().and_then(|claims| {
        claims.hears(node_id, |heard| heard.and_then(|heard| heard.quarantine(is_quarantined)))
    });
    gateway.push(node_id, notice);
    Ok(())
}

async fn keys(gateway: &Gateway) -> Result<(), StoreError> {
    gateway.read_keys_again().await?;
    let inner = &gateway.inner;
    inner.clone_marks.read_again(&*inner.store, &inner.pairing.seal).await
}

impl Gateway {
    /// Returns the epoch of a node before it is linked; `None` if no link is opened, or nobody else
    /// may change it.
    pub(crate) async fn epoch_before_link(
        &self,
        node_id: NodeId,
    ) -> Result<Option<u32>, StoreError> {
        // Nobody is linked while the registry cannot be reached.
        if self.inner.sharing.is_none() || !self.inner.hub.contact().admits() {
            return Ok(None);
        }
        let standing = self.inner.store.node_standing(node_id).await?;
        Ok(Some(standing.map_or(0, |standing| standing.epoch)))
    }

    /// Takes in what the link of a node has read of its record, so that it hears of changes that
    /// other gateways make. The epoch was read before the link was entered.
    pub(crate) fn link_heard(&self, record: &Record, epoch: Option<u32>, is_quarantined: bool) {
        let (Some(claims), Some(epoch)) = (self.inner.hub.claims(), epoch) else { return };
        let standing = lifecycle::as_delivered(&record.standing, self.now());
        let node_id = record.node_id;
        if claims.heard(node_id, Heard::of(&standing, epoch, is_quarantined)) {
            let gateway = self.clone();
            // The record has changed since: the link hears of it as soon as it is read.
            tokio::spawn(async move {
                for subject in [Subject::Node(node_id), Subject::Clone(node_id)] {
                    if let Err(error) = apply(&gateway, subject).await {
                        limited!(warn, CausedBy::Node(node_id), { %node_id, %error, } "a change that was made while a node linked could not be read");
                    }
                }
            });
        }
    }
}
