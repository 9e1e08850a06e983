//! The gate's decision about a message.

mod expiry;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use handfast_core::budget::Bucket;
use handfast_core::flow::inbound::remembered::Remembered;
use handfast_core::flow::inbound::{self as core, ChannelPolicy, Dropped, Seen, Verdict, decide};
use handfast_core::limits::{CHALLENGE_CHARS, SENDER_META_BYTES};
use handfast_core::registry::inbound::{ChallengeCode, Ident, SenderId};
use handfast_core::{Entropy, UnixTime};
use handfast_store::audit::Origin;
use handfast_store::held::HeldDecisions;
use handfast_store::{Challenged, Inbound, SenderName, StoreError};

use super::adapter::{self, Channels, Normalised};
use super::admission::{Admitted, GateError, Incoming, MessageAdmission, SenderChallenge, Who};
use super::cache::{Cache, CacheMoment, SenderKey};
use super::channels::{normalised, spelling};
use super::settings::{GateEvent, GateObserver, InboundSettings};
use crate::clock::{GatewayClock, LocalClock};
use crate::entropy;
use crate::telemetry::{self, AdmitPath, ChannelMetrics, DropReason, GateDecision, Telemetry};

/// Maximum length of a raw sender id in bytes.
const RAW_BYTES: usize = 512;
/// Limit for a channel to spell a sender.
const SPELLED_WITHIN: Duration = Duration::from_secs(5);
/// Maximum number of codes drawn until one is free.
const MOST_DRAWS: usize = 8;

/// The gate of one registry. A clone is another handle to the same gate; several gates over one
/// store agree.
#[derive(Clone)]
pub struct Gate {
    pub(super) inner: Arc<GateInner>,
    /// The origin of the decisions over this handle.
    pub(super) origin: Option<Origin>,
}

pub(super) struct GateInner {
    pub(super) store: Arc<dyn Inbound>,
    pub(super) settings: InboundSettings,
    pub(super) telemetry: Arc<Telemetry>,
    pub(super) clock: GatewayClock,
    pub(super) channels: Channels,
    /// The budget of wrong codes. Each gateway has its own, because it is for operators, who may
    /// decide about senders anyway.
    pub(super) wrong_codes: Mutex<Bucket>,
    /// Held during an approval.
    pub(super) approving: Arc<tokio::sync::Mutex<()>>,
    cache: Cache,
    observer: Option<GateObserver>,
    /// Decisions that are in force before they are stored. If `None`, a decision is in force once
    /// it is stored.
    pub(super) held: Option<Arc<HeldDecisions>>,
}

/// Treatment of channels without a registered adapter.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unregistered {
    IsAnError,
    IsSpelledByItsName,
}

/// The decision about a message, and the path that led to it.
struct GateOutcome {
    admission: MessageAdmission,
    /// `None` on a public channel.
    path: Option<AdmitPath>,
}

impl Gate {
    /// Creates a gate over a store, without a gateway.
    #[must_use]
    pub fn standalone(store: impl Inbound, settings: InboundSettings) -> Self {
        Self::new(
            Arc::new(store),
            settings,
            Arc::default(),
            GatewayClock::start(Box::new(LocalClock::default()), None),
            None,
            None,
        )
    }

    pub(crate) fn new(
        store: Arc<dyn Inbound>,
        settings: InboundSettings,
        telemetry: Arc<Telemetry>,
        clock: GatewayClock,
        observer: Option<GateObserver>,
        held: Option<Arc<HeldDecisions>>,
    ) -> Self {
        let wrong_codes = Mutex::new(Bucket::new(settings.approvals_per_minute, clock.now()));
        let (cache, channels) = (Cache::new(settings.remembered), Channels::default());
        Self {
            inner: Arc::new(GateInner {
                store,
                settings,
                telemetry,
                clock,
                channels,
                wrong_codes,
                approving: Arc::default(),
                cache,
                observer,
                held,
            }),
            origin: None,
        }
    }

    /// Returns a handle whose decisions are recorded with this origin.
    pub(crate) fn by(&self, origin: Origin) -> Self {
        Self { inner: Arc::clone(&self.inner), origin: Some(origin) }
    }

    /// Returns the origin of a decision: the program itself, over a handle that was given none.
    pub(super) fn origin(&self) -> Origin {
        self.origin.unwrap_or(Origin { at: self.inner.clock.unix(), ..Origin::GATEWAY })
    }

    /// Returns the store for decisions.
    pub(super) fn store(&self) -> Arc<dyn Inbound> {
        Arc::clone(&self.inner.store).senders_by(self.origin())
    }

    /// Returns the channels. Register each one before its messages arrive; it may be replaced at
    /// any time.
    #[must_use]
    pub fn channels(&self) -> &Channels {
        &self.inner.channels
    }

