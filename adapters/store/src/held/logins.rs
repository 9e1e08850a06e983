//! Operators' sessions and tokens, with the held decisions applied.

use async_trait::async_trait;
use handfast_core::UnixTime;
use handfast_core::registry::logins::{Login, LoginId, LoginUse};

use super::HeldStore;
use crate::{EndedWith, Logins, SaveError, StoreError};

impl HeldStore {
    fn seen_login(&self, login: Login) -> Login {
        let held = self.held.login(login.id);
        Login { revoked_at: login.revoked_at.or(held), ..login }
    }
}

#[async_trait]
impl Logins for HeldStore {
    async fn insert_login(&self, login: Login, now: UnixTime) -> Result<bool, SaveError> {
        self.wrote_save(self.store.insert_login(login, now).await)
    }

    async fn login(&self, id: LoginId) -> Result<Option<Login>, StoreError> {
        Ok(self.store.login(id).await?.map(|login| self.seen_login(login)))
    }

    async fn logins(&self) -> Result<Vec<Login>, StoreError> {
        let all = self.store.logins().await?;
        Ok(all.into_iter().map(|login| self.seen_login(login)).collect())
    }

    async fn login_used(&self, id: LoginId, used: LoginUse) -> Result<bool, StoreError> {
        if self.held.login(id).is_some() {
            return Ok(false);
        }
        self.wrote(self.store.login_used(id, used).await)
    }

    async fn end_login(&self, id: LoginId, now: UnixTime) -> Result<(bool, EndedWith), StoreError> {
        self.wrote(self.store.end_login(id, now).await)
    }
}
