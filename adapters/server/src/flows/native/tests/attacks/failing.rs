//! The store fails, at any of its calls: nobody is let in by that, nothing is left behind, and the
//! gateway goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use handfast_core::crypto::{cpace, x25519};
use handfast_core::grant::capability::{Held, Id};
use handfast_core::grant::scope::AskedScopesBuf;
use handfast_core::grant::session::SessionHash;
use handfast_core::limits::Limits;
use handfast_core::registry::admission::{PendingRequest, RequestKey};
use handfast_core::registry::audit_tree::Proof;
use handfast_core::registry::ceiling::Ceiling;
use handfast_core::registry::codes::{CodeId, Guesser, NoGuess, Window};
use handfast_core::registry::delivery::{DeliveryId, NotSettled, Outcome, Ticket};
use handfast_core::registry::grants::Grant;
use handfast_core::registry::inbound::{ChallengeCode, Facts, InboundLimits, SenderId};
use handfast_core::registry::logins::{Login, LoginId, LoginUse};
use handfast_core::registry::policies::PolicyId;
use handfast_core::registry::provisioning::{NodeKeyId, NotRegistered};
use handfast_core::registry::record::{Record, Standing};
use handfast_core::registry::rejection::Rejection;
use handfast_core::registry::sessions::{
    Ended, Maker, NotRedeemed, Prolonging, Session, SessionId,
};
use handfast_core::registry::trusted_time::{ClockStep, Moment};
use handfast_core::secret::Secret;
use handfast_core::wire::native::pair::{PairFromNode as Tells, Selector};
use handfast_core::{Refusal, Source};
use handfast_store::audit::{self, Audit, Origin, ProvenEntry, TreeHead};
use handfast_store::{
    Activation, Approved, ByPolicy, Challenged, Counts, Deliveries, Delivery, EndedWith, Filter,
    InPlace, Inbound, Listed, ListedSender, Logins, NewProvisioned, NotMinted, NotStored,
    Observation, Over, Policies, ProvisionedNode, Provisioning, Replacement, Replacements, Revoked,
    Run, SaveError, SenderChange, SenderFilter, SenderName, SessionFilter, Sessions, Settlement,
    SetupCode, Store, StoreError, Stored, StoredCertificate, StoredCode, StoredPolicy, TakenOver,
    Timekeeping, Vault, Version, Yield,
};

use super::codes::{Said, guesses, hears};
use super::floods::is_at_rest;
use super::*;
use crate::operator::codes::NewCode;

/// A store that fails once so many calls have gone well: once, or from then on.
#[derive(Clone, Default)]
pub(crate) struct Failing {
    store: Arc<MemoryStore>,
    /// How many calls go well yet, and one. Negative: it does not fail.
    pub(crate) left: Arc<AtomicI64>,
    for_good: bool,
    /// In these calls alone; in all, if there are none.
    only: &'static [&'static str],
}

impl Failing {
    /// One that does not fail yet, and then does until it is told otherwise.
    pub(crate) fn for_good() -> Self {
        Self { for_good: true, left: Arc::new(AtomicI64::new(-1)), ..Self::default() }
    }

    /// The same, in these calls alone.
    pub(crate) fn in_calls(only: &'static [&'static str]) -> Self {
        Self { only, ..Self::for_good() }
    }

    fn fails(&self, call: &str) -> Result<(), StoreError> {
        if !self.only.is_empty() && !self.only.contains(&call) {
            return Ok(());
        }
        let left = self.left.fetch_sub(1, Ordering::SeqCst);
        if left == 1 || (left == 0 && self.for_good) {
            self.left.store(0, Ordering::SeqCst);
            return Err(StoreError::Database("on purpose".to_owned()));
        }
        if left <= 0 {
            self.left.store(-1, Ordering::SeqCst);
        }
        Ok(())
    }
}

