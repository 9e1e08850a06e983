//! The gateway's keys over time: the current ones, and during an overlap the static key of before.
//!
//! ```text
//! One key ──rotate──▶ Overlap ──its end, or finish──▶ One key
//! ```
//! From the rotation on, the new key is the gateway's: nodes are paired under it, and its
//! fingerprint is shown. A node that knows the older one links with it until the overlap ends, and
//! is told the new one over that link, which the older key has proven. Then the older key is
//! erased. The key that signs stays, so that capability tokens and the audit log stay what they
//! were.

use crate::crypto::keys::OwnKeys;
use crate::crypto::x25519::{KeyPair, PublicKey};
use crate::entropy::Entropy;
use crate::registry::trusted_time::Moment;
use crate::time::{Span, UnixTime};

/// The shortest overlap: nodes that are linked need some minutes to take the new key.
pub const OVERLAP_MIN: Span = Span::from_secs(3_600);
/// The longest overlap.
pub const OVERLAP_MAX: Span = Span::from_secs(400 * 86_400);
/// The overlap that is used if none is named.
pub const OVERLAP: Span = Span::from_secs(30 * 86_400);
/// Time before the end of an overlap from which on the operator is warned of nodes that would be
/// lost.
const NEAR: Span = Span::from_secs(7 * 86_400);

/// The gateway's keys.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct GatewayKeys {
    current: OwnKeys,
    /// The static key under which the gateway began, which names its audit log.
    first: PublicKey,
    older: Option<OlderKey>,
}

/// The static key before the last rotation.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct OlderKey {
    /// The key pair.
    pub pair: KeyPair,
    /// The time of the rotation.
    pub begun: UnixTime,
    /// The time until which nodes link with it.
    pub until: UnixTime,
}

/// The reason for which the key was not rotated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum NotRotated {
    /// An earlier overlap still runs. A third key would cut off every node that knows only the
    /// first.
    UnderWay {
        /// The end of that overlap.
        until: UnixTime,
    },
    /// The overlap is shorter than [`OVERLAP_MIN`] or longer than [`OVERLAP_MAX`].
    BadOverlap,
}

impl OlderKey {
    /// Returns `true` if nodes may link with the key at this moment. A doubt about the clock neither
    /// ends it nor lets anybody use it.
    #[must_use]
    pub fn admits(&self, moment: &Moment) -> bool {
        moment.now < self.until && !moment.doubts(self.begun, self.until)
    }

    /// Returns `true` if the overlap has ended, and the key is to be erased. The caller leaves it
    /// out while the clock is not good, because an erased key cannot come back.
    #[must_use]
    pub fn is_over(&self, now: UnixTime) -> bool {
        self.until <= now
    }

    /// Returns `true` if the end is so near that nodes without the new key are to be warned of.
    #[must_use]
    pub fn is_near(&self, now: UnixTime) -> bool {
        self.until <= now.after(NEAR)
    }
}

impl GatewayKeys {
    /// Returns the keys of a gateway that has never rotated them.
    #[must_use]
    pub const fn new(current: OwnKeys) -> Self {
        let first = *current.channel.public();
        Self { current, first, older: None }
    }

    /// Returns keys from a store.
    #[must_use]
    pub const fn from_stored(current: OwnKeys, first: PublicKey, older: Option<OlderKey>) -> Self {
        Self { current, first, older }
    }

    /// Returns the current keys.
    #[must_use]
    pub const fn current(&self) -> &OwnKeys {
        &self.current
    }

    /// Returns the static key under which the gateway began.
    #[must_use]
    pub const fn first(&self) -> &PublicKey {
        &self.first
    }

    /// Returns the static key of before, during an overlap.
    #[must_use]
    pub const fn older(&self) -> Option<&OlderKey> {
        self.older.as_ref()
    }

    /// Returns the static key of before if nodes may link with it at this moment.
    #[must_use]
    pub fn older_at(&self, moment: &Moment) -> Option<&KeyPair> {
        self.older.as_ref().filter(|older| older.admits(moment)).map(|older| &older.pair)
    }

