//! The node's certificate for mutual TLS. The node makes the key, so the gateway never sees it.
//!
//! ```text
//! begin ─▶ pending key ──(stored)──▶ request sent ─▶ receive ─▶ fresh ──(stored)──▶ confirmed
//!                                                                 │ a link with it worked
//!                                                                 ▼
//!                                                              current
//! ```
//! The current certificate stays until a link with the fresh one has worked.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use handfast_core::UnixTime;
use handfast_core::crypto::sha256;
use handfast_core::flow::identity::certificate::renews_at;
use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use serde::{Deserialize, Serialize};
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::{Zeroize, Zeroizing};

/// Format version of the file. A program that finds a higher one leaves the file alone.
const VERSION: u32 = 1;

/// The certificates of a node, as they are stored.
#[derive(Clone, Debug, Default)]
pub(super) struct CertificateStore {
    /// The key of a request that is under way.
    pending: Option<PrivateKey>,
    /// A certificate that no link has used yet.
    fresh: Option<NodeCertificate>,
    /// The certificate of the latest link that worked.
    current: Option<NodeCertificate>,
}

/// A certificate with its key.
#[derive(Clone, Debug)]
pub(super) struct NodeCertificate {
    key: PrivateKey,
    pub(super) leaf: CertificateDer<'static>,
    /// The roots that the gateway's listener is verified with.
    pub(super) issuers: Vec<CertificateDer<'static>>,
    pub(super) facts: CertificateFacts,
}

/// The terms of a node's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFacts {
    /// The serial number as hex digits.
    pub serial: String,
    /// Start of validity.
    pub not_before: UnixTime,
    /// End of validity.
    pub not_after: UnixTime,
    /// SHA-256 of the certificate as hex digits, by which an operator may name it.
    pub fingerprint: String,
}

/// A private key as PKCS #8, wiped on drop.
#[derive(Clone)]
struct PrivateKey(Zeroizing<Vec<u8>>);

impl std::fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PrivateKey(redacted)")
    }
}

/// The reason for which what came is not the node's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotOurs {
    /// The node has no request under way.
    #[error("this node has asked for none")]
    NotAsked,
    /// The bytes are not a list of certificates.
    #[error("it is no certificate")]
    Malformed,
    /// The certificate belongs to another key than the one of the request.
    #[error("it belongs to another key")]
    OtherKey,
    /// The certificate comes without a root, so the gateway could not be verified.
    #[error("no root came with it")]
    NoRoot,
}

impl CertificateFacts {
    fn read(der: &[u8]) -> Option<(Self, Vec<u8>)> {
        let (rest, certificate) = X509Certificate::from_der(der).ok()?;
        // Bytes behind the certificate would count in its fingerprint, and nobody has signed them.
        if !rest.is_empty() {
            return None;
        }
        // A time before 1970 has passed, as 1970 has.
        let time = |seconds: i64| UnixTime::from_secs(u64::try_from(seconds).unwrap_or_default());
        let validity = certificate.validity();
        let facts = Self {
            serial: hex(certificate.raw_serial()),
            not_before: time(validity.not_before.timestamp()),
            not_after: time(validity.not_after.timestamp()),
            fingerprint: hex(&sha256::hash([der, &[]])),
        };
        Some((facts, certificate.public_key().raw.to_vec()))
    }

    /// Returns `true` if a gateway would accept the certificate at this time.
    #[must_use]
    pub fn is_valid(&self, now: UnixTime) -> bool {
        self.not_before <= now && now < self.not_after
    }

    /// Returns the time for the renewal: two thirds of the certificate's life.
    #[must_use]
    pub fn renew_at(&self) -> UnixTime {
        renews_at(self.not_before, self.not_after)
    }
}

