//! The stored state of senders: people who write over messaging channels.

use std::sync::Arc;

use async_trait::async_trait;
use handfast_core::flow::inbound::Verdict;
use handfast_core::limits::CHALLENGE_CHARS;
use handfast_core::registry::inbound::{ChallengeCode, Facts, InboundLimits, SenderId};
use handfast_core::{Entropy, UnixTime};

use crate::audit::Origin;
use crate::{SaveError, StoreError, Timekeeping};

/// The name of a sender in a store: three texts, each a valid
/// [`handfast_core::registry::inbound::Ident`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SenderName {
    /// Name of the channel.
    pub channel: String,
    /// The account on the channel that receives the messages. Empty in a block that covers all
    /// accounts.
    pub account: String,
    /// The sender's id on the channel.
    pub sender: String,
}

impl From<SenderId<'_>> for SenderName {
    fn from(id: SenderId<'_>) -> Self {
        let [channel, account, sender] =
            [id.channel, id.account, id.sender].map(|text| text.as_str().to_owned());
        Self { channel, account, sender }
    }
}

/// The outcome of a challenge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a message is let in only by a verdict that says so"]
pub enum Challenged {
    /// The decision, which is written.
    Decided(Verdict),
    /// Another sender has the fresh code: try again with a new one. Nothing was written.
    CodeTaken,
}

/// The outcome of an approval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Approved {
    /// The sender is allowed from now on.
    Sender(SenderName),
    /// The sender's entry had expired, and is removed.
    Expired(SenderName),
    /// No sender waits with this code, or the one that does is blocked.
    Unknown,
}

/// An operator's decision about a sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SenderChange {
    /// Allows the sender, pending or not. Removes a block, including one for all accounts: on other
    /// accounts the sender is then unknown again.
    Allow {
        /// The way by which the sender was allowed, for the operator to read; at most 64 bytes.
        via: String,
        /// Time at which the permission ends; `None` for no end.
        until: Option<UnixTime>,
    },
    /// Removes the pending entry. The sender may ask again.
    Reject,
    /// Drops all later messages of the sender. Removes its pending entry and revokes its
    /// permission.
    Block,
    /// Removes a block: with an account, that account's; without one, all. An earlier permission
    /// stays revoked.
    Unblock,
    /// Revokes the permission, including one that has expired. The sender may ask again.
    Revoke,
    /// Removes what is left of a sender that is out: permissions that are revoked or have expired,
    /// and its names in the audit log, whose entries keep their references. Changes nothing if the
    /// sender waits, is allowed or is blocked.
    Forget,
}

/// A filter for listing senders.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct SenderFilter {
    /// Only senders of this channel.
    pub channel: Option<String>,
    /// Includes allowed and blocked senders besides the pending ones.
    pub all: bool,
    /// Includes revoked and expired permissions. Has no effect without `all`.
    pub include_revoked: bool,
}

/// A sender in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedSender {
    /// Name of the sender.
    pub name: SenderName,
    /// The sender's standing.
    pub standing: SenderStanding,
}

impl ListedSender {
    /// Returns a sender that stands for a place in a listing, so that a page can begin after it:
    /// the entry of this kind (`pending`, `allowed` or `blocked`) with this name. Only its place has
    /// a meaning. `None` for another kind.
    #[must_use]
    pub fn at(kind: &str, name: SenderName) -> Option<Self> {
        let at = UnixTime::from_secs(0);
        let standing = match kind {
            "pending" => SenderStanding::Pending {
                code: ChallengeCode::new(&Entropy::from_recorded([0; CHALLENGE_CHARS])),
                created_at: at,
                meta: String::new(),
            },
            "allowed" => {
                SenderStanding::Allowed { at, via: String::new(), until: None, revoked_at: None }
            }
            "blocked" => SenderStanding::Blocked { at },
            _ => return None,
        };
        Some(Self { name, standing })
    }

    /// Returns the word of the entry's kind, as [`at`](Self::at) takes it.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self.standing {
            SenderStanding::Pending { .. } => "pending",
            SenderStanding::Allowed { .. } => "allowed",
            SenderStanding::Blocked { .. } => "blocked",
        }
    }

    /// Returns the sort key of a listing: the kind first, then the name.
    pub(crate) fn place(&self) -> (EntryKind, &SenderName) {
        let kind = match self.standing {
            SenderStanding::Pending { .. } => EntryKind::Pending,
            SenderStanding::Allowed { .. } => EntryKind::Allowed,
            SenderStanding::Blocked { .. } => EntryKind::Blocked,
        };
        (kind, &self.name)
    }
}

/// The kinds of entries, in the order in which they are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum EntryKind {
    Pending,
    Allowed,
    Blocked,
}

/// The standing of a sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SenderStanding {
    /// The sender waits for approval.
    Pending {
        /// The code by which the operator approves the sender.
        code: ChallengeCode,
        /// Time of the first message.
        created_at: UnixTime,
        /// The channel's description of the sender, a JSON object.
        meta: String,
    },
    /// The sender is allowed.
    Allowed {
        /// Time at which the sender was allowed.
        at: UnixTime,
        /// The way by which the sender was allowed.
        via: String,
        /// Time at which the permission ends; `None` for no end.
        until: Option<UnixTime>,
        /// Time of the revocation, if there was one.
        revoked_at: Option<UnixTime>,
    },
    /// The sender is blocked.
    Blocked {
        /// Time of the block.
        at: UnixTime,
    },
}