    /// Returns the keys after a rotation. They have to be durable before anybody is told of them.
    ///
    /// # Errors
    /// [`NotRotated`]. An overlap that is over stands in nobody's way.
    pub fn rotate(
        &self,
        entropy: &Entropy<32>,
        overlap: Span,
        now: UnixTime,
    ) -> Result<Self, NotRotated> {
        if !(OVERLAP_MIN..=OVERLAP_MAX).contains(&overlap) {
            return Err(NotRotated::BadOverlap);
        }
        if let Some(OlderKey { until, .. }) = self.older.as_ref().filter(|it| !it.is_over(now)) {
            return Err(NotRotated::UnderWay { until: *until });
        }
        let pair = KeyPair::from_stored(&self.current.channel.to_stored());
        let older = OlderKey { pair, begun: now, until: now.after(overlap) };
        let current = self.current.with_new_channel(entropy);
        Ok(Self { current, first: self.first, older: Some(older) })
    }

    /// Returns the current keys alone: the overlap has ended, or is ended early.
    #[must_use]
    pub fn finished(&self) -> Self {
        let current = OwnKeys::from_stored(&self.current.to_stored());
        Self { current, first: self.first, older: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);

    fn keys() -> GatewayKeys {
        GatewayKeys::new(OwnKeys::generate(&Entropy::from_recorded([1; 64])))
    }

    fn rotated(keys: &GatewayKeys, seed: u8, now: UnixTime) -> Result<GatewayKeys, NotRotated> {
        keys.rotate(&Entropy::from_recorded([seed; 32]), OVERLAP, now)
    }

    #[test]
    fn a_rotation_makes_another_key_and_keeps_the_one_of_before_until_its_end() {
        let before = keys();
        let after = rotated(&before, 2, NOW).unwrap();
        let (old, new) = (before.current().channel.public(), after.current().channel.public());
        assert_ne!(old, new);
        let until = NOW.after(OVERLAP);
        let older_at = |at: UnixTime| after.older_at(&at.into()).map(|pair| *pair.public());
        assert_eq!(older_at(NOW), Some(*old));
        assert_eq!(older_at(UnixTime::from_secs(until.as_secs() - 1)), Some(*old));
        assert_eq!(older_at(until), None);
        let older = after.older().unwrap();
        assert!(older.is_over(until) && !older.is_over(NOW));
        assert!(!older.is_near(NOW) && older.is_near(NOW.after(Span::from_secs(24 * 86_400))));
        let finished = after.finished();
        assert_eq!(finished.current().channel.public(), new);
        assert!(finished.older().is_none());
    }

    #[test]
    fn while_an_overlap_runs_there_is_no_third_key() {
        let after = rotated(&keys(), 2, NOW).unwrap();
        let until = NOW.after(OVERLAP);
        assert_eq!(rotated(&after, 3, NOW).err(), Some(NotRotated::UnderWay { until }));
        assert!(rotated(&after, 3, until).is_ok());
        assert!(rotated(&after.finished(), 3, NOW).is_ok());
    }

    #[test]
    fn an_overlap_has_a_shortest_and_a_longest() {
        for overlap in
            [Span::from_secs(0), Span::from_secs(3_599), Span::from_secs(OVERLAP_MAX.as_secs() + 1)]
        {
            let entropy = Entropy::from_recorded([2; 32]);
            assert_eq!(keys().rotate(&entropy, overlap, NOW).err(), Some(NotRotated::BadOverlap));
        }
    }

    #[test]
    fn the_log_keeps_the_name_under_which_the_gateway_began() {
        let before = keys();
        let mut now = keys();
        for round in 0..3_u8 {
            let at = NOW.after(Span::from_secs(OVERLAP.as_secs() * u64::from(round)));
            now = rotated(&now, round + 2, at).unwrap();
        }
        assert_eq!(now.first(), before.current().channel.public());
        assert_ne!(now.current().channel.public(), now.first());
    }
}
