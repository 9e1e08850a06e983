//! Certificates: issued, confirmed, used, superseded, revoked, and what a step of the clock does.
#![allow(missing_docs, reason = "the names say it")]

use std::sync::Arc;

use handfast_core::flow::identity::certificate::{Certificate, CertificateState, NodeStanding};
use handfast_core::grant::certificate::{KeyHash, Serial};
use handfast_core::registry::record::{Cause, Record, Standing};
use handfast_core::registry::trusted_time::{ClockStep, Reading, TrustedTime};
use handfast_core::{Instant, NodeId, UnixTime};
use tokio::task::JoinSet;

use super::{START, at, fresh, keyed, load};
use crate::{
    CertificateFilter, Issuing, NotStored, Over, RevokedCertificates, SaveError, Store,
    StoredCertificate,
};

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

fn serial() -> Serial {
    let mut bytes = [0x5e; 20];
    bytes[4..].copy_from_slice(&fresh());
    // Serial numbers lie all over, as those of a gateway do.
    bytes[1..4].copy_from_slice(&fresh()[..3]);
    Serial::from_bytes(&bytes).expect("a serial number")
}

fn hash() -> [u8; 32] {
    let mut bytes = [0x7a; 32];
    bytes[..16].copy_from_slice(&fresh());
    bytes
}

/// Returns a certificate of a day from this time, as a gateway signs it. Each call gives another.
#[must_use]
pub fn signed(
    node_id: NodeId,
    Issuing { number, epoch, .. }: Issuing,
    now: UnixTime,
) -> StoredCertificate {
    let certificate = Certificate {
        serial: serial(),
        node_id,
        number,
        key: KeyHash::from_bytes(hash()),
        epoch,
        not_before: UnixTime::from_secs(now.as_secs() - 300),
        not_after: UnixTime::from_secs(now.as_secs() + DAY),
        state: CertificateState::Issued,
    };
    StoredCertificate {
        certificate,
        issued_at: now,
        ended: None,
        fingerprint: hash(),
        encoded: vec![0x30, 0x82, 1, 2, 3],
    }
}

async fn node(store: &dyn Store) -> Record {
    let node = keyed();
    store.insert(node.clone(), "{}".to_owned(), START).await.unwrap();
    node
}

async fn issuing(store: &dyn Store, id: NodeId, now: UnixTime) -> Issuing {
    store.issuing(id, now).await.unwrap().expect("a node")
}

async fn issue(store: &dyn Store, id: NodeId, now: UnixTime) -> StoredCertificate {
    let stored = signed(id, issuing(store, id, now).await, now);
    assert_eq!(store.issue(stored.clone(), now).await.unwrap(), Ok(()));
    stored
}

async fn state(store: &dyn Store, of: &StoredCertificate) -> CertificateState {
    let stored = store.certificate(of.certificate.serial).await.unwrap();
    stored.expect("it is kept").certificate.state
}

async fn live(store: &dyn Store, now: UnixTime) -> Vec<Serial> {
    let allowed = store.allow_list(now).await.unwrap();
    let listed = store.certificates(CertificateFilter::Live, None, 99, now).await.unwrap();
    let serials: Vec<Serial> = allowed.iter().map(|(certificate, _)| certificate.serial).collect();
    let of_listing: Vec<Serial> = listed.iter().map(|it| it.certificate.serial).collect();
    assert_eq!(serials, of_listing, "the allow-list and the operator's list are the same");
    assert!(listed.iter().all(|it| it.is_live(now)));
    serials
}

