//! Which certificates the allow-list admits, by the verifier that handshakes ask.

use handfast_core::flow::identity::certificate::{
    Certificate, CertificateState, NodeStanding, NotAllowed, evicted,
};
use handfast_core::grant::certificate::KeyHash;
use rustls::server::danger::ClientCertVerifier;
use rustls::{CertificateError, Error};

use super::*;

/// The order of P-256's group.
const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];
const STANDING: NodeStanding = NodeStanding { epoch: 1, may_link: true };

struct Gate {
    authority: Arc<Authority>,
    list: Arc<AllowList>,
    verifier: NodeVerifier,
}

impl Gate {
    fn new() -> Self {
        let authority = Arc::new(authority());
        let list = Arc::new(AllowList::new(NodeUri::default()));
        list.set_standing(NODE, STANDING);
        let verifier = NodeVerifier::new(Arc::clone(&authority), Arc::clone(&list), true);
        Self { authority, list, verifier }
    }

    /// Issues a certificate and puts it on the list, as the node's one with this number.
    fn issue(&self, number: u64) -> IssuedCertificate {
        let issued = issue(&self.authority, NOW);
        self.list.put(entry(&issued, number));
        issued
    }

    fn judge(&self, certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
        self.verifier.verify_client_cert(certificate, &[], pki_time(now)).map(|_| ())
    }
}

fn entry(issued: &IssuedCertificate, number: u64) -> Certificate {
    Certificate {
        serial: issued.serial,
        node_id: NODE,
        number,
        key: KeyHash::of(&issued.public_key),
        epoch: STANDING.epoch,
        not_before: issued.validity.not_before,
        not_after: issued.validity.not_after,
        state: CertificateState::Issued,
    }
}

fn refused(error: CertificateError) -> Result<(), Error> {
    Err(Error::InvalidCertificate(error))
}

/// Returns the same certificate with the other form of its signature: `s` becomes `n − s`.
pub(crate) fn with_the_other_signature(
    certificate: &CertificateDer<'_>,
) -> CertificateDer<'static> {
    // The signature is the last part: BIT STRING { SEQUENCE { INTEGER r, INTEGER s } }.
    let at = certificate.len()
        - (70..=72)
            .rev()
            .map(|n| n + 3)
            .find(|back| {
                let start = certificate.len() - back;
                certificate[start] == 3 && usize::from(certificate[start + 1]) == back - 2
            })
            .expect("a signature on P-256 stands at the end");
    let (head, bits) = certificate.split_at(at);
    let r_len = usize::from(bits[6]);
    let (r, s) = (&bits[7..7 + r_len], &bits[7 + r_len + 2..]);
    let mut padded = [0; 32];
    let s = s.strip_prefix(&[0]).unwrap_or(s);
    padded[32 - s.len()..].copy_from_slice(s);
    let mut other = [0; 32];
    let mut borrow = 0i32;
    for place in (0..32).rev() {
        let digit = i32::from(ORDER[place]) - i32::from(padded[place]) - borrow;
        borrow = i32::from(digit < 0);
        other[place] = digit.rem_euclid(256).to_le_bytes()[0];
    }
    let mut s: Vec<u8> = other.into_iter().skip_while(|byte| *byte == 0).collect();
    if s[0] >= 0x80 {
        s.insert(0, 0);
    }
    let number = |bytes: &[u8]| [&[2, u8::try_from(bytes.len()).unwrap()], bytes].concat();
    let both = [number(r), number(&s)].concat();
    let inner = [&[0, 0x30, u8::try_from(both.len()).unwrap()][..], &both].concat();
    let mut der = [head, &[3, u8::try_from(inner.len()).unwrap()], &inner].concat();
    // The length of the whole stands in two bytes after 30 82.
    let length = u16::try_from(der.len() - 4).unwrap().to_be_bytes();
    der[2..4].copy_from_slice(&length);
    CertificateDer::from(der)
}

#[test]
fn a_certificate_on_the_list_is_admitted_and_one_that_is_not_is_refused() {
    let gate = Gate::new();
    let listed = gate.issue(1);
    assert_eq!(gate.judge(&listed.certificate, NOW), Ok(()));
    let admitted = gate.list.admit(&listed.certificate, NOW);
    assert_eq!(admitted, Ok(Admitted { node_id: NODE, serial: listed.serial }));
    let unlisted = issue(&gate.authority, NOW);
    let expected = refused(CertificateError::ApplicationVerificationFailure);
    assert_eq!(gate.judge(&unlisted.certificate, NOW), expected);
}

#[test]
fn replacing_s_by_n_minus_s_changes_the_fingerprint_and_no_verdict() {
    let gate = Gate::new();
    let issued = gate.issue(1);
    let other = with_the_other_signature(&issued.certificate);
    assert_ne!(KeyHash::of(&other), KeyHash::of(&issued.certificate), "the fingerprints differ");
    assert_eq!(accepts(&gate.authority, &other, NOW), Ok(()), "the signature is as valid");
    assert_eq!(gate.judge(&other, NOW), gate.judge(&issued.certificate, NOW));
    assert_eq!(gate.judge(&other, NOW), Ok(()));
    assert!(gate.list.revoke(&issued.serial));
    for each in [&other, &issued.certificate] {
        assert_eq!(gate.judge(each, NOW), refused(CertificateError::Revoked));
    }
    assert_eq!(with_the_other_signature(&other), issued.certificate);
}

