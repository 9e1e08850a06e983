//! The rows of deliveries.

use handfast_core::UnixTime;
use handfast_core::registry::delivery::{DeliveryId, Settled};

use super::MemoryTx;
use crate::ops::{DeliveryRows, RowResult, Subject};
use crate::{Delivered, Delivery};

/// A delivery, how it ended, and the run that began it.
#[derive(Clone, Copy, Debug)]
pub(super) struct DeliveryRow {
    pub(super) delivery: Delivery,
    pub(super) settled: Option<Settled>,
    pub(super) run: u64,
}

fn subject(of: Delivered) -> Subject {
    match of {
        Delivered::Token(id) => Subject::Token(id),
        Delivered::Code(id) => Subject::Code(id),
        Delivered::Setup { nonce, .. } => Subject::Setup(nonce),
    }
}

impl DeliveryRows for MemoryTx {
    fn delivery(&mut self, id: DeliveryId) -> RowResult<Option<(Delivery, Option<Settled>)>> {
        Ok(self.deliveries.get(&id).map(|row| (row.delivery, row.settled)))
    }

    fn add_delivery(&mut self, delivery: &Delivery) -> RowResult<()> {
        let row = DeliveryRow { delivery: *delivery, settled: None, run: self.singles.run };
        self.deliveries.add(delivery.ticket.id, row);
        Ok(())
    }

    fn settle_delivery(&mut self, id: DeliveryId, settled: Settled) -> RowResult<()> {
        self.deliveries.change(&id, |row| row.settled = Some(settled));
        Ok(())
    }

    fn settle_deliveries_of(
        &mut self,
        of: Subject,
        except: Option<DeliveryId>,
        settled: Settled,
    ) -> RowResult<()> {
        self.deliveries.change_all(
            |id, row| {
                row.settled.is_none() && subject(row.delivery.of) == of && Some(*id) != except
            },
            |row| row.settled = Some(settled),
        );
        Ok(())
    }

    fn forget_deliveries(&mut self, before: UnixTime, most: u32) -> RowResult<()> {
        let order = |_: &DeliveryId, row: &DeliveryRow| {
            let until = row.delivery.ticket.until;
            (row.settled.is_some() && until < before).then_some(until)
        };
        for id in self.deliveries.first(most, order) {
            self.deliveries.remove(&id);
        }
        Ok(())
    }

    fn deliveries_under_way(&mut self, limit: usize) -> RowResult<Vec<Delivery>> {
        let under_way = self.deliveries.values().filter(|row| row.settled.is_none());
        let mut found: Vec<Delivery> = under_way.map(|row| row.delivery).collect();
        found.sort_by_key(|delivery| (delivery.ticket.until, delivery.ticket.id));
        found.truncate(limit);
        Ok(found)
    }
}
