//! The rows of operators' sessions and tokens.

use crate::value::params;
use handfast_core::UnixTime;
use handfast_core::registry::logins::{Login, LoginId, LoginUse};

use super::tx::PostgresTx;
use crate::ops::{LoginRows, RowResult};
use crate::rows::integer;
use crate::rows::logins::login;

impl LoginRows for PostgresTx<'_> {
    fn login(&mut self, id: LoginId) -> RowResult<Option<Login>> {
        let sql = "SELECT * FROM login WHERE login_id = $1";
        self.find(sql, params![id.as_bytes()], login)?.transpose()
    }

    fn logins(&mut self) -> RowResult<Vec<Login>> {
        let sql = "SELECT * FROM login ORDER BY made_at, login_id";
        self.all(sql, params![], login)?.into_iter().collect()
    }

    fn add_login(&mut self, login: &Login) -> RowResult<bool> {
        let Login { id, kind, hash, name, role, made_at, .. } = login;
        let Login { used_at, used_from, expires_at, ends_at, revoked_at, .. } = login;
        let sql = "INSERT INTO login (login_id, kind, hash, name, role, made_at, used_at, used_from, expires_at, ends_at, revoked_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT DO NOTHING";
        let inserted = self.execute(
            sql,
            params![
                id.as_bytes(),
                kind.as_str(),
                hash.as_bytes(),
                name.as_str(),
                role.as_str(),
                integer(*made_at),
                used_at.map(integer),
                used_from.map(|address| address.to_string()),
                integer(*expires_at),
                integer(*ends_at),
                revoked_at.map(integer),
            ],
        )?;
        Ok(inserted == 1)
    }

    fn note_login_use(&mut self, id: LoginId, used: &LoginUse) -> RowResult<bool> {
        let LoginUse { at, from, expires_at } = used;
        let sql = "UPDATE login SET used_at = $2, used_from = $3, expires_at = $4,
                       use_run = this_run()
                   WHERE login_id = $1 AND revoked_at IS NULL";
        let from = from.map(|address| address.to_string());
        let used = params![id.as_bytes(), integer(*at), from, integer(*expires_at)];
        Ok(self.execute(sql, used)? == 1)
    }

    fn revoke_login(&mut self, id: LoginId, now: UnixTime) -> RowResult<bool> {
        let sql = "UPDATE login SET revoked_at = $2 WHERE login_id = $1 AND revoked_at IS NULL";
        Ok(self.execute(sql, params![id.as_bytes(), integer(now)])? == 1)
    }

    fn forget_logins(&mut self, before: UnixTime, most: u32) -> RowResult<()> {
        let sql = "DELETE FROM login WHERE login_id IN (SELECT login_id FROM login
             WHERE ended_at < $1 ORDER BY ended_at, login_id LIMIT $2)";
        self.execute(sql, params![integer(before), most])?;
        Ok(())
    }

    fn kill_codes_of_login(&mut self, id: LoginId, now: UnixTime) -> RowResult<u64> {
        let sql =
            "UPDATE code SET expires = least(expires, $2), dead_since = least(dead_since, $2),
                      uses_left = 0, sealed = NULL WHERE login = $1 AND uses_left > 0";
        Ok(self.execute(sql, params![id.as_bytes(), integer(now)])? as u64)
    }

    fn close_window_of_login(&mut self, id: LoginId) -> RowResult<bool> {
        let sql = "UPDATE pairing_window SET opened_at = NULL, closes = NULL, opened_login = NULL
                   WHERE opened_login = $1";
        Ok(self.execute(sql, params![id.as_bytes()])? > 0)
    }

    fn login_makers(&mut self, now: UnixTime) -> RowResult<Vec<LoginId>> {
        let sql = "SELECT login FROM code
                       WHERE login IS NOT NULL AND dead_since > $1 AND uses_left > 0
                   UNION SELECT opened_login FROM pairing_window WHERE opened_login IS NOT NULL";
        self.all(sql, params![integer(now)], |row| row.get(0).map(LoginId::from_bytes))
    }
}
