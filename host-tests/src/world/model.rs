//! The reference model: the registry by its specification, in a few lines that share nothing with
//! core.

use std::collections::BTreeMap;

use handfast_core::registry::admission::PendingRequest;
use handfast_core::registry::delivery::Settled;
use handfast_core::registry::record::{Cause, Mode, Standing};
use handfast_core::{NodeId, Refusal, Source, Span};

use super::World;
use crate::script::Verdict;

/// The history of every id that was ever given out.
#[derive(Debug, Default)]
pub struct Model {
    /// All ids; none is ever removed.
    pub nodes: BTreeMap<NodeId, Known>,
    /// Rejections by request: their number in a row, the end of the wait, and the run that set it.
    rejections: BTreeMap<[u8; 32], (u32, u64, u32)>,
}

/// The history of one id.
#[derive(Debug)]
pub struct Known {
    /// Its current life.
    pub life: Life,
    /// Every token hash that was ever durable, the newest last.
    pub hashes: Vec<[u8; 32]>,
    /// Number of decisions that are durable without the gateway knowing it.
    pub unacknowledged: u32,
    /// The life to which an undelivered token leads back, and the time at which it does.
    undelivered: Option<(Option<Life>, u64)>,
    key: [u8; 32],
    source: Source,
    /// Time of its last request.
    asked: u64,
    /// Number of its request.
    request: u64,
    /// The runs that admitted it, last heard it, and sent its token.
    runs: (u32, u32, u32),
}

/// The stage of an id's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// Its request waits for a decision.
    Waiting {
        /// End of the request in Unix seconds.
        until: u64,
    },
    /// The node is paired.
    In(Mode),
    /// The node is paired and muted.
    Muted(Mode),
    /// The request was rejected.
    Rejected,
    /// The node was revoked.
    Unpaired,
    /// The request expired, and the store has forgotten it.
    RanOut,
}

/// Returns the life after a decision; `None` if the decision must be refused.
fn after(life: Life, verdict: Verdict, now: u64) -> Option<Life> {
    use Verdict::{Approve, Full, Mute, Reissue, Reject, SafeChat, Unmute, Unpair};
    match life {
        Life::Waiting { until } if now < until && verdict == Approve => Some(Life::In(Mode::Full)),
        Life::In(mode) | Life::Muted(mode) => match verdict {
            Approve | Reject => None,
            Reissue => Some(life),
            Mute => Some(Life::Muted(mode)),
            Unmute => Some(Life::In(mode)),
            SafeChat => Some(Life::In(Mode::SafeChat)),
            Full => Some(Life::In(Mode::Full)),
            Unpair => Some(Life::Unpaired),
        },
        // A rejected request stays rejected, whatever the clock says.
        Life::Waiting { .. } => match verdict {
            Reject => Some(Life::Rejected),
            Unpair => Some(Life::Unpaired),
            Approve | Reissue | Mute | Unmute | SafeChat | Full => None,
        },
        Life::Rejected | Life::Unpaired | Life::RanOut => None,
    }
}

impl Known {
    /// Returns the present life, including an undelivered token whose end is not recorded yet.
    fn stands(&self, now: u64) -> Life {
        match self.undelivered {
            Some((Some(back), lasts)) if lasts <= now => back,
            Some(_) | None => self.life,
        }
    }

    fn waits(&self, now: u64) -> bool {
        matches!(self.life, Life::Waiting { until } if now < until)
    }
}

impl Model {
    /// Counts the waiting requests of all sources, and of one.
    #[must_use]
    pub fn waiting(&self, source: Source, now: u64) -> (usize, usize) {
        let waiting = || self.nodes.values().filter(|known| known.waits(now));
        (waiting().count(), waiting().filter(|known| known.source == source).count())
    }

    /// Counts the same without requests that had been approved. Such a request waits again when its
    /// token was not delivered, although others may have filled the places meanwhile: the excess is
    /// no more than what the operator approved.
    #[must_use]
    pub fn waiting_for_the_first_time(&self, source: Source, now: u64) -> (usize, usize) {
        let waiting =
            || self.nodes.values().filter(|known| known.waits(now) && known.hashes.is_empty());
        (waiting().count(), waiting().filter(|known| known.source == source).count())
    }

    pub(super) fn unacknowledged(&mut self, node_id: NodeId) {
        if let Some(known) = self.nodes.get_mut(&node_id) {
            known.unacknowledged += 1;
        }
    }

    /// Returns the id that makes room for another request: the one whose last request is oldest, of
    /// this source or of the source with the most.
    fn gives_way(&self, of: Option<Source>, of_source: usize, now: u64) -> Option<NodeId> {
        let waiting = || self.nodes.iter().filter(|(_, known)| known.waits(now));
        let size = |source| waiting().filter(|(_, known)| known.source == source).count();
        let source = of.or_else(|| {
            waiting().map(|(_, known)| known.source).max_by_key(|source| (size(*source), *source))
        })?;
        let (node_id, known) = waiting()
            .filter(|(_, known)| known.source == source)
            .min_by_key(|(id, known)| (known.asked, **id))?;
        (known.asked + 300 <= now || size(source) > of_source + 1).then_some(*node_id)
    }

