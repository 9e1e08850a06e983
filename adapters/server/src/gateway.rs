//! The gateway: its shared state, its builder, and the operator's decisions about nodes.
//!
//! Everything that serves connections or operators uses this state: the flows, the listeners, the
//! HTTP API and the extensions.

pub(crate) mod bearers;
pub(crate) mod certificates;
pub(crate) mod changes;
pub(crate) mod clone_marks;
pub(crate) mod common;
pub(crate) mod day_counts;
pub(crate) mod delegates;
pub(crate) mod deliveries;
pub(crate) mod dispatches;
pub(crate) mod hash_pool;
pub(crate) mod in_force;
pub(crate) mod issued_setups;
pub(crate) mod key_rotation;
pub(crate) mod live_settings;
pub(crate) mod login_links;
pub(crate) mod messages;
pub(crate) mod node_addresses;
pub(crate) mod operator_types;
pub(crate) mod own_keys;
pub(crate) mod pairing_state;
pub(crate) mod readings;
pub(crate) mod requests;
pub(crate) mod shared_keys;
pub(crate) mod sharing;
pub(crate) mod timekeeping;
pub(crate) mod token_cache;
pub(crate) mod told;
pub(crate) mod unstored;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
#[cfg(feature = "tls")]
use std::sync::OnceLock;

use axum::extract::ws::Message;
use handfast_core::limits::Limits;
use handfast_core::registry::lifecycle::{self, Notice};
use handfast_core::registry::record::Record;
use handfast_core::{NodeId, Refusal, UnixTime};
use handfast_store::audit::{self, Origin, What, Who};
use handfast_store::{Entry, HeldStore, Store, StoreError, Stored};
use tokio::sync::{Semaphore, watch};
use tracing::Instrument;

use crate::application::Application;
use crate::ca::{AllowList, Authority};
#[cfg(feature = "tls")]
use crate::ca::{RevocationLists, ServerCertificate};
use crate::clock::GatewayClock;
use crate::connection::flow_budgets::FlowBudgets;
use crate::connection::handshake_budgets::Budgets;
use crate::connection::hub::Hub;
use crate::connection::slots::Seats;
use crate::events::{Event, Observer};
use crate::extension::Extensions;
use crate::gateway::bearers::BearerHolder;
use crate::gateway::clone_marks::CloneMarks;
use crate::gateway::day_counts::DayCounts;
use crate::gateway::deliveries::DeliveryWaker;
use crate::gateway::dispatches::DispatchNews;
use crate::gateway::hash_pool::HashPool;
use crate::gateway::issued_setups::IssuedSetups;
use crate::gateway::login_links::LoginLinks;
use crate::gateway::messages::MessageFeed;
use crate::gateway::operator_types::{Device, OperatorError, Summary};
use crate::gateway::pairing_state::PairingServices;
use crate::gateway::readings::PendingReadings;
use crate::gateway::requests::{RequestIds, SeenRequests};
use crate::gateway::sharing::SharingServices;
use crate::gateway::token_cache::Proven;
use crate::inbound::Gate;
use crate::keys::setup::SetupKeys;
use crate::policy::login_settings::LoginSettings;
use crate::policy::setup_settings::SetupSettings;
use crate::proxies::LiveProxies;
use crate::telemetry::Telemetry;

/// A running gateway. A clone is another handle to the same gateway.
#[derive(Clone)]
pub struct Gateway {
    pub(crate) inner: Arc<Inner>,
    /// The one whose decisions this handle carries out, and the address of the peer; `None` for the
    /// gateway itself. Behind a pointer, because every connection has handles.
    who: Option<Arc<(Who, Option<IpAddr>)>>,
}

