//! Puts a gateway together: opens its keys, and starts its tasks.

use handfast_core::limits::Limits;
use handfast_core::secret::Secret;
use handfast_core::{Label, UnixTime};
use handfast_store::{HeldStore, Inbound, Store};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};

use crate::application::{Application, NoApplication};
use crate::ca::{AllowList, Authority, AuthorityError, CertificateSettings};
use crate::clock::{GatewayClock, LocalClock, SystemClock};
use crate::connection::contact::RegistryContact;
use crate::connection::flow_budgets::FlowBudgets;
use crate::connection::handshake_budgets::Budgets;
use crate::connection::hub::Hub;
use crate::connection::slots::Seats;
use crate::entropy;
use crate::events::Observer;
use crate::extension::{self, ExtensionConfig, PendingProgram};
use crate::gateway::clone_marks::CloneMarks;
use crate::gateway::day_counts::{self, DayCounts};
use crate::gateway::deliveries::DeliveryWaker;
use crate::gateway::dispatches::DispatchNews;
use crate::gateway::hash_pool::HashPool;
use crate::gateway::issued_setups::IssuedSetups;
use crate::gateway::login_links::LoginLinks;
use crate::gateway::messages::MessageFeed;
use crate::gateway::pairing_state::{PairingServices, StartError};
use crate::gateway::requests::{RequestIds, SeenRequests};
use crate::gateway::sharing::{self, SharingServices, SharingSettings};
use crate::gateway::token_cache::Proven;
use crate::gateway::{Gateway, Inner, LoginServices, SetupServices, Surroundings};
use crate::gateway::{certificates, key_rotation, readings, timekeeping, unstored};
use crate::inbound::{Gate, InboundSettings};
use crate::keys::setup::SetupKeys;
use crate::operator::deliveries;
use crate::operator::dispatch;
use crate::operator::extension_host;
use crate::operator::gate_events::{self, GatewayCell};
use crate::operator::window;
use crate::pairing::rights;
use crate::policy::handler::PairingHandler;
use crate::policy::login_settings::LoginSettings;
use crate::policy::settings::PairingSettings;
use crate::policy::setup_settings::SetupSettings;
use crate::proxies::{LiveProxies, ProxySettings};
use crate::telemetry::Telemetry;
use crate::telemetry::log_observer::LogObserver;

const NOT_A_NAME: &str = "the gateway's name is 1 to 64 characters, not blank and without \
                          control characters";

const KEY_FILE_OF_ONE: &str = "several gateways share this registry, so it has the key for setup \
                               codes: leave the key's file out (key_file in [setup])";

/// Returns `true` if a gateway can have this name.
fn is_name(name: &str) -> bool {
    !name.trim().is_empty() && Label::parse(name).is_some()
}

/// The settings and parts of a gateway that is to be started.
pub struct GatewayBuilder {
    name: Option<String>,
    store: Arc<dyn Store>,
    limits: Limits,
    application: Arc<dyn Application>,
    observer: Arc<dyn Observer>,
    pairing: PairingSettings,
    certificates: CertificateSettings,
    setup: SetupSettings,
    logins: LoginSettings,
    inbound: InboundSettings,
    proxies: ProxySettings,
    extensions: Vec<ExtensionConfig>,
    pending: PendingProgram,
    links: bool,
    handler: Option<Arc<dyn PairingHandler>>,
    clock: Box<dyn SystemClock>,
    sharing: SharingSettings,
    store_key: Option<Secret<32>>,
    surroundings: Surroundings,
}

