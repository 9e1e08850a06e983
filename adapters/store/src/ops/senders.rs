//! Senders on messaging channels.

use std::sync::Arc;

use async_trait::async_trait;
use handfast_core::flow::inbound::{Challenge, ChannelPolicy, Seen, Verdict, decide};
use handfast_core::registry::inbound::{Allowed, ChallengeCode, Facts, InboundLimits, SenderId};
use handfast_core::{Span, UnixTime};

use super::{By, Database, Decided, RowResult, Tx};
use crate::audit::{Detail, Entry, Origin, What};
use crate::{
    Approved, Challenged, Inbound, ListedSender, SaveError, SenderChange, SenderFilter, SenderName,
    SenderStanding, StoreError, rules,
};

/// Range of live pending entries: created after the first time and no later than the second.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LivePeriod {
    /// `None` if entries of any age are live.
    pub(crate) after: Option<UnixTime>,
    pub(crate) upto: UnixTime,
}

impl LivePeriod {
    /// Returns the range of the entries that
    /// [are live](handfast_core::registry::inbound::Pending::is_live).
    pub(crate) fn at(now: UnixTime, pending_for: Span) -> Self {
        Self {
            after: now.as_secs().checked_sub(pending_for.as_secs()).map(UnixTime::from_secs),
            // Bounded above as well, so that a clock that is set back keeps no entry live forever.
            upto: now.after(pending_for),
        }
    }

    pub(crate) fn contains(self, created_at: UnixTime) -> bool {
        self.after.is_none_or(|after| after < created_at) && created_at <= self.upto
    }
}

/// A channel, an account or all accounts, and a sender.
pub(crate) type Meant<'a> = (&'a str, Option<&'a str>, &'a str);

/// The rows of senders: pending entries, permissions and blocks, and the positions of pollers.
///
/// Names are unique in each kind, and so are the codes of pending entries.
pub(crate) trait SenderRows {
    /// Marks that facts about a sender changed, apart from its pending entry.
    fn facts_changed(&mut self);

    /// Returns the facts about a sender, and the number of expired entries as far as it was needed.
    /// For a blocked sender, or one whose permission is in force, nothing else is read.
    fn facts(
        &mut self,
        name: &SenderName,
        limits: &InboundLimits,
        now: UnixTime,
    ) -> RowResult<(Facts, u32)>;

    /// Returns a sender's permission.
    fn permission(&mut self, name: &SenderName) -> RowResult<Option<Allowed>>;

    /// Returns `true` if the sender is blocked, for its account or for all.
    fn is_blocked(&mut self, name: &SenderName) -> RowResult<bool>;

    /// Returns the sender that waits with this code, and the time at which it was told it first.
    fn waiting_sender(&mut self, code: ChallengeCode) -> RowResult<Option<(SenderName, UnixTime)>>;

    /// Adds an entry as given; `false` if this sender has one of its kind, or another waits with
    /// its code.
    fn add_sender(&mut self, sender: &ListedSender) -> RowResult<bool>;

    /// Sets the time at which a waiting sender was told its code last.
    fn set_told(&mut self, name: &SenderName, now: UnixTime) -> RowResult<()>;

