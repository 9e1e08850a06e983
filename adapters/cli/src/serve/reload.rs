//! Files that a running gateway reads again at SIGHUP: its configuration and its certificate.

use handfast_cli::config::{Options, ServeSettings};
use handfast_server::{Gateway, LiveSettings, TlsFiles};

use super::log::Log;
use super::{descriptors, tls_problem};

/// The files, and the settings in force.
pub(super) struct Reloader {
    options: Options,
    settings: ServeSettings,
    tls: Option<TlsFiles>,
    log: Log,
}

impl Reloader {
    pub(super) fn new(
        options: Options,
        settings: ServeSettings,
        tls: Option<TlsFiles>,
        log: Log,
    ) -> Self {
        Self { options, settings, tls, log }
    }

    /// Returns `true` if there is a file to read again.
    pub(super) fn has_files(&self) -> bool {
        self.options.file().is_some() || self.tls.is_some()
    }

    /// Reads the files again, and takes over what may change while the gateway runs. If one of the
    /// files is bad, nothing changes.
    pub(super) fn reload(&mut self, gateway: &Gateway) {
        match self.apply(gateway) {
            Ok(()) => {}
            Err(problem) => tracing::error!("nothing is changed: {}", problem.replace('\n', "; ")),
        }
    }

    fn apply(&mut self, gateway: &Gateway) -> Result<(), String> {
        let mut newer = self.options.settings().map_err(|error| error.to_string())?;
        // The directory in use was completed at the start.
        newer.data = newer.data.or_else(|| self.settings.data.clone());
        let pair = self.tls.as_ref().map(TlsFiles::read).transpose();
        let pair = pair.map_err(|error| tls_problem(&error))?;
        let changes = self.settings.changes(&newer);
        gateway.take_over(LiveSettings {
            proxies: newer.proxies.clone(),
            rules: newer.pairing.rules.clone(),
            limits: descriptors::within_descriptors(newer.limits),
        })?;
        self.log.set(newer.log.as_deref())?;
        if let (Some(files), Some(pair)) = (&self.tls, pair) {
            files.replace(pair);
            tracing::info!("the certificate was read again, for new connections");
        }
        self.settings.take_over(&newer);
        if !changes.live.is_empty() {
            tracing::info!("taken over from the configuration: {}", changes.live.join(", "));
        }
        if !changes.at_start.is_empty() {
            tracing::warn!(
                "changed in the configuration, and taken over only at the next start: {}",
                changes.at_start.join(", ")
            );
        }
        Ok(())
    }
}
