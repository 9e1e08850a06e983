//! The settings themselves, with their defaults.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use handfast_core::grant::scope::{Scope, ScopeError, Scopes, ScopesBuf};
use handfast_core::limits::Limits;
use handfast_server::ProxySettings;
use handfast_server::extension::ExtensionConfig;
use handfast_server::inbound::InboundSettings;
use handfast_server::pairing::PairingSettings;
use handfast_server::setup::url::{Candidates, ExtraHost};
use handfast_server::setup::{KEY_FILE, SetupSettings};

/// What `serve` does: every setting has a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where the gateway's listener is.
    pub listen: SocketAddr,
    /// The data directory that was named; without one the usual place is taken.
    pub data: Option<PathBuf>,
    /// What says that the system's clock is synchronised, if not systemd's file.
    pub clock_synchronised_file: Option<PathBuf>,
    /// Certificate chain of the listener; there is one exactly if there is a [key](Self::tls_key).
    pub tls_cert: Option<PathBuf>,
    /// Private key of the listener.
    pub tls_key: Option<PathBuf>,
    /// Where the native wire is spoken over TCP.
    pub listen_tcp: Vec<Listener>,
    /// Where the metrics are served, and nothing else.
    pub listen_metrics: Vec<SocketAddr>,
    /// Which proxies in front of the gateway are believed.
    pub proxies: ProxySettings,
    /// Whether connections to [`listen`](Self::listen) begin with a PROXY header.
    pub proxy_protocol: bool,
    /// Serial lines on which the native wire is spoken.
    pub serial: Vec<Serial>,
    /// How pairing with PINs and codes goes.
    pub pairing: PairingSettings,
    /// How setup codes and companions' sessions go.
    pub setup: Setup,
    /// How strangers that write over channels are met.
    pub inbound: InboundSettings,
    /// Programs that know a channel, or do something else for the gateway, outside its process.
    /// Each by itself and all together are fine.
    pub extensions: Vec<ExtensionConfig>,
    /// Limits of connections and requests.
    pub limits: Limits,
}

/// A listener for the native wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Where it is.
    pub address: SocketAddr,
    /// Whether connections to it begin with a PROXY header.
    pub proxy_protocol: bool,
}

impl From<SocketAddr> for Listener {
    fn from(address: SocketAddr) -> Self {
        Self { address, proxy_protocol: false }
    }
}

/// A serial line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Serial {
    /// The device.
    pub path: PathBuf,
    /// Its speed.
    pub baud: u32,
}

impl Serial {
    /// The speed of a line for which none is named.
    pub const BAUD: u32 = 115_200;
}

/// How setup codes and companions' sessions go, as it was said; [`Setup::settings`] adds what the
/// running gateway knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setup {
    /// Where companions reach this gateway.
    pub public_url: Option<String>,
    /// Where a tunnel takes them to it.
    pub tunnel_url: Option<String>,
    /// The remote gateway to which they go.
    pub gateway_url: Option<String>,
    /// Hosts outside the local network that may be reached without TLS, as [`ExtraHost`] reads
    /// them.
    pub plain_hosts: Vec<String>,
    /// Origins of web pages that may connect as companions.
    pub origins: Vec<String>,
    /// As what companions are let in.
    pub profile: String,
    /// How long a code is good for.
    pub ttl: Duration,
    /// How long a session lives.
    pub session_ttl: Duration,
    /// How long it lives in all.
    pub session_longest: Duration,
    /// What companions may do whose profile says nothing else.
    pub permissions: ScopesBuf,
    /// What companions of these profiles may do, in the order of the names.
    pub profiles: Vec<(String, ScopesBuf)>,
    /// Which of them may approve nodes that prove themselves with a token.
    pub approvers: Vec<String>,
    /// The key that signs codes, if it is not the usual file in the data directory.
    pub key_file: Option<PathBuf>,
}

impl Default for Setup {
    /// As the gateway's own.
    fn default() -> Self {
        let SetupSettings { profile, ttl, session_ttl, session_longest, permissions, .. } =
            SetupSettings::default();
        Self {
            public_url: None,
            tunnel_url: None,
            gateway_url: None,
            plain_hosts: Vec::new(),
            origins: Vec::new(),
            profile,
            ttl,
            session_ttl,
            session_longest,
            permissions,
            profiles: Vec::new(),
            approvers: Vec::new(),
            key_file: None,
        }
    }
}

impl Setup {
    /// The same for a gateway with this data directory, which is reached on its network at these
    /// addresses, best first, under TLS or not.
    #[must_use]
    pub fn settings(&self, data: &Path, lan: Vec<SocketAddr>, tls: bool) -> SetupSettings {
        let Self { public_url, tunnel_url, gateway_url, .. } = self.clone();
        SetupSettings {
            key_file: Some(self.key_file.clone().unwrap_or_else(|| data.join(KEY_FILE))),
            profile: self.profile.clone(),
            ttl: self.ttl,
            session_ttl: self.session_ttl,
            session_longest: self.session_longest,
            permissions: self.permissions.clone(),
            profiles: self.profiles.clone(),
            approvers: self.approvers.clone(),
            addresses: Candidates {
                public: public_url,
                tunnel: tunnel_url,
                gateway: gateway_url,
                lan,
                tls,
            },
            plain_hosts: self.extra_hosts(),
            origins: self.origins.clone(),
        }
    }

    /// What [`plain_hosts`](Self::plain_hosts) name. They were read before, so none is left out.
    pub(super) fn extra_hosts(&self) -> Vec<ExtraHost> {
        self.plain_hosts.iter().filter_map(|host| host.parse().ok()).collect()
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8765)),
            data: None,
            clock_synchronised_file: None,
            tls_cert: None,
            tls_key: None,
            listen_tcp: Vec::new(),
            listen_metrics: Vec::new(),
            proxies: ProxySettings::default(),
            proxy_protocol: false,
            serial: Vec::new(),
            pairing: PairingSettings::default(),
            setup: Setup::default(),
            inbound: InboundSettings::default(),
            extensions: Vec::new(),
            limits: Limits::DEFAULT,
        }
    }
}

/// Scopes in one order: those to read, then write, then administer, so that equal permissions are
/// equal values.
pub(super) fn scopes(mut found: Vec<Scope<'_>>) -> Result<ScopesBuf, ScopeError> {
    found.sort_by_key(|scope| scope.action);
    let mut set = Scopes::new();
    found.into_iter().try_for_each(|scope| set.push(scope))?;
    Ok((&set).into())
}