pub async fn a_certificate_reads_back_as_it_was_issued(store: Arc<dyn Store>) {
    let id = node(&*store).await.node_id;
    assert_eq!(issuing(&*store, id, START).await, Issuing { number: 1, epoch: 0, of_today: 0 });
    let first = issue(&*store, id, START).await;
    let serial = first.certificate.serial;
    assert_eq!(store.certificate(serial).await.unwrap(), Some(first.clone()));
    let by_name = store.certificate_by_fingerprint(first.fingerprint).await.unwrap();
    assert_eq!(by_name, Some(first.clone()));
    assert_eq!(store.certificate_by_fingerprint(hash()).await.unwrap(), None);
    assert_eq!(store.certificate(self::serial()).await.unwrap(), None);
    let standing = NodeStanding { epoch: 0, may_link: true };
    let allowed = store.allow_list(START).await.unwrap();
    assert_eq!(allowed, [(first.certificate, Some(standing))]);
    let second = issue(&*store, id, at(1)).await;
    assert_eq!(store.certificates_of(id, 9).await.unwrap(), [second.clone(), first]);
    assert_eq!(store.certificates_of(id, 1).await.unwrap(), [second]);
    assert_eq!(issuing(&*store, id, at(1)).await.of_today, 2);
    assert_eq!(issuing(&*store, id, at(DAY)).await.of_today, 1, "the first is a day old");
    assert_eq!(store.issuing(keyed().node_id, START).await.unwrap(), None);
}

pub async fn what_was_signed_for_an_outdated_number_or_epoch_is_not_stored(store: Arc<dyn Store>) {
    let id = node(&*store).await.node_id;
    let asked = issuing(&*store, id, START).await;
    let first = issue(&*store, id, START).await;
    let late = signed(id, asked, START);
    assert_eq!(store.issue(late, START).await.unwrap(), Err(NotStored::Changed));
    let asked = issuing(&*store, id, START).await;
    assert_eq!(store.evict(id, 0).await.unwrap(), 1);
    let evicted = signed(id, asked, START);
    assert_eq!(store.issue(evicted, START).await.unwrap(), Err(NotStored::Changed));
    let asked = issuing(&*store, id, START).await;
    assert_eq!((asked.number, asked.epoch), (2, 1));
    let mut twice = signed(id, asked, START);
    twice.certificate.serial = first.certificate.serial;
    assert_eq!(store.issue(twice, START).await.unwrap(), Err(NotStored::SerialTaken));
    assert_eq!(store.certificates_of(id, 9).await.unwrap(), [first]);
}

pub async fn of_certificates_signed_at_once_exactly_one_is_stored(store: Arc<dyn Store>) {
    let id = node(&*store).await.node_id;
    let asked = issuing(&*store, id, START).await;
    let mut all = JoinSet::new();
    for _ in 0..32 {
        let (store, certificate) = (Arc::clone(&store), signed(id, asked, START));
        all.spawn(async move { store.issue(certificate, START).await.unwrap() });
    }
    let outcomes = all.join_all().await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    assert_eq!(store.certificates_of(id, 99).await.unwrap().len(), 1);
}

pub async fn only_a_paired_node_gets_a_certificate(store: Arc<dyn Store>) {
    let node = node(&*store).await;
    let asked = issuing(&*store, node.node_id, START).await;
    let certificate = issue(&*store, node.node_id, START).await;
    let version = load(&*store, node.node_id).await.unwrap().1;
    let revoked = Standing::Revoked { cause: Cause::Unpaired };
    store.save(node.node_id, version, revoked, at(1)).await.unwrap();
    assert_eq!(state(&*store, &certificate).await, CertificateState::Revoked, "it ends with it");
    let again = signed(node.node_id, Issuing { number: 2, ..asked }, at(1));
    assert_eq!(store.issue(again, at(1)).await.unwrap(), Err(NotStored::NotPaired));
    let nobodys = signed(keyed().node_id, asked, START);
    assert_eq!(store.issue(nobodys, START).await.unwrap(), Err(NotStored::NotPaired));
    let standing = store.node_standing(node.node_id).await.unwrap();
    assert_eq!(standing, Some(NodeStanding { epoch: 0, may_link: false }));
    assert_eq!(store.node_standing(keyed().node_id).await.unwrap(), None);
}