impl GatewayBuilder {
    /// Replaces the default limits.
    #[must_use]
    pub fn limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Sets the gateway's name for people. The default is none.
    #[must_use]
    pub fn name(self, name: Option<String>) -> Self {
        Self { name, ..self }
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

    /// Sets the program that is run when something begins to wait for a person. The default is
    /// none.
    ///
    /// Available with the feature `extensions`.
    #[cfg(feature = "extensions")]
    #[must_use]
    pub fn pending_program(self, pending: PendingProgram) -> Self {
        Self { pending, ..self }
    }

    /// Replaces the default settings of pairing over the native wire.
    #[must_use]
    pub fn pairing(self, pairing: PairingSettings) -> Self {
        Self { pairing, ..self }
    }

    /// Replaces the default settings of nodes' certificates. By default the certificate authority
    /// is kept in memory.
    #[must_use]
    pub fn certificates(self, certificates: CertificateSettings) -> Self {
        Self { certificates, ..self }
    }

    /// Replaces the default settings of setup codes and companions' sessions.
    #[must_use]
    pub fn setup(self, setup: SetupSettings) -> Self {
        Self { setup, ..self }
    }

    /// Replaces the default settings of operators' access over HTTP.
    #[must_use]
    pub fn logins(self, logins: LoginSettings) -> Self {
        Self { logins, ..self }
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
    ///
    /// Available with the feature `extensions`.
    #[cfg(feature = "extensions")]
    #[must_use]
    pub fn extensions(self, extensions: Vec<ExtensionConfig>) -> Self {
        Self { extensions, ..self }
    }

    /// Sets whether the page of links for phones is served, at `/p`. The default is yes.
    #[must_use]
    pub fn links(self, links: bool) -> Self {
        Self { links, ..self }
    }

    /// Sets the handler of requests to pair over the native wire, in place of the settings' rules.
    #[must_use]
    pub fn pairing_handler(self, handler: impl PairingHandler) -> Self {
        Self { handler: Some(Arc::new(handler)), ..self }
    }

    /// Sets the clocks, in place of this system's. The time of day of a registry that several
    /// gateways share is that of its database.
    #[must_use]
    pub fn clock(self, clock: impl SystemClock) -> Self {
        Self { clock: Box::new(clock), ..self }
    }

    /// Replaces the default settings of a gateway that shares its registry with others. A registry
    /// that cannot be shared has no use for them.
    #[must_use]
    pub fn sharing(self, sharing: SharingSettings) -> Self {
        Self { sharing, ..self }
    }

    /// Sets the key that seals the registry's secrets: the gateway's keys, PINs and codes. A
    /// registry is opened with the key that it was made with; only one that
    /// [forgets](Store::forgets) needs none.
    /// [`crate::keys::file`] keeps one in a file.
    #[must_use]
    pub fn store_key(self, key: Secret<32>) -> Self {
        Self { store_key: Some(key), ..self }
    }

    /// Sets the directory of the registry, so that the operator's page shows the room on its disk.
    #[must_use]
    pub fn data_directory(self, path: impl Into<PathBuf>) -> Self {
        let surroundings = Surroundings { directory: Some(path.into()), ..self.surroundings };
        Self { surroundings, ..self }
    }

    /// Sets the function that returns the end of the web listener's certificate, which the
    /// operator's page shows: [`TlsFiles::ends`](crate::TlsFiles::ends), as a rule.
    #[must_use]
    pub fn certificate_ends(
        self,
        ends: impl Fn() -> Option<UnixTime> + Send + Sync + 'static,
    ) -> Self {
        let surroundings =
            Surroundings { certificate_ends: Some(Arc::new(ends)), ..self.surroundings };
        Self { surroundings, ..self }
    }

    /// Opens or creates the gateway's keys, and starts its hashing threads. The gateway serves
    /// nothing yet: nest [`Gateway::router`] or call [`crate::serve`].
    ///
    /// # Errors
    /// [`StartError`] with the cause.
    pub async fn start(self) -> Result<Gateway, StartError> {
        let Self {
            name,
            store,
            limits,
            application,
            observer,
            pairing: settings,
            certificates: certified,
            setup,
            logins,
            inbound,
            proxies,
            extensions,
            pending,
            links,
            handler,
            clock,
            sharing: shares,
            store_key,
            surroundings,
        } = self;
        let store_key = match store_key {
            Some(key) => key,
            // Nothing of the registry outlives the process, so its secrets need no lasting key.
            None if store.forgets() => entropy::key(),
            None => return Err(StartError::NoStoreKey),
        };
        let held = HeldStore::new(store);
        let store: Arc<dyn Store> = Arc::new(held.clone());
        // Before anything is read that other gateways may change.
        let (services, clock) = match Arc::clone(&store).shared() {
            Some(shared) => {
                let (services, clock) = SharingServices::begin(shared, shares, clock).await?;
                (Some(Arc::new(services)), clock)
            }
            None => (None, clock),
        };
        // Everything from here on is stored with the number of this run.
        let run = store.begin_run().await?;
        let clock = GatewayClock::start(clock, run.mark);
        // Before anything is made.
        store.raise_mark(clock.unix()).await?;
        let pairing = PairingServices::start(&*store, store_key, settings, handler).await?;
        let authority = authority(certified, &store, &pairing, clock.unix()).await?;
        let clone_marks = CloneMarks::open(&*store, &pairing.seal).await?;
        window::at_start(&store, &pairing.settings, services.is_some(), clock.unix()).await?;
        if name.as_deref().is_some_and(|name| !is_name(name)) {
            return Err(StartError::Settings(NOT_A_NAME.to_owned()));
        }
        setup.check().map_err(StartError::Settings)?;
        if setup.key_file.is_some() && Arc::clone(&store).shared().is_some() {
            return Err(StartError::Settings(KEY_FILE_OF_ONE.to_owned()));
        }
        logins.check().map_err(StartError::Settings)?;
        let keys =
            SetupKeys::open(setup.key_file.clone(), &*store, &pairing.seal, clock.unix()).await?;
        let cell = GatewayCell::default();
        let extensions = extension_host::build(extensions, &cell)?;
        let observer = extension::observed(pending, observer, name.clone());
        let telemetry = Arc::new(Telemetry::new());
        let senders: Arc<dyn Inbound> = store.clone();
        let holding = Some(Arc::clone(held.held()));
        let gate = Gate::new(
            senders,
            inbound,
            Arc::clone(&telemetry),
            clock.clone(),
            Some(gate_events::observer(&cell)),
            holding,
        );
        let hub = match &services {
            Some(services) => {
                let contact = RegistryContact::shared(clock.clone(), services.grace());
                Hub::new(limits).sharing(contact, Arc::clone(services.claims()))
            }
            None => Hub::new(limits),
        };
        let inner = Arc::new(Inner {
            name,
            links,
            store,
            held,
            limits,
            clock: clock.clone(),
            hub,
            seats: Seats::new(limits, clock.clone()),
            proxies: LiveProxies::new(proxies),
            budgets: FlowBudgets::new(&limits),
            native: Budgets::new(&limits, clock),
            proven: Proven::new(),
            readings: Arc::default(),
            shown: SeenRequests::default(),
            messages: MessageFeed::default(),
            request_ids: RequestIds::default(),
            pool: HashPool::start(&limits)?,
            application,
            observer,
            shutdown: watch::Sender::new(false),
            sessions: watch::Sender::new(0),
            lingering: Semaphore::new(MOST_LINGERING),
            pairing,
            #[cfg(feature = "tls")]
            revocation_lists: tokio::sync::Mutex::default(),
            allowed: Arc::new(AllowList::new(authority.settings().uri.clone())),
            authority: Arc::new(authority),
            #[cfg(feature = "tls")]
            own_certificate: std::sync::OnceLock::new(),
            clone_marks,
            setup: SetupServices { settings: setup, keys, issued: IssuedSetups::default() },
            logins: LoginServices { settings: logins, links: LoginLinks::default() },
            gate,
            telemetry,
            extensions,
            deliveries: DeliveryWaker::default(),
            dispatches: DispatchNews::default(),
            day_counts: DayCounts::default(),
            sharing: services,
            surroundings,
        });
        // The list is complete before a listener can ask it.
        certificates::read_allow_list(&inner).await?;
        certificates::tell_foreign(&inner).await?;
        sharing::start(&inner).await?;
        cell.set(&inner);
        extension_host::start(&inner);
        window::watch(&inner);
        timekeeping::watch(&inner);
        certificates::watch(&inner);
        readings::watch(&inner);
        unstored::watch(&inner);
        deliveries::watch(&inner);
        day_counts::watch(&inner);
        dispatch::at_start(&inner).await?;
        dispatch::watch(&inner);
        let gateway = Gateway::new(inner);
        key_rotation::watch(&gateway).await?;
        rights::watch(&gateway).await?;
        Ok(gateway)
    }
}

/// Opens the certificate authority, which may wait for another process. A registry that several
/// gateways share has it; otherwise it lies in the settings' directory.
async fn authority(
    settings: CertificateSettings,
    store: &Arc<dyn Store>,
    pairing: &PairingServices,
    now: UnixTime,
) -> Result<Authority, AuthorityError> {
    let key = pairing.seal.copy();
    let is_shared = Arc::clone(store).shared().is_some();
    let (store, runtime) = (Arc::clone(store), Handle::current());
    // Files are read and flushed there, which may take long.
    let opened = tokio::task::spawn_blocking(move || match is_shared {
        true => Authority::open_shared(settings, &key, store, runtime, now),
        false => Authority::open(settings, &key, now),
    });
    opened.await.unwrap_or(Err(AuthorityError::Interrupted))
}

/// The maximum number of connections that wait for the peer's close frame.
const MOST_LINGERING: usize = 256;

impl Gateway {
    /// Starts building a gateway over a store.
    #[must_use]
    pub fn builder(store: impl Store) -> GatewayBuilder {
        GatewayBuilder {
            name: None,
            pairing: PairingSettings::default(),
            certificates: CertificateSettings::default(),
            setup: SetupSettings::default(),
            logins: LoginSettings::default(),
            inbound: InboundSettings::default(),
            proxies: ProxySettings::default(),
            extensions: Vec::new(),
            pending: PendingProgram::default(),
            links: true,
            handler: None,
            clock: Box::new(LocalClock::default()),
            sharing: SharingSettings::default(),
            store_key: None,
            surroundings: Surroundings::default(),
            store: Arc::new(store),
            limits: Limits::DEFAULT,
            application: Arc::new(NoApplication),
            observer: Arc::new(LogObserver::default()),
        }
    }
}
