//! Deliveries of secrets that are shown once.

use async_trait::async_trait;
use handfast_core::registry::codes::CodeId;
use handfast_core::registry::delivery::{
    self, DeliveryId, NotSettled, Outcome, Settled, Undelivered,
};
use handfast_core::registry::lifecycle;
use handfast_core::wire::setup::Nonce;
use handfast_core::{NodeId, UnixTime};

use super::{Database, Decided, RowResult, Tx, nodes};
use crate::audit::{Detail, Entry, What};
use crate::{Delivered, Deliveries, Delivery, SaveError, Settlement, StoreError, Stored, rules};

/// The secret that a delivery carries, by its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    Token(NodeId),
    Code(CodeId),
    Setup(Nonce),
}

/// The rows of deliveries.
pub(crate) trait DeliveryRows {
    /// Returns a delivery, and how it ended.
    fn delivery(&mut self, id: DeliveryId) -> RowResult<Option<(Delivery, Option<Settled>)>>;

    /// Adds a delivery that is under way, if there is none with its id.
    fn add_delivery(&mut self, delivery: &Delivery) -> RowResult<()>;

    /// Ends a delivery.
    fn settle_delivery(&mut self, id: DeliveryId, settled: Settled) -> RowResult<()>;

    /// Ends the deliveries of this secret that are under way, except this one.
    fn settle_deliveries_of(
        &mut self,
        subject: Subject,
        except: Option<DeliveryId>,
        settled: Settled,
    ) -> RowResult<()>;

    /// Removes at most `most` deliveries that have ended and would have lapsed before this time,
    /// the earliest first.
    fn forget_deliveries(&mut self, before: UnixTime, most: u32) -> RowResult<()>;

    /// Returns the deliveries under way, ordered by the time at which they lapse.
    fn deliveries_under_way(&mut self, limit: usize) -> RowResult<Vec<Delivery>>;
}

/// Updates the deliveries to a node after its standing was saved with this one, or none.
pub(super) fn follow(
    tx: &mut dyn Tx,
    node_id: NodeId,
    under_way: Option<&Undelivered>,
    now: UnixTime,
) -> Result<(), StoreError> {
    let ticket = under_way.map(|undelivered| undelivered.ticket);
    if let Some(ticket) = ticket {
        begin(tx, &Delivery { ticket, of: Delivered::Token(node_id) }, now)?;
    }
    // An earlier delivery to this node has been replaced, or has no use any more.
    let except = ticket.map(|ticket| ticket.id);
    tx.settle_deliveries_of(Subject::Token(node_id), except, Settled::Undone)
}

pub(super) fn begin(tx: &mut dyn Tx, delivery: &Delivery, now: UnixTime) -> Result<(), StoreError> {
    tx.forget_deliveries(rules::oldest_death(now), rules::PURGE)?;
    tx.add_delivery(delivery)
}

pub(super) fn settle(
    tx: &mut dyn Tx,
    id: DeliveryId,
    outcome: Outcome,
    now: UnixTime,
) -> Result<Decided<Result<Settlement, NotSettled>>, StoreError> {
    let settlement = try_settle(tx, id, outcome, now)?;
    let Ok(Settlement { of, settled: Settled::Undone, again: false, .. }) = settlement else {
        return Ok(Decided::nothing(settlement));
    };
    let of = match of {
        Delivered::Token(node_id) => Detail::Node(node_id),
        Delivered::Code(code) => Detail::Code(code),
        Delivered::Setup { nonce, .. } => Detail::SetupCode(nonce),
    };
    let how = match outcome {
        Outcome::Cancelled => "cancelled",
        Outcome::Confirmed | Outcome::Used | Outcome::Lapsed => "lapsed",
    };
    let entry = Entry::new(What::Undo, [of, Detail::Word(how)]);
    Ok(Decided::by(settlement, entry.at(now)))
}

