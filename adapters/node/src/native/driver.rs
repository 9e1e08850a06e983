//! The driver: feeds events to core's node machine, and carries out its effects in order.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::Arc;

use handfast_core::flow::native::node::{NativeMemory, Node, PairMethod};
use handfast_core::grant::capability::Holder;
use handfast_core::limits::{NATIVE_PROFILE_BYTES, SUBSCRIPTIONS};
use handfast_core::step::Machine;
use handfast_core::wire::close::Close;
use handfast_core::wire::registration::Profile;
use tokio::sync::{broadcast, mpsc};

use super::chain::Facts;
use super::event::{NativeEvent, NativeEvents};
use super::owned_messages::{Action, Fed, Feeder};
use super::owner::{NativeOwner, NotSent, Renewable, Word};
use super::renewal::Renewal;
use super::storage::{Keeper, ToKeep};
use super::transport::{Carrier, Heard, Target};
use super::{NativeConfig, NativeError};
use crate::clock::Clock;
use crate::standing::{Standing, Teller};
use crate::tls;

/// Number of events that wait for a slow receiver before it loses the oldest.
const EVENTS: usize = 256;

/// Core's name for the state of a node that waits for its owner.
const IDLE: &str = "Idle";

/// A node of the native wire.
pub struct NativeNode {
    feeder: Feeder,
    hands: Hands,
    memory: NativeMemory,
    facts: Option<Facts>,
    owner: NativeOwner,
    words: mpsc::Receiver<Word>,
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
        let keeper = Keeper::new(state, &identity, Holder::of(&keys))?;
        let (memory, facts) = keeper.load(&identity)?;
        // `via` applies to this run only, so it does not enter the identity.
        let gateways: Arc<[_]> = via.unwrap_or_else(|| identity.gateways.clone()).into();
        let tls = gateways
            .iter()
            .any(super::GatewayAt::is_tls)
            .then(|| tls::client(ca.as_deref()))
            .transpose()?;
        let (words_in, words) = mpsc::channel(16);
        let hands = Hands {
            carrier: Carrier::None,
            keeper: Arc::new(keeper),
            target: Target { gateways, tls, waits },
            events: broadcast::channel(EVENTS).0,
            results: VecDeque::new(),
            renewal: Renewal::default(),
            subscriptions: Vec::new(),
            identity: identity.clone(),
            teller,
        };
        let feeder = Feeder::new(keys, identity.name, identity.room, profile);
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
        let clock = Clock::start();
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
                        Heard::Opened(at) => {
                            hands.prefer(at, node.memory());
                            Fed::Connected
                        }
                        Heard::Frame(bytes) => Fed::Frame(bytes),
                        Heard::Lost(why) => {
                            hands.tell(NativeEvent::Lost(why));
                            hands.carrier.finish(waits.close_within).await;
                            Fed::Disconnected
                        }
                    },
                    Some(word) = words.recv() => match hands.hear(word, &node, &mut feeder) {
                        Some(fed) => fed,
                        None => continue,
                    },
                    () = clock.until(node.deadline().map(|(at, _)| at)) => Fed::Tick,
                    // A renewal needs a link. One that becomes due without it is sent after the
                    // next connection.
                    () = hands.renewal.due(), if node.is_linked() => {
                        hands.renewal.asked();
                        Fed::Renew(Renewable::Chain)
                    }
                },
            };
            let actions;
            let active = node.state_name() != IDLE;
            (node, actions) = feeder.step(node, clock.now(), fed)?;
            let actions = durable_first(actions);
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
fn durable_first(mut actions: Vec<Action>) -> Vec<Action> {
    if actions.iter().any(|action| matches!(action, Action::Keep(..))) {
        actions.sort_by_key(|action| matches!(action, Action::Tell(_)));
    }
    actions
}

