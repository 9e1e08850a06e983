//! The gateway: one registry, its live connections, its budgets, and what an operator may do with
//! them.

pub(crate) mod delegates;
pub(crate) mod hash_pool;
pub(crate) mod in_force;
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
use crate::connection::hub::Hub;
use crate::connection::slots::Seats;
use crate::entropy;
use crate::extension::{ExtensionConfig, Extensions};
use crate::flows::native::budgets::Budgets;
use crate::flows::setup_code::Companions;
use crate::gateway::hash_pool::HashPool;
use crate::gateway::readings::Readings;
use crate::gateway::requests::Shown;
use crate::gateway::token_cache::Proven;
use crate::hook::{Application, Event, NoApplication, Observer};
use crate::http::bearer::Holder;
use crate::inbound::{Gate, InboundSettings};
use crate::operator::deliveries;
use crate::operator::deliveries::Deliveries;
use crate::operator::extension_host;
pub(crate) use crate::operator::{Device, Issued, IssuedCredential, OperatorError, Summary};
use crate::pairing::rights;
use crate::pairing::{self, Pairing, PairingHandler, PairingSettings, StartError, Terms};
use crate::proxies::ProxySettings;
use crate::setup::{IssuedSetups, SetupKeys, SetupSettings};
use crate::telemetry::Telemetry;
use crate::telemetry::log_observer::LogObserver;

/// A running gateway. Cloning gives another handle to the same one.
#[derive(Clone)]
pub struct Gateway {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) store: Arc<dyn Store>,
    /// The same store, by what is in force without being stored.
    pub(crate) held: HeldStore,
    pub(crate) limits: Limits,
    pub(crate) clock: Clock,
    pub(crate) hub: Hub,
    pub(crate) seats: Seats,
    pub(crate) proxies: ProxySettings,
    pub(crate) budgets: FlowBudgets,
    /// Of the native wire.
    pub(crate) native: Budgets,
    pub(crate) proven: Proven,
    pub(crate) readings: Arc<Readings>,
    pub(crate) shown: Shown,
    pub(crate) pool: HashPool,
    pub(crate) application: Arc<dyn Application>,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) shutdown: watch::Sender<bool>,
    /// How many WebSockets are open, so that a shutdown can wait for them.
    pub(crate) sessions: watch::Sender<usize>,
    /// Places for connections that have heard our goodbye and still owe theirs.
    pub(crate) lingering: Semaphore,
    pub(crate) pairing: Pairing,
    pub(crate) setup: Setup,
    pub(crate) companions: Companions,
    pub(crate) gate: Gate,
    pub(crate) telemetry: Arc<Telemetry>,
    pub(crate) extensions: Extensions,
    pub(crate) deliveries: Deliveries,
}

/// Everything that setup codes need besides the registry.
pub(crate) struct Setup {
    pub(crate) settings: SetupSettings,
    pub(crate) keys: SetupKeys,
    pub(crate) issued: IssuedSetups,
}

impl Inner {
    /// Tells the observer. One that panics is its own problem, not that of the node or the decision
    /// it was told of.
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

/// What a gateway is made of.
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
    /// Nothing of the registry outlives the process, so its secrets need not be opened again.
    forgets: bool,
}

impl GatewayBuilder {
    /// Other limits than the documented ones.
    #[must_use]
    pub fn limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Who takes the frames of paired nodes that pairing has no business with.
    #[must_use]
    pub fn application(self, application: impl Application) -> Self {
        Self { application: Arc::new(application), ..self }
    }

    /// Who hears what happens, in place of the log.
    #[must_use]
    pub fn observer(self, observer: impl Observer) -> Self {
        Self { observer: Arc::new(observer), ..self }
    }

    /// How nodes with keys are paired, in place of the documented defaults.
    #[must_use]
    pub fn pairing(self, pairing: PairingSettings) -> Self {
        Self { pairing, ..self }
    }

