//! The life of a node's certificate, and the allow-list's decision about a presented one.
//!
//! ```text
//! (issue) ──▶ Issued ──confirmed, or first used──▶ Delivered ──a newer one is used──▶ Superseded
//!               │                                      │                                  │
//!               └──────────────────────────────────────┴──revoked──▶ Revoked (final) ◀────┘
//! ```
//! A certificate and the one that replaces it are both valid until the newer one is first used, so
//! a node never stands without one. The gateway's own record decides, not the certificate: whoever
//! presents one is looked up by its serial number, and its key by the
//! [hash](KeyHash) of the public key.

use crate::grant::certificate::{KeyHash, Serial};
use crate::id::NodeId;
use crate::limits::CERTIFICATES_A_DAY;
use crate::time::{Span, UnixTime};

/// A certificate as the registry keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Certificate {
    /// The serial number, by which it is looked up.
    pub serial: Serial,
    /// The node that it is bound to.
    pub node_id: NodeId,
    /// The number of the certificate among the node's, which rises: the newer one has the higher.
    pub number: u64,
    /// The hash of its public key.
    pub key: KeyHash,
    /// The node's epoch when it was made. Evicting the node changes the node's epoch and so ends
    /// every earlier certificate.
    pub epoch: u32,
    /// Start of validity, inclusive.
    pub not_before: UnixTime,
    /// End of validity, inclusive, as in X.509.
    pub not_after: UnixTime,
    /// The state in its life.
    pub state: CertificateState,
}

/// The state of a certificate in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum CertificateState {
    /// The certificate was made. The node may fetch it, any number of times.
    Issued,
    /// The node has it: it said so, or used it. It is not delivered again.
    Delivered,
    /// The node has used a newer one.
    Superseded,
    /// The certificate was revoked permanently.
    Revoked,
}

impl CertificateState {
    /// Returns the state's word in stores and listings.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Issued => "issued",
            Self::Delivered => "delivered",
            Self::Superseded => "superseded",
            Self::Revoked => "revoked",
        }
    }

    /// Reads the word of [`as_str`](Self::as_str).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Issued, Self::Delivered, Self::Superseded, Self::Revoked]
            .into_iter()
            .find(|state| state.as_str() == text)
    }

    /// Returns the state after the node has confirmed that it has stored the certificate. A
    /// repeated or late confirmation changes nothing.
    #[must_use]
    pub const fn confirmed(self) -> Self {
        match self {
            Self::Issued => Self::Delivered,
            same @ (Self::Delivered | Self::Superseded | Self::Revoked) => same,
        }
    }

    /// Returns the state after a newer certificate of the same node was used.
    #[must_use]
    pub const fn superseded(self) -> Self {
        match self {
            Self::Issued | Self::Delivered => Self::Superseded,
            same @ (Self::Superseded | Self::Revoked) => same,
        }
    }

    /// Returns the state after the revocation, which is final.
    #[must_use]
    pub const fn revoked(self) -> Self {
        match self {
            Self::Issued | Self::Delivered | Self::Superseded | Self::Revoked => Self::Revoked,
        }
    }

    /// Returns `true` if the certificate may be sent to its node. Delivery repeats until the node
    /// has confirmed, and then is closed.
    #[must_use]
    pub const fn may_be_delivered(self) -> bool {
        match self {
            Self::Issued => true,
            Self::Delivered | Self::Superseded | Self::Revoked => false,
        }
    }

    /// Returns `true` if the state lets the certificate open a link.
    #[must_use]
    pub const fn is_live(self) -> bool {
        match self {
            Self::Issued | Self::Delivered => true,
            Self::Superseded | Self::Revoked => false,
        }
    }
}

