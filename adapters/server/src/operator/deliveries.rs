//! Deliveries of secrets that are shown once: confirmed, cancelled, or undone when their time is
//! over.

use std::sync::{Arc, Weak};
use std::time::Duration;

use handfast_core::registry::delivery::{DeliveryId, NotSettled, Outcome, Settled, Ticket};
use handfast_core::{NodeId, Refusal, UnixTime};
use handfast_store::{CODES_AT_ONCE, Delivered, Delivery, Settlement, StoreError};

use crate::entropy;
use crate::events::Event;
use crate::gateway::operator_types::OperatorError;
use crate::gateway::{Gateway, Inner, to_its_end};
use crate::hex::hex;
use crate::operator::setup_codes::StartedSetup;

/// The interval at which lapsed deliveries of other processes are looked for; those of this one
/// wake the task themselves.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// The interval while a delivery is in progress, because the clock may be set.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// The maximum number of deliveries that one round undoes.
const ROUND: usize = 64;

impl Gateway {
    /// Confirms that a secret is in its place, so that the decision is final. Repeating it is no
    /// error.
    ///
    /// # Errors
    /// [`OperatorError::Delivery`] if it was undone meanwhile, or is not known;
    /// [`OperatorError::Store`].
    pub async fn confirm_delivery(&self, id: DeliveryId) -> Result<(), OperatorError> {
        match self.confirm_login(id).await? {
            Some(()) => Ok(()),
            None => self.settle_delivery(id, Outcome::Confirmed).await,
        }
    }

    /// Cancels the delivery of a secret that could not be shown, and undoes its decision at once.
    ///
    /// # Errors
    /// [`OperatorError::Delivery`] if it is confirmed already, or is not known;
    /// [`OperatorError::Store`].
    pub async fn cancel_delivery(&self, id: DeliveryId) -> Result<(), OperatorError> {
        match self.cancel_login(id).await? {
            Some(()) => Ok(()),
            None => self.settle_delivery(id, Outcome::Cancelled).await,
        }
    }

    /// Confirms the deliveries of many codes in one step, or cancels them all. Returns the first
    /// failure after the others have ended.
    ///
    /// # Errors
    /// [`OperatorError::Usage`] for more than [`CODES_AT_ONCE`]; otherwise as for
    /// [`Gateway::confirm_delivery`] and [`Gateway::cancel_delivery`].
    pub async fn settle_deliveries(
        &self,
        ids: Vec<DeliveryId>,
        arrived: bool,
    ) -> Result<(), OperatorError> {
        if ids.len() > CODES_AT_ONCE {
            return Err(OperatorError::Usage(format!(
                "{} deliveries cannot end at once: at most {CODES_AT_ONCE} begin so",
                ids.len()
            )));
        }
        let outcome = if arrived { Outcome::Confirmed } else { Outcome::Cancelled };
        let failed = |id: DeliveryId, why| OperatorError::Delivery { id: hex(id.as_bytes()), why };
        let gateway = self.clone();
        to_its_end(async move {
            for id in &ids {
                if gateway.inner.doubts_delivery(*id, outcome).await? {
                    return Err(failed(*id, NotSettled::ClockInDoubt));
                }
            }
            let now = gateway.inner.clock.unix();
            let settled = gateway.store().settle_all(ids.clone(), outcome, now).await?;
            let mut first = Ok(());
            for (id, settled) in ids.into_iter().zip(settled) {
                match settled {
                    Ok(settlement) => gateway.delivery_ended(&settlement, outcome),
                    Err(why) => first = first.and(Err(failed(id, why))),
                }
            }
            first
        })
        .await
    }

    /// Begins the delivery of a setup code that was just made. The code becomes worthless if the
    /// delivery is not confirmed in time.
    ///
    /// # Errors
    /// [`OperatorError::Store`].
    pub async fn deliver_setup(&self, started: &StartedSetup) -> Result<Ticket, OperatorError> {
        self.begin_delivery(Delivered::Setup {
            nonce: started.nonce,
            expires_at: started.expires_at,
        })
        .await
    }

    pub(crate) async fn begin_delivery(&self, of: Delivered) -> Result<Ticket, OperatorError> {
        let ticket = self.ticket();
        self.store().deliver(Delivery { ticket, of }, self.inner.clock.unix()).await?;
        self.delivery_begun();
        Ok(ticket)
    }

    /// Returns the ticket of a delivery that begins now.
    pub(crate) fn ticket(&self) -> Ticket {
        Ticket {
            id: DeliveryId::new(&entropy::draw()),
            until: self.inner.clock.unix().after(self.inner.limits.deliver_within),
        }
    }

    pub(crate) fn delivery_begun(&self) {
        self.inner.deliveries.begun.notify_one();
    }

    /// Confirms a delivery whose token a node has used.
    pub(crate) async fn token_used(&self, node_id: NodeId, id: DeliveryId) -> Result<(), Refusal> {
        match self.settle_delivery(id, Outcome::Used).await {
            Ok(()) => Ok(()),
            Err(OperatorError::Delivery { why: NotSettled::ClockInDoubt, .. }) => {
                Err(Refusal::ClockInDoubt)
            }
            // The delivery was undone, and its token with it.
            Err(OperatorError::Delivery { .. }) => Err(Refusal::InvalidCredentials),
            Err(error) => {
                tracing::error!(%node_id, %error, "that its token arrived could not be written down");
                Err(Refusal::StoreFailed)
            }
        }
    }

