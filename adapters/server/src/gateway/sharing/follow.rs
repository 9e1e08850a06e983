//! Follows the log of changes: after each hint and every second it is read to its end.

use std::sync::Weak;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::join_all;
use handfast_core::registry::lifecycle::Notice;
use handfast_core::registry::sharing::NextReading;
use handfast_core::registry::sharing::links::{LinkHolder, LinkVerdict, LoggedClaim, Reclaim};
use handfast_store::{Change, ChangeKind, ChangePlace, StoreError, Version};
use tokio::time::timeout;

use super::SharingServices;
use super::apply::{self, Subject};
use crate::gateway::{Gateway, Inner, certificates};

/// The longest time between two readings.
const READ_EVERY: Duration = Duration::from_secs(1);
/// The longest wait for an answer. Then the contact is nearly lost, and another connection may
/// answer sooner.
const READ_WITHIN: Duration = Duration::from_millis(1500);
/// The number of changes that are read at once.
const PAGE: usize = 500;
/// The number of subjects that are read again at the same time.
const AT_ONCE: usize = 4;

/// The place in the log up to which everything is known.
pub(super) struct Follower {
    place: ChangePlace,
}

/// Follows the log as long as the gateway lives.
pub(super) async fn follow(gateway: Weak<Inner>, mut follower: Follower) {
    loop {
        let Some(inner) = gateway.upgrade() else { return };
        let Some(services) = inner.sharing.clone() else { return };
        let mut shutdown = inner.shutdown.subscribe();
        if *shutdown.borrow() {
            return;
        }
        if let Err(error) = follower.read(&services, &Gateway::new(inner)).await {
            tracing::debug!(%error, "the log of changes could not be read; it is tried again");
        }
        // A sleeping task must not keep the gateway alive.
        tokio::select! {
            () = services.shared.hinted() => {}
            () = tokio::time::sleep(READ_EVERY) => {}
            _ = shutdown.wait_for(|down| *down) => return,
        }
    }
}

impl Follower {
    /// Reads the log for the first time. What is remembered was read just now.
    pub(super) async fn begin(
        services: &SharingServices,
        gateway: &Gateway,
    ) -> Result<Self, StoreError> {
        let mut follower = Self { place: services.begins };
        gateway.inner.hub.contact().update(|reach, _| reach.read_everything());
        follower.read(services, gateway).await?;
        Ok(follower)
    }

    /// Reads the log to its end.
    async fn read(
        &mut self,
        services: &SharingServices,
        gateway: &Gateway,
    ) -> Result<(), StoreError> {
        let contact = gateway.inner.hub.contact();
        let read = self.read_on(services, gateway).await;
        if read.is_err() {
            contact.update(|reach, _| reach.failed());
        }
        read
    }

