//! The registry of the gateway in memory.

use std::collections::HashMap;
use std::sync::Arc;

use handfast_core::crypto::keys::OwnKeys;
use handfast_core::crypto::x25519::PublicKey;
use handfast_core::grant::capability::Holder;
use handfast_core::grant::certificate::CompactBytes;
use handfast_core::grant::scope::ScopesBuf;
use handfast_core::registry::codes::CodeId;
use handfast_core::registry::grants::{Grant, GrantId, State};
use handfast_core::registry::lifecycle::Notice;
use handfast_core::registry::record::{AskMethod, Asked, Credential, Mode, Record, Standing};
use handfast_core::registry::sessions::Maker;
use handfast_core::wire::native::link::CloneMark;
use handfast_core::wire::native::pair::Selector;
use handfast_core::{Label, Name, NodeId, UnixTime};
use tokio::sync::mpsc;

use super::NOW;
use super::issuing::Issuing;
use super::tasks::{Heard, Sent};

pub(crate) struct Registry {
    pub(super) keys: Arc<OwnKeys>,
    pub(crate) records: HashMap<NodeId, Record>,
    pub(crate) grants: Vec<Grant>,
    /// Shown PINs, with the node they are for and the number of guesses.
    pub(crate) pins: HashMap<CodeId, (PublicKey, String, u8)>,
    pub(super) code: Option<(Selector, String)>,
    pub(super) live: HashMap<NodeId, mpsc::UnboundedSender<Notice>>,
    pub(super) waiting: Vec<mpsc::UnboundedSender<Notice>>,
    /// The connections of linked nodes, by which tasks reach them.
    pub(super) tasks: HashMap<NodeId, mpsc::UnboundedSender<Sent>>,
    /// What nodes have told of their tasks, in their own words.
    pub(crate) heard: Vec<Heard>,
    /// The tasks that nodes have run, over all lives of a node.
    pub(crate) ran: Vec<u8>,
    /// The mark that the next link is offered.
    pub(crate) offers: Option<CloneMark>,
    /// The marks that nodes have shown, one for each link.
    pub(crate) shown: Vec<Option<CloneMark>>,
    /// The certificates.
    pub(crate) issuing: Issuing,
    pub(super) observed: usize,
    /// The rights of the linked node.
    pub(crate) scopes: Option<ScopesBuf>,
    pub(super) drawn: u32,
}

impl Registry {
    /// Issues a certificate for the one node.
    pub(super) fn issue(&mut self, now: UnixTime) -> Option<CompactBytes> {
        let record = self.records.values().next().expect("a node is paired");
        self.issuing.issue(record, &self.keys, now)
    }

    pub(super) fn draw<const N: usize>(&mut self) -> [u8; N] {
        self.drawn += 1;
        let number = self.drawn.to_be_bytes();
        core::array::from_fn(|at| number.get(at).copied().unwrap_or(0x55))
    }

    pub(super) fn by_key(&self, key: &PublicKey) -> Option<&Record> {
        self.records.values().find(|record| record.keys.is_some_and(|keys| keys.channel == *key))
    }

    pub(super) fn grants_of(&self, id: NodeId) -> Vec<Grant> {
        self.grants.iter().filter(|grant| grant.node_id == id).cloned().collect()
    }

    pub(super) fn grant(&mut self, node_id: NodeId) -> GrantId {
        let id = GrantId::from_bytes(self.draw());
        let state = State::Offered { until: NOW.after(handfast_core::limits::OFFERED_FOR) };
        let (capability, scopes, expires) = (None, ScopesBuf::default(), None);
        self.grants.push(Grant {
            id,
            node_id,
            capability,
            scopes,
            not_before: NOW,
            expires,
            moved: 0,
            state,
            maker: Maker::Operator,
        });
        id
    }

    /// Decides about a request: a grant, or another outcome.
    pub(super) fn settle(&mut self, asked: &AskedNode, proven: bool) -> Settled {
        let known = self
            .by_key(&asked.holder.channel)
            .map(|record| (record.node_id, record.standing.clone()));
        match known {
            Some((_, Standing::Revoked { .. })) => Settled::Revoked,
            Some((id, Standing::Paired { .. })) if !proven => match self.grants_of(id).last() {
                Some(grant) => Settled::Offered(id, grant.id),
                None => Settled::Revoked,
            },
            Some((id, _)) if proven => {
                self.put(id, asked, paired());
                Settled::Offered(id, self.grant(id))
            }
            Some(_) => Settled::Waits,
            None => {
                let id = NodeId::from_bytes(self.draw());
                let standing = if proven {
                    paired()
                } else {
                    Standing::Pending { expires: UnixTime::from_secs(u64::MAX) }
                };
                self.put(id, asked, standing);
                if proven { Settled::Offered(id, self.grant(id)) } else { Settled::Waits }
            }
        }
    }

    pub(super) fn put(&mut self, node_id: NodeId, asked: &AskedNode, standing: Standing) {
        let label = |text| Name::from(Label::parse(text).unwrap());
        let record = Record {
            node_id,
            name: label(&asked.name),
            room: label("kitchen"),
            address: [127, 0, 0, 1].into(),
            keys: Some(asked.holder),
            asked_at: NOW,
            asked: Asked::by(AskMethod::Approval),
            standing,
        };
        self.records.insert(node_id, record);
    }
}

pub(super) fn paired() -> Standing {
    Standing::Paired { credential: Credential::Keys, mode: Mode::Full }
}

pub(super) enum Settled {
    Offered(NodeId, GrantId),
    Waits,
    Revoked,
}

/// A request, for as long as its connection lasts.
pub(super) struct AskedNode {
    pub(super) holder: Holder,
    pub(super) name: String,
}
