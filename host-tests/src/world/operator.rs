//! The operator: decides about records, sees tokens, and hands them to the owners of nodes.

use std::collections::BTreeMap;

use handfast_core::flow::registration::operator::{Approval, Effect, Input, Purpose};
use handfast_core::grant::token::Hashed;
use handfast_core::registry::delivery::{DeliveryId, Outcome, Ticket};
use handfast_core::registry::lifecycle::{self, Change, Decision};
use handfast_core::registry::record::Mode;
use handfast_core::{Entropy, Machine, NodeId, Refusal};

use super::node::NodeInput;
use super::store::{Asked, Waiter};
use super::{Event, World, hashing};
use crate::prng::Prng;
use crate::script::{Typed, Verdict};

/// A well-formed token that was never issued.
pub const NOBODYS_TOKEN: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Secrets that the operator and the owners have written down.
#[derive(Debug, Default)]
pub struct Papers {
    /// Tokens shown for each node, the oldest first.
    pub shown: BTreeMap<NodeId, Vec<String>>,
    /// Every token that the gateway has ever answered with, written down or not.
    pub answered: Vec<String>,
    drawn: BTreeMap<NodeId, u64>,
    runs: u32,
}

/// An approval under way in the gateway's process.
#[derive(Debug)]
pub(super) struct ApprovalRun {
    machine: Option<Approval>,
    node_id: NodeId,
    version: u64,
    verdict: Verdict,
    delivery: DeliveryId,
}

impl World {
    /// Decides about a record; the answer comes later. The reference model refuses exactly what is
    /// refused here.
    ///
    /// # Errors
    /// [`Refusal`] with the reason.
    pub fn decide(&mut self, node_id: NodeId, verdict: Verdict) -> Result<(), Refusal> {
        if !self.gateway.on {
            return Err(Refusal::StoreFailed);
        }
        let Some(row) = self.store.rows.get(&node_id).cloned() else {
            return Err(Refusal::InvalidCredentials);
        };
        let now = self.unix();
        self.note(|| format!("operator: {verdict:?} {node_id}"));
        let decision = match verdict {
            Verdict::Approve | Verdict::Reissue if row.record.is_doubted(&self.moment()) => {
                return Err(Refusal::ClockInDoubt);
            }
            Verdict::Approve | Verdict::Reissue => {
                let purpose =
                    if verdict == Verdict::Approve { Purpose::Approve } else { Purpose::Reissue };
                let mut id = [0xde; 16];
                id[..4].copy_from_slice(&(self.papers.runs + 1).to_be_bytes());
                let ticket = Ticket {
                    id: DeliveryId::from_bytes(id),
                    until: now.after(self.limits.deliver_within),
                };
                let begun = Approval::begin(&row.record, purpose, ticket, now);
                self.check_decision(node_id, verdict, begun.as_ref().err().copied());
                match begun {
                    Ok(_) if verdict == Verdict::Approve => self.check_request_lives(node_id),
                    Err(Refusal::Expired) => self.note_over(node_id),
                    Ok(_) | Err(_) => {}
                }
                let life = self.clocks.life(self.now);
                self.lives.deliveries.insert(ticket.id, life);
                let (machine, effects) = begun?;
                self.papers.runs += 1;
                let run = self.papers.runs;
                let machine = Some(machine);
                self.gateway.approvals.insert(
                    run,
                    ApprovalRun {
                        machine,
                        node_id,
                        version: row.version,
                        verdict,
                        delivery: ticket.id,
                    },
                );
                self.approval_acts(run, effects.into_iter().collect());
                return Ok(());
            }
            Verdict::Reject => Decision::Reject,
            Verdict::Mute => Decision::Mute,
            Verdict::Unmute => Decision::Unmute,
            Verdict::SafeChat => Decision::SetMode(Mode::SafeChat),
            Verdict::Full => Decision::SetMode(Mode::Full),
            Verdict::Unpair => Decision::Unpair,
        };
        let decided = lifecycle::decide(&row.record.standing, decision, now);
        self.check_decision(node_id, verdict, decided.as_ref().err().copied());
        let change = decided?;
        self.ask_store(
            Waiter::Operator,
            Asked::Save { node_id, version: row.version, verdict, change },
        );
        Ok(())
    }

    fn feed_approval(&mut self, run: u32, input: Input) {
        let now = self.instant();
        let Some(mut machine) =
            self.gateway.approvals.get_mut(&run).and_then(|approval| approval.machine.take())
        else {
            return;
        };
        let effects = machine.step(now, input, &mut []);
        self.check_redacted(&machine);
        let acts: Vec<Effect> = effects.into_iter().collect();
        let done = machine.is_closed();
        if let Some(approval) = self.gateway.approvals.get_mut(&run) {
            approval.machine = Some(machine);
        }
        self.approval_acts(run, acts);
        if done {
            self.gateway.approvals.remove(&run);
        }
    }

