//! What certificates say, and what a request cannot make them say.

use rcgen::{
    BasicConstraints, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyUsagePurpose,
    PKCS_ECDSA_P384_SHA384, PKCS_ED25519, SanType,
};
use rustls::pki_types::CertificateRevocationListDer;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{CertificateError, Error};
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::*;
use handfast_core::limits::{CERTIFICATES_BYTES, CSR_BYTES};

/// Returns everything that a certificate says beside key and signature.
fn said(certificate: &CertificateDer<'_>) -> String {
    let (_, read) = X509Certificate::from_der(certificate).unwrap();
    let mut said = vec![format!("subject {}", read.subject())];
    for extension in read.extensions() {
        said.push(match extension.parsed_extension() {
            ParsedExtension::BasicConstraints(found) => {
                format!("ca {} {:?}", found.ca, found.path_len_constraint)
            }
            ParsedExtension::KeyUsage(found) => format!("usage {found}"),
            ParsedExtension::ExtendedKeyUsage(found) => format!(
                "server {} client {} any {} other {}",
                found.server_auth,
                found.client_auth,
                found.any,
                found.other.len()
            ),
            ParsedExtension::SubjectAlternativeName(found) => {
                format!("names {:?}", found.general_names)
            }
            ParsedExtension::SubjectKeyIdentifier(_) => "own key id".to_owned(),
            ParsedExtension::AuthorityKeyIdentifier(_) => "issuer's key id".to_owned(),
            other => format!("{other:?}"),
        });
    }
    said.join("\n")
}

const PLAIN: &str = "\
subject CN=07070707-0707-0707-0707-070707070707
issuer's key id
names [URI(\"handfast://node/07070707-0707-0707-0707-070707070707\")]
usage Digital Signature
server false client true any false other 0
own key id
ca false None";

#[test]
fn a_nodes_certificate_says_who_it_is_and_that_it_is_a_client_and_no_more() {
    let authority = authority();
    let issued = issue(&authority, NOW);
    assert_eq!(said(&issued.certificate), PLAIN);
    let (_, read) = X509Certificate::from_der(&issued.certificate).unwrap();
    assert_eq!(read.raw_serial(), issued.serial.as_bytes(), "20 bytes without a sign byte");
    assert_eq!(read.validity().not_before.timestamp(), 1_800_000_000 - 300);
    assert_eq!(read.validity().not_after.timestamp(), 1_800_000_000 + 86_400);
    assert_eq!(read.public_key().raw, issued.public_key);
    assert_ne!(issue(&authority, NOW).serial, issued.serial);
    assert_eq!(accepts(&authority, &issued.certificate, NOW), Ok(()));
}

#[test]
fn the_key_ids_of_a_leaf_lead_to_its_root_and_the_root_signs_leaves_alone() {
    let authority = authority();
    let issued = issue(&authority, NOW);
    let (_, leaf) = X509Certificate::from_der(&issued.certificate).unwrap();
    let (_, root) = X509Certificate::from_der(&issued.roots[0]).unwrap();
    let id = |certificate: &X509Certificate<'_>, issuers: bool| {
        let found = certificate.extensions().iter().find_map(|extension| {
            match extension.parsed_extension() {
                ParsedExtension::SubjectKeyIdentifier(id) if !issuers => Some(id.0.to_vec()),
                ParsedExtension::AuthorityKeyIdentifier(id) if issuers => {
                    id.key_identifier.as_ref().map(|id| id.0.to_vec())
                }
                _ => None,
            }
        });
        found.unwrap()
    };
    assert_eq!(id(&leaf, true), id(&root, false));
    assert_eq!(leaf.issuer(), root.subject());
    let told = said(&issued.roots[0]);
    assert!(told.contains("ca true Some(0)") && told.contains("usage Key Cert Sign, CRL Sign"));
}

#[test]
fn a_request_that_asks_to_be_an_authority_with_other_names_and_usages_gets_a_plain_certificate() {
    let authority = authority();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::Any];
    let other = "handfast://node/00000000-0000-0000-0000-000000000000";
    params.subject_alt_names = vec![
        SanType::URI(other.try_into().unwrap()),
        SanType::DnsName("gateway.example".try_into().unwrap()),
    ];
    let csr = params.serialize_request(&key).unwrap();
    let asked = RequestedKey::from_csr(csr.der()).unwrap();
    let issued = authority.issue(NODE, &asked, NOW).unwrap();
    assert_eq!(said(&issued.certificate), PLAIN);
    // The library that the request is not given to would have made an authority of it.
    let copied = rcgen::CertificateSigningRequestParams::from_der(csr.der()).unwrap();
    assert_eq!(copied.params.is_ca, IsCa::Ca(BasicConstraints::Unconstrained));

    // It signs nothing that counts, either.
    let issuer = Issuer::from_ca_cert_der(&issued.certificate, key).unwrap();
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::URI(other.try_into().unwrap())];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let forged = params.signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap();
    let trust = authority.trust();
    let with_issuer = [issued.certificate.clone()];
    let verified = trust.verifier.verify_client_cert(forged.der(), &with_issuer, pki_time(NOW));
    assert!(verified.is_err(), "{verified:?}");
    assert!(accepts(&authority, forged.der(), NOW).is_err());
}

