//! Messages between the gateways of a registry, over a NATS server.
//!
//! Nothing that must not be lost goes this way: application messages, which have no promise but
//! the answer, and hints, which are lost without harm. The NATS server is a stranger. What it
//! carries is sealed with a key of the registry, and core decides what is no repetition.
//!
//! | module | content |
//! |---|---|
//! | `address` | where the NATS servers are, and how they are reached |
//! | `message` | the messages |
//! | `sealed` | their sealed form |
//! | `carrier` | the connection, hints, and the messages that arrive |

mod address;
mod carrier;
mod message;
mod sealed;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use async_nats::Client;
use handfast_core::registry::sharing::bus::BusReplays;
use handfast_store::{BUS_KEY, StoreError};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

pub use address::BusAddress;
pub(super) use carrier::{carry, tell};
pub(super) use message::{BusAnswer, BusMessage};
use sealed::BusSeal;

use super::{BusState, SharingServices};
use crate::entropy;
use crate::gateway::Inner;
use crate::keys::seal::SealKind;

/// The longest wait for the answer of another gateway.
pub(super) const ANSWERED_WITHIN: Duration = Duration::from_secs(2);
/// The most questions that wait for an answer.
const MOST_ASKED: usize = 1024;
/// The longest frame that goes over the bus.
pub(super) const FRAME_BYTES: usize = 64 * 1024;

/// Settings of the bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BusSettings {
    /// The NATS servers.
    pub address: BusAddress,
    /// Certificates, in PEM, of the only authorities that may have signed the servers'
    /// certificates; `None` for the system's.
    pub authorities: Option<Vec<u8>>,
}

/// The bus of one gateway.
pub(super) struct Bus {
    settings: BusSettings,
    own: String,
    seal: BusSeal,
    /// Number of the next message, and of the next question.
    next: AtomicU64,
    replays: Mutex<BusReplays>,
    asked: Mutex<HashMap<u64, (String, oneshot::Sender<BusAnswer>)>>,
    client: OnceLock<Client>,
    contact: Mutex<BusContact>,
}

/// The contact with the NATS server.
struct BusContact {
    is_connected: bool,
    /// The beginning of the present state.
    since: Instant,
    /// `true` once the log has told of the outage.
    is_told: bool,
}

/// The message may have arrived, or not.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoAnswer;

impl Bus {
    /// Makes ready to connect. The key is the registry's.
    ///
    /// # Errors
    /// [`StoreError`] if the key cannot be read, or is sealed with another store key.
    pub(super) async fn open(inner: &Inner, settings: BusSettings) -> Result<Self, StoreError> {
        let seal = &inner.pairing.seal;
        let id = BUS_KEY.as_bytes();
        let fresh = seal.seal_text(SealKind::BusKey, id, entropy::key().expose());
        let kept = inner.store.vault(BUS_KEY, fresh).await?;
        let other_seal =
            || StoreError::Database("the key of the bus is sealed with another store key".into());
        let key = seal.open_text(SealKind::BusKey, id, &kept).map_err(|_| other_seal())?;
        let seal = BusSeal::new(&key, &entropy::draw()).ok_or_else(other_seal)?;
        let services = inner.sharing.as_ref();
        let own = services.map_or("", |services| services.shared.gateway()).to_owned();
        let contact = BusContact { is_connected: false, since: Instant::now(), is_told: false };
        Ok(Self {
            settings,
            own,
            seal,
            next: AtomicU64::new(1),
            replays: Mutex::new(BusReplays::new(inner.clock.read().wall)),
            asked: Mutex::default(),
            client: OnceLock::new(),
            contact: Mutex::new(contact),
        })
    }

    /// Returns how the bus stands.
    pub(super) fn state(&self) -> BusState {
        let contact = self.contact();
        match contact.is_connected {
            true => BusState::Connected,
            false => BusState::Away { lasts: contact.since.elapsed() },
        }
    }

    /// Asks another gateway, and waits for its answer.
    ///
    /// # Errors
    /// [`NoAnswer`] if none came in time.
    pub(super) async fn ask<'m>(
        &self,
        inner: &Inner,
        gateway: &str,
        question: impl FnOnce(u64) -> BusMessage<'m>,
    ) -> Result<BusAnswer, NoAnswer> {
        let ask = self.next.fetch_add(1, Ordering::Relaxed);
        let (tell, told) = oneshot::channel();
        {
            let mut asked = self.asked();
            if asked.len() >= MOST_ASKED {
                return Err(NoAnswer);
            }
            asked.insert(ask, (gateway.to_owned(), tell));
        }
        let asking = async {
            self.send(inner, Some(gateway), &question(ask)).await?;
            told.await.map_err(|_| NoAnswer)
        };
        let answered = timeout(ANSWERED_WITHIN, asking).await;
        self.asked().remove(&ask);
        answered.unwrap_or(Err(NoAnswer))
    }

    /// Sends a message to another gateway, or to all.
    async fn send(
        &self,
        inner: &Inner,
        to: Option<&str>,
        message: &BusMessage<'_>,
    ) -> Result<(), NoAnswer> {
        // What waits for a connection would be stale by then.
        let (Some(client), BusState::Connected) = (self.client.get(), self.state()) else {
            return Err(NoAnswer);
        };
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let sent = inner.clock.read().wall;
        let sealed = self.seal.seal(&self.own, to, number, sent, message).ok_or(NoAnswer)?;
        let sending = client.publish(self.seal.subject(to), sealed.into());
        match timeout(ANSWERED_WITHIN, sending).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => {
                tracing::debug!(%error, "a message could not be given to the bus");
                Err(NoAnswer)
            }
            Err(_) => Err(NoAnswer),
        }
    }

    fn contact(&self) -> MutexGuard<'_, BusContact> {
        self.contact.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn asked(&self) -> MutexGuard<'_, HashMap<u64, (String, oneshot::Sender<BusAnswer>)>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn replays(&self) -> MutexGuard<'_, BusReplays> {
        self.replays.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts the tasks of the bus, if there is one. They end with the gateway.
///
/// # Errors
/// [`StoreError`] as [`Bus::open`].
pub(super) async fn start(
    inner: &Arc<Inner>,
    services: &Arc<SharingServices>,
) -> Result<(), StoreError> {
    let Some(settings) = services.settings.bus.clone() else { return Ok(()) };
    let bus = Arc::new(Bus::open(inner, settings).await?);
    if services.bus.set(Arc::clone(&bus)).is_ok() {
        tokio::spawn(carry(Arc::downgrade(inner), Arc::clone(&bus)));
        tokio::spawn(tell(Arc::downgrade(inner), bus));
    }
    Ok(())
}
