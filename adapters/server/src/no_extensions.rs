//! The place of the extensions in a build without the feature `extensions`: there are none.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::response::Response;

use crate::events::Observer;
use crate::telemetry::ForeignMetrics;

/// No extensions.
pub(crate) struct Extensions;

/// The configuration of an extension, of which there is none.
pub(crate) enum ExtensionConfig {}

/// Errors of configurations, of which there are none.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {}

/// No program.
#[derive(Default)]
pub(crate) struct PendingProgram;

/// The state of an extension, of which there is none.
pub(crate) struct ExtensionStatus {
    pub(crate) name: String,
    pub(crate) alive: bool,
    pub(crate) last_error: Option<String>,
}

/// The routes of extensions, of which there are none.
pub(crate) struct Proxy;

impl Extensions {
    pub(crate) const fn status(&self) -> Vec<ExtensionStatus> {
        Vec::new()
    }

    pub(crate) const fn proxy(&self) -> Proxy {
        Proxy
    }

    pub(crate) async fn scrape(&self, _: Duration) -> ForeignMetrics {
        ForeignMetrics::default()
    }
}

impl Proxy {
    pub(crate) async fn serve(&self, _: Request) -> Option<Response> {
        None
    }
}

/// Returns the given observer, since there is no program to tell.
pub(crate) fn observed(
    _: PendingProgram,
    observer: Arc<dyn Observer>,
    _: Option<String>,
) -> Arc<dyn Observer> {
    observer
}
