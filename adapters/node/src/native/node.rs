//! A node of the native wire.

use std::future::Future;
use std::sync::Arc;

use handfast_core::flow::native::node::{NativeMemory, Node};
use handfast_core::limits::NATIVE_PROFILE_BYTES;
use handfast_core::wire::registration::Profile;
use tokio::sync::{broadcast, mpsc};

use super::address::GatewayAt;
use super::address_book::AddressBook;
use super::certificate_keeper::NativeCertificates;
use super::context::NativeContext;
use super::dispatching::NativeDispatches;
use super::effects::{NativeEffects, NativeParts, node_id_of};
use super::event::NativeEvents;
use super::owner::{NativeOwner, OwnerMessage};
use super::storage::NativeKeeper;
use super::transport::NativeTarget;
use super::{NativeConfig, NativeError};
use crate::driver::NodeDriver;
use crate::standing::Teller;
use crate::tls;

/// Number of events that wait for a slow receiver before it loses the oldest.
const EVENTS: usize = 256;

/// A node of the native wire.
pub struct NativeNode {
    effects: NativeEffects,
    context: NativeContext,
    memory: NativeMemory,
    owner: NativeOwner,
    commands: mpsc::Receiver<OwnerMessage>,
}

impl std::fmt::Debug for NativeNode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NativeNode")
            .field("identity", &self.effects.identity)
            .finish_non_exhaustive()
    }
}

impl NativeNode {
    /// Creates a node that is not running yet.
    ///
    /// # Errors
    /// [`NativeError`] if the stored state cannot be read, the profile is invalid, or TLS cannot be
    /// set up.
    pub fn new(config: NativeConfig) -> Result<Self, NativeError> {
        let NativeConfig { identity, profile, state, via, ca, waits, capabilities, certificate } =
            config;
        if Profile::parse(&profile)
            .is_none_or(|profile| profile.as_str().len() > NATIVE_PROFILE_BYTES)
        {
            return Err(NativeError::Profile);
        }
        let keys = Arc::new(state.keys()?);
        let teller = Teller::of(state.dir());
        let keeper = NativeKeeper::new(state, &identity, &keys)?;
        let (memory, facts) = keeper.load(&identity)?;
        // `via` applies to this run only, so it does not enter the identity.
        let only_own = via.is_some();
        let gateways: Arc<[_]> = match via {
            // Where certificates are wanted none can be fetched, so the others stay in reach.
            Some(via) if via.iter().all(GatewayAt::needs_certificate) => {
                via.into_iter().chain(identity.gateways.iter().cloned()).collect()
            }
            Some(via) => via.into(),
            None => identity.gateways.clone().into(),
        };
        let told = keeper.addresses(&memory);
        let listed = told.iter().flat_map(|told| &told.addresses);
        // The certificates of CAs are loaded only if an address needs them.
        let tls = gateways
            .iter()
            .chain(listed)
            .any(GatewayAt::is_tls)
            .then(|| tls::client(ca.as_deref()))
            .transpose()?;
        let book = AddressBook::new(gateways.to_vec(), only_own, told);
        let (commands_in, commands) = mpsc::channel(16);
        let keeper = Arc::new(keeper);
        let mut certificates = keeper.certificates()?;
        let csr = if certificate || certificates.is_wanted() {
            // A node that is paired, or is paired again, shows the same request until it is answered.
            let csr = certificates.begin()?;
            // The key is durable before a request shows it.
            keeper.keep_certificates(&certificates)?;
            Some(csr)
        } else {
            None
        };
        let (offers, wanted) = (!capabilities.is_empty(), csr.is_some());
        let effects = NativeEffects::new(NativeParts {
            // The certificates are filled in at each dial, with those that are valid then.
            target: NativeTarget {
                gateways: book.order().into(),
                tls,
                certificates: Vec::new(),
                waits,
            },
            book,
            ca,
            node_id: node_id_of(&memory),
            events: broadcast::channel(EVENTS).0,
            identity: identity.clone(),
            teller,
            dispatches: NativeDispatches::new(keeper.clone(), keeper.load_board()?, capabilities),
            certificates: NativeCertificates::new(keeper.clone(), certificates, wanted),
            facts,
            keeper,
        });
        let context = NativeContext::new(keys, identity.name, identity.room, profile, csr, offers);
        Ok(Self { effects, context, memory, owner: NativeOwner(commands_in), commands })
    }

    /// Returns the owner's handle.
    #[must_use]
    pub fn owner(&self) -> NativeOwner {
        self.owner.clone()
    }

    /// Returns a receiver of the events from now on.
    #[must_use]
    pub fn events(&self) -> NativeEvents {
        NativeEvents(self.effects.events.subscribe())
    }

    /// Returns the stored pairing.
    #[must_use]
    pub const fn memory(&self) -> &NativeMemory {
        &self.memory
    }

    /// Runs until `shutdown` is ready, then closes the link in order. A gateway that is offline,
    /// refuses or misbehaves does not end the node.
    ///
    /// # Errors
    /// [`NativeError`] if the state can no longer be written, or there is no randomness.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), NativeError> {
        // The owner's sender is kept, so that receiving from it never ends.
        let Self { effects, context, memory, owner: _owner, commands } = self;
        let timing = effects.target.waits.timing();
        // A gateway at the other end of a serial line is not on a network.
        let on_network = |at: &GatewayAt| !matches!(at, GatewayAt::Serial { .. });
        let searches =
            cfg!(feature = "discovery") && effects.target.gateways.iter().any(on_network);
        NodeDriver { flow: effects, context, commands }
            .run(
                |now| {
                    let node = Node::boot(now, memory, timing).keeping_addresses();
                    if searches { node.searching() } else { node }
                },
                shutdown,
            )
            .await
    }
}
