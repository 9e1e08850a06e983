//! Letting a pairing request in to wait for the operator: found again, or entered under the caps.

use core::net::IpAddr;

use crate::budget::Pending;
use crate::crypto::{labels, sha256, x25519};
use crate::entropy::Entropy;
use crate::error::Refusal;
use crate::grant::capability::Holder;
use crate::id::{NodeId, Source};
use crate::limits::Limits;
use crate::registry::record::{Record, Standing};
use crate::registry::rejection::Rejection;
use crate::time::{Span, UnixTime};
use crate::wire::registration::PairRequest;

/// What makes two requests the same one: source, name and room. A node that asks again, or whose
/// answer was lost, finds its entry and its id by it, so an operator's approval is never aimed at
/// an id that a retry has replaced. What it is made of may change: the entry then says so, and has
/// a new version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestKey([u8; 32]);

impl RequestKey {
    /// The key of a request.
    #[must_use]
    pub fn of(source: Source, request: &PairRequest<'_>) -> Self {
        Self::named(source, request.name.as_str(), request.room.as_str())
    }

    /// The key of the request that led to this record.
    #[must_use]
    pub fn of_record(record: &Record) -> Self {
        match &record.keys {
            Some(keys) => Self::of_key(&keys.channel),
            None => {
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

    /// The key of whoever holds this static key: whatever it asks for, and from wherever, it is the
    /// same.
    #[must_use]
    pub fn of_key(key: &x25519::PublicKey) -> Self {
        Self(sha256::hash_parts(labels::PENDING_KEY, &[key.as_bytes()]))
    }

    /// The bytes, for a store's index.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// A request on its way into the registry.
#[derive(Clone, Debug)]
pub struct Asking {
    /// Its identity.
    pub key: RequestKey,
    /// The source whose cap it counts for.
    pub source: Source,
    /// The record that is entered if it is new.
    pub record: Record,
    /// Of the request that was made: one that is settled more than once is still one.
    pub request: u64,
}

/// How often a waiting entry was asked for: two devices alike behind one address look like one that
/// asks twice as often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// How often, each time over a connection of its own; no more than [`Asked::MOST`] are counted.
    pub times: u32,
    /// When the last time was.
    pub last: UnixTime,
    /// Of the request that was counted last.
    pub request: u64,
}

impl Asked {
    /// What is counted at most. Whoever asks more often changes nothing any more.
    pub const MOST: u32 = 1000;

    /// Asked for the first time.
    #[must_use]
    pub const fn first(request: u64, now: UnixTime) -> Self {
        Self { times: 1, last: now, request }
    }

    /// Asked for once more; none if that changes nothing.
    #[must_use]
    pub fn again(self, request: u64, now: UnixTime) -> Option<Self> {
        let counts = self.request != request && self.times < Self::MOST;
        counts.then(|| Self { times: self.times.saturating_add(1), last: now, request })
    }
}

impl Asking {
    /// Prepares a request for the registry: a fresh id, and the time from which it no longer
    /// counts.
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
            address: address.to_canonical(),
            keys: None,
            asked_at: now,
            standing: Standing::Pending { expires: now.after(limits.pending_for) },
        };
        Self { key: RequestKey::of(source, request), source, record, request: 0 }
    }

    /// The same, made by this request.
    #[must_use]
    pub fn made_by(self, request: u64) -> Self {
        Self { request, ..self }
    }

    /// The same for a node that has proven to hold these keys. A store refuses it where another
    /// record has its static key already.
    #[must_use]
    pub fn with_keys(self, keys: Holder) -> Self {
        Self {
            key: RequestKey::of_key(&keys.channel),
            record: Record { keys: Some(keys), ..self.record },
            ..self
        }
    }
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It was waiting already, under this id.
    Found(NodeId),
    /// It waits from now on.
    Enter,
    /// It waits from now on if another [gives way](gives_way): of the same source, or of the one
    /// that has most.
    Displace(Share),
    /// It may not ask, or not yet.
    Refused(Refusal),
}

/// Whose entry may have to give way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// The source that asks: its share is used up.
    Own,
    /// The source of which most wait: there is no room for anybody.
    Largest,
}

/// An entry without keys that was asked for longer ago than the others of its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stalest {
    /// When it was last asked for.
    pub asked: UnixTime,
    /// How many of its source wait.
    pub of_source: u32,
}

/// For how long an entry that nobody asks for any more holds its place against those who ask now.
const STALE: Span = Span::from_secs(300);

/// Decides. `same` is the entry with the same key that has not expired, `rejection` what is known
/// of the key, `waiting` the entries that have not expired, counted before this one. A store calls
/// this inside the transaction that carries the answer out.
#[must_use]
pub fn decide(
    same: Option<NodeId>,
    rejection: Option<Rejection>,
    waiting: Pending,
    limits: &Limits,
    now: UnixTime,
) -> Admission {
    if let Some(node_id) = same {
        return Admission::Found(node_id);
    }
    match rejection.map_or(Ok(()), |rejection| rejection.admits(now)) {
        Err(refusal) => Admission::Refused(refusal),
        Ok(()) if waiting.has_room(limits) => Admission::Enter,
        Ok(()) if waiting.of_source >= limits.pending_per_source => Admission::Displace(Share::Own),
        Ok(()) => Admission::Displace(Share::Largest),
    }
}

/// Whether an entry makes room for one more of a source of which so many wait. A burst of junk so
/// shuts its neighbours out for minutes at most, and no source keeps places that others, who have
/// fewer, ask for. Who waits with a connection, as nodes with keys do, never gives way.
#[must_use]
pub fn gives_way(stalest: Stalest, waiting: Pending, now: UnixTime) -> bool {
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
        assert_eq!(decide(Some(id), 1000, 1), Admission::Found(id));
        assert_eq!(decide(None, 1000, 1), Admission::Displace(Share::Largest));
        assert_eq!(decide(None, 64, 64), Admission::Displace(Share::Own));
        assert_eq!(decide(None, 999, 63), Admission::Enter);
    }

    #[test]
    fn whoever_was_turned_down_waits_and_is_not_found_room_for() {
        let rejection = Rejection::once_more(None, NOW);
        let decide =
            |now| super::decide(None, Some(rejection), Pending::default(), &Limits::DEFAULT, now);
        assert_eq!(
            decide(NOW),
            Admission::Refused(Refusal::Rejected { wait: Span::from_secs(60) })
        );
        assert_eq!(decide(NOW.after(Span::from_secs(60))), Admission::Enter);
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
        let mut asked = Asked::first(1, NOW);
        assert_eq!(asked.again(1, NOW), None);
        for request in 2..2_000 {
            asked = asked.again(request, NOW).unwrap_or(asked);
        }
        assert_eq!(asked.times, Asked::MOST);
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