/// An implementation of a trait whose calls fail, or else are passed on. What stands in braces is
/// part of it is.
macro_rules! fails_or_passes_on {
    (
        $trait:ident { $($more:item)* }
        $($name:ident($($argument:ident: $type:ty),*) -> $answer:ty;)*
    ) => {
        #[async_trait::async_trait]
        impl $trait for Failing {
            $(async fn $name(&self, $($argument: $type),*) -> $answer {
                self.fails(stringify!($name))?;
                self.store.$name($($argument),*).await
            })*
            $($more)*
        }
    };
}

mod identity;

fails_or_passes_on! {
    Store {
        // Its decisions are recorded as the gateway's; what fails is the same.
        fn by(self: Arc<Self>, _: Origin) -> Arc<dyn Store> {
            self
        }
    }
    admit(asking: PendingRequest, profile: String, limits: Limits, now: UnixTime) -> Result<Result<NodeId, Refusal>, StoreError>;
    rejection(key: RequestKey) -> Result<Option<Rejection>, StoreError>;
    named(name: &str, limit: usize, now: UnixTime) -> Result<Vec<Listed>, StoreError>;
    load(node_id: NodeId) -> Result<Option<Stored>, StoreError>;
    save(node_id: NodeId, read_at: Version, standing: Standing, now: UnixTime) -> Result<Version, SaveError>;
    save_by(
        node_id: NodeId, read_at: Version, standing: Standing, maker: Maker, now: UnixTime
    ) -> Result<Version, SaveError>;
    insert(record: Record, profile: String, now: UnixTime) -> Result<(), SaveError>;
    observe(node_id: NodeId, observation: Observation) -> Result<(), StoreError>;
    list(filter: Filter, after: Option<NodeId>, limit: usize, now: UnixTime) -> Result<Vec<Listed>, StoreError>;
    counts(now: UnixTime) -> Result<Counts, StoreError>;
    offer(record: Record, profile: String, at: Option<Version>, grant: Grant, top: Option<Ceiling>, now: UnixTime) -> Result<Version, SaveError>;
    offer_certified(
        record: Record, profile: String, grant: Grant, top: Option<Ceiling>, certificate: StoredCertificate, now: UnixTime
    ) -> Result<(Version, Result<(), NotStored>), SaveError>;
    set_ceiling(node_id: NodeId, read_at: Version, ceiling: Ceiling, now: UnixTime) -> Result<Version, SaveError>;
    relabel(node_id: NodeId, read_at: Version, name: Option<Name>, profile: Option<String>, now: UnixTime) -> Result<Version, SaveError>;
    forget(node_id: NodeId, read_at: Version, now: UnixTime) -> Result<(), SaveError>;
    set_asks_more(node_id: NodeId, more: AskedScopesBuf) -> Result<bool, StoreError>;
    is_key_revoked(key: &x25519::PublicKey) -> Result<bool, StoreError>;
    grants(node_id: NodeId) -> Result<Vec<Grant>, StoreError>;
    activate(node_id: NodeId, grant: GrantId, now: UnixTime) -> Result<Activation, StoreError>;
    activate_certified(node_id: NodeId, grant: GrantId, number: u64, now: UnixTime) -> Result<Activation, StoreError>;
    end_grants(node_id: NodeId, which: Option<GrantId>, now: UnixTime) -> Result<Vec<Id>, StoreError>;
    list_granted(after: Option<NodeId>, limit: usize, now: UnixTime) -> Result<Vec<(Listed, Vec<Grant>)>, StoreError>;
    revoke(what: Revoked, now: UnixTime) -> Result<(), StoreError>;
    is_revoked(held: Vec<Held>) -> Result<bool, StoreError>;
    window() -> Result<Window, StoreError>;
    set_window(window: Window) -> Result<(), StoreError>;
    mint(code: StoredCode, now: UnixTime) -> Result<Result<(), NotMinted>, StoreError>;
    mint_all(codes: Vec<(StoredCode, Ticket)>, now: UnixTime) -> Result<Result<(), NotMinted>, StoreError>;
    code(id: CodeId) -> Result<Option<StoredCode>, StoreError>;
    code_by_selector(selector: Selector, now: UnixTime) -> Result<Option<StoredCode>, StoreError>;
    codes(now: UnixTime) -> Result<Vec<StoredCode>, StoreError>;
    guessers() -> Result<Vec<Guesser>, StoreError>;
    reserve(code: Option<CodeId>, source: Source, now: UnixTime) -> Result<Result<u8, NoGuess>, StoreError>;
    spend(code: CodeId, source: Source, reserved_at: UnixTime, now: UnixTime) -> Result<bool, StoreError>;
    withdraw(code: CodeId, now: UnixTime) -> Result<bool, StoreError>;
    by_key(key: &x25519::PublicKey) -> Result<Option<Stored>, StoreError>;
    grant_of(capability: &Id) -> Result<Option<Grant>, StoreError>;
    probe() -> Result<(), StoreError>;
    find(prefix: &str, limit: usize) -> Result<Vec<Listed>, StoreError>;
}

