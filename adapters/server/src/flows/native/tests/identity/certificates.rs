//! Certificates: with a grant, renewed over a link, and revoked.

use std::collections::HashSet;

use handfast_core::flow::identity::certificate::CertificateState;
use handfast_core::grant::certificate::{KeyHash, verify_compact};
use handfast_core::limits::CERTIFICATES_A_DAY;
use handfast_core::registry::lifecycle::Decision;
use handfast_core::wire::native::Features;
use handfast_core::wire::native::link::{Bye, CertificateRenewal, FromGateway, FromNode, Renew};
use handfast_core::wire::native::pair::Csr;
use handfast_core::wire::native::signer::SignerKey;
use handfast_core::wire::registration::Heartbeat;
use handfast_store::{RevokedCertificates, StoredCertificate};

use super::*;

async fn certificates(world: &World, node_id: NodeId) -> Vec<StoredCertificate> {
    world.gateway.inner.store.certificates_of(node_id, 99).await.unwrap()
}

/// Renews over the link. `None` if the gateway issues nothing.
async fn renews(client: &mut Client, own: &OwnKeys, csr: Option<&[u8]>) -> Option<(u64, Vec<u8>)> {
    let csr = csr.map(|csr| Csr::new(csr).unwrap());
    let renewal = CertificateRenewal::sign(csr, &own.signing, &client.hash);
    client.say(&FromNode::Renew(Renew::Certificate(renewal))).await;
    let mut certificate = Vec::new();
    hears(client, |message| match message {
        FromGateway::Part(part) => {
            certificate.extend_from_slice(part.as_bytes());
            None
        }
        FromGateway::Certificate { number } => {
            Some(Some((number, std::mem::take(&mut certificate))))
        }
        FromGateway::NotIssued => Some(None),
        _ => None,
    })
    .await
}

/// Pairs a node that asks with this key, and confirms its certificate.
async fn certified(world: &World, own: &OwnKeys, tls: &TlsKey) -> Given {
    let mut client = asks(world, own, Features::NONE, Some(&tls.csr)).await;
    approves(&world.gateway).await;
    let given = is_given(&mut client).await;
    stores(&mut client, &given).await;
    given
}

#[tokio::test]
async fn a_request_for_a_certificate_is_answered_with_the_same_one_until_it_is_confirmed() {
    let (world, own, tls) = (World::new().await, fresh(), TlsKey::new());
    let mut client = asks(&world, &own, Features::NONE, Some(&tls.csr)).await;
    let node_id = approves(&world.gateway).await;
    let first = is_given(&mut client).await;
    assert_eq!(first.node_id, node_id);
    drop(client);
    // The answer was lost, and the node asks once more.
    let mut client = asks(&world, &own, Features::NONE, Some(&tls.csr)).await;
    let again = is_given(&mut client).await;
    assert_eq!(again.certificate, first.certificate);
    stores(&mut client, &again).await;
    let all = certificates(&world, node_id).await;
    let [stored] = &all[..] else { panic!("{all:?}") };
    assert_eq!(stored.encoded, leaf(&first.certificate));
    assert_eq!(stored.certificate.state, CertificateState::Delivered);
    assert_eq!(stored.certificate.key, tls.hash());
    // The delivery is closed: another one would be another certificate.
    let mut client = asks(&world, &own, Features::NONE, Some(&tls.csr)).await;
    let next = is_given(&mut client).await;
    assert_ne!(next.certificate, first.certificate);
}

#[tokio::test]
async fn no_other_key_gets_the_certificate_that_was_approved() {
    let (world, own) = (World::new().await, fresh());
    let (approved, other) = (TlsKey::new(), TlsKey::new());
    let mut client = asks(&world, &own, Features::NONE, Some(&approved.csr)).await;
    let node_id = approves(&world.gateway).await;
    is_given(&mut client).await;
    let mut client = asks(&world, &own, Features::NONE, Some(&other.csr)).await;
    assert!(is_given(&mut client).await.certificate.is_empty());
    let keys: Vec<_> =
        certificates(&world, node_id).await.iter().map(|one| one.certificate.key).collect();
    assert_eq!(keys, [approved.hash()]);
}