    async fn settle_delivery(&self, id: DeliveryId, outcome: Outcome) -> Result<(), OperatorError> {
        let gateway = self.clone();
        to_its_end(async move {
            if gateway.inner.doubts_delivery(id, outcome).await? {
                return Err(OperatorError::Delivery {
                    id: hex(id.as_bytes()),
                    why: NotSettled::ClockInDoubt,
                });
            }
            let settled = gateway.store().settle(id, outcome, gateway.inner.clock.unix()).await?;
            let settlement =
                settled.map_err(|why| OperatorError::Delivery { id: hex(id.as_bytes()), why })?;
            gateway.delivery_ended(&settlement, outcome);
            Ok(())
        })
        .await
    }

    fn delivery_ended(&self, settlement: &Settlement, outcome: Outcome) {
        // Only a token has a link that must learn of it.
        if let (Delivered::Token(node_id), false) = (settlement.of, settlement.again) {
            self.push(node_id, settlement.notice);
        }
        self.inner.delivery_ended(settlement, outcome);
    }
}

impl Inner {
    fn delivery_ended(
        &self,
        &Settlement { of, settled, again, .. }: &Settlement,
        outcome: Outcome,
    ) {
        if again || settled == Settled::Delivered {
            return;
        }
        let why = match outcome {
            Outcome::Cancelled => "could not be shown",
            Outcome::Confirmed | Outcome::Used | Outcome::Lapsed => {
                "was neither confirmed nor used in time"
            }
        };
        match of {
            Delivered::Token(node_id) => {
                tracing::warn!(%node_id, "its new token {why}, so it never counted: the node stands as before it was issued");
                self.event(&Event::Decided { node_id, decision: "undelivered" });
            }
            Delivered::Code(id) => {
                tracing::warn!(code = hex(id.as_bytes()), "the code {why}, so it is withdrawn");
            }
            Delivered::Setup { .. } => {
                tracing::warn!("a setup code {why}, so it is worth nothing any more");
            }
        }
    }

    /// Returns the time at which a delivery began.
    fn began(&self, ticket: &Ticket) -> UnixTime {
        ticket.until.moved(-i64::try_from(self.limits.deliver_within.as_secs()).unwrap_or(i64::MAX))
    }

    /// Returns `true` if only a jump of a clock in doubt would make a delivery late.
    async fn doubts_delivery(&self, id: DeliveryId, outcome: Outcome) -> Result<bool, StoreError> {
        let moment = self.clock.moment();
        match outcome {
            Outcome::Confirmed | Outcome::Used if moment.claimed().is_some() => {
                let under_way = self.store.undelivered(usize::MAX).await?;
                let found = under_way
                    .iter()
                    .map(|delivery| &delivery.ticket)
                    .find(|ticket| ticket.id == id);
                Ok(found.is_some_and(|ticket| moment.doubts(self.began(ticket), ticket.until)))
            }
            Outcome::Confirmed | Outcome::Used | Outcome::Cancelled | Outcome::Lapsed => Ok(false),
        }
    }

    /// Undoes lapsed deliveries, and returns the time until the next round. While the clock is in
    /// doubt, the deliveries of earlier processes are spared.
    pub(crate) async fn undo_what_lapsed(&self) -> Duration {
        // The spared deliveries come first in the list, and must not use up the round.
        let in_doubt = self.clock.moment().claimed().is_some();
        let under_way =
            match self.store.undelivered(if in_doubt { usize::MAX } else { ROUND }).await {
                Ok(under_way) => under_way,
                Err(error) => {
                    tracing::error!(%error, "the secrets that are on their way could not be read");
                    return LOOK_AGAIN;
                }
            };
        let moment = self.clock.moment();
        let now = moment.now;
        let mut spared = false;
        for Delivery { ticket, .. } in &under_way {
            if moment.spares(self.began(ticket)) {
                spared = true;
                continue;
            }
            if ticket.until > now {
                let left =
                    Duration::from_secs(ticket.until.as_secs().saturating_sub(now.as_secs()));
                // The list is in order of the ends, so nothing after this one has lapsed.
                return left.min(LOOK_AGAIN);
            }
            match self.store.settle(ticket.id, Outcome::Lapsed, now).await {
                Ok(Ok(settlement)) => self.delivery_ended(&settlement, Outcome::Lapsed),
                // Another gateway or request was faster, and decided how the delivery ended.
                Ok(Err(
                    NotSettled::Unknown
                    | NotSettled::Undone
                    | NotSettled::Delivered
                    | NotSettled::Late
                    | NotSettled::Early
                    | NotSettled::ClockInDoubt,
                )) => {}
                Err(error) => {
                    tracing::error!(%error, "a secret that was not delivered could not be undone; it is tried again");
                    return LOOK_AGAIN;
                }
            }
        }
        match (under_way.len() == ROUND, spared) {
            (_, true) => LOOK_AGAIN,
            (true, false) => Duration::ZERO,
            (false, false) => LOOK_EVERY,
        }
    }
}

/// Starts the task that undoes lapsed deliveries, those of earlier processes too, as long as the
/// gateway lives.
pub(crate) fn watch(inner: &Arc<Inner>) {
    tokio::spawn(watcher(Arc::downgrade(inner)));
}

async fn watcher(gateway: Weak<Inner>) {
    loop {
        let Some(inner) = gateway.upgrade() else { return };
        let sleep = inner.undo_what_lapsed().await;
        let begun = Arc::clone(&inner.deliveries.begun);
        let mut shutdown = inner.shutdown.subscribe();
        // A sleeping task must not keep the gateway alive.
        drop(inner);
        tokio::select! {
            () = begun.notified() => {}
            () = tokio::time::sleep(sleep) => {}
            _ = shutdown.wait_for(|down| *down) => return,
        }
    }
}
