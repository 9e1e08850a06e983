//! Links of nodes at other gateways of the registry.

use std::collections::HashMap;

use handfast_core::NodeId;
use handfast_store::StoreError;

use crate::gateway::Gateway;
use crate::gateway::operator_types::{Device, OperatorError};

impl Gateway {
    /// Returns the name of the other gateway that has the node's link; `None` if the node is linked
    /// here, or nowhere.
    ///
    /// # Errors
    /// [`OperatorError::Store`].
    pub async fn linked_elsewhere(&self, node_id: NodeId) -> Result<Option<String>, OperatorError> {
        Ok(self.link_elsewhere(node_id).await?)
    }

    pub(crate) async fn link_elsewhere(
        &self,
        node_id: NodeId,
    ) -> Result<Option<String>, StoreError> {
        let Some(services) = &self.inner.sharing else { return Ok(None) };
        if self.inner.hub.is_live(node_id) {
            return Ok(None);
        }
        let gateway = services.shared.link_at(node_id).await?;
        // A link that has just ended here may not be given up yet.
        Ok(gateway.filter(|gateway| gateway != services.shared.gateway()))
    }

    /// Returns the names of the gateways that have the links of these nodes; none for a registry
    /// that nobody shares.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read.
    pub(crate) async fn links_at(
        &self,
        nodes: Vec<NodeId>,
    ) -> Result<HashMap<NodeId, String>, StoreError> {
        match &self.inner.sharing {
            Some(services) if !nodes.is_empty() => {
                Ok(services.shared.links_at(nodes).await?.into_iter().collect())
            }
            Some(_) | None => Ok(HashMap::new()),
        }
    }

    /// Fills in at which gateways these nodes are linked, if several share the registry.
    pub(crate) async fn find_links(
        &self,
        devices: impl IntoIterator<Item = &mut Device>,
    ) -> Result<(), StoreError> {
        let Some(services) = &self.inner.sharing else { return Ok(()) };
        let (here, mut others): (Vec<_>, Vec<_>) =
            devices.into_iter().partition(|device| device.online);
        for device in here {
            device.linked_at = Some(services.shared.gateway().to_owned());
        }
        let nodes = others.iter().map(|device| device.entry.record.node_id).collect();
        let links = self.links_at(nodes).await?;
        for device in &mut others {
            let gateway = links.get(&device.entry.record.node_id);
            // A link that has just ended here may not be given up yet.
            device.linked_at = gateway.filter(|one| *one != services.shared.gateway()).cloned();
            device.online = device.linked_at.is_some();
        }
        Ok(())
    }

    /// Returns the error for a node that could not be sent a message.
    pub(crate) async fn not_linked(&self, node_id: NodeId) -> OperatorError {
        match self.link_elsewhere(node_id).await {
            Ok(Some(gateway)) => OperatorError::Elsewhere { node_id, gateway },
            Ok(None) => OperatorError::NotLinked(node_id),
            Err(error) => error.into(),
        }
    }
}
