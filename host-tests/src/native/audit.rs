//! The invariants of the native world, checked after every event, and the history that they need.

use std::collections::{BTreeMap, BTreeSet};

use handfast_core::crypto::x25519::PublicKey;
use handfast_core::flow::native::gateway::Peer;
use handfast_core::flow::native::node::NativeMemory;
use handfast_core::limits::{GUESSES_PER_CODE, GUESSES_PER_SOURCE, GUESSES_PER_WINDOW};
use handfast_core::registry::codes::{CodeId, Kind, NoGuess};
use handfast_core::registry::grants::GrantId;
use handfast_core::registry::record::Standing;
use handfast_core::wire::setup::Nonce;
use handfast_core::{NodeId, Source};

use super::World;
use super::gateway::Asked;
use super::registry::{Request, Settled, Shown};
use super::wires::ConnId;

/// The world's history, recorded independently of the machines and the registry.
#[derive(Debug, Default)]
pub struct Audit {
    /// Number of wrong tags that were compared, for each code.
    pub wrong: BTreeMap<CodeId, u32>,
    /// Number of wrong PINs since the window was opened.
    pub wrong_in_window: u32,
    /// Codes that were typed, each with its node's key.
    pub typed: BTreeSet<([u8; 32], String)>,
    /// Keys that the operator approved.
    pub approved: BTreeSet<[u8; 32]>,
    /// Keys that the operator revoked.
    pub revoked: BTreeSet<[u8; 32]>,
    /// Keys whose requests were rejected. They may link again after a new request.
    pub turned_down: BTreeSet<[u8; 32]>,
    /// Secrets of codes, including spent ones.
    pub secrets: BTreeMap<CodeId, String>,
    /// Setup codes that the operator made, in order.
    pub issued: Vec<(String, Nonce)>,
    /// The key and the grant that each spent setup code yielded.
    pub yielded: BTreeMap<Nonce, ([u8; 32], GrantId)>,
    reserved: BTreeMap<ConnId, (CodeId, u32, Source)>,
    /// Number of wrong PINs of each source since the window was opened.
    wrong_of_source: BTreeMap<Source, u32>,
    windows: u32,
}

impl World {
    pub(super) fn window_opened(&mut self) {
        self.audit.wrong_in_window = 0;
        self.audit.wrong_of_source.clear();
        self.audit.windows += 1;
    }

    pub(super) fn typed(&mut self, at: usize, code: &str) {
        let key = *self.nodes[at].keys.channel.public().as_bytes();
        let plain: String = code.chars().filter(|c| !matches!(c, ' ' | '-')).collect();
        self.audit.typed.insert((key, plain.to_uppercase()));
    }

    pub(super) fn decided(
        &mut self,
        _node_id: NodeId,
        key: Option<PublicKey>,
        approves: bool,
        revokes: bool,
    ) {
        let Some(key) = key else { return };
        if approves {
            self.audit.approved.insert(*key.as_bytes());
        }
        if revokes {
            self.audit.revoked.insert(*key.as_bytes());
        }
    }

    pub(super) fn reserved(&mut self, conn: ConnId, id: CodeId, outcome: Result<u8, NoGuess>) {
        if outcome.is_ok() {
            let source = self.source(conn);
            self.audit.reserved.insert(conn, (id, self.audit.windows, source));
        }
    }

    /// Records that a connection has compared a tag.
    pub(super) fn compared(&mut self, conn: ConnId, right: bool) {
        let Some((id, window, source)) = self.audit.reserved.remove(&conn) else {
            return self.expect(!right, || format!("conn {conn}: nobody's code is right"));
        };
        if right {
            return;
        }
        let wrong = self.audit.wrong.entry(id).or_default();
        *wrong += 1;
        let wrong = *wrong;
        self.expect(wrong <= u32::from(GUESSES_PER_CODE), || format!("{wrong} guesses of {id:?}"));
        let is_pin =
            self.store.codes.get(&id).is_some_and(|kept| matches!(kept.counted.kind, Kind::Pin(_)));
        if is_pin && window == self.audit.windows {
            self.audit.wrong_in_window += 1;
            let of_source = self.audit.wrong_of_source.entry(source).or_default();
            *of_source += 1;
            let of_source = *of_source;
            self.expect(of_source <= u32::from(GUESSES_PER_SOURCE), || {
                format!("{of_source} guesses of one source")
            });
        }
        let all = self.audit.wrong_in_window;
        self.expect(all <= u32::from(GUESSES_PER_WINDOW), || format!("{all} guesses in a window"));
    }

    /// Checks that a connection asks of the store only what its peer may have.
    pub(super) fn check_asked(&mut self, conn: ConnId, asked: &Asked) {
        let seat = self.seat(conn).expect("it asks");
        let key = seat.machine.as_ref().and_then(|machine| machine.peer_key().copied());
        let wire = self.wires.get(&conn).and_then(|wire| wire.node);
        match asked {
            Asked::Settle(Some(id)) | Asked::Spend(id) => {
                let secret = self.store.secrets.get(id).cloned();
                let holder = key.map(|key| *key.as_bytes()).unwrap_or_default();
                let typed = secret
                    .clone()
                    .is_some_and(|secret| self.audit.typed.contains(&(holder, secret)));
                self.expect(typed, || {
                    format!("conn {conn}: {id:?} is proven, and nobody typed it")
                });
                self.audit.secrets.insert(*id, secret.unwrap_or_default());
            }
            Asked::SettleSetup(code) => {
                self.expect(
                    self.audit.issued.iter().any(|(_, nonce)| *nonce == code.nonce),
                    || format!("conn {conn}: {code:?} is nobody's"),
                );
            }
            Asked::Attach(..) => {
                let own = wire.map(|at| *self.nodes[at].keys.channel.public());
                self.expect(own == key, || {
                    format!("conn {conn}: attached for {key:?}, and is {wire:?}'s")
                });
            }
            _ => {}
        }
    }