fails_or_passes_on! {
    Vault {}
    vault(name: &str, fresh: Vec<u8>) -> Result<Vec<u8>, StoreError>;
    replace_vault(
        name: &str, before: Vec<u8>, fresh: Vec<u8>, entry: Option<audit::Entry>
    ) -> Result<bool, StoreError>;
}

fails_or_passes_on! {
    Sessions {}
    redeem(code: SetupCode, yields: Yield, now: UnixTime) -> Result<Result<(), NotRedeemed>, SaveError>;
    setup_mark() -> Result<UnixTime, StoreError>;
    forget_setup_codes() -> Result<(), StoreError>;
    insert_session(session: Session) -> Result<(), SaveError>;
    session_by_hash(hash: &SessionHash) -> Result<Option<Session>, StoreError>;
    session(id: SessionId) -> Result<Option<Session>, StoreError>;
    sessions(
        filter: SessionFilter, after: Option<SessionId>, limit: usize, now: UnixTime
    ) -> Result<Vec<Session>, StoreError>;
    live_sessions(now: UnixTime) -> Result<u64, StoreError>;
    prolong_session(id: SessionId, how: Prolonging, now: UnixTime) -> Result<Option<Result<UnixTime, Ended>>, StoreError>;
    end_session(id: SessionId, now: UnixTime) -> Result<(bool, EndedWith), StoreError>;
    ending_with(id: SessionId, now: UnixTime) -> Result<EndedWith, StoreError>;
    end_orphans(now: UnixTime) -> Result<EndedWith, StoreError>;
}

fails_or_passes_on! {
    Logins {}
    insert_login(login: Login, now: UnixTime) -> Result<bool, SaveError>;
    login(id: LoginId) -> Result<Option<Login>, StoreError>;
    logins() -> Result<Vec<Login>, StoreError>;
    login_used(id: LoginId, used: LoginUse) -> Result<bool, StoreError>;
    end_login(id: LoginId, now: UnixTime) -> Result<(bool, EndedWith), StoreError>;
}

/// What nobody asks for never fails: it would take the failure from what is tried.
#[async_trait::async_trait]
impl Timekeeping for Failing {
    async fn begin_run(&self) -> Result<Run, StoreError> {
        self.store.begin_run().await
    }

    async fn raise_mark(&self, mark: UnixTime) -> Result<(), StoreError> {
        self.store.raise_mark(mark).await
    }

    async fn take_over(&self, step: ClockStep) -> Result<TakenOver, StoreError> {
        self.store.take_over(step).await
    }

    async fn write_over(&self, what: Over, now: UnixTime) -> Result<bool, StoreError> {
        self.store.write_over(what, now).await
    }
}

fails_or_passes_on! {
    Deliveries {
        // The gateway asks this by itself, whenever it likes.
        async fn undelivered(&self, limit: usize) -> Result<Vec<Delivery>, StoreError> {
            self.store.undelivered(limit).await
        }
    }
    deliver(delivery: Delivery, now: UnixTime) -> Result<(), StoreError>;
    settle(id: DeliveryId, outcome: Outcome, now: UnixTime) -> Result<Result<Settlement, NotSettled>, StoreError>;
    settle_all(ids: Vec<DeliveryId>, outcome: Outcome, now: UnixTime) -> Result<Vec<Result<Settlement, NotSettled>>, StoreError>;
}

