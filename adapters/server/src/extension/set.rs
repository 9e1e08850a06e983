//! All extensions of a gateway.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::admin::AdminRouter;
use super::channel::ExtensionChannel;
use super::config::{ConfigError, ExtensionConfig, validate};
use super::handle::{Extension, ExtensionStatus};
use super::host::{Cursors, ExtensionHost, Items, NoHost};
use super::poll::{MOST_TICKS, Poller};
use super::proxy::Proxy;
use super::rules::ExtensionTimes;
use super::scrape::scrape;
use crate::inbound::adapter::ChannelAdapter;
use crate::telemetry::ForeignMetrics;

/// The gateway's implementations of the host traits.
#[derive(Clone)]
pub struct Services {
    /// Answers requests of extensions.
    pub host: Arc<dyn ExtensionHost>,
    /// Stores the poll cursors.
    pub cursors: Arc<dyn Cursors>,
    /// Receives polled items.
    pub items: Arc<dyn Items>,
}

impl Default for Services {
    /// Uses [`NoHost`] for all of them.
    fn default() -> Self {
        Self { host: Arc::new(NoHost), cursors: Arc::new(NoHost), items: Arc::new(NoHost) }
    }
}

impl std::fmt::Debug for Services {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Services")
    }
}

/// All extensions of a gateway. Their programs end when this and everything derived from it is
/// dropped, or with [`Extensions::shut_down`].
pub struct Extensions {
    extensions: Vec<Extension>,
    router: AdminRouter,
    proxy: Proxy,
    poller: Poller,
    /// Polling tasks; `None` after the shutdown.
    pollers: Mutex<Option<JoinSet<()>>>,
    /// The running or last collection of metrics.
    collected: Mutex<Option<watch::Receiver<Option<Collected>>>>,
}

/// Metrics of all extensions, with the time of their collection.
type Collected = (Instant, Arc<ForeignMetrics>);

/// Time for which collected metrics are reused for other scrapes.
const FRESH: Duration = Duration::from_secs(1);

impl Extensions {
    /// Creates the extensions; none runs yet.
    ///
    /// # Errors
    /// [`ConfigError`] if a configuration is invalid, or two of them conflict.
    pub fn new(configs: Vec<ExtensionConfig>, services: Services) -> Result<Self, ConfigError> {
        Self::with_rules(configs, services, ExtensionTimes::default())
    }

    pub(super) fn with_rules(
        configs: Vec<ExtensionConfig>,
        services: Services,
        rules: ExtensionTimes,
    ) -> Result<Self, ConfigError> {
        validate(&configs)?;
        let one = |config| Extension::with_rules(config, services.host.clone(), rules);
        let extensions: Vec<Extension> = configs.into_iter().map(one).collect::<Result<_, _>>()?;
        let ticks = Arc::new(Semaphore::new(MOST_TICKS));
        Ok(Self {
            router: AdminRouter::new(&extensions),
            proxy: Proxy::new(&extensions),
            poller: Poller { cursors: services.cursors, items: services.items, ticks },
            pollers: Mutex::new(Some(JoinSet::new())),
            collected: Mutex::new(None),
            extensions,
        })
    }

    /// Starts the programs and the polling. A second start does nothing. Must be called within a
    /// tokio runtime.
    pub fn start(&self) {
        self.extensions.iter().for_each(Extension::start);
        let mut pollers = self.pollers.lock().expect("no thread panics while it holds the pollers");
        if let Some(pollers) = pollers.as_mut().filter(|pollers| pollers.is_empty()) {
            for extension in &self.extensions {
                if let Some(every) = extension.config().poll {
                    pollers.spawn(self.poller.clone().run(extension.clone(), every));
                }
            }
        }
    }

    /// Ends polling, and then all programs at once; a program that does not end by itself within a
    /// second is killed. Nothing starts again afterwards.
    pub async fn shut_down(&self) {
        let pollers =
            self.pollers.lock().expect("no thread panics while it holds the pollers").take();
        // Polling ends first, so that no poll calls a program that is being ended.
        if let Some(mut pollers) = pollers {
            pollers.shutdown().await;
        }
        join_all(self.extensions.iter().map(Extension::shut_down)).await;
    }

    /// Returns the extension of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Extension> {
        self.extensions.iter().find(|extension| extension.config().name == name)
    }

    /// Returns the router of operators' methods.
    #[must_use]
    pub fn router(&self) -> &AdminRouter {
        &self.router
    }

    /// Returns the proxy for mounts. Its clones may outlive this value.
    #[must_use]
    pub fn proxy(&self) -> &Proxy {
        &self.proxy
    }

    /// Returns the metrics of all extensions; see [`scrape`](super::scrape()). It takes at most
    /// `within`, for instance 5 s. A call during a collection, or within a second after it, gets
    /// the result of that collection, and waits no longer than the first caller.
    pub async fn scrape(&self, within: Duration) -> Arc<ForeignMetrics> {
        let mut collected = self.collected(within);
        // An error means that the collection failed; the next call starts another.
        let metrics = match collected.wait_for(Option::is_some).await {
            Ok(collected) => collected.as_ref().map(|(_, metrics)| Arc::clone(metrics)),
            Err(_) => None,
        };
        metrics.unwrap_or_default()
    }

    /// Starts a collection, or joins the running one: repeated scrapes must not use up the calls of
    /// extensions.
    fn collected(&self, within: Duration) -> watch::Receiver<Option<Collected>> {
        let mut last = self.collected.lock().expect("no thread panics while it holds the metrics");
        let good = last.as_ref().filter(|last| match last.borrow().as_ref() {
            Some((at, _)) => at.elapsed() < FRESH,
            // An error means that the collection has failed, so another one begins.
            None => last.has_changed().is_ok(),
        });
        if let Some(good) = good {
            return good.clone();
        }
        let (sender, receiver) = watch::channel(None);
        let extensions = self.extensions.clone();
        // Spawned, because the first caller may go away while others still wait.
        tokio::spawn(async move {
            let metrics = scrape(&extensions, within).await;
            sender.send_replace(Some((Instant::now(), Arc::new(metrics))));
        });
        *last = Some(receiver.clone());
        receiver
    }

    /// Returns the channels of all extensions, for registration.
    #[must_use]
    pub fn channels(&self) -> Vec<Arc<dyn ChannelAdapter>> {
        let of = |extension: &Extension| {
            let channels = extension.config().channels.clone();
            let one = |name: String| {
                Arc::new(ExtensionChannel::new(extension.clone(), &name)) as Arc<dyn ChannelAdapter>
            };
            channels.into_iter().map(one).collect::<Vec<_>>()
        };
        self.extensions.iter().flat_map(of).collect()
    }

    /// Returns the state of each extension, in the order of the configuration.
    #[must_use]
    pub fn status(&self) -> Vec<ExtensionStatus> {
        self.extensions.iter().map(Extension::status).collect()
    }
}

impl std::fmt::Debug for Extensions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(&self.extensions).finish()
    }
}
