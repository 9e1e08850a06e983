//! The rows of senders on messaging channels.

mod facts;
mod listing;

use handfast_core::UnixTime;
use handfast_core::registry::inbound::{Allowed, ChallengeCode, Facts, InboundLimits};
use rusqlite::params;

use super::tx::SqliteTx;
use crate::ops::{LivePeriod, Meant, RowResult, SenderRows};
use crate::rows::{self, integer, seconds};
use crate::{ListedSender, SenderFilter, SenderName, SenderStanding};

/// Converts a range of live entries to values of `created_at`: later than the first, and no later
/// than the second.
fn bounds(LivePeriod { after, upto }: LivePeriod) -> (i64, i64) {
    (after.map_or(-1, integer), integer(upto))
}

impl SqliteTx<'_> {
    /// Runs one of two statements, for one account (`?2`) or for all. Both take the channel as
    /// `?1`, the sender as `?3`, and a time as `?4`.
    fn change_meant(
        &self,
        (channel, account, sender): Meant<'_>,
        (of_one, of_all): (&str, &str),
        now: Option<UnixTime>,
    ) -> RowResult<u64> {
        let sql = if account.is_some() { of_one } else { of_all };
        Ok(self.execute(sql, params![channel, account, sender, now.map(integer)])? as u64)
    }
}

