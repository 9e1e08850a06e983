//! The store in PostgreSQL: the conformance suite, and what the suite cannot show. Needs PostgreSQL
//! 13 or later (`apt-get install postgresql`), which the tests start by themselves.

mod change_log;
mod clocks;
mod copying;
mod failures;
mod gateways;
mod pooler;
mod sharing;

use std::time::Duration;

use handfast_store::PostgresStore;
use handfast_store::conformance::PostgresServer;

fn shared() -> &'static PostgresServer {
    PostgresServer::shared()
}

/// Returns an empty registry on the shared server. Ten thousand callers at once wait longer on a
/// busy machine than a gateway's would, and no test here is about how long.
fn fresh() -> (PostgresStore, ()) {
    let address = shared().database().with_patience(Duration::from_secs(120));
    (PostgresStore::open(&address).unwrap(), ())
}

handfast_store::conformance_tests!(fresh());