/// The part of the node that carries out effects.
struct Hands {
    carrier: Carrier,
    keeper: Arc<Keeper>,
    target: Target,
    identity: super::NativeIdentity,
    events: broadcast::Sender<NativeEvent>,
    /// Inputs that result from effects and have to be fed back.
    results: VecDeque<Fed>,
    renewal: Renewal,
    /// Patterns to subscribe to on every new link, because the gateway drops subscriptions with the
    /// link.
    subscriptions: Vec<String>,
    teller: Teller,
}

/// Returns the node's standing after an event; `None` if the event does not change it.
const fn standing_after(event: &NativeEvent) -> Option<Standing> {
    match event {
        NativeEvent::Connecting => Some(Standing::Connecting),
        NativeEvent::WaitsForApproval { .. } => Some(Standing::Waiting),
        NativeEvent::Granted { .. } => Some(Standing::Paired),
        NativeEvent::Linked(_) | NativeEvent::Unmuted => Some(Standing::Linked),
        NativeEvent::Muted => Some(Standing::Muted),
        NativeEvent::Expired => Some(Standing::Expired),
        NativeEvent::PairAgain => Some(Standing::Refused),
        NativeEvent::Unpaired => Some(Standing::Unpaired),
        _ => None,
    }
}

impl Hands {
    /// Moves the address that answered to the front. Once the node is paired, the order stays,
    /// because the first address names the token's entry.
    fn prefer(&mut self, at: usize, memory: &NativeMemory) {
        if !matches!(memory, NativeMemory::Paired(_)) && at < self.identity.gateways.len() {
            // The other addresses keep their order.
            self.identity.gateways[..=at].rotate_right(1);
            self.target.gateways = self.identity.gateways.clone().into();
        }
    }

    fn hear(&mut self, word: Word, node: &Node, feeder: &mut Feeder) -> Option<Fed> {
        match word {
            Word::Pair(wish, expect) => Some(Fed::Pair(wish, expect)),
            Word::Setup(token, gateway) => {
                feeder.setup = Some(token);
                Some(Fed::Pair(PairMethod::Setup, Some(gateway)))
            }
            Word::Code(code) => Some(Fed::Code(code)),
            Word::Renew(what) => Some(Fed::Renew(what)),
            Word::Forget => Some(Fed::Forget),
            Word::Vitals(vitals) => {
                feeder.vitals = vitals;
                None
            }
            Word::App(message, answer) => {
                // Answered before the message is sent: `Ok` says only that a link was open.
                let linked = node.is_linked();
                let _ = answer.send(if linked { Ok(()) } else { Err(NotSent::NotLinked) });
                linked.then_some(Fed::App(message))
            }
            Word::Subscribe(pattern, answer) => {
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
                (node.is_linked() && !known).then_some(Fed::Subscribe(pattern))
            }
        }
    }

    async fn carry_out(&mut self, action: Action) -> Result<(), NativeError> {
        match action {
            Action::Connect => {
                self.tell(NativeEvent::Connecting);
                self.carrier = Carrier::open(&self.target);
            }
            Action::Send(frame) => {
                if let Err(why) = self.carrier.send(&frame, self.target.waits.answer_within).await {
                    self.tell(NativeEvent::Lost(why));
                    self.results.push_back(Fed::Disconnected);
                }
            }
            Action::Close(close) => {
                if self.carrier.close(close, self.target.waits.close_within).await {
                    self.results.push_back(Fed::Disconnected);
                }
            }
            Action::Keep(memory, chain) => {
                let keeper = self.keeper.clone();
                let what = ToKeep { identity: self.identity.clone(), memory, chain };
                // Flushing a file may take long, so it runs on a thread that may block.
                let kept = tokio::task::spawn_blocking(move || keeper.keep(what)).await;
                let facts = kept.map_err(|_| NativeError::Stopped)??;
                match memory {
                    NativeMemory::Paired(_) => self.renewal.plan(facts.as_ref()),
                    NativeMemory::Blank | NativeMemory::Asked { .. } => self.renewal.plan(None),
                }
                self.results.push_back(Fed::Kept(memory));
            }
            Action::Tell(event) => {
                if let NativeEvent::Linked(_) = &event {
                    self.results.extend(self.subscriptions.iter().cloned().map(Fed::Subscribe));
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
