//! Changes of senders, each inside a transaction of the writing thread.

use handfast_core::flow::inbound::{Challenge, ChannelPolicy, Seen, Verdict, decide};
use handfast_core::registry::inbound::{ChallengeCode, InboundLimits, SenderId};
use handfast_core::time::UnixTime;
use rusqlite::{Connection, OptionalExtension, ToSql, named_params, params};

use super::{Changed, LivePeriod, facts};
use crate::sqlite::rows::integer;
use crate::{
    Approved, Challenged, ListedSender, SaveError, SenderChange, SenderName, SenderStanding,
    StoreError, rules,
};

pub(super) fn challenge(
    connection: &Connection,
    name: &SenderName,
    meta: &str,
    fresh: ChallengeCode,
    limits: &InboundLimits,
    now: UnixTime,
) -> Result<(Challenged, u32), StoreError> {
    let SenderName { channel, account, sender } = name;
    let id = SenderId::parse(channel, account, sender);
    let id = id.map_err(|bad| StoreError::Database(format!("this names no sender: {bad:?}")))?;
    let live = LivePeriod::at(now, limits.pending_for);
    let (facts, over) = facts::of(connection, id, limits, now)?;
    let verdict =
        decide(ChannelPolicy { auto_challenge: true }, Seen::Sender, &facts, limits, fresh, now);
    let mut gone = 0;
    match verdict {
        Verdict::Challenge(Challenge::New(code)) => {
            match holder(connection, code)? {
                Some(held) if held.is_live(live) && held.name != *name => {
                    return Ok((Challenged::CodeTaken, 0));
                }
                Some(held) => gone += remove(connection, &held.name)?,
                None => {}
            }
            // If the sender still has an entry, it has expired; a live one would be challenged
            // again.
            gone += remove(connection, name)?;
            let sql = "INSERT INTO sender_pending (channel, account, sender, code, created_at, told_at, meta)
                       VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?6)";
            let row = params![channel, account, sender, code.as_str(), integer(now), meta];
            connection.prepare_cached(sql)?.execute(row)?;
        }
        Verdict::Challenge(Challenge::Again(_)) => {
            let sql = "UPDATE sender_pending SET told_at = ?4 WHERE channel = ?1 AND account = ?2 AND sender = ?3";
            connection.prepare_cached(sql)?.execute(params![
                channel,
                account,
                sender,
                integer(now)
            ])?;
        }
        Verdict::Challenge(Challenge::Quiet(_)) | Verdict::Admit | Verdict::Drop(_) => {}
    }
    // A search for expired entries costs time, so it runs only if some were counted.
    if over > gone {
        gone += purge(connection, rules::PURGE - gone, live)?;
    }
    Ok((Challenged::Decided(verdict), gone))
}

/// The sender that waits, or waited, with a code.
struct CodeHolder {
    name: SenderName,
    created_at: i64,
}

impl CodeHolder {
    const fn is_live(&self, LivePeriod(after, upto): LivePeriod) -> bool {
        after < self.created_at && self.created_at <= upto
    }
}

fn holder(connection: &Connection, code: ChallengeCode) -> rusqlite::Result<Option<CodeHolder>> {
    connection
        .prepare_cached(
            "SELECT channel, account, sender, created_at FROM sender_pending WHERE code = ?1",
        )?
        .query_row([code.as_str()], |row| {
            let name =
                SenderName { channel: row.get(0)?, account: row.get(1)?, sender: row.get(2)? };
            Ok(CodeHolder { name, created_at: row.get(3)? })
        })
        .optional()
}

fn remove(
    connection: &Connection,
    SenderName { channel, account, sender }: &SenderName,
) -> rusqlite::Result<u32> {
    let sql = "DELETE FROM sender_pending WHERE channel = ?1 AND account = ?2 AND sender = ?3";
    connection
        .prepare_cached(sql)?
        .execute([channel, account, sender])
        .map(|rows| u32::from(rows > 0))
}

/// Returns `true` if any entry has expired.
pub(super) fn any_over(
    connection: &Connection,
    LivePeriod(after, upto): LivePeriod,
) -> Result<bool, StoreError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM sender_pending INDEXED BY sender_pending_by_age WHERE created_at <= ?1 OR created_at > ?2)";
    Ok(connection.prepare_cached(sql)?.query_row([after, upto], |row| row.get(0))?)
}

