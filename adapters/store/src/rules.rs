//! What both stores hold to, and core does not decide.

use handfast_core::error::Refusal;
use handfast_core::registry::grants::Grant;
use handfast_core::registry::record::{Credential, Record, Standing};
use handfast_core::time::{Span, UnixTime};

use crate::StoreError;

/// Most entries of one kind that one call clears away; each was added by a call once, so they never pile up.
pub(crate) const PURGE: u32 = 32;
/// For how long a grant that ended is listed.
const ENDED_FOR: Span = Span::from_secs(365 * 24 * 3600);
/// For how long a dead code is told apart from one that never was.
const DEAD_FOR: Span = Span::from_secs(24 * 3600);

/// What ended before this is no longer listed.
pub(crate) fn oldest_end(now: UnixTime) -> UnixTime {
    before(now, ENDED_FOR)
}

/// What died before this is gone.
pub(crate) fn oldest_death(now: UnixTime) -> UnixTime {
    before(now, DEAD_FOR)
}

fn before(now: UnixTime, span: Span) -> UnixTime {
    UnixTime::from_secs(now.as_secs().saturating_sub(span.as_secs()))
}

/// What asking once more comes to for a node whose static key has a record in this standing: finding it, or a refusal.
pub(crate) fn asked_again(standing: &Standing) -> Result<(), Refusal> {
    match standing {
        Standing::Pending { .. } | Standing::Unapproved { .. } => Ok(()),
        Standing::Paired { .. } | Standing::Muted { .. } => Err(Refusal::AlreadyPaired),
        Standing::Revoked { .. } => Err(Refusal::Revoked),
    }
}

/// A node cannot prove itself with keys that it does not have.
pub(crate) fn provable(standing: &Standing, has_keys: bool) -> Result<(), StoreError> {
    match standing {
        Standing::Paired { credential: Credential::Keys, .. } | Standing::Muted { credential: Credential::Keys, .. }
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
        return Err(StoreError::Database("a node without keys cannot be offered a grant".to_owned()));
    }
    if grant.node_id != record.node_id {
        return Err(StoreError::Database("the grant is another node's".to_owned()));
    }
    Ok(())
}
