//! Senders, with the held decisions applied.

use std::sync::Arc;

use async_trait::async_trait;
use handfast_core::UnixTime;
use handfast_core::registry::inbound::{ChallengeCode, Facts, InboundLimits, SenderId};

use super::{Cut, HeldStore};
use crate::audit::Origin;
use crate::{
    Approved, Challenged, Inbound, ListedSender, SaveError, SenderChange, SenderFilter, SenderName,
    StoreError,
};

#[async_trait]
impl Inbound for HeldStore {
    fn senders_by(self: Arc<Self>, origin: Origin) -> Arc<dyn Inbound> {
        let store = Arc::clone(&self.store).by(origin);
        Arc::new(Self { store, held: Arc::clone(&self.held) })
    }

    fn inbound_epoch(&self) -> u64 {
        // Both numbers only rise, so a change of either gives a new sum.
        self.store.inbound_epoch().wrapping_add(self.held.epoch())
    }

    async fn facts(
        &self,
        sender: SenderId<'_>,
        limits: &InboundLimits,
        now: UnixTime,
    ) -> Result<Facts, StoreError> {
        let mut facts = self.store.facts(sender, limits, now).await?;
        let name = SenderName::from(sender);
        if let (Some(allowed), Some(since)) =
            (&mut facts.allowed, self.held.ends(|ends| ends.sender(&name)))
        {
            // A permission that was revoked before keeps its time.
            allowed.revoked_at = allowed.revoked_at.or(Some(since));
        }
        for entry in self.held.sender(
            sender.channel.as_str(),
            sender.account.as_str(),
            sender.sender.as_str(),
        ) {
            let Cut::Sender { change, .. } = entry.cut else { continue };
            match change {
                // Of a blocked sender a store reads nothing else, either.
                SenderChange::Block => facts = Facts { blocked: true, ..Facts::default() },
                SenderChange::Revoke => {
                    if let Some(allowed) = &mut facts.allowed {
                        allowed.revoked_at = allowed.revoked_at.or(Some(entry.since));
                    }
                }
                SenderChange::Reject => facts.pending = None,
                SenderChange::Allow { .. } | SenderChange::Unblock | SenderChange::Forget => {}
            }
        }
        Ok(facts)
    }

    async fn challenge(
        &self,
        sender: SenderId<'_>,
        meta: String,
        fresh: ChallengeCode,
        limits: &InboundLimits,
        now: UnixTime,
    ) -> Result<(Challenged, u32), StoreError> {
        self.wrote(self.store.challenge(sender, meta, fresh, limits, now).await)
    }

    async fn expire_senders(
        &self,
        limits: &InboundLimits,
        now: UnixTime,
    ) -> Result<u32, StoreError> {
        self.wrote(self.store.expire_senders(limits, now).await)
    }

    async fn approve(
        &self,
        code: ChallengeCode,
        via: String,
        until: Option<UnixTime>,
        limits: &InboundLimits,
        now: UnixTime,
    ) -> Result<Approved, StoreError> {
        self.wrote(self.store.approve(code, via, until, limits, now).await)
    }

    async fn change_sender(
        &self,
        channel: &str,
        account: Option<&str>,
        sender: &str,
        change: SenderChange,
        now: UnixTime,
    ) -> Result<u64, StoreError> {
        // A decision that gives something overrides earlier held ones.
        let held = match (&change, account) {
            (SenderChange::Allow { .. } | SenderChange::Unblock, Some(account)) => {
                self.held.sender(channel, account, sender)
            }
            (SenderChange::Unblock, None) => self.held.everywhere(channel, sender),
            (SenderChange::Allow { .. }, None)
            | (
                SenderChange::Reject
                | SenderChange::Block
                | SenderChange::Revoke
                | SenderChange::Forget,
                _,
            ) => Vec::new(),
        };
        let changed =
            self.wrote(self.store.change_sender(channel, account, sender, change, now).await)?;
        // The earlier decisions stay in force until the newer one is durable.
        held.iter().for_each(|entry| self.held.release(&entry.ticket));
        Ok(changed)
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
        self.wrote(self.store.seed_until(channel, account, senders, via, until, now).await)
    }

    async fn insert_sender(&self, sender: ListedSender) -> Result<(), SaveError> {
        self.wrote_save(self.store.insert_sender(sender).await)
    }

    async fn senders(
        &self,
        filter: SenderFilter,
        after: Option<ListedSender>,
        limit: usize,
        limits: &InboundLimits,
        now: UnixTime,
    ) -> Result<Vec<ListedSender>, StoreError> {
        self.store.senders(filter, after, limit, limits, now).await
    }

    async fn waiting_senders(
        &self,
        limits: &InboundLimits,
        now: UnixTime,
    ) -> Result<Vec<(String, u64)>, StoreError> {
        self.store.waiting_senders(limits, now).await
    }

    async fn cursor(&self, poller: &str) -> Result<Option<String>, StoreError> {
        self.store.cursor(poller).await
    }

    async fn keep_cursor(&self, poller: &str, cursor: String) -> Result<(), StoreError> {
        self.wrote(self.store.keep_cursor(poller, cursor).await)
    }
}
