//! The requests that wait for the operator: turned down one by one or many at once, and approved as
//! they were shown.

use std::collections::HashMap;
use std::sync::Mutex;

use handfast_core::id::NodeId;
use handfast_core::registry::lifecycle::Decision;
use handfast_core::registry::record::Standing;
use handfast_store::{Entry, Filter, Version};

use crate::gateway::{Gateway, OperatorError};
use crate::pairing::{Net, check_word};

/// How many nodes are read from the store at once.
const PAGE: usize = 500;
/// Most waiting entries of which it is remembered how they were shown; any one may be forgotten,
/// and counts as never shown.
const MOST_SHOWN: usize = 4096;

/// Which of the waiting requests are turned down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// All of them.
    All,
    /// Those with exactly this name.
    Named(String),
    /// Those that came from this network.
    From(Net),
}

impl Waiting {
    fn holds(&self, entry: &Entry) -> bool {
        match self {
            Self::All => true,
            Self::Named(name) => entry.record.name.as_str() == name,
            Self::From(net) => net.contains(entry.record.address),
        }
    }
}

/// How waiting entries looked when an operator saw them last. A device without keys is known by
/// nothing but its name and its address, so what is approved is the entry as it was shown.
#[derive(Debug, Default)]
pub(crate) struct Shown(Mutex<HashMap<NodeId, (Version, String)>>);

impl Shown {
    /// An operator sees it now.
    pub(crate) fn see(&self, entry: &Entry) {
        if !matches!(entry.record.standing, Standing::Pending { .. }) || entry.record.keys.is_some()
        {
            return;
        }
        let mut shown = self.0.lock().expect("no thread panics while it holds what was shown");
        let node_id = entry.record.node_id;
        if shown.len() >= MOST_SHOWN && !shown.contains_key(&node_id) {
            let any = shown.keys().next().copied();
            any.and_then(|any| shown.remove(&any));
        }
        shown.insert(node_id, (entry.version, entry.profile.clone()));
    }

    /// Whether it is approved as it was shown, if it ever was. Saying no shows it as it is now.
    pub(crate) fn check(&self, entry: &Entry) -> Result<(), OperatorError> {
        let node_id = entry.record.node_id;
        let before = {
            let mut shown = self.0.lock().expect("no thread panics while it holds what was shown");
            shown.remove(&node_id)
        };
        match before {
            Some((version, profile)) if version != entry.version => {
                self.see(entry);
                Err(OperatorError::Changed { node_id, shown: profile, now: entry.profile.clone() })
            }
            Some(_) | None => Ok(()),
        }
    }
}

impl Gateway {
    /// Turns a pending request down. Whoever made it may ask again after a while, or, `for_good`,
    /// never: that bars its key, or in a dialect without keys this request. A node of the native
    /// wire that still waits for the decision is told the reason: at most 160 bytes, on one line.
    ///
    /// # Errors
    /// As for [`Gateway::decide`], and [`OperatorError::Usage`] for a reason that cannot be told.
    pub async fn turn_down(
        &self,
        node_id: NodeId,
        reason: Option<String>,
        for_good: bool,
    ) -> Result<(), OperatorError> {
        check_word(reason.as_deref())?;
        if reason.is_some() {
            self.inner.pairing.note(node_id, |note| note.word = reason);
        }
        let decision = if for_good { Decision::Bar } else { Decision::Reject };
        self.decide(node_id, &decision).await
    }

    /// Turns down all waiting requests that these words name, and says for each what became of it.
    /// One that waits no longer when its turn comes is left out.
    ///
    /// # Errors
    /// [`OperatorError::Store`] if they cannot be listed.
    pub async fn turn_down_all(
        &self,
        which: &Waiting,
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
            after = page.last().map(handfast_store::node_id);
            for entry in page.into_iter().flatten().filter(|entry| which.holds(entry)) {
                let node_id = entry.record.node_id;
                match self.turn_down(node_id, None, for_good).await {
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
