//! A node of the `missy` dialect.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

use handfast_core::flow::registration::node::{RegistrationMemory, RegistrationNode};
use handfast_core::limits::PROFILE_BYTES;
use handfast_core::wire::registration::Profile;
use handfast_core::wire::token::Token;
use tokio::sync::{broadcast, mpsc};

use crate::driver::NodeDriver;
use crate::event::{Events, Owner, OwnerCommand};
use crate::registration::config::NodeConfig;
use crate::registration::context::RegistrationContext;
use crate::registration::effects::RegistrationEffects;
use crate::registration::link::Target;
use crate::registration::token_source::{TokenReader, TokenSource};
use crate::standing::Teller;
use crate::state::StateError;
use crate::tls::{self, NodeTlsError};
use crate::token_file;

/// Number of events that wait for a slow receiver before it loses the oldest.
const EVENTS: usize = 256;

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
    effects: RegistrationEffects,
    context: RegistrationContext,
    memory: RegistrationMemory,
    owner: Owner,
    commands: mpsc::Receiver<OwnerCommand>,
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
        let (commands_in, commands) = mpsc::channel(16);
        let teller = Teller::of(state.dir());
        Ok(Self {
            context: RegistrationContext::new(identity.clone(), profile),
            effects: RegistrationEffects {
                identity,
                state: Arc::new(state),
                target,
                events: broadcast::channel(EVENTS).0,
                teller,
                source: None,
            },
            memory,
            owner: Owner(commands_in),
            commands,
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
        self.effects.teller.token_from = Some(path.display().to_string());
        // A token has no copy of its own, so its text is parsed again.
        if let RegistrationMemory::Paired { token, .. } = &self.memory
            && let Some(token) = Token::parse(token.expose())
        {
            self.effects.source = Some(TokenSource::new(path, read, token));
        }
        self
    }

    /// Returns the owner's handle.
    #[must_use]
    pub fn owner(&self) -> Owner {
        self.owner.clone()
    }

    /// Returns a receiver of the events from now on.
    #[must_use]
    pub fn events(&self) -> Events {
        Events(self.effects.events.subscribe())
    }

    /// Runs until `shutdown` is ready, then closes the link in order. A gateway that is offline,
    /// refuses or misbehaves does not end the node.
    ///
    /// # Errors
    /// [`NodeError`] if the state can no longer be written, or there is no randomness.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), NodeError> {
        // The owner's sender is kept, so that receiving from it never ends.
        let Self { effects, context, memory, owner: _owner, commands } = self;
        effects.warn_of_plain_text();
        let timing = effects.target.waits.timing();
        NodeDriver { flow: effects, context, commands }
            .run(|now| RegistrationNode::boot(now, memory, timing), shutdown)
            .await
    }
}
