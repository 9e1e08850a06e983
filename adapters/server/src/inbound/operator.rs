//! The operator's decisions about senders. Each given sender is first converted to its channel's
//! canonical spelling. If no adapter of the channel is registered, as when senders are allowed
//! before the program runs that holds the channel, the channel's name determines the spelling
//! ([`super::channels::ReadyMade::named`]).

use std::collections::BTreeSet;
use std::sync::Arc;

use handfast_core::UnixTime;
use handfast_core::budget::Attempt;
use handfast_core::registry::inbound::{ChallengeCode, Ident};
use handfast_store::held::Cut;
use handfast_store::{Approved, ListedSender, SenderChange, SenderFilter, SenderName, StoreError};

use super::adapter::{AdapterError, Normalised};
use super::gate::Gate;
use super::settings::GateEvent;
use crate::telemetry::ApprovalResult;

/// Maximum number of senders in one seed.
pub const MOST_SEEDED: usize = 10_000;
/// Maximum length of a `via` value in bytes.
const VIA_BYTES: usize = 64;
/// Number of entries that a listing reads from the store at once.
const PAGE: usize = 500;

/// The reason for which an operator's request failed. Nothing was changed, except for
/// [`CutNotStored`](Self::CutNotStored).
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InboundError {
    /// The channel or account is not a valid name.
    #[error(
        "{given:?} is no name of {what}: it has 1 to 128 bytes, no white space at its ends and no characters that cannot be seen"
    )]
    BadId {
        /// `a channel` or `an account`.
        what: &'static str,
        /// The given text, shortened.
        given: String,
    },
    /// The channel cannot have such a sender.
    #[error("{given:?} is no sender on {channel}; give its id there as the channel shows it")]
    NotASender {
        /// Name of the channel.
        channel: String,
        /// The given text, shortened.
        given: String,
    },
    /// The typed text does not have the form of a code.
    #[error("that is no code: one has 8 letters and digits, without I, O, 0 and 1")]
    BadCode,
    /// No sender waits with this code.
    #[error("nobody waits with this code: it was approved or rejected already, or is mistyped")]
    NoSuchCode,
    /// The code has expired according to the clock, but the clock is in doubt.
    #[error(
        "the gateway's clock is in doubt, and by what it says this code has expired; mend the clock, or let it write again"
    )]
    ClockInDoubt,
    /// The code has expired.
    #[error("this code has expired; let its sender write once more, which then gets a new one")]
    Expired,
    /// Too many wrong codes were entered.
    #[error("too many wrong codes were typed; wait a minute")]
    RateLimited,
    /// The request is contradictory or out of range; the text says how to correct it.
    #[error("{0}")]
    Usage(String),
    /// No adapter is registered for the channel.
    #[error("there is no channel {0:?} at this gateway")]
    NoChannel(String),
    /// Too many replies are in progress on the channel.
    #[error("too much is being sent on {0} already; try again in 10 s")]
    Busy(String),
    /// The data is not a PNG, or is too large.
    #[error("that is no PNG of at most 512 KiB")]
    BadPng,
    /// The channel failed.
    #[error(transparent)]
    Adapter(#[from] AdapterError),
    /// The decision is in force, but the store could not be written.
    #[error(
        "{what} until this gateway restarts; the decision is not stored yet: free disk space ({error}). It will be stored by itself when that is possible."
    )]
    CutNotStored {
        /// The effect of the decision, as a clause.
        what: String,
        /// The error of the store.
        error: StoreError,
    },
    /// The store failed.
    #[error("the registry could not be read or written: {0}")]
    Store(#[from] StoreError),
}

