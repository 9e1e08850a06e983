//! The certificate authority of the tests' gateway.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256,
};
use rustls::pki_types::{
    CertificateDer, CertificateSigningRequestDer, PrivateKeyDer, PrivatePkcs8KeyDer,
};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

/// An authority that signs whatever it is asked for.
pub(crate) struct Authority {
    keys: KeyPair,
    params: CertificateParams,
    pub(crate) root: CertificateDer<'static>,
    /// Number of certificates so far.
    pub(crate) issued: u64,
    /// Life of the next certificate in seconds.
    pub(crate) lasts: i64,
    /// `true` if the next certificate is one for another key than the requested one.
    pub(crate) mistakes_keys: bool,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let keys = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let root = params.self_signed(&keys).unwrap().der().clone();
        Self { keys, params, root, issued: 0, lasts: 3600, mistakes_keys: false }
    }

    /// Signs a request. Returns the certificate's number, and the certificate as it is sent.
    pub(crate) fn issue(&mut self, csr: &[u8]) -> (u64, Vec<u8>) {
        let csr = match self.mistakes_keys {
            true => {
                let other = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
                let params = CertificateParams::new(Vec::new()).unwrap();
                params.serialize_request(&other).unwrap().der().to_vec()
            }
            false => csr.to_vec(),
        };
        let csr = CertificateSigningRequestDer::from(csr);
        let mut request = CertificateSigningRequestParams::from_der(&csr).unwrap();
        request.params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let now = std::time::SystemTime::now();
        let lasts = std::time::Duration::from_secs(self.lasts.unsigned_abs());
        request.params.not_before = now.into();
        request.params.not_after = (now + lasts).into();
        let leaf = request.signed_by(&Issuer::from_params(&self.params, &self.keys)).unwrap();
        self.issued += 1;
        let framed = |der: &[u8]| [&u16::try_from(der.len()).unwrap().to_be_bytes(), der].concat();
        (self.issued, [framed(leaf.der()), framed(&self.root)].concat())
    }

    /// Accepts connections over TLS from nodes with a certificate of this authority.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        let (chain, key) = self.server();
        let mut roots = RootCertStore::empty();
        roots.add(self.root.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let roots = Arc::new(roots);
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider.clone());
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(chain, key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }

    /// Makes a certificate for a listener on this machine.
    fn server(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let keys = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let leaf = params.signed_by(&keys, &Issuer::from_params(&self.params, &self.keys)).unwrap();
        (vec![leaf.der().clone()], PrivatePkcs8KeyDer::from(keys.serialize_der()).into())
    }
}
