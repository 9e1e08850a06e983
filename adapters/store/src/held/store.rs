//! The methods of [`Store`] and [`Vault`], with the held decisions applied to every read.

use std::sync::Arc;

use async_trait::async_trait;
use handfast_core::crypto::x25519;
use handfast_core::grant::capability::{self, Held as Block};
use handfast_core::grant::scope::AskedScopesBuf;
use handfast_core::limits::Limits;
use handfast_core::registry::admission::{PendingRequest, RequestKey};
use handfast_core::registry::ceiling::Ceiling;
use handfast_core::registry::codes::{CodeId, Guesser, Kind, NoGuess, Window};
use handfast_core::registry::delivery::Ticket;
use handfast_core::registry::grants::{Grant, GrantId};
use handfast_core::registry::lifecycle::Decision;
use handfast_core::registry::record::{Record, Standing};
use handfast_core::registry::rejection::Rejection;
use handfast_core::registry::sessions::Maker;
use handfast_core::wire::native::pair::Selector;
use handfast_core::{Name, NodeId, Refusal, Source, UnixTime};

use super::{Cut, HeldStore};
use crate::audit::{Entry as AuditEntry, Origin};
use crate::{
    Activation, Counts, Filter, Listed, NotMinted, NotStored, Observation, Revoked, SaveError,
    Shared, Store, StoreError, Stored, StoredCertificate, StoredCode, Vault, Version,
};

#[async_trait]
impl Store for HeldStore {
    fn by(self: Arc<Self>, origin: Origin) -> Arc<dyn Store> {
        let store = Arc::clone(&self.store).by(origin);
        Arc::new(Self { store, held: Arc::clone(&self.held) })
    }

    async fn admit(
        &self,
        asking: PendingRequest,
        profile: String,
        limits: Limits,
        now: UnixTime,
    ) -> Result<Result<NodeId, Refusal>, StoreError> {
        self.wrote(self.store.admit(asking, profile, limits, now).await)
    }

    async fn rejection(&self, key: RequestKey) -> Result<Option<Rejection>, StoreError> {
        Ok(self.held.rejection(key, self.store.rejection(key).await?))
    }

    async fn named(
        &self,
        name: &str,
        limit: usize,
        now: UnixTime,
    ) -> Result<Vec<Listed>, StoreError> {
        let found = self.store.named(name, limit, now).await?;
        Ok(found.into_iter().map(|listed| self.seen_listed(listed)).collect())
    }

    async fn load(&self, node_id: NodeId) -> Result<Option<Stored>, StoreError> {
        Ok(self.seen_stored(self.store.load(node_id).await?))
    }

    async fn save(
        &self,
        node_id: NodeId,
        read_at: Version,
        standing: Standing,
        now: UnixTime,
    ) -> Result<Version, SaveError> {
        self.wrote_save(self.store.save(node_id, read_at, standing, now).await)
    }

    async fn save_by(
        &self,
        node_id: NodeId,
        read_at: Version,
        standing: Standing,
        maker: Maker,
        now: UnixTime,
    ) -> Result<Version, SaveError> {
        self.wrote_save(self.store.save_by(node_id, read_at, standing, maker, now).await)
    }

    async fn insert(
        &self,
        record: Record,
        profile: String,
        now: UnixTime,
    ) -> Result<(), SaveError> {
        self.wrote_save(self.store.insert(record, profile, now).await)
    }

    async fn observe(&self, node_id: NodeId, observation: Observation) -> Result<(), StoreError> {
        self.wrote(self.store.observe(node_id, observation).await)
    }

    async fn find(&self, prefix: &str, limit: usize) -> Result<Vec<Listed>, StoreError> {
        let found = self.store.find(prefix, limit).await?;
        Ok(found.into_iter().map(|listed| self.seen_listed(listed)).collect())
    }

    async fn list(
        &self,
        filter: Filter,
        after: Option<NodeId>,
        limit: usize,
        now: UnixTime,
    ) -> Result<Vec<Listed>, StoreError> {
        let listed = self.store.list(filter, after, limit, now).await?;
        Ok(listed.into_iter().map(|listed| self.seen_listed(listed)).collect())
    }

    async fn counts(&self, now: UnixTime) -> Result<Counts, StoreError> {
        self.store.counts(now).await
    }

    async fn by_key(&self, key: &x25519::PublicKey) -> Result<Option<Stored>, StoreError> {
        Ok(self.seen_stored(self.store.by_key(key).await?))
    }

