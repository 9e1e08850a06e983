//! The gateway's side of pairing, over real stores: what a connection would ask for is asked here
//! without one.

mod approving;
mod keys;
mod requests;
mod windows;

use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use handfast_core::crypto::keys::OwnKeys;
use handfast_core::grant::capability::{self, Chain, Check};
use handfast_core::grant::scope::ScopesBuf;
use handfast_core::limits::Limits;
use handfast_core::registry::record::Mode;
use handfast_core::secret::Secret;
use handfast_core::wire::native::pair::Method;
use handfast_core::{Label, Name, Source};
use handfast_store::{MemoryStore, SqliteStore, Store};

use crate::builder::GatewayBuilder;
use crate::entropy;
use crate::events::{Event, Observer};
use crate::gateway::Gateway;
use crate::gateway::pairing_state::{PairingServices, StartError};
use crate::operator::codes::{CodeKind, NewCode};
use crate::policy::handler::{PairingDecision, PairingHandler, PairingRequest};
use crate::policy::request::{OwnedOffer, OwnedPrepared, OwnedRefusal, OwnedRequest, OwnedVerdict};
use crate::policy::rules::ApprovalTerms;
use crate::policy::settings::{OPEN_FOR, PairingSettings};

fn here() -> Source {
    Source::of(ADDRESS)
}

const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));

/// Keeps what it hears.
#[derive(Clone, Default)]
struct Ears(Arc<Mutex<Vec<Event>>>);

impl Observer for Ears {
    fn event(&self, event: &Event) {
        self.0.lock().unwrap().push(event.clone());
    }
}

impl Ears {
    fn count(&self, such: impl Fn(&Event) -> bool) -> usize {
        self.0.lock().unwrap().iter().filter(|event| such(event)).count()
    }
}

/// A handler that always says the same.
struct Says(PairingDecision);

#[async_trait]
impl PairingHandler for Says {
    async fn decide(&self, _: &PairingRequest<'_>) -> PairingDecision {
        self.0.clone()
    }
}

fn key() -> Secret<32> {
    Secret::new([7; 32])
}

fn scopes(text: &str) -> ScopesBuf {
    ScopesBuf::parse(text).unwrap()
}

fn approves(text: &str) -> Says {
    Says(PairingDecision::Approve {
        permissions: scopes(text),
        expires_in: None,
        mode: Mode::Full,
        message: None,
    })
}

/// Over both stores; the directory is the file's.
async fn each<F: Future<Output = ()>>(run: impl Fn(GatewayBuilder) -> F) {
    run(Gateway::builder(MemoryStore::default()).store_key(key())).await;
    let directory = tempfile::tempdir().unwrap();
    run(Gateway::builder(file(&directory)).store_key(key())).await;
}

fn file(directory: &tempfile::TempDir) -> SqliteStore {
    SqliteStore::open(&directory.path().join("handfast.db")).unwrap()
}

/// The same once whoever had it open has let go: a gateway that was dropped may still be finishing
/// something.
async fn let_go(directory: &tempfile::TempDir) -> SqliteStore {
    for _ in 0..500 {
        if let Ok(store) = SqliteStore::open(&directory.path().join("handfast.db")) {
            return store;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    file(directory)
}

fn node() -> OwnKeys {
    OwnKeys::generate(&entropy::draw())
}

fn asks(node: &OwnKeys, name: &str, method: Method) -> OwnedRequest {
    let label = |text| Name::from(Label::parse(text).unwrap());
    OwnedRequest {
        key: *node.channel.public(),
        signing: Some(node.signing.public()),
        name: label(name),
        room: label("kitchen"),
        profile: r#"{"mcu":"rp2040"}"#.to_owned(),
        method,
        wants: handfast_core::grant::scope::AskedScopesBuf::EMPTY,
        csr: None,
        address: ADDRESS,
        foreign_page: false,
        number: crate::entropy::number(),
    }
}

fn offered(verdict: OwnedVerdict) -> OwnedOffer {
    match verdict {
        OwnedVerdict::Offered(offer) => offer,
        other => panic!("no offer but {other:?}"),
    }
}

/// Whether the chain of an offer allows its holder something.
fn verifies(gateway: &Gateway, node: &OwnKeys, chain: &[u8]) -> ScopesBuf {
    let check = Check {
        gateway: &gateway.keys().signing.public(),
        channel: node.channel.public(),
        audience: None,
        now: gateway.inner.clock.unix(),
    };
    capability::verify(&Chain::from_bytes(chain).unwrap(), &check, |_| false)
        .unwrap()
        .scopes()
        .clone()
}

/// Shows a PIN and proves it, as a connection does after it was typed right.
async fn proves_pin(gateway: &Gateway, request: &OwnedRequest) -> OwnedVerdict {
    let OwnedPrepared::Pin { id, .. } = gateway.prepare(request).await else {
        panic!("no PIN is shown")
    };
    let store = &gateway.inner.store;
    let now = gateway.inner.clock.unix();
    store.reserve(Some(id), here(), now).await.unwrap().unwrap();
    assert!(store.spend(id, here(), now, now).await.unwrap());
    gateway.settle(request, Some(id)).await
}
