//! Marks, certificates and tasks of nodes: what the operator asks for, what nodes report, and what
//! the registry decides by core's rules.

use handfast_core::NodeId;
use handfast_core::Span;
use handfast_core::crypto::noise::HandshakeHash;
use handfast_core::crypto::x25519::PublicKey;
use handfast_core::flow::identity::clone_counter::{CloneCounter, Shown};
use handfast_core::flow::native::gateway::{CloneStanding, NativeConnection, Peer};
use handfast_core::flow::native::node::NativeMemory;
use handfast_core::link::dispatch::{
    DispatchAction, DispatchEnd, DispatchEvent, DispatchLife, DispatchState, Known, next_number,
};
use handfast_core::registry::lifecycle::Notice;
use handfast_core::registry::record::Standing;
use handfast_core::wire::native::link::{
    CloneMark, Dispatch, DispatchId, DispatchOutcome, KnownDispatch,
};
use handfast_core::wire::native::part::Object;
use handfast_core::wire::native::{CapabilityName, Payload};

use super::gateway::GateIn;
use super::node::NodeIn;
use super::sharing::Subject;
use super::wires::{ConnId, Wire};
use super::{Job, World};

/// A task as the gateway sends it.
#[derive(Clone, Copy, Debug)]
pub struct Task {
    id: DispatchId,
    number: u64,
    remaining_ms: u32,
}

impl Task {
    /// Borrows the task for a step.
    ///
    /// # Panics
    /// Never: its parts are valid.
    #[must_use]
    pub fn lend<'b>(&self) -> Dispatch<'b> {
        Dispatch {
            id: self.id,
            number: self.number,
            capability: CapabilityName::parse("echo").expect("a name"),
            remaining_ms: self.remaining_ms,
            max_payload: 100,
            input: Payload::new(b"hello").expect("a payload"),
        }
    }
}

/// A task in the registry.
#[derive(Clone, Debug)]
pub struct StoredTask {
    /// The node that is to run it.
    pub node_id: NodeId,
    /// Its life.
    pub life: DispatchLife,
}

/// A certificate in the registry.
#[derive(Clone, Debug)]
pub struct StoredCertificate {
    /// The node that it names.
    pub node_id: NodeId,
    /// Its number among all certificates.
    pub number: u64,
    /// The certificate request; `None` for a compact certificate.
    pub csr: Option<Vec<u8>>,
    /// `true` once the node has confirmed it.
    pub stored: bool,
}

/// A report of a linked node, in owned form.
#[derive(Debug)]
pub enum Report {
    /// A certificate is stored.
    CertificateStored(u64),
    /// A mark is stored.
    MarkStored(CloneMark),
    /// The node has proven that it knows this key of the gateway.
    KnowsKey(PublicKey),
    /// The node has stored the addresses that it was told.
    KnowsAddresses,
    /// A capability, and whether it may run twice.
    Announced(String, bool),
    /// The state of a task.
    Outcome(DispatchId, DispatchEvent),
    /// The share of a task that is done.
    Progress(DispatchId, Option<u8>),
    /// The node's knowledge of a task.
    Answered(DispatchId, u64, Known),
    /// A task was not sent.
    NotDispatched(DispatchId),
}

impl Report {
    pub(super) fn outcome(id: DispatchId, outcome: &DispatchOutcome<'_>) -> Self {
        Self::Outcome(id, DispatchEvent::of_outcome(outcome))
    }

    pub(super) fn answer(id: DispatchId, number: u64, known: &KnownDispatch<'_>) -> Self {
        Self::Answered(id, number, Known::of(known))
    }
}

impl World {
    /// Gives a node a task, and pushes it at once if the node is linked. Returns its id.
    ///
    /// # Panics
    /// If the node is not paired.
    pub fn dispatch(&mut self, at: usize) -> DispatchId {
        let node_id = self.id_of(at).expect("a paired node");
        let (id, unix) = (DispatchId::from_bytes(self.prng.bytes()), self.unix());
        let last = self.store.tasks.values().map(|task| task.life.number).max();
        let life = DispatchLife::queued(next_number(last, unix), Span::from_secs(600), false, unix);
        self.store.tasks.insert(id, StoredTask { node_id, life });
        self.changed(self.desk, Subject::Tasks(node_id));
        self.push_tasks(self.desk, node_id);
        id
    }

