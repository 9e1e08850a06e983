//! Senders on messaging channels.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use handfast_core::flow::inbound::{Challenge, ChannelPolicy, Dropped, Seen, Verdict, decide};
use handfast_core::registry::inbound::{
    Allowed, ChallengeCode, Facts, InboundLimits, Pending, SenderId,
};
use handfast_core::time::UnixTime;

use super::MemoryStore;
use super::time::moved;
use crate::inbound::EntryKind;
use crate::{
    Approved, Challenged, EndedWith, Inbound, ListedSender, SaveError, SenderChange, SenderFilter,
    SenderName, SenderStanding, StoreError, rules,
};

#[derive(Clone, Debug, Default)]
pub(super) struct Senders {
    waiting: BTreeMap<SenderName, PendingRow>,
    by_code: HashMap<ChallengeCode, SenderName>,
    allowed: BTreeMap<SenderName, Permission>,
    /// Blocks for all accounts have an empty account.
    blocked: BTreeMap<SenderName, UnixTime>,
    cursors: HashMap<String, String>,
    /// Number of the current run.
    pub(super) run: u64,
}

#[derive(Clone, Debug)]
struct PendingRow {
    pending: Pending,
    meta: String,
    run: u64,
}

#[derive(Clone, Debug)]
struct Permission {
    at: UnixTime,
    via: String,
    allowed: Allowed,
    run: u64,
}

/// The result of a change, and `true` if the facts about a sender changed, apart from its pending
/// entry.
type Changed<T> = (T, bool);

impl MemoryStore {
    fn change_senders<T>(
        &self,
        change: impl FnOnce(&mut Senders) -> Result<Changed<T>, StoreError>,
    ) -> Result<T, StoreError> {
        let mut state = self.state();
        let (outcome, has_moved) = change(&mut state.senders)?;
        if has_moved {
            self.inbound_epoch.fetch_add(1, Ordering::Release);
        }
        Ok(outcome)
    }
}

impl MemoryStore {
    /// Raises the epoch if the permission of a sender ended.
    pub(super) fn moves(&self, with: &EndedWith) {
        if !with.senders.is_empty() {
            self.inbound_epoch.fetch_add(1, Ordering::Release);
        }
    }
}

impl Senders {
    /// Revokes the permissions that were given by this way and outlast its end. Returns their
    /// senders.
    pub(super) fn end_let_in(
        &mut self,
        via: &str,
        outlasts: impl Fn(Option<UnixTime>) -> bool,
        now: UnixTime,
    ) -> Vec<SenderName> {
        let let_in = self.allowed.iter_mut().filter(|(_, permission)| permission.via == via);
        let open =
            let_in.filter(|(_, it)| it.allowed.revoked_at.is_none() && outlasts(it.allowed.until));
        let end = |(name, permission): (&SenderName, &mut Permission)| {
            permission.allowed.revoked_at = Some(now);
            name.clone()
        };
        open.map(end).collect()
    }

    fn is_blocked(&self, name: &SenderName) -> bool {
        self.blocked.contains_key(name)
            || self.blocked.contains_key(&SenderName { account: String::new(), ..name.clone() })
    }

    fn facts(&self, name: &SenderName, limits: &InboundLimits, now: UnixTime) -> Facts {
        let blocked = self.is_blocked(name);
        let allowed = self.allowed.get(name).map(|permission| permission.allowed);
        if blocked || allowed.is_some_and(|allowed| allowed.is_active(now)) {
            return Facts { blocked, allowed, ..Facts::default() };
        }
        let count = |such: &dyn Fn(&SenderName) -> bool| {
            let live = self
                .waiting
                .iter()
                .filter(|(name, waiting)| such(name) && waiting.pending.is_live(limits, now));
            u32::try_from(live.count()).unwrap_or(u32::MAX)
        };
        Facts {
            blocked,
            allowed,
            pending: self.waiting.get(name).map(|waiting| waiting.pending),
            pending_of_account: count(&|other| {
                (&other.channel, &other.account) == (&name.channel, &name.account)
            }),
            pending_total: count(&|_| true),
        }
    }

