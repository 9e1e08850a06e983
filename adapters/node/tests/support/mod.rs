//! Code that the tests share: a gateway made of core's machine over real sockets, and the binary
//! with its output.
#![allow(dead_code, reason = "each test binary uses its part")]

pub(crate) mod gateway;
pub(crate) mod native;
pub(crate) mod program;

use std::future::Future;
use std::time::Duration;

/// Waits for a future, or fails the test. The limit is long, because machines that build are slow.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(Duration::from_secs(60), future).await {
        Ok(value) => value,
        Err(_) => panic!("{what} did not come"),
    }
}
