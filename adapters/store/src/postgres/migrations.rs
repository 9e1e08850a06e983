//! Creating and migrating the schema, one gateway at a time.

mod v1;
mod v2;
mod v3;
mod v4;

use std::time::Duration;

use super::session::Session;
use crate::{GATEWAY_KEYS, StoreError};

/// Number of the advisory lock that a transaction takes before it writes: "HfSt".
pub(super) const WRITE_LOCK: i64 = 0x4866_5374;

/// The migrations in order: each brings the schema from the version that is its index to the next
/// one. A released migration is never changed.
const MIGRATIONS: &[&[&str]] = &[v1::V1, v2::V2, v3::V3, v4::V4];

/// The oldest server that has all that the statements use.
const OLDEST_SERVER: u32 = 13;

/// Time that a migration may take, and that a gateway waits for another one's.
pub(super) const MIGRATION: Duration = Duration::from_secs(60);

/// Brings the schema to the version of this program. A schema of a newer version is refused and
/// left as it is.
pub(super) fn migrate(session: &mut Session) -> Result<(), StoreError> {
    session.ready()?;
    let migrated = migrated(session, MIGRATIONS);
    if migrated.is_err() && session.is_open() && session.batch("ROLLBACK").is_err() {
        session.close();
    }
    migrated
}

/// Looks whether the database can hold a registry of this version, and changes nothing.
pub(super) fn look(session: &mut Session) -> Result<Option<Vec<u8>>, StoreError> {
    session.ready()?;
    server_fits(session)?;
    let is_here =
        session.texts("SELECT to_regclass('handfast.registry') IS NOT NULL", MIGRATION)?;
    if is_here.first().cloned().flatten().as_deref() != Some("t") {
        return Ok(None);
    }
    let stored = session.texts("SELECT version FROM registry", MIGRATION)?;
    // A registry whose making was interrupted has no tables yet.
    if version_of(stored.last(), MIGRATIONS.len())? == 0 {
        return Ok(None);
    }
    let sql = "SELECT sealed FROM vault WHERE name = $1";
    let found = session.query(sql, &[&GATEWAY_KEYS])?;
    Ok(found.first().map(|row| row.get(0)))
}

fn migrated(session: &mut Session, migrations: &[&[&str]]) -> Result<(), StoreError> {
    server_fits(session)?;
    // The lock of all writers, so that none of them sees half a schema.
    session.texts(
        &format!(
            "BEGIN; SET LOCAL statement_timeout = '{}s'; SELECT pg_advisory_xact_lock({WRITE_LOCK})",
            MIGRATION.as_secs()
        ),
        MIGRATION,
    )?;
    let is_here =
        session.texts("SELECT to_regclass('handfast.registry') IS NOT NULL", MIGRATION)?;
    let from = match is_here.first() {
        Some(Some(word)) if word == "t" => {
            let stored = session.texts("SELECT version FROM registry", MIGRATION)?;
            version_of(stored.last(), migrations.len())?
        }
        _ => {
            session.texts(
                "CREATE SCHEMA IF NOT EXISTS handfast;
                 CREATE TABLE registry (
                     one     SMALLINT PRIMARY KEY CHECK (one = 1),
                     version INTEGER NOT NULL
                 );
                 INSERT INTO registry VALUES (1, 0)",
                MIGRATION,
            )?;
            0
        }
    };
    for step in migrations.iter().skip(from).flat_map(|steps| steps.iter()) {
        session.texts(step, MIGRATION)?;
    }
    let to = migrations.len();
    session.commit(&format!("UPDATE registry SET version = {to} WHERE version <> {to}; COMMIT"))?;
    Ok(())
}

/// Checks that this server can hold a registry.
fn server_fits(session: &mut Session) -> Result<(), StoreError> {
    let server = session.texts(
        "SELECT current_setting('server_version_num')::int / 10000, current_setting('server_encoding')",
        MIGRATION,
    )?;
    let [version, encoding] = [0, 1].map(|place| server.get(place).cloned().flatten());
    if version
        .as_deref()
        .and_then(|text| text.parse().ok())
        .is_none_or(|it: u32| it < OLDEST_SERVER)
    {
        return Err(StoreError::Refused(format!(
            "this is PostgreSQL {}, and a registry needs {OLDEST_SERVER} or later; nothing was changed",
            version.unwrap_or_default()
        )));
    }
    if encoding.as_deref() != Some("UTF8") {
        return Err(StoreError::Refused(format!(
            "this database keeps text as {}, and a registry needs UTF8; create it with ENCODING 'UTF8' TEMPLATE template0; nothing was changed",
            encoding.unwrap_or_default()
        )));
    }
    Ok(())
}

/// Checks that the schema still has the version of this program.
pub(super) fn check(stored: Option<&Option<String>>) -> Result<(), StoreError> {
    match version_of(stored, MIGRATIONS.len())? {
        version if version == MIGRATIONS.len() => Ok(()),
        version => Err(StoreError::Refused(format!(
            "this registry went back to an older version while it was open (schema {version}, this one knows {}); start again; nothing was changed",
            MIGRATIONS.len()
        ))),
    }
}

/// Checks that the schema has the version of this program, for reading all of it.
#[cfg(feature = "sqlite")]
pub(super) fn check_to_read(stored: Option<&Option<String>>) -> Result<(), StoreError> {
    match version_of(stored, MIGRATIONS.len())? {
        version if version == MIGRATIONS.len() => Ok(()),
        version => Err(StoreError::Refused(format!(
            "this registry has schema {version}, and {} is needed; start this version's gateway on it once; nothing was changed",
            MIGRATIONS.len()
        ))),
    }
}

fn version_of(stored: Option<&Option<String>>, known: usize) -> Result<usize, StoreError> {
    let stored = stored.cloned().flatten().unwrap_or_default();
    let version = stored.parse().ok().filter(|version: &usize| *version <= known);
    version.ok_or_else(|| {
        StoreError::Refused(format!(
            "a newer Handfast wrote this registry (schema {stored}, this one knows {known}); run that one; nothing was changed"
        ))
    })
}
