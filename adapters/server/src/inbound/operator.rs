//! What the operator does about senders. Whatever is given as one is spelled as its channel spells
//! it first. Where no adapter of a channel is registered, as when senders are let in before the
//! program runs that holds it, its name decides ([`super::channels::ReadyMade::named`]).

use std::collections::BTreeSet;
use std::sync::Arc;

use handfast_core::budget::Attempt;
use handfast_core::registry::inbound::{ChallengeCode, Ident};
use handfast_core::time::UnixTime;
use handfast_store::held::Cut;
use handfast_store::{Approved, ListedSender, SenderChange, SenderFilter, SenderName, StoreError};

use super::adapter::{AdapterError, Normalised};
use super::gate::Gate;
use super::settings::GateEvent;
use crate::telemetry::Approval;

/// Most senders that are let in at once.
pub const MOST_SEEDED: usize = 10_000;
/// Longest word for the way by which somebody was let in, in bytes.
const VIA_BYTES: usize = 64;
/// How many entries are read from the store at once while a listing is made.
const PAGE: usize = 500;

/// Why an operator's wish was not carried out. Nothing was changed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum InboundError {
    /// A name that cannot be one.
    #[error(
        "{given:?} is no name of {what}: it has 1 to 128 bytes, no white space at its ends and no characters that cannot be seen"
    )]
    BadId {
        /// `a channel` or `an account`.
        what: &'static str,
        /// What was given, shortened.
        given: String,
    },
    /// The channel has no such senders.
    #[error("{given:?} is no sender on {channel}; give its id there as the channel shows it")]
    NotASender {
        /// Which channel.
        channel: String,
        /// What was given, shortened.
        given: String,
    },
    /// What was typed has not the form of a code.
    #[error("that is no code: one has 8 letters and digits, without I, O, 0 and 1")]
    BadCode,
    /// Nobody waits with this code.
    #[error(
        "nobody waits with this code: it was approved or rejected already, or is mistyped; `inbound list` shows who waits"
    )]
    NoSuchCode,
    /// By what the clock says its time is over, and the clock is in doubt.
    #[error(
        "the gateway's clock is in doubt, and by what it says this code has expired; `clock` says what mends that, or let it write again"
    )]
    ClockInDoubt,
    /// Its time was over.
    #[error("this code has expired; let its sender write once more, which then gets a new one")]
    Expired,
    /// Too many wrong codes were typed.
    #[error("too many wrong codes were typed; wait a minute")]
    RateLimited,
    /// What was asked for cannot be; the text says what mends it.
    #[error("{0}")]
    Usage(String),
    /// No adapter is registered.
    #[error("there is no channel {0:?} at this gateway")]
    NoChannel(String),
    /// Too much is under way on the channel.
    #[error("too much is being sent on {0} already; try again in 10 s")]
    Busy(String),
    /// It is no PNG, or too large.
    #[error("that is no PNG of at most 512 KiB")]
    BadPng,
    /// The channel could not do its part.
    #[error(transparent)]
    Adapter(#[from] AdapterError),
    /// The decision is in force, and the store could not be written.
    #[error(
        "{what} until this gateway restarts; the decision is not stored yet: free disk space ({error}). It will be stored by itself when that is possible."
    )]
    CutNotStored {
        /// Who is out; a clause.
        what: String,
        /// Why it is not stored.
        error: StoreError,
    },
    /// The store failed.
    #[error("the registry could not be read or written: {0}")]
    Store(#[from] StoreError),
}

