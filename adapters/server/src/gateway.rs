//! The gateway: its shared state, its builder, and the operator's decisions about nodes.
//!
//! Everything that serves connections or operators uses this state: the flows, the listeners, the
//! HTTP API and the extensions.

pub(crate) mod common;
pub(crate) mod delegates;
pub(crate) mod hash_pool;
pub(crate) mod in_force;
pub(crate) mod issued_setups;
pub(crate) mod pairing_state;
pub(crate) mod readings;
pub(crate) mod requests;
pub(crate) mod timekeeping;
pub(crate) mod token_cache;
pub(crate) mod told;
pub(crate) mod unstored;

use std::any::TypeId;
use std::sync::Arc;

use axum::extract::ws::Message;
use handfast_core::error::Refusal;
use handfast_core::flow::registration::operator::{self, Approval, Purpose};
use handfast_core::grant::token::Token;
use handfast_core::id::NodeId;
use handfast_core::limits::Limits;
use handfast_core::registry::authority::{Authority, Maker};
use handfast_core::registry::delivery::Ticket;
use handfast_core::registry::lifecycle::{self, Decision, Effect, Notice};
use handfast_core::registry::record::Record;
use handfast_core::secret::Secret;
use handfast_core::step::Machine;
use handfast_store::held::Cut;
use handfast_store::{
    BadRecord, Entry, Filter, HeldStore, Inbound, MemoryStore, Over, SaveError, Store, StoreError,
    Stored,
};
use tokio::sync::{Semaphore, watch};

use crate::clock::{Clock, LocalClock, SystemClock};
use crate::connection::flow_budgets::FlowBudgets;
use crate::connection::handshake_budgets::Budgets;
use crate::connection::hub::Hub;
use crate::connection::slots::Seats;
use crate::entropy;
use crate::events::{Application, Event, NoApplication, Observer};
use crate::extension::{ExtensionConfig, Extensions};
use crate::flows::setup_code::Companions;
use crate::gateway::hash_pool::HashPool;
use crate::gateway::issued_setups::IssuedSetups;
use crate::gateway::pairing_state::{Pairing, StartError};
use crate::gateway::readings::Readings;
use crate::gateway::requests::Shown;
use crate::gateway::token_cache::Proven;
use crate::http::bearer::Holder;
use crate::inbound::{Gate, InboundSettings};
use crate::keys::setup::SetupKeys;
use crate::operator::deliveries;
use crate::operator::deliveries::Deliveries;
use crate::operator::extension_host;
use crate::operator::window;
pub(crate) use crate::operator::{Device, Issued, IssuedCredential, OperatorError, Summary};
use crate::pairing::{approval, rights};
use crate::policy::handler::PairingHandler;
use crate::policy::rules::Terms;
use crate::policy::settings::PairingSettings;
use crate::policy::setup_settings::SetupSettings;
use crate::proxies::ProxySettings;
use crate::telemetry::Telemetry;
use crate::telemetry::log_observer::LogObserver;

/// A running gateway. A clone is another handle to the same gateway.
#[derive(Clone)]
pub struct Gateway {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) store: Arc<dyn Store>,
    /// The same store, with the decisions that are in force and not stored yet.
    pub(crate) held: HeldStore,
    pub(crate) limits: Limits,
    pub(crate) clock: Clock,
    pub(crate) hub: Hub,
    pub(crate) seats: Seats,
    pub(crate) proxies: ProxySettings,
    pub(crate) budgets: FlowBudgets,
    /// The budgets of the native wire.
    pub(crate) native: Budgets,
    pub(crate) proven: Proven,
    pub(crate) readings: Arc<Readings>,
    pub(crate) shown: Shown,
    pub(crate) pool: HashPool,
    pub(crate) application: Arc<dyn Application>,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) shutdown: watch::Sender<bool>,
    /// The number of open WebSockets; a shutdown waits for them.
    pub(crate) sessions: watch::Sender<usize>,
    /// Permits for connections that have sent their close frame and wait for the peer's.
    pub(crate) lingering: Semaphore,
    pub(crate) pairing: Pairing,
    pub(crate) setup: Setup,
    pub(crate) companions: Companions,
    pub(crate) gate: Gate,
    pub(crate) telemetry: Arc<Telemetry>,
    pub(crate) extensions: Extensions,
    pub(crate) deliveries: Deliveries,
}

