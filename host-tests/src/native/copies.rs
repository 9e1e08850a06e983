//! Copies of nodes' states and restored gateways, and the reference model of marks and tasks: what
//! every node has confirmed and run, recorded independently of counters and boards.

use std::collections::{BTreeMap, BTreeSet};

use handfast_core::crypto::x25519::PublicKey;
use handfast_core::flow::identity::clone_counter::{CloneCounter, LinkVerdict, Shown};
use handfast_core::flow::native::node::NativeMemory;
use handfast_core::link::board::Board;
use handfast_core::link::dispatch::{DispatchEvent, DispatchState};
use handfast_core::wire::native::link::DispatchId;

use super::World;
use super::identity::StoredTask;

/// A copy of a node's flash. The keys are always the same.
#[derive(Clone, Debug)]
pub struct Flash {
    memory: NativeMemory,
    chain: Option<Vec<u8>>,
    certificate: Option<Vec<u8>>,
    board: Board<8>,
}

/// A backup of what the gateway remembers of marks and tasks. A registry that is older as a whole
/// is refused at start.
#[derive(Clone, Debug)]
pub struct Backup {
    clones: BTreeMap<[u8; 32], CloneCounter>,
    tasks: BTreeMap<DispatchId, StoredTask>,
}

/// The history of marks and tasks.
#[derive(Debug, Default)]
pub struct History {
    /// Keys of nodes that were given another state than their latest: a copy, or none.
    pub replaced: BTreeSet<[u8; 32]>,
    /// `true` once the gateway was restored from a backup.
    pub restored: bool,
    /// Number of copies that came back after a newer mark was confirmed, and were noticed.
    pub noticed: u32,
    /// Number of times that each task was run, by whatever machine.
    pub runs: BTreeMap<DispatchId, u32>,
    /// The tasks that were sent.
    sent: BTreeSet<DispatchId>,
    /// The newest value that the node of each key has confirmed since its marks began afresh.
    confirmed: BTreeMap<[u8; 32], u64>,
}

impl World {
    /// Copies a node's state.
    pub fn copy_state(&mut self, at: usize) {
        self.nodes[at].copy = Some(self.flash_of(at));
        self.note(|| format!("somebody copies node {at}"));
    }

    fn flash_of(&self, at: usize) -> Flash {
        let host = &self.nodes[at];
        Flash {
            memory: host.memory,
            chain: host.chain.clone(),
            certificate: host.certificate.clone(),
            board: host.board.clone(),
        }
    }

    /// Lets a machine with the copied state run in the node's place. The node's state is the copy
    /// from then on, so the owner's machine may come back.
    pub fn run_copy(&mut self, at: usize) {
        let Some(copy) = self.nodes[at].copy.take() else { return };
        let own = self.flash_of(at);
        self.node_off(at);
        let host = &mut self.nodes[at];
        host.copy = Some(own);
        (host.memory, host.board) = (copy.memory, copy.board);
        (host.chain, host.certificate) = (copy.chain, copy.certificate);
        self.replaces(at);
        self.note(|| format!("a copy runs as node {at}"));
    }

    /// Records that a node has lost its latest state.
    pub(super) fn replaces(&mut self, at: usize) {
        let key = *self.nodes[at].keys.channel.public().as_bytes();
        self.history.replaced.insert(key);
    }

    /// Backs up the gateway's marks and tasks; the next call restores them.
    pub fn back_up_or_restore(&mut self) {
        let (clones, tasks) = (self.store.clones.clone(), self.store.tasks.clone());
        match self.backup.take() {
            None => self.backup = Some(Backup { clones, tasks }),
            Some(backup) => {
                self.gateway_off(0);
                (self.store.clones, self.store.tasks) = (backup.clones, backup.tasks);
                self.history.restored = true;
                self.history.confirmed.clear();
                self.note(|| "the gateway is restored from a backup".to_owned());
            }
        }
    }

