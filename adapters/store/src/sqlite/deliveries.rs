//! The rows of deliveries.

use handfast_core::registry::codes::CodeId;
use handfast_core::registry::delivery::{DeliveryId, Settled, Ticket};
use handfast_core::wire::setup::Nonce;
use handfast_core::{NodeId, UnixTime};
use rusqlite::{Row, params};

use super::rows::{get, integer, seconds, time};
use super::tx::{SqliteTx, most};
use crate::ops::{DeliveryRows, RowResult, Subject};
use crate::{Delivered, Delivery, StoreError};

/// The columns of a delivery's subject.
const fn subject(of: &Subject) -> (&'static str, &[u8; 16]) {
    match of {
        Subject::Token(id) => ("token", id.as_bytes()),
        Subject::Code(id) => ("code", id.as_bytes()),
        Subject::Setup(nonce) => ("setup", nonce.as_bytes()),
    }
}

impl DeliveryRows for SqliteTx<'_> {
    fn delivery(&mut self, id: DeliveryId) -> RowResult<Option<(Delivery, Option<Settled>)>> {
        let sql = "SELECT delivery_id, until, what, subject, expires, settled FROM delivery WHERE delivery_id = ?1";
        let found = self.find(sql, [id.as_bytes()], |row| {
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
        let sql = "INSERT INTO delivery (delivery_id, until, what, subject, expires) VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING";
        let row = params![ticket.id.as_bytes(), integer(ticket.until), what, subject, expires];
        self.execute(sql, row)?;
        Ok(())
    }

    fn settle_delivery(&mut self, id: DeliveryId, settled: Settled) -> RowResult<()> {
        let sql = "UPDATE delivery SET settled = ?2 WHERE delivery_id = ?1";
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
        let sql = "UPDATE delivery SET settled = ?3 WHERE subject = ?1 AND settled IS NULL AND what = ?2 AND delivery_id IS NOT ?4";
        let except = except.as_ref().map(DeliveryId::as_bytes);
        self.execute(sql, params![subject, what, settled.as_str(), except])?;
        Ok(())
    }

    fn forget_deliveries(&mut self, before: UnixTime, most: u32) -> RowResult<()> {
        let sql = "DELETE FROM delivery WHERE delivery_id IN (SELECT delivery_id FROM delivery INDEXED BY delivery_settled
             WHERE settled IS NOT NULL AND until < ?1 ORDER BY until LIMIT ?2)";
        self.execute(sql, params![integer(before), most])?;
        Ok(())
    }

    fn deliveries_under_way(&mut self, limit: usize) -> RowResult<Vec<Delivery>> {
        let sql = "SELECT delivery_id, until, what, subject, expires FROM delivery INDEXED BY delivery_under_way
               WHERE settled IS NULL ORDER BY until LIMIT ?1";
        let found = self.all(sql, [most(limit)], delivery)?;
        found.into_iter().collect::<Result<_, _>>().map_err(unreadable)
    }
}

/// Reads a delivery. The schema allows only 16 bytes as its id and as its subject.
fn delivery(row: &Row<'_>) -> rusqlite::Result<Result<Delivery, String>> {
    let ticket = Ticket {
        id: DeliveryId::from_bytes(row.get("delivery_id")?),
        until: seconds(row.get("until")?),
    };
    let subject: [u8; 16] = row.get("subject")?;
    let of = || match get::<String>(row, "what")?.as_str() {
        "token" => Ok(Delivered::Token(NodeId::from_bytes(subject))),
        "code" => Ok(Delivered::Code(CodeId::from_bytes(subject))),
        "setup" => Ok(Delivered::Setup {
            nonce: Nonce::from_bytes(subject),
            expires_at: time(row, "expires")?,
        }),
        other => Err(format!("what {other:?} is unknown")),
    };
    Ok(of().map(|of| Delivery { ticket, of }))
}

fn unreadable(problem: String) -> StoreError {
    StoreError::Database(format!("a stored delivery cannot be read: {problem}"))
}
