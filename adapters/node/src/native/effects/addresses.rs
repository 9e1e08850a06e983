//! The addresses of the gateway, as a node finds them, is told them and keeps them.

use handfast_core::flow::native::node::NativeMemory;

use super::{NativeEffects, node_id_of};
use crate::native::NativeError;
use crate::native::address::GatewayAt;
use crate::native::address_book::ToldAddresses;
use crate::native::record::NativeIdentity;
use crate::tls;

/// Maximum number of a gateway's addresses that a node keeps once one was found.
const KEPT_ADDRESSES: usize = 8;

impl NativeEffects {
    /// Makes the found address durable, as the first one.
    pub(super) async fn keep_found(&mut self) -> Result<(), NativeError> {
        let Some(found) = self.search.called().cloned() else { return Ok(()) };
        let with_found = |known: &[GatewayAt]| -> Vec<GatewayAt> {
            let others = known.iter().filter(|known| **known != found).cloned();
            std::iter::once(found.clone()).chain(others).take(KEPT_ADDRESSES).collect()
        };
        let identity = NativeIdentity {
            gateways: with_found(&self.identity.gateways),
            ..self.identity.clone()
        };
        let (before, now) = (self.router(), identity.clone());
        match self.blocking(move |keeper| keeper.keep_address(&before, &now)).await {
            Ok(()) => {
                tracing::info!("the gateway is at {found} now, which is kept");
                self.identity = identity;
                self.target.gateways = with_found(&self.target.gateways).into();
                self.book.set_own(with_found(self.book.own()));
                (self.address, self.passed_over) = (0, false);
                self.search.turn_to(None);
            }
            // The link stands, and the next search finds the address again.
            Err(error) => tracing::warn!("the gateway's new address {found} is not kept: {error}"),
        }
        Ok(())
    }

    /// Makes the addresses that the gateway tells durable. They are called from the next connection
    /// on.
    pub(super) async fn keep_told(&mut self, addresses: Vec<GatewayAt>) -> Result<(), NativeError> {
        let Some(node_id) = self.node_id else { return Ok(()) };
        if addresses.is_empty() {
            tracing::warn!("the gateway tells no address that this version can call");
            return Ok(());
        }
        let worked = self.book.told().and_then(|told| told.worked.clone());
        let worked = worked.filter(|worked| addresses.contains(worked));
        let told = ToldAddresses { node_id, addresses, worked };
        if self.book.told() == Some(&told) {
            return Ok(());
        }
        let stored = told.clone();
        // A node that cannot store must not confirm what it has not stored.
        self.blocking(move |keeper| keeper.keep_addresses(Some(&stored))).await?;
        tracing::info!("the gateway is reached at {}, which is kept", shown(&told.addresses));
        if self.target.tls.is_none() && told.addresses.iter().any(GatewayAt::is_tls) {
            match tls::client(self.ca.as_deref()) {
                Ok(client) => self.target.tls = Some(client),
                Err(error) => tracing::warn!("its wss:// addresses are of no use: {error}"),
            }
        }
        self.book.set_told(Some(told));
        Ok(())
    }

    /// Takes over the pairing of a memory that is durable: addresses of another one are forgotten.
    pub(super) async fn keep_book(&mut self, memory: &NativeMemory) -> Result<(), NativeError> {
        self.node_id = node_id_of(memory);
        let stale = self.book.told().is_some_and(|told| Some(told.node_id) != self.node_id);
        if stale {
            self.book.set_told(None);
            self.blocking(|keeper| keeper.keep_addresses(None)).await?;
        }
        Ok(())
    }

    /// Turns to the addresses of the next attempt.
    pub(super) fn turn_to_known(&mut self) {
        self.search.turn_to(None);
        if let Some(at) = self.book.left() {
            tracing::warn!(
                "whoever answered at {at} did not take this node's call, so the other addresses \
                 of the gateway come first; its key is expected as before"
            );
        }
        // The first connections of a node that is not paired put its own addresses in order.
        if self.book.told().is_some() {
            self.target.gateways = self.book.order().into();
        }
    }

    /// Returns the key of the gateway's entry in the token store.
    pub(super) fn router(&self) -> String {
        self.identity.gateways.first().map(GatewayAt::router).unwrap_or_default()
    }
}

/// Returns addresses as people read them.
fn shown(addresses: &[GatewayAt]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