/// The state of setup codes outside the registry.
pub(crate) struct Setup {
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

/// The settings and parts of a gateway that is to be started.
pub struct GatewayBuilder {
    store: Arc<dyn Store>,
    limits: Limits,
    application: Arc<dyn Application>,
    observer: Arc<dyn Observer>,
    pairing: PairingSettings,
    setup: SetupSettings,
    inbound: InboundSettings,
    proxies: ProxySettings,
    extensions: Vec<ExtensionConfig>,
    handler: Option<Arc<dyn PairingHandler>>,
    clock: Box<dyn SystemClock>,
    store_key: Option<Secret<32>>,
    /// `true` if nothing of the registry outlives the process, so that its secrets need no lasting
    /// key.
    forgets: bool,
}

impl GatewayBuilder {
    /// Replaces the default limits.
    #[must_use]
    pub fn limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Sets the receiver of application frames of paired nodes.
    #[must_use]
    pub fn application(self, application: impl Application) -> Self {
        Self { application: Arc::new(application), ..self }
    }

    /// Sets the observer of events, in place of the log.
    #[must_use]
    pub fn observer(self, observer: impl Observer) -> Self {
        Self { observer: Arc::new(observer), ..self }
    }

    /// Replaces the default settings of pairing over the native wire.
    #[must_use]
    pub fn pairing(self, pairing: PairingSettings) -> Self {
        Self { pairing, ..self }
    }

    /// Replaces the default settings of setup codes and companions' sessions.
    #[must_use]
    pub fn setup(self, setup: SetupSettings) -> Self {
        Self { setup, ..self }
    }

    /// Replaces the default settings of the inbound gate.
    #[must_use]
    pub fn inbound(self, inbound: InboundSettings) -> Self {
        Self { inbound, ..self }
    }

    /// Sets the proxies in front of the gateway whose statements about their clients are trusted.
    /// The default is none.
    #[must_use]
    pub fn proxies(self, proxies: ProxySettings) -> Self {
        Self { proxies, ..self }
    }

    /// Sets the extensions: programs outside the gateway that provide channels, methods, pages,
    /// metrics and items. They start and end with the gateway.
    #[must_use]
    pub fn extensions(self, extensions: Vec<ExtensionConfig>) -> Self {
        Self { extensions, ..self }
    }

    /// Sets the handler of requests to pair over the native wire, in place of the settings' rules.
    #[must_use]
    pub fn pairing_handler(self, handler: impl PairingHandler) -> Self {
        Self { handler: Some(Arc::new(handler)), ..self }
    }

    /// Sets the clocks, in place of this system's.
    #[must_use]
    pub fn clock(self, clock: impl SystemClock) -> Self {
        Self { clock: Box::new(clock), ..self }
    }

    /// Sets the key that seals the registry's secrets: the gateway's keys, PINs and codes. A
    /// registry is opened with the key that it was made with; only a [`MemoryStore`] needs none.
    /// [`pairing::key_file`] keeps one in a file.
    #[must_use]
    pub fn store_key(self, key: Secret<32>) -> Self {
        Self { store_key: Some(key), ..self }
    }