fails_or_passes_on! {
    Policies {}
    add_policy(policy: StoredPolicy, now: UnixTime) -> Result<bool, StoreError>;
    policies() -> Result<Vec<StoredPolicy>, StoreError>;
    end_policy(id: PolicyId, now: UnixTime) -> Result<bool, StoreError>;
    offer_by_policy(offered: ByPolicy, now: UnixTime) -> Result<Option<Version>, SaveError>;
}

fails_or_passes_on! {
    Replacements {}
    offer_in_place(offered: InPlace, now: UnixTime) -> Result<Version, SaveError>;
    predecessors(node_id: NodeId) -> Result<Vec<Replacement>, StoreError>;
    successor(node_id: NodeId) -> Result<Option<Replacement>, StoreError>;
}

fails_or_passes_on! {
    Audit {}
    note(entry: audit::Entry) -> Result<(), StoreError>;
    audit_lines(from: u64, limit: usize) -> Result<Vec<String>, StoreError>;
    audit_lines_of(
        node_id: NodeId, before: Option<u64>, limit: usize
    ) -> Result<Vec<String>, StoreError>;
    audit_head(size: Option<u64>) -> Result<Option<TreeHead>, StoreError>;
    audit_entry(number: u64, size: Option<u64>) -> Result<Option<ProvenEntry>, StoreError>;
    audit_consistency(earlier: u64, size: u64) -> Result<Option<Proof>, StoreError>;
    audited_sender(reference: [u8; 32]) -> Result<Option<SenderName>, StoreError>;
}

fails_or_passes_on! {
    Provisioning {}
    register(node: NewProvisioned, moment: Moment) -> Result<Result<(), NotRegistered>, SaveError>;
    by_node_key(id: NodeKeyId) -> Result<Option<(ProvisionedNode, Stored)>, StoreError>;
    provisioned(node_id: NodeId) -> Result<Option<ProvisionedNode>, StoreError>;
}

fails_or_passes_on! {
    Inbound {
        fn senders_by(self: Arc<Self>, _: Origin) -> Arc<dyn Inbound> {
            self
        }

        fn inbound_epoch(&self) -> u64 {
            self.store.inbound_epoch()
        }
    }
    facts(sender: SenderId<'_>, limits: &InboundLimits, now: UnixTime) -> Result<Facts, StoreError>;
    challenge(
        sender: SenderId<'_>, meta: String, fresh: ChallengeCode, limits: &InboundLimits, now: UnixTime
    ) -> Result<(Challenged, u32), StoreError>;
    expire_senders(limits: &InboundLimits, now: UnixTime) -> Result<u32, StoreError>;
    approve(
        code: ChallengeCode, via: String, until: Option<UnixTime>, limits: &InboundLimits, now: UnixTime
    ) -> Result<Approved, StoreError>;
    change_sender(
        channel: &str, account: Option<&str>, sender: &str, change: SenderChange, now: UnixTime
    ) -> Result<u64, StoreError>;
    seed_until(
        channel: &str, account: &str, senders: Vec<String>, via: String, until: Option<UnixTime>, now: UnixTime
    ) -> Result<u64, StoreError>;
    insert_sender(sender: ListedSender) -> Result<(), SaveError>;
    senders(
        filter: SenderFilter, after: Option<ListedSender>, limit: usize, limits: &InboundLimits, now: UnixTime
    ) -> Result<Vec<ListedSender>, StoreError>;
    waiting_senders(limits: &InboundLimits, now: UnixTime) -> Result<Vec<(String, u64)>, StoreError>;
    cursor(poller: &str) -> Result<Option<String>, StoreError>;
    keep_cursor(poller: &str, cursor: String) -> Result<(), StoreError>;
}

/// Pairs with a code and links: whether the application heard of the node in the end. Whatever
/// fails, an answer or an end comes soon.
async fn pairs_and_links(
    served: &mut Served,
    own: &OwnKeys,
    selector: Selector,
    secret: &str,
) -> Option<()> {
    let gateway = served.gateway.clone();
    let mut client = served.stranger(Intent::Pair, own).await;
    client.ask_by(own, "lamp", Method::Code { selector }).await;
    guesses(&mut client, own, &gateway, secret, cpace::CodeOrigin::Code).await.ok()?.ok()?;
    let Ok(Said::Grant(grant)) = hears(&mut client).await else { return None };
    client.say_to_pair(&Tells::Stored(grant)).await;
    let _ = hears(&mut client).await;
    let mut link =
        Client::link(served.wire().await, own, gateway.keys().channel.public()).await.ok()?;
    link.greet(Some(grant)).await;
    served.lets_through(&mut link, "/a").await.then_some(())
}

async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(5), work).await.expect("nobody is left waiting")
}

