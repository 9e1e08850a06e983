//! The rows of senders on messaging channels.

use crate::value::params;
use handfast_core::UnixTime;
use handfast_core::registry::inbound::{Allowed, ChallengeCode, Facts, InboundLimits};

use super::tx::PostgresTx;
use crate::inbound::EntryKind;
use crate::ops::{LivePeriod, Meant, RowResult, SenderRows};
use crate::rows::{self, integer, most, seconds};
use crate::{ListedSender, SenderFilter, SenderName, SenderStanding};

/// Converts a range of live entries to values of `created_at`: later than the first, and no later
/// than the second.
fn bounds(LivePeriod { after, upto }: LivePeriod) -> (i64, i64) {
    (after.map_or(-1, integer), integer(upto))
}

impl PostgresTx<'_> {
    /// Runs one of two statements, for one account (`$3`) or for all. Both take the channel as `$1`
    /// and the sender as `$2`.
    fn change_meant(
        &mut self,
        (channel, account, sender): Meant<'_>,
        (of_one, of_all): (&str, &str),
    ) -> RowResult<u64> {
        Ok(match account {
            Some(account) => self.execute(of_one, params![channel, sender, account]),
            None => self.execute(of_all, params![channel, sender]),
        }? as u64)
    }
}

impl SenderRows for PostgresTx<'_> {
    fn facts_changed(&mut self) {
        self.effects.facts_changed = true;
    }

    fn facts(
        &mut self,
        name: &SenderName,
        limits: &InboundLimits,
        now: UnixTime,
    ) -> RowResult<(Facts, u32)> {
        let SenderName { channel, account, sender } = name;
        let (after, upto) = bounds(LivePeriod::at(now, limits.pending_for));
        // One statement, so that all of it is of one state of the registry. The counts of expired
        // entries read a few entries of an index.
        let sql = "SELECT EXISTS (SELECT 1 FROM sender_blocked WHERE channel = $1 AND account IN ($2, '') AND sender = $3) AS blocked,
                allowed.approved_at, allowed.until, allowed.revoked_at, pending.code, pending.created_at, pending.told_at,
                coalesce((SELECT waiting FROM sender_tally WHERE channel = $1 AND account = $2), 0),
                (SELECT count(*) FROM sender_pending WHERE channel = $1 AND account = $2 AND created_at <= $4)
              + (SELECT count(*) FROM sender_pending WHERE channel = $1 AND account = $2 AND created_at > $5),
                sender_total.waiting,
                (SELECT count(*) FROM sender_pending WHERE created_at <= $4)
              + (SELECT count(*) FROM sender_pending WHERE created_at > $5)
             FROM sender_total
                LEFT JOIN sender_allowed AS allowed ON allowed.channel = $1 AND allowed.account = $2 AND allowed.sender = $3
                LEFT JOIN sender_pending AS pending ON pending.channel = $1 AND pending.account = $2 AND pending.sender = $3";
        self.one(sql, params![channel, account, sender, after, upto], |row| {
            let (blocked, allowed) = (row.get(0)?, rows::senders::allowed(row)?);
            let facts = Facts { blocked, allowed, ..Facts::default() };
            if blocked || allowed.is_some_and(|allowed| allowed.is_active(now)) {
                return Ok((facts, 0));
            }
            // A count that cannot be read is treated as full.
            let count = |column: usize| {
                row.get::<_, i64>(column).map(|number| u32::try_from(number).unwrap_or(u32::MAX))
            };
            let [of_account, over_of_account, total, over] =
                [count(7)?, count(8)?, count(9)?, count(10)?];
            let facts = Facts {
                pending: rows::senders::waiting(row)?,
                pending_of_account: of_account.saturating_sub(over_of_account),
                pending_total: total.saturating_sub(over),
                ..facts
            };
            Ok((facts, over))
        })
    }

    fn permission(&mut self, name: &SenderName) -> RowResult<Option<Allowed>> {
        let SenderName { channel, account, sender } = name;
        let sql = "SELECT 0, approved_at, until, revoked_at FROM sender_allowed WHERE channel = $1 AND account = $2 AND sender = $3";
        let found = self.find(sql, params![channel, account, sender], rows::senders::allowed)?;
        Ok(found.flatten())
    }

    fn is_blocked(&mut self, name: &SenderName) -> RowResult<bool> {
        let SenderName { channel, account, sender } = name;
        let sql = "SELECT EXISTS (SELECT 1 FROM sender_blocked WHERE channel = $1 AND account IN ('', $2) AND sender = $3)";
        self.one(sql, params![channel, account, sender], |row| row.get(0))
    }

    fn waiting_sender(&mut self, code: ChallengeCode) -> RowResult<Option<(SenderName, UnixTime)>> {
        let sql = "SELECT channel, account, sender, created_at FROM sender_pending WHERE code = $1";
        self.find(sql, params![code.as_str()], |row| {
            let name =
                SenderName { channel: row.get(0)?, account: row.get(1)?, sender: row.get(2)? };
            Ok((name, seconds(row.get(3)?)))
        })
    }

    fn add_sender(&mut self, ListedSender { name, standing }: &ListedSender) -> RowResult<bool> {
        let SenderName { channel, account, sender } = name;
        let added = match standing {
            SenderStanding::Pending { code, created_at, meta } => {
                let sql = "INSERT INTO sender_pending (channel, account, sender, code, created_at, told_at, meta)
                           VALUES ($1, $2, $3, $4, $5, $5, $6) ON CONFLICT DO NOTHING";
                let at = integer(*created_at);
                self.execute(sql, params![channel, account, sender, code.as_str(), at, meta])
            }
            SenderStanding::Allowed { at, via, until, revoked_at } => {
                let sql = "INSERT INTO sender_allowed (channel, account, sender, approved_at, via, until, revoked_at)
                           VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING";
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
        let sql = "UPDATE sender_pending SET told_at = $4 WHERE channel = $1 AND account = $2 AND sender = $3";
        self.execute(sql, params![channel, account, sender, integer(now)])?;
        Ok(())
    }

    fn remove_pending(&mut self, meant: Meant<'_>) -> RowResult<u64> {
        // The number of pending senders is capped, so a scan of the channel's is cheap.
        let sql = (
            "DELETE FROM sender_pending WHERE channel = $1 AND account = $3 AND sender = $2",
            "DELETE FROM sender_pending WHERE channel = $1 AND sender = $2",
        );
        self.change_meant(meant, sql)
    }

    fn any_expired(&mut self, live: LivePeriod) -> RowResult<bool> {
        let sql = "SELECT EXISTS (SELECT 1 FROM sender_pending WHERE created_at <= $1 OR created_at > $2)";
        let (after, upto) = bounds(live);
        self.one(sql, params![after, upto], |row| row.get(0))
    }

    fn expire_pending(&mut self, most: u32, live: LivePeriod) -> RowResult<u32> {
        let (after, upto) = bounds(live);
        let sql = "DELETE FROM sender_pending WHERE seq IN (SELECT seq FROM sender_pending
             WHERE created_at <= $1 OR created_at > $2 LIMIT $3)";
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
        let sql = "INSERT INTO sender_allowed (channel, account, sender, approved_at, via, until, revoked_at) VALUES ($1, $2, $3, $4, $5, $6, NULL)
               ON CONFLICT (channel, account, sender) DO UPDATE
               SET approved_at = excluded.approved_at, via = excluded.via, until = excluded.until, revoked_at = NULL";
        let until = until.map(integer);
        self.execute(sql, params![channel, account, sender, integer(now), via, until])?;
        Ok(())
    }

    fn revoke_permissions(&mut self, meant: Meant<'_>, now: UnixTime) -> RowResult<u64> {
        let ((channel, account, sender), now) = (meant, integer(now));
        let one = "UPDATE sender_allowed SET revoked_at = $3
                   WHERE channel = $1 AND sender = $2 AND revoked_at IS NULL AND account = $4";
        let all = "UPDATE sender_allowed SET revoked_at = $3
                   WHERE channel = $1 AND sender = $2 AND revoked_at IS NULL";
        Ok(match account {
            Some(account) => self.execute(one, params![channel, sender, now, account]),
            None => self.execute(all, params![channel, sender, now]),
        }? as u64)
    }

    fn remove_permissions(&mut self, meant: Meant<'_>) -> RowResult<u64> {
        let sql = (
            "DELETE FROM sender_allowed WHERE channel = $1 AND account = $3 AND sender = $2",
            "DELETE FROM sender_allowed WHERE channel = $1 AND sender = $2",
        );
        self.change_meant(meant, sql)
    }

    fn stands(&mut self, (channel, account, sender): Meant<'_>, now: UnixTime) -> RowResult<bool> {
        let sql = "SELECT EXISTS (SELECT 1 FROM sender_pending
                       WHERE channel = $1 AND sender = $3 AND ($2::text IS NULL OR account = $2))
                   OR EXISTS (SELECT 1 FROM sender_allowed
                       WHERE channel = $1 AND sender = $3 AND ($2::text IS NULL OR account = $2)
                         AND revoked_at IS NULL AND (until IS NULL OR until > $4))
                   OR EXISTS (SELECT 1 FROM sender_blocked
                       WHERE channel = $1 AND sender = $3
                         AND ($2::text IS NULL OR account = $2 OR account = ''))";
        self.one(sql, params![channel, account, sender, integer(now)], |row| row.get(0))
    }

    fn block(&mut self, name: &SenderName, now: UnixTime) -> RowResult<bool> {
        let SenderName { channel, account, sender } = name;
        let sql = "INSERT INTO sender_blocked VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
        Ok(self.execute(sql, params![channel, account, sender, integer(now)])? == 1)
    }

    fn unblock(&mut self, meant: Meant<'_>) -> RowResult<u64> {
        let sql = (
            "DELETE FROM sender_blocked WHERE channel = $1 AND account = $3 AND sender = $2",
            "DELETE FROM sender_blocked WHERE channel = $1 AND sender = $2",
        );
        self.change_meant(meant, sql)
    }

    fn senders_after(
        &mut self,
        filter: &SenderFilter,
        after: Option<&ListedSender>,
        limit: usize,
        live: LivePeriod,
        now: UnixTime,
    ) -> RowResult<Vec<ListedSender>> {
        let (of, (live_after, live_upto), now) = (&filter.channel, bounds(live), integer(now));
        let mut page = Vec::new();
        for kind in [EntryKind::Pending, EntryKind::Allowed, EntryKind::Blocked] {
            if kind != EntryKind::Pending && !filter.all {
                continue;
            }
            let [channel, account, sender] = match after.map(ListedSender::place) {
                Some((begun, _)) if kind < begun => continue,
                Some((begun, name)) if kind == begun => {
                    [name.channel.as_str(), &name.account, &name.sender]
                }
                // The empty name comes before every name.
                Some(_) | None => [filter.channel.as_deref().unwrap_or(""), "", ""],
            };
            let rest = most(limit.saturating_sub(page.len()));
            let found = match kind {
                EntryKind::Pending => {
                    let sql = "SELECT channel, account, sender, code, created_at, meta FROM sender_pending
                               WHERE (channel, account, sender) > ($1, $2, $3) AND ($4::text IS NULL OR channel = $4)
                                 AND created_at > $6 AND created_at <= $7
                               ORDER BY channel, account, sender LIMIT $5";
                    let such = params![channel, account, sender, of, rest, live_after, live_upto];
                    self.all(sql, such, rows::senders::pending_sender)
                }
                EntryKind::Allowed => {
                    let sql = "SELECT channel, account, sender, approved_at, via, until, revoked_at FROM sender_allowed
                               WHERE (channel, account, sender) > ($1, $2, $3) AND ($4::text IS NULL OR channel = $4)
                                 AND ($6 OR (revoked_at IS NULL AND (until IS NULL OR until > $7)))
                               ORDER BY channel, account, sender LIMIT $5";
                    let ended = filter.include_revoked;
                    let such = params![channel, account, sender, of, rest, ended, now];
                    self.all(sql, such, rows::senders::allowed_sender)
                }
                EntryKind::Blocked => {
                    let sql = "SELECT channel, account, sender, blocked_at FROM sender_blocked
                               WHERE (channel, account, sender) > ($1, $2, $3) AND ($4::text IS NULL OR channel = $4)
                               ORDER BY channel, account, sender LIMIT $5";
                    let such = params![channel, account, sender, of, rest];
                    self.all(sql, such, rows::senders::blocked_sender)
                }
            };
            page.extend(found?);
        }
        Ok(page)
    }

    fn count_waiting_senders(&mut self, live: LivePeriod) -> RowResult<Vec<(String, u64)>> {
        let sql = "SELECT channel, sum(waiting)::bigint FROM
            (SELECT channel, waiting FROM sender_tally
             UNION ALL SELECT channel, -1::bigint FROM sender_pending WHERE created_at <= $1 OR created_at > $2) AS counted
         GROUP BY channel HAVING sum(waiting) > 0 ORDER BY channel";
        let (after, upto) = bounds(live);
        self.all(sql, params![after, upto], |row| {
            Ok((row.get(0)?, u64::try_from(row.get::<_, i64>(1)?).unwrap_or(0)))
        })
    }

    fn cursor(&mut self, poller: &str) -> RowResult<Option<String>> {
        self.find("SELECT cursor FROM poller WHERE name = $1", params![poller], |row| row.get(0))
    }

    fn set_cursor(&mut self, poller: &str, cursor: &str) -> RowResult<()> {
        let sql = "INSERT INTO poller VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET cursor = excluded.cursor";
        self.execute(sql, params![poller, cursor])?;
        Ok(())
    }
}