pub async fn both_are_valid_until_the_newer_one_is_used(store: Arc<dyn Store>) {
    let id = node(&*store).await.node_id;
    let other = issue(&*store, node(&*store).await.node_id, START).await;
    let (first, second) = (issue(&*store, id, START).await, issue(&*store, id, START).await);
    let serials = |all: &[&StoredCertificate]| {
        let mut serials: Vec<_> = all.iter().map(|it| it.certificate.serial).collect();
        serials.sort();
        serials
    };
    assert_eq!(live(&*store, START).await, serials(&[&first, &second, &other]));
    let used = |of: &StoredCertificate| {
        let (store, serial) = (Arc::clone(&store), of.certificate.serial);
        async move { store.certificate_used(serial, at(1)).await.unwrap() }
    };
    assert_eq!(used(&first).await, []);
    assert_eq!(state(&*store, &first).await, CertificateState::Delivered, "use confirms");
    assert_eq!(used(&first).await, [], "once more changes nothing");
    assert_eq!(state(&*store, &second).await, CertificateState::Issued);
    assert_eq!(used(&second).await, [first.certificate.serial]);
    assert_eq!(state(&*store, &first).await, CertificateState::Superseded);
    let kept = store.certificate(first.certificate.serial).await.unwrap().unwrap();
    assert_eq!(kept.ended, Some(at(1)));
    assert_eq!(live(&*store, at(1)).await, serials(&[&second, &other]));
    assert_eq!(used(&first).await, [], "an older one supersedes nothing");
    assert_eq!(state(&*store, &second).await, CertificateState::Delivered);
    assert_eq!(store.certificate_used(serial(), at(1)).await.unwrap(), []);
}

pub async fn a_confirmation_is_the_nodes_own_and_may_be_repeated(store: Arc<dyn Store>) {
    let (id, other) = (node(&*store).await.node_id, node(&*store).await.node_id);
    let certificate = issue(&*store, id, START).await;
    let serial = certificate.certificate.serial;
    assert!(!store.confirm_certificate(other, serial).await.unwrap());
    assert_eq!(state(&*store, &certificate).await, CertificateState::Issued);
    for _ in 0..2 {
        assert!(store.confirm_certificate(id, serial).await.unwrap());
        assert_eq!(state(&*store, &certificate).await, CertificateState::Delivered);
    }
    let which = RevokedCertificates::Serial(serial);
    assert_eq!(store.revoke_certificates(which, at(1)).await.unwrap(), [serial]);
    assert!(!store.confirm_certificate(id, serial).await.unwrap(), "it is revoked");
    assert!(!store.confirm_certificate(id, self::serial()).await.unwrap());
}

pub async fn what_is_revoked_stays_so_whatever_follows(store: Arc<dyn Store>) {
    let (id, other) = (node(&*store).await.node_id, node(&*store).await.node_id);
    let first = issue(&*store, id, START).await;
    let (second, third) = (issue(&*store, id, at(1)).await, issue(&*store, other, at(2)).await);
    let revoke = |which| {
        let store = Arc::clone(&store);
        async move { store.revoke_certificates(which, at(3)).await.unwrap() }
    };
    let of = |stored: &StoredCertificate| stored.certificate.serial;
    assert_eq!(revoke(RevokedCertificates::Before(at(1))).await, [of(&first)]);
    assert_eq!(revoke(RevokedCertificates::Before(at(1))).await, [], "once");
    assert_eq!(revoke(RevokedCertificates::Node(id)).await, [of(&second)]);
    let kept = store.certificate(of(&second)).await.unwrap().unwrap();
    assert_eq!((kept.certificate.state, kept.ended), (CertificateState::Revoked, Some(at(3))));
    // Neither a use nor a confirmation nor a newer certificate changes it.
    assert_eq!(store.certificate_used(of(&second), at(4)).await.unwrap(), []);
    let newer = issue(&*store, id, at(4)).await;
    assert_eq!(store.certificate_used(of(&newer), at(4)).await.unwrap(), []);
    let newest = issue(&*store, id, at(5)).await;
    assert_eq!(store.certificate_used(of(&newest), at(5)).await.unwrap(), [of(&newer)]);
    assert_eq!(revoke(RevokedCertificates::Serial(of(&newer))).await, [of(&newer)]);
    let kept = store.certificate(of(&newer)).await.unwrap().unwrap();
    assert_eq!(kept.ended, Some(at(5)), "it had ended before");
    assert_eq!(state(&*store, &second).await, CertificateState::Revoked);
    assert_eq!(state(&*store, &third).await, CertificateState::Issued, "another node's is spared");
    assert_eq!(revoke(RevokedCertificates::Key(third.certificate.key)).await, [of(&third)]);
}

