//! Transactions of the registry: each happens durably, and then its answer is under way.

use handfast_core::budget::NoPlace;
use handfast_core::crypto::code::{Alphabet, Code};
use handfast_core::crypto::x25519::PublicKey;
use handfast_core::flow::native::gateway::{CloneStanding, NativeConnection, Peer};
use handfast_core::flow::native::settle::{Plan, Proven, plan};
use handfast_core::grant::capability::{self, Chain, Check, verify};
use handfast_core::grant::scope::ScopesBuf;
use handfast_core::registry::codes::{CodeId, NoGuess};
use handfast_core::registry::grants::{GrantId, is_in_doubt};
use handfast_core::registry::lifecycle::Notice;
use handfast_core::wire::native::link::CloneMark;
use handfast_core::wire::native::pair::{Method, PairRefusal};
use handfast_core::{Entropy, NodeId, Source, UnixTime};

use super::{Answer, GateIn, in_force, loaded};
use crate::native::registry::{Offered, Registry, Settled, Shown};
use crate::native::wires::ConnId;
use crate::native::{Job, World};

/// A request to the store.
#[derive(Debug)]
pub enum Asked {
    /// Finds the record of a key.
    Find(PublicKey),
    /// Takes a slot for a handshake.
    Enter(PublicKey, [u8; 32]),
    /// Finds the record of a node.
    FindNode(NodeId),
    /// Makes the connection the node's live one, and compares its mark.
    Attach(NodeId, Option<CloneMark>),
    /// Prepares the pairing method.
    Prepare(Method),
    /// Reserves a guess at a code.
    Reserve(Option<CodeId>),
    /// Spends a code.
    Spend(CodeId),
    /// Settles the request, with the proved code if there is one.
    Settle(Option<CodeId>),
    /// Settles the request with a setup code.
    SettleSetup(Shown),
    /// Activates a grant that the node has stored.
    Activate(GrantId),
    /// Verifies a presented chain.
    Present(Option<Vec<u8>>),
    /// Renews a chain (`true`) or a bearer token (`false`).
    Renew(bool),
    /// Issues a certificate for this request, or a compact one.
    Issue(Option<Vec<u8>>),
    /// Reads the gateway's name.
    Name,
    /// Reads the addresses that nodes are told.
    Addresses,
}

