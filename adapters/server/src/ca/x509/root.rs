//! One root certificate with its key, and what it signs.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use handfast_core::grant::certificate::Serial;
use handfast_core::secret::{Secret, exposed};
use handfast_core::{NodeId, Span, UnixTime};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyUsagePurpose, PublicKeyData,
    RevocationReason, RevokedCertParams, SanType, SerialNumber, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use serde::{Deserialize, Serialize};

use super::CertificateSettings;
use super::key::EcKey;
use crate::{entropy, hex};

/// Time by which the beginning of a certificate is set back, for clocks that run behind.
const BACK: i64 = 300;
/// The last second of the year 9999, the latest time that a certificate can name.
const LATEST: u64 = 253_402_300_799;
/// Time until the next revocation list, for readers of the list.
pub(super) const LIST_LIVES: Span = Span::from_secs(86_400);

/// A root of the authority. Clones share the key.
#[derive(Clone, Debug)]
pub(super) struct Root {
    pub(super) certificate: CertificateDer<'static>,
    issuer: Arc<Issuer<'static, EcKey>>,
    pub(super) not_before: UnixTime,
    pub(super) not_after: UnixTime,
    /// The longest lifetime of a node's certificate that this root has signed.
    pub(super) longest_leaf: Span,
    /// The time at which the last certificate of this root has ended; `None` for the newest root.
    pub(super) retires_at: Option<UnixTime>,
}

impl PartialEq for Root {
    fn eq(&self, other: &Self) -> bool {
        // Equal certificates have equal keys.
        (&self.certificate, self.longest_leaf, self.retires_at)
            == (&other.certificate, other.longest_leaf, other.retires_at)
    }
}

/// A root as the sealed file holds it.
#[derive(Serialize, Deserialize)]
pub(super) struct RootRecord {
    certificate: Vec<u8>,
    #[serde(with = "exposed")]
    key: Secret<32>,
    not_before: UnixTime,
    not_after: UnixTime,
    longest_leaf: u64,
    retires_at: Option<UnixTime>,
}

/// A root's record that does not fit together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotARoot;

/// The times between which a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first second.
    pub not_before: UnixTime,
    /// The last second.
    pub not_after: UnixTime,
}

