//! A device's own compact certificate: which one it takes, and when it asks for the next one.
//!
//! A device may have no clock. Until its gateway tells the time, all it knows is that it is later than
//! when the certificate was stored: what had ended by then has ended, and what had not begun may have
//! begun meanwhile.

use crate::crypto::keys::OwnKeys;
use crate::flow::identity::certificate::renews_at;
use crate::grant::certificate::{CompactDefect, Serial, SignedFields, Unverified};
use crate::id::NodeId;
use crate::limits::COMPACT_CERTIFICATE_BYTES;
use crate::time::{Instant, Span, UnixTime};
use crate::wire::native::part::{Object, Part};
use crate::wire::native::signer::SignerKey;

/// Shortest time between two requests for a certificate.
const PATIENCE: Span = Span::from_secs(30);
/// Time between two requests of a device that has no certificate that counts.
const WITHOUT: Span = Span::from_secs(600);

/// The time as a device knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct DeviceTime {
    time: UnixTime,
    at: Instant,
    /// `true` if the gateway has told the time on this run.
    told: bool,
}

impl DeviceTime {
    /// Makes the time of a device that has just started: it is at least the last known one.
    #[must_use]
    pub const fn at_least(known: UnixTime) -> Self {
        // Nothing has passed since the end of time, so the bound stays as it is.
        Self { time: known, at: Instant::from_millis(u64::MAX), told: false }
    }

    /// Makes the time that the gateway tells now.
    #[must_use]
    pub const fn told(time: UnixTime, now: Instant) -> Self {
        Self { time, at: now, told: true }
    }

    /// Returns the time now: the one that was told, and what has passed since; else the last one
    /// known.
    #[must_use]
    pub const fn now(&self, now: Instant) -> UnixTime {
        self.time.after(now.since(self.at))
    }
}

/// A compact certificate of the device itself, verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct HeldCertificate {
    /// The serial number.
    pub serial: Serial,
    /// Start of validity, inclusive.
    pub not_before: UnixTime,
    /// End of validity, inclusive.
    pub not_after: UnixTime,
    /// The gateway's key that signed it.
    pub signer: SignerKey,
}

/// The reason for which a device does not take a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum NotHeld {
    /// No compact certificate came, or not the whole of it.
    Incomplete,
    /// The gateway has not told the key that it signs with, or it is no key.
    NoSigner,
    /// The certificate does not count.
    Defect(CompactDefect),
    /// The certificate is another node's.
    OtherNode,
    /// The certificate is for other keys than the device's.
    OtherKeys,
}

impl HeldCertificate {
    /// Verifies a certificate that came, or was stored: its one form, the gateway's signature, its
    /// node and both keys, and its time as far as the device knows the time.
    ///
    /// # Errors
    /// The first check that fails.
    #[inline(never)]
    pub fn verify(
        bytes: &[u8],
        signer: &SignerKey,
        (node_id, keys): (NodeId, &OwnKeys),
        (time, now): (&DeviceTime, Instant),
    ) -> Result<Self, NotHeld> {
        let unverified = Unverified::read(bytes).map_err(NotHeld::Defect)?;
        let fields = verified(&unverified, signer)?;
        if fields.node_id != node_id {
            return Err(NotHeld::OtherNode);
        }
        if fields.channel != *keys.channel.public()
            || fields.signing != *keys.signing.public().as_bytes()
        {
            return Err(NotHeld::OtherKeys);
        }
        let known = time.now(now);
        // Until the time is told, the known one may lie before the start of a good certificate.
        if time.told && known < fields.not_before {
            return Err(NotHeld::Defect(CompactDefect::NotYet));
        }
        if fields.not_after < known {
            return Err(NotHeld::Defect(CompactDefect::Expired));
        }
        let (serial, not_before, not_after) = (fields.serial, fields.not_before, fields.not_after);
        Ok(Self { serial, not_before, not_after, signer: *signer })
    }

    /// Returns `true` if the certificate has ended at this time.
    #[must_use]
    pub fn is_over(&self, at: UnixTime) -> bool {
        self.not_after < at
    }
}

/// Returns what the gateway has signed. Its key is decoded here alone, where it takes stack only as
/// long as it is needed.
#[inline(never)]
fn verified<'u>(
    unverified: &'u Unverified<'_>,
    signer: &SignerKey,
) -> Result<&'u SignedFields, NotHeld> {
    let key = signer.key().map_err(|_| NotHeld::NoSigner)?;
    unverified.verify(&key).map_err(NotHeld::Defect)
}

/// The plan of a device's next request for a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct RequestPlan {
    /// The gateway's key, once it has told it on this link.
    signer: Option<SignerKey>,
    /// No request is made before.
    not_before: Option<Instant>,
}

