//! What a node is called, and the end of its record.

use handfast_core::registry::record::Standing;
use handfast_core::{Name, NodeId, Refusal};
use handfast_store::{SaveError, Stored};

use crate::events::Event;
use crate::gateway::operator_types::OperatorError;
use crate::gateway::{Gateway, MOST_CONFLICTS};

impl Gateway {
    /// Gives a paired or muted node another name. The gateway goes by it until the node is paired
    /// anew; the node itself is not told.
    ///
    /// # Errors
    /// [`OperatorError::Refused`] if the node is not paired, [`OperatorError::NotFound`], and
    /// [`OperatorError::Store`].
    pub async fn rename(&self, node_id: NodeId, name: Name) -> Result<(), OperatorError> {
        self.relabel(node_id, Some(name), None).await?;
        self.event(Event::Decided { node_id, decision: "rename" });
        Ok(())
    }

    /// Changes what a paired or muted node is called or made of.
    pub(crate) async fn relabel(
        &self,
        node_id: NodeId,
        name: Option<Name>,
        profile: Option<String>,
    ) -> Result<(), OperatorError> {
        for _ in 0..MOST_CONFLICTS {
            let version = self.paired_version(node_id).await?;
            let (name, profile, now) = (name.clone(), profile.clone(), self.inner.clock.unix());
            match self.store().relabel(node_id, version, name, profile, now).await {
                Ok(_) => return Ok(()),
                Err(SaveError::Conflict) => {}
                Err(SaveError::Missing) => {
                    return Err(OperatorError::NotFound(node_id.to_string()));
                }
                Err(SaveError::Store(error)) => return Err(error.into()),
            }
        }
        Err(OperatorError::Refused { node_id, refusal: Refusal::StoreFailed })
    }

    /// Removes the record of a revoked or rejected node. A key that was revoked stays so without
    /// it, for good; a key whose request was rejected may ask again. Returns `true` if the key stays
    /// revoked.
    ///
    /// # Errors
    /// [`OperatorError::NotRevoked`], [`OperatorError::NotFound`], and
    /// [`OperatorError::Store`].
    pub async fn forget(&self, node_id: NodeId) -> Result<bool, OperatorError> {
        for _ in 0..MOST_CONFLICTS {
            let Stored { record, version, .. } = self.load(node_id).await?;
            let stays_out = record.keys.is_some() && record.standing.bars();
            match record.standing {
                Standing::Revoked { .. } => {}
                Standing::Pending { .. }
                | Standing::Unapproved { .. }
                | Standing::Paired { .. }
                | Standing::Muted { .. } => {
                    return Err(OperatorError::NotRevoked(node_id));
                }
            }
            match self.store().forget(node_id, version, self.inner.clock.unix()).await {
                Ok(()) => {
                    self.event(Event::Decided { node_id, decision: "forget" });
                    return Ok(stays_out);
                }
                Err(SaveError::Conflict) => {}
                Err(SaveError::Missing) => {
                    return Err(OperatorError::NotFound(node_id.to_string()));
                }
                Err(SaveError::Store(error)) => return Err(error.into()),
            }
        }
        Err(OperatorError::Refused { node_id, refusal: Refusal::StoreFailed })
    }

    /// Returns the version of a paired or muted node's record.
    async fn paired_version(
        &self,
        node_id: NodeId,
    ) -> Result<handfast_store::Version, OperatorError> {
        let Stored { record, version, .. } = self.load(node_id).await?;
        match record.standing {
            Standing::Paired { .. } | Standing::Muted { .. } => Ok(version),
            Standing::Pending { .. } | Standing::Unapproved { .. } => {
                Err(OperatorError::Refused { node_id, refusal: Refusal::NotPaired })
            }
            Standing::Revoked { .. } => {
                Err(OperatorError::Refused { node_id, refusal: Refusal::Revoked })
            }
        }
    }
}