    fn challenge(
        &mut self,
        name: SenderName,
        meta: String,
        fresh: ChallengeCode,
        limits: &InboundLimits,
        now: UnixTime,
    ) -> (Challenged, u32) {
        let facts = self.facts(&name, limits, now);
        let verdict = decide(
            ChannelPolicy { auto_challenge: true },
            Seen::Sender,
            &facts,
            limits,
            fresh,
            now,
        );
        let mut gone = 0;
        match verdict {
            Verdict::Challenge(Challenge::New(code)) => {
                // A sender may draw its own old code again, because its old entry is replaced.
                let holder = self.by_code.get(&code).filter(|holder| **holder != name).cloned();
                if holder.as_ref().is_some_and(|holder| self.is_live(holder, limits, now)) {
                    return (Challenged::CodeTaken, 0);
                }
                for over in holder.iter().chain([&name]) {
                    gone += u32::from(self.remove(over).is_some());
                }
                self.wait(
                    name,
                    PendingRow {
                        pending: Pending { code, created_at: now, told_at: now },
                        meta,
                        run: self.run,
                    },
                );
            }
            Verdict::Challenge(Challenge::Again(_)) => {
                if let Some(waiting) = self.waiting.get_mut(&name) {
                    waiting.pending.told_at = now;
                }
            }
            Verdict::Challenge(Challenge::Quiet(_)) | Verdict::Drop(Dropped::Full) => {}
            // A message of a sender that need not or must not wait writes nothing, so it removes
            // nothing.
            Verdict::Admit | Verdict::Drop(_) => return (Challenged::Decided(verdict), 0),
        }
        (Challenged::Decided(verdict), gone + self.purge(rules::PURGE - gone, limits, now))
    }

    fn approve(
        &mut self,
        code: ChallengeCode,
        via: String,
        until: Option<UnixTime>,
        limits: &InboundLimits,
        now: UnixTime,
    ) -> Changed<Approved> {
        let Some(name) = self.by_code.get(&code).cloned() else {
            return (Approved::Unknown, false);
        };
        let is_live = self.is_live(&name, limits, now);
        // A code that was found is used up, whatever the result.
        self.remove(&name);
        if !is_live {
            return (Approved::Expired(name), false);
        }
        if self.is_blocked(&name) {
            return (Approved::Unknown, false);
        }
        self.allow(name.clone(), via, until, now);
        (Approved::Sender(name), true)
    }

    fn change(
        &mut self,
        channel: &str,
        account: Option<&str>,
        sender: &str,
        change: SenderChange,
        now: UnixTime,
    ) -> Result<Changed<u64>, StoreError> {
        rules::named(channel, account, sender)?;
        let named = |account: &str| SenderName {
            channel: channel.to_owned(),
            account: account.to_owned(),
            sender: sender.to_owned(),
        };
        let is_meant = |name: &SenderName| {
            name.channel == channel
                && name.sender == sender
                && account.is_none_or(|account| name.account == account)
        };
        Ok(match change {
            SenderChange::Allow { via, until } => {
                rules::readable(&via)?;
                let account = account.ok_or_else(rules::needs_account)?;
                let before = self.blocked.len();
                self.blocked.remove(&named(account));
                // The block for all accounts goes too, or the sender would stay blocked.
                self.blocked.remove(&named(""));
                let rows = before - self.blocked.len()
                    + usize::from(self.remove(&named(account)).is_some());
                self.allow(named(account), via, until, now);
                (rows as u64 + 1, true)
            }
            SenderChange::Reject => (self.remove_all(is_meant), false),
            SenderChange::Block => {
                let name = named(account.unwrap_or(""));
                let is_new = !self.blocked.contains_key(&name);
                self.blocked.entry(name).or_insert(now);
                let standing = u64::from(is_new) + self.take_back(is_meant, now);
                (standing + self.remove_all(is_meant), standing > 0)
            }
            SenderChange::Unblock => {
                let before = self.blocked.len();
                self.blocked.retain(|name, _| !is_meant(name));
                let rows = (before - self.blocked.len()) as u64;
                (rows, rows > 0)
            }
            SenderChange::Revoke => {
                let rows = self.take_back(is_meant, now);
                (rows, rows > 0)
            }
        })
    }