    fn approval_acts(&mut self, run: u32, acts: Vec<Effect>) {
        for act in acts {
            let Some(approval) = self.gateway.approvals.get(&run) else { return };
            let (node_id, version, verdict, delivery) =
                (approval.node_id, approval.version, approval.verdict, approval.delivery);
            if self.burn_gateway() {
                return;
            }
            match act {
                Effect::Draw => {
                    let entropy = self.token_entropy(node_id);
                    self.feed_approval(run, Input::Drawn(entropy));
                }
                Effect::Hash(job) => {
                    let outcome = Ok(hashing::run(job));
                    let done = self.now + 14 + self.prng.below(10);
                    self.at(
                        done,
                        Event::Hashed {
                            life: self.gateway.life,
                            waiter: Waiter::Approval(run),
                            outcome,
                        },
                    );
                }
                Effect::Save(change) => {
                    self.ask_store(
                        Waiter::Approval(run),
                        Asked::Save { node_id, version, verdict, change },
                    );
                }
                Effect::Reveal(token) => self.reveal(node_id, token.expose(), delivery),
                Effect::Refuse(_) => {}
            }
        }
    }

    pub(super) fn approval_hashed(&mut self, run: u32, hashed: Hashed) {
        self.feed_approval(run, Input::Hashed(hashed));
    }

    /// Reports the store's answer to a save to the operator, and then to live connections.
    pub(super) fn saved(
        &mut self,
        waiter: Waiter,
        node_id: NodeId,
        verdict: Verdict,
        change: &Change,
        outcome: Result<(), Refusal>,
    ) {
        self.note(|| format!("store: {verdict:?} {node_id} {outcome:?}"));
        if let Waiter::Approval(run) = waiter {
            self.feed_approval(run, Input::Saved(outcome));
        }
        if !self.gateway.on {
            return;
        }
        if outcome.is_ok() {
            self.push(node_id, change.notice);
            self.model.acknowledged(node_id);
        }
    }

    /// Returns the randomness of the next token. It is the same in every world, so that all worlds
    /// share their hashes.
    fn token_entropy(&mut self, node_id: NodeId) -> Entropy<32> {
        let drawn = self.papers.drawn.entry(node_id).or_default();
        *drawn += 1;
        let [a, b, ..] = *node_id.as_bytes();
        let mut bytes: [u8; 32] =
            Prng::new(u64::from(a) << 24 | u64::from(b) << 16 | *drawn).bytes();
        if *drawn == 2 {
            // This token begins with a dash.
            bytes[0] = 0b1111_1000 | bytes[0] & 3;
        }
        Entropy::from_recorded(bytes)
    }

    /// Hands the answer to the operator's command. Usually it writes the token down and confirms
    /// it, but it may die before either.
    fn reveal(&mut self, node_id: NodeId, token: &str, id: DeliveryId) {
        self.check_revealed(node_id, token);
        let (writes, confirms) = match self.prng.below(16) {
            0 => (false, None),
            1 => (false, Some(Outcome::Cancelled)),
            2 => (true, None),
            _ => (true, Some(Outcome::Confirmed)),
        };
        self.note(|| format!("operator is answered with the token of {node_id}: written {writes}, then {confirms:?}"));
        self.papers.answered.push(token.to_owned());
        if writes {
            self.papers.shown.entry(node_id).or_default().push(token.to_owned());
        }
        if let Some(outcome) = confirms {
            self.ask_store(Waiter::Operator, Asked::Settle { node_id, id, outcome });
        }
    }

    /// Types a token into a node, if there is one to type. The node's events show the result.
    pub fn type_token(&mut self, node: usize, which: Typed) {
        let node_id = self.nodes[node].machine.as_ref().and_then(|machine| machine.node_id());
        let shown = |node_id: NodeId| self.papers.shown.get(&node_id);
        let token = match which {
            Typed::Newest => node_id.and_then(shown).and_then(|tokens| tokens.last()).cloned(),
            Typed::Oldest => node_id.and_then(shown).and_then(|tokens| tokens.first()).cloned(),
            Typed::Wrong => Some(NOBODYS_TOKEN.to_owned()),
            Typed::AnotherNodes => self
                .papers
                .shown
                .iter()
                .find(|(id, _)| Some(**id) != node_id)
                .and_then(|(_, tokens)| tokens.last())
                .cloned(),
        };
        if let Some(token) = token {
            self.feed_node(node, NodeInput::Token(token));
        }
    }
}
