//! The endpoint of a companion's gateway: its URL, the check of plain connections, and the trusted
//! CAs.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use handfast_server::public_url::{ExtraHost, GatewayUrl};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use url::Url;

use super::file::StoredSession;
use crate::End;
use crate::args::CompanionArgs;
use crate::print::safe;

/// The endpoint of a gateway. All decisions are based on the parsed URL.
pub(super) struct Endpoint {
    pub(super) url: GatewayUrl,
    /// `Some` if and only if the gateway is reached over TLS.
    pub(super) tls: Option<Arc<ClientConfig>>,
}

impl Endpoint {
    /// Returns the endpoint of a session's gateway.
    pub(super) fn of(args: &CompanionArgs, kept: &StoredSession) -> Result<Self, End> {
        let hosts: Vec<&String> = args.allow_plain.iter().chain(&kept.plain_hosts).collect();
        Self::to(&kept.url, hosts.into_iter(), args.ca.as_deref().or(kept.ca.as_deref()))
    }

    /// Returns the endpoint at this address. A plain one that is not allowed is refused before
    /// anything is sent there.
    pub(super) fn to<'h>(
        url: &str,
        plain: impl Iterator<Item = &'h String>,
        ca: Option<&Path>,
    ) -> Result<Self, End> {
        let extra: Vec<ExtraHost> = plain.filter_map(|host| host.parse().ok()).collect();
        let url = GatewayUrl::parse(url, &extra).map_err(|why| {
            let why = why.to_string();
            // The library names keys of the gateway's configuration, which mean nothing to a
            // companion.
            let why = why.replace(
                "allow that host with --plain-host or setup.plain_hosts",
                "allow that host with --allow-plain HOST",
            );
            End::Refused(format!("the address of the gateway cannot be used: {}", safe(&why)))
        })?;
        let tls = url.is_secure().then(|| trusting(ca)).transpose()?;
        Ok(Self { url, tls })
    }

    /// Returns the URL of its companions' socket.
    pub(super) fn socket(&self) -> Url {
        self.url.pair_url()
    }

    /// Returns the host for lookups and connections, without the brackets of an IPv6 address.
    pub(super) fn host(&self) -> String {
        match self.url.host() {
            url::Host::Domain(name) => name.to_owned(),
            url::Host::Ipv4(ip) => ip.to_string(),
            url::Host::Ipv6(ip) => ip.to_string(),
        }
    }

    /// Returns the `Host` header, and the path of a route with the gateway's query. A prefix before
    /// `/pair` also stands before routes.
    pub(super) fn route(&self, path: &str) -> (String, String) {
        let socket = self.socket();
        let base = socket.path().strip_suffix("/pair").unwrap_or_default();
        let query = socket.query().map(|query| format!("?{query}")).unwrap_or_default();
        let port = socket.port().map(|port| format!(":{port}")).unwrap_or_default();
        (format!("{}{port}", socket.host_str().unwrap_or_default()), format!("{base}{path}{query}"))
    }
}

/// Trusts the system's certificates and those of `ca`.
fn trusting(ca: Option<&Path>) -> Result<Arc<ClientConfig>, End> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = ca {
        let unfit = |why: String| {
            End::Refused(format!(
                "the CA file {} {why}; it must hold at least one certificate in PEM form (-----BEGIN CERTIFICATE-----)",
                path.display()
            ))
        };
        for certificate in CertificateDer::pem_file_iter(path)
            .map_err(|error| unfit(format!("cannot be read ({error})")))?
        {
            let certificate = certificate.map_err(|error| unfit(format!("is no PEM ({error})")))?;
            roots.add(certificate).map_err(|error| {
                unfit(format!("holds a certificate that cannot be used ({error})"))
            })?;
        }
        if roots.is_empty() {
            return Err(unfit("holds no certificate".to_owned()));
        }
    }
    // Systems carry old certificates that rustls cannot parse; they count as absent.
    let (_, _) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(End::Refused(
            "this system has no trusted certificates; install the package ca-certificates, or name the gateway's CA with --ca FILE".to_owned(),
        ));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(End::refused)?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}

/// Returns an absolute path, for a file that is read from another directory later.
pub(super) fn full(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way(url: &str, plain: &[&str]) -> Result<Endpoint, End> {
        let plain: Vec<String> = plain.iter().map(|host| (*host).to_owned()).collect();
        Endpoint::to(url, plain.iter(), None)
    }

    #[test]
    fn a_plain_connection_goes_to_this_network_alone_unless_its_host_is_allowed() {
        for local in
            ["ws://127.0.0.1:8765", "http://192.168.1.10", "ws://[::1]:8080", "ws://pi.local"]
        {
            assert!(way(local, &[]).is_ok_and(|way| way.tls.is_none()), "{local}");
        }
        for far in [
            "ws://gateway.example",
            "ws://127.0.0.1:x@evil.example",
            "ws://evil.example#.local",
            "ws://evil.example\\@x.local",
            "ws://evil.example?x.local",
        ] {
            let Err(End::Refused(told)) = way(far, &[]) else { panic!("{far}") };
            assert!(told.contains("cannot be used"), "{told}");
        }
        let Err(End::Refused(told)) = way("ws://gateway.example", &[]) else { panic!("refused") };
        assert!(
            told.contains("--allow-plain HOST") && !told.contains("setup.plain_hosts"),
            "{told}"
        );
        assert!(way("ws://gateway.example", &["gateway.example"]).is_ok());
    }

    #[test]
    fn routes_are_found_where_the_socket_is() {
        for (url, socket, host, route) in [
            (
                "ws://127.0.0.1:8765",
                "ws://127.0.0.1:8765/pair",
                "127.0.0.1:8765",
                "/api/v1/session",
            ),
            (
                "http://[::1]:80/x/pair?t=1",
                "ws://[::1]/x/pair?t=1",
                "[::1]",
                "/x/api/v1/session?t=1",
            ),
            ("ws://pi.local/a/", "ws://pi.local/a/pair", "pi.local", "/a/api/v1/session"),
        ] {
            let way = way(url, &[]).unwrap_or_else(|_| panic!("{url}"));
            assert_eq!(way.socket().as_str(), socket);
            assert_eq!(way.route("/api/v1/session"), (host.to_owned(), route.to_owned()));
        }
    }
}
