//! Rules that both stores follow and that core does not decide.

use handfast_core::limits::{CERTIFICATES_WITHIN, CLOCK_STEP, SENDER_BYTES, SENDER_META_BYTES};
use handfast_core::registry::grants::Grant;
use handfast_core::registry::inbound::Ident;
use handfast_core::registry::record::{Cause, Credential, Record, Standing};
use handfast_core::registry::rejection::Rejection;
use handfast_core::wire::registration::Profile;
use handfast_core::{Label, Refusal, Span, UnixTime};

use crate::audit::{Detail, What};
use crate::{LinkedFrom, ListedSender, SenderName, SenderStanding, StoreError};

/// Maximum number of entries of one kind that one call removes. A call adds at most one, so they
/// never pile up.
pub(crate) const PURGE: u32 = 32;
/// Time for which an ended grant is listed.
const ENDED_FOR: Span = Span::from_secs(365 * 24 * 3600);
/// Time for which a dead code is kept apart from one that never existed.
const DEAD_FOR: Span = Span::from_secs(24 * 3600);
/// Time for which a companion's ended session is listed.
const SESSION_ENDED_FOR: Span = Span::from_secs(30 * 24 * 3600);
/// Time for which an ended certificate is listed.
const CERTIFICATE_ENDED_FOR: Span = Span::from_secs(400 * 24 * 3600);
/// Time for which a dispatch is kept after its last change.
const DISPATCH_KEPT_FOR: Span = Span::from_secs(30 * 24 * 3600);
/// Maximum number of live certificates of one node.
pub(crate) const CERTIFICATES_OF_A_NODE: usize = 16;
/// Time after which a link from the same address is written again.
const LINK_TOLD_EVERY: Span = Span::from_secs(3600);
/// Time by which a session has to prolong itself to be recorded in the audit log.
const REFRESH_RECORDED: Span = Span::from_secs(60);
/// Maximum length of a sender's `via` in bytes.
const VIA_BYTES: usize = 64;

/// Returns the decision by which a node's standing changed, with a fixed word about it; `None` if
/// nobody decided anything. The standing before is unknown for a damaged record.
pub(crate) fn decided(
    before: Option<&Standing>,
    after: &Standing,
) -> Option<(What, Option<Detail>)> {
    let credential_changed = |before: &Credential, after: &Credential| {
        let confirmed = matches!(
            (before, after),
            (Credential::Undelivered(sent), Credential::Token(token)) if sent.token == *token
        );
        before != after && !confirmed
    };
    let what = match (before, after) {
        (_, Standing::Revoked { cause: Cause::Rejected }) => What::Reject,
        (_, Standing::Revoked { cause: Cause::Barred }) => What::RejectForGood,
        (_, Standing::Revoked { cause: Cause::Unpaired }) => What::Revoke,
        (_, Standing::Pending { .. } | Standing::Unapproved { .. }) => What::Unapprove,
        (
            Some(Standing::Paired { credential, mode }),
            Standing::Paired { credential: after, mode: mode_after },
        )
        | (
            Some(Standing::Muted { credential, restore: mode }),
            Standing::Muted { credential: after, restore: mode_after },
        ) => match (credential_changed(credential, after), mode == mode_after) {
            (true, _) => What::Reissue,
            (false, false) => {
                return Some((What::SetMode, Some(Detail::Word(mode_after.as_str()))));
            }
            (false, true) => return None,
        },
        (Some(Standing::Muted { .. }), Standing::Paired { .. }) => What::Unmute,
        (_, Standing::Muted { .. }) => What::Mute,
        (
            Some(Standing::Pending { .. } | Standing::Unapproved { .. } | Standing::Revoked { .. })
            | None,
            Standing::Paired { .. },
        ) => What::Approve,
    };
    Some((what, None))
}

/// Returns `true` if a session's new end is later by so much that it is recorded.
pub(crate) fn prolongs(before: UnixTime, end: UnixTime) -> bool {
    before.after(REFRESH_RECORDED) <= end
}

/// Returns the time before which an ended grant is no longer listed.
pub(crate) fn oldest_end(now: UnixTime) -> UnixTime {
    before(now, ENDED_FOR)
}

/// Returns the time before which a dead code is removed.
pub(crate) fn oldest_death(now: UnixTime) -> UnixTime {
    before(now, DEAD_FOR)
}