    async fn read_on(
        &mut self,
        services: &SharingServices,
        gateway: &Gateway,
    ) -> Result<(), StoreError> {
        let contact = gateway.inner.hub.contact();
        if services.name_taken.load(Ordering::Relaxed) {
            return Err(name_taken(services));
        }
        while let Some((next, begun)) = contact.update(|reach, now| (reach.next(now), now)) {
            match next {
                NextReading::Everything => {
                    let place = within(services.shared.last_change()).await?;
                    everything(services, gateway).await?;
                    self.place = place;
                    contact.update(|reach, _| reach.read_everything());
                }
                NextReading::Changes => {
                    let Some(page) = within(services.shared.changes(self.place, PAGE)).await?
                    else {
                        tracing::warn!("the log of changes was pruned before it was read");
                        contact.update(|reach, _| reach.lost_track());
                        continue;
                    };
                    if !take(services, gateway, &page).await? {
                        contact.update(|reach, _| reach.lost_track());
                        continue;
                    }
                    self.place = page.last().map_or(self.place, |last| last.place);
                    if page.len() < PAGE {
                        contact.update(|reach, _| reach.read_to_end(begun));
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }
}

async fn within<T>(reading: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    timeout(READ_WITHIN, reading).await.unwrap_or(Err(StoreError::Timeout))
}

/// Takes a page of changes in. Returns `false` if one of them is of a kind that this version does
/// not know, so that everything has to be read anew.
///
/// # Errors
/// [`StoreError`] if what has changed cannot be read. The page is taken in again then.
async fn take(
    services: &SharingServices,
    gateway: &Gateway,
    page: &[Change],
) -> Result<bool, StoreError> {
    let own = services.shared.gateway();
    // Two gateways of one name would take each other's changes for their own.
    let claims = page.iter().filter(|change| change.kind == ChangeKind::Link);
    let mut own_claims = claims.filter(|change| change.gateway == own);
    let is_foreign = |number: Version| services.claims.is_foreign(number.0);
    if own_claims.any(|change| change.version.is_some_and(is_foreign)) {
        services.name_taken.store(true, Ordering::Relaxed);
        tracing::error!(
            name = own,
            "another gateway of the registry was started with the name of this one, which admits nobody any more: give each gateway a name of its own"
        );
        return Err(name_taken(services));
    }
    let mut subjects = Vec::new();
    // What this gateway has changed, it knows.
    for change in page.iter().filter(|change| change.gateway != own) {
        match Subject::of(change) {
            Some(subject) => subjects.push(subject),
            None if change.kind == ChangeKind::Link => {}
            None => return Ok(false),
        }
    }
    // However often it has changed, it is read once.
    subjects.sort_unstable();
    subjects.dedup();
    all(gateway, &subjects).await?;
    // The order of claims decides, so they come last: no failure has them read twice.
    for change in page {
        if let (ChangeKind::Link, Some(node_id)) = (change.kind, change.node) {
            let claim = match change.version {
                Some(number) if change.gateway == own => LoggedClaim::Own(number.0),
                Some(_) | None if change.gateway == own => continue,
                Some(_) | None => LoggedClaim::Other,
            };
            match services.claims.read(node_id, claim) {
                LinkVerdict::Stays => {}
                LinkVerdict::Ends => gateway.push(node_id, Some(Notice::Replaced)),
            }
        }
    }
    for subject in subjects {
        gateway.inner.pairing.changes.add_elsewhere(subject.as_str(), subject.node());
    }
    Ok(true)
}

fn name_taken(services: &SharingServices) -> StoreError {
    let name = services.shared.gateway();
    StoreError::Refused(format!("another gateway of the registry has the name {name:?}"))
}

/// Takes in that all of these have changed.
async fn all(gateway: &Gateway, subjects: &[Subject]) -> Result<(), StoreError> {
    let mut failed = Ok(());
    for some in subjects.chunks(AT_ONCE) {
        let read = join_all(some.iter().map(|subject| apply::apply(gateway, *subject))).await;
        // The others are not kept waiting by one that cannot be read.
        failed = read.into_iter().fold(failed, Result::and);
    }
    failed
}

/// Reads everything anew that is remembered of the registry, and has every link look again.
async fn everything(services: &SharingServices, gateway: &Gateway) -> Result<(), StoreError> {
    let inner = &gateway.inner;
    inner.proven.clear();
    inner.pairing.bearers.clear();
    inner.gate.forget_remembered();
    certificates::read_allow_list(inner).await?;
    apply::apply(gateway, Subject::Keys).await?;
    inner.hub.all_look_again();
    inner.hub.all_waiting_look_again();
    inner.hub.companions_look_again();
    services.rechecks.send_modify(|times| *times += 1);
    let linked: Vec<_> = services.claims.all();
    let mut subjects = Vec::new();
    for (node_id, _) in &linked {
        let about =
            [Subject::Node, Subject::Grants, Subject::Clone, Subject::Dispatch, Subject::Addresses];
        subjects.extend(about.map(|subject| subject(*node_id)));
    }
    all(gateway, &subjects).await?;
    let holders = gateway.links_at(linked.iter().map(|(node_id, _)| *node_id).collect()).await?;
    for (node_id, number) in linked {
        let holder = match holders.get(&node_id) {
            Some(gateway) if gateway == services.shared.gateway() => LinkHolder::Own,
            Some(_) => LinkHolder::Other,
            None => LinkHolder::Nobody,
        };
        match services.claims.after_gap((node_id, number), holder) {
            Reclaim::Stands => {}
            Reclaim::Again => services.claims.again(node_id, number),
            Reclaim::Ends => gateway.push(node_id, Some(Notice::Replaced)),
        }
    }
    inner.pairing.changes.forget();
    Ok(())
}
