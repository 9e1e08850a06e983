//! Letting a pairing request in to wait for the operator: found again, or entered under the caps.

use core::net::IpAddr;

use crate::budget::Pending;
use crate::crypto::{labels, sha256, x25519};
use crate::entropy::Entropy;
use crate::grant::capability::Holder;
use crate::id::{NodeId, Source};
use crate::limits::Limits;
use crate::registry::record::{Record, Standing};
use crate::time::UnixTime;
use crate::wire::registration::PairRequest;

/// What makes two requests the same one: source, name, room and profile. A node that asks again, or whose answer was lost, finds its
/// entry and its id by it, so an operator's approval is never aimed at an id that a retry has replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestKey([u8; 32]);

impl RequestKey {
    /// The key of a request.
    #[must_use]
    pub fn of(source: Source, request: &PairRequest<'_>) -> Self {
        let PairRequest { name, room, profile } = request;
        let parts: [&[u8]; 4] =
            [source.as_bytes(), name.as_str().as_bytes(), room.as_str().as_bytes(), profile.as_str().as_bytes()];
        Self(sha256::hash_parts(labels::PENDING_REQUEST, &parts))
    }

    /// The key of whoever holds this static key: whatever it asks for, and from wherever, it is the same.
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
}

impl Asking {
    /// Prepares a request for the registry: a fresh id, and the time from which it no longer counts.
    #[must_use]
    pub fn new(request: &PairRequest<'_>, address: IpAddr, now: UnixTime, limits: &Limits, entropy: &Entropy<16>) -> Self {
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
        Self { key: RequestKey::of(source, request), source, record }
    }

    /// The same for a node that has proven to hold these keys. A store refuses it where another record has its static key already.
    #[must_use]
    pub fn with_keys(self, keys: Holder) -> Self {
        Self { key: RequestKey::of_key(&keys.channel), record: Record { keys: Some(keys), ..self.record }, ..self }
    }
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It was waiting already, under this id.
    Found(NodeId),
    /// It waits from now on.
    Enter,
    /// Too many wait; try later.
    Full,
}

/// Decides. `same` is the entry with the same key that has not expired, `waiting` the entries that have not, counted before this one. A store calls this
/// inside the transaction that carries the answer out.
#[must_use]
pub fn decide(same: Option<NodeId>, waiting: Pending, limits: &Limits) -> Admission {
    match same {
        Some(node_id) => Admission::Found(node_id),
        None if waiting.has_room(limits) => Admission::Enter,
        None => Admission::Full,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Label;
    use crate::wire::registration::Profile;

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
        let full = Pending { total: 1000, of_source: 1 };
        let id = NodeId::from_bytes([1; 16]);
        assert_eq!(decide(Some(id), full, &Limits::DEFAULT), Admission::Found(id));
        assert_eq!(decide(None, full, &Limits::DEFAULT), Admission::Full);
        assert_eq!(decide(None, Pending { total: 64, of_source: 64 }, &Limits::DEFAULT), Admission::Full);
        assert_eq!(decide(None, Pending { total: 999, of_source: 63 }, &Limits::DEFAULT), Admission::Enter);
    }
}
