//! Where the NATS servers are, and how they are reached.

use std::net::IpAddr;
use std::sync::Arc;

use async_nats::{ConnectOptions, ServerAddr};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use url::Url;
use zeroize::Zeroizing;

use super::BusSettings;

/// The most servers of an address.
const MOST: usize = 16;
const FORM: &str = "write it as nats://NATS-SERVER:4222, tls://USER:PASSWORD@NATS-SERVER:4222, or \
                    several with commas between them";

/// The address of one or several NATS servers that belong together. It may hold a password or a
/// token, which is in no output.
#[derive(Clone, PartialEq, Eq)]
pub struct BusAddress {
    servers: Vec<Url>,
    login: Option<(Zeroizing<String>, Option<Zeroizing<String>>)>,
}

impl BusAddress {
    /// Parses an address: URLs with the schemes `nats` and `tls`, with commas between them. The
    /// first one that has a login says it for all. A server that is not on loopback is reached over
    /// TLS, whatever the scheme.
    ///
    /// # Errors
    /// The requirement that it does not meet, without the address.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (mut servers, mut login) = (Vec::new(), None);
        for part in text.split(',') {
            let mut url = Url::parse(part.trim())
                .map_err(|error| format!("it is no address of a NATS server: {error}; {FORM}"))?;
            if !matches!(url.scheme(), "nats" | "tls")
                || url.host_str().is_none_or(str::is_empty)
                || !matches!(url.path(), "" | "/")
                || url.query().is_some()
                || url.fragment().is_some()
            {
                return Err(format!("it is no address of a NATS server; {FORM}"));
            }
            let plain = |text: &str| {
                let decoded = url::form_urlencoded::parse(text.replace('+', "%2B").as_bytes())
                    .map(|(key, _)| key.into_owned())
                    .next();
                Zeroizing::new(decoded.unwrap_or_default())
            };
            if login.is_none() && !url.username().is_empty() {
                login = Some((plain(url.username()), url.password().map(plain)));
            }
            if url.set_username("").is_err() || url.set_password(None).is_err() {
                return Err(format!("it is no address of a NATS server; {FORM}"));
            }
            servers.push(url);
        }
        if servers.len() > MOST {
            return Err(format!("it has more than {MOST} servers"));
        }
        Ok(Self { servers, login })
    }

    /// Returns `true` if the way to every server stays in this machine.
    fn is_near(&self) -> bool {
        self.servers.iter().all(|url| {
            let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
            host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
        })
    }
}

impl std::fmt::Debug for BusAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let servers = self.servers.iter().map(Url::as_str);
        f.debug_list().entries(servers).finish()
    }
}

impl BusSettings {
    /// Checks what can be checked before a connection.
    ///
    /// # Errors
    /// The requirement that the settings do not meet.
    pub fn check(&self) -> Result<(), String> {
        self.tls().map(drop)
    }

    /// Returns the servers, and the options of the connection.
    pub(super) fn options(&self) -> Result<(Vec<ServerAddr>, ConnectOptions), String> {
        let servers = self.address.servers.iter().map(|url| ServerAddr::from_url(url.clone()));
        let servers = servers.collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())?;
        let options = match &self.address.login {
            Some((user, Some(password))) => {
                ConnectOptions::with_user_and_password(user.to_string(), password.to_string())
            }
            Some((token, None)) => ConnectOptions::with_token(token.to_string()),
            None => ConnectOptions::new(),
        };
        let options = match self.tls()? {
            Some(tls) => options.tls_client_config(tls).require_tls(!self.address.is_near()),
            None => options,
        };
        Ok((servers, options))
    }

    /// Returns the TLS settings; `None` where no server is reached over TLS.
    fn tls(&self) -> Result<Option<ClientConfig>, String> {
        let asks = self.address.servers.iter().any(|url| url.scheme() == "tls");
        if !asks && self.address.is_near() && self.authorities.is_none() {
            return Ok(None);
        }
        let mut roots = RootCertStore::empty();
        match &self.authorities {
            Some(pem) => {
                for certificate in CertificateDer::pem_slice_iter(pem) {
                    let certificate = certificate.map_err(|error| error.to_string())?;
                    roots.add(certificate).map_err(|error| error.to_string())?;
                }
            }
            None => {
                // Single files that cannot be read are not fatal; having none at all is.
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        if roots.is_empty() {
            return Err("there is no authority to check the NATS server's certificate with; \
                        install ca-certificates, or name the authority"
                .to_owned());
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let settings = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("TLS cannot be set up: {error}"))?;
        Ok(Some(settings.with_root_certificates(roots).with_no_client_auth()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_one_server_or_several_and_shows_no_login() {
        for (text, login) in [
            ("nats://127.0.0.1:4222", None),
            ("tls://u:ge%3Aheim@nats.example", Some(("u", Some("ge:heim")))),
            ("nats://token@a:1, nats://b:2", Some(("token", None))),
        ] {
            let address = BusAddress::parse(text).unwrap();
            let found = address.login.as_ref();
            let found =
                found.map(|(user, pass)| (user.as_str(), pass.as_ref().map(|it| it.as_str())));
            assert_eq!(found, login, "{text}");
            let shown = format!("{address:?}");
            assert!(!shown.contains("heim") && !shown.contains("token"), "{shown}");
        }
        for wrong in ["", "127.0.0.1", "http://a", "nats://", "nats://a/x", "nats://a,", "ws://a"] {
            let error = BusAddress::parse(wrong).unwrap_err();
            assert!(error.contains("nats://NATS-SERVER:4222"), "{wrong}: {error}");
        }
    }

    #[test]
    fn only_loopback_does_without_tls() {
        let near = |text| BusAddress::parse(text).unwrap().is_near();
        assert!(near("nats://127.0.0.1:4222") && near("nats://[::1]") && near("nats://localhost"));
        assert!(!near("nats://192.0.2.1") && !near("nats://localhost,nats://nats.example"));
    }
}