pub async fn a_revoked_key_gets_no_certificate_of_any_node(store: Arc<dyn Store>) {
    let (id, other) = (node(&*store).await.node_id, node(&*store).await.node_id);
    let certificate = issue(&*store, id, START).await.certificate;
    assert!(!store.is_certificate_key_revoked(certificate.key).await.unwrap());
    for expected in [vec![certificate.serial], vec![]] {
        let which = RevokedCertificates::Key(certificate.key);
        assert_eq!(store.revoke_certificates(which, at(1)).await.unwrap(), expected);
    }
    assert!(store.is_certificate_key_revoked(certificate.key).await.unwrap());
    for node_id in [id, other] {
        let mut again = signed(node_id, issuing(&*store, node_id, at(1)).await, at(1));
        again.certificate.key = certificate.key;
        assert_eq!(store.issue(again, at(1)).await.unwrap(), Err(NotStored::KeyRevoked));
    }
}

pub async fn an_eviction_changes_the_epoch_once(store: Arc<dyn Store>) {
    let (id, other) = (node(&*store).await.node_id, node(&*store).await.node_id);
    let certificate = issue(&*store, id, START).await;
    for (from, then) in [(0, 1), (0, 1), (1, 2), (7, 2)] {
        assert_eq!(store.evict(id, from).await.unwrap(), then);
    }
    let allowed = store.allow_list(START).await.unwrap();
    let standing = NodeStanding { epoch: 2, may_link: true };
    assert_eq!(allowed, [(certificate.certificate, Some(standing))], "core refuses it by that");
    assert_eq!(store.node_standing(other).await.unwrap().unwrap().epoch, 0);
    let missing = store.evict(keyed().node_id, 0).await;
    assert!(matches!(missing, Err(SaveError::Missing)), "{missing:?}");
    let (record, version) = load(&*store, id).await.unwrap();
    store.save(id, version, record.standing, at(1)).await.unwrap();
    assert_eq!(store.node_standing(id).await.unwrap(), Some(standing), "a decision keeps it");
}

pub async fn a_node_has_so_many_live_certificates_and_no_more(store: Arc<dyn Store>) {
    let id = node(&*store).await.node_id;
    let mut issued = Vec::new();
    for number in 0..18 {
        issued.push(issue(&*store, id, at(number)).await);
    }
    let other = issue(&*store, node(&*store).await.node_id, START).await;
    assert_eq!(live(&*store, at(20)).await.len(), 17);
    for (number, certificate) in issued.iter().enumerate() {
        let expected = match number < 2 {
            true => CertificateState::Superseded,
            false => CertificateState::Issued,
        };
        assert_eq!(state(&*store, certificate).await, expected, "{number}");
    }
    assert_eq!(state(&*store, &other).await, CertificateState::Issued);
}

pub async fn what_ended_long_ago_is_removed_and_its_number_is_not_used_again(
    store: Arc<dyn Store>,
) {
    let id = node(&*store).await.node_id;
    let (first, second) = (issue(&*store, id, START).await, issue(&*store, id, START).await);
    store.certificate_used(second.certificate.serial, at(1)).await.unwrap();
    let later = at(400 * DAY + HOUR);
    let third = issue(&*store, id, later).await;
    let kept = store.certificates_of(id, 9).await.unwrap();
    let numbers: Vec<u64> = kept.iter().map(|it| it.certificate.number).collect();
    assert_eq!(numbers, [3, 2], "the second expired a day after the first was superseded");
    assert_eq!(store.certificate(first.certificate.serial).await.unwrap(), None);
    assert_eq!(live(&*store, later).await, [third.certificate.serial]);
}

