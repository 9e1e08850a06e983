//! The settings of `serve` and their defaults.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use handfast_core::Span;
use handfast_core::grant::scope::{Scope, ScopeError, Scopes, ScopesBuf};
use handfast_core::limits::Limits;
use handfast_server::ca::{self, CertificateSettings, NodeUri};
use handfast_server::extension::ExtensionConfig;
use handfast_server::inbound::InboundSettings;
use handfast_server::keys::KEY_FILE;
use handfast_server::policy::LoginSettings;
use handfast_server::policy::PairingSettings;
use handfast_server::policy::SetupSettings;
use handfast_server::public_url::{Candidates, ExtraHost};
use handfast_server::{ProxySettings, SharingSettings};

use super::bus::BusUrl;
use super::store::StoreAddress;

/// The settings of `serve`. Each has a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServeSettings {
    /// Address of the main listener.
    pub listen: SocketAddr,
    /// Name of the gateway for people.
    pub name: Option<String>,
    /// The data directory; `None` for the default one.
    pub data: Option<PathBuf>,
    /// Database with a registry that several gateways share; `None` for a file in the data
    /// directory.
    pub store: Option<StoreAddress>,
    /// Authorities for the database's certificate, as PEM; `None` for the system's.
    pub store_authorities: Option<PathBuf>,
    /// The key that seals the registry's secrets; `None` for the one in the data directory.
    pub store_key: Option<PathBuf>,
    /// Name of this gateway among those that share the registry; `None` for the host's.
    pub gateway_id: Option<String>,
    /// Time for which links outlive the contact with a registry that several gateways share.
    pub cut_off_grace: Duration,
    /// NATS servers between gateways that share a registry; `None` for no bus.
    pub bus: Option<BusUrl>,
    /// Authorities for the servers' certificates, as PEM; `None` for the system's.
    pub bus_authorities: Option<PathBuf>,
    /// Group whose members are operators, over a socket in [`socket_dir`](Self::socket_dir).
    pub socket_group: Option<String>,
    /// Directory of that socket.
    pub socket_dir: PathBuf,
    /// What is logged, in the notation of `RUST_LOG`; `None` for the variable's, or else `info`.
    pub log: Option<String>,
    /// The form of the log.
    pub log_format: LogFormat,
    /// A file that exists once the system's clock is synchronised; `None` for systemd's file.
    pub clock_synchronised_file: Option<PathBuf>,
    /// Certificate chain of the listener; `Some` if and only if there is a [key](Self::tls_key).
    pub tls_cert: Option<PathBuf>,
    /// Private key of the listener.
    pub tls_key: Option<PathBuf>,
    /// `true` if the listener has a certificate of the gateway's own authority.
    pub tls_own: bool,
    /// TCP listeners of the native wire.
    pub listen_tcp: Vec<Listener>,
    /// TLS listeners for nodes with certificates.
    pub listen_mtls: Vec<Listener>,
    /// Addresses that serve only the metrics.
    pub listen_metrics: Vec<SocketAddr>,
    /// `true` if the gateway is not announced on its network.
    pub no_announce: bool,
    /// `true` if the page of links for phones is not served.
    pub no_links: bool,
    /// Trusted proxies in front of the gateway.
    pub proxies: ProxySettings,
    /// `true` if connections to [`listen`](Self::listen) begin with a PROXY header.
    pub proxy_protocol: bool,
    /// Serial lines of the native wire.
    pub serial: Vec<Serial>,
    /// Settings of pairing with PINs and codes.
    pub pairing: PairingSettings,
    /// Settings of setup codes and companions' sessions.
    pub setup: SetupOptions,
    /// Settings of operators' sessions; the URL is a fact of the running gateway.
    pub operators: LoginSettings,
    /// Settings of nodes' certificates, and of the listeners that ask for them.
    pub mtls: MtlsOptions,
    /// Settings of the gate for strangers on channels.
    pub inbound: InboundSettings,
    /// Extensions: programs outside the gateway's process. They have been validated, each by itself
    /// and all together.
    pub extensions: Vec<ExtensionConfig>,
    /// Program that is run when something begins to wait for a person, with its arguments; empty
    /// for none.
    pub on_pending: Vec<String>,
    /// Limits of connections and requests.
    pub limits: Limits,
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// A line for people.
    #[default]
    Text,
    /// A JSON object a line, with the fields of its event beside `timestamp`, `level` and `target`.
    Json,
}

/// A listener of the native wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Address of the listener.
    pub address: SocketAddr,
    /// `true` if its connections begin with a PROXY header.
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
    /// Path of the device.
    pub path: PathBuf,
    /// Speed in bits per second.
    pub baud: u32,
}

impl Serial {
    /// Default speed of a line in bits per second.
    pub const BAUD: u32 = 115_200;
}

