//! The beat: each second a gateway renews its lease, and reads the time and the other gateways.

use std::sync::Weak;
use std::time::Duration;

use handfast_core::registry::codes::NoGuess;
use handfast_store::{Beat, BeatAnswer, StoreError};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::{SharingServices, SharingSettings};
use crate::gateway::{Gateway, Inner};

/// The interval of beats, well within a lease.
const EVERY: Duration = Duration::from_secs(1);
/// The longest wait for an answer.
const WITHIN: Duration = Duration::from_secs(3);
/// The number of beats between two counts of the requests that wait, while somebody looks at them.
const COUNTED_EVERY: u32 = 3;
/// The number of beats between two prunings of the log of changes.
const PRUNED_EVERY: u32 = 600;
/// The number of changes that are removed at once.
const PRUNED: u32 = 5000;

/// Returns what a gateway tells of itself before it serves anybody.
pub(super) fn told(settings: &SharingSettings) -> Beat {
    let program = env!("CARGO_PKG_VERSION").to_owned();
    Beat { program, address: settings.address.clone(), ..Beat::default() }
}

/// Beats as long as the gateway lives.
pub(super) async fn beat(gateway: Weak<Inner>) {
    let mut beats = interval(EVERY);
    // A lease that was missed is not made up for.
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut number, mut pending) = (0_u32, None);
    loop {
        beats.tick().await;
        let Some(inner) = gateway.upgrade() else { return };
        let Some(services) = inner.sharing.clone() else { return };
        let gateway = Gateway::new(inner);
        if let Err(error) = once(&services, &gateway).await {
            tracing::debug!(%error, "the lease of the gateway could not be renewed");
        }
        number = number.wrapping_add(1);
        if let Err(error) = look(&services, &gateway, number, &mut pending).await {
            tracing::debug!(%error, "what waits in the registry could not be read");
        }
    }
}

async fn once(services: &SharingServices, gateway: &Gateway) -> Result<(), StoreError> {
    let inner = &gateway.inner;
    let beat = Beat {
        links: u32::try_from(inner.hub.count()).unwrap_or(u32::MAX),
        behind: Duration::from_millis(inner.hub.contact().behind().as_millis()),
        ..told(&services.settings)
    };
    let answer = timeout(WITHIN, services.shared.beat(beat)).await;
    let BeatAnswer { time, gateways } = answer.unwrap_or(Err(StoreError::Timeout))?;
    services.time.tell(time, inner.clock.elapsed());
    *services.gateways() = gateways;
    Ok(())
}

/// Looks for what is not in the log of changes.
async fn look(
    services: &SharingServices,
    gateway: &Gateway,
    number: u32,
    pending: &mut Option<u64>,
) -> Result<(), StoreError> {
    let (inner, changes) = (&gateway.inner, &gateway.inner.pairing.changes);
    if !changes.is_read() {
        *pending = None;
    } else if number.is_multiple_of(COUNTED_EVERY) {
        let waiting = inner.store.counts(gateway.now()).await?.pending;
        if pending.replace(waiting).is_some_and(|before| before != waiting) {
            changes.add_elsewhere("asked", None);
        }
    }
    // A node that shows a PIN must not wait for a window that another gateway has closed.
    if inner.hub.shows_pins() {
        match inner.store.window().await?.admits(gateway.now()) {
            Ok(()) | Err(NoGuess::Expired) => {}
            Err(why) => inner.hub.all_pins_ended(why),
        }
    }
    if number.is_multiple_of(PRUNED_EVERY) {
        services.shared.prune_changes(PRUNED).await?;
    }
    Ok(())
}
