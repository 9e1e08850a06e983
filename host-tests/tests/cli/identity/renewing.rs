//! Renewal over mutual TLS. A certificate is renewed after hours, so the gateway runs in this
//! process, with a clock that the test sets, and the node with libfaketime.

use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use handfast_core::Instant;
use handfast_core::grant::scope::ScopesBuf;
use handfast_core::secret::Secret;
use handfast_server::ca::CertificateSettings;
use handfast_server::operator::NewCode;
use handfast_server::{Gateway, LocalClock, MtlsListening, SystemClock, serve_mtls};
use handfast_store::{CertificateFilter, SqliteStore, StoredCertificate};
use tempfile::TempDir;
use tokio::net::TcpListener;

use super::super::gateway::private_dir;
use super::super::nodes::status;
use super::{RunningNode, copy};
use crate::binaries::{program, text};
use crate::conformance::{Served, eventually};

/// Hours from the pairing to the renewal: more than two thirds of the life.
const PASSED: u32 = 17;

/// The clock of this machine, moved by some seconds.
#[derive(Clone, Default)]
struct MovedClock(Arc<AtomicI64>);

impl SystemClock for MovedClock {
    fn wall(&self) -> Duration {
        let moved = self.0.load(Ordering::SeqCst);
        let by = Duration::from_secs(moved.unsigned_abs());
        let wall = LocalClock::default().wall();
        if moved < 0 { wall - by } else { wall + by }
    }

    fn elapsed(&self) -> Instant {
        LocalClock::default().elapsed()
    }

    fn is_synchronised(&self) -> bool {
        true
    }
}

/// Returns the certificates in force.
async fn in_force(gateway: &Gateway) -> Vec<StoredCertificate> {
    gateway.certificates(CertificateFilter::Live).await.unwrap()
}

/// Pairs a node with a code.
async fn pair(served: &Served) -> TempDir {
    // The program may have to be built first, and a code that nobody confirms lives for a minute.
    let mut command = program("handfast-node");
    let permissions = ScopesBuf::parse("read:/**\n").unwrap();
    let new = NewCode { permissions: Some(permissions), ..NewCode::default() };
    let minted = served.gateway.mint_code(new).await.unwrap();
    let secret = String::from_utf8(minted.code.code.expose().to_vec()).unwrap();
    let code = format!("{}-{secret}\n", minted.code.selector.as_str());
    let (state, at) = (private_dir(), format!("ws://{}", served.address));
    command.args(["pair", "--code", "--name", "Desk", "--gateway", &at, "--state"]);
    command.arg(state.path()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let done = tokio::task::spawn_blocking(move || {
        use std::io::Write;
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(code.as_bytes()).unwrap();
        text(&child.wait_with_output().unwrap())
    });
    let (code, out, err) = done.await.unwrap();
    assert_eq!(code, 0, "{out}{err}");
    state
}

async fn listen(gateway: &Gateway) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let listening = MtlsListening::new(gateway, listener, true).unwrap();
    tokio::spawn(serve_mtls(gateway.clone(), listening, std::future::pending()));
    address
}

/// Waits on a thread that may block.
async fn links(node: RunningNode, scheme: &'static str, times: usize) -> RunningNode {
    let waits = move || {
        node.links(scheme, times);
        node
    };
    tokio::task::spawn_blocking(waits).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs libfaketime"]
async fn a_certificate_renewed_over_mutual_tls_takes_the_place_of_the_old_one_once_it_is_used() {
    let data = private_dir();
    let clock = MovedClock::default();
    let certificates = CertificateSettings {
        directory: Some(data.path().join("ca")),
        ..CertificateSettings::default()
    };
    let store = SqliteStore::open(&data.path().join("handfast.db")).unwrap();
    let gateway = Gateway::builder(store).certificates(certificates).clock(clock.clone());
    let gateway = gateway.store_key(Secret::new([7; 32]));
    let served = Served::over(gateway.start().await.unwrap()).await;
    let gateway = &served.gateway;
    let at = format!("mtls://{}", listen(gateway).await);
    let state = pair(&served).await;
    let old = status(state.path())["certificate"]["serial"].as_str().unwrap().to_owned();
    // Of its 24 hours 17 have passed, so it is renewed at once.
    clock.0.store(i64::from(PASSED) * 3600, Ordering::SeqCst);
    let later = LocalClock::default().wall().as_secs() + u64::from(PASSED) * 3600;
    eventually(async || gateway.clock().now.as_secs() + 60 > later).await;

    let before = copy(&state);
    let node = RunningNode::start_ahead(PASSED, state.path(), &["--gateway", &at]);
    let mut node = links(node, "mtls", 1).await;
    eventually(async || node.log().contains("the certificate was renewed")).await;
    assert!(!node.log().contains("gateway=ws://"), "over mutual TLS alone: {}", node.log());
    let serials = async || {
        let all = in_force(gateway).await;
        all.iter().map(|one| one.certificate.serial.to_string()).collect::<Vec<_>>()
    };
    eventually(async || serials().await.len() == 2).await;
    assert!(serials().await.contains(&old), "both are in force");
    node.running.kill();

    // The first link with the new one ends the old one.
    let node = RunningNode::start_ahead(PASSED, state.path(), &["--gateway", &at]);
    let mut node = links(node, "mtls", 1).await;
    eventually(async || serials().await.len() == 1).await;
    assert!(!serials().await.contains(&old));
    node.running.kill();
    let late = RunningNode::start_ahead(PASSED, before.path(), &["--gateway", &at]);
    let refused = format!("does not accept certificate {old}");
    eventually(async || late.log().contains(&refused)).await;
}
