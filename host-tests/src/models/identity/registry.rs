//! The registry of the world of a node's identity: one node, its grants and its certificates.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use handfast_core::crypto::x25519;
use handfast_core::flow::identity::certificate::{Certificate, CertificateState, NodeStanding};
use handfast_core::grant::capability::Holder;
use handfast_core::grant::certificate::{KeyHash, Serial};
use handfast_core::grant::scope::AskedScopesBuf;
use handfast_core::registry::grants::{Grant, State as GrantState};
use handfast_core::registry::lifecycle::{Decision, decide};
use handfast_core::registry::record::{AskMethod, Asked, Record, Standing};
use handfast_core::registry::rejection::Rejection;
use handfast_core::{Label, NodeId, Span, UnixTime};

use super::{LIFE, Request};

/// Records and grants are large and seldom change, so states share them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Registry {
    pub(super) record: Option<Arc<Record>>,
    pub(super) rejection: Option<Rejection>,
    pub(super) grants: Arc<Vec<Grant>>,
    pub(super) certificates: Vec<Certificate>,
    pub(super) epoch: u32,
}

impl Hash for Registry {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Records offer no hash, because they may hold those of tokens. This one has keys, and its
        // form in words is exact.
        format!("{:?}{:?}{:?}", self.record, self.rejection, self.grants).hash(state);
        (&self.certificates, self.epoch).hash(state);
    }
}

pub(super) fn time(secs: u64) -> UnixTime {
    UnixTime::from_secs(1_000_000 + secs)
}

pub(super) fn key(request: Request) -> KeyHash {
    KeyHash::from_bytes(
        [match request {
            Request::Little => 1,
            Request::Everything => 2,
        }; 32],
    )
}

pub(super) fn node_id() -> NodeId {
    NodeId::from_bytes([1; 16])
}

pub(super) fn record(request: Request, now: UnixTime) -> Record {
    let permissions = match request {
        Request::Little => "read:/a",
        Request::Everything => "admin:/**",
    };
    Record {
        node_id: node_id(),
        name: Label::UNKNOWN.into(),
        room: Label::UNKNOWN.into(),
        address: core::net::IpAddr::from([192, 0, 2, 1]),
        keys: Some(Holder {
            channel: x25519::PublicKey::parse(&[9; 32]).expect("a key"),
            signing: None,
        }),
        asked_at: now,
        asked: Asked {
            permissions: AskedScopesBuf::parse(permissions).expect("scopes"),
            csr_key: Some(key(request)),
            method: AskMethod::Approval,
        },
        standing: Standing::Pending { expires: now.after(Span::from_secs(100 * LIFE)) },
    }
}

impl Registry {
    pub(super) fn standing(&self) -> Option<&Standing> {
        self.record.as_ref().map(|record| &record.standing)
    }

    pub(super) fn node(&self) -> Option<NodeStanding> {
        let may_link = |standing: &Standing| match standing {
            Standing::Paired { .. } | Standing::Muted { .. } => true,
            Standing::Pending { .. } | Standing::Unapproved { .. } | Standing::Revoked { .. } => {
                false
            }
        };
        let standing = self.standing()?;
        Some(NodeStanding { epoch: self.epoch, may_link: may_link(standing) })
    }

    pub(super) fn certificate(&self, number: u64) -> Option<&Certificate> {
        self.certificates.iter().find(|certificate| certificate.number == number)
    }

    pub(super) fn issue(&mut self, key: KeyHash, now: UnixTime) {
        let number = self.certificates.len() as u64 + 1;
        let serial = Serial::from_bytes(&[0x40 + number.to_le_bytes()[0]; 20]).expect("a serial");
        self.certificates.push(Certificate {
            serial,
            node_id: node_id(),
            number,
            key,
            epoch: self.epoch,
            not_before: now,
            not_after: now.after(Span::from_secs(LIFE)),
            state: CertificateState::Issued,
        });
    }

    /// Applies a decision as a store does: the standing, and what ends with it.
    pub(super) fn decided(&mut self, decision: Decision, now: UnixTime) -> bool {
        let Some(record) = &mut self.record else { return false };
        let Ok(change) = decide(&record.standing, decision, now) else { return false };
        let record = Arc::make_mut(record);
        record.standing = change.standing;
        if matches!(record.standing, Standing::Revoked { .. }) {
            for grant in Arc::make_mut(&mut self.grants) {
                grant.state = GrantState::Ended;
            }
            for certificate in &mut self.certificates {
                certificate.state = certificate.state.revoked();
            }
        }
        true
    }
}