impl Gate {
    /// Allows the sender that waits with this typed code, and tells it so if its channel can. `via`
    /// names the way of the approval, for the operator; `until` is the end of the allowance, if it
    /// has one.
    ///
    /// # Errors
    /// [`InboundError::BadCode`], [`InboundError::NoSuchCode`], [`InboundError::Expired`],
    /// [`InboundError::ClockInDoubt`], [`InboundError::RateLimited`], [`InboundError::Usage`] or
    /// [`InboundError::Store`].
    pub async fn approve(
        &self,
        typed: &str,
        via: &str,
        until: Option<UnixTime>,
    ) -> Result<SenderName, InboundError> {
        let code = ChallengeCode::parse(typed).ok_or(InboundError::BadCode)?;
        self.check_terms(via, until)?;
        // Approvals run one at a time, so a right code under examination does not use up an attempt
        // of another.
        let turn = Arc::clone(&self.inner.approving).lock_owned().await;
        let Some(attempt) = self.wrong_codes(|bucket, now| bucket.attempt(now)) else {
            self.inner.telemetry.channel("").approval(ApprovalResult::Error);
            return Err(InboundError::RateLimited);
        };
        let (gate, via) = (self.clone(), via.to_owned());
        to_its_end(async move {
            let approved = gate.approve_now(code, via, until, attempt).await;
            // The next approval begins once this attempt is settled.
            drop(turn);
            approved
        })
        .await
    }

    async fn approve_now(
        &self,
        code: ChallengeCode,
        via: String,
        until: Option<UnixTime>,
        attempt: Attempt,
    ) -> Result<SenderName, InboundError> {
        let inner = &self.inner;
        let (limits, now) = (&inner.settings.limits, inner.clock.unix());
        let nobody = inner.telemetry.channel("");
        if self.waits_in_doubt(code).await? {
            self.wrong_codes(|bucket, _| bucket.give_back(attempt));
            return Err(InboundError::ClockInDoubt);
        }
        let approved = match self.store().approve(code, via.clone(), until, limits, now).await {
            Ok(approved) => approved,
            Err(error) => {
                // The attempt revealed nothing, so it does not count as a guess.
                self.wrong_codes(|bucket, _| bucket.give_back(attempt));
                nobody.approval(ApprovalResult::Error);
                return Err(error.into());
            }
        };
        // Only unknown and expired codes use up an attempt.
        match approved {
            Approved::Sender(sender) => {
                self.wrong_codes(|bucket, _| bucket.give_back(attempt));
                inner.telemetry.channel(&sender.channel).approval(ApprovalResult::Approved);
                // The approval is durable before anybody hears of it.
                self.event(&GateEvent::Approved { sender: sender.clone(), via });
                self.tell_approved(sender.clone());
                Ok(sender)
            }
            Approved::Expired(sender) => {
                inner.telemetry.channel(&sender.channel).approval(ApprovalResult::Expired);
                inner.telemetry.codes_expired(1);
                Err(InboundError::Expired)
            }
            Approved::Unknown => {
                nobody.approval(ApprovalResult::NotFound);
                Err(InboundError::NoSuchCode)
            }
        }
    }

    /// Decides about a sender by its name, for one account or for all; allowing a sender needs an
    /// account. Returns the number of changed entries: 0 if the decision was in force already, or
    /// the sender is unknown.
    ///
    /// # Errors
    /// [`InboundError::BadId`], [`InboundError::NotASender`], [`InboundError::Usage`],
    /// [`InboundError::Adapter`], [`InboundError::CutNotStored`] or [`InboundError::Store`].
    pub async fn change(
        &self,
        channel: &str,
        account: Option<&str>,
        sender: &str,
        change: SenderChange,
    ) -> Result<u64, InboundError> {
        if let SenderChange::Allow { via, until } = &change {
            self.check_terms(via, *until)?;
            if account.is_none() {
                return Err(InboundError::Usage(
                    "a sender is let in to one account: name it".to_owned(),
                ));
            }
        }
        let sender = self.name_of(channel, account, sender).await?;
        let (gate, channel, account) =
            (self.clone(), channel.to_owned(), account.map(str::to_owned));
        to_its_end(async move { gate.change_now(channel, account, sender, change).await }).await
    }

