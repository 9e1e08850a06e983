//! A gateway that shares its registry with others: it follows their changes, tells them of its
//! links, and says how it stands.
//!
//! Nothing here decides: [`handfast_core::registry::sharing`] does, and the database orders what
//! several gateways do at once. What a gateway remembers follows the log of changes:
//!
//! | module | content |
//! |---|---|
//! | `follow` | reads the log, and everything anew after a gap |
//! | `apply` | what each kind of change means to what is remembered, and to links |
//! | `beat` | the gateway's lease, and the time of the registry |
//! | `claims` | writes the claims of links in batches |
//! | `guard` | ends links once the contact with the registry was lost for long |
//! | `elsewhere` | which other gateway has a node's link |
//! | `delivery` | application messages, wherever the node is linked |
//! | `bus` | messages between gateways (feature `nats`) |

mod apply;
mod beat;
#[cfg(feature = "nats")]
pub(crate) mod bus;
mod claims;
pub(crate) mod delivery;
mod elsewhere;
mod follow;
mod guard;

#[cfg(feature = "nats")]
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use handfast_core::Span;
use handfast_core::limits::CUT_OFF_GRACE;
pub use handfast_core::registry::sharing::Contact;
use handfast_store::{BeatAnswer, ChangePlace, Shared, SharingGateway, StoreError};
use tokio::sync::watch;

use crate::clock::{SystemClock, ToldTime};
use crate::connection::claimed_links::ClaimedLinks;
use crate::gateway::{Gateway, Inner};

/// Settings of a gateway that shares its registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharingSettings {
    /// Time for which links that stand outlive the contact with the registry.
    pub cut_off_grace: Duration,
    /// Address under which the other gateways' operators find this one.
    pub address: Option<String>,
    /// The bus over which messages go to the other gateways, if there is one.
    #[cfg(feature = "nats")]
    pub bus: Option<bus::BusSettings>,
}

impl Default for SharingSettings {
    fn default() -> Self {
        Self {
            cut_off_grace: Duration::from_millis(CUT_OFF_GRACE.as_millis()),
            address: None,
            #[cfg(feature = "nats")]
            bus: None,
        }
    }
}

/// The contact of a gateway with the bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BusState {
    /// Messages go to the other gateways, and come from them.
    Connected,
    /// No server of the bus can be reached.
    Away {
        /// Time since the contact was lost, or since the gateway started.
        lasts: Duration,
    },
}

/// The state of a registry that several gateways share, as one of them sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sharing {
    /// Name of this gateway.
    pub gateway: String,
    /// What this gateway may do by its contact with the registry.
    pub contact: Contact,
    /// Time since this gateway last read the log of changes to its end.
    pub behind: Duration,
    /// All gateways of the last day, this one included, by name. It is as old as the last beat.
    pub gateways: Vec<SharingGateway>,
    /// `true` if a gateway that was started later has the name of this one, which yields: it stays
    /// cut off.
    pub name_taken: bool,
    /// The contact with the bus; `None` for a gateway without one.
    pub bus: Option<BusState>,
}

impl Sharing {
    /// Returns the reason for which this gateway must not be sent nodes; `None` if it may.
    #[must_use]
    pub fn problem(&self) -> Option<&'static str> {
        match self.contact {
            Contact::InTouch => None,
            Contact::CutOff | Contact::Over if self.name_taken => Some(
                "another gateway of the registry was started with the name of this one, so it \
                 admits nobody: give each gateway a name of its own",
            ),
            Contact::CutOff => Some("the gateway is cut off from its registry and admits nobody"),
            Contact::Over => Some(
                "the gateway is cut off from its registry, so it admits nobody and has ended its \
                 links",
            ),
        }
    }
}

/// The parts of a gateway that shares its registry.
pub(crate) struct SharingServices {
    shared: Arc<dyn Shared>,
    settings: SharingSettings,
    claims: Arc<ClaimedLinks>,
    time: Arc<ToldTime>,
    gateways: Mutex<Vec<SharingGateway>>,
    /// Has whoever reads by a session's right look whether the session still is.
    rechecks: watch::Sender<u64>,
    /// Where the first reading of the log begins.
    begins: ChangePlace,
    /// `true` once another gateway is known to have this one's name.
    name_taken: AtomicBool,
    /// Set at the start of a gateway with a bus.
    #[cfg(feature = "nats")]
    bus: OnceLock<Arc<bus::Bus>>,
}