    /// Returns the settings.
    #[must_use]
    pub fn settings(&self) -> &InboundSettings {
        &self.inner.settings
    }

    /// Returns the number of cached senders, including invalid entries.
    #[must_use]
    pub fn remembered(&self) -> usize {
        self.inner.cache.len()
    }

    /// Decides about a message. A message on a public channel is admitted, whether or not its
    /// sender can be spelled; for others see [`handfast_core::flow::inbound`]. Nothing is sent: the
    /// caller has to send the text if [`SenderChallenge::reply`] is set, or call [`Gate::receive`]
    /// instead.
    ///
    /// A cached sender is admitted without a call to the channel or the store.
    ///
    /// # Errors
    /// [`GateError`]; the message was not admitted.
    pub async fn should_admit(&self, message: Incoming<'_>) -> Result<MessageAdmission, GateError> {
        if let Some(admitted) = self.remembers(&message) {
            return Ok(MessageAdmission::Admit(admitted));
        }
        // Boxed, so that the future for cached senders is small.
        let admission = Box::pin(self.look(&message, Unregistered::IsAnError)).await?;
        self.count_as_told(&message, &admission);
        Ok(admission)
    }

    /// Decides like [`Gate::should_admit`] for a program that holds the channel itself. If no
    /// adapter is registered here, senders are spelled as on `whatsapp`, as on `telegram`, or
    /// verbatim ([`super::channels::ReadyMade::named`]). The program sends the texts itself.
    ///
    /// # Errors
    /// As [`Gate::should_admit`].
    pub async fn should_admit_elsewhere(
        &self,
        message: Incoming<'_>,
    ) -> Result<MessageAdmission, GateError> {
        if let Some(admitted) = self.remembers(&message) {
            return Ok(MessageAdmission::Admit(admitted));
        }
        let admission = Box::pin(self.look(&message, Unregistered::IsSpelledByItsName)).await?;
        self.count_as_told(&message, &admission);
        Ok(admission)
    }

    /// Decides about a message like [`Gate::should_admit`], and sends a challenged sender its code
    /// in the background: at most 64 replies per channel are in progress, for 10 s each, and any
    /// more are not sent. Returns `None` for a message that was not admitted.
    ///
    /// # Errors
    /// As [`Gate::should_admit`].
    pub async fn receive(&self, message: Incoming<'_>) -> Result<Option<Admitted>, GateError> {
        if let Some(admitted) = self.remembers(&message) {
            return Ok(Some(admitted));
        }
        match Box::pin(self.look(&message, Unregistered::IsAnError)).await? {
            MessageAdmission::Admit(admitted) => Ok(Some(admitted)),
            MessageAdmission::Challenge(challenge) => {
                self.tell_code(challenge);
                Ok(None)
            }
            MessageAdmission::Drop(_) => Ok(None),
        }
    }

    /// Forgets all senders, so that each one's next message is decided by the store.
    pub(crate) fn forget_remembered(&self) {
        self.inner.channels.next_generation();
    }

    fn remembers(&self, message: &Incoming<'_>) -> Option<Admitted> {
        let mut who = self.find(message)?;
        // A sample of the lookups is repeated under a timer; timing each would slow all down.
        if who.metrics.is_to_be_timed() {
            let begun = Instant::now();
            who = self.find(message)?;
            self.inner.telemetry.admit_took(AdmitPath::Cached, begun.elapsed());
        }
        who.metrics.decided(GateDecision::Admitted);
        Some(Admitted { who })
    }

    fn find(&self, message: &Incoming<'_>) -> Option<Arc<Who>> {
        // A longer sender is never cached, so the cache's memory is bounded.
        let raw = message.sender.filter(|raw| raw.len() <= RAW_BYTES)?;
        let key = SenderKey { channel: message.channel, account: message.account, raw };
        self.inner.cache.get(key, self.moment())
    }

    fn moment(&self) -> CacheMoment {
        let inner = &self.inner;
        CacheMoment {
            epoch: inner.store.inbound_epoch(),
            generation: inner.channels.generation(),
            now: inner.clock.unix(),
        }
    }

    async fn look(
        &self,
        message: &Incoming<'_>,
        unregistered: Unregistered,
    ) -> Result<MessageAdmission, GateError> {
        let begun = Instant::now();
        // Names of unregistered channels come from outside, so they share one metric label.
        let known = unregistered == Unregistered::IsSpelledByItsName
            || self.inner.channels.find(message.channel).is_some();
        let known = known || self.is_public(message);
        let metrics = self.inner.telemetry.channel(if known { message.channel } else { "" });
        let outcome = self
            .decide(message, unregistered, &metrics)
            .await
            .inspect_err(|_| metrics.decided(GateDecision::Failed))?;
        if let Some(path) = outcome.path {
            self.inner.telemetry.admit_took(path, begun.elapsed());
        }
        metrics.decided(match &outcome.admission {
            MessageAdmission::Admit(_) => GateDecision::Admitted,
            MessageAdmission::Challenge(_) => GateDecision::Challenged,
            MessageAdmission::Drop(dropped) => GateDecision::Dropped(reason(*dropped)),
        });
        Ok(outcome.admission)
    }