    async fn change_now(
        &self,
        channel: String,
        account: Option<String>,
        sender: String,
        change: SenderChange,
    ) -> Result<u64, InboundError> {
        let inner = &self.inner;
        let held = match (&inner.held, takes_away(&change)) {
            (Some(held), true) => Some(held),
            (Some(_) | None, false) | (None, true) => None,
        };
        // Expired entries are removed first, so that they do not count as changed by the operator.
        match self.expire().await {
            // A decision that takes something away does not wait for the disk.
            Err(_) if held.is_some() => {}
            other => other.map(drop)?,
        }
        let now = inner.clock.unix();
        let what = format!("sender {sender:?} on {channel} is out");
        let ticket = held.and_then(|held| {
            let (channel, account, sender) = (channel.clone(), account.clone(), sender.clone());
            held.hold(
                Cut::Sender { channel, account, sender, change: change.clone() },
                what.clone(),
                now,
                self.origin(),
            )
        });
        let stored = self
            .store()
            .change_sender(&channel, account.as_deref(), &sender, change.clone(), now)
            .await;
        let (changed, failed) = match (stored, &ticket) {
            (Ok(changed), ticket) => {
                // The decision is stored, so it need not be held any more.
                held.zip(ticket.as_ref())
                    .into_iter()
                    .for_each(|(held, ticket)| held.release(ticket));
                (changed, None)
            }
            // The decision is in force because it is held, so it counts as a change.
            (Err(error), Some(_)) => (1, Some(error)),
            (Err(error), None) => return Err(error.into()),
        };
        if changed > 0 {
            match change {
                SenderChange::Allow { .. } => {
                    inner.telemetry.channel(&channel).approval(ApprovalResult::Approved);
                }
                SenderChange::Reject => {
                    inner.telemetry.channel(&channel).approval(ApprovalResult::Rejected);
                }
                SenderChange::Block
                | SenderChange::Unblock
                | SenderChange::Revoke
                | SenderChange::Forget => {}
            }
            self.event(&GateEvent::Changed { channel, account, sender, change: word(&change) });
        }
        match failed {
            Some(error) => Err(InboundError::CutNotStored { what, error }),
            None => Ok(changed),
        }
    }

    /// Allows many senders of one account at once, all or none. Senders that are already allowed
    /// stay unchanged; blocked ones stay blocked. Returns the number of new senders.
    ///
    /// # Errors
    /// As [`Gate::change`]; [`InboundError::NotASender`] names the first invalid sender, and
    /// [`InboundError::Usage`] reports more than [`MOST_SEEDED`].
    pub async fn seed(
        &self,
        channel: &str,
        account: &str,
        senders: Vec<String>,
        via: &str,
    ) -> Result<u64, InboundError> {
        self.seed_until(channel, account, senders, via, None).await
    }

    /// Seeds like [`Gate::seed`], with an end of the allowance.
    ///
    /// # Errors
    /// As [`Gate::seed`].
    pub async fn seed_until(
        &self,
        channel: &str,
        account: &str,
        senders: Vec<String>,
        via: &str,
        until: Option<UnixTime>,
    ) -> Result<u64, InboundError> {
        if senders.len() > MOST_SEEDED {
            return Err(InboundError::Usage(format!(
                "at most {MOST_SEEDED} senders are let in at once: do it in parts"
            )));
        }
        self.check_terms(via, until)?;
        // A set, so that two spellings of one sender are added once.
        let mut spelled = BTreeSet::new();
        check_ids(channel, Some(account))?;
        for sender in &senders {
            spelled.insert(self.name_of(channel, Some(account), sender).await?);
        }
        let (gate, via) = (self.clone(), via.to_owned());
        let (channel, account) = (channel.to_owned(), account.to_owned());
        to_its_end(async move {
            let now = gate.inner.clock.unix();
            let added = gate
                .store()
                .seed_until(&channel, &account, spelled.into_iter().collect(), via, until, now)
                .await?;
            if added > 0 {
                gate.event(&GateEvent::Seeded { channel, account, added });
            }
            Ok(added)
        })
        .await
    }

    /// Lists senders: pending ones first, then, on request, allowed and blocked ones, each group in
    /// order of the names.
    ///
    /// # Errors
    /// [`InboundError::Store`].
    pub async fn list(&self, filter: SenderFilter) -> Result<Vec<ListedSender>, InboundError> {
        let mut all: Vec<ListedSender> = Vec::new();
        loop {
            let page = self.page(filter.clone(), all.last().cloned(), PAGE).await?;
            let is_last = page.len() < PAGE;
            all.extend(page);
            if is_last {
                return Ok(all);
            }
        }
    }