#[test]
fn a_revoked_certificate_stays_revoked_whatever_is_used_or_renewed_later() {
    let gate = Gate::new();
    let (old, new) = (gate.issue(1), gate.issue(2));
    gate.list.revoke(&old.serial);
    gate.list.used(&old.serial);
    gate.list.used(&new.serial);
    gate.list.set_standing(NODE, STANDING);
    assert_eq!(gate.judge(&old.certificate, NOW), refused(CertificateError::Revoked));
    assert_eq!(gate.judge(&new.certificate, NOW), Ok(()));
}

#[test]
fn the_first_use_of_a_newer_certificate_ends_the_older_one_and_no_sooner() {
    let gate = Gate::new();
    let (old, new) = (gate.issue(1), gate.issue(2));
    for each in [&old, &new] {
        assert_eq!(gate.judge(&each.certificate, NOW), Ok(()));
    }
    assert!(gate.list.is_news(&old.serial), "its first use confirms it");
    gate.list.used(&old.serial);
    assert!(!gate.list.is_news(&old.serial) && gate.list.is_news(&new.serial));
    assert_eq!(gate.judge(&new.certificate, NOW), Ok(()));
    gate.list.used(&new.serial);
    assert!(!gate.list.is_news(&new.serial));
    assert_eq!(gate.list.still_allows(&new.serial, NOW), Ok(NODE));
    assert_eq!(gate.list.still_allows(&old.serial, NOW), Err(NotAllowed::Superseded));
    assert_eq!(
        gate.list.admit(&old.certificate, NOW),
        Err(Refused::NotAllowed(NotAllowed::Superseded))
    );
    assert_eq!(gate.judge(&new.certificate, NOW), Ok(()));
    assert_eq!(gate.list.get(&new.serial).unwrap().state, CertificateState::Delivered);
}

#[test]
fn an_evicted_node_and_one_that_may_not_link_are_refused_with_every_certificate() {
    let gate = Gate::new();
    let issued = gate.issue(1);
    let reason = |standing| {
        gate.list.set_standing(NODE, standing);
        gate.list.admit(&issued.certificate, NOW)
    };
    let evicted = NodeStanding { epoch: evicted(STANDING.epoch), ..STANDING };
    assert_eq!(reason(evicted), Err(Refused::NotAllowed(NotAllowed::OldEpoch)));
    let revoked = NodeStanding { may_link: false, ..STANDING };
    assert_eq!(reason(revoked), Err(Refused::NotAllowed(NotAllowed::NotPaired)));
    assert!(reason(STANDING).is_ok());
    gate.list.remove_node(NODE);
    assert!(gate.list.is_empty());
    assert_eq!(reason(STANDING), Err(Refused::NotAllowed(NotAllowed::Unknown)));
}

#[test]
fn a_certificate_with_a_listed_serial_number_and_another_key_or_name_is_refused() {
    let gate = Gate::new();
    let issued = gate.issue(1);
    // The authority itself would have to have signed it: the list does not rely on that.
    let other = issue(&gate.authority, NOW);
    gate.list.put(Certificate { key: KeyHash::of(b"another"), ..entry(&other, 2) });
    assert_eq!(
        gate.list.admit(&other.certificate, NOW),
        Err(Refused::NotAllowed(NotAllowed::OtherKey))
    );
    let of_another = NodeId::from_bytes([8; 16]);
    gate.list.set_standing(of_another, STANDING);
    let third = issue(&gate.authority, NOW);
    gate.list.put(Certificate { node_id: of_another, ..entry(&third, 3) });
    assert_eq!(gate.list.admit(&third.certificate, NOW), Err(Refused::OtherName));
    let expected = refused(CertificateError::NotValidForName);
    assert_eq!(gate.judge(&third.certificate, NOW), expected);
    let list = AllowList::new("spiffe://example.org/{id}".parse().unwrap());
    list.set_standing(NODE, STANDING);
    list.put(entry(&issued, 1));
    assert_eq!(list.admit(&issued.certificate, NOW), Err(Refused::OtherName));
}

#[test]
fn the_list_has_an_end_of_its_own_for_a_certificate_and_forgets_it_after_that() {
    let gate = Gate::new();
    let issued = gate.issue(1);
    // A clock that was set back moves the end in the registry, and not the one in the certificate.
    gate.list.put(Certificate { not_after: later(60), ..entry(&issued, 1) });
    assert_eq!(gate.judge(&issued.certificate, later(60)), Ok(()));
    assert_eq!(gate.judge(&issued.certificate, later(61)), refused(CertificateError::Expired));
    assert_eq!(gate.list.sweep(later(60)), 0);
    assert_eq!(gate.list.sweep(later(61)), 1);
    assert!(gate.list.is_empty() && gate.list.of_node(NODE).is_empty());
    let expected = refused(CertificateError::ApplicationVerificationFailure);
    assert_eq!(gate.judge(&issued.certificate, later(61)), expected);
}

