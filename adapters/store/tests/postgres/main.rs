//! The store in PostgreSQL: the conformance suite, and what the suite cannot show. Needs PostgreSQL
//! 13 or later (`apt-get install postgresql`), which the tests start by themselves.

mod change_log;
mod clocks;
mod copying;
mod failures;
mod gateways;
mod pooler;
mod sharing;

use handfast_store::PostgresStore;
use handfast_store::conformance::PostgresServer;

fn shared() -> &'static PostgresServer {
    PostgresServer::shared()
}

/// Returns an empty registry on the shared server.
fn fresh() -> (PostgresStore, ()) {
    (PostgresStore::open(&shared().database()).unwrap(), ())
}

handfast_store::conformance_tests!(fresh());