    /// Checks the yield of a setup code: only one key gets it, and every later use by that key gets
    /// the same while it is valid.
    pub(super) fn yielded(&mut self, code: Shown, request: &Request, settled: &Settled) {
        let Settled::Offered(offered) = settled else { return };
        let holder = *request.holder.channel.as_bytes();
        match self.audit.yielded.get(&code.nonce).copied() {
            None => {
                let fresh = self.store.setup_spent.contains_key(&code.nonce);
                self.expect(fresh, || format!("{code:?} yields, and is not spent"));
                self.audit.yielded.insert(code.nonce, (holder, offered.id));
            }
            Some((first, grant)) if first == holder => {
                let of = |grant: &&handfast_core::registry::grants::Grant| {
                    grant.node_id == offered.node_id && grant.counts(self.unix())
                };
                let latest = self.store.grants.iter().filter(of).map(|grant| grant.id).next_back();
                let same = offered.id == grant || latest == Some(offered.id);
                self.expect(same, || format!("{code:?} yields something new: {offered:?}"));
            }
            // Another key, which was paired before by other means, is offered its own grant, which
            // is older than this code.
            Some(_) => {
                let by_this = self
                    .audit
                    .yielded
                    .values()
                    .any(|(key, grant)| *key != holder && *grant == offered.id);
                self.expect(!by_this, || format!("{code:?} yields twice"));
            }
        }
    }

    /// Checks that a node stores only what was granted to it, and forgets only for its operator and
    /// its owner.
    pub(super) fn check_keep(&self, at: usize, memory: &NativeMemory, clear: bool, forgets: bool) {
        let key = *self.nodes[at].keys.channel.public();
        self.expect(!clear, || format!("node {at} keeps {memory:?} because of what came in clear"));
        let holds = match memory {
            NativeMemory::Blank => forgets || self.audit.revoked.contains(key.as_bytes()),
            NativeMemory::Asked { gateway } => gateway == self.identity.keys.channel.public(),
            NativeMemory::Paired(paired) => {
                let granted = |grant: &handfast_core::registry::grants::Grant| {
                    grant.id == paired.grant && grant.node_id == paired.node_id
                };
                paired.gateway == *self.identity.keys.channel.public()
                    && self.store.grants.iter().any(granted)
            }
        };
        self.expect(holds, || format!("node {at} keeps {memory:?}"));
    }

    /// Checks that a node that is given something was not revoked.
    pub(super) fn serves_nobody_revoked(&self, node_id: NodeId) {
        let keys = self.store.records.get(&node_id).and_then(|record| record.keys);
        let revoked = keys.is_some_and(|keys| self.audit.revoked.contains(keys.channel.as_bytes()));
        self.expect(!revoked, || format!("{node_id} is given something, and is revoked"));
    }

    /// Checks all other invariants at once.
    pub(super) fn check(&self) {
        let seats = self.gateways.iter().flat_map(|it| it.seats.iter().map(move |seat| (it, seat)));
        for (gateway, (&conn, seat)) in seats {
            let Some(machine) = &seat.machine else { continue };
            if let Some(Peer::Node(node_id)) = machine.linked() {
                let record = self.store.records.get(&node_id);
                let is_in = record.is_some_and(|record| {
                    matches!(record.standing, Standing::Paired { .. } | Standing::Muted { .. })
                });
                // Another gateway may have decided just now.
                self.expect(is_in || self.sharing.is_some(), || {
                    format!("conn {conn}: {node_id} is linked, and is {record:?}")
                });
                self.expect(gateway.live.get(&node_id) == Some(&conn), || {
                    format!("conn {conn}: linked, and not live")
                });
                let key = record.and_then(|record| record.keys).map(|keys| keys.channel);
                self.expect(!is_in || machine.peer_key() == key.as_ref(), || {
                    format!("conn {conn}: linked with another key")
                });
            }
        }
        self.check_sharing();
        for record in self.store.records.values() {
            let Some(keys) = record.keys else { continue };
            let bytes = *keys.channel.as_bytes();
            if matches!(record.standing, Standing::Paired { .. } | Standing::Muted { .. }) {
                let approved = self.audit.approved.contains(&bytes);
                let code = self
                    .audit
                    .secrets
                    .values()
                    .any(|secret| self.audit.typed.contains(&(bytes, secret.clone())));
                let setup = self.audit.yielded.values().any(|(key, _)| *key == bytes);
                self.expect(approved || code || setup, || {
                    format!("{} is paired, and nobody wanted it", record.node_id)
                });
                self.expect(!self.audit.revoked.contains(&bytes), || {
                    format!("{} came back", record.node_id)
                });
            }
            let same = self
                .store
                .records
                .values()
                .filter(|other| other.keys.is_some_and(|k| k.channel == keys.channel));
            self.expect(same.count() == 1, || format!("{} has a twin", record.node_id));
        }
    }
}
