//! Parts of the tests: both stores, channels that misbehave, and a store that does.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use handfast_core::UnixTime;
use handfast_core::registry::inbound::{ChallengeCode, Facts, InboundLimits, SenderId};
use handfast_core::registry::trusted_time::ClockStep;
use handfast_store::{
    Approved, Challenged, Inbound, ListedSender, MemoryStore, Over, Run, SaveError, SenderChange,
    SenderFilter, SqliteStore, StoreError, TakenOver, Timekeeping,
};
use tokio::sync::{Semaphore, mpsc};

use crate::clock::GatewayClock;
use crate::inbound::channels::{NoOutbox, ReadyMade};
use crate::inbound::{
    AdapterError, ChannelAdapter, Gate, GateEvent, GateObserver, InboundSettings, Incoming,
    MessageAdmission, Normalised, SenderChallenge,
};
use crate::telemetry::{Live, Telemetry};

/// Returns each kind of store. The directory outlives its store.
pub(super) fn stores() -> Vec<(Arc<dyn Inbound>, Option<tempfile::TempDir>)> {
    let home = tempfile::tempdir().unwrap();
    let sqlite = sqlite(home.path());
    vec![(Arc::new(MemoryStore::default()), None), (sqlite, Some(home))]
}

pub(super) fn memory() -> Arc<dyn Inbound> {
    Arc::new(MemoryStore::default())
}

fn sqlite(home: &Path) -> Arc<dyn Inbound> {
    Arc::new(SqliteStore::open(&home.join("handfast.db")).unwrap())
}

/// A gate over a store, with WhatsApp and a channel `chat`, and its counters.
pub(super) struct World {
    pub(super) gate: Gate,
    pub(super) telemetry: Arc<Telemetry>,
    pub(super) events: Arc<Mutex<Vec<GateEvent>>>,
}

impl World {
    pub(super) fn new(store: &Arc<dyn Inbound>) -> Self {
        Self::with(store, InboundSettings::default())
    }

    pub(super) fn with(store: &Arc<dyn Inbound>, settings: InboundSettings) -> Self {
        let (telemetry, events) = (Arc::new(Telemetry::new()), Arc::<Mutex<Vec<_>>>::default());
        let heard = Arc::clone(&events);
        let observer: GateObserver =
            Arc::new(move |event: &GateEvent| heard.lock().unwrap().push(event.clone()));
        let gate = Gate::new(
            Arc::clone(store),
            settings,
            Arc::clone(&telemetry),
            GatewayClock::start(Box::new(crate::clock::LocalClock::default()), None),
            Some(observer),
            None,
        );
        gate.channels().register(Arc::new(ReadyMade::whatsapp(NoOutbox)));
        gate.channels().register(Arc::new(ReadyMade::named("chat", NoOutbox)));
        Self { gate, telemetry, events }
    }

    pub(super) async fn ask(&self, channel: &str, account: &str, sender: &str) -> MessageAdmission {
        self.gate.should_admit(Incoming::new(channel, account, sender)).await.unwrap()
    }

    pub(super) async fn is_admitted(&self, channel: &str, account: &str, sender: &str) -> bool {
        matches!(self.ask(channel, account, sender).await, MessageAdmission::Admit(_))
    }

    pub(super) async fn challenge(
        &self,
        channel: &str,
        account: &str,
        sender: &str,
    ) -> SenderChallenge {
        match self.ask(channel, account, sender).await {
            MessageAdmission::Challenge(challenge) => challenge,
            other => panic!("{sender} is not challenged: {other:?}"),
        }
    }

    pub(super) async fn let_in(&self, channel: &str, account: &str, sender: &str) {
        self.gate.seed(channel, account, vec![sender.to_owned()], "test").await.unwrap();
    }

    pub(super) async fn all(&self) -> Vec<ListedSender> {
        self.gate
            .list(SenderFilter { channel: None, all: true, include_revoked: true })
            .await
            .unwrap()
    }

    /// Returns the value of one series, 0 if it does not exist.
    pub(super) fn counted(&self, series: &str) -> u64 {
        let text = self.telemetry.encode(&Live::default());
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok());
        value.unwrap_or(0)
    }
}

/// The behaviour of a test channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Does {
    Fine,
    Fails,
    Panics,
    NeverEnds,
}

/// A channel `odd` that lower-cases its senders, and misbehaves on request.
pub(super) struct Odd {
    pub(super) naming: Does,
    pub(super) sending: Does,
    pub(super) sent: mpsc::UnboundedSender<(String, String, String)>,
}

impl Odd {
    pub(super) fn new(
        naming: Does,
        sending: Does,
    ) -> (Arc<Self>, mpsc::UnboundedReceiver<(String, String, String)>) {
        let (sent, received) = mpsc::unbounded_channel();
        (Arc::new(Self { naming, sending, sent }), received)
    }
}

async fn does(what: Does) -> Result<(), AdapterError> {
    match what {
        Does::Fine => Ok(()),
        Does::Fails => Err(AdapterError {
            channel: "odd".to_owned(),
            problem: "out of order".to_owned(),
            passing: true,
        }),
        Does::Panics => panic!("the adapter of the test panics"),
        Does::NeverEnds => std::future::pending().await,
    }
}

#[async_trait]
impl ChannelAdapter for Odd {
    fn channel(&self) -> &str {
        "odd"
    }

    async fn normalise(&self, raw: &str) -> Result<Normalised, AdapterError> {
        does(self.naming).await?;
        Ok(Normalised::Sender(raw.to_lowercase()))
    }