#[test]
fn keys_on_p256_and_ed25519_keys_are_certified_and_others_are_not() {
    let authority = authority();
    let ed25519 = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let issued = authority.issue(NODE, &requested(&ed25519), NOW).unwrap();
    assert_eq!(accepts(&authority, &issued.certificate, NOW), Ok(()));
    let p384 = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    let refused = RequestedKey::from_csr(&request(&p384));
    assert_eq!(refused.unwrap_err(), NotARequest::Key);
}

#[test]
fn an_ed25519_key_of_small_order_is_refused_whatever_signature_stands_beside_it() {
    let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let mut csr = request(&key);
    let at = csr.windows(32).position(|part| part == key.public_key_raw()).unwrap();
    // The neutral element: every signature (R = sB, s) verifies under it without a strict check.
    csr[at..at + 32].fill(0);
    csr[at] = 1;
    assert_eq!(RequestedKey::from_csr(&csr).unwrap_err(), NotARequest::Key);
}

#[test]
fn a_request_counts_only_whole_within_its_bound_and_signed_with_its_own_key() {
    let key = KeyPair::generate().unwrap();
    let csr = request(&key);
    assert!(RequestedKey::from_csr(&csr).is_ok());
    let longer = [&csr[..], &[0]].concat();
    assert_eq!(RequestedKey::from_csr(&longer).unwrap_err(), NotARequest::Malformed);
    for length in 0..csr.len() {
        let refused = RequestedKey::from_csr(&csr[..length]).unwrap_err();
        assert_eq!(refused, NotARequest::Malformed, "{length} bytes");
    }
    let long = vec![0x30; CSR_BYTES + 1];
    assert_eq!(RequestedKey::from_csr(&long).unwrap_err(), NotARequest::TooLong);
    // Another key in the place of the signer's.
    let (own, other) = (key.public_key_raw(), KeyPair::generate().unwrap());
    let at = csr.windows(own.len()).position(|part| part == own).unwrap();
    let mut swapped = csr.clone();
    swapped[at..at + own.len()].copy_from_slice(other.public_key_raw());
    assert_eq!(RequestedKey::from_csr(&swapped).unwrap_err(), NotARequest::Signature);
    for byte in 0..csr.len() {
        let mut changed = csr.clone();
        changed[byte] ^= 1;
        match RequestedKey::from_csr(&changed) {
            Err(_) => {}
            // What stands behind the signed part only names the algorithm.
            Ok(read) => {
                assert!(byte > at + own.len(), "byte {byte}");
                assert_eq!(read.der(), requested(&key).der());
            }
        }
    }
}

#[test]
fn a_certificate_counts_between_its_times_and_ends_with_its_root() {
    let authority = authority();
    let issued = issue(&authority, NOW);
    let at = |now| accepts(&authority, &issued.certificate, now);
    assert_eq!(at(UnixTime::from_secs(1_800_000_000 - 300)), Ok(()));
    assert_eq!(at(later(86_400)), Ok(()));
    assert!(matches!(
        at(later(86_401)),
        Err(Error::InvalidCertificate(CertificateError::ExpiredContext { .. }))
    ));
    assert!(matches!(
        at(UnixTime::from_secs(1_800_000_000 - 301)),
        Err(Error::InvalidCertificate(CertificateError::NotValidYetContext { .. }))
    ));
    let ends = NOW.after(authority.settings().root_life);
    let last = issue(&authority, ends.moved(-60));
    assert_eq!(last.validity.not_after, ends);
    let key = requested(&KeyPair::generate().unwrap());
    assert!(matches!(authority.issue(NODE, &key, ends), Err(AuthorityError::RootEnded)));
}

