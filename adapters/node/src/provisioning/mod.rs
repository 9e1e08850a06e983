//! Provisioning from a phone: the HTTP API and the page that uses it, the radio, the node's files,
//! and the way to the gateway. Core decides (`handfast_core::flow::provisioning`).
//!
//! In the secure mode a phone proves that its owner holds the node's label, and everything travels
//! sealed. The plain mode, which the owner has to choose, is unprotected: everybody who reaches its
//! port within the setup window can read what is sent, and can send settings.

mod api;
#[cfg(all(test, feature = "wifi"))]
mod cable;
mod driver;
mod fernet;
mod files;
#[cfg(feature = "wifi")]
mod hostapd;
mod http;
mod info;
mod invited;
mod label;
#[cfg(feature = "wifi")]
mod network_manager;
mod page;
#[cfg(feature = "wifi")]
mod passphrase;
#[cfg(feature = "wifi")]
mod program;
mod radio;
mod radio_task;
mod register;
#[cfg(feature = "wifi")]
mod responder;
mod shared_settings;
mod simulated;
mod snapshot;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use handfast_core::crypto::x25519::PublicKey;
use handfast_core::wire::provisioning::Country;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

pub use driver::{Provisioner, ProvisionerButton};
pub use files::ProvisioningFileError;
#[cfg(feature = "wifi")]
pub use hostapd::{HostapdRadio, HostapdSettings};
pub use info::{NodeInfo, default_node_id};
pub use label::NodeLabel;
#[cfg(feature = "wifi")]
pub use network_manager::{NetworkManagerRadio, NetworkManagerSettings};
pub use radio::{Radio, RadioReports, WifiCredentials, WifiNetwork, strongest_first};
pub use shared_settings::{RevisedSettings, SharedSettings};
pub use simulated::{NoRadio, SimulatedRadio};
pub use snapshot::{SETTINGS_BYTES, SealedSettings, SettingsError, SettingsKey, SettingsPurpose};

/// Settings of a [`Provisioner`].
#[derive(Debug)]
pub struct ProvisionerConfig {
    /// The state directory. The dialect's files are in its folder `provisioning`.
    pub state: PathBuf,
    /// What the node tells of itself.
    pub info: NodeInfo,
    /// The address of the HTTP API.
    pub listen: SocketAddr,
    /// Port of the same address where phones look for a page by themselves, 80 as a rule; `None` for
    /// no such port. It is served where it can be bound.
    pub captive_port: Option<u16>,
    /// Serves the plain mode, too, which is unprotected.
    pub plain: bool,
    /// Keeps the port open outside the setup window, for what is sealed under K2 alone: phones share
    /// settings with the node at any time.
    pub share_settings: bool,
    /// Never offers an open access point in the secure mode, also where the radio starts no other.
    pub protected_only: bool,
    /// Time after a start in which new settings are taken.
    pub window: Duration,
    /// The only gateway that a command center may name; `None` for any.
    pub gateway_key: Option<PublicKey>,
    /// The country whose rules hold for the radio; `None` for the one that a phone has sent.
    pub country: Option<Country>,
    /// A file of CA certificates in PEM form that are trusted at the command center besides the
    /// system's.
    pub ca: Option<PathBuf>,
}

/// The reason for which a node cannot be provisioned.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProvisionerError {
    /// The node's files cannot be used.
    #[error(transparent)]
    Files(#[from] ProvisioningFileError),
    /// The address of the API cannot be used.
    #[error("cannot listen on {address}: {why}; name another port with --port")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's words.
        why: std::io::Error,
    },
    /// The operating system gave no random bytes.
    #[error("the operating system gives no random bytes: {0}")]
    Randomness(#[from] getrandom::Error),
}

impl Provisioner {
    /// Opens the node's files and the API's port. Nothing runs yet.
    ///
    /// # Errors
    /// [`ProvisionerError`] if one of them cannot be used.
    pub async fn new(
        config: ProvisionerConfig,
        radio: Box<dyn Radio>,
    ) -> Result<Self, ProvisionerError> {
        let ProvisionerConfig {
            state,
            info,
            listen,
            captive_port,
            plain,
            protected_only,
            share_settings,
            window,
            gateway_key,
            country,
            ca,
        } = config;
        let files = files::ProvisioningFiles::open(&state)?;
        let label = files.label()?;
        let address = listen;
        let listener = TcpListener::bind(address)
            .await
            .map_err(|why| ProvisionerError::Listen { address, why })?;
        let address =
            listener.local_addr().map_err(|why| ProvisionerError::Listen { address, why })?;
        let captive = match captive_port {
            Some(port) => captive(SocketAddr::new(address.ip(), port), address).await,
            None => None,
        };
        let (requests_in, requests) = mpsc::channel(8);
        let (radio_in, radio_requests) = mpsc::unbounded_channel();
        let (radio_events_in, radio_events) = mpsc::unbounded_channel();
        let radio = radio_task::run(radio, radio_requests, radio_events_in);
        driver::Parts {
            files,
            info,
            window,
            gateway_key,
            country,
            ca,
            label,
            plain,
            protected_only,
            share_settings,
            listener,
            captive,
            address,
            requests: (requests_in, requests),
            radio_in,
            radio_events,
            radio: Box::pin(radio),
            operates: watch::channel(false),
        }
        .assemble()
    }
}

/// Binds the port where phones look for a page by themselves. Without it, people open the page.
async fn captive(wanted: SocketAddr, api: SocketAddr) -> Option<TcpListener> {
    if wanted == api {
        return None;
    }
    match TcpListener::bind(wanted).await {
        Ok(listener) => Some(listener),
        Err(why) => {
            tracing::warn!(
                "port {} cannot be used ({why}), so phones do not open the page by themselves: open \
                 http://{api} there, or let the node use the port (root or CAP_NET_BIND_SERVICE)",
                wanted.port()
            );
            None
        }
    }
}
