//! Waiting requests: their ids, rejecting one or many, and approving an entry only as it was shown.

use std::collections::HashMap;
use std::sync::Mutex;

use handfast_core::flow::identity::seen::SeenHash;
use handfast_core::registry::admission::{PendingRequest, RequestKey};
use handfast_core::registry::lifecycle::Decision;
use handfast_core::registry::record::{Asked, Record, Standing};
use handfast_core::{NodeId, Refusal};
use handfast_store::{Entry, Filter, StoreError, Stored, Version};

use crate::gateway::Gateway;
use crate::gateway::operator_types::OperatorError;
use crate::gateway::operator_types::check_word;
use crate::public_url::Net;

/// Number of nodes that are read from the store at once.
const PAGE: usize = 500;
/// Maximum number of entries whose shown state is remembered. Beyond it, any one is forgotten and
/// counts as never shown.
const MOST_SHOWN: usize = 4096;

/// Selection of waiting requests to reject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestSelection {
    /// All waiting requests.
    All,
    /// The requests with exactly this name.
    Named(String),
    /// The requests from this network.
    From(Net),
}

impl RequestSelection {
    fn holds(&self, entry: &Entry) -> bool {
        match self {
            Self::All => true,
            Self::Named(name) => entry.record.name.as_str() == name,
            Self::From(net) => net.contains(entry.record.address),
        }
    }
}

/// Ids of the latest requests. A request that waits longer than an entry lives is entered anew, and
/// keeps its id: the operator may be about to type it.
#[derive(Debug, Default)]
pub(crate) struct RequestIds(Mutex<HashMap<RequestKey, NodeId>>);

impl RequestIds {
    fn get(&self, key: &RequestKey) -> Option<NodeId> {
        self.0.lock().expect("no thread panics while it holds the ids").get(key).copied()
    }

    fn remember(&self, key: RequestKey, node_id: NodeId) {
        let mut ids = self.0.lock().expect("no thread panics while it holds the ids");
        if ids.len() >= MOST_SHOWN && !ids.contains_key(&key) {
            let any = ids.keys().next().copied();
            any.and_then(|any| ids.remove(&any));
        }
        ids.insert(key, node_id);
    }
}

/// The state of a request that an approval is about, as far as the caller names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct NamedRequest {
    /// Hash of what the operator decides about.
    pub(crate) hash: Option<SeenHash>,
    /// Version of the record.
    pub(crate) version: Option<Version>,
}

/// The state in which an operator last saw each waiting entry, which is what is approved.
///
/// A device without keys is known only by its name and address, so its entry must be unchanged. Of
/// a device with keys, what the operator decides about must be ([`SeenHash`]).
#[derive(Debug, Default)]
pub(crate) struct SeenRequests(Mutex<HashMap<NodeId, SeenEntry>>);

#[derive(Debug)]
struct SeenEntry {
    version: Version,
    profile: String,
    hash: SeenHash,
    /// The content that the hash is over, as text.
    asked: String,
}

impl SeenEntry {
    fn of(entry: &Entry) -> Self {
        Self {
            version: entry.version,
            profile: entry.profile.clone(),
            hash: SeenHash::of(&entry.record),
            asked: described(&entry.record),
        }
    }

    fn is_changed(&self, entry: &Entry) -> bool {
        match entry.record.keys {
            Some(_) => self.hash != SeenHash::of(&entry.record),
            None => self.version != entry.version,
        }
    }
}

/// Returns what an operator decides about in a request, as text.
fn described(record: &Record) -> String {
    let Asked { permissions, csr_key, method } = &record.asked;
    let asks = match permissions.is_empty() {
        true => "leaves the permissions to you".to_owned(),
        false => format!("asks for {}", permissions.as_str().replace('\n', ", ")),
    };
    let certificate = match csr_key {
        Some(key) => format!(", and for a certificate for the key {key}"),
        None => String::new(),
    };
    format!("{:?} that {asks} by {}{certificate}", record.name.as_str(), method.as_str())
}

impl SeenRequests {
    /// Remembers the entry as an operator sees it now. Only waiting entries need that.
    pub(crate) fn see(&self, entry: &Entry) {
        if !matches!(entry.record.standing, Standing::Pending { .. }) {
            return;
        }
        let mut shown = self.0.lock().expect("no thread panics while it holds what was shown");
        let node_id = entry.record.node_id;
        if shown.len() >= MOST_SHOWN && !shown.contains_key(&node_id) {
            let any = shown.keys().next().copied();
            any.and_then(|any| shown.remove(&any));
        }
        shown.insert(node_id, SeenEntry::of(entry));
    }

    /// Notes that an entry was entered anew with this description. If it is the one that was shown,
    /// it still counts as shown.
    fn entered_anew(&self, node_id: NodeId, version: Version, profile: &str) {
        let mut shown = self.0.lock().expect("no thread panics while it holds what was shown");
        match shown.get_mut(&node_id) {
            Some(before) if before.profile == profile => before.version = version,
            Some(_) | None => {}
        }
    }

