//! What both stores hold to, and core does not decide.

use handfast_core::error::Refusal;
use handfast_core::limits::{CLOCK_STEP, SENDER_BYTES, SENDER_META_BYTES};
use handfast_core::registry::grants::Grant;
use handfast_core::registry::inbound::Ident;
use handfast_core::registry::record::{Cause, Credential, Record, Standing};
use handfast_core::registry::rejection::Rejection;
use handfast_core::text::is_forbidden;
use handfast_core::time::{Span, UnixTime};
use handfast_core::wire::registration::Profile;

use crate::{ListedSender, SenderName, SenderStanding, StoreError};

/// Most entries of one kind that one call clears away; each was added by a call once, so they never
/// pile up.
pub(crate) const PURGE: u32 = 32;
/// For how long a grant that ended is listed.
const ENDED_FOR: Span = Span::from_secs(365 * 24 * 3600);
/// For how long a dead code is told apart from one that never was.
const DEAD_FOR: Span = Span::from_secs(24 * 3600);
/// For how long a companion's session that ended is listed.
const SESSION_ENDED_FOR: Span = Span::from_secs(30 * 24 * 3600);
/// Most bytes of by which way a sender was let in.
const VIA_BYTES: usize = 64;

/// What ended before this is no longer listed.
pub(crate) fn oldest_end(now: UnixTime) -> UnixTime {
    before(now, ENDED_FOR)
}

/// What died before this is gone.
pub(crate) fn oldest_death(now: UnixTime) -> UnixTime {
    before(now, DEAD_FOR)
}

/// The session that ended before this is no longer listed.
pub(crate) fn oldest_session(now: UnixTime) -> UnixTime {
    before(now, SESSION_ENDED_FOR)
}

/// The time that a run begins at no earlier than: behind the mark, and behind what the run before
/// made after it had written that for the last time.
pub(crate) fn begins_after(mark: UnixTime, made: impl IntoIterator<Item = UnixTime>) -> UnixTime {
    let latest = latest_made(mark);
    let made = made.into_iter().filter(|made| *made <= latest).max();
    made.map_or(mark, |made| mark.max(made.after(Span::from_secs(1))))
}

/// What was made after this was made under a false time, where the true one is `now`.
pub(crate) fn latest_made(now: UnixTime) -> UnixTime {
    now.after(CLOCK_STEP)
}

/// The rejection whose wait ended before this is over.
pub(crate) fn oldest_rejection(now: UnixTime) -> UnixTime {
    before(now, DEAD_FOR)
}

fn before(now: UnixTime, span: Span) -> UnixTime {
    UnixTime::from_secs(now.as_secs().saturating_sub(span.as_secs()))
}

/// What a node that asks once more is to a store that has a record with its static key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Again {
    /// It waits already.
    Waits,
    /// It was turned down, and may ask anew: the record makes way.
    TurnedDown,
}

/// What asking once more comes to for a node whose static key has a record in this standing.
pub(crate) fn asked_again(standing: &Standing) -> Result<Again, Refusal> {
    match standing {
        Standing::Pending { .. } | Standing::Unapproved { .. } => Ok(Again::Waits),
        Standing::Revoked { cause: Cause::Rejected } => Ok(Again::TurnedDown),
        Standing::Paired { .. } | Standing::Muted { .. } => Err(Refusal::AlreadyPaired),
        Standing::Revoked { cause: Cause::Barred | Cause::Unpaired } => Err(Refusal::Revoked),
    }
}

/// What a decision adds to what is known of the key whose request it was about.
pub(crate) fn turned_down(
    standing: &Standing,
    earlier: Option<Rejection>,
    now: UnixTime,
) -> Option<Rejection> {
    match standing {
        Standing::Revoked { cause: Cause::Rejected } => Some(Rejection::once_more(earlier, now)),
        Standing::Revoked { cause: Cause::Barred } => Some(Rejection::for_good(earlier)),
        Standing::Revoked { cause: Cause::Unpaired }
        | Standing::Pending { .. }
        | Standing::Unapproved { .. }
        | Standing::Paired { .. }
        | Standing::Muted { .. } => None,
    }
}

/// A node cannot prove itself with keys that it does not have.
pub(crate) fn provable(standing: &Standing, has_keys: bool) -> Result<(), StoreError> {
    match standing {
        Standing::Paired { credential: Credential::Keys, .. }
        | Standing::Muted { credential: Credential::Keys, .. }
            if !has_keys =>
        {
            Err(StoreError::Database("a node without keys cannot be paired by them".to_owned()))
        }
        Standing::Pending { .. }
        | Standing::Unapproved { .. }
        | Standing::Paired { .. }
        | Standing::Muted { .. }
        | Standing::Revoked { .. } => Ok(()),
    }
}

/// A grant is offered to a node with keys, and to no other than its own.
pub(crate) fn offerable(record: &Record, grant: &Grant) -> Result<(), StoreError> {
    if record.keys.is_none() {
        return Err(StoreError::Database(
            "a node without keys cannot be offered a grant".to_owned(),
        ));
    }
    if grant.node_id != record.node_id {
        return Err(StoreError::Database("the grant is another node's".to_owned()));
    }
    Ok(())
}

/// The texts that name a sender, where one is written: each must read back as what it is.
pub(crate) fn named(channel: &str, account: Option<&str>, sender: &str) -> Result<(), StoreError> {
    for (what, text) in [("channel", Some(channel)), ("account", account), ("sender", Some(sender))]
    {
        if text.is_some_and(|text| Ident::parse(text).is_none()) {
            return Err(StoreError::Database(format!(
                "this is the name of no {what}: it must have 1 to {SENDER_BYTES} bytes, no white space at its ends and no invisible characters"
            )));
        }
    }
    Ok(())
}

/// By which way a sender was let in.
pub(crate) fn readable(via: &str) -> Result<(), StoreError> {
    match via.len() <= VIA_BYTES && !via.chars().any(is_forbidden) {
        true => Ok(()),
        false => Err(StoreError::Database(format!(
            "by which way a sender was let in must have at most {VIA_BYTES} bytes and no invisible characters"
        ))),
    }
}

/// What a channel tells of a sender.
pub(crate) fn telling(meta: &str) -> Result<(), StoreError> {
    match meta.len() <= SENDER_META_BYTES && Profile::parse(meta).is_some() {
        true => Ok(()),
        false => Err(StoreError::Database(format!(
            "what a channel tells of a sender must be a JSON object of at most {SENDER_META_BYTES} bytes"
        ))),
    }
}

/// An entry that is to be added as it is.
pub(crate) fn whole(ListedSender { name, standing }: &ListedSender) -> Result<(), StoreError> {
    let SenderName { channel, account, sender } = name;
    // Only a block may be for all accounts.
    let is_for_all = matches!(standing, SenderStanding::Blocked { .. }) && account.is_empty();
    named(channel, Some(account.as_str()).filter(|_| !is_for_all), sender)?;
    match standing {
        SenderStanding::Pending { meta, .. } => telling(meta),
        SenderStanding::Allowed { via, .. } => readable(via),
        SenderStanding::Blocked { .. } => Ok(()),
    }
}

pub(crate) fn needs_account() -> StoreError {
    StoreError::Database("a sender is let in for one account; say for which".to_owned())
}
