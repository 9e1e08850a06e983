//! The driver: feeds events to core's node machine, and carries out its effects in order.

use std::collections::VecDeque;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

use handfast_core::flow::registration::node::{RegistrationMemory, RegistrationNode};
use handfast_core::limits::PROFILE_BYTES;
use handfast_core::wire::close::Close;
use handfast_core::wire::registration::Profile;
use handfast_core::wire::token::Token;
use handfast_core::{Machine, Refusal};
use tokio::sync::{broadcast, mpsc};

use crate::clock::ProcessClock;
use crate::connection::{Connection, SocketEvent, Target};
use crate::event::{Events, Owner, OwnerCommand, RegistrationEvent};
use crate::registration::config::NodeConfig;
use crate::registration::owned_messages::{
    RegistrationNodeAction, RegistrationNodeInput, RegistrationStepContext,
};
use crate::registration::record::Identity;
use crate::registration::token_source::{LOOK_EVERY, TokenReader, TokenSource};
use crate::standing::{NodeStanding, Teller};
use crate::state::{HeldState, StateError};
use crate::tls::{self, NodeTlsError};
use crate::token_file;

/// Number of events that wait for a slow receiver before it loses the oldest.
const EVENTS: usize = 256;

/// Core's name for the state of a node that waits for its next attempt.
const WAITING: &str = "Waiting";

/// The reason for which a node cannot start or cannot continue.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// The state cannot be read or written.
    #[error(transparent)]
    State(#[from] StateError),
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] NodeTlsError),
    /// The profile is not a JSON object, or is too long.
    #[error(
        "the hardware profile must be one JSON object of at most {PROFILE_BYTES} bytes, like {{\"model\":\"Pi 5\"}}"
    )]
    Profile,
    /// The operating system gave no random bytes.
    #[error("the operating system gives no random numbers: {0}")]
    Randomness(#[from] getrandom::Error),
    /// The runtime shut down while the state was being written.
    #[error("the runtime stopped while the state was being written")]
    Stopped,
}

/// A node on Linux: core's machine, a WebSocket, and a state directory.
pub struct LinuxNode {
    feeder: RegistrationStepContext,
    state: Arc<HeldState>,
    memory: RegistrationMemory,
    target: Target,
    events: broadcast::Sender<RegistrationEvent>,
    owner: Owner,
    words: mpsc::Receiver<OwnerCommand>,
    /// The file that the token came from, if it came from one.
    source: Option<TokenSource>,
    teller: Teller,
}

impl LinuxNode {
    /// Creates a node that is ready to run, with its stored state.
    ///
    /// # Errors
    /// [`NodeError`] if the stored state is damaged, the profile is invalid, or the CA certificates
    /// cannot be read.
    pub fn new(config: NodeConfig) -> Result<Self, NodeError> {
        let NodeConfig { identity, profile, state, token, ask_anew, ca, waits } = config;
        Profile::parse(&profile).ok_or(NodeError::Profile)?;
        let kept = state.dir().load()?.map_or(RegistrationMemory::Blank, |(_, memory)| memory);
        let memory = match (kept, token) {
            // The stored id is replaced only once a gateway has given a new one.
            _ if ask_anew => RegistrationMemory::Blank,
            (
                RegistrationMemory::Asked { node_id } | RegistrationMemory::Paired { node_id, .. },
                Some(token),
            ) => RegistrationMemory::Paired { node_id, token },
            (kept, _) => kept,
        };
        let tls = identity.gateway.is_tls().then(|| tls::client(ca.as_deref())).transpose()?;
        let target = Target { gateway: identity.gateway.clone(), tls, waits };
        let (words_in, words) = mpsc::channel(16);
        let teller = Teller::of(state.dir());
        Ok(Self {
            feeder: RegistrationStepContext::new(identity, profile),
            state: Arc::new(state),
            memory,
            target,
            events: broadcast::channel(EVENTS).0,
            owner: Owner(words_in),
            words,
            source: None,
            teller,
        })
    }

    /// Names the file that the token came from. While the node is not linked it checks the file
    /// each second, and uses another token that it finds there.
    #[must_use]
    pub fn with_token_file(self, path: PathBuf) -> Self {
        self.with_source(path, token_file::read)
    }

    /// As [`with_token_file`](Self::with_token_file), for a
    /// [mounted secret](token_file::read_mounted).
    #[must_use]
    pub fn with_mounted_token_file(self, path: PathBuf) -> Self {
        self.with_source(path, token_file::read_mounted)
    }

