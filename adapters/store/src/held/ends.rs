//! Consequences of held session ends.

use std::collections::HashMap;
use std::hash::Hash;

use handfast_core::registry::sessions::{Maker, SessionId};
use handfast_core::{NodeId, UnixTime};

use crate::{EndedWith, SenderName};

/// The consequences of the sessions whose end is held. A thing that names its maker is looked up by
/// its maker; only things that do not are listed here.
#[derive(Debug, Default)]
pub(super) struct Ends {
    /// Ended sessions, with the sessions that they made, and the time of the end.
    ended: CountedMap<SessionId, UnixTime>,
    /// Sessions that one of them prolonged, and their new end.
    shortened: CountedMap<SessionId, UnixTime>,
    unapproved: CountedMap<NodeId, ()>,
    senders: CountedMap<SenderName, UnixTime>,
}

impl Ends {
    pub(super) fn add(&mut self, id: SessionId, with: &EndedWith, since: UnixTime) {
        for session in with.sessions.iter().chain([&id]) {
            self.ended.add(*session, since);
        }
        for (session, end) in &with.shortened {
            self.shortened.add(*session, *end);
        }
        for node_id in &with.unapproved {
            self.unapproved.add(*node_id, ());
        }
        for name in &with.senders {
            self.senders.add(name.clone(), since);
        }
    }

    pub(super) fn remove(&mut self, id: SessionId, with: &EndedWith) {
        for session in with.sessions.iter().chain([&id]) {
            self.ended.remove(session);
        }
        for (session, _) in &with.shortened {
            self.shortened.remove(session);
        }
        for node_id in &with.unapproved {
            self.unapproved.remove(node_id);
        }
        for name in &with.senders {
            self.senders.remove(name);
        }
    }

    /// Returns the time at which a session ended, if its end is held.
    pub(super) fn session(&self, id: SessionId) -> Option<UnixTime> {
        self.ended.get(&id)
    }

    /// Returns the new end of a session that one of the ended sessions had prolonged.
    pub(super) fn shortened(&self, id: SessionId) -> Option<UnixTime> {
        self.shortened.get(&id)
    }

    /// Returns `true` if `maker` is an ended session whose end takes away a thing with this expiry.
    pub(super) fn is_out(&self, maker: Maker, end: Option<UnixTime>) -> bool {
        maker.session().is_some_and(|id| {
            let outlasts = |last: UnixTime| end.is_none_or(|end| end > last);
            self.session(id).is_some() || self.shortened(id).is_some_and(outlasts)
        })
    }

    /// Returns `true` if a node waits to be approved again.
    pub(super) fn is_unapproved(&self, node_id: NodeId) -> bool {
        self.unapproved.get(&node_id).is_some()
    }

    /// Returns the time at which a sender lost its permission.
    pub(super) fn sender(&self, name: &SenderName) -> Option<UnixTime> {
        self.senders.get(name)
    }
}

/// A map whose entries may be added for several reasons. The first value added for a key stays.
#[derive(Debug)]
struct CountedMap<K, V>(HashMap<K, (usize, V)>);

impl<K, V> Default for CountedMap<K, V> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Eq + Hash, V: Copy> CountedMap<K, V> {
    fn add(&mut self, key: K, value: V) {
        self.0.entry(key).or_insert((0, value)).0 += 1;
    }

    fn remove(&mut self, key: &K) {
        if let Some((count, _)) = self.0.get_mut(key) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(key);
            }
        }
    }

    fn get(&self, key: &K) -> Option<V> {
        self.0.get(key).map(|(_, value)| *value)
    }
}
