//! What a store keeps of those who write over channels.

use async_trait::async_trait;
use handfast_core::flow::inbound::Verdict;
use handfast_core::registry::inbound::{ChallengeCode, Facts, Limits, SenderId};
use handfast_core::time::UnixTime;

use crate::{SaveError, StoreError, Timekeeping};

/// A sender, as a store gives it out: three texts, each a
/// [`handfast_core::registry::inbound::Ident`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SenderName {
    /// Over which channel.
    pub channel: String,
    /// To which account there. Empty in a block that is for all accounts.
    pub account: String,
    /// Who.
    pub sender: String,
}

impl From<SenderId<'_>> for SenderName {
    fn from(id: SenderId<'_>) -> Self {
        let [channel, account, sender] =
            [id.channel, id.account, id.sender].map(|text| text.as_str().to_owned());
        Self { channel, account, sender }
    }
}

/// What came of a challenge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a message is let in only by a verdict that says so"]
pub enum Challenged {
    /// This, and it is written.
    Decided(Verdict),
    /// The fresh code is another's: come again with another one. Nothing was written.
    CodeTaken,
}

/// What came of an approval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Approved {
    /// This sender is let in from now on.
    Sender(SenderName),
    /// The time of this sender was over, and it waits no longer.
    Expired(SenderName),
    /// Nobody waits with this code.
    Unknown,
}

/// What an operator decides about a sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SenderChange {
    /// Let it in, whether it waits or not. A block goes, also one for all accounts: elsewhere the
    /// sender is then a stranger again.
    Allow {
        /// By which way it was let in, for the operator to read; at most 64 bytes.
        via: String,
        /// Until when, if there is an end.
        until: Option<UnixTime>,
    },
    /// Let it wait no longer. It may ask again.
    Reject,
    /// Drop all it writes from now on. It waits no longer, and what was allowed is taken back.
    Block,
    /// Take back a block: with an account that one's own, without one all of them. What the sender
    /// was allowed before stays taken back.
    Unblock,
    /// Take back what it was allowed, also what has run out. It may ask again.
    Revoke,
}

/// Which senders are listed.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct SenderFilter {
    /// Of this channel alone.
    pub channel: Option<String>,
    /// Those that were let in or blocked, too, and not only those that wait.
    pub all: bool,
    /// With those of which that was taken back, or is over. Means nothing without `all`.
    pub include_revoked: bool,
}

/// What the operator reads of a sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedSender {
    /// Who.
    pub name: SenderName,
    /// How it stands.
    pub standing: SenderStanding,
}

impl ListedSender {
    /// Its place in a listing: by its kind first.
    pub(crate) fn place(&self) -> (Kind, &SenderName) {
        let kind = match self.standing {
            SenderStanding::Pending { .. } => Kind::Pending,
            SenderStanding::Allowed { .. } => Kind::Allowed,
            SenderStanding::Blocked { .. } => Kind::Blocked,
        };
        (kind, &self.name)
    }
}

/// The kinds of entries, in the order in which they are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Pending,
    Allowed,
    Blocked,
}

/// How a sender stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SenderStanding {
    /// It waits.
    Pending {
        /// With what the operator lets it in.
        code: ChallengeCode,
        /// Since when.
        created_at: UnixTime,
        /// What its channel told of it, a JSON object.
        meta: String,
    },
    /// It was let in.
    Allowed {
        /// When.
        at: UnixTime,
        /// By which way.
        via: String,
        /// Until when, if there is an end.
        until: Option<UnixTime>,
        /// When that was taken back.
        revoked_at: Option<UnixTime>,
    },
    /// It is blocked.
    Blocked {
        /// Since when.
        at: UnixTime,
    },
}