impl Gate {
    /// Lets in whoever waits with a code, as it was typed, and tells it so if its channel can.
    /// `via` is the way by which it was let in, for the operator to read; `until` is when that
    /// ends, if it does.
    ///
    /// # Errors
    /// [`InboundError::BadCode`], [`InboundError::NoSuchCode`], [`InboundError::Expired`],
    /// [`InboundError::RateLimited`], [`InboundError::Usage`] or [`InboundError::Store`].
    pub async fn approve(
        &self,
        typed: &str,
        via: &str,
        until: Option<UnixTime>,
    ) -> Result<SenderName, InboundError> {
        let code = ChallengeCode::parse(typed).ok_or(InboundError::BadCode)?;
        self.check_terms(via, until)?;
        // One after the other: a right code that is looked for is not taken for a wrong one.
        let turn = Arc::clone(&self.inner.approving).lock_owned().await;
        let Some(attempt) = self.wrong_codes(|bucket, now| bucket.attempt(now)) else {
            self.inner.telemetry.channel("").approval(Approval::Error);
            return Err(InboundError::RateLimited);
        };
        let (gate, via) = (self.clone(), via.to_owned());
        to_its_end(async move {
            let approved = gate.approve_now(code, via, until, attempt).await;
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
        let approved = match inner.store.approve(code, via.clone(), until, limits, now).await {
            Ok(approved) => approved,
            Err(error) => {
                // It was no guess: nothing was learned by it.
                self.wrong_codes(|bucket, _| bucket.give_back(attempt));
                nobody.approval(Approval::Error);
                return Err(error.into());
            }
        };
        match approved {
            Approved::Sender(sender) => {
                self.wrong_codes(|bucket, _| bucket.give_back(attempt));
                inner.telemetry.channel(&sender.channel).approval(Approval::Approved);
                self.event(&GateEvent::Approved { sender: sender.clone(), via });
                self.tell_approved(sender.clone());
                Ok(sender)
            }
            Approved::Expired(sender) => {
                inner.telemetry.channel(&sender.channel).approval(Approval::Expired);
                inner.telemetry.codes_expired(1);
                Err(InboundError::Expired)
            }
            Approved::Unknown => {
                nobody.approval(Approval::NotFound);
                Err(InboundError::NoSuchCode)
            }
        }
    }

    /// Decides about a sender by its name, for one account or for all; to let it in, an account is
    /// needed. The answer is how many entries changed: 0 where it was so already, or nothing is
    /// known of the sender.
    ///
    /// # Errors
    /// [`InboundError::BadId`], [`InboundError::NotASender`], [`InboundError::Usage`],
    /// [`InboundError::Adapter`] or [`InboundError::Store`].
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
        // What is over already is not what the operator decided.
        match self.expire().await {
            // What takes something away does not wait for the disk.
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
            )
        });
        let stored = inner
            .store
            .change_sender(&channel, account.as_deref(), &sender, change.clone(), now)
            .await;
        let (changed, failed) = match (stored, &ticket) {
            (Ok(changed), ticket) => {
                held.zip(ticket.as_ref())
                    .into_iter()
                    .for_each(|(held, ticket)| held.release(ticket));
                (changed, None)
            }
            (Err(error), Some(_)) => (1, Some(error)),
            (Err(error), None) => return Err(error.into()),
        };
        if changed > 0 {
            match change {
                SenderChange::Allow { .. } => {
                    inner.telemetry.channel(&channel).approval(Approval::Approved)
                }
                SenderChange::Reject => {
                    inner.telemetry.channel(&channel).approval(Approval::Rejected)
                }
                SenderChange::Block | SenderChange::Unblock | SenderChange::Revoke => {}
            }
            self.event(&GateEvent::Changed { channel, account, sender, change: word(&change) });
        }
        match failed {
            Some(error) => Err(InboundError::CutNotStored { what, error }),
            None => Ok(changed),
        }
    }

    /// Lets in many senders of one account at once, all or none. Those who are let in already stay
    /// as they are; who is blocked stays blocked. The answer is how many are new.
    ///
    /// # Errors
    /// As [`Gate::change`]; [`InboundError::NotASender`] names the first of them that is none,
    /// [`InboundError::Usage`] says that there are more than [`MOST_SEEDED`].
    pub async fn seed(
        &self,
        channel: &str,
        account: &str,
        senders: Vec<String>,
        via: &str,
    ) -> Result<u64, InboundError> {
        self.seed_until(channel, account, senders, via, None).await
    }

    /// The same for a time.
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
                .inner
                .store
                .seed_until(&channel, &account, spelled.into_iter().collect(), via, until, now)
                .await?;
            if added > 0 {
                gate.event(&GateEvent::Seeded { channel, account, added });
            }
            Ok(added)
        })
        .await
    }

    /// Lists senders: those that wait first, then, if asked for, those that were let in and those
    /// that are blocked, each in order of their names.
    ///
    /// # Errors
    /// [`InboundError::Store`].
    pub async fn list(&self, filter: SenderFilter) -> Result<Vec<ListedSender>, InboundError> {
        let inner = &self.inner;
        let mut all: Vec<ListedSender> = Vec::new();
        loop {
            let (after, now) = (all.last().cloned(), inner.clock.unix());
            let page = inner
                .store
                .senders(filter.clone(), after, PAGE, &inner.settings.limits, now)
                .await?;
            let is_last = page.len() < PAGE;
            all.extend(page);
            if is_last {
                return Ok(all);
            }
        }
    }

    /// The name of a sender as its channel spells it.
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
        at: impl FnOnce(&mut handfast_core::budget::Bucket, handfast_core::time::Instant) -> T,
    ) -> T {
        let now = self.inner.clock.now();
        at(
            &mut self.inner.wrong_codes.lock().unwrap_or_else(std::sync::PoisonError::into_inner),
            now,
        )
    }
}

/// Runs to the end even if whoever asked has gone: what is durable must also be told.
async fn to_its_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, InboundError>> + Send + 'static,
) -> Result<T, InboundError> {
    match tokio::spawn(work).await {
        Ok(outcome) => outcome,
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
    given.chars().take(64).collect()
}

const fn takes_away(change: &SenderChange) -> bool {
    match change {
        SenderChange::Reject | SenderChange::Block | SenderChange::Revoke => true,
        SenderChange::Allow { .. } | SenderChange::Unblock => false,
    }
}

const fn word(change: &SenderChange) -> &'static str {
    match change {
        SenderChange::Allow { .. } => "allow",
        SenderChange::Reject => "reject",
        SenderChange::Block => "block",
        SenderChange::Unblock => "unblock",
        SenderChange::Revoke => "revoke",
    }
}
