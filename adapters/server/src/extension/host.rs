//! The traits through which the gateway serves extensions.

use async_trait::async_trait;
use serde_json::Value;

use super::handle::Problem;

/// Answers requests of extensions to the gateway. Sixteen requests of one extension are answered at
/// once; each has its call timeout, which includes the wait for its turn.
#[async_trait]
pub trait ExtensionHost: Send + Sync + 'static {
    /// Answers a request. The implementation decides which extension may call which method: the
    /// name is the operator's, and cannot be forged.
    ///
    /// # Errors
    /// The text for the extension; it should contain no secrets.
    async fn call(&self, extension: &str, method: &str, params: Value) -> Result<Value, String>;

    /// Receives the outcome of a call of an extension. Called inline, so it must not block.
    fn called(&self, extension: &str, outcome: Result<(), &Problem>) {
        let _ = (extension, outcome);
    }
}

/// Storage for the poll cursor of each extension; it should be durable.
#[async_trait]
pub trait Cursors: Send + Sync + 'static {
    /// Returns the cursor that was stored last; `None` if there never was one.
    ///
    /// # Errors
    /// The cause for people. The extension is then not polled, and the load is retried later.
    async fn load(&self, extension: &str) -> Result<Option<String>, String>;

    /// Stores a cursor of at most 4 KiB.
    ///
    /// # Errors
    /// The cause for people. The same items may then come again.
    async fn keep(&self, extension: &str, cursor: String) -> Result<(), String>;
}

/// Receives the items of polled extensions.
#[async_trait]
pub trait Items: Send + Sync + 'static {
    /// Takes up to 1000 items. The cursor moves only after this has succeeded, so items may come
    /// twice, and none is lost. An item that can never be processed must be dropped here, because
    /// an error brings it again, with all others.
    ///
    /// # Errors
    /// The cause for people. The items come again later.
    async fn take(&self, extension: &str, items: Vec<Value>) -> Result<(), String>;
}

/// A gateway that answers, stores and accepts nothing: for extensions that neither send requests
/// nor are polled.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoHost;

#[async_trait]
impl ExtensionHost for NoHost {
    async fn call(&self, _: &str, method: &str, _: Value) -> Result<Value, String> {
        Err(format!("this gateway does not answer {method:?}"))
    }
}

#[async_trait]
impl Cursors for NoHost {
    async fn load(&self, _: &str) -> Result<Option<String>, String> {
        Err("this gateway keeps no cursors".to_owned())
    }

    async fn keep(&self, _: &str, _: String) -> Result<(), String> {
        Err("this gateway keeps no cursors".to_owned())
    }
}

#[async_trait]
impl Items for NoHost {
    async fn take(&self, _: &str, _: Vec<Value>) -> Result<(), String> {
        Err("this gateway takes no items".to_owned())
    }
}