#[tokio::test]
async fn a_device_without_tls_gets_a_certificate_that_its_gateway_signed() {
    let (world, own) = (World::new().await, fresh());
    let mut client = asks(&world, &own, Features::CERTIFICATE, None).await;
    let node_id = approves(&world.gateway).await;
    let given = is_given(&mut client).await;
    let gateway = world.gateway.keys().signing.public();
    assert_eq!(given.signer, Some(SignerKey::of(&gateway)), "the node learns by what to verify");
    let verified = verify_compact(&given.certificate, &gateway, super::super::unix()).unwrap();
    assert_eq!(verified.fields().node_id, node_id);
    assert_eq!(verified.fields().signing, own.signing.public());
    assert_eq!(verified.key(), KeyHash::of_ed25519(&own.signing.public()));
}

#[tokio::test]
async fn a_device_learns_on_each_link_by_what_to_verify_the_certificate_that_it_renews() {
    let (world, own) = (World::new().await, fresh());
    let mut client = asks(&world, &own, Features::CERTIFICATE, None).await;
    let node_id = approves(&world.gateway).await;
    let given = is_given(&mut client).await;
    stores(&mut client, &given).await;
    for links_before in 0..2 {
        let mut client = links(&world, &own, None).await;
        client.say(&FromNode::Heartbeat(Heartbeat::default())).await;
        let signer = hears(&mut client, |message| match message {
            FromGateway::CertificateKey(key) => Some(key),
            _ => None,
        });
        assert_eq!(Some(signer.await), given.signer, "{links_before}");
        let (_, renewed) = renews(&mut client, &own, None).await.expect("a new one");
        let gateway = given.signer.unwrap().key().unwrap();
        let verified = verify_compact(&renewed, &gateway, super::super::unix()).unwrap();
        assert_eq!(verified.fields().node_id, node_id);
    }
    world.gateway.evict(node_id).await.unwrap();
    let now = super::super::unix();
    for stored in certificates(&world, node_id).await {
        assert!(world.gateway.allow_list().still_allows(&stored.certificate.serial, now).is_err());
    }
}

#[tokio::test]
async fn a_node_renews_over_its_link_by_its_own_signature_and_only_so_often_a_day() {
    let (world, own, tls) = (World::new().await, fresh(), TlsKey::new());
    let given = certified(&world, &own, &tls).await;
    let mut client = links(&world, &own, None).await;
    // A signature of another node is worth nothing, and ends the link or is refused.
    let mut numbers = HashSet::new();
    for _ in 1..CERTIFICATES_A_DAY {
        let next = TlsKey::new();
        let (number, set) = renews(&mut client, &own, Some(&next.csr)).await.expect("a new one");
        assert!(numbers.insert(number) && !leaf(&set).is_empty());
    }
    assert_eq!(renews(&mut client, &own, Some(&TlsKey::new().csr)).await, None);
    let all = certificates(&world, given.node_id).await;
    assert_eq!(all.len(), CERTIFICATES_A_DAY as usize);
}

#[tokio::test]
async fn a_node_renews_nothing_with_the_signature_of_another() {
    let (world, own, tls) = (World::new().await, fresh(), TlsKey::new());
    let given = certified(&world, &own, &tls).await;
    let mut client = links(&world, &own, None).await;
    let (thief, next) = (fresh(), TlsKey::new());
    let csr = Csr::new(&next.csr).unwrap();
    let forged = CertificateRenewal::sign(Some(csr), &thief.signing, &client.hash);
    client.say(&FromNode::Renew(Renew::Certificate(forged))).await;
    let issued = loop {
        let heard = client.hear(|message| match message {
            FromGateway::Certificate { .. } => Some(true),
            FromGateway::NotIssued | FromGateway::Bye(_) => Some(false),
            _ => None,
        });
        match heard.await {
            Ok(Some(issued)) => break issued,
            Ok(None) => {}
            Err(_) => break false,
        }
    };
    assert!(!issued);
    assert_eq!(certificates(&world, given.node_id).await.len(), 1);
}

