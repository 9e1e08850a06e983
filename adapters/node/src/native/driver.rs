//! The driver: feeds events to core's node machine, and carries out its effects in order.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::Arc;

use handfast_core::Machine;
use handfast_core::flow::native::node::{NativeMemory, Node, PairMethod};
use handfast_core::grant::capability::Holder;
use handfast_core::limits::{NATIVE_PROFILE_BYTES, SUBSCRIPTIONS};
use handfast_core::wire::close::Close;
use handfast_core::wire::registration::Profile;
use tokio::sync::{broadcast, mpsc};

use super::chain::ChainFacts;
use super::event::{NativeEvent, NativeEvents};
use super::owned_messages::{NativeNodeAction, NativeNodeInput, NativeStepContext};
use super::owner::{NativeOwner, NativeOwnerCommand, NotSent, Renewable};
use super::renewal::RenewalSchedule;
use super::storage::{NativeKeeper, ToKeep};
use super::transport::{NativeCarrier, NativeTarget, TransportEvent};
use super::{NativeConfig, NativeError};
use crate::clock::ProcessClock;
use crate::standing::{NodeStanding, Teller};
use crate::tls;

/// Number of events that wait for a slow receiver before it loses the oldest.
const EVENTS: usize = 256;

/// Core's name for the state of a node that waits for its owner.
const IDLE: &str = "Idle";

/// A node of the native wire.
pub struct NativeNode {
    feeder: NativeStepContext,
    hands: NativeExecutor,
    memory: NativeMemory,
    facts: Option<ChainFacts>,
    owner: NativeOwner,
    words: mpsc::Receiver<NativeOwnerCommand>,
}

impl std::fmt::Debug for NativeNode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NativeNode").field("identity", &self.hands.identity).finish_non_exhaustive()
    }
}

impl NativeNode {
    /// Creates a node that is not running yet.
    ///
    /// # Errors
    /// [`NativeError`] if the stored state cannot be read, the profile is invalid, or TLS cannot be
    /// set up.
    pub fn new(config: NativeConfig) -> Result<Self, NativeError> {
        let NativeConfig { identity, profile, state, via, ca, waits } = config;
        if Profile::parse(&profile)
            .is_none_or(|profile| profile.as_str().len() > NATIVE_PROFILE_BYTES)
        {
            return Err(NativeError::Profile);
        }
        let keys = Arc::new(state.keys()?);
        let teller = Teller::of(state.dir());
        let keeper = NativeKeeper::new(state, &identity, Holder::of(&keys))?;
        let (memory, facts) = keeper.load(&identity)?;
        // `via` applies to this run only, so it does not enter the identity.
        let gateways: Arc<[_]> = via.unwrap_or_else(|| identity.gateways.clone()).into();
        let tls = gateways
            .iter()
            .any(super::GatewayAt::is_tls)
            .then(|| tls::client(ca.as_deref()))
            .transpose()?;
        let (words_in, words) = mpsc::channel(16);
        let hands = NativeExecutor {
            carrier: NativeCarrier::None,
            keeper: Arc::new(keeper),
            target: NativeTarget { gateways, tls, waits },
            events: broadcast::channel(EVENTS).0,
            results: VecDeque::new(),
            renewal: RenewalSchedule::default(),
            subscriptions: Vec::new(),
            identity: identity.clone(),
            teller,
        };
        let feeder = NativeStepContext::new(keys, identity.name, identity.room, profile);
        Ok(Self { feeder, hands, memory, facts, owner: NativeOwner(words_in), words })
    }

    /// Returns the owner's handle.
    #[must_use]
    pub fn owner(&self) -> NativeOwner {
        self.owner.clone()
    }