impl SharingServices {
    /// Announces the gateway, and takes over the time of its registry. Whatever is read from now on
    /// rests on every change before the beginning of the log that is followed.
    ///
    /// # Errors
    /// [`StoreError`] if the registry cannot be read or written.
    pub(crate) async fn begin(
        shared: Arc<dyn Shared>,
        settings: SharingSettings,
        clock: Box<dyn SystemClock>,
    ) -> Result<(Self, Box<dyn SystemClock>), StoreError> {
        let begins = shared.last_change().await?;
        let BeatAnswer { time, gateways } = shared.beat(beat::told(&settings)).await?;
        // Numbers begin with the time, so they are greater than those of an earlier run.
        let first = u64::try_from(time.as_micros()).unwrap_or(u64::MAX / 2);
        let told = Arc::new(ToldTime::new(time, clock.elapsed()));
        let clock = told.over(clock);
        let services = Self {
            shared,
            settings,
            claims: Arc::new(ClaimedLinks::new(first)),
            time: told,
            gateways: Mutex::new(gateways),
            rechecks: watch::Sender::new(0),
            begins,
            name_taken: AtomicBool::new(false),
            #[cfg(feature = "nats")]
            bus: OnceLock::new(),
        };
        Ok((services, clock))
    }

    /// Returns the claims of nodes' links.
    pub(crate) const fn claims(&self) -> &Arc<ClaimedLinks> {
        &self.claims
    }

    /// Returns the time for which links outlive the contact with the registry.
    pub(crate) fn grace(&self) -> Span {
        Span::from_millis(
            u64::try_from(self.settings.cut_off_grace.as_millis()).unwrap_or(u64::MAX),
        )
    }

    /// Returns the address under which operators find this gateway.
    pub(crate) fn address(&self) -> Option<&str> {
        self.settings.address.as_deref()
    }

    /// Returns a receiver that changes when sessions may have ended.
    pub(crate) fn rechecks(&self) -> watch::Receiver<u64> {
        self.rechecks.subscribe()
    }

    /// Returns the contact with the bus, if there is one.
    fn bus_state(&self) -> Option<BusState> {
        #[cfg(feature = "nats")]
        return self.bus.get().map(|bus| bus.state());
        #[cfg(not(feature = "nats"))]
        None
    }

    fn gateways(&self) -> MutexGuard<'_, Vec<SharingGateway>> {
        self.gateways.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gateway {
    /// Returns the state of the registry that several gateways share; `None` if this one's cannot
    /// be shared.
    #[must_use]
    pub fn sharing(&self) -> Option<Sharing> {
        let services = self.inner.sharing.as_ref()?;
        let contact = self.inner.hub.contact();
        Some(Sharing {
            gateway: services.shared.gateway().to_owned(),
            contact: contact.now(),
            behind: Duration::from_millis(contact.behind().as_millis()),
            gateways: services.gateways().clone(),
            name_taken: services.name_taken.load(Ordering::Relaxed),
            bus: services.bus_state(),
        })
    }
}

/// Reads the log to its end for the first time, and starts the tasks that follow it, as long as the
/// gateway lives. Everything that is remembered was read before, after the services had
/// [begun](SharingServices::begin).
///
/// # Errors
/// [`StoreError`] if the log cannot be read.
pub(crate) async fn start(inner: &Arc<Inner>) -> Result<(), StoreError> {
    let Some(services) = &inner.sharing else { return Ok(()) };
    let follower = follow::Follower::begin(services, &Gateway::new(Arc::clone(inner))).await?;
    let weak = || Arc::downgrade(inner);
    tokio::spawn(follow::follow(weak(), follower));
    tokio::spawn(beat::beat(weak()));
    tokio::spawn(claims::write(weak(), Arc::clone(services)));
    tokio::spawn(guard::guard(weak()));
    #[cfg(feature = "nats")]
    bus::start(inner, services).await?;
    Ok(())
}