#[tokio::test]
async fn whatever_the_store_fails_at_nobody_gets_in_without_the_code_and_the_gateway_goes_on() {
    for for_good in [false, true] {
        let store = Failing { for_good, left: Arc::new(AtomicI64::new(-1)), ..Failing::default() };
        let limits = Limits { failures_per_minute: 10_000, ..Limits::DEFAULT };
        let builder =
            Gateway::builder(store.clone()).store_key(Secret::new([7; 32])).limits(limits);
        let mut served = Served::of(builder).await;
        let mut went_well = 0;
        for calls in 1..=24 {
            let minted =
                served.gateway.mint_code(NewCode { uses: 3, ..NewCode::default() }).await.unwrap();
            let secret = String::from_utf8(minted.code.code.expose().to_vec()).unwrap();
            let (selector, guesser, node, next) = (minted.code.selector, keys(), keys(), keys());
            store.left.store(calls, Ordering::SeqCst);
            let wrong =
                soon(pairs_and_links(&mut served, &guesser, selector, "0000000000000000")).await;
            assert!(wrong.is_none());
            store.left.store(calls, Ordering::SeqCst);
            went_well += usize::from(
                soon(pairs_and_links(&mut served, &node, selector, &secret)).await.is_some(),
            );
            store.left.store(-1, Ordering::SeqCst);
            soon(is_at_rest(&served.gateway)).await;
            assert!(store.by_key(guesser.channel.public()).await.unwrap().is_none());
            assert!(
                soon(pairs_and_links(&mut served, &next, selector, &secret)).await.is_some(),
                "failing at call {calls}"
            );
            served.gateway.withdraw_code(minted.id).await.ok();
        }
        assert!((1..24).contains(&went_well), "some of it failed, and not all: {went_well}");
    }
}

#[tokio::test]
async fn a_chain_that_cannot_be_looked_up_lets_nobody_in() {
    let store =
        Failing { left: Arc::new(AtomicI64::new(-1)), for_good: true, ..Failing::default() };
    let builder = Gateway::builder(store.clone())
        .store_key(Secret::new([7; 32]))
        .pairing(lets_in("write:/**\n"));
    let mut served = Served::of(builder).await;
    let lamp = served.paired("lamp").await;
    for calls in 1..=3 {
        let delegate = keys();
        let chain = handed_on(&lamp.chain, &lamp.keys, &delegate, &["write:/a"], in_seconds(600));
        let mut client = served.stranger(Intent::Delegate, &delegate).await;
        store.left.store(calls, Ordering::SeqCst);
        assert!(!presents(&mut client, &chain).await);
        assert!(served.heard.try_recv().is_err());
        store.left.store(-1, Ordering::SeqCst);
        drop(client);
        soon(is_at_rest(&served.gateway)).await;
        let mut client = served.stranger(Intent::Delegate, &delegate).await;
        assert!(presents(&mut client, &chain).await);
        // On a live link the same: what cannot be known does not count.
        store.left.store(1, Ordering::SeqCst);
        served.gateway.inner.hub.cut_key(lamp.keys.channel.public());
        assert!(!served.lets_through(&mut client, "/a").await);
        store.left.store(-1, Ordering::SeqCst);
    }
}
