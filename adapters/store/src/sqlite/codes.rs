//! PINs, codes and the window.

use std::sync::atomic::{AtomicBool, Ordering};

use handfast_core::id::Source;
use handfast_core::limits::GUESSES_PER_CODE;
use handfast_core::registry::codes::{
    self, CodeId, Counted, Guesser, Kind, LivePin, NoGuess, PinRoom, Reserved, Window,
};
use handfast_core::registry::sessions::SessionId;
use handfast_core::time::UnixTime;
use handfast_core::wire::native::pair::Selector;
use rusqlite::{Connection, OptionalExtension, ToSql, params};

use super::deliveries;
use super::makers;
use super::rows::{self, integer};
use crate::{CODES, NotMinted, PINS, StoreError, StoredCode, rules};

pub(super) fn window(connection: &Connection) -> Result<Window, StoreError> {
    connection
        .prepare_cached("SELECT opened_at, closes, opened_by, guesses FROM pairing_window")?
        .query_row([], rows::window)?
}

pub(super) fn set_window(connection: &Connection, window: &Window) -> Result<(), StoreError> {
    let Window { opened, guesses } = window;
    let closes = opened.and_then(|opened| opened.closes);
    connection
        .prepare_cached(
            "UPDATE pairing_window SET opened_at = ?1, closes = ?2, guesses = ?3, opened_by = ?4",
        )?
        .execute(params![
            opened.map(|opened| integer(opened.at)),
            closes.map(integer),
            guesses,
            opened.and_then(|opened| rows::session(opened.by))
        ])?;
    Ok(())
}

/// Sets the window for a caller. A window without counted guesses resets those of every source.
pub(super) fn begin_window(connection: &Connection, window: &Window) -> Result<(), StoreError> {
    set_window(connection, window)?;
    if window.guesses == 0 {
        connection.prepare_cached("DELETE FROM pin_guesses")?.execute([])?;
    }
    Ok(())
}

pub(super) fn guessers(
    connection: &Connection,
) -> rusqlite::Result<Result<Vec<Guesser>, StoreError>> {
    let mut statement =
        connection.prepare_cached("SELECT source, guesses FROM pin_guesses ORDER BY source")?;
    let read = statement.query_map([], |row| {
        Ok(Guesser { source: Source::from_bytes(row.get(0)?), guesses: row.get(1)? })
    })?;
    read.collect::<Result<_, _>>().map(Ok)
}

fn of(connection: &Connection, source: Source) -> rusqlite::Result<u8> {
    let mut statement =
        connection.prepare_cached("SELECT guesses FROM pin_guesses WHERE source = ?1")?;
    Ok(statement.query_row([source.as_bytes()], |row| row.get(0)).optional()?.unwrap_or_default())
}

fn count(connection: &Connection, source: Source, guesses: u8) -> rusqlite::Result<()> {
    let sql = match guesses {
        0 => "DELETE FROM pin_guesses WHERE source = ?1 AND ?2 = 0",
        _ => {
            "INSERT INTO pin_guesses VALUES (?1, ?2) ON CONFLICT (source) DO UPDATE SET guesses = ?2"
        }
    };
    connection.prepare_cached(sql)?.execute(params![source.as_bytes(), guesses]).map(drop)
}

/// Returns the live PINs for other keys than this, the oldest first.
fn others(
    connection: &Connection,
    key: &[u8; 32],
    now: UnixTime,
) -> rusqlite::Result<(Vec<LivePin>, Vec<i64>)> {
    let mut statement = connection.prepare_cached(
        "SELECT seq, source, guesses FROM code INDEXED BY code_pins
         WHERE pin_for IS NOT NULL AND dead_since > ?1 AND uses_left > 0 AND pin_for <> ?2 AND guesses < ?3 ORDER BY seq",
    )?;
    let pins = statement.query_map(params![integer(now), key, GUESSES_PER_CODE], |row| {
        let source = row.get::<_, Option<[u8; 16]>>(1)?.map(Source::from_bytes);
        Ok((LivePin { source, begun: row.get::<_, u8>(2)? > 0 }, row.get::<_, i64>(0)?))
    })?;
    pins.collect()
}

const KILL: &str = "UPDATE code SET expires = min(expires, ?2), dead_since = min(dead_since, ?2), uses_left = 0, sealed = NULL WHERE seq = ?1";

