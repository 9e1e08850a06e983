//! The rows of PINs and codes, of the window, and of the guesses of each source.

use crate::value::params;
use handfast_core::registry::codes::{CodeId, Counted, Guesser, Kind, Window};
use handfast_core::wire::native::pair::Selector;
use handfast_core::{Name, Source, UnixTime};

use super::tx::PostgresTx;
use crate::StoredCode;
use crate::ops::{CodeRows, PinRow, RowResult};
use crate::rows::{self, integer};

impl CodeRows for PostgresTx<'_> {
    fn window(&mut self) -> RowResult<Window> {
        let sql = "SELECT opened_at, closes, opened_by, opened_login, guesses FROM pairing_window";
        self.one(sql, params![], rows::window)?
    }

    fn set_window(&mut self, Window { opened, guesses }: &Window) -> RowResult<()> {
        let closes = opened.and_then(|opened| opened.closes);
        let sql = "UPDATE pairing_window SET opened_at = $1, closes = $2, guesses = $3, opened_by = $4, opened_login = $5";
        self.execute(
            sql,
            params![
                opened.map(|opened| integer(opened.at)),
                closes.map(integer),
                guesses,
                opened.and_then(|opened| rows::session(opened.by)),
                opened.and_then(|opened| rows::login(opened.by)),
            ],
        )?;
        Ok(())
    }

    fn guesses_of(&mut self, source: Source) -> RowResult<u8> {
        let sql = "SELECT guesses FROM pin_guesses WHERE source = $1";
        Ok(self.find(sql, params![source.as_bytes()], |row| row.get(0))?.unwrap_or_default())
    }

    fn set_guesses(&mut self, source: Source, guesses: u8) -> RowResult<()> {
        let sql = match guesses {
            0 => "DELETE FROM pin_guesses WHERE source = $1 AND $2::bigint = 0",
            _ => {
                "INSERT INTO pin_guesses VALUES ($1, $2) ON CONFLICT (source) DO UPDATE SET guesses = $2"
            }
        };
        self.execute(sql, params![source.as_bytes(), guesses])?;
        Ok(())
    }

    fn forget_guesses(&mut self) -> RowResult<()> {
        self.execute("DELETE FROM pin_guesses", params![])?;
        Ok(())
    }

    fn guessers(&mut self) -> RowResult<Vec<Guesser>> {
        let sql = "SELECT source, guesses FROM pin_guesses ORDER BY source";
        self.all(sql, params![], |row| {
            Ok(Guesser { source: Source::from_bytes(row.get(0)?), guesses: row.get(1)? })
        })
    }

    fn count_stray(&mut self) -> RowResult<()> {
        self.execute("UPDATE pairing_window SET strays = strays + 1", params![])?;
        Ok(())
    }

    fn code(&mut self, id: CodeId) -> RowResult<Option<StoredCode>> {
        let sql = "SELECT * FROM code WHERE code_id = $1";
        self.find(sql, params![id.as_bytes()], rows::code)?.transpose()
    }

    fn code_by_selector(
        &mut self,
        selector: Selector,
        now: UnixTime,
    ) -> RowResult<Option<StoredCode>> {
        let sql =
            "SELECT * FROM code WHERE selector = $1 AND dead_since > $2 AND uses_left > 0 LIMIT 1";
        self.find(sql, params![selector.as_str(), integer(now)], rows::code)?.transpose()
    }

    fn live_codes(&mut self, now: UnixTime) -> RowResult<Vec<StoredCode>> {
        let sql = "SELECT code_id, pin_for, selector, expires, guesses, uses_left, grant_for, created_at, label, scopes, maker, login, source, provisions, NULL::bytea AS sealed
             FROM code WHERE dead_since > $1 AND uses_left > 0 ORDER BY seq DESC";
        self.all(sql, params![integer(now)], rows::code)?.into_iter().collect()
    }

    fn live_pins(&mut self, now: UnixTime) -> RowResult<Vec<PinRow>> {
        let sql = "SELECT code_id, pin_for, source, guesses FROM code
             WHERE pin_for IS NOT NULL AND dead_since > $1 AND uses_left > 0 ORDER BY seq";
        self.all(sql, params![integer(now)], |row| {
            Ok(PinRow {
                id: CodeId::from_bytes(row.get(0)?),
                key: row.get(1)?,
                source: row.get::<_, Option<_>>(2)?.map(Source::from_bytes),
                guesses: row.get(3)?,
            })
        })
    }

    fn count_codes(&mut self, now: UnixTime) -> RowResult<(u32, u32)> {
        let sql = "SELECT count(*), count(maker) FROM code
                   WHERE selector IS NOT NULL AND dead_since > $1 AND uses_left > 0";
        self.one(sql, params![integer(now)], |row| Ok((row.get(0)?, row.get(1)?)))
    }

    fn add_code(&mut self, code: &StoredCode) -> RowResult<()> {
        let StoredCode { id, counted, sealed, scopes, .. } = code;
        let StoredCode { grant_for, created_at, label, maker, source, provisions, .. } = code;
        let Counted { kind, expires, guesses, uses_left } = counted;
        let (pin_for, selector) = match kind {
            Kind::Pin(key) => (Some(key.as_bytes()), None),
            Kind::Code(selector) => (None, Some(selector.as_str())),
            // The checks want a selector where there is no PIN, and no code has this one.
            Kind::Provisioning => (None, Some("")),
        };
        let sql = "INSERT INTO code (code_id, pin_for, selector, expires, dead_since, guesses, uses_left, grant_for, created_at, label,
                               scopes, sealed, maker, source, provisions, login)
             VALUES ($1, $2, $3, $4, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)";
        self.execute(
            sql,
            params![
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
                provisions.as_ref().map(Name::as_str),
                rows::login(*maker),
            ],
        )?;
        Ok(())
    }

    fn set_counters(
        &mut self,
        id: CodeId,
        guesses: u8,
        uses_left: u8,
        now: UnixTime,
    ) -> RowResult<()> {
        if uses_left > 0 {
            let sql = "UPDATE code SET guesses = $2, uses_left = $3 WHERE code_id = $1";
            self.execute(sql, params![id.as_bytes(), guesses, uses_left])?;
        } else {
            let sql = "UPDATE code SET guesses = $2, uses_left = 0, sealed = NULL, dead_since = least(dead_since, $3) WHERE code_id = $1";
            self.execute(sql, params![id.as_bytes(), guesses, integer(now)])?;
        }
        Ok(())
    }

    fn kill_code(&mut self, id: CodeId, now: UnixTime) -> RowResult<bool> {
        let sql = "UPDATE code SET expires = least(expires, $2), dead_since = least(dead_since, $2), uses_left = 0, sealed = NULL
                   WHERE code_id = $1 AND uses_left > 0";
        Ok(self.execute(sql, params![id.as_bytes(), integer(now)])? == 1)
    }

    fn forget_codes(&mut self, before: UnixTime, most: u32) -> RowResult<()> {
        let sql = "DELETE FROM code WHERE seq IN (SELECT seq FROM code
                   WHERE dead_since < $1 ORDER BY dead_since, seq LIMIT $2)";
        self.execute(sql, params![integer(before), most])?;
        Ok(())
    }

    fn erase_dead_codes(&mut self, most: u32, now: UnixTime) -> RowResult<()> {
        let sql = "UPDATE code SET sealed = NULL WHERE seq IN (SELECT seq FROM code
                   WHERE sealed IS NOT NULL AND dead_since <= $1 ORDER BY dead_since, seq LIMIT $2)";
        self.execute(sql, params![integer(now), most])?;
        Ok(())
    }
}