impl Certificate {
    /// Returns this certificate's state after `used` was used to link, which [`allow`] has allowed.
    /// A use confirms the certificate itself and supersedes the older ones of its node; it leaves
    /// newer ones and those of other nodes as they are.
    #[must_use]
    pub fn after_use_of(&self, used: &Self) -> CertificateState {
        if self.serial == used.serial {
            self.state.confirmed()
        } else if self.node_id == used.node_id && self.number < used.number {
            self.state.superseded()
        } else {
            // Each node numbers its own certificates, so the numbers of two nodes are not compared.
            self.state
        }
    }

    /// Returns the time from which the node renews the certificate.
    #[must_use]
    pub fn renews_at(&self) -> UnixTime {
        renews_at(self.not_before, self.not_after)
    }
}

/// Returns the time from which a node renews a certificate with this validity: two thirds of its
/// life.
#[must_use]
pub fn renews_at(not_before: UnixTime, not_after: UnixTime) -> UnixTime {
    let life = not_after.as_secs().saturating_sub(not_before.as_secs());
    // A third is taken off, because two thirds of a long life would overflow.
    let waits = life.saturating_sub(life.div_ceil(3));
    UnixTime::from_secs(not_before.as_secs().saturating_add(waits))
}

/// Returns a node's epoch after its eviction, which ends all earlier certificates at once.
#[must_use]
pub const fn evicted(epoch: u32) -> u32 {
    // An epoch is only compared for equality, so the one after the last may be the first again: no
    // certificate outlives four billion evictions.
    epoch.wrapping_add(1)
}

/// The facts about a node that decide about its certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct NodeStanding {
    /// The node's present epoch.
    pub epoch: u32,
    /// `true` if the node is paired, muted or not, and its key was not revoked.
    pub may_link: bool,
}

/// The reason for not allowing a certificate. It is for logs; a peer learns only that it is
/// refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum NotAllowed {
    /// No certificate with this serial number was issued here.
    Unknown,
    /// The certificate's public key is not the one that the gateway certified.
    OtherKey,
    /// The certificate was revoked.
    Revoked,
    /// The node has used a newer certificate.
    Superseded,
    /// The node was evicted after the certificate was made.
    OldEpoch,
    /// The node is not paired any more.
    NotPaired,
    /// The validity has not begun.
    NotYet,
    /// The validity has ended.
    Expired,
}

/// Decides about a certificate that a peer has proven to hold. `entry` is the registry's record of
/// its serial number, `key` the hash of the presented public key, and `node` the node of the entry.
///
/// # Errors
/// The first reason that applies, final ones first.
pub fn allow(
    entry: Option<&Certificate>,
    key: &KeyHash,
    node: Option<NodeStanding>,
    now: UnixTime,
) -> Result<NodeId, NotAllowed> {
    let entry = entry.ok_or(NotAllowed::Unknown)?;
    // The hash is that of a public key, so a plain comparison reveals nothing.
    if entry.key != *key {
        return Err(NotAllowed::OtherKey);
    }
    match entry.state {
        CertificateState::Revoked => return Err(NotAllowed::Revoked),
        CertificateState::Superseded => return Err(NotAllowed::Superseded),
        // The first use of a certificate counts as its confirmation.
        CertificateState::Issued | CertificateState::Delivered => {}
    }
    let node = node.filter(|node| node.may_link).ok_or(NotAllowed::NotPaired)?;
    if node.epoch != entry.epoch {
        return Err(NotAllowed::OldEpoch);
    }
    // The times are judged last, so that a wrong clock never hides a final reason.
    if now < entry.not_before {
        return Err(NotAllowed::NotYet);
    }
    if entry.not_after < now {
        return Err(NotAllowed::Expired);
    }
    Ok(entry.node_id)
}

/// The facts about a node that asks to renew its certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct RenewalFacts<'c> {
    /// The node; `None` if it is not known any more.
    pub node: Option<NodeStanding>,
    /// `true` while the node is in quarantine because it may have been copied.
    pub quarantined: bool,
    /// The node's newest certificate, if it ever had one.
    pub newest: Option<&'c Certificate>,
    /// The number of certificates that the node was given within
    /// [`CERTIFICATES_WITHIN`](crate::limits::CERTIFICATES_WITHIN).
    pub issued_lately: u32,
    /// The time after its end during which a certificate may be renewed.
    pub renewable_for: Span,
}