/// The part of a [`Store`](crate::Store) for senders on messaging channels.
///
/// Ids are compared byte for byte, so the caller spells them as the channel does. A name that is
/// not a valid [`Ident`](handfast_core::registry::inbound::Ident) gives [`StoreError::Database`],
/// and so does a `via` of more than 64 bytes or with characters that move a cursor.
///
/// Expired pending entries have no effect, even before they are removed. A blocked sender is never
/// pending.
#[async_trait]
pub trait Inbound: Timekeeping + Send + Sync + 'static {
    /// Returns a number for caching [facts](Self::facts). It changes with every change of a
    /// sender's facts except those about its pending entry; facts cached under another number are
    /// stale. Costs nothing.
    ///
    /// The number changes after the change can be read and before the call that made it answers. A
    /// reader that takes the number first and the facts second may therefore cache the facts under
    /// that number. It counts from the start of the process.
    fn inbound_epoch(&self) -> u64;

    /// Returns a handle whose decisions are recorded with this origin.
    fn senders_by(self: Arc<Self>, origin: Origin) -> Arc<dyn Inbound>;

    /// Reads the facts about a sender at one moment. For a blocked sender, or one whose permission
    /// is in force, nothing else is read: `pending` is `None` and both counts are 0.
    ///
    /// # Errors
    /// [`StoreError`] if the facts cannot be read, which never means that there are none.
    async fn facts(
        &self,
        sender: SenderId<'_>,
        limits: &InboundLimits,
        now: UnixTime,
    ) -> Result<Facts, StoreError>;

    /// Decides about a sender that is to be challenged ([`handfast_core::flow::inbound::decide`])
    /// and writes the result in one step. Any number of concurrent first messages yield one entry
    /// and one code, and the caps hold. `meta` is a JSON object of at most
    /// [`handfast_core::limits::SENDER_META_BYTES`]. A message of a sender that need not or must
    /// not wait writes nothing. A call removes at most 32 expired entries; their number is the
    /// second part of the answer.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be made durable, or `meta` is not such an object.
    async fn challenge(
        &self,
        sender: SenderId<'_>,
        meta: String,
        fresh: ChallengeCode,
        limits: &InboundLimits,
        now: UnixTime,
    ) -> Result<(Challenged, u32), StoreError>;

    /// Removes at most 32 expired entries and returns their number. Writes nothing if there are
    /// none.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be made durable.
    async fn expire_senders(
        &self,
        limits: &InboundLimits,
        now: UnixTime,
    ) -> Result<u32, StoreError>;

    /// Allows the sender that waits with this code; of concurrent calls, exactly one succeeds. A
    /// code that is found is used up in any case, also if its entry had expired or its sender is
    /// blocked. The latter is [`Approved::Unknown`].
    ///
    /// # Errors
    /// [`StoreError`] if it could not be made durable.
    async fn approve(
        &self,
        code: ChallengeCode,
        via: String,
        until: Option<UnixTime>,
        limits: &InboundLimits,
        now: UnixTime,
    ) -> Result<Approved, StoreError>;

    /// Applies a decision about a sender, given by name. Without an account, it applies to all
    /// accounts where something is known of the sender; a block also applies to later ones
    /// ([`SenderChange::Allow`] needs an account). Returns the number of changed rows; no change is
    /// not an error.
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

    /// Allows many senders of one account at once, without an end; all or none. Senders that are
    /// allowed already stay as they are, blocked ones stay blocked, and revoked ones are allowed
    /// again. Returns the number of new permissions.
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

    /// Does the same as [`seed`](Self::seed), with an end.
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

    /// Adds an entry as given, for instance from another system.
    ///
    /// # Errors
    /// [`SaveError::Conflict`] if this sender has an entry of the same kind, or another sender
    /// waits with the same code; nothing is overwritten.
    async fn insert_sender(&self, sender: ListedSender) -> Result<(), SaveError>;

    /// Lists entries after `after`, at most `limit`: pending ones first, then allowed ones, then
    /// blocked ones, each kind ordered by name. Expired pending entries are left out.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read, or one of them is damaged.
    async fn senders(
        &self,
        filter: SenderFilter,
        after: Option<ListedSender>,
        limit: usize,
        limits: &InboundLimits,
        now: UnixTime,
    ) -> Result<Vec<ListedSender>, StoreError>;

    /// Counts the pending senders of each channel. Channels without any may be missing.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be counted.
    async fn waiting_senders(
        &self,
        limits: &InboundLimits,
        now: UnixTime,
    ) -> Result<Vec<(String, u64)>, StoreError>;

    /// Returns the stored position of a poller.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    async fn cursor(&self, poller: &str) -> Result<Option<String>, StoreError>;

    /// Stores the position of a poller. The caller limits the length of the text.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be made durable.
    async fn keep_cursor(&self, poller: &str, cursor: String) -> Result<(), StoreError>;
}
