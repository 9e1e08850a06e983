//! Senders on messaging channels.
//!
//! **The epoch** moves on after the commit and before the answer, on the writing thread. A gate
//! reads the epoch, then the facts, and caches these under that number. Facts cached under the new
//! number were therefore read when the change was visible; facts that were read earlier are cached
//! under the old number, which is stale. A failed commit moves the epoch too, because the state on
//! the disk is then unknown.

mod changes;
mod facts;
mod listing;
mod rows;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use handfast_core::registry::inbound::{ChallengeCode, Facts, InboundLimits, SenderId};
use handfast_core::time::{Span, UnixTime};
use rusqlite::{Connection, OptionalExtension, params};

use super::SqliteStore;
use super::rows::integer;
use crate::{
    Approved, Challenged, Inbound, ListedSender, SaveError, SenderChange, SenderFilter, SenderName,
    StoreError, rules,
};

/// The result of a change, and `true` if the facts about a sender changed, apart from its pending
/// entry.
type Changed<T> = (T, bool);

/// Range of live entries: created after the first time and no later than the second.
#[derive(Clone, Copy)]
struct LivePeriod(i64, i64);

impl LivePeriod {
    fn at(now: UnixTime, pending_for: Span) -> Self {
        let pending_for = i64::try_from(pending_for.as_secs()).unwrap_or(i64::MAX);
        // Bounded above as well, so that a clock that is set back keeps no entry live forever.
        Self(integer(now).saturating_sub(pending_for), integer(now).saturating_add(pending_for))
    }
}

impl SqliteStore {
    async fn change_senders<T, E>(
        &self,
        change: impl FnOnce(&Connection) -> Result<Changed<T>, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + From<rusqlite::Error> + Send + 'static,
    {
        let epoch: Arc<AtomicU64> = Arc::clone(&self.inbound_epoch);
        let before_answer = move |(_, has_moved): &Changed<T>| {
            if *has_moved {
                epoch.fetch_add(1, Ordering::Release);
            }
        };
        self.writer.change_then(change, before_answer).await.map(|(outcome, _)| outcome)
    }
}

#[async_trait]
impl Inbound for SqliteStore {
    fn inbound_epoch(&self) -> u64 {
        self.inbound_epoch.load(Ordering::Acquire)
    }

    async fn facts(
        &self,
        sender: SenderId<'_>,
        limits: &InboundLimits,
        now: UnixTime,
    ) -> Result<Facts, StoreError> {
        self.readers
            .point(|connection| facts::of(connection, sender, limits, now))
            .map(|(facts, _)| facts)
    }

    async fn challenge(
        &self,
        sender: SenderId<'_>,
        meta: String,
        fresh: ChallengeCode,
        limits: &InboundLimits,
        now: UnixTime,
    ) -> Result<(Challenged, u32), StoreError> {
        rules::telling(&meta)?;
        let (name, limits) = (SenderName::from(sender), *limits);
        self.writer
            .change(move |connection| {
                changes::challenge(connection, &name, &meta, fresh, &limits, now)
            })
            .await
    }

    async fn expire_senders(
        &self,
        limits: &InboundLimits,
        now: UnixTime,
    ) -> Result<u32, StoreError> {
        let live = LivePeriod::at(now, limits.pending_for);
        // A read comes first, because most calls find nothing, and a write waits for the disk.
        if !self.readers.point(|connection| changes::any_over(connection, live))? {
            return Ok(0);
        }
        self.writer
            .change(move |connection| Ok(changes::purge(connection, rules::PURGE, live)?))
            .await
    }

    async fn approve(
        &self,
        code: ChallengeCode,
        via: String,
        until: Option<UnixTime>,
        limits: &InboundLimits,
        now: UnixTime,
    ) -> Result<Approved, StoreError> {
        rules::readable(&via)?;
        let live = LivePeriod::at(now, limits.pending_for);
        self.change_senders(move |connection| {
            changes::approve(connection, code, &via, until, live, now)
        })
        .await
    }

    async fn change_sender(
        &self,
        channel: &str,
        account: Option<&str>,
        sender: &str,
        change: SenderChange,
        now: UnixTime,
    ) -> Result<u64, StoreError> {
        rules::named(channel, account, sender)?;
        let (channel, account, sender) =
            (channel.to_owned(), account.map(str::to_owned), sender.to_owned());
        self.change_senders(move |connection| {
            changes::change(connection, (&channel, account.as_deref(), &sender), &change, now)
        })
        .await
    }

    async fn seed_until(
        &self,
        channel: &str,
        account: &str,
        senders: Vec<String>,
        via: String,
        until: Option<UnixTime>,
        now: UnixTime,
    ) -> Result<u64, StoreError> {
        rules::readable(&via)?;
        senders.iter().try_for_each(|sender| rules::named(channel, Some(account), sender))?;
        let (channel, account) = (channel.to_owned(), account.to_owned());
        self.change_senders(move |connection| {
            changes::seed(connection, (&channel, &account), &senders, (&via, until), now)
        })
        .await
    }

    async fn insert_sender(&self, sender: ListedSender) -> Result<(), SaveError> {
        rules::whole(&sender)?;
        self.change_senders(move |connection| {
            changes::insert(connection, &sender).map(|has_moved| ((), has_moved))
        })
        .await
    }

    async fn senders(
        &self,
        filter: SenderFilter,
        after: Option<ListedSender>,
        limit: usize,
        limits: &InboundLimits,
        now: UnixTime,
    ) -> Result<Vec<ListedSender>, StoreError> {
        let live = LivePeriod::at(now, limits.pending_for);
        self.page(move |connection| {
            listing::page(connection, &filter, after.as_ref(), limit, live, now)
        })
        .await?
    }

    async fn waiting_senders(
        &self,
        limits: &InboundLimits,
        now: UnixTime,
    ) -> Result<Vec<(String, u64)>, StoreError> {
        let live = LivePeriod::at(now, limits.pending_for);
        self.page(move |connection| listing::waiting(connection, live)).await
    }

    async fn cursor(&self, poller: &str) -> Result<Option<String>, StoreError> {
        self.readers.point(|connection| {
            let mut statement =
                connection.prepare_cached("SELECT cursor FROM poller WHERE name = ?1")?;
            Ok(statement.query_row([poller], |row| row.get(0)).optional()?)
        })
    }

    async fn keep_cursor(&self, poller: &str, cursor: String) -> Result<(), StoreError> {
        let poller = poller.to_owned();
        let sql = "INSERT INTO poller VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET cursor = excluded.cursor";
        self.writer
            .change(move |connection| {
                Ok(connection.prepare_cached(sql)?.execute(params![poller, cursor]).map(drop)?)
            })
            .await
    }
}
