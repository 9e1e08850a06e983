//! What an extension may want of the gateway, which the gateway plugs in.

use async_trait::async_trait;
use serde_json::Value;

use super::handle::Problem;

/// Answers what extensions ask the gateway. Sixteen requests of one extension are answered at once,
/// each within its call timeout, in which it may have to wait for its turn.
#[async_trait]
pub trait Host: Send + Sync + 'static {
    /// Answers a request. Which extension may ask what is decided here: the name is the operator's,
    /// and cannot be forged.
    ///
    /// # Errors
    /// What the extension is told; it should hold no secrets.
    async fn call(&self, extension: &str, method: &str, params: Value) -> Result<Value, String>;

    /// Hears how a call of an extension ended. Called in passing, so it must not block.
    fn called(&self, extension: &str, outcome: Result<(), &Problem>) {
        let _ = (extension, outcome);
    }
}

/// Keeps how far each extension has been polled, if possible durably.
#[async_trait]
pub trait Cursors: Send + Sync + 'static {
    /// The cursor that was kept last; none, if there never was one.
    ///
    /// # Errors
    /// Why it is not known. Then the extension is not polled, and it is tried again later.
    async fn load(&self, extension: &str) -> Result<Option<String>, String>;

    /// Keeps a cursor, of 4 KiB at most.
    ///
    /// # Errors
    /// Why it is not kept. Then the same items may come again.
    async fn keep(&self, extension: &str, cursor: String) -> Result<(), String>;
}

/// Takes what polled extensions bring.
#[async_trait]
pub trait Items: Send + Sync + 'static {
    /// Takes up to 1000 items. The cursor moves only after this has succeeded, so items may come
    /// twice, and none gets lost. An item that can never be taken is to be dropped here, for an
    /// error brings it again, and all others with it.
    ///
    /// # Errors
    /// Why they are not taken. They come again later.
    async fn take(&self, extension: &str, items: Vec<Value>) -> Result<(), String>;
}

/// A gateway that answers nothing, keeps nothing and takes nothing: for extensions that neither ask
/// nor are polled.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoHost;

#[async_trait]
impl Host for NoHost {
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