/// The part of a [`Store`](crate::Store) that is about those who write over channels.
///
/// Ids are compared byte for byte: whoever calls has spelled them as the channel does. A text that
/// is to name somebody and is no [`Ident`](handfast_core::registry::inbound::Ident) is
/// [`StoreError::Database`], and so is a `via` of more than 64 bytes or with characters that move a
/// cursor.
///
/// Entries whose waiting is over count for nothing, whether or not they were removed yet. A blocked
/// sender does not wait.
#[async_trait]
pub trait Inbound: Timekeeping + Send + Sync + 'static {
    /// A number that is another one after every change of what is [known](Self::facts) of any
    /// sender but its waiting, whoever made the change: what was remembered under another number is
    /// forgotten. Costs nothing. It has moved on before the call that made the change answers, and
    /// not before the change can be read: so whoever reads this number first and the facts then may
    /// remember them under it. It counts from the start of the process.
    fn inbound_epoch(&self) -> u64;

    /// What is known of a sender, at one moment. Of one that is blocked, or let in and that counts
    /// now, no more is read than that: it has no `pending`, and both counts are 0.
    ///
    /// # Errors
    /// [`StoreError`] if that is not known, which is never the same as "nothing is".
    async fn facts(
        &self,
        sender: SenderId<'_>,
        limits: &Limits,
        now: UnixTime,
    ) -> Result<Facts, StoreError>;

    /// Decides about a sender that is to be challenged ([`handfast_core::flow::inbound::decide`]),
    /// and writes what comes of it, in one step: so that at any number of first messages at once
    /// one entry and one code come into being, and the caps hold. `meta` is a JSON object of at
    /// most [`handfast_core::limits::SENDER_META_BYTES`]. A message of one who need not or may not
    /// wait writes nothing. Of the entries whose time is over, at most 32 are removed by a call;
    /// how many were is the second part of the answer.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be made durable, or `meta` is none.
    async fn challenge(
        &self,
        sender: SenderId<'_>,
        meta: String,
        fresh: ChallengeCode,
        limits: &Limits,
        now: UnixTime,
    ) -> Result<(Challenged, u32), StoreError>;

    /// Removes entries whose waiting is over, at most 32. The answer is how many there were; where
    /// none is, nothing is written.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be made durable.
    async fn expire_senders(&self, limits: &Limits, now: UnixTime) -> Result<u32, StoreError>;

    /// Lets in whoever waits with this code; at any number of calls at once exactly one does. A
    /// code that is found is used up, whatever comes of it: also that its time was over, or that
    /// its sender is blocked, which is [`Approved::Unknown`].
    ///
    /// # Errors
    /// [`StoreError`] if it could not be made durable.
    async fn approve(
        &self,
        code: ChallengeCode,
        via: String,
        until: Option<UnixTime>,
        limits: &Limits,
        now: UnixTime,
    ) -> Result<Approved, StoreError>;

    /// Decides about a sender by its name. Without an account it is decided for all of them: for
    /// those where something is known of the sender, and a block for those that come, too
    /// ([`SenderChange::Allow`] needs an account). The answer is how many rows changed by it; no
    /// change is no error.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be made durable.
    async fn change_sender(
        &self,
        channel: &str,
        account: Option<&str>,
        sender: &str,
        change: SenderChange,
        now: UnixTime,
    ) -> Result<u64, StoreError>;

    /// Lets in many senders of one account at once, without an end, all or none. Those that are let
    /// in already stay as they are; blocked ones stay blocked; those of which that was taken back
    /// are let in anew. The answer is how many are new.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be made durable.
    async fn seed(
        &self,
        channel: &str,
        account: &str,
        senders: Vec<String>,
        via: String,
        now: UnixTime,
    ) -> Result<u64, StoreError> {
        self.seed_until(channel, account, senders, via, None, now).await
    }

    /// The same for a time.
    ///
    /// # Errors
    /// As [`seed`](Self::seed).
    async fn seed_until(
        &self,
        channel: &str,
        account: &str,
        senders: Vec<String>,
        via: String,
        until: Option<UnixTime>,
        now: UnixTime,
    ) -> Result<u64, StoreError>;

    /// Adds an entry as it is, for instance from another system.
    ///
    /// # Errors
    /// [`SaveError::Conflict`] if there is an entry of its kind for this sender, or another waits
    /// with its code; nothing is overwritten.
    async fn insert_sender(&self, sender: ListedSender) -> Result<(), SaveError>;

    /// A page of entries, beginning after `after`, at most `limit`: those that wait first, then
    /// those that were let in, then those that are blocked, and each kind in order of their names.
    /// Entries whose waiting is over are not among them.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read, or one of them is spoiled.
    async fn senders(
        &self,
        filter: SenderFilter,
        after: Option<ListedSender>,
        limit: usize,
        limits: &Limits,
        now: UnixTime,
    ) -> Result<Vec<ListedSender>, StoreError>;

    /// How many senders wait on each channel; channels on which none does may be missing.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be counted.
    async fn waiting_senders(
        &self,
        limits: &Limits,
        now: UnixTime,
    ) -> Result<Vec<(String, u64)>, StoreError>;

    /// Up to where a poller of this name has come.
    ///
    /// # Errors
    /// [`StoreError`] if that is not known.
    async fn cursor(&self, poller: &str) -> Result<Option<String>, StoreError>;

    /// Keeps up to where it has come. How long that text may be is the caller's concern.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be made durable.
    async fn keep_cursor(&self, poller: &str, cursor: String) -> Result<(), StoreError>;
}