    fn seed(
        &mut self,
        channel: &str,
        account: &str,
        senders: Vec<String>,
        (via, until): (&str, Option<UnixTime>),
        now: UnixTime,
    ) -> Result<Changed<u64>, StoreError> {
        rules::readable(via)?;
        senders.iter().try_for_each(|sender| rules::named(channel, Some(account), sender))?;
        let mut new = 0;
        for sender in senders {
            let name =
                SenderName { channel: channel.to_owned(), account: account.to_owned(), sender };
            let is_in =
                self.allowed.get(&name).is_some_and(|permission| permission.allowed.is_active(now));
            if !is_in && !self.is_blocked(&name) {
                // An allowed sender no longer waits.
                self.remove(&name);
                self.allow(name, via.to_owned(), until, now);
                new += 1;
            }
        }
        Ok((new, new > 0))
    }

    fn insert(&mut self, ListedSender { name, standing }: ListedSender) -> Result<bool, SaveError> {
        let is_taken = match &standing {
            SenderStanding::Pending { code, .. } => {
                self.waiting.contains_key(&name) || self.by_code.contains_key(code)
            }
            SenderStanding::Allowed { .. } => self.allowed.contains_key(&name),
            SenderStanding::Blocked { .. } => self.blocked.contains_key(&name),
        };
        if is_taken {
            return Err(SaveError::Conflict);
        }
        match standing {
            SenderStanding::Pending { code, created_at, meta } => {
                self.wait(
                    name,
                    PendingRow {
                        pending: Pending { code, created_at, told_at: created_at },
                        meta,
                        run: self.run,
                    },
                );
                return Ok(false);
            }
            SenderStanding::Allowed { at, via, until, revoked_at } => {
                self.allowed.insert(
                    name,
                    Permission { at, via, allowed: Allowed { until, revoked_at }, run: self.run },
                );
            }
            SenderStanding::Blocked { at } => {
                self.blocked.insert(name, at);
            }
        }
        Ok(true)
    }

    fn is_live(&self, name: &SenderName, limits: &InboundLimits, now: UnixTime) -> bool {
        self.waiting.get(name).is_some_and(|waiting| waiting.pending.is_live(limits, now))
    }

    fn wait(&mut self, name: SenderName, waiting: PendingRow) {
        self.by_code.insert(waiting.pending.code, name.clone());
        self.waiting.insert(name, waiting);
    }

    fn remove(&mut self, name: &SenderName) -> Option<PendingRow> {
        let waiting = self.waiting.remove(name)?;
        self.by_code.remove(&waiting.pending.code);
        Some(waiting)
    }

    fn remove_all(&mut self, such: impl Fn(&SenderName) -> bool) -> u64 {
        let these: Vec<_> = self.waiting.keys().filter(|name| such(name)).cloned().collect();
        these.iter().filter_map(|name| self.remove(name)).count() as u64
    }

    /// Removes at most `most` expired entries.
    fn purge(&mut self, most: u32, limits: &InboundLimits, now: UnixTime) -> u32 {
        let over = self.waiting.iter().filter(|(_, waiting)| !waiting.pending.is_live(limits, now));
        let mut over: Vec<_> =
            over.map(|(name, waiting)| (waiting.pending.created_at, name.clone())).collect();
        over.sort_unstable();
        over.truncate(most as usize);
        let gone = over.iter().filter_map(|(_, name)| self.remove(name)).count();
        u32::try_from(gone).unwrap_or(most)
    }