impl World {
    /// Runs a transaction durably, and sends its answer on its way.
    pub(in crate::native) fn transact(&mut self, conn: ConnId, asked: Asked) {
        let (moment, unix, ids) =
            (self.moment(), self.unix(), (self.prng.bytes(), self.prng.bytes()));
        let at = self.gateway_of(conn);
        let (admits, reaches) = (self.admits_or_asks(at, &asked), self.reaches(at));
        let fails = self.gateways[at].failing > 0 || !reaches;
        self.gateways[at].failing = self.gateways[at].failing.saturating_sub(1);
        let source = self.source(conn);
        let Some(seat) = self.gateways[at].seats.get_mut(&conn) else { return };
        let key = seat.machine.as_ref().and_then(|machine| machine.peer_key().copied());
        let peer = seat.machine.as_ref().and_then(NativeConnection::linked);
        let store = &mut self.store;
        let own = &self.identity.keys;
        let look = |store: &Registry, key: &PublicKey| {
            store.by_key(key).map(|record| loaded(store, record))
        };
        let answer = match asked {
            Asked::Enter(key, ephemeral) => return self.enter(conn, *key.as_bytes(), &ephemeral),
            Asked::Find(key) => {
                let found = look(store, &key);
                // A grant that a jump of the clock would end is not admitted while the clock is in
                // doubt.
                let doubted = found.as_ref().is_some_and(|(_, all, _)| is_in_doubt(all, &moment));
                Answer::Found(if fails || doubted { Err(()) } else { Ok(found) })
            }
            Asked::FindNode(node_id) => {
                let found = store.records.get(&node_id).map(|record| loaded(store, record));
                Answer::Found(if fails { Err(()) } else { Ok(found) })
            }
            // Without the registry there is nothing to give.
            Asked::Issue(_) if !reaches => Answer::Issued(None),
            Asked::Present(_) if !reaches => Answer::Presented(None),
            Asked::Renew(_) if !reaches => Answer::Renewed(None, None),
            Asked::Issue(csr) => {
                let Some(key) = key else { return };
                let issued = self.certify(&key, csr);
                return self.answer(conn, Answer::Issued(issued));
            }
            Asked::Name => match self.identity.name {
                Some(name) => Answer::Name(name.to_owned()),
                None => return,
            },
            Asked::Addresses => match self.identity.addresses {
                Some(list) => Answer::Addresses(list),
                None => return,
            },
            Asked::Attach(..) if fails || !admits => {
                Answer::Attached(Err(()), CloneStanding::default())
            }
            Asked::Attach(node_id, mark) => return self.attach(conn, node_id, mark.as_ref()),
            Asked::Prepare(_) | Asked::Settle(_) | Asked::SettleSetup(_) if fails || !admits => {
                Answer::Busy
            }
            Asked::Prepare(method) => return self.prepare(conn, method, ids),
            Asked::Reserve(_) if fails => Answer::Reserved(Err(NoGuess::Closed)),
            Asked::Reserve(Some(id)) => {
                let reserved = store.reserve(id, source, unix);
                self.reserved(conn, id, reserved);
                Answer::Reserved(reserved)
            }
            Asked::Reserve(None) => {
                seat.guesses += 1;
                Answer::Reserved(if seat.guesses > 5 {
                    Err(NoGuess::Locked)
                } else {
                    Ok(5 - seat.guesses)
                })
            }
            Asked::Spend(_) if fails => Answer::Spent(Err(())),
            Asked::Spend(id) => {
                let spent = store.spend(id, source);
                seat.proven |= spent;
                Answer::Spent(Ok(spent))
            }
            Asked::SettleSetup(code) => {
                let Some(request) = seat.request.clone() else { return };
                let settled = store.settle_setup(&request, code, ids, own, &moment);
                self.yielded(code, &request, &settled);
                Answer::Settled(settled)
            }
            Asked::Settle(proof) => {
                let Some(request) = seat.request.clone() else { return };
                let proven = seat.proven;
                assert!(proof.is_none() || proven, "a proof without a spent code");
                let proof = if proof.is_some() { Proven::Code } else { Proven::Key };
                Answer::Settled(store.settle(&request, proof, ids, own, &moment))
            }
            Asked::Activate(_) if fails => Answer::Activated(Err(())),
            Asked::Activate(grant) => {
                let node_id =
                    key.as_ref().and_then(|key| store.by_key(key)).map(|record| record.node_id);
                let activated = node_id.and_then(|node_id| store.activate(node_id, grant, unix));
                if let (Some(Peer::Node(node_id)), Some(_)) = (peer, activated) {
                    let (grants, ceiling) =
                        (store.grants_of(node_id), store.ceilings.get(&node_id));
                    seat.scopes = in_force(&grants, ceiling, self.limits.renew_after_expiry, unix);
                }
                Answer::Activated(Ok(activated))
            }
            Asked::Present(chain) => Answer::Presented(self.present(conn, chain.as_deref())),
            Asked::Renew(true) => match peer {
                Some(Peer::Node(node_id)) => {
                    let within = self.limits.renew_after_expiry;
                    Answer::Renewed(
                        store.renew(node_id, GrantId::from_bytes(ids.1), within, own, unix),
                        None,
                    )
                }
                Some(Peer::Delegate(_)) | None => Answer::Renewed(None, None),
            },
            Asked::Renew(false) => {
                let node_id = key
                    .as_ref()
                    .and_then(|key| store.by_key(key))
                    .map_or(NodeId::from_bytes([0; 16]), |r| r.node_id);
                let offered = Offered { id: GrantId::from_bytes(ids.1), node_id, chain: None };
                Answer::Renewed(Some(offered), Some(String::new()))
            }
        };
        self.answer(conn, answer);
    }

