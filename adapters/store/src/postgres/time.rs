//! The mark, the run, and the rows of all concerns by the run that made them.

use crate::value::params;
use handfast_core::UnixTime;

use super::tx::PostgresTx;
use crate::ops::{RowResult, TimeRows};
use crate::rows::time::{MOVED, Moved};
use crate::rows::{integer, seconds};
use crate::{Over, SenderName};

/// Statements that end what earlier runs made under a wrong clock. `$1` is the latest plausible
/// time, `$2` the current run. What another gateway makes that is present is not of an earlier run.
const ENDED: [&str; 15] = [
    "DELETE FROM node WHERE standing = 'pending' AND run_is_over(run, $2) AND asked_at > $1",
    "UPDATE granted SET state = 'ended', until = NULL, ended_at = $1 WHERE state <> 'ended' AND run_is_over(run, $2) AND not_before > $1",
    "UPDATE code SET expires = least(expires, $1), dead_since = least(dead_since, $1), uses_left = 0, sealed = NULL
     WHERE uses_left > 0 AND run_is_over(run, $2) AND created_at > $1",
    "UPDATE pairing_window SET opened_at = NULL, closes = NULL WHERE run_is_over(run, $2) AND opened_at > $1",
    "UPDATE session SET over = TRUE WHERE NOT over AND revoked_at IS NULL
        AND ((run_is_over(run, $2) AND issued_at > $1) OR (run_is_over(end_run, $2) AND renewed > $1))",
    "UPDATE login SET revoked_at = $1 WHERE revoked_at IS NULL
        AND ((run_is_over(run, $2) AND made_at > $1) OR (run_is_over(use_run, $2) AND used_at > $1))",
    "UPDATE approval_policy SET ended_at = $1 WHERE ended_at IS NULL AND run_is_over(run, $2) AND made_at > $1",
    "DELETE FROM sender_pending WHERE run_is_over(run, $2) AND created_at > $1",
    "UPDATE sender_allowed SET revoked_at = $1 WHERE revoked_at IS NULL AND until IS NOT NULL AND run_is_over(run, $2) AND approved_at > $1",
    "UPDATE node SET ceiling_expires = $1, ceiling_at = $1 WHERE run_is_over(ceiling_run, $2) AND ceiling_at > $1 AND ceiling_expires > $1",
    "UPDATE node SET fallback_expires = $1 WHERE run_is_over(run, $2) AND asked_at > $1 AND fallback_expires > $1",
    "UPDATE node SET delivery_until = $1 WHERE delivery_until > $1 AND delivery_id IN (SELECT delivery_id FROM delivery WHERE run_is_over(run, $2))",
    "UPDATE delivery SET until = $1 WHERE settled IS NULL AND run_is_over(run, $2) AND until > $1",
    "UPDATE rejection SET until = $1, rejected_at = $1 WHERE run_is_over(run, $2) AND rejected_at > $1 AND until > $1",
    "UPDATE dispatch SET deadline = $1, made_at = $1 WHERE is_open AND run_is_over(run, $2) AND made_at > $1 AND deadline > $1",
];

impl PostgresTx<'_> {
    fn run(&mut self) -> RowResult<i64> {
        self.one("SELECT this_run()", params![], |row| row.get(0))
    }
}