    fn allow(&mut self, name: SenderName, via: String, until: Option<UnixTime>, now: UnixTime) {
        self.allowed.insert(
            name,
            Permission {
                at: now,
                via,
                allowed: Allowed { until, revoked_at: None },
                run: self.run,
            },
        );
    }

    fn take_back(&mut self, such: impl Fn(&SenderName) -> bool, now: UnixTime) -> u64 {
        let open = self
            .allowed
            .iter_mut()
            .filter(|(name, permission)| such(name) && permission.allowed.revoked_at.is_none());
        open.map(|(_, permission)| permission.allowed.revoked_at = Some(now)).count() as u64
    }

    /// Moves the times of what this run made, and returns how many entries that were.
    pub(super) fn move_by(&mut self, by: i64) -> u64 {
        let mut count = 0;
        for PendingRow { pending, .. } in
            self.waiting.values_mut().filter(|waiting| waiting.run == self.run)
        {
            pending.created_at = moved(pending.created_at, by);
            pending.told_at = moved(pending.told_at, by);
            count += 1;
        }
        for Permission { at, allowed, .. } in
            self.allowed.values_mut().filter(|permission| permission.run == self.run)
        {
            *at = moved(*at, by);
            allowed.until = allowed.until.map(|until| moved(until, by));
            count += 1;
        }
        count
    }

    /// Ends what earlier runs made later than `latest`, and returns how many entries that were.
    pub(super) fn end_later(&mut self, latest: UnixTime) -> u64 {
        let run = self.run;
        let over = self
            .waiting
            .iter()
            .filter(|(_, waiting)| waiting.run != run && waiting.pending.created_at > latest);
        let over: Vec<_> = over.map(|(name, _)| name.clone()).collect();
        let mut count = over.iter().filter_map(|name| self.remove(name)).count() as u64;
        let made_falsely =
            |permission: &&mut Permission| permission.run != run && permission.at > latest;
        for Permission { allowed, .. } in self.allowed.values_mut().filter(made_falsely) {
            // A permission without an end does not depend on the clock.
            if allowed.revoked_at.is_none() && allowed.until.is_some() {
                allowed.revoked_at = Some(latest);
                count += 1;
            }
        }
        count
    }

    /// Returns the times at which this run made its entries.
    pub(super) fn made_last(&self) -> Vec<UnixTime> {
        let waiting = self
            .waiting
            .values()
            .filter(|waiting| waiting.run == self.run)
            .map(|waiting| waiting.pending.created_at);
        let allowed = self
            .allowed
            .values()
            .filter(|permission| permission.run == self.run)
            .map(|permission| permission.at);
        waiting.chain(allowed).collect()
    }

    pub(super) fn write_over(&mut self, name: &SenderName, now: UnixTime) -> bool {
        let allowed = self.allowed.get_mut(name).map(|permission| &mut permission.allowed);
        let over = allowed.filter(|allowed| {
            allowed.revoked_at.is_none() && allowed.until.is_some_and(|until| until <= now)
        });
        over.map(|allowed| allowed.revoked_at = allowed.until).is_some()
    }

    /// Returns all entries in the order of a listing.
    fn listed(&self) -> impl Iterator<Item = (EntryKind, &SenderName, SenderStanding)> {
        let waiting = self.waiting.iter().map(|(name, PendingRow { pending, meta, .. })| {
            let standing = SenderStanding::Pending {
                code: pending.code,
                created_at: pending.created_at,
                meta: meta.clone(),
            };
            (EntryKind::Pending, name, standing)
        });
        let allowed = self.allowed.iter().map(
            |(name, Permission { at, via, allowed: Allowed { until, revoked_at }, .. })| {
                let standing = SenderStanding::Allowed {
                    at: *at,
                    via: via.clone(),
                    until: *until,
                    revoked_at: *revoked_at,
                };
                (EntryKind::Allowed, name, standing)
            },
        );
        let blocked = self
            .blocked
            .iter()
            .map(|(name, at)| (EntryKind::Blocked, name, SenderStanding::Blocked { at: *at }));
        waiting.chain(allowed).chain(blocked)
    }
}

