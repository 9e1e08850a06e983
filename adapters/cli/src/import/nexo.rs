//! Import of a database with the original's pairing tables: setup-code sessions and senders.
//!
//! The import reads a copy of the file. Each row is judged by itself, and its outcome is reported.

use std::collections::HashMap;
use std::path::Path;

use handfast_core::flow::inbound::normalise;
use handfast_core::grant::session::{SessionHash, Token};
use handfast_core::limits::SENDER_META_BYTES;
use handfast_core::registry::inbound::{ChallengeCode, Ident, InboundLimits};
use handfast_core::wire::registration::Profile;
use handfast_core::{Label, Name, UnixTime};
use handfast_store::{ListedSender, SenderName, SenderStanding};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::cells::{Cell, Cells, SourceTable};
use super::report::{FileReport, Named, TableReport};
use super::snapshot::Snapshot;
use super::target::{ImportTarget, ImportedSession, each};
use crate::End;
use crate::print::quoted;

/// Maximum number of rows of a table.
const ROWS: u64 = 2_000_000;
/// Number of rows that are written at once.
const AT_ONCE: usize = 256;
/// Maximum lifetime of an imported session in seconds: the longest that this gateway grants.
const LONGEST_SESSION: u64 = 365 * 86_400;

/// Decisions about senders. Of two rows about one sender, the operator's last decision is read
/// first, and a revocation before an approval. Rows with an unreadable time come before both.
const ALLOWED: SourceTable = SourceTable {
    name: "pairing_allow_from",
    columns: &["channel", "account_id", "sender_id", "approved_at", "approved_via", "revoked_at"],
    order: "ORDER BY (t.revoked_at IS NOT NULL AND NOT (typeof(t.revoked_at) = 'integer' AND t.revoked_at >= 0)) DESC,
            coalesce(t.revoked_at, t.approved_at) DESC, t.revoked_at IS NULL",
};
const PENDING: SourceTable = SourceTable {
    name: "pairing_pending",
    columns: &["channel", "account_id", "sender_id", "code", "created_at", "meta_json"],
    order: "ORDER BY t.created_at",
};
const SESSIONS: SourceTable = SourceTable {
    name: "pairing_sessions",
    columns: &["token", "profile", "device_label", "issued_at", "expires_at"],
    order: "",
};

/// Imports a database. A problem of the file goes into the report.
///
/// # Errors
/// [`End`] if the registry cannot be written.
pub(super) async fn import(
    path: &Path,
    target: &ImportTarget,
    report: &mut FileReport,
) -> Result<(), End> {
    let connection = match open(path) {
        Ok(connection) => connection,
        Err(problem) => {
            report.problem = Some(problem);
            return Ok(());
        }
    };
    let mut found = Vec::new();
    // Decisions come first, because a pending row of an allowed sender is skipped.
    for table in [ALLOWED, PENDING, SESSIONS] {
        match is_there(&connection, &table) {
            Ok(false) => {}
            Ok(true) => found.push(table),
            Err(problem) => {
                report.kind = Some(KIND);
                report.problem = Some(problem);
                return Ok(());
            }
        }
    }
    if found.is_empty() {
        let tables = [ALLOWED.name, PENDING.name, SESSIONS.name].join(", ");
        report.problem = Some(format!("this SQLite file has none of the tables {tables}"));
        return Ok(());
    }
    report.kind = Some(KIND);
    for table in found {
        let what = match table.name {
            "pairing_allow_from" => "senders that were let in",
            "pairing_pending" => "senders that wait",
            _ => "companions' sessions",
        };
        let mut part = TableReport::new(what, table.name);
        let read = rows(&connection, &table, target, &mut part).await;
        report.parts.push(part);
        if let Err(problem) = read? {
            report.problem = Some(format!("{} cannot be read to its end: {problem}", table.name));
            return Ok(());
        }
    }
    Ok(())
}

const KIND: &str = "a database with pairing tables";

fn open(path: &Path) -> Result<Connection, String> {
    let copy = Snapshot::of(path, &["-wal", "-journal"], &[])?;
    let open = || -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&copy.path, flags)?;
        // The schema of a foreign file must not be able to call functions.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
        // In exclusive mode SQLite needs only the files that are open after the first read, which
        // also applies the logs.
        connection.query_row("PRAGMA locking_mode = EXCLUSIVE", [], |_| Ok(()))?;
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
        Ok(connection)
    };
    // The copy contains session tokens. From here on it has no name, so nothing of it remains,
    // however the process ends.
    let opened = open();
    drop(copy);
    opened.map_err(|error| format!("it cannot be read: {error}"))
}