impl SenderRows for SqliteTx<'_> {
    fn facts_changed(&mut self) {
        self.facts_changed = true;
    }

    fn facts(
        &mut self,
        name: &SenderName,
        limits: &InboundLimits,
        now: UnixTime,
    ) -> RowResult<(Facts, u32)> {
        facts::of(self.connection, name, limits, now)
    }

    fn permission(&mut self, name: &SenderName) -> RowResult<Option<Allowed>> {
        let SenderName { channel, account, sender } = name;
        let sql = "SELECT 0, approved_at, until, revoked_at FROM sender_allowed WHERE channel = ?1 AND account = ?2 AND sender = ?3";
        let found = self
            .find(sql, [channel, account, sender], |row| Ok(rows::senders::allowed(row)))?
            .transpose()?;
        Ok(found.flatten())
    }

    fn is_blocked(&mut self, name: &SenderName) -> RowResult<bool> {
        let SenderName { channel, account, sender } = name;
        let sql = "SELECT EXISTS (SELECT 1 FROM sender_blocked WHERE channel = ?1 AND account IN ('', ?2) AND sender = ?3)";
        Ok(self.one(sql, [channel, account, sender], |row| row.get(0))?)
    }

    fn waiting_sender(&mut self, code: ChallengeCode) -> RowResult<Option<(SenderName, UnixTime)>> {
        let sql = "SELECT channel, account, sender, created_at FROM sender_pending WHERE code = ?1";
        Ok(self.find(sql, [code.as_str()], |row| {
            let name =
                SenderName { channel: row.get(0)?, account: row.get(1)?, sender: row.get(2)? };
            Ok((name, seconds(row.get(3)?)))
        })?)
    }

    fn add_sender(&mut self, ListedSender { name, standing }: &ListedSender) -> RowResult<bool> {
        let SenderName { channel, account, sender } = name;
        let added = match standing {
            SenderStanding::Pending { code, created_at, meta } => {
                let sql = "INSERT INTO sender_pending (channel, account, sender, code, created_at, told_at, meta)
                           VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?6) ON CONFLICT DO NOTHING";
                let at = integer(*created_at);
                self.execute(sql, params![channel, account, sender, code.as_str(), at, meta])
            }
            SenderStanding::Allowed { at, via, until, revoked_at } => {
                let sql = "INSERT INTO sender_allowed (channel, account, sender, approved_at, via, until, revoked_at)
                           VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING";
                let (at, until, revoked_at) =
                    (integer(*at), until.map(integer), revoked_at.map(integer));
                self.execute(sql, params![channel, account, sender, at, via, until, revoked_at])
            }
            SenderStanding::Blocked { at } => return self.block(name, *at),
        }?;
        Ok(added == 1)
    }

    fn set_told(&mut self, name: &SenderName, now: UnixTime) -> RowResult<()> {
        let SenderName { channel, account, sender } = name;
        let sql = "UPDATE sender_pending SET told_at = ?4 WHERE channel = ?1 AND account = ?2 AND sender = ?3";
        self.execute(sql, params![channel, account, sender, integer(now)])?;
        Ok(())
    }

    fn remove_pending(&mut self, meant: Meant<'_>) -> RowResult<u64> {
        // The number of pending senders is capped, so a scan of the channel's is cheap.
        let sql = (
            "DELETE FROM sender_pending WHERE channel = ?1 AND account = ?2 AND sender = ?3 AND ?4 IS NULL",
            "DELETE FROM sender_pending WHERE channel = ?1 AND ?2 IS NULL AND sender = ?3 AND ?4 IS NULL",
        );
        self.change_meant(meant, sql, None)
    }

    fn any_expired(&mut self, live: LivePeriod) -> RowResult<bool> {
        let sql = "SELECT EXISTS (SELECT 1 FROM sender_pending INDEXED BY sender_pending_by_age WHERE created_at <= ?1 OR created_at > ?2)";
        Ok(self.one(sql, bounds(live), |row| row.get(0))?)
    }

    fn expire_pending(&mut self, most: u32, live: LivePeriod) -> RowResult<u32> {
        let (after, upto) = bounds(live);
        let sql = "DELETE FROM sender_pending WHERE seq IN (SELECT seq FROM sender_pending INDEXED BY sender_pending_by_age
             WHERE created_at <= ?1 OR created_at > ?2 LIMIT ?3)";
        let gone = self.execute(sql, params![after, upto, most])?;
        Ok(u32::try_from(gone).unwrap_or(most))
    }

    fn allow(
        &mut self,
        name: &SenderName,
        via: &str,
        until: Option<UnixTime>,
        now: UnixTime,
    ) -> RowResult<()> {
        let SenderName { channel, account, sender } = name;
        let sql = "INSERT INTO sender_allowed (channel, account, sender, approved_at, via, until, revoked_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, NULL)
               ON CONFLICT (channel, account, sender) DO UPDATE
               SET approved_at = excluded.approved_at, via = excluded.via, until = excluded.until, revoked_at = NULL";
        let until = until.map(integer);
        self.execute(sql, params![channel, account, sender, integer(now), via, until])?;
        Ok(())
    }

    fn revoke_permissions(&mut self, meant: Meant<'_>, now: UnixTime) -> RowResult<u64> {
        let sql = (
            "UPDATE sender_allowed SET revoked_at = ?4
             WHERE channel = ?1 AND account = ?2 AND sender = ?3 AND revoked_at IS NULL",
            "UPDATE sender_allowed INDEXED BY sender_allowed_by_sender SET revoked_at = ?4
             WHERE channel = ?1 AND ?2 IS NULL AND sender = ?3 AND revoked_at IS NULL",
        );
        self.change_meant(meant, sql, Some(now))
    }

    fn remove_permissions(&mut self, (channel, account, sender): Meant<'_>) -> RowResult<u64> {
        let one = "DELETE FROM sender_allowed WHERE channel = ?1 AND account = ?3 AND sender = ?2";
        let all = "DELETE FROM sender_allowed INDEXED BY sender_allowed_by_sender
                   WHERE channel = ?1 AND sender = ?2";
        Ok(match account {
            Some(account) => self.erase(one, params![channel, sender, account]),
            None => self.erase(all, params![channel, sender]),
        }? as u64)
    }

    fn stands(&mut self, (channel, account, sender): Meant<'_>, now: UnixTime) -> RowResult<bool> {
        let sql = "SELECT EXISTS (SELECT 1 FROM sender_pending
                       WHERE channel = ?1 AND sender = ?3 AND (?2 IS NULL OR account = ?2))
                   OR EXISTS (SELECT 1 FROM sender_allowed INDEXED BY sender_allowed_by_sender
                       WHERE channel = ?1 AND sender = ?3 AND (?2 IS NULL OR account = ?2)
                         AND revoked_at IS NULL AND (until IS NULL OR until > ?4))
                   OR EXISTS (SELECT 1 FROM sender_blocked
                       WHERE channel = ?1 AND sender = ?3
                         AND (?2 IS NULL OR account = ?2 OR account = ''))";
        Ok(self.one(sql, params![channel, account, sender, integer(now)], |row| row.get(0))?)
    }

    fn block(&mut self, name: &SenderName, now: UnixTime) -> RowResult<bool> {
        let SenderName { channel, account, sender } = name;
        let sql = "INSERT INTO sender_blocked VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING";
        Ok(self.execute(sql, params![channel, account, sender, integer(now)])? == 1)
    }

    fn unblock(&mut self, meant: Meant<'_>) -> RowResult<u64> {
        let sql = (
            "DELETE FROM sender_blocked WHERE channel = ?1 AND account = ?2 AND sender = ?3 AND ?4 IS NULL",
            "DELETE FROM sender_blocked WHERE channel = ?1 AND ?2 IS NULL AND sender = ?3 AND ?4 IS NULL",
        );
        self.change_meant(meant, sql, None)
    }

    fn senders_after(
        &mut self,
        filter: &SenderFilter,
        after: Option<&ListedSender>,
        limit: usize,
        live: LivePeriod,
        now: UnixTime,
    ) -> RowResult<Vec<ListedSender>> {
        listing::page(self.connection, filter, after, limit, bounds(live), now)
    }

    fn count_waiting_senders(&mut self, live: LivePeriod) -> RowResult<Vec<(String, u64)>> {
        let sql = "SELECT channel, sum(waiting) AS live FROM
            (SELECT channel, waiting FROM sender_tally
             UNION ALL SELECT channel, -1 FROM sender_pending WHERE created_at <= ?1 OR created_at > ?2)
         GROUP BY channel HAVING live > 0 ORDER BY channel";
        Ok(self.all(sql, bounds(live), |row| {
            Ok((row.get(0)?, u64::try_from(row.get::<_, i64>(1)?).unwrap_or(0)))
        })?)
    }

    fn cursor(&mut self, poller: &str) -> RowResult<Option<String>> {
        Ok(self.find("SELECT cursor FROM poller WHERE name = ?1", [poller], |row| row.get(0))?)
    }

    fn set_cursor(&mut self, poller: &str, cursor: &str) -> RowResult<()> {
        let sql = "INSERT INTO poller VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET cursor = excluded.cursor";
        self.execute(sql, [poller, cursor])?;
        Ok(())
    }
}
