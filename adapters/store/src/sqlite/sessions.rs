//! Companions' sessions, and the setup codes that were spent: changes and queries.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_trait::async_trait;
use handfast_core::grant::session::SessionHash;
use handfast_core::registry::sessions::{
    self, Ended, Maker, NotRedeemed, Prolonging, Session, SessionId,
};
use handfast_core::text::Name;
use handfast_core::time::UnixTime;
use handfast_core::wire::setup::Nonce;
use rusqlite::{Connection, OptionalExtension, params};

use super::rows::{self, integer, seconds};
use super::{SqliteStore, deliveries, grants, makers};
use crate::makers::Ending;
use crate::{EndedWith, SaveError, SessionFilter, Sessions, SetupCode, StoreError, Yield, rules};

fn redeem(
    connection: &Connection,
    code: SetupCode,
    yields: &Yield,
    now: UnixTime,
) -> Result<Result<(), NotRedeemed>, SaveError> {
    let (mark, is_spent) = connection
        .prepare_cached(
            "SELECT mark, EXISTS (SELECT 1 FROM spent_setup_code WHERE nonce = ?1) FROM setup_mark",
        )?
        .query_row([code.nonce.as_bytes()], |row| Ok((seconds(row.get(0)?), row.get(1)?)))?;
    if let Err(no) = sessions::redeem(code.expires_at, mark, is_spent, now) {
        return Ok(Err(no));
    }
    // Checked inside the transaction, so that a code of a session that ends meanwhile yields
    // nothing.
    if makers::end_of(connection, code.maker, now)?.is_none() {
        return Ok(Err(NotRedeemed::Expired));
    }
    match yields {
        Yield::Session(session) => insert(connection, session)?,
        Yield::Node { record, profile, read_at, grant, ceiling } => {
            grants::offer(connection, record, profile, *read_at, grant, ceiling.as_deref(), now)?;
        }
    }
    connection
        .prepare_cached("INSERT INTO spent_setup_code (nonce, expires) VALUES (?1, ?2)")?
        .execute(params![code.nonce.as_bytes(), integer(code.expires_at)])?;
    deliveries::used(connection, code.nonce.as_bytes())?;
    purge(connection, now)?;
    Ok(Ok(()))
}

/// Marks a code that nobody was shown as spent.
pub(super) fn spoil(
    connection: &Connection,
    nonce: Nonce,
    expires_at: UnixTime,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO spent_setup_code (nonce, expires) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
        )?
        .execute(params![nonce.as_bytes(), integer(expires_at)])?;
    Ok(())
}

/// Forgets expired codes, which raises the mark, and sessions that ended long ago.
fn purge(connection: &Connection, now: UnixTime) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "DELETE FROM spent_setup_code WHERE nonce IN (SELECT nonce FROM spent_setup_code INDEXED BY spent_setup_code_by_end
             WHERE expires <= ?1 ORDER BY expires LIMIT ?2)",
        )?
        .execute(params![integer(now), rules::PURGE])?;
    connection
        .prepare_cached(
            "DELETE FROM session WHERE seq IN (SELECT seq FROM session INDEXED BY session_by_end
             WHERE ended_at < ?1 ORDER BY ended_at LIMIT ?2)",
        )?
        .execute(params![integer(rules::oldest_session(now)), rules::PURGE])?;
    Ok(())
}

fn insert(connection: &Connection, session: &Session) -> Result<(), SaveError> {
    let Session {
        id,
        hash,
        profile,
        device_label,
        issued_at,
        expires_at,
        revoked_at,
        over,
        maker,
        prolonged,
    } = session;
    let inserted = connection
        .prepare_cached(
            "INSERT INTO session (session_id, hash, profile, device_label, issued_at, expires_at, revoked_at, over, maker, prolonged_by, own_end)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            id.as_bytes(),
            hash.as_bytes(),
            profile.as_str(),
            device_label.as_ref().map(Name::as_str),
            integer(*issued_at),
            integer(*expires_at),
            revoked_at.map(integer),
            over,
            rows::session(*maker),
            prolonged.map(|prolonged| *prolonged.by.as_bytes()),
            prolonged.map(|prolonged| integer(prolonged.before)),
        ])?;
    match inserted {
        1 => Ok(()),
        _ => Err(SaveError::Conflict),
    }
}

