//! The registry in a PostgreSQL database, for any number of gateways.
//!
//! An operation is synchronous, so it needs a thread for as long as it runs. These threads own the
//! connections: one that writes, and several that read, each waiting for its own connection alone.
//! A pool of connections beside them (deadpool) would bound the same number twice, and each answer
//! would wake two threads instead of one.
//!
//! Every wait is bounded: opening a connection, a statement, the write lock, and the queue before
//! it. What was not answered in time is [`StoreError::Timeout`], and was not done. A connection
//! that is lost during a commit is [`StoreError::OutcomeUnknown`].
//!
//! The clock is the caller's, as for every store: no statement asks the database for the time. The
//! number of the run is the database's, and there is one: gateways that each begin a run would move
//! each other's times.
//!
//! | file | concern |
//! |---|---|
//! | `address` | address of the database, and TLS |
//! | `session` | a connection: statements, time-outs, errors |
//! | `migrations` | the tables |
//! | `tx` | the transaction that an operation runs in |
//! | `nodes` | statements for nodes |
//! | `requests` | statements for requests that wait, and rejections |
//! | `grants` | statements for grants and revocations |
//! | `codes` | statements for PINs, codes and the pairing window |
//! | `policies` | statements for approvals in advance |
//! | `provisioning` | statements for nodes that registered over HTTP |
//! | `logins` | operators' sessions and tokens |
//! | `makers` | statements for all that a session made |
//! | `sessions` | statements for companions' sessions and spent setup codes |
//! | `senders` | statements for senders on messaging channels |
//! | `time` | statements for the mark, the run and steps of the clock |
//! | `deliveries` | statements for secrets that are shown once |
//! | `certificates` | statements for certificates and epochs |
//! | `clones` | statements for clone counters |
//! | `replacements` | statements for nodes that took the place of others |
//! | `known_keys` | statements for the gateway's key as each node knows it |
//! | `dispatches` | statements for tasks and capabilities |
//! | `audit` | statements for the audit log |

mod address;
mod audit;
mod certificates;
mod clones;
mod codes;
mod deliveries;
mod dispatches;
mod grants;
mod known_keys;
mod logins;
mod makers;
mod migrations;
mod nodes;
mod policies;
mod provisioning;
mod replacements;
mod requests;
mod senders;
mod session;
mod sessions;
mod time;
mod tx;

pub use address::PostgresAddress;
