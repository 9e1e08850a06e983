//! The latest changes of the registry, by number: kinds and ids, never rows and never secrets.
//!
//! A reader that was away for a short time resumes behind the number that it has seen. The ring is
//! in memory, so a reader from before a restart, or from too long ago, is told to read everything
//! anew.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use handfast_core::NodeId;
use serde_json::{Map, Value, json};
use tokio::sync::watch;

use crate::entropy;
use crate::events::Event;
use crate::hex::hex;
use crate::telemetry::event_word;

/// Number of changes that a reader may have missed.
const MOST: usize = 1024;

/// One change.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Change {
    pub(crate) number: u64,
    /// Word of the event.
    pub(crate) kind: &'static str,
    /// Ids of what has changed, by kind.
    pub(crate) ids: Map<String, Value>,
}

/// The changes after a number, or the reason for which they cannot be told.
#[derive(Debug, PartialEq)]
pub(crate) enum Since {
    /// The changes, the oldest first.
    Changes(Vec<Change>),
    /// Some are forgotten. Changes from now on have greater numbers than this.
    TooOld(u64),
}

/// The ring of changes.
#[derive(Debug)]
pub(crate) struct Changes {
    /// Distinguishes the numbers of this run from those of any other.
    run: u64,
    ring: Mutex<VecDeque<Change>>,
    /// Number of the latest change.
    latest: watch::Sender<u64>,
}

impl Default for Changes {
    fn default() -> Self {
        // 48 bits, so that the id is short and exact wherever it is parsed.
        let run = entropy::number() >> 16;
        Self { run, ring: Mutex::default(), latest: watch::Sender::new(0) }
    }
}

impl Changes {
    /// Adds the change that an event means.
    pub(crate) fn add(&self, event: &Event) {
        self.push(event_word(event), ids(event));
    }

    fn push(&self, kind: &'static str, ids: Map<String, Value>) {
        let mut ring = self.ring();
        let number = *self.latest.borrow() + 1;
        if ring.len() >= MOST {
            ring.pop_front();
        }
        ring.push_back(Change { number, kind, ids });
        // Under the lock, so that numbers rise in the order of the ring.
        self.latest.send_replace(number);
    }

    /// Adds a change that another gateway of the registry made.
    pub(crate) fn add_elsewhere(&self, kind: &'static str, node_id: Option<NodeId>) {
        let ids = node_id.map(|node_id| ("node".to_owned(), node_id.to_string().into()));
        self.push(kind, ids.into_iter().collect());
    }

    /// Adds a change that no event tells: something of this kind was made or ended.
    pub(crate) fn add_kind(&self, kind: &'static str) {
        self.push(kind, Map::new());
    }

    /// Forgets the changes, so that every reader reads everything anew.
    pub(crate) fn forget(&self) {
        let mut ring = self.ring();
        ring.clear();
        let number = *self.latest.borrow() + 1;
        self.latest.send_replace(number);
    }

    /// Returns `true` if anybody waits for changes.
    pub(crate) fn is_read(&self) -> bool {
        self.latest.receiver_count() > 0
    }

    /// Returns the changes after a number.
    pub(crate) fn since(&self, number: u64) -> Since {
        let ring = self.ring();
        let latest = *self.latest.borrow();
        let oldest = ring.front().map_or(latest + 1, |change| change.number);
        if number > latest || number + 1 < oldest {
            return Since::TooOld(latest);
        }
        Since::Changes(ring.iter().filter(|change| change.number > number).cloned().collect())
    }

    /// Returns a receiver of the latest number.
    pub(crate) fn latest(&self) -> watch::Receiver<u64> {
        self.latest.subscribe()
    }

    /// Writes a number as the id of an event in a stream.
    pub(crate) fn id(&self, number: u64) -> String {
        format!("{:012x}-{number}", self.run)
    }

    /// Reads an id; `None` if it is of another run, or none.
    pub(crate) fn number(&self, id: &str) -> Option<u64> {
        let (run, number) = id.split_once('-')?;
        let ours = u64::from_str_radix(run, 16).is_ok_and(|run| run == self.run);
        number.parse().ok().filter(|_| ours)
    }