pub(crate) struct Inner {
    /// The gateway's name for people.
    pub(crate) name: Option<String>,
    /// `true` if the page of links for phones is served.
    pub(crate) links: bool,
    pub(crate) store: Arc<dyn Store>,
    /// The same store, with the decisions that are in force and not stored yet.
    pub(crate) held: HeldStore,
    pub(crate) limits: Limits,
    pub(crate) clock: GatewayClock,
    pub(crate) hub: Hub,
    pub(crate) seats: Seats,
    pub(crate) proxies: LiveProxies,
    pub(crate) budgets: FlowBudgets,
    /// The budgets of the native wire.
    pub(crate) native: Budgets,
    pub(crate) proven: Proven,
    pub(crate) readings: Arc<PendingReadings>,
    pub(crate) shown: SeenRequests,
    pub(crate) messages: MessageFeed,
    /// Ids of the latest requests.
    pub(crate) request_ids: RequestIds,
    pub(crate) pool: HashPool,
    pub(crate) application: Arc<dyn Application>,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) shutdown: watch::Sender<bool>,
    /// The number of open WebSockets; a shutdown waits for them.
    pub(crate) sessions: watch::Sender<usize>,
    /// Permits for connections that have sent their close frame and wait for the peer's.
    pub(crate) lingering: Semaphore,
    pub(crate) pairing: PairingServices,
    pub(crate) authority: Arc<Authority>,
    /// The certificate of its own that a listener for browsers has.
    #[cfg(feature = "tls")]
    pub(crate) own_certificate: OnceLock<Arc<ServerCertificate>>,
    /// The lists of revoked certificates that strangers got last, and the time of their signature.
    #[cfg(feature = "tls")]
    pub(crate) revocation_lists:
        tokio::sync::Mutex<Option<(tokio::time::Instant, Arc<RevocationLists>)>>,
    /// The certificates that may open a link over TLS.
    pub(crate) allowed: Arc<AllowList>,
    pub(crate) clone_marks: CloneMarks,
    pub(crate) setup: SetupServices,
    pub(crate) logins: LoginServices,
    pub(crate) gate: Gate,
    pub(crate) telemetry: Arc<Telemetry>,
    pub(crate) extensions: Extensions,
    pub(crate) deliveries: DeliveryWaker,
    pub(crate) dispatches: DispatchNews,
    pub(crate) day_counts: DayCounts,
    /// `None` if the registry cannot be shared.
    pub(crate) sharing: Option<Arc<SharingServices>>,
    pub(crate) surroundings: Surroundings,
}

/// What a gateway cannot see by itself, and tells of on its page.
#[derive(Clone, Default)]
pub(crate) struct Surroundings {
    /// The directory of the registry, whose disk has to have room.
    pub(crate) directory: Option<PathBuf>,
    /// Returns the end of the certificate that the web listener shows.
    pub(crate) certificate_ends: Option<Arc<dyn Fn() -> Option<UnixTime> + Send + Sync>>,
}

/// The state of operators' access over HTTP outside the registry.
pub(crate) struct LoginServices {
    pub(crate) settings: LoginSettings,
    /// The links of this gateway, which no other one opens.
    pub(crate) links: LoginLinks,
}

/// The state of setup codes outside the registry.
pub(crate) struct SetupServices {
    pub(crate) settings: SetupSettings,
    pub(crate) keys: SetupKeys,
    pub(crate) issued: IssuedSetups,
}

impl Inner {
    /// Passes an event to the observer. A panic of the observer affects neither the node nor the
    /// decision of the event.
    pub(crate) fn event(&self, event: &Event) {
        let instead = self.pairing.learn(event, self.clock.unix(), self.clock.now());
        self.telemetry.event(event);
        // A panic of the embedder's code must not end the work that the event is about.
        let told =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.observer.event(event)));
        if told.is_err() {
            tracing::error!("an observer panicked");
        }
        if let Some(instead) = instead {
            self.event(&instead);
        }
    }
}

/// The number of times that a decision is taken anew because the record changed meanwhile.
pub(crate) const MOST_CONFLICTS: usize = 16;

impl Gateway {
    /// Returns a handle whose decisions are recorded as the gateway's own, or as those of the
    /// program that embeds it.
    pub(crate) const fn new(inner: Arc<Inner>) -> Self {
        Self { inner, who: None }
    }

    /// Returns a handle whose decisions are recorded in the audit log as this one's. What it may do
    /// follows from the authority that its methods take, not from this.
    pub(crate) fn by(&self, who: Who, from: Option<IpAddr>) -> Self {
        Self { inner: Arc::clone(&self.inner), who: Some(Arc::new((who, from))) }
    }

    /// Returns the origin of a decision that is made now.
    pub(crate) fn origin(&self) -> Origin {
        let (who, from) = self.who.as_deref().copied().unwrap_or((Who::Gateway, None));
        Origin { from, ..Origin::new(who, self.inner.clock.unix()) }
    }

