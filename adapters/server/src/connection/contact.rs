//! The gateway's contact with the registry, where other gateways share it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use handfast_core::registry::sharing::{Contact, Reach};
use handfast_core::{Instant, Span};

use crate::clock::GatewayClock;

/// The contact with the registry. A registry that nobody shares never loses it.
#[derive(Clone, Debug)]
pub(crate) struct RegistryContact(Option<Arc<SharedContact>>);

#[derive(Debug)]
struct SharedContact {
    clock: GatewayClock,
    reach: Mutex<Reach>,
}

impl RegistryContact {
    /// The contact of a gateway that shares its registry with nobody.
    pub(crate) const ALONE: Self = Self(None);

    /// Begins without contact. Links are kept for `grace` after it is lost.
    pub(crate) fn shared(clock: GatewayClock, grace: Span) -> Self {
        let reach = Mutex::new(Reach::new(grace, clock.elapsed()));
        Self(Some(Arc::new(SharedContact { clock, reach })))
    }

    /// Returns the contact as it is now.
    pub(crate) fn now(&self) -> Contact {
        match &self.0 {
            Some(shared) => shared.reach().contact(shared.clock.elapsed()),
            None => Contact::InTouch,
        }
    }

    /// Returns `true` if peers may be admitted, and tasks given out.
    pub(crate) fn admits(&self) -> bool {
        self.now().admits()
    }

    /// Returns the time since the last complete reading of the log of changes began.
    pub(crate) fn behind(&self) -> Span {
        match &self.0 {
            Some(shared) => shared.reach().behind(shared.clock.elapsed()),
            None => Span::from_millis(0),
        }
    }

    /// Changes the reach of a registry that is shared, by the present time.
    pub(crate) fn update<T>(&self, change: impl FnOnce(&mut Reach, Instant) -> T) -> Option<T> {
        let shared = self.0.as_ref()?;
        let now = shared.clock.elapsed();
        Some(change(&mut shared.reach(), now))
    }
}

impl SharedContact {
    fn reach(&self) -> MutexGuard<'_, Reach> {
        // No holder can panic half way through a change, so a poisoned lock is still consistent.
        self.reach.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