    /// Returns a receiver of the events from now on.
    #[must_use]
    pub fn events(&self) -> NativeEvents {
        NativeEvents(self.hands.events.subscribe())
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
        let Self { mut feeder, mut hands, memory, facts, owner: _owner, mut words } = self;
        let clock = ProcessClock::start();
        let waits = hands.target.waits;
        let mut node = Node::boot(clock.now(), memory, waits.timing());
        hands.renewal.plan(facts.as_ref());
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            // Results of effects come first, so that the machine sees them in the order of the
            // effects.
            let fed = match hands.results.pop_front() {
                Some(result) => result,
                None => tokio::select! {
                    () = &mut shutdown => break,
                    heard = hands.carrier.next() => match heard {
                        TransportEvent::Opened(at) => {
                            hands.prefer(at, node.memory());
                            NativeNodeInput::Connected
                        }
                        TransportEvent::Frame(bytes) => NativeNodeInput::Frame(bytes),
                        TransportEvent::Lost(why) => {
                            hands.tell(NativeEvent::Lost(why));
                            hands.carrier.finish(waits.close_within).await;
                            NativeNodeInput::Disconnected
                        }
                    },
                    Some(word) = words.recv() => match hands.hear(word, &node, &mut feeder) {
                        Some(fed) => fed,
                        None => continue,
                    },
                    () = clock.until(node.deadline().map(|(at, _)| at)) => NativeNodeInput::Tick,
                    // A renewal needs a link. One that becomes due without it is sent after the
                    // next connection.
                    () = hands.renewal.due(), if node.is_linked() => {
                        hands.renewal.asked();
                        NativeNodeInput::Renew(Renewable::Chain)
                    }
                },
            };
            let active = node.state_name() != IDLE;
            let actions = durable_first(feeder.step(&mut node, clock.now(), fed)?);
            tracing::trace!(state = node.state_name(), actions = actions.len(), "stepped");
            for action in actions {
                hands.carry_out(action).await?;
            }
            if active && node.state_name() == IDLE {
                hands.tell(NativeEvent::Resting);
            }
        }
        hands.carrier.close(Close::GOODBYE, waits.close_within).await;
        tracing::info!("stopped");
        Ok(())
    }
}

/// Moves reports behind storing: the owner may cut the power once it is told that the node is
/// paired.
fn durable_first(mut actions: Vec<NativeNodeAction>) -> Vec<NativeNodeAction> {
    if actions.iter().any(|action| matches!(action, NativeNodeAction::Keep(..))) {
        actions.sort_by_key(|action| matches!(action, NativeNodeAction::Tell(_)));
    }
    actions
}

/// The part of the node that carries out effects.
struct NativeExecutor {
    carrier: NativeCarrier,
    keeper: Arc<NativeKeeper>,
    target: NativeTarget,
    identity: super::NativeIdentity,
    events: broadcast::Sender<NativeEvent>,
    /// Inputs that result from effects and have to be fed back.
    results: VecDeque<NativeNodeInput>,
    renewal: RenewalSchedule,
    /// Patterns to subscribe to on every new link, because the gateway drops subscriptions with the
    /// link.
    subscriptions: Vec<String>,
    teller: Teller,
}

/// Returns the node's standing after an event; `None` if the event does not change it.
const fn standing_after(event: &NativeEvent) -> Option<NodeStanding> {
    match event {
        NativeEvent::Connecting => Some(NodeStanding::Connecting),
        NativeEvent::WaitsForApproval { .. } => Some(NodeStanding::Waiting),
        NativeEvent::Granted { .. } => Some(NodeStanding::Paired),
        NativeEvent::Linked(_) | NativeEvent::Unmuted => Some(NodeStanding::Linked),
        NativeEvent::Muted => Some(NodeStanding::Muted),
        NativeEvent::Expired => Some(NodeStanding::Expired),
        NativeEvent::PairAgain => Some(NodeStanding::Refused),
        NativeEvent::Unpaired => Some(NodeStanding::Unpaired),
        NativeEvent::Gateway { .. }
        | NativeEvent::OtherGateway(_)
        | NativeEvent::TypeThePin { .. }
        | NativeEvent::WrongCode { .. }
        | NativeEvent::CodeConfirmed
        | NativeEvent::GatewayUnproven
        | NativeEvent::PairingRefused(_)
        | NativeEvent::TurnedAway
        | NativeEvent::OtherVersion
        | NativeEvent::Broken
        | NativeEvent::Replaced
        | NativeEvent::NotAllowed { .. }
        | NativeEvent::Renewed
        | NativeEvent::NotRenewed
        | NativeEvent::Bearer(_)
        | NativeEvent::App(_)
        | NativeEvent::Lost(_)
        | NativeEvent::RetryIn(_)
        | NativeEvent::Forgotten
        | NativeEvent::Resting => None,
    }
}

