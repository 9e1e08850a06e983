//! The settings themselves, with their defaults.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use handfast_core::grant::scope::{Scope, ScopeError, Scopes, ScopesBuf};
use handfast_core::limits::Limits;
use handfast_server::pairing::PairingSettings;

/// What `serve` does: every setting has a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where the gateway's listener is.
    pub listen: SocketAddr,
    /// The data directory that was named; without one the usual place is taken.
    pub data: Option<PathBuf>,
    /// Certificate chain of the listener; there is one exactly if there is a [key](Self::tls_key).
    pub tls_cert: Option<PathBuf>,
    /// Private key of the listener.
    pub tls_key: Option<PathBuf>,
    /// Where the native wire is spoken over TCP.
    pub listen_tcp: Vec<SocketAddr>,
    /// Serial lines on which the native wire is spoken.
    pub serial: Vec<Serial>,
    /// How pairing with PINs and codes goes.
    pub pairing: PairingSettings,
    /// Limits of connections and requests.
    pub limits: Limits,
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

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8765)),
            data: None,
            tls_cert: None,
            tls_key: None,
            listen_tcp: Vec::new(),
            serial: Vec::new(),
            pairing: PairingSettings::default(),
            limits: Limits::DEFAULT,
        }
    }
}

/// Scopes in one order: those to read, then write, then administer, so that equal permissions are equal values.
pub(super) fn scopes(mut found: Vec<Scope<'_>>) -> Result<ScopesBuf, ScopeError> {
    found.sort_by_key(|scope| scope.action);
    let mut set = Scopes::new();
    found.into_iter().try_for_each(|scope| set.push(scope))?;
    Ok((&set).into())
}