fn by_hash(connection: &Connection, hash: &SessionHash) -> Result<Option<Session>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT * FROM session WHERE hash = ?1")?;
    statement.query_row([hash.as_bytes()], rows::companion).optional()?.transpose()
}

pub(super) fn by_id(connection: &Connection, id: SessionId) -> Result<Option<Session>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT * FROM session WHERE session_id = ?1")?;
    statement.query_row([id.as_bytes()], rows::companion).optional()?.transpose()
}

fn list(
    connection: &Connection,
    filter: SessionFilter,
    after: Option<SessionId>,
    limit: usize,
    now: UnixTime,
) -> rusqlite::Result<Result<Vec<Session>, StoreError>> {
    let sql = "SELECT * FROM session WHERE session_id > ?1 AND (?4 OR (revoked_at IS NULL AND over = 0 AND expires_at > ?3 AND issued_at <= ?5))
               ORDER BY session_id LIMIT ?2";
    // The empty blob comes before every id.
    let after: &[u8] = after.as_ref().map_or(&[], |id| id.as_bytes());
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut statement = connection.prepare_cached(sql)?;
    statement
        .query_map(
            params![
                after,
                limit,
                integer(now),
                filter == SessionFilter::All,
                integer(rules::latest_made(now))
            ],
            rows::companion,
        )?
        .collect()
}

fn live(connection: &Connection, now: UnixTime) -> rusqlite::Result<i64> {
    // The index alone answers this query.
    let sql = "SELECT count(*) FROM session INDEXED BY session_by_end WHERE ended_at > ?1 AND revoked_at IS NULL AND over = 0 AND issued_at <= ?2";
    connection
        .prepare_cached(sql)?
        .query_row([integer(now), integer(rules::latest_made(now))], |row| row.get(0))
}

fn prolong(
    connection: &Connection,
    id: SessionId,
    how: Prolonging,
    now: UnixTime,
) -> Result<Option<Result<UnixTime, Ended>>, StoreError> {
    let Some(session) = by_id(connection, id)? else { return Ok(None) };
    let by = how.by.map_or(Maker::Operator, Maker::Session);
    // Neither an ended maker nor an ended prolonger can give time.
    let (Some(made), Some(by)) =
        (makers::end_of(connection, session.maker, now)?, makers::end_of(connection, by, now)?)
    else {
        return Ok(Some(Err(Ended::Revoked)));
    };
    let how = Prolonging { ends: [how.ends, made, by].into_iter().flatten().min(), ..how };
    let refreshed = session.refreshed(&how, now);
    // A refresh that changes nothing needs no write.
    if let Ok((end, prolonged)) = refreshed
        && (end, prolonged) != (session.expires_at, session.prolonged)
    {
        let sql = "UPDATE session SET expires_at = ?2, prolonged_by = ?3, own_end = ?4, renewed = ?5 WHERE session_id = ?1";
        let (by, own) =
            (prolonged.map(|it| *it.by.as_bytes()), prolonged.map(|it| integer(it.before)));
        connection.prepare_cached(sql)?.execute(params![
            id.as_bytes(),
            integer(end),
            by,
            own,
            integer(now)
        ])?;
    }
    Ok(Some(refreshed.map(|(end, _)| end)))
}

/// Ends a session. Reads nothing else of it, so that a damaged one can be ended too; reads no
/// clock, so that an expired one stays ended when the clock is set back.
fn end(
    connection: &Connection,
    id: SessionId,
    now: UnixTime,
    erased: &AtomicBool,
) -> Result<(bool, EndedWith), StoreError> {
    let sql = "UPDATE session SET revoked_at = ?2 WHERE session_id = ?1 AND revoked_at IS NULL";
    let revoked =
        connection.prepare_cached(sql)?.execute(params![id.as_bytes(), integer(now)])? == 1;
    Ok((revoked, makers::end_made_by(connection, vec![Ending::whole(id)], now, erased)?))
}

/// The reason for which a trial change is rolled back.
enum Looked {
    /// The consequences of ending the session.
    Found(Box<EndedWith>),
    /// The consequences could not be determined.
    Failed(StoreError),
}

