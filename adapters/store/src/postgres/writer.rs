//! The thread that commits groups of changes.
//!
//! All changes of all gateways happen one after the other: a transaction that writes begins by
//! taking the write lock, an advisory lock of the database that the commit releases. The reasons:
//!
//! - The decisions of a registry meet in few rows anyway: each request counts in one tally, and
//!   each decision takes the next number of the audit log. Serializable transactions would wait for
//!   the same rows, and then fail and run again, all but one of those that began together. The lock
//!   is a queue: nobody runs twice, and nobody starves.
//! - An operation runs once, because it consumes what it was given.
//! - Under the lock each statement sees all that was committed before ("read committed"), so what
//!   an operation reads is what it decides on.
//!
//! The price would be one wait for the disk after the other. So all changes of a gateway that have
//! arrived in the meantime share a transaction, each behind a savepoint, as in SQLite's writing
//! thread.

use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use super::hints::Board;
use super::migrations::{self, WRITE_LOCK};
use super::outcome::Outcomes;
use super::session::{NAME, STATEMENT, Session};
use super::tx::PostgresTx;
use crate::StoreError;

/// Maximum number of changes in one transaction. PostgreSQL keeps 64 savepoints of a transaction
/// in memory; with more, every reader has to look them up.
pub(super) const GROUP: usize = 64;

/// Asks whether the transaction has an entry in the log of changes.
const IS_LOGGED: &str = "SELECT EXISTS (SELECT FROM change WHERE xid = pg_current_xact_id())";

/// A change that waits for the thread.
pub(super) struct Change {
    since: Instant,
    make: Make,
}

/// Makes a change in the open transaction, or learns why there is none.
type Make = Box<dyn FnOnce(Result<&mut Session, StoreError>) -> (bool, Answer) + Send>;
/// A function that answers the caller once the commit has succeeded or failed.
type Answer = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// Makes a change durable, and calls `then` between the commit and the answer, even if the caller
/// no longer waits, with `false` if the commit failed. It is not called if the change was not made.
pub(super) async fn change_then<T, E>(
    queue: &mpsc::Sender<Change>,
    make: impl FnOnce(&mut PostgresTx<'_>) -> Result<T, E> + Send + 'static,
    then: impl FnOnce(&T, bool) + Send + 'static,
) -> Result<T, E>
where
    T: Send + 'static,
    E: From<StoreError> + Send + 'static,
{
    let (tell, answer) = oneshot::channel();
    let make: Make = Box::new(move |session| {
        let made = match session {
            Ok(session) => make(&mut PostgresTx::new(session)),
            Err(error) => Err(E::from(error)),
        };
        let is_made = made.is_ok();
        let answer: Answer = Box::new(move |committed| {
            let outcome = made.and_then(|made| {
                then(&made, committed.is_ok());
                committed.map(|()| made).map_err(E::from)
            });
            // A caller that has dropped its future gets no answer.
            let _ = tell.send(outcome);
        });
        (is_made, answer)
    });
    let stopped = || E::from(StoreError::Database("the writing thread has stopped".to_owned()));
    // Waiting for a place does not count: the queue moves on for as long as the database answers.
    let place = queue.reserve().await.map_err(|_| stopped())?;
    place.send(Change { since: Instant::now(), make });
    answer.await.map_err(|_| stopped())?
}

/// Makes the changes that arrive, until nobody can send any more. One that has waited for longer
/// than the patience is not made, and its caller learns so.
pub(super) fn serve(
    session: &mut Session,
    outcomes: &mut Outcomes,
    mut arriving: mpsc::Receiver<Change>,
    patience: Duration,
    board: Option<&Board>,
) {
    let mut group = Vec::with_capacity(GROUP);
    while arriving.blocking_recv_many(&mut group, GROUP) > 0 {
        let mut answers = Vec::with_capacity(group.len());
        let (late, group): (Vec<_>, Vec<_>) =
            group.drain(..).partition(|change: &Change| change.since.elapsed() > patience);
        answers.extend(late.into_iter().map(|change| not_made(change, StoreError::Timeout)));
        let begun = if group.is_empty() { Err(StoreError::Timeout) } else { begin(session) };
        let committed = match begun {
            Ok(()) => commit(session, outcomes, group, &mut answers),
            Err(error) => {
                answers.extend(group.into_iter().map(|change| not_made(change, error.clone())));
                Err(error)
            }
        };
        if let (Ok(true), Some(board)) = (&committed, board) {
            board.committed();
        }
        // Answers go out only now, because nobody may hear of a change that is not durable.
        for answer in answers {
            answer(committed.clone().map(|_| ()));
        }
    }
}

fn not_made(Change { make, .. }: Change, error: StoreError) -> Answer {
    make(Err(error)).1
}

/// Begins a transaction behind the write lock. Another gateway may have migrated the schema since
/// the last one, and a pooler may have given the session to somebody else.
fn begin(session: &mut Session) -> Result<(), StoreError> {
    let sql = format!(
        "BEGIN; SELECT pg_advisory_xact_lock({WRITE_LOCK}); SELECT version, {NAME} FROM registry; SAVEPOINT change"
    );
    let begin = |session: &mut Session| {
        session.ready()?;
        session.texts(&sql, STATEMENT)
    };
    let begun = match begin(session) {
        // The connection was lost while it was idle. Nothing was asked for yet, so asking again is
        // safe.
        Err(StoreError::Unreachable(_)) => begin(session),
        begun => begun,
    };
    let checked = begun.and_then(|values| match &values[..] {
        [.., version, name] => {
            migrations::check(Some(version)).and_then(|()| session.check_own(Some(name)))
        }
        _ => migrations::check(None),
    });
    checked.inspect_err(|_| undo(session))
}

/// Makes the changes of a group, each so that its failure affects no other, and commits. `true` if
/// other gateways must hear of one.
fn commit(
    session: &mut Session,
    outcomes: &mut Outcomes,
    group: Vec<Change>,
    answers: &mut Vec<Answer>,
) -> Result<bool, StoreError> {
    let (mut any_made, mut last) = (false, None);
    for change in group {
        let begun = match last {
            None => Ok(()),
            Some(true) => session.batch("RELEASE change; SAVEPOINT change"),
            Some(false) => session.batch("ROLLBACK TO change"),
        };
        if let Err(error) = begun {
            // The transaction is lost with all that was made in it.
            answers.push(not_made(change, error.clone()));
            session.close();
            last = None;
            continue;
        }
        let (is_made, answer) = match session.is_open() {
            true => (change.make)(Ok(session)),
            false => (false, not_made(change, gone())),
        };
        answers.push(answer);
        any_made |= is_made;
        last = Some(is_made);
    }
    if !session.is_open() {
        return Err(gone());
    }
    if !any_made {
        undo(session);
        return Ok(false);
    }
    let end = if last == Some(true) { "RELEASE change" } else { "ROLLBACK TO change" };
    match session.commit(&format!("{end}; {}; {IS_LOGGED}; COMMIT", outcomes.leave())) {
        Ok(told) => Ok(told.last().is_some_and(|word| word.as_deref() == Some("t"))),
        // What it logged is not known.
        Err(lost @ StoreError::OutcomeUnknown(_)) => outcomes.find(session, lost).map(|()| true),
        Err(error) => {
            undo(session);
            Err(error)
        }
    }
}

fn gone() -> StoreError {
    StoreError::Unreachable("the connection was lost before the commit".to_owned())
}

/// Ends the open transaction, if there is one and the connection is not lost.
fn undo(session: &mut Session) {
    if session.is_open() && session.batch("ROLLBACK").is_err() {
        session.close();
    }
}