    /// How setup codes and companions' sessions go, in place of the documented defaults.
    #[must_use]
    pub fn setup(self, setup: SetupSettings) -> Self {
        Self { setup, ..self }
    }

    /// How strangers that write over channels are met, in place of the documented defaults.
    #[must_use]
    pub fn inbound(self, inbound: InboundSettings) -> Self {
        Self { inbound, ..self }
    }

    /// Which proxies in front of the gateway are believed when they say for whom they ask. Without
    /// this, none is.
    #[must_use]
    pub fn proxies(self, proxies: ProxySettings) -> Self {
        Self { proxies, ..self }
    }

    /// Programs outside the gateway that bring channels, methods, pages, metrics and items. They
    /// start with the gateway and end with it.
    #[must_use]
    pub fn extensions(self, extensions: Vec<ExtensionConfig>) -> Self {
        Self { extensions, ..self }
    }

    /// Who decides about nodes with keys that ask to be paired, in place of the settings' rules.
    #[must_use]
    pub fn pairing_handler(self, handler: impl PairingHandler) -> Self {
        Self { handler: Some(Arc::new(handler)), ..self }
    }

    /// The clocks to go by, in place of this system's.
    #[must_use]
    pub fn clock(self, clock: impl SystemClock) -> Self {
        Self { clock: Box::new(clock), ..self }
    }

    /// What seals the registry's secrets: the gateway's keys, PINs and codes. A registry is opened
    /// with the key with which it was made; only a [`MemoryStore`] needs none.
    /// [`pairing::key_file`] keeps one in a file.
    #[must_use]
    pub fn store_key(self, key: Secret<32>) -> Self {
        Self { store_key: Some(key), ..self }
    }

    /// Opens the gateway's keys, or makes them, and starts its hashing threads. It serves nothing
    /// yet: nest [`Gateway::router`] or call [`crate::listen::serve`].
    ///
    /// # Errors
    /// [`StartError`].
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
            None if forgets => entropy::key(),
            None => return Err(StartError::NoStoreKey),
        };
        let held = HeldStore::new(store);
        let store: Arc<dyn Store> = Arc::new(held.clone());
        let run = store.begin_run().await?;
        let clock = Clock::start(clock, run.mark);
        // Before anything is made.
        store.raise_mark(clock.unix()).await?;
        let pairing = Pairing::start(&*store, store_key, settings, handler).await?;
        pairing::at_start(&*store, &pairing.settings, clock.unix()).await?;
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
        extension_host::start(&inner, &bridge);
        pairing::watch(&inner);
        timekeeping::watch(&inner);
        readings::watch(&inner);
        unstored::watch(&inner);
        deliveries::watch(&inner);
        let gateway = Gateway { inner };
        rights::watch(&gateway).await?;
        Ok(gateway)
    }
}

/// How often a decision is taken anew because somebody else changed the record meanwhile.
pub(crate) const MOST_CONFLICTS: usize = 16;
/// Most connections that wait for the peer's part of a close.
const MOST_LINGERING: usize = 256;
/// How many matches of a prefix are named.
const MOST_MATCHES: usize = 5;

impl Gateway {
    /// A gateway over a store.
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

    /// The gate for what strangers write over channels.
    #[must_use]
    pub fn gate(&self) -> &Gate {
        &self.inner.gate
    }

    /// The programs outside the gateway.
    #[must_use]
    pub fn extensions(&self) -> &Extensions {
        &self.inner.extensions
    }

    /// Closes every connection with "going away"; nothing new is let in.
    pub fn shut_down(&self) {
        self.inner.shutdown.send_replace(true);
    }

    /// A page of the nodes, in order of their ids. One whose stored record is damaged is in its
    /// place as an error, and hides nobody.
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

    /// The one node whose id begins with `prefix`.
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