fn try_settle(
    tx: &mut dyn Tx,
    id: DeliveryId,
    outcome: Outcome,
    now: UnixTime,
) -> Result<Result<Settlement, NotSettled>, StoreError> {
    let Some((Delivery { ticket, of }, settled)) = tx.delivery(id)? else {
        return Ok(Err(NotSettled::Unknown));
    };
    if let Some(settled) = settled {
        return Ok(delivery::settle_again(settled, outcome).map(|()| Settlement {
            of,
            settled,
            notice: None,
            again: true,
        }));
    }
    let (settled, notice) = match of {
        Delivered::Token(node_id) => {
            let moot = |tx: &mut dyn Tx| {
                tx.settle_delivery(id, Settled::Undone)?;
                Ok(Err(NotSettled::Undone))
            };
            let Some(Stored { record, version, .. }) = tx.node(node_id)? else { return moot(tx) };
            let (settled, change) = match lifecycle::settle(&record.standing, id, outcome, now) {
                Ok(settled) => settled,
                // The node's standing was changed in another way, so this delivery is moot.
                Err(NotSettled::Unknown) => return moot(tx),
                Err(no) => return Ok(Err(no)),
            };
            tx.settle_delivery(id, settled)?;
            match nodes::save(tx, node_id, version, &change.standing, now) {
                // The settlement has an entry of its own, if it undoes anything.
                Ok(saved) => {
                    saved.within();
                    (settled, change.notice)
                }
                Err(SaveError::Store(error)) => return Err(error),
                Err(SaveError::Conflict | SaveError::Missing) => {
                    return Ok(Err(NotSettled::Unknown));
                }
            }
        }
        Delivered::Code(_) | Delivered::Setup { .. } => {
            let settled = match delivery::settle(ticket.until, outcome, now) {
                Ok(settled) => settled,
                Err(no) => return Ok(Err(no)),
            };
            tx.settle_delivery(id, settled)?;
            match (settled, of) {
                (Settled::Undone, Delivered::Code(code)) => {
                    tx.kill_code(code, now)?;
                }
                // A code that nobody was shown counts as spent.
                (Settled::Undone, Delivered::Setup { nonce, expires_at }) => {
                    tx.add_spent(nonce, expires_at)?;
                }
                (Settled::Delivered, _) | (Settled::Undone, Delivered::Token(_)) => {}
            }
            (settled, None)
        }
    };
    Ok(Ok(Settlement { of, settled, notice, again: false }))
}

#[async_trait]
impl<D: Database> Deliveries for D {
    async fn deliver(&self, delivery: Delivery, now: UnixTime) -> Result<(), StoreError> {
        match delivery.of {
            Delivered::Token(_) => Ok(()),
            Delivered::Code(_) => self.change(move |tx| begin(tx, &delivery, now)).await,
            // Nothing else is stored of a setup code until it is spent.
            Delivered::Setup { nonce, expires_at } => {
                self.decide(move |tx| {
                    begin(tx, &delivery, now)?;
                    let details = [Detail::SetupCode(nonce), Detail::Until(expires_at)];
                    let entry = Entry::new(What::MakeSetupCode, details);
                    Ok::<_, StoreError>(Decided::by((), entry.at(now)))
                })
                .await
            }
        }
    }

    async fn settle(
        &self,
        id: DeliveryId,
        outcome: Outcome,
        now: UnixTime,
    ) -> Result<Result<Settlement, NotSettled>, StoreError> {
        self.decide(move |tx| settle(tx, id, outcome, now)).await
    }

    async fn settle_all(
        &self,
        ids: Vec<DeliveryId>,
        outcome: Outcome,
        now: UnixTime,
    ) -> Result<Vec<Result<Settlement, NotSettled>>, StoreError> {
        self.decide(move |tx| {
            let mut entries = Vec::new();
            let mut settled = Vec::with_capacity(ids.len());
            for id in &ids {
                settled.push(settle(tx, *id, outcome, now)?.into(&mut entries));
            }
            Ok::<_, StoreError>(Decided::all(settled, entries))
        })
        .await
    }

    async fn undelivered(&self, limit: usize) -> Result<Vec<Delivery>, StoreError> {
        self.page(move |tx| tx.deliveries_under_way(limit)).await
    }
}
