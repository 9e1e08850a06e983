//! Tests of the authority.

pub(crate) mod admitting;
mod browsers;
mod calendar;
mod files;
mod issuing;
mod shared;

use std::sync::Arc;

use handfast_core::secret::Secret;
use handfast_core::{NodeId, Span, UnixTime};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, ServerName};

use super::*;
use crate::ca::NodeUri;

const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);
const NODE: NodeId = NodeId::from_bytes([7; 16]);

fn store_key() -> Secret<32> {
    Secret::new([9; 32])
}

fn authority() -> Authority {
    Authority::open(CertificateSettings::default(), &store_key(), NOW).unwrap()
}

fn later(secs: u64) -> UnixTime {
    NOW.after(Span::from_secs(secs))
}

/// Returns a request that asks for nothing, with its key.
fn request(key: &KeyPair) -> Vec<u8> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.serialize_request(key).unwrap().der().to_vec()
}

fn requested(key: &KeyPair) -> RequestedKey {
    RequestedKey::from_csr(&request(key)).unwrap()
}

fn issue(authority: &Authority, now: UnixTime) -> IssuedCertificate {
    let key = KeyPair::generate().unwrap();
    authority.issue(NODE, &requested(&key), now).unwrap()
}

fn pki_time(now: UnixTime) -> rustls::pki_types::UnixTime {
    rustls::pki_types::UnixTime::since_unix_epoch(std::time::Duration::from_secs(now.as_secs()))
}

/// Checks the chain of a node's certificate, as the listener does.
fn accepts(
    authority: &Authority,
    certificate: &CertificateDer<'_>,
    now: UnixTime,
) -> Result<(), rustls::Error> {
    authority.verify_chain(certificate, now).map(|_| ())
}

/// Checks the listener's certificate, as a node with these roots does.
fn node_accepts(
    roots: &[CertificateDer<'static>],
    server: &CertificateDer<'_>,
    name: &str,
    now: UnixTime,
) -> Result<(), rustls::Error> {
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(roots.iter().cloned());
    let provider = Arc::new(default_provider());
    let verifier =
        WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider).build().unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    verifier.verify_server_cert(server, &[], &name, &[], pki_time(now)).map(|_| ())
}
