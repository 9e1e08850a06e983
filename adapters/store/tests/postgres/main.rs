//! The store in PostgreSQL: the conformance suite, and what the suite cannot show. Needs PostgreSQL
//! 13 or later (`apt-get install postgresql`), which the tests start by themselves.

mod change_log;
mod failures;
mod gateways;
mod server;

handfast_store::conformance_tests!(server::fresh());
