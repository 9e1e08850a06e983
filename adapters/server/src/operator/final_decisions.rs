//! Lookup of the node of a decision by its name or id. A final decision takes the node's whole name,
//! or enough of its id that a typing mistake names no other.

use handfast_core::NodeId;
use handfast_store::{Listed, StoreError};

use crate::gateway::Gateway;
use crate::gateway::operator_types::{Device, OperatorError};

/// Minimum number of an id's characters that name a node for a final decision.
pub const FEWEST_FOR_GOOD: usize = 6;
/// Maximum number of matches that an error names.
const MOST_MATCHES: usize = 5;

impl Gateway {
    /// Finds the one node with this name, or with an id that begins with it, if it has at least
    /// [`FEWEST_FOR_GOOD`] characters.
    ///
    /// # Errors
    /// [`OperatorError::NotNamed`] if none matches, [`OperatorError::SeveralNamed`] with the
    /// matches, even if one matches by name and another by id, or [`OperatorError::Store`].
    pub async fn device_for_good(&self, which: &str) -> Result<Device, OperatorError> {
        self.device_by(which, FEWEST_FOR_GOOD).await
    }

    /// Finds the one node with this name, or with an id that begins with it.
    ///
    /// # Errors
    /// [`OperatorError::NotFound`] if none matches, and the others of
    /// [`Gateway::device_for_good`].
    pub async fn device_named(&self, which: &str) -> Result<Device, OperatorError> {
        self.device_by(which, 1).await
    }

    /// Returns the current nodes with exactly this name, as many as are told apart in words.
    pub(crate) async fn devices_named(&self, name: &str) -> Result<Vec<Device>, OperatorError> {
        let now = self.inner.clock.unix();
        let found = self.inner.store.named(name, MOST_MATCHES, now).await?;
        Ok(found.into_iter().flatten().map(|entry| self.device(entry)).collect())
    }

    async fn device_by(&self, which: &str, fewest: usize) -> Result<Device, OperatorError> {
        let store = &self.inner.store;
        let lower = which.to_ascii_lowercase();
        let begins = which.len() >= fewest
            && lower.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
        let mut found = store.named(which, MOST_MATCHES, self.inner.clock.unix()).await?;
        if begins {
            let by_id = store.find(&lower, MOST_MATCHES).await?;
            found.extend(by_id);
        }
        // A node may match both by its name and by its id.
        let mut seen: Vec<NodeId> = Vec::new();
        found.retain(|listed| {
            let id = handfast_store::node_id(listed);
            let new = !seen.contains(&id);
            seen.push(id);
            new
        });
        match found.len() {
            0 if fewest < FEWEST_FOR_GOOD => Err(OperatorError::NotFound(which.to_owned())),
            0 => Err(OperatorError::NotNamed(which.to_owned())),
            1 => {
                let mut device = self.device(found.remove(0).map_err(StoreError::from)?);
                self.find_links([&mut device]).await?;
                Ok(device)
            }
            _ => Err(OperatorError::SeveralNamed {
                which: which.to_owned(),
                matches: found.iter().take(MOST_MATCHES).map(described).collect(),
            }),
        }
    }
}

fn described(listed: &Listed) -> String {
    match listed {
        Ok(entry) => format!("{:?} ({})", entry.record.name.as_str(), entry.record.node_id),
        Err(bad) => format!("a damaged record ({})", bad.node_id),
    }
}
