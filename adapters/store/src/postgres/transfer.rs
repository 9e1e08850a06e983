//! A registry in a database, as a copy reads and fills it.

use std::time::Duration;

use super::PostgresAddress;
use super::migrations::{self, MIGRATION, WRITE_LOCK};
use super::session::{Session, ThisRun, Use};
use super::tx::PostgresTx;
use crate::audit::TreeHead;
use crate::transfer::{PAGE, Row, Source, Table, Target};
use crate::value::{ToSql, Value};
use crate::{StoreError, ops};

/// Time for which connections are waited for that are just being closed.
const CLOSING: Duration = Duration::from_secs(2);

/// Settings of the transaction of a copy, which waits for the other side in between.
const SETTINGS: &str =
    "SET LOCAL statement_timeout = '60s'; SET LOCAL idle_in_transaction_session_timeout = '60s'";

/// An existing registry. All reads see one state of it.
pub(crate) struct Existing(Session);

impl Existing {
    /// Opens a registry that no gateway has open. None can write until the copy is made.
    pub(crate) fn offline(address: &PostgresAddress) -> Result<Self, StoreError> {
        let mut session = Session::new(address.clone(), Use::Reading, ThisRun::default())?;
        session.ready()?;
        refuse_in_use(&mut session)?;
        // Until the connection is closed. The state that is read is the one after this.
        session.texts(&format!("SELECT pg_advisory_lock({WRITE_LOCK})"), MIGRATION)?;
        Self::begin(session)
    }

    /// Opens a registry that gateways may have open.
    pub(crate) fn in_use(address: &PostgresAddress) -> Result<Self, StoreError> {
        let mut session = Session::new(address.clone(), Use::Reading, ThisRun::default())?;
        session.ready()?;
        Self::begin(session)
    }

    fn begin(mut session: Session) -> Result<Self, StoreError> {
        let is_here = "SELECT to_regclass('handfast.registry') IS NOT NULL";
        if session.texts(is_here, MIGRATION)?.first() != Some(&Some("t".to_owned())) {
            return Err(StoreError::Refused("there is no registry in this database".to_owned()));
        }
        let begin = format!("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {SETTINGS}");
        session.texts(&begin, MIGRATION)?;
        let stored = session.texts("SELECT version FROM registry", MIGRATION)?;
        migrations::check_to_read(stored.last())?;
        Ok(Self(session))
    }
}

impl Source for Existing {
    fn page(&mut self, table: &Table, after: Option<&Row>) -> Result<Vec<Row>, StoreError> {
        page(&mut self.0, table, after)
    }

    fn audit(&mut self) -> Result<TreeHead, StoreError> {
        ops::audit_head(&mut PostgresTx::new(&mut self.0))
    }
}

/// A registry that is filled in one transaction, which no other sees before it is committed.
pub(crate) struct Fresh(Session);

impl Fresh {
    /// Creates the schema if there is none, and begins.
    pub(crate) fn new(address: &PostgresAddress) -> Result<Self, StoreError> {
        let mut session = Session::new(address.clone(), Use::Writing, ThisRun::default())?;
        session.ready()?;
        refuse_in_use(&mut session)?;
        migrations::migrate(&mut session)?;
        let begin = format!("BEGIN; {SETTINGS}; SELECT pg_advisory_xact_lock({WRITE_LOCK})");
        session.texts(&begin, MIGRATION)?;
        Ok(Self(session))
    }

    /// Turns the triggers off, for this transaction: what they would write is copied too.
    pub(crate) fn without_triggers(&mut self, tables: &[Table]) -> Result<(), StoreError> {
        self.triggers(tables, "DISABLE")
    }

    fn triggers(&mut self, tables: &[Table], how: &str) -> Result<(), StoreError> {
        let alter = |table: &Table| format!("ALTER TABLE {:?} {how} TRIGGER USER", table.name);
        let sql: Vec<_> = tables.iter().map(alter).collect();
        self.0.texts(&sql.join("; "), MIGRATION)?;
        Ok(())
    }