/// The reason for not renewing a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum NotRenewable {
    /// The node is not paired, or its key was revoked.
    NotPaired,
    /// The node is in quarantine.
    Quarantined,
    /// The last certificate ended too long ago; the node has to pair again.
    TooLate,
    /// The node was given as many certificates as it may have in a day.
    TooMany,
}

/// Decides whether a node may renew its certificate. That its request is signed by the node's own
/// key is verified before, and an expired certificate is no reason to refuse: a node that was
/// switched off for long comes back by itself.
///
/// # Errors
/// The first reason that applies.
pub fn may_renew(facts: &RenewalFacts<'_>, now: UnixTime) -> Result<(), NotRenewable> {
    if !facts.node.is_some_and(|node| node.may_link) {
        return Err(NotRenewable::NotPaired);
    }
    if facts.quarantined {
        return Err(NotRenewable::Quarantined);
    }
    let ends = facts.newest.map(|newest| newest.not_after.after(facts.renewable_for));
    // A node that never had a certificate has none that could have ended too long ago.
    if ends.is_some_and(|ends| ends < now) {
        return Err(NotRenewable::TooLate);
    }
    if facts.issued_lately >= CERTIFICATES_A_DAY {
        return Err(NotRenewable::TooMany);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::Entropy;

    const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);
    const NODE: NodeStanding = NodeStanding { epoch: 3, may_link: true };

    fn later(secs: u64) -> UnixTime {
        NOW.after(Span::from_secs(secs))
    }

    fn certificate(number: u64) -> Certificate {
        let byte = number.to_le_bytes()[0];
        Certificate {
            serial: Serial::new(&Entropy::from_recorded([byte; 20])),
            node_id: NodeId::from_bytes([1; 16]),
            number,
            key: KeyHash::from_bytes([byte; 32]),
            epoch: 3,
            not_before: NOW,
            not_after: later(86_400),
            state: CertificateState::Delivered,
        }
    }

    #[test]
    fn both_certificates_count_until_the_newer_one_is_used() {
        let (old, new) = (certificate(1), certificate(2));
        let new = Certificate { state: CertificateState::Issued, ..new };
        for each in [old, new] {
            assert_eq!(allow(Some(&each), &each.key, Some(NODE), NOW), Ok(each.node_id));
        }
        // Using the older one changes nothing about the newer one.
        assert_eq!(new.after_use_of(&old), CertificateState::Issued);
        let after = Certificate { state: old.after_use_of(&new), ..old };
        assert_eq!(new.after_use_of(&new), CertificateState::Delivered);
        assert_eq!(allow(Some(&after), &after.key, Some(NODE), NOW), Err(NotAllowed::Superseded));
        let of_another = Certificate { node_id: NodeId::from_bytes([2; 16]), ..old };
        assert_eq!(of_another.after_use_of(&new), CertificateState::Delivered);
    }

    #[test]
    fn a_certificate_counts_only_with_its_own_key_for_its_paired_node_and_in_its_time() {
        let entry = certificate(1);
        let decide =
            |entry: Option<&Certificate>, node, now| allow(entry, &certificate(1).key, node, now);
        assert_eq!(decide(None, Some(NODE), NOW), Err(NotAllowed::Unknown));
        let other = KeyHash::from_bytes([9; 32]);
        assert_eq!(allow(Some(&entry), &other, Some(NODE), NOW), Err(NotAllowed::OtherKey));
        assert_eq!(decide(Some(&entry), None, NOW), Err(NotAllowed::NotPaired));
        let revoked = NodeStanding { may_link: false, ..NODE };
        assert_eq!(decide(Some(&entry), Some(revoked), NOW), Err(NotAllowed::NotPaired));
        for (now, expected) in [
            (UnixTime::from_secs(NOW.as_secs() - 1), Err(NotAllowed::NotYet)),
            (NOW, Ok(entry.node_id)),
            (later(86_400), Ok(entry.node_id)),
            (later(86_401), Err(NotAllowed::Expired)),
        ] {
            assert_eq!(decide(Some(&entry), Some(NODE), now), expected);
        }
    }

    #[test]
    fn an_eviction_ends_every_earlier_certificate_and_no_later_one() {
        let evicted = NodeStanding { epoch: evicted(NODE.epoch), ..NODE };
        let old = certificate(1);
        assert_eq!(allow(Some(&old), &old.key, Some(evicted), NOW), Err(NotAllowed::OldEpoch));
        let new = Certificate { epoch: evicted.epoch, ..certificate(2) };
        assert_eq!(allow(Some(&new), &new.key, Some(evicted), NOW), Ok(new.node_id));
        assert_ne!(super::evicted(u32::MAX), u32::MAX);
    }

    #[test]
    fn a_revoked_certificate_stays_revoked_whatever_is_said_of_it() {
        let revoked = CertificateState::Delivered.revoked();
        assert_eq!(revoked.confirmed(), CertificateState::Revoked);
        assert_eq!(revoked.superseded(), CertificateState::Revoked);
        assert_eq!(CertificateState::Superseded.revoked(), CertificateState::Revoked);
    }

    #[test]
    fn delivery_repeats_until_it_is_confirmed_and_then_is_closed() {
        assert!(CertificateState::Issued.may_be_delivered());
        let delivered = CertificateState::Issued.confirmed();
        assert_eq!(delivered.confirmed(), CertificateState::Delivered);
        assert!(!delivered.may_be_delivered());
        assert_eq!(CertificateState::Superseded.confirmed(), CertificateState::Superseded);
    }

    #[test]
    fn a_certificate_is_renewed_after_two_thirds_of_its_life() {
        assert_eq!(renews_at(NOW, later(86_400)), later(57_600));
        assert_eq!(renews_at(NOW, later(1)), NOW);
        let endless = renews_at(UnixTime::from_secs(0), UnixTime::from_secs(u64::MAX));
        assert_eq!(endless.as_secs(), u64::MAX / 3 * 2);
        assert_eq!(renews_at(later(5), NOW), later(5), "an impossible life is renewed at once");
    }

    #[test]
    fn a_node_that_was_off_for_long_renews_by_itself_and_a_revoked_one_never() {
        let newest = certificate(1);
        let facts = RenewalFacts {
            node: Some(NODE),
            quarantined: false,
            newest: Some(&newest),
            issued_lately: 0,
            renewable_for: Span::from_secs(365 * 86_400),
        };
        assert_eq!(may_renew(&facts, later(300 * 86_400)), Ok(()));
        assert_eq!(may_renew(&facts, later(367 * 86_400)), Err(NotRenewable::TooLate));
        let gone = RenewalFacts { node: None, ..facts };
        assert_eq!(may_renew(&gone, NOW), Err(NotRenewable::NotPaired));
        let revoked =
            RenewalFacts { node: Some(NodeStanding { may_link: false, ..NODE }), ..facts };
        assert_eq!(may_renew(&revoked, NOW), Err(NotRenewable::NotPaired));
        let copied = RenewalFacts { quarantined: true, ..facts };
        assert_eq!(may_renew(&copied, NOW), Err(NotRenewable::Quarantined));
        let often = RenewalFacts { issued_lately: CERTIFICATES_A_DAY, ..facts };
        assert_eq!(may_renew(&often, NOW), Err(NotRenewable::TooMany));
    }

    #[test]
    fn every_state_reads_back_from_its_word() {
        for state in [
            CertificateState::Issued,
            CertificateState::Delivered,
            CertificateState::Superseded,
            CertificateState::Revoked,
        ] {
            assert_eq!(CertificateState::parse(state.as_str()), Some(state));
        }
        assert_eq!(CertificateState::parse("valid"), None);
    }
}