    async fn offer(
        &self,
        record: Record,
        profile: String,
        read_at: Option<Version>,
        grant: Grant,
        ceiling: Option<Ceiling>,
        now: UnixTime,
    ) -> Result<Version, SaveError> {
        self.wrote_save(self.store.offer(record, profile, read_at, grant, ceiling, now).await)
    }

    async fn offer_certified(
        &self,
        record: Record,
        profile: String,
        grant: Grant,
        ceiling: Option<Ceiling>,
        certificate: StoredCertificate,
        now: UnixTime,
    ) -> Result<(Version, Result<(), NotStored>), SaveError> {
        // The node is entered all the same if a held decision keeps its certificate back.
        if let Err(not) = self.may_issue(&certificate.certificate) {
            let offered = self.offer(record, profile, None, grant, ceiling, now).await;
            return offered.map(|version| (version, Err(not)));
        }
        let offered = self.store.offer_certified(record, profile, grant, ceiling, certificate, now);
        self.wrote_save(offered.await)
    }

    async fn set_ceiling(
        &self,
        node_id: NodeId,
        read_at: Version,
        ceiling: Ceiling,
        now: UnixTime,
    ) -> Result<Version, SaveError> {
        self.wrote_save(self.store.set_ceiling(node_id, read_at, ceiling, now).await)
    }

    async fn relabel(
        &self,
        node_id: NodeId,
        read_at: Version,
        name: Option<Name>,
        profile: Option<String>,
        now: UnixTime,
    ) -> Result<Version, SaveError> {
        self.wrote_save(self.store.relabel(node_id, read_at, name, profile, now).await)
    }

    async fn forget(
        &self,
        node_id: NodeId,
        read_at: Version,
        now: UnixTime,
    ) -> Result<(), SaveError> {
        self.wrote_save(self.store.forget(node_id, read_at, now).await)
    }

    async fn set_asks_more(
        &self,
        node_id: NodeId,
        more: AskedScopesBuf,
    ) -> Result<bool, StoreError> {
        self.wrote(self.store.set_asks_more(node_id, more).await)
    }

    async fn grants(&self, node_id: NodeId) -> Result<Vec<Grant>, StoreError> {
        let grants = self.store.grants(node_id).await?;
        Ok(grants.into_iter().map(|grant| self.seen_grant(node_id, grant)).collect())
    }

    async fn activate(
        &self,
        node_id: NodeId,
        grant: GrantId,
        now: UnixTime,
    ) -> Result<Activation, StoreError> {
        // A held decision must not be undone by a node that confirms an offer meanwhile.
        let is_out = self.held.has_grant(node_id, grant)
            || matches!(
                self.held.node(node_id),
                Some(Cut::Node { decision: Decision::Unpair | Decision::Reject, .. })
            );
        if is_out {
            return Ok(Activation::NotThere);
        }
        self.wrote(self.store.activate(node_id, grant, now).await)
    }

    async fn activate_certified(
        &self,
        node_id: NodeId,
        grant: GrantId,
        certificate: u64,
        now: UnixTime,
    ) -> Result<Activation, StoreError> {
        // A decision that waits to be stored may have ended the certificate; its first use confirms
        // one that it has not.
        if !self.held.is_empty() {
            return self.activate(node_id, grant, now).await;
        }
        self.wrote(self.store.activate_certified(node_id, grant, certificate, now).await)
    }

    async fn end_grants(
        &self,
        node_id: NodeId,
        which: Option<GrantId>,
        now: UnixTime,
    ) -> Result<Vec<capability::Id>, StoreError> {
        self.wrote(self.store.end_grants(node_id, which, now).await)
    }

    async fn grant_of(&self, capability: &capability::Id) -> Result<Option<Grant>, StoreError> {
        let grant = self.store.grant_of(capability).await?;
        Ok(grant.map(|grant| self.seen_grant(grant.node_id, grant)))
    }

    async fn list_granted(
        &self,
        after: Option<NodeId>,
        limit: usize,
        now: UnixTime,
    ) -> Result<Vec<(Listed, Vec<Grant>)>, StoreError> {
        let page = self.store.list_granted(after, limit, now).await?;
        let seen = |(listed, grants): (Listed, Vec<Grant>)| {
            let node_id = crate::node_id(&listed);
            let grants = grants
                .into_iter()
                .map(|grant| self.seen_grant(node_id, grant))
                .filter(|grant| grant.counts(now));
            (self.seen_listed(listed), grants.collect())
        };
        Ok(page.into_iter().map(seen).collect())
    }

    async fn revoke(&self, what: Revoked, now: UnixTime) -> Result<(), StoreError> {
        self.wrote(self.store.revoke(what, now).await)
    }

