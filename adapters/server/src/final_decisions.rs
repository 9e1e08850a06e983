//! Whom a final decision is about. It takes the whole name of a node, or enough of its id that no
//! slip of the hand names another.

use handfast_core::id::NodeId;
use handfast_store::{Listed, StoreError};

use crate::gateway::{Device, Gateway, OperatorError};

/// Fewest characters of an id that name what is decided for good.
pub const FEWEST_FOR_GOOD: usize = 6;
/// How many matches are named where several fit.
const MOST_MATCHES: usize = 5;

impl Gateway {
    /// The one node that has this name, or an id that begins with at least [`FEWEST_FOR_GOOD`]
    /// characters of it.
    ///
    /// # Errors
    /// [`OperatorError::NotNamed`], [`OperatorError::SeveralNamed`] with those that fit, be it one
    /// by its name and another by its id, or [`OperatorError::Store`].
    pub async fn device_for_good(&self, which: &str) -> Result<Device, OperatorError> {
        let store = &self.inner.store;
        let lower = which.to_ascii_lowercase();
        let begins = which.len() >= FEWEST_FOR_GOOD
            && lower.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
        let mut found = store.named(which, MOST_MATCHES, self.inner.clock.unix()).await?;
        if begins {
            let by_id = store.find(&lower, MOST_MATCHES).await?;
            found.extend(by_id);
        }
        let mut seen: Vec<NodeId> = Vec::new();
        found.retain(|listed| {
            let id = handfast_store::node_id(listed);
            let new = !seen.contains(&id);
            seen.push(id);
            new
        });
        match found.len() {
            0 => Err(OperatorError::NotNamed(which.to_owned())),
            1 => Ok(self.device(found.remove(0).map_err(StoreError::from)?)),
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