    pub(super) fn acknowledged(&mut self, node_id: NodeId) {
        if let Some(known) = self.nodes.get_mut(&node_id) {
            known.unacknowledged = known.unacknowledged.saturating_sub(1);
        }
    }

    /// Applies a step of the clock: times that this run has set keep their distance.
    pub(super) fn move_by(&mut self, run: u32, by: i64) {
        let later = |time: &mut u64| *time = time.saturating_add_signed(by);
        for known in self.nodes.values_mut() {
            if known.runs.0 == run {
                ends_of(known).for_each(later);
            }
            if known.runs.1 == run {
                later(&mut known.asked);
            }
            if let Some((_, lasts)) = known.undelivered.as_mut().filter(|_| known.runs.2 == run) {
                later(lasts);
            }
        }
        self.rejections
            .values_mut()
            .filter(|(.., of)| *of == run)
            .for_each(|(_, until, _)| later(until));
    }

    /// Applies a correction by the operator: entries that earlier runs made after `latest` end
    /// then.
    pub(super) fn end_later(&mut self, run: u32, latest: u64, gone: &[NodeId], pending_for: u64) {
        for (node_id, known) in &mut self.nodes {
            if known.runs.0 != run {
                ends_of(known)
                    .filter(|end| **end - pending_for > latest)
                    .for_each(|end| *end = latest);
                if let Life::Waiting { until } = known.life
                    && until == latest
                {
                    assert!(gone.contains(node_id), "{node_id} still waits");
                    known.life = Life::RanOut;
                }
            }
            if let Some((_, lasts)) = known.undelivered.as_mut().filter(|_| known.runs.2 != run) {
                *lasts = latest.min(*lasts);
            }
        }
        for (times, until, of) in self.rejections.values_mut() {
            let wait = wait_of(times.saturating_sub(1));
            if *of != run && until.saturating_sub(wait) > latest {
                *until = latest;
            }
        }
    }

    pub(super) fn forget_what_is_under_way(&mut self) {
        for known in self.nodes.values_mut() {
            known.unacknowledged = 0;
        }
    }
}

/// Returns the ends of its request: of one that waits, or would if it waited again.
fn ends_of(known: &mut Known) -> impl Iterator<Item = &mut u64> {
    let back = known.undelivered.as_mut().and_then(|(back, _)| back.as_mut());
    [Some(&mut known.life), back].into_iter().flatten().filter_map(|life| match life {
        Life::Waiting { until } => Some(until),
        Life::In(_) | Life::Muted(_) | Life::Rejected | Life::Unpaired | Life::RanOut => None,
    })
}

/// Returns the wait in seconds after this number of earlier rejections.
fn wait_of(times: u32) -> u64 {
    60_u64.checked_shl(times).map_or(86_400, |wait| wait.min(86_400))
}

impl World {
    /// Records that the store has forgotten expired requests.
    pub(super) fn model_forgets(&mut self, ran_out: &[NodeId], now: u64) {
        for node_id in ran_out {
            self.check_request_is_over(*node_id);
            let known = self.model.nodes.get_mut(node_id).expect("only known ids run out");
            assert!(
                matches!(known.life, Life::Waiting { until } if until <= now),
                "{node_id} was forgotten too early"
            );
            known.life = Life::RanOut;
        }
    }

    pub(super) fn model_admits(
        &mut self,
        ran_out: &[NodeId],
        asking: &PendingRequest,
        outcome: Result<NodeId, Refusal>,
    ) {
        let now = self.unix().as_secs();
        self.model_forgets(ran_out, now);
        let run = self.clocks.run;
        let key = *asking.key.as_bytes();
        // A request whose approval may be undone is still the same request.
        let may_wait = |known: &Known| {
            known.waits(now)
                || matches!(known.undelivered, Some((Some(Life::Waiting { until }), _)) if now < until)
        };
        let same = self
            .model
            .nodes
            .iter()
            .find(|(_, known)| known.key == key && may_wait(known))
            .map(|(id, _)| *id);
        let (total, of_source) = self.model.waiting(asking.source, now);
        let own_room = of_source < self.limits.pending_per_source as usize;
        let room = own_room && total < self.limits.pending_total as usize;
        let wait =
            self.model.rejections.get(&key).map_or(0, |(_, until, _)| until.saturating_sub(now));
        let gives_way = self.model.gives_way((!own_room).then_some(asking.source), of_source, now);
        let expected = match same {
            Some(node_id) => Ok(node_id),
            None if wait > 0 => Err(Refusal::Rejected { wait: Span::from_secs(wait) }),
            None if room || gives_way.is_some() => Ok(asking.record.node_id),
            None => Err(Refusal::TooManyPending),
        };
        if let Some(known) = same.and_then(|node_id| self.model.nodes.get_mut(&node_id))
            && known.request != asking.request
        {
            (known.asked, known.request, known.runs.1) = (now, asking.request, run);
        }
        self.expect(outcome == expected, || {
            format!("a request got {outcome:?}, by the model {expected:?}")
        });
        if same.is_none() && outcome.is_ok() {
            let until = asking.record.asked_at.as_secs() + self.limits.pending_for.as_secs();
            let life = Life::Waiting { until };
            if let Some(known) =
                gives_way.filter(|_| !room).and_then(|node_id| self.model.nodes.get_mut(&node_id))
            {
                known.life = Life::RanOut;
            }
            let (source, request) = (asking.source, asking.request);
            let known = Known {
                life,
                hashes: Vec::new(),
                unacknowledged: 0,
                undelivered: None,
                key,
                source,
                asked: now,
                request,
                runs: (run, run, 0),
            };
            let began = self.clocks.life(self.now);
            self.lives.requests.insert(asking.record.node_id, began);
            let before = self.model.nodes.insert(asking.record.node_id, known);
            self.expect(before.is_none(), || {
                format!("{} was given out twice", asking.record.node_id)
            });
        }
    }