    fn ring(&self) -> MutexGuard<'_, VecDeque<Change>> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the ids of what an event is about. Names, addresses and PINs are no ids.
fn ids(event: &Event) -> Map<String, Value> {
    let node = |id: &NodeId| json!({"node": id.to_string()});
    let ids = match event {
        Event::Asked { node_id, .. }
        | Event::Decided { node_id, .. }
        | Event::Replaced { node_id, .. }
        | Event::Pinged { node_id, .. }
        | Event::CloneAlarm { node_id, .. }
        | Event::GatewayIsOlder { node_id }
        | Event::Paired(node_id)
        | Event::Linked(node_id)
        | Event::Unlinked(node_id)
        | Event::Pushed(node_id, _) => node(node_id),
        Event::Dispatch { node_id, id, .. } => {
            json!({"node": node_id.to_string(), "dispatch": hex(id.as_bytes())})
        }
        Event::GrantOffered { node_id, grant } | Event::GrantActivated { node_id, grant } => {
            json!({"node": node_id.to_string(), "grant": hex(grant.as_bytes())})
        }
        Event::GrantRevoked { node_id, grant: Some(grant) } => {
            json!({"node": node_id.to_string(), "grant": hex(grant.as_bytes())})
        }
        Event::GrantRevoked { node_id, grant: None } => node(node_id),
        Event::CertificateIssued { node_id, serial } => {
            json!({"node": node_id.to_string(), "certificate": serial.to_string()})
        }
        Event::SessionOpened { session, .. }
        | Event::SessionRevoked { session }
        | Event::CompanionLinked { session }
        | Event::CompanionUnlinked { session } => json!({"session": hex(session.as_bytes())}),
        Event::LoggedIn { login, .. } | Event::LoginEnded { login } => {
            json!({"login": hex(login.as_bytes())})
        }
        Event::DelegateLinked { fingerprint, .. } | Event::DelegateUnlinked { fingerprint } => {
            json!({"delegate": fingerprint.to_string()})
        }
        Event::AskRefused { .. }
        | Event::LeftOut { .. }
        | Event::PairingRequest { .. }
        | Event::CodeWrong { .. }
        | Event::CodeLocked
        | Event::PinsLockedFor { .. }
        | Event::WindowOpened { .. }
        | Event::WindowClosed
        | Event::WindowLocked
        | Event::SenderAsked { .. }
        | Event::SenderAllowed { .. }
        | Event::SenderDecided { .. }
        | Event::SendersSeeded { .. }
        | Event::CertificatesRevoked { .. } => json!({}),
    };
    match ids {
        Value::Object(ids) => ids,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Map::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(since: Since) -> Vec<u64> {
        match since {
            Since::Changes(changes) => changes.iter().map(|change| change.number).collect(),
            Since::TooOld(latest) => panic!("too old, at {latest}"),
        }
    }

    #[test]
    fn a_reader_resumes_behind_what_it_has_seen_while_that_is_remembered() {
        let changes = Changes::default();
        assert_eq!(changes.since(0), Since::Changes(Vec::new()));
        for _ in 0..3 {
            changes.add(&Event::WindowClosed);
        }
        assert_eq!(numbers(changes.since(0)), [1, 2, 3]);
        assert_eq!(numbers(changes.since(2)), [3]);
        assert_eq!(numbers(changes.since(3)), [0; 0]);
        assert_eq!(changes.since(4), Since::TooOld(3), "of another run");
        for _ in 0..MOST {
            changes.add(&Event::WindowClosed);
        }
        let latest = MOST as u64 + 3;
        assert_eq!(changes.since(2), Since::TooOld(latest));
        assert_eq!(numbers(changes.since(3)).len(), MOST);
    }

    #[test]
    fn readers_of_changes_hear_what_another_gateway_did_and_of_a_gap() {
        let changes = Changes::default();
        let node_id = NodeId::from_bytes([1; 16]);
        changes.add_elsewhere("node", Some(node_id));
        changes.add_elsewhere("asked", None);
        let Since::Changes(all) = changes.since(0) else { panic!("two") };
        assert_eq!(all[0].ids["node"], node_id.to_string());
        assert_eq!((all[1].kind, all[1].ids.len()), ("asked", 0));
        changes.forget();
        assert_eq!(changes.since(2), Since::TooOld(3));
        assert_eq!(changes.since(3), Since::Changes(Vec::new()));
        assert!(!changes.is_read());
        let _reader = changes.latest();
        assert!(changes.is_read());
    }

    #[test]
    fn an_id_is_of_one_run() {
        let (one, other) = (Changes::default(), Changes::default());
        assert_eq!(one.number(&one.id(7)), Some(7));
        assert_eq!(other.number(&one.id(7)), None);
        for wrong in ["", "7", "x-7", "-7", &format!("{}x", one.id(7))] {
            assert_eq!(one.number(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_change_has_no_pin_no_name_and_no_address() {
        let changes = Changes::default();
        let address = [192, 0, 2, 7].into();
        let node_id = NodeId::from_bytes([1; 16]);
        let (name, room) = ("lamp".to_owned(), "hall".to_owned());
        changes.add(&Event::Asked { node_id, name, room, address });
        let Since::Changes(all) = changes.since(0) else { panic!("one") };
        assert_eq!((all[0].kind, all[0].ids.len()), ("asked", 1));
        assert_eq!(all[0].ids["node"], node_id.to_string());
    }
}
