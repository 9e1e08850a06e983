//! Deliveries of secrets that are shown once: changes and queries.

use std::sync::atomic::AtomicBool;

use async_trait::async_trait;
use handfast_core::grant::token::TokenHash;
use handfast_core::id::NodeId;
use handfast_core::registry::admission::RequestKey;
use handfast_core::registry::codes::CodeId;
use handfast_core::registry::delivery::{
    self, Before, DeliveryId, NotSettled, Outcome, Settled, Ticket, Undelivered,
};
use handfast_core::registry::lifecycle;
use handfast_core::registry::record::Standing;
use handfast_core::time::UnixTime;
use handfast_core::wire::setup::Nonce;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::rows::{get, integer, seconds, time};
use super::{SqliteStore, changes, codes, reader, sessions};
use crate::{Delivered, Deliveries, Delivery, SaveError, Settlement, StoreError, rules};

/// Returns the key that finds a node's request, if it waits or would wait again.
pub(super) fn request(connection: &Connection, id: NodeId) -> rusqlite::Result<Option<[u8; 32]>> {
    let sql = "SELECT coalesce(request_key, fallback_request) FROM node WHERE node_id = ?1";
    Ok(connection
        .prepare_cached(sql)?
        .query_row([id.as_bytes()], |row| row.get(0))
        .optional()?
        .flatten())
}

/// Finds the request with this key whose approval may be undone.
pub(super) fn same(
    connection: &Connection,
    key: &RequestKey,
    now: UnixTime,
) -> rusqlite::Result<Option<NodeId>> {
    let sql = "SELECT node_id FROM node INDEXED BY node_by_fallback_request
               WHERE fallback_request = ?1 AND fallback_expires > ?2 AND token_hash IS NOT NULL LIMIT 1";
    let mut statement = connection.prepare_cached(sql)?;
    statement
        .query_row(params![key.as_bytes(), integer(now)], |row| row.get(0).map(NodeId::from_bytes))
        .optional()
}

/// Updates the deliveries after a standing was saved; `request` is the result of [`request`] from
/// before.
pub(super) fn follow(
    connection: &Connection,
    id: NodeId,
    standing: &Standing,
    request: Option<[u8; 32]>,
    now: UnixTime,
) -> Result<(), StoreError> {
    let under_way = standing.undelivered();
    if let Some(Undelivered { token: _, ticket, before }) = under_way {
        let (word, expires, token) = match before {
            Before::Pending { expires } => ("pending", Some(integer(*expires)), None),
            Before::Unapproved { token } => ("unapproved", None, Some(token)),
            Before::Token(token) => ("token", None, Some(token)),
        };
        connection
            .prepare_cached(
                "UPDATE node SET delivery_id = ?2, delivery_until = ?3, fallback = ?4, fallback_expires = ?5, fallback_token = ?6,
                        fallback_request = ?7 WHERE node_id = ?1",
            )?
            .execute(params![
                id.as_bytes(),
                ticket.id.as_bytes(),
                integer(ticket.until),
                word,
                expires,
                token.map(TokenHash::as_bytes),
                // Only a request that would wait again has to be found by its key.
                request.filter(|_| expires.is_some()),
            ])?;
        add(connection, &Delivery { ticket: *ticket, of: Delivered::Token(id) }, now)?;
    } else {
        let settled = connection
            .prepare_cached(
                "UPDATE node SET delivery_id = NULL, delivery_until = NULL, fallback = NULL, fallback_expires = NULL,
                        fallback_token = NULL, fallback_request = NULL WHERE node_id = ?1 AND delivery_id IS NOT NULL",
            )?
            .execute([id.as_bytes()])?;
        // Nothing was under way, so nothing has to be undone.
        if settled == 0 {
            return Ok(());
        }
        if matches!(standing, Standing::Pending { .. }) {
            // Another request with the same key may have come meanwhile; there is one entry for
            // each key.
            connection
                .prepare_cached(
                    "UPDATE node SET request_key = ?2 WHERE node_id = ?1
                     AND NOT EXISTS (SELECT 1 FROM node WHERE standing = 'pending' AND request_key = ?2)",
                )?
                .execute(params![id.as_bytes(), request])?;
        }
    }
    // An earlier delivery to this node has been replaced, or has no use any more.
    connection
        .prepare_cached(
            "UPDATE delivery SET settled = 'undone' WHERE subject = ?1 AND settled IS NULL AND what = 'token' AND delivery_id IS NOT ?2",
        )?
        .execute(params![id.as_bytes(), under_way.map(|undelivered| *undelivered.ticket.id.as_bytes())])?;
    Ok(())
}

/// Settles the delivery of a secret that was used: it has arrived.
pub(super) fn used(connection: &Connection, subject: &[u8; 16]) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE delivery SET settled = 'delivered' WHERE subject = ?1 AND settled IS NULL AND what <> 'token'")?
        .execute([subject])?;
    Ok(())
}