/// Removes at most `most` expired entries.
pub(super) fn purge(
    connection: &Connection,
    most: u32,
    LivePeriod(after, upto): LivePeriod,
) -> rusqlite::Result<u32> {
    let gone = connection
        .prepare_cached(
            "DELETE FROM sender_pending WHERE seq IN (SELECT seq FROM sender_pending INDEXED BY sender_pending_by_age
             WHERE created_at <= ?1 OR created_at > ?2 LIMIT ?3)",
        )?
        .execute(params![after, upto, most])?;
    Ok(u32::try_from(gone).unwrap_or(most))
}

pub(super) fn approve(
    connection: &Connection,
    code: ChallengeCode,
    via: &str,
    until: Option<UnixTime>,
    live: LivePeriod,
    now: UnixTime,
) -> Result<Changed<Approved>, StoreError> {
    let Some(held) = holder(connection, code)? else { return Ok((Approved::Unknown, false)) };
    // A code that was found is used up, whatever the result.
    remove(connection, &held.name)?;
    if !held.is_live(live) {
        return Ok((Approved::Expired(held.name), false));
    }
    if is_blocked(connection, &held.name)? {
        return Ok((Approved::Unknown, false));
    }
    allow(connection, &held.name, via, until, now)?;
    Ok((Approved::Sender(held.name), true))
}

fn is_blocked(
    connection: &Connection,
    SenderName { channel, account, sender }: &SenderName,
) -> rusqlite::Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM sender_blocked WHERE channel = ?1 AND account IN ('', ?2) AND sender = ?3)";
    connection.prepare_cached(sql)?.query_row([channel, account, sender], |row| row.get(0))
}

fn allow(
    connection: &Connection,
    SenderName { channel, account, sender }: &SenderName,
    via: &str,
    until: Option<UnixTime>,
    now: UnixTime,
) -> rusqlite::Result<()> {
    let sql = "INSERT INTO sender_allowed (channel, account, sender, approved_at, via, until, revoked_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, NULL)
               ON CONFLICT (channel, account, sender) DO UPDATE
               SET approved_at = excluded.approved_at, via = excluded.via, until = excluded.until, revoked_at = NULL";
    connection.prepare_cached(sql)?.execute(params![
        channel,
        account,
        sender,
        integer(now),
        via,
        until.map(integer)
    ])?;
    Ok(())
}

/// A channel, an account or all accounts, and a sender.
type Meant<'a> = (&'a str, Option<&'a str>, &'a str);

pub(super) fn change(
    connection: &Connection,
    meant: Meant<'_>,
    change: &SenderChange,
    now: UnixTime,
) -> Result<Changed<u64>, StoreError> {
    let (channel, account, sender) = meant;
    Ok(match change {
        SenderChange::Allow { via, until } => {
            rules::readable(via)?;
            let account = account.ok_or_else(rules::needs_account)?.to_owned();
            let name =
                SenderName { channel: channel.to_owned(), account, sender: sender.to_owned() };
            // The block for all accounts goes too, or the sender would stay blocked.
            let sql = "DELETE FROM sender_blocked WHERE channel = ?1 AND account IN ('', ?2) AND sender = ?3";
            let blocks =
                connection.prepare_cached(sql)?.execute([channel, &name.account, sender])?;
            let waited = remove(connection, &name)?;
            allow(connection, &name, via, *until, now)?;
            (1 + blocks as u64 + u64::from(waited), true)
        }
        SenderChange::Reject => (remove_all(connection, meant)?, false),
        SenderChange::Block => {
            let sql = "INSERT INTO sender_blocked VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING";
            let row = params![channel, account.unwrap_or(""), sender, integer(now)];
            let standing = connection.prepare_cached(sql)?.execute(row)? as u64
                + take_back(connection, meant, now)?;
            (standing + remove_all(connection, meant)?, standing > 0)
        }
        SenderChange::Unblock => {
            let rows = match account {
                None => {
                    let sql = "DELETE FROM sender_blocked WHERE channel = ?1 AND sender = ?2";
                    execute(connection, sql, &[&channel, &sender])?
                }
                Some(account) => {
                    let sql = "DELETE FROM sender_blocked WHERE channel = ?1 AND account = ?2 AND sender = ?3";
                    execute(connection, sql, &[&channel, &account, &sender])?
                }
            };
            (rows, rows > 0)
        }
        SenderChange::Revoke => {
            let rows = take_back(connection, meant, now)?;
            (rows, rows > 0)
        }
    })
}