    async fn send_reply(&self, account: &str, to: &str, text: &str) -> Result<(), AdapterError> {
        let _ = self.sent.send((account.to_owned(), to.to_owned(), text.to_owned()));
        does(self.sending).await
    }

    async fn send_qr(&self, account: &str, to: &str, png: &[u8]) -> Result<(), AdapterError> {
        let _ = self.sent.send((account.to_owned(), to.to_owned(), format!("{} bytes", png.len())));
        does(self.sending).await
    }
}

/// A store that fails on request, returns codes that are taken, and delays answers.
pub(super) struct Moody {
    pub(super) inner: Arc<dyn Inbound>,
    pub(super) facts_fail: AtomicBool,
    pub(super) challenges_fail: AtomicBool,
    pub(super) codes_are_taken: AtomicBool,
    /// Facts are returned only with a permit of this semaphore.
    pub(super) held_back: Option<Semaphore>,
    pub(super) read: Semaphore,
}

impl Moody {
    pub(super) fn new(inner: Arc<dyn Inbound>) -> Self {
        let no = || AtomicBool::new(false);
        Self {
            inner,
            facts_fail: no(),
            challenges_fail: no(),
            codes_are_taken: no(),
            held_back: None,
            read: Semaphore::new(0),
        }
    }
}

fn fail_if(fails: &AtomicBool) -> Result<(), StoreError> {
    if fails.load(Ordering::SeqCst) { Err(StoreError::DiskFull) } else { Ok(()) }
}

#[async_trait]
impl Timekeeping for Moody {
    async fn begin_run(&self) -> Result<Run, StoreError> {
        self.inner.begin_run().await
    }

    async fn raise_mark(&self, mark: UnixTime) -> Result<(), StoreError> {
        self.inner.raise_mark(mark).await
    }

    async fn take_over(&self, step: ClockStep) -> Result<TakenOver, StoreError> {
        self.inner.take_over(step).await
    }

    async fn write_over(&self, what: Over, now: UnixTime) -> Result<bool, StoreError> {
        self.inner.write_over(what, now).await
    }
}

#[async_trait]
impl Inbound for Moody {
    fn senders_by(self: Arc<Self>, _: handfast_store::audit::Origin) -> Arc<dyn Inbound> {
        self
    }

    fn inbound_epoch(&self) -> u64 {
        self.inner.inbound_epoch()
    }

    async fn facts(
        &self,
        sender: SenderId<'_>,
        limits: &InboundLimits,
        now: UnixTime,
    ) -> Result<Facts, StoreError> {
        fail_if(&self.facts_fail)?;
        let facts = self.inner.facts(sender, limits, now).await;
        self.read.add_permits(1);
        if let Some(held_back) = &self.held_back {
            held_back.acquire().await.unwrap().forget();
        }
        facts
    }

    async fn challenge(
        &self,
        sender: SenderId<'_>,
        meta: String,
        fresh: ChallengeCode,
        limits: &InboundLimits,
        now: UnixTime,
    ) -> Result<(Challenged, u32), StoreError> {
        fail_if(&self.challenges_fail)?;
        match self.codes_are_taken.load(Ordering::SeqCst) {
            true => Ok((Challenged::CodeTaken, 0)),
            false => self.inner.challenge(sender, meta, fresh, limits, now).await,
        }
    }

    async fn approve(
        &self,
        code: ChallengeCode,
        via: String,
        until: Option<UnixTime>,
        limits: &InboundLimits,
        now: UnixTime,
    ) -> Result<Approved, StoreError> {
        fail_if(&self.challenges_fail)?;
        self.inner.approve(code, via, until, limits, now).await
    }

    async fn change_sender(
        &self,
        channel: &str,
        account: Option<&str>,
        sender: &str,
        change: SenderChange,
        now: UnixTime,
    ) -> Result<u64, StoreError> {
        self.inner.change_sender(channel, account, sender, change, now).await
    }

    async fn seed_until(
        &self,
        channel: &str,
        account: &str,
        senders: Vec<String>,
        via: String,
        until: Option<UnixTime>,
        now: UnixTime,
    ) -> Result<u64, StoreError> {
        self.inner.seed_until(channel, account, senders, via, until, now).await
    }

    async fn insert_sender(&self, sender: ListedSender) -> Result<(), SaveError> {
        self.inner.insert_sender(sender).await
    }

    async fn senders(
        &self,
        filter: SenderFilter,
        after: Option<ListedSender>,
        limit: usize,
        limits: &InboundLimits,
        now: UnixTime,
    ) -> Result<Vec<ListedSender>, StoreError> {
        self.inner.senders(filter, after, limit, limits, now).await
    }

    async fn expire_senders(
        &self,
        limits: &InboundLimits,
        now: UnixTime,
    ) -> Result<u32, StoreError> {
        self.inner.expire_senders(limits, now).await
    }

    async fn waiting_senders(
        &self,
        limits: &InboundLimits,
        now: UnixTime,
    ) -> Result<Vec<(String, u64)>, StoreError> {
        self.inner.waiting_senders(limits, now).await
    }

    async fn cursor(&self, poller: &str) -> Result<Option<String>, StoreError> {
        self.inner.cursor(poller).await
    }

    async fn keep_cursor(&self, poller: &str, cursor: String) -> Result<(), StoreError> {
        self.inner.keep_cursor(poller, cursor).await
    }
}