impl From<StoreError> for Looked {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

impl From<rusqlite::Error> for Looked {
    fn from(error: rusqlite::Error) -> Self {
        Self::Failed(error.into())
    }
}

/// Raises the epoch if the permission of a sender ended.
fn moves(epoch: &AtomicU64, with: &EndedWith) {
    if !with.senders.is_empty() {
        epoch.fetch_add(1, Ordering::Release);
    }
}

#[async_trait]
impl Sessions for SqliteStore {
    async fn redeem(
        &self,
        code: SetupCode,
        yields: Yield,
        now: UnixTime,
    ) -> Result<Result<(), NotRedeemed>, SaveError> {
        self.writer.change(move |connection| redeem(connection, code, &yields, now)).await
    }

    async fn setup_mark(&self) -> Result<UnixTime, StoreError> {
        let sql = "SELECT mark FROM setup_mark";
        self.readers.point(|connection| {
            Ok(connection.prepare_cached(sql)?.query_row([], |row| Ok(seconds(row.get(0)?)))?)
        })
    }

    async fn forget_setup_codes(&self) -> Result<(), StoreError> {
        self.writer
            .change(|connection| {
                connection.prepare_cached("DELETE FROM spent_setup_code")?.execute([])?;
                // The trigger has raised the mark with each deleted code, so it is reset last.
                connection.prepare_cached("UPDATE setup_mark SET mark = 0")?.execute([])?;
                Ok(())
            })
            .await
    }

    async fn insert_session(&self, session: Session) -> Result<(), SaveError> {
        self.writer.change(move |connection| insert(connection, &session)).await
    }

    async fn session_by_hash(&self, hash: &SessionHash) -> Result<Option<Session>, StoreError> {
        self.readers.point(|connection| by_hash(connection, hash))
    }

    async fn session(&self, id: SessionId) -> Result<Option<Session>, StoreError> {
        self.readers.point(|connection| by_id(connection, id))
    }

    async fn sessions(
        &self,
        filter: SessionFilter,
        after: Option<SessionId>,
        limit: usize,
        now: UnixTime,
    ) -> Result<Vec<Session>, StoreError> {
        self.page(move |connection| list(connection, filter, after, limit, now)).await?
    }

    async fn live_sessions(&self, now: UnixTime) -> Result<u64, StoreError> {
        let live = self.page(move |connection| live(connection, now)).await?;
        Ok(u64::try_from(live).unwrap_or(0))
    }

    async fn prolong_session(
        &self,
        id: SessionId,
        how: Prolonging,
        now: UnixTime,
    ) -> Result<Option<Result<UnixTime, Ended>>, StoreError> {
        self.writer.change(move |connection| prolong(connection, id, how, now)).await
    }

    async fn end_session(
        &self,
        id: SessionId,
        now: UnixTime,
    ) -> Result<(bool, EndedWith), StoreError> {
        let (erased, epoch) = (self.writer.erased(), Arc::clone(&self.inbound_epoch));
        let then = move |(_, with): &(bool, EndedWith)| moves(&epoch, with);
        self.writer.change_then(move |connection| end(connection, id, now, &erased), then).await
    }

    async fn ending_with(&self, id: SessionId, now: UnixTime) -> Result<EndedWith, StoreError> {
        // The session is ended and that is rolled back, so that the consequences are determined in
        // one place.
        let look = move |connection: &Connection| -> Result<Infallible, Looked> {
            let (_, with) = end(connection, id, now, &AtomicBool::default())?;
            Err(Looked::Found(Box::new(with)))
        };
        match self.writer.change(look).await {
            Ok(never) => match never {},
            Err(Looked::Found(with)) => Ok(*with),
            Err(Looked::Failed(error)) => Err(error),
        }
    }

    async fn end_orphans(&self, now: UnixTime) -> Result<EndedWith, StoreError> {
        let (erased, epoch) = (self.writer.erased(), Arc::clone(&self.inbound_epoch));
        let then = move |with: &EndedWith| moves(&epoch, with);
        self.writer
            .change_then(move |connection| makers::end_orphans(connection, now, &erased), then)
            .await
    }
}