    fn with_source(mut self, path: PathBuf, read: TokenReader) -> Self {
        self.teller.token_from = Some(path.display().to_string());
        if let RegistrationMemory::Paired { token, .. } = &self.memory
            && let Some(token) = Token::parse(token.expose())
        {
            self.source = Some(TokenSource::new(path, read, token));
        }
        self
    }

    /// Returns the owner's handle.
    #[must_use]
    pub fn owner(&self) -> Owner {
        self.owner.clone()
    }

    /// Returns a receiver of the events from now on.
    ///
    /// # Errors
    /// [`NodeError`] if the state can no longer be written, or there is no randomness.
    #[must_use]
    pub fn events(&self) -> Events {
        Events(self.events.subscribe())
    }

    /// Runs until `shutdown` is ready, then closes the link in order. A gateway that is offline,
    /// refuses or misbehaves does not end the node.
    ///
    /// # Errors
    /// [`NodeError`] if the state can no longer be written, or there is no randomness.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), NodeError> {
        // The owner's sender is kept, so that receiving from it never ends.
        let Self {
            mut feeder,
            state,
            memory,
            target,
            events,
            owner: _owner,
            mut words,
            mut source,
            teller,
        } = self;
        if let Some(warning) = target.gateway.warning() {
            tracing::warn!("{warning}");
        }
        let clock = ProcessClock::start();
        let waits = target.waits;
        let mut node = RegistrationNode::boot(clock.now(), memory, waits.timing());
        let from_file = source.is_some();
        let mut hands = RegistrationExecutor {
            connection: Connection::None,
            state,
            target,
            events,
            results: VecDeque::new(),
            teller,
            from_file,
        };
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            // Results of effects come first, so that the machine sees them in the order of the
            // effects.
            let fed = match hands.results.pop_front() {
                Some(result) => result,
                None => tokio::select! {
                    () = &mut shutdown => break,
                    heard = hands.connection.next(&clock, &waits) => match heard {
                        SocketEvent::Opened => RegistrationNodeInput::Connected,
                        SocketEvent::Text(text) => RegistrationNodeInput::Text(text),
                        SocketEvent::Lost(why) => {
                            hands.tell(RegistrationEvent::Lost(why));
                            hands.connection.finish(waits.close_within).await;
                            RegistrationNodeInput::Disconnected
                        }
                    },
                    Some(word) = words.recv() => match word {
                        OwnerCommand::Token(token) => RegistrationNodeInput::Token(token),
                        OwnerCommand::AskAgain => RegistrationNodeInput::AskAgain,
                        OwnerCommand::Forget => RegistrationNodeInput::Forget,
                        OwnerCommand::Vitals(vitals) => {
                            feeder.vitals = vitals;
                            // New readings need no step; the next heartbeat has them.
                            continue;
                        }
                    },
                    () = clock.until(node.deadline().map(|(at, _)| at)) => match source.as_mut().and_then(TokenSource::other) {
                        Some(token) => RegistrationNodeInput::Token(token),
                        None => RegistrationNodeInput::Tick,
                    },
                    // The wait for the next attempt may be long; a new token in the file is used at
                    // once.
                    () = tokio::time::sleep(LOOK_EVERY), if source.is_some() && node.state_name() == WAITING => {
                        match source.as_mut().and_then(TokenSource::other) {
                            Some(token) => RegistrationNodeInput::Token(token),
                            None => continue,
                        }
                    }
                },
            };
            let actions = feeder.step(&mut node, clock.now(), fed)?;
            tracing::trace!(state = node.state_name(), actions = actions.len(), "stepped");
            for action in actions {
                hands.carry_out(action, &feeder.identity).await?;
            }
        }
        hands.connection.close(Close::GOODBYE, waits.close_within).await;
        tracing::info!("stopped");
        Ok(())
    }
}

/// Returns the node's standing after an event; `None` if the event does not change it.
const fn standing_after(event: &RegistrationEvent) -> Option<NodeStanding> {
    match event {
        RegistrationEvent::Connecting => Some(NodeStanding::Connecting),
        RegistrationEvent::WaitsForApproval(_)
        | RegistrationEvent::Refused(Refusal::NotApproved) => Some(NodeStanding::Waiting),
        RegistrationEvent::TokenKept => Some(NodeStanding::Paired),
        RegistrationEvent::Linked { .. } => Some(NodeStanding::Linked),
        RegistrationEvent::Refused(Refusal::Muted) => Some(NodeStanding::Muted),
        RegistrationEvent::Refused(
            Refusal::InvalidCredentials | Refusal::Revoked | Refusal::NotPaired,
        ) => Some(NodeStanding::Refused),
        // A gateway may refuse for now, or because of its own faults.
        RegistrationEvent::Refused(
            Refusal::AlreadyPaired
            | Refusal::NoToken
            | Refusal::Expired
            | Refusal::Rejected { .. }
            | Refusal::Barred
            | Refusal::TooManyPending
            | Refusal::RateLimited
            | Refusal::StoreFailed
            | Refusal::ClockInDoubt
            | Refusal::AtCapacity,
        )
        | RegistrationEvent::Complaint(_)
        | RegistrationEvent::Lost(_)
        | RegistrationEvent::RetryIn(_)
        | RegistrationEvent::NothingAsked
        | RegistrationEvent::Forgotten => None,
    }
}

