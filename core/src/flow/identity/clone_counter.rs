//! The alarm about a node whose state was copied: one counter for each node key, for all its links.
//!
//! The gateway gives the node a new value now and then, as an opaque [`CloneMark`] that only the
//! gateway can make. The node shows at each link the last one that it has stored. Two machines with
//! the same state share the same value only until one of them is given the next: from then on the
//! other one shows an older value, and that is the alarm.
//!
//! ```text
//!            older value, or none, after a newer one was confirmed
//!   Normal ───────────────────────────────────────────────▶ Quarantined
//!     ▲                                                          │ the operator's release
//!     └── the value made for the release is confirmed ─ Released ◀
//! ```
//! A value that the gateway made and does not remember shows that the *gateway* is older than its
//! node, because it was restored from a backup: it takes the value over and alarms nobody. Links
//! that are cut anywhere alarm nobody either: the value that was offered counts beside the confirmed
//! one, and it stays the same until it is confirmed.

use subtle::ConstantTimeEq;

use crate::crypto::{hmac_sha256, labels, x25519};
use crate::entropy::Entropy;
use crate::limits::{CLONE_MARK_EVERY, LINK_BEGINS_WITHIN};
use crate::secret::Secret;
use crate::time::UnixTime;
use crate::wire::native::link::{CLONE_MARK_BYTES, CloneMark};

/// Length of the tag in a mark, in bytes.
const TAG_BYTES: usize = 16;
const _: () = assert!(size_of::<u64>() + TAG_BYTES == CLONE_MARK_BYTES);

/// The key under which a gateway makes marks. Gateways that share a registry share it.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct MarkKey(Secret<32>);

impl MarkKey {
    /// Makes a fresh key.
    #[must_use]
    pub fn new(entropy: &Entropy<32>) -> Self {
        Self(Secret::new(*entropy.expose()))
    }

    /// Restores a key from a store.
    #[must_use]
    pub const fn from_stored(key: Secret<32>) -> Self {
        Self(key)
    }

    /// Returns the secret for a store.
    #[must_use]
    pub fn to_stored(&self) -> Secret<32> {
        Secret::new(*self.0.expose())
    }

    /// Computes the first 16 bytes of HMAC-SHA256 over the node's key and the value.
    fn tag(&self, node: &x25519::PublicKey, value: u64) -> [u8; TAG_BYTES] {
        // The node's key is part of the tag, so one node's mark means nothing for another.
        let parts: [&[u8]; 2] = [node.as_bytes(), &value.to_be_bytes()];
        let tag = hmac_sha256::tag_parts(&self.0, labels::CLONE_MARK, &parts);
        // The tag has 32 bytes, so the other branch only satisfies the types.
        *tag.expose().first_chunk().unwrap_or(&[0; TAG_BYTES])
    }
}

impl CloneMark {
    /// Makes the mark of a value for the node with this static key: the value in eight bytes, big
    /// endian, and its tag.
    #[must_use]
    pub fn make(key: &MarkKey, node: &x25519::PublicKey, value: u64) -> Self {
        let mut bytes = [0; CLONE_MARK_BYTES];
        let both = value.to_be_bytes().into_iter().chain(key.tag(node, value));
        for (place, byte) in bytes.iter_mut().zip(both) {
            *place = byte;
        }
        Self::from_bytes(bytes)
    }

    /// Returns the value if the mark was made for this node under one of the keys. Older keys stay
    /// good for reading, so a rotation alarms nobody.
    #[must_use]
    pub fn read(&self, keys: &[MarkKey], node: &x25519::PublicKey) -> Option<u64> {
        let (value, tag) = self.as_bytes().split_first_chunk()?;
        let value = u64::from_be_bytes(*value);
        // The comparison takes equally long for every tag, so none is found byte by byte.
        keys.iter().any(|key| key.tag(node, value).ct_eq(tag).into()).then_some(value)
    }
}

/// The mark that a node has shown, as the gateway reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Shown {
    /// The node has shown none.
    Nothing,
    /// The node has shown one that this gateway did not make for it.
    Foreign,
    /// The node has shown this value.
    Value(u64),
}

impl Shown {
    /// Reads the mark that the node with this static key has shown.
    #[must_use]
    pub fn of(mark: Option<&CloneMark>, keys: &[MarkKey], node: &x25519::PublicKey) -> Self {
        match mark {
            None => Self::Nothing,
            Some(mark) => mark.read(keys, node).map_or(Self::Foreign, Self::Value),
        }
    }
}