impl TimeRows for PostgresTx<'_> {
    fn begin_run(&mut self) -> RowResult<(u64, Option<UnixTime>)> {
        let sql = "UPDATE time_kept SET run = run + 1 RETURNING run, mark, set_config('handfast.run', run::text, FALSE)";
        let (number, mark) = self.one(sql, params![], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, Option<_>>(1)?.map(seconds)))
        })?;
        self.effects.begun = Some(number);
        // An earlier process of this gateway left them, and holds no link any more.
        let own = "DELETE FROM claim WHERE gateway = current_setting('handfast.gateway')";
        self.execute(own, params![])?;
        Ok((u64::try_from(number).unwrap_or(0), mark))
    }

    fn made_last(&mut self, run: u64, latest: UnixTime) -> RowResult<Vec<UnixTime>> {
        let (run, latest) = (i64::try_from(run).unwrap_or(i64::MAX), integer(latest));
        // The last run may be another gateway's, and this one's own last run an earlier one.
        let own =
            "SELECT run FROM gateway WHERE name = current_setting('handfast.gateway') AND run < $1";
        let own: Option<i64> = self.find(own, params![run], |row| row.get(0))?;
        let mut made = Vec::new();
        for Moved { table, of, made: column, .. } in MOVED {
            let Some(column) = column else { continue };
            let of = of.replace('?', "$");
            let sql = format!("SELECT max({column}) FROM {table} WHERE {of} AND {column} <= $2");
            for run in [Some(run), own].into_iter().flatten() {
                let last: Option<i64> = self.one(&sql, params![run, latest], |row| row.get(0))?;
                made.extend(last.map(seconds));
            }
        }
        Ok(made)
    }

    fn mark(&mut self) -> RowResult<Option<UnixTime>> {
        let sql = "SELECT mark FROM time_kept";
        Ok(self.one(sql, params![], |row| row.get::<_, Option<_>>(0))?.map(seconds))
    }

    fn set_mark(&mut self, mark: UnixTime) -> RowResult<()> {
        self.execute("UPDATE time_kept SET mark = $1", params![integer(mark)])?;
        Ok(())
    }

    fn move_times(&mut self, by: i64) -> RowResult<u64> {
        let run = self.run()?;
        // No stored time is so late that this could overflow.
        let by = by.clamp(-(1 << 60), 1 << 60);
        let mut rows = 0;
        for Moved { table, of, times, .. } in MOVED {
            let of = of.replace('?', "$");
            // A time that means "no end" does not move.
            let moved = |column: &&str| {
                format!(
                    "{column} = CASE WHEN {column} < 1::bigint << 60 THEN greatest(0, {column} + $2) ELSE {column} END"
                )
            };
            let mut sets: Vec<String> = times.iter().map(moved).collect();
            sets.extend((table == "granted").then(|| "moved = moved + $2".to_owned()));
            let sql = format!("UPDATE {table} SET {} WHERE {of}", sets.join(", "));
            rows += self.execute(&sql, params![run, by])? as u64;
        }
        Ok(rows)
    }

    fn end_made_after(&mut self, latest: UnixTime) -> RowResult<u64> {
        let run = self.run()?;
        let mut rows = 0;
        for sql in ENDED {
            rows += self.execute(sql, params![integer(latest), run])? as u64;
        }
        Ok(rows)
    }

    fn end_over(&mut self, what: &Over, now: UnixTime) -> RowResult<bool> {
        let now = integer(now);
        let rows = match what {
            Over::Session(id) => {
                let sql = "UPDATE session SET over = TRUE WHERE session_id = $1 AND NOT over AND expires_at <= $2";
                self.execute(sql, params![id.as_bytes(), now])
            }
            Over::Grant(node_id, id) => {
                let sql = "UPDATE granted SET state = 'ended', ended_at = expires, until = NULL
                           WHERE node_id = $1 AND grant_id = $2 AND state <> 'ended' AND expires <= $3";
                self.execute(sql, params![node_id.as_bytes(), id.as_bytes(), now])
            }
            Over::Request(node_id) => {
                let sql = "DELETE FROM node WHERE node_id = $1 AND standing = 'pending' AND expires <= $2";
                self.execute(sql, params![node_id.as_bytes(), now])
            }
            Over::Code(id) => {
                let sql = "UPDATE code SET uses_left = 0, sealed = NULL WHERE code_id = $1 AND uses_left > 0 AND expires <= $2";
                self.execute(sql, params![id.as_bytes(), now])
            }
            Over::Window => {
                let sql = "UPDATE pairing_window SET opened_at = NULL, closes = NULL WHERE opened_at IS NOT NULL AND closes <= $1";
                self.execute(sql, params![now])
            }
            Over::SetupCode(end) => {
                let sql = "UPDATE setup_mark SET mark = $1 WHERE mark < $1 AND $1 <= $2";
                self.execute(sql, params![integer(*end), now])
            }
            Over::Sender(SenderName { channel, account, sender }) => {
                let sql = "UPDATE sender_allowed SET revoked_at = until
                           WHERE channel = $1 AND account = $2 AND sender = $3 AND revoked_at IS NULL AND until <= $4";
                self.execute(sql, params![channel, account, sender, now])
            }
            Over::Policy(id) => {
                let sql = "UPDATE approval_policy SET ended_at = ends_at
                           WHERE policy_id = $1 AND ended_at IS NULL AND ends_at <= $2";
                self.execute(sql, params![id.as_bytes(), now])
            }
            Over::Certificate(serial) => {
                let sql = "UPDATE certificate SET state = 'superseded', out_at = not_after
                           WHERE serial = $1 AND state IN ('issued', 'delivered') AND not_after < $2";
                self.execute(sql, params![serial.as_bytes(), now])
            }
        }?;
        Ok(rows > 0)
    }
}