    /// Checks that the model allows a decision exactly if core does.
    pub(super) fn check_decision(
        &self,
        node_id: NodeId,
        verdict: Verdict,
        refused: Option<Refusal>,
    ) {
        let now = self.unix().as_secs();
        let life = self.model.nodes[&node_id].stands(now);
        let expected = after(life, verdict, now);
        let alike = refused.is_none() == expected.is_some();
        self.expect(alike, || {
            format!(
                "{verdict:?} of {life:?}: core refuses {refused:?}, the model says {expected:?}"
            )
        });
    }

    /// Ends the delivery of a token, and compares the record with the model.
    pub(super) fn model_settles(&mut self, node_id: NodeId, settled: Settled) {
        let known = self.model.nodes.get_mut(&node_id).expect("only known ids have deliveries");
        let under_way = known.undelivered.take();
        if let (Settled::Undone, Some((Some(back), _))) = (settled, under_way) {
            known.life = back;
        }
        let waits = matches!(known.life, Life::Waiting { .. });
        let stands = matches!(self.store.rows[&node_id].record.standing, Standing::Pending { .. });
        self.expect(under_way.is_some() && waits == stands, || {
            format!("the delivery of {node_id} ended as {settled:?}")
        });
    }

    /// Applies a durable decision, and compares the record with the model.
    pub(super) fn model_commits(&mut self, node_id: NodeId, verdict: Verdict) {
        let now = self.unix().as_secs();
        // The decision was made when the record was read; the version shows that only time has
        // passed since.
        let lasts = self.unix().as_secs() + self.limits.deliver_within.as_secs();
        let run = self.clocks.run;
        let known = self.model.nodes.get_mut(&node_id).expect("only known ids are saved");
        if matches!(verdict, Verdict::Approve | Verdict::Reissue) {
            known.runs.2 = run;
        }
        // A decision that was made in time is stored, unless another came first.
        let from = Some(known.stands(now))
            .filter(|life| after(*life, verdict, 0).is_some())
            .unwrap_or(known.life);
        let next = after(from, verdict, 0);
        known.undelivered = match (verdict, known.undelivered) {
            (Verdict::Approve, _) => Some((Some(from), lasts)),
            (Verdict::Reissue, Some((back, _))) => Some((back, lasts)),
            (Verdict::Reissue, None) => Some((None, lasts)),
            (Verdict::Reject | Verdict::Unpair, _) => None,
            (Verdict::Mute | Verdict::Unmute | Verdict::SafeChat | Verdict::Full, same) => same,
        };
        known.life = next.unwrap_or(known.life);
        if known.life == Life::Rejected {
            let (times, until, _) =
                self.model.rejections.get(&known.key).copied().unwrap_or_default();
            let times = if until + 86_400 <= now { 0 } else { times };
            self.model.rejections.insert(known.key, (times + 1, now + wait_of(times), run));
        }
        known.unacknowledged += 1;
        let standing = self.store.rows[&node_id].record.standing.clone();
        if let Some(token) =
            standing.token().filter(|token| known.hashes.last() != Some(token.as_bytes()))
        {
            known.hashes.push(*token.as_bytes());
        }
        let life = known.life;
        let agrees = match (&standing, life) {
            (Standing::Paired { mode, .. }, Life::In(expected)) => *mode == expected,
            (Standing::Muted { restore, .. }, Life::Muted(expected)) => *restore == expected,
            (Standing::Revoked { cause }, Life::Rejected) => *cause == Cause::Rejected,
            (Standing::Revoked { cause }, Life::Unpaired) => *cause == Cause::Unpaired,
            (
                Standing::Pending { .. }
                | Standing::Unapproved { .. }
                | Standing::Paired { .. }
                | Standing::Muted { .. }
                | Standing::Revoked { .. },
                _,
            ) => false,
        };
        self.expect(next.is_some() && agrees, || {
            format!("{verdict:?} made {standing:?}, by the model {life:?}")
        });
    }
}
