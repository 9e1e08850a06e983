//! The actions of the operator and of the nodes' owners.

use handfast_core::crypto::code::Code;
use handfast_core::crypto::fingerprint::Fingerprint;
use handfast_core::crypto::x25519::PublicKey;
use handfast_core::flow::native::node::PairMethod;
use handfast_core::grant::scope::ScopesBuf;
use handfast_core::grant::setup_code::{Terms, issue};
use handfast_core::limits::SETUP_TOKEN_CHARS;
use handfast_core::registry::ceiling::Ceiling;
use handfast_core::registry::codes::{CodeId, Kind, Window};
use handfast_core::registry::grants::GrantId;
use handfast_core::registry::lifecycle::{Decision, Notice};
use handfast_core::registry::record::{Cause, Credential, Record, Standing};
use handfast_core::registry::sessions::Maker;
use handfast_core::wire::native::pair::Selector;
use handfast_core::wire::setup::ProfileName;
use handfast_core::{Entropy, NodeId, Span};

use super::World;
use super::gateway::GateIn;
use super::node::NodeIn;
use super::registry::Request;
use super::sharing::Subject;

impl World {
    /// Opens pairing by PIN.
    pub fn open_window(&mut self) {
        self.store.set_window(Window::open(self.unix(), None));
        self.window_opened();
    }

    /// Closes pairing by PIN.
    pub fn close_window(&mut self) {
        self.store.set_window(Window::default());
    }

    /// Mints a code.
    pub fn mint_code(&mut self, selector: &str, secret: &str) -> CodeId {
        let id = CodeId::from_bytes(self.prng.bytes());
        let selector = Selector::parse(selector).expect("a selector");
        let expires = self.unix().after(Span::from_secs(3600));
        self.store.codes.retain(|_, kept| kept.counted.kind != Kind::Code(selector));
        self.store.mint(id, Kind::Code(selector), secret, expires);
        id
    }

    /// Makes a setup code.
    pub fn issue_setup(&mut self, ttl: Span) -> String {
        let entropy = Entropy::from_recorded(self.prng.bytes());
        let profile = ProfileName::parse("companion-v1").expect("a profile");
        let terms = Terms { profile, device_label: None, ttl, bound: true };
        let key = self.identity.setup.first().expect("a key");
        let key = &key.bound_to(self.identity.keys.channel.public());
        let mut out = [0; SETUP_TOKEN_CHARS];
        let issued = issue(key, &terms, self.unix(), &entropy, &mut out).expect("a code");
        let token = issued.token.to_owned();
        self.audit.issued.push((token.clone(), issued.nonce));
        self.note(|| format!("operator: a setup code, {token}"));
        token
    }

    /// Makes a new key for setup codes. The one before it stays valid, older ones do not.
    pub fn rotate_setup(&mut self) {
        self.rotations = self.rotations.wrapping_add(1).max(2);
        self.identity.setup.insert(0, super::setup_key(self.rotations));
        self.identity.setup.truncate(2);
    }

    /// Has a node scan a setup code.
    pub fn pair_by_setup(&mut self, at: usize, token: &str) {
        let gateway = Fingerprint::of(self.identity.keys.channel.public());
        self.pair_by_setup_with(at, token, gateway);
    }

    /// Has a node scan a setup code with this fingerprint.
    pub fn pair_by_setup_with(&mut self, at: usize, token: &str, gateway: Fingerprint) {
        if !self.nodes[at].keeping {
            self.nodes[at].setup = Some(token.to_owned());
        }
        self.feed_node_soon(at, NodeIn::Pair(PairMethod::Setup, Some(gateway)));
    }

    /// Applies an operator's decision about a node, and pushes it once it is durable. `false` if
    /// the decision is not possible.
    pub fn decide(&mut self, node_id: NodeId, decision: Decision) -> bool {
        if !self.operators_decide() {
            return false;
        }
        let (new, unix) = (GrantId::from_bytes(self.prng.bytes()), self.unix());
        let key = self
            .store
            .records
            .get(&node_id)
            .and_then(|record| record.keys)
            .map(|keys| keys.channel);
        let word = format!("{decision:?}");
        let approves = matches!(decision, Decision::Approve(_));
        let Some(change) = self.store.decide(node_id, decision, new, &self.identity.keys, unix)
        else {
            return false;
        };
        self.note(|| format!("operator: {word} {node_id}"));
        self.decided(node_id, key, approves, change.standing.bars());
        self.operator_decided(node_id);
        self.changed(self.desk, Subject::Node(node_id));
        self.changed(self.desk, Subject::Grants(node_id));
        if let (Standing::Revoked { cause: Cause::Rejected }, Some(key)) = (&change.standing, key) {
            self.audit.turned_down.insert(*key.as_bytes());
        }
        match change.notice {
            Some(Notice::Decided) => {
                if let Some(key) = key {
                    self.look_again(self.desk, &key);
                }
            }
            Some(notice) => {
                if let Some(&conn) = self.gateways[self.desk].live.get(&node_id) {
                    self.told(self.desk, node_id, notice);
                    self.feed_gateway(conn, GateIn::Push(notice));
                }
            }
            None => {}
        }
        true
    }

