//! The first version: everything that the eleventh version of the SQLite schema has, and a log of
//! changes.

mod changes;
mod devices;
mod operators;

use changes::CHANGES;
use devices::{GRANTS, NODES, REQUESTS, TASKS};
use operators::{AUDIT, CODES, SENDERS, SESSIONS};

/// The migration. Names and meanings of tables, columns and indices are those of SQLite, so that
/// its migrations describe them.
///
/// **Order.** Text is compared by its bytes (`COLLATE "C"`), as core compares it.
///
/// **Runs** are written by triggers before a row is, so that no statement can forget it.
///
/// **Tallies** are kept by triggers inside the transaction of each change. One of pending nodes
/// includes expired ones until they are purged.
pub(super) const V1: &[&str] =
    &[NODES, REQUESTS, GRANTS, CODES, SESSIONS, SENDERS, TASKS, AUDIT, CHANGES];