/// The condition of a node with regard to copies of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum CloneCondition {
    /// There is no sign of a copy.
    #[default]
    Normal,
    /// An older value was shown. The node's links are muted, and it is given no dispatch, renewal
    /// or bearer until the operator decides.
    Quarantined,
    /// The operator has released the node, or it was paired anew: the machine that links next is
    /// the one that goes on, whatever it shows.
    Released,
}

impl CloneCondition {
    /// Returns the condition's word in stores and listings.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Quarantined => "quarantined",
            Self::Released => "released",
        }
    }

    /// Reads the word of [`as_str`](Self::as_str).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Normal, Self::Quarantined, Self::Released]
            .into_iter()
            .find(|condition| condition.as_str() == text)
    }
}

/// The counter of one node key, as the registry keeps it. Values begin at 1 and only rise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct CloneCounter {
    /// The newest value that the node has stored; `None` before the first one.
    pub confirmed: Option<u64>,
    /// The time at which it was confirmed.
    pub confirmed_at: Option<UnixTime>,
    /// The value that the node was given and has not confirmed. It is above the confirmed one.
    pub offered: Option<u64>,
    /// The time at which the newest value was made.
    pub offered_at: Option<UnixTime>,
    /// The node's condition.
    pub condition: CloneCondition,
}

/// The decision about a link that a node opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct LinkVerdict {
    /// The value whose mark is sent to the node on this link.
    pub offer: Option<u64>,
    /// `true` if this link raises the alarm: the operator is told, with both addresses.
    pub alarm: bool,
    /// `true` if the node showed a value that this gateway made and does not remember: the gateway
    /// was restored from a backup, which its status and its log say.
    pub gateway_is_older: bool,
    /// `true` if the node is in quarantine, since now or before.
    pub quarantined: bool,
    /// `true` if a newer value was confirmed while this link began, so its value proves nothing.
    /// The gateway ends the link, and the node opens another one.
    pub overtaken: bool,
}

impl LinkVerdict {
    /// A link about which there is nothing to do.
    const QUIET: Self = Self {
        offer: None,
        alarm: false,
        gateway_is_older: false,
        quarantined: false,
        overtaken: false,
    };
}

impl CloneCounter {
    /// Decides about a link that the node has proven, by the value that it showed first.
    #[must_use]
    pub fn linked(self, shown: Shown, now: UnixTime) -> (Self, LinkVerdict) {
        match self.condition {
            // Nothing that is shown ends a quarantine: a copy can show the same as the node.
            CloneCondition::Quarantined => {
                (self, LinkVerdict { quarantined: true, ..LinkVerdict::QUIET })
            }
            CloneCondition::Released => self.linked_after_release(shown, now),
            CloneCondition::Normal => self.linked_normally(shown, now),
        }
    }

    fn linked_normally(self, shown: Shown, now: UnixTime) -> (Self, LinkVerdict) {
        match (shown, self.confirmed) {
            // The offered value shows that the node stored it, even if its confirmation was lost.
            (Shown::Value(value), _) if self.offered == Some(value) => {
                self.stored(value, now).offering(now, false)
            }
            // Above everything that is remembered: another life of this gateway made it.
            (Shown::Value(value), confirmed) if confirmed.is_none_or(|newest| newest < value) => {
                self.taking_over(value, now).offering(now, true)
            }
            (Shown::Value(value), Some(newest)) if newest == value => self.offering(now, false),
            // A key that never had a value has none to show.
            (Shown::Nothing | Shown::Foreign, None) => self.offering(now, false),
            // A link that began before the confirmation shows the older value in good faith.
            (Shown::Value(_) | Shown::Nothing, _) if self.was_just_confirmed(now) => {
                (self, LinkVerdict { overtaken: true, ..LinkVerdict::QUIET })
            }
            (Shown::Value(_) | Shown::Nothing | Shown::Foreign, _) => {
                let quarantined = Self { condition: CloneCondition::Quarantined, ..self };
                // Nothing is offered now, or the copy might be the one that gets the next value.
                let verdict = LinkVerdict { alarm: true, quarantined: true, ..LinkVerdict::QUIET };
                (quarantined, verdict)
            }
        }
    }

