//! The rows of companions' sessions, of spent setup codes, and their mark.

use crate::value::params;
use handfast_core::grant::session::SessionHash;
use handfast_core::registry::sessions::{Prolonged, Session, SessionId};
use handfast_core::wire::setup::Nonce;
use handfast_core::{Name, UnixTime};

use super::tx::PostgresTx;
use crate::ops::{RowResult, SessionRows};
use crate::rows::most;
use crate::rows::{self, integer, seconds};
use crate::{SessionFilter, rules};

impl SessionRows for PostgresTx<'_> {
    fn session(&mut self, id: SessionId) -> RowResult<Option<Session>> {
        let sql = "SELECT * FROM session WHERE session_id = $1";
        self.find(sql, params![id.as_bytes()], rows::companion)?.transpose()
    }

    fn session_by_hash(&mut self, hash: &SessionHash) -> RowResult<Option<Session>> {
        let sql = "SELECT * FROM session WHERE hash = $1";
        self.find(sql, params![hash.as_bytes()], rows::companion)?.transpose()
    }

    fn sessions_after(
        &mut self,
        filter: SessionFilter,
        after: Option<SessionId>,
        limit: usize,
        now: UnixTime,
    ) -> RowResult<Vec<Session>> {
        let sql = "SELECT * FROM session WHERE session_id > $1 AND ($4 OR (revoked_at IS NULL AND NOT over AND expires_at > $3 AND issued_at <= $5))
               ORDER BY session_id LIMIT $2";
        // The empty blob comes before every id.
        let after: &[u8] = after.as_ref().map_or(&[], |id| id.as_bytes());
        let (all, latest) = (filter == SessionFilter::All, integer(rules::latest_made(now)));
        let page = params![after, most(limit), integer(now), all, latest];
        self.all(sql, page, rows::companion)?.into_iter().collect()
    }

    fn count_live_sessions(&mut self, now: UnixTime) -> RowResult<u64> {
        // The index alone answers this query.
        let sql = "SELECT count(*) FROM session WHERE ended_at > $1 AND revoked_at IS NULL AND NOT over AND issued_at <= $2";
        let (now, latest) = (integer(now), integer(rules::latest_made(now)));
        let live = self.one(sql, params![now, latest], |row| row.get::<_, i64>(0))?;
        Ok(u64::try_from(live).unwrap_or(0))
    }

    fn add_session(&mut self, session: &Session) -> RowResult<bool> {
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
        let sql = "INSERT INTO session (session_id, hash, profile, device_label, issued_at, expires_at, revoked_at, over, maker, prolonged_by, own_end)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT DO NOTHING";
        let inserted = self.execute(
            sql,
            params![
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
            ],
        )?;
        Ok(inserted == 1)
    }

    fn prolong_session(
        &mut self,
        id: SessionId,
        end: UnixTime,
        prolonged: Option<Prolonged>,
        now: UnixTime,
    ) -> RowResult<()> {
        let sql = "UPDATE session SET expires_at = $2, prolonged_by = $3, own_end = $4, renewed = $5 WHERE session_id = $1";
        let (by, own) =
            (prolonged.map(|it| *it.by.as_bytes()), prolonged.map(|it| integer(it.before)));
        self.execute(sql, params![id.as_bytes(), integer(end), by, own, integer(now)])?;
        Ok(())
    }

    fn revoke_session(&mut self, id: SessionId, now: UnixTime) -> RowResult<bool> {
        let sql = "UPDATE session SET revoked_at = $2 WHERE session_id = $1 AND revoked_at IS NULL";
        Ok(self.execute(sql, params![id.as_bytes(), integer(now)])? == 1)
    }

    fn forget_sessions(&mut self, before: UnixTime, most: u32) -> RowResult<()> {
        let sql = "DELETE FROM session WHERE seq IN (SELECT seq FROM session
             WHERE ended_at < $1 ORDER BY ended_at LIMIT $2)";
        self.execute(sql, params![integer(before), most])?;
        Ok(())
    }

    fn setup_code(&mut self, nonce: Nonce) -> RowResult<(UnixTime, bool)> {
        let sql =
            "SELECT mark, EXISTS (SELECT 1 FROM spent_setup_code WHERE nonce = $1) FROM setup_mark";
        self.one(sql, params![nonce.as_bytes()], |row| Ok((seconds(row.get(0)?), row.get(1)?)))
    }

    fn setup_mark(&mut self) -> RowResult<UnixTime> {
        self.one("SELECT mark FROM setup_mark", params![], |row| Ok(seconds(row.get(0)?)))
    }

    fn add_spent(&mut self, nonce: Nonce, expires_at: UnixTime) -> RowResult<()> {
        let sql =
            "INSERT INTO spent_setup_code (nonce, expires) VALUES ($1, $2) ON CONFLICT DO NOTHING";
        self.execute(sql, params![nonce.as_bytes(), integer(expires_at)])?;
        Ok(())
    }

    fn forget_spent(&mut self, most: u32, now: UnixTime) -> RowResult<()> {
        // A trigger raises the mark with each deleted code.
        let sql = "DELETE FROM spent_setup_code WHERE nonce IN (SELECT nonce FROM spent_setup_code
             WHERE expires <= $1 ORDER BY expires LIMIT $2)";
        self.execute(sql, params![integer(now), most])?;
        Ok(())
    }

    fn forget_all_spent(&mut self) -> RowResult<()> {
        self.execute("DELETE FROM spent_setup_code", params![])?;
        // The trigger has raised the mark with each deleted code, so it is reset last.
        self.execute("UPDATE setup_mark SET mark = 0", params![])?;
        Ok(())
    }
}