/// Mints a code. Sets `erased` if a secret is erased, because the log then has to be cut.
pub(super) fn mint(
    connection: &Connection,
    code: &StoredCode,
    now: UnixTime,
    erased: &AtomicBool,
) -> Result<Result<(), NotMinted>, StoreError> {
    purge(connection, now, erased)?;
    if self::code(connection, code.id)?.is_some() {
        return Err(StoreError::Database("the fresh id of a code is taken".to_owned()));
    }
    if makers::end_of(connection, code.maker, now)?.is_none() {
        return Ok(Err(NotMinted::MakerEnded));
    }
    let fits = match code.counted.kind {
        // The checks and the changes share a transaction, so concurrent calls cannot exceed the
        // limit.
        Kind::Pin(key) => match window(connection)?.admits(now) {
            Err(no) => Err(no.into()),
            Ok(()) => {
                let (pins, places) = others(connection, key.as_bytes(), now)?;
                let room = codes::pin_room(&pins, code.source, PINS as usize);
                if room == PinRoom::Full {
                    Err(NotMinted::TooMany)
                } else {
                    // Only now: if there was no room, the older PIN of the key stays live.
                    let killed = connection
                        .prepare_cached(concat!(
                            "UPDATE code INDEXED BY code_by_pin SET expires = min(expires, ?1), dead_since = min(dead_since, ?1),",
                            " uses_left = 0, sealed = NULL WHERE pin_for = ?2 AND dead_since > ?1"
                        ))?
                        .execute(params![integer(now), key.as_bytes()])?;
                    note(erased, killed);
                    if let PinRoom::InPlaceOf(at) = room
                        && let Some(place) = places.get(at)
                    {
                        note(
                            erased,
                            connection
                                .prepare_cached(KILL)?
                                .execute(params![place, integer(now)])?,
                        );
                    }
                    Ok(())
                }
            }
        },
        Kind::Code(selector) => {
            let all = "SELECT count(*) FROM code INDEXED BY code_by_death
                       WHERE selector IS NOT NULL AND dead_since > ?1 AND uses_left > 0";
            let of_sessions = "SELECT count(*) FROM code INDEXED BY code_by_death
                               WHERE selector IS NOT NULL AND dead_since > ?1 AND uses_left > 0 AND maker IS NOT NULL";
            let count = |sql| number(connection, sql, params![integer(now)]);
            if by_selector(connection, selector, now)?.is_some() {
                Err(NotMinted::Taken)
            } else if codes::has_room(code.maker, count(all)?, count(of_sessions)?, CODES) {
                Ok(())
            } else {
                Err(NotMinted::TooMany)
            }
        }
    };
    if fits.is_ok() {
        add(connection, code)?;
    }
    Ok(fits)
}

fn add(connection: &Connection, code: &StoredCode) -> Result<(), StoreError> {
    let StoredCode { id, counted, sealed, scopes, grant_for, created_at, label, maker, source } =
        code;
    let Counted { kind, expires, guesses, uses_left } = counted;
    let (pin_for, selector) = match kind {
        Kind::Pin(key) => (Some(key.as_bytes()), None),
        Kind::Code(selector) => (None, Some(selector.as_str())),
    };
    connection
        .prepare_cached(
            "INSERT INTO code (code_id, pin_for, selector, expires, dead_since, guesses, uses_left, grant_for, created_at, label,
                               scopes, sealed, maker, source)
             VALUES (?1, ?2, ?3, ?4, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
        )?
        .execute(params![
            id.as_bytes(),
            pin_for,
            selector,
            integer(*expires),
            guesses,
            uses_left,
            grant_for.map(|seconds| i64::try_from(seconds).unwrap_or(i64::MAX)),
            integer(*created_at),
            label,
            scopes.as_str(),
            // A code without uses is dead, and a dead code has no secret.
            Some(sealed).filter(|_| *uses_left > 0),
            rows::session(*maker),
            source.as_ref().map(Source::as_bytes),
        ])?;
    Ok(())
}

pub(super) fn code(connection: &Connection, id: CodeId) -> Result<Option<StoredCode>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT * FROM code WHERE code_id = ?1")?;
    statement.query_row([id.as_bytes()], rows::code).optional()?.transpose()
}

pub(super) fn by_selector(
    connection: &Connection,
    selector: Selector,
    now: UnixTime,
) -> Result<Option<StoredCode>, StoreError> {
    let sql = "SELECT * FROM code INDEXED BY code_by_selector WHERE selector = ?1 AND dead_since > ?2 AND uses_left > 0 LIMIT 1";
    let mut statement = connection.prepare_cached(sql)?;
    statement
        .query_row(params![selector.as_str(), integer(now)], rows::code)
        .optional()?
        .transpose()
}

pub(super) fn live(
    connection: &Connection,
    now: UnixTime,
) -> rusqlite::Result<Result<Vec<StoredCode>, StoreError>> {
    let mut statement = connection.prepare_cached(
        "SELECT code_id, pin_for, selector, expires, guesses, uses_left, grant_for, created_at, label, scopes, maker, source, NULL AS sealed
         FROM code INDEXED BY code_by_death WHERE dead_since > ?1 AND uses_left > 0 ORDER BY seq DESC",
    )?;
    statement.query_map([integer(now)], rows::code)?.collect()
}

