//! The address of a database, and whether the way to it needs TLS.

use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::StoreError;

/// Maximum time that a connection takes to open.
pub(super) const CONNECT: Duration = Duration::from_secs(5);
/// Time for which a change or a read waits for its turn, unless another one is set.
const PATIENCE: Duration = Duration::from_secs(5);
/// Time without a sign of life after which the kernel gives a connection up.
const SILENT: Duration = Duration::from_secs(10);

/// Address of a PostgreSQL database, with the credentials for it.
///
/// On loopback and over a Unix socket the connection is plain. To any other address it is TLS, and
/// the server's certificate is checked for the host's name.
#[derive(Clone)]
pub struct PostgresAddress {
    config: Config,
    roots: Option<RootCertStore>,
    gateway: String,
    patience: Duration,
}

impl PostgresAddress {
    /// Parses an address: `postgres://USER:PASSWORD@HOST:PORT/DATABASE`, or
    /// `host=/run/postgresql user=handfast dbname=handfast` for a Unix socket.
    ///
    /// # Errors
    /// [`StoreError::Refused`] if it is none, names no host, or asks for a connection without TLS
    /// to another machine.
    pub fn parse(text: &str) -> Result<Self, StoreError> {
        // The parser's errors never repeat the address, which may have a password.
        let mut config = Config::from_str(text).map_err(|error| {
            StoreError::Refused(format!(
                "the database's address cannot be read ({error}); write postgres://USER:PASSWORD@HOST:PORT/DATABASE"
            ))
        })?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(StoreError::Refused(
                "the database's address names no host; write postgres://USER:PASSWORD@HOST:PORT/DATABASE".to_owned(),
            ));
        }
        if is_near(&config) {
            // Its default would try TLS first, and go on without it.
            if config.get_ssl_mode() != SslMode::Require {
                config.ssl_mode(SslMode::Disable);
            }
        } else if config.get_ssl_mode() == SslMode::Disable {
            return Err(StoreError::Refused(
                "sslmode=disable is for loopback and Unix sockets only: the registry would cross the network in the open; leave it out".to_owned(),
            ));
        } else {
            config.ssl_mode(SslMode::Require);
        }
        config
            .connect_timeout(CONNECT)
            .tcp_user_timeout(SILENT)
            .keepalives_idle(SILENT)
            .application_name("handfast");
        Ok(Self { config, roots: None, gateway: String::new(), patience: PATIENCE })
    }

    /// Accepts only server certificates below these, instead of the system's authorities.
    ///
    /// # Errors
    /// [`StoreError::Refused`] if these are no certificates in PEM.
    pub fn with_authorities(mut self, pem: &[u8]) -> Result<Self, StoreError> {
        let refused = |problem: String| {
            StoreError::Refused(format!(
                "the database's certificate authorities cannot be read: {problem}"
            ))
        };
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|error| refused(error.to_string()))?;
            roots.add(certificate).map_err(|error| refused(error.to_string()))?;
        }
        if roots.is_empty() {
            return Err(refused("there is no certificate in PEM".to_owned()));
        }
        self.roots = Some(roots);
        Ok(self)
    }

    /// Sets the name by which the log of changes calls this gateway.
    ///
    /// # Errors
    /// [`StoreError::Refused`] unless it is 1 to 64 ASCII letters, digits, `.`, `-` and `_`.
    pub fn with_gateway(mut self, name: &str) -> Result<Self, StoreError> {
        let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        if !(1..=64).contains(&name.len()) || !name.bytes().all(is_fine) {
            return Err(StoreError::Refused(format!(
                "{name:?} is no name of a gateway; write 1 to 64 ASCII letters, digits, '.', '-' and '_'"
            )));
        }
        name.clone_into(&mut self.gateway);
        Ok(self)
    }

    /// Sets the time for which a change or a read waits for its turn, instead of 5 seconds. After it
    /// the caller learns that nothing was done ([`StoreError::Timeout`]), instead of waiting on.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    pub(super) const fn patience(&self) -> Duration {
        self.patience
    }

    pub(super) fn gateway(&self) -> &str {
        &self.gateway
    }

    pub(super) const fn config(&self) -> &Config {
        &self.config
    }

    /// Returns the TLS settings. They are not used where the connection is plain.
    pub(super) fn tls(&self) -> Result<MakeRustlsConnect, StoreError> {
        let mut roots = RootCertStore::empty();
        match &self.roots {
            Some(own) => roots = own.clone(),
            // Reading the system's takes milliseconds, which a plain connection need not wait for.
            None if self.config.get_ssl_mode() == SslMode::Disable => {}
            None => {
                // Single files that cannot be read are not fatal; having none at all is.
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
                if roots.is_empty() {
                    return Err(StoreError::Refused(
                        "this system has no certificate authorities to check the database's certificate with; install ca-certificates, or name the authority"
                            .to_owned(),
                    ));
                }
            }
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let settings = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| StoreError::Refused(format!("TLS cannot be set up: {error}")))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(MakeRustlsConnect::new(settings))
    }
}

impl std::fmt::Debug for PostgresAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The configuration has a password.
        f.debug_struct("PostgresAddress")
            .field("hosts", &self.config.get_hosts())
            .finish_non_exhaustive()
    }
}

/// Returns `true` if the way to every host of the address stays in this machine.
fn is_near(config: &Config) -> bool {
    // Where an IP address is given, the name only says whose certificate is expected.
    if !config.get_hostaddrs().is_empty() {
        return config.get_hostaddrs().iter().all(IpAddr::is_loopback);
    }
    config.get_hosts().iter().all(|host| match host {
        Host::Tcp(name) => {
            name == "localhost"
                || name.trim_matches(['[', ']']).parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
        }
        Host::Unix(_) => true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(text: &str) -> SslMode {
        PostgresAddress::parse(text).unwrap().config.get_ssl_mode()
    }

    #[test]
    fn only_loopback_and_unix_sockets_do_without_tls() {
        for near in [
            "postgres://handfast@127.0.0.1/handfast",
            "postgres://handfast@[::1]:5433/handfast",
            "postgres://handfast@localhost/handfast?sslmode=prefer",
            "host=/run/postgresql user=handfast",
            "postgres://handfast@%2Frun%2Fpostgresql/handfast",
        ] {
            assert_eq!(mode(near), SslMode::Disable, "{near}");
        }
        for far in [
            "postgres://handfast@db.example/handfast",
            "postgres://handfast@192.0.2.7/handfast?sslmode=prefer",
            "postgres://handfast@127.0.0.1,192.0.2.7/handfast",
            "host=localhost hostaddr=192.0.2.7 user=handfast",
            "postgres://handfast@localhost/handfast?sslmode=require",
        ] {
            assert_eq!(mode(far), SslMode::Require, "{far}");
        }
    }

    #[test]
    fn a_way_in_the_open_to_another_machine_is_refused_with_words() {
        let far = "postgres://handfast:geheim@db.example/handfast?sslmode=disable";
        let error = PostgresAddress::parse(far).unwrap_err().to_string();
        assert!(error.contains("sslmode=disable is for loopback and Unix sockets only"), "{error}");
        for none in ["postgres://", "", "dbname=handfast", "nonsense"] {
            let error = PostgresAddress::parse(none).unwrap_err().to_string();
            assert!(error.contains("postgres://USER:PASSWORD@HOST:PORT/DATABASE"), "{error}");
        }
    }

    #[test]
    fn a_password_is_in_no_debug_output() {
        let address = PostgresAddress::parse("postgres://handfast:geheim@localhost/x").unwrap();
        assert!(!format!("{address:?}").contains("geheim"));
    }
}
