//! The addresses at which the gateway's nodes are to look for it: what each is told, and what it
//! has confirmed.
//!
//! An address is only where a node tries. The gateway proves its key there as everywhere, so a
//! wrong address costs a node an attempt, and nothing else.

use std::collections::BTreeSet;

use handfast_core::NodeId;
use handfast_core::limits::TOLD_ADDRESSES;
use handfast_core::wire::gateway_address::GatewayAddress;
use handfast_core::wire::gateway_addresses::GatewayAddresses;
use handfast_store::NodeAddresses;

use super::Gateway;
use crate::gateway::operator_types::OperatorError;
use crate::telemetry::log_lines::{CausedBy, limited};

/// A node that is paired by its keys, and the gateway's addresses as it knows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MovedNode {
    /// The node's id.
    pub node_id: NodeId,
    /// The node's name for people.
    pub name: String,
    /// The addresses that the node is told; empty if there are none to tell.
    pub addresses: Vec<String>,
    /// `true` if the node has stored these addresses.
    pub confirmed: bool,
    /// `true` if the node is linked, here or at another gateway of the registry. One that is not hears of them over its next link.
    pub online: bool,
}

impl Gateway {
    /// Has a node, or all that are paired by their keys, look for the gateway at these addresses
    /// from now on. Linked ones are told at once, the others over their next link. Returns the
    /// number of nodes.
    ///
    /// # Errors
    /// [`OperatorError::Usage`] for addresses that cannot be told; [`OperatorError::NotFound`] and
    /// [`OperatorError::NoKeys`] for a node that is none of those; [`OperatorError::Store`].
    pub async fn move_nodes(
        &self,
        node_id: Option<NodeId>,
        addresses: &[String],
    ) -> Result<u64, OperatorError> {
        let list = list_of(addresses).map_err(OperatorError::Usage)?;
        let moved = self.store().move_nodes(node_id, list, self.now()).await?;
        match node_id {
            Some(node_id) if moved == 0 => {
                self.entry(node_id).await?;
                return Err(OperatorError::NoKeys(node_id));
            }
            Some(node_id) => self.inner.hub.has_addresses(node_id),
            None => self.inner.hub.all_have_addresses(),
        }
        Ok(moved)
    }

    /// Returns the nodes that are paired by their keys, ordered by id, after this id, with the
    /// addresses that each is told.
    ///
    /// # Errors
    /// [`OperatorError::Store`].
    pub async fn moved_nodes(
        &self,
        after: Option<NodeId>,
        limit: usize,
    ) -> Result<Vec<MovedNode>, OperatorError> {
        let nodes = self.inner.store.addressed_nodes(after, limit).await?;
        let links = self.links_at(nodes.iter().map(|node| node.node_id).collect()).await?;
        let moved = nodes.into_iter().map(|node| {
            let is_linked = links.contains_key(&node.node_id);
            self.moved(node.node_id, node.name, node.addresses, is_linked)
        });
        Ok(moved.collect())
    }

    /// Returns the addresses that a node is told.
    ///
    /// # Errors
    /// [`OperatorError::NotFound`] and [`OperatorError::Store`].
    pub async fn moved_node(&self, node_id: NodeId) -> Result<MovedNode, OperatorError> {
        let name = self.entry(node_id).await?.record.name.to_string();
        let is_linked = self.link_elsewhere(node_id).await?.is_some();
        Ok(self.moved(node_id, name, self.inner.store.addresses_of(node_id).await?, is_linked))
    }

    /// Describes a node, which may be linked at another gateway of the registry.
    fn moved(
        &self,
        node_id: NodeId,
        name: String,
        addresses: NodeAddresses,
        is_linked: bool,
    ) -> MovedNode {
        let NodeAddresses { told, confirmed } = addresses;
        let list = told.or_else(|| self.usual_addresses());
        MovedNode {
            node_id,
            name,
            confirmed: list.is_some() && confirmed == list,
            addresses: list.iter().flat_map(|list| list.split(' ')).map(str::to_owned).collect(),
            online: is_linked || self.inner.hub.is_live(node_id),
        }
    }

    /// Returns the list for nodes about which nobody has decided otherwise.
    fn usual_addresses(&self) -> Option<String> {
        // A list that cannot be told as a whole is not told.
        list_of(&self.inner.pairing.settings.told_addresses).ok()
    }

    /// Returns the list that a node has to be told; `None` if there is none, or it has it.
    pub(crate) async fn addresses_due(&self, node_id: NodeId) -> Option<String> {
        let NodeAddresses { told, confirmed } = match self.inner.store.addresses_of(node_id).await {
            Ok(addresses) => addresses,
            // The next link asks again.
            Err(error) => {
                limited!(warn, CausedBy::Node(node_id), { %node_id, %error, } "the addresses that a node is to be told could not be read");
                return None;
            }
        };
        let list = told.or_else(|| self.usual_addresses())?;
        (confirmed.as_ref() != Some(&list)).then_some(list)
    }

    /// Takes in that a node has stored this list.
    pub(crate) async fn knows_addresses(&self, node_id: NodeId, list: String) {
        // The next link tells it once more.
        if let Err(error) = self.inner.store.confirm_addresses(node_id, list).await {
            limited!(warn, CausedBy::Node(node_id), { %node_id, %error, } "that a node knows the gateway's addresses could not be written");
        }
    }
}

/// Returns the text that nodes are told for these addresses.
///
/// # Errors
/// A description of the mistake and its remedy.
pub(crate) fn list_of(addresses: &[String]) -> Result<String, String> {
    let each: Vec<String> = addresses
        .iter()
        .map(|text| match GatewayAddress::parse(text) {
            Some(address) => Ok(address.to_string()),
            None => Err(format!(
                "{text:?} is no address of a gateway: it reads ws://host:port, wss://host:port or \
                 tcp://host:port, for one host that nodes reach"
            )),
        })
        .collect::<Result<_, _>>()?;
    if !(1..=TOLD_ADDRESSES).contains(&each.len()) {
        return Err(format!("a node is told 1 to {TOLD_ADDRESSES} addresses, not {}", each.len()));
    }
    if each.iter().collect::<BTreeSet<_>>().len() != each.len() {
        return Err("an address is named twice; name each once".to_owned());
    }
    let list = each.join(" ");
    // What has the right form and length parses; this is the reader's own word for it.
    match GatewayAddresses::parse(&list) {
        Some(_) => Ok(list),
        None => Err("these addresses are longer than a node is told".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(addresses: &[&str]) -> Result<String, String> {
        list_of(&addresses.iter().map(|&text| text.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn a_list_has_one_spelling_and_what_nodes_cannot_use_is_refused_with_its_mend() {
        assert_eq!(
            list(&["TCP://10.0.0.2:7331", "ws://Gateway.local:8765"]).unwrap(),
            "tcp://10.0.0.2:7331 ws://gateway.local:8765"
        );
        let many: Vec<String> = (0..9).map(|at| format!("ws://g{at}:80")).collect();
        assert!(list_of(&many).unwrap_err().contains("1 to 8"));
        assert!(list(&[]).unwrap_err().contains("1 to 8"));
        assert!(list(&["ws://a:1", "WS://A:1"]).unwrap_err().contains("twice"));
        for wrong in [
            "ws://0.0.0.0:80",
            "ws://[::]:80",
            "ws://224.0.0.1:80",
            "tcp://gateway.local",
            "http://gateway.local:80",
            "ws://a:1 ws://b:1",
        ] {
            assert!(list(&[wrong]).unwrap_err().contains("tcp://host:port"), "{wrong}");
        }
    }
}