pub(super) fn reserve(
    connection: &Connection,
    id: Option<CodeId>,
    source: Source,
    now: UnixTime,
) -> Result<Result<u8, NoGuess>, StoreError> {
    // A guess at no code looks one up too, and reads the window: each path costs three reads and
    // writes one row, so their times match.
    let code = code(connection, id.unwrap_or(CodeId::from_bytes([0; 16])))?;
    let (window, before) = (window(connection)?, of(connection, source)?);
    let Some(id) = id else {
        connection.prepare_cached("UPDATE pairing_window SET strays = strays + 1")?.execute([])?;
        return Ok(Ok(GUESSES_PER_CODE - 1));
    };
    let Some(StoredCode { counted, .. }) = code else { return Ok(Err(NoGuess::Expired)) };
    let Reserved { guesses, window: counting, of_source, left } =
        match codes::reserve(&counted, &window, before, now) {
            Ok(reserved) => reserved,
            Err(no) => return Ok(Err(no)),
        };
    connection
        .prepare_cached("UPDATE code SET guesses = ?2 WHERE code_id = ?1")?
        .execute(params![id.as_bytes(), guesses])?;
    // A guess at an operator's code changes neither the window nor the source's count.
    if counting != window {
        set_window(connection, &counting)?;
        count(connection, source, of_source)?;
    }
    Ok(Ok(left))
}

pub(super) fn spend(
    connection: &Connection,
    id: CodeId,
    source: Source,
    reserved_at: UnixTime,
    now: UnixTime,
    erased: &AtomicBool,
) -> Result<bool, StoreError> {
    let Some(StoredCode { counted, .. }) = code(connection, id)? else { return Ok(false) };
    let (window, before) = (window(connection)?, of(connection, source)?);
    let Some((counted, given_back, of_source)) =
        codes::spend(&counted, &window, before, reserved_at)
    else {
        return Ok(false);
    };
    let Counted { guesses, uses_left, .. } = counted;
    if uses_left > 0 {
        connection
            .prepare_cached("UPDATE code SET guesses = ?2, uses_left = ?3 WHERE code_id = ?1")?
            .execute(params![id.as_bytes(), guesses, uses_left])?;
    } else {
        let spent = connection
            .prepare_cached(
                "UPDATE code SET guesses = ?2, uses_left = 0, sealed = NULL, dead_since = min(dead_since, ?3) WHERE code_id = ?1",
            )?
            .execute(params![id.as_bytes(), guesses, integer(now)])?;
        note(erased, spent);
    }
    deliveries::used(connection, id.as_bytes())?;
    if given_back != window {
        set_window(connection, &given_back)?;
        count(connection, source, of_source)?;
    }
    Ok(true)
}

pub(super) fn withdraw(
    connection: &Connection,
    id: CodeId,
    now: UnixTime,
    erased: &AtomicBool,
) -> Result<bool, StoreError> {
    let withdrawn = connection
        .prepare_cached(
            "UPDATE code SET expires = min(expires, ?2), dead_since = min(dead_since, ?2), uses_left = 0, sealed = NULL
             WHERE code_id = ?1 AND uses_left > 0",
        )?
        .execute(params![id.as_bytes(), integer(now)])?;
    note(erased, withdrawn);
    Ok(withdrawn == 1)
}

/// Withdraws the codes that this session minted and that live after this time. Returns their
/// number.
pub(super) fn end_made_by(
    connection: &Connection,
    session: SessionId,
    after: i64,
    now: UnixTime,
    erased: &AtomicBool,
) -> Result<u64, StoreError> {
    let sql = "UPDATE code INDEXED BY code_by_maker SET expires = min(expires, ?2), dead_since = min(dead_since, ?2),
                      uses_left = 0, sealed = NULL WHERE maker = ?1 AND uses_left > 0 AND dead_since > ?3";
    let killed = connection.prepare_cached(sql)?.execute(params![
        session.as_bytes(),
        integer(now),
        after
    ])?;
    note(erased, killed);
    Ok(killed as u64)
}

/// Removes codes that have been dead for long, and erases the secrets of dead ones.
fn purge(connection: &Connection, now: UnixTime, erased: &AtomicBool) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "DELETE FROM code WHERE seq IN (SELECT seq FROM code INDEXED BY code_by_death
             WHERE dead_since < ?1 ORDER BY dead_since, seq LIMIT ?2)",
        )?
        .execute(params![integer(rules::oldest_death(now)), rules::PURGE])?;
    let expired = connection
        .prepare_cached(
            "UPDATE code SET sealed = NULL WHERE seq IN (SELECT seq FROM code INDEXED BY code_unerased
             WHERE sealed IS NOT NULL AND dead_since <= ?1 ORDER BY dead_since, seq LIMIT ?2)",
        )?
        .execute(params![integer(now), rules::PURGE])?;
    note(erased, expired);
    Ok(())
}

fn note(erased: &AtomicBool, rows: usize) {
    if rows > 0 {
        erased.store(true, Ordering::Relaxed);
    }
}

fn number(connection: &Connection, sql: &str, parameters: &[&dyn ToSql]) -> rusqlite::Result<u32> {
    connection.prepare_cached(sql)?.query_row(parameters, |row| row.get(0))
}
