//! The demo's application: it records what nodes with keys and companions do.

use async_trait::async_trait;
use handfast_core::grant::scope::Action;
use handfast_server::{Application, CompanionInfo, PeerInfo};
use tokio::sync::mpsc;

use super::phone::PATIENCE;
use crate::End;

/// Forwards the address or text of each message.
pub(super) struct Ear(pub(super) mpsc::UnboundedSender<String>);

#[async_trait]
impl Application for Ear {
    async fn companion(&self, _: &CompanionInfo, frame: &str) {
        let _ = self.0.send(format!("companion {frame}"));
    }

    async fn app(&self, _: &PeerInfo, action: Action, address: &str, _: &[u8]) {
        let _ = self.0.send(format!("{action} {address}"));
    }
}

/// Returns the next recorded message.
pub(super) async fn heard(done: &mut mpsc::UnboundedReceiver<String>) -> Result<String, End> {
    let next = tokio::time::timeout(PATIENCE, done.recv()).await.ok().flatten();
    next.ok_or_else(|| End::Refused("nothing was done at the gateway in time".to_owned()))
}
