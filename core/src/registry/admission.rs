//! Admission of pairing requests to the registry: an entry is found again, or entered under the
//! caps.

use core::net::IpAddr;

use crate::budget::Pending;
use crate::crypto::{labels, sha256, x25519};
use crate::entropy::Entropy;
use crate::error::Refusal;
use crate::grant::capability::Holder;
use crate::id::{NodeId, Source};
use crate::limits::Limits;
use crate::registry::record::{AskMethod, Asked, Record, Standing};
use crate::registry::rejection::Rejection;
use crate::time::{Span, UnixTime};
use crate::wire::registration::PairRequest;

/// The identity of a request: a hash of source, name and room. A node that asks again, or whose
/// answer was lost, finds its entry and its id by it, so an operator's approval never refers to an
/// id that a retry has replaced. The profile is not part of it: a changed profile gives the entry a
/// new version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct RequestKey([u8; 32]);

impl RequestKey {
    /// Computes the key of a request.
    #[must_use]
    pub fn of(source: Source, request: &PairRequest<'_>) -> Self {
        Self::named(source, request.name.as_str(), request.room.as_str())
    }

    /// Computes the key of the request that led to this record.
    #[must_use]
    pub fn of_record(record: &Record) -> Self {
        match &record.keys {
            // A device with keys is known by its key, whatever its name and address.
            Some(keys) => Self::of_key(&keys.channel),
            None => {
                // Without keys nothing else tells devices apart.
                Self::named(Source::of(record.address), record.name.as_str(), record.room.as_str())
            }
        }
    }

    fn named(source: Source, name: &str, room: &str) -> Self {
        Self(sha256::hash_parts(
            labels::PENDING_REQUEST,
            &[source.as_bytes(), name.as_bytes(), room.as_bytes()],
        ))
    }

    /// Computes the key for a node with this static key. It is the same whatever the node asks for
    /// and from wherever.
    #[must_use]
    pub fn of_key(key: &x25519::PublicKey) -> Self {
        Self(sha256::hash_parts(labels::PENDING_KEY, &[key.as_bytes()]))
    }

    /// Returns the bytes for a store's index.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// A request on its way into the registry.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct PendingRequest {
    /// The request's identity.
    pub key: RequestKey,
    /// The source whose cap the request counts against.
    pub source: Source,
    /// The record that is entered if the request is new.
    pub record: Record,
    /// The number of the request; a request that is settled several times counts once.
    pub request: u64,
}

/// The repetitions of a waiting request. Two identical devices behind one address look like one
/// device that asks twice as often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Repetitions {
    /// The number of requests, each on its own connection; the count stops at [`Repetitions::MOST`].
    pub times: u32,
    /// The time of the last counted request.
    pub last: UnixTime,
    /// The number of the last counted request.
    pub request: u64,
}

impl Repetitions {
    /// Maximum of the count. Further requests change nothing.
    pub const MOST: u32 = 1000;

    /// Counts the first request.
    #[must_use]
    pub const fn first(request: u64, now: UnixTime) -> Self {
        Self { times: 1, last: now, request }
    }

    /// Counts a further request; returns `None` if it changes nothing.
    #[must_use]
    pub fn again(self, request: u64, now: UnixTime) -> Option<Self> {
        // The same request settled again is no further attempt of the device.
        let counts = self.request != request && self.times < Self::MOST;
        counts.then(|| Self { times: self.times.saturating_add(1), last: now, request })
    }
}

impl PendingRequest {
    /// Prepares a request for the registry, with a fresh id and an expiry.
    #[must_use]
    pub fn new(
        request: &PairRequest<'_>,
        address: IpAddr,
        now: UnixTime,
        limits: &Limits,
        entropy: &Entropy<16>,
    ) -> Self {
        let source = Source::of(address);
        let record = Record {
            node_id: NodeId::new(entropy),
            name: request.name.into(),
            room: request.room.into(),
            // An IPv4 address that is mapped into IPv6 is shown as what it is.
            address: address.to_canonical(),
            keys: None,
            asked_at: now,
            asked: Asked::by(AskMethod::Token),
            standing: Standing::Pending { expires: now.after(limits.pending_for) },
        };
        Self { key: RequestKey::of(source, request), source, record, request: 0 }
    }

    /// Sets the number of the request.
    #[must_use]
    pub fn made_by(self, request: u64) -> Self {
        Self { request, ..self }
    }

    /// Adds the keys that the node has proven to hold, and what it asked for with them. A store
    /// refuses the request if another record has the same static key.
    #[must_use]
    pub fn with_keys(self, keys: Holder, asked: Asked) -> Self {
        Self {
            key: RequestKey::of_key(&keys.channel),
            record: Record { keys: Some(keys), asked, ..self.record },
            ..self
        }
    }
}

/// The decision about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum RequestAdmission {
    /// The request waits already, under this id.
    Found(NodeId),
    /// The request is entered and waits from now on.
    Enter,
    /// The request is entered if another entry [gives way](gives_way): one of this share.
    Displace(Share),
    /// The node may not ask, or not yet.
    Refused(Refusal),
}

/// The entries of which one may have to give way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Share {
    /// The entries of the asking source, whose share is used up.
    Own,
    /// The entries of the source with the most, because the total is reached.
    Largest,
}

