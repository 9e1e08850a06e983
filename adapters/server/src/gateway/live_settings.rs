//! Settings that a running gateway takes over.

use handfast_core::limits::Limits;

use crate::gateway::Gateway;
use crate::policy::rules::Rule;
use crate::policy::settings::PairingSettings;
use crate::proxies::ProxySettings;

/// Settings that a running gateway takes over, for instance when its configuration is read again.
#[derive(Clone, Debug)]
pub struct LiveSettings {
    /// Trusted proxies. Open connections keep the address that they count for.
    pub proxies: ProxySettings,
    /// Rules that decide about requests to pair, unless a
    /// [handler](crate::GatewayBuilder::pairing_handler) does.
    pub rules: Vec<Rule>,
    /// Limits, of which `waiting_total`, `waiting_per_source` and `linked_total` are taken over:
    /// they bound new connections, and end none.
    pub limits: Limits,
}

impl Gateway {
    /// Takes settings over, for connections and requests from now on.
    ///
    /// # Errors
    /// The first setting that is not valid; then nothing is changed.
    pub fn take_over(&self, live: LiveSettings) -> Result<(), String> {
        let LiveSettings { proxies, rules, limits } = live;
        let pairing = &self.inner.pairing;
        PairingSettings { rules: rules.clone(), ..pairing.settings.clone() }.check()?;
        pairing.rules.replace(rules);
        self.inner.proxies.replace(proxies);
        self.inner.seats.set_limits(limits);
        self.inner.hub.set_limits(limits);
        Ok(())
    }
}