#[async_trait]
impl Inbound for MemoryStore {
    fn inbound_epoch(&self) -> u64 {
        self.inbound_epoch.load(Ordering::Acquire)
    }

    async fn facts(
        &self,
        sender: SenderId<'_>,
        limits: &InboundLimits,
        now: UnixTime,
    ) -> Result<Facts, StoreError> {
        Ok(self.state().senders.facts(&sender.into(), limits, now))
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
        Ok(self.state().senders.challenge(sender.into(), meta, fresh, limits, now))
    }

    async fn expire_senders(
        &self,
        limits: &InboundLimits,
        now: UnixTime,
    ) -> Result<u32, StoreError> {
        Ok(self.state().senders.purge(rules::PURGE, limits, now))
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
        self.change_senders(|senders| Ok(senders.approve(code, via, until, limits, now)))
    }

    async fn change_sender(
        &self,
        channel: &str,
        account: Option<&str>,
        sender: &str,
        change: SenderChange,
        now: UnixTime,
    ) -> Result<u64, StoreError> {
        self.change_senders(|senders| senders.change(channel, account, sender, change, now))
    }

    async fn seed_until(
        &self,
        channel: &str,
        account: &str,
        list: Vec<String>,
        via: String,
        until: Option<UnixTime>,
        now: UnixTime,
    ) -> Result<u64, StoreError> {
        self.change_senders(|senders| senders.seed(channel, account, list, (&via, until), now))
    }

    async fn insert_sender(&self, sender: ListedSender) -> Result<(), SaveError> {
        rules::whole(&sender)?;
        self.change_senders(|senders| match senders.insert(sender) {
            Ok(has_moved) => Ok((Ok(()), has_moved)),
            Err(problem) => Ok((Err(problem), false)),
        })?
    }

    async fn senders(
        &self,
        filter: SenderFilter,
        after: Option<ListedSender>,
        limit: usize,
        limits: &InboundLimits,
        now: UnixTime,
    ) -> Result<Vec<ListedSender>, StoreError> {
        let belongs = |name: &SenderName, standing: &SenderStanding| {
            filter.channel.as_ref().is_none_or(|channel| *channel == name.channel)
                && match standing {
                    SenderStanding::Pending { code, created_at, .. } => {
                        Pending { code: *code, created_at: *created_at, told_at: now }
                            .is_live(limits, now)
                    }
                    SenderStanding::Allowed { until, revoked_at, .. } => {
                        let allowed = Allowed { until: *until, revoked_at: *revoked_at };
                        filter.all && (filter.include_revoked || allowed.is_active(now))
                    }
                    SenderStanding::Blocked { .. } => filter.all,
                }
        };
        let state = self.state();
        let later = state.senders.listed().filter(|(kind, name, standing)| {
            after.as_ref().is_none_or(|after| (*kind, *name) > after.place())
                && belongs(name, standing)
        });
        Ok(later
            .take(limit)
            .map(|(_, name, standing)| ListedSender { name: name.clone(), standing })
            .collect())
    }

    async fn waiting_senders(
        &self,
        limits: &InboundLimits,
        now: UnixTime,
    ) -> Result<Vec<(String, u64)>, StoreError> {
        let mut counts = BTreeMap::<_, u64>::new();
        let state = self.state();
        for (name, _) in
            state.senders.waiting.iter().filter(|(_, waiting)| waiting.pending.is_live(limits, now))
        {
            *counts.entry(name.channel.clone()).or_default() += 1;
        }
        Ok(counts.into_iter().collect())
    }

    async fn cursor(&self, poller: &str) -> Result<Option<String>, StoreError> {
        Ok(self.state().senders.cursors.get(poller).cloned())
    }

    async fn keep_cursor(&self, poller: &str, cursor: String) -> Result<(), StoreError> {
        self.state().senders.cursors.insert(poller.to_owned(), cursor);
        Ok(())
    }
}
