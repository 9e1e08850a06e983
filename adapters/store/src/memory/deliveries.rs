//! Deliveries of secrets that are shown once.

use std::collections::HashMap;

use async_trait::async_trait;
use handfast_core::id::NodeId;
use handfast_core::registry::codes::CodeId;
use handfast_core::registry::delivery::{
    self, DeliveryId, NotSettled, Outcome, Settled, Undelivered,
};
use handfast_core::registry::lifecycle;
use handfast_core::registry::record::Standing;
use handfast_core::time::UnixTime;
use handfast_core::wire::setup::Nonce;

use super::time::moved;
use super::{MemoryState, MemoryStore};
use crate::{Delivered, Deliveries, Delivery, Settlement, StoreError, rules};

#[derive(Clone, Debug, Default)]
pub(super) struct UnderWay {
    all: HashMap<DeliveryId, DeliveryRow>,
    /// Number of the current run.
    pub(super) run: u64,
}

#[derive(Clone, Copy, Debug)]
struct DeliveryRow {
    delivery: Delivery,
    settled: Option<Settled>,
    /// The run that began the delivery.
    run: u64,
}

impl UnderWay {
    fn add(&mut self, delivery: Delivery, now: UnixTime) {
        let oldest = rules::oldest_death(now);
        self.all.retain(|_, kept| kept.settled.is_none() || kept.delivery.ticket.until >= oldest);
        self.all.entry(delivery.ticket.id).or_insert(DeliveryRow {
            delivery,
            settled: None,
            run: self.run,
        });
    }

    /// Moves the ends of the deliveries that this run began. The end of a setup code is written in
    /// the code itself, so it never moves.
    pub(super) fn move_by(&mut self, by: i64) -> Vec<DeliveryId> {
        let run = self.run;
        self.each(|kept| kept.run == run, |until| moved(until, by))
    }

    /// Sets the end of earlier runs' deliveries to `latest`, where it is later.
    pub(super) fn end_later(&mut self, latest: UnixTime) -> Vec<DeliveryId> {
        let run = self.run;
        let such = |kept: &DeliveryRow| {
            kept.run != run && kept.settled.is_none() && kept.delivery.ticket.until > latest
        };
        self.each(such, |_| latest)
    }

    fn each(
        &mut self,
        such: impl Fn(&DeliveryRow) -> bool,
        until: impl Fn(UnixTime) -> UnixTime,
    ) -> Vec<DeliveryId> {
        let these = self.all.iter_mut().filter(|(_, kept)| such(kept));
        let changed = these.map(|(id, kept)| {
            kept.delivery.ticket.until = until(kept.delivery.ticket.until);
            *id
        });
        changed.collect()
    }

    /// Updates the deliveries after a standing was saved.
    pub(super) fn follow(&mut self, id: NodeId, standing: &Standing, now: UnixTime) {
        let under_way = standing.undelivered().map(|Undelivered { ticket, .. }| *ticket);
        for kept in self
            .all
            .values_mut()
            .filter(|kept| kept.settled.is_none() && kept.delivery.of == Delivered::Token(id))
        {
            // Another delivery has replaced it, or its token has been settled.
            if Some(kept.delivery.ticket) != under_way {
                kept.settled = Some(Settled::Undone);
            }
        }
        if let Some(ticket) = under_way {
            self.add(Delivery { ticket, of: Delivered::Token(id) }, now);
        }
    }

    fn moot(&mut self, id: DeliveryId) -> NotSettled {
        if let Some(kept) = self.all.get_mut(&id) {
            kept.settled = Some(Settled::Undone);
        }
        NotSettled::Undone
    }

    pub(super) fn code_used(&mut self, id: CodeId) {
        self.used(|of| of == Delivered::Code(id));
    }

    pub(super) fn setup_used(&mut self, nonce: Nonce) {
        self.used(|of| matches!(of, Delivered::Setup { nonce: its, .. } if its == nonce));
    }

    fn used(&mut self, which: impl Fn(Delivered) -> bool) {
        for kept in
            self.all.values_mut().filter(|kept| kept.settled.is_none() && which(kept.delivery.of))
        {
            kept.settled = Some(Settled::Delivered);
        }
    }
}

impl MemoryState {
    fn settle(
        &mut self,
        id: DeliveryId,
        outcome: Outcome,
        now: UnixTime,
    ) -> Result<Result<Settlement, NotSettled>, StoreError> {
        let Some(DeliveryRow { delivery: Delivery { ticket, of }, settled, .. }) =
            self.deliveries.all.get(&id).copied()
        else {
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
                let Some(node) = self.nodes.all.get(&node_id) else {
                    return Ok(Err(self.deliveries.moot(id)));
                };
                let (standing, version) = (&node.entry.record.standing, node.entry.version);
                let (settled, change) = match lifecycle::settle(standing, id, outcome, now) {
                    Ok(settled) => settled,
                    // The node's standing was changed in another way, so this delivery is moot.
                    Err(NotSettled::Unknown) => return Ok(Err(self.deliveries.moot(id))),
                    Err(no) => return Ok(Err(no)),
                };
                if self.nodes.save(node_id, version, change.standing, now).is_err() {
                    return Ok(Err(NotSettled::Unknown));
                }
                (settled, change.notice)
            }
            Delivered::Code(code) => match delivery::settle(ticket.until, outcome, now) {
                Ok(Settled::Delivered) => (Settled::Delivered, None),
                Ok(Settled::Undone) => {
                    self.codes.withdraw(code, now);
                    (Settled::Undone, None)
                }
                Err(no) => return Ok(Err(no)),
            },
            Delivered::Setup { nonce, expires_at } => {
                match delivery::settle(ticket.until, outcome, now) {
                    Ok(Settled::Delivered) => (Settled::Delivered, None),
                    Ok(Settled::Undone) => {
                        self.companions.spoil(nonce, expires_at);
                        (Settled::Undone, None)
                    }
                    Err(no) => return Ok(Err(no)),
                }
            }
        };
        if let Some(kept) = self.deliveries.all.get_mut(&id) {
            kept.settled = Some(settled);
        }
        Ok(Ok(Settlement { of, settled, notice, again: false }))
    }
}

#[async_trait]
impl Deliveries for MemoryStore {
    async fn deliver(&self, delivery: Delivery, now: UnixTime) -> Result<(), StoreError> {
        // The delivery of a token begins with the standing that has it.
        if !matches!(delivery.of, Delivered::Token(_)) {
            self.state().deliveries.add(delivery, now);
        }
        Ok(())
    }

    async fn settle(
        &self,
        id: DeliveryId,
        outcome: Outcome,
        now: UnixTime,
    ) -> Result<Result<Settlement, NotSettled>, StoreError> {
        self.state().settle(id, outcome, now)
    }

    async fn undelivered(&self, limit: usize) -> Result<Vec<Delivery>, StoreError> {
        let state = self.state();
        let under_way = state.deliveries.all.values().filter(|kept| kept.settled.is_none());
        let mut found: Vec<Delivery> = under_way.map(|kept| kept.delivery).collect();
        found.sort_by_key(|delivery| (delivery.ticket.until, delivery.ticket.id));
        found.truncate(limit);
        Ok(found)
    }
}