/// Returns `true` if the table exists.
///
/// # Errors
/// The problem, if it is a view or lacks a known column.
fn is_there(connection: &Connection, table: &SourceTable) -> Result<bool, String> {
    let failed = |error: rusqlite::Error| format!("it cannot be read: {error}");
    let kind: Option<String> = connection
        .query_row(
            "SELECT type FROM pragma_table_list WHERE schema = 'main' AND name = ?1",
            [table.name],
            |row| row.get(0),
        )
        .optional()
        .map_err(failed)?;
    match kind.as_deref() {
        None => return Ok(false),
        Some("table") => {}
        Some(other) => return Err(format!("{} is no table but a {other}", table.name)),
    }
    for column in table.columns {
        let sql = "SELECT EXISTS (SELECT 1 FROM pragma_table_info(?1) WHERE name = ?2)";
        let there: bool =
            connection.query_row(sql, [table.name, column], |row| row.get(0)).map_err(failed)?;
        if !there {
            return Err(format!(
                "{} has no column {column}, so it is not the table that is known here",
                table.name
            ));
        }
    }
    Ok(true)
}

/// Reads a table and writes its rows. The inner error is a problem of the file.
async fn rows(
    connection: &Connection,
    table: &SourceTable,
    target: &ImportTarget,
    part: &mut TableReport,
) -> Result<Result<(), String>, End> {
    let sql = table.query();
    let mut statement = match connection.prepare(&sql) {
        Ok(statement) => statement,
        Err(error) => return Ok(Err(error.to_string())),
    };
    let mut rows = match statement.query([]) {
        Ok(rows) => rows,
        Err(error) => return Ok(Err(error.to_string())),
    };
    let mut batch =
        Batch { target, seen: HashMap::new(), allowed: Vec::new(), sessions: Vec::new() };
    let mut number = 0_u64;
    let ended = loop {
        let row = match rows.next() {
            Ok(Some(row)) => row,
            Ok(None) => break Ok(()),
            Err(error) => break Err(error.to_string()),
        };
        number += 1;
        if number > ROWS {
            break Err(format!("it has more than {ROWS} rows"));
        }
        let row = Cells::of(row, table);
        match table.name {
            "pairing_allow_from" => batch.allowed(&row, part),
            "pairing_pending" => batch.pending(&row, part).await?,
            _ => batch.session(&row, number, part),
        }
        if batch.allowed.len() + batch.sessions.len() >= AT_ONCE {
            batch.write(part).await?;
        }
    };
    batch.write(part).await?;
    Ok(ended)
}

/// Rows that wait to be written, and the senders seen so far.
struct Batch<'a> {
    target: &'a ImportTarget,
    /// Senders of earlier rows; `true` if the row was valid.
    seen: HashMap<SenderName, bool>,
    allowed: Vec<(Named, ListedSender)>,
    sessions: Vec<(Named, ImportedSession)>,
}

impl Batch<'_> {
    fn allowed(&mut self, row: &Cells<'_>, part: &mut TableReport) {
        let mut about = Named::of(row.key());
        let Some(name) = self.sender(row, &mut about, part) else { return };
        let read = || {
            let revoked_at = match row.cell(5) {
                Cell::Nothing => None,
                _ => Some(row.time(5)?),
            };
            Ok::<_, String>((row.time(3)?, revoked_at))
        };
        let (at, revoked_at) = match read() {
            Ok(times) => times,
            Err(why) => {
                part.refuse(&about.row, why);
                // A refused row must not let an older decision about its sender take effect.
                self.seen.insert(name, false);
                return;
            }
        };
        let via = match row.text(4) {
            Ok(via) if via.len() <= 64 && !via.chars().any(Label::forbids) => via.to_owned(),
            _ => {
                about.change("approved_via is no readable text of at most 64 bytes; \"import\" stands in for it");
                "import".to_owned()
            }
        };
        self.seen.insert(name.clone(), true);
        let standing = SenderStanding::Allowed { at, via, until: None, revoked_at };
        self.allowed.push((about, ListedSender { name, standing }));
    }

    async fn pending(&mut self, row: &Cells<'_>, part: &mut TableReport) -> Result<(), End> {
        let (mut about, now) = (Named::of(row.key()), self.target.now);
        let Some(name) = self.sender(row, &mut about, part) else { return Ok(()) };
        let read = || {
            let code = row.text(3)?;
            let code = ChallengeCode::parse(code).filter(|read| read.as_str() == code);
            Ok::<_, String>((
                code.ok_or("its code is none of ours: 8 of A-Z and 2-9 without I and O")?,
                row.time(4)?,
            ))
        };
        let (code, created_at) = match read() {
            Ok(read) => read,
            Err(why) => {
                part.refuse(&about.row, why);
                return Ok(());
            }
        };
        let lasts = InboundLimits::DEFAULT.pending_for;
        if created_at.after(lasts) <= now {
            part.skip(&about.row, "its time is over; it gets a new code when it writes again");
            return Ok(());
        }
        if created_at > now.after(lasts) {
            part.refuse(&about.row, "created_at lies in the future");
            return Ok(());
        }
        let meta = match row.text(5) {
            Ok(meta) if meta.len() <= SENDER_META_BYTES && Profile::parse(meta).is_some() => {
                meta.to_owned()
            }
            _ => {
                about.change(format!("meta_json is no JSON object of at most {SENDER_META_BYTES} bytes; {{}} stands in for it"));
                "{}".to_owned()
            }
        };
        self.seen.insert(name.clone(), true);
        let standing = SenderStanding::Pending { code, created_at, meta };
        let came = self.target.waiting(ListedSender { name, standing }).await?;
        part.count(&about, came);
        Ok(())
    }

    fn session(&mut self, row: &Cells<'_>, number: u64, part: &mut TableReport) {
        // The token is the primary key, but it is secret, so the row is named by its number.
        let key = format!("row {number} ({})", row.shown(2));
        let mut about = Named::of(key);
        match companion(row, self.target.now, &mut about) {
            Ok(Some(companion)) => self.sessions.push((about, companion)),
            Ok(None) => part.skip(&about.row, "it has ended"),
            Err(why) => part.refuse(&about.row, why),
        }
    }

    /// Returns the sender of a row in the channel's canonical spelling; `None` if it is refused, or
    /// an earlier row named the same sender.
    fn sender(
        &mut self,
        row: &Cells<'_>,
        about: &mut Named,
        part: &mut TableReport,
    ) -> Option<SenderName> {
        let key = about.row.as_str();
        let name = match named(row) {
            Ok(name) => name,
            Err(why) => {
                part.refuse(key, why);
                return None;
            }
        };
        let spelled = quoted(&name.sender);
        match self.seen.get(&name) {
            None => {}
            Some(true) => {
                part.skip(key, format!("it is the same sender as another row, {spelled}; the later decision of the two counts"));
                return None;
            }
            Some(false) => {
                part.refuse(
                    key,
                    format!("it is the same sender as another row, {spelled}, which was refused"),
                );
                return None;
            }
        }
        if row.text(2).is_ok_and(|raw| raw != name.sender) {
            about.change(format!("the sender is spelled {spelled}"));
        }
        Some(name)
    }

    async fn write(&mut self, part: &mut TableReport) -> Result<(), End> {
        let (about, senders): (Vec<_>, Vec<_>) = self.allowed.drain(..).unzip();
        let came = each(senders, |sender| self.target.clone().allowed(sender)).await?;
        about.iter().zip(came).for_each(|(about, came)| part.count(about, came));
        let (about, sessions): (Vec<_>, Vec<_>) = self.sessions.drain(..).unzip();
        let came = each(sessions, |session| self.target.clone().session(session)).await?;
        about.iter().zip(came).for_each(|(about, came)| part.count(about, came));
        Ok(())
    }
}

