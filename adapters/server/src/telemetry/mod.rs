//! The gateway's metrics, in the text format of OpenMetrics. Each gateway has its own: nothing is
//! global. Without the feature `metrics` nothing is counted: `counting` is then a module with the
//! same interface that does nothing.

mod channel;
#[cfg(feature = "metrics")]
mod counting;
#[cfg(not(feature = "metrics"))]
#[path = "not_counting.rs"]
mod counting;
mod durations;
mod events;
mod foreign;
mod gauges;
pub(crate) mod label_values;
mod labels;
pub(crate) mod log_lines;
pub(crate) mod log_observer;
pub(crate) mod outage;
pub(crate) mod spans;
#[cfg(all(test, feature = "metrics"))]
mod tests;
pub(crate) mod text;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub use self::foreign::ForeignMetrics;
pub use self::gauges::{Live, LiveSharing};
pub use self::label_values::{
    AdmitPath, ApprovalResult, ChallengeResult, DropReason, ExtensionResult, SessionEvent,
    Verification,
};
pub use channel::{ChannelMetrics, GateDecision};

use self::channel::ChannelFamilies;
pub(crate) use self::counting::IS_COUNTED;
use self::counting::{Counter, Family, Registry, Unit, encode_eof, encode_registry};
use self::durations::{Durations, TO_A_SECOND, TO_TEN_SECONDS};
use self::events::EventKind;
use self::label_values::LabelValue;
use self::labels::{BoundedLabels, Counters, Labels};
use crate::events::Event;

/// The content type of what [`Telemetry::encode`] returns.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Returns the word of an event's kind.
pub(crate) fn event_word(event: &Event) -> &'static str {
    EventKind::of(event).word()
}

/// What one gateway counts and times. Share it by [`Arc`]; all of it may be used from many threads
/// at once.
///
/// Labels whose values come from outside (`channel`, `profile`, `extension`) tell at most 64 values
/// apart, of at most 64 characters; what comes after them is counted under `other`.
#[derive(Debug)]
pub struct Telemetry {
    registry: Registry,
    channel_families: ChannelFamilies,
    channels: BoundedLabels<ChannelMetrics>,
    codes_expired: Counter,
    issued_family: Family<Labels, Counter>,
    issued: BoundedLabels<Counter>,
    verified: Counters<Verification>,
    sessions: Counters<SessionEvent>,
    events: Counters<EventKind>,
    extension_family: Family<Labels, Counter>,
    extensions: BoundedLabels<Counters<ExtensionResult>>,
    verify: Durations,
    redeem: Durations,
    /// In the order of [`AdmitPath::ALL`].
    admit: Box<[Durations]>,
}

impl Telemetry {
    /// Everything at zero.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::default();
        let channel_families = ChannelFamilies::register(&mut registry);

        // Names without `_total` and `_seconds`, which are appended.
        let codes_expired = Counter::default();
        registry.register(
            "pairing_codes_expired",
            "Codes of senders that nobody approved in time",
            codes_expired.clone(),
        );
        let mut family = |name: &str, help: &str| {
            let family = Family::<Labels, Counter>::default();
            registry.register(name, help, family.clone());
            family
        };
        let issued_family =
            family("pairing_bootstrap_tokens_issued", "Setup codes that were issued");
        let verified =
            family("pairing_bootstrap_tokens_verified", "Setup codes that companions showed");
        let sessions = family("pairing_sessions", "What happened to the sessions of companions");
        let events = family("handfast_events", "What happened at the gateway");
        let extension_family = family("handfast_extension_calls", "Calls of extensions");

        let (verify, redeem) = (Durations::new(TO_A_SECOND), Durations::new(TO_TEN_SECONDS));
        let help = "The check of a setup code, without the store";
        registry.register_with_unit("pairing_verify", help, Unit::Seconds, verify.clone());
        let help = "A setup code's way to a session, with the store";
        registry.register_with_unit("pairing_redeem", help, Unit::Seconds, redeem.clone());
        let admits = Family::<Labels, Durations, fn() -> Durations>::new_with_constructor(|| {
            Durations::new(TO_TEN_SECONDS)
        });
        let help = "The gate's decision on a message; of those from memory a part is timed";
        registry.register_with_unit("pairing_admit", help, Unit::Seconds, admits.clone());
        let admit = AdmitPath::ALL
            .iter()
            .map(|path| admits.get_or_create_owned(&Labels::closed("path", path.word())))
            .collect();