impl NativeExecutor {
    /// Moves the address that answered to the front. Once the node is paired, the order stays,
    /// because the first address names the token's entry.
    fn prefer(&mut self, at: usize, memory: &NativeMemory) {
        if !matches!(memory, NativeMemory::Paired(_)) && at < self.identity.gateways.len() {
            // The other addresses keep their order.
            self.identity.gateways[..=at].rotate_right(1);
            self.target.gateways = self.identity.gateways.clone().into();
        }
    }

    fn hear(
        &mut self,
        word: NativeOwnerCommand,
        node: &Node,
        feeder: &mut NativeStepContext,
    ) -> Option<NativeNodeInput> {
        match word {
            NativeOwnerCommand::Pair(wish, expect) => Some(NativeNodeInput::Pair(wish, expect)),
            NativeOwnerCommand::Setup(token, gateway) => {
                feeder.setup = Some(token);
                Some(NativeNodeInput::Pair(PairMethod::Setup, Some(gateway)))
            }
            NativeOwnerCommand::Code(code) => Some(NativeNodeInput::Code(code)),
            NativeOwnerCommand::Renew(what) => Some(NativeNodeInput::Renew(what)),
            NativeOwnerCommand::Forget => Some(NativeNodeInput::Forget),
            NativeOwnerCommand::Vitals(vitals) => {
                feeder.vitals = vitals;
                None
            }
            NativeOwnerCommand::App(message, answer) => {
                // Answered before the message is sent: `Ok` says only that a link was open.
                let linked = node.is_linked();
                let _ = answer.send(if linked { Ok(()) } else { Err(NotSent::NotLinked) });
                linked.then_some(NativeNodeInput::App(message))
            }
            NativeOwnerCommand::Subscribe(pattern, answer) => {
                let known = self.subscriptions.contains(&pattern);
                if !known && self.subscriptions.len() >= SUBSCRIPTIONS {
                    let _ = answer.send(Err(NotSent::TooMany));
                    return None;
                }
                let _ = answer.send(Ok(()));
                if !known {
                    self.subscriptions.push(pattern.clone());
                }
                // Without a link it is sent with the next one, when all subscriptions are repeated.
                (node.is_linked() && !known).then_some(NativeNodeInput::Subscribe(pattern))
            }
        }
    }

    async fn carry_out(&mut self, action: NativeNodeAction) -> Result<(), NativeError> {
        match action {
            NativeNodeAction::Connect => {
                self.tell(NativeEvent::Connecting);
                self.carrier = NativeCarrier::open(&self.target);
            }
            NativeNodeAction::Send(frame) => {
                if let Err(why) = self.carrier.send(&frame, self.target.waits.answer_within).await {
                    self.tell(NativeEvent::Lost(why));
                    self.results.push_back(NativeNodeInput::Disconnected);
                }
            }
            NativeNodeAction::Close(close) => {
                if self.carrier.close(close, self.target.waits.close_within).await {
                    self.results.push_back(NativeNodeInput::Disconnected);
                }
            }
            NativeNodeAction::Keep(memory, chain) => {
                let keeper = self.keeper.clone();
                let what = ToKeep { identity: self.identity.clone(), memory, chain };
                // Flushing a file may take long, so it runs on a thread that may block.
                let kept = tokio::task::spawn_blocking(move || keeper.keep(what)).await;
                let facts = kept.map_err(|_| NativeError::Stopped)??;
                match memory {
                    NativeMemory::Paired(_) => self.renewal.plan(facts.as_ref()),
                    NativeMemory::Blank | NativeMemory::Asked { .. } => self.renewal.plan(None),
                }
                self.results.push_back(NativeNodeInput::Kept(memory));
            }
            NativeNodeAction::Tell(event) => {
                if let NativeEvent::Linked(_) = &event {
                    self.results
                        .extend(self.subscriptions.iter().cloned().map(NativeNodeInput::Subscribe));
                }
                if let NativeEvent::Forgotten = &event {
                    // The next pairing must not inherit the subscriptions of this one.
                    self.subscriptions.clear();
                }
                self.tell(event);
            }
        }
        Ok(())
    }

    fn tell(&mut self, event: NativeEvent) {
        super::log::log(&event, &self.target.gateways);
        if let Some(standing) = standing_after(&event) {
            self.keeper.tell(&mut self.teller, standing);
        }
        // Nobody may be listening.
        let _ = self.events.send(event);
    }
}
