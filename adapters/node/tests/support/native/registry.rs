//! Registry and decisions of the tests' gateway.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::time::{SystemTime, UNIX_EPOCH};

use handfast_core::crypto::code::Code;
use handfast_core::crypto::ed25519;
use handfast_core::crypto::keys::OwnKeys;
use handfast_core::crypto::x25519::PublicKey;
use handfast_core::flow::native::gateway::Confirmation;
use handfast_core::flow::native::settle::{Plan, plan};
use handfast_core::grant::capability::{BlockTerms, Chain, Check, Holder, issue, verify};
use handfast_core::grant::scope::{Scopes, ScopesBuf};
use handfast_core::limits::CAPABILITY_BYTES;
use handfast_core::registry::codes::{CodeId, NoGuess};
use handfast_core::registry::grants::{Grant, GrantId, State};
use handfast_core::registry::record::{
    AskMethod, Asked, Cause, Credential, Mode, Record, Standing,
};
use handfast_core::registry::sessions::Maker;
use handfast_core::wire::native::link::CloneMark;
use handfast_core::wire::native::pair::{Method, PairRefusal, Selector};
use handfast_core::{Label, NodeId, UnixTime};
use tokio::sync::{broadcast, mpsc};

use super::certificates::Authority;
use super::{Push, Seen, random};

pub(crate) struct Shared {
    pub(crate) keys: OwnKeys,
    pub(crate) registry: Mutex<Registry>,
    pub(crate) seen: mpsc::UnboundedSender<Seen>,
    pub(crate) pushes: broadcast::Sender<Push>,
    pub(crate) deaf: AtomicBool,
    /// `true` unless the gateway ends every connection over TLS after its handshake.
    pub(crate) accepts_certificates: AtomicBool,
}

impl Shared {
    pub(super) fn new(
        keys: OwnKeys,
        seen: mpsc::UnboundedSender<Seen>,
        pushes: broadcast::Sender<Push>,
    ) -> Self {
        let registry = Registry {
            records: HashMap::new(),
            grants: Vec::new(),
            pairing_open: true,
            pin: "847291".to_owned(),
            code: None,
            guesses_left: 5,
            scopes: "read:/lights/**\nwrite:/lights/**\n".to_owned(),
            lasts: 3600,
            approved: None,
            mark: None,
            authority: None,
            refuses: None,
        };
        let deaf = AtomicBool::new(false);
        let accepts_certificates = AtomicBool::new(true);
        Self { keys, registry: Mutex::new(registry), seen, pushes, deaf, accepts_certificates }
    }

    pub(super) fn saw(&self, seen: Seen) {
        let _ = self.seen.send(seen);
    }
}

pub(crate) struct Registry {
    pub(crate) records: HashMap<[u8; 32], Record>,
    pub(crate) grants: Vec<Grant>,
    pub(crate) pairing_open: bool,
    pub(crate) pin: String,
    /// A code that was minted beforehand.
    pub(crate) code: Option<(Selector, String)>,
    pub(crate) guesses_left: u8,
    /// Scopes of nodes that present a code, one per line.
    pub(crate) scopes: String,
    /// Lifetime of grants in seconds.
    pub(crate) lasts: u64,
    /// Scopes that the operator gave the node that asks for approval.
    pub(crate) approved: Option<String>,
    /// The mark that linked nodes are given.
    pub(crate) mark: Option<CloneMark>,
    /// The authority of a gateway that issues certificates.
    pub(crate) authority: Option<Authority>,
    /// A refusal for every node that presents a code.
    pub(crate) refuses: Option<PairRefusal<'static>>,
}

pub(crate) fn now() -> UnixTime {
    UnixTime::from_secs(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs())
}

/// A node that asks to be paired.
#[derive(Clone, Debug)]
pub(crate) struct Asking {
    pub(crate) key: PublicKey,
    pub(crate) signing: Option<ed25519::PublicKey>,
    pub(crate) name: String,
    pub(crate) method: Method,
}

/// The owned outcome of a request.
pub(crate) enum Prepared {
    Refused(PairRefusal<'static>),
    Pin(CodeId, String, u8),
    Code(Option<CodeId>, Option<String>),
    Settle,
}

/// A grant with its capability token.
pub(crate) struct Made {
    pub(crate) id: GrantId,
    pub(crate) node_id: NodeId,
    pub(crate) chain: Vec<u8>,
}

pub(crate) enum Verdict {
    Offered(Made),
    Waits,
    Refused(PairRefusal<'static>),
}

impl Registry {
    pub(crate) fn known(&self, key: &PublicKey) -> Option<(Record, Vec<Grant>)> {
        let record = self.records.get(key.as_bytes())?;
        let grants =
            self.grants.iter().filter(|grant| grant.node_id == record.node_id).cloned().collect();
        Some((record.clone(), grants))
    }

    pub(crate) fn node(&self, id: NodeId) -> Option<(Record, Vec<Grant>)> {
        let (key, _) = self.records.iter().find(|(_, record)| record.node_id == id)?;
        self.known(&PublicKey::parse(key).unwrap())
    }

    /// Issues a certificate; `None` if this gateway issues none.
    pub(crate) fn certificate(&mut self, csr: &[u8]) -> Option<(u64, Vec<u8>)> {
        Some(self.authority.as_mut()?.issue(csr))
    }