#[test]
fn a_list_that_is_filled_anew_holds_what_the_store_says_and_nothing_else() {
    let gate = Gate::new();
    let (gone, kept, other) = (gate.issue(1), gate.issue(2), issue(&gate.authority, NOW));
    let of_another = NodeId::from_bytes([8; 16]);
    let other = Certificate { node_id: of_another, ..entry(&other, 1) };
    gate.list.fill([(entry(&kept, 2), Some(STANDING)), (other, None)]);
    assert!(gate.list.admit(&kept.certificate, NOW).is_ok());
    assert_eq!(gate.list.of_node(NODE), [entry(&kept, 2)]);
    assert_eq!(
        gate.list.admit(&gone.certificate, NOW),
        Err(Refused::NotAllowed(NotAllowed::Unknown))
    );
    let without_a_standing = gate.list.look_up(&other.serial, &other.key, NOW);
    assert_eq!(without_a_standing, Err(NotAllowed::NotPaired));
    assert_eq!(gate.list.len(), 2);
}

#[test]
fn a_step_of_the_clock_moves_the_times_of_certificates_and_revives_none() {
    let gate = Gate::new();
    let [moved, revoked, older, used] = [1, 3, 4, 5].map(|number| gate.issue(number));
    gate.list.revoke(&revoked.serial);
    gate.list.used(&used.serial);
    let removed = NodeId::from_bytes([8; 16]);
    let of_removed = Certificate { node_id: removed, ..entry(&issue(&gate.authority, NOW), 1) };
    // The store was read before it heard of the revocation, the use, and the node's removal.
    let later_by_an_hour = |issued: &IssuedCertificate, number| {
        let entry = entry(issued, number);
        Certificate { not_after: entry.not_after.moved(3600), ..entry }
    };
    gate.list.take_step([
        later_by_an_hour(&moved, 1),
        later_by_an_hour(&revoked, 3),
        later_by_an_hour(&used, 5),
        later_by_an_hour(&older, 4),
        of_removed,
    ]);
    let is = |issued: &IssuedCertificate| gate.list.still_allows(&issued.serial, NOW);
    assert_eq!(gate.list.get(&used.serial).unwrap().not_after, used.validity.not_after.moved(3600));
    assert_eq!(is(&used), Ok(NODE));
    assert_eq!(is(&moved), Err(NotAllowed::Superseded), "a newer one was used");
    assert_eq!(is(&older), Err(NotAllowed::Superseded));
    assert_eq!(is(&revoked), Err(NotAllowed::Revoked));
    assert_eq!(gate.list.get(&of_removed.serial), None, "its node is out");
}

#[test]
fn a_step_of_the_clock_brings_back_what_had_ended_by_the_time_before_it() {
    let gate = Gate::new();
    let (swept, live) = (gate.issue(1), gate.issue(2));
    gate.list.put(Certificate { not_after: later(60), ..entry(&swept, 1) });
    assert_eq!(gate.list.sweep(later(61)), 1);
    gate.list.take_step([entry(&swept, 1)]);
    assert_eq!(gate.list.still_allows(&swept.serial, NOW), Ok(NODE));
    assert_eq!(gate.list.get(&live.serial), None, "the step has ended it in the store");
    assert_eq!(gate.list.of_node(NODE).len(), 1);
}

#[test]
fn an_eviction_that_the_store_does_not_know_yet_outlives_the_issue_of_a_certificate() {
    let gate = Gate::new();
    let now_evicted = NodeStanding { epoch: evicted(STANDING.epoch), ..STANDING };
    gate.list.set_standing(NODE, now_evicted);
    let late = issue(&gate.authority, NOW);
    gate.list.issued(entry(&late, 1));
    assert_eq!(gate.list.still_allows(&late.serial, NOW), Err(NotAllowed::OldEpoch));
    let next = issue(&gate.authority, NOW);
    gate.list.issued(Certificate { epoch: now_evicted.epoch, ..entry(&next, 2) });
    assert_eq!(gate.list.still_allows(&next.serial, NOW), Ok(NODE));
    // A node that was out and is paired again links with the certificate of the new pairing.
    gate.list.set_standing(NODE, NodeStanding { may_link: false, ..now_evicted });
    let paired = issue(&gate.authority, NOW);
    gate.list.issued(Certificate { epoch: now_evicted.epoch, ..entry(&paired, 3) });
    assert_eq!(gate.list.still_allows(&paired.serial, NOW), Ok(NODE));
}

#[test]
fn the_verifier_follows_a_rotation_at_once() {
    let gate = Gate::new();
    let old = gate.issue(1);
    gate.authority.rotate(Overlap::UntilLeavesEnd, NOW).unwrap();
    let new = gate.issue(2);
    for each in [&old, &new] {
        assert_eq!(gate.judge(&each.certificate, NOW), Ok(()));
    }
    gate.authority.rotate(Overlap::None, NOW).unwrap();
    for each in [&old, &new] {
        assert!(gate.judge(&each.certificate, NOW).is_err());
    }
}