/// Settings of nodes' certificates, and of the listeners that ask for them, as configured;
/// [`MtlsOptions::certificates`] adds the facts of the running gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MtlsOptions {
    /// `true` if a connection without a certificate is refused.
    pub require_mtls: bool,
    /// Names and IP addresses in the listeners' certificate; none for those of this machine.
    pub names: Vec<String>,
    /// Lifetime of a node's certificate.
    pub node_life: Span,
    /// Lifetime of the listeners' certificate.
    pub server_life: Span,
    /// Lifetime of a root of the certificate authority.
    pub root_life: Span,
    /// Form of the URI that names a node in its certificate.
    pub uri: NodeUri,
}

impl Default for MtlsOptions {
    /// Takes the defaults of the gateway library.
    fn default() -> Self {
        let CertificateSettings { node_life, server_life, root_life, uri, .. } =
            CertificateSettings::default();
        Self { require_mtls: true, names: Vec::new(), node_life, server_life, root_life, uri }
    }
}

impl MtlsOptions {
    /// Returns the settings for a gateway with this data directory, whose listeners are reached at
    /// these addresses.
    #[must_use]
    pub fn certificates(&self, data: &Path, reached: Vec<String>) -> CertificateSettings {
        CertificateSettings {
            directory: Some(data.join(ca::DIRECTORY)),
            node_life: self.node_life,
            server_life: self.server_life,
            root_life: self.root_life,
            names: if self.names.is_empty() { reached } else { self.names.clone() },
            uri: self.uri.clone(),
        }
    }
}

/// Settings of setup codes and companions' sessions as configured; [`SetupOptions::settings`] adds
/// the facts of the running gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetupOptions {
    /// URL of this gateway for companions.
    pub public_url: Option<String>,
    /// URL of a tunnel to this gateway.
    pub tunnel_url: Option<String>,
    /// URL of a remote gateway for the companions.
    pub gateway_url: Option<String>,
    /// Hosts outside the local network that may be reached without TLS, in the notation of
    /// [`ExtraHost`].
    pub plain_hosts: Vec<String>,
    /// Origins of web pages that may connect as companions.
    pub origins: Vec<String>,
    /// Default profile of companions.
    pub profile: String,
    /// Lifetime of a code.
    pub ttl: Duration,
    /// Lifetime of a session.
    pub session_ttl: Duration,
    /// Total lifetime of a session with all refreshes.
    pub session_longest: Duration,
    /// Permissions of companions whose profile has no entry.
    pub permissions: ScopesBuf,
    /// Permissions by profile, in the order of the names.
    pub profiles: Vec<(String, ScopesBuf)>,
    /// Profiles that may approve nodes which authenticate with a token.
    pub approvers: Vec<String>,
    /// File of the key that signs codes; `None` for the default one in the data directory.
    pub key_file: Option<PathBuf>,
}

impl Default for SetupOptions {
    /// Takes the defaults of the gateway library.
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

impl SetupOptions {
    /// Returns the settings for a gateway with this data directory and these addresses on its
    /// network, best first, with or without TLS.
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

    /// Parses [`plain_hosts`](Self::plain_hosts). All of them were checked before, so none is
    /// dropped.
    pub(super) fn extra_hosts(&self) -> Vec<ExtraHost> {
        self.plain_hosts.iter().filter_map(|host| host.parse().ok()).collect()
    }
}

impl ServeSettings {
    /// Returns `true` if only TLS is spoken on the main listener.
    #[must_use]
    pub const fn is_tls(&self) -> bool {
        self.tls_cert.is_some() || self.tls_own
    }
}

impl Default for ServeSettings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8765)),
            name: None,
            data: None,
            store: None,
            store_authorities: None,
            store_key: None,
            gateway_id: None,
            cut_off_grace: SharingSettings::default().cut_off_grace,
            bus: None,
            bus_authorities: None,
            socket_group: None,
            socket_dir: PathBuf::from("/run/handfast"),
            log: None,
            log_format: LogFormat::default(),
            clock_synchronised_file: None,
            tls_cert: None,
            tls_key: None,
            tls_own: false,
            listen_tcp: Vec::new(),
            listen_mtls: Vec::new(),
            listen_metrics: Vec::new(),
            proxies: ProxySettings::default(),
            no_announce: false,
            no_links: false,
            proxy_protocol: false,
            serial: Vec::new(),
            pairing: PairingSettings::default(),
            setup: SetupOptions::default(),
            operators: LoginSettings::default(),
            mtls: MtlsOptions::default(),
            inbound: InboundSettings::default(),
            extensions: Vec::new(),
            on_pending: Vec::new(),
            limits: Limits::DEFAULT,
        }
    }
}

/// Sorts scopes by action (read, write, admin), so that equal permissions are equal values.
///
/// # Errors
/// [`ScopeError`] if there are too many, or they are too long.
pub(super) fn scopes(mut found: Vec<Scope<'_>>) -> Result<ScopesBuf, ScopeError> {
    found.sort_by_key(|scope| scope.action);
    let mut set = Scopes::new();
    found.into_iter().try_for_each(|scope| set.push(scope))?;
    Ok((&set).into())
}