fn remove_all(
    connection: &Connection,
    (channel, account, sender): Meant<'_>,
) -> rusqlite::Result<u64> {
    match account {
        // The number of pending senders is capped, so a scan of the channel's is cheap.
        None => execute(
            connection,
            "DELETE FROM sender_pending WHERE channel = ?1 AND sender = ?2",
            &[&channel, &sender],
        ),
        Some(account) => {
            let sql =
                "DELETE FROM sender_pending WHERE channel = ?1 AND account = ?2 AND sender = ?3";
            execute(connection, sql, &[&channel, &account, &sender])
        }
    }
}

/// Revokes permissions, including expired ones, which would otherwise return if the clock is set
/// back.
fn take_back(
    connection: &Connection,
    (channel, account, sender): Meant<'_>,
    now: UnixTime,
) -> rusqlite::Result<u64> {
    let now = integer(now);
    match account {
        None => {
            let sql =
                "UPDATE sender_allowed INDEXED BY sender_allowed_by_sender SET revoked_at = ?3
                       WHERE channel = ?1 AND sender = ?2 AND revoked_at IS NULL";
            execute(connection, sql, &[&channel, &sender, &now])
        }
        Some(account) => {
            let sql = "UPDATE sender_allowed SET revoked_at = ?4
                       WHERE channel = ?1 AND account = ?2 AND sender = ?3 AND revoked_at IS NULL";
            execute(connection, sql, &[&channel, &account, &sender, &now])
        }
    }
}

fn execute(connection: &Connection, sql: &str, parameters: &[&dyn ToSql]) -> rusqlite::Result<u64> {
    connection.prepare_cached(sql)?.execute(parameters).map(|rows| rows as u64)
}

pub(super) fn seed(
    connection: &Connection,
    (channel, account): (&str, &str),
    senders: &[String],
    (via, until): (&str, Option<UnixTime>),
    now: UnixTime,
) -> Result<Changed<u64>, StoreError> {
    let mut is_in = connection.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM sender_allowed WHERE channel = ?1 AND account = ?2 AND sender = ?3
                        AND revoked_at IS NULL AND (until IS NULL OR until > ?4))",
    )?;
    let mut new = 0;
    for sender in senders {
        let name = SenderName {
            channel: channel.to_owned(),
            account: account.to_owned(),
            sender: sender.clone(),
        };
        let is_in: bool =
            is_in.query_row(params![channel, account, sender, integer(now)], |row| row.get(0))?;
        if !is_in && !is_blocked(connection, &name)? {
            // An allowed sender no longer waits.
            remove(connection, &name)?;
            allow(connection, &name, via, until, now)?;
            new += 1;
        }
    }
    Ok((new, new > 0))
}

/// Adds an entry as given. Returns `true` if the epoch has to move on.
pub(super) fn insert(
    connection: &Connection,
    ListedSender { name, standing }: &ListedSender,
) -> Result<bool, SaveError> {
    let SenderName { channel, account, sender } = name;
    let inserted = match standing {
        SenderStanding::Pending { code, created_at, meta } => {
            let sql = "INSERT INTO sender_pending (channel, account, sender, code, created_at, told_at, meta)
                       VALUES (:channel, :account, :sender, :code, :at, :at, :meta) ON CONFLICT DO NOTHING";
            connection.prepare_cached(sql)?.execute(named_params! {
                ":channel": channel, ":account": account, ":sender": sender, ":code": code.as_str(), ":at": integer(*created_at),
                ":meta": meta,
            })?
        }
        SenderStanding::Allowed { at, via, until, revoked_at } => {
            let sql = "INSERT INTO sender_allowed (channel, account, sender, approved_at, via, until, revoked_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING";
            let (until, revoked_at) = (until.map(integer), revoked_at.map(integer));
            connection.prepare_cached(sql)?.execute(params![
                channel,
                account,
                sender,
                integer(*at),
                via,
                until,
                revoked_at
            ])?
        }
        SenderStanding::Blocked { at } => {
            let sql = "INSERT INTO sender_blocked VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING";
            connection.prepare_cached(sql)?.execute(params![
                channel,
                account,
                sender,
                integer(*at)
            ])?
        }
    };
    match inserted {
        1 => Ok(!matches!(standing, SenderStanding::Pending { .. })),
        _ => Err(SaveError::Conflict),
    }
}