    /// Has the connections of a key at a gateway look its request up again.
    pub(super) fn look_again(&mut self, at: usize, key: &PublicKey) {
        let asks = |request: &Request| request.holder.channel == *key;
        let seats = self.gateways[at].seats.iter();
        let conns: Vec<_> = seats
            .filter(|(_, seat)| seat.request.as_ref().is_some_and(asks))
            .map(|(conn, _)| *conn)
            .collect();
        for conn in conns {
            self.feed_gateway(conn, GateIn::Push(Notice::Decided));
        }
    }

    /// Sets a new ceiling for a node.
    pub fn permit(&mut self, at: usize, scopes: &str) {
        let is_paired = |record: &Record| {
            matches!(record.standing, Standing::Paired { .. } | Standing::Muted { .. })
        };
        let record = self.store.by_key(self.nodes[at].keys.channel.public());
        let Some(record) = record.filter(|record| is_paired(record)) else { return };
        let node_id = record.node_id;
        let (id, unix) = (GrantId::from_bytes(self.prng.bytes()), self.unix());
        let scopes = ScopesBuf::parse(scopes).expect("scopes");
        let ceiling = Ceiling { scopes, expires: None, named: true, maker: Maker::Operator };
        self.note(|| {
            format!("operator: {node_id} may {}", ceiling.scopes.as_str().replace('\n', " "))
        });
        let _ = self.store.decided(node_id, ceiling, id, &self.identity.keys, unix);
        self.changed(self.desk, Subject::Node(node_id));
        self.changed(self.desk, Subject::Grants(node_id));
        self.bound(self.desk, node_id);
        if let Some(&conn) = self.gateways[self.desk].live.get(&node_id) {
            self.feed_gateway(conn, GateIn::Push(Notice::Permissions));
        }
    }

    /// Approves a node that waits.
    pub fn approve(&mut self, at: usize) -> bool {
        self.id_of(at)
            .is_some_and(|node_id| self.decide(node_id, Decision::Approve(Credential::Keys)))
    }

    /// Returns the id under which the registry has a node.
    #[must_use]
    pub fn id_of(&self, at: usize) -> Option<NodeId> {
        self.store.by_key(self.nodes[at].keys.channel.public()).map(|record| record.node_id)
    }

    /// Starts pairing by PIN.
    pub fn pair_by_pin(&mut self, at: usize) {
        self.feed_node_soon(at, NodeIn::Pair(PairMethod::Pin, None));
    }

    /// Starts pairing by approval.
    pub fn pair_by_approval(&mut self, at: usize) {
        self.feed_node_soon(at, NodeIn::Pair(PairMethod::Approval, None));
    }

    /// Starts pairing by approval with this gateway only.
    pub fn pair_pinned(&mut self, at: usize, gateway: Fingerprint) {
        self.feed_node_soon(at, NodeIn::Pair(PairMethod::Approval, Some(gateway)));
    }

    /// Types or scans a code.
    pub fn pair_by_code(&mut self, at: usize, selector: &str, secret: &str) {
        let selector = Selector::parse(selector).expect("a selector");
        self.typed(at, secret);
        let code = Code::parse(secret).expect("a code");
        self.feed_node_soon(at, NodeIn::Pair(PairMethod::Code { selector, code }, None));
    }

    /// Returns the PIN that is shown for a node.
    #[must_use]
    pub fn pin_for(&self, at: usize) -> Option<String> {
        let key = self.nodes[at].keys.channel.public();
        self.display.iter().rev().find(|(shown, ..)| shown == key).map(|(.., pin)| pin.clone())
    }

    /// Types a PIN.
    pub fn type_pin(&mut self, at: usize, pin: &str) {
        self.typed(at, pin);
        self.feed_node_soon(at, NodeIn::Code(pin.to_owned()));
    }

    /// Types a wrong PIN.
    pub fn type_wrong_pin(&mut self, at: usize) {
        let right = self.pin_for(at);
        let wrong = if right.as_deref() == Some("000000") { "111111" } else { "000000" };
        self.type_pin(at, wrong);
    }

    /// Feeds an owner's command; during a write to flash it waits until the write is done.
    pub fn feed_node_soon(&mut self, at: usize, input: NodeIn) {
        if !self.nodes[at].keeping {
            self.feed_node(at, input);
        }
    }
}