    /// Checks that the entry is unchanged since it was shown, if it was.
    ///
    /// # Errors
    /// [`OperatorError::Changed`] if it has changed; from then on its new state counts as shown.
    pub(crate) fn check(&self, entry: &Entry) -> Result<(), OperatorError> {
        let node_id = entry.record.node_id;
        let before = {
            let mut shown = self.0.lock().expect("no thread panics while it holds what was shown");
            // What was shown serves for one approval.
            shown.remove(&node_id)
        };
        match before {
            Some(before) if before.is_changed(entry) => {
                self.see(entry);
                let (shown, now) = match entry.record.keys {
                    Some(_) => (before.asked, described(&entry.record)),
                    None => (before.profile, entry.profile.clone()),
                };
                Err(OperatorError::Changed { node_id, shown, now })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Checks that the entry is the one that an approval names, and unchanged since it was shown, if
    /// it was.
    ///
    /// # Errors
    /// [`OperatorError::Changed`] if it is not; from then on its present state counts as shown.
    pub(crate) fn check_named(
        &self,
        entry: &Entry,
        named: NamedRequest,
    ) -> Result<(), OperatorError> {
        let NamedRequest { hash, version } = named;
        let node_id = entry.record.node_id;
        if let Some(version) = version.filter(|version| *version != entry.version) {
            self.see(entry);
            let (shown, now) = (format!("version {}", version.0), entry.profile.clone());
            return Err(OperatorError::Changed { node_id, shown, now });
        }
        if hash.is_none_or(|hash| hash == SeenHash::of(&entry.record)) {
            return self.check(entry);
        }
        let before = {
            let shown = self.0.lock().expect("no thread panics while it holds what was shown");
            shown.get(&node_id).map(|before| before.asked.clone())
        };
        self.see(entry);
        let now = described(&entry.record);
        let shown = before.filter(|before| *before != now);
        let shown = shown.unwrap_or_else(|| "another request".to_owned());
        Err(OperatorError::Changed { node_id, shown, now })
    }
}

impl Gateway {
    /// Enters a request, or finds its entry. A request whose entry is over keeps the id that it had,
    /// unless a decision was made about it.
    pub(crate) async fn admit(
        &self,
        mut asking: PendingRequest,
        profile: String,
    ) -> Result<Result<NodeId, Refusal>, StoreError> {
        let inner = &self.inner;
        if let Err(refusal) = self.in_touch() {
            return Ok(Err(refusal));
        }
        let (key, now) = (asking.key, inner.clock.unix());
        let before = match inner.request_ids.get(&key) {
            Some(before) => match inner.store.load(before).await? {
                None => Some(before),
                Some(Stored { record, .. }) => {
                    let over =
                        matches!(record.standing, Standing::Pending { expires } if expires <= now);
                    over.then_some(before)
                }
            },
            None => None,
        };
        asking.record.node_id = before.unwrap_or(asking.record.node_id);
        let admitted = inner.store.admit(asking, profile.clone(), inner.limits, now).await?;
        if let Ok(node_id) = admitted {
            inner.request_ids.remember(key, node_id);
            if before == Some(node_id)
                && let Some(entered) = inner.store.load(node_id).await?
            {
                inner.shown.entered_anew(node_id, entered.version, &profile);
            }
        }
        Ok(admitted)
    }

    /// Rejects a pending request. Its node may ask again after a while, or with `for_good` never:
    /// that bars its key, or this request in a dialect without keys. A node of the native wire that
    /// still waits is told the reason: at most 160 bytes, on one line.
    ///
    /// # Errors
    /// As for [`Gateway::decide`], and [`OperatorError::Usage`] for a reason that is too long or
    /// not one line.
    pub async fn turn_down(
        &self,
        node_id: NodeId,
        reason: Option<String>,
        for_good: bool,
    ) -> Result<(), OperatorError> {
        check_word(reason.as_deref())?;
        // The reason is noted before the decision reaches the node.
        if reason.is_some() {
            self.inner.pairing.note(node_id, |note| note.word = reason);
        }
        let decision = if for_good { Decision::Bar } else { Decision::Reject };
        self.decide(node_id, &decision).await
    }

    /// Rejects all waiting requests of a selection, and returns the outcome of each. A request that
    /// no longer waits when its turn comes is left out.
    ///
    /// # Errors
    /// [`OperatorError::Store`] if they cannot be listed.
    pub async fn turn_down_all(
        &self,
        which: &RequestSelection,
        for_good: bool,
    ) -> Result<Vec<(NodeId, Result<(), OperatorError>)>, OperatorError> {
        let (mut outcomes, mut after) = (Vec::new(), None);
        loop {
            let page = self
                .inner
                .store
                .list(Filter::Pending, after, PAGE, self.inner.clock.unix())
                .await?;
            let full = page.len() == PAGE;
            // Rejected entries leave the list, so the next page starts after an id, not at an
            // offset.
            after = page.last().map(handfast_store::node_id);
            for entry in page.into_iter().flatten().filter(|entry| which.holds(entry)) {
                let node_id = entry.record.node_id;
                match self.turn_down(node_id, None, for_good).await {
                    // It was decided or has expired meanwhile.
                    Err(OperatorError::NotFound(_)) => {}
                    outcome => outcomes.push((node_id, outcome)),
                }
            }
            if !full {
                return Ok(outcomes);
            }
        }
    }
}