    /// Returns `true` if the gateway may serve a request that adds or links a node.
    fn admits_or_asks(&mut self, at: usize, asked: &Asked) -> bool {
        let adds = matches!(
            asked,
            Asked::Attach(..) | Asked::Prepare(_) | Asked::Settle(_) | Asked::SettleSetup(_)
        );
        !adds || self.sharing.is_none() || self.admits(at)
    }

    /// Has the other gateways hear of what a transaction has changed.
    fn tells_others(&mut self, conn: ConnId, answer: &Answer) {
        let changes = match answer {
            Answer::Settled(Settled::Offered(_))
            | Answer::Activated(Ok(Some(_)))
            | Answer::Renewed(Some(_), None) => true,
            Answer::Settled(Settled::Waits | Settled::Refused(_))
            | Answer::Activated(Ok(None) | Err(()))
            | Answer::Renewed(..)
            | Answer::Entered(_)
            | Answer::Found(_)
            | Answer::Attached(..)
            | Answer::Refused(_)
            | Answer::Pin(..)
            | Answer::Code(..)
            | Answer::Setup
            | Answer::Settle
            | Answer::Reserved(_)
            | Answer::Spent(_)
            | Answer::Busy
            | Answer::Presented(_)
            | Answer::Issued(_)
            | Answer::Name(_)
            | Answer::Addresses(_) => false,
        };
        let key = self.seat(conn).and_then(|seat| seat.machine.as_ref());
        let key = key.and_then(|machine| machine.peer_key().copied()).filter(|_| changes);
        if let Some(key) = key {
            self.changed_by_pairing(self.gateway_of(conn), &key);
        }
    }

    fn answer(&mut self, conn: ConnId, answer: Answer) {
        for key in std::mem::take(&mut self.store.paired_anew) {
            self.marks_begin_afresh(&key);
        }
        self.tells_others(conn, &answer);
        if self.gateway_may(self.gateway_of(conn)) {
            self.job(Job::Answer { conn, answer });
        }
    }

    /// Returns the source of a connection: each node has its own, and strangers share a few.
    pub(in crate::native) fn source(&self, conn: ConnId) -> Source {
        let node = self.wires.get(&conn).and_then(|wire| wire.node);
        Self::source_of(node, conn)
    }

    /// Returns the source of a node, or of a stranger's connection.
    #[must_use]
    pub fn source_of(node: Option<usize>, conn: ConnId) -> Source {
        let (network, host) = node.map_or((66, conn % 4), |at| (1, u32::try_from(at).unwrap_or(0)));
        Source::of([10, 0, network, u8::try_from(host % 256).unwrap_or(0)].into())
    }

    /// Takes a slot for a handshake, and displaces an older one if needed.
    fn enter(&mut self, conn: ConnId, key: [u8; 32], ephemeral: &[u8; 32]) {
        let at = self.gateway_of(conn);
        let (now, gateway) = (self.instant_at(at), &mut self.gateways[at]);
        let outcome = match gateway.replays.remember(ephemeral) {
            true => gateway.proving.entry(key).or_default().enter(u64::from(conn), now),
            false => Err(NoPlace::Repeated),
        };
        if let (Ok(_), Some(seat)) = (outcome, gateway.seats.get_mut(&conn)) {
            seat.enters = Some(key);
        }
        if let Ok(Some(Ok(displaced))) = outcome.map(|displaced| displaced.map(ConnId::try_from)) {
            self.feed_gateway(displaced, GateIn::Evict);
        }
        self.answer(conn, Answer::Entered(outcome.map(drop)));
    }

    /// Frees the slot of a handshake that is complete.
    pub(super) fn proven(&mut self, conn: ConnId) {
        let at = self.gateway_of(conn);
        let gateway = &mut self.gateways[at];
        let Some(key) = gateway.seats.get_mut(&conn).and_then(|seat| seat.enters.take()) else {
            return;
        };
        if let Some(proving) = gateway.proving.get_mut(&key) {
            proving.leave(u64::from(conn));
            if proving.is_empty() {
                gateway.proving.remove(&key);
            }
        }
    }

