//! The alarm about copied nodes: each link's mark is compared with what the registry remembers.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use handfast_core::flow::identity::clone_counter::{LinkVerdict, MarkKey, Shown};
use handfast_core::flow::native::gateway::CloneStanding;
use handfast_core::registry::lifecycle::Notice;
use handfast_core::registry::record::Record;
use handfast_core::secret::Secret;
use handfast_core::wire::native::link::CloneMark;
use handfast_core::{NodeId, Refusal, UnixTime};
use handfast_store::audit::{Detail, Entry, What};
use handfast_store::{LinkedFrom, Store, StoreError, StoredCounter};
use zeroize::Zeroizing;

use super::pairing_state::StartError;
use crate::entropy;
use crate::events::Event;
use crate::gateway::common::failed;
use crate::gateway::operator_types::OperatorError;
use crate::gateway::{Gateway, MOST_CONFLICTS, to_its_end};
use crate::keys::seal::{SealKind, StoreKey};
use crate::telemetry::log_lines::{CausedBy, limited};

/// The name under which the store keeps the key of marks.
const KEY: &str = handfast_store::CLONE_MARK_KEY;
/// Number of keys that are kept: the one that makes marks, and older ones for reading.
const MOST_KEYS: usize = 8;
/// Number of nodes in quarantine that are read from the store at once.
const PAGE: usize = 500;

/// The keys of marks, and whether this gateway is older than its nodes.
pub(crate) struct CloneMarks {
    /// The key that new marks are made under, then those that are good for reading only, the newest
    /// first.
    keys: RwLock<Arc<[MarkKey]>>,
    /// The last node that has shown a mark which this gateway made and does not remember.
    older: Mutex<Option<OlderThanNode>>,
}

/// The sign that the gateway's registry was restored from a backup: a node has shown a mark that
/// the gateway made and does not remember.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OlderThanNode {
    /// The node.
    pub node_id: NodeId,
    /// Time of the node's link.
    pub at: UnixTime,
}

impl CloneMarks {
    /// Opens the keys of this registry, or makes the first one.
    pub(crate) async fn open(store: &dyn Store, seal: &StoreKey) -> Result<Self, StartError> {
        let fresh = [MarkKey::new(&entropy::draw())];
        let kept = store.vault(KEY, sealed(seal, &fresh)).await?;
        let keys = RwLock::new(opened(seal, &kept).ok_or(StartError::WrongStoreKey)?);
        Ok(Self { keys, older: Mutex::default() })
    }

    /// Returns the key that new marks are made under, then those that are good for reading only.
    pub(crate) fn keys(&self) -> Arc<[MarkKey]> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the keys again, which another gateway of this registry may have replaced.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read, or were sealed with another store key.
    pub(crate) async fn read_again(
        &self,
        store: &dyn Store,
        seal: &StoreKey,
    ) -> Result<(), StoreError> {
        // There are keys, so the text is never stored.
        let kept = store.vault(KEY, Vec::new()).await?;
        let keys = opened(seal, &kept).ok_or_else(other_seal)?;
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        Ok(())
    }

    fn note_older(&self, older: OlderThanNode) {
        *self.older.lock().unwrap_or_else(PoisonError::into_inner) = Some(older);
    }
}

fn other_seal() -> StoreError {
    StoreError::Database("the key of marks is sealed with another store key".to_owned())
}

/// Seals keys, one after the other.
fn sealed(seal: &StoreKey, keys: &[MarkKey]) -> Vec<u8> {
    let mut text = Zeroizing::new(Vec::with_capacity(MOST_KEYS * 32));
    keys.iter().for_each(|key| text.extend_from_slice(key.to_stored().expose()));
    seal.seal_text(SealKind::MarkKey, KEY.as_bytes(), &text)
}

/// Opens sealed keys; `None` if they were sealed with another store key.
fn opened(seal: &StoreKey, sealed: &[u8]) -> Option<Arc<[MarkKey]>> {
    let text = seal.open_text(SealKind::MarkKey, KEY.as_bytes(), sealed).ok()?;
    // An older version has padded its one key with zeros.
    let keys = text.as_chunks::<32>().0.iter().filter(|key| **key != [0; 32]);
    let keys: Arc<[MarkKey]> = keys.map(|key| MarkKey::from_stored(Secret::new(*key))).collect();
    (!keys.is_empty()).then_some(keys)
}

impl Gateway {
    /// Makes a new key for the marks by which a copied node is noticed. Marks under the last seven
    /// keys stay good for reading, so this alarms nobody; a node gets a mark under the new key with
    /// the next one that it is given. Returns the number of keys that are good for reading only.
    ///
    /// A node that was not linked while the key was replaced eight times shows a mark that no key
    /// reads, and is taken for a copy: [`release_node`](Gateway::release_node) ends that.
    ///
    /// # Errors
    /// [`OperatorError::Store`].
    pub async fn rotate_mark_key(&self) -> Result<usize, OperatorError> {
        let gateway = self.clone();
        to_its_end(async move { gateway.rotate_mark_key_now().await }).await
    }

