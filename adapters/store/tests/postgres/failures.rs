//! A database that stops, stalls, or is lost at the worst moment.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use handfast_core::NodeId;
use handfast_core::registry::record::{Cause, Standing};
use handfast_store::audit::Audit;
use handfast_store::conformance::{PostgresServer, START, record};
use handfast_store::{Filter, PostgresAddress, PostgresStore, SaveError, Store, StoreError};
use tokio::task::JoinSet;

use crate::shared;

/// Longest time that a call may take while the database does not answer: the queue, a statement,
/// and the connection that is opened for it.
const PATIENCE: Duration = Duration::from_secs(15);

/// Inserts a node. The outcome of the call is beside its id.
async fn insert(store: &PostgresStore) -> (NodeId, Result<(), StoreError>) {
    let entry = record(Standing::Revoked { cause: Cause::Unpaired });
    let id = entry.node_id;
    let outcome = store.insert(entry, "{}".to_owned(), START).await;
    (
        id,
        outcome.map_err(|error| match error {
            SaveError::Store(error) => error,
            other @ (SaveError::Conflict | SaveError::Missing) => panic!("{other}"),
        }),
    )
}

async fn exists(store: &PostgresStore, id: NodeId) -> bool {
    store.load(id).await.unwrap().is_some()
}