    async fn decide(
        &self,
        message: &Incoming<'_>,
        unregistered: Unregistered,
        metrics: &Arc<ChannelMetrics>,
    ) -> Result<GateOutcome, GateError> {
        let channel = Ident::parse(message.channel).ok_or(GateError::BadId("channel"))?;
        let account = Ident::parse(message.account).ok_or(GateError::BadId("account"))?;
        // Read before the channel and the store: a change in the meantime must invalidate the
        // result.
        let moment = self.moment();
        let spelled = self.spell_sender(message, unregistered).await;
        let name = |sender: &str| SenderName {
            channel: message.channel.to_owned(),
            account: message.account.to_owned(),
            sender: sender.to_owned(),
        };
        let who = |sender: Option<&str>| {
            let name = name(sender.unwrap_or_default());
            Arc::new(Who { name, is_sender: sender.is_some(), metrics: Arc::clone(metrics) })
        };
        if self.is_public(message) {
            let sender = spelled.ok().and_then(Spelled::sender);
            let admission = MessageAdmission::Admit(Admitted { who: who(sender.as_deref()) });
            return Ok(GateOutcome { admission, path: None });
        }
        let dropped =
            |dropped| Ok(GateOutcome { admission: MessageAdmission::Drop(dropped), path: None });
        let sender = match spelled? {
            Spelled::Sender(sender) => sender,
            Spelled::NotASender => return dropped(Dropped::NotASender),
            Spelled::Nobody => return dropped(Dropped::Nobody),
        };
        // A channel may return a name that could pass for another one; it does not count as a
        // sender.
        let Some(ident) = Ident::parse(&sender) else { return dropped(Dropped::NotASender) };
        let id = SenderId { channel, account, sender: ident };

        let inner = &self.inner;
        let limits = &inner.settings.limits;
        let facts = inner.store.facts(id, limits, moment.now).await?;
        self.note_over(&facts, || name(&sender)).await;
        if self.is_doubted(&facts, || name(&sender)).await? {
            return dropped(Dropped::ClockInDoubt);
        }
        // This code is never sent: a new code comes from the store's own decision.
        let none = ChallengeCode::new(&Entropy::from_recorded([0; CHALLENGE_CHARS]));
        let mut path = AdmitPath::Store;
        let verdict = match decide(ON, Seen::Sender, &facts, limits, none, moment.now) {
            Verdict::Challenge(core::Challenge::New(_) | core::Challenge::Again(_)) => {
                path = AdmitPath::New;
                // The store decides again as it writes, because two messages may come at once.
                self.challenge(id, message.meta, moment.now).await?
            }
            verdict @ (Verdict::Admit
            | Verdict::Challenge(core::Challenge::Quiet(_))
            | Verdict::Drop(_)) => verdict,
        };
        let admission = match verdict {
            Verdict::Drop(dropped) => MessageAdmission::Drop(dropped),
            Verdict::Challenge(challenge) => {
                MessageAdmission::Challenge(self.as_challenged(challenge, name(&sender)))
            }
            Verdict::Admit => {
                let who = who(Some(&sender));
                let remembered = Remembered::admitted(facts.allowed, moment.epoch, moment.now);
                // Without an adapter nothing is cached: should_admit has to return its error each
                // time.
                let registered = inner.channels.find(message.channel).is_some();
                if let (Some(raw), Some(remembered), true) =
                    (message.sender, remembered, registered)
                {
                    inner.cache.insert(raw, Arc::clone(&who), remembered, moment);
                }
                MessageAdmission::Admit(Admitted { who })
            }
        };
        Ok(GateOutcome { admission, path: Some(path) })
    }

    /// Lets the store decide and write the challenge.
    ///
    /// # Errors
    /// [`GateError::NoFreeCode`] if all drawn codes are in use; or an error of the store.
    async fn challenge(
        &self,
        id: SenderId<'_>,
        meta: Option<&str>,
        now: UnixTime,
    ) -> Result<Verdict, GateError> {
        let meta = meta.filter(|meta| is_meta(meta)).unwrap_or("{}");
        // A drawn code may belong to another sender already.
        for _ in 0..MOST_DRAWS {
            let fresh = ChallengeCode::new(&entropy::draw());
            let limits = &self.inner.settings.limits;
            let (challenged, expired) =
                self.inner.store.challenge(id, meta.to_owned(), fresh, limits, now).await?;
            self.inner.telemetry.codes_expired(expired.into());
            match challenged {
                Challenged::Decided(verdict) => return Ok(verdict),
                Challenged::CodeTaken => {}
            }
        }
        Err(GateError::NoFreeCode)
    }

