//! The requirements on every store, as named cases.
//! [`conformance_tests!`](crate::conformance_tests) makes a test of each.

pub mod addresses;
pub mod admission;
pub mod audit;
mod cases;
pub mod certificates;
pub mod certified;
pub mod changes;
pub mod clock_steps;
pub mod clones;
pub mod codes;
pub mod deliveries;
pub mod dispatch_deadlines;
pub mod dispatch_lives;
pub mod dispatches;
pub mod grants;
pub mod guesses;
pub mod inbound;
pub mod keyed;
pub mod known_keys;
pub mod lives;
pub mod logins;
pub mod makers;
#[cfg(feature = "postgres")]
mod nats_server;
pub mod policies;
#[cfg(feature = "postgres")]
mod postgres_server;
pub mod provisioning;
pub mod reading;
pub mod redeeming;
pub mod replacements;
pub mod revocation;
pub mod senders;
pub mod sessions;
pub mod timekeeping;

use std::net::IpAddr;

use handfast_core::crypto::{ed25519, x25519};
use handfast_core::grant::capability::{self, Holder};
use handfast_core::grant::scope::ScopesBuf;
use handfast_core::grant::session::SessionHash;
use handfast_core::grant::token::TokenHash;
use handfast_core::limits::Limits;
use handfast_core::registry::admission::PendingRequest;
use handfast_core::registry::codes::{CodeId, Counted, Kind};
use handfast_core::registry::grants::{Grant, GrantId, State};
use handfast_core::registry::record::{
    AskMethod, Asked, Cause, Credential, Mode, Record, Standing,
};
use handfast_core::registry::sessions::{Maker, Session, SessionId};
use handfast_core::wire::native::pair::Selector;
use handfast_core::wire::registration::{PairRequest, Profile};
use handfast_core::wire::setup::Nonce;
use handfast_core::{Entropy, Label, NodeId, Source, Span, UnixTime};

#[cfg(feature = "postgres")]
pub use nats_server::NatsServer;
#[cfg(feature = "postgres")]
pub use postgres_server::PostgresServer;

use crate::{Entry, Filter, Listed, SetupCode, Store, StoredCode, Version};

/// The time at which the cases begin.
pub const START: UnixTime = UnixTime::from_secs(1_800_000_000);

/// Returns a time this many seconds after [`START`].
#[must_use]
pub fn at(seconds: u64) -> UnixTime {
    START.after(Span::from_secs(seconds))
}

/// Returns a request with this name and address, made at [`START`]. Each call gives another id.
///
/// # Panics
/// If the name or the address is invalid.
#[must_use]
pub fn asking(name: &str, address: &str, limits: &Limits) -> PendingRequest {
    asking_at(name, address, limits, START)
}

fn asking_at(name: &str, address: &str, limits: &Limits, now: UnixTime) -> PendingRequest {
    let request =
        PairRequest { name: label(name), room: label("kitchen"), profile: Profile::EMPTY };
    let address: IpAddr = address.parse().expect("an address");
    PendingRequest::new(&request, address, now, limits, &Entropy::from_recorded(fresh()))
}

/// Returns a record as an import makes it. Each call gives another id.
#[must_use]
pub fn record(standing: Standing) -> Record {
    Record {
        node_id: NodeId::new(&Entropy::from_recorded(fresh())),
        name: label("imported").into(),
        room: label("hall").into(),
        address: [192, 0, 2, 7].into(),
        keys: None,
        asked_at: START,
        asked: Asked::by(AskMethod::Token),
        standing,
    }
}

/// The request of a node with keys.
pub const ASKED: Asked = Asked::by(AskMethod::Approval);

/// Returns the keys of a node. Each call gives others.
#[must_use]
pub fn keys() -> Holder {
    let mut seed = [0; 32];
    seed[..16].copy_from_slice(&fresh());
    let entropy = || Entropy::from_recorded(seed);
    Holder {
        channel: *x25519::KeyPair::generate(&entropy()).public(),
        signing: Some(ed25519::KeyPair::generate(&entropy()).public()),
    }
}

/// Returns a record of a node that is paired by its keys. Each call gives another.
#[must_use]
pub fn keyed() -> Record {
    let standing = Standing::Paired { credential: Credential::Keys, mode: Mode::Full };
    Record { keys: Some(keys()), asked: ASKED, ..record(standing) }
}