    /// Makes this connection the target of pushes, informs an older one, and reads the record
    /// again.
    fn attach(&mut self, conn: ConnId, node_id: NodeId, mark: Option<&CloneMark>) {
        let at = self.gateway_of(conn);
        let older = self.gateways[at].live.insert(node_id, conn);
        self.link_opened(at, node_id);
        if let Some(older) = older.filter(|older| *older != conn) {
            self.feed_gateway(older, GateIn::Push(Notice::Replaced));
        }
        let found = self.store.records.get(&node_id).map(|record| loaded(&self.store, record));
        let key = found.as_ref().and_then(|(record, ..)| Some(record.keys.as_ref()?.channel));
        let clone = key.map(|key| self.compare_mark(at, &key, mark)).unwrap_or_default();
        self.answer(conn, Answer::Attached(Ok(found), clone));
    }

    fn prepare(&mut self, conn: ConnId, method: Method, ids: ([u8; 16], [u8; 16])) {
        let unix = self.unix();
        let entropy = Entropy::from_recorded(self.prng.bytes());
        let source = self.source(conn);
        let Some(request) = self.seat(conn).and_then(|seat| seat.request.clone()) else { return };
        let standing =
            self.store.by_key(&request.holder.channel).map(|record| record.standing.clone());
        let answer = match plan(standing.as_ref(), method) {
            Plan::RefuseRevoked => Answer::Refused(PairRefusal::Revoked),
            Plan::Settle => Answer::Settle,
            Plan::AwaitSetup => Answer::Setup,
            Plan::ShowPin => {
                match self.store.window.admits_source(self.store.guesses_of(source), unix) {
                    Ok(()) => {
                        let code = Code::mint(Alphabet::Digits, 6, &entropy).expect("a PIN");
                        let pin = String::from_utf8_lossy(code.expose()).into_owned();
                        let id = CodeId::from_bytes(ids.0);
                        match self.store.mint_pin(id, request.holder.channel, source, &pin, unix) {
                            true => {
                                self.display.push((request.holder.channel, id, pin.clone()));
                                Answer::Pin(id, pin)
                            }
                            false => Answer::Busy,
                        }
                    }
                    Err(NoGuess::Locked) => Answer::Refused(PairRefusal::Locked),
                    Err(NoGuess::Closed | NoGuess::Expired) => Answer::Refused(PairRefusal::Closed),
                }
            }
            Plan::FindCode(selector) => match self.store.find_code(selector) {
                Some((id, code)) => Answer::Code(Some(id), code),
                None => Answer::Code(None, Code::nobodys(&entropy)),
            },
        };
        self.answer(conn, answer);
    }

    fn present(
        &self,
        conn: ConnId,
        chain: Option<&[u8]>,
    ) -> Option<(UnixTime, (ScopesBuf, Vec<ScopesBuf>))> {
        let key = self.seat(conn)?.machine.as_ref()?.peer_key().copied()?;
        let check = Check {
            gateway: &self.identity.keys.signing.public(),
            channel: &key,
            audience: None,
            now: self.unix(),
        };
        let counts = |id: &capability::Id| {
            self.store
                .grants
                .iter()
                .any(|grant| grant.capability == Some(*id) && grant.counts(self.unix()))
        };
        let chain = Chain::from_bytes(chain?).ok()?;
        let root = *chain.root().id();
        let authorised =
            verify(&chain, &check, |held| held.id == root && !counts(&held.id)).ok()?;
        let subject = self.store.by_key(authorised.subject()).map(|record| record.node_id);
        let ceiling = subject.and_then(|node_id| self.store.ceilings.get(&node_id));
        let bounds = ceiling.map(|ceiling| ceiling.scopes.clone());
        Some((authorised.expires(), (authorised.scopes().clone(), bounds.into_iter().collect())))
    }
}