    /// Opens or creates the gateway's keys, and starts its hashing threads. The gateway serves
    /// nothing yet: nest [`Gateway::router`] or call [`crate::listen::serve`].
    ///
    /// # Errors
    /// [`StartError`] with the cause.
    pub async fn start(self) -> Result<Gateway, StartError> {
        let Self {
            store,
            limits,
            application,
            observer,
            pairing: settings,
            setup,
            inbound,
            proxies,
            extensions,
            handler,
            clock,
            store_key,
            forgets,
        } = self;
        let store_key = match store_key {
            Some(key) => key,
            // Nothing outlives the process, so a key for this run is enough.
            None if forgets => entropy::key(),
            None => return Err(StartError::NoStoreKey),
        };
        let held = HeldStore::new(store);
        let store: Arc<dyn Store> = Arc::new(held.clone());
        let run = store.begin_run().await?;
        let clock = Clock::start(clock, run.mark);
        // The mark is raised first, so that nothing is made under a time before it.
        store.raise_mark(clock.unix()).await?;
        let pairing = Pairing::start(&*store, store_key, settings, handler).await?;
        window::at_start(&*store, &pairing.settings, clock.unix()).await?;
        setup.check().map_err(StartError::Settings)?;
        let keys =
            SetupKeys::open(setup.key_file.clone(), &*store, &pairing.seal, clock.unix()).await?;
        let (extensions, bridge) = extension_host::build(extensions)?;
        let telemetry = Arc::new(Telemetry::new());
        let senders: Arc<dyn Inbound> = store.clone();
        let holding = Some(Arc::clone(held.held()));
        let gate = Gate::new(
            senders,
            inbound,
            Arc::clone(&telemetry),
            clock.clone(),
            Some(extension_host::observer(&bridge)),
            holding,
        );
        let inner = Arc::new(Inner {
            store,
            held,
            limits,
            clock: clock.clone(),
            hub: Hub::new(limits),
            seats: Seats::new(limits, clock.clone()),
            proxies,
            budgets: FlowBudgets::new(&limits),
            native: Budgets::new(&limits, clock),
            proven: Proven::new(),
            readings: Arc::default(),
            shown: Shown::default(),
            pool: HashPool::start(&limits)?,
            application,
            observer,
            shutdown: watch::Sender::new(false),
            sessions: watch::Sender::new(0),
            lingering: Semaphore::new(MOST_LINGERING),
            pairing,
            setup: Setup { settings: setup, keys, issued: IssuedSetups::default() },
            companions: Companions::default(),
            gate,
            telemetry,
            extensions,
            deliveries: Deliveries::default(),
        });
        // The tasks start last, because each of them uses the whole gateway.
        extension_host::start(&inner, &bridge);
        window::watch(&inner);
        timekeeping::watch(&inner);
        readings::watch(&inner);
        unstored::watch(&inner);
        deliveries::watch(&inner);
        let gateway = Gateway { inner };
        rights::watch(&gateway).await?;
        Ok(gateway)
    }
}

/// The number of times that a decision is taken anew because the record changed meanwhile.
pub(crate) const MOST_CONFLICTS: usize = 16;
/// The maximum number of connections that wait for the peer's close frame.
const MOST_LINGERING: usize = 256;
/// The number of matches of a prefix that an error names.
const MOST_MATCHES: usize = 5;

impl Gateway {
    /// Starts building a gateway over a store.
    #[must_use]
    pub fn builder<S: Store>(store: S) -> GatewayBuilder {
        GatewayBuilder {
            forgets: TypeId::of::<S>() == TypeId::of::<MemoryStore>(),
            pairing: PairingSettings::default(),
            setup: SetupSettings::default(),
            inbound: InboundSettings::default(),
            proxies: ProxySettings::default(),
            extensions: Vec::new(),
            handler: None,
            clock: Box::new(LocalClock::default()),
            store_key: None,
            store: Arc::new(store),
            limits: Limits::DEFAULT,
            application: Arc::new(NoApplication),
            observer: Arc::new(LogObserver::default()),
        }
    }

    /// Returns the inbound gate, for messages of strangers over channels.
    #[must_use]
    pub fn gate(&self) -> &Gate {
        &self.inner.gate
    }

    /// Returns the extensions.
    #[must_use]
    pub fn extensions(&self) -> &Extensions {
        &self.inner.extensions
    }

    /// Closes every connection with "going away", and accepts nothing new.
    pub fn shut_down(&self) {
        self.inner.shutdown.send_replace(true);
    }

    /// Returns a page of the nodes, in order of their ids. A node whose stored record is damaged
    /// appears in its place as an error.
    ///
    /// # Errors
    /// [`OperatorError::Store`].
    pub async fn devices(
        &self,
        filter: Filter,
        after: Option<NodeId>,
        limit: usize,
    ) -> Result<Vec<Result<Device, BadRecord>>, OperatorError> {
        let now = self.inner.clock.unix();
        let listed = self.inner.store.list(filter, after, limit, now).await?;
        Ok(listed.into_iter().map(|entry| entry.map(|entry| self.device(entry))).collect())
    }

