//! Writes the claims of links: those of a moment in one statement.

use std::sync::{Arc, Weak};
use std::time::Duration;

use handfast_store::LinkClaim;
use tokio::sync::watch;

use super::SharingServices;
use crate::connection::claimed_links::{DueClaims, NumberedLink};
use crate::gateway::Inner;

/// The time in which claims are gathered for one statement.
const GATHERED_FOR: Duration = Duration::from_millis(20);
/// The wait before a statement that failed is tried again.
const TRIED_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// The most claims of one statement.
const MOST: usize = 1000;

/// Writes claims as long as the gateway lives, and once more at its end.
pub(super) async fn write(gateway: Weak<Inner>, services: Arc<SharingServices>) {
    let Some(inner) = gateway.upgrade() else { return };
    let (mut ends, contact) = (inner.shutdown.subscribe(), inner.hub.contact().clone());
    drop(inner);
    loop {
        let is_last = tokio::select! {
            () = services.claims.due() => false,
            () = gone(&mut ends) => true,
        };
        if !is_last {
            tokio::time::sleep(GATHERED_FOR).await;
        }
        let failed = write_due(&services).await;
        if is_last {
            return;
        }
        if !failed.is_empty() {
            tokio::time::sleep(TRIED_AGAIN_AFTER).await;
            // After a lost contact the registry is asked first who has the newer link.
            if !contact.admits() {
                continue;
            }
            failed.iter().for_each(|(node_id, number)| services.claims.again(*node_id, *number));
        }
    }
}

/// Completes once the gateway is gone.
async fn gone(ends: &mut watch::Receiver<bool>) {
    while ends.changed().await.is_ok() {}
}

/// Writes what is due. Returns the claims that could not be written.
async fn write_due(services: &SharingServices) -> Vec<NumberedLink> {
    let DueClaims { claimed, released } = services.claims.take_due();
    let mut failed = Vec::new();
    for some in claimed.chunks(MOST) {
        if let Err(error) = services.shared.claim_links(rows(some)).await {
            tracing::warn!(%error, links = some.len(), "links could not be claimed; it is tried again");
            services.claims.not_written(some);
            failed.extend_from_slice(some);
        }
    }
    for some in released.chunks(MOST) {
        if let Err(error) = services.shared.release_links(rows(some)).await {
            tracing::debug!(%error, links = some.len(), "links could not be given up; it is tried again");
            services.claims.not_released(some.to_vec());
        }
    }
    failed
}

fn rows(links: &[NumberedLink]) -> Vec<LinkClaim> {
    links.iter().map(|(node_id, number)| LinkClaim { node_id: *node_id, number: *number }).collect()
}