impl RequestPlan {
    /// Nothing is known of the gateway.
    pub const NONE: Self = Self { signer: None, not_before: None };

    /// Returns the key that the gateway has told on this connection.
    #[must_use]
    pub const fn signer(&self) -> Option<SignerKey> {
        self.signer
    }

    /// Notes that the gateway has told the key that it signs with.
    pub const fn told(&mut self, signer: SignerKey) {
        self.signer = Some(signer);
    }

    /// Notes that the link has ended. The gateway tells its key on each link.
    pub const fn left(&mut self) {
        self.signer = None;
    }

    /// Notes that a certificate was taken, so that the next request follows from it. A gateway that
    /// sends one that is old already is not asked at once again.
    pub const fn taken(&mut self, now: Instant) {
        self.not_before = Some(now.after(PATIENCE));
    }

    /// Returns `true` if the device has to ask now: it has no certificate, or one of another key
    /// than the gateway's present one, or one of whose life two thirds are over. Only a gateway that
    /// has told its key issues any. The next request follows when half of the remaining life has
    /// passed, or in ten minutes where there is none.
    pub fn asks(
        &mut self,
        held: Option<&HeldCertificate>,
        time: &DeviceTime,
        now: Instant,
    ) -> bool {
        let Some(signer) = self.signer else { return false };
        if self.not_before.is_some_and(|at| now < at) {
            return false;
        }
        let known = time.now(now);
        // A certificate by an earlier key of the gateway counts no more, so it is taken as missing.
        let held = held.filter(|held| held.signer == signer);
        let due = held.is_none_or(|held| renews_at(held.not_before, held.not_after) <= known);
        if due {
            let left =
                held.map_or(0, |held| held.not_after.as_secs().saturating_sub(known.as_secs()));
            let wait = if left == 0 { WITHOUT } else { Span::from_secs(left / 2).max(PATIENCE) };
            self.not_before = Some(now.after(wait));
        }
        due
    }
}

/// Room for a compact certificate that is being received.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct IncomingCertificate {
    bytes: [u8; COMPACT_CERTIFICATE_BYTES],
    length: usize,
}

impl IncomingCertificate {
    /// Creates empty room.
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: [0; COMPACT_CERTIFICATE_BYTES], length: 0 }
    }

    /// Takes a part. A compact certificate is shorter than one, so any other part leaves nothing.
    pub fn take(&mut self, part: &Part<'_>) {
        // A part that does not count clears the room, so that no older certificate is taken for it.
        self.length = 0;
        let whole = part.object() == Object::CompactCertificate && part.index() == 0;
        let bytes = part.as_bytes();
        if let (true, true, Some(place)) =
            (whole, part.is_last(), self.bytes.get_mut(..bytes.len()))
        {
            place.copy_from_slice(bytes);
            self.length = bytes.len();
        }
    }

    /// Drops what came.
    pub const fn clear(&mut self) {
        self.length = 0;
    }

    /// Returns the certificate; empty if none came.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

impl Default for IncomingCertificate {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::ed25519::KeyPair;
    use crate::entropy::Entropy;
    use crate::grant::certificate::{CompactBytes, CompactFields, issue_compact};

