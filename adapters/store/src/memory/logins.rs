//! The rows of operators' sessions and tokens.

use std::collections::BTreeSet;

use handfast_core::UnixTime;
use handfast_core::registry::logins::{Login, LoginId, LoginUse};
use handfast_core::registry::sessions::Maker;

use super::MemoryTx;
use crate::ops::{LoginRows, RowResult};

/// A login, and the runs that made it and set its end.
#[derive(Clone, Debug)]
pub(super) struct LoginRow {
    pub(super) login: Login,
    pub(super) run: u64,
    pub(super) use_run: u64,
}

impl LoginRow {
    /// Returns the time at which the login ended, or will.
    fn end(&self) -> UnixTime {
        let Login { expires_at, ends_at, revoked_at, .. } = self.login;
        expires_at.min(ends_at).min(revoked_at.unwrap_or(expires_at))
    }
}

impl LoginRows for MemoryTx {
    fn login(&mut self, id: LoginId) -> RowResult<Option<Login>> {
        Ok(self.logins.get(&id).map(|row| row.login.clone()))
    }

    fn logins(&mut self) -> RowResult<Vec<Login>> {
        let mut all: Vec<Login> = self.logins.values().map(|row| row.login.clone()).collect();
        all.sort_by_key(|login| (login.made_at, login.id));
        Ok(all)
    }

    fn add_login(&mut self, login: &Login) -> RowResult<bool> {
        let run = self.singles.run;
        Ok(self.logins.add(login.id, LoginRow { login: login.clone(), run, use_run: run }))
    }

    fn note_login_use(&mut self, id: LoginId, used: &LoginUse) -> RowResult<bool> {
        let run = self.singles.run;
        let such = |key: &LoginId, row: &LoginRow| *key == id && row.login.revoked_at.is_none();
        let noted = self.logins.change_all(such, |row| {
            row.login.used_at = Some(used.at);
            row.login.used_from = used.from;
            row.login.expires_at = used.expires_at;
            row.use_run = run;
        });
        Ok(!noted.is_empty())
    }

    fn revoke_login(&mut self, id: LoginId, now: UnixTime) -> RowResult<bool> {
        let such = |key: &LoginId, row: &LoginRow| *key == id && row.login.revoked_at.is_none();
        Ok(!self.logins.change_all(such, |row| row.login.revoked_at = Some(now)).is_empty())
    }

    fn forget_logins(&mut self, before: UnixTime, most: u32) -> RowResult<()> {
        let order =
            |id: &LoginId, row: &LoginRow| Some((row.end(), *id)).filter(|it| it.0 < before);
        for id in self.logins.first(most, order) {
            self.logins.remove(&id);
        }
        Ok(())
    }

    fn kill_codes_of_login(&mut self, id: LoginId, now: UnixTime) -> RowResult<u64> {
        let killed = self.codes.change_all(
            |_, row| row.code.maker == Maker::Login(id) && row.has_uses(),
            |row| row.kill(now),
        );
        Ok(killed.len() as u64)
    }

    fn close_window_of_login(&mut self, id: LoginId) -> RowResult<bool> {
        let closes = self.singles.window.opened.is_some_and(|it| it.by == Maker::Login(id));
        if closes {
            self.singles.window.opened = None;
            self.singles.window_run = self.singles.run;
        }
        Ok(closes)
    }

    fn login_makers(&mut self, now: UnixTime) -> RowResult<Vec<LoginId>> {
        let codes = self.codes.values().filter(|row| row.lives(now)).map(|row| row.code.maker);
        let window = self.singles.window.opened.map(|opened| opened.by);
        let makers: BTreeSet<LoginId> = codes.chain(window).filter_map(Maker::login).collect();
        Ok(makers.into_iter().collect())
    }
}
