//! The rows of senders on messaging channels.

use std::collections::BTreeMap;

use handfast_core::UnixTime;
use handfast_core::registry::inbound::{Allowed, ChallengeCode, Facts, InboundLimits, Pending};

use super::MemoryTx;
use crate::inbound::EntryKind;
use crate::ops::{LivePeriod, Meant, RowResult, SenderRows};
use crate::{ListedSender, SenderFilter, SenderName, SenderStanding};

/// A pending entry, and the run that made it.
#[derive(Clone, Debug)]
pub(super) struct PendingRow {
    pub(super) pending: Pending,
    pub(super) meta: String,
    pub(super) run: u64,
}

/// A permission, the time and the way in which it was given, and the run in which that was.
#[derive(Clone, Debug)]
pub(super) struct PermissionRow {
    pub(super) at: UnixTime,
    pub(super) via: String,
    pub(super) allowed: Allowed,
    pub(super) run: u64,
}

/// Returns `true` for a name that is meant.
pub(super) fn is_meant(name: &SenderName, (channel, account, sender): Meant<'_>) -> bool {
    name.channel == channel
        && name.sender == sender
        && account.is_none_or(|account| name.account == account)
}

impl MemoryTx {
    /// Returns all entries in the order of a listing.
    fn all_senders(&self) -> impl Iterator<Item = ListedSender> {
        let pending = self.pending.iter().map(|(name, PendingRow { pending, meta, .. })| {
            let standing = SenderStanding::Pending {
                code: pending.code,
                created_at: pending.created_at,
                meta: meta.clone(),
            };
            ListedSender { name: name.clone(), standing }
        });
        let allowed = self.allowed.iter().map(|(name, PermissionRow { at, via, allowed, .. })| {
            let Allowed { until, revoked_at } = *allowed;
            let standing = SenderStanding::Allowed { at: *at, via: via.clone(), until, revoked_at };
            ListedSender { name: name.clone(), standing }
        });
        let blocked = self.blocked.iter().map(|(name, at)| ListedSender {
            name: name.clone(),
            standing: SenderStanding::Blocked { at: *at },
        });
        pending.chain(allowed).chain(blocked)
    }
}

impl SenderRows for MemoryTx {
    fn facts_changed(&mut self) {
        self.facts_changed = true;
    }

    fn facts(
        &mut self,
        name: &SenderName,
        limits: &InboundLimits,
        now: UnixTime,
    ) -> RowResult<(Facts, u32)> {
        let blocked = self.is_blocked(name)?;
        let allowed = self.permission(name)?;
        let facts = Facts { blocked, allowed, ..Facts::default() };
        if blocked || allowed.is_some_and(|allowed| allowed.is_active(now)) {
            return Ok((facts, 0));
        }
        let (mut of_account, mut total, mut over) = (0, 0, 0);
        for (other, row) in self.pending.iter() {
            match row.pending.is_live(limits, now) {
                true => {
                    let is_its = (&other.channel, &other.account) == (&name.channel, &name.account);
                    of_account += u32::from(is_its);
                    total += 1;
                }
                false => over += 1,
            }
        }
        let facts = Facts {
            pending: self.pending.get(name).map(|row| row.pending),
            pending_of_account: of_account,
            pending_total: total,
            ..facts
        };
        Ok((facts, over))
    }

    fn permission(&mut self, name: &SenderName) -> RowResult<Option<Allowed>> {
        Ok(self.allowed.get(name).map(|row| row.allowed))
    }

    fn is_blocked(&mut self, name: &SenderName) -> RowResult<bool> {
        let of_all = SenderName { account: String::new(), ..name.clone() };
        Ok(self.blocked.has(name) || self.blocked.has(&of_all))
    }

    fn waiting_sender(&mut self, code: ChallengeCode) -> RowResult<Option<(SenderName, UnixTime)>> {
        let mut pending = self.pending.iter();
        let found = pending.find(|(_, row)| row.pending.code == code);
        Ok(found.map(|(name, row)| (name.clone(), row.pending.created_at)))
    }

    fn add_sender(&mut self, ListedSender { name, standing }: &ListedSender) -> RowResult<bool> {
        let run = self.singles.run;
        Ok(match standing {
            SenderStanding::Pending { code, created_at, meta } => {
                let (code, created_at) = (*code, *created_at);
                let pending = Pending { code, created_at, told_at: created_at };
                self.waiting_sender(code)?.is_none()
                    && self
                        .pending
                        .add(name.clone(), PendingRow { pending, meta: meta.clone(), run })
            }
            SenderStanding::Allowed { at, via, until, revoked_at } => {
                let allowed = Allowed { until: *until, revoked_at: *revoked_at };
                let row = PermissionRow { at: *at, via: via.clone(), allowed, run };
                self.allowed.add(name.clone(), row)
            }
            SenderStanding::Blocked { at } => self.blocked.add(name.clone(), *at),
        })
    }