    /// Approves a node, or gives it a new token or grant, on the terms that were proposed for it or
    /// the settings'. What it yields is durable before it is returned, a token as its hash. A token
    /// is on its way then: whoever has it where it belongs [confirms](Gateway::confirm_delivery)
    /// that, or the node uses it; else the decision is undone after [`Limits::deliver_within`].
    ///
    /// # Errors
    /// [`OperatorError::Refused`] if the node's standing does not allow it, and the others of
    /// [`OperatorError`].
    pub async fn pair(&self, node_id: NodeId, purpose: Purpose) -> Result<Issued, OperatorError> {
        self.pair_on(node_id, purpose, Terms::default()).await
    }

    /// The same on terms of the operator's, for a node that proves itself with its keys.
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

    /// The same by somebody's right: a delegated one gives nothing wider or longer than itself, and
    /// what it gave ends with it. A node that proves itself with a token has neither scopes nor an
    /// end; such a right approves it only if its profile says so, and it waits for approval again
    /// when the right ends.
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
        pairing::check_word(terms.message.as_deref())?;
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

    /// Takes any other decision about a node, and pushes it to its live connection.
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
                // What is in force already and not stored is stored by deciding it once more.
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
                    // Out for good already: whatever link there might still be hears it once more.
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
                    // Whatever was held of this node when it was read, what is stored now goes
                    // beyond it.
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

    /// The gateway's counts.
    ///
    /// # Errors
    /// [`OperatorError::Store`].
    pub async fn summary(&self) -> Result<Summary, OperatorError> {
        let nodes = self.inner.store.counts(self.inner.clock.unix()).await?;
        Ok(Summary { nodes, linked: self.inner.hub.count(), waiting: self.inner.seats.taken() })
    }

    /// Queues a text frame for a linked node; `false` if it is not linked or has 64 KiB waiting
    /// already.
    #[must_use]
    pub fn send_text(&self, node_id: NodeId, text: String) -> bool {
        self.inner.hub.send(node_id, Message::Text(text.into()))
    }

    /// Queues a binary frame for a linked node; `false` if it is not linked or has 64 KiB waiting
    /// already.
    #[must_use]
    pub fn send_binary(&self, node_id: NodeId, bytes: Vec<u8>) -> bool {
        self.inner.hub.send(node_id, Message::Binary(bytes.into()))
    }

    /// Drives one approval; `None` if somebody else changed the record meanwhile.
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
                // Not in the pool, where a flood of strangers' tokens would keep the operator
                // waiting.
                Effect::Hash(job) => match tokio::task::spawn_blocking(move || job.run()).await {
                    Ok(hashed) => Input::Hashed(hashed),
                    Err(_) => return Err(refused(Refusal::StoreFailed)),
                },
                Effect::Save(change) => {
                    notice = change.notice;
                    match inner
                        .store
                        .save_by(node_id, stored.version, change.standing, maker, at)
                        .await
                    {
                        Ok(_) => Input::Saved(Ok(())),
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

    /// After a decision is durable: what rests on the node's key, or was given out for its link,
    /// ends with it.
    fn end_what_rests_on(&self, record: &Record, notice: Option<Notice>) {
        if matches!(notice, Some(Notice::Unpaired | Notice::Muted)) {
            self.inner.pairing.bearers.drop_holder(Holder::Node(record.node_id));
        }
        match (notice, &record.keys) {
            (Some(Notice::Unpaired), Some(keys)) => {
                self.event(Event::GrantRevoked { node_id: record.node_id, grant: None });
                self.cut_key(&keys.channel);
            }
            // Who is muted does not speak through those it has delegated to, either. They come
            // again when it may.
            (Some(Notice::Muted), Some(keys)) => self.cut_key(&keys.channel),
            _ => {}
        }
    }

    /// After a decision is durable: whatever was proven before may no longer count, and a live link
    /// hears at once.
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

    /// What time it is, by the gateway's clock.
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

/// Runs to the end even if whoever asked has gone: a decision that is saved must also be pushed.
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
