//! Time as a value: machines take it as an argument and read no clock.

pub mod rfc3339;

/// A point on a monotonic clock, in milliseconds since any fixed start, such as boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Instant(u64);

impl Instant {
    /// Makes an instant from milliseconds since the start of the clock.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Returns the milliseconds since the start of the clock.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Adds a span; saturates at the end of time instead of wrapping.
    #[must_use]
    pub const fn after(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.0))
    }

    /// Returns the time that has passed since `earlier`; zero if `earlier` lies ahead.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }
}

/// A length of time in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Span(u64);

impl Span {
    /// Makes a span from milliseconds.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Makes a span from whole seconds; saturates.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1000))
    }

    /// Returns the span in milliseconds.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Returns the span in whole seconds, rounded down.
    #[must_use]
    pub const fn as_secs(self) -> u64 {
        self.0 / 1000
    }
}

/// A wall-clock time in whole seconds since 1970-01-01T00:00:00Z.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Default,
    serde::Serialize,
    serde::Deserialize,
)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct UnixTime(u64);

impl UnixTime {
    /// Makes a time from seconds since the epoch.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs)
    }

    /// Returns the seconds since the epoch.
    #[must_use]
    pub const fn as_secs(self) -> u64 {
        self.0
    }

    /// Adds a span in whole seconds; saturates at the end of time.
    #[must_use]
    pub const fn after(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.as_secs()))
    }

    /// Adds a signed number of seconds; saturates at both ends of time.
    #[must_use]
    pub const fn moved(self, by: i64) -> Self {
        Self(self.0.saturating_add_signed(by))
    }

    /// Returns the seconds from this time to `other`; negative if `other` lies before it.
    #[must_use]
    pub const fn until(self, other: Self) -> i64 {
        // The distance is clamped first, because it may exceed an `i64`.
        let span = other.0.abs_diff(self.0);
        let span = if span > i64::MAX.unsigned_abs() { i64::MAX } else { span.cast_signed() };
        if other.0 < self.0 { span.saturating_neg() } else { span }
    }
}

/// The reason for a machine's deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum DeadlineReason {
    /// The peer's first message is overdue at the deadline.
    FirstMessage,
    /// The peer's answer is overdue at the deadline.
    Answer,
    /// A ping is due at the deadline.
    Ping,
    /// The peer's answer to a ping is overdue at the deadline.
    Pong,
    /// The next attempt to connect is due.
    Reconnect,
    /// The next heartbeat is due.
    Heartbeat,
    /// The peer's rights end at the deadline.
    Ends,
    /// The radio's next change is due, or its report is overdue.
    Radio,
}