/// Returns a grant with scopes for a day, offered at [`START`] for an hour. Each call gives
/// another.
#[must_use]
pub fn grant(node_id: NodeId) -> Grant {
    let mut capability = [0xca; 32];
    capability[..16].copy_from_slice(&fresh());
    Grant {
        id: GrantId::from_bytes(fresh()),
        node_id,
        capability: Some(capability::Id::from_bytes(capability)),
        scopes: scopes(),
        not_before: START,
        expires: Some(at(24 * 3600)),
        moved: 0,
        state: State::Offered { until: at(3600) },
        maker: Maker::Operator,
    }
}

/// Returns a PIN for this node, or a code, for five minutes after [`START`] and one use. Each call
/// gives another.
#[must_use]
pub fn code(kind: Kind) -> StoredCode {
    StoredCode {
        id: CodeId::from_bytes(fresh()),
        counted: Counted { kind, expires: at(300), guesses: 0, uses_left: 1 },
        sealed: b"a sealed secret".to_vec(),
        scopes: scopes(),
        grant_for: None,
        created_at: START,
        label: "the kitchen's".to_owned(),
        maker: Maker::Operator,
        source: None,
        provisions: None,
    }
}

/// Returns a source, for cases in which it does not matter.
#[must_use]
pub fn here() -> Source {
    source(1)
}

/// Returns one of several sources.
fn source(number: u8) -> Source {
    Source::of([192, 0, 2, number].into())
}

/// Returns a [`code`] for a fresh node.
#[must_use]
pub fn pin() -> StoredCode {
    code(Kind::Pin(keys().channel))
}

/// Returns a code with this selector.
fn selected(selector: &str) -> StoredCode {
    code(Kind::Code(Selector::parse(selector).expect("a selector")))
}

fn scopes() -> ScopesBuf {
    ScopesBuf::parse("read:/lights/**\nwrite:/lights/*\n").expect("scopes")
}

/// Returns a companion's session of an hour from [`START`]. Each call gives another.
#[must_use]
pub fn session() -> Session {
    let mut hash = [0x5e; 32];
    hash[..16].copy_from_slice(&fresh());
    Session {
        id: SessionId::from_bytes(fresh()),
        hash: SessionHash::from_bytes(hash),
        profile: label("companion-v1").into(),
        device_label: None,
        issued_at: START,
        expires_at: at(3600),
        revoked_at: None,
        over: false,
        maker: Maker::Operator,
        prolonged: None,
    }
}

/// Returns a setup code that ends this many seconds after [`START`]. Each call gives another.
#[must_use]
pub fn setup_code(seconds: u64) -> SetupCode {
    SetupCode { nonce: Nonce::from_bytes(fresh()), expires_at: at(seconds), maker: Maker::Operator }
}

/// Returns bytes that differ from call to call, distributed as ids are.
fn fresh() -> [u8; 16] {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&next.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    bytes[8..].copy_from_slice(&next.to_be_bytes());
    bytes
}

fn label(text: &str) -> Label<'_> {
    Label::parse(text).expect("a label")
}

fn token(byte: u8) -> Credential {
    Credential::Token(TokenHash::from_bytes([byte; 32]))
}

pub(crate) fn paired() -> Standing {
    Standing::Paired { credential: token(7), mode: Mode::Full }
}

fn revoked() -> Standing {
    Standing::Revoked { cause: Cause::Unpaired }
}

pub(crate) async fn load(store: &dyn Store, id: NodeId) -> Option<(Record, Version)> {
    store.load(id).await.expect("load").map(|stored| (stored.record, stored.version))
}

async fn entry(store: &dyn Store, id: NodeId) -> Entry {
    let mut found = store.find(id.text().as_str(), 2).await.expect("find");
    assert_eq!(found.len(), 1, "{id} finds exactly itself");
    found.remove(0).expect("a good record")
}

fn ids(listed: &[Listed]) -> Vec<NodeId> {
    listed.iter().map(crate::node_id).collect()
}

async fn all(store: &dyn Store, filter: Filter, now: UnixTime) -> Vec<NodeId> {
    ids(&store.list(filter, None, usize::MAX, now).await.expect("list"))
}
