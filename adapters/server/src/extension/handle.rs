//! The handle to one extension, independent of its transport: calls are limited in number, size and
//! time.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::sync::Semaphore;
use utoipa::ToSchema;

use super::config::{ConfigError, ExtensionConfig, Transport};
use super::host::ExtensionHost;
use super::http::Http;
use super::rules::{ExtensionTimes, MOST_CALLS};
use super::stdio::Stdio;
use super::wire;

/// One extension. Clones refer to the same one; its program ends when the last is dropped, or with
/// [`Extension::shut_down`].
#[derive(Clone)]
pub struct Extension {
    inner: Arc<ExtensionInner>,
}

struct ExtensionInner {
    config: ExtensionConfig,
    host: Arc<dyn ExtensionHost>,
    carrier: ExtensionCarrier,
    calls: Semaphore,
    next_id: AtomicU64,
    reached: AtomicBool,
    stopped: AtomicBool,
    metrics_dropped: AtomicU64,
    last_error: Mutex<Option<String>>,
}

enum ExtensionCarrier {
    Stdio(Stdio),
    Http(Box<Http>),
}

/// A failed call of an extension.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("extension {extension}: {problem}")]
pub struct ExtensionError {
    /// Name of the extension.
    pub extension: String,
    /// The cause of the failure.
    pub problem: Problem,
}

/// The cause of a failed call. None of them tells whether the extension has carried out the call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// 64 calls are in progress, or too many bytes wait to be written to the extension; nothing was
    /// sent.
    #[error("too much is asked of it at once; try again later")]
    Busy,
    /// The extension does not run, cannot be reached, or ended during the call.
    #[error("it cannot be reached: {0}")]
    Down(String),
    /// The extension did not answer in time. A later answer is ignored.
    #[error("it did not answer within {0:?}")]
    Timeout(Duration),
    /// The request exceeds the maximum line length; nothing was sent.
    #[error("the request is larger than 1 MiB")]
    TooLarge,
    /// The extension answered with an error.
    #[error("it refused: {0}")]
    Refused(String),
    /// The answer does not conform to the protocol.
    #[error("it answered against the protocol: {0}")]
    Malformed(String),
}

/// State of an extension.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExtensionStatus {
    /// Name of the extension.
    pub name: String,
    /// `true` while a program runs; over HTTP, `true` if the last call reached the extension, or
    /// none has been made yet.
    pub alive: bool,
    /// Number of calls in progress.
    pub calls_in_flight: usize,
    /// Number of restarts.
    pub restarts: u64,
    /// Number of its lines that were unsolicited or too late.
    pub ignored: u64,
    /// Number of its metrics lines that were dropped.
    pub metrics_dropped: u64,
    /// The last error, without the extension's name.
    pub last_error: Option<String>,
}

impl Extension {
    /// Creates an extension by itself; [`super::Extensions`] holds all of a gateway. It does not
    /// run before [`Extension::start`].
    ///
    /// # Errors
    /// [`ConfigError`] if the configuration is invalid.
    pub fn new(config: ExtensionConfig, host: Arc<dyn ExtensionHost>) -> Result<Self, ConfigError> {
        Self::with_rules(config, host, ExtensionTimes::default())
    }

