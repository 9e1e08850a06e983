//! A connection to the database, as the thread sees it that owns it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio::time::error::Elapsed;
use tokio_postgres::error::{Severity, SqlState};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error, Row, SimpleQueryMessage, SimpleQueryRow, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::PostgresAddress;
use super::address::CONNECT;
use crate::StoreError;

/// Time after which the server gives up a statement.
pub(super) const STATEMENT: Duration = Duration::from_secs(5);
/// Time by which the answer is later than the server's own limit only if the server does not answer
/// at all.
const GRACE: Duration = Duration::from_secs(1);
/// Times after which a connection that was idle is looked at, and is tried, before it is used.
const IDLE: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(30)];

/// Settings of every connection. A gateway that stops in the middle of a transaction holds up the
/// others no longer than a slow statement does. Each statement has an index that was made for it,
/// so it is planned once, and never reads a whole table because that was small at the time.
const SETTINGS: &str = "
SET search_path = handfast, pg_temp;
SET statement_timeout = '5s';
SET idle_in_transaction_session_timeout = '5s';
SET client_min_messages = error;
SET plan_cache_mode = force_generic_plan;
SET enable_seqscan = off;
SET jit = off;
SET default_transaction_isolation = 'read committed';
SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off';
";

/// SQL for the setting by which a session is recognised.
pub(super) const NAME: &str = "current_setting('handfast.session', true)";

/// The use of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// The server refuses to write.
    Reading,
    Writing,
}

/// A connection that is opened when it is needed, and again after it was lost.
pub(super) struct Session {
    runtime: Runtime,
    address: PostgresAddress,
    tls: MakeRustlsConnect,
    usage: Use,
    run: ThisRun,
    open: Option<Open>,
}

/// The number of the run that the store has begun, for all connections that write.
#[derive(Clone, Debug, Default)]
pub(super) struct ThisRun(Arc<AtomicI64>);

impl ThisRun {
    /// Returns the number. `None` if no run was begun.
    pub(super) fn get(&self) -> Option<i64> {
        Some(self.0.load(Ordering::Acquire)).filter(|run| *run > 0)
    }

    pub(super) fn set(&self, run: i64) {
        self.0.store(run, Ordering::Release);
    }
}

struct Open {
    client: Client,
    /// Sends and receives, while the thread waits for an answer.
    driver: JoinHandle<()>,
    statements: HashMap<String, Statement>,
    last_used: Instant,
    /// A setting of the session, by which it is recognised.
    name: String,
}

