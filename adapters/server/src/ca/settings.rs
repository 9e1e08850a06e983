//! The settings of certificates.

#[cfg(feature = "tls")]
use std::net::IpAddr;
use std::path::PathBuf;

use handfast_core::Span;
#[cfg(feature = "tls")]
use rustls::pki_types::DnsName;

use super::uri::NodeUri;

/// Shortest lifetime of a certificate: not much less than the time by which its beginning is set
/// back.
#[cfg(feature = "tls")]
const SHORTEST: Span = Span::from_secs(600);
/// Longest lifetime of a root.
#[cfg(feature = "tls")]
const LONGEST: Span = Span::from_secs(100 * 365 * 86_400);

/// The settings of the certificate authority and its certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateSettings {
    /// Directory of the authority's files. `None` keeps it in memory: it is a new one after each
    /// start, and nodes fetch new certificates with their own keys. If several gateways share the
    /// registry, that has the roots, and the directory only what this gateway publishes.
    pub directory: Option<PathBuf>,
    /// Lifetime of a node's certificate.
    pub node_life: Span,
    /// Lifetime of the certificate of the gateway's own listener.
    pub server_life: Span,
    /// Lifetime of a root. A new one takes its place after two thirds of it.
    pub root_life: Span,
    /// Names and IP addresses under which nodes reach the listener.
    pub names: Vec<String>,
    /// Form of the URI that names a node.
    pub uri: NodeUri,
}

impl Default for CertificateSettings {
    fn default() -> Self {
        Self {
            directory: None,
            node_life: Span::from_secs(86_400),
            server_life: Span::from_secs(30 * 86_400),
            root_life: Span::from_secs(10 * 365 * 86_400),
            names: vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()],
            uri: NodeUri::default(),
        }
    }
}

#[cfg(feature = "tls")]
impl CertificateSettings {
    /// Checks the settings.
    ///
    /// # Errors
    /// The problem with its remedy.
    pub(super) fn check(&self) -> Result<(), String> {
        let Self { node_life, server_life, root_life, names, .. } = self;
        let lives = [("nodes", *node_life), ("the listener", *server_life)];
        for (whose, life) in lives {
            if life < SHORTEST {
                return Err(format!("certificates of {whose} must live for at least 10 minutes"));
            }
            if life.as_secs() > root_life.as_secs() / 3 {
                return Err(format!(
                    "certificates of {whose} may live for at most a third of the root's life, \
                     which ends them"
                ));
            }
        }
        if *root_life > LONGEST {
            return Err("a root may live for at most 100 years".to_owned());
        }
        if names.is_empty() {
            return Err("the listener's certificate needs a name or an IP address".to_owned());
        }
        match names.iter().find(|name| !is_name(name)) {
            Some(name) => Err(format!("{name:?} is neither a DNS name nor an IP address")),
            None => Ok(()),
        }
    }
}

/// Returns `true` if a certificate can name this host.
///
/// Available with the feature `tls`.
#[cfg(feature = "tls")]
#[must_use]
pub fn is_name(name: &str) -> bool {
    name.parse::<IpAddr>().is_ok() || DnsName::try_from(name).is_ok()
}

#[cfg(all(test, feature = "tls"))]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_fit_and_lives_that_outlive_their_root_do_not() {
        let settings = CertificateSettings::default();
        assert_eq!(settings.check(), Ok(()));
        let year = Span::from_secs(365 * 86_400);
        let wrong = [
            CertificateSettings { node_life: Span::from_secs(599), ..settings.clone() },
            CertificateSettings { node_life: year, root_life: year, ..settings.clone() },
            CertificateSettings { server_life: year, root_life: year, ..settings.clone() },
            CertificateSettings {
                root_life: Span::from_secs(101 * 365 * 86_400),
                ..settings.clone()
            },
            CertificateSettings { names: Vec::new(), ..settings.clone() },
            CertificateSettings { names: vec!["a b".to_owned()], ..settings },
        ];
        for settings in wrong {
            assert!(settings.check().is_err(), "{settings:?}");
        }
    }
}
