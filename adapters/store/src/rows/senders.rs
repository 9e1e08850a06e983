//! Conversion between rows and the facts about senders.

use handfast_core::UnixTime;
use handfast_core::registry::inbound::{Allowed, ChallengeCode, Ident, Pending};

use super::{Row, get, perhaps, time};
use crate::{ListedSender, SenderName, SenderStanding, StoreError, rules};

/// Reads a sender's permission from the second column on: the time it was given, its end, and its
/// revocation. By position, because this runs for every message.
pub(crate) fn allowed(row: &impl Row) -> Result<Option<Allowed>, StoreError> {
    match row.at::<Option<i64>>(1).map_err(Into::into)? {
        None => Ok(None),
        Some(_) => Ok(Some(Allowed { until: at(row, 2)?, revoked_at: at(row, 3)? })),
    }
}

/// Reads a pending entry from the fifth column on: the code, the time of creation, and the time at
/// which the code was last sent.
pub(crate) fn waiting(row: &impl Row) -> Result<Option<Pending>, StoreError> {
    let Some(text) = row.at::<Option<String>>(4).map_err(Into::into)? else { return Ok(None) };
    let code = code(&text).map_err(spoiled)?;
    let (Some(created_at), Some(told_at)) = (at(row, 5)?, at(row, 6)?) else {
        return Err(spoiled("a time is missing".to_owned()));
    };
    Ok(Some(Pending { code, created_at, told_at }))
}

fn at(row: &impl Row, column: usize) -> Result<Option<UnixTime>, StoreError> {
    let time = row.at::<Option<i64>>(column).map_err(Into::into)?;
    let time = time.map(|seconds| u64::try_from(seconds).map(UnixTime::from_secs)).transpose();
    time.map_err(|_| spoiled("a time lies before 1970".to_owned()))
}

fn code(text: &str) -> Result<ChallengeCode, String> {
    let code = ChallengeCode::parse(text).filter(|code| code.as_str() == text);
    code.ok_or_else(|| "code is none".to_owned())
}

fn spoiled(problem: String) -> StoreError {
    StoreError::Database(format!("what is stored of a sender cannot be read: {problem}"))
}

pub(crate) fn pending_sender(row: &impl Row) -> Result<ListedSender, StoreError> {
    listed(row, |row| {
        let meta: String = get(row, "meta")?;
        rules::telling(&meta).map_err(|problem| problem.to_string())?;
        Ok(SenderStanding::Pending {
            code: code(&get::<String>(row, "code")?)?,
            created_at: time(row, "created_at")?,
            meta,
        })
    })
}

pub(crate) fn allowed_sender(row: &impl Row) -> Result<ListedSender, StoreError> {
    listed(row, |row| {
        let via: String = get(row, "via")?;
        rules::readable(&via).map_err(|problem| problem.to_string())?;
        let (at, until, revoked_at) =
            (time(row, "approved_at")?, perhaps(row, "until")?, perhaps(row, "revoked_at")?);
        Ok(SenderStanding::Allowed { at, via, until, revoked_at })
    })
}

pub(crate) fn blocked_sender(row: &impl Row) -> Result<ListedSender, StoreError> {
    listed(row, |row| Ok(SenderStanding::Blocked { at: time(row, "blocked_at")? }))
}

fn listed<R: Row>(
    row: &R,
    standing: impl FnOnce(&R) -> Result<SenderStanding, String>,
) -> Result<ListedSender, StoreError> {
    let read = || {
        let name = |column| {
            let text: String = get(row, column)?;
            let is_fine = Ident::parse(&text).is_some() || (column == "account" && text.is_empty());
            is_fine.then_some(text).ok_or_else(|| format!("{column} is none"))
        };
        let name = SenderName {
            channel: name("channel")?,
            account: name("account")?,
            sender: name("sender")?,
        };
        Ok(ListedSender { name, standing: standing(row)? })
    };
    read().map_err(spoiled)
}
