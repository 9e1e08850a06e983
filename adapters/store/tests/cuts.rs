//! A registry whose log breaks off: at the end of every write, and in the middle of it.

use std::net::IpAddr;
use std::path::Path;

use handfast_core::flow::identity::clone_counter::Shown;
use handfast_core::link::dispatch::{DispatchEnd, DispatchEvent};
use handfast_core::registry::record::{Cause, Standing};
use handfast_core::registry::sessions::Maker;
use handfast_core::wire::native::link::DispatchId;
use handfast_core::{NodeId, Span};
use handfast_store::conformance::certificates::signed;
use handfast_store::conformance::{START, at, keyed};
use handfast_store::{
    Capability, Certificates, Clones, DispatchReport, DispatchTask, Dispatches, LinkedFrom,
    RevokedCertificates, SqliteStore, Store, StoredCertificate,
};

/// Length of the header of SQLite's write-ahead log, and of the one before each page in it.
const LOG_HEADER: usize = 32;
const FRAME_HEADER: usize = 24;

const NODE_HAS_IT: DispatchId = DispatchId::from_bytes([4; 16]);

/// All that the registry says of a node, as text.
async fn told(store: &SqliteStore, id: NodeId) -> String {
    let loaded = store.load(id).await.unwrap().map(|stored| stored.record.standing);
    let certificates = store.certificates_of(id, 9).await.unwrap();
    let allowed = store.allow_list(START).await.unwrap();
    let (standing, counter) =
        (store.node_standing(id).await.unwrap(), store.clone_counter(id).await.unwrap());
    let (tasks, can) =
        (store.dispatches_of(id, 9).await.unwrap(), store.capabilities(id).await.unwrap());
    format!("{loaded:?} {certificates:?} {allowed:?} {standing:?} {counter:?} {tasks:?} {can:?}")
}

async fn issue(store: &SqliteStore, id: NodeId) -> StoredCertificate {
    let issuing = store.issuing(id, START).await.unwrap().unwrap();
    let certificate = signed(id, issuing, START);
    store.issue(certificate.clone(), START).await.unwrap().unwrap();
    certificate
}

/// Does everything to a node that certificates, marks and tasks know. Returns what the registry
/// said before the first and after each operation.
async fn live(store: &SqliteStore, id: NodeId) -> Vec<String> {
    let mut all = Vec::new();
    macro_rules! after {
        ($($operation:expr;)*) => {$(
            all.push(told(store, id).await);
            $operation;
        )*};
    }
    let node = handfast_core::registry::record::Record { node_id: id, ..keyed() };
    let echo = Capability {
        name: "echo".to_owned(),
        version: "1".to_owned(),
        available: true,
        idempotent: false,
    };
    let task = DispatchTask {
        id: NODE_HAS_IT,
        node_id: id,
        capability: "echo".to_owned(),
        input: b"{}".to_vec(),
        max_payload: 100,
        maker: Maker::Operator,
    };
    let step = async |event, report| {
        store.step_dispatch(id, NODE_HAS_IT, event, report, START).await.unwrap().unwrap()
    };
    let result = Some(DispatchReport::Result(b"2".to_vec()));
    let link = |seconds| LinkedFrom { address: IpAddr::from([192, 0, 2, 1]), at: at(seconds) };
    let (old, new);
    after! {
        store.insert(node, "{}".to_owned(), START).await.unwrap();
        store.announce(id, echo).await.unwrap();
        old = issue(store, id).await;
        store.confirm_certificate(id, old.certificate.serial).await.unwrap();
        new = issue(store, id).await;
        store.certificate_used(new.certificate.serial, START).await.unwrap();
        store.enqueue(task, Span::from_secs(60), START).await.unwrap().unwrap();
        step(DispatchEvent::Pushed { now: START }, None).await;
        step(DispatchEvent::Outcome(DispatchEnd::Succeeded), result).await;
        store.linked(id, Shown::Nothing, link(0)).await.unwrap();
        store.mark_stored(id, 1, at(1)).await.unwrap();
        store.linked(id, Shown::Nothing, link(9_000)).await.unwrap();
        store.release(id, at(9_001)).await.unwrap();
        store.evict(id, new.certificate.epoch).await.unwrap();
        issue(store, id).await;
        store.revoke_certificates(RevokedCertificates::Node(id), START).await.unwrap();
        revoke(store, id).await;
    }
    all.push(told(store, id).await);
    all
}

async fn revoke(store: &SqliteStore, id: NodeId) {
    let read_at = store.load(id).await.unwrap().unwrap().version;
    let revoked = Standing::Revoked { cause: Cause::Unpaired };
    store.save(id, read_at, revoked, START).await.unwrap();
}

/// Opens the registry as a power cut leaves it that let this much of the log reach the disk.
async fn after_a_cut(database: &[u8], log: &[u8], id: NodeId) -> String {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("handfast.db");
    write(&path, database);
    write(&directory.path().join("handfast.db-wal"), log);
    let (store, _) = SqliteStore::open_accepting_older(&path).unwrap();
    told(&store, id).await
}

fn write(path: &Path, bytes: &[u8]) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, bytes).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_is_cut_off_at_any_write_is_as_before_or_after_a_whole_operation() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("handfast.db");
    // The tables are in the file, and the log begins with the first operation.
    drop(SqliteStore::open(&path).unwrap());
    let store = SqliteStore::open(&path).unwrap();
    let id = keyed().node_id;
    let states = live(&store, id).await;
    let database = std::fs::read(&path).unwrap();
    let log = std::fs::read(directory.path().join("handfast.db-wal")).unwrap();
    let page = usize::from(u16::from_be_bytes([database[16], database[17]]));
    let frame = FRAME_HEADER + page;
    let frames = (log.len() - LOG_HEADER) / frame;
    assert!(frames > states.len(), "{frames} writes");
    let mut reached = 0;
    for cut in 0..=frames {
        for more in [0, 1, frame / 2, frame - 1] {
            let end = (LOG_HEADER + cut * frame + more).min(log.len());
            let found = after_a_cut(&database, &log[..end], id).await;
            let state = states[reached..].iter().position(|state| *state == found);
            let state = state.unwrap_or_else(|| panic!("after {end} bytes of the log: {found}"));
            reached += state;
        }
    }
    assert_eq!(reached, states.len() - 1, "what was acknowledged last is there");
}