#[test]
fn a_nodes_certificate_is_no_servers_and_the_listeners_is_no_nodes() {
    let authority = Arc::new(authority());
    let issued = issue(&authority, NOW);
    let server = ServerCertificate::new(Arc::clone(&authority), || NOW).unwrap().pair();
    let server = &server.cert[0];
    for name in ["localhost", "127.0.0.1", "::1"] {
        assert_eq!(node_accepts(&issued.roots, server, name, NOW), Ok(()));
    }
    assert!(node_accepts(&issued.roots, server, "gateway.example", NOW).is_err());
    assert!(node_accepts(&issued.roots, &issued.certificate, "localhost", NOW).is_err());
    assert!(accepts(&authority, server, NOW).is_err());
    // Another authority knows neither.
    let other = issue(&self::authority(), NOW);
    assert!(node_accepts(&other.roots, server, "localhost", NOW).is_err());
    assert!(accepts(&authority, &other.certificate, NOW).is_err());
}

#[test]
fn the_set_of_a_node_fits_its_bound_with_the_most_roots_and_the_longest_uri() {
    let uri = format!("spiffe://{}{{id}}", "a".repeat(147)).parse().unwrap();
    let settings = CertificateSettings { uri, ..CertificateSettings::default() };
    let authority = Authority::open(settings, &store_key(), NOW).unwrap();
    for _ in 0..3 {
        authority.rotate(Overlap::UntilLeavesEnd, NOW).unwrap();
    }
    let refused = authority.rotate(Overlap::UntilLeavesEnd, NOW).unwrap_err();
    assert!(matches!(refused, AuthorityError::ManyRoots(4)), "{refused}");
    let issued = issue(&authority, NOW);
    let set = issued.set();
    assert_eq!(issued.roots.len(), 4);
    assert!(set.len() <= CERTIFICATES_BYTES, "{} bytes", set.len());
    let mut rest = &set[..];
    let mut parts = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk::<2>() {
        let (part, after) = after.split_at(usize::from(u16::from_be_bytes(*length)));
        parts.push(CertificateDer::from(part.to_vec()));
        rest = after;
    }
    assert_eq!(parts[0], issued.certificate);
    assert_eq!(parts[1..], issued.roots);
    assert_eq!(accepts(&authority, &issued.certificate, NOW), Ok(()));
}

#[test]
fn the_revocation_list_names_who_was_revoked_and_is_signed_by_each_root() {
    let authority = authority();
    let (kept, revoked) = (issue(&authority, NOW), issue(&authority, NOW));
    authority.rotate(Overlap::UntilLeavesEnd, NOW).unwrap();
    let newer = issue(&authority, NOW);
    let list = [(revoked.serial, NOW), (newer.serial, NOW)];
    let lists = authority.revocation_lists(&list, NOW).unwrap();
    assert_eq!((lists.older.len(), lists.revoked), (1, 2));
    let verifier = outside(&authority, lists.all().cloned().collect());
    let judge = |issued: &IssuedCertificate| {
        verifier.verify_client_cert(&issued.certificate, &[], pki_time(NOW)).map(|_| ())
    };
    assert_eq!(judge(&kept), Ok(()));
    for out in [&revoked, &newer] {
        assert_eq!(judge(out), Err(Error::InvalidCertificate(CertificateError::Revoked)));
    }
}

/// Returns a verifier outside the gateway, which reads the lists.
fn outside(
    authority: &Authority,
    lists: Vec<CertificateRevocationListDer<'static>>,
) -> Arc<dyn ClientCertVerifier> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(authority.certificates());
    let provider = Arc::new(default_provider());
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .with_crls(lists)
        .build()
        .unwrap()
}