/// The part of the node that carries out effects.
struct RegistrationExecutor {
    connection: Connection,
    state: Arc<HeldState>,
    target: Target,
    events: broadcast::Sender<RegistrationEvent>,
    /// Inputs that result from effects and have to be fed back.
    results: VecDeque<RegistrationNodeInput>,
    teller: Teller,
    /// The token is in a file of the owner's, so it is not stored a second time.
    from_file: bool,
}

impl RegistrationExecutor {
    async fn carry_out(
        &mut self,
        action: RegistrationNodeAction,
        identity: &Identity,
    ) -> Result<(), NodeError> {
        match action {
            RegistrationNodeAction::Connect => {
                self.tell(RegistrationEvent::Connecting);
                self.connection = Connection::open(&self.target);
            }
            RegistrationNodeAction::Send(text) => {
                if let Err(why) = self.connection.send(text, self.target.waits.answer_within).await
                {
                    self.tell(RegistrationEvent::Lost(why));
                    self.results.push_back(RegistrationNodeInput::Disconnected);
                }
            }
            RegistrationNodeAction::Close(close) => {
                if self.connection.close(close, self.target.waits.close_within).await {
                    self.results.push_back(RegistrationNodeInput::Disconnected);
                }
            }
            // This token is in its file already, so nothing has to be written.
            RegistrationNodeAction::Keep(memory @ RegistrationMemory::Paired { .. })
                if self.from_file =>
            {
                self.results.push_back(RegistrationNodeInput::Kept(memory));
            }
            RegistrationNodeAction::Keep(memory) => {
                let (state, identity) = (self.state.clone(), identity.clone());
                // Flushing a file may take long, so it runs on a thread that may block.
                let saved = tokio::task::spawn_blocking(move || {
                    state.save(&identity, &memory).map(|()| memory)
                })
                .await;
                self.results.push_back(RegistrationNodeInput::Kept(
                    saved.map_err(|_| NodeError::Stopped)??,
                ));
            }
            RegistrationNodeAction::Tell(event) => self.tell(event),
        }
        Ok(())
    }

    fn tell(&mut self, event: RegistrationEvent) {
        self.log(&event);
        if let Some(standing) = standing_after(&event) {
            self.teller.tell(&self.state, standing);
        }
        // Nobody may be listening.
        let _ = self.events.send(event);
    }

    fn log(&self, event: &RegistrationEvent) {
        let gateway = &self.target.gateway;
        match event {
            RegistrationEvent::Connecting => tracing::info!(%gateway, "connecting"),
            RegistrationEvent::WaitsForApproval(id) => {
                tracing::info!("waits for approval; on the gateway: handfast approve {id}");
            }
            RegistrationEvent::TokenKept if self.from_file => {
                tracing::debug!("another token is used");
            }
            RegistrationEvent::TokenKept => tracing::info!("the token is kept"),
            RegistrationEvent::Linked { node_id, room } => {
                tracing::info!(%node_id, %room, "linked");
            }
            RegistrationEvent::Refused(Refusal::Muted) => {
                tracing::warn!("muted: the operator has to unmute this node; trying on meanwhile");
            }
            RegistrationEvent::Refused(Refusal::NotApproved) => {
                tracing::warn!(
                    "not approved yet: the operator has to approve this node; trying on meanwhile"
                );
            }
            RegistrationEvent::Refused(_) => tracing::error!(
                "refused: the gateway does not know this node with this token. Check that the token is the one last issued for \
                 this node id; if the node was unpaired, pair it again and replace the token. Trying on \
                 meanwhile, about once a minute"
            ),
            RegistrationEvent::Complaint(words) => {
                tracing::warn!("the gateway says that a message of this node was wrong: {words}");
            }
            RegistrationEvent::Lost(why) => tracing::warn!("{why}"),
            RegistrationEvent::RetryIn(wait) => {
                tracing::info!("trying again in {:.1} s", wait.as_secs_f32());
            }
            RegistrationEvent::NothingAsked => {
                tracing::warn!("a token came, but this node has not asked to be paired yet");
            }
            RegistrationEvent::Forgotten => tracing::info!("everything is forgotten"),
        }
    }
}