    async fn rotate_mark_key_now(&self) -> Result<usize, OperatorError> {
        let (inner, seal) = (&self.inner, &self.inner.pairing.seal);
        for _ in 0..MOST_CONFLICTS {
            let before = inner.store.vault(KEY, Vec::new()).await?;
            let kept = opened(seal, &before).ok_or_else(other_seal)?;
            let older = kept.iter().map(|key| MarkKey::from_stored(key.to_stored()));
            let keys: Arc<[MarkKey]> = std::iter::once(MarkKey::new(&entropy::draw()))
                .chain(older)
                .take(MOST_KEYS)
                .collect();
            // A key is in the store before it makes a mark, so a restart reads every mark that is
            // out.
            let entry = Entry::new(What::RotateKey, [Detail::Word(KEY)]);
            if self.store().replace_vault(KEY, before, sealed(seal, &keys), Some(entry)).await? {
                let older = keys.len().saturating_sub(1);
                let current = &inner.clone_marks.keys;
                *current.write().unwrap_or_else(PoisonError::into_inner) = keys;
                return Ok(older);
            }
        }
        Err(StoreError::Database("the key of marks changes all the time".to_owned()).into())
    }

    /// Compares the mark that a node has shown on its new link, in one step of the store.
    ///
    /// # Errors
    /// [`Refusal::StoreFailed`] if nothing can be read.
    pub(crate) async fn compare_mark(
        &self,
        record: &Record,
        mark: Option<CloneMark>,
        address: IpAddr,
    ) -> Result<CloneStanding, Refusal> {
        let Some(holder) = &record.keys else { return Ok(CloneStanding::default()) };
        let (inner, node_id) = (&self.inner, record.node_id);
        let (marks, keys) = (&inner.clone_marks, inner.clone_marks.keys());
        let shown = Shown::of(mark.as_ref(), &keys, &holder.channel);
        let from = LinkedFrom { address, at: inner.clock.unix() };
        let (verdict, is_stored) = match inner.store.linked(node_id, shown, from).await {
            Ok(verdict) => (verdict, true),
            Err(error) => {
                // A full disk ends no link, and must not hide a copy either: the decision counts
                // for this link. No new mark is made, because it could not be remembered.
                failed(error);
                let kept = inner.store.clone_counter(node_id).await.map_err(failed)?;
                (kept.unwrap_or_default().counter.linked(shown, from.at).1, false)
            }
        };
        if verdict.alarm {
            self.alarm(record, from).await;
        }
        if verdict.gateway_is_older {
            marks.note_older(OlderThanNode { node_id, at: from.at });
            self.event(Event::GatewayIsOlder { node_id });
        }
        let verdict = LinkVerdict { offer: verdict.offer.filter(|_| is_stored), ..verdict };
        Ok(keys
            .first()
            .map(|key| CloneStanding::of(&verdict, key, &holder.channel))
            .unwrap_or_default())
    }

    async fn alarm(&self, record: &Record, newer: LinkedFrom) {
        let node_id = record.node_id;
        let older = match self.inner.store.clone_counter(node_id).await {
            Ok(kept) => kept.and_then(|kept| kept.linked),
            Err(error) => {
                failed(error);
                None
            }
        };
        // As for a muted node: neither its bearers nor its delegates speak for it.
        self.end_what_rests_on(record, Some(Notice::Muted));
        self.push(node_id, Some(Notice::Quarantined));
        self.event(Event::CloneAlarm { node_id, older, newer });
    }

    /// Records that a node has stored a mark.
    pub(crate) async fn mark_stored(&self, record: &Record, mark: &CloneMark) {
        let Some(holder) = &record.keys else { return };
        let Some(value) = mark.read(&self.inner.clone_marks.keys(), &holder.channel) else {
            return;
        };
        let (node_id, now) = (record.node_id, self.inner.clock.unix());
        // The next link, which shows the mark, confirms it as well.
        if let Err(error) = self.inner.store.mark_stored(node_id, value, now).await {
            limited!(warn, CausedBy::Node(node_id), { %node_id, %error, } "that a node has stored its mark could not be written");
        }
    }

    /// Returns `true` while the node is in quarantine because its state may have been copied.
    ///
    /// # Errors
    /// [`StoreError`] if that cannot be read.
    pub(crate) async fn is_quarantined(&self, node_id: NodeId) -> Result<bool, StoreError> {
        let kept = self.inner.store.clone_counter(node_id).await?;
        Ok(kept.is_some_and(|kept| kept.counter.is_quarantined()))
    }

    /// Returns the nodes in quarantine because their state may have been copied, with the addresses
    /// and times of both links, in order of their ids.
    ///
    /// # Errors
    /// [`OperatorError::Store`].
    pub async fn quarantined(&self) -> Result<Vec<(NodeId, StoredCounter)>, OperatorError> {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let page = self.inner.store.quarantined(after, PAGE).await?;
            after = page.last().map(|(node_id, _)| *node_id);
            let full = page.len() == PAGE;
            all.extend(page);
            if !full {
                return Ok(all);
            }
        }
    }

    /// Returns the sign that this gateway's registry is older than its nodes; `None` if no node has
    /// shown one since the gateway started.
    #[must_use]
    pub fn older_than_nodes(&self) -> Option<OlderThanNode> {
        *self.inner.clone_marks.older.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Releases a node from quarantine: it was a restored backup, and the machine that links next
    /// goes on.
    ///
    /// If its state was stolen, no software can tell the thief from the owner, because both hold
    /// the key: revoke the node then, and pair the device anew.
    ///
    /// # Errors
    /// [`OperatorError::NotQuarantined`], and [`OperatorError::Store`].
    pub async fn release_node(&self, node_id: NodeId) -> Result<(), OperatorError> {
        if !self.store().release(node_id, self.inner.clock.unix()).await? {
            return Err(OperatorError::NotQuarantined(node_id));
        }
        // The release is durable before anybody hears of it.
        self.push(node_id, Some(Notice::Released));
        self.event(Event::Decided { node_id, decision: "release" });
        Ok(())
    }
}
