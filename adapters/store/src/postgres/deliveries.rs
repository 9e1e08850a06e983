//! The rows of deliveries.

use crate::value::params;
use handfast_core::UnixTime;
use handfast_core::registry::delivery::{DeliveryId, Settled};

use super::tx::PostgresTx;
use crate::ops::{DeliveryRows, RowResult, Subject};
use crate::rows::deliveries::{delivery, subject, unreadable};
use crate::rows::{integer, most};
use crate::{Delivered, Delivery};

impl DeliveryRows for PostgresTx<'_> {
    fn delivery(&mut self, id: DeliveryId) -> RowResult<Option<(Delivery, Option<Settled>)>> {
        let sql = "SELECT delivery_id, until, what, subject, expires, settled FROM delivery WHERE delivery_id = $1";
        let found = self.find(sql, params![id.as_bytes()], |row| {
            Ok((delivery(row)?, row.get::<_, Option<String>>("settled")?))
        })?;
        let Some((delivery, settled)) = found else { return Ok(None) };
        let settled = settled.map(|word| {
            Settled::parse(&word).ok_or_else(|| unreadable(format!("settled {word:?} is unknown")))
        });
        Ok(Some((delivery.map_err(unreadable)?, settled.transpose()?)))
    }

    fn add_delivery(&mut self, Delivery { ticket, of }: &Delivery) -> RowResult<()> {
        let (of, expires) = match *of {
            Delivered::Token(id) => (Subject::Token(id), None),
            Delivered::Code(id) => (Subject::Code(id), None),
            Delivered::Setup { nonce, expires_at } => {
                (Subject::Setup(nonce), Some(integer(expires_at)))
            }
        };
        let (what, subject) = subject(&of);
        let sql = "INSERT INTO delivery (delivery_id, until, what, subject, expires) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";
        let row = params![ticket.id.as_bytes(), integer(ticket.until), what, subject, expires];
        self.execute(sql, row)?;
        Ok(())
    }

    fn settle_delivery(&mut self, id: DeliveryId, settled: Settled) -> RowResult<()> {
        let sql = "UPDATE delivery SET settled = $2 WHERE delivery_id = $1";
        self.execute(sql, params![id.as_bytes(), settled.as_str()])?;
        Ok(())
    }

    fn settle_deliveries_of(
        &mut self,
        of: Subject,
        except: Option<DeliveryId>,
        settled: Settled,
    ) -> RowResult<()> {
        let (what, subject) = subject(&of);
        let sql = "UPDATE delivery SET settled = $3 WHERE subject = $1 AND settled IS NULL AND what = $2 AND delivery_id IS DISTINCT FROM $4";
        let except = except.as_ref().map(DeliveryId::as_bytes);
        self.execute(sql, params![subject, what, settled.as_str(), except])?;
        Ok(())
    }

    fn forget_deliveries(&mut self, before: UnixTime, most: u32) -> RowResult<()> {
        let sql = "DELETE FROM delivery WHERE delivery_id IN (SELECT delivery_id FROM delivery
             WHERE settled IS NOT NULL AND until < $1 ORDER BY until LIMIT $2)";
        self.execute(sql, params![integer(before), most])?;
        Ok(())
    }

    fn deliveries_under_way(&mut self, limit: usize) -> RowResult<Vec<Delivery>> {
        let sql = "SELECT delivery_id, until, what, subject, expires FROM delivery
               WHERE settled IS NULL ORDER BY until LIMIT $1";
        let found = self.all(sql, params![most(limit)], delivery)?;
        found.into_iter().collect::<Result<_, _>>().map_err(unreadable)
    }
}