impl CertificateStore {
    /// Returns a request for a certificate, as DER. A request that is repeated has the same key, so
    /// an answer to the earlier one is not lost. The caller stores this value before it sends the
    /// request.
    ///
    /// # Errors
    /// [`rcgen::Error`] if no key can be made.
    pub(super) fn begin(&mut self) -> Result<Vec<u8>, rcgen::Error> {
        let keys = match &self.pending {
            Some(key) => key.pair()?,
            None => {
                let keys = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
                self.pending = Some(PrivateKey(Zeroizing::new(keys.serialize_der())));
                keys
            }
        };
        let mut params = CertificateParams::new(Vec::new())?;
        // The gateway takes nothing but the key.
        params.distinguished_name = DistinguishedName::new();
        Ok(params.serialize_request(&keys)?.der().to_vec())
    }

    /// Takes the certificate of the request that is under way: the leaf and then the roots, each
    /// behind its length in two bytes, the higher first. The caller stores this value before it
    /// confirms the certificate.
    ///
    /// # Errors
    /// [`NotOurs`] with the cause; nothing has changed then.
    pub(super) fn receive(&mut self, object: &[u8]) -> Result<CertificateFacts, NotOurs> {
        // The request stays until its answer is verified, so that a wrong one changes nothing.
        let key = self.pending.clone().ok_or(NotOurs::NotAsked)?;
        let mut listed = list(object).ok_or(NotOurs::Malformed)?.into_iter();
        let leaf = listed.next().ok_or(NotOurs::Malformed)?;
        let issuers: Vec<_> = listed.collect();
        let (facts, public) = CertificateFacts::read(&leaf).ok_or(NotOurs::Malformed)?;
        let own = key.pair().map_err(|_| NotOurs::OtherKey)?.subject_public_key_info();
        if own != public {
            return Err(NotOurs::OtherKey);
        }
        if issuers.is_empty() {
            return Err(NotOurs::NoRoot);
        }
        self.pending = None;
        self.fresh = Some(NodeCertificate { key, leaf, issuers, facts: facts.clone() });
        Ok(facts)
    }

    /// Records that a link with this certificate worked. Returns `true` if that changed anything.
    pub(super) fn worked(&mut self, serial: &str) -> bool {
        match self.fresh.take() {
            Some(fresh) if fresh.facts.serial == serial => {
                self.current = Some(fresh);
                true
            }
            // A link with the current certificate says nothing about the fresh one.
            other => {
                self.fresh = other;
                false
            }
        }
    }

    /// Returns `true` if the node has asked for a certificate, or has one.
    pub(super) fn is_wanted(&self) -> bool {
        self.pending.is_some() || self.newest().is_some()
    }

    /// Drops the certificates of a pairing that was forgotten. The key of the next request stays,
    /// because no gateway knows it. Returns `true` if that changed anything.
    pub(super) fn forget(&mut self) -> bool {
        let had = self.newest().is_some();
        (self.fresh, self.current) = (None, None);
        had
    }

    /// Returns the certificates to link with at this time, the fresh one first.
    pub(super) fn usable(&self, now: UnixTime) -> impl Iterator<Item = &NodeCertificate> {
        self.all().filter(move |certificate| certificate.facts.is_valid(now))
    }

    /// Returns the terms of the newest certificate, valid or not.
    pub(super) fn newest(&self) -> Option<&CertificateFacts> {
        self.all().next().map(|certificate| &certificate.facts)
    }

    fn all(&self) -> impl Iterator<Item = &NodeCertificate> {
        self.fresh.iter().chain(&self.current)
    }
}

impl NodeCertificate {
    /// Returns the key for a TLS configuration.
    pub(super) fn key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.0.to_vec()).into()
    }
}

impl PrivateKey {
    fn pair(&self) -> Result<KeyPair, rcgen::Error> {
        let der = PrivatePkcs8KeyDer::from(self.0.as_slice());
        KeyPair::from_pkcs8_der_and_sign_algo(&der, &PKCS_ECDSA_P256_SHA256)
    }
}