fn named(row: &Cells<'_>) -> Result<SenderName, String> {
    let ident = |at| {
        let text = row.text(at)?;
        let wrong = || {
            row.wrong(
                at,
                "must have 1 to 128 bytes, no white space at its ends and no invisible characters",
            )
        };
        Ident::parse(text).map(|ident| ident.as_str().to_owned()).ok_or_else(wrong)
    };
    let (channel, account, raw) = (ident(0)?, ident(1)?, row.text(2)?);
    let normalised = match channel.as_str() {
        "whatsapp" => normalise::whatsapp(raw),
        "telegram" => normalise::telegram(raw),
        _ => normalise::verbatim(raw),
    };
    let sender = normalised.ok_or_else(|| row.wrong(2, &format!("is no sender on {channel}")))?;
    Ok(SenderName { channel, account, sender: sender.as_str().to_owned() })
}

/// Reads a session; `None` if it has ended.
fn companion(
    row: &Cells<'_>,
    now: UnixTime,
    about: &mut Named,
) -> Result<Option<ImportedSession>, String> {
    let token = row.text(0)?;
    let token = Token::parse(token)
        .ok_or("its token is none: 43 characters of A-Z, a-z, 0-9, - and _ are needed")?;
    let label = |at: usize, text: &str| {
        let label = Label::parse(text).filter(|label| label.as_str() == text);
        label
            .map(Name::from)
            .ok_or_else(|| row.wrong(at, "must have 1 to 64 characters, none of them invisible"))
    };
    let profile = label(1, row.text(1)?)?;
    let device_label = match row.cell(2) {
        Cell::Nothing | Cell::Text("") => None,
        // The label is only for people, so a bad one does not end the session.
        _ => match (row.text(2)?, label(2, row.text(2)?)) {
            (_, Ok(label)) => Some(label),
            (text, Err(_)) => {
                let shown = Label::beginning(text);
                about.change("device_label has more than 64 characters or an invisible one; what stands before that is shown");
                shown.map(Name::from)
            }
        },
    };
    let (issued_at, expires_at) = (row.time(3)?, row.time(4)?);
    if expires_at <= now {
        return Ok(None);
    }
    if issued_at.as_secs() > now.as_secs().saturating_add(86_400) {
        return Err(row.wrong(3, "lies in the future"));
    }
    if expires_at.as_secs().saturating_sub(issued_at.as_secs()) > LONGEST_SESSION {
        return Err("it would live longer than a year; let the companion open a new one".to_owned());
    }
    Ok(Some(ImportedSession {
        hash: SessionHash::of(&token),
        profile,
        device_label,
        issued_at,
        expires_at,
    }))
}
