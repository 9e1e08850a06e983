//! The methods of [`Store`] and [`Vault`] for every [`Database`].

use std::sync::Arc;

use async_trait::async_trait;
use handfast_core::crypto::x25519;
use handfast_core::grant::capability::{self, Held};
use handfast_core::grant::scope::AskedScopesBuf;
use handfast_core::limits::Limits;
use handfast_core::registry::admission::{PendingRequest, RequestKey};
use handfast_core::registry::ceiling::Ceiling;
use handfast_core::registry::codes::{CodeId, Guesser, NoGuess, Window};
use handfast_core::registry::delivery::Ticket;
use handfast_core::registry::grants::{Grant, GrantId};
use handfast_core::registry::record::{Record, Standing};
use handfast_core::registry::rejection::Rejection;
use handfast_core::registry::sessions::Maker;
use handfast_core::wire::native::pair::Selector;
use handfast_core::{Name, NodeId, Refusal, Source, UnixTime};

use super::{By, Database, Decided, certificates, codes, grants, nodes, requests};
use crate::audit::{Entry, Origin};
use crate::{
    Activation, Counts, Filter, Listed, NotMinted, NotStored, Observation, Revoked, SaveError,
    Shared, Store, StoreError, Stored, StoredCertificate, StoredCode, Vault, Version, prefix,
};

#[async_trait]
impl<D: Database> Store for D {
    fn by(self: Arc<Self>, origin: Origin) -> Arc<dyn Store> {
        Arc::new(By::new(self.base(), origin))
    }

    async fn admit(
        &self,
        asking: PendingRequest,
        profile: String,
        limits: Limits,
        now: UnixTime,
    ) -> Result<Result<NodeId, Refusal>, StoreError> {
        self.change(move |tx| requests::admit(tx, &asking, &profile, &limits, now)).await
    }

    async fn rejection(&self, key: RequestKey) -> Result<Option<Rejection>, StoreError> {
        self.point(move |tx| tx.rejection(&key)).await
    }

    async fn named(
        &self,
        name: &str,
        limit: usize,
        now: UnixTime,
    ) -> Result<Vec<Listed>, StoreError> {
        let name = name.to_owned();
        self.page(move |tx| tx.nodes_named(&name, limit, now)).await
    }

    async fn load(&self, node_id: NodeId) -> Result<Option<Stored>, StoreError> {
        self.point(move |tx| tx.node(node_id)).await
    }

    async fn save(
        &self,
        node_id: NodeId,
        read_at: Version,
        standing: Standing,
        now: UnixTime,
    ) -> Result<Version, SaveError> {
        self.decide(move |tx| nodes::save(tx, node_id, read_at, &standing, now)).await
    }

    async fn save_by(
        &self,
        node_id: NodeId,
        read_at: Version,
        standing: Standing,
        maker: Maker,
        now: UnixTime,
    ) -> Result<Version, SaveError> {
        self.decide(move |tx| nodes::save_by(tx, node_id, read_at, &standing, maker, now)).await
    }

    async fn insert(
        &self,
        record: Record,
        profile: String,
        now: UnixTime,
    ) -> Result<(), SaveError> {
        self.decide(move |tx| nodes::import(tx, &record, &profile, now)).await
    }

    async fn observe(&self, node_id: NodeId, observation: Observation) -> Result<(), StoreError> {
        self.change(move |tx| tx.observe(node_id, &observation)).await
    }

    async fn find(&self, prefix: &str, limit: usize) -> Result<Vec<Listed>, StoreError> {
        let Some(ids) = prefix::range(prefix) else { return Ok(Vec::new()) };
        self.page(move |tx| tx.nodes_between(&ids, limit)).await
    }

    async fn list(
        &self,
        filter: Filter,
        after: Option<NodeId>,
        limit: usize,
        now: UnixTime,
    ) -> Result<Vec<Listed>, StoreError> {
        self.page(move |tx| tx.nodes_after(filter, after, limit, now)).await
    }

    async fn counts(&self, now: UnixTime) -> Result<Counts, StoreError> {
        self.page(move |tx| tx.count_nodes(now)).await
    }

    async fn by_key(&self, key: &x25519::PublicKey) -> Result<Option<Stored>, StoreError> {
        let key = *key;
        self.point(move |tx| tx.node_by_key(&key)).await
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
        self.decide(move |tx| {
            grants::offer(tx, &record, &profile, read_at, &grant, ceiling.as_ref(), now)
        })
        .await
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
        self.decide(move |tx| {
            let offered =
                grants::offer(tx, &record, &profile, None, &grant, ceiling.as_ref(), now)?;
            let issued = certificates::issue(tx, &certificate, now)?;
            let mut entries = Vec::new();
            let done = (offered.into(&mut entries), issued.into(&mut entries));
            Ok(Decided::all(done, entries))
        })
        .await
    }

    async fn set_ceiling(
        &self,
        node_id: NodeId,
        read_at: Version,
        ceiling: Ceiling,
        now: UnixTime,
    ) -> Result<Version, SaveError> {
        self.decide(move |tx| grants::set_ceiling(tx, node_id, read_at, &ceiling, now)).await
    }

    async fn relabel(
        &self,
        node_id: NodeId,
        read_at: Version,
        name: Option<Name>,
        profile: Option<String>,
        now: UnixTime,
    ) -> Result<Version, SaveError> {
        self.decide(move |tx| {
            nodes::relabel(tx, node_id, read_at, name.as_ref(), profile.as_deref(), now)
        })
        .await
    }

    async fn forget(
        &self,
        node_id: NodeId,
        read_at: Version,
        now: UnixTime,
    ) -> Result<(), SaveError> {
        self.decide(move |tx| nodes::forget(tx, node_id, read_at, now)).await
    }

