//! The outcome of a commit whose answer was lost.
//!
//! Each transaction that writes leaves its number in the row of its store. A store that loses its
//! connection during a commit opens another one, waits for the write lock, which the lost
//! transaction holds until it is over, and reads the number. The status of a transaction by its id
//! (`pg_xact_status`) would not do: after a crash, the server gives an id again whose transaction
//! left no trace.

use std::time::{Duration, Instant};

use super::migrations::WRITE_LOCK;
use super::session::{STATEMENT, Session};
use crate::StoreError;

/// Time for which the answer is looked for. The callers of all changes in the transaction wait.
const PATIENCE: Duration = STATEMENT;
/// Time between two attempts.
const PAUSE: Duration = Duration::from_millis(50);

/// The transactions of a store.
#[derive(Debug)]
pub(super) struct Outcomes {
    /// A UUID, so it has no character that would need care.
    writer: String,
    number: u64,
}

impl Outcomes {
    /// Begins the numbers of a store, and removes what stores left that are gone.
    pub(super) fn new(session: &mut Session) -> Result<Self, StoreError> {
        let sql =
            "DELETE FROM outcome WHERE at < now() - interval '1 day'; SELECT gen_random_uuid()";
        let drawn = session.texts(sql, STATEMENT)?.pop().flatten();
        let missing = || StoreError::Database("the database draws no UUID".to_owned());
        Ok(Self { writer: drawn.ok_or_else(missing)?, number: 0 })
    }

    /// Returns the statement by which the open transaction leaves its number.
    pub(super) fn leave(&mut self) -> String {
        self.number += 1;
        let Self { writer, number } = self;
        format!(
            "INSERT INTO outcome VALUES ('{writer}', {number}, now()) ON CONFLICT (writer) DO UPDATE SET number = excluded.number, at = excluded.at"
        )
    }

    /// Finds out whether the last transaction was committed, whose answer was lost.
    ///
    /// # Errors
    /// [`StoreError::Unreachable`] if it was not committed, and `lost` if nobody tells in time.
    pub(super) fn find(&self, session: &mut Session, lost: StoreError) -> Result<(), StoreError> {
        let until = Instant::now() + PATIENCE;
        loop {
            match self.is_committed(session) {
                Ok(true) => return Ok(()),
                Ok(false) => {
                    return Err(StoreError::Unreachable(
                        "the connection was lost before the commit".to_owned(),
                    ));
                }
                Err(_) if Instant::now() < until => {
                    session.close();
                    std::thread::sleep(PAUSE);
                }
                Err(_) => {
                    session.close();
                    return Err(lost);
                }
            }
        }
    }

    fn is_committed(&self, session: &mut Session) -> Result<bool, StoreError> {
        let Self { writer, number } = self;
        session.ready()?;
        let sql = format!(
            "BEGIN; SELECT pg_advisory_xact_lock({WRITE_LOCK}); SELECT EXISTS (SELECT FROM outcome WHERE writer = '{writer}' AND number >= {number}); COMMIT"
        );
        let told = session.texts(&sql, STATEMENT)?;
        Ok(told.last().is_some_and(|word| word.as_deref() == Some("t")))
    }
}