pub async fn pages_of_certificates_cover_everything_once_and_in_order(store: Arc<dyn Store>) {
    let mut all = Vec::new();
    for number in 0..9 {
        let id = node(&*store).await.node_id;
        all.push(issue(&*store, id, at(number)).await.certificate.serial);
    }
    store.revoke_certificates(RevokedCertificates::Serial(all[4]), at(9)).await.unwrap();
    all.sort();
    for (filter, number) in [(CertificateFilter::All, 9), (CertificateFilter::Live, 8)] {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = store.certificates(filter, after, 2, at(9)).await.unwrap();
            let Some(last) = page.last() else { break };
            after = Some(last.certificate.serial);
            seen.extend(page.iter().map(|it| it.certificate.serial));
        }
        assert_eq!(seen.len(), number);
        assert!(seen.is_sorted());
        assert!(seen.iter().all(|serial| all.contains(serial)));
    }
    assert!(live(&*store, at(2 * DAY)).await.is_empty(), "all have expired");
}

/// Returns a step of the clock from one time to another, as the operator accepts it.
fn step(from: UnixTime, to: UnixTime) -> ClockStep {
    let reading = |wall| Reading { wall, elapsed: Instant::from_millis(0), synchronised: false };
    TrustedTime::begin(Some(from), START, reading(from)).accept_at(to, reading(to))
}

pub async fn a_step_moves_no_signed_time_and_ends_what_lies_ahead(store: Arc<dyn Store>) {
    store.begin_run().await.unwrap();
    let id = node(&*store).await.node_id;
    let earlier = issue(&*store, id, START).await;
    store.begin_run().await.unwrap();
    let own = issue(&*store, node(&*store).await.node_id, START).await;
    // Forward: the signed times stay, so they may be over earlier, and never later.
    store.take_over(step(START, at(2 * DAY))).await.unwrap();
    for certificate in [&earlier, &own] {
        let serial = certificate.certificate.serial;
        assert_eq!(store.certificate(serial).await.unwrap().as_ref(), Some(certificate));
    }
    assert!(live(&*store, at(2 * DAY)).await.is_empty());
    // Back: what was issued under the later time would be valid longer than it was made for.
    let ahead = issue(&*store, id, at(2 * DAY)).await;
    let taken = store.take_over(step(at(2 * DAY), at(HOUR))).await.unwrap();
    assert!(taken.ended >= 1, "{taken:?}");
    assert_eq!(state(&*store, &ahead).await, CertificateState::Superseded);
    for certificate in [&earlier, &own] {
        assert_eq!(state(&*store, certificate).await, CertificateState::Issued);
    }
    let again = issue(&*store, id, at(HOUR)).await;
    assert!(live(&*store, at(HOUR)).await.contains(&again.certificate.serial));
}

pub async fn setting_the_time_back_ends_what_earlier_runs_issued_later(store: Arc<dyn Store>) {
    store.begin_run().await.unwrap();
    let id = node(&*store).await.node_id;
    let (good, wrong) = (issue(&*store, id, START).await, issue(&*store, id, at(300 * DAY)).await);
    store.begin_run().await.unwrap();
    store.take_over(step(at(300 * DAY), at(60))).await.unwrap();
    assert_eq!(state(&*store, &good).await, CertificateState::Issued);
    assert_eq!(state(&*store, &wrong).await, CertificateState::Superseded);
}

pub async fn a_certificate_that_was_seen_to_be_over_stays_so(store: Arc<dyn Store>) {
    let certificate = issue(&*store, node(&*store).await.node_id, START).await;
    let serial = certificate.certificate.serial;
    assert!(
        !store.write_over(Over::Certificate(serial), at(DAY)).await.unwrap(),
        "its last second"
    );
    assert!(store.write_over(Over::Certificate(serial), at(DAY + 1)).await.unwrap());
    assert!(!store.write_over(Over::Certificate(serial), at(DAY + 1)).await.unwrap(), "once");
    assert!(live(&*store, START).await.is_empty(), "whatever the clock says later");
    assert!(!store.write_over(Over::Certificate(self::serial()), at(DAY)).await.unwrap());
}