/// Checks that what was answered is so, and that no change is half made: a node and the entry in the
/// audit log about it are in one transaction.
async fn everything_is_as_it_was_answered(
    store: &PostgresStore,
    outcomes: &[(NodeId, Result<(), StoreError>)],
) {
    for (id, outcome) in outcomes {
        match outcome {
            Ok(()) => assert!(exists(store, *id).await, "{id} was acknowledged and is gone"),
            Err(StoreError::Unreachable(_) | StoreError::Timeout) => {
                assert!(!exists(store, *id).await, "{id} was not made, and is there: {outcome:?}");
            }
            Err(StoreError::OutcomeUnknown(_)) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
    let nodes = store.list(Filter::All, None, usize::MAX, START).await.unwrap();
    let head = store.audit_head(None).await.unwrap().unwrap();
    assert_eq!(nodes.len() as u64, head.size);
    assert_eq!(store.counts(START).await.unwrap().revoked, head.size);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_crashes_and_starts_under_load_leaves_nothing_half_done() {
    let server = Arc::new(PostgresServer::start());
    let address = server.database();
    let gateways = [(); 2].map(|()| Arc::new(PostgresStore::open(&address).unwrap()));
    let mut outcomes = Vec::new();
    for how in [PostgresServer::crash, PostgresServer::stop] {
        let until = Instant::now() + Duration::from_secs(3);
        let mut tasks = JoinSet::new();
        for number in 0..16 {
            let gateway = Arc::clone(&gateways[number % 2]);
            tasks.spawn(async move {
                let mut outcomes = Vec::new();
                while Instant::now() < until {
                    let begun = Instant::now();
                    outcomes.push(insert(&gateway).await);
                    assert!(begun.elapsed() < PATIENCE, "it took {:?}", begun.elapsed());
                    if outcomes.last().is_some_and(|(_, outcome)| outcome.is_err()) {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                }
                outcomes
            });
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        let server = Arc::clone(&server);
        let stopped = tokio::task::spawn_blocking(move || {
            how(&server);
            std::thread::sleep(Duration::from_millis(500));
            server.start_again();
        });
        let these = tasks.join_all().await.concat();
        stopped.await.unwrap();
        assert!(these.iter().any(|(_, outcome)| outcome.is_ok()));
        assert!(these.iter().any(|(_, outcome)| outcome.is_err()), "the server never stopped");
        outcomes.extend(these);
        // The gateways open new connections by themselves.
        for gateway in &gateways {
            outcomes.push(insert(gateway).await);
            assert!(outcomes.last().unwrap().1.is_ok(), "{:?}", outcomes.last());
        }
    }
    everything_is_as_it_was_answered(&gateways[0], &outcomes).await;
}

/// An administrator's session, whose transaction is open until this value is dropped.
pub(crate) struct Session(Child);

impl Session {
    pub(crate) fn start(database: &str, sql: &str) -> Self {
        let mut psql = shared().psql(database);
        let mut child =
            psql.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("psql starts");
        let mut stdin = child.stdin.take().unwrap();
        writeln!(stdin, "{sql}\n\\echo running").unwrap();
        child.stdin = Some(stdin);
        let mut told = [0; 1];
        let stdout = child.stdout.as_mut().unwrap();
        while told[0] != b'g' {
            stdout.read_exact(&mut told).unwrap();
        }
        Self(child)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_statements_that_hold_every_connection_end_in_a_time_out() {
    let name = shared().create();
    let store = Arc::new(PostgresStore::open(&shared().address(&name)).unwrap());
    let (id, outcome) = insert(&store).await;
    outcome.unwrap();
    let locked = Session::start(&name, "BEGIN; LOCK TABLE handfast.node;");
    let begun = Instant::now();
    let mut listings = JoinSet::new();
    for _ in 0..6 {
        let store = Arc::clone(&store);
        listings.spawn(async move { store.list(Filter::All, None, 10, START).await });
    }
    // The connections for reads by key are others, and this read needs none of the locked rows.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let asked = Instant::now();
    store.window().await.unwrap();
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());

    let outcomes = listings.join_all().await;
    assert!(
        outcomes.iter().all(|outcome| matches!(outcome, Err(StoreError::Timeout))),
        "{outcomes:?}"
    );
    assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
    drop(locked);
    assert_eq!(store.list(Filter::All, None, 10, START).await.unwrap().len(), 1);
    assert!(exists(&store, id).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_stalls_with_the_write_lock_holds_the_others_up_for_a_while_only() {
    let name = shared().create();
    let store = PostgresStore::open(&shared().address(&name)).unwrap();
    // As a gateway does that was stopped between two statements: the server ends its session.
    let lock = "SET idle_in_transaction_session_timeout = '5s'; BEGIN; SELECT pg_advisory_xact_lock(1214665588);";
    let mut psql = shared().psql(&name);
    let mut stalled =
        psql.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    writeln!(stalled.stdin.as_mut().unwrap(), "{lock}").unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let begun = Instant::now();
    let (id, outcome) = insert(&store).await;
    if let Err(error) = &outcome {
        assert!(matches!(error, StoreError::Timeout), "{error:?}");
    }
    assert_eq!(exists(&store, id).await, outcome.is_ok());
    let (later, outcome) = insert(&store).await;
    outcome.unwrap();
    assert!(begun.elapsed() > Duration::from_secs(3), "the lock was never held");
    assert!(begun.elapsed() < PATIENCE && exists(&store, later).await);
    stalled.kill().unwrap();
    stalled.wait().unwrap();
}

const PASS: u8 = 0;
const LOSE_THE_COMMIT: u8 = 1;
const LOSE_THE_ANSWER: u8 = 2;
const LOSE_THE_SERVER: u8 = 3;

/// A way to the server on which one commit, or the answer to it, can be lost.
fn faulty(database: &str) -> (PostgresAddress, Arc<AtomicU8>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(folder.path().join(".s.PGSQL.5432")).unwrap();
    let server = shared().socket();
    let fault = Arc::new(AtomicU8::new(PASS));
    let of = Arc::clone(&fault);
    std::thread::spawn(move || {
        for client in listener.incoming() {
            if of.load(Ordering::SeqCst) == LOSE_THE_SERVER {
                continue;
            }
            let (client, server) = (client.unwrap(), UnixStream::connect(&server).unwrap());
            let (mut from, mut to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut from, &mut to));
            let of = Arc::clone(&of);
            std::thread::spawn(move || carry(client, server, &of));
        }
    });
    let text = format!("host={} user=handfast dbname={database}", folder.path().display());
    (PostgresAddress::parse(&text).unwrap(), fault, folder)
}

fn carry(mut client: UnixStream, mut server: UnixStream, fault: &AtomicU8) {
    let mut bytes = [0; 64 << 10];
    while let Ok(length @ 1..) = client.read(&mut bytes) {
        let sent = &bytes[..length];
        let is_commit = sent.windows(6).any(|word| word == b"COMMIT");
        match fault.load(Ordering::SeqCst) {
            LOSE_THE_COMMIT | LOSE_THE_SERVER if is_commit => {
                let _ = fault.compare_exchange(
                    LOSE_THE_COMMIT,
                    PASS,
                    Ordering::SeqCst,
                    Ordering::SeqCst,
                );
                let _ = client.shutdown(std::net::Shutdown::Both);
                let _ = server.shutdown(std::net::Shutdown::Both);
                return;
            }
            LOSE_THE_ANSWER if is_commit => {
                fault.store(PASS, Ordering::SeqCst);
                let _ = client.shutdown(std::net::Shutdown::Both);
                let _ = server.write_all(sent);
                // The server commits before it notices that nobody listens.
                std::thread::sleep(Duration::from_millis(500));
                let _ = server.shutdown(std::net::Shutdown::Both);
                return;
            }
            _ => {
                if server.write_all(sent).is_err() {
                    return;
                }
            }
        }
    }
    let _ = server.shutdown(std::net::Shutdown::Both);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_is_lost_during_a_commit_leaves_no_doubt() {
    let name = shared().create();
    let (address, fault, _folder) = faulty(&name);
    let store = PostgresStore::open(&address).unwrap();
    for (how, is_made) in [(LOSE_THE_COMMIT, false), (LOSE_THE_ANSWER, true)] {
        fault.store(how, Ordering::SeqCst);
        let begun = Instant::now();
        let (id, outcome) = insert(&store).await;
        assert_eq!(fault.load(Ordering::SeqCst), PASS, "no commit was lost");
        match is_made {
            true => outcome.unwrap(),
            false => assert!(matches!(outcome, Err(StoreError::Unreachable(_))), "{outcome:?}"),
        }
        assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
        assert_eq!(exists(&store, id).await, is_made);
        // And the store goes on.
        let (id, outcome) = insert(&store).await;
        outcome.unwrap();
        assert!(exists(&store, id).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_lost_for_long_during_a_commit_leaves_the_outcome_unknown() {
    let name = shared().create();
    let (address, fault, _folder) = faulty(&name);
    let store = PostgresStore::open(&address).unwrap();
    fault.store(LOSE_THE_SERVER, Ordering::SeqCst);
    let begun = Instant::now();
    let (id, outcome) = insert(&store).await;
    assert!(matches!(outcome, Err(StoreError::OutcomeUnknown(_))), "{outcome:?}");
    assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
    fault.store(PASS, Ordering::SeqCst);
    assert!(!exists(&store, id).await, "reading again tells");
    insert(&store).await.1.unwrap();
}

#[test]
fn a_server_whose_certificate_is_not_from_the_authority_is_not_trusted() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let server = PostgresServer::start_with_tls(port);
    let address = |host| {
        let text = format!("host={host} port={port} user=handfast dbname=postgres sslmode=require");
        PostgresAddress::parse(&text).unwrap()
    };
    let refused = |address: PostgresAddress| {
        let error = PostgresStore::open(&address).unwrap_err();
        assert!(matches!(error, StoreError::Unreachable(_)), "{error:?}");
        error.to_string()
    };
    let own = server.certificate();
    PostgresStore::open(&address("localhost").with_authorities(&own).unwrap()).unwrap();
    // By its address it is another name.
    let other_name = refused(address("127.0.0.1").with_authorities(&own).unwrap());
    assert!(other_name.contains("certificate"), "{other_name}");
    // The system's authorities did not sign it.
    let unknown = refused(address("localhost"));
    assert!(unknown.contains("certificate"), "{unknown}");
}

#[test]
fn a_database_that_is_not_there_is_named_as_such() {
    let folder = tempfile::tempdir().unwrap();
    let text = format!("host={} user=handfast", folder.path().display());
    let refused = PostgresStore::open(&PostgresAddress::parse(&text).unwrap()).unwrap_err();
    assert!(matches!(refused, StoreError::Unreachable(_)), "{refused:?}");
    let refused = PostgresStore::open(&shared().address("nowhere")).unwrap_err();
    assert!(refused.to_string().contains("database \"nowhere\" does not exist"), "{refused}");
}
