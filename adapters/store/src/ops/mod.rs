//! The operations of a registry: each decision of [`Store`](crate::Store), written once for all
//! backends.
//!
//! An operation reads rows, lets [`handfast_core::registry`] decide, and writes rows, all in one
//! transaction. A backend supplies the rows ([`Tx`], one trait per concern) and the transactions
//! ([`Database`]); every [`Database`] is a [`Store`](crate::Store). A call of [`Tx`] is one
//! statement of SQL, as a rule: it selects or changes rows by the values that it is given, and
//! decides nothing.
//!
//! **Operations are synchronous.** SQLite is, and its writing thread runs the operations of a group
//! one after the other in one transaction. A backend over a network runs an operation on a thread
//! that may block, and waits there for the answer of each statement
//! (`tokio::runtime::Handle::block_on`); its pool of connections bounds the number of these threads.
//! So an operation whose caller has stopped waiting still ends in a commit or a rollback, where a
//! dropped future would leave an open transaction on its connection. [`Tx`] is used as an object,
//! so each operation is compiled once.
//!
//! **Concurrency.** Transactions are serializable. A backend that detects a conflict of two
//! transactions runs the operation again or fails with [`StoreError`]; it never commits both.
//! Nothing is kept between two operations except in rows, so several gateways may share a database.
//!
//! **Decisions.** An operation by which somebody decides returns [`Decided`], whose entries for the
//! audit log are written in the same transaction ([`Database::decide`]). What the handle is for
//! ([`By`]) says who decides. [`Database::change`] is for everything else: requests, readings,
//! guesses, confirmations and housekeeping.
//!
//! **Runs.** Rows with a beginning or an end carry the number of the run that made them, or set
//! their end ([`TimeRows::begin_run`]). The backend writes it, as SQLite's triggers do.
//!
//! | file | concern |
//! |---|---|
//! | `nodes` | saving, inserting and pairing nodes |
//! | `requests` | admission, count and rejection of requests |
//! | `grants` | grants, ceilings and revocations |
//! | `codes` | PINs, codes and the pairing window |
//! | `sessions` | companions' sessions and spent setup codes |
//! | `logins` | operators' sessions and tokens |
//! | `makers` | consequences of a session's end |
//! | `senders` | senders on messaging channels |
//! | `deliveries` | secrets that are shown once |
//! | `certificates` | certificates of nodes, and nodes' epochs |
//! | `clones` | clone counters |
//! | `replacements` | nodes that take the place of others |
//! | `known_keys` | the gateway's key as each node knows it |
//! | `addresses` | the gateway's addresses as each node knows them |
//! | `dispatches` | tasks for nodes, and what nodes can do |
//! | `policies` | approvals in advance |
//! | `provisioning` | nodes that register by tokens over HTTP |
//! | `audit` | the audit log, and the tree over it |
//! | `by` | a handle with the origin of its decisions |
//! | `time` | the mark, the run and steps of the clock |
//! | `store` | the methods of `Store`, on top of the others |

mod addresses;
mod audit;
mod by;
mod certificates;
mod clones;
mod codes;
mod deliveries;
mod dispatches;
mod grants;
mod known_keys;
mod logins;
mod makers;
mod nodes;
mod policies;
mod provisioning;
mod replacements;
mod requests;
mod senders;
mod sessions;
mod store;
mod time;

use std::sync::Arc;

use crate::audit::Origin;
use crate::{Shared, StoreError};