    /// Returns the store for decisions. Reads, and what nobody decides, need no origin.
    pub(crate) fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.inner.store).by(self.origin())
    }

    /// Records a decision whose effect lies outside of the registry, before it is carried out: it
    /// is not without its entry. A failure has an entry of its own.
    pub(crate) async fn recorded<T, E>(
        &self,
        what: What,
        act: impl Future<Output = Result<T, E>>,
    ) -> Result<Result<T, E>, StoreError> {
        let store = self.store();
        store.note(audit::Entry::new(what, [])).await?;
        let done = act.await;
        if done.is_err()
            && let Err(error) = store.note(audit::Entry::failed(what)).await
        {
            tracing::error!(%error, what = what.as_str(), "that a decision failed could not be recorded");
        }
        Ok(done)
    }

    /// Returns the inbound gate for decisions.
    pub(crate) fn gate_by(&self) -> Gate {
        self.inner.gate.by(self.origin())
    }

    /// Returns the gateway's name for people, if it has one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.inner.name.as_deref()
    }

    /// Returns the inbound gate, for messages of strangers over channels.
    #[must_use]
    pub fn gate(&self) -> &Gate {
        &self.inner.gate
    }

    /// Returns the extensions.
    ///
    /// Available with the feature `extensions`.
    #[cfg(feature = "extensions")]
    #[must_use]
    pub fn extensions(&self) -> &Extensions {
        &self.inner.extensions
    }

    /// Closes every connection with "going away", and accepts nothing new.
    pub fn shut_down(&self) {
        self.inner.shutdown.send_replace(true);
    }

    /// Returns the gateway's counts.
    ///
    /// # Errors
    /// [`OperatorError::Store`].
    pub async fn summary(&self) -> Result<Summary, OperatorError> {
        let nodes = self.inner.store.counts(self.inner.clock.unix()).await?;
        Ok(Summary { nodes, linked: self.inner.hub.count(), waiting: self.inner.seats.taken() })
    }

    /// Queues a text frame for a linked node. Returns `false` if the node is not linked or has 64
    /// KiB waiting already.
    #[must_use]
    pub fn send_text(&self, node_id: NodeId, text: String) -> bool {
        self.inner.hub.send(node_id, Message::Text(text.into()))
    }

    /// Queues a binary frame for a linked node. Returns `false` if the node is not linked or has 64
    /// KiB waiting already.
    #[must_use]
    pub fn send_binary(&self, node_id: NodeId, bytes: Vec<u8>) -> bool {
        self.inner.hub.send(node_id, Message::Binary(bytes.into()))
    }

    pub(crate) async fn load(&self, node_id: NodeId) -> Result<Stored, OperatorError> {
        let stored = self.inner.store.load(node_id).await?;
        stored.ok_or_else(|| OperatorError::NotFound(node_id.to_string()))
    }

    /// Ends everything derived from the node's key or issued for its link, once a decision is in
    /// force.
    pub(crate) fn end_what_rests_on(&self, record: &Record, notice: Option<Notice>) {
        // A muted node must not speak through HTTP, either.
        if matches!(notice, Some(Notice::Unpaired | Notice::Muted)) {
            self.inner.pairing.bearers.drop_holder(BearerHolder::Node(record.node_id));
        }
        if notice == Some(Notice::Unpaired) {
            self.inner.allowed.remove_node(record.node_id);
        }
        match (notice, &record.keys) {
            (Some(Notice::Unpaired), Some(keys)) => {
                self.event(Event::GrantRevoked { node_id: record.node_id, grant: None });
                self.cut_key(&keys.channel);
            }
            // A muted node must not speak through its delegates, either. They link again once it is
            // unmuted.
            (Some(Notice::Muted), Some(keys)) => self.cut_key(&keys.channel),
            _ => {}
        }
    }

    /// Pushes a decision that is in force: a revoked node's cached token is forgotten, and its live
    /// link gets the notice at once.
    pub(crate) fn push(&self, node_id: NodeId, notice: Option<Notice>) {
        let Some(notice) = notice else { return };
        // The cached token goes first, so that no new link is let in by it.
        if notice == Notice::Unpaired {
            self.inner.proven.forget(node_id);
        }
        // What the log says of the node later is compared with this.
        if let Some(claims) = self.inner.hub.claims() {
            claims.told(node_id, notice);
        }
        let live = self.inner.hub.push(node_id, notice);
        if live {
            self.event(Event::Pushed(node_id, notice));
        }
    }

    /// Returns an error while the contact with the registry is lost. The peer tries another gateway,
    /// as it does when this one is full.
    pub(crate) fn in_touch(&self) -> Result<(), Refusal> {
        self.inner.hub.in_touch()
    }

    /// Returns the time of day by the gateway's clock.
    pub(crate) fn now(&self) -> handfast_core::UnixTime {
        self.inner.clock.unix()
    }

    pub(crate) fn event(&self, event: Event) {
        self.inner.event(&event);
    }

    /// Has readers of changes read anew what is of this kind.
    pub(crate) fn changed(&self, kind: &'static str) {
        self.inner.pairing.changes.add_kind(kind);
    }

    pub(crate) fn device(&self, mut entry: Entry) -> Device {
        let node_id = entry.record.node_id;
        entry.observed = self.inner.readings.over(node_id, entry.observed);
        entry.record.standing =
            lifecycle::as_delivered(&entry.record.standing, self.inner.clock.unix());
        Device { entry, online: self.inner.hub.is_live(node_id), linked_at: None }
    }
}

/// Runs to completion even if the caller is gone, because a decision that is saved must also be
/// pushed.
pub(crate) async fn to_its_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, OperatorError>> + Send + 'static,
) -> Result<T, OperatorError> {
    match tokio::spawn(work.in_current_span()).await {
        Ok(outcome) => outcome,
        // Only a panic or the end of the runtime breaks a decision off.
        Err(_) => Err(StoreError::Database("the decision was broken off".to_owned()).into()),
    }
}