    /// Returns the state of a task.
    ///
    /// # Panics
    /// If there is no such task.
    #[must_use]
    pub fn task(&self, id: DispatchId) -> DispatchState {
        self.store.tasks.get(&id).expect("a task").life.state
    }

    /// Sends what is due to a node's live link: what is queued, and questions about what is
    /// unknown.
    pub(super) fn push_tasks(&mut self, at: usize, node_id: NodeId) {
        let Some(&conn) = self.gateways[at].live.get(&node_id) else { return };
        if self.sharing.is_some() && !(self.reaches(at) && self.admits(at)) {
            return;
        }
        let seat = self.seat(conn).and_then(|seat| seat.machine.as_ref());
        if seat.and_then(NativeConnection::linked) != Some(Peer::Node(node_id)) {
            return;
        }
        if seat.is_some_and(|machine| !machine.receives()) {
            return;
        }
        let now = self.unix();
        let own = self.store.tasks.iter().filter(|(_, task)| task.node_id == node_id);
        let ids: Vec<_> = own.map(|(id, _)| *id).collect();
        for id in ids {
            for event in [DispatchEvent::Linked, DispatchEvent::Pushed { now }] {
                self.step_task(conn, id, event);
            }
        }
    }

    fn step_task(&mut self, conn: ConnId, id: DispatchId, event: DispatchEvent) {
        if !self.reaches(self.gateway_of(conn)) {
            return;
        }
        let Some(task) = self.store.tasks.get_mut(&id) else { return };
        let (life, action) = task.life.step(event);
        let node_id = task.node_id;
        task.life = life;
        let number = life.number;
        match action {
            Some(DispatchAction::Send { remaining_ms }) => {
                self.serves_nobody_revoked(node_id);
                self.sends(id);
                let task = Task { id, number, remaining_ms };
                self.feed_gateway(conn, GateIn::Dispatch(task));
            }
            Some(DispatchAction::Cancel) => self.feed_gateway(conn, GateIn::Cancel(id)),
            Some(DispatchAction::Query) => self.feed_gateway(conn, GateIn::Query(id, number)),
            None => {}
        }
    }

    /// Runs a task: first its handler begins, and then the board keeps its result before it is
    /// told. The power may fail in between.
    pub(super) fn work_on(&mut self, at: usize, id: DispatchId, begun: bool) {
        if !self.node_may(at) {
            return;
        }
        if begun {
            self.nodes[at].board.finish(id, DispatchEnd::Succeeded, b"done");
        } else {
            self.nodes[at].ran.push(id);
            self.runs(at, id);
            self.job(Job::Work { node: at, id, begun: true });
        }
        self.job(Job::Node { node: at, input: NodeIn::Outcome(id, begun) });
    }

    /// Ends a task that runs or is about to.
    pub(super) fn stop_work(&mut self, at: usize, id: DispatchId) {
        let is_it =
            |job: &Job| matches!(job, Job::Work { node, id: of, .. } if *node == at && *of == id);
        if self.jobs.iter().any(is_it) {
            self.jobs.retain(|job| !is_it(job));
            self.nodes[at].board.finish(id, DispatchEnd::Cancelled, b"");
            self.job(Job::Node { node: at, input: NodeIn::Stopped(id) });
        }
    }

    /// Cancels a task.
    pub fn cancel(&mut self, id: DispatchId) {
        if !self.operators_decide() {
            return;
        }
        let Some(node_id) = self.store.tasks.get(&id).map(|task| task.node_id) else { return };
        match self.gateways[self.desk].live.get(&node_id).copied() {
            Some(conn) => self.step_task(conn, id, DispatchEvent::Cancel),
            None => {
                if let Some(task) = self.store.tasks.get_mut(&id) {
                    task.life = task.life.step(DispatchEvent::Cancel).0;
                }
            }
        }
    }

    /// Records that a node's link at a gateway is lost, unless it has another one.
    pub(super) fn tasks_lost(&mut self, at: usize, node_id: NodeId) {
        let elsewhere = self.holder(node_id).is_some_and(|holder| holder != at);
        let is_live = self.sharing.is_some() && self.gateways[at].live.contains_key(&node_id);
        if elsewhere || is_live || !self.reaches(at) {
            return;
        }
        for task in self.store.tasks.values_mut().filter(|task| task.node_id == node_id) {
            task.life = task.life.step(DispatchEvent::LinkLost).0;
        }
    }