#[tokio::test]
async fn a_revoked_key_gets_no_certificate_under_another_id() {
    let (world, own, tls) = (World::new().await, fresh(), TlsKey::new());
    certified(&world, &own, &tls).await;
    let key = RevokedCertificates::Key(tls.hash());
    assert_eq!(world.gateway.revoke_certificates(key).await.unwrap().len(), 1);
    let other = fresh();
    let mut client = asks(&world, &other, Features::NONE, Some(&tls.csr)).await;
    let node_id = approves(&world.gateway).await;
    assert!(is_given(&mut client).await.certificate.is_empty());
    assert!(certificates(&world, node_id).await.is_empty());
}

#[tokio::test]
async fn an_evicted_node_loses_its_link_and_its_certificates_and_comes_back_by_renewing() {
    let (world, own, tls) = (World::new().await, fresh(), TlsKey::new());
    let given = certified(&world, &own, &tls).await;
    let mut client = links(&world, &own, None).await;
    let before = certificates(&world, given.node_id).await[0].certificate.epoch;
    // The link stands once it answers.
    renews(&mut client, &own, None).await.expect("a certificate");
    world.gateway.evict(given.node_id).await.unwrap();
    let bye = hears(&mut client, |message| match message {
        FromGateway::Bye(bye) => Some(bye),
        _ => None,
    });
    assert_eq!(bye.await, Bye::Done);
    let standing = world.gateway.inner.store.node_standing(given.node_id).await.unwrap().unwrap();
    assert!(standing.epoch != before && standing.may_link);
    let mut client = links(&world, &own, None).await;
    renews(&mut client, &own, Some(&TlsKey::new().csr)).await.expect("a new one");
    let newest = certificates(&world, given.node_id).await[0].certificate;
    assert_eq!(newest.epoch, standing.epoch);
}

#[tokio::test]
async fn pairing_anew_and_revoking_the_node_end_its_earlier_certificates() {
    let (world, own, tls) = (World::new().await, fresh(), TlsKey::new());
    let given = certified(&world, &own, &tls).await;
    let record = world.gateway.load(given.node_id).await.unwrap().record;
    world.gateway.pairs_anew(&record).await.unwrap();
    let state = |all: &[StoredCertificate]| all[0].certificate.state;
    assert_eq!(state(&certificates(&world, given.node_id).await), CertificateState::Revoked);
    let mut client = links(&world, &own, None).await;
    renews(&mut client, &own, Some(&TlsKey::new().csr)).await.expect("a new one");
    world.gateway.decide(given.node_id, &Decision::Unpair).await.unwrap();
    assert_eq!(state(&certificates(&world, given.node_id).await), CertificateState::Revoked);
}

#[tokio::test]
async fn a_certificate_is_found_by_its_serial_number_and_by_its_fingerprint() {
    let (world, own, tls) = (World::new().await, fresh(), TlsKey::new());
    let given = certified(&world, &own, &tls).await;
    let stored = certificates(&world, given.node_id).await.remove(0);
    let serial = stored.certificate.serial.to_string();
    let fingerprint: Vec<_> = stored.fingerprint.iter().map(|byte| format!("{byte:02X}")).collect();
    for name in [serial, fingerprint.join(":"), fingerprint.concat().to_lowercase()] {
        assert_eq!(world.gateway.certificate_named(&name).await.unwrap(), stored);
    }
    assert!(world.gateway.certificate_named("00").await.is_err());
}