    pub(crate) fn prepare(&self, asking: &Asking) -> Prepared {
        let standing = self.records.get(asking.key.as_bytes()).map(|record| &record.standing);
        let id = CodeId::from_bytes([1; 16]);
        match plan(standing, asking.method) {
            Plan::RefuseRevoked => Prepared::Refused(PairRefusal::Revoked),
            Plan::Settle => Prepared::Settle,
            Plan::ShowPin if !self.pairing_open => Prepared::Refused(PairRefusal::Closed),
            Plan::ShowPin => Prepared::Pin(id, self.pin.clone(), self.guesses_left),
            Plan::FindCode(selector) => match &self.code {
                Some((known, secret)) if *known == selector => {
                    Prepared::Code(Some(id), Some(secret.clone()))
                }
                _ => Prepared::Code(None, None),
            },
            // This gateway makes no setup codes.
            Plan::AwaitSetup => Prepared::Refused(PairRefusal::Spent),
        }
    }

    pub(crate) fn reserve(&mut self) -> Result<u8, NoGuess> {
        self.guesses_left = self.guesses_left.checked_sub(1).ok_or(NoGuess::Locked)?;
        Ok(self.guesses_left)
    }

    pub(crate) fn settle(&mut self, keys: &OwnKeys, asking: &Asking, proven: bool) -> Verdict {
        if let Some((_, grants)) = self.known(&asking.key).filter(|_| !proven) {
            return match handfast_core::registry::grants::offer_again(&grants, now()) {
                Some(grant) => Verdict::Offered(self.sign(keys, &grant.clone(), asking)),
                None => Verdict::Refused(PairRefusal::Expired),
            };
        }
        if let Some(refusal) = self.refuses {
            return Verdict::Refused(refusal);
        }
        let scopes = if proven { Some(self.scopes.clone()) } else { self.approved.clone() };
        match scopes {
            Some(scopes) => Verdict::Offered(self.grant(keys, asking, &scopes)),
            None => Verdict::Waits,
        }
    }

    fn grant(&mut self, keys: &OwnKeys, asking: &Asking, scopes: &str) -> Made {
        let record = self.records.entry(*asking.key.as_bytes()).or_insert_with(|| Record {
            node_id: NodeId::new(&random()),
            name: handfast_core::Label::parse(&asking.name).unwrap_or(Label::UNKNOWN).into(),
            room: Label::UNKNOWN.into(),
            address: [127, 0, 0, 1].into(),
            keys: Some(Holder { channel: asking.key, signing: asking.signing }),
            asked_at: now(),
            asked: Asked::by(AskMethod::Approval),
            standing: Standing::Paired { credential: Credential::Keys, mode: Mode::Full },
        });
        let grant = Grant {
            id: GrantId::new(&random()),
            node_id: record.node_id,
            capability: None,
            scopes: ScopesBuf::parse(scopes).unwrap(),
            not_before: now(),
            expires: Some(UnixTime::from_secs(now().as_secs() + self.lasts)),
            moved: 0,
            state: State::Offered { until: UnixTime::from_secs(now().as_secs() + 600) },
            maker: Maker::Operator,
        };
        self.grants.push(grant.clone());
        self.sign(keys, &grant, asking)
    }

    fn sign(&self, keys: &OwnKeys, grant: &Grant, asking: &Asking) -> Made {
        let texts: Vec<String> = grant.scopes.as_str().lines().map(str::to_owned).collect();
        let scopes = Scopes::parse(texts.iter().map(String::as_str)).unwrap();
        let terms = BlockTerms {
            scopes,
            not_before: grant.not_before,
            expires: grant.expires.unwrap(),
            audience: None,
        };
        let mut out = [0; CAPABILITY_BYTES];
        let holder = Holder { channel: asking.key, signing: asking.signing };
        let chain = issue(&keys.signing, &holder, &terms, &mut out).unwrap().as_bytes().to_vec();
        Made { id: grant.id, node_id: grant.node_id, chain }
    }

    pub(crate) fn renew(&mut self, keys: &OwnKeys, key: &PublicKey) -> Option<Made> {
        let record = self.records.get(key.as_bytes())?;
        let signing = record.keys.as_ref()?.signing;
        let scopes = self.current(record.node_id)?.scopes.as_str().to_owned();
        let asking = Asking {
            key: *key,
            signing,
            name: record.name.as_str().to_owned(),
            method: Method::Approval,
        };
        Some(self.grant(keys, &asking, &scopes))
    }

    pub(crate) fn current(&self, id: NodeId) -> Option<Grant> {
        let grants: Vec<_> =
            self.grants.iter().filter(|grant| grant.node_id == id).cloned().collect();
        handfast_core::registry::grants::current(&grants, now()).cloned()
    }

    pub(crate) fn activate(&mut self, id: NodeId, grant: GrantId) -> Confirmation {
        let Some(found) = self
            .grants
            .iter()
            .position(|it| it.id == grant && it.node_id == id && it.counts(now()))
        else {
            return Confirmation::NotThere;
        };
        for other in self.grants.iter_mut().filter(|other| other.node_id == id && other.id != grant)
        {
            other.state = State::Ended;
        }
        self.grants[found].state = State::Active;
        Confirmation::Active(self.grants[found].expires)
    }

    pub(crate) fn revoke(&mut self, id: NodeId) {
        for record in self.records.values_mut().filter(|record| record.node_id == id) {
            record.standing = Standing::Revoked { cause: Cause::Unpaired };
        }
    }

    /// Returns the scopes and the end of a presented chain.
    pub(crate) fn presented(
        &self,
        keys: &OwnKeys,
        channel: &PublicKey,
        bytes: &[u8],
    ) -> Option<(UnixTime, ScopesBuf)> {
        let chain = Chain::from_bytes(bytes).ok()?;
        let check = Check { gateway: &keys.signing.public(), channel, audience: None, now: now() };
        let authorised = verify(&chain, &check, |_| false).ok()?;
        Some((authorised.expires(), authorised.scopes().clone()))
    }
}

/// Returns a code in the form that core compares.
pub(crate) fn code(text: Option<&str>) -> Code {
    text.map_or_else(|| Code::nobodys(&random()), |text| Code::parse(text).unwrap())
}
