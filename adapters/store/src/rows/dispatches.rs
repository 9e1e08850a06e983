//! Conversion between rows and dispatches.

use handfast_core::NodeId;
use handfast_core::link::dispatch::{DispatchEnd, DispatchLife, DispatchState};
use handfast_core::registry::sessions::Maker;
use handfast_core::wire::native::link::DispatchId;

use super::{Row, get, time};
use crate::{DispatchReport, DispatchTask, StoreError, StoredDispatch};

pub(crate) const fn is_for_good(state: DispatchState) -> bool {
    matches!(state, DispatchState::Unknown { for_good: true })
}

/// The columns of a report: its bytes, and what they are.
pub(crate) fn columns(report: Option<&DispatchReport>) -> (Option<&[u8]>, Option<&'static str>) {
    match report {
        Some(DispatchReport::Result(bytes)) => (Some(bytes), Some("result")),
        Some(DispatchReport::Reason(text)) => (Some(text.as_bytes()), Some("reason")),
        None => (None, None),
    }
}

/// Reads a dispatch. The schema allows only 16 bytes as its id and as its node's.
pub(crate) fn stored<R: Row>(row: &R) -> Result<Result<StoredDispatch, String>, R::Error> {
    let id = DispatchId::from_bytes(row.get("dispatch_id")?);
    let node_id = NodeId::from_bytes(row.get("node_id")?);
    let read = || {
        let (state, for_good): (String, bool) = (get(row, "state")?, get(row, "for_good")?);
        let late = get::<Option<String>>(row, "late")?.map(|word| {
            DispatchEnd::parse(&word).ok_or_else(|| format!("late {word:?} is unknown"))
        });
        let life = DispatchLife {
            state: DispatchState::parse(&state, for_good)
                .ok_or_else(|| format!("state {state:?} is unknown"))?,
            number: get::<i64>(row, "number")?.cast_unsigned(),
            deadline: time(row, "deadline")?,
            idempotent: get(row, "idempotent")?,
            cancelling: get(row, "cancelling")?,
            late: late.transpose()?,
        };
        let told = || get::<Vec<u8>>(row, "told");
        let report = match get::<Option<String>>(row, "told_as")?.as_deref() {
            None => None,
            Some("result") => Some(DispatchReport::Result(told()?)),
            Some("reason") => Some(DispatchReport::Reason(
                String::from_utf8(told()?).map_err(|_| "told is no text".to_owned())?,
            )),
            Some(other) => return Err(format!("told_as {other:?} is unknown")),
        };
        let task = DispatchTask {
            id,
            node_id,
            capability: get(row, "capability")?,
            input: get(row, "input")?,
            max_payload: get(row, "max_payload")?,
            maker: get(row, "maker").map(Maker::stored)?,
        };
        let (made_at, changed_at) = (time(row, "made_at")?, time(row, "changed_at")?);
        Ok(StoredDispatch { task, life, report, made_at, changed_at })
    };
    Ok(read())
}

pub(crate) fn whole(
    rows: Vec<Result<StoredDispatch, String>>,
) -> Result<Vec<StoredDispatch>, StoreError> {
    rows.into_iter().collect::<Result<_, _>>().map_err(unreadable)
}

pub(crate) fn unreadable(problem: String) -> StoreError {
    StoreError::Database(format!("a stored dispatch cannot be read: {problem}"))
}