/// Parses a list of certificates, each behind its length in two bytes.
fn list(mut object: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let mut listed = Vec::new();
    while let Some((length, rest)) = object.split_first_chunk() {
        let (der, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        listed.push(CertificateDer::from(der.to_vec()));
        object = rest;
    }
    // Bytes that are left over belong to no certificate.
    (object.is_empty() && !listed.is_empty()).then_some(listed)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredCertificates {
    version: u32,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pending_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    fresh: Option<StoredCertificate>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    current: Option<StoredCertificate>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredCertificate {
    key: String,
    leaf: String,
    issuers: Vec<String>,
}

impl Drop for StoredCertificates {
    fn drop(&mut self) {
        self.pending_key.zeroize();
    }
}

impl Drop for StoredCertificate {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

/// Encodes the certificates of a node.
pub(super) fn write(store: &CertificateStore) -> Zeroizing<Vec<u8>> {
    let of = |certificate: &NodeCertificate| StoredCertificate {
        key: STANDARD.encode(&*certificate.key.0),
        leaf: STANDARD.encode(&certificate.leaf),
        issuers: certificate.issuers.iter().map(|issuer| STANDARD.encode(issuer)).collect(),
    };
    let stored = StoredCertificates {
        version: VERSION,
        pending_key: store.pending.as_ref().map(|key| STANDARD.encode(&*key.0)),
        fresh: store.fresh.as_ref().map(of),
        current: store.current.as_ref().map(of),
    };
    super::record::written(&stored)
}

/// Parses the certificates of a node. The error never contains any part of the file.
pub(super) fn read(bytes: &[u8]) -> Result<CertificateStore, String> {
    let mut stored: StoredCertificates =
        serde_json::from_slice(bytes).map_err(crate::state::place)?;
    // A later version may hold more, which writing the file back would lose.
    if stored.version != VERSION {
        let found = stored.version;
        return Err(format!("it has version {found}, and this program reads version {VERSION}"));
    }
    let decoded = |text: &str| STANDARD.decode(text).map_err(|_| "a part of it is no base64");
    let key = |text: &str| decoded(text).map(|der| PrivateKey(Zeroizing::new(der)));
    let certificate = |stored: StoredCertificate| -> Result<NodeCertificate, String> {
        let leaf = decoded(&stored.leaf)?;
        let (facts, _) = CertificateFacts::read(&leaf).ok_or("a certificate in it is none")?;
        let issuers = stored.issuers.iter().map(|issuer| decoded(issuer).map(CertificateDer::from));
        Ok(NodeCertificate {
            key: key(&stored.key)?,
            leaf: leaf.into(),
            issuers: issuers.collect::<Result<_, _>>()?,
            facts,
        })
    };
    // The fields are taken one by one, because the type wipes what is left of it when it is dropped.
    Ok(CertificateStore {
        pending: stored.pending_key.as_deref().map(key).transpose()?,
        fresh: stored.fresh.take().map(certificate).transpose()?,
        current: stored.current.take().map(certificate).transpose()?,
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use rcgen::{
        BasicConstraints, CertificateSigningRequestParams, ExtendedKeyUsagePurpose, IsCa, Issuer,
    };
    use rustls::pki_types::CertificateSigningRequestDer;

    /// An authority as a gateway has one.
    pub(in crate::native) struct Authority {
        keys: KeyPair,
        params: CertificateParams,
        root: CertificateDer<'static>,
    }

    impl Authority {
        pub(in crate::native) fn new() -> Self {
            let keys = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
            let mut params = CertificateParams::new(Vec::new()).unwrap();
            params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
            let root = params.self_signed(&keys).unwrap().der().clone();
            Self { keys, params, root }
        }

        /// Signs a request, and returns the certificate as it is sent.
        pub(in crate::native) fn issue(&self, csr: &[u8]) -> Vec<u8> {
            let csr = CertificateSigningRequestDer::from(csr.to_vec());
            let mut request = CertificateSigningRequestParams::from_der(&csr).unwrap();
            request.params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            let leaf = request.signed_by(&Issuer::from_params(&self.params, &self.keys)).unwrap();
            [leaf.der(), &self.root]
                .iter()
                .flat_map(|der| {
                    [&u16::try_from(der.len()).unwrap().to_be_bytes(), &***der].concat()
                })
                .collect()
        }

        /// Makes a certificate for a listener with this name.
        pub(in crate::native) fn server(
            &self,
            name: &str,
        ) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>, CertificateDer<'static>)
        {
            let keys = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
            let mut params = CertificateParams::new([name.to_owned()]).unwrap();
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            let issuer = Issuer::from_params(&self.params, &self.keys);
            let leaf = params.signed_by(&keys, &issuer).unwrap();
            let key = PrivatePkcs8KeyDer::from(keys.serialize_der());
            (vec![leaf.der().clone()], key.into(), self.root.clone())
        }
    }

    fn issued(csr: &[u8]) -> Vec<u8> {
        Authority::new().issue(csr)
    }

    #[test]
    fn a_certificate_is_the_one_of_the_request_and_the_old_one_stays_until_the_new_one_worked() {
        let mut store = CertificateStore::default();
        assert_eq!(
            store.receive(&issued(&CertificateStore::default().begin().unwrap())),
            Err(NotOurs::NotAsked)
        );
        let first = issued(&store.begin().unwrap());
        let other = issued(&CertificateStore::default().begin().unwrap());
        assert_eq!(store.receive(&other), Err(NotOurs::OtherKey));
        let first = store.receive(&first).unwrap();
        assert!(!store.worked("00") && store.worked(&first.serial));
        let second = issued(&store.begin().unwrap());
        let second = store.receive(&second).unwrap();
        let serials = |store: &CertificateStore| {
            let now = crate::clock::unix_now();
            store.usable(now).map(|found| found.facts.serial.clone()).collect::<Vec<_>>()
        };
        assert_eq!(serials(&store), [second.serial.clone(), first.serial]);
        assert!(store.worked(&second.serial) && !store.worked(&second.serial));
        assert_eq!(serials(&store), [second.serial]);
    }

    #[test]
    fn a_repeated_request_has_the_same_key_and_every_stage_reads_back() {
        let mut store = CertificateStore::default();
        let csr = store.begin().unwrap();
        let mut again = read(&write(&store)).unwrap();
        again.begin().unwrap();
        let facts = again.receive(&issued(&csr)).unwrap();
        let mut again = read(&write(&again)).unwrap();
        assert_eq!(again.newest(), Some(&facts));
        assert!(again.worked(&facts.serial));
        let again = read(&write(&again)).unwrap();
        assert_eq!(again.newest(), Some(&facts));
        let key = again.all().next().unwrap().key();
        assert!(rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).is_ok());
    }

    #[test]
    fn what_is_cut_off_or_has_no_root_is_not_taken() {
        let mut store = CertificateStore::default();
        let whole = issued(&store.begin().unwrap());
        let leaf = 2 + usize::from(u16::from_be_bytes([whole[0], whole[1]]));
        for end in (0..whole.len()).filter(|end| *end != leaf) {
            assert_eq!(store.receive(&whole[..end]), Err(NotOurs::Malformed), "{end} bytes");
        }
        assert_eq!(store.receive(&whole[..leaf]), Err(NotOurs::NoRoot));
        assert!(store.receive(&whole).is_ok(), "nothing had changed");
    }

    #[test]
    fn a_damaged_file_is_told_without_its_keys() {
        let mut store = CertificateStore::default();
        store.begin().unwrap();
        let text = String::from_utf8(write(&store).to_vec()).unwrap();
        let key = text.split('"').nth(5).unwrap().to_owned();
        for wrong in [text.replace(&key, "%"), text.replace("\"version\": 1", "\"version\": 2")] {
            let error = read(wrong.as_bytes()).unwrap_err();
            assert!(!error.contains(&key[..8]), "{error}");
        }
    }
}