    fn as_challenged(&self, challenge: core::Challenge, sender: SenderName) -> SenderChallenge {
        let code = challenge.code();
        let (is_new, reply) = match challenge {
            core::Challenge::New(_) => (true, true),
            core::Challenge::Again(_) => (false, true),
            core::Challenge::Quiet(_) => (false, false),
        };
        if is_new {
            self.event(&GateEvent::Asked { sender: sender.clone(), code });
        }
        let ours = || adapter::challenge_text(code.as_str());
        let text = match self.inner.channels.get(&sender.channel) {
            Some(adapter) => adapter::text(|| adapter.challenge_text(code.as_str()), ours),
            None => ours(),
        };
        SenderChallenge { sender, code, is_new, reply, text }
    }

    fn is_public(&self, message: &Incoming<'_>) -> bool {
        let of_channel =
            || !self.inner.settings.public_channels.iter().any(|public| public == message.channel);
        !message.policy.map_or_else(of_channel, |policy| policy.auto_challenge)
    }

    async fn spell_sender(
        &self,
        message: &Incoming<'_>,
        unregistered: Unregistered,
    ) -> Result<Spelled, GateError> {
        let registered = self.inner.channels.find(message.channel);
        if registered.is_none() && unregistered == Unregistered::IsAnError {
            return Err(GateError::Channel(message.channel.to_owned()));
        }
        let Some(raw) = message.sender else { return Ok(Spelled::Nobody) };
        Ok(match self.spell(message.channel, raw).await? {
            Normalised::Sender(sender) => Spelled::Sender(sender),
            Normalised::NotASender => Spelled::NotASender,
        })
    }

    /// Returns a channel's spelling of a sender; the name decides for an unregistered channel.
    pub(super) async fn spell(
        &self,
        channel: &str,
        raw: &str,
    ) -> Result<Normalised, adapter::AdapterError> {
        // A longer id is refused before the channel has work with it.
        if raw.len() > RAW_BYTES {
            return Ok(Normalised::NotASender);
        }
        match self.inner.channels.get(channel) {
            Some(adapter) => {
                adapter::ask(channel, SPELLED_WITHIN, async { adapter.normalise(raw).await }).await
            }
            None => Ok(normalised(spelling(channel), raw)),
        }
    }

    /// Counts a challenge that the caller sends itself.
    fn count_as_told(&self, message: &Incoming<'_>, admission: &MessageAdmission) {
        if let MessageAdmission::Challenge(challenge) = admission {
            self.inner.telemetry.channel(message.channel).challenged(match challenge.reply {
                true => telemetry::ChallengeResult::DeliveredViaBroker,
                false => telemetry::ChallengeResult::Throttled,
            });
        }
    }

    /// Returns the number of waiting senders per channel, for a scrape. Those that have waited too
    /// long are counted as expired.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be counted.
    pub async fn waiting(&self) -> Result<Vec<(String, u64)>, StoreError> {
        // The count ignores expired senders even if they cannot be removed now.
        if let Err(error) = self.expire().await {
            tracing::debug!(%error, "senders whose waiting is over could not be removed");
        }
        self.inner.store.waiting_senders(&self.inner.settings.limits, self.inner.clock.unix()).await
    }

    /// Calls the observer. A panic in it is only logged.
    pub(super) fn event(&self, event: &GateEvent) {
        let Some(observer) = &self.inner.observer else { return };
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| observer(event))).is_err() {
            tracing::error!("an observer of the gate panicked");
        }
    }
}

const ON: ChannelPolicy = ChannelPolicy { auto_challenge: true };

/// A channel's interpretation of a message's sender.
enum Spelled {
    Sender(String),
    NotASender,
    Nobody,
}

impl Spelled {
    fn sender(self) -> Option<String> {
        match self {
            Self::Sender(sender) => Some(sender),
            Self::NotASender | Self::Nobody => None,
        }
    }
}

const fn reason(dropped: Dropped) -> DropReason {
    match dropped {
        Dropped::NotASender => DropReason::NotASender,
        Dropped::Nobody => DropReason::Absent,
        Dropped::Blocked => DropReason::Blocked,
        Dropped::Full => DropReason::Full,
        Dropped::ClockInDoubt => DropReason::ClockInDoubt,
    }
}

fn is_meta(meta: &str) -> bool {
    type Object<'a> = std::collections::HashMap<String, serde::de::IgnoredAny>;
    // Only the form is checked, since the values are the channel's own.
    meta.len() <= SENDER_META_BYTES && serde_json::from_str::<Object<'_>>(meta).is_ok()
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gate").field("channels", &self.inner.channels).finish_non_exhaustive()
    }
}