    /// Checks the verdict about a mark: there is no alarm without a copy, and no copy comes back
    /// unnoticed after a newer value was confirmed.
    pub(super) fn judged(&mut self, key: &PublicKey, shown: Shown, verdict: &LinkVerdict) {
        let key = *key.as_bytes();
        let replaced = self.history.replaced.contains(&key);
        self.expect(!verdict.alarm || replaced, || format!("an alarm without a copy: {shown:?}"));
        let stopped = verdict.quarantined || verdict.overtaken;
        let newest = self.history.confirmed.get(&key).copied();
        let older = match (shown, newest) {
            (Shown::Value(value), Some(newest)) => value < newest,
            (Shown::Nothing | Shown::Foreign, Some(_)) => true,
            (Shown::Value(_) | Shown::Nothing | Shown::Foreign, None) => false,
        };
        self.expect(!older || stopped, || {
            format!("a copy that shows {shown:?} is not noticed after {newest:?}")
        });
        self.history.noticed += u32::from(older && verdict.alarm);
        if let (Shown::Value(value), false) = (shown, stopped) {
            self.confirmed_mark(key, value);
        }
    }

    /// Records that the node of a key has confirmed a value.
    pub(super) fn confirmed_mark(&mut self, key: [u8; 32], value: u64) {
        let newest = self.history.confirmed.entry(key).or_default();
        *newest = value.max(*newest);
    }

    /// Records that a key's marks begin afresh, because its node was released or paired anew.
    pub(super) fn marks_begin_afresh(&mut self, key: &[u8; 32]) {
        self.history.confirmed.remove(key);
    }

    /// Checks that a node runs its own task, once. Only a node whose state is older than the task
    /// may run it again, for a gateway that has forgotten as well that it was run.
    pub(super) fn runs(&mut self, at: usize, id: DispatchId) {
        let key = *self.nodes[at].keys.channel.public().as_bytes();
        let runs = self.history.runs.entry(id).or_default();
        *runs += 1;
        let runs = *runs;
        let both = self.history.restored && self.history.replaced.contains(&key);
        self.expect(runs == 1 || both, || format!("node {at} runs {id:?} for the {runs}. time"));
        let whose = self.store.tasks.get(&id).map(|task| task.node_id);
        self.expect(whose.is_none_or(|whose| self.id_of(at) == Some(whose)), || {
            format!("node {at} runs {id:?} of {whose:?}")
        });
    }

    /// Checks that a task is sent once, whichever gateway has the node's link. None of these tasks
    /// may run twice.
    pub(super) fn sends(&mut self, id: DispatchId) {
        let is_first = self.history.sent.insert(id);
        let restored = self.history.restored;
        self.expect(is_first || restored, || format!("{id:?} is sent again"));
    }

    /// Lets the time of tasks run out.
    pub(super) fn tasks_tick(&mut self) {
        let now = self.unix();
        for task in self.store.tasks.values_mut() {
            task.life = task.life.step(DispatchEvent::Tick { now }).0;
        }
    }

    /// Checks that the ends of all tasks say what the nodes did.
    pub(super) fn tasks_are_told(&self) {
        for (id, task) in &self.store.tasks {
            let record = self.store.records.get(&task.node_id);
            let key = record.and_then(|record| Some(*record.keys?.channel.as_bytes()));
            let replaced = key.is_none_or(|key| self.history.replaced.contains(&key));
            if replaced || self.history.restored {
                continue;
            }
            let runs = self.history.runs.get(id).copied().unwrap_or_default();
            let holds = match task.life.state {
                DispatchState::Succeeded => runs == 1,
                DispatchState::Expired => runs == 0 || task.life.late.is_some(),
                // The board of a node that does not link any more is asked by nobody.
                DispatchState::Unknown { .. }
                | DispatchState::TimedOut
                | DispatchState::Failed
                | DispatchState::Cancelled => true,
                DispatchState::Rejected => runs == 0,
                DispatchState::Queued
                | DispatchState::Sent
                | DispatchState::AwaitingMediation
                | DispatchState::Running => false,
            };
            self.expect(holds, || format!("{id:?} ran {runs} times, and is {:?}", task.life));
        }
    }
}