    const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);
    const LIFE: Span = Span::from_secs(86_400);
    const START: Instant = Instant::from_millis(0);
    const NODE: NodeId = NodeId::from_bytes([1; 16]);

    fn gateway(byte: u8) -> KeyPair {
        KeyPair::generate(&Entropy::from_recorded([byte; 32]))
    }

    fn keys(byte: u8) -> OwnKeys {
        OwnKeys::generate(&Entropy::from_recorded([byte; 64]))
    }

    fn signer(byte: u8) -> SignerKey {
        SignerKey::of(&gateway(byte).public())
    }

    fn fields() -> CompactFields {
        CompactFields {
            node_id: NODE,
            channel: *keys(2).channel.public(),
            signing: keys(2).signing.public(),
            epoch: 0,
            serial: Serial::new(&Entropy::from_recorded([3; 20])),
            not_before: NOW,
            not_after: NOW.after(LIFE),
        }
    }

    fn issued(fields: &CompactFields) -> CompactBytes {
        issue_compact(fields, &gateway(9)).unwrap()
    }

    fn verify(bytes: &[u8], time: DeviceTime) -> Result<HeldCertificate, NotHeld> {
        HeldCertificate::verify(bytes, &signer(9), (NODE, &keys(2)), (&time, START))
    }

    fn told(secs: u64) -> DeviceTime {
        DeviceTime::told(UnixTime::from_secs(secs), START)
    }

    #[test]
    fn only_a_certificate_for_this_node_and_both_its_keys_is_taken() {
        assert!(verify(&issued(&fields()), told(NOW.as_secs())).is_ok());
        let other_node = CompactFields { node_id: NodeId::from_bytes([7; 16]), ..fields() };
        assert_eq!(verify(&issued(&other_node), told(NOW.as_secs())), Err(NotHeld::OtherNode));
        let channel = CompactFields { channel: *keys(4).channel.public(), ..fields() };
        let signing = CompactFields { signing: keys(4).signing.public(), ..fields() };
        for other in [channel, signing] {
            assert_eq!(verify(&issued(&other), told(NOW.as_secs())), Err(NotHeld::OtherKeys));
        }
        let forged = issue_compact(&fields(), &gateway(8)).unwrap();
        let defect = NotHeld::Defect(CompactDefect::Signature);
        assert_eq!(verify(&forged, told(NOW.as_secs())), Err(defect));
    }

    #[test]
    fn bytes_that_are_no_key_verify_nothing() {
        // The neutral element has small order.
        let mut weak = [0; 32];
        weak[0] = 1;
        let bytes = issued(&fields());
        let time = told(NOW.as_secs());
        let own = (NODE, &keys(2));
        let verified =
            HeldCertificate::verify(&bytes, &SignerKey::from_bytes(weak), own, (&time, START));
        assert_eq!(verified, Err(NotHeld::NoSigner));
    }

    #[test]
    fn a_device_without_a_clock_takes_what_may_have_begun_and_never_what_has_ended() {
        let bytes = issued(&fields());
        let at_least = |secs| DeviceTime::at_least(UnixTime::from_secs(secs));
        let (begins, ends) = (NOW.as_secs(), NOW.after(LIFE).as_secs());
        assert!(verify(&bytes, at_least(0)).is_ok());
        assert!(verify(&bytes, at_least(ends)).is_ok());
        let over = Err(NotHeld::Defect(CompactDefect::Expired));
        assert_eq!(verify(&bytes, at_least(ends + 1)), over);
        assert_eq!(verify(&bytes, told(ends + 1)), over);
        let early = Err(NotHeld::Defect(CompactDefect::NotYet));
        assert_eq!(verify(&bytes, told(begins - 1)), early);
    }

    #[test]
    fn what_has_passed_since_the_time_was_told_counts() {
        let time = told(NOW.as_secs());
        assert_eq!(time.now(START.after(Span::from_secs(90))).as_secs(), NOW.as_secs() + 90);
    }

    #[test]
    fn a_request_is_due_at_two_thirds_of_the_life_and_again_at_half_of_what_is_left() {
        let held = verify(&issued(&fields()), told(NOW.as_secs())).unwrap();
        let time = told(NOW.as_secs());
        let after = |secs| START.after(Span::from_secs(secs));
        let mut plan = RequestPlan::NONE;
        assert!(!plan.asks(Some(&held), &time, after(80_000)), "the gateway has told no key");
        plan.told(signer(9));
        assert!(!plan.asks(Some(&held), &time, after(57_599)));
        assert!(plan.asks(Some(&held), &time, after(57_600)));
        assert!(!plan.asks(Some(&held), &time, after(57_600 + 14_399)));
        assert!(plan.asks(Some(&held), &time, after(57_600 + 14_400)));
        // After its end it is asked for as well, every ten minutes.
        assert!(plan.asks(Some(&held), &time, after(90_000)));
        assert!(!plan.asks(Some(&held), &time, after(90_599)));
        assert!(plan.asks(Some(&held), &time, after(90_600)));
    }

    #[test]
    fn a_device_without_a_certificate_or_with_one_of_an_older_key_asks_at_once() {
        let held = verify(&issued(&fields()), told(NOW.as_secs())).unwrap();
        let time = told(NOW.as_secs());
        for (held, key) in [(None, 9), (Some(&held), 8)] {
            let mut plan = RequestPlan::NONE;
            plan.told(signer(key));
            assert!(plan.asks(held, &time, START));
            assert!(!plan.asks(held, &time, START.after(Span::from_secs(599))));
            plan.taken(START);
            assert!(!plan.asks(held, &time, START.after(Span::from_secs(29))));
            plan.left();
            let later = START.after(Span::from_secs(1000));
            assert!(!plan.asks(held, &time, later), "without a link nobody is asked");
        }
    }

    #[test]
    fn a_part_of_another_object_leaves_no_certificate() {
        let bytes = issued(&fields());
        let mut incoming = IncomingCertificate::new();
        for part in Part::cut(Object::CompactCertificate, &bytes).unwrap() {
            incoming.take(&part);
        }
        assert_eq!(incoming.as_bytes(), &bytes[..]);
        for part in Part::cut(Object::Chain, &[1; 9]).unwrap() {
            incoming.take(&part);
        }
        assert!(incoming.as_bytes().is_empty());
    }
}