    /// Returns the one node whose id begins with `prefix`.
    ///
    /// # Errors
    /// [`OperatorError::NotFound`], [`OperatorError::Ambiguous`] or [`OperatorError::Store`].
    pub async fn device_by_prefix(&self, prefix: &str) -> Result<Device, OperatorError> {
        let lower = prefix.to_ascii_lowercase();
        let well_formed =
            !lower.is_empty() && lower.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
        let mut found = match well_formed {
            true => self.inner.store.find(&lower, MOST_MATCHES).await?,
            false => Vec::new(),
        };
        match found.len() {
            0 => Err(OperatorError::NotFound(prefix.to_owned())),
            1 => Ok(self.device(found.remove(0).map_err(StoreError::from)?)),
            _ => Err(OperatorError::Ambiguous {
                prefix: prefix.to_owned(),
                matches: found.iter().map(handfast_store::node_id).collect(),
            }),
        }
    }

    /// Approves a node, or issues it a new token or grant, on the terms that were proposed for it
    /// or the settings'. The result is durable before it is returned, a token as its hash. A
    /// token's delivery then begins: its receiver [confirms](Gateway::confirm_delivery) it, or the
    /// node uses the token; else the decision is undone after [`Limits::deliver_within`].
    ///
    /// # Errors
    /// [`OperatorError::Refused`] if the node's standing does not allow it, and the others of
    /// [`OperatorError`].
    pub async fn pair(&self, node_id: NodeId, purpose: Purpose) -> Result<Issued, OperatorError> {
        self.pair_on(node_id, purpose, Terms::default()).await
    }

    /// Approves a node that authenticates with its keys on the operator's terms.
    ///
    /// # Errors
    /// As for [`Gateway::pair`], and [`OperatorError::NoKeys`] for terms where a token carries
    /// none.
    pub async fn pair_on(
        &self,
        node_id: NodeId,
        purpose: Purpose,
        terms: Terms,
    ) -> Result<Issued, OperatorError> {
        self.pair_by(&Authority::OWNER, node_id, purpose, terms).await
    }

    /// Approves a node by a maker's rights. Delegated rights grant nothing wider or longer than
    /// themselves, and the grant ends with them. A node that authenticates with a token has neither
    /// scopes nor an end; delegated rights approve it only if their profile says so, and it waits
    /// for approval again when they end.
    ///
    /// # Errors
    /// As for [`Gateway::pair_on`], and [`OperatorError::Wider`].
    pub async fn pair_by(
        &self,
        authority: &Authority,
        node_id: NodeId,
        purpose: Purpose,
        terms: Terms,
    ) -> Result<Issued, OperatorError> {
        approval::check_word(terms.message.as_deref())?;
        if terms.expires.is_some_and(|expires| expires.as_secs() == 0) {
            return Err(OperatorError::Usage("a grant lives for a second at least".to_owned()));
        }
        let (gateway, authority) = (self.clone(), authority.clone());
        to_its_end(async move { gateway.pair_now(&authority, node_id, purpose, &terms).await })
            .await
    }

    async fn pair_now(
        &self,
        authority: &Authority,
        node_id: NodeId,
        purpose: Purpose,
        terms: &Terms,
    ) -> Result<Issued, OperatorError> {
        for _ in 0..MOST_CONFLICTS {
            let entry = self.entry(node_id).await?;
            if entry.record.is_doubted(&self.inner.clock.moment()) {
                return Err(OperatorError::Refused { node_id, refusal: Refusal::ClockInDoubt });
            }
            let issued = match entry.record.keys {
                Some(holder) => {
                    let grant =
                        self.grant(authority, &entry, holder, purpose, terms, false).await?;
                    grant.map(|grant| (IssuedCredential::Grant(Box::new(grant)), None))
                }
                None if *terms != Terms::default() => return Err(OperatorError::NoKeys(node_id)),
                None => {
                    authority.approve_unbounded()?;
                    self.inner.shown.check(&entry)?;
                    let stored =
                        Stored { record: entry.record, version: entry.version, ceiling: None };
                    let issued = self.approve(stored, purpose, authority.maker()?).await?;
                    issued.map(|(token, ticket)| (IssuedCredential::Token(token), Some(ticket)))
                }
            };
            if let Some((credential, delivery)) = issued {
                self.event(Event::Paired(node_id));
                return Ok(Issued { node_id, credential, delivery });
            }
        }
        Err(OperatorError::Refused { node_id, refusal: Refusal::StoreFailed })
    }

