//! Application messages to nodes, wherever they are linked.

use axum::extract::ws::Message;
use handfast_core::NodeId;
use handfast_core::flow::native::gateway::Peer;
use handfast_core::grant::scope::{Action, Address};
use handfast_core::wire::native::Payload;

use crate::gateway::Gateway;
use crate::gateway::operator_types::OperatorError;

/// The gateway that a message was delivered at: it is in the queue of the node's link there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivered {
    /// This gateway.
    Here,
    /// Another gateway, by its name.
    At(String),
}

/// The reach of a published message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Published {
    /// Number of subscribers at this gateway.
    pub here: usize,
    /// Number of subscribers at the gateways that have answered.
    pub elsewhere: usize,
    /// Names of the gateways that have not answered, or cannot be reached: whether their
    /// subscribers have the message is not known.
    pub unknown: Vec<String>,
}

/// A message to a node that is linked at another gateway.
enum Carried<'a> {
    App(Action, &'a Address<'a>, &'a Payload<'a>),
    Frame { is_text: bool, bytes: &'a [u8] },
}

impl Gateway {
    /// Queues a message for a node on the native wire, at whichever gateway of the registry it is
    /// linked: at another one over the bus. A muted node receives nothing.
    ///
    /// # Errors
    /// [`OperatorError::NotLinked`]; [`OperatorError::Elsewhere`] without a bus, or while it is
    /// away; [`OperatorError::NoAnswer`]; [`OperatorError::Store`].
    pub async fn deliver_app(
        &self,
        node_id: NodeId,
        action: Action,
        address: &Address<'_>,
        bytes: &Payload<'_>,
    ) -> Result<Delivered, OperatorError> {
        if self.send_app(Peer::Node(node_id), action, address, bytes) {
            return Ok(Delivered::Here);
        }
        self.deliver_elsewhere(node_id, Carried::App(action, address, bytes)).await
    }

    /// Queues a text frame for a node with a token, as [`deliver_app`](Self::deliver_app) does a
    /// message.
    ///
    /// # Errors
    /// As [`deliver_app`](Self::deliver_app). A frame of more than 64 KiB goes over no bus.
    pub async fn deliver_text(
        &self,
        node_id: NodeId,
        text: String,
    ) -> Result<Delivered, OperatorError> {
        if self.inner.hub.send(node_id, Message::Text(text.as_str().into())) {
            return Ok(Delivered::Here);
        }
        let bytes = text.as_bytes();
        self.deliver_elsewhere(node_id, Carried::Frame { is_text: true, bytes }).await
    }

    /// Queues a binary frame for a node with a token, as [`deliver_app`](Self::deliver_app) does a
    /// message.
    ///
    /// # Errors
    /// As [`deliver_text`](Self::deliver_text).
    pub async fn deliver_binary(
        &self,
        node_id: NodeId,
        bytes: &[u8],
    ) -> Result<Delivered, OperatorError> {
        if self.send_binary(node_id, bytes.to_vec()) {
            return Ok(Delivered::Here);
        }
        self.deliver_elsewhere(node_id, Carried::Frame { is_text: false, bytes }).await
    }

    /// Queues a message for every peer that subscribed to the address and may read it, at all
    /// gateways of the registry.
    pub async fn publish_everywhere(
        &self,
        address: &Address<'_>,
        bytes: &Payload<'_>,
    ) -> Published {
        let here = self.publish(address, bytes);
        let mut published = Published { here, ..Published::default() };
        for (gateway, taken) in self.publish_elsewhere(address, bytes).await {
            match taken {
                Some(taken) => published.elsewhere += taken,
                None => published.unknown.push(gateway),
            }
        }
        published
    }

    /// Returns the names of the other gateways of the registry whose leases run.
    fn other_gateways(&self) -> Vec<String> {
        let Some(services) = &self.inner.sharing else { return Vec::new() };
        let own = services.shared.gateway();
        let all = services.gateways();
        let others = all.iter().filter(|one| one.is_present && one.name != own);
        others.map(|one| one.name.clone()).collect()
    }

    #[cfg(not(feature = "nats"))]
    async fn publish_elsewhere(
        &self,
        _: &Address<'_>,
        _: &Payload<'_>,
    ) -> Vec<(String, Option<usize>)> {
        self.other_gateways().into_iter().map(|gateway| (gateway, None)).collect()
    }

    #[cfg(not(feature = "nats"))]
    async fn deliver_elsewhere(
        &self,
        node_id: NodeId,
        carried: Carried<'_>,
    ) -> Result<Delivered, OperatorError> {
        // Nothing carries it.
        let (Carried::App(..) | Carried::Frame { .. }) = carried;
        Err(self.not_linked(node_id).await)
    }
}

#[cfg(feature = "nats")]
mod over_the_bus {
    use std::sync::Arc;

    use futures_util::future::join_all;

    use super::super::bus::{Bus, BusAnswer, BusMessage, FRAME_BYTES, NoAnswer};
    use super::{Address, Carried, Delivered, Gateway, NodeId, OperatorError, Payload};
    use crate::BusState;

    impl Gateway {
        /// Returns the bus, if it is connected.
        fn bus(&self) -> Option<&Arc<Bus>> {
            let bus = self.inner.sharing.as_ref()?.bus.get()?;
            (bus.state() == BusState::Connected).then_some(bus)
        }

        pub(super) async fn deliver_elsewhere(
            &self,
            node_id: NodeId,
            carried: Carried<'_>,
        ) -> Result<Delivered, OperatorError> {
            let refused = self.not_linked(node_id).await;
            let (OperatorError::Elsewhere { gateway, .. }, Some(bus)) = (&refused, self.bus())
            else {
                return Err(refused);
            };
            let (gateway, to) = (gateway.clone(), *node_id.as_bytes());
            let asked = match carried {
                Carried::App(action, address, bytes) => {
                    let (action, address) = (action.as_str(), address.as_str());
                    let bytes = bytes.as_bytes();
                    let app = |ask| BusMessage::App { ask, node_id: to, action, address, bytes };
                    bus.ask(&self.inner, &gateway, app).await
                }
                Carried::Frame { bytes, .. } if bytes.len() > FRAME_BYTES => return Err(refused),
                Carried::Frame { is_text, bytes } => {
                    let frame = |ask| BusMessage::Frame { ask, node_id: to, is_text, bytes };
                    bus.ask(&self.inner, &gateway, frame).await
                }
            };
            match asked {
                Ok(BusAnswer::Taken(_)) => Ok(Delivered::At(gateway)),
                Ok(BusAnswer::Refused) => Err(OperatorError::NotLinked(node_id)),
                Err(NoAnswer) => Err(OperatorError::NoAnswer { node_id, gateway }),
            }
        }

        pub(super) async fn publish_elsewhere(
            &self,
            address: &Address<'_>,
            bytes: &Payload<'_>,
        ) -> Vec<(String, Option<usize>)> {
            let bus = self.bus();
            let (address, bytes) = (address.as_str(), bytes.as_bytes());
            let asked = self.other_gateways().into_iter().map(async |gateway| {
                let publish = |ask| BusMessage::Publish { ask, address, bytes };
                let taken = match bus {
                    Some(bus) => bus.ask(&self.inner, &gateway, publish).await,
                    None => Err(NoAnswer),
                };
                let taken = match taken {
                    Ok(BusAnswer::Taken(taken)) => Some(usize::try_from(taken).unwrap_or(0)),
                    Ok(BusAnswer::Refused) => Some(0),
                    Err(NoAnswer) => None,
                };
                (gateway, taken)
            });
            join_all(asked).await
        }
    }
}