    /// Removes pending entries. Returns their number.
    fn remove_pending(&mut self, meant: Meant<'_>) -> RowResult<u64>;

    /// Returns `true` if any pending entry is not in this range.
    fn any_expired(&mut self, live: LivePeriod) -> RowResult<bool>;

    /// Removes at most `most` pending entries that are not in this range. Returns their number.
    fn expire_pending(&mut self, most: u32, live: LivePeriod) -> RowResult<u32>;

    /// Allows a sender from now on, in place of an earlier permission.
    fn allow(
        &mut self,
        name: &SenderName,
        via: &str,
        until: Option<UnixTime>,
        now: UnixTime,
    ) -> RowResult<()>;

    /// Revokes permissions that are not revoked, including expired ones. Returns their number.
    fn revoke_permissions(&mut self, meant: Meant<'_>, now: UnixTime) -> RowResult<u64>;

    /// Removes permissions. Returns their number.
    fn remove_permissions(&mut self, meant: Meant<'_>) -> RowResult<u64>;

    /// Returns `true` if a sender has a pending entry, has a permission that is in force, or is
    /// blocked, for its account or for all.
    fn stands(&mut self, meant: Meant<'_>, now: UnixTime) -> RowResult<bool>;

    /// Blocks a sender; an empty account stands for all. `false` if it is blocked like that already.
    fn block(&mut self, name: &SenderName, now: UnixTime) -> RowResult<bool>;

    /// Removes blocks; an empty account stands for the block for all. Returns their number.
    fn unblock(&mut self, meant: Meant<'_>) -> RowResult<u64>;

    /// Returns the entries that pass the filter after this one, in the order of
    /// [`Inbound::senders`](crate::Inbound::senders).
    fn senders_after(
        &mut self,
        filter: &SenderFilter,
        after: Option<&ListedSender>,
        limit: usize,
        live: LivePeriod,
        now: UnixTime,
    ) -> RowResult<Vec<ListedSender>>;

    /// Counts the live pending entries of each channel that has any, ordered by channel.
    fn count_waiting_senders(&mut self, live: LivePeriod) -> RowResult<Vec<(String, u64)>>;

    /// Returns the position of a poller.
    fn cursor(&mut self, poller: &str) -> RowResult<Option<String>>;

    /// Sets the position of a poller.
    fn set_cursor(&mut self, poller: &str, cursor: &str) -> RowResult<()>;
}

/// Names exactly one sender.
fn only(name: &SenderName) -> Meant<'_> {
    (&name.channel, Some(&name.account), &name.sender)
}

pub(super) fn challenge(
    tx: &mut dyn Tx,
    name: &SenderName,
    meta: String,
    fresh: ChallengeCode,
    limits: &InboundLimits,
    now: UnixTime,
) -> Result<(Challenged, u32), StoreError> {
    let live = LivePeriod::at(now, limits.pending_for);
    let (facts, over) = tx.facts(name, limits, now)?;
    let verdict =
        decide(ChannelPolicy { auto_challenge: true }, Seen::Sender, &facts, limits, fresh, now);
    let mut gone = 0;
    match verdict {
        Verdict::Challenge(Challenge::New(code)) => {
            // A sender may draw its own old code again, because its old entry is replaced.
            match tx.waiting_sender(code)? {
                Some((holder, created_at)) if holder != *name => {
                    if live.contains(created_at) {
                        return Ok((Challenged::CodeTaken, 0));
                    }
                    gone += tx.remove_pending(only(&holder))?;
                }
                Some(_) | None => {}
            }
            // If the sender still has an entry, it has expired; a live one would be challenged
            // again.
            gone += tx.remove_pending(only(name))?;
            let standing = SenderStanding::Pending { code, created_at: now, meta };
            tx.add_sender(&ListedSender { name: name.clone(), standing })?;
        }
        Verdict::Challenge(Challenge::Again(_)) => tx.set_told(name, now)?,
        Verdict::Challenge(Challenge::Quiet(_)) | Verdict::Admit | Verdict::Drop(_) => {}
    }
    // At most two have gone.
    let mut gone = u32::try_from(gone).unwrap_or(rules::PURGE);
    // A search for expired entries costs time, so it runs only if some were counted.
    if over > gone {
        gone += tx.expire_pending(rules::PURGE - gone, live)?;
    }
    Ok((Challenged::Decided(verdict), gone))
}

pub(super) fn approve(
    tx: &mut dyn Tx,
    code: ChallengeCode,
    via: &str,
    until: Option<UnixTime>,
    limits: &InboundLimits,
    now: UnixTime,
) -> Result<Decided<Approved>, StoreError> {
    let Some((name, created_at)) = tx.waiting_sender(code)? else {
        return Ok(Decided::nothing(Approved::Unknown));
    };
    // A code that was found is used up, whatever the result.
    tx.remove_pending(only(&name))?;
    if !LivePeriod::at(now, limits.pending_for).contains(created_at) {
        return Ok(Decided::nothing(Approved::Expired(name)));
    }
    if tx.is_blocked(&name)? {
        return Ok(Decided::nothing(Approved::Unknown));
    }
    tx.allow(&name, via, until, now)?;
    tx.facts_changed();
    let entry = entry(tx, What::ApproveSender, &name, until)?;
    Ok(Decided::by(Approved::Sender(name), entry.at(now)))
}

pub(super) fn change(
    tx: &mut dyn Tx,
    meant: Meant<'_>,
    change: &SenderChange,
    now: UnixTime,
) -> Result<Decided<u64>, StoreError> {
    let (channel, account, sender) = meant;
    let named = |account: &str| SenderName {
        channel: channel.to_owned(),
        account: account.to_owned(),
        sender: sender.to_owned(),
    };
    // The rows that changed, and those of them that are facts about more than a pending entry.
    let (rows, facts) = match change {
        SenderChange::Allow { via, until } => {
            rules::readable(via)?;
            let name = named(account.ok_or_else(rules::needs_account)?);
            // The block for all accounts goes too, or the sender would stay blocked.
            let blocks = tx.unblock(only(&name))? + tx.unblock((channel, Some(""), sender))?;
            let waited = tx.remove_pending(only(&name))?;
            tx.allow(&name, via, *until, now)?;
            (1 + blocks + waited, 1)
        }
        SenderChange::Reject => (tx.remove_pending(meant)?, 0),
        SenderChange::Block => {
            let facts = u64::from(tx.block(&named(account.unwrap_or("")), now)?)
                + tx.revoke_permissions(meant, now)?;
            (facts + tx.remove_pending(meant)?, facts)
        }
        SenderChange::Unblock => {
            let rows = tx.unblock(meant)?;
            (rows, rows)
        }
        SenderChange::Revoke => {
            let rows = tx.revoke_permissions(meant, now)?;
            (rows, rows)
        }
        SenderChange::Forget => return forget(tx, meant, now),
    };
    if facts > 0 {
        tx.facts_changed();
    }
    if rows == 0 {
        return Ok(Decided::nothing(rows));
    }
    let (what, until) = match change {
        SenderChange::Allow { until, .. } => (What::ApproveSender, *until),
        SenderChange::Reject => (What::RejectSender, None),
        SenderChange::Block => (What::BlockSender, None),
        SenderChange::Unblock => (What::UnblockSender, None),
        SenderChange::Revoke => (What::RevokeSender, None),
        SenderChange::Forget => (What::ForgetSender, None),
    };
    // An empty account stands for all, as in a block.
    let entry = entry(tx, what, &named(account.unwrap_or("")), until)?;
    Ok(Decided::by(rows, entry.at(now)))
}

/// Removes what is left of a sender that is out. What is in force needs its name.
fn forget(tx: &mut dyn Tx, meant: Meant<'_>, now: UnixTime) -> RowResult<Decided<u64>> {
    if tx.stands(meant, now)? {
        return Ok(Decided::nothing(0));
    }
    let permissions = tx.remove_permissions(meant)?;
    let references = tx.forget_references(meant)?;
    if permissions > 0 {
        tx.facts_changed();
    }
    // The entries have the references alone, or they would bring the names back.
    let entries = references
        .iter()
        .map(|reference| Entry::new(What::ForgetSender, [Detail::Sender(*reference)]).at(now))
        .collect();
    Ok(Decided::all(permissions + references.len() as u64, entries))
}

fn entry(
    tx: &mut dyn Tx,
    what: What,
    name: &SenderName,
    until: Option<UnixTime>,
) -> Result<Entry, StoreError> {
    let mut details = vec![Detail::Sender(tx.sender_reference(name)?)];
    details.extend(until.map(Detail::Until));
    Ok(Entry::new(what, details))
}

pub(super) fn seed(
    tx: &mut dyn Tx,
    (channel, account): (&str, &str),
    senders: Vec<String>,
    (via, until): (&str, Option<UnixTime>),
    now: UnixTime,
) -> Result<Decided<u64>, StoreError> {
    let mut entries = Vec::new();
    for sender in senders {
        let name = SenderName { channel: channel.to_owned(), account: account.to_owned(), sender };
        let is_in = tx.permission(&name)?.is_some_and(|allowed| allowed.is_active(now));
        if !is_in && !tx.is_blocked(&name)? {
            // An allowed sender no longer waits.
            tx.remove_pending(only(&name))?;
            tx.allow(&name, via, until, now)?;
            let entry = entry(tx, What::ApproveSender, &name, until)?;
            entries.push(entry.at(now));
        }
    }
    if !entries.is_empty() {
        tx.facts_changed();
    }
    Ok(Decided::all(entries.len() as u64, entries))
}

pub(super) fn insert(tx: &mut dyn Tx, sender: &ListedSender) -> Result<Decided<()>, SaveError> {
    if !tx.add_sender(sender)? {
        return Err(SaveError::Conflict);
    }
    match sender.standing {
        SenderStanding::Pending { .. } => {}
        SenderStanding::Allowed { .. } | SenderStanding::Blocked { .. } => tx.facts_changed(),
    }
    let details = [Detail::Sender(tx.sender_reference(&sender.name)?), Detail::Word("sender")];
    Ok(Decided::by((), Entry::new(What::Import, details)))
}

#[async_trait]
impl<D: Database> Inbound for D {
    fn senders_by(self: Arc<Self>, origin: Origin) -> Arc<dyn Inbound> {
        Arc::new(By::new(self.base(), origin))
    }

    fn inbound_epoch(&self) -> u64 {
        self.epoch()
    }

    async fn facts(
        &self,
        sender: SenderId<'_>,
        limits: &InboundLimits,
        now: UnixTime,
    ) -> Result<Facts, StoreError> {
        let (name, limits) = (SenderName::from(sender), *limits);
        self.point(move |tx| Ok(tx.facts(&name, &limits, now)?.0)).await
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
        self.change(move |tx| challenge(tx, &name, meta, fresh, &limits, now)).await
    }

    async fn expire_senders(
        &self,
        limits: &InboundLimits,
        now: UnixTime,
    ) -> Result<u32, StoreError> {
        let live = LivePeriod::at(now, limits.pending_for);
        // A read comes first, because most calls find nothing, and a write waits for the disk.
        if !self.point(move |tx| tx.any_expired(live)).await? {
            return Ok(0);
        }
        self.change(move |tx| tx.expire_pending(rules::PURGE, live)).await
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
        let limits = *limits;
        self.decide(move |tx| approve(tx, code, &via, until, &limits, now)).await
    }

    async fn change_sender(
        &self,
        channel: &str,
        account: Option<&str>,
        sender: &str,
        what: SenderChange,
        now: UnixTime,
    ) -> Result<u64, StoreError> {
        rules::named(channel, account, sender)?;
        let (channel, account, sender) =
            (channel.to_owned(), account.map(str::to_owned), sender.to_owned());
        self.decide(move |tx| change(tx, (&channel, account.as_deref(), &sender), &what, now)).await
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
        self.decide(move |tx| seed(tx, (&channel, &account), senders, (&via, until), now)).await
    }

    async fn insert_sender(&self, sender: ListedSender) -> Result<(), SaveError> {
        rules::whole(&sender)?;
        self.decide(move |tx| insert(tx, &sender)).await
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
        self.page(move |tx| tx.senders_after(&filter, after.as_ref(), limit, live, now)).await
    }

    async fn waiting_senders(
        &self,
        limits: &InboundLimits,
        now: UnixTime,
    ) -> Result<Vec<(String, u64)>, StoreError> {
        let live = LivePeriod::at(now, limits.pending_for);
        self.page(move |tx| tx.count_waiting_senders(live)).await
    }

    async fn cursor(&self, poller: &str) -> Result<Option<String>, StoreError> {
        let poller = poller.to_owned();
        self.point(move |tx| tx.cursor(&poller)).await
    }

    async fn keep_cursor(&self, poller: &str, cursor: String) -> Result<(), StoreError> {
        let poller = poller.to_owned();
        self.change(move |tx| tx.set_cursor(&poller, &cursor)).await
    }
}
