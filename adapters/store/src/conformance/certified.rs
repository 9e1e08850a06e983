//! A grant and a certificate that are stored, or confirmed, in one step.
#![allow(missing_docs, reason = "the names say it")]

use std::sync::Arc;

use handfast_core::flow::identity::certificate::CertificateState;
use handfast_core::registry::grants::{Grant, State};
use handfast_core::registry::record::Record;

use super::certificates::signed;
use super::{START, at, grant, keyed};
use crate::{
    Activation, Issuing, NotStored, RevokedCertificates, SaveError, Store, StoredCertificate,
};

const FIRST: Issuing = Issuing { number: 1, epoch: 0, of_today: 0 };

async fn enter(
    store: &dyn Store,
    node: &Record,
    grant: &Grant,
    certificate: &StoredCertificate,
) -> Result<Result<(), NotStored>, SaveError> {
    let (node, grant, certificate) = (node.clone(), grant.clone(), certificate.clone());
    let entered = store.offer_certified(node, "{}".to_owned(), grant, None, certificate, START);
    entered.await.map(|(_, certified)| certified)
}

async fn state(store: &dyn Store, of: &StoredCertificate) -> CertificateState {
    let stored = store.certificate(of.certificate.serial).await.unwrap();
    stored.expect("it is kept").certificate.state
}

pub async fn a_node_is_entered_with_its_grant_and_its_first_certificate(store: Arc<dyn Store>) {
    let node = keyed();
    let (granted, first) = (grant(node.node_id), signed(node.node_id, FIRST, START));
    assert_eq!(enter(&*store, &node, &granted, &first).await.unwrap(), Ok(()));
    assert_eq!(store.grants(node.node_id).await.unwrap(), [granted]);
    assert_eq!(store.certificates_of(node.node_id, 9).await.unwrap(), [first]);

    // A node that is there already gets neither.
    let (another, second) = (grant(node.node_id), signed(node.node_id, FIRST, START));
    let again = enter(&*store, &node, &another, &second).await;
    assert!(matches!(again, Err(SaveError::Conflict)), "{again:?}");
    assert_eq!(store.certificate(second.certificate.serial).await.unwrap(), None);
}

pub async fn a_node_is_entered_without_a_certificate_that_cannot_be_stored(store: Arc<dyn Store>) {
    let node = keyed();
    let (granted, first) = (grant(node.node_id), signed(node.node_id, FIRST, START));
    let revoked = RevokedCertificates::Key(first.certificate.key);
    store.revoke_certificates(revoked, START).await.unwrap();
    let entered = enter(&*store, &node, &granted, &first).await.unwrap();
    assert_eq!(entered, Err(NotStored::KeyRevoked));
    assert_eq!(store.grants(node.node_id).await.unwrap(), [granted]);
    assert!(store.certificates_of(node.node_id, 9).await.unwrap().is_empty());
}

pub async fn a_grant_and_a_certificate_are_confirmed_in_one_step(store: Arc<dyn Store>) {
    let node = keyed();
    let (id, granted) = (node.node_id, grant(node.node_id));
    let first = signed(id, FIRST, START);
    assert_eq!(enter(&*store, &node, &granted, &first).await.unwrap(), Ok(()));
    let active = Activation::Active { ended: vec![] };
    // A number that the node has no certificate of confirms none.
    let confirmed = store.activate_certified(id, granted.id, 2, at(1)).await.unwrap();
    assert_eq!(confirmed, active);
    assert_eq!(store.grants(id).await.unwrap()[0].state, State::Active);
    assert_eq!(state(&*store, &first).await, CertificateState::Issued);
    for _ in 0..2 {
        let confirmed = store.activate_certified(id, granted.id, 1, at(2)).await.unwrap();
        assert_eq!(confirmed, active);
        assert_eq!(state(&*store, &first).await, CertificateState::Delivered);
    }
    // One that was revoked stays so.
    store.revoke_certificates(RevokedCertificates::Node(id), at(3)).await.unwrap();
    store.activate_certified(id, granted.id, 1, at(4)).await.unwrap();
    assert_eq!(state(&*store, &first).await, CertificateState::Revoked);
}