    /// Takes any other decision about a node, and pushes it to the node's live connection.
    ///
    /// # Errors
    /// As for [`Gateway::pair`].
    pub async fn decide(&self, node_id: NodeId, decision: &Decision) -> Result<(), OperatorError> {
        let (gateway, decision) = (self.clone(), decision.clone());
        to_its_end(async move { gateway.decide_now(node_id, &decision).await }).await
    }

    async fn decide_now(&self, node_id: NodeId, decision: &Decision) -> Result<(), OperatorError> {
        for _ in 0..MOST_CONFLICTS {
            let before = self.inner.held.held().of_node(node_id);
            let Stored { record, version, .. } = self.load(node_id).await?;
            let now = self.inner.clock.unix();
            let decided = match lifecycle::decide(&record.standing, decision.clone(), now) {
                // Deciding once more stores a decision that is in force and not stored yet.
                Ok(change) if change.takes_away() && before.is_some() => {
                    let stored = self.inner.held.load_stored(node_id).await?;
                    let stored =
                        stored.ok_or_else(|| OperatorError::NotFound(node_id.to_string()))?;
                    lifecycle::decide(&stored.record.standing, decision.clone(), now)
                }
                other => other,
            };
            let change = match decided {
                Ok(change) => change,
                Err(refusal) => {
                    // The node is out for good already, so a link that might still be open gets the
                    // notice again.
                    if refusal == Refusal::Revoked {
                        self.push(node_id, Some(Notice::Unpaired));
                    }
                    if refusal == Refusal::Expired {
                        self.note_over(Over::Request(node_id)).await;
                    }
                    if before.is_some() {
                        self.still_not_stored(node_id).await?;
                    }
                    return Err(OperatorError::Refused { node_id, refusal });
                }
            };
            let what = || format!("node {node_id} ({:?}) is out", record.name.as_str());
            let mut held = None;
            let mut saved = Ok(version);
            for effect in change.effects() {
                match effect {
                    Effect::EndLinks(notice) => {
                        let key = record.keys.as_ref().map(|keys| keys.channel);
                        held = Some(self.hold(
                            Cut::Node { node_id, decision: decision.clone(), key },
                            &what(),
                        )?);
                        self.end_what_rests_on(&record, Some(notice));
                        self.push(node_id, Some(notice));
                    }
                    Effect::Save(standing) => {
                        saved =
                            self.inner.store.save(node_id, version, standing.clone(), now).await;
                        if saved.is_err() {
                            break;
                        }
                    }
                    Effect::Push(notice) => {
                        self.end_what_rests_on(&record, Some(notice));
                        self.push(node_id, Some(notice));
                    }
                }
            }
            let error = match saved {
                Ok(_) => {
                    // The decision stored now overrides everything that was held of this node when
                    // it was read.
                    held.iter()
                        .chain(&before)
                        .for_each(|ticket| self.inner.held.held().release(ticket));
                    self.event(Event::Decided { node_id, decision: word(decision) });
                    return Ok(());
                }
                Err(SaveError::Store(error)) => error,
                Err(SaveError::Conflict) => continue,
                Err(SaveError::Missing) => {
                    held.iter().for_each(|ticket| self.inner.held.held().release(ticket));
                    return Err(OperatorError::NotFound(node_id.to_string()));
                }
            };
            return Err(match held {
                Some(ticket) => {
                    self.event(Event::Decided { node_id, decision: word(decision) });
                    self.not_stored(&ticket, what(), error)
                }
                None => error.into(),
            });
        }
        Err(OperatorError::Refused { node_id, refusal: Refusal::StoreFailed })
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

    /// Drives one approval. Returns `None` if the record changed meanwhile.
    async fn approve(
        &self,
        stored: Stored,
        purpose: Purpose,
        maker: Maker,
    ) -> Result<Option<(Token, Ticket)>, OperatorError> {
        use operator::{Effect, Input};
        let inner = &self.inner;
        let (node_id, at) = (stored.record.node_id, inner.clock.unix());
        let refused = |refusal| OperatorError::Refused { node_id, refusal };
        let mut notice = None;
        let ticket = self.ticket();
        let mut step = Approval::begin(&stored.record, purpose, ticket, at).map_err(refused)?;
        loop {
            let Some(effect) = step.effects.into_iter().next() else {
                return Err(refused(Refusal::StoreFailed));
            };
            let input = match effect {
                Effect::Draw => Input::Drawn(entropy::draw()),
                // The pool is not used, because a flood of strangers' tokens there would keep the
                // operator waiting.
                Effect::Hash(job) => match tokio::task::spawn_blocking(move || job.run()).await {
                    Ok(hashed) => Input::Hashed(hashed),
                    Err(_) => return Err(refused(Refusal::StoreFailed)),
                },
                Effect::Save(change) => {
                    // The notice is pushed only once the token can be shown, which is after the
                    // save.
                    notice = change.notice;
                    match inner
                        .store
                        .save_by(node_id, stored.version, change.standing, maker, at)
                        .await
                    {
                        Ok(_) => Input::Saved(Ok(())),
                        // The caller loads the record again and decides anew.
                        Err(SaveError::Conflict) => return Ok(None),
                        Err(SaveError::Missing) => {
                            return Err(OperatorError::NotFound(node_id.to_string()));
                        }
                        Err(SaveError::Store(error)) => return Err(error.into()),
                    }
                }
                Effect::Reveal(token) => {
                    self.push(node_id, notice);
                    self.delivery_begun();
                    return Ok(Some((token, ticket)));
                }
                Effect::Refuse(refusal) => return Err(refused(refusal)),
            };
            step = step.next.step(inner.clock.now(), input, &mut []);
        }
    }

    async fn load(&self, node_id: NodeId) -> Result<Stored, OperatorError> {
        let stored = self.inner.store.load(node_id).await?;
        stored.ok_or_else(|| OperatorError::NotFound(node_id.to_string()))
    }

    /// Ends everything derived from the node's key or issued for its link, once a decision is in
    /// force.
    fn end_what_rests_on(&self, record: &Record, notice: Option<Notice>) {
        if matches!(notice, Some(Notice::Unpaired | Notice::Muted)) {
            self.inner.pairing.bearers.drop_holder(Holder::Node(record.node_id));
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
        if notice == Notice::Unpaired {
            self.inner.proven.forget(node_id);
        }
        let live = self.inner.hub.push(node_id, notice);
        if live {
            self.event(Event::Pushed(node_id, notice));
        }
    }

    /// Returns the time of day by the gateway's clock.
    pub(crate) fn now(&self) -> handfast_core::time::UnixTime {
        self.inner.clock.unix()
    }

    pub(crate) fn event(&self, event: Event) {
        self.inner.event(&event);
    }

    pub(crate) fn device(&self, mut entry: Entry) -> Device {
        let node_id = entry.record.node_id;
        entry.observed = self.inner.readings.over(node_id, entry.observed);
        entry.record.standing =
            lifecycle::as_delivered(&entry.record.standing, self.inner.clock.unix());
        Device { entry, online: self.inner.hub.is_live(node_id) }
    }
}

/// Runs to completion even if the caller is gone, because a decision that is saved must also be
/// pushed.
pub(crate) async fn to_its_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, OperatorError>> + Send + 'static,
) -> Result<T, OperatorError> {
    match tokio::spawn(work).await {
        Ok(outcome) => outcome,
        Err(_) => Err(StoreError::Database("the decision was broken off".to_owned()).into()),
    }
}

const fn word(decision: &Decision) -> &'static str {
    match decision {
        Decision::Approve(_) | Decision::Issue(_) => "pair",
        Decision::Reissue(_) => "reissue",
        Decision::Reject => "reject",
        Decision::Bar => "reject_for_good",
        Decision::Mute => "mute",
        Decision::Unmute => "unmute",
        Decision::SetMode(_) => "policy",
        Decision::Unpair => "unpair",
    }
}