    fn set_told(&mut self, name: &SenderName, now: UnixTime) -> RowResult<()> {
        self.pending.change(name, |row| row.pending.told_at = now);
        Ok(())
    }

    fn remove_pending(&mut self, meant: Meant<'_>) -> RowResult<u64> {
        Ok(self.pending.remove_all(|name, _| is_meant(name, meant)))
    }

    fn any_expired(&mut self, live: LivePeriod) -> RowResult<bool> {
        Ok(self.pending.values().any(|row| !live.contains(row.pending.created_at)))
    }

    fn expire_pending(&mut self, most: u32, live: LivePeriod) -> RowResult<u32> {
        let expired = self.pending.first(most, |name, row| {
            let created_at = row.pending.created_at;
            (!live.contains(created_at)).then(|| (created_at, name.clone()))
        });
        for name in &expired {
            self.pending.remove(name);
        }
        Ok(u32::try_from(expired.len()).unwrap_or(most))
    }

    fn allow(
        &mut self,
        name: &SenderName,
        via: &str,
        until: Option<UnixTime>,
        now: UnixTime,
    ) -> RowResult<()> {
        let allowed = Allowed { until, revoked_at: None };
        let (via, run) = (via.to_owned(), self.singles.run);
        self.allowed.put(name.clone(), PermissionRow { at: now, via, allowed, run });
        Ok(())
    }

    fn revoke_permissions(&mut self, meant: Meant<'_>, now: UnixTime) -> RowResult<u64> {
        let revoked = self.allowed.change_all(
            |name, row| is_meant(name, meant) && row.allowed.revoked_at.is_none(),
            |row| row.allowed.revoked_at = Some(now),
        );
        Ok(revoked.len() as u64)
    }

    fn remove_permissions(&mut self, meant: Meant<'_>) -> RowResult<u64> {
        Ok(self.allowed.remove_all(|name, _| is_meant(name, meant)))
    }

    fn stands(&mut self, meant: Meant<'_>, now: UnixTime) -> RowResult<bool> {
        let (channel, _, sender) = meant;
        Ok(self.pending.iter().any(|(name, _)| is_meant(name, meant))
            || self
                .allowed
                .iter()
                .any(|(name, row)| is_meant(name, meant) && row.allowed.is_active(now))
            || self.blocked.iter().any(|(name, _)| {
                is_meant(name, meant) || is_meant(name, (channel, Some(""), sender))
            }))
    }

    fn block(&mut self, name: &SenderName, now: UnixTime) -> RowResult<bool> {
        Ok(self.blocked.add(name.clone(), now))
    }

    fn unblock(&mut self, meant: Meant<'_>) -> RowResult<u64> {
        Ok(self.blocked.remove_all(|name, _| is_meant(name, meant)))
    }

    fn senders_after(
        &mut self,
        filter: &SenderFilter,
        after: Option<&ListedSender>,
        limit: usize,
        live: LivePeriod,
        now: UnixTime,
    ) -> RowResult<Vec<ListedSender>> {
        let place: Option<(EntryKind, &SenderName)> = after.map(ListedSender::place);
        let belongs = |sender: &ListedSender| {
            filter.channel.as_ref().is_none_or(|channel| *channel == sender.name.channel)
                && match &sender.standing {
                    SenderStanding::Pending { created_at, .. } => live.contains(*created_at),
                    SenderStanding::Allowed { until, revoked_at, .. } => {
                        let allowed = Allowed { until: *until, revoked_at: *revoked_at };
                        filter.all && (filter.include_revoked || allowed.is_active(now))
                    }
                    SenderStanding::Blocked { .. } => filter.all,
                }
        };
        let later =
            self.all_senders().filter(|sender| place.is_none_or(|after| sender.place() > after));
        Ok(later.filter(belongs).take(limit).collect())
    }

    fn count_waiting_senders(&mut self, live: LivePeriod) -> RowResult<Vec<(String, u64)>> {
        let mut counts = BTreeMap::<_, u64>::new();
        for (name, row) in self.pending.iter() {
            if live.contains(row.pending.created_at) {
                *counts.entry(name.channel.clone()).or_default() += 1;
            }
        }
        Ok(counts.into_iter().collect())
    }

    fn cursor(&mut self, poller: &str) -> RowResult<Option<String>> {
        Ok(self.cursors.get(&poller.to_owned()).cloned())
    }

    fn set_cursor(&mut self, poller: &str, cursor: &str) -> RowResult<()> {
        self.cursors.put(poller.to_owned(), cursor.to_owned());
        Ok(())
    }
}