    async fn set_asks_more(
        &self,
        node_id: NodeId,
        more: AskedScopesBuf,
    ) -> Result<bool, StoreError> {
        self.change(move |tx| tx.set_asks_more(node_id, &more)).await
    }

    async fn grants(&self, node_id: NodeId) -> Result<Vec<Grant>, StoreError> {
        self.point(move |tx| tx.grants(node_id)).await
    }

    async fn activate(
        &self,
        node_id: NodeId,
        grant: GrantId,
        now: UnixTime,
    ) -> Result<Activation, StoreError> {
        self.change(move |tx| grants::activate(tx, node_id, grant, now)).await
    }

    async fn activate_certified(
        &self,
        node_id: NodeId,
        grant: GrantId,
        certificate: u64,
        now: UnixTime,
    ) -> Result<Activation, StoreError> {
        self.change(move |tx| {
            certificates::confirm_number(tx, node_id, certificate)?;
            grants::activate(tx, node_id, grant, now)
        })
        .await
    }

    async fn end_grants(
        &self,
        node_id: NodeId,
        which: Option<GrantId>,
        now: UnixTime,
    ) -> Result<Vec<capability::Id>, StoreError> {
        self.decide(move |tx| grants::end_by_decision(tx, node_id, which, now)).await
    }

    async fn grant_of(&self, capability: &capability::Id) -> Result<Option<Grant>, StoreError> {
        let capability = *capability;
        self.point(move |tx| tx.grant_of(&capability)).await
    }

    async fn list_granted(
        &self,
        after: Option<NodeId>,
        limit: usize,
        now: UnixTime,
    ) -> Result<Vec<(Listed, Vec<Grant>)>, StoreError> {
        self.page(move |tx| grants::list_granted(tx, after, limit, now)).await
    }

    async fn revoke(&self, what: Revoked, now: UnixTime) -> Result<(), StoreError> {
        self.decide(move |tx| grants::revoke(tx, &what, now)).await
    }

    async fn is_key_revoked(&self, key: &x25519::PublicKey) -> Result<bool, StoreError> {
        let key = *key;
        self.point(move |tx| tx.is_key_revoked(&key)).await
    }

    async fn is_revoked(&self, held: Vec<Held>) -> Result<bool, StoreError> {
        self.point(move |tx| grants::is_revoked(tx, &held)).await
    }

    async fn window(&self) -> Result<Window, StoreError> {
        self.point(|tx| tx.window()).await
    }

    async fn set_window(&self, window: Window) -> Result<(), StoreError> {
        self.decide(move |tx| codes::set_window(tx, &window)).await
    }

    async fn mint(
        &self,
        code: StoredCode,
        now: UnixTime,
    ) -> Result<Result<(), NotMinted>, StoreError> {
        self.decide(move |tx| codes::mint(tx, &code, now)).await
    }

    async fn mint_all(
        &self,
        codes: Vec<(StoredCode, Ticket)>,
        now: UnixTime,
    ) -> Result<Result<(), NotMinted>, StoreError> {
        self.decide(move |tx| codes::mint_all(tx, &codes, now)).await
    }

    async fn code(&self, id: CodeId) -> Result<Option<StoredCode>, StoreError> {
        self.point(move |tx| tx.code(id)).await
    }

    async fn code_by_selector(
        &self,
        selector: Selector,
        now: UnixTime,
    ) -> Result<Option<StoredCode>, StoreError> {
        self.point(move |tx| tx.code_by_selector(selector, now)).await
    }

    async fn codes(&self, now: UnixTime) -> Result<Vec<StoredCode>, StoreError> {
        self.page(move |tx| tx.live_codes(now)).await
    }

    async fn guessers(&self) -> Result<Vec<Guesser>, StoreError> {
        self.page(|tx| tx.guessers()).await
    }

    async fn reserve(
        &self,
        code: Option<CodeId>,
        source: Source,
        now: UnixTime,
    ) -> Result<Result<u8, NoGuess>, StoreError> {
        self.change(move |tx| codes::reserve(tx, code, source, now)).await
    }

    async fn spend(
        &self,
        code: CodeId,
        source: Source,
        reserved_at: UnixTime,
        now: UnixTime,
    ) -> Result<bool, StoreError> {
        self.change(move |tx| codes::spend(tx, code, source, reserved_at, now)).await
    }

    async fn withdraw(&self, code: CodeId, now: UnixTime) -> Result<bool, StoreError> {
        self.decide(move |tx| codes::withdraw(tx, code, now)).await
    }

    async fn probe(&self) -> Result<(), StoreError> {
        self.change(|tx| tx.probe()).await
    }

    fn forgets(&self) -> bool {
        Database::forgets(self)
    }

    fn shared(self: Arc<Self>) -> Option<Arc<dyn Shared>> {
        Database::shared(self)
    }
}

#[async_trait]
impl<D: Database> Vault for D {
    async fn vault(&self, name: &str, fresh: Vec<u8>) -> Result<Vec<u8>, StoreError> {
        let name = name.to_owned();
        self.change(move |tx| tx.vault(&name, &fresh)).await
    }

    async fn replace_vault(
        &self,
        name: &str,
        before: Vec<u8>,
        fresh: Vec<u8>,
        entry: Option<Entry>,
    ) -> Result<bool, StoreError> {
        let name = name.to_owned();
        self.decide(move |tx| {
            Ok::<_, StoreError>(match tx.replace_vault(&name, &before, &fresh)? {
                true => Decided::all(true, Vec::from_iter(entry)),
                false => Decided::nothing(false),
            })
        })
        .await
    }
}
