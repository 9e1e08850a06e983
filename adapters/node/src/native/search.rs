//! The addresses at which a paired node's gateway was found, and the search for them.

use handfast_core::crypto::fingerprint::Fingerprint;
use tokio::sync::oneshot;

use super::address::GatewayAt;

/// Longest time of a search, in which the node makes no attempt.
#[cfg(feature = "discovery")]
const WITHIN: std::time::Duration = std::time::Duration::from_secs(2);

/// The search of a node for its gateway.
#[derive(Default)]
pub(super) struct GatewaySearch {
    running: Option<oneshot::Receiver<Vec<GatewayAt>>>,
    found: Vec<GatewayAt>,
    /// The found address that is called, or was called last.
    called: Option<GatewayAt>,
}

impl GatewaySearch {
    /// Begins to look for the gateway with this fingerprint, at addresses that are not known yet.
    /// Those that need TLS are of use only to a node that can verify it.
    pub(super) fn begin(&mut self, sought: Fingerprint, known: &[GatewayAt], tls: bool) {
        let (found_in, found) = oneshot::channel();
        self.running = Some(found);
        let known = known.to_vec();
        tracing::info!("the gateway does not answer; looking for {sought} on the network");
        tokio::spawn(async move {
            let mut found = look_for(&sought).await;
            found.retain(|at| !known.contains(at) && (tls || !at.is_tls()));
            // The node may have stopped meanwhile.
            let _ = found_in.send(found);
        });
    }

    /// Waits for the end of the search; forever if none runs. Dropping the future loses nothing.
    pub(super) async fn done(&mut self) {
        let Some(running) = &mut self.running else { return std::future::pending().await };
        // A search that failed has found nothing.
        self.found = running.await.unwrap_or_default();
        self.running = None;
    }

    /// Returns the number of found addresses.
    pub(super) fn count(&self) -> u8 {
        u8::try_from(self.found.len()).unwrap_or(u8::MAX)
    }

    /// Turns to a found address, or to the known ones.
    pub(super) fn turn_to(&mut self, found: Option<u8>) {
        self.called = found.and_then(|index| self.found.get(usize::from(index))).cloned();
    }

    /// Returns the found address that is called, or was called last.
    pub(super) const fn called(&self) -> Option<&GatewayAt> {
        self.called.as_ref()
    }
}

#[cfg(feature = "discovery")]
async fn look_for(sought: &Fingerprint) -> Vec<GatewayAt> {
    match crate::discovery::search(WITHIN, Some(sought)).await {
        Ok(found) => {
            let gateway = found.with(sought);
            gateway.into_iter().flat_map(GatewayAt::of_found).collect()
        }
        Err(why) => {
            tracing::warn!("the network cannot be asked for the gateway: {why}");
            Vec::new()
        }
    }
}

#[cfg(not(feature = "discovery"))]
async fn look_for(_: &Fingerprint) -> Vec<GatewayAt> {
    Vec::new()
}