    pub(super) fn with_rules(
        config: ExtensionConfig,
        host: Arc<dyn ExtensionHost>,
        rules: ExtensionTimes,
    ) -> Result<Self, ConfigError> {
        config.validate()?;
        let carrier = match &config.transport {
            Transport::Stdio { command } => ExtensionCarrier::Stdio(Stdio::new(
                &config.name,
                command,
                config.timeouts.call,
                rules,
                Arc::clone(&host),
            )),
            Transport::Http { url } => {
                ExtensionCarrier::Http(Box::new(Http::new(url).map_err(|problem| {
                    ConfigError::Invalid {
                        extension: config.name.clone(),
                        field: "url",
                        value: url.clone(),
                        problem,
                    }
                })?))
            }
        };
        let inner = ExtensionInner {
            config,
            host,
            carrier,
            calls: Semaphore::new(MOST_CALLS),
            next_id: AtomicU64::new(1),
            reached: AtomicBool::new(true),
            stopped: AtomicBool::new(false),
            metrics_dropped: AtomicU64::new(0),
            last_error: Mutex::new(None),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Starts the program, and restarts it whenever it ends: after a second, then two, at most a
    /// minute. Does nothing for an HTTP extension, or if it has been started before. Must be called
    /// within a tokio runtime.
    pub fn start(&self) {
        if let ExtensionCarrier::Stdio(stdio) = &self.inner.carrier {
            stdio.start();
        }
    }

    /// Ends the program: its standard input is closed, and after a second the rest of its process
    /// group is killed. Calls in progress fail, and so do all later ones.
    pub async fn shut_down(&self) {
        self.inner.stopped.store(true, Ordering::Relaxed);
        if let ExtensionCarrier::Stdio(stdio) = &self.inner.carrier {
            stdio.shut_down().await;
        }
    }

    /// Calls a method of the extension.
    ///
    /// # Errors
    /// [`ExtensionError`]: immediately if 64 calls are in progress, and after `within` at the
    /// latest.
    pub async fn call(
        &self,
        method: &str,
        params: Value,
        within: Duration,
    ) -> Result<Value, ExtensionError> {
        self.ask(method, &params, within).await
    }

    /// Calls a method whose result has the type `T`.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        method: &str,
        params: &impl Serialize,
        within: Duration,
    ) -> Result<T, ExtensionError> {
        let outcome = self.exchange(method, params, within).await;
        let outcome = outcome.and_then(|result| {
            serde_json::from_str(result.get())
                .map_err(|error| Problem::Malformed(wire::shown(&error.to_string())))
        });
        self.inner.host.called(&self.inner.config.name, outcome.as_ref().map(|_| ()));
        outcome.map_err(|problem| self.failed(problem))
    }

    async fn exchange(
        &self,
        method: &str,
        params: &impl Serialize,
        within: Duration,
    ) -> Result<Box<RawValue>, Problem> {
        if self.inner.stopped.load(Ordering::Relaxed) {
            return Err(Problem::Down("it was shut down".to_owned()));
        }
        // Nothing waits for a free call: a slow extension must not hold up its callers.
        let _call = self.inner.calls.try_acquire().map_err(|_| Problem::Busy)?;
        let id = self.inner.next_id.fetch_add(1, Ordering::Relaxed);
        let line = wire::request(id, method, params).ok_or(Problem::TooLarge)?;
        let exchange = async {
            match &self.inner.carrier {
                ExtensionCarrier::Stdio(stdio) => stdio.call(id, line).await,
                ExtensionCarrier::Http(http) => http.call(id, line).await,
            }
        };
        let outcome =
            tokio::time::timeout(within, exchange).await.unwrap_or(Err(Problem::Timeout(within)));
        // A refusal is an answer, too; only silence means that the extension is out of reach.
        self.inner.reached.store(
            !matches!(outcome, Err(Problem::Down(_) | Problem::Timeout(_))),
            Ordering::Relaxed,
        );
        outcome?.map_err(Problem::Refused)
    }

    /// Records a problem, and adds the extension's name to it.
    pub(super) fn failed(&self, problem: Problem) -> ExtensionError {
        *self.inner.last_error.lock().expect("no thread panics while it holds the error") =
            Some(problem.to_string());
        ExtensionError { extension: self.inner.config.name.clone(), problem }
    }

    pub(super) fn dropped_metrics(&self, lines: u64) {
        self.inner.metrics_dropped.fetch_add(lines, Ordering::Relaxed);
    }

    /// Returns the full name of a method, which begins with the extension's prefix.
    pub(super) fn method(&self, rest: &str) -> String {
        format!("{}.{rest}", self.inner.config.prefix)
    }

    /// Returns the configuration.
    #[must_use]
    pub fn config(&self) -> &ExtensionConfig {
        &self.inner.config
    }

    /// Returns the current state.
    #[must_use]
    pub fn status(&self) -> ExtensionStatus {
        let (alive, restarts, ignored) = match &self.inner.carrier {
            ExtensionCarrier::Stdio(stdio) => (stdio.alive(), stdio.restarts(), stdio.ignored()),
            ExtensionCarrier::Http(_) => (self.inner.reached.load(Ordering::Relaxed), 0, 0),
        };
        ExtensionStatus {
            name: self.inner.config.name.clone(),
            alive: alive && !self.inner.stopped.load(Ordering::Relaxed),
            calls_in_flight: MOST_CALLS - self.inner.calls.available_permits(),
            restarts,
            ignored,
            metrics_dropped: self.inner.metrics_dropped.load(Ordering::Relaxed),
            last_error: self
                .inner
                .last_error
                .lock()
                .expect("no thread panics while it holds the error")
                .clone(),
        }
    }
}

impl std::fmt::Debug for Extension {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Extension").field(&self.inner.config.name).finish()
    }
}