fn add(
    connection: &Connection,
    Delivery { ticket, of }: &Delivery,
    now: UnixTime,
) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "DELETE FROM delivery WHERE delivery_id IN (SELECT delivery_id FROM delivery INDEXED BY delivery_settled
             WHERE settled IS NOT NULL AND until < ?1 ORDER BY until LIMIT ?2)",
        )?
        .execute(params![integer(rules::oldest_death(now)), rules::PURGE])?;
    let (what, subject, expires) = match of {
        Delivered::Token(id) => ("token", id.as_bytes(), None),
        Delivered::Code(id) => ("code", id.as_bytes(), None),
        Delivered::Setup { nonce, expires_at } => {
            ("setup", nonce.as_bytes(), Some(integer(*expires_at)))
        }
    };
    connection
        .prepare_cached(
            "INSERT INTO delivery (delivery_id, until, what, subject, expires) VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING",
        )?
        .execute(params![ticket.id.as_bytes(), integer(ticket.until), what, subject, expires])?;
    Ok(())
}

fn settle(
    connection: &Connection,
    id: DeliveryId,
    outcome: Outcome,
    now: UnixTime,
    erased: &AtomicBool,
) -> Result<Result<Settlement, NotSettled>, StoreError> {
    let found = connection
        .prepare_cached("SELECT delivery_id, until, what, subject, expires, settled FROM delivery WHERE delivery_id = ?1")?
        .query_row([id.as_bytes()], |row| Ok((delivery(row)?, row.get::<_, Option<String>>("settled")?)))
        .optional()?;
    let Some((delivery, settled)) = found else { return Ok(Err(NotSettled::Unknown)) };
    let Delivery { ticket, of } = delivery.map_err(unreadable)?;
    if let Some(word) = settled {
        let settled = Settled::parse(&word)
            .ok_or_else(|| unreadable(format!("settled {word:?} is unknown")))?;
        return Ok(delivery::settle_again(settled, outcome).map(|()| Settlement {
            of,
            settled,
            notice: None,
            again: true,
        }));
    }
    let (settled, notice) = match of {
        Delivered::Token(node_id) => {
            let Some(stored) = reader::load(connection, node_id)? else {
                mark(connection, id, Settled::Undone)?;
                return Ok(Err(NotSettled::Undone));
            };
            let (settled, change) =
                match lifecycle::settle(&stored.record.standing, id, outcome, now) {
                    Ok(settled) => settled,
                    // The node's standing was changed in another way, so this delivery is moot.
                    Err(NotSettled::Unknown) => {
                        mark(connection, id, Settled::Undone)?;
                        return Ok(Err(NotSettled::Undone));
                    }
                    Err(no) => return Ok(Err(no)),
                };
            mark(connection, id, settled)?;
            match changes::save(connection, node_id, stored.version, &change.standing, now) {
                Ok(_) => (settled, change.notice),
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
            mark(connection, id, settled)?;
            match (settled, of) {
                (Settled::Undone, Delivered::Code(code)) => {
                    codes::withdraw(connection, code, now, erased)?;
                }
                (Settled::Undone, Delivered::Setup { nonce, expires_at }) => {
                    sessions::spoil(connection, nonce, expires_at)?;
                }
                (Settled::Delivered, _) | (Settled::Undone, Delivered::Token(_)) => {}
            }
            (settled, None)
        }
    };
    Ok(Ok(Settlement { of, settled, notice, again: false }))
}

fn mark(connection: &Connection, id: DeliveryId, settled: Settled) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE delivery SET settled = ?2 WHERE delivery_id = ?1")?
        .execute(params![id.as_bytes(), settled.as_str()])?;
    Ok(())
}

fn under_way(
    connection: &Connection,
    limit: usize,
) -> rusqlite::Result<Vec<Result<Delivery, String>>> {
    let sql = "SELECT delivery_id, until, what, subject, expires FROM delivery INDEXED BY delivery_under_way
               WHERE settled IS NULL ORDER BY until LIMIT ?1";
    connection
        .prepare_cached(sql)?
        .query_map([i64::try_from(limit).unwrap_or(i64::MAX)], delivery)?
        .collect()
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

#[async_trait]
impl Deliveries for SqliteStore {
    async fn deliver(&self, delivery: Delivery, now: UnixTime) -> Result<(), StoreError> {
        match delivery.of {
            Delivered::Token(_) => Ok(()),
            Delivered::Code(_) | Delivered::Setup { .. } => {
                self.writer.change(move |connection| add(connection, &delivery, now)).await
            }
        }
    }

    async fn settle(
        &self,
        id: DeliveryId,
        outcome: Outcome,
        now: UnixTime,
    ) -> Result<Result<Settlement, NotSettled>, StoreError> {
        let erased = self.writer.erased();
        self.writer.change(move |connection| settle(connection, id, outcome, now, &erased)).await
    }

    async fn undelivered(&self, limit: usize) -> Result<Vec<Delivery>, StoreError> {
        let found = self.page(move |connection| under_way(connection, limit)).await?;
        found.into_iter().collect::<Result<_, _>>().map_err(unreadable)
    }
}