impl Root {
    /// Makes a root that signs itself.
    pub(super) fn make(
        settings: &CertificateSettings,
        now: UnixTime,
    ) -> Result<Self, rcgen::Error> {
        let key = EcKey::generate();
        let serial = Serial::new(&entropy::draw());
        let validity =
            Validity { not_before: now.moved(-BACK), not_after: now.after(settings.root_life) };
        let mut params = params(&serial, validity);
        // Each root has a name of its own, by which a verifier tells them apart.
        let (own, _) = serial.as_bytes().split_at(8);
        params.distinguished_name = named(format!("Handfast CA {}", hex::hex(own)));
        // It signs leaves alone.
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key)?.into();
        let issuer = Arc::new(Issuer::from_ca_cert_der(&certificate, key)?);
        let Validity { not_before, not_after } = validity;
        let longest_leaf = settings.node_life;
        Ok(Self { certificate, issuer, not_before, not_after, longest_leaf, retires_at: None })
    }

    pub(super) fn from_record(record: RootRecord) -> Result<Self, NotARoot> {
        let RootRecord { certificate, key, not_before, not_after, longest_leaf, retires_at } =
            record;
        let key = EcKey::from_number(key).ok_or(NotARoot)?;
        let certificate = CertificateDer::from(certificate);
        let issuer = Issuer::from_ca_cert_der(&certificate, key).map_err(|_| NotARoot)?;
        let longest_leaf = Span::from_secs(longest_leaf);
        Ok(Self {
            certificate,
            issuer: Arc::new(issuer),
            not_before,
            not_after,
            longest_leaf,
            retires_at,
        })
    }

    pub(super) fn to_record(&self) -> RootRecord {
        RootRecord {
            certificate: self.certificate.to_vec(),
            key: Secret::new(*self.issuer.key().number().expose()),
            not_before: self.not_before,
            not_after: self.not_after,
            longest_leaf: self.longest_leaf.as_secs(),
            retires_at: self.retires_at,
        }
    }

    #[cfg(test)]
    pub(super) fn number(&self) -> [u8; 32] {
        *self.issuer.key().number().expose()
    }

    /// Returns `true` if no certificate of this root is valid any more.
    pub(super) fn is_retired(&self, now: UnixTime) -> bool {
        self.retires_at.is_some_and(|at| at <= now)
    }

    /// Returns `true` if a new root is due: two thirds of this one's life are over, or it was made
    /// under a clock that was ahead.
    pub(super) fn is_due(&self, now: UnixTime) -> bool {
        let life = u64::try_from(self.not_before.until(self.not_after)).unwrap_or(0);
        now < self.not_before || self.not_before.after(Span::from_secs(life / 3 * 2)) <= now
    }

    /// Returns the validity of a leaf with this lifetime. It ends no later than its root.
    pub(super) fn validity(&self, life: Span, now: UnixTime) -> Validity {
        let not_after = now.after(life).min(self.not_after);
        Validity { not_before: now.moved(-BACK), not_after }
    }

    /// Signs a node's certificate. All that it says comes from the gateway.
    pub(super) fn sign_node(
        &self,
        node_id: NodeId,
        uri: String,
        key: &impl PublicKeyData,
        serial: &Serial,
        validity: Validity,
    ) -> Result<CertificateDer<'static>, rcgen::Error> {
        let names = vec![SanType::URI(uri.try_into()?)];
        let name = named(node_id.to_string());
        self.sign_leaf(name, names, ExtendedKeyUsagePurpose::ClientAuth, key, serial, validity)
    }

    /// Signs the certificate of the gateway's listener.
    pub(super) fn sign_server(
        &self,
        names: &[String],
        key: &EcKey,
        validity: Validity,
    ) -> Result<CertificateDer<'static>, rcgen::Error> {
        let read = |name: &String| match name.parse::<IpAddr>() {
            // A client compares an address with entries for addresses alone.
            Ok(address) => Ok(SanType::IpAddress(address)),
            Err(_) => Ok::<_, rcgen::Error>(SanType::DnsName(name.as_str().try_into()?)),
        };
        let names = names.iter().map(read).collect::<Result<_, _>>()?;
        let name = named("Handfast gateway".to_owned());
        let usage = ExtendedKeyUsagePurpose::ServerAuth;
        self.sign_leaf(name, names, usage, key, &Serial::new(&entropy::draw()), validity)
    }

    fn sign_leaf(
        &self,
        subject: DistinguishedName,
        names: Vec<SanType>,
        usage: ExtendedKeyUsagePurpose,
        key: &impl PublicKeyData,
        serial: &Serial,
        validity: Validity,
    ) -> Result<CertificateDer<'static>, rcgen::Error> {
        let mut params = params(serial, validity);
        params.distinguished_name = subject;
        params.subject_alt_names = names;
        // It is said expressly, so that no verifier takes a leaf for an issuer.
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        // The identifier tells a verifier which of several roots has signed.
        params.use_authority_key_identifier_extension = true;
        Ok(params.signed_by(key, &self.issuer)?.into())
    }

    /// Signs the list of revoked certificates, for readers outside the gateway.
    pub(super) fn sign_list(
        &self,
        revoked: &[(Serial, UnixTime)],
        now: UnixTime,
    ) -> Result<CertificateRevocationListDer<'static>, rcgen::Error> {
        let entry = |(serial, at): &(Serial, UnixTime)| RevokedCertParams {
            serial_number: SerialNumber::from_slice(serial.as_bytes()),
            revocation_time: date_time_ymd(1970, 1, 1) + since_1970(*at),
            reason_code: Some(RevocationReason::PrivilegeWithdrawn),
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(1970, 1, 1) + since_1970(now),
            next_update: date_time_ymd(1970, 1, 1) + since_1970(now.after(LIST_LIVES)),
            // The time rises with each list.
            crl_number: SerialNumber::from(now.as_secs()),
            issuing_distribution_point: None,
            revoked_certs: revoked.iter().map(entry).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        Ok(list.signed_by(&self.issuer)?.into())
    }
}

fn params(serial: &Serial, validity: Validity) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.serial_number = Some(SerialNumber::from_slice(serial.as_bytes()));
    params.not_before = date_time_ymd(1970, 1, 1) + since_1970(validity.not_before);
    params.not_after = date_time_ymd(1970, 1, 1) + since_1970(validity.not_after);
    params
}

fn since_1970(time: UnixTime) -> Duration {
    Duration::from_secs(time.as_secs().min(LATEST))
}

fn named(name: String) -> DistinguishedName {
    let mut named = DistinguishedName::new();
    named.push(DnType::CommonName, name);
    named
}