    /// Takes a report of the peer of a connection.
    pub(super) fn reported(&mut self, conn: ConnId, report: Report) {
        let gateway = self.gateway_of(conn);
        // What cannot be written was not heard.
        if !self.reaches(gateway) {
            return;
        }
        let seat = self.seat(conn).and_then(|seat| seat.machine.as_ref());
        let key = seat.and_then(|machine| machine.peer_key().copied());
        let node_id = key.and_then(|key| Some(self.store.by_key(&key)?.node_id));
        let (Some(key), Some(node_id)) = (key, node_id) else { return };
        let now = self.unix();
        match report {
            Report::CertificateStored(number) => {
                let own =
                    |of: &&mut StoredCertificate| of.node_id == node_id && of.number == number;
                if let Some(certificate) = self.store.certificates.iter_mut().find(own) {
                    certificate.stored = true;
                }
            }
            Report::MarkStored(mark) => {
                let counter = self.store.clones.entry(*key.as_bytes()).or_default();
                let keys = std::slice::from_ref(&self.identity.mark_key);
                if let Shown::Value(value) = Shown::of(Some(&mark), keys, &key) {
                    *counter = counter.stored(value, now);
                    if counter.confirmed == Some(value) {
                        self.confirmed_mark(*key.as_bytes(), value);
                    }
                }
            }
            Report::KnowsKey(known) => self.store.known_keys.push((node_id, known)),
            Report::KnowsAddresses => {
                if let Some(list) = self.identity.addresses {
                    self.store.known_addresses.push((node_id, list));
                }
            }
            Report::Announced(capability, _) => {
                self.store.announced.insert((node_id, capability));
            }
            Report::Outcome(id, event) => {
                if self.is_task_of(gateway, id, node_id) {
                    self.step_task(conn, id, event);
                }
            }
            Report::Progress(id, percent) => {
                if self.is_task_of(gateway, id, node_id) {
                    self.gateways[gateway].progress.push((id, percent));
                }
            }
            Report::Answered(id, number, known) => {
                let asked = self.store.tasks.get(&id).is_some_and(|of| of.life.number == number);
                if asked && self.is_task_of(gateway, id, node_id) {
                    self.step_task(conn, id, DispatchEvent::Answered { known, now });
                }
            }
            // Nobody got it, which is the same as an answer that it never came.
            Report::NotDispatched(id) => {
                let known = Known::NeverCame;
                self.step_task(conn, id, DispatchEvent::LinkLost);
                self.step_task(conn, id, DispatchEvent::Answered { known, now });
            }
        }
    }

    /// Returns `true` if the task is the node's; what another node says about it is dropped, and
    /// counted.
    fn is_task_of(&mut self, at: usize, id: DispatchId, node_id: NodeId) -> bool {
        let own = self.store.tasks.get(&id).is_some_and(|task| task.node_id == node_id);
        self.gateways[at].meddled += u32::from(!own);
        own
    }

    /// Compares the mark that a node has shown on its new link, as one transaction.
    pub(super) fn compare_mark(
        &mut self,
        at: usize,
        key: &PublicKey,
        mark: Option<&CloneMark>,
    ) -> CloneStanding {
        if !self.identity.marks {
            return CloneStanding::default();
        }
        let now = self.unix();
        let mark_key = &self.identity.mark_key;
        let counter = self.store.clones.entry(*key.as_bytes()).or_default();
        let shown = Shown::of(mark, std::slice::from_ref(mark_key), key);
        let (after, verdict) = counter.linked(shown, now);
        *counter = after;
        self.gateways[at].alarms += u32::from(verdict.alarm);
        self.gateways[at].older += u32::from(verdict.gateway_is_older);
        let standing = CloneStanding::of(&verdict, mark_key, key);
        self.judged(key, shown, &verdict);
        if let (true, Some(node_id)) =
            (verdict.alarm, self.store.by_key(key).map(|record| record.node_id))
        {
            self.changed(at, Subject::Clone(node_id));
        }
        standing
    }