/// The entry without keys whose last request is the oldest of its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Stalest {
    /// The time of its last request.
    pub asked: UnixTime,
    /// The number of waiting entries of its source.
    pub of_source: u32,
}

/// Time without a request after which an entry gives way to new ones.
const STALE: Span = Span::from_secs(300);

/// Decides about a request. `same` is the unexpired entry with the same key, `rejection` the last
/// rejection of the key, `waiting` the unexpired entries without this one. A store calls this
/// inside the transaction that carries out the decision.
#[must_use]
pub fn decide(
    same: Option<NodeId>,
    rejection: Option<Rejection>,
    waiting: Pending,
    limits: &Limits,
    now: UnixTime,
) -> RequestAdmission {
    // A waiting request is found again before any rejection or cap is looked at.
    if let Some(node_id) = same {
        return RequestAdmission::Found(node_id);
    }
    match rejection.map_or(Ok(()), |rejection| rejection.admits(now)) {
        Err(refusal) => RequestAdmission::Refused(refusal),
        Ok(()) if waiting.has_room(limits) => RequestAdmission::Enter,
        // The source's own share comes before the total, so its own entries give way first.
        Ok(()) if waiting.of_source >= limits.pending_per_source => {
            RequestAdmission::Displace(Share::Own)
        }
        Ok(()) => RequestAdmission::Displace(Share::Largest),
    }
}

/// Returns `true` if an entry makes room for one more entry of the source that `waiting` counts. So
/// a burst of junk blocks its neighbours for minutes at most, and no source keeps slots against
/// sources with fewer. Nodes with keys wait on a connection and never give way.
#[must_use]
pub fn gives_way(stalest: Stalest, waiting: Pending, now: UnixTime) -> bool {
    // A fresh request gives way only to a source with fewer, so that two sources do not swap.
    stalest.asked.after(STALE) <= now || stalest.of_source > waiting.of_source.saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Label;
    use crate::wire::registration::Profile;

    const NOW: UnixTime = UnixTime::from_secs(1_000_000);

    #[test]
    fn only_the_very_same_request_has_the_same_key() {
        let source = |ip: &str| Source::of(ip.parse().unwrap());
        let ask = |name: &'static str, room: &'static str| PairRequest {
            name: Label::parse(name).unwrap(),
            room: Label::parse(room).unwrap(),
            profile: Profile::EMPTY,
        };
        let key = RequestKey::of(source("192.0.2.1"), &ask("ab", "c"));
        assert_eq!(key, RequestKey::of(source("192.0.2.1"), &ask("ab", "c")));
        assert_ne!(key, RequestKey::of(source("192.0.2.1"), &ask("a", "bc")));
        assert_ne!(key, RequestKey::of(source("192.0.2.2"), &ask("ab", "c")));
    }

    #[test]
    fn a_full_registry_still_finds_what_waits_in_it() {
        let id = NodeId::from_bytes([1; 16]);
        let decide = |same, total, of_source| {
            super::decide(same, None, Pending { total, of_source }, &Limits::DEFAULT, NOW)
        };
        assert_eq!(decide(Some(id), 1000, 1), RequestAdmission::Found(id));
        assert_eq!(decide(None, 1000, 1), RequestAdmission::Displace(Share::Largest));
        assert_eq!(decide(None, 64, 64), RequestAdmission::Displace(Share::Own));
        assert_eq!(decide(None, 999, 63), RequestAdmission::Enter);
    }

    #[test]
    fn whoever_was_turned_down_waits_and_is_not_found_room_for() {
        let rejection = Rejection::once_more(None, NOW);
        let decide =
            |now| super::decide(None, Some(rejection), Pending::default(), &Limits::DEFAULT, now);
        assert_eq!(
            decide(NOW),
            RequestAdmission::Refused(Refusal::Rejected { wait: Span::from_secs(60) })
        );
        assert_eq!(decide(NOW.after(Span::from_secs(60))), RequestAdmission::Enter);
    }

    #[test]
    fn what_nobody_asks_for_any_more_gives_way_and_so_does_the_largest_share() {
        let waiting = Pending { total: 1000, of_source: 3 };
        let gives_way = |secs, of_source| {
            super::gives_way(
                Stalest { asked: NOW, of_source },
                waiting,
                NOW.after(Span::from_secs(secs)),
            )
        };
        assert!(!gives_way(299, 4) && gives_way(300, 4));
        assert!(gives_way(0, 5), "who has more by two gives one up");
    }

    #[test]
    fn a_request_is_counted_once_and_no_more_than_so_often() {
        let mut asked = Repetitions::first(1, NOW);
        assert_eq!(asked.again(1, NOW), None);
        for request in 2..2_000 {
            asked = asked.again(request, NOW).unwrap_or(asked);
        }
        assert_eq!(asked.times, Repetitions::MOST);
    }

    #[test]
    fn what_a_device_is_made_of_does_not_make_it_another() {
        let source = Source::of("192.0.2.1".parse().unwrap());
        let ask = |profile| PairRequest {
            name: Label::parse("a").unwrap(),
            room: Label::parse("b").unwrap(),
            profile: Profile::parse(profile).unwrap(),
        };
        assert_eq!(RequestKey::of(source, &ask("{}")), RequestKey::of(source, &ask(r#"{"a":1}"#)));
    }
}