/// Returns the time before which an ended session is no longer listed.
pub(crate) fn oldest_session(now: UnixTime) -> UnixTime {
    before(now, SESSION_ENDED_FOR)
}

/// Returns the time before which an ended certificate is no longer listed.
pub(crate) fn oldest_certificate(now: UnixTime) -> UnixTime {
    before(now, CERTIFICATE_ENDED_FOR)
}

/// Returns the time before which a dispatch that has not changed since is removed.
pub(crate) fn oldest_dispatch(now: UnixTime) -> UnixTime {
    before(now, DISPATCH_KEPT_FOR)
}

/// Returns the time after which a node's certificates count for its day.
pub(crate) fn a_day_before(now: UnixTime) -> UnixTime {
    before(now, CERTIFICATES_WITHIN)
}

/// Returns `true` if a link tells something new to people: another address, or a time that is an
/// hour later.
pub(crate) fn tells_more(earlier: Option<LinkedFrom>, link: LinkedFrom) -> bool {
    earlier.is_none_or(|earlier| {
        earlier.address != link.address
            || link.at >= earlier.at.after(LINK_TOLD_EVERY)
            // The clock was set back: what is kept lies in the future, and would stay for long.
            || link.at < earlier.at
    })
}

/// Returns the earliest time at which a run may begin: just after the mark, and just after what the
/// last run made once it had last written the mark.
pub(crate) fn begins_after(mark: UnixTime, made: impl IntoIterator<Item = UnixTime>) -> UnixTime {
    let latest = latest_made(mark);
    // An entry made under a wrong clock must not carry its error over to this run.
    let made = made.into_iter().filter(|made| *made <= latest).max();
    made.map_or(mark, |made| mark.max(made.after(Span::from_secs(1))))
}

/// Returns the latest time that is plausible at `now`. An entry with a later one was made under a
/// wrong clock.
pub(crate) fn latest_made(now: UnixTime) -> UnixTime {
    now.after(CLOCK_STEP)
}

/// Returns the time before which a rejection whose wait has ended is forgotten.
pub(crate) fn oldest_rejection(now: UnixTime) -> UnixTime {
    before(now, DEAD_FOR)
}

fn before(now: UnixTime, span: Span) -> UnixTime {
    UnixTime::from_secs(now.as_secs().saturating_sub(span.as_secs()))
}

/// The standing of a record whose static key asks once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Again {
    /// The record waits already.
    Waits,
    /// The record was rejected and may ask again: it makes way for the new request.
    TurnedDown,
}

/// Decides about a request whose static key belongs to a record in this standing.
pub(crate) fn asked_again(standing: &Standing) -> Result<Again, Refusal> {
    match standing {
        // The same key asks: its earlier request is found, and no second one enters.
        Standing::Pending { .. } | Standing::Unapproved { .. } => Ok(Again::Waits),
        Standing::Revoked { cause: Cause::Rejected } => Ok(Again::TurnedDown),
        Standing::Paired { .. } | Standing::Muted { .. } => Err(Refusal::AlreadyPaired),
        Standing::Revoked { cause: Cause::Barred | Cause::Unpaired } => Err(Refusal::Revoked),
    }
}

/// Returns the rejection of a key after a decision about its request.
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

/// Checks that a node that proves itself with keys has some.
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

/// Checks that a grant is offered to its own node, and that this node has keys.
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

/// Checks that the texts of a sender's name are valid before they are written, so that they can be
/// read back.
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

/// Checks the text of a sender's `via`.
pub(crate) fn readable(via: &str) -> Result<(), StoreError> {
    match via.len() <= VIA_BYTES && !via.chars().any(Label::forbids) {
        true => Ok(()),
        false => Err(StoreError::Database(format!(
            "by which way a sender was let in must have at most {VIA_BYTES} bytes and no invisible characters"
        ))),
    }
}

/// Checks a channel's description of a sender.
pub(crate) fn telling(meta: &str) -> Result<(), StoreError> {
    match meta.len() <= SENDER_META_BYTES && Profile::parse(meta).is_some() {
        true => Ok(()),
        false => Err(StoreError::Database(format!(
            "what a channel tells of a sender must be a JSON object of at most {SENDER_META_BYTES} bytes"
        ))),
    }
}

/// Checks an entry that is to be added as given.
pub(crate) fn whole(ListedSender { name, standing }: &ListedSender) -> Result<(), StoreError> {
    let SenderName { channel, account, sender } = name;
    // Only a block may cover all accounts.
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