    /// Whatever is shown, the machine goes on with the value that was made for the release.
    fn linked_after_release(self, shown: Shown, now: UnixTime) -> (Self, LinkVerdict) {
        match shown {
            Shown::Value(value) if self.offered == Some(value) => {
                self.stored(value, now).offering(now, false)
            }
            Shown::Value(value) if self.newest().is_none_or(|newest| newest < value) => {
                // The value shown may be a copy's, too, so the release gets one above it.
                let counter = self.taking_over(value, now).with_next(now);
                let verdict = LinkVerdict {
                    offer: counter.offered,
                    gateway_is_older: true,
                    ..LinkVerdict::QUIET
                };
                (counter, verdict)
            }
            Shown::Value(_) | Shown::Nothing | Shown::Foreign => {
                (self, LinkVerdict { offer: self.offered, ..LinkVerdict::QUIET })
            }
        }
    }

    /// Records that the node has stored a value. Only the offered one counts; every other one is
    /// late or repeated.
    #[must_use]
    pub fn stored(self, value: u64, now: UnixTime) -> Self {
        if self.offered != Some(value) {
            return self;
        }
        let condition = match self.condition {
            CloneCondition::Normal | CloneCondition::Released => CloneCondition::Normal,
            // A confirmation that was under way when the quarantine began does not end it.
            CloneCondition::Quarantined => CloneCondition::Quarantined,
        };
        let confirmed_at = Some(now);
        Self { confirmed: Some(value), confirmed_at, offered: None, condition, ..self }
    }

    /// Releases the node from quarantine, at the operator's word: the machine that links next goes
    /// on. A value above all earlier ones is made for it, and once that is confirmed, older values
    /// alarm again. A node that is not in quarantine stays as it is.
    #[must_use]
    pub fn release(self, now: UnixTime) -> Self {
        match self.condition {
            CloneCondition::Quarantined => self.started_afresh(now),
            CloneCondition::Normal | CloneCondition::Released => self,
        }
    }

    /// Starts afresh after the node was paired anew, because it may have lost its mark. Its values
    /// go on rising, so that those from before stay older ones. Quarantine does not end by it: a
    /// copy has the node's key, too, and could pair as well.
    #[must_use]
    pub fn paired_anew(self, now: UnixTime) -> Self {
        match (self.condition, self.newest()) {
            // A key without values has none that a copy could show as an older one.
            (CloneCondition::Quarantined, _) | (CloneCondition::Normal, None) => self,
            (CloneCondition::Normal | CloneCondition::Released, _) => self.started_afresh(now),
        }
    }

    /// Returns `true` while the node is in quarantine.
    #[must_use]
    pub const fn is_quarantined(&self) -> bool {
        match self.condition {
            CloneCondition::Quarantined => true,
            CloneCondition::Normal | CloneCondition::Released => false,
        }
    }

    /// Returns the highest value that is remembered.
    fn newest(&self) -> Option<u64> {
        self.offered.max(self.confirmed)
    }

    fn started_afresh(self, now: UnixTime) -> Self {
        Self { condition: CloneCondition::Released, ..self.with_next(now) }
    }

    /// Makes the value above all that are remembered. There is always one in practice: at one an
    /// hour, 64 bits last for ever.
    fn with_next(self, now: UnixTime) -> Self {
        let next = self.newest().unwrap_or(0).checked_add(1);
        Self { offered: next, offered_at: Some(now), ..self }
    }

    /// Takes over a value that is above the confirmed one. An offered one above it stays offered.
    fn taking_over(self, value: u64, now: UnixTime) -> Self {
        Self {
            confirmed: Some(value),
            confirmed_at: Some(now),
            offered: self.offered.filter(|offered| *offered > value),
            ..self
        }
    }

    /// Offers the value that is not confirmed yet, or a new one if it is time for one.
    fn offering(self, now: UnixTime, gateway_is_older: bool) -> (Self, LinkVerdict) {
        // A clock that was set back makes a value due at once, or none would come for long.
        let is_due = self.offered_at.is_none_or(|at| now < at || at.after(CLONE_MARK_EVERY) <= now);
        let counter = if self.offered.is_none() && is_due { self.with_next(now) } else { self };
        let verdict =
            LinkVerdict { offer: counter.offered, gateway_is_older, ..LinkVerdict::QUIET };
        (counter, verdict)
    }

    /// Returns `true` if a link whose first message comes now may have begun before the newest
    /// value was confirmed.
    fn was_just_confirmed(&self, now: UnixTime) -> bool {
        // A confirmation from the future comes from a clock that was set back, and excuses nothing.
        self.confirmed_at.is_some_and(|at| at <= now && now <= at.after(LINK_BEGINS_WITHIN))
    }
}

#[cfg(test)]
mod tests;