    /// Returns a node's counter.
    #[must_use]
    pub fn counter_of(&self, at: usize) -> CloneCounter {
        let key = self.nodes[at].keys.channel.public().as_bytes();
        self.store.clones.get(key).copied().unwrap_or_default()
    }

    /// Releases a node from quarantine.
    pub fn release(&mut self, at: usize) {
        let now = self.unix();
        let key = *self.nodes[at].keys.channel.public().as_bytes();
        let decides = self.operators_decide();
        let counter = self.store.clones.entry(key).or_default();
        if !counter.is_quarantined() || !decides {
            return;
        }
        *counter = counter.release(now);
        self.marks_begin_afresh(&key);
        // Its board may be older than what was sent to it.
        let node_id = self.id_of(at);
        for task in self.store.tasks.values_mut().filter(|task| Some(task.node_id) == node_id) {
            task.life = task.life.step(DispatchEvent::NodeRestored).0;
        }
        if let Some(node_id) = node_id {
            self.changed(self.desk, Subject::Clone(node_id));
        }
        if let Some(&conn) = node_id.and_then(|id| self.gateways[self.desk].live.get(&id)) {
            if let Some(node_id) = node_id {
                self.told(self.desk, node_id, Notice::Released);
            }
            self.feed_gateway(conn, GateIn::Push(Notice::Released));
        }
    }

    /// Issues a certificate for a node.
    pub(super) fn certify(
        &mut self,
        key: &PublicKey,
        csr: Option<Vec<u8>>,
    ) -> Option<(u64, Object, Vec<u8>)> {
        if !self.identity.issues {
            return None;
        }
        let record = self.store.by_key(key)?;
        // Another gateway may have revoked the node just now.
        if matches!(record.standing, Standing::Revoked { .. }) && self.sharing.is_some() {
            return None;
        }
        let node_id = record.node_id;
        self.serves_nobody_revoked(node_id);
        let number = self.store.certificates.len() as u64 + 1;
        let object = match csr {
            Some(_) => Object::Certificates,
            None => Object::CompactCertificate,
        };
        let length = if csr.is_some() { object.limit() } else { 200 };
        let bytes = vec![number.to_le_bytes()[0]; length];
        self.store.certificates.push(StoredCertificate { node_id, number, csr, stored: false });
        Some((number, object, bytes))
    }

    /// Opens a TLS connection of a stranger without a certificate, whose exporter is 32 bytes 3.
    pub fn stranger_over_tls(&mut self) -> ConnId {
        self.opened += 1;
        let conn = self.opened;
        self.wires.insert(conn, Wire::default());
        let exporter = HandshakeHash::from_recorded([3; 32]);
        let machine = NativeConnection::over_tls(self.instant(), self.limits, None, exporter);
        self.take_seat(conn, machine);
        conn
    }

    /// Returns `true` if the gateway that a node calls lets it in by its certificate.
    pub(super) fn lets_in_certified(&mut self, at: usize) -> bool {
        match self.nodes[at].memory {
            NativeMemory::Paired(paired) => self.lets_in(self.nodes[at].calls, paired.node_id),
            NativeMemory::Blank | NativeMemory::Asked { .. } => true,
        }
    }

    /// Opens a TLS connection of a node; with `certified`, the node shows its certificate.
    pub(super) fn connect_tls(&mut self, at: usize, certified: bool) {
        let exporter: [u8; 32] = self.prng.bytes();
        let node_id = match self.nodes[at].memory {
            NativeMemory::Paired(paired) => Some(paired.node_id),
            NativeMemory::Blank | NativeMemory::Asked { .. } => None,
        };
        let node = node_id.filter(|_| certified);
        self.opened += 1;
        let conn = self.opened;
        self.homes.insert(conn, self.nodes[at].calls);
        self.wires.insert(conn, Wire { node: Some(at), ..Wire::default() });
        self.exporters.insert(conn, exporter);
        let hash = HandshakeHash::from_recorded(exporter);
        let machine = NativeConnection::over_tls(
            self.instant_at(self.gateway_of(conn)),
            self.limits,
            node,
            hash,
        );
        self.take_seat(conn, machine);
        self.nodes[at].conn = Some(conn);
        self.feed_node(at, NodeIn::ConnectedTls(exporter, certified));
    }
}