    /// Turns the triggers on again, has the numbers of new rows continue, and commits.
    pub(crate) fn commit(mut self, tables: &[Table]) -> Result<(), StoreError> {
        self.triggers(tables, "ENABLE")?;
        let numbered = tables.iter().filter(|table| table.columns.iter().any(|it| it == "seq"));
        for Table { name, .. } in numbered {
            let sql = format!(
                "SELECT setval(pg_get_serial_sequence('handfast.{name}', 'seq'), coalesce(max(seq), 1), max(seq) IS NOT NULL) FROM {name:?}"
            );
            self.0.texts(&sql, MIGRATION)?;
        }
        self.0.commit("COMMIT")?;
        Ok(())
    }
}

impl Source for Fresh {
    fn page(&mut self, table: &Table, after: Option<&Row>) -> Result<Vec<Row>, StoreError> {
        page(&mut self.0, table, after)
    }

    fn audit(&mut self) -> Result<TreeHead, StoreError> {
        ops::audit_head(&mut PostgresTx::new(&mut self.0))
    }
}

impl Target for Fresh {
    fn clear(&mut self, table: &Table) -> Result<(), StoreError> {
        self.0.batch(&format!("DELETE FROM {:?}", table.name))
    }

    fn add(&mut self, table: &Table, rows: &[Row]) -> Result<(), StoreError> {
        let width = table.columns.len();
        let row = |number: usize| {
            let places: Vec<_> =
                (1..=width).map(|place| format!("${}", number * width + place)).collect();
            format!("({})", places.join(", "))
        };
        let places: Vec<_> = (0..rows.len()).map(row).collect();
        let sql = format!(
            "INSERT INTO {:?} ({}) OVERRIDING SYSTEM VALUE VALUES {}",
            table.name,
            columns(table),
            places.join(", ")
        );
        let values: Vec<&dyn ToSql> = rows.iter().flatten().map(|it| it as &dyn ToSql).collect();
        PostgresTx::new(&mut self.0).execute(&sql, &values)?;
        Ok(())
    }
}

/// Refuses a database that a gateway has open.
fn refuse_in_use(session: &mut Session) -> Result<(), StoreError> {
    let others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'handfast' AND pid <> pg_backend_pid()";
    let pause = CLOSING / 20;
    for _ in 0..20 {
        match session.texts(others, MIGRATION)?.first() {
            Some(Some(none)) if none == "0" => return Ok(()),
            _ => std::thread::sleep(pause),
        }
    }
    Err(StoreError::Refused(
        "a gateway has this database open, and nothing was changed; stop all gateways first"
            .to_owned(),
    ))
}

fn page(session: &mut Session, table: &Table, after: Option<&Row>) -> Result<Vec<Row>, StoreError> {
    // SQLite orders text by its bytes.
    let ordered = |(place, is_text): &(usize, bool)| {
        let collated = if *is_text { " COLLATE \"C\"" } else { "" };
        format!("{:?}{collated}", table.columns[*place])
    };
    let key: Vec<_> = table.key.iter().map(ordered).collect();
    let key = key.join(", ");
    let places: Vec<_> = (1..=table.key.len()).map(|place| format!("${place}")).collect();
    let beyond = match after {
        Some(_) => format!("WHERE ({key}) > ({})", places.join(", ")),
        None => String::new(),
    };
    let sql = format!(
        "SELECT {} FROM {:?} {beyond} ORDER BY {key} LIMIT {PAGE}",
        columns(table),
        table.name
    );
    let last = |row| {
        let row: &Row = row;
        table.key.iter().map(|(place, _)| &row[*place] as &dyn ToSql).collect()
    };
    let last: Vec<&dyn ToSql> = after.map(last).unwrap_or_default();
    PostgresTx::new(session).all(&sql, &last, |row| {
        (0..table.columns.len()).map(|place| row.get::<_, Value>(place)).collect()
    })
}

fn columns(table: &Table) -> String {
    let columns: Vec<_> = table.columns.iter().map(|name| format!("{name:?}")).collect();
    columns.join(", ")
}
