//! Persistent storage of a gateway's registry.
//!
//! [`Store`] is the database interface of a gateway, in the words of the registry: one atomic,
//! durable write per decision, an optimistic version per record, and work per operation that does
//! not grow with the number of nodes. With the feature `sqlite`, which is on by default,
//! `SqliteStore` is a file, or lies in memory. With the feature `postgres`, `PostgresStore` is a database that several gateways may share. Each decision is made
//! once for all backends, in `ops`.
//!
//! [`MemoryStore`] is a registry that ends with the program, for tests and first steps. It is also
//! the reference of the suite that every store passes, which the feature `conformance` has.

mod addresses;
pub mod audit;
mod certificates;
mod clones;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
#[cfg(all(feature = "sqlite", feature = "postgres"))]
pub mod copy;
mod deliveries;
mod dispatches;
mod error;
pub mod held;
mod inbound;
mod known_keys;
mod logins;
mod makers;
mod memory;
mod node;
mod ops;
mod pairing;
mod policies;
#[cfg(feature = "postgres")]
mod postgres;
mod prefix;
mod provisioning;
mod replacements;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod rows;
mod rules;
mod sessions;
mod shared;
#[cfg(feature = "sqlite")]
mod sqlite;
mod store;
mod time;
#[cfg(all(feature = "sqlite", feature = "postgres"))]
mod transfer;
// Each backend uses a part of it.
#[cfg(any(feature = "sqlite", feature = "postgres"))]
#[cfg_attr(
    not(all(feature = "sqlite", feature = "postgres")),
    allow(dead_code, unused_imports, unused_macros)
)]
mod value;
mod vault;

pub use addresses::{AddressedNode, Addresses, NodeAddresses};
pub use certificates::{
    Allowed, CertificateFilter, Certificates, Issuing, NotStored, RevokedCertificates,
    StoredCertificate,
};
pub use clones::{Clones, LinkedFrom, StoredCounter};
pub use deliveries::{Delivered, Deliveries, Delivery, Settlement};
pub use dispatches::{
    CAPABILITIES, Capability, DISPATCHES_KEPT, DISPATCHES_QUEUED, DispatchReport, DispatchTask,
    Dispatches, Enqueued, NotQueued, SteppedDispatch, StoredDispatch,
};
pub use error::{BadRecord, SaveError, StoreError};
pub use held::HeldStore;
pub use inbound::{
    Approved, Challenged, Inbound, ListedSender, SenderChange, SenderFilter, SenderName,
    SenderStanding,
};
pub use known_keys::{KeyCounts, KnownKeys};
pub use logins::Logins;
pub use makers::{EndedWith, via_session};
pub use memory::MemoryStore;
pub use node::{Counts, Entry, Filter, Listed, Observation, Stored, Version, node_id};
pub use pairing::{Activation, CODES, CODES_AT_ONCE, NotMinted, PINS, Revoked, StoredCode};
pub use policies::{ByPolicy, Policies, StoredPolicy};
#[cfg(feature = "postgres")]
pub use postgres::{PostgresAddress, PostgresStore};
pub use provisioning::{NewProvisioned, ProvisionedNode, ProvisionedRights, Provisioning};
pub use replacements::{InPlace, PREDECESSORS, Replaced, Replacement, Replacements};
pub use sessions::{SessionFilter, Sessions, SetupCode, Yield};
pub use shared::{
    Beat, BeatAnswer, Change, ChangeKind, ChangePlace, LEASE, LinkClaim, Shared, SharingGateway,
};
#[cfg(feature = "sqlite")]
pub use sqlite::{
    Backup, LostDecisions, Migrated, RegistryHolder, Restored, SqliteStore, backup, holder, restore,
};
pub use store::Store;
pub use time::{Over, Run, TakenOver, Timekeeping};
pub use vault::{AUTHORITY, BUS_KEY, CLONE_MARK_KEY, GATEWAY_KEYS, SETUP_KEY, Vault};
