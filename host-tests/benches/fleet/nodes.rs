//! The nodes of a fleet: their keys and ids by number, and their certificates as files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use handfast_core::crypto::keys::OwnKeys;
use handfast_core::secret::Secret;
use handfast_core::{Entropy, NodeId, UnixTime};
use handfast_server::ca::{Authority, CertificateSettings};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, RootCertStore};

/// The key that seals the registry of a bench.
pub(crate) const STORE_KEY: [u8; 32] = [7; 32];

/// The directory of a fleet: a registry, a certificate authority, and what its nodes keep.
#[derive(Clone, Debug)]
pub(crate) struct Fleet {
    home: PathBuf,
}

impl Fleet {
    pub(crate) fn new() -> (tempfile::TempDir, Self) {
        let home = tempfile::tempdir().unwrap();
        let fleet = Self::at(home.path());
        std::fs::write(fleet.file("node.key"), KeyPair::generate().unwrap().serialize_der())
            .unwrap();
        (home, fleet)
    }

    pub(crate) fn at(home: impl AsRef<Path>) -> Self {
        Self { home: home.as_ref().to_owned() }
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.home.join(name)
    }

    /// Returns the settings of the authority that signs the nodes' certificates.
    pub(crate) fn certificates(&self) -> CertificateSettings {
        CertificateSettings { directory: Some(self.file("ca")), ..CertificateSettings::default() }
    }

    pub(crate) fn authority(&self) -> Authority {
        Authority::open(self.certificates(), &Secret::new(STORE_KEY), now()).unwrap()
    }

    /// Returns the key for TLS, which all nodes share: certificates are told apart by their serial
    /// numbers, and making thousands of keys is not what is measured.
    pub(crate) fn tls_key(&self) -> Vec<u8> {
        std::fs::read(self.file("node.key")).unwrap()
    }

    /// Returns a certificate request with the key for TLS.
    pub(crate) fn csr(&self) -> Vec<u8> {
        let key = KeyPair::try_from(self.tls_key()).unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.serialize_request(&key).unwrap().der().to_vec()
    }

    pub(crate) fn keep_certificate(&self, number: u32, certificate: &[u8]) {
        std::fs::write(self.file(&format!("{number}.der")), certificate).unwrap();
    }

    pub(crate) fn certificate(&self, number: u32) -> CertificateDer<'static> {
        std::fs::read(self.file(&format!("{number}.der"))).unwrap().into()
    }

    /// Returns the configuration of a node that trusts these roots, or the fleet's authority.
    pub(crate) fn client(&self, number: u32, trusted: Option<RootCertStore>) -> Arc<ClientConfig> {
        let roots = trusted.unwrap_or_else(|| self.roots());
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.tls_key()));
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![self.certificate(number)], key);
        Arc::new(config.unwrap())
    }

    pub(crate) fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        let pem = self.file("ca").join("roots.pem");
        roots.add_parsable_certificates(
            CertificateDer::pem_file_iter(pem).unwrap().map(Result::unwrap),
        );
        roots
    }
}

pub(crate) fn now() -> UnixTime {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    UnixTime::from_secs(since.as_secs())
}

pub(crate) fn chance<const N: usize>() -> Entropy<N> {
    Entropy::try_draw(&mut getrandom::SysRng).unwrap()
}

/// Returns the keys of the node with this number.
pub(crate) fn keys_of(number: u32) -> OwnKeys {
    let mut bytes = [9; 64];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    bytes[32..36].copy_from_slice(&number.to_be_bytes());
    OwnKeys::generate(&Entropy::from_recorded(bytes))
}

pub(crate) fn id_of(number: u32) -> NodeId {
    let mut bytes = [5; 16];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    NodeId::from_bytes(bytes)
}