pub(crate) use addresses::AddressRows;
#[cfg(all(feature = "sqlite", feature = "postgres"))]
pub(crate) use audit::audit_head;
pub(crate) use audit::{AuditRows, Decided};
pub(crate) use by::By;
pub(crate) use certificates::CertificateRows;
pub(crate) use clones::CloneRows;
pub(crate) use codes::{CodeRows, PinRow};
pub(crate) use deliveries::{DeliveryRows, Subject};
pub(crate) use dispatches::{DispatchRows, ends_by_time};
pub(crate) use grants::{EndedGrant, GrantRows, Which};
pub(crate) use known_keys::KnownKeyRows;
pub(crate) use logins::LoginRows;
pub(crate) use makers::{MakerRows, Outlasting};
pub(crate) use nodes::{NewNode, NewStanding, NodeHead, NodeRows};
pub(crate) use policies::PolicyRows;
pub(crate) use provisioning::ProvisioningRows;
pub(crate) use replacements::ReplacementRows;
pub(crate) use requests::RequestRows;
pub(crate) use senders::{LivePeriod, Meant, SenderRows};
pub(crate) use sessions::SessionRows;
pub(crate) use time::TimeRows;

/// The result of a statement.
pub(crate) type RowResult<T> = Result<T, StoreError>;

/// A transaction: the rows of all concerns as it sees them.
pub(crate) trait Tx:
    NodeRows
    + RequestRows
    + GrantRows
    + CodeRows
    + SessionRows
    + LoginRows
    + MakerRows
    + SenderRows
    + DeliveryRows
    + CertificateRows
    + CloneRows
    + ReplacementRows
    + KnownKeyRows
    + AddressRows
    + DispatchRows
    + PolicyRows
    + ProvisioningRows
    + AuditRows
    + TimeRows
{
    /// Returns the named secret. If there is none, stores and returns `fresh`.
    fn vault(&mut self, name: &str, fresh: &[u8]) -> RowResult<Vec<u8>>;

    /// Replaces the named secret, if it still is `before`. Returns `true` if it was.
    fn replace_vault(&mut self, name: &str, before: &[u8], fresh: &[u8]) -> RowResult<bool>;

    /// Writes a meaningless value.
    fn probe(&mut self) -> RowResult<()>;
}

/// A database that runs operations in transactions.
pub(crate) trait Database: Send + Sync + 'static {
    /// The database without an origin.
    type Base: Database<Base = Self::Base>;

    /// Returns the database without an origin.
    fn base(self: Arc<Self>) -> Arc<Self::Base>;

    /// Returns the origin of the decisions that are made over this handle.
    fn origin(&self) -> Origin;

    /// Runs an operation by which somebody decides, and records what it decided. Neither is kept
    /// without the other.
    fn decide<T, E>(
        &self,
        operation: impl FnOnce(&mut dyn Tx) -> Result<Decided<T>, E> + Send + 'static,
    ) -> impl Future<Output = Result<T, E>> + Send
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let origin = self.origin();
        self.change(move |tx| Ok(operation(tx)?.record(tx, &origin)?))
    }

    /// Runs an operation and makes its changes durable. If it fails, nothing of it is kept.
    ///
    /// If the operation [changed facts](SenderRows::facts_changed), the epoch is raised after the
    /// commit and before the answer, even if the commit failed, because the stored state is then
    /// unknown.
    fn change<T, E>(
        &self,
        operation: impl FnOnce(&mut dyn Tx) -> Result<T, E> + Send + 'static,
    ) -> impl Future<Output = Result<T, E>> + Send
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static;

    /// Runs an operation that reads a few rows by their key.
    fn point<T: Send + 'static>(
        &self,
        read: impl FnOnce(&mut dyn Tx) -> RowResult<T> + Send + 'static,
    ) -> impl Future<Output = RowResult<T>> + Send;

    /// Runs an operation that may read many rows. All its reads see one state of the registry.
    fn page<T: Send + 'static>(
        &self,
        read: impl FnOnce(&mut dyn Tx) -> RowResult<T> + Send + 'static,
    ) -> impl Future<Output = RowResult<T>> + Send;

    /// Returns the epoch of the facts about senders.
    fn epoch(&self) -> u64;

    /// Returns `true` if nothing outlives this process.
    fn forgets(&self) -> bool;

    /// Returns what gateways share, if several may use this database at the same time.
    fn shared(self: Arc<Self>) -> Option<Arc<dyn Shared>> {
        None
    }
}