    async fn is_key_revoked(&self, key: &x25519::PublicKey) -> Result<bool, StoreError> {
        self.store.is_key_revoked(key).await
    }

    async fn is_revoked(&self, chain: Vec<Block>) -> Result<bool, StoreError> {
        if self.held.cuts(&chain) {
            return Ok(true);
        }
        self.store.is_revoked(chain).await
    }

    async fn window(&self) -> Result<Window, StoreError> {
        let window = self.store.window().await?;
        let is_closed = self.held.has_window()
            || window.opened.is_some_and(|opened| self.is_maker_out(opened.by, opened.closes));
        Ok(if is_closed { Window { opened: None, ..window } } else { window })
    }

    async fn set_window(&self, window: Window) -> Result<(), StoreError> {
        // The ticket is taken before the write, so that a closing that is held meanwhile stays.
        let held = self.held.ticket(&Cut::Window);
        self.wrote(self.store.set_window(window).await)?;
        // The new state of the window was decided later than a held closing.
        held.iter().for_each(|ticket| self.held.release(ticket));
        Ok(())
    }

    async fn mint(
        &self,
        code: StoredCode,
        now: UnixTime,
    ) -> Result<Result<(), NotMinted>, StoreError> {
        // The stored window may still be open while its closing is held.
        if self.held.has_window() && matches!(code.counted.kind, Kind::Pin(_)) {
            return Ok(Err(NotMinted::Closed));
        }
        self.wrote(self.store.mint(code, now).await)
    }

    async fn mint_all(
        &self,
        codes: Vec<(StoredCode, Ticket)>,
        now: UnixTime,
    ) -> Result<Result<(), NotMinted>, StoreError> {
        self.wrote(self.store.mint_all(codes, now).await)
    }

    async fn code(&self, id: CodeId) -> Result<Option<StoredCode>, StoreError> {
        Ok(self.store.code(id).await?.map(|code| self.seen_code(code)))
    }

    async fn code_by_selector(
        &self,
        selector: Selector,
        now: UnixTime,
    ) -> Result<Option<StoredCode>, StoreError> {
        let code = self.store.code_by_selector(selector, now).await?;
        Ok(code.filter(|code| !self.is_out(code)))
    }

    async fn codes(&self, now: UnixTime) -> Result<Vec<StoredCode>, StoreError> {
        let mut codes = self.store.codes(now).await?;
        codes.retain(|code| !self.is_out(code));
        Ok(codes)
    }

    async fn guessers(&self) -> Result<Vec<Guesser>, StoreError> {
        self.store.guessers().await
    }

    async fn reserve(
        &self,
        code: Option<CodeId>,
        source: Source,
        now: UnixTime,
    ) -> Result<Result<u8, NoGuess>, StoreError> {
        // A guess at a held code is counted as one at no code, so that it takes as long.
        let is_out = code.is_some_and(|code| self.held.has_code(code));
        let reserved =
            self.wrote(self.store.reserve(code.filter(|_| !is_out), source, now).await)?;
        Ok(if is_out { Err(NoGuess::Expired) } else { reserved })
    }

    async fn spend(
        &self,
        code: CodeId,
        source: Source,
        reserved_at: UnixTime,
        now: UnixTime,
    ) -> Result<bool, StoreError> {
        // A code that was withdrawn meanwhile pairs nobody, even after a right guess.
        if self.held.has_code(code) {
            return Ok(false);
        }
        self.wrote(self.store.spend(code, source, reserved_at, now).await)
    }

    async fn withdraw(&self, code: CodeId, now: UnixTime) -> Result<bool, StoreError> {
        self.wrote(self.store.withdraw(code, now).await)
    }

    async fn probe(&self) -> Result<(), StoreError> {
        self.wrote(self.store.probe().await)?;
        // A probe always writes, so its success shows that writing works.
        self.held.works();
        Ok(())
    }

    fn forgets(&self) -> bool {
        self.store.forgets()
    }

    fn shared(self: Arc<Self>) -> Option<Arc<dyn Shared>> {
        Arc::clone(&self.store).shared()
    }
}

#[async_trait]
impl Vault for HeldStore {
    async fn vault(&self, name: &str, fresh: Vec<u8>) -> Result<Vec<u8>, StoreError> {
        self.wrote(self.store.vault(name, fresh).await)
    }

    async fn replace_vault(
        &self,
        name: &str,
        before: Vec<u8>,
        fresh: Vec<u8>,
        entry: Option<AuditEntry>,
    ) -> Result<bool, StoreError> {
        self.wrote(self.store.replace_vault(name, before, fresh, entry).await)
    }
}
