//! The state of pairing while a gateway runs, and its creation at the start.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use handfast_core::limits::{PINGS_A_MINUTE, PINS_A_MINUTE};
use handfast_core::secret::Secret;
use handfast_core::{Instant, NodeId, UnixTime};
use handfast_store::{Store, StoreError};
use tokio::sync::{Notify, broadcast};

use super::delegates::Delegates;
use super::own_keys::KeysInUse;
use super::told::{Tells, Told};
use crate::connection::rate_limit::Failures;
use crate::events::Event;
use crate::gateway::bearers::{BearerHolder, Bearers};
use crate::gateway::changes::Changes;
use crate::keys::seal::StoreKey;
use crate::keys::setup::NotOpened;
use crate::policy::handler::PairingHandler;
use crate::policy::rules::{ApprovalTerms, LiveRules};
use crate::policy::settings::PairingSettings;

/// The maximum number of nodes with a remembered proposal or message.
const MOST_NOTES: usize = 4096;
/// The number of events that a listener may fall behind before it misses some.
const FEED: usize = 256;

/// The reason why a gateway does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A thread for hashing cannot be started.
    #[error("no thread for hashing can be started: {0}")]
    Threads(#[from] std::io::Error),
    /// The store failed.
    #[error("the registry could not be read or written: {0}")]
    Store(#[from] StoreError),
    /// No store key was given, and the registry may outlive the process.
    #[error(
        "a registry that outlives the gateway needs a store key, which seals its secrets: give GatewayBuilder::store_key the one that \
         keys::file::load_or_create keeps in a file"
    )]
    NoStoreKey,
    /// The store key is not the one that this registry was made with.
    #[error(
        "the store key does not open this registry's secrets: it is not the one with which they were sealed. Restore the key file \
         (store.key) that belongs to this registry; nothing was changed"
    )]
    WrongStoreKey,
    /// The key for setup codes cannot be used.
    #[error(transparent)]
    SetupKey(#[from] crate::keys::file::KeyFileError),
    /// The certificate authority cannot be used.
    #[error(transparent)]
    Authority(#[from] crate::ca::AuthorityError),
    /// The configuration of an extension is not valid.
    #[error(transparent)]
    Extensions(#[from] crate::extension::ConfigError),
    /// A setting is not valid.
    #[error("the settings are wrong: {0}")]
    Settings(String),
}

impl From<NotOpened> for StartError {
    fn from(error: NotOpened) -> Self {
        match error {
            NotOpened::Store(error) => Self::Store(error),
            NotOpened::WrongStoreKey => Self::WrongStoreKey,
            NotOpened::File(error) => Self::SetupKey(error),
        }
    }
}

/// The state of pairing outside the registry.
pub(crate) struct PairingServices {
    pub(crate) keys: KeysInUse,
    pub(crate) seal: StoreKey,
    pub(crate) settings: PairingSettings,
    pub(crate) handler: Arc<dyn PairingHandler>,
    /// The rules of the settings, which decide unless the handler is an embedder's.
    pub(crate) rules: Arc<LiveRules>,
    pub(crate) bearers: Bearers,
    /// Held while a PIN is looked for and minted, so that two simultaneous connections of one node
    /// get the same PIN. Also held while the window is read and set, so that its own closing never
    /// undoes a new opening.
    pub(crate) minting: tokio::sync::Mutex<()>,
    /// Wakes the task that watches the window after the window was set.
    pub(crate) window_changed: Arc<Notify>,
    /// The events for the operator's listeners.
    pub(crate) feed: broadcast::Sender<Event>,
    /// The same as changes, for readers that resume.
    pub(crate) changes: Changes,
    /// The delegates that have linked since the gateway started.
    pub(crate) delegates: Delegates,
    /// The number of PINs that each source may still be shown by this gateway: it protects the
    /// operator's display. Guesses are counted in the registry.
    pub(crate) pins: Failures,
    /// The number of pings of each node that delegated rights may still ask for.
    pub(crate) pings: Failures<NodeId>,
    told: Told,
    notes: Mutex<HashMap<NodeId, Note>>,
}

/// The remembered proposal and message for a node that waits or was just decided about. They are
/// lost with the process, and the settings apply then.
#[derive(Clone, Debug, Default)]
pub(crate) struct Note {
    /// The terms that a handler proposed, or that the node's code brings.
    pub(crate) proposed: ApprovalTerms,
    /// The operator's message to the node.
    pub(crate) word: Option<String>,
}

impl PairingServices {
    /// Opens the keys of this registry, or creates them.
    pub(crate) async fn start(
        store: &dyn Store,
        key: Secret<32>,
        settings: PairingSettings,
        handler: Option<Arc<dyn PairingHandler>>,
    ) -> Result<Self, StartError> {
        settings.check().map_err(StartError::Settings)?;
        let seal = StoreKey(key);
        let keys = KeysInUse::open(store, &seal).await?;
        let rules = Arc::new(LiveRules::new(&settings));
        Ok(Self {
            keys,
            seal,
            handler: handler.unwrap_or_else(|| Arc::clone(&rules) as Arc<dyn PairingHandler>),
            rules,
            settings,
            bearers: Bearers::default(),
            minting: tokio::sync::Mutex::default(),
            window_changed: Arc::default(),
            delegates: Delegates::default(),
            pins: Failures::new(PINS_A_MINUTE),
            pings: Failures::new(PINGS_A_MINUTE),
            told: Told::default(),
            feed: broadcast::Sender::new(FEED),
            changes: Changes::default(),
            notes: Mutex::default(),
        })
    }

    /// Updates the state with an event, and passes it to the operator's listeners. If they have had
    /// enough of its kind, the event is not passed on; the result is then the event that says so,
    /// if one is due.
    pub(crate) fn learn(&self, event: &Event, unix: UnixTime, now: Instant) -> Option<Event> {
        self.delegates.learn(event, unix);
        if let Event::GrantActivated { node_id, .. } | Event::GrantRevoked { node_id, .. } = event {
            // Bearers of the old grant end with it.
            self.bearers.drop_holder(BearerHolder::Node(*node_id));
        }
        match self.told.of(event, now) {
            Tells::It => {
                // It fails if nobody listens, which is no error.
                let _ = self.feed.send(event.clone());
                self.changes.add(event);
                None
            }
            Tells::LeftOut(address) => Some(Event::LeftOut { address }),
            Tells::Nothing => None,
        }
    }

    /// Changes the note of a node.
    pub(crate) fn note(&self, node_id: NodeId, change: impl FnOnce(&mut Note)) {
        let mut notes = self.notes.lock().expect("no thread panics while it holds the notes");
        if notes.len() >= MOST_NOTES && !notes.contains_key(&node_id) {
            // Any note may go, because the settings apply without one.
            let any = notes.keys().next().copied();
            any.and_then(|any| notes.remove(&any));
        }
        change(notes.entry(node_id).or_default());
    }

    /// Returns the note of a node.
    pub(crate) fn noted(&self, node_id: NodeId) -> Note {
        self.notes
            .lock()
            .expect("no thread panics while it holds the notes")
            .get(&node_id)
            .cloned()
            .unwrap_or_default()
    }
}
