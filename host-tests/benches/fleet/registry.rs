//! Fills a registry with paired nodes that have certificates.

use std::sync::Arc;
use std::time::Instant;

use handfast_core::flow::identity::certificate::{Certificate, CertificateState};
use handfast_core::grant::capability::Holder;
use handfast_core::grant::certificate::{KeyHash, Serial};
use handfast_core::grant::scope::ScopesBuf;
use handfast_core::registry::grants::{Grant, GrantId, State};
use handfast_core::registry::record::{AskMethod, Asked, Credential, Mode, Record, Standing};
use handfast_core::registry::sessions::Maker;
use handfast_core::{Label, Span, UnixTime};
use handfast_server::ca::{Authority, RequestedKey};
use handfast_store::{Certificates, SqliteStore, Store, StoredCertificate};
use tokio::task::JoinSet;

use crate::nodes::{Fleet, chance, id_of, keys_of, now};
use crate::process::cpu;

/// Number of nodes that are written at the same time.
const WRITERS: u32 = 500;
/// The permissions of a node.
pub(crate) const SCOPES: &str = "read:/lights/**\nwrite:/lights/**\n";

/// A node as it is written.
struct Paired {
    record: Record,
    grant: Grant,
    certificate: StoredCertificate,
}

/// Writes this many nodes. The first ones get real certificates, which are kept for them.
pub(crate) async fn fill(store: &Arc<SqliteStore>, fleet: &Fleet, nodes: u32, linking: u32) {
    if nodes == 0 {
        return;
    }
    let authority = Arc::new(fleet.authority());
    let asked = Arc::new(RequestedKey::from_csr(&fleet.csr()).unwrap());
    let (begun, spent) = (Instant::now(), cpu("self"));
    let mut tasks = JoinSet::new();
    for first in 0..WRITERS.min(nodes) {
        let (store, fleet) = (Arc::clone(store), fleet.clone());
        let (authority, asked) = (Arc::clone(&authority), Arc::clone(&asked));
        tasks.spawn(async move {
            for number in (first..nodes).step_by(WRITERS as usize) {
                let signed = (number < linking).then(|| sign(&authority, &asked, number));
                if let Some((_, certificate)) = &signed {
                    fleet.keep_certificate(number, certificate);
                }
                write(&store, paired(number, signed)).await;
            }
        });
    }
    tasks.join_all().await;
    let spent = (cpu("self") - spent) * 1e6 / f64::from(nodes);
    eprintln!(
        "  (filled in {:.1?}: {:.0} nodes a second, {spent:.0} µs CPU each, keys included)",
        begun.elapsed(),
        f64::from(nodes) / begun.elapsed().as_secs_f64()
    );
}

/// Writes this many nodes without certificates.
pub(crate) async fn fill_without_certificates(store: &Arc<dyn Store>, nodes: u32) {
    let mut tasks = JoinSet::new();
    for first in 0..WRITERS.min(nodes) {
        let store = Arc::clone(store);
        tasks.spawn(async move {
            for number in (first..nodes).step_by(WRITERS as usize) {
                let Paired { record, grant, .. } = paired(number, None);
                let (node_id, id, now) = (record.node_id, grant.id, now());
                store.offer(record, "{}".to_owned(), None, grant, None, now).await.unwrap();
                store.activate(node_id, id, now).await.unwrap();
            }
        });
    }
    tasks.join_all().await;
}

fn sign(authority: &Authority, asked: &RequestedKey, number: u32) -> (Certificate, Vec<u8>) {
    let issued = authority.issue(id_of(number), asked, now()).unwrap();
    let certificate = Certificate {
        serial: issued.serial,
        node_id: id_of(number),
        number: 1,
        key: KeyHash::of(&issued.public_key),
        epoch: 0,
        not_before: issued.validity.not_before,
        not_after: issued.validity.not_after,
        state: CertificateState::Issued,
    };
    (certificate, issued.certificate.to_vec())
}

fn paired(number: u32, signed: Option<(Certificate, Vec<u8>)>) -> Paired {
    let (node_id, now) = (id_of(number), now());
    let label = |text: &str| Label::parse(text).unwrap().into();
    let record = Record {
        node_id,
        name: label(&format!("node {number}")),
        room: label("hall"),
        address: [127, 0, 0, 1].into(),
        keys: Some(Holder::of(&keys_of(number))),
        asked_at: now,
        asked: Asked::by(AskMethod::Approval),
        standing: Standing::Paired { credential: Credential::Keys, mode: Mode::Full },
    };
    let end = now.after(Span::from_secs(86_400));
    let grant = Grant {
        id: GrantId::new(&chance()),
        node_id,
        capability: None,
        not_before: now,
        expires: Some(end),
        scopes: ScopesBuf::parse(SCOPES).unwrap(),
        moved: 0,
        state: State::Offered { until: end },
        maker: Maker::Operator,
    };
    let unsigned = || {
        let certificate = Certificate {
            serial: Serial::new(&chance()),
            node_id,
            number: 1,
            key: KeyHash::of(node_id.as_bytes()),
            epoch: 0,
            not_before: UnixTime::from_secs(0),
            not_after: end,
            state: CertificateState::Issued,
        };
        (certificate, vec![0; 500])
    };
    let (certificate, encoded) = signed.unwrap_or_else(unsigned);
    let fingerprint = *KeyHash::of(certificate.serial.as_bytes()).as_bytes();
    let certificate =
        StoredCertificate { certificate, issued_at: now, ended: None, fingerprint, encoded };
    Paired { record, grant, certificate }
}

/// Returns the CPU time, in microseconds, of all that the registry does for one pairing with a
/// certificate.
pub(crate) async fn cost(pairings: u32) -> f64 {
    let home = tempfile::tempdir().unwrap();
    let store = Arc::new(SqliteStore::open(&home.path().join("handfast.db")).unwrap());
    let prepared: Vec<_> = (0..pairings).map(|number| (number, paired(number, None))).collect();
    let (spent, mut tasks) = (cpu("self"), JoinSet::new());
    for (number, paired) in prepared {
        if tasks.len() >= WRITERS as usize {
            tasks.join_next().await.unwrap().unwrap();
        }
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            let node_id = id_of(number);
            let channel = paired.record.keys.unwrap().channel;
            for _ in 0..2 {
                assert!(store.by_key(&channel).await.unwrap().is_none());
                assert!(!store.is_key_revoked(&channel).await.unwrap());
            }
            let Paired { record, grant, certificate } = paired;
            let (id, now) = (grant.id, now());
            let entered =
                store.offer_certified(record, "{}".to_owned(), grant, None, certificate, now);
            entered.await.unwrap().1.unwrap();
            store.load(node_id).await.unwrap();
            store.issuing(node_id, now).await.unwrap();
            store.certificates_of(node_id, 1).await.unwrap();
            store.grants(node_id).await.unwrap();
            store.activate_certified(node_id, id, 1, now).await.unwrap();
        });
    }
    tasks.join_all().await;
    (cpu("self") - spent) * 1e6 / f64::from(pairings)
}

async fn write(store: &SqliteStore, Paired { record, grant, mut certificate }: Paired) {
    let (node_id, id, now) = (record.node_id, grant.id, now());
    store.offer(record, "{}".to_owned(), None, grant, None, now).await.unwrap();
    store.activate(node_id, id, now).await.unwrap();
    let issuing = store.issuing(node_id, now).await.unwrap().unwrap();
    (certificate.certificate.number, certificate.certificate.epoch) =
        (issuing.number, issuing.epoch);
    store.issue(certificate, now).await.unwrap().unwrap();
}