impl Session {
    pub(super) fn new(
        address: PostgresAddress,
        usage: Use,
        run: ThisRun,
    ) -> Result<Self, StoreError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|problem| {
            StoreError::Database(format!("no connection can be waited for: {problem}"))
        })?;
        let tls = address.tls()?;
        Ok(Self { runtime, address, tls, usage, run, open: None })
    }

    /// Opens the connection if there is none, or if the one there is does not answer any more.
    pub(super) fn ready(&mut self) -> Result<(), StoreError> {
        let [looked_at, tried] = IDLE;
        match self.open.as_ref().map(|open| open.last_used.elapsed()) {
            Some(idle) if idle > tried => {
                // If it is lost, a new one is opened; that failure is the one that counts.
                let _ = self.batch("");
            }
            Some(idle) if idle > looked_at => self.notice(),
            _ => {}
        }
        match self.open {
            Some(_) => Ok(()),
            None => self.connect(),
        }
    }

    /// Learns that the server has closed the connection meanwhile, without asking the server.
    fn notice(&mut self) {
        self.runtime.block_on(async {
            // The first wakes the task of the connection, which then reads to the end.
            for _ in 0..3 {
                tokio::task::yield_now().await;
            }
        });
        if self.open.as_ref().is_some_and(|open| open.client.is_closed()) {
            self.close();
        }
    }

    /// Returns `false` if the connection was lost.
    pub(super) const fn is_open(&self) -> bool {
        self.open.is_some()
    }

    fn connect(&mut self) -> Result<(), StoreError> {
        let (config, tls) = (self.address.config(), self.tls.clone());
        let opened = self.runtime.block_on(async {
            let (client, connection) = tokio::time::timeout(CONNECT + GRACE, config.connect(tls))
                .await
                .map_err(|_| StoreError::Unreachable("it does not answer".to_owned()))?
                .map_err(|error| refused(&error))?;
            let driver = tokio::spawn(async move {
                // The client gets the error with its next statement.
                let _ = connection.await;
            });
            Ok::<_, StoreError>((client, driver))
        });
        let (client, driver) = opened?;
        let (statements, name) = (HashMap::new(), fresh_name());
        let settings = format!("{SETTINGS} SET handfast.session = '{name}'");
        self.open = Some(Open { client, driver, statements, last_used: Instant::now(), name });
        let set = self.batch(&settings).and_then(|()| match self.usage {
            Use::Reading => self.batch("SET default_transaction_read_only = on"),
            Use::Writing => {
                // The name has no character that would need care.
                let gateway = self.address.gateway();
                let run = self.run.get().map_or_else(String::new, |run| run.to_string());
                self.batch(&format!(
                    "SET handfast.gateway = '{gateway}'; SET handfast.run = '{run}'"
                ))
            }
        });
        set.inspect_err(|_| self.close())
    }

    /// Checks what the database says is the setting [`NAME`]: whether this connection still has the
    /// session to itself that its settings were made in.
    pub(super) fn check_own(&self, told: Option<&Option<String>>) -> Result<(), StoreError> {
        let own = self.open.as_ref().map(|open| &open.name);
        match told.is_some_and(|told| told.as_ref() == own) {
            true => Ok(()),
            false => Err(StoreError::Refused(
                "a pooler in between gives this gateway no session of its own; have it pool by session (pgbouncer: pool_mode = session); nothing was changed"
                    .to_owned(),
            )),
        }
    }

    /// Refuses a pooler that hands a session on between two transactions: it would give this one's
    /// to another connection.
    pub(super) fn refuse_pooler(&mut self) -> Result<(), StoreError> {
        self.ready()?;
        let mut other = Self::new(self.address.clone(), Use::Reading, ThisRun::default())?;
        other.ready()?;
        let told = self.texts(&format!("SELECT {NAME}"), STATEMENT)?;
        self.check_own(told.last())
    }

    /// Closes the connection, whatever is under way on it. The server undoes an open transaction.
    pub(super) fn close(&mut self) {
        let Some(Open { client, driver, .. }) = self.open.take() else { return };
        drop(client);
        driver.abort();
        self.runtime.block_on(async {
            // It was aborted, or had ended; either way its socket is closed now.
            let _ = driver.await;
        });
    }

    /// Runs statements without parameters.
    pub(super) fn batch(&mut self, sql: &str) -> Result<(), StoreError> {
        let open = self.open.as_ref().ok_or_else(lost)?;
        let outcome = self.runtime.block_on(async {
            tokio::time::timeout(STATEMENT + GRACE, open.client.batch_execute(sql)).await
        });
        self.settle(outcome)
    }

    /// Runs statements without parameters, which may take longer than others. Returns the values
    /// of all rows, as text.
    pub(super) fn texts(
        &mut self,
        sql: &str,
        within: Duration,
    ) -> Result<Vec<Option<String>>, StoreError> {
        let open = self.open.as_ref().ok_or_else(lost)?;
        let outcome = self.runtime.block_on(async {
            tokio::time::timeout(within + GRACE, open.client.simple_query(sql)).await
        });
        self.settle(outcome).map(|messages| texts(&messages))
    }

    /// Commits. If the connection is lost meanwhile, nobody knows whether the server did. Returns the
    /// values of all rows, as text.
    pub(super) fn commit(&mut self, sql: &str) -> Result<Vec<Option<String>>, StoreError> {
        let open = self.open.as_ref().ok_or_else(lost)?;
        let outcome = self.runtime.block_on(async {
            tokio::time::timeout(STATEMENT + GRACE, open.client.simple_query(sql)).await
        });
        // Only an error that leaves the session alive says that the transaction was undone.
        let is_known = match &outcome {
            Ok(Ok(_)) => true,
            Ok(Err(error)) => is_error(error),
            Err(_) => false,
        };
        self.settle(outcome).map(|messages| texts(&messages)).map_err(|error| match is_known {
            true => error,
            false => {
                self.close();
                StoreError::OutcomeUnknown(error.to_string())
            }
        })
    }

    /// Runs a statement that yields rows.
    pub(super) fn query(
        &mut self,
        sql: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, StoreError> {
        self.prepared(sql, async |client, statement| client.query(statement, parameters).await)
    }

    /// Runs a statement that yields no rows. Returns the number that it changed.
    pub(super) fn execute(
        &mut self,
        sql: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<usize, StoreError> {
        let rows = self
            .prepared(sql, async |client, statement| client.execute(statement, parameters).await)?;
        Ok(usize::try_from(rows).unwrap_or(usize::MAX))
    }

    fn prepared<T>(
        &mut self,
        sql: &str,
        run: impl AsyncFnOnce(&Client, &Statement) -> Result<T, Error>,
    ) -> Result<T, StoreError> {
        let Open { client, statements, .. } = self.open.as_mut().ok_or_else(lost)?;
        let outcome = self.runtime.block_on(async {
            tokio::time::timeout(STATEMENT + GRACE, async {
                if let Some(statement) = statements.get(sql) {
                    return run(client, statement).await;
                }
                let statement = client.prepare(sql).await?;
                let statement = match statements.entry(sql.to_owned()) {
                    Entry::Occupied(entry) => entry.into_mut(),
                    Entry::Vacant(entry) => entry.insert(statement),
                };
                run(client, statement).await
            })
            .await
        });
        self.settle(outcome)
    }

    /// Converts an answer, and gives up a connection that cannot be used any more.
    fn settle<T>(&mut self, outcome: Result<Result<T, Error>, Elapsed>) -> Result<T, StoreError> {
        match outcome {
            Ok(Ok(answer)) => {
                if let Some(open) = &mut self.open {
                    open.last_used = Instant::now();
                }
                Ok(answer)
            }
            Ok(Err(error)) => {
                let is_closed = self.open.as_ref().is_none_or(|open| open.client.is_closed());
                if is_closed || !is_error(&error) {
                    self.close();
                }
                Err(failed(&error))
            }
            Err(_) => {
                self.close();
                Err(StoreError::Timeout)
            }
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.close();
    }
}

/// Returns a name that no other session has.
fn fresh_name() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{}.{number}.{}", std::process::id(), now.as_nanos())
}

/// Returns the values of all rows.
fn texts(messages: &[SimpleQueryMessage]) -> Vec<Option<String>> {
    let rows = messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    let values = |row: &SimpleQueryRow| {
        (0..row.len()).map(|place| row.get(place).map(str::to_owned)).collect::<Vec<_>>()
    };
    rows.flat_map(values).collect()
}

fn lost() -> StoreError {
    StoreError::Unreachable("the connection was lost".to_owned())
}

/// Returns `true` if the statement failed and the session lives.
fn is_error(error: &Error) -> bool {
    match error.as_db_error() {
        Some(error) => matches!(error.parsed_severity(), Some(Severity::Error)),
        // The parameters or the rows did not have the types that we expect; nothing was lost.
        None => std::error::Error::source(error).is_some_and(is_no_io),
    }
}

fn is_no_io(source: &(dyn std::error::Error + 'static)) -> bool {
    source.downcast_ref::<std::io::Error>().is_none()
}

/// Converts an error that ended a statement. It has no details, which repeat stored values.
fn failed(error: &Error) -> StoreError {
    let Some(told) = error.as_db_error() else {
        return match is_error(error) {
            true => StoreError::Database(causes(error)),
            false => StoreError::Unreachable(causes(error)),
        };
    };
    let code = told.code();
    if *code == SqlState::QUERY_CANCELED {
        StoreError::Timeout
    } else if *code == SqlState::DISK_FULL {
        StoreError::DiskFull
    } else if !is_error(error) {
        StoreError::Unreachable(told.message().to_owned())
    } else {
        StoreError::Database(format!("{} (SQLSTATE {})", told.message(), code.code()))
    }
}

/// Converts an error that kept a connection from being opened.
fn refused(error: &Error) -> StoreError {
    match error.as_db_error() {
        Some(told) => {
            StoreError::Unreachable(format!("{} (SQLSTATE {})", told.message(), told.code().code()))
        }
        None => StoreError::Unreachable(causes(error)),
    }
}

fn causes(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