        Self {
            registry,
            channel_families,
            channels: BoundedLabels::default(),
            codes_expired,
            issued_family,
            issued: BoundedLabels::default(),
            verified: Counters::closed(&verified, "result"),
            sessions: Counters::closed(&sessions, "event"),
            events: Counters::closed(&events, "event"),
            extension_family,
            extensions: BoundedLabels::default(),
            verify,
            redeem,
            admit,
        }
    }

    /// The counters of a channel; an empty name stands for a channel that is not known, as that of
    /// a code that nobody has. This looks the name up: keep what it returns with the channel.
    #[must_use]
    pub fn channel(&self, name: &str) -> Arc<ChannelMetrics> {
        self.channels.get(name, |name| self.channel_families.channel(name))
    }

    /// Counts codes of senders that nobody approved in time.
    pub fn codes_expired(&self, count: u64) {
        self.codes_expired.inc_by(count);
    }

    /// Counts one setup code that was issued.
    pub fn bootstrap_token_issued(&self, profile: &str) {
        let make =
            |profile| self.issued_family.get_or_create_owned(&Labels::open("profile", &profile));
        self.issued.get(profile, make).inc();
    }

    /// Counts one setup code that a companion showed.
    pub fn bootstrap_token_verified(&self, result: Verification) {
        self.verified.add(result, 1);
    }

    /// Counts what happened to so many sessions of companions.
    pub fn sessions(&self, event: SessionEvent, count: u64) {
        self.sessions.add(event, count);
    }

    /// Counts an event of the gateway.
    pub fn event(&self, event: &Event) {
        self.events.add(EventKind::of(event), 1);
    }

    /// Counts one call of an extension.
    pub fn extension_call(&self, extension: &str, result: ExtensionResult) {
        let make = |extension| {
            Counters::of(&self.extension_family, &Labels::open("extension", &extension), "result")
        };
        self.extensions.get(extension, make).add(result, 1);
    }

    /// Records how long the check of a setup code took, without the store.
    pub fn verify_took(&self, took: Duration) {
        self.verify.observe(took);
    }

    /// Records how long it took from a setup code to a durable session.
    pub fn redeem_took(&self, took: Duration) {
        self.redeem.observe(took);
    }

    /// Records how long the gate took for a decision. To look at the clock costs more than to
    /// decide from memory: on that path, do it only where [`ChannelMetrics::is_to_be_timed`] says
    /// so.
    pub fn admit_took(&self, path: AdmitPath, took: Duration) {
        self.admit[path.index()].observe(took);
    }

    /// All of it as OpenMetrics text that ends with `# EOF`; its type is [`CONTENT_TYPE`].
    #[must_use]
    pub fn encode(&self, live: &Live) -> String {
        self.encode_with(live, &ForeignMetrics::default())
    }

    /// As [`Telemetry::encode`], with the metrics of others before the end, 4 MiB of them at most.
    /// Those with the name of a family of the gateway are left out: nobody else's fault costs the
    /// scrape. That two of them do not expose the same series is up to the caller.
    #[must_use]
    pub fn encode_with(&self, live: &Live, extra: &ForeignMetrics) -> String {
        // A channel without anybody who waits is exposed at zero, not left out.
        let mut pending: BTreeMap<Arc<str>, u64> =
            self.channels.all().iter().map(|channel| (channel.name().into(), 0)).collect();
        for (channel, count) in &live.senders_pending {
            let sum = pending.entry(self.channel(channel).name().into()).or_default();
            *sum = sum.saturating_add(*count);
        }

        let mut text = String::new();
        encode_registry(&mut text, &self.registry).expect("a String takes whatever is written");
        self::gauges::encode(live, pending, &mut text).expect("a String takes whatever is written");
        extra.write(&mut text);
        encode_eof(&mut text).expect("a String takes whatever is written");
        text
    }
}

impl Default for Telemetry {
    fn default() -> Self {
        Self::new()
    }
}