    /// Lists a page of senders in the order of [`list`](Self::list): at most `limit`, after `after`.
    ///
    /// # Errors
    /// [`InboundError::Store`].
    pub async fn page(
        &self,
        filter: SenderFilter,
        after: Option<ListedSender>,
        limit: usize,
    ) -> Result<Vec<ListedSender>, InboundError> {
        let (inner, now) = (&self.inner, self.inner.clock.unix());
        Ok(inner.store.senders(filter, after, limit, &inner.settings.limits, now).await?)
    }

    /// Returns the name of a sender in its channel's canonical spelling.
    pub(super) async fn name(
        &self,
        channel: &str,
        account: &str,
        sender: &str,
    ) -> Result<SenderName, InboundError> {
        let sender = self.name_of(channel, Some(account), sender).await?;
        Ok(SenderName { channel: channel.to_owned(), account: account.to_owned(), sender })
    }

    async fn name_of(
        &self,
        channel: &str,
        account: Option<&str>,
        sender: &str,
    ) -> Result<String, InboundError> {
        check_ids(channel, account)?;
        match self.spell(channel, sender).await? {
            Normalised::Sender(spelled) if Ident::parse(&spelled).is_some() => Ok(spelled),
            Normalised::Sender(_) | Normalised::NotASender => Err(InboundError::NotASender {
                channel: channel.to_owned(),
                given: shortened(sender),
            }),
        }
    }

    fn check_terms(&self, via: &str, until: Option<UnixTime>) -> Result<(), InboundError> {
        if via.len() > VIA_BYTES || Ident::parse(via).is_none() {
            return Err(InboundError::Usage(format!(
                "the way by which a sender is let in is named in 1 to {VIA_BYTES} bytes"
            )));
        }
        match until {
            Some(until) if until <= self.inner.clock.unix() => Err(InboundError::Usage(
                "the time until which a sender is let in is over already".to_owned(),
            )),
            Some(_) | None => Ok(()),
        }
    }

    fn wrong_codes<T>(
        &self,
        at: impl FnOnce(&mut handfast_core::budget::Bucket, handfast_core::Instant) -> T,
    ) -> T {
        let now = self.inner.clock.now();
        at(
            &mut self.inner.wrong_codes.lock().unwrap_or_else(std::sync::PoisonError::into_inner),
            now,
        )
    }
}

/// Runs to completion even if the caller is gone, because a durable decision must also be
/// announced.
async fn to_its_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, InboundError>> + Send + 'static,
) -> Result<T, InboundError> {
    match tokio::spawn(work).await {
        Ok(outcome) => outcome,
        // Only a panic or the end of the runtime breaks it off.
        Err(_) => Err(StoreError::Database("the decision was broken off".to_owned()).into()),
    }
}

fn check_ids(channel: &str, account: Option<&str>) -> Result<(), InboundError> {
    let check = |what, given: &str| match Ident::parse(given) {
        Some(_) => Ok(()),
        None => Err(InboundError::BadId { what, given: shortened(given) }),
    };
    check("a channel", channel)?;
    account.map_or(Ok(()), |account| check("an account", account))
}

fn shortened(given: &str) -> String {
    // The text comes from outside and is shown, so its length is bounded.
    given.chars().take(64).collect()
}

const fn takes_away(change: &SenderChange) -> bool {
    match change {
        SenderChange::Reject | SenderChange::Block | SenderChange::Revoke => true,
        SenderChange::Allow { .. } | SenderChange::Unblock | SenderChange::Forget => false,
    }
}

const fn word(change: &SenderChange) -> &'static str {
    match change {
        SenderChange::Allow { .. } => "allow",
        SenderChange::Reject => "reject",
        SenderChange::Block => "block",
        SenderChange::Unblock => "unblock",
        SenderChange::Revoke => "revoke",
        SenderChange::Forget => "forget",
    }
}
